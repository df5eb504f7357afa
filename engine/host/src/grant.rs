//! What a provider may do: asked ∩ given ∩ ceiling. Pure; decided before anything runs.
//!
//! Asked is the plugin's manifest, given is `trueup.yaml` (trusted by the operator), the ceiling is the operator's own.
//! Nothing is granted that one of them does not name, and what is given in vain is an error with words on how to grant it,
//! so that nobody believes in a right that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use trueup_core::manifest::Manifest;
use url::{Host, Url};

use crate::dns::{DnsServer, TsigKey};
use crate::outbound::{Cluster, Login, ReadRule};
use crate::services::Secret;

/// A scheme, a host (`*.` once in front) and a port: what may be connected to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostRule {
    /// `https`, `http`.
    pub scheme: String,
    /// Lower case, without the `*.` of a pattern; IPv6 in brackets.
    pub host: String,
    /// Every name below `host`, and not `host` itself.
    pub wildcard: bool,
    pub port: u16,
}

impl HostRule {
    /// Reads `https://api.example.com`, `https://*.example.com:8443`, `http://127.0.0.1:8081`.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no origin; write `https://name` or `https://*.name`, with `:port` if it is not the usual one")
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (wildcard, rest) = rest.strip_prefix("*.").map_or((false, rest), |rest| (true, rest));
        if rest.contains('*') {
            return Err(format!("`{text}`: `*.` may stand once, in front of the name"));
        }
        let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|_| wrong())?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain || !matches!(url.scheme(), "https" | "http") {
            return Err(wrong());
        }
        let mut rule = Self::of(&url).ok_or_else(wrong)?;
        if wildcard && (url.domain().is_none() || !rule.host.contains('.')) {
            return Err(format!("`{text}`: `*.` needs a name with a dot behind it"));
        }
        rule.wildcard = wildcard;
        Ok(rule)
    }

    /// The origin of a URL. None where it has no host or port.
    pub fn of(url: &Url) -> Option<Self> {
        let host = url.host()?.to_string().trim_end_matches('.').to_ascii_lowercase();
        Some(Self { scheme: url.scheme().to_owned(), host, wildcard: false, port: url.port_or_known_default()? })
    }

    /// Whether every origin that `other` means is one of this rule's.
    pub fn covers(&self, other: &Self) -> bool {
        let below = |name: &str| name.strip_suffix(&*self.host).is_some_and(|front| front.ends_with('.') && front.len() > 1);
        let host = match (self.wildcard, other.wildcard) {
            (false, false) => self.host == other.host,
            (false, true) => false,
            (true, false) => below(&other.host),
            (true, true) => self.host == other.host || below(&other.host),
        };
        host && self.scheme == other.scheme && self.port == other.port
    }

    /// Whether a URL's origin is one of this rule's.
    pub fn allows(&self, url: &Url) -> bool {
        Self::of(url).is_some_and(|origin| self.covers(&origin))
    }

    /// The address, where the rule names one instead of a name.
    pub(crate) fn ip(&self) -> Option<std::net::IpAddr> {
        match Host::parse(&self.host).ok()? {
            Host::Ipv4(it) => Some(it.into()),
            Host::Ipv6(it) => Some(it.into()),
            Host::Domain(_) => None,
        }
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.wildcard { "*." } else { "" };
        write!(f, "{}://{star}{}", self.scheme, self.host)?;
        match (&*self.scheme, self.port) {
            ("https", 443) | ("http", 80) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

/// A granted directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirGrant {
    /// As `dirs` writes it, and as the plugin's paths begin.
    pub text: String,
    /// Where it is: absolute, resolved by whoever granted it.
    pub path: PathBuf,
}

/// How a credential is sent.
#[derive(Debug)]
pub enum Scheme {
    /// A header of any name.
    Header {
        name: String,
        value: Secret,
    },
    Basic {
        user: String,
        password: Secret,
    },
    Bearer(Secret),
    ClientCertificate {
        cert_pem: String,
        key_pem: Secret,
    },
    /// Signs DNS messages.
    Tsig(Box<TsigKey>),
    /// A kubeconfig's user, or a pod's service account.
    Kubeconfig(Box<Cluster>),
    /// Keys that sign requests to AWS, and to whoever else reads its signatures (version 4).
    SigV4(Arc<dyn Login>),
}

impl Scheme {
    /// The word that manifests and `credentials.yaml` use.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Header { .. } => "header",
            Self::Basic { .. } => "basic",
            Self::Bearer(_) => "bearer",
            Self::ClientCertificate { .. } => "client-certificate",
            Self::Tsig(_) => "tsig",
            Self::Kubeconfig(_) => "kubeconfig",
            Self::SigV4(_) => "sigv4",
        }
    }
}

