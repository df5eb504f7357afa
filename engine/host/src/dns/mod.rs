//! The `dns` import: whole messages to granted servers, signed with keys that the plugin never sees.
//!
//! Order of the checks: the server (granted, and reached in the way it is granted for), the message's own form, what it
//! asks (outside `apply` queries and transfers only), the credential; only then is a connection made and a signature
//! added. Names are resolved by the host and judged as those of `http` are, and the judged address is the one connected
//! to. Each query has its own socket, so that nothing of one exchange is ever taken for an answer of another.
//!
//! An answer reaches the plugin when it carries the id that was drawn for it and the question that was asked, and, where
//! the query was signed, when its signature stands: [`tsig`] verifies, [`transfer`] says which message is the last.

mod check;
mod exchange;
mod server;
mod stream;
mod talk;
#[cfg(test)]
mod tests;
mod transfer;
mod tsig;
mod wire;

pub use server::DnsServer;
pub use tsig::{TsigAlgorithm, TsigKey};

pub(crate) use exchange::Exchanger;
