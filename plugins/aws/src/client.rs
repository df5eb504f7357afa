//! Calls of operations: requests to the right place, answers as values, refusals as what the engine should do about them.
//!
//! Many calls are one `send-all`, so that a guest without threads has as many under way as the engine grants.

use trueup_sdk::host::http::{self, HttpError, Request};
use trueup_sdk::{Error, Fault, Json, Result};

use crate::config::{BY_SLOT, Config, SLOT};
use crate::endpoint::{Options, endpoint};
use crate::field::service;
use crate::kind::Kind;
use crate::model::{self, Operation, Service};
use crate::protocol::{self, Class, Refusal};

/// Requests under way at a time.
pub const PARALLEL: u32 = 32;
/// Milliseconds before something is tried again that others still depend on.
const DEPENDED_ON: u64 = 3_000;
/// Pages of one listing.
const PAGES: usize = 10_000;

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    pub service: &'static Service,
    pub operation: &'static Operation,
    pub input: Json,
    /// What it is for, in messages: `Queue jobs`.
    pub about: String,
    /// It changes something: without an answer nobody knows whether it did.
    pub writes: bool,
}

/// Why a call gave no output.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What the service said, if it said something.
    pub refusal: Option<Box<Refusal>>,
    pub error: Box<Error>,
}

impl Failed {
    /// Whether the service says that the object, or the part of it that was asked for, is not there.
    pub fn is_absent(&self) -> bool {
        self.refusal.as_ref().is_some_and(|it| it.class() == Class::NotFound)
    }

    /// Whether the service's code is one of these.
    pub fn is_any(&self, codes: &[String]) -> bool {
        self.refusal.as_ref().is_some_and(|it| codes.contains(&it.code))
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { refusal: None, error: Box::new(error) }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        *failed.error
    }
}

/// A call of an operation by name.
///
/// # Errors
/// Where the model has no such operation, which the crate's own tests rule out for all that descriptors name.
pub fn call(service: &'static Service, operation: &str, input: Json, about: &str, writes: bool) -> Result<Call> {
    let found = service.operation(operation);
    let operation = found.ok_or_else(|| Error::internal(format!("`{}` has no operation `{operation}`", service.name)))?;
    Ok(Call { service, operation, input, about: about.to_owned(), writes })
}

/// A call of an operation of a kind's service that only looks.
pub fn look(kind: &Kind, operation: &str, input: Json, about: &str) -> Result<Call> {
    call(service(kind)?, operation, input, about, false)
}

/// Sends calls, and answers in their order.
pub fn send(config: &Config, calls: &[Call]) -> Vec<Result<Json, Failed>> {
    let prepared: Vec<Result<Request, Error>> = calls.iter().map(|it| request(config, it)).collect();
    let good: Vec<Request> = prepared.iter().filter_map(|it| it.as_ref().ok().cloned()).collect();
    let mut answers = if good.is_empty() { Vec::new() } else { http::send_all(&good, PARALLEL) }.into_iter();
    let each = |(call, prepared): (&Call, Result<Request, Error>)| {
        prepared?;
        let answer = answers.next().ok_or_else(|| Error::internal("the engine left an answer out"))?;
        read(call, answer)
    };
    calls.iter().zip(prepared).map(each).collect()
}

fn request(config: &Config, call: &Call) -> Result<Request> {
    let made = protocol::request(call.service, call.operation, &texts(call));
    let mut wire = made.map_err(|it| Error::invalid("aws.input", format!("{}: {}: {it}", call.about, call.operation.name)))?;
    let own = config.endpoints.get(call.service.name).or(config.endpoint.as_ref());
    let (base, region) = match own.map(String::as_str) {
        Some(BY_SLOT) => (format!("slot:{SLOT}"), config.region.clone()),
        Some(url) => (url.trim_end_matches('/').to_owned(), config.region.clone()),
        None => {
            let options = Options { fips: config.fips, dual_stack: config.dual_stack };
            let place = endpoint(call.service, &config.region, options);
            let place = place.map_err(|it| Error::invalid("aws.region", it.to_string()).at("/region"))?;
            (of_aws(&place.url, &mut wire), place.signing_region)
        }
    };
    let query = if wire.query.is_empty() { String::new() } else { format!("?{}", wire.query) };
    Ok(Request {
        method: wire.method.to_owned(),
        url: format!("{base}{}{query}", wire.path),
        headers: wire.headers,
        body: (!wire.body.is_empty()).then_some(wire.body),
        credential: Some(SLOT.to_owned()),
        timeout: None,
        until: None,
        ext: vec![("sigv4.service".to_owned(), call.service.signing.to_owned()), ("sigv4.region".to_owned(), region)],
    })
}

/// The input with texts where the operation wants them: what one operation answers as a number, another asks for as a text (the version
/// of a launch template).
fn texts(call: &Call) -> Json {
    let mut input = call.input.clone();
    let members = call.service.input(call.operation).into_iter().flat_map(|it| &it.members);
    for member in members.filter(|it| call.service.of(it).kind == model::Kind::String) {
        if let Some(value) = input.get_mut(member.name).filter(|it| it.is_number() || it.is_boolean()) {
            *value = Json::from(value.to_string());
        }
    }
    input
}

/// AWS's own place of a service. A bucket is part of the name there, unless a certificate could not cover it.
fn of_aws(url: &str, wire: &mut protocol::Wire) -> String {
    let (scheme, host) = url.split_once("://").unwrap_or(("https", url));
    let host = host.trim_end_matches('/');
    let front = wire.take_bucket().map(|it| format!("{it}."));
    let front = front.or_else(|| wire.host_prefix.clone()).unwrap_or_default();
    format!("{scheme}://{front}{host}")
}

