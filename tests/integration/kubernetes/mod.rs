//! Objects of a real Kubernetes API server.

mod waiting;
