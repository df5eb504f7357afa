//! DNS messages in a few words, and what their failures mean. What is in a message is the provider's; the engine draws the
//! id, connects, signs and verifies.
//!
//! ```no_run
//! # use trueup_sdk::{dns, Result};
//! # fn example(server: &str, axfr: Vec<u8>) -> Result<Vec<Vec<u8>>> {
//! dns::tcp(server, axfr).credential("tsig").send()
//! # }
//! ```
//!
//! | answer | fault |
//! |---|---|
//! | a message of any response code | none: the code is the provider's to judge |
//! | denied | denied |
//! | unreachable | transient: nothing was sent |
//! | unauthorized | unauthorized: the key or a clock is wrong |
//! | interrupted, timed out, too large | transient |
//! | malformed | internal |
//!
//! An UPDATE (or NOTIFY) that was interrupted or met an answer that was too large may have taken effect: its error is
//! `unsettled`, and so is the change that it was made for.

use crate::host::dns::{self, DnsError, Transport};
use crate::{Error, Fault, Result};

/// A query to be.
#[derive(Clone, Debug)]
#[must_use = "a query does nothing until it is sent"]
pub struct Query {
    inner: dns::Query,
}

/// Over UDP: one datagram, one answer. A truncated one is an answer.
pub fn udp(server: &str, message: impl Into<Vec<u8>>) -> Query {
    Query::new(server, Transport::Udp, message.into())
}

/// Over TCP; the way of transfers.
pub fn tcp(server: &str, message: impl Into<Vec<u8>>) -> Query {
    Query::new(server, Transport::Tcp, message.into())
}

/// Over TLS, to a server granted as `dns+tls://`.
pub fn tls(server: &str, message: impl Into<Vec<u8>>) -> Query {
    Query::new(server, Transport::Tls, message.into())
}

impl Query {
    fn new(server: &str, via: Transport, message: Vec<u8>) -> Self {
        let inner = dns::Query { server: server.to_owned(), via, message, credential: None, max_bytes: 0, timeout: None };
        Self { inner }
    }

    /// Lets the engine sign with the key that this slot holds; an answer without a signature is then none.
    pub fn credential(mut self, slot: &str) -> Self {
        self.inner.credential = Some(slot.to_owned());
        self
    }

    /// Bytes of all answers together; by default the engine's limit.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.inner.max_bytes = bytes;
        self
    }

    /// Milliseconds from the moment of sending to the last byte; by default 5 s over UDP, else what the call has left.
    pub fn timeout(mut self, millis: u64) -> Self {
        self.inner.timeout = Some(millis);
        self
    }

    /// Sends it. Several messages come for a transfer only, and then all of them.
    ///
    /// # Errors
    /// Where there is no answer that can be believed; see the table of this module.
    pub fn send(self) -> Result<Vec<Vec<u8>>> {
        exchange_all(vec![self], 1).pop().unwrap_or_else(|| Err(Error::internal("the engine left an answer out")))
    }

    /// Whether it asks the server to change or do something: an opcode other than QUERY.
    fn changes(&self) -> bool {
        opcode(&self.inner.message) != 0
    }
}

/// The opcode of a message; 0 is QUERY.
pub(crate) fn opcode(message: &[u8]) -> u8 {
    message.get(2).map_or(0, |flags| flags >> 3 & 0x0f)
}

/// Sends many queries at once, at most `parallel` at a time (0: as many as the grant allows); answers in their order.
pub fn exchange_all(queries: Vec<Query>, parallel: u32) -> Vec<Result<Vec<Vec<u8>>>> {
    let inner = queries.iter().map(|it| it.inner.clone()).collect::<Vec<_>>();
    let mut answers = if inner.is_empty() { Vec::new() } else { dns::exchange_all(&inner, parallel) }.into_iter();
    let each = |query: &Query| match answers.next() {
        Some(got) => got.map_err(|error| explain(query, error)),
        None => Err(Error::internal("the engine left an answer out")),
    };
    queries.iter().map(each).collect()
}

fn explain(query: &Query, error: DnsError) -> Error {
    let (fault, code, text, sent) = match error {
        DnsError::Denied(rule) => (Fault::Denied, "dns.denied", rule, false),
        DnsError::Unreachable(text) => (Fault::Transient(None), "dns.unreachable", text, false),
        DnsError::Unauthorized(text) => (Fault::Unauthorized, "dns.unauthorized", text, false),
        DnsError::Interrupted(text) => (Fault::Transient(None), "dns.interrupted", text, true),
        DnsError::TimedOut => (Fault::Transient(None), "dns.timed-out", "no answer in time".to_owned(), true),
        DnsError::TooLarge(limit) => {
            (Fault::Transient(None), "dns.too-large", format!("the answer is above the limit of {limit} bytes"), true)
        }
        DnsError::Malformed(text) => (Fault::Internal, "dns.malformed", text, false),
    };
    let error = Error::new(fault, code, format!("{}: {text}", query.inner.server));
    if sent && query.changes() { error.unsettled() } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::double::{Double, Phase};

    /// A header alone.
    fn message(opcode: u8) -> Vec<u8> {
        let mut bytes = vec![0; 12];
        bytes[2] = opcode << 3;
        bytes
    }

    #[test]
    fn an_error_is_unsettled_where_a_change_may_have_been_made() {
        let double = Double::install();
        double.enter(Phase::Apply);
        let answers = [
            (DnsError::Unreachable("x".to_owned()), Fault::Transient(None), false),
            (DnsError::Unauthorized("x".to_owned()), Fault::Unauthorized, false),
            (DnsError::Interrupted("x".to_owned()), Fault::Transient(None), true),
            (DnsError::TooLarge(1), Fault::Transient(None), true),
            (DnsError::Malformed("x".to_owned()), Fault::Internal, false),
        ];
        for (answer, fault, unsettled) in answers {
            let told = answer.clone();
            double.resolve(move |_| Err(told.clone()));
            for opcode in [0, 5] {
                let error = tcp("dns://127.0.0.1:53", message(opcode)).send().unwrap_err();
                assert_eq!((error.fault, error.unsettled), (fault, unsettled && opcode == 5), "{answer:?} {opcode}");
            }
        }
    }

    #[test]
    fn the_double_keeps_the_rules_and_tells_what_was_asked() {
        let double = Double::install();
        double.resolve(|query| Ok(vec![query.message.clone()]));
        double.enter(Phase::Observe);
        assert_eq!(udp("dns://a", message(0)).credential("tsig").send().unwrap(), [message(0)]);
        let refused = udp("dns://a", message(5)).send().unwrap_err();
        assert!(refused.fault == Fault::Denied && !refused.unsettled, "{refused:?}");
        double.enter(Phase::Apply);
        assert!(tcp("dns://a", message(5)).send().is_ok());
        assert_eq!(double.take_calls(), ["dns udp dns://a QUERY", "dns udp dns://a UPDATE", "dns tcp dns://a UPDATE"]);
        double.enter(Phase::Pure);
        assert_eq!(udp("dns://a", message(0)).send().unwrap_err().fault, Fault::Denied);
    }
}
