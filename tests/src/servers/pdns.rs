//! PowerDNS with SQLite, its HTTP API, and DNS UPDATE.

use std::fs;
use std::process::Command;

use serde_json::Value as Json;
use tempfile::TempDir;

use super::{KEY_NAME, KEY_SECRET, Process, free_port, http, readme};

/// Key of the API.
pub const API_KEY: &str = "c4nary-Api9-Key7";

const SCHEMA: &str = "/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql";

/// One server.
pub struct Pdns {
    /// Port of the HTTP API.
    pub api: u16,
    /// Port of DNS.
    pub dns: u16,
    _process: Process,
    _folder: TempDir,
}

impl Pdns {
    /// An empty server.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// An empty server with more settings.
    pub fn start_with(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("trueup-pdns-").tempdir().expect("a folder");
        let path = folder.path();
        let database = path.join("pdns.sqlite3");
        let packed = format!("{SCHEMA}.gz");
        let read = match fs::exists(SCHEMA) {
            Ok(true) => format!("cat {SCHEMA}"),
            _ => format!("zcat {packed}"),
        };
        let made = Command::new("sh").args(["-c", &format!("{read} | sqlite3 {}", database.display())]).status();
        assert!(made.expect("a shell").success(), "no database: tests/run installs pdns-backend-sqlite3 and sqlite3");
        let (api, dns) = (free_port(), free_port());
        let mut command = Command::new("pdns_server");
        command.args([
            format!("--config-dir={}", path.display()),
            format!("--socket-dir={}", path.display()),
            "--launch=gsqlite3".to_owned(),
            format!("--gsqlite3-database={}", database.display()),
            "--gsqlite3-pragma-synchronous=0".to_owned(),
            "--gsqlite3-dnssec=yes".to_owned(),
            "--webserver-address=127.0.0.1".to_owned(),
            format!("--webserver-port={api}"),
            "--local-address=127.0.0.1".to_owned(),
            format!("--local-port={dns}"),
            "--daemon=no".to_owned(),
            "--guardian=no".to_owned(),
            "--dnsupdate=yes".to_owned(),
            "--allow-dnsupdate-from=127.0.0.0/8".to_owned(),
            "--cache-ttl=0".to_owned(),
            "--query-cache-ttl=0".to_owned(),
            "--negquery-cache-ttl=0".to_owned(),
            "--zone-cache-refresh-interval=0".to_owned(),
        ]);
        command.args(readme("PowerDNS, HTTP API", API_KEY).lines().map(|it| format!("--{it}")));
        command.args(settings);
        let ready = || {
            std::net::TcpStream::connect(("127.0.0.1", api)).is_ok() && std::net::TcpStream::connect(("127.0.0.1", dns)).is_ok()
        };
        let process = Process::start(command, path, ready);
        Self { api, dns, _process: process, _folder: folder }
    }

    /// Where the API is.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// Asks the API; `path` begins behind `/api/v1/servers/localhost`.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &Json) -> (u16, String) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http(self.api, method, &format!("/api/v1/servers/localhost{path}"), &[("X-API-Key", API_KEY)], &body)
    }

    /// Makes a zone with an NS of its own and a record that is nobody's declared business.
    #[track_caller]
    pub fn zone(&self, name: &str) -> &Self {
        let body = serde_json::json!({ "name": format!("{name}."), "kind": "Native", "nameservers": [format!("ns1.{name}.")] });
        let (status, text) = self.ask("POST", "/zones", &body);
        assert_eq!(status, 201, "{text}");
        self.put(name, &format!("foreign.{name}."), "TXT", 300, &["\"theirs\""])
    }

    /// Lets a zone be changed and transferred with the key of the tests.
    #[track_caller]
    pub fn allow_updates(&self, name: &str) -> &Self {
        let key = serde_json::json!({ "name": KEY_NAME, "algorithm": "hmac-sha256", "key": KEY_SECRET });
        let (status, text) = self.ask("POST", "/tsigkeys", &key);
        assert!(matches!(status, 201 | 409), "{status} {text}");
        let body = serde_json::json!({ "kind": "TSIG-ALLOW-DNSUPDATE", "metadata": [KEY_NAME.trim_end_matches('.')] });
        let (status, text) = self.ask("POST", &format!("/zones/{name}./metadata"), &body);
        assert_eq!(status, 201, "{text}");
        let (status, text) =
            self.ask("PUT", &format!("/zones/{name}."), &serde_json::json!({ "master_tsig_key_ids": [KEY_NAME] }));
        assert_eq!(status, 204, "{text}");
        self
    }

    /// Sets records by hand, past the project.
    #[track_caller]
    pub fn put(&self, zone: &str, name: &str, rtype: &str, ttl: u32, values: &[&str]) -> &Self {
        let records = values.iter().map(|it| serde_json::json!({ "content": it, "disabled": false })).collect::<Vec<_>>();
        self.patch(
            zone,
            &serde_json::json!({ "name": name, "type": rtype, "ttl": ttl, "changetype": "REPLACE", "records": records }),
        )
    }

    /// Deletes records by hand.
    #[track_caller]
    pub fn delete(&self, zone: &str, name: &str, rtype: &str) -> &Self {
        self.patch(zone, &serde_json::json!({ "name": name, "type": rtype, "changetype": "DELETE" }))
    }

    /// Changes one set as the API takes it.
    #[track_caller]
    pub fn patch(&self, zone: &str, set: &Json) -> &Self {
        let (status, text) = self.ask("PATCH", &format!("/zones/{zone}."), &serde_json::json!({ "rrsets": [set] }));
        assert_eq!(status, 204, "{text}");
        self
    }
}
