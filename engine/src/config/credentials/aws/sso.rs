//! Keys by IAM Identity Center (SSO): with the token that `aws sso login` left, which is renewed while that is possible.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use trueup_core::value::{Json, json};
use trueup_host::Secret;
use url::Url;

use super::http::{Ask, Http, words};
use super::ini::Settings;
use super::{Around, BYTES, Found, Values, domain, is_region, judged};
use crate::config::credentials::moment::moment;
use crate::private;

/// How long before its end a token is renewed.
const BEFORE_END: Duration = Duration::from_mins(5);

/// What a profile says of it.
#[derive(Clone, Debug)]
pub(super) struct Sso {
    profile: String,
    account: String,
    role: String,
    region: String,
    /// The session's name, or the portal's address: what the token's file is called by.
    identifier: String,
}

/// The token's file.
struct Token {
    path: PathBuf,
    json: Json,
}

impl Sso {
    /// None where a profile does not log in so.
    ///
    /// # Errors
    ///
    /// Says what is missing or contradicts itself.
    pub fn of<'a>(
        profile: &str,
        settings: &Settings,
        session: impl Fn(&str) -> Option<&'a Settings>,
    ) -> Result<Option<Self>, String> {
        let text = |from: &Settings, key: &str| from.get(key).filter(|it| !it.is_empty()).cloned();
        let all = ["sso_session", "sso_start_url", "sso_region", "sso_account_id", "sso_role_name"];
        if all.iter().all(|it| text(settings, it).is_none()) {
            return Ok(None);
        }
        let named = text(settings, "sso_session");
        let place = match &named {
            Some(name) => session(name).ok_or_else(|| format!("there is no section `[sso-session {name}]`"))?,
            None => settings,
        };
        let needed = |from: &Settings, key: &str| text(from, key).ok_or_else(|| format!("it logs in by SSO and has no `{key}`"));
        let start = needed(place, "sso_start_url")?;
        let region = needed(place, "sso_region")?;
        if !is_region(&region) {
            return Err("its `sso_region` is no name of a region".to_owned());
        }
        Ok(Some(Self {
            profile: profile.to_owned(),
            account: needed(settings, "sso_account_id")?,
            role: needed(settings, "sso_role_name")?,
            region,
            identifier: named.unwrap_or(start),
        }))
    }

    /// Asks for the keys of the role.
    ///
    /// # Errors
    ///
    /// Where nobody logged in, or that is over.
    pub async fn find(&self, http: &Http, around: &Around, values: &mut Values) -> Result<Found, String> {
        let again = || format!("run `aws sso login --profile {}`", self.profile);
        let token = self.token(http, around, values).await.map_err(|why| format!("{why}; {}", again()))?;
        let mut url = self.url(around, "portal.sso", "/federation/credentials")?;
        url.query_pairs_mut().append_pair("role_name", &self.role).append_pair("account_id", &self.account);
        let mut ask = Ask::get(url);
        let mut value = HeaderValue::from_str(token.expose()).map_err(|_| format!("the token of SSO is none; {}", again()))?;
        value.set_sensitive(true);
        ask.headers.insert(HeaderName::from_static("x-amz-sso_bearer_token"), value);
        let answer = http.send(&ask).await?;
        let json: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status != 200 {
            let text = |it: &str| json.get(it).and_then(Json::as_str);
            let said = words(answer.status, text("__type").or_else(|| text("error")), text("message"));
            let more = if answer.status == 401 { format!("; {}", again()) } else { String::new() };
            return Err(format!("SSO gives no keys for role `{}` of account {}: {said}{more}", self.role, self.account));
        }
        let given = json.get("roleCredentials").ok_or("the answer of SSO has no `roleCredentials`")?;
        let secret = |key: &str| given.get(key).and_then(Json::as_str).filter(|it| !it.is_empty()).map(Secret::from);
        let needed = |key: &str| secret(key).ok_or_else(|| format!("the answer of SSO has no `{key}`"));
        let keys = values.keys(needed("accessKeyId")?, needed("secretAccessKey")?, Some(needed("sessionToken")?));
        judged(&keys)?;
        let end = given.get("expiration").and_then(Json::as_u64).and_then(|it| UNIX_EPOCH.checked_add(Duration::from_millis(it)));
        let lasts =
            end.and_then(|it| answer.until(it)).ok_or("the keys of SSO are over already; look at this machine's clock")?;
        Ok(Found { keys, lasts: Some(lasts), fresh: None })
    }

    /// The token that is to be shown, renewed where its end is near.
    async fn token(&self, http: &Http, around: &Around, values: &mut Values) -> Result<Secret, String> {
        let mut file = self.file(around)?;
        let now = SystemTime::now();
        let token = file.secret("accessToken").ok_or_else(|| format!("`{}` holds no token", file.path.display()))?;
        values.add(&token);
        let end = file.time("expiresAt").ok_or_else(|| format!("`{}` does not say when its token ends", file.path.display()))?;
        if now.checked_add(BEFORE_END).is_some_and(|it| it < end) {
            return Ok(token);
        }
        let over = || "the login by SSO is over".to_owned();
        let renewed = if file.is_renewable(now) { self.renew(http, around, values, &mut file).await } else { Err(over()) };
        match renewed {
            Ok(token) => Ok(token),
            // What is left of it may do.
            Err(_) if now < end => Ok(token),
            Err(why) => Err(why),
        }
    }

    /// Where `aws sso login` keeps what it got.
    fn file(&self, around: &Around) -> Result<Token, String> {
        let home = around.home.as_ref().ok_or("`HOME` is not set")?;
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, self.identifier.as_bytes());
        let name: String = digest.as_ref().iter().map(|it| format!("{it:02x}")).collect();
        let path = home.join(".aws/sso/cache").join(format!("{name}.json"));
        let bytes = private::read(&path, BYTES).map_err(|why| format!("`{}`: {why}", path.display()))?;
        let bytes = bytes.ok_or("nobody logged in by SSO here")?;
        let json = serde_json::from_slice(&bytes).map_err(|_| format!("`{}` is no JSON", path.display()))?;
        Ok(Token { path, json })
    }

    /// Gets a new token for an old one, and leaves it where other tools find it: the old one may be of no use any more.
    async fn renew(&self, http: &Http, around: &Around, values: &mut Values, file: &mut Token) -> Result<Secret, String> {
        let over = |what: &str| format!("the login by SSO cannot be renewed: {what}");
        let part = |key: &str| file.secret(key).map(|it| it.expose().to_owned()).unwrap_or_default();
        let (client, secret, refresh) = (part("clientId"), part("clientSecret"), part("refreshToken"));
        for it in [&secret, &refresh] {
            values.add(&Secret::from(it.as_str()));
        }
        let body = json!({ "clientId": client, "clientSecret": secret, "refreshToken": refresh, "grantType": "refresh_token" });
        let mut ask = Ask::get(self.url(around, "oidc", "/token")?);
        ask.method = Method::POST;
        ask.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        ask.body = body.to_string().into_bytes();
        let answer = http.send(&ask).await?;
        let json: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |it: &str| json.get(it).and_then(Json::as_str).filter(|it| !it.is_empty());
        if answer.status != 200 {
            return Err(over(&words(answer.status, text("error"), text("error_description"))));
        }
        let token = text("accessToken").map(Secret::from).ok_or_else(|| over("its answer has no token"))?;
        values.add(&token);
        let lasts = json.get("expiresIn").and_then(Json::as_u64).ok_or_else(|| over("its answer has no end"))?;
        if let Some(fields) = file.json.as_object_mut() {
            let end = SystemTime::now().checked_add(Duration::from_secs(lasts)).ok_or_else(|| over("its answer has no end"))?;
            fields.insert("accessToken".to_owned(), token.expose().into());
            fields.insert("expiresAt".to_owned(), written(end).into());
            if let Some(refresh) = text("refreshToken") {
                values.add(&Secret::from(refresh));
                fields.insert("refreshToken".to_owned(), refresh.into());
            }
        }
        if let Err(err) = private::write(&file.path, file.json.to_string().as_bytes()) {
            tracing::warn!("the renewed login by SSO is not kept in `{}`: {err}", file.path.display());
        }
        Ok(token)
    }

    fn url(&self, around: &Around, service: &str, path: &str) -> Result<Url, String> {
        let usual = || Url::parse(&format!("https://{service}.{}.{}", self.region, domain(&self.region)));
        let base = around.sso.clone().map_or_else(usual, Ok);
        base.and_then(|it| it.join(path)).map_err(|_| "its `sso_region` is no name of a region".to_owned())
    }
}

impl Token {
    fn secret(&self, key: &str) -> Option<Secret> {
        self.json.get(key).and_then(Json::as_str).filter(|it| !it.is_empty()).map(Secret::from)
    }

    fn time(&self, key: &str) -> Option<SystemTime> {
        // The AWS CLI of old wrote `UTC` in place of `Z`.
        moment(&self.json.get(key)?.as_str()?.replace("UTC", "Z"))
    }

    fn is_renewable(&self, now: SystemTime) -> bool {
        let all = ["clientId", "clientSecret", "refreshToken"].iter().all(|it| self.secret(it).is_some());
        all && self.time("registrationExpiresAt").is_some_and(|it| now < it)
    }
}

/// `2026-11-23T14:00:00Z`
pub(super) fn written(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    // Hinnant's `civil_from_days`.
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for seconds in [0, 951_782_399, 951_782_400, 1_700_000_000, 1_735_689_599, 4_102_444_800] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(moment(&written(time)), Some(time), "{}", written(time));
        }
        assert_eq!(written(UNIX_EPOCH + Duration::from_secs(1_700_000_000)), "2023-11-14T22:13:20Z");
    }
}
