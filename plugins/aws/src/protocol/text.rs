//! Scalars as text, and text where only some characters may stand.

use serde_json::Value as Json;

use super::time::Time;
use crate::model::{Kind, Member, Service, Shape, TimeFormat};

/// Percent-encodes all but unreserved characters (RFC 3986).
pub fn escape(text: &str) -> String {
    escape_but(text, "")
}

/// The same, but for the characters of `keep`, which are ASCII.
pub fn escape_but(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ if keep.as_bytes().contains(&byte) => out.push(char::from(byte)),
            _ => {
                out.push('%');
                for half in [byte >> 4, byte & 15] {
                    out.push(char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase());
                }
            }
        }
    }
    out
}

/// What of a value stands in a path. Route 53 gives ids as `/hostedzone/Z123` and takes them as `Z123`.
pub fn label<'a>(service: &Service, value: &'a str) -> &'a str {
    if service.name == "route53" { value.rsplit('/').next().unwrap_or_default() } else { value }
}

/// A scalar as text, as it was checked to be; `format` is that of timestamps in this place.
pub fn scalar(shape: &Shape, member: &Member, value: &Json, format: TimeFormat) -> String {
    match (shape.kind, value) {
        (Kind::Timestamp, _) => Time::of(value).map(|it| it.text(member.time.unwrap_or(format))).unwrap_or_default(),
        (_, Json::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    }
}
