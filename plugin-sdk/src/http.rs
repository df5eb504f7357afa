//! Requests in a few words, and what their failures mean.
//!
//! ```no_run
//! # use trueup_sdk::{http, json, Json, Result};
//! # fn example() -> Result<Json> {
//! http::put("https://notes.example/api/notes/a").credential("token").json(&json!({"text": "hello"})).send()?.ok()?.json()
//! # }
//! ```
//!
//! | answer | fault |
//! |---|---|
//! | 400, 422, other 4xx | invalid |
//! | 401, 403 | unauthorized |
//! | 404, 410 | not-found |
//! | 405, 501 | unsupported |
//! | 409, 412 | conflict |
//! | 429 | throttled, with `Retry-After` |
//! | 408, 5xx | transient, with `Retry-After` |
//! | unreachable | transient: nothing was sent |
//! | interrupted, timed out, too large | transient |
//!
//! A request that writes and was interrupted, timed out, or met a 500, 502 or 504 may have taken effect: its error is
//! `unsettled`, and so is the change that it was made for.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::http::{self, HttpError};
use crate::{Error, Fault, Result, ScopeQuery};

/// Longest part of an answer that stands in an error, in bytes.
const EXCERPT: usize = 300;

/// A request to be.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    inner: http::Request,
    /// What went wrong while it was built; `send` answers it.
    error: Option<Error>,
}

macro_rules! methods {
    ($($name:ident $method:literal),*) => {
        $(
            #[doc = concat!("A ", $method, " request.")]
            pub fn $name(url: impl Into<String>) -> Request {
                Request::new($method, url)
            }
        )*
    };
}

methods!(get "GET", head "HEAD", post "POST", put "PUT", patch "PATCH", delete "DELETE");

impl Request {
    /// Any method. `url` is absolute, or `slot:<credential>/path`.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        let inner = http::Request {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            credential: None,
            timeout: None,
            until: None,
            ext: Vec::new(),
        };
        Self { inner, error: None }
    }

    /// Adds a query parameter, escaped.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let sign = if self.inner.url.contains('?') { '&' } else { '?' };
        self.inner.url = format!("{}{sign}{}={}", self.inner.url, escape(name), escape(value));
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.inner.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Lets the engine add what this credential slot holds.
    pub fn credential(mut self, slot: &str) -> Self {
        self.inner.credential = Some(slot.to_owned());
        self
    }

    /// Says for which service of AWS, in which region, a credential of the kind `sigv4` signs it, as `("s3", "eu-west-3")`. Without
    /// this such a request is malformed; with another credential it says nothing.
    pub fn sigv4(self, service: &str, region: &str) -> Self {
        self.ext("sigv4.service", service).ext("sigv4.region", region)
    }

    /// Leaves the body out of the signature, where the service takes that: a large one need not be read twice.
    pub fn unsigned_payload(self) -> Self {
        self.ext("sigv4.payload", "unsigned")
    }

    /// Something that the contract names in `http.request.ext`, in place of what stood there under that name.
    pub fn ext(mut self, name: &str, value: &str) -> Self {
        self.inner.ext.retain(|it| it.0 != name);
        self.inner.ext.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The token of a change, as the key under which the server recognises another try.
    pub fn idempotency_key(self, token: &str) -> Self {
        self.header("idempotency-key", token)
    }

    /// Only if the object still is this version.
    pub fn if_match(self, version: Option<&str>) -> Self {
        match version {
            Some(version) => self.header("if-match", version),
            None => self,
        }
    }

    /// Only if the object is no longer this version; see [`Response::not_modified`].
    pub fn if_none_match(self, version: Option<&str>) -> Self {
        match version {
            Some(version) => self.header("if-none-match", version),
            None => self,
        }
    }

    /// Asks for one page of a scan: on the first only if the scope is no longer what `query.since` says (see
    /// [`Response::changed`]), on the others with the cursor under this name.
    pub fn page(self, query: &ScopeQuery, cursor: &str) -> Self {
        match &query.cursor {
            Some(value) => self.query(cursor, value),
            None => self.if_none_match(query.since.as_deref()),
        }
    }

    /// Milliseconds; never longer than the call's budget.
    pub fn timeout(mut self, millis: u64) -> Self {
        self.inner.timeout = Some(millis);
        self
    }

    /// A body of any type.
    pub fn body(mut self, content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.inner.body = Some(bytes.into());
        self.header("content-type", content_type)
    }

    /// A body of JSON.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.body("application/json", bytes),
            Err(error) => {
                self.error = Some(error.into());
                self
            }
        }
    }

    /// Sends it.
    ///
    /// # Errors
    /// Where there is no answer; an answer of any status is one. See the table of this module.
    pub fn send(self) -> Result<Response> {
        match self.error {
            Some(error) => Err(error),
            None => answer(&self.inner, http::send(&self.inner)),
        }
    }

    fn writes(method: &str) -> bool {
        !matches!(method, "GET" | "HEAD" | "OPTIONS")
    }
}