/// A credential of the operator, and where it may be sent.
#[derive(Debug)]
pub struct Credential {
    /// As `credentials.yaml` names it.
    pub name: String,
    pub origins: Vec<HostRule>,
    /// The origins of a key for DNS messages.
    pub servers: Vec<DnsServer>,
    pub scheme: Scheme,
    /// Certificate authorities to trust besides the system's, for this credential's connections.
    pub ca_pem: Option<String>,
    /// What `slot:<credential>/…` means. By default the only origin.
    pub base: Option<Url>,
}

impl Credential {
    /// `base`, or the only origin where that is one host.
    #[must_use]
    pub fn base(&self) -> Option<Url> {
        match (&self.base, &*self.origins) {
            (Some(base), _) => Some(base.clone()),
            (None, [only]) if !only.wildcard => Url::parse(&only.to_string()).ok(),
            (None, _) => None,
        }
    }

    /// Where its value comes from, if that has an end.
    #[must_use]
    pub fn login(&self) -> Option<&Arc<dyn Login>> {
        match &self.scheme {
            Scheme::Kubeconfig(cluster) => Some(&cluster.login),
            Scheme::SigV4(login) => Some(login),
            Scheme::Header { .. }
            | Scheme::Basic { .. }
            | Scheme::Bearer(_)
            | Scheme::ClientCertificate { .. }
            | Scheme::Tsig(_) => None,
        }
    }
}

/// What fills a credential slot.
#[derive(Clone, Debug)]
pub struct Slot {
    /// For every phase but apply.
    pub read: Arc<Credential>,
    /// For apply; the same one where only one is given.
    pub write: Arc<Credential>,
}

/// What a provider may do.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    pub hosts: Vec<HostRule>,
    pub dirs: Vec<DirGrant>,
    pub dns: Vec<DnsServer>,
    pub credentials: BTreeMap<String, Slot>,
    /// Names of secrets that its documents may use.
    pub secrets: BTreeSet<String>,
    /// Requests beyond GET, HEAD and OPTIONS that only read.
    pub reads: Vec<ReadRule>,
}

impl Grant {
    /// What fills a credential slot, for a call that may change things (`writes`) or one that may not.
    pub(crate) fn slot(&self, name: &str, writes: bool) -> Result<&Arc<Credential>, String> {
        match self.credentials.get(name) {
            Some(slot) if writes => Ok(&slot.write),
            Some(slot) => Ok(&slot.read),
            None => Err(format!(
                "no credential fills the slot `{}`; add it to `credentials` of the provider",
                crate::log::clean(name, 64)
            )),
        }
    }
}

/// What `trueup.yaml` gives a provider, with directories resolved and credentials looked up.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub hosts: Vec<String>,
    pub dirs: Vec<DirGrant>,
    pub dns: Vec<String>,
    /// By slot.
    pub credentials: BTreeMap<String, Slot>,
    pub secrets: BTreeSet<String>,
    /// None: the plugin is bundled, and its own list holds.
    pub reads: Option<Vec<String>>,
}

/// What the operator allows at most. An absent part (None) allows everything.
#[derive(Clone, Debug, Default)]
pub struct Ceiling {
    pub hosts: Option<Vec<HostRule>>,
    pub dirs: Option<Vec<PathBuf>>,
    pub dns: Option<Vec<DnsServer>>,
    /// Names in `credentials.yaml`.
    pub credentials: Option<BTreeSet<String>>,
    pub secrets: Option<BTreeSet<String>>,
}

