//! Where a zone transfer ends (RFC 5936 §2.2, RFC 1995 §4): nothing in a message says that it is the last one.

use super::wire::{Fault, Message, kind};

/// Follows one transfer, message by message.
#[derive(Debug)]
pub(super) struct Transfer {
    /// The zone's name, as [`wire::name`](super::wire::name) reads it.
    zone: Vec<u8>,
    /// The serial that the plugin has, where it asked for what changed since.
    since: Option<u32>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing came yet.
    Opening,
    /// The start of authority that the transfer leads to came.
    Opened {
        last: u32,
    },
    /// The whole zone, which ends with its start of authority.
    Whole {
        last: u32,
    },
    /// Differences: records that went, up to the next start of authority.
    Going {
        last: u32,
    },
    /// Differences: records that came, from `now`, up to the next start of authority.
    Coming {
        last: u32,
        now: u32,
    },
    Ended,
}

/// Whether `serial` is later than `other` in the arithmetic of RFC 1982.
fn later(serial: u32, other: u32) -> bool {
    serial != other && serial.wrapping_sub(other) < 1 << 31
}

impl Transfer {
    pub(super) fn new(zone: Vec<u8>, since: Option<u32>) -> Self {
        Self { zone, since, state: State::Opening }
    }

    /// Takes the next message; whether it is the last.
    ///
    /// # Errors
    ///
    /// Says how it breaks the form of a transfer. A first message that is an error, or that holds nothing, is the
    /// server's answer, and no fault.
    pub(super) fn take(&mut self, bytes: &[u8], message: &Message) -> Result<bool, Fault> {
        let first = matches!(self.state, State::Opening);
        if first && (message.rcode != 0 || message.answers().next().is_none()) {
            self.state = State::Ended;
            return Ok(true);
        }
        if message.rcode != 0 {
            return Err("the server broke it off with an error");
        }
        for record in message.answers() {
            if matches!(self.state, State::Ended) {
                return Err("records follow the start of authority that ends it");
            }
            let serial = match record.kind {
                kind::SOA => {
                    let owner = super::wire::name(bytes, record.start)?.0;
                    if owner != self.zone {
                        return Err("it holds the start of authority of another zone");
                    }
                    Some(record.serial(bytes).ok_or("its start of authority has no serial")?)
                }
                _ => None,
            };
            self.state = self.after(serial)?;
        }
        // Up to date: one start of authority, and no later one than the plugin has.
        if let State::Opened { last } = self.state
            && self.since.is_some_and(|since| !later(last, since))
        {
            self.state = State::Ended;
        }
        Ok(matches!(self.state, State::Ended))
    }

    /// The state after one record; `serial` is that of a start of authority.
    fn after(&self, serial: Option<u32>) -> Result<State, Fault> {
        Ok(match (self.state, serial) {
            (State::Opening, Some(last)) => State::Opened { last },
            (State::Opening, None) => return Err("it does not begin with a start of authority"),
            // A second start of authority begins differences where it is the one that the plugin has.
            (State::Opened { last }, Some(serial)) if self.since == Some(serial) && serial != last => State::Going { last },
            (State::Opened { last } | State::Whole { last }, Some(serial)) if serial == last => State::Ended,
            (State::Opened { .. } | State::Whole { .. }, Some(_)) => return Err("the zone changed in the middle of it"),
            (State::Opened { last } | State::Whole { last }, None) => State::Whole { last },
            (State::Going { last }, None) => State::Going { last },
            (State::Going { last }, Some(now)) => State::Coming { last, now },
            (State::Coming { last, now }, None) => State::Coming { last, now },
            (State::Coming { last, .. }, Some(serial)) if serial == last => State::Ended,
            (State::Coming { last, now }, Some(serial)) if serial == now => State::Going { last },
            (State::Coming { .. }, Some(_)) => return Err("its differences do not follow one another"),
            (State::Ended, _) => return Err("records follow the start of authority that ends it"),
        })
    }
}
