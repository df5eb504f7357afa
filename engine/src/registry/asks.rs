//! What a plugin's manifest asks for, as the lock keeps it and as people read it.

use std::collections::{BTreeMap, BTreeSet};

use trueup_core::manifest::Manifest;
use trueup_core::value::{Json, json};

/// Everything that a manifest asks for. What is asked is not granted: the project gives, and the operator agrees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    pub hosts: BTreeSet<String>,
    pub directories: bool,
    pub dns: bool,
    /// Slots and the schemes that each takes; none given means any.
    pub credentials: BTreeMap<String, BTreeSet<String>>,
    pub secrets: bool,
    /// Requests beyond GET, HEAD and OPTIONS that only read.
    pub reads: BTreeSet<String>,
}

impl Asks {
    /// Of a manifest.
    pub fn of(manifest: &Manifest) -> Self {
        let slots = manifest.credentials.iter().map(|(slot, schemes)| (slot.clone(), schemes.iter().cloned().collect()));
        Self {
            hosts: manifest.hosts.iter().cloned().collect(),
            directories: manifest.dirs,
            dns: manifest.dns,
            credentials: slots.collect(),
            secrets: manifest.secrets,
            reads: manifest.reads.iter().cloned().collect(),
        }
    }

    /// One line for each right, in words.
    pub fn words(&self) -> Vec<String> {
        let mut out: Vec<String> = self.hosts.iter().map(|it| format!("send requests to {}", host_words(it))).collect();
        let flags = [
            (self.directories, "read and change files in directories that it is given"),
            (self.dns, "send DNS messages to servers that it is given"),
            (self.secrets, "learn secrets while it applies"),
        ];
        out.extend(flags.iter().filter(|it| it.0).map(|it| it.1.to_owned()));
        out.extend(self.credentials.iter().map(|(slot, schemes)| match schemes.is_empty() {
            true => format!("have requests signed with a credential as `{slot}`"),
            false => {
                let schemes: Vec<&str> = schemes.iter().map(String::as_str).collect();
                format!("have requests signed with a credential as `{slot}` ({})", schemes.join(" or "))
            }
        }));
        out.extend(self.reads.iter().map(|it| format!("send `{it}` while it only reads")));
        out
    }

    /// What this asks for and `other` does not, in words; nothing where `other` covers it.
    pub fn beyond(&self, other: &Self) -> Vec<String> {
        let slots = self.credentials.iter().filter(|(slot, schemes)| match other.credentials.get(*slot) {
            None => true,
            // None given means any: more than any that are named.
            Some(theirs) => !theirs.is_empty() && (schemes.is_empty() || !schemes.is_subset(theirs)),
        });
        let more = Self {
            hosts: self.hosts.difference(&other.hosts).cloned().collect(),
            directories: self.directories && !other.directories,
            dns: self.dns && !other.dns,
            credentials: slots.map(|(slot, schemes)| (slot.clone(), schemes.clone())).collect(),
            secrets: self.secrets && !other.secrets,
            reads: self.reads.difference(&other.reads).cloned().collect(),
        };
        more.words()
    }

    /// As it stands in the lock: what is not asked is left out.
    pub fn to_json(&self) -> Json {
        let mut out = trueup_core::value::Map::new();
        for (key, list) in [("hosts", &self.hosts), ("reads", &self.reads)] {
            if !list.is_empty() {
                out.insert(key.to_owned(), json!(list));
            }
        }
        for (key, flag) in [("directories", self.directories), ("dns", self.dns), ("secrets", self.secrets)] {
            if flag {
                out.insert(key.to_owned(), json!(true));
            }
        }
        if !self.credentials.is_empty() {
            out.insert("credentials".to_owned(), json!(self.credentials));
        }
        Json::Object(out)
    }

    /// From the lock. None where it is not of that form.
    pub fn from_json(value: &Json) -> Option<Self> {
        let map = value.as_object()?;
        let texts = |value: &Json| -> Option<BTreeSet<String>> {
            value.as_array()?.iter().map(|it| it.as_str().map(str::to_owned)).collect()
        };
        let mut out = Self::default();
        for (key, value) in map {
            match key.as_str() {
                "hosts" => out.hosts = texts(value)?,
                "reads" => out.reads = texts(value)?,
                "directories" => out.directories = value.as_bool()?,
                "dns" => out.dns = value.as_bool()?,
                "secrets" => out.secrets = value.as_bool()?,
                "credentials" => {
                    let slots = value.as_object()?.iter().map(|(slot, it)| Some((slot.clone(), texts(it)?)));
                    out.credentials = slots.collect::<Option<_>>()?;
                }
                _ => return None,
            }
        }
        Some(out)
    }
}

/// `config.server` is not a host: it names the field that holds one.
fn host_words(host: &str) -> String {
    match host.strip_prefix("config.") {
        Some(field) => format!("the server that `config.{field}` names"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(value: &Json) -> Asks {
        Asks::from_json(value).unwrap_or_else(|| panic!("{value}"))
    }

    #[test]
    fn what_is_asked_reads_back_from_the_lock() {
        let all = json!({"hosts": ["config.server", "https://a.example"], "directories": true, "dns": true, "secrets": true,
            "credentials": {"token": ["bearer"], "any": []}, "reads": ["POST /search"]});
        assert_eq!(asks(&all).to_json(), all);
        assert_eq!(asks(&json!({})).to_json(), json!({}));
        for wrong in [json!([]), json!({"hosts": "x"}), json!({"hosts": [1]}), json!({"dns": 1}), json!({"more": true})] {
            assert_eq!(Asks::from_json(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_goes_beyond_is_named() {
        let small = asks(&json!({"hosts": ["config.server"], "credentials": {"token": ["bearer"]}}));
        let large =
            asks(&json!({"hosts": ["config.server", "https://b.example"], "directories": true, "dns": true, "secrets": true,
            "credentials": {"token": ["basic", "bearer"], "other": []}, "reads": ["POST /x"]}));
        assert_eq!(small.beyond(&large), Vec::<String>::new());
        let more = large.beyond(&small);
        assert_eq!(more.len(), 7, "{more:?}");
        assert!(more.iter().any(|it| it == "send requests to https://b.example"), "{more:?}");
        let any = asks(&json!({"credentials": {"token": []}}));
        assert_eq!(any.beyond(&small).len(), 1, "any scheme is more than one of them");
        assert!(small.beyond(&any).iter().all(|it| !it.contains("token")));
    }
}