fn read(call: &Call, answer: Result<http::Response, HttpError>) -> Result<Json, Failed> {
    let name = call.operation.name;
    let answer = answer.map_err(|error| unanswered(call, error))?;
    let got = protocol::response(call.service, call.operation, answer.status, &answer.headers, &answer.body);
    got.map_err(|refusal| {
        let fault = fault(&refusal);
        let unsure = call.writes && (matches!(refusal.status, 500 | 502 | 504) || (200..300).contains(&refusal.status));
        let what = if refusal.message.is_empty() { String::new() } else { format!(": {}", refusal.message) };
        let mut error = Error::new(fault, &code(&refusal), format!("{}: {name}: {}{what}", call.about, refusal.code));
        error.unsettled = unsure;
        Failed { refusal: Some(Box::new(refusal)), error: Box::new(error) }
    })
}

fn code(refusal: &Refusal) -> String {
    let safe: String = refusal.code.chars().filter(|it| it.is_ascii_alphanumeric() || "._-".contains(*it)).take(64).collect();
    if safe.is_empty() { format!("aws.{}", refusal.status) } else { format!("aws.{safe}") }
}

fn fault(refusal: &Refusal) -> Fault {
    match refusal.class() {
        Class::Throttled => Fault::Throttled(refusal.retry_after),
        Class::Transient => Fault::Transient(refusal.retry_after),
        Class::Dependency => Fault::Transient(Some(DEPENDED_ON)),
        Class::NotFound => Fault::NotFound,
        Class::Unauthorized | Class::Expired => Fault::Unauthorized,
        Class::Conflict | Class::Exists | Class::Quota | Class::IdempotentMismatch => Fault::Conflict,
        _ => Fault::Invalid,
    }
}

fn unanswered(call: &Call, error: HttpError) -> Failed {
    let (fault, code, text, sent) = match error {
        HttpError::Denied(rule) => (Fault::Denied, "http.denied", rule, false),
        HttpError::Unreachable(text) => (Fault::Transient(None), "http.unreachable", text, false),
        HttpError::Interrupted(text) => (Fault::Transient(None), "http.interrupted", text, true),
        HttpError::TimedOut => (Fault::Transient(None), "http.timed-out", "no answer in time".to_owned(), true),
        HttpError::TooLarge(limit) => {
            (Fault::Transient(None), "http.too-large", format!("the answer is above {limit} bytes"), true)
        }
        HttpError::Malformed(text) => (Fault::Internal, "http.malformed", text, false),
    };
    let mut error = Error::new(fault, code, format!("{}: {}: {text}", call.about, call.operation.name));
    error.unsettled = sent && call.writes;
    error.into()
}

/// What stands behind the last page; none where it was the last.
pub fn next_page(operation: &Operation, output: &Json) -> Option<Vec<(&'static str, Json)>> {
    let page = operation.page.as_ref()?;
    if page.more.is_some_and(|it| output.get(it) != Some(&Json::Bool(true)) && output.get(it).is_some()) {
        return None;
    }
    let tokens: Vec<(&'static str, Json)> = page
        .input
        .iter()
        .zip(&page.output)
        .filter_map(|(input, path)| {
            // `NextMarker || Contents[-1].Key`, as JMESPath writes a choice.
            let value = path.split("||").find_map(|it| token(output, it.trim()))?;
            Some((*input, value))
        })
        .collect();
    (!tokens.is_empty()).then_some(tokens)
}

fn token(output: &Json, path: &str) -> Option<Json> {
    let value = match path.split_once("[-1].") {
        Some((list, member)) => output.get(list)?.as_array()?.last()?.get(member)?,
        None => crate::path::get(output, path)?,
    };
    let empty = value.as_str().is_some_and(str::is_empty);
    (!empty).then(|| value.clone())
}

/// All pages of several listings, a page of each at a time. A listing that fails is that failure.
pub fn pages(config: &Config, calls: Vec<Call>) -> Vec<Result<Vec<Json>, Failed>> {
    let mut done: Vec<Result<Vec<Json>, Failed>> = calls.iter().map(|_| Ok(Vec::new())).collect();
    let mut open: Vec<(usize, Call)> = calls.into_iter().enumerate().collect();
    while !open.is_empty() {
        let batch: Vec<Call> = open.iter().map(|(_, it)| it.clone()).collect();
        let mut rest = Vec::new();
        for ((at, mut call), answer) in open.into_iter().zip(send(config, &batch)) {
            let Some(slot) = done.get_mut(at) else { continue };
            match answer {
                Err(failed) => *slot = Err(failed),
                Ok(output) => {
                    let next = next_page(call.operation, &output);
                    let Ok(taken) = slot else { continue };
                    taken.push(output);
                    let Some(tokens) = next else { continue };
                    let again = tokens.iter().all(|(name, value)| call.input.get(*name) == Some(value));
                    if again || taken.len() >= PAGES {
                        let text = format!("{}: {}: its pages do not end", call.about, call.operation.name);
                        *slot = Err(Error::transient("aws.pages", text).into());
                        continue;
                    }
                    tokens.into_iter().for_each(|(name, value)| crate::path::put(&mut call.input, name, value));
                    rest.push((at, call));
                }
            }
        }
        open = rest;
    }
    done
}

/// The service of a name, for calls that belong to no kind.
///
/// # Errors
/// Where the models do not have it.
pub fn of(name: &str) -> Result<&'static Service> {
    model::service(name).ok_or_else(|| Error::internal(format!("there is no model of `{name}`")))
}
