//! PowerDNS's HTTP API.
//!
//! A zone is one GET with all its sets; its changes are one PATCH, which the server carries out whole or not at all. The serial
//! is no version here: changes by the API raise it only where the zone says so (`soa_edit_api`), so that the version of a zone
//! is the digest of the answer. The API has no condition on a change: a look that is not fresh any more is repeated before the
//! PATCH, and what somebody else changes between the last look and the PATCH is written over, for the sets that we change.

mod answer;
mod patch;

use std::rc::Rc;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use trueup_sdk::http::{self, Request, Response};
use trueup_sdk::{Error, Fault, Result};

use crate::backend::{Ask, Backend, Contents, Seen, SetChange, View};
use crate::config::Config;
use crate::document::Zone;
use crate::name::Name;
use crate::rdata::Type;
use answer::ZoneAnswer;

/// From this many names on, a zone is looked at whole and not name by name: each name costs a request.
const MANY: usize = 32;

/// Requests for names at a time.
const PARALLEL: u32 = 4;

/// The slot of the manifest that holds the API key.
pub(crate) const CREDENTIAL: &str = "server";

/// One server behind PowerDNS's HTTP API.
pub struct PowerDns {
    /// `…/zones`.
    zones: String,
    max_body: usize,
    timeout: u64,
}

impl PowerDns {
    pub fn new(config: &Config) -> Self {
        let zones = format!("{}/api/v1/servers/{}/zones", config.server, config.server_id);
        Self { zones, max_body: config.max_body, timeout: config.timeout }
    }

    fn url(&self, zone: &Name) -> String {
        // A name within a path: `=2F` is PowerDNS's own escape of a slash, which RFC 2317 zones have.
        let id = zone.to_string().replace('=', "=3D").replace('/', "=2F");
        format!("{}/{}", self.zones, http::escape(&id))
    }

    fn request(&self, request: Request) -> Request {
        request.credential(CREDENTIAL).timeout(self.timeout)
    }

    fn get(&self, zone: &Name) -> Request {
        self.request(http::get(self.url(zone)))
    }

    /// The whole zone; none where the server does not have it.
    fn fetch(&self, zone: &Name) -> Result<Option<Contents>> {
        let Some(response) = found(self.get(zone).send()?)? else { return Ok(None) };
        ZoneAnswer::parse(&response)?.whole(zone, version(response.bytes())).map(Some)
    }

    fn view(&self, ask: &Ask<'_>, response: Result<Response>) -> Result<View> {
        let Some(response) = found(response?)? else { return Ok(View::Missing) };
        let version = version(response.bytes());
        if ask.since == Some(&version) {
            return Ok(View::Unchanged);
        }
        let answer = ZoneAnswer::parse(&response)?;
        answer.writable(ask.zone)?;
        Ok(View::Whole(Rc::new(answer.whole(ask.zone, version)?)))
    }
}

/// What tells one state of a zone from another.
fn version(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    digest.iter().fold(String::from("1-"), |mut text, byte| {
        crate::rdata::field::print_display(format_args!("{byte:02x}"), &mut text);
        text
    })
}

/// PowerDNS says why in a body of its own; empty where this is none.
fn said(body: &[u8]) -> String {
    let body = serde_json::from_slice::<serde_json::Value>(body).ok();
    body.as_ref().and_then(|it| it.get("error")?.as_str()).unwrap_or_default().to_owned()
}

/// What was found, or was there to be deleted. Only PowerDNS itself may say that a zone is not there: what stands before it knows nothing of zones.
///
/// # Errors
/// Where the server refuses, or something else than PowerDNS answers.
fn found(response: Response) -> Result<Option<Response>> {
    if response.status() == 404 && !is_own(response.bytes()) {
        return Err(Error::transient("dns.answer", STRANGE));
    }
    response.found().map_err(explained)
}

/// Whether a 404 is PowerDNS's: a JSON of its own, or just these words.
fn is_own(body: &[u8]) -> bool {
    body.trim_ascii() == b"Not Found" || !said(body).is_empty()
}

const STRANGE: &str = "404, and not in PowerDNS's words: something else answers in its place";

fn explained(mut error: Error) -> Error {
    let text = error.detail.as_deref().map(|it| said(it.as_bytes())).unwrap_or_default();
    if error.fault == Fault::NotFound && error.detail.as_deref().is_some_and(|it| !is_own(it.as_bytes())) {
        return Error::transient("dns.answer", format!("{}: {STRANGE}", error.message));
    }
    if !text.is_empty() {
        error.message = format!("{}: {text}", error.message);
        error.detail = None;
    }
    if error.fault == Fault::Unauthorized && error.code == "http.status" {
        error.message = format!("{}; the API key is wrong or not allowed to do this", error.message);
    }
    error
}

