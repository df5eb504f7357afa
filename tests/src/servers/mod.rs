//! Real servers for tests, each on free ports of the loopback and in a folder of its own, stopped when the value is dropped. A
//! test whose server cannot start fails.

pub mod bind;
pub mod cloud_proxy;
pub mod dig;
pub mod http1;
pub(crate) mod kept;
pub mod knot;
pub mod moto;
pub mod pdns;
pub mod proxy;
pub mod registry;
pub mod tls;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The key that every server of the tests knows: name, and secret in base64 (HMAC-SHA256).
pub const KEY_NAME: &str = "trueup.";
pub const KEY_SECRET: &str = "dHJ1ZXVwIHRlc3RzIHNoYXJlIHRoaXMga2V5ISEhISE=";

/// The zone that servers without an API begin with. What it holds is nobody's declared business.
pub const ZONE_FILE: &str =
    "$TTL 300\n@ IN SOA ns1 hostmaster 1 3600 600 86400 60\n@ IN NS ns1\nns1 IN A 127.0.0.1\nforeign IN TXT \"theirs\"\n";

/// The start that the plugin's README shows under a heading, with the key or secret of the tests: what people copy is what is tested.
pub(crate) fn readme(heading: &str, secret: &str) -> String {
    let text = include_str!("../../../plugins/dns/README.md");
    let block = text.split_once(&format!("**{heading}.**")).and_then(|(_, rest)| rest.split("```").nth(1));
    // The first line names the language.
    let (_, block) = block.and_then(|it| it.split_once('\n')).unwrap_or_else(|| panic!("the README has no start on {heading}"));
    block.replace('…', secret)
}

/// A server under way.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a program whose output goes to `server.log` in `folder`, and waits for at most 30 s until `ready` says so.
    pub(crate) fn start(mut command: Command, folder: &Path, ready: impl Fn() -> bool) -> Self {
        let log = File::create(folder.join("server.log")).expect("a log");
        let program = command.get_program().to_string_lossy().into_owned();
        let errors = log.try_clone().expect("a second handle");
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("`{program}` does not start: {error}; tests/run installs it"));
        let mut process = Self { child };
        let deadline = Instant::now() + Duration::from_secs(30);
        let told = || fs::read_to_string(folder.join("server.log")).unwrap_or_default();
        while !ready() {
            if let Some(status) = process.child.try_wait().expect("a status") {
                panic!("`{program}` ended early: {status}\n{}", told());
            }
            assert!(Instant::now() < deadline, "`{program}` is not ready\n{}", told());
            thread::sleep(Duration::from_millis(20));
        }
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free for TCP and UDP. Lost to another in the meantime, the server fails to start.
pub fn free_port() -> u16 {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = tcp.local_addr().expect("an address").port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free for TCP and UDP");
}

/// Sends one HTTP request over a connection of its own; status and body of the answer.
pub fn http(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("no status: {answer}"));
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
