//! From the text of `credentials.yaml` to entries: every key judged, no value read.

use std::path::Path;

use trueup_core::value::Json;
use trueup_host::{HostRule, TsigAlgorithm};
use url::Url;

use super::{Entry, Means, Source, cluster};
use crate::config::decode::{Decoder, Fields, shown};
use crate::config::paths;
use crate::config::provider::dns_fault;
use crate::config::tree::{Node, Place, Value};

/// Reads entries. Relative paths are those of the file's folder.
pub(super) struct Reader<'a> {
    pub decoder: Decoder,
    pub folder: &'a Path,
}

/// Every kind of entry.
const SCHEMES: &[&str] = &["header", "basic", "bearer", "client-certificate", "sigv4", "kubeconfig", "in-cluster", "tsig"];

impl Reader<'_> {
    /// One entry; none where it is wrong.
    pub fn entry(&mut self, node: &Node, what: &str) -> Option<Entry> {
        let mut keys = vec!["origins", "ca", "base", "git", "registry", "insecure", "exec"];
        keys.extend(SCHEMES);
        let fields = self.decoder.fields(node, what, &keys);
        let used: Vec<(&'static str, &Node)> = SCHEMES.iter().filter_map(|it| Some((*it, fields.get(it)?))).collect();
        let means = match used.as_slice() {
            [("kubeconfig", value)] => self.kubeconfig(value, fields),
            [("sigv4", value)] => {
                let exec = self.exec(fields);
                self.sigv4(value, exec).map(|it| Means::SigV4(Box::new(it)))
            }
            [(scheme, value)] => self.means(scheme, value, what),
            _ => {
                let all: Vec<_> = SCHEMES.iter().map(|it| format!("`{it}`")).collect();
                self.decoder.error(fields.at, format!("{what} needs exactly one of {}", all.join(", ")));
                None
            }
        };
        let dns = matches!(used.as_slice(), [("tsig", _)]);
        let kubeconfig = matches!(used.as_slice(), [("kubeconfig", _)]);
        let cluster = kubeconfig || matches!(used.as_slice(), [("in-cluster", _)]);
        if let Some(node) = fields.get("insecure").filter(|_| !kubeconfig) {
            self.decoder.error(&node.at, "`insecure` is for `kubeconfig` alone");
        }
        let profile = matches!(used.as_slice(), [("sigv4", node)] if has(node, "profile"));
        if let Some(node) = fields.get("exec").filter(|_| !kubeconfig && !profile) {
            self.decoder.error(&node.at, "`exec` is for `kubeconfig` and for a `profile` of `sigv4` alone");
        }
        let origins = self.origins(fields, what, dns, cluster);
        let ca = fields.get("ca").and_then(|node| self.source(node, "`ca`"));
        let base = fields.get("base").and_then(|node| self.base(node, &origins));
        let [git, registry] = ["git", "registry"].map(|key| self.flag(fields, key));
        Some(Entry { origins, means: means?, ca, base, git, registry })
    }

    fn flag(&mut self, fields: Fields<'_>, key: &str) -> bool {
        match fields.get(key).map(|it| (&it.value, &it.at)) {
            None => false,
            Some((Value::Plain(Json::Bool(flag)), _)) => *flag,
            Some((_, at)) => {
                self.decoder.error(at, format!("`{key}` must be `true` or `false`"));
                false
            }
        }
    }

    fn origins(&mut self, fields: Fields<'_>, what: &str, dns: bool, optional: bool) -> Vec<String> {
        let node = if optional { fields.get("origins") } else { self.decoder.required(fields, "origins", what) };
        let mut out = Vec::new();
        for (text, at) in self.decoder.texts(node, "`origins`") {
            let fault = if dns { dns_fault(text).map(str::to_owned) } else { HostRule::parse(text).err() };
            match fault {
                Some(fault) if dns => drop(self.decoder.error(at, format!("`{}` {fault}", shown(text)))),
                Some(fault) => drop(self.decoder.error(at, fault)),
                None => out.push(text.to_owned()),
            }
        }
        if let Some(node) = node
            && matches!(&node.value, Value::List(items) if items.is_empty())
        {
            self.decoder.error(&node.at, format!("{what} may be sent nowhere")).hint =
                Some("such as `[\"https://api.example.com\"]`".into());
        }
        out
    }

    /// What `slot:` means: a URL of one of the entry's origins.
    fn base(&mut self, node: &Node, origins: &[String]) -> Option<Url> {
        let text = self.decoder.text(node, "`base`")?;
        let url = Url::parse(text).ok().filter(|it| it.username().is_empty() && it.password().is_none() && it.query().is_none());
        let known = |url: &Url| origins.iter().any(|it| HostRule::parse(it).is_ok_and(|it| it.allows(url)));
        let base = url.filter(known);
        if base.is_none() {
            self.decoder.error(&node.at, "`base` must be a URL of one of the `origins`, without user and query");
        }
        base
    }

    fn means(&mut self, scheme: &'static str, node: &Node, what: &str) -> Option<Means> {
        match scheme {
            "header" => {
                let members = self.decoder.members(node, "`header`");
                let [member] = members else {
                    self.decoder.error(&node.at, "`header` must have one name and its value").hint =
                        Some("such as `header: {X-API-Key: {env: API_KEY}}`".into());
                    return None;
                };
                let token = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
                if member.key.is_empty() || !member.key.bytes().all(token) {
                    self.decoder.error(&member.at, "this is not the name of a header");
                }
                Some(Means::Header { name: member.key.clone(), value: self.source(&member.value, what)? })
            }
            "bearer" => Some(Means::Bearer(self.source(node, what)?)),
            "basic" => {
                let [user, password] = self.sources(node, "`basic`", ["user", "password"])?;
                Some(Means::Basic { user, password })
            }
            "client-certificate" => {
                let [cert, key] = self.sources(node, "`client-certificate`", ["cert", "key"])?;
                Some(Means::ClientCertificate { cert, key })
            }
            "in-cluster" => match node.value {
                Value::Plain(Json::Bool(true)) => Some(Means::InCluster),
                _ => {
                    self.decoder.error(&node.at, "`in-cluster` must be `true`");
                    None
                }
            },
            _ => self.tsig(node),
        }
    }

    /// A kubeconfig, with what else the entry says of it.
    fn kubeconfig(&mut self, node: &Node, entry: Fields<'_>) -> Option<Means> {
        let fields = self.decoder.fields(node, "`kubeconfig`", &["file", "context"]);
        let context = fields.get("context").map(|it| self.decoder.text(it, "`context`").map(str::to_owned));
        let file = self.decoder.required(fields, "file", "`kubeconfig`").and_then(|it| self.decoder.text(it, "`file`"));
        let file = file.map(|it| self.folder.join(paths::expand(it, paths::home().as_deref())));
        let insecure = self.flag(entry, "insecure");
        let exec = self.exec(entry);
        Some(Means::Kubeconfig(cluster::Asked {
            file: file?,
            context: context.map_or(Some(None), |it| it.map(Some))?,
            insecure,
            exec,
        }))
    }

    /// Programs that may be run to log in.
    fn exec(&mut self, entry: Fields<'_>) -> Vec<String> {
        let mut exec = Vec::new();
        for (text, at) in self.decoder.texts(entry.get("exec"), "`exec`") {
            let path = paths::expand(text, paths::home().as_deref());
            // A path that is relative would mean another program with every folder that it could begin at.
            if text.contains('/') && !path.is_absolute() {
                self.decoder.error(at, "a program of `exec` is a name, or a path from `/` or `~/` on");
            }
            exec.push(path.to_string_lossy().into_owned());
        }
        exec
    }

    /// A key for DNS messages. Its name is no secret and stands in the file, as in the server's own.
    fn tsig(&mut self, node: &Node) -> Option<Means> {
        let fields = self.decoder.fields(node, "`tsig`", &["name", "algorithm", "secret"]);
        let [name, algorithm, secret] = ["name", "algorithm", "secret"].map(|key| self.decoder.required(fields, key, "`tsig`"));
        let secret = self.source(secret?, "`secret`");
        let name = self.decoder.text(name?, "`name`")?.to_owned();
        let at = algorithm?;
        match TsigAlgorithm::parse(self.decoder.text(at, "`algorithm`")?) {
            Ok(algorithm) => Some(Means::Tsig { name, algorithm, secret: secret? }),
            Err(wrong) => {
                self.decoder.error(&at.at, format!("`algorithm` {wrong}"));
                None
            }
        }
    }

    fn sources<const N: usize>(&mut self, node: &Node, what: &str, keys: [&str; N]) -> Option<[Source; N]> {
        let fields = self.decoder.fields(node, what, &keys);
        let found: Vec<Option<Source>> = keys
            .iter()
            .map(|key| {
                let node = self.decoder.required(fields, key, what)?;
                self.source(node, &format!("`{key}`"))
            })
            .collect();
        found.into_iter().collect::<Option<Vec<_>>>()?.try_into().ok()
    }

    /// `{env: NAME}` or `{file: PATH}`.
    pub fn source(&mut self, node: &Node, what: &str) -> Option<Source> {
        if !matches!(node.value, Value::Map(_)) {
            return self.literal(&node.at, what);
        }
        let fields = self.decoder.fields(node, what, &["env", "file"]);
        let (env, file) = (fields.get("env"), fields.get("file"));
        match (env, file) {
            (Some(node), None) => {
                let name = self.decoder.text(node, "`env`")?;
                if name.contains(['=', '\0']) {
                    self.decoder.error(&node.at, "this cannot be the name of a variable");
                    return None;
                }
                Some(Source::Env(name.to_owned()))
            }
            (None, Some(node)) => {
                let text = self.decoder.text(node, "`file`")?;
                Some(Source::File(self.folder.join(paths::expand(text, paths::home().as_deref()))))
            }
            _ => self.literal(fields.at, what),
        }
    }

    /// A value that stands in the file is refused and not repeated.
    fn literal(&mut self, at: &Place, what: &str) -> Option<Source> {
        let message = format!("the value of {what} must be `{{env: NAME}}` or `{{file: PATH}}`, never the value itself");
        self.decoder.error(at, message);
        None
    }
}

/// Whether a mapping has a key.
fn has(node: &Node, key: &str) -> bool {
    matches!(&node.value, Value::Map(members) if members.iter().any(|it| it.key == key))
}
