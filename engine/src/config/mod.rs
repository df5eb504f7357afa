//! What people write about a project outside its documents: `trueup.yaml`, `trueup.lock`, credentials, trust.
//!
//! Owns reading and judging these files; it grants nothing by itself. [`project`] comes from the repository and only asks;
//! [`credentials`] and [`trust`] are the operator's, lie outside any repository, and are refused when others can read them.
//!
//! Invariant: a key that is not understood is an error, so that a misspelt right is never silently another one.

pub mod credentials;
pub(crate) mod decode;
pub mod lock;
pub mod paths;
pub mod project;
pub(crate) mod provider;
pub mod rename;
pub(crate) mod tree;
pub mod trust;