/// Works out what provider `alias` may do. `config` is its configuration, for manifests that ask for `config.<field>`.
///
/// # Errors
///
/// One line for each right that is given and cannot be granted, saying who would have to change what.
pub fn intersect(
    alias: &str,
    asked: &Manifest,
    config: &trueup_core::value::Json,
    given: &Given,
    ceiling: Option<&Ceiling>,
) -> Result<Grant, Vec<String>> {
    let mut decide = Decide { alias, plugin: &asked.name, refused: Vec::new() };
    let hosts = decide.hosts(&asked.hosts, config, &given.hosts, ceiling.and_then(|it| it.hosts.as_deref()));
    let dirs = decide.dirs(asked.dirs, &given.dirs, ceiling.and_then(|it| it.dirs.as_deref()));
    let dns = decide.dns(asked.dns, &given.dns, ceiling.and_then(|it| it.dns.as_deref()));
    let limit = ceiling.and_then(|it| it.credentials.as_ref());
    let credentials = decide.credentials(&asked.credentials, &given.credentials, limit);
    let secrets = decide.secrets(asked.secrets, &given.secrets, ceiling.and_then(|it| it.secrets.as_ref()));
    let reads = decide.reads(&asked.reads, given.reads.as_deref());
    let grant = Grant { hosts, dirs, dns, credentials, secrets, reads };
    if decide.refused.is_empty() { Ok(grant) } else { Err(decide.refused) }
}

struct Decide<'a> {
    alias: &'a str,
    plugin: &'a str,
    refused: Vec<String>,
}

