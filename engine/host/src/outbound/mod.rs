//! The `http` import: whole requests to granted hosts, with credentials that the plugin never sees.
//!
//! Order of the checks: the URL's own form, the allow-list, the method (outside `apply` only reads), the headers; only
//! then is a credential attached, and only for its origins; one that has an end is got anew before that, and once more where the
//! server refuses it. What is signed is so last of all, and anew for each time that it is sent. Names are resolved by the host, addresses judged, and the
//! judged address is the one connected to. Redirects are answers like any other.

mod address;
mod client;
mod credential;
mod login;
mod order;
mod rules;
pub mod sigv4;

pub use address::{Reach, reach};
pub use login::{ClientCertificate, Cluster, Held, Login};
pub use rules::ReadRule;

pub(crate) use address::{Unreachable, resolve};
pub(crate) use client::{CONNECT, MARGIN, Outbound};
pub(crate) use order::{Turns, take};

#[cfg(test)]
pub(crate) mod tests;
