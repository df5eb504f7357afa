//! `credentials.yaml`: the operator's secrets, and where each may be sent.
//!
//! Owns the file's form and the way from an entry to a [`Credential`] of the host. It lies outside any repository and is
//! refused when others can read it. Values are read when they are needed and not before: a run that uses no secret opens
//! no file of one.
//!
//! Invariant: no value ever stands in the file, in an error, in `Debug` text or in a field of these types; only
//! [`Secret`]s hold them, for as long as their user lives.

mod aws;
mod cluster;
mod moment;
mod program;
mod read;
mod renewed;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::schema::suggest;
use trueup_host::{Credential, DnsServer, HostRule, Scheme, Secret, TsigAlgorithm, TsigKey};
use url::Url;

use self::read::Reader;
use super::decode::{Decoder, shown};
use super::provider::secret_fault;
use super::tree;
use crate::private;
use crate::source::{Remote, RemoteUrl};

/// Bytes of a secret, a certificate or a key.
const VALUE_BYTES: u64 = 1 << 20;

/// Where a value is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A variable of the environment.
    Env(String),
    /// A file, without the line end at its end.
    File(PathBuf),
}

/// How an entry is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Means {
    Header {
        name: String,
        value: Source,
    },
    Basic {
        user: Source,
        password: Source,
    },
    Bearer(Source),
    ClientCertificate {
        cert: Source,
        key: Source,
    },
    Tsig {
        name: String,
        algorithm: TsigAlgorithm,
        secret: Source,
    },
    Kubeconfig(cluster::Asked),
    /// The service account of the pod that this runs in.
    InCluster,
    /// Keys that sign.
    SigV4(Box<aws::Asked>),
}

/// One entry.
#[derive(Clone, Debug)]
struct Entry {
    origins: Vec<String>,
    means: Means,
    ca: Option<Source>,
    base: Option<Url>,
    git: bool,
    registry: bool,
}

/// Everything in the file, no value read yet.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    path: PathBuf,
    /// Whether there is a file.
    exists: bool,
    entries: BTreeMap<String, Entry>,
    secrets: BTreeMap<String, Source>,
    /// Credentials that were opened and have an end: they are renewed while they are used, and are so once for all who use them.
    opened: Arc<Mutex<BTreeMap<String, Arc<Credential>>>>,
}

/// Whole header lines, secret, and certificate authorities in PEM.
type Sent = (Vec<String>, Option<String>);

/// Why a credential or secret cannot be used. Never holds a value.
#[derive(Debug)]
enum Fault {
    /// The file has no such entry.
    Missing { what: &'static str, name: String, path: PathBuf, exists: bool, near: Option<String> },
    /// The entry is there, its value is not.
    Value { name: String, what: String },
    /// The entry is of a kind that this version does not send there.
    Later { name: String, scheme: &'static str },
    /// Several entries are for one Git remote or registry.
    Several { origin: String, names: Vec<String>, use_of: &'static str, key: &'static str },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { what, name, path, exists: false, .. } => {
                write!(f, "there is no {what} `{name}`: the file `{}` does not exist", path.display())
            }
            Self::Missing { what, name, path, near, .. } => {
                write!(f, "there is no {what} `{name}` in `{}`", path.display())?;
                near.as_ref().map_or(Ok(()), |near| write!(f, "; did you mean `{near}`?"))
            }
            Self::Value { name, what } => write!(f, "`{name}` of the credentials cannot be used: {what}"),
            Self::Later { name, scheme } => {
                write!(f, "credential `{name}` is of the kind `{scheme}`, which this version does not send there yet")
            }
            Self::Several { origin, names, use_of, key } => {
                let names: Vec<_> = names.iter().map(|it| format!("`{it}`")).collect();
                write!(f, "{} are all for {use_of} at {origin}; leave `{key}: true` in one", names.join(", "))
            }
        }
    }
}

impl From<Fault> for Diagnostic {
    fn from(fault: Fault) -> Self {
        let finding = Self::error(codes::CREDENTIALS, fault.to_string());
        match fault {
            Fault::Missing { .. } => finding.hint("`trueup help credentials` shows what stands in the file"),
            Fault::Value { .. } | Fault::Later { .. } | Fault::Several { .. } => finding,
        }
    }
}

