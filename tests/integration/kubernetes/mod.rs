//! The Kubernetes provider on a real API server: what people have in their repositories, unchanged.

mod objects;
mod ownership;
mod secrets;
mod shop;
