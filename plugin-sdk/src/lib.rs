//! The Rust SDK for `trueup` providers.
//!
//! Owns the bindings of the contract (`wit/provider.wit`), the trait with defaults, and the double that lets the same
//! provider run under `cargo test` without Wasm. An author never sees a WIT folder: depend on this crate, implement
//! [`Provider`], write [`export!`]`(MyProvider)`, and build for `wasm32-wasip2`.
//!
//! Invariant: what an author leaves out behaves as if the component did not have it. The engine learns from the
//! manifest's `features` which optional interfaces are real.

// So that what the macros write means this crate within the crate itself.
extern crate self as trueup_sdk;

pub mod bindings;
pub mod dns;
pub mod error;
mod form;
pub mod host;
pub mod http;
pub mod kind;
pub mod provider;
pub mod schema;

#[doc(hidden)]
pub mod adapter;
#[cfg(not(target_family = "wasm"))]
pub mod double;
#[doc(hidden)]
pub mod serve;

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
pub use kind::{ApplyBatch, Crud, Deleted, Found, Item, Kind, Page, Scan, Settings, Target};
pub use provider::Provider;
pub use schema::{Blob, Schema, Secret};
pub use serde_json::{Value as Json, json};
pub use trueup_sdk_macros::{Kind, Schema, Settings, provider};

/// All that a provider usually names.
pub mod prelude {
    pub use crate::{
        Blob, CallInfo, Crud, Deleted, Error, Fault, Found, Item, Kind, Page, Result, Scan, Schema, ScopeQuery, Secret, Settings,
        Target, http, provider,
    };
    pub use serde::{Deserialize, Serialize};
}

/// Makes the crate a component that serves `$provider`, a type that implements [`Provider`]. Once a crate, at its root,
/// in a library with `crate-type = ["cdylib", "rlib"]`. On other targets than Wasm it makes nothing.
#[macro_export]
macro_rules! export {
    ($provider:ty) => {
        // Elsewhere nothing would name the provider, and the compiler would call all of it dead.
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::Json = <$provider as $crate::Provider>::manifest;
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code)]
        mod trueup_component {
            use super::*;
            type Component = $crate::adapter::Adapter<$provider>;
            $crate::bindings::export_bindings!(Component with_types_in $crate::bindings);
        }
    };
}