impl Backend for PowerDns {
    fn observe(&self, asks: &[Ask<'_>]) -> Vec<Result<View>> {
        let answers = http::send_all(asks.iter().map(|it| self.get(it.zone)).collect(), PARALLEL);
        asks.iter().zip(answers).map(|(ask, answer)| self.view(ask, answer)).collect()
    }

    fn look(&self, zone: &Name, sets: &[(Name, Type)]) -> Result<Vec<Option<Seen>>> {
        let mut names = sets.iter().map(|(name, _)| name).collect::<Vec<_>>();
        names.sort_unstable();
        names.dedup();
        let mut seen = Vec::new();
        if names.len() >= MANY {
            seen = self.fetch(zone)?.map(|it| it.sets).unwrap_or_default();
        } else {
            // A server too old to know the parameters answers with the whole zone, which is as good.
            let one = sets.len() == 1;
            let request = |name: &&Name| {
                let request = self.get(zone).query("rrset_name", &name.to_string());
                match sets.first().filter(|_| one) {
                    Some((_, rtype)) => request.query("rrset_type", &rtype.safe_name()),
                    None => request,
                }
            };
            for answer in http::send_all(names.iter().map(request).collect(), PARALLEL) {
                if let Some(response) = found(answer?)? {
                    seen.extend(ZoneAnswer::parse(&response)?.contents(zone, String::new())?.sets);
                }
            }
        }
        seen.sort_unstable_by(|one, other| one.rtype.cmp(&other.rtype).then_with(|| one.name.cmp(&other.name)));
        let find = |(name, rtype): &(Name, Type)| {
            let order = |it: &Seen| it.rtype.cmp(rtype).then_with(|| it.name.cmp(name));
            seen.binary_search_by(order).ok().and_then(|at| seen.get(at)).cloned()
        };
        Ok(sets.iter().map(find).collect())
    }

    fn look_at_zone(&self, zone: &Name) -> Result<Option<Option<String>>> {
        let answer = found(self.get(zone).query("rrsets", "false").send()?)?;
        answer.map(|it| Ok(ZoneAnswer::parse(&it)?.kind())).transpose()
    }

    fn is_guarded(&self) -> bool {
        false
    }

    fn change(&self, zone: &Name, changes: &[SetChange]) -> Vec<Result<()>> {
        patch::Patch::new(zone, changes, self.max_body).send(|body| {
            let request = self.request(http::patch(self.url(zone))).body("application/json", body);
            let response = request.send().map_err(patch::Refusal::from)?;
            let said = said(response.bytes());
            response.ok().map(drop).map_err(|error| patch::Refusal { error: explained(error), said })
        })
    }

    fn create_zone(&self, zone: &Zone) -> Result<()> {
        let body = json!({
            "name": zone.name.to_string(),
            "kind": zone.kind.as_deref().unwrap_or("Native"),
            "nameservers": zone.nameservers.iter().map(Name::to_string).collect::<Vec<_>>(),
        });
        let answer = self.request(http::post(self.zones.clone())).json(&body).send()?.ok();
        answer.map(drop).map_err(|error| {
            let error = explained(error);
            match error.fault {
                Fault::Conflict => Error::conflict("dns.zone-exists", format!("the zone is there already: {}", error.message)),
                _ => error,
            }
        })
    }

    fn update_zone(&self, zone: &Zone) -> Result<()> {
        let body = json!({ "kind": zone.kind });
        self.request(http::put(self.url(&zone.name))).json(&body).send()?.ok().map(drop).map_err(explained)
    }

    fn delete_zone(&self, zone: &Name) -> Result<()> {
        let Some(response) = found(self.get(zone).send()?)? else { return Ok(()) };
        let answer = ZoneAnswer::parse(&response)?;
        if answer.dnssec {
            let text = format!(
                "zone `{0}` is signed, and its keys would go with it: they are in no document; take the signatures off first \
                 (`pdnsutil disable-dnssec {0}`), or release the zone with `trueup forget`",
                zone.without_dot()
            );
            return Err(Error::unsupported(text));
        }
        let contents = answer.whole(zone, String::new())?;
        let is_own = |it: &&Seen| it.rtype != Type::NS || it.name != *zone;
        let others = contents.sets.iter().filter(is_own).map(|it| format!("`{} {}`", it.name, it.rtype)).collect::<Vec<_>>();
        let others = [others, contents.unknown].concat();
        if let Some(first) = others.first() {
            let more = if others.len() > 1 { format!(" and {} more", others.len() - 1) } else { String::new() };
            // What is declared elsewhere may be on its way out in this very pass.
            let text = format!(
                "zone `{}` is not empty: it holds {first}{more}; what is declared elsewhere goes first, the rest is yours to remove",
                zone.without_dot()
            );
            return Err(Error::new(Fault::Transient(Some(200)), "dns.zone-not-empty", text));
        }
        found(self.request(http::delete(self.url(zone))).send()?).map(drop)
    }
}
