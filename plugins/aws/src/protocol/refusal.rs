//! What a service says where it does not do what it was asked, or says it so that nobody can read it.
//!
//! Owns the forms of error documents and the bounds of what is repeated from them; what a code means is in [`codes`].

use std::fmt;

use serde_json::Value as Json;

use super::json;
use super::xml::Reader;
use crate::model::{Operation, Protocol, Service};

mod codes;

/// Longest message that is repeated, in bytes; some services encode a whole authorisation decision in it.
const MESSAGE: usize = 2000;
/// Longest code, in bytes; the longest that AWS documents is below 80.
const CODE: usize = 100;
/// Longest wait that is believed, in milliseconds: a day.
const WAIT: u64 = 86_400_000;

/// An answer that is no output of its operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub service: &'static str,
    pub operation: &'static str,
    pub status: u16,
    /// The service's name for it, without namespace; empty where it gave none.
    pub code: String,
    /// The service's words: one line, and not too long. They may repeat values of the input.
    pub message: String,
    pub request_id: Option<String>,
    /// How long the service asks to be left alone, in milliseconds.
    pub retry_after: Option<u64>,
    /// The region where S3 has the bucket, if it says so.
    pub region: Option<String>,
    pub origin: Origin,
}

/// Who speaks in a [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The service, in an error document of its protocol or in a header.
    Service,
    /// Nobody: there is a status and no body, as in the answer to a HEAD.
    Bare,
    /// A body that is no error document of the protocol: a proxy's page, or one that was cut off.
    Stranger,
    /// We: the status is a success, and the body is not what the operation answers.
    Garbled,
}

/// What a refusal means for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Too many requests: later, and slower.
    Throttled,
    /// A failure of the service that the next try may not meet. What was asked for may have happened.
    Transient,
    /// Something else is being done to the object, or it is not ready: later.
    Busy,
    NotFound,
    /// An object of this name is there.
    Exists,
    /// The object is not as the request supposes.
    Conflict,
    /// Other objects still need this one.
    Dependency,
    /// The account may have no more of these.
    Quota,
    /// The credential is wrong, or may not do this.
    Unauthorized,
    /// The credential was good once: a new one is needed.
    Expired,
    /// The clock of who signed is wrong.
    Skewed,
    /// The token of an earlier request, with other inputs.
    IdempotentMismatch,
    /// The bucket, or the whole service, is in another region.
    Redirected,
    /// No such operation here.
    Unsupported,
    /// It would have worked, had it not been a rehearsal (`DryRun` of EC2).
    DryRun,
    Invalid,
}

