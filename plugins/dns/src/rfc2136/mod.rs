//! DNS itself: zone transfers to look, UPDATE to change (RFC 5936, 1995, 2136).
//!
//! A zone is one transfer; one that is known is asked for by IXFR, which answers in one message that nothing changed. Changes go
//! with the condition that every set is as it was observed, so that what somebody else changed meanwhile is a conflict.
//!
//! Sets are read back by queries, which do not always tell what stands in a zone: a wildcard answers for names that are not
//! there, and what stands below a delegation or a DNAME is hidden. Where a set may be under one of these ([`shadow`]), the zone is
//! transferred instead.

mod apply;
mod observe;
mod shadow;

use std::rc::Rc;

use trueup_sdk::dns::{self, Query};
use trueup_sdk::{Error, Fault, Result};

use crate::backend::{Ask, Backend, Contents, Seen, SetChange, View};
use crate::config::Config;
use crate::document::Zone;
use crate::lex::Word;
use crate::message::Rcode;
use crate::name::Name;
use crate::rdata::Type;
use crate::rdata::encoding::{parse_base64, print_base64};
use crate::set::{Rdata, RecordSet};

/// The slot of the manifest that holds the TSIG key.
const CREDENTIAL: &str = "server";

/// Queries and transfers at a time.
const PARALLEL: u32 = 8;

/// One server that is spoken to in DNS.
pub struct Rfc2136 {
    server: String,
    signed: bool,
    timeout: u64,
}

impl Rfc2136 {
    pub fn new(config: &Config) -> Self {
        Self { server: config.server.clone(), signed: config.signed, timeout: config.timeout }
    }

    /// Over a stream: TCP, or TLS where the server is named so.
    fn stream(&self, message: Vec<u8>) -> Query {
        let query =
            if self.server.starts_with("dns+tls://") { dns::tls(&self.server, message) } else { dns::tcp(&self.server, message) };
        let query = query.timeout(self.timeout);
        if self.signed { query.credential(CREDENTIAL) } else { query }
    }
}

/// What a server's refusal means, whatever it was asked; `what` is for people.
fn refused(rcode: Rcode, what: &str) -> Error {
    let fault = match rcode {
        Rcode::REFUSED => Fault::Unauthorized,
        Rcode::NOTAUTH => Fault::NotFound,
        Rcode::NOTIMP => Fault::Unsupported,
        Rcode::FORMERR | Rcode::NOTZONE => Fault::Invalid,
        it if it.is_conflict() => Fault::Conflict,
        _ => Fault::Transient(None),
    };
    Error::new(fault, "dns.refused", format!("{what}: {rcode}"))
}

impl Backend for Rfc2136 {
    fn observe(&self, asks: &[Ask<'_>]) -> Vec<Result<View>> {
        self.views(asks)
    }

    fn look(&self, zone: &Name, sets: &[(Name, Type)]) -> Result<Vec<Option<Seen>>> {
        self.look_at(zone, sets)
    }

    fn look_at_zone(&self, zone: &Name) -> Result<Option<Option<String>>> {
        Ok(self.serial(zone)?.map(|_| None))
    }

    fn is_guarded(&self) -> bool {
        true
    }

    fn change(&self, zone: &Name, changes: &[SetChange]) -> Vec<Result<()>> {
        match changes.iter().any(|it| it.version.is_some()) {
            true => self.update(zone, &changes.iter().map(as_seen).collect::<Vec<_>>()),
            false => self.update(zone, changes),
        }
    }

    fn create_zone(&self, zone: &Zone) -> Result<()> {
        let name = zone.name.without_dot();
        let text =
            format!("the server does not have the zone `{name}`; make it on the server first: DNS UPDATE cannot make zones");
        Err(Error::unsupported(text))
    }

    fn update_zone(&self, _: &Zone) -> Result<()> {
        let text = "`kind` is how PowerDNS keeps a zone, and cannot be told or changed over DNS; remove it from the document";
        Err(Error::unsupported(text).at("/spec/kind"))
    }

    fn delete_zone(&self, zone: &Name) -> Result<()> {
        let name = zone.without_dot();
        let text =
            format!("DNS UPDATE cannot remove the zone `{name}`; remove it on the server, or release it with `trueup forget`");
        Err(Error::unsupported(text))
    }
}

/// All of a zone, from its sets.
fn contents(zone: &Name, serial: u32, sets: &[RecordSet]) -> Rc<Contents> {
    let data = sets.iter().filter(|it| it.rtype.role() == crate::rdata::Role::Data);
    let sets = data.map(|it| seen(zone, it)).collect();
    Rc::new(Contents { kind: None, sets, version: version(serial), unknown: Vec::new() })
}

fn seen(zone: &Name, set: &RecordSet) -> Seen {
    Seen {
        name: set.name.clone(),
        rtype: set.rtype,
        doc: crate::document::text(zone, set),
        version: raw_version(set),
        unclaimed: false,
    }
}

/// Begins the version of a set that the server spells in another way than its document does; its values in base64 follow.
const RAW: &str = "raw:";

fn raw_version(set: &RecordSet) -> Option<String> {
    let mut text = RAW.to_owned();
    for (index, value) in set.raw.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        print_base64(value, &mut text);
    }
    (!set.raw.is_empty()).then_some(text)
}

/// The change with the values in the bytes that the server had when it was observed.
fn as_seen(change: &SetChange) -> SetChange {
    let value = |text: &str| {
        let mut value = Vec::with_capacity(text.len());
        parse_base64(&[Word { text, quoted: false, at: 0 }], &mut value).ok().map(|()| Rdata::from(value))
    };
    let raw = change.version.as_deref().and_then(|it| it.strip_prefix(RAW)?.split(',').map(value).collect::<Option<Vec<_>>>());
    let mut change = change.clone();
    if let (Some(before), Some(raw)) = (&mut change.before, raw) {
        before.raw = raw;
    }
    change
}

/// Versions of this back end: the serial, after the number of this format.
fn version(serial: u32) -> String {
    format!("1-{serial}")
}

fn parse_version(text: &str) -> Option<u32> {
    text.strip_prefix("1-")?.parse().ok()
}
