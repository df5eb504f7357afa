//! The kit for people who write plugins: what `trueup plugin new`, `build`, `dev` and `test` are made of.
//!
//! Owns the form of a plugin's project ([`project`]) and what is done with one. It prints nothing: the verbs in
//! `cli/plugin` do.

pub mod build;
pub mod conformance;
pub mod dev;
pub mod project;
pub mod template;
pub mod toolchain;
pub mod wrap;
