//! Clusters: what a kubeconfig's context or a pod's service account says of the server, and who logs in there.
//!
//! Owns the way from such a file to a [`Cluster`] of the host. A kubeconfig is the operator's, as `credentials.yaml` is: it is
//! refused when others can read it, and only a program that `credentials.yaml` names is run for it. Whatever kubectl would do
//! and we do not is refused with the reason, never left out: who acts with less care than the file asks for acts wrongly.
//!
//! Invariant: no value of such a file stands in a message; names of contexts, users and files do.

mod exec;
mod login;
mod parts;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use trueup_core::diagnostic::codes;
use trueup_core::manifest::YamlDialect;
use trueup_host::{Cluster, Secret};
use url::{Host, Url};

use self::exec::Program;
use self::login::{Authorization, Pem, User};
use self::parts::Part;
use super::program;
use super::renewed::Renewed;
use crate::config::tree;
use crate::{private, regular};

/// Bytes of a kubeconfig, a certificate, a key or a token.
const BYTES: u64 = 1 << 20;
/// How long the token of a file is believed to be the file's.
const TOKEN_FILE: Duration = Duration::from_secs(10);
/// The same of a pod's token, which the kubelet replaces long before its end.
const POD_TOKEN: Duration = Duration::from_mins(1);
/// Where a pod finds its token and its cluster's authority.
const POD_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What an entry of `credentials.yaml` says of a kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub file: PathBuf,
    /// None: the file's `current-context`.
    pub context: Option<String>,
    /// Whether a server may be spoken with whose certificate is not looked at, or that has none.
    pub insecure: bool,
    /// Programs that may be run for it, as the kubeconfig writes them.
    pub exec: Vec<String>,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Opened {
    pub server: Url,
    pub ca_pem: Option<String>,
    pub cluster: Cluster,
}

/// Reads a context. No program is run and no token asked for yet.
///
/// # Errors
///
/// Words that name the file, the context and the user as far as they are known, and say what to do.
pub(super) fn open(asked: &Asked) -> Result<Opened, String> {
    let file = asked.file.display();
    let bytes = private::read(&asked.file, BYTES).map_err(|why| format!("`{file}`: {why}"))?;
    let bytes = bytes.ok_or_else(|| format!("there is no file `{file}`"))?;
    let name = asked.file.to_string_lossy().into_owned();
    // The words of the YAML reader may quote what stands there.
    let root = tree::read_as(&name.as_str().into(), &bytes, codes::CREDENTIALS, YamlDialect::Kubectl).map_err(|found| {
        let at = found.first().and_then(|it| it.location.as_ref()).map_or(1, |it| it.line);
        format!("`{file}` is no YAML that can be read: see line {at}")
    })?;
    let root = Part::new(&root, "the file").map_err(|why| format!("`{file}`: {why}"))?;
    let context = choose(&root, asked).map_err(|why| format!("`{file}`: {why}"))?;
    let whose = format!("context `{context}` of `{file}`");
    read(&root, &context, asked, &whose).map_err(|(whose, why)| format!("{whose}: {why}"))
}

/// The name of the context that is meant.
fn choose(root: &Part<'_>, asked: &Asked) -> Result<String, String> {
    if root.text("kind")?.is_some_and(|it| it != "Config") {
        return Err("it is no kubeconfig: its `kind` is not `Config`".to_owned());
    }
    if let Some(context) = &asked.context {
        return Ok(context.clone());
    }
    match root.text("current-context")? {
        Some(context) if !context.is_empty() => Ok(context.to_owned()),
        _ => {
            Err(format!("it has no `current-context`; name one with `context:` in credentials.yaml: {}", root.names("contexts")?))
        }
    }
}

/// The context's cluster and user. What is wrong comes with whose it is.
fn read(root: &Part<'_>, context: &str, asked: &Asked, whose: &str) -> Result<Opened, (String, String)> {
    let folder = asked.file.parent().unwrap_or(Path::new(""));
    let of_context = |why: String| (whose.to_owned(), why);
    let chosen = root.named("contexts", "context", context).map_err(of_context)?;
    let cluster = chosen.text("cluster").map_err(of_context)?.unwrap_or_default();
    let name = chosen.text("user").map_err(of_context)?.unwrap_or_default();
    let place = root.named("clusters", "cluster", cluster).and_then(|it| Place::read(&it, asked, folder)).map_err(of_context)?;
    // kubectl takes a context without a user for one who shows nothing, such as behind `kubectl proxy`.
    let whose = if name.is_empty() { format!("{whose}, no user") } else { format!("{whose}, user `{name}`") };
    let user = if name.is_empty() {
        Ok(User::default())
    } else {
        root.named("users", "user", name).and_then(|it| user(&it, asked, folder, &place))
    };
    let user = user.map_err(|why| (whose.clone(), why))?;
    let login = Arc::new(Renewed::new(whose, user));
    let cluster = Cluster { login, server_name: place.name, insecure: place.insecure };
    Ok(Opened { server: place.server, ca_pem: place.ca_pem, cluster })
}

