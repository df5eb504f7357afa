//! Registries: Debian's docker-registry with the logins that it knows, a token server for it, a link to it that can be cut, and a
//! hand-made one that does what no honest registry does.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::{Process, free_port, http};

/// Who may log in, where a login is asked for.
pub const USER: &str = "mia";
pub const PASSWORD: &str = "correct horse battery";

/// How a registry knows its users.
pub enum Login<'a> {
    Nobody,
    /// [`USER`] with [`PASSWORD`], at every request.
    Basic,
    /// A token of this server.
    Token(&'a TokenServer),
}

/// One docker-registry.
pub struct Registry {
    pub port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Registry {
    pub fn start(login: &Login<'_>) -> Self {
        let folder = tempfile::Builder::new().prefix("trueup-registry-").tempdir().expect("a folder");
        let path = folder.path();
        let port = free_port();
        let auth = match login {
            Login::Nobody => String::new(),
            Login::Basic => {
                let made =
                    Command::new("htpasswd").args(["-nbB", USER, PASSWORD]).output().expect("htpasswd runs (apache2-utils)");
                fs::write(path.join("htpasswd"), made.stdout).expect("a file of users");
                format!("auth:\n  htpasswd:\n    realm: tests\n    path: {}/htpasswd\n", path.display())
            }
            Login::Token(it) => format!(
                "auth:\n  token:\n    realm: {}\n    service: tests\n    issuer: tests\n    rootcertbundle: {}\n",
                it.realm(),
                it.folder.path().join("cert.pem").display()
            ),
        };
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}/data\nhttp:\n  addr: 127.0.0.1:{port}\n{auth}",
            path.display()
        );
        fs::write(path.join("config.yml"), text).expect("a configuration");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(path.join("config.yml")).env_remove("OTEL_TRACES_EXPORTER");
        let ready = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        let process = Process::start(command, path, ready);
        Self { port, _process: process, _folder: folder }
    }

    /// `oci://127.0.0.1:PORT/<rest>`
    pub fn reference(&self, rest: &str) -> String {
        format!("oci://127.0.0.1:{}/{rest}", self.port)
    }

    /// Digest and text of the manifest under a tag, as anybody gets them.
    pub fn manifest(&self, name: &str, tag: &str) -> Option<Json> {
        let accept = ("Accept", "application/vnd.oci.image.manifest.v1+json");
        let (status, body) = http(self.port, "GET", &format!("/v2/{name}/manifests/{tag}"), &[accept], "");
        (status == 200).then(|| serde_json::from_str(&body).expect("a manifest"))
    }
}

/// Gives tokens to whoever logs in as [`USER`], as the registry's documentation describes; keeps what it was asked.
pub struct TokenServer {
    pub port: u16,
    folder: TempDir,
    server: Fake,
}

impl TokenServer {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("trueup-token-").tempdir().expect("a folder");
        let path = folder.path().to_owned();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tests"])
            .arg("-keyout")
            .arg(path.join("key.pem"))
            .arg("-out")
            .arg(path.join("cert.pem"))
            .stderr(Stdio::null())
            .status()
            .expect("openssl runs");
        assert!(made.success());
        let cert = fs::read_to_string(path.join("cert.pem")).expect("a certificate");
        let cert: String = cert.lines().filter(|it| !it.starts_with('-')).collect();
        let known = format!("authorization: basic {}", base64(format!("{USER}:{PASSWORD}").as_bytes(), false).to_lowercase());
        let server = Fake::start(move |asked| {
            if !asked.head.contains(&known) {
                return Answer::status(401, "");
            }
            let scope = asked.path.split("scope=").nth(1).unwrap_or_default().split('&').next().unwrap_or_default();
            let scope = scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
            let mut parts = scope.split(':');
            let (kind, name, actions) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
            let access = json!([{"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}]);
            let head = json!({"typ": "JWT", "alg": "RS256", "x5c": [cert]});
            let claims = json!({"iss": "tests", "aud": "tests", "sub": USER, "iat": now - 5, "nbf": now - 5, "exp": now + 300,
                "jti": "1", "access": access});
            let text = [head, claims].map(|it| base64(it.to_string().as_bytes(), true)).join(".");
            let signature =
                piped(Command::new("openssl").args(["dgst", "-sha256", "-sign"]).arg(path.join("key.pem")), text.as_bytes());
            Answer::status(200, &json!({"token": format!("{text}.{}", base64(&signature, true))}).to_string())
        });
        Self { port: server.port, folder, server }
    }

    fn realm(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// The heads of all requests so far, in lower case.
    pub fn seen(&self) -> Vec<String> {
        self.server.seen().into_iter().map(|it| it.head).collect()
    }
}

/// Runs a program with this input; what it printed.
pub fn piped(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

/// Base64, for URLs where asked.
pub fn base64(bytes: &[u8], url: bool) -> String {
    let text = String::from_utf8(piped(Command::new("base64").arg("-w0"), bytes)).expect("ASCII");
    if url { text.trim_end_matches('=').replace('+', "-").replace('/', "_") } else { text }
}

/// Digest of bytes, by the system's `sha256sum`.
pub fn sha256(bytes: &[u8]) -> String {
    String::from_utf8(piped(&mut Command::new("sha256sum"), bytes)).expect("ASCII").chars().take(64).collect()
}

/// A link to a server on this machine that can be cut in the middle of an upload.
pub struct Link {
    pub port: u16,
    pub cut: Arc<AtomicBool>,
}

impl Link {
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let cut = Arc::new(AtomicBool::new(false));
        let cutting = cut.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let cutting = cutting.clone();
                thread::spawn(move || pass(client, target, &cutting));
            }
        });
        Self { port, cut }
    }
}

