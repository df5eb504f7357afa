//! Zone transfers (RFC 5936, RFC 1995): from messages to record sets.
//!
//! Invariant: a transfer that did not end with the SOA it began with yields nothing, so a zone that was cut off is never
//! mistaken for a small one.

use std::fmt;

use super::{Answer, IN, Opcode, Rcode, Record, is_at_least, serial};
use crate::name::{Name, Style};
use crate::rdata::Type;
use crate::set::{Collector, RecordSet};
use crate::wire::Malformed;
use crate::zonefile::MAX_RECORDS;

/// Why a transfer yields nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// The server said no.
    Refused(Rcode),
    Malformed(Malformed),
    /// The messages end before the zone does.
    Cut,
    TooLarge,
}

impl From<Malformed> for TransferError {
    fn from(it: Malformed) -> Self {
        Self::Malformed(it)
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(rcode) => write!(formatter, "the server answers {rcode}"),
            Self::Malformed(it) => write!(formatter, "the answer is malformed: {it}"),
            Self::Cut => formatter.write_str("the transfer ended before the zone did"),
            Self::TooLarge => write!(formatter, "the zone has more than {MAX_RECORDS} records"),
        }
    }
}

/// One record of a delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaRecord {
    pub name: Name,
    pub rtype: Type,
    pub ttl: u32,
    pub value: Box<[u8]>,
}

/// What a transfer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transferred {
    /// Nothing newer than the serial that was asked about.
    Unchanged { serial: u32 },
    /// Every set of the zone, with its SOA, in canonical order.
    Whole { serial: u32, sets: Vec<RecordSet> },
    /// What went and what came, in order, over all steps since the serial that was asked about; without the SOAs.
    Delta { serial: u32, steps: Vec<Step> },
}

/// From one serial to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub removed: Vec<DeltaRecord>,
    pub added: Vec<DeltaRecord>,
}

/// What the records so far mean.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Nothing has come.
    Empty,
    /// The first SOA has come: the next record tells a whole zone from a delta.
    Opened,
    Whole,
    Removing,
    Adding,
    Closed,
}

/// Puts a transfer together, message by message.
#[derive(Debug)]
pub struct Transfer<'a> {
    zone: &'a Name,
    /// The serial that an IXFR asked about; none for an AXFR.
    since: Option<u32>,
    state: State,
    /// Of the SOA that opens the transfer and must close it.
    serial: u32,
    soa: Vec<u8>,
    collector: Collector,
    steps: Vec<Step>,
    /// The serial that the step at hand begins with must be the one that the step before ended with.
    reached: Option<u32>,
    records: usize,
}

