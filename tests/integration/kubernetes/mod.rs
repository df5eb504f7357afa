//! The Kubernetes provider on a real API server: what people have in their repositories, unchanged, and what goes wrong.

mod aggregated;
mod big;
mod faults;
mod graph;
mod hooks;
mod hostile;
mod import;
mod killed;
mod kinds;
mod objects;
mod ownership;
mod paged;
mod rbac;
mod secrets;
mod shop;
mod waiting;
mod watch;
mod world;