/// Sends many requests at once, at most `parallel` at a time (0: as many as the grant allows); answers in their order.
pub fn send_all(requests: Vec<Request>, parallel: u32) -> Vec<Result<Response>> {
    let good = requests.iter().filter(|it| it.error.is_none()).map(|it| it.inner.clone()).collect::<Vec<_>>();
    let mut answers = if good.is_empty() { Vec::new() } else { http::send_all(&good, parallel) }.into_iter();
    let each = |request: Request| match request.error {
        Some(error) => Err(error),
        None => match answers.next() {
            Some(got) => answer(&request.inner, got),
            None => Err(Error::internal("the engine left an answer out")),
        },
    };
    requests.into_iter().map(each).collect()
}

fn answer(request: &http::Request, got: Result<http::Response, HttpError>) -> Result<Response> {
    let writes = Request::writes(&request.method);
    // The query is left out: it may hold a token of a page.
    let url = request.url.split('?').next().unwrap_or_default();
    let what = format!("{} {url}", request.method);
    let inner = got.map_err(|error| {
        let (fault, code, text, sent) = match error {
            HttpError::Denied(rule) => (Fault::Denied, "http.denied", rule, false),
            HttpError::Unreachable(text) => (Fault::Transient(None), "http.unreachable", text, false),
            HttpError::Interrupted(text) => (Fault::Transient(None), "http.interrupted", text, true),
            HttpError::TimedOut => (Fault::Transient(None), "http.timed-out", "no answer in time".to_owned(), true),
            HttpError::TooLarge(limit) => {
                (Fault::Transient(None), "http.too-large", format!("the answer is above the limit of {limit} bytes"), true)
            }
            HttpError::Malformed(text) => (Fault::Internal, "http.malformed", text, false),
        };
        let error = Error::new(fault, code, format!("{what}: {text}"));
        if sent && writes { error.unsettled() } else { error }
    })?;
    Ok(Response { inner, what, writes })
}

/// An answer, of any status.
#[derive(Clone, Debug)]
pub struct Response {
    inner: http::Response,
    what: String,
    writes: bool,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.inner.status
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The entity tag.
    pub fn etag(&self) -> Option<String> {
        self.header("etag").map(str::to_owned)
    }

    /// The address behind `rel="next"` (or another relation) of the `Link` header.
    pub fn link(&self, relation: &str) -> Option<String> {
        let wanted = format!("rel=\"{relation}\"");
        let mut links = self.header("link")?.split(',');
        let link = links.find(|it| it.split(';').skip(1).any(|it| it.trim() == wanted))?;
        Some(link.split(';').next()?.trim().trim_start_matches('<').trim_end_matches('>').to_owned())
    }

    /// Whether the server says that nothing changed (304).
    pub fn not_modified(&self) -> bool {
        self.inner.status == 304
    }

    /// The bytes of the body.
    pub fn bytes(&self) -> &[u8] {
        &self.inner.body
    }

    /// The body as JSON of some shape.
    ///
    /// # Errors
    /// `internal` where it is not; the text holds nothing of the body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let parsed = serde_json::from_slice(&self.inner.body);
        parsed.map_err(|error| {
            let error = Error::from(error);
            Error { message: format!("{} answered {}", self.what, error.message), unsettled: self.writes, ..error }
        })
    }

    /// None where the object is not there (404 or 410); else as [`ok`](Self::ok).
    ///
    /// # Errors
    /// As [`ok`](Self::ok).
    pub fn found(self) -> Result<Option<Self>> {
        match self.inner.status {
            404 | 410 => Ok(None),
            _ => self.ok().map(Some),
        }
    }

    /// None where nothing changed (304); else as [`ok`](Self::ok).
    ///
    /// # Errors
    /// As [`ok`](Self::ok).
    pub fn changed(self) -> Result<Option<Self>> {
        if self.not_modified() { Ok(None) } else { self.ok().map(Some) }
    }

    /// This answer, if it is a success.
    ///
    /// # Errors
    /// See the table of this module.
    pub fn ok(self) -> Result<Self> {
        let status = self.inner.status;
        if (200..300).contains(&status) {
            return Ok(self);
        }
        let wait = self.header("retry-after").and_then(|it| it.trim().parse::<u64>().ok()).map(|it| it.saturating_mul(1000));
        let fault = match status {
            401 | 403 => Fault::Unauthorized,
            404 | 410 => Fault::NotFound,
            405 | 501 => Fault::Unsupported,
            409 | 412 => Fault::Conflict,
            429 => Fault::Throttled(wait),
            408 | 500..=599 => Fault::Transient(wait),
            400..=499 => Fault::Invalid,
            _ => Fault::Internal,
        };
        let mut error = Error::new(fault, "http.status", format!("{} answered {status}", self.what));
        error.detail = excerpt(&self.inner.body);
        error.unsettled = self.writes && matches!(status, 408 | 500 | 502 | 504);
        Err(error)
    }
}

/// The begin of a body that is text, on one line.
fn excerpt(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let line = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect::<String>();
    let end = (0..=EXCERPT.min(line.len())).rev().find(|at| line.is_char_boundary(*at))?;
    let short = line.get(..end)?.to_owned();
    (!short.is_empty()).then_some(short)
}

