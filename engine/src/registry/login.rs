//! What a registry asks before it serves: basic credentials, or a token from a server that it names.
//!
//! The header is a stranger's word: where it sends us is judged as a redirect is, and a credential goes there only where its
//! own entry says so.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde_json::Value as Json;
use trueup_host::{Credential, Scheme};
use url::Url;

use super::{RegistryError, Trouble, shown};

/// Bytes of a token.
const MAX_TOKEN: usize = 64 << 10;

/// What the registry wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// A token for this registry: where it is given, and what the registry calls itself there.
    Token {
        realm: String,
        service: Option<String>,
    },
}

/// Reads the first challenge that this version understands, a token before a password.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|it| it.to_str().ok());
    let mut basic = None;
    for value in values.filter(|it| it.len() <= 8 << 10) {
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            let parameters = parameters(rest);
            let get = |name: &str| parameters.iter().find(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1.clone());
            if let Some(realm) = get("realm") {
                return Some(Challenge::Token { realm, service: get("service") });
            }
        } else if scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        }
    }
    basic
}

/// `name="value"` with commas between; a quoted value may hold commas.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while let Some((name, after)) = rest.split_once('=') {
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        out.push((name.trim().to_owned(), value.trim().to_owned()));
        rest = left.trim_start_matches([' ', ',']);
    }
    out
}

/// The URL at which a token is asked for.
pub(super) fn token_url(realm: &str, service: Option<&str>, scope: &str) -> Result<Url, RegistryError> {
    let mut url = Url::parse(realm)
        .map_err(|_| RegistryError::refused(format!("the registry asks for a token from `{}`, which is no URL", shown(realm))))?;
    url.set_fragment(None);
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", scope);
    }
    Ok(url)
}

/// The token in an answer of a token server, as a header.
pub(super) fn token(answer: &[u8]) -> Result<HeaderValue, RegistryError> {
    let json: Json = serde_json::from_slice(answer).unwrap_or_default();
    let token = ["token", "access_token"].iter().find_map(|it| json.get(it).and_then(Json::as_str)).unwrap_or_default();
    if token.is_empty() || token.len() > MAX_TOKEN {
        return Err(RegistryError::refused("the token server of the registry answered without a token"));
    }
    header(&format!("Bearer {token}")).ok_or_else(|| RegistryError::refused("the registry's token cannot stand in a header"))
}

/// What a credential is, as a header for its own origin. None for kinds that no registry takes.
pub(super) fn own_header(credential: &Credential) -> Result<Option<HeaderValue>, RegistryError> {
    let text = match &credential.scheme {
        Scheme::Basic { user, password } => {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", password.expose())))
        }
        Scheme::Bearer(token) => format!("Bearer {}", token.expose()),
        _ => return Ok(None),
    };
    let wrong =
        || RegistryError::new(Trouble::Login, format!("the value of credential `{}` cannot stand in a header", credential.name));
    header(&text).map(Some).ok_or_else(wrong)
}

fn header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&str], want: Option<Challenge>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(challenge(&headers), want, "{values:?}");
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let token = |realm: &str, service: Option<&str>| {
            Some(Challenge::Token { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        check(
            &[r#"Bearer realm="https://auth.example/token",service="r.example",scope="a:b:pull,push""#],
            token("https://auth.example/token", Some("r.example")),
        );
        check(&[r#"bearer scope="x,y", realm=https://a.example/t"#], token("https://a.example/t", None));
        check(&[r#"Basic realm="Registry""#], Some(Challenge::Basic));
        check(&["Basic", r#"Bearer realm="https://a.example""#], token("https://a.example", None));
        check(&["Negotiate"], None);
        check(&["Bearer"], None);
        check(&[r#"Bearer realm="#], token("", None));
        check(&[], None);
    }

    #[test]
    fn a_token_that_would_smuggle_a_header_is_refused() {
        assert_eq!(token(br#"{"token":"abc"}"#).unwrap(), "Bearer abc");
        assert_eq!(token(br#"{"access_token":"abc"}"#).unwrap(), "Bearer abc");
        for answer in [&br#"{"token":"a\r\nx: y"}"#[..], b"{}", b"", b"[]", br#"{"token":1}"#] {
            token(answer).unwrap_err();
        }
        assert!(!format!("{:?}", token(br#"{"token":"abc"}"#).unwrap()).contains("abc"));
    }

    #[test]
    fn what_a_registry_says_of_its_token_server_stays_a_value() {
        let url = token_url("https://a.example/t?x=1#f", Some("r&scope=evil"), "repository:a/b:pull").unwrap();
        assert_eq!(url.as_str(), "https://a.example/t?x=1&service=r%26scope%3Devil&scope=repository%3Aa%2Fb%3Apull");
        token_url("nothing", None, "x").unwrap_err();
    }
}