/// The server of a cluster.
struct Place {
    server: Url,
    ca_pem: Option<String>,
    name: Option<String>,
    insecure: bool,
    /// What a program may be told of it: the extension meant for programs, as it stands there.
    extension: Option<trueup_core::value::Json>,
}

impl Place {
    fn read(part: &Part<'_>, asked: &Asked, folder: &Path) -> Result<Self, String> {
        if part.text("proxy-url")?.is_some_and(|it| !it.is_empty()) {
            return Err(
                part.refused("proxy-url", "servers are asked without a proxy here, as what may be reached is decided here")
            );
        }
        let text = part.text("server")?.unwrap_or_default();
        let server = server(text).ok_or_else(|| part.refused("server", "it must be a URL such as `https://10.0.0.1:6443`"))?;
        if server.scheme() == "http" && !asked.insecure && !is_loopback(&server) {
            let why = "without TLS everybody on the way reads the credential; write `https://`, or, to accept that, `insecure: true` \
                       into the entry in credentials.yaml";
            return Err(part.refused("server", why));
        }
        let insecure = part.flag("insecure-skip-tls-verify")?;
        if insecure && !asked.insecure {
            let why = "everybody on the way could take the credential; give the cluster's authority in \
                       `certificate-authority-data`, or, to accept that, write `insecure: true` into the entry in credentials.yaml";
            return Err(part.refused("insecure-skip-tls-verify", why));
        }
        let ca_pem = pem(part, "certificate-authority", folder)?.map(|it| it.read()).transpose()?;
        let name = part.text("tls-server-name")?.filter(|it| !it.is_empty());
        if let Some(name) = name
            && !matches!(Host::parse(name), Ok(Host::Domain(_)))
        {
            return Err(part.refused("tls-server-name", "it must be the name of a host, and no address"));
        }
        Ok(Self {
            server,
            ca_pem: ca_pem.filter(|_| !insecure).map(|it| it.expose().to_owned()),
            name: name.map(str::to_owned),
            insecure,
            extension: part.extension("client.authentication.k8s.io/exec")?,
        })
    }
}

fn server(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|it| matches!(it.scheme(), "https" | "http") && it.host().is_some())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    plain.then_some(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(it)) => it.is_loopback(),
        Some(Host::Ipv6(it)) => it.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Who logs in, and how.
fn user(part: &Part<'_>, asked: &Asked, folder: &Path, place: &Place) -> Result<User, String> {
    if part.has("auth-provider") {
        return Err(
            part.refused("auth-provider", "Kubernetes took it out; let your cloud's tool write the kubeconfig anew, with `exec`")
        );
    }
    for key in ["as", "as-uid", "as-groups", "as-user-extra"] {
        if part.has(key) {
            return Err(
                part.refused(key, "acting as somebody else is not sent by this version; name a user who may do what is needed")
            );
        }
    }
    let certificate = match (pem(part, "client-certificate", folder)?, pem(part, "client-key", folder)?) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => return Err(format!("{} has a `client-certificate` and no `client-key`", part.what)),
        (None, Some(_)) => return Err(format!("{} has a `client-key` and no `client-certificate`", part.what)),
    };
    let token = part.text("token")?.filter(|it| !it.is_empty());
    let file = part.text("tokenFile")?.filter(|it| !it.is_empty());
    let (name, password) = (part.text("username")?.filter(|it| !it.is_empty()), part.text("password")?);
    if (token.is_some() || file.is_some()) && name.is_some() {
        return Err(format!("{} has a token and a `username`; only one of them can be sent, leave one", part.what));
    }
    // In the order of kubectl's: a token's file is newer than the token beside it, and a program is asked where there is neither.
    let authorization = if let Some(file) = file {
        Authorization::TokenFile { file: folder.join(file), every: TOKEN_FILE }
    } else if let Some(token) = token {
        Authorization::Token(Secret::from(token))
    } else if let Some(name) = name {
        Authorization::Basic { user: name.to_owned(), password: Secret::from(password.unwrap_or_default()) }
    } else if let Some(exec) = part.part("exec", "`exec`")? {
        Authorization::Program(Box::new(program(&exec, asked, folder, place)?))
    } else {
        Authorization::None
    };
    Ok(User { authorization, certificate })
}