impl Credentials {
    /// Reads the file. Where there is none, nothing is known; `named` says that the operator named it, so it must be there.
    ///
    /// # Errors
    ///
    /// Every finding of the file; that others can read it is one.
    pub fn open(path: &Path, named: bool) -> Result<Self, Vec<Diagnostic>> {
        let fail = |words: String, hint: &str| {
            let message = format!("`{}`: {words}", path.display());
            vec![Diagnostic::error(codes::CREDENTIALS, message).hint(hint)]
        };
        let bytes = private::read_or_drain(path, tree::BYTES as u64)
            .map_err(|err| fail(err.to_string(), "only you may read it: mode 0600"))?;
        match bytes {
            Some(bytes) => Self::parse(path, &bytes),
            None if named => Err(fail("there is no such file".into(), "check the path after `--credentials`")),
            None => Ok(Self { path: path.to_owned(), ..Self::default() }),
        }
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut credentials = Self { path: path.to_owned(), exists: true, ..Self::default() };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(credentials);
        }
        let name = path.to_string_lossy().into_owned();
        let root = tree::read(&name.as_str().into(), bytes, codes::CREDENTIALS)
            .map_err(|found| found.into_iter().map(without_text).collect::<Vec<_>>())?;
        let mut decoder = Decoder::new(codes::CREDENTIALS);
        let fields = decoder.fields(&root, "the file", &["credentials", "secrets"]);
        let mut reader = Reader { decoder, folder };
        for (key, what) in [("credentials", "a credential"), ("secrets", "a secret")] {
            let Some(node) = fields.get(key) else { continue };
            for member in reader.decoder.members(node, &format!("`{key}`")) {
                if let Some(fault) = secret_fault(&member.key) {
                    reader.decoder.error(&member.at, format!("the name of {what} {fault}"));
                } else if key == "secrets" {
                    let source = reader.source(&member.value, &format!("the secret `{}`", member.key));
                    credentials.secrets.extend(source.map(|it| (member.key.clone(), it)));
                } else {
                    let entry = reader.entry(&member.value, &format!("the credential `{}`", member.key));
                    credentials.entries.extend(entry.map(|it| (member.key.clone(), it)));
                }
            }
        }
        let found = reader.decoder.into_found();
        if found.is_empty() { Ok(credentials) } else { Err(found) }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A credential with its values read now.
    ///
    /// # Errors
    ///
    /// Where there is no such entry, its value cannot be read, or this version does not send its kind.
    pub fn credential(&self, name: &str) -> Result<Arc<Credential>, Diagnostic> {
        let known = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = known().get(name) {
            return Ok(Arc::clone(opened));
        }
        let credential = Arc::new(self.get(name)?);
        if credential.login().is_some() {
            known().insert(name.to_owned(), Arc::clone(&credential));
        }
        Ok(credential)
    }

    fn get(&self, name: &str) -> Result<Credential, Fault> {
        let entry = self.entries.get(name).ok_or_else(|| self.missing("credential", name, self.entries.keys()))?;
        let value = |source: &Source| value_of(name, source);
        let wrong = |what: String| Fault::Value { name: name.to_owned(), what };
        let scheme = match &entry.means {
            Means::Kubeconfig(asked) => return of_cluster(name, entry, cluster::open(asked).map_err(wrong)?),
            Means::InCluster => return of_cluster(name, entry, cluster::Pod::ours().open().map_err(wrong)?),
            Means::Header { name, value: source } => Scheme::Header { name: name.clone(), value: value(source)? },
            Means::Basic { user, password } => {
                Scheme::Basic { user: value(user)?.expose().to_owned(), password: value(password)? }
            }
            Means::Bearer(source) => Scheme::Bearer(value(source)?),
            Means::ClientCertificate { cert, key } => {
                Scheme::ClientCertificate { cert_pem: value(cert)?.expose().to_owned(), key_pem: value(key)? }
            }
            Means::Tsig { name: key, algorithm, secret } => {
                Scheme::Tsig(Box::new(TsigKey::new(key, *algorithm, &value(secret)?).map_err(|what| wrong(what.to_owned()))?))
            }
            Means::SigV4(asked) => {
                let ca = entry.ca.as_ref().map(value).transpose()?.map(|it| it.expose().to_owned());
                Scheme::SigV4(aws::open(asked, ca, aws::Around::ours()).map_err(wrong)?)
            }
        };
        let (mut origins, mut servers) = (Vec::new(), Vec::new());
        for text in &entry.origins {
            match &scheme {
                Scheme::Tsig(_) => servers.push(DnsServer::parse(text).map_err(|what| wrong(what.to_owned()))?),
                _ => origins.push(HostRule::parse(text).map_err(wrong)?),
            }
        }
        Ok(Credential {
            name: name.to_owned(),
            origins,
            servers,
            scheme,
            ca_pem: entry.ca.as_ref().map(value).transpose()?.map(|it| it.expose().to_owned()),
            base: entry.base.clone(),
        })
    }

