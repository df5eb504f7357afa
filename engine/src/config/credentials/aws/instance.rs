//! The role of the machine that this runs on, as its metadata service gives it (IMDSv2).
//!
//! The service's address is one that no plugin may reach. Here it is the operator who asks for it, in as many words.

use std::time::{Duration, SystemTime};

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use trueup_core::value::Json;
use trueup_host::Secret;
use url::Url;

use super::http::{Answer, Ask, Http, words};
use super::{Found, Values, judged};
use crate::config::credentials::moment::moment;

const ENDPOINT: &str = "http://169.254.169.254";
/// Seconds that the session with the service lasts: one login's time.
const SESSION: &str = "60";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
/// How long keys are used whose end is past: a service that gives such ones has trouble of its own, and AWS goes on taking them.
const OVERDUE: Duration = Duration::from_mins(5);

/// Asks for the keys of the role.
///
/// # Errors
///
/// Where there is no such service, or no role.
pub(super) async fn find(http: &Http, endpoint: Option<&Url>, values: &mut Values) -> Result<Found, String> {
    let base = endpoint.map_or(ENDPOINT, |it| it.as_str()).trim_end_matches('/');
    let url = |path: &str| Url::parse(&format!("{base}{path}")).map_err(|_| "`endpoint` is no URL".to_owned());
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds"), HeaderValue::from_static(SESSION));
    let ask = Ask { method: Method::PUT, url: url("/latest/api/token")?, headers, body: Vec::new() };
    let answer = http.send(&ask).await.map_err(|why| {
        format!("{why}; `instance: true` is for a machine of AWS, and a container on one needs a hop limit of 2 or more")
    })?;
    let token = Secret::from(good(&answer)?.trim());
    values.add(&token);
    let mut value =
        HeaderValue::from_str(token.expose()).map_err(|_| "the metadata service gave a token that is none".to_owned())?;
    value.set_sensitive(true);
    let ask = |path: &str| {
        let mut ask = Ask::get(url(path)?);
        ask.headers.insert(HeaderName::from_static("x-aws-ec2-metadata-token"), value.clone());
        Ok::<_, String>(ask)
    };
    let answer = http.send(&ask(ROLES)?).await?;
    if answer.status == 404 {
        return Err("this instance has no role; give it an instance profile".to_owned());
    }
    let role = good(&answer)?.lines().next().unwrap_or_default().trim();
    let plain = |it: char| it.is_ascii_alphanumeric() || "+=,.@_-".contains(it);
    if role.is_empty() || !role.chars().all(plain) {
        return Err("the metadata service names no role".to_owned());
    }
    let answer = http.send(&ask(&format!("{ROLES}{role}"))?).await?;
    read(&answer, values).map_err(|why| format!("role `{role}`: {why}"))
}

fn good(answer: &Answer) -> Result<&str, String> {
    match answer.status {
        200 => answer.text(),
        status => Err(format!("the metadata service answers with {status}")),
    }
}

fn read(answer: &Answer, values: &mut Values) -> Result<Found, String> {
    let json: Json =
        serde_json::from_str(good(answer)?).map_err(|_| "the metadata service answers with what is no JSON".to_owned())?;
    let text = |key: &str| json.get(key).and_then(Json::as_str).filter(|it| !it.is_empty());
    if let Some(code) = text("Code").filter(|it| *it != "Success") {
        return Err(format!("the metadata service has no keys for it: {}", words(answer.status, Some(code), text("Message"))));
    }
    let needed = |key: &str| text(key).map(Secret::from).ok_or_else(|| format!("the metadata service gives no `{key}`"));
    let keys = values.keys(needed("AccessKeyId")?, needed("SecretAccessKey")?, text("Token").map(Secret::from));
    judged(&keys)?;
    let end = text("Expiration").and_then(moment).ok_or("the metadata service gives no `Expiration`")?;
    match answer.until(end) {
        Some(lasts) => Ok(Found { keys, lasts: Some(lasts), fresh: None }),
        None => {
            let ago = SystemTime::now().duration_since(end).unwrap_or_default().as_secs();
            tracing::warn!(
                "the keys of this instance's role ended {ago} s ago, by the metadata service's word; they are used still"
            );
            Ok(Found { keys, lasts: None, fresh: Some(OVERDUE) })
        }
    }
}
