//! From the text of an entry's `sigv4` to what is asked for: every key judged, no value read.

use std::path::PathBuf;
use std::time::Duration;

use trueup_core::value::Json;
use url::Url;

use super::sts::Role;
use super::{Asked, From, http, is_region};
use crate::config::credentials::read::Reader;
use crate::config::decode::{Fields, shown};
use crate::config::paths;
use crate::config::tree::{Node, Value};

/// Every key of `sigv4`.
const KEYS: [&str; 12] = [
    "access_key",
    "secret_key",
    "session_token",
    "environment",
    "profile",
    "config",
    "web-identity",
    "instance",
    "endpoint",
    "assume-role",
    "region",
    "sts",
];
/// Where keys come from, by the key that says so.
const SOURCES: [(&str, &[&str]); 5] = [
    ("access_key", &["access_key", "secret_key", "session_token"]),
    ("environment", &["environment"]),
    ("profile", &["profile"]),
    ("web-identity", &["web-identity"]),
    ("instance", &["instance"]),
];
/// How long a role's keys may be asked for.
const SHORTEST: Duration = Duration::from_mins(15);
const LONGEST: Duration = Duration::from_hours(12);

impl Reader<'_> {
    /// None where it is wrong.
    pub(in crate::config::credentials) fn sigv4(&mut self, node: &Node, exec: Vec<String>) -> Option<Asked> {
        let fields = self.decoder.fields(node, "`sigv4`", &KEYS);
        let used: Vec<&str> =
            SOURCES.iter().filter(|it| it.1.iter().any(|key| fields.get(key).is_some())).map(|it| it.0).collect();
        let from = match used.as_slice() {
            [only] => self.from(only, fields),
            _ => {
                let what = "`sigv4` needs exactly one of `access_key` (with `secret_key`), `environment`, `profile`, `web-identity`, \
                            `instance`";
                self.decoder.error(fields.at, what);
                None
            }
        };
        for (key, source) in [("config", "profile"), ("endpoint", "instance")] {
            if let Some(node) = fields.get(key).filter(|_| !used.contains(&source)) {
                self.decoder.error(&node.at, format!("`{key}` is for `{source}` alone"));
            }
        }
        let found = self.decoder.found.len();
        let role = fields.get("assume-role").and_then(|it| {
            let inner = self.decoder.fields(it, "`assume-role`", &["role", "external-id", "session-name", "duration"]);
            self.role(inner, "`assume-role`")
        });
        let region = fields.get("region").and_then(|it| self.region(it));
        let sts = fields.get("sts").and_then(|it| self.address(it, "`sts`", true));
        if self.decoder.found.len() > found {
            return None;
        }
        Some(Asked { from: from?, role, region, sts, exec })
    }

    fn from(&mut self, key: &str, fields: Fields<'_>) -> Option<From> {
        match key {
            "access_key" => {
                let [access_key, secret_key] = ["access_key", "secret_key"].map(|key| {
                    let node = self.decoder.required(fields, key, "`sigv4`")?;
                    self.source(node, &format!("`{key}`"))
                });
                let session_token = match fields.get("session_token") {
                    Some(node) => Some(self.source(node, "`session_token`")?),
                    None => None,
                };
                Some(From::Keys { access_key: access_key?, secret_key: secret_key?, session_token })
            }
            "environment" => self.yes(fields, key).then_some(From::Environment),
            "profile" => {
                let name = fields.get(key).and_then(|it| self.decoder.text(it, "`profile`"))?.to_owned();
                let config = match fields.get("config") {
                    Some(node) => Some(self.file(node, "`config`")?),
                    None => None,
                };
                Some(From::Profile { name, config })
            }
            "web-identity" => {
                let node = fields.get(key)?;
                let inner = self.decoder.fields(node, "`web-identity`", &["role", "token", "session-name", "duration"]);
                let token = self.decoder.required(inner, "token", "`web-identity`").and_then(|it| self.file(it, "`token`"));
                let role = self.role(inner, "`web-identity`");
                Some(From::WebIdentity { role: role?, token: token? })
            }
            _ => {
                let endpoint = match fields.get("endpoint") {
                    Some(node) => Some(self.address(node, "`endpoint`", false)?),
                    None => None,
                };
                self.yes(fields, key).then_some(From::Instance { endpoint })
            }
        }
    }

    fn yes(&mut self, fields: Fields<'_>, key: &str) -> bool {
        let Some(node) = fields.get(key) else { return false };
        let yes = matches!(node.value, Value::Plain(Json::Bool(true)));
        if !yes {
            self.decoder.error(&node.at, format!("`{key}` must be `true`"));
        }
        yes
    }

    /// `{file: PATH}`, of what is read anew while it is used.
    fn file(&mut self, node: &Node, what: &str) -> Option<PathBuf> {
        let fields = self.decoder.fields(node, what, &["file"]);
        let node = self.decoder.required(fields, "file", what)?;
        let text = self.decoder.text(node, "`file`")?;
        Some(self.folder.join(paths::expand(text, paths::home().as_deref())))
    }

    fn region(&mut self, node: &Node) -> Option<String> {
        let text = self.decoder.text(node, "`region`")?;
        if !is_region(text) {
            self.decoder.error(&node.at, "`region` must be the name of a region, such as `eu-west-3`");
            return None;
        }
        Some(text.to_owned())
    }

    /// A URL that keys or tokens come from. `safe`: and that secrets are sent to.
    fn address(&mut self, node: &Node, what: &str, safe: bool) -> Option<Url> {
        let text = self.decoder.text(node, what)?;
        let plain = |it: &Url| {
            let bare = it.username().is_empty() && it.password().is_none() && it.query().is_none() && it.fragment().is_none();
            bare && matches!(it.scheme(), "https" | "http") && it.host().is_some()
        };
        let Some(url) = Url::parse(text).ok().filter(plain) else {
            self.decoder.error(&node.at, format!("{what} must be a URL, without user and query"));
            return None;
        };
        if safe && !http::is_safe(&url) {
            let why = "without TLS everybody on the way reads what is sent there; write `https://`";
            self.decoder.error(&node.at, format!("{what}: {why}"));
            return None;
        }
        Some(url)
    }

    fn role(&mut self, fields: Fields<'_>, what: &str) -> Option<Role> {
        let found = self.decoder.found.len();
        let arn = self.decoder.required(fields, "role", what);
        let arn = arn.and_then(|it| self.word(it, "`role`", 20..=2048, "+=,.@:/_-", "the ARN of a role"));
        let arn = arn.filter(|(arn, node)| {
            let fits = arn.starts_with("arn:");
            if !fits {
                self.decoder.error(&node.at, "`role` must be the ARN of a role, such as `arn:aws:iam::123456789012:role/deploy`");
            }
            fits
        });
        let external_id = fields.get("external-id");
        let external_id = external_id.and_then(|it| self.word(it, "`external-id`", 2..=1224, "+=,.@:/_-", "an external ID"));
        let session_name = fields.get("session-name");
        let session_name = session_name.and_then(|it| self.word(it, "`session-name`", 2..=64, "+=,.@_-", "a session's name"));
        let duration = fields.get("duration").and_then(|it| self.duration(it));
        if self.decoder.found.len() > found {
            return None;
        }
        let text = |it: Option<(String, &Node)>| it.map(|it| it.0);
        Some(Role { arn: arn?.0, external_id: text(external_id), session_name: text(session_name), duration })
    }

    fn word<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        length: std::ops::RangeInclusive<usize>,
        marks: &str,
        kind: &str,
    ) -> Option<(String, &'n Node)> {
        let text = self.decoder.text(node, what)?;
        let fits = |it: char| it.is_ascii_alphanumeric() || marks.contains(it);
        if !length.contains(&text.len()) || !text.chars().all(fits) {
            self.decoder.error(&node.at, format!("{what}: `{}` is not {kind}", shown(text)));
            return None;
        }
        Some((text.to_owned(), node))
    }

    fn duration(&mut self, node: &Node) -> Option<Duration> {
        let text = self.decoder.text(node, "`duration`")?;
        let number = |unit: char, seconds: u64| {
            let digits =
                text.strip_suffix(unit).filter(|it| (1..=6).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_digit()))?;
            Some(Duration::from_secs(digits.parse::<u64>().ok()? * seconds))
        };
        let time = number('s', 1).or_else(|| number('m', 60)).or_else(|| number('h', 3600));
        let time = time.filter(|it| (SHORTEST..=LONGEST).contains(it));
        if time.is_none() {
            self.decoder.error(&node.at, "`duration` must be a time from `15m` to `12h`");
        }
        time
    }
}
