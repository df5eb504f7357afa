//! BIND with one zone that takes DNS UPDATE.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{KEY_NAME, KEY_SECRET, Process, ZONE_FILE, free_port};

/// One server.
pub struct Bind {
    /// Port of DNS.
    pub dns: u16,
    _process: Process,
    _folder: TempDir,
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
        let who = match allow {
            Allow::Key => format!("key \"{KEY_NAME}\";"),
            Allow::Address => "127.0.0.1;".to_owned(),
        };
        let zone = |name: &&str| {
            format!(
                "zone \"{name}\" {{ type primary; file \"{name}.db\"; allow-update {{ {who} }}; allow-transfer {{ {who} }}; }};\n"
            )
        };
        Self::run(zones, &zones.iter().map(zone).collect::<String>())
    }

    /// A server that copies a zone from another one, and takes no changes.
    pub fn start_secondary(zone: &str, primary: u16) -> Self {
        let zone = format!(
            "zone \"{zone}\" {{ type secondary; file \"copy.db\"; primaries {{ 127.0.0.1 port {primary}; }}; allow-transfer {{ 127.0.0.1; }}; }};\n"
        );
        Self::run(&[], &zone)
    }

    fn run(zones: &[&str], config: &str) -> Self {
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
             recursion no; notify no; dnssec-validation no; allow-query {{ any; }}; }};\n\
             controls {{ }};\nkey \"{KEY_NAME}\" {{ algorithm hmac-sha256; secret \"{KEY_SECRET}\"; }};\n{config}",
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
