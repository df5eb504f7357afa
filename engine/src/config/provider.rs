//! One provider of `trueup.yaml`: which plugin, how it is configured, what it may reach.
//!
//! Invariant: what asks for rights (`plugin`, `hosts`, `dirs`, `dns`, `credential`, `secrets`, `reads`) is literal text; only
//! `config` may hold expressions, over `vars` and `env` alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use trueup_core::diagnostic::{Diagnostic, Location, codes};
use trueup_core::expression::{Evaluated, ExpressionError, NameError, Names, Template};
use trueup_core::value::Json;
use trueup_host::DnsServer;

use super::decode::{Decoder, is_name, shown};
use super::tree::{Node, Value};

/// Where a plugin's component comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginRef {
    /// Comes with the program, pinned by it.
    Bundled(String),
    /// A file, relative to the project's folder or absolute.
    Path(String),
    /// `oci://host/name:tag`, whole.
    Oci(String),
}

impl PluginRef {
    /// The text of `plugin:`, as `trueup.lock` names it.
    pub fn text(&self) -> &str {
        match self {
            Self::Bundled(text) | Self::Path(text) | Self::Oci(text) => text,
        }
    }

    /// Whether its digest must stand in `trueup.lock`.
    pub fn is_pinned_by_lock(&self) -> bool {
        !matches!(self, Self::Bundled(_))
    }

    /// Reads the text of `plugin:`; none where it names no plugin.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with("oci://") {
            let name = text.strip_prefix("oci://")?;
            let (host, path) = name.split_once('/')?;
            return (!host.is_empty() && !path.is_empty() && !name.contains(char::is_whitespace)).then(|| Self::Oci(text.into()));
        }
        if text.starts_with(['.', '/']) {
            return Some(Self::Path(text.into()));
        }
        is_name(text).then(|| Self::Bundled(text.into()))
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Names of entries of `credentials.yaml`: one for requests that read, one for all others. Often the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CredentialNames {
    pub read: String,
    pub write: String,
}

/// One provider, complete for one environment or for the project.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderConfig {
    pub plugin: PluginRef,
    /// An object. As written until [`ProviderConfig::evaluated`].
    pub config: Json,
    /// Directories, exactly as written: the plugin names them by this text.
    pub dirs: Vec<String>,
    /// `scheme://host[:port]`, with `*.` before the host at most.
    pub hosts: Vec<String>,
    /// `dns://host:port`.
    pub dns: Vec<String>,
    /// Fills the plugin's only credential slot.
    pub credential: Option<CredentialNames>,
    /// By slot.
    pub credentials: BTreeMap<String, CredentialNames>,
    pub secrets: Vec<String>,
    /// Requests beyond GET, HEAD and OPTIONS that count as reads.
    pub reads: Vec<String>,
    /// The alias that its resources had before, and where that is written.
    pub moved_from: Option<(String, Location)>,
    /// Where it is written.
    pub location: Location,
    /// Where strings of `config` that hold expressions stand, by pointer.
    places: BTreeMap<String, Location>,
}

/// Every key of a provider.
const KEYS: &[&str] =
    &["plugin", "config", "dirs", "hosts", "dns", "credential", "credentials", "secrets", "reads", "moved-from"];

impl ProviderConfig {
    /// The names of every credential it uses, each once, sorted.
    pub fn credential_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .credential
            .iter()
            .chain(self.credentials.values())
            .flat_map(|it| [it.read.as_str(), it.write.as_str()])
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Its configuration with every expression evaluated.
    pub(super) fn evaluated(&self, vars: &Json, environment: &str, decoder: &mut Decoder) -> Json {
        let mut config = self.config.clone();
        for (pointer, at) in &self.places {
            let Some(slot) = config.pointer_mut(pointer) else { continue };
            let template = slot.as_str().and_then(|text| Template::parse(text).ok().flatten());
            match template.map(|it| it.evaluate(&Settings { vars, environment })) {
                Some(Ok(Evaluated::Value(value))) => *slot = value,
                Some(Ok(Evaluated::Unknown(_) | Evaluated::Secret { .. })) | None => {}
                Some(Err(err)) => expression_error(decoder, &err, at),
            }
        }
        config
    }