impl Decide<'_> {
    fn refuse(&mut self, text: String) {
        self.refused.push(format!("provider `{}`: {text}", self.alias));
    }

    /// The narrower of each pair of an asked and a given rule.
    fn hosts(
        &mut self,
        asked: &[String],
        config: &trueup_core::value::Json,
        given: &[String],
        ceiling: Option<&[HostRule]>,
    ) -> Vec<HostRule> {
        let asked: Vec<HostRule> = asked.iter().flat_map(|it| asked_hosts(it, config)).collect();
        let mut granted = BTreeSet::new();
        for text in given {
            let rule = match HostRule::parse(text) {
                Ok(rule) => rule,
                Err(wrong) => {
                    self.refuse(format!("`hosts`: {wrong}"));
                    continue;
                }
            };
            if let Some(ceiling) = ceiling
                && !ceiling.iter().any(|it| it.covers(&rule))
            {
                self.refuse(format!(
                    "`{rule}` is not among the hosts that the operator allows; add it to the ceiling in `server.yaml`"
                ));
                continue;
            }
            let mut found = false;
            for it in &asked {
                let narrower = if it.covers(&rule) { &rule } else { it };
                if it.covers(&rule) || rule.covers(it) {
                    granted.insert(narrower.clone());
                    found = true;
                }
            }
            if !found {
                self.refuse(format!("plugin `{}` never asks for `{rule}`; take it out of `hosts`", self.plugin));
            }
        }
        granted.into_iter().collect()
    }

    fn dirs(&mut self, asked: bool, given: &[DirGrant], ceiling: Option<&[PathBuf]>) -> Vec<DirGrant> {
        if !asked && !given.is_empty() {
            self.refuse(format!("plugin `{}` works with no directories; take `dirs` out", self.plugin));
            return Vec::new();
        }
        let mut granted = Vec::new();
        for dir in given {
            if ceiling.is_none_or(|them| them.iter().any(|it| dir.path.starts_with(it))) {
                granted.push(dir.clone());
            } else {
                let path = dir.path.display();
                self.refuse(format!(
                    "`{}` ({path}) is in no directory that the operator allows; add it to the ceiling in `server.yaml`",
                    dir.text
                ));
            }
        }
        granted
    }

    fn dns(&mut self, asked: bool, given: &[String], ceiling: Option<&[DnsServer]>) -> Vec<DnsServer> {
        if !asked && !given.is_empty() {
            self.refuse(format!("plugin `{}` asks no DNS servers; take `dns` out", self.plugin));
            return Vec::new();
        }
        let mut granted = Vec::new();
        for text in given {
            match DnsServer::parse(text) {
                Ok(server) if ceiling.is_none_or(|them| them.contains(&server)) => granted.push(server),
                Ok(server) => self.refuse(format!(
                    "`{server}` is no DNS server that the operator allows; add it to the ceiling in `server.yaml`"
                )),
                Err(wrong) => self.refuse(format!("`dns`: `{}` {wrong}", crate::log::clean(text, 300))),
            }
        }
        granted
    }

    fn credentials(
        &mut self,
        asked: &BTreeMap<String, Vec<String>>,
        given: &BTreeMap<String, Slot>,
        ceiling: Option<&BTreeSet<String>>,
    ) -> BTreeMap<String, Slot> {
        let mut granted = BTreeMap::new();
        for (name, slot) in given {
            let Some(schemes) = asked.get(name) else {
                let slots: Vec<_> = asked.keys().map(String::as_str).collect();
                let has = if slots.is_empty() { "none".to_owned() } else { slots.join(", ") };
                self.refuse(format!("plugin `{}` has no credential slot `{name}`; its slots: {has}", self.plugin));
                continue;
            };
            let mut fits = true;
            for credential in [&slot.read, &slot.write] {
                let word = credential.scheme.word();
                if !schemes.is_empty() && !schemes.iter().any(|it| it == word) {
                    let takes = schemes.join(", ");
                    self.refuse(format!("slot `{name}` takes {takes}, and credential `{}` is {word}", credential.name));
                    fits = false;
                } else if ceiling.is_some_and(|them| !them.contains(&credential.name)) {
                    self.refuse(format!(
                        "credential `{}` is not among those that the operator allows; add it to the ceiling in `server.yaml`",
                        credential.name
                    ));
                    fits = false;
                }
                if !fits || slot.read.name == slot.write.name {
                    break;
                }
            }
            if fits {
                granted.insert(name.clone(), slot.clone());
            }
        }
        granted
    }

    fn secrets(&mut self, asked: bool, given: &BTreeSet<String>, ceiling: Option<&BTreeSet<String>>) -> BTreeSet<String> {
        if !asked && !given.is_empty() {
            self.refuse(format!("plugin `{}` takes no secrets; take `secrets` out", self.plugin));
            return BTreeSet::new();
        }
        let mut granted = BTreeSet::new();
        for name in given {
            if ceiling.is_none_or(|them| them.contains(name)) {
                granted.insert(name.clone());
            } else {
                self.refuse(format!(
                    "secret `{name}` is not among those that the operator allows; add it to the ceiling in `server.yaml`"
                ));
            }
        }
        granted
    }

    fn reads(&mut self, asked: &[String], given: Option<&[String]>) -> Vec<ReadRule> {
        let mut granted = Vec::new();
        for text in given.unwrap_or(asked) {
            if !asked.contains(text) {
                self.refuse(format!("plugin `{}` does not ask to count `{text}` as a read; take it out of `reads`", self.plugin));
                continue;
            }
            match ReadRule::parse(text) {
                Ok(rule) => granted.push(rule),
                Err(wrong) => self.refuse(format!("`reads`: {wrong}")),
            }
        }
        granted
    }
}

/// Asked hosts: an origin, or `config.<field>[.<field>]` for the origins of the URLs that stand there, alone or in a mapping.
fn asked_hosts(text: &str, config: &trueup_core::value::Json) -> Vec<HostRule> {
    let Some(path) = text.strip_prefix("config.") else { return HostRule::parse(text).into_iter().collect() };
    let Some(value) = path.split('.').try_fold(config, |at, field| at.get(field)) else { return Vec::new() };
    let alone = value.as_str().into_iter();
    let all = alone.chain(value.as_object().into_iter().flat_map(|it| it.values()).filter_map(|it| it.as_str()));
    all.filter_map(|it| HostRule::of(&Url::parse(it).ok()?)).collect()
}

#[cfg(test)]
mod tests;
