//! A Kubernetes API server with its etcd, as they are, on free ports of the loopback.
//!
//! No kubelet and no controllers: what they would write (status, pods of a deployment) a test writes itself. One server is shared
//! by the tests of a binary ([`Cluster::shared`]), each in a [`Cluster::namespace`] of its own; what a server does not get over is
//! done to one of one's own ([`Cluster::start`]).

use std::env;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::private;
use crate::servers::kept::Kept;
use crate::servers::proxy::Proxy;
use crate::servers::tls::Tls;
use crate::servers::{free_port, http};

/// Token of a member of `system:masters`, who may do everything.
pub const ADMIN: &str = "c4nary-Adm1n-T0ken";
/// Token of the user `viewer`, who may do what a test gives them by RBAC, and nothing else.
pub const VIEWER: &str = "c4nary-V1ewer-T0ken";
/// Token, user, group.
const TOKENS: [(&str, &str, &str); 2] = [(ADMIN, "admin", "system:masters"), (VIEWER, "viewer", "viewers")];

/// One API server and its etcd.
pub struct Cluster {
    /// `https://127.0.0.1:PORT`
    pub base: String,
    /// The authority of its certificate, PEM.
    pub ca: String,
    port: u16,
    server: Option<Kept>,
    _etcd: Kept,
    folder: PathBuf,
    namespaces: AtomicUsize,
}

impl Cluster {
    /// The server that the tests of this binary share; it ends with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// An empty server of one's own.
    ///
    /// # Panics
    ///
    /// Where the programs are not there or do not start: `tests/run` sees to that.
    pub fn start() -> Self {
        let program = env::var_os("TRUEUP_KUBE_APISERVER").map(PathBuf::from).filter(|it| it.exists());
        let program = program.expect("no kube-apiserver: tests/run builds one and names it in TRUEUP_KUBE_APISERVER");
        let here = |it: &PathBuf| it.join("etcd").exists();
        let etcd = env::split_paths(&env::var_os("PATH").unwrap_or_default()).find(here).map(|it| it.join("etcd"));
        let etcd = etcd.expect("no etcd: tests/run installs it (Debian: etcd-server)");
        // Taken away by the keeper, as nothing is dropped at the end of a process.
        let folder = tempfile::Builder::new().prefix("trueup-kube-").tempdir().map(TempDir::keep).expect("a folder");
        certificates(&folder);
        let tokens = TOKENS.iter().map(|(token, user, group)| format!("{token},{user},{user},{group}\n")).collect::<String>();
        private(&folder.join("tokens.csv"), tokens);
        let (clients, peers) = (free_port(), free_port());
        let etcd = Kept::start(&etcd, &etcd_arguments(&folder, clients, peers), &folder.join("etcd.log"), Some(&folder), || {
            TcpStream::connect(("127.0.0.1", clients)).is_ok() && http(clients, "GET", "/health", &[], "").1.contains("true")
        });
        let port = free_port();
        let ca = fs::read_to_string(folder.join("ca.pem")).expect("an authority");
        fs::write(folder.join("arguments"), server_arguments(&folder, clients, port).join("\n")).expect("a file");
        private(&folder.join("program"), program.to_string_lossy().as_bytes());
        let base = format!("https://127.0.0.1:{port}");
        let mut this = Self { base, ca, port, server: None, _etcd: etcd, folder, namespaces: AtomicUsize::new(0) };
        private(&this.kubeconfig(), this.kubeconfig_of(&format!("token: {ADMIN}")));
        this.resume();
        this
    }

