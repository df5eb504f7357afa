//! Zones as PowerDNS's API tells them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;
use trueup_sdk::http::Response;
use trueup_sdk::{Error, Result};

use crate::backend::{Contents, Seen};
use crate::document;
use crate::name::{Context, Name, Style};
use crate::rdata::{self, Role, Type};
use crate::set::{Rdata, RecordSet};

/// A zone; a field that is not read here may be of any shape.
#[derive(Debug, Deserialize)]
pub struct ZoneAnswer<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    kind: Cow<'a, str>,
    /// Whether the server signs it, with keys that are nowhere else.
    #[serde(default)]
    pub dnssec: bool,
    /// Left out only where they were not asked for: else it is half an answer, not an empty zone.
    #[serde(default, borrow)]
    rrsets: Option<Vec<SetAnswer<'a>>>,
}

#[derive(Debug, Deserialize)]
struct SetAnswer<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    rtype: Cow<'a, str>,
    #[serde(default)]
    ttl: u32,
    #[serde(borrow)]
    records: Vec<RecordAnswer<'a>>,
}

#[derive(Debug, Deserialize)]
struct RecordAnswer<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(default)]
    disabled: bool,
}

/// One set of an answer.
enum Read {
    Seen(Box<Seen>),
    /// The server's own.
    Left,
    Unknown(String),
}

impl<'a> ZoneAnswer<'a> {
    /// Reads an answer to a GET of one zone.
    ///
    /// # Errors
    /// Where it is no zone: half an answer, or another program's.
    pub fn parse(response: &'a Response) -> Result<Self> {
        serde_json::from_slice(response.bytes()).map_err(|error| {
            let text = format!("the server's answer is no zone of PowerDNS: {}", Error::from(error).message);
            Error::transient("dns.answer", text)
        })
    }

    /// All sets of a zone that was asked for as a whole: each zone has a SOA at its apex, so that an answer without one proves no
    /// absence.
    ///
    /// # Errors
    /// As [`ZoneAnswer::contents`], and for an answer without the SOA.
    pub fn whole(&self, zone: &Name, version: String) -> Result<Contents> {
        let contents = self.contents(zone, version)?;
        let is_apex = |it: &&SetAnswer<'_>| it.rtype == "SOA" && Name::absolute(&it.name).as_ref() == Ok(zone);
        if self.rrsets.iter().flatten().any(|it| is_apex(&it)) {
            return Ok(contents);
        }
        let text = format!("the server's answer is no whole zone of PowerDNS: `{}` has no SOA in it", zone.without_dot());
        Err(Error::transient("dns.answer", text))
    }

    /// How the zone is replicated, in the words that this server's versions share.
    pub fn kind(&self) -> Option<String> {
        let kind = match &*self.kind {
            "" => return None,
            "Primary" => "Master",
            "Secondary" => "Slave",
            other => other,
        };
        Some(kind.to_owned())
    }

    /// # Errors
    /// For a zone that this server copies from another one: what is written here would be lost.
    pub fn writable(&self, zone: &Name) -> Result<()> {
        match self.kind().as_deref() {
            Some(kind @ ("Slave" | "Consumer")) => {
                let text =
                    format!("zone `{}` is a copy on this server (kind {kind}): change it at its primary", zone.without_dot());
                Err(Error::unsupported(text))
            }
            _ => Ok(()),
        }
    }

    /// The sets that are in the answer, in canonical spelling.
    ///
    /// # Errors
    /// Where the answer is of another zone, or a name in it is none.
    pub fn contents(&self, zone: &Name, version: String) -> Result<Contents> {
        let wrong = |rule: String| Error::transient("dns.answer", format!("the server's answer is no zone of PowerDNS: {rule}"));
        if Name::absolute(&self.name).as_ref() != Ok(zone) {
            return Err(wrong(format!("it is of `{}`", crate::name::shorten(&self.name))));
        }
        let mut contents = Contents { kind: self.kind(), version, ..Contents::default() };
        for set in self.rrsets.as_ref().ok_or_else(|| wrong("it has no `rrsets`".to_owned()))? {
            match set.read(zone).map_err(wrong)? {
                Read::Seen(seen) => contents.sets.push(*seen),
                Read::Left => {}
                Read::Unknown(text) => contents.unknown.push(text),
            }
        }
        Ok(contents)
    }
}

impl SetAnswer<'_> {
    fn read(&self, zone: &Name) -> Result<Read, String> {
        let root = Name::root();
        let context = Context { origin: &root, style: Style::Observed };
        let name = Name::parse(&self.name, context)?;
        let Ok(rtype) = Type::parse(&self.rtype) else { return Ok(Read::Unknown(format!("`{name} {}`", self.rtype))) };
        if rtype.role() != Role::Data {
            return Ok(Read::Left);
        }
        let disabled = self.records.iter().filter(|it| it.disabled).count();
        let live = || self.records.iter().filter(|it| !it.disabled);
        let parse = |record: &RecordAnswer<'_>| {
            let mut wire = Vec::with_capacity(record.content.len());
            rdata::parse_text(rtype, &record.content, context, &mut wire).map(|()| Rdata::from(wire))
        };
        let doc = match live().map(parse).collect::<Result<Vec<_>, _>>() {
            Ok(values) => {
                let mut set = RecordSet { name: name.clone(), rtype, ttl: self.ttl, values, raw: Vec::new() };
                set.settle();
                document::text(zone, &set)
            }
            // The server has what no rule allows: it is shown as it stands, and is no set that could be declared.
            Err(_) => {
                let values = live().map(|it| &*it.content).collect::<Vec<_>>();
                let (name, zone) = (name.declared_in(zone), document::scope(zone));
                json!({ "spec": { "name": name, "ttl": self.ttl, "type": rtype.to_string(), "values": values, "zone": zone } })
                    .to_string()
            }
        };
        let version = (disabled > 0).then(|| format!("{DISABLED}{disabled}"));
        Ok(Read::Seen(Box::new(Seen { name, rtype, doc, version, unclaimed: disabled > 0 })))
    }
}

/// Begins the version of a set that holds records which are switched off: a change would lose them.
pub const DISABLED: &str = "disabled:";
