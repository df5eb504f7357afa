//! The engine around the pure core and the sandbox: sources, state, passes, command line.
//!
//! [`pass`] reads top to bottom like the data's way: source, documents, objects, observation, plan, apply, record.

pub mod apply;
pub mod blobs;
pub mod bundled;
pub mod cli;
pub mod config;
pub mod desired;
pub mod engine;
pub mod health;
pub mod killpoint;
pub mod kit;
pub mod observe;
pub mod output;
pub mod pass;
pub mod patience;
pub mod private;
pub mod recording;
pub mod recover;
pub mod refine;
pub mod registry;
mod regular;
pub mod seal;
pub mod services;
pub mod source;
pub mod store;
pub mod veil;
