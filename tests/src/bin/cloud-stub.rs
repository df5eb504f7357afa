//! A cloud of a known speed for benchmarks: it answers what it has recorded of another one, each answer after a set time.
//!
//! `cloud-stub --upstream http://127.0.0.1:5000 --latency 50 --port 8080` listens on the loopback and begins by recording: let it see
//! a run, then ask for `/__stub/mode?replay`, and run again. What was not recorded is asked of the upstream, then too.
//! `/__stub/counts` says how many requests came since it was last asked, and how many were under way at a time, at most.

use std::collections::BTreeMap;
use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use trueup_tests::servers::cloud_proxy::CloudProxy;
use trueup_tests::servers::cloud_proxy::tape::Tape;

const USAGE: &str = "usage: cloud-stub --upstream URL [--latency MILLISECONDS] [--port N]";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let given: Option<BTreeMap<&str, &str>> =
        words.chunks(2).map(|it| Some((it.first()?.strip_prefix("--")?, it.get(1)?.as_str()))).collect();
    let given = given.unwrap_or_else(|| wrong(USAGE));
    if given.keys().any(|it| !["upstream", "latency", "port"].contains(it)) {
        wrong(USAGE);
    }
    let number = |name: &str, default: u16| match given.get(name) {
        Some(text) => text.parse().unwrap_or_else(|_| wrong(USAGE)),
        None => default,
    };
    let upstream = given.get("upstream").and_then(|it| it.strip_prefix("http://")).unwrap_or_else(|| wrong(USAGE));
    let tape = Tape::new(Duration::from_millis(number("latency", 50).into()));
    let proxy = CloudProxy::start(number("port", 0), upstream.trim_end_matches('/'), Some(Arc::new(tape)));
    println!("{}", proxy.endpoint());
    loop {
        std::thread::park();
    }
}

fn wrong(usage: &str) -> ! {
    eprintln!("{usage}");
    exit(64)
}
