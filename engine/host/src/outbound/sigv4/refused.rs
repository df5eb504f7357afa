//! What a server says that refuses a signature. It took nothing of the request then.

use std::time::SystemTime;

use serde_json::Value as Json;

use super::date_of;

/// Bytes of an answer that are looked at: a refusal is short.
const LOOKED_AT: usize = 16 << 10;

/// The keys had their time.
const EXPIRED: [&str; 4] = ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"];
/// The server does not know the keys, or works out another signature: keys that were replaced are not told from wrong ones.
const DOUBTED: [&str; 5] = [
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
];
/// What servers say, besides, whose clock is another one.
const SKEWED: [&str; 5] = ["RequestTimeTooSkewed", "RequestInTheFuture", "AuthFailure", "SignatureExpired", "InvalidSignature"];

/// A refusal that other keys or another time may end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// As the server names it, one of those above.
    pub code: &'static str,
    /// The server's time.
    pub date: Option<SystemTime>,
}

impl Refused {
    /// The refusal that an answer is, if it is one. `header` gives what stands under a name in lower case.
    pub fn of<'a>(status: u16, header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> Option<Self> {
        if !matches!(status, 400 | 401 | 403) {
            return None;
        }
        let named = match header("x-amzn-errortype") {
            Some(named) => Some(named.to_owned()),
            None => in_body(body),
        };
        let named = bare(named.as_deref()?);
        let code = EXPIRED.iter().chain(&DOUBTED).chain(&SKEWED).find(|it| **it == named)?;
        Some(Self { code, date: header("date").and_then(date_of) })
    }

    /// The keys are of no use any more.
    pub fn is_expired(&self) -> bool {
        EXPIRED.contains(&self.code)
    }

    /// Other keys may be believed.
    pub fn is_of_keys(&self) -> bool {
        self.is_expired() || DOUBTED.contains(&self.code)
    }
}

/// `com.amazon.coral.service#ExpiredTokenException:http://…` is what it says in the middle.
fn bare(named: &str) -> &str {
    let named = named.split([':', ',', ';']).next().unwrap_or_default();
    named.rsplit('#').next().unwrap_or_default().trim()
}

/// The code in a body: `<Code>…</Code>` of XML, `__type` or `code` of JSON.
fn in_body(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body.get(..LOOKED_AT).unwrap_or(body));
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('<') {
        let (_, rest) = text.split_once("<Code>")?;
        return rest.split_once("</Code>").map(|it| it.0.trim().to_owned());
    }
    let json: Json = serde_json::from_str(text).ok()?;
    ["__type", "code", "Code"].iter().find_map(|it| json.get(it)?.as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, header: Option<&str>, body: &str, want: Option<&str>) {
        let got = Refused::of(status, |name| header.filter(|_| name == "x-amzn-errortype"), body.as_bytes()).map(|it| it.code);
        assert_eq!(got, want, "{status} {header:?} {body}");
    }

    #[test]
    fn a_refusal_is_found_where_each_protocol_writes_it() {
        let xml =
            "<?xml version=\"1.0\"?>\n<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code></Error></ErrorResponse>";
        check(403, None, xml, Some("ExpiredToken"));
        check(400, None, "<Error><Code>RequestTimeTooSkewed</Code></Error>", Some("RequestTimeTooSkewed"));
        check(401, None, "<Response><Errors><Error><Code>AuthFailure</Code></Error></Errors></Response>", Some("AuthFailure"));
        let json = r#"{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"x"}"#;
        check(400, None, json, Some("ExpiredTokenException"));
        check(400, None, r#"{"code":"InvalidSignatureException"}"#, Some("InvalidSignatureException"));
        check(403, Some("UnrecognizedClientException:http://internal.amazon.com/"), "{}", Some("UnrecognizedClientException"));
        check(403, Some("ExpiredTokenException"), "", Some("ExpiredTokenException"));
    }

    #[test]
    fn all_else_is_no_refusal_whatever_words_stand_in_it() {
        for status in [200, 404, 409, 500] {
            check(status, Some("ExpiredToken"), "<Error><Code>ExpiredToken</Code></Error>", None);
        }
        check(403, None, "<Error><Code>AccessDenied</Code><Message>ExpiredToken</Message></Error>", None);
        check(403, Some("AccessDenied"), "<Error><Code>ExpiredToken</Code></Error>", None);
        check(400, None, r#"{"__type":"ValidationException","message":"\"__type\":\"ExpiredToken\""}"#, None);
        check(400, None, "ExpiredToken", None);
        check(400, None, "", None);
        // Beyond what is looked at.
        check(403, None, &format!("<Error>{}<Code>ExpiredToken</Code></Error>", " ".repeat(LOOKED_AT)), None);
    }
}
