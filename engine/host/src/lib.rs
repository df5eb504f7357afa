//! The sandbox: plugins are compiled, limited, granted rights and called here.
//!
//! The only crate that names wasmtime; nothing public has a type of it, so that the engine reads as if plugins were
//! ordinary values. One way through: [`Runtime`] (the compiler and its limits) → [`Plugin`] (one component, by digest) →
//! [`Provider`] (a plugin configured under an alias, with a [`Grant`]) → its calls, on warm instances of their [`Phase`].
//!
//! Invariants: a plugin reaches nothing that its grant does not name; outside `apply` it changes nothing; it never sees a
//! credential; whatever it does costs it its instance and never the engine; what it answers is checked before it is
//! believed.

mod bindings;
mod cache;
mod call;
mod convert;
mod dns;
mod error;
mod files;
pub mod grant;
mod imports;
mod load;
mod log;
mod outbound;
mod pool;
mod probe;
mod records;
mod runtime;
mod sealed;
mod services;
mod state;
mod tap;

pub use call::{Provider, ProviderSettings};
pub use dns::{DnsServer, TsigAlgorithm, TsigKey};
pub use error::{CallError, LoadError};
pub use grant::{Ceiling, Credential, DirGrant, Given, Grant, HostRule, Scheme, Slot, intersect};
pub use load::Plugin;
pub use outbound::{ClientCertificate, Cluster, Held, Login, Reach, ReadRule, reach, sigv4};
pub use records::*;
pub use runtime::{Limits, Runtime, RuntimeOptions};
pub use services::{Denial, Level, LogRecord, NoServices, Secret, SecretError, Services};
pub use tap::{Asked, Tap};