/// Percent-encodes all but unreserved characters (RFC 3986): for one part of a path, or one value of a query.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::double::{Double, Phase};

    fn respond(status: u16, headers: &[(&str, &str)], body: &str) -> http::Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        http::Response { status, headers, body: body.as_bytes().to_vec(), cut: false }
    }

    #[track_caller]
    fn check(method: &str, answer: Result<http::Response, HttpError>, want: (Fault, bool)) {
        let double = Double::install();
        double.enter(Phase::Apply);
        double.serve(move |_| answer.clone());
        let error = Request::new(method, "https://a.example/x?token=canary").send().and_then(Response::ok).unwrap_err();
        assert_eq!((error.fault, error.unsettled), want, "{method}: {error}");
        assert!(!error.message.contains("canary"), "{error}");
    }

    #[test]
    fn each_status_means_what_the_host_should_do() {
        for (status, fault) in [
            (400, Fault::Invalid),
            (401, Fault::Unauthorized),
            (403, Fault::Unauthorized),
            (404, Fault::NotFound),
            (405, Fault::Unsupported),
            (409, Fault::Conflict),
            (412, Fault::Conflict),
            (418, Fault::Invalid),
            (422, Fault::Invalid),
            (503, Fault::Transient(None)),
            (302, Fault::Internal),
        ] {
            check("PUT", Ok(respond(status, &[], "")), (fault, false));
        }
        check("GET", Ok(respond(429, &[("retry-after", "7")], "")), (Fault::Throttled(Some(7000)), false));
        check("GET", Ok(respond(429, &[("retry-after", "soon")], "")), (Fault::Throttled(None), false));
        check("GET", Ok(respond(503, &[("retry-after", "99999999999999999999")], "")), (Fault::Transient(None), false));
    }

    #[test]
    fn what_may_have_taken_effect_is_unsettled_for_writes_alone() {
        for (method, writes) in [("GET", false), ("POST", true), ("PURGE", true)] {
            for status in [500, 502, 504] {
                check(method, Ok(respond(status, &[], "")), (Fault::Transient(None), writes));
            }
            check(method, Err(HttpError::Interrupted("reset".to_owned())), (Fault::Transient(None), writes));
            check(method, Err(HttpError::TimedOut), (Fault::Transient(None), writes));
            check(method, Err(HttpError::Unreachable("refused".to_owned())), (Fault::Transient(None), false));
            check(method, Err(HttpError::Denied("no rule".to_owned())), (Fault::Denied, false));
        }
    }

    #[test]
    fn a_request_is_built_as_it_reads() {
        let double = Double::install();
        double.enter(Phase::Apply);
        double.serve(|request| {
            let head = format!("{} {} {:?} {:?}", request.method, request.url, request.credential, request.headers);
            Ok(respond(
                200,
                &[("ETag", "\"1\""), ("link", "<https://a/2>; rel=\"next\", <https://a/9>; rel=\"last\"")],
                &json_text(&head),
            ))
        });
        let request =
            patch("https://a.example/x").query("a b", "c&d").query("e", "ü").credential("token").if_match(Some("\"0\""));
        let response = request.json(&vec![1]).send().unwrap().ok().unwrap();
        let want = "PATCH https://a.example/x?a%20b=c%26d&e=%C3%BC Some(\"token\") [(\"if-match\", \"\\\"0\\\"\"), (\"content-type\", \"application/json\")]";
        assert_eq!(response.json::<String>().unwrap(), want);
        assert_eq!((response.etag().as_deref(), response.link("next").as_deref()), (Some("\"1\""), Some("https://a/2")));
        assert_eq!(response.link("prev"), None);
    }

    #[test]
    fn a_signed_request_names_its_service_and_region_once() {
        let double = Double::install();
        double.enter(Phase::Apply);
        double.serve(|request| Ok(respond(200, &[], &json_text(&format!("{:?}", request.ext)))));
        let told = |request: Request| request.send().unwrap().json::<String>().unwrap();
        let want = r#"[("sigv4.service", "s3"), ("sigv4.region", "eu-west-3")]"#;
        assert_eq!(told(get("slot:aws/").sigv4("ec2", "a").sigv4("s3", "eu-west-3")), want);
        let want = r#"[("sigv4.service", "s3"), ("sigv4.region", "a"), ("sigv4.payload", "unsigned")]"#;
        assert_eq!(told(put("slot:aws/x").sigv4("s3", "a").unsigned_payload()), want);
    }

    fn json_text(text: &str) -> String {
        crate::Json::from(text).to_string()
    }

    #[test]
    fn an_answer_in_an_error_is_short_and_on_one_line() {
        assert_eq!(excerpt(b"  a\n\x1b[31mb  ").as_deref(), Some("a  [31mb"));
        assert_eq!(excerpt("ü".repeat(400).as_bytes()).map(|it| it.len()), Some(300));
        assert_eq!(excerpt(b"\xff"), None);
        assert_eq!(excerpt(b""), None);
    }
}