/// Both ways, until either ends or an upload that is to be cut has come half way.
fn pass(client: TcpStream, target: u16, cut: &AtomicBool) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
    let (mut back_from, mut back_to) = (server.try_clone().expect("a handle"), client.try_clone().expect("a handle"));
    thread::spawn(move || {
        let _ = std::io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (client, server);
    let (mut buffer, mut passed, mut upload) = (vec![0; 16 << 10], 0, false);
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        upload |= buffer.starts_with(b"PUT ") && buffer.windows(8).any(|it| it == b"uploads/");
        passed += count;
        if upload && cut.load(Ordering::SeqCst) && passed > 32 << 10 {
            break;
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// One request to a hand-made server.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// All of the head, in lower case.
    pub head: String,
}

/// What it answers.
pub enum Answer {
    /// Status line, headers, body as they are; then it closes.
    Raw(Vec<u8>),
    /// These bytes, and then nothing more for a while, the connection open.
    Stall(Vec<u8>, Duration),
}

impl Answer {
    pub fn status(code: u16, body: &str) -> Self {
        Self::with(code, &[], body.as_bytes())
    }

    /// An answer with its length.
    pub fn with(code: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {code} Made\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        Self::Raw([head.as_bytes(), body].concat())
    }
}

type Judge = dyn Fn(&Asked) -> Answer + Send + Sync;

/// A hand-made HTTP server for faults; it ends with the process.
pub struct Fake {
    pub port: u16,
    seen: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    pub fn start(judge: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let judge: Arc<Judge> = Arc::new(judge);
        let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let known = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (judge, seen) = (judge.clone(), known.clone());
                thread::spawn(move || serve(stream, &*judge, &seen));
            }
        });
        Self { port, seen }
    }

    pub fn seen(&self) -> Vec<Asked> {
        self.seen.lock().expect("no panic").clone()
    }
}

fn serve(mut stream: TcpStream, judge: &Judge, seen: &Mutex<Vec<Asked>>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    while !bytes.windows(4).any(|it| it == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let mut words = head.split(' ');
    let word = |it: Option<&str>| it.unwrap_or_default().to_owned();
    let asked = Asked { method: word(words.next()), path: word(words.next()), head: head.to_lowercase() };
    seen.lock().expect("no panic").push(asked.clone());
    match judge(&asked) {
        Answer::Raw(answer) => drop(stream.write_all(&answer)),
        Answer::Stall(answer, pause) => {
            let _ = stream.write_all(&answer);
            let _ = stream.flush();
            thread::sleep(pause);
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// A plugin's artifact, made by hand: what a hand-made registry serves.
#[derive(Clone)]
pub struct Artifact {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub component: Vec<u8>,
    /// Of the component.
    pub digest: String,
}

impl Artifact {
    /// Of a component, with `change` made to its manifest.
    pub fn new(component: &[u8], change: impl FnOnce(&mut Json)) -> Self {
        let digest = sha256(component);
        let config = json!({"created": "1970-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2",
            "layerDigests": [format!("sha256:{digest}")], "component": {"imports": [], "exports": []}});
        let config = config.to_string().into_bytes();
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": format!("sha256:{}", sha256(&config)), "size": config.len()},
            "layers": [{"mediaType": "application/wasm", "digest": format!("sha256:{digest}"), "size": component.len()}],
        });
        change(&mut manifest);
        Self { manifest: manifest.to_string().into_bytes(), config, component: component.to_vec(), digest }
    }

    /// What an honest registry answers to a request for a part of it.
    pub fn answer(&self, asked: &Asked) -> Answer {
        if asked.path.contains("/manifests/sha256-") {
            return Answer::status(404, "");
        }
        if asked.path.contains("/manifests/") {
            return Answer::with(200, &[("Content-Type", "application/vnd.oci.image.manifest.v1+json")], &self.manifest);
        }
        if asked.path.ends_with(&format!("sha256:{}", self.digest)) {
            return Answer::with(200, &[], &self.component);
        }
        if asked.path.contains("/blobs/") { Answer::with(200, &[], &self.config) } else { Answer::status(404, "") }
    }
}

/// A private key and its public half, as openssl writes them: `name.key`, `name.pub`.
pub fn openssl_key(folder: &Path, name: &str, algorithm: &[&str]) {
    let (key, public) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.pub")));
    let mut make = Command::new("openssl");
    make.arg("genpkey").args(algorithm).arg("-out").arg(&key).stderr(Stdio::null());
    assert!(make.status().expect("openssl runs").success());
    let mut show = Command::new("openssl");
    show.args(["pkey", "-pubout", "-in"]).arg(&key).arg("-out").arg(&public);
    assert!(show.status().expect("openssl runs").success());
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&key, private).expect("a private file");
}