impl Refusal {
    /// What it means: by the code where it is known, else by the status.
    pub fn class(&self) -> Class {
        match self.origin {
            Origin::Garbled => Class::Transient,
            Origin::Service => codes::class(self).unwrap_or_else(|| by_status(self.status)),
            Origin::Bare | Origin::Stranger => by_status(self.status),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Service if self.code.is_empty() => write!(f, "{}: {}", self.status, self.message),
            Origin::Service => write!(f, "{}: {}", self.code, self.message),
            Origin::Bare | Origin::Stranger | Origin::Garbled => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Refusal {}

fn by_status(status: u16) -> Class {
    match status {
        // An error document under a success (S3): the service began to answer before it failed.
        ..300 | 408 | 500 | 502..=599 => Class::Transient,
        300..=399 => Class::Redirected,
        401 | 403 => Class::Unauthorized,
        404 | 410 => Class::NotFound,
        405 | 501 => Class::Unsupported,
        409 | 412 => Class::Conflict,
        429 => Class::Throttled,
        _ => Class::Invalid,
    }
}

/// What an error document says.
#[derive(Default)]
struct Document {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    region: Option<String>,
}

/// The refusal that an answer is.
pub fn of(service: &Service, operation: &Operation, status: u16, headers: &[(String, String)], body: &[u8]) -> Refusal {
    let told = header(headers, "x-amzn-errortype").map(bare_code).filter(|it| !it.is_empty());
    let empty = body.iter().all(u8::is_ascii_whitespace);
    let document = if empty { None } else { document(service.protocol, body) };
    let origin = match (&told, &document) {
        (Some(_), _) | (None, Some(_)) => Origin::Service,
        (None, None) if empty => Origin::Bare,
        (None, None) => Origin::Stranger,
    };
    let document = document.unwrap_or_default();
    let message = match (origin, document.message) {
        (Origin::Bare, _) => format!("{} answers {status}, and nothing else", service.id),
        (Origin::Stranger, _) => format!("the answer is a {status}, and not one of {}", service.id),
        (_, message) => line(&message.unwrap_or_default(), MESSAGE),
    };
    let id = |name| header(headers, name).map(str::to_owned);
    Refusal {
        service: service.name,
        operation: operation.name,
        status,
        code: told.or_else(|| document.code.as_deref().map(bare_code)).unwrap_or_default(),
        message,
        request_id: id("x-amzn-requestid").or_else(|| id("x-amz-request-id")).or(document.request_id).map(|it| line(&it, CODE)),
        retry_after: wait(headers),
        region: id("x-amz-bucket-region").or(document.region).map(|it| line(&it, CODE)),
        origin,
    }
}

/// The refusal that we make of a success that cannot be read; `why` holds nothing of it.
pub fn garbled(service: &Service, operation: &Operation, status: u16, headers: &[(String, String)], why: &str) -> Refusal {
    Refusal {
        message: format!("the answer to {} {} {why}", service.id, operation.name),
        origin: Origin::Garbled,
        ..of(service, operation, status, headers, b"")
    }
}

/// The first header of this name, in any case.
pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn wait(headers: &[(String, String)]) -> Option<u64> {
    let millis = header(headers, "x-amz-retry-after").and_then(|it| it.parse().ok());
    let seconds = || header(headers, "retry-after")?.parse::<u64>().ok()?.checked_mul(1000);
    millis.or_else(seconds).filter(|it| *it <= WAIT)
}

/// A code without what services put around it: `com.amazonaws.sqs#QueueDoesNotExist`, `NotFound:http://internal.amazon.com/…`.
///
/// <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization>
fn bare_code(text: &str) -> String {
    let name = text.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    name.chars().filter(|it| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-')).take(CODE).collect()
}

/// What somebody else wrote, on one line and cut.
fn line(text: &str, most: usize) -> String {
    let text = text.trim();
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let cut = text.get(..end).unwrap_or_default();
    cut.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

fn document(protocol: Protocol, body: &[u8]) -> Option<Document> {
    match protocol {
        Protocol::Json | Protocol::RestJson => of_json(body),
        Protocol::Query | Protocol::Ec2 | Protocol::RestXml => of_xml(body).ok().flatten(),
    }
}

fn of_json(body: &[u8]) -> Option<Document> {
    let Ok(Json::Object(members)) = json::document(body) else { return None };
    let text = |names: &[&str]| names.iter().find_map(|it| members.get(*it)?.as_str()).map(str::to_owned);
    let code = text(&["__type", "code", "Code"]);
    let message = text(&["message", "Message", "errorMessage"]);
    // A gateway in front of a service says `{"message": "Forbidden"}`, which is its word; `{}` is nobody's.
    (code.is_some() || message.is_some()).then_some(Document { code, message, ..Document::default() })
}

/// `<ErrorResponse><Error>…` (query, Route 53), `<Response><Errors><Error>…` (EC2), `<Error>…` (S3), and older documents of Route 53,
/// which are called as their code and hold a list of messages.
fn of_xml(body: &[u8]) -> Result<Option<Document>, String> {
    let (mut reader, root) = Reader::begin(body)?;
    let mut out = Document::default();
    fields(&mut reader, &mut out)?;
    reader.end()?;
    match root.name {
        "ErrorResponse" | "Response" | "Error" => {}
        name if out.code.is_none() && out.message.is_some() && out.request_id.is_some() => out.code = Some(name.to_owned()),
        _ => return Ok(None),
    }
    Ok(out.code.is_some().then_some(out))
}

/// The first of each; the reader bounds the depth.
fn fields(reader: &mut Reader<'_>, out: &mut Document) -> Result<(), String> {
    while let Some(tag) = reader.child()? {
        let slot = match tag.name {
            "Error" | "Errors" | "Messages" => {
                fields(reader, out)?;
                continue;
            }
            "Code" => &mut out.code,
            "Message" => &mut out.message,
            "RequestId" | "RequestID" => &mut out.request_id,
            "Region" => &mut out.region,
            _ => {
                reader.skip()?;
                continue;
            }
        };
        let text = reader.text()?;
        slot.get_or_insert_with(|| text.into_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
