//! AWS Signature Version 4: how a request is spelled, signed, and what a refusal says.
//!
//! Owns the spelling of what is signed and the headers that carry the signature; the arithmetic is `aws-sigv4`'s. Where keys come
//! from and how long they last is not known here.
//!
//! Invariant: what is sent is what was signed. A server works the signature out from the bytes that it got, and servers differ
//! over how they read those that may be written in two ways (`:` or `%3A`, `+` or `%20`). So a URL is brought into the one
//! spelling that all read alike ([`spelled`]) before it is signed, and nothing touches it afterwards.

mod clock;
mod refused;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

pub(super) use self::clock::{Clocks, moved};
pub use self::clock::{behind, date_of};
pub use self::refused::Refused;
use crate::services::Secret;

/// Characters of a service's or a region's name.
const NAME: usize = 64;
/// What the signature is carried in, so that it is nobody else's to set.
const OURS: [&str; 4] = ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

/// What signs.
#[derive(Debug)]
pub struct Keys {
    /// Names the secret key. No secret by itself, but nobody's business either.
    pub access_key: Secret,
    pub secret_key: Secret,
    /// Of keys that have an end.
    pub session_token: Option<Secret>,
}

impl Keys {
    /// Whether these sign as those do.
    pub fn same(&self, other: &Self) -> bool {
        let token = |it: &Self| it.session_token.as_ref().map(|it| it.expose().to_owned());
        self.access_key.expose() == other.access_key.expose()
            && self.secret_key.expose() == other.secret_key.expose()
            && token(self) == token(other)
    }
}

/// Whom a signature is for, and what it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// As the service calls itself in signatures: `s3`, `ec2`, `execute-api`.
    pub service: String,
    /// `eu-west-1`
    pub region: String,
    /// Whether the body is left out of the signature.
    pub unsigned: bool,
}

impl Signing {
    /// Reads what a request says of its signature; what else stands there is not looked at.
    ///
    /// # Errors
    ///
    /// Says what is missing or odd.
    pub(super) fn of(ext: &[(String, String)]) -> Result<Self, String> {
        let named = |key: &str| -> Result<Option<&str>, String> {
            let mut found = ext.iter().filter(|it| it.0 == key).map(|it| it.1.as_str());
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(format!("`{key}` stands twice in the request's `ext`")),
                (only, None) => Ok(only),
            }
        };
        let name = |key: &str| {
            let text = named(key)?.ok_or_else(|| {
                format!("a credential of the kind `sigv4` signs for one service in one region: `{key}` is missing in the request's `ext`")
            })?;
            let fits = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-');
            if text.is_empty() || text.len() > NAME || !text.bytes().all(fits) {
                return Err(format!("`{key}` must be 1 to {NAME} of a to z, 0 to 9 and `-`"));
            }
            Ok(text.to_owned())
        };
        let unsigned = match named("sigv4.payload")? {
            None | Some("signed") => false,
            Some("unsigned") => true,
            Some(_) => return Err("`sigv4.payload` must be `signed` or `unsigned`".to_owned()),
        };
        Ok(Self { service: name("sigv4.service")?, region: name("sigv4.region")?, unsigned })
    }

    /// S3 reads a path as it was sent, and wants to be told the body's digest. All others take a path apart and put it together
    /// again, with every `%` escaped once more.
    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        // Without the header nobody could tell that the body is not covered.
        if self.unsigned {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }
}

/// Why a plugin may not set a header of a request that is signed, if it may not. Lower case.
pub(super) fn forbidden(name: &str) -> Option<&'static str> {
    OURS.contains(&name).then_some("is part of the signature, which the host makes; leave it out")
}

