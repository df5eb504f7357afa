//! The service that gives keys for a role (STS).

use std::time::{Duration, SystemTime};

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use trueup_host::Secret;
use trueup_host::sigv4::{self, Keys, Refused, Signing};
use url::Url;

use super::http::{Answer, Ask, Http, words};
use super::{Found, Values, domain, is_region, judged};
use crate::config::credentials::moment::moment;

const VERSION: &str = "2011-06-15";
/// What a session is called where nobody gives it a name; it stands in the account's own log.
const SESSION: &str = "trueup";

/// A role, and how it is assumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Role {
    pub arn: String,
    pub external_id: Option<String>,
    pub session_name: Option<String>,
    pub duration: Option<Duration>,
}

/// One STS.
pub(super) struct Sts<'a> {
    http: &'a Http,
    url: Url,
    region: String,
}

impl<'a> Sts<'a> {
    /// Without a region it is the one STS of old that stands for all of them.
    ///
    /// # Errors
    ///
    /// Where the region's name is none.
    pub fn new(http: &'a Http, url: Option<&Url>, region: Option<&str>) -> Result<Self, String> {
        if region.is_some_and(|it| !is_region(it)) {
            return Err("the `region` is no name of a region".to_owned());
        }
        let host = match region {
            Some(region) => format!("https://sts.{region}.{}/", domain(region)),
            None => "https://sts.amazonaws.com/".to_owned(),
        };
        let url = match url {
            Some(url) => url.clone(),
            None => Url::parse(&host).map_err(|_| "the `region` is no name of a region".to_owned())?,
        };
        Ok(Self { http, url, region: region.unwrap_or("us-east-1").to_owned() })
    }

    /// Assumes a role with keys.
    ///
    /// # Errors
    ///
    /// With what the service says.
    pub async fn assume(&self, role: &Role, keys: &Keys, values: &mut Values) -> Result<Found, String> {
        let mut form = role.form("AssumeRole");
        form.extend(role.external_id.as_ref().map(|it| ("ExternalId", it.clone())));
        let mut answer = self.signed(&form, keys, SystemTime::now()).await?;
        let refused = Refused::of(answer.status, |name| answer.headers.get(name)?.to_str().ok(), &answer.body);
        // Our clock may be wrong, which the service's is not.
        if let Some(date) = refused.and_then(|it| it.date)
            && sigv4::behind(date, SystemTime::now()).is_some()
        {
            answer = self.signed(&form, keys, date).await?;
        }
        self.read(role, &answer, values)
    }

    /// Assumes a role with a token that somebody else signed.
    ///
    /// # Errors
    ///
    /// With what the service says.
    pub async fn by_token(&self, role: &Role, token: &Secret, values: &mut Values) -> Result<Found, String> {
        let mut form = role.form("AssumeRoleWithWebIdentity");
        form.push(("WebIdentityToken", token.expose().to_owned()));
        let answer = self.http.send(&self.ask(&form)).await?;
        self.read(role, &answer, values)
    }

    fn ask(&self, form: &[(&str, String)]) -> Ask {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish().into_bytes();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/xml"));
        Ask { method: Method::POST, url: self.url.clone(), headers, body }
    }

    async fn signed(&self, form: &[(&str, String)], keys: &Keys, now: SystemTime) -> Result<Answer, String> {
        let signing = Signing { service: "sts".to_owned(), region: self.region.clone(), unsigned: false };
        let mut ask = self.ask(form);
        ask.url = sigv4::spelled(&ask.url)?;
        sigv4::sign(keys, &signing, now, "POST", &ask.url, &mut ask.headers, &ask.body)?;
        self.http.send(&ask).await
    }

    fn read(&self, role: &Role, answer: &Answer, values: &mut Values) -> Result<Found, String> {
        let host = self.url.host_str().unwrap_or_default();
        let wrong = |what: &str| format!("`{host}` gives no keys for role `{}`: {what}", role.arn);
        let text = answer.text().map_err(|why| wrong(&why))?;
        if answer.status != 200 {
            let (code, message) = (element(text, "Code"), element(text, "Message"));
            return Err(wrong(&words(answer.status, code.as_deref(), message.as_deref())));
        }
        let secret = |name: &str| element(text, name).filter(|it| !it.is_empty()).map(Secret::new);
        let needed = |name: &str| secret(name).ok_or_else(|| wrong(&format!("its answer has no `{name}`")));
        let keys = values.keys(needed("AccessKeyId")?, needed("SecretAccessKey")?, Some(needed("SessionToken")?));
        judged(&keys)?;
        let end =
            element(text, "Expiration").and_then(|it| moment(&it)).ok_or_else(|| wrong("its answer has no `Expiration`"))?;
        let lasts = answer.until(end).ok_or_else(|| wrong("they are over already; look at this machine's clock"))?;
        Ok(Found { keys, lasts: Some(lasts), fresh: None })
    }
}

impl Role {
    fn form(&self, action: &str) -> Vec<(&'static str, String)> {
        let mut form = vec![
            ("Action", action.to_owned()),
            ("Version", VERSION.to_owned()),
            ("RoleArn", self.arn.clone()),
            ("RoleSessionName", self.session_name.clone().unwrap_or_else(|| SESSION.to_owned())),
        ];
        form.extend(self.duration.map(|it| ("DurationSeconds", it.as_secs().to_string())));
        form
    }
}

/// The text of the first element of that name, which has no elements in it.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text.trim();
    // The ampersand last, so that what it escapes stays a text.
    let marks =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&#34;", "\""), ("&amp;", "&")];
    (!text.contains('<')).then(|| marks.iter().fold(text.to_owned(), |text, (mark, plain)| text.replace(mark, plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_found_with_its_text_unescaped_and_nothing_else_is() {
        for (xml, want) in [
            ("<A><Code>Access</Code></A>", Some("Access")),
            ("<Code>\n a&amp;lt;&lt;b&gt;&quot; </Code>", Some("a&lt;<b>\"")),
            ("<Code></Code>", Some("")),
            ("<Code><x/></Code>", None),
            ("<Codes>x</Codes>", None),
            ("<Code>x", None),
        ] {
            assert_eq!(element(xml, "Code").as_deref(), want, "{xml}");
        }
    }

    #[test]
    fn a_region_has_an_sts_of_its_own_in_its_part_of_the_cloud() {
        let http = Http::new(None).unwrap();
        for (region, want) in [
            (None, "https://sts.amazonaws.com/ us-east-1"),
            (Some("eu-west-3"), "https://sts.eu-west-3.amazonaws.com/ eu-west-3"),
            (Some("cn-north-1"), "https://sts.cn-north-1.amazonaws.com.cn/ cn-north-1"),
            (Some("us-isob-east-1"), "https://sts.us-isob-east-1.sc2s.sgov.gov/ us-isob-east-1"),
        ] {
            let sts = Sts::new(&http, None, region).unwrap();
            assert_eq!(format!("{} {}", sts.url, sts.region), want);
        }
        assert!(Sts::new(&http, None, Some("evil.example/")).is_err());
        let url = Url::parse("https://sts.example/x").unwrap();
        let sts = Sts::new(&http, Some(&url), Some("a")).unwrap();
        assert_eq!((sts.url.as_str(), sts.region.as_str()), ("https://sts.example/x", "a"));
    }
}