    /// Whether an entry of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// A secret, read now.
    ///
    /// # Errors
    ///
    /// Words for people, never with the value in them, where there is no such secret or it cannot be read.
    pub fn secret(&self, name: &str) -> Result<String, String> {
        let source = self.secrets.get(name).ok_or_else(|| self.missing("secret", name, self.secrets.keys()).to_string())?;
        value_of(name, source).map(|it| it.expose().to_owned()).map_err(|fault| fault.to_string())
    }

    /// A Git remote with what it is sent: that of the only entry with `git: true` whose origin is the URL's, or nothing.
    ///
    /// # Errors
    ///
    /// Where several entries fit, or the one that does cannot be read or cannot be sent to Git.
    pub fn remote(&self, url: &Url) -> Result<Remote, Vec<Diagnostic>> {
        let sent = self.for_git(url).map_err(|fault| vec![fault.into()])?;
        let (headers, ca) = sent.unwrap_or_default();
        Ok(Remote { url: RemoteUrl::Http(url.clone()), headers, ca })
    }

    /// What a registry of plugins is sent: the only entry with `registry: true` whose origin is the URL's, or nothing. It may be
    /// for further origins, such as that of the registry's token server, and is sent to no other.
    ///
    /// # Errors
    ///
    /// Where several entries fit, or the one that does cannot be read or is nothing that registries take.
    pub fn registry(&self, url: &Url) -> Result<Option<Arc<Credential>>, Diagnostic> {
        let Some(name) = self.only(url, |it| it.registry, "the registry", "registry")? else { return Ok(None) };
        let credential = self.get(name)?;
        match credential.scheme {
            Scheme::Basic { .. } | Scheme::Bearer(_) => Ok(Some(Arc::new(credential))),
            ref scheme => Err(Fault::Later { name: name.clone(), scheme: scheme.word() }.into()),
        }
    }

    /// The only entry of that use whose origins hold the URL's.
    fn only(
        &self,
        url: &Url,
        used: impl Fn(&Entry) -> bool,
        use_of: &'static str,
        key: &'static str,
    ) -> Result<Option<&String>, Fault> {
        let fits = |it: &Entry| used(it) && it.origins.iter().any(|it| HostRule::parse(it).is_ok_and(|it| it.allows(url)));
        let names: Vec<&String> = self.entries.iter().filter(|it| fits(it.1)).map(|it| it.0).collect();
        match names.as_slice() {
            [] => Ok(None),
            [name] => Ok(Some(*name)),
            _ => {
                let origin = url.origin().ascii_serialization();
                Err(Fault::Several { origin, names: names.into_iter().cloned().collect(), use_of, key })
            }
        }
    }

