//! The Rust SDK for `trueup` providers.
//!
//! Owns the bindings of the contract (`wit/provider.wit`), the trait with defaults, and the double that lets the same
//! provider run under `cargo test` without Wasm. An author never sees a WIT folder: depend on this crate, implement
//! [`Provider`], write [`export!`]`(MyProvider)`, and build for `wasm32-wasip2`.
//!
//! Invariant: what an author leaves out behaves as if the component did not have it. The engine learns from the
//! manifest's `features` which optional interfaces are real.

pub mod bindings;
pub mod error;
pub mod host;
pub mod provider;

#[doc(hidden)]
pub mod adapter;
#[cfg(not(target_family = "wasm"))]
pub mod double;

pub use bindings::exports::trueup::provider::lifecycle::{
    Change, Coverage, Gone, Lookup, Observation, Outcome, Pending, ScopeQuery, Settlement, Snapshot,
};
pub use bindings::exports::trueup::provider::migration::Stored;
pub use bindings::exports::trueup::provider::planning::{Candidate, Replacement, Verdict};
pub use bindings::exports::trueup::provider::rendering::{Declared, Desired, Rendered};
pub use bindings::exports::trueup::provider::schemas::Discovered;
pub use bindings::trueup::provider::types::{
    Action, Address, CallInfo, Diagnostic, Edit, EditOp, Failure, Fault, Health, HealthState, Remote, Severity,
};
pub use error::{Error, Result};
pub use provider::Provider;
pub use serde_json::{Value as Json, json};

/// Makes the crate a component that serves `$provider`, a type that implements [`Provider`]. Once a crate, at its root,
/// in a library with `crate-type = ["cdylib", "rlib"]`. On other targets than Wasm it makes nothing.
#[macro_export]
macro_rules! export {
    ($provider:ty) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code)]
        mod trueup_component {
            use super::*;
            type Component = $crate::adapter::Adapter<$provider>;
            $crate::bindings::export_bindings!(Component with_types_in $crate::bindings);
        }
    };
}