    /// Kills the server; its etcd goes on, so that nothing is lost that it answered.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts the server again, at the same place.
    pub fn resume(&mut self) {
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).expect("a file of ours");
        let arguments: Vec<String> = read("arguments").lines().map(str::to_owned).collect();
        let ready = || self.try_ask("GET", "/readyz", ADMIN, &[], None).is_some_and(|it| it.0 == 200);
        self.server = Some(Kept::start(Path::new(&read("program")), &arguments, &self.folder.join("server.log"), None, ready));
    }

    /// Port of the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A kubeconfig of the admin's token, 0600.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The text of a kubeconfig with one context `test`, whose user `ann` has these fields: `token: x`.
    pub fn kubeconfig_of(&self, user: &str) -> String {
        self.kubeconfig_at(self.port, user)
    }

    /// As [`Cluster::kubeconfig_of`], of a server of the same certificate on another port of the loopback.
    pub fn kubeconfig_at(&self, port: u16, user: &str) -> String {
        let (base, ca) = (format!("https://127.0.0.1:{port}"), self.folder.join("ca.pem"));
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             contexts:\n- name: test\n  context: {{cluster: local, user: ann}}\n\
             clusters:\n- name: local\n  cluster: {{server: '{base}', certificate-authority: '{}'}}\n\
             users:\n- name: ann\n  user: {{{user}}}\n",
            ca.display()
        )
    }

    /// What the server shows and who it believes, for a hand-made server in its place or beside it.
    pub fn tls(&self) -> Tls {
        let [cert, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|it| fs::read(self.folder.join(it)).expect("a file"));
        Tls::new(&cert, &key, &ca)
    }

    /// A proxy before the server, to inject faults.
    pub fn proxy(&self) -> Proxy {
        Proxy::https(Some(self.port), self.tls())
    }

    /// Fields of a user that shows the certificate of an admin.
    pub fn certificate(&self) -> String {
        let [cert, key] = ["admin.pem", "admin.key"].map(|it| self.folder.join(it).display().to_string());
        format!("client-certificate: '{cert}', client-key: '{key}'")
    }

    /// Makes a namespace that no other test has; its name.
    #[track_caller]
    pub fn namespace(&self, name: &str) -> String {
        let name = format!("{name}-{}", self.namespaces.fetch_add(1, Ordering::SeqCst));
        let (status, answer) = self.post("/api/v1/namespaces", &json!({ "metadata": { "name": name } }));
        assert_eq!(status, 201, "{answer}");
        name
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, Json) {
        self.ask("GET", path, ADMIN, &[], None)
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Json) -> (u16, Json) {
        self.ask("POST", path, ADMIN, &["Content-Type: application/json"], Some(&body.to_string()))
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Json) -> (u16, Json) {
        self.ask("PUT", path, ADMIN, &["Content-Type: application/json"], Some(&body.to_string()))
    }

    /// A patch of this type: `merge-patch`, `json-patch`, `strategic-merge-patch`, `apply-patch`.
    #[track_caller]
    pub fn patch(&self, path: &str, kind: &str, body: &Json) -> (u16, Json) {
        let form = if kind == "apply-patch" { "yaml" } else { "json" };
        self.ask("PATCH", path, ADMIN, &[&format!("Content-Type: application/{kind}+{form}")], Some(&body.to_string()))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> (u16, Json) {
        self.ask("DELETE", path, ADMIN, &[], None)
    }

    /// Asks with this token and these header lines. What is no JSON in an answer comes as a text.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, token: &str, headers: &[&str], body: Option<&str>) -> (u16, Json) {
        self.try_ask(method, path, token, headers, body).unwrap_or_else(|| panic!("{method} {path}: no answer"))
    }

    /// [`Cluster::ask`]; None where there is no answer.
    pub fn try_ask(&self, method: &str, path: &str, token: &str, headers: &[&str], body: Option<&str>) -> Option<(u16, Json)> {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--max-time", "60", "-X", method, "-w", "\n%{http_code}", "--cacert"])
            .arg(self.folder.join("ca.pem"));
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
        for header in headers {
            command.args(["-H", header]);
        }
        if body.is_some() {
            command.args(["--data-binary", "@-"]);
        }
        command.arg(format!("{}{path}", self.base)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("curl runs; tests/run installs it");
        let mut input = child.stdin.take().expect("a pipe");
        // A server that refuses early does not read it all.
        let _ = input.write_all(body.unwrap_or_default().as_bytes());
        drop(input);
        let output = child.wait_with_output().expect("curl ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (answer, status) = text.rsplit_once('\n').filter(|_| output.status.success())?;
        let json = serde_json::from_str(answer).unwrap_or_else(|_| Json::from(answer));
        Some((status.parse().ok()?, json))
    }
}

fn etcd_arguments(folder: &Path, clients: u16, peers: u16) -> Vec<String> {
    let (clients, peers) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
    vec![
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        // The machine may lose power; the tests would not notice.
        "--unsafe-no-fsync".to_owned(),
    ]
}

fn server_arguments(folder: &Path, etcd: u16, port: u16) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // Nobody but us is to find it.
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        format!("--cert-dir={}", folder.display()),
        format!("--tls-cert-file={}", file("server.pem")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--client-ca-file={}", file("ca.pem")),
        format!("--service-account-key-file={}", file("accounts.key")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--token-auth-file={}", file("tokens.csv")),
        // Without controllers nobody makes the account that pods would have.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ]
}

/// An authority, the server's certificate, an admin's, and the key of service accounts.
fn certificates(folder: &Path) {
    const CONFIG: &str = "[req]\ndistinguished_name = name\n[name]\n\
        [ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
        [server]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1, DNS:localhost, DNS:kubernetes.default.svc\n\
        extendedKeyUsage = serverAuth\n\
        [client]\nbasicConstraints = critical, CA:FALSE\nextendedKeyUsage = clientAuth\n";
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).current_dir(folder).output();
        let made = made.expect("openssl runs; tests/run installs it");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    fs::write(folder.join("openssl.cnf"), CONFIG).expect("a file");
    for (name, subject) in [("ca", "/CN=trueup tests"), ("server", "/CN=kube-apiserver"), ("admin", "/O=system:masters/CN=admin")]
    {
        let (key, cert) = (format!("{name}.key"), format!("{name}.pem"));
        let section = if name == "admin" { "client" } else { name };
        let mut arguments = vec!["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        arguments.extend(["-subj", subject, "-extensions", section, "-config", "openssl.cnf", "-keyout", &key, "-out", &cert]);
        if name != "ca" {
            arguments.extend(["-CA", "ca.pem", "-CAkey", "ca.key"]);
        }
        openssl(&arguments);
    }
    openssl(&["genrsa", "-out", "accounts.key", "2048"]);
}