    /// Reads one provider; none where something essential is missing.
    pub(super) fn read(decoder: &mut Decoder, alias: &str, node: &Node) -> Option<Self> {
        let what = format!("provider `{alias}`");
        let fields = decoder.fields(node, &what, KEYS);
        let plugin = decoder.required(fields, "plugin", &what).and_then(|node| {
            let text = literal(decoder, node, "plugin")?;
            let plugin = PluginRef::parse(&text);
            if plugin.is_none() {
                let hint = "the name of a bundled plugin, a path that begins with `./`, or `oci://host/name:tag`";
                decoder.error(&node.at, "this names no plugin").hint = Some(hint.into());
            }
            plugin
        });
        let mut config = Json::Object(trueup_core::value::Map::new());
        let mut places = BTreeMap::new();
        if let Some(node) = fields.get("config") {
            if matches!(node.value, Value::Map(_)) {
                config = node.json();
                find_expressions(decoder, node, &mut String::new(), &mut places);
            } else {
                decoder.error(&node.at, "`config` must be a mapping");
            }
        }
        let credentials = fields.get("credentials").map(|node| {
            decoder
                .members(node, "`credentials`")
                .iter()
                .filter_map(|it| Some((it.key.clone(), credential(decoder, &it.value)?)))
                .collect()
        });
        let credential = fields.get("credential").and_then(|node| credential(decoder, node));
        if let (Some(_), Some(node)) = (&credential, fields.get("credentials")) {
            decoder.error(&node.at, "`credential` and `credentials` exclude each other");
        }
        Some(Self {
            config,
            dirs: list(decoder, fields.get("dirs"), "`dirs`", dir_fault),
            hosts: list(decoder, fields.get("hosts"), "`hosts`", host_fault),
            dns: list(decoder, fields.get("dns"), "`dns`", dns_fault),
            credential,
            credentials: credentials.unwrap_or_default(),
            secrets: list(decoder, fields.get("secrets"), "`secrets`", secret_fault),
            reads: list(decoder, fields.get("reads"), "`reads`", read_fault),
            moved_from: fields
                .get("moved-from")
                .and_then(|it| Some((alias_text(decoder, it, "`moved-from`")?, it.at.location()))),
            location: node.at.location(),
            places,
            plugin: plugin?,
        })
    }
}

/// What expressions in `config` may name.
struct Settings<'a> {
    vars: &'a Json,
    environment: &'a str,
}

impl Names for Settings<'_> {
    fn var(&self, name: &str) -> Option<Cow<'_, Json>> {
        self.vars.get(name).map(Cow::Borrowed)
    }

    fn variables(&self) -> Vec<&str> {
        self.vars.as_object().map(|it| it.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    fn environment(&self) -> &str {
        self.environment
    }

    fn spec(&self, _: &str) -> Result<Cow<'_, Json>, NameError> {
        Err(NameError::missing("no resource can be named here", None))
    }

    fn status(&self, _: &str) -> Result<Option<Cow<'_, Json>>, NameError> {
        Err(NameError::missing("no resource can be named here", None))
    }

    fn secret_granted(&self, _: &str) -> bool {
        false
    }

    fn itself(&self) -> Option<Cow<'_, Json>> {
        None
    }
}

fn expression_error(decoder: &mut Decoder, err: &ExpressionError, at: &Location) {
    let mut finding = Diagnostic::error(err.code, err.message.clone()).at(at.clone());
    finding.hint.clone_from(&err.hint);
    decoder.found.push(finding);
}

/// Notes the places of strings with expressions, and judges what can be judged without values.
fn find_expressions(decoder: &mut Decoder, node: &Node, pointer: &mut String, places: &mut BTreeMap<String, Location>) {
    let length = pointer.len();
    match &node.value {
        Value::Plain(Json::String(text)) => match Template::parse(text) {
            Ok(None) => {}
            Ok(Some(template)) if template.is_static() => {
                places.insert(pointer.clone(), node.at.location());
            }
            Ok(Some(_)) => {
                let finding = decoder.error(&node.at, "an expression in `config` may name `vars` and `env` only");
                finding.code = codes::EXPRESSION_PLACE;
            }
            Err(err) => expression_error(decoder, &err, &node.at.location()),
        },
        Value::Plain(_) => {}
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{index}"));
                find_expressions(decoder, item, pointer, places);
                pointer.truncate(length);
            }
        }
        Value::Map(members) => {
            for member in members {
                pointer.push('/');
                pointer.push_str(&member.key.replace('~', "~0").replace('/', "~1"));
                find_expressions(decoder, &member.value, pointer, places);
                pointer.truncate(length);
            }
        }
    }
}

/// A text that asks for a right: no expression may stand in it.
fn literal(decoder: &mut Decoder, node: &Node, what: &str) -> Option<String> {
    let text = decoder.text(node, &format!("`{what}`"))?.to_owned();
    if text.contains("${{") {
        let finding = decoder.error(&node.at, format!("no expression may stand in `{what}`"));
        finding.code = codes::EXPRESSION_PLACE;
        finding.hint =
            Some("what a provider may reach is literal, so that it can be judged; give each environment its own".into());
        return None;
    }
    Some(text)
}

