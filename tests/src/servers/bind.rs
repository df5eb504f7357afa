//! BIND with one zone that takes DNS UPDATE.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{KEY_NAME, KEY_SECRET, Process, ZONE_FILE, free_port, readme};

/// One server.
pub struct Bind {
    /// Port of DNS.
    pub dns: u16,
    _process: Process,
    _folder: TempDir,
}

/// Where a server listens for DNS over TLS.
pub struct Tls {
    pub port: u16,
    /// The certificate that its own is signed with, in PEM.
    pub authority: String,
    _folder: TempDir,
}

/// Makes a certificate with this extension as `<name>.pem` and `<name>.key`; without an issuer it signs itself.
fn certificate(folder: &Path, name: &str, extension: &str, issuer: Option<&str>) -> String {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-days", "2", "-subj", &format!("/CN=trueup test {name}"), "-addext", extension]);
    command.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
    if let Some(issuer) = issuer {
        // Else `req -x509` makes an authority of every certificate.
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        command.args(["-CA", &format!("{issuer}.pem"), "-CAkey", &format!("{issuer}.key")]);
    }
    let made = command.output().expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read_to_string(folder.join(format!("{name}.pem"))).expect("a certificate")
}

/// Who may change and transfer a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Who signs with the key of the tests.
    Key,
    /// Every client of this machine.
    Address,
}

impl Bind {
    /// A server with these zones, each as [`ZONE_FILE`] says.
    pub fn start(zones: &[&str], allow: Allow) -> Self {
        let start = readme("BIND", KEY_SECRET);
        let (key, zone) = start.split_once('\n').expect("a key and a zone in the README");
        let zone = match allow {
            Allow::Key => zone.to_owned(),
            Allow::Address => zone.replace(&format!("key \"{KEY_NAME}\";"), "127.0.0.1;"),
        };
        let zones_of = zones.iter().map(|it| zone.replace("example.com", it)).collect::<String>();
        Self::run(zones, &format!("{key}\n{zones_of}"))
    }

    /// A server that also listens for DNS over TLS, with a certificate of an authority that nobody knows.
    pub fn start_tls(zone: &str) -> (Self, Tls) {
        let folder = tempfile::Builder::new().prefix("trueup-tls-").tempdir().expect("a folder");
        let path = folder.path();
        let authority = certificate(path, "ca", "basicConstraints=critical,CA:TRUE", None);
        certificate(path, "server", "subjectAltName=IP:127.0.0.1", Some("ca"));
        let start = readme("BIND", KEY_SECRET).replace("example.com", zone);
        let place = path.display();
        let tls = format!("{start}\ntls local {{ cert-file \"{place}/server.pem\"; key-file \"{place}/server.key\"; }};\n");
        let port = free_port();
        let server = Self::run_with(&[zone], &tls, &format!("listen-on port {port} tls local {{ 127.0.0.1; }};"));
        (server, Tls { port, authority, _folder: folder })
    }

    /// A server that copies a zone from another one, and takes no changes.
    pub fn start_secondary(zone: &str, primary: u16) -> Self {
        let zone = format!(
            "zone \"{zone}\" {{ type secondary; file \"copy.db\"; primaries {{ 127.0.0.1 port {primary}; }}; allow-transfer {{ 127.0.0.1; }}; }};\n"
        );
        Self::run(&[], &zone)
    }

    fn run(zones: &[&str], config: &str) -> Self {
        Self::run_with(zones, config, "")
    }

    fn run_with(zones: &[&str], config: &str, options: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("trueup-bind-").tempdir().expect("a folder");
        let path = folder.path();
        for zone in zones {
            fs::write(path.join(format!("{zone}.db")), ZONE_FILE).expect("a zone file");
        }
        let dns = free_port();
        let mut text = String::new();
        write!(
            text,
            "options {{ directory \"{}\"; listen-on port {dns} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none; session-keyfile none;\n\
             recursion no; notify no; dnssec-validation no; allow-query {{ any; }}; {options} }};\n\
             controls {{ }};\n{config}",
            path.display()
        )
        .expect("a text");
        fs::write(path.join("named.conf"), text).expect("a configuration");
        let mut command = Command::new("named");
        command.args(["-g", "-n", "1", "-c"]).arg(path.join("named.conf"));
        let ready = || {
            let log = fs::read_to_string(path.join("server.log")).unwrap_or_default();
            log.lines().any(|it| it.ends_with(" running")) && std::net::TcpStream::connect(("127.0.0.1", dns)).is_ok()
        };
        let process = Process::start(command, path, ready);
        Self { dns, _process: process, _folder: folder }
    }
}

/// Changes a zone by hand with `nsupdate`, signed with the key of the tests: lines such as `update delete www.example.test A`.
#[track_caller]
pub fn nsupdate(port: u16, zone: &str, lines: &str) {
    let mut child = Command::new("nsupdate")
        .args(["-v", "-y", &format!("hmac-sha256:{KEY_NAME}:{KEY_SECRET}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsupdate runs: tests/run installs bind9-dnsutils");
    let text = format!("server 127.0.0.1 {port}\nzone {zone}\n{lines}\nsend\n");
    child.stdin.take().expect("an input").write_all(text.as_bytes()).expect("lines");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "nsupdate: {lines}\n{}", String::from_utf8_lossy(&output.stderr));
}