impl<'a> Transfer<'a> {
    /// The answer to an AXFR, or to an IXFR since a serial.
    pub fn new(zone: &'a Name, since: Option<u32>) -> Self {
        let (collector, steps, soa) = (Collector::default(), Vec::new(), Vec::new());
        Self { zone, since, state: State::Empty, serial: 0, soa, collector, steps, reached: None, records: 0 }
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// When the server refuses, the message is malformed, or the order of its records is none of a transfer.
    pub fn message(&mut self, message: &[u8]) -> Result<(), TransferError> {
        let answer = Answer::parse(message, Opcode::Query)?;
        if answer.rcode != Rcode::NOERROR {
            return Err(TransferError::Refused(answer.rcode));
        }
        let asked = if self.since.is_some() { Type::IXFR } else { Type::AXFR };
        if !answer.is_about(self.zone, asked) {
            return Err(Malformed("it answers another question").into());
        }
        if answer.truncated {
            return Err(TransferError::Cut);
        }
        answer.each(|record| self.record(record))
    }

    fn record(&mut self, record: Record<'_>) -> Result<(), TransferError> {
        self.records += 1;
        if self.records > MAX_RECORDS * 2 {
            return Err(TransferError::TooLarge);
        }
        if record.class != IN {
            return Err(Malformed("a record is of another class").into());
        }
        if record.rtype == Type::SOA && record.name != self.zone.wire() {
            return Err(Malformed("a SOA of another zone").into());
        }
        match self.state {
            State::Closed => return Err(Malformed("records follow the closing SOA").into()),
            State::Empty => self.open(record)?,
            State::Opened => self.second(record)?,
            State::Whole if record.rtype == Type::SOA => self.close(record)?,
            State::Whole => self.keep(record)?,
            State::Removing | State::Adding => self.delta(record)?,
        }
        Ok(())
    }

    fn open(&mut self, record: Record<'_>) -> Result<(), TransferError> {
        if record.rtype != Type::SOA {
            return Err(Malformed("a transfer does not begin with a SOA").into());
        }
        self.serial = serial(record.value)?;
        self.soa.extend_from_slice(record.value);
        record.gather(&mut self.collector);
        self.state = State::Opened;
        Ok(())
    }

    /// A second SOA with an older serial begins a delta; with the same one it closes a zone that has nothing else.
    fn second(&mut self, record: Record<'_>) -> Result<(), TransferError> {
        if record.rtype != Type::SOA {
            self.state = State::Whole;
            return self.keep(record);
        }
        let old = serial(record.value)?;
        match self.since {
            Some(since) if old == since && old != self.serial => self.begin_step(old),
            _ => self.close(record),
        }
    }

    fn begin_step(&mut self, old: u32) -> Result<(), TransferError> {
        if self.reached.is_some_and(|it| it != old) {
            return Err(Malformed("a delta does not begin where the one before ended").into());
        }
        self.steps.push(Step::default());
        self.state = State::Removing;
        Ok(())
    }

    fn delta(&mut self, record: Record<'_>) -> Result<(), TransferError> {
        let removing = self.state == State::Removing;
        if record.rtype == Type::SOA {
            let number = serial(record.value)?;
            if removing {
                self.reached = Some(number);
                self.state = State::Adding;
                return Ok(());
            }
            let done = self.reached == Some(self.serial) && record.value == self.soa;
            return if done { self.close(record) } else { self.begin_step(number) };
        }
        let Some(step) = self.steps.last_mut() else { return Err(Malformed("a delta has no beginning").into()) };
        let list = if removing { &mut step.removed } else { &mut step.added };
        let name = Name::from_canonical(record.name);
        list.push(DeltaRecord { name, rtype: record.rtype, ttl: record.ttl, value: record.value.into() });
        Ok(())
    }

    fn keep(&mut self, record: Record<'_>) -> Result<(), TransferError> {
        if self.collector.records() > MAX_RECORDS {
            return Err(TransferError::TooLarge);
        }
        if crate::name::below(record.name, self.zone).is_none() {
            return Err(Malformed("a record is outside the zone").into());
        }
        record.gather(&mut self.collector);
        Ok(())
    }

    fn close(&mut self, record: Record<'_>) -> Result<(), TransferError> {
        if record.value != self.soa {
            return Err(Malformed("a transfer ends with another SOA than it began with").into());
        }
        self.state = State::Closed;
        Ok(())
    }

    /// What the messages say together.
    ///
    /// # Errors
    /// When the transfer is not complete.
    pub fn finish(self) -> Result<Transferred, TransferError> {
        let serial = self.serial;
        match (self.state, self.since) {
            // RFC 1995 §4: one SOA alone, not newer, says that the client is up to date.
            (State::Opened, Some(since)) if is_at_least(since, serial) => Ok(Transferred::Unchanged { serial }),
            (State::Closed, _) if !self.steps.is_empty() => Ok(Transferred::Delta { serial, steps: self.steps }),
            (State::Closed, _) => {
                let sets = self.collector.finish(Style::Observed);
                let sets = sets.map_err(|_| Malformed("its records make no sets"))?.sets;
                Ok(Transferred::Whole { serial, sets })
            }
            _ => Err(TransferError::Cut),
        }
    }
}
