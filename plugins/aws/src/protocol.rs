//! The protocols of AWS: a request of an operation and its input, a value or a refusal of an answer.
//!
//! Values are those of the model: objects with the model's member names, blobs as base64, timestamps as seconds since 1970 or RFC 3339
//! on the way in and as RFC 3339 on the way out. Neither direction knows endpoints, credentials or time.
//!
//! Input is checked against the model first ([`check`]), so that what writes it meets nothing but values of the right shape. Answers
//! are hostile: their depth is bounded, nothing in them is expanded, and what cannot be read is a [`Refusal`] that says so.
//!
//! The protocols are described in <https://smithy.io/2.0/aws/protocols/index.html>.

use std::fmt;

use serde_json::Value as Json;

use crate::model::{Operation, Protocol, Service};

mod check;
mod checksum;
mod json;
mod query;
mod refusal;
mod rest;
mod text;
mod time;
mod xml;

pub use refusal::{Class, Origin, Refusal};
pub use text::escape;

/// Deepest nesting of a value or an answer; the deepest that AWS documents is below 20.
const DEPTH: usize = 64;

/// A request without endpoint, credentials and signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    pub method: &'static str,
    /// Begins with a slash; escaped.
    pub path: String,
    /// Without the question mark; escaped, in no particular order.
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What the operation wants before the host name, with its dot.
    pub host_prefix: Option<String>,
    /// Input member `Bucket` of S3, if the path begins with it; see [`take_bucket`](Self::take_bucket).
    bucket: Option<String>,
}

impl Wire {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Moves the bucket out of the path, for a host name of its own (`<bucket>.s3.…`).
    ///
    /// None, and nothing moved, where there is no bucket in the path or where it fits no label of a host name: S3 has old buckets
    /// with capitals, and the certificate of S3 is good for none with a dot.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>
    pub fn take_bucket(&mut self) -> Option<String> {
        let bucket = self.bucket.as_deref().filter(|it| is_label(it))?;
        let rest = self.path.strip_prefix('/')?.strip_prefix(bucket)?;
        self.path = if rest.is_empty() { "/".to_owned() } else { rest.to_owned() };
        self.bucket.take()
    }

    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }
}

/// Whether a bucket of this name can be part of a host name: one label of 3 to 63 lower-case letters, digits and hyphens.
fn is_label(name: &str) -> bool {
    let plain = name.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    plain && (3..=63).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-')
}

/// Why an input makes no request. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Pointer (RFC 6901) into the input; empty for all of it.
    pub path: String,
    /// What the value there is or is not: `is no integer`.
    pub message: String,
}

impl Invalid {
    fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }

    /// The same, one step further up.
    fn under(mut self, step: &str) -> Self {
        self.path = format!("/{}{}", step.replace('~', "~0").replace('/', "~1"), self.path);
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { write!(f, "it {}", self.message) } else { write!(f, "{} {}", self.path, self.message) }
    }
}

impl std::error::Error for Invalid {}

/// The request of an operation.
///
/// Members that are null are left out. What the model requires must be there; values of enumerations are left to the service, which
/// knows more of them than the model does.
///
/// # Errors
/// Where the input does not fit the model: the first such place.
pub fn request(service: &Service, operation: &Operation, input: &Json) -> Result<Wire, Invalid> {
    check::input(service, operation, input)?;
    let mut wire = Wire { method: operation.method, path: "/".to_owned(), ..Wire::default() };
    match service.protocol {
        Protocol::Query | Protocol::Ec2 => query::request(&mut wire, service, operation, input),
        Protocol::Json => json::request(&mut wire, service, operation, input),
        Protocol::RestJson | Protocol::RestXml => rest::request(&mut wire, service, operation, input),
    }
    wire.host_prefix = host_prefix(service, operation, input);
    checksum::add(&mut wire, operation)?;
    Ok(wire)
}

/// What an answer says: the output, an object, or a refusal.
///
/// Members that are absent or null are left out, unknown ones passed over.
///
/// # Errors
/// Where the status is no success, and where a success cannot be read ([`Origin::Garbled`]).
pub fn response(
    service: &Service,
    operation: &Operation,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<Json, Refusal> {
    if !(200..300).contains(&status) {
        return Err(refusal::of(service, operation, status, headers, body));
    }
    let read = match service.protocol {
        Protocol::Query | Protocol::Ec2 => query::response(service, operation, body),
        Protocol::Json => json::response(service, operation, body),
        Protocol::RestJson | Protocol::RestXml => match rest::response(service, operation, status, headers, body) {
            Ok(value) => Ok(value),
            Err(rest::Failure::Garbled(why)) => Err(why),
            Err(rest::Failure::Refused) => return Err(refusal::of(service, operation, status, headers, body)),
        },
    };
    read.map_err(|why| refusal::garbled(service, operation, status, headers, &why))
}

fn host_prefix(service: &Service, operation: &Operation, input: &Json) -> Option<String> {
    let mut prefix = operation.host?.to_owned();
    for member in service.input(operation).into_iter().flat_map(|it| &it.members).filter(|it| it.host) {
        let value = input.get(member.name).and_then(Json::as_str).unwrap_or_default();
        prefix = prefix.replace(&format!("{{{}}}", member.wire_name()), value);
    }
    Some(prefix)
}

#[cfg(test)]
mod tests;
