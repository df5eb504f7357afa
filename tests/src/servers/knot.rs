//! Knot with one zone that takes DNS UPDATE.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::{KEY_SECRET, Process, ZONE_FILE, free_port, readme};

/// One server.
pub struct Knot {
    /// Port of DNS.
    pub dns: u16,
    _process: Process,
    _folder: TempDir,
}

impl Knot {
    /// A server with these zones, each as [`ZONE_FILE`] says, that who signs with the key of the tests may change and transfer.
    pub fn start(zones: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("trueup-knot-").tempdir().expect("a folder");
        let path = folder.path();
        let dns = free_port();
        let place = path.display();
        let start = readme("Knot", KEY_SECRET);
        let (head, zone) = start.split_once("zone:\n").expect("a zone in the README");
        let zone = |it: &&str| {
            fs::write(path.join(format!("{it}.zone")), format!("$ORIGIN {it}.\n{ZONE_FILE}")).expect("a zone file");
            format!("{}    storage: {place}\n    file: {it}.zone\n", zone.replace("example.com", it))
        };
        let zones = zones.iter().map(zone).collect::<String>();
        fs::create_dir(path.join("db")).expect("a folder");
        let text = format!(
            "server:\n    listen: 127.0.0.1@{dns}\n    rundir: {place}\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
             log:\n  - target: stderr\n    any: info\ndatabase:\n    storage: {place}/db\n{head}zone:\n{zones}"
        );
        fs::write(path.join("knot.conf"), text).expect("a configuration");
        let mut command = Command::new("knotd");
        command.arg("-c").arg(path.join("knot.conf"));
        let ready = || std::net::TcpStream::connect(("127.0.0.1", dns)).is_ok();
        let process = Process::start(command, path, ready);
        Self { dns, _process: process, _folder: folder }
    }
}
