//! The Kubernetes provider at a real API server.

mod aggregated;
mod faults;
mod hooks;
mod hostile;
mod killed;
mod paged;
mod rbac;
mod watch;
mod world;