/// The URL in the spelling that is signed and sent: all but letters, digits and `-_.~` is escaped, in the path's parts as in the
/// names and values of the query. Reads as it did before; a `+` in the query is the space that forms mean by it.
///
/// # Errors
///
/// Where it cannot be read in one way only: a `%` without two hex digits, or a query that is not UTF-8.
pub fn spelled(url: &Url) -> Result<Url, String> {
    let parts = url.path().split('/').map(|it| decoded(it, false).map(|it| strict(&it)));
    let path = parts.collect::<Result<Vec<_>, _>>()?.join("/");
    let query = url.query().unwrap_or_default().split('&').filter(|it| !it.is_empty()).map(|pair| {
        let text = |it: &str| {
            let bytes = decoded(it, true)?;
            std::str::from_utf8(&bytes).map_err(|_| "the URL's query is not UTF-8, and cannot be signed".to_owned())?;
            Ok::<_, String>(strict(&bytes))
        };
        match pair.split_once('=') {
            Some((name, value)) => Ok(format!("{}={}", text(name)?, text(value)?)),
            None => text(pair),
        }
    });
    let query = query.collect::<Result<Vec<_>, String>>()?.join("&");
    let mut spelled = url.clone();
    spelled.set_path(&path);
    spelled.set_query(Some(&*query).filter(|it| !it.is_empty()));
    if spelled.path() != path || spelled.query().unwrap_or_default() != query {
        return Err("the URL has no spelling that can be signed".to_owned());
    }
    Ok(spelled)
}

/// The bytes that are meant. `form`: `+` is a space.
fn decoded(text: &str, form: bool) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |it: Option<u8>| it.and_then(|it| char::from(it).to_digit(16)).and_then(|it| u8::try_from(it).ok());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err("the URL has a `%` that escapes nothing; write `%25`".to_owned()),
            },
            b'+' if form => b' ',
            other => other,
        });
    }
    Ok(out)
}

fn strict(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Signs a request as it is at `time`: puts the headers of the signature in, in place of those of an earlier one. `url` must be
/// [`spelled`], and what is sent must be that text, these headers and this body.
///
/// # Errors
///
/// Where something of it can stand in no signature. The text holds no value.
pub fn sign(
    keys: &Keys,
    signing: &Signing,
    time: SystemTime,
    method: &str,
    url: &Url,
    headers: &mut HeaderMap,
    body: &[u8],
) -> Result<(), String> {
    // What the library says may quote what it was given.
    let wrong = |what: &str| format!("the request cannot be signed: {what}");
    for name in OURS {
        headers.remove(name);
    }
    let token = keys.session_token.as_ref().map(|it| it.expose().to_owned());
    let identity = Credentials::new(keys.access_key.expose(), keys.secret_key.expose(), token, None, "trueup").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(&signing.region)
        .name(&signing.service)
        .time(time)
        .settings(signing.settings())
        .build()
        .map_err(|_| wrong("it lacks a name"))?
        .into();
    let plain = |(name, value): (_, &HeaderValue)| Some((HeaderName::as_str(name).to_owned(), value.to_str().ok()?.to_owned()));
    let texts: Option<Vec<(String, String)>> = headers.iter().map(plain).collect();
    let texts = texts.ok_or_else(|| wrong("a header holds more than ASCII"))?;
    let body = if signing.unsigned { SignableBody::UnsignedPayload } else { SignableBody::Bytes(body) };
    let request =
        SignableRequest::new(method, url.as_str(), texts.iter().map(|(name, value)| (name.as_str(), value.as_str())), body)
            .map_err(|_| wrong("its URL is none that can be sent"))?;
    let signed =
        aws_sigv4::http_request::sign(request, &params).map_err(|_| wrong("the keys or a header hold what no header may"))?;
    for header in signed.into_parts().0.into_parts().0 {
        let mut value = HeaderValue::from_str(header.value()).map_err(|_| wrong("the keys hold what no header may"))?;
        value.set_sensitive(matches!(header.name(), "authorization" | "x-amz-security-token"));
        headers.insert(HeaderName::from_static(header.name()), value);
    }
    Ok(())
}