/// A list of texts that ask for rights, each judged by `fault`.
fn list(decoder: &mut Decoder, node: Option<&Node>, what: &str, fault: fn(&str) -> Option<&'static str>) -> Vec<String> {
    let mut out = Vec::new();
    for (text, at) in decoder.texts(node, what) {
        if text.contains("${{") {
            let finding = decoder.error(at, format!("no expression may stand in {what}"));
            finding.code = codes::EXPRESSION_PLACE;
        } else if let Some(fault) = fault(text) {
            decoder.error(at, format!("`{}` in {what} {fault}", shown(text)));
        } else {
            out.push(text.to_owned());
        }
    }
    out
}

fn credential(decoder: &mut Decoder, node: &Node) -> Option<CredentialNames> {
    if matches!(node.value, Value::Map(_)) {
        let fields = decoder.fields(node, "a credential", &["read", "write"]);
        let mut side = |key| {
            let node = decoder.required(fields, key, "a credential")?;
            credential_name(decoder, node)
        };
        return Some(CredentialNames { read: side("read")?, write: side("write")? });
    }
    let name = credential_name(decoder, node)?;
    Some(CredentialNames { read: name.clone(), write: name })
}

fn credential_name(decoder: &mut Decoder, node: &Node) -> Option<String> {
    let text = literal(decoder, node, "credential")?;
    if secret_fault(&text).is_some() {
        decoder
            .error(&node.at, "a credential is named by letters, digits, `.`, `_` and `-`; its value stands in credentials.yaml");
        return None;
    }
    Some(text)
}

/// Aliases that would read like an `apiVersion` of Kubernetes.
const TAKEN: &[&str] = &["v1", "apps", "batch", "autoscaling", "policy", "extensions"];

/// Judges an alias; the words say what is wrong.
pub(crate) fn alias_fault(alias: &str) -> Option<&'static str> {
    if !is_name(alias) {
        return Some("must be 1 to 40 of `a-z`, `0-9` and `-`");
    }
    TAKEN.contains(&alias).then_some("is a group of Kubernetes and cannot be an alias")
}

fn alias_text(decoder: &mut Decoder, node: &Node, what: &str) -> Option<String> {
    let text = decoder.text(node, what)?.to_owned();
    if let Some(fault) = alias_fault(&text) {
        decoder.error(&node.at, format!("{what} {fault}"));
        return None;
    }
    Some(text)
}

pub(crate) fn dir_fault(text: &str) -> Option<&'static str> {
    let trimmed = text.strip_prefix('/').unwrap_or(text);
    if text.contains('\0') || trimmed.split('/').enumerate().any(|(at, part)| part.is_empty() && (at > 0 || !trimmed.is_empty()))
    {
        return Some("is not a clean path: no empty part, no `/` at its end");
    }
    None
}

fn port_fault(port: Option<&str>) -> bool {
    port.is_some_and(|it| it.is_empty() || it.parse::<u16>().map_or(true, |it| it == 0))
}

/// Whether it is a host name or address, with `*.` in front at most.
fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |it: &str| {
        !it.is_empty() && it.len() <= 63 && it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
    };
    name.len() <= 253 && name.split('.').all(label) && (name.len() == text.len() || name.contains('.'))
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

pub(crate) fn host_fault(text: &str) -> Option<&'static str> {
    let Some((scheme, authority)) = text.split_once("://") else { return Some("needs a scheme: `https://example.com`") };
    let (host, port) = split_port(authority);
    if !matches!(scheme, "http" | "https") {
        return Some("must be `http://` or `https://`");
    }
    (!is_host(host) || port_fault(port))
        .then_some("must be scheme, host (`*.` once, in front) and port, without a path: `https://*.example.com:8443`")
}

pub(crate) fn dns_fault(text: &str) -> Option<&'static str> {
    DnsServer::parse(text).err()
}

pub(crate) fn secret_fault(text: &str) -> Option<&'static str> {
    let fits = (1..=253).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it));
    (!fits).then_some("must be letters, digits, `.`, `_` and `-`")
}

pub(crate) fn read_fault(text: &str) -> Option<&'static str> {
    if let Some((method, path)) = text.split_once(' ') {
        let method = !method.is_empty() && method.bytes().all(|it| it.is_ascii_uppercase());
        if method && path.starts_with('/') && !path.contains(char::is_whitespace) {
            return None;
        }
    }
    let named = text.split_once('=').filter(|(key, _)| matches!(*key, "X-Amz-Target" | "Action"));
    if named.is_some_and(|(_, value)| !value.is_empty() && !value.contains(char::is_whitespace)) {
        return None;
    }
    Some("must be `METHOD /path`, `X-Amz-Target=name` or `Action=name`")
}