/// The program that `exec` names, where credentials.yaml names it too.
fn program(part: &Part<'_>, asked: &Asked, folder: &Path, place: &Place) -> Result<Program, String> {
    let command = part.text("command")?.filter(|it| !it.is_empty() && !it.contains('\0'));
    let command = command.ok_or_else(|| "`exec` names no `command`".to_owned())?;
    // As kubectl does: a name is looked up in PATH, and a path begins at the kubeconfig.
    let path = if command.contains('/') { folder.join(command) } else { PathBuf::from(command) };
    if !program::is_named(&asked.exec, command, &path) {
        let shown = path.display();
        return Err(format!(
            "it runs the program `{shown}` to log in, which the entry in credentials.yaml does not name; if you want it to be run, \
             write `exec: [{shown}]` there"
        ));
    }
    let api = part.text("apiVersion")?.unwrap_or_default();
    if !exec::VERSIONS.contains(&api) {
        return Err(
            part.refused("apiVersion", "it must be `client.authentication.k8s.io/v1`; let your cloud's tool write it anew")
        );
    }
    if part.text("interactiveMode")? == Some("Always") {
        return Err(part
            .refused("interactiveMode", "the program asks somebody at a terminal, and there is nobody; log in with it before"));
    }
    let cluster = part.flag("provideClusterInfo")?.then(|| exec::cluster_info(place));
    Ok(Program {
        program: program::Program {
            command: path,
            arguments: part.texts("args")?,
            variables: part.variables("env")?,
            limit: program::LIMIT,
        },
        api: api.to_owned(),
        cluster,
        hint: part.text("installHint")?.map(str::to_owned),
    })
}

/// `<key>-data` in base64, or `<key>` as a file; the former where there are both, as kubectl does.
fn pem(part: &Part<'_>, key: &str, folder: &Path) -> Result<Option<Pem>, String> {
    let data = format!("{key}-data");
    if let Some(text) = part.text(&data)?.filter(|it| !it.is_empty()) {
        // Go's decoder, which kubectl has, takes line ends in it.
        let packed: String = text.chars().filter(|it| !matches!(it, '\r' | '\n')).collect();
        let plain = BASE64_STANDARD.decode(packed).ok().and_then(|it| String::from_utf8(it).ok());
        let plain = plain.ok_or_else(|| part.refused(&data, "it is no base64 of a text"))?;
        return Ok(Some(Pem::Text(Secret::new(plain))));
    }
    Ok(part.text(key)?.filter(|it| !it.is_empty()).map(|it| Pem::File(folder.join(it))))
}

/// A text of a file, bounded. One that is replaced while it is used is read whole, as whoever replaces it does so by renaming.
fn file(path: &Path) -> Result<Secret, String> {
    let bytes = regular::read(path, BYTES).map_err(|err| format!("the file `{}` cannot be read: {err}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("the file `{}` is not UTF-8", path.display()))?;
    Ok(Secret::new(text))
}

/// Where a pod finds what it needs for its own cluster.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub folder: PathBuf,
    pub host: Option<String>,
    pub port: Option<String>,
}

impl Pod {
    /// This process's own, if it runs in one.
    pub fn ours() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
        let (host, port) = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"));
        Self { folder: POD_FOLDER.into(), host, port }
    }

    /// The cluster of the pod.
    ///
    /// # Errors
    ///
    /// Says what is missing.
    pub fn open(&self) -> Result<Opened, String> {
        let outside = "`in-cluster: true` is for a process that runs in a pod of the cluster";
        let (Some(host), Some(port)) = (&self.host, &self.port) else {
            return Err(format!("{outside}: `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT` are not both set"));
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let server = server(&format!("https://{host}:{port}")).filter(|it| it.path() == "/");
        let server = server.ok_or("`KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT` name no server")?;
        let ca_pem = file(&self.folder.join("ca.crt")).map_err(|why| format!("{outside}: {why}"))?;
        let token = self.folder.join("token");
        // Looked at now, so that what is wrong is said where the entry is named.
        file(&token).map_err(|why| format!("{outside}: {why}; it needs `automountServiceAccountToken`"))?;
        let user = User { authorization: Authorization::TokenFile { file: token, every: POD_TOKEN }, certificate: None };
        let whose = format!("the service account of this pod in `{}`", self.folder.display());
        let cluster = Cluster { login: Arc::new(Renewed::new(whose, user)), server_name: None, insecure: false };
        Ok(Opened { server, ca_pem: Some(ca_pem.expose().to_owned()), cluster })
    }
}