    /// Whole header lines and certificate authorities.
    fn for_git(&self, url: &Url) -> Result<Option<Sent>, Fault> {
        let Some(name) = self.only(url, |it| it.git, "Git", "git")? else { return Ok(None) };
        let Credential { scheme, ca_pem, .. } = self.get(name)?;
        let header = match scheme {
            Scheme::Header { name, value } => format!("{name}: {}", value.expose()),
            Scheme::Basic { user, password } => {
                format!("Authorization: Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", password.expose())))
            }
            Scheme::Bearer(token) => format!("Authorization: Bearer {}", token.expose()),
            scheme @ (Scheme::ClientCertificate { .. } | Scheme::Tsig(_) | Scheme::Kubeconfig(_) | Scheme::SigV4(_)) => {
                return Err(Fault::Later { name: name.clone(), scheme: scheme.word() });
            }
        };
        if header.contains(['\r', '\n', '\0']) {
            return Err(Fault::Value { name: name.clone(), what: "its value cannot stand in a header".into() });
        }
        Ok(Some((vec![header], ca_pem)))
    }

    fn missing<'a>(&self, what: &'static str, name: &str, names: impl Iterator<Item = &'a String>) -> Fault {
        let near = suggest::nearest(name, names.map(String::as_str)).map(str::to_owned);
        Fault::Missing { what, name: shown(name), path: self.path.clone(), exists: self.exists, near }
    }
}

/// A finding of the YAML reader without its words: they may quote a value that stands where none should.
fn without_text(finding: Diagnostic) -> Diagnostic {
    let title = codes::ALL.iter().find(|it| it.0 == finding.code).map_or("the file cannot be read", |it| it.1);
    Diagnostic { message: title.to_owned(), hint: None, ..finding }
}

/// The credential of a cluster: for its server alone, unless the entry has origins of its own.
fn of_cluster(name: &str, entry: &Entry, opened: cluster::Opened) -> Result<Credential, Fault> {
    let wrong = |what: String| Fault::Value { name: name.to_owned(), what };
    let cluster::Opened { server, ca_pem, cluster } = opened;
    let origins = if entry.origins.is_empty() {
        HostRule::of(&server).into_iter().collect()
    } else {
        entry.origins.iter().map(|it| HostRule::parse(it)).collect::<Result<Vec<_>, _>>().map_err(wrong)?
    };
    if entry.base.is_none() && !origins.iter().any(|it| it.allows(&server)) {
        let (whose, origin) = (cluster.login.whose(), server.origin().ascii_serialization());
        return Err(wrong(format!(
            "{whose}: its server {origin} is none of the `origins`; add it there, or leave `origins` out"
        )));
    }
    let own = entry.ca.as_ref().map(|it| value_of(name, it)).transpose()?;
    let ca_pem = match (ca_pem, own) {
        (Some(one), Some(other)) => Some(format!("{one}\n{}", other.expose())),
        (one, other) => one.or_else(|| other.map(|it| it.expose().to_owned())),
    };
    let base = Some(entry.base.clone().unwrap_or(server));
    let scheme = Scheme::Kubeconfig(Box::new(cluster));
    Ok(Credential { name: name.to_owned(), origins, servers: Vec::new(), scheme, ca_pem, base })
}

/// A value of an entry.
fn value_of(name: &str, source: &Source) -> Result<Secret, Fault> {
    read_value(source).map_err(|what| Fault::Value { name: name.to_owned(), what })
}

/// Reads a value. One line end at the end of a file belongs to the file, not to the value.
fn read_value(source: &Source) -> Result<Secret, String> {
    let text = match source {
        Source::Env(variable) => match std::env::var(variable) {
            Ok(text) => text,
            Err(std::env::VarError::NotPresent) => return Err(format!("the variable `{variable}` is not set")),
            Err(std::env::VarError::NotUnicode(_)) => return Err(format!("the variable `{variable}` is not UTF-8")),
        },
        Source::File(path) => {
            let show = path.display();
            let read = |path: &Path| -> io::Result<Vec<u8>> {
                let mut bytes = Vec::new();
                File::open(path)?.take(VALUE_BYTES + 1).read_to_end(&mut bytes)?;
                Ok(bytes)
            };
            let bytes = read(path).map_err(|err| format!("the file `{show}` cannot be read: {err}"))?;
            if bytes.len() as u64 > VALUE_BYTES {
                return Err(format!("the file `{show}` is longer than 1 MiB"));
            }
            let mut text = String::from_utf8(bytes).map_err(|_| format!("the file `{show}` is not UTF-8"))?;
            if text.ends_with('\n') {
                text.pop();
                if text.ends_with('\r') {
                    text.pop();
                }
            }
            text
        }
    };
    if text.is_empty() {
        return Err("its value is empty".into());
    }
    Ok(Secret::new(text))
}
