//! The import against a server of our own on the loopback interface.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use super::Outbound;
use crate::bindings::trueup::provider::http as wit;
use crate::grant::{Credential, Grant, HostRule, Scheme, Slot};
use crate::log::LogSink;
use crate::runtime::Limits;
use crate::services::{NoServices, Secret};

mod login;
mod signed;
pub(crate) mod tls;

/// A server that answers each connection's requests with what `answer` makes of the request's text.
struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    busiest: Arc<AtomicUsize>,
}

async fn server(answer: fn(&str) -> Option<Vec<u8>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, busiest) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (log, most, busy) = (Arc::clone(&seen), Arc::clone(&busiest), Arc::new(AtomicUsize::new(0)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (log, most, busy) = (Arc::clone(&log), Arc::clone(&most), Arc::clone(&busy));
            tokio::spawn(async move {
                while let Some(request) = read(&stream).await {
                    log.lock().unwrap().push(request.clone());
                    most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    busy.fetch_sub(1, Ordering::SeqCst);
                    let Some(bytes) = answer(&request) else { return };
                    if !write(&stream, &bytes).await {
                        return;
                    }
                }
            });
        }
    });
    Server { port, seen, busiest }
}

async fn read(stream: &TcpStream) -> Option<String> {
    let mut text = Vec::new();
    while !text.windows(4).any(|it| it == b"\r\n\r\n") {
        stream.readable().await.ok()?;
        let mut chunk = [0; 4096];
        match stream.try_read(&mut chunk) {
            Ok(0) => return None,
            Ok(got) => text.extend_from_slice(&chunk[..got]),
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        if stream.writable().await.is_err() {
            return false;
        }
        match stream.try_write(bytes) {
            Ok(done) => bytes = &bytes[done..],
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    true
}

fn ok(_: &str) -> Option<Vec<u8>> {
    Some(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Served: yes\r\n\r\nhi".to_vec())
}

fn outbound(grant: Grant) -> Outbound {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Outbound::new(Arc::new(grant), &Limits { http_body: 1000, ..Limits::default() })
}

fn granted(rule: &str) -> Grant {
    Grant { hosts: vec![HostRule::parse(rule).unwrap()], ..Grant::default() }
}

fn request(method: &str, url: &str) -> wit::Request {
    let (method, url) = (method.to_owned(), url.to_owned());
    wit::Request { method, url, headers: vec![], body: None, credential: None, timeout: None, until: None, ext: vec![] }
}

async fn send_all(to: &Outbound, requests: Vec<wit::Request>, parallel: u32, writes: bool) -> Vec<String> {
    let log = LogSink::new("p".into(), Arc::new(NoServices), &Limits::default());
    let answers = to.send_all(requests, parallel, writes, Instant::now() + Duration::from_secs(10), &log).await;
    let told = |answer| match answer {
        Ok(wit::Response { status, body, cut, .. }) => {
            format!("{status} {}{}", String::from_utf8_lossy(&body), if cut { " cut" } else { "" })
        }
        Err(wit::HttpError::Denied(text)) => format!("denied {text}"),
        Err(wit::HttpError::Unreachable(_)) => "unreachable".to_owned(),
        Err(wit::HttpError::Interrupted(_)) => "interrupted".to_owned(),
        Err(wit::HttpError::TimedOut) => "timed-out".to_owned(),
        Err(wit::HttpError::TooLarge(limit)) => format!("too-large {limit}"),
        Err(wit::HttpError::Malformed(_)) => "malformed".to_owned(),
    };
    answers.into_iter().map(told).collect()
}

async fn send(to: &Outbound, request: wit::Request, writes: bool) -> String {
    send_all(to, vec![request], 1, writes).await.remove(0)
}

#[tokio::test]
async fn only_granted_origins_are_reached() {
    let server = server(ok).await;
    let here = format!("http://127.0.0.1:{}", server.port);
    let to = outbound(granted(&here));
    assert_eq!(send(&to, request("GET", &format!("{here}/x")), false).await, "200 hi");
    for url in ["http://127.0.0.1:1/", "https://127.0.0.1/", "http://localhost/", "http://0x7f.1:9/", "https://example.com/"] {
        let answer = send(&to, request("GET", url), false).await;
        assert!(answer.starts_with("denied") && answer.contains("add it to `hosts`"), "{url}: {answer}");
    }
    let user = format!("http://u:p@127.0.0.1:{}/", server.port);
    assert!(send(&to, request("GET", &user), false).await.starts_with("denied"));
    assert_eq!(send(&to, request("GET", "file:///etc/passwd"), false).await, "malformed");
    assert_eq!(server.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_name_in_a_private_network_is_reached_by_its_own_grant_alone() {
    let server = server(ok).await;
    let exact = outbound(granted(&format!("http://localhost:{}", server.port)));
    let url = format!("http://localhost:{}/", server.port);
    assert_eq!(send(&exact, request("GET", &url), false).await, "200 hi");
    // The same name, reached by a pattern: resolved, judged, refused.
    let judge = super::address::Judge { exact: Arc::new(|_| false), instead: None };
    let name = "localhost".parse().unwrap();
    let refused = reqwest::dns::Resolve::resolve(&judge, name).await.err().unwrap().to_string();
    assert!(refused.contains("private network") && refused.contains("localhost"), "{refused}");
}

#[tokio::test]
async fn a_plan_cannot_write() {
    let server = server(ok).await;
    let here = format!("http://127.0.0.1:{}", server.port);
    let to = outbound(granted(&here));
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
        let answer = send(&to, request(method, &here), false).await;
        assert!(answer.starts_with("denied") && answer.contains("outside `apply`"), "{answer}");
        assert_eq!(send(&to, request(method, &here), true).await, "200 hi");
    }
    assert_eq!(server.seen.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn the_hosts_headers_are_not_the_plugins_to_set() {
    let server = server(ok).await;
    let here = format!("http://127.0.0.1:{}", server.port);
    let to = outbound(granted(&here));
    for (name, value) in [("Authorization", "x"), ("HOST", "a"), ("Transfer-Encoding", "chunked"), ("Cookie", "a=b")] {
        let with = wit::Request { headers: vec![(name.to_owned(), value.to_owned())], ..request("GET", &here) };
        assert!(send(&to, with, true).await.starts_with("denied"), "{name}");
    }
    let smuggled = wit::Request { headers: vec![("x-a".to_owned(), "b\r\nhost: c".to_owned())], ..request("GET", &here) };
    assert_eq!(send(&to, smuggled, true).await, "malformed");
    assert!(server.seen.lock().unwrap().is_empty());
}

fn slots(origin: &str, base: Option<&str>) -> BTreeMap<String, Slot> {
    let credential = |name: &str| {
        Arc::new(Credential {
            name: name.to_owned(),
            origins: vec![HostRule::parse(origin).unwrap()],
            servers: Vec::new(),
            scheme: Scheme::Header { name: "X-Key".to_owned(), value: Secret::from(name) },
            ca_pem: None,
            base: base.map(|it| it.parse().unwrap()),
        })
    };
    BTreeMap::from([("api".to_owned(), Slot { read: credential("reader"), write: credential("writer") })])
}

#[tokio::test]
async fn a_credential_goes_to_its_origin_only_and_reads_use_the_reading_one() {
    let (mine, other) = (server(ok).await, server(ok).await);
    let here = format!("http://127.0.0.1:{}", mine.port);
    let there = format!("http://127.0.0.1:{}", other.port);
    let mut grant = granted(&here);
    grant.hosts.push(HostRule::parse(&there).unwrap());
    grant.credentials = slots(&here, None);
    let to = outbound(grant);
    let with = |url: &str| wit::Request { credential: Some("api".to_owned()), ..request("GET", url) };
    assert_eq!(send(&to, with(&here), false).await, "200 hi");
    assert_eq!(send(&to, with(&here), true).await, "200 hi");
    assert_eq!(send(&to, with(&there), true).await, "200 hi");
    let seen = mine.seen.lock().unwrap().join("");
    assert!(seen.contains("x-key: reader") && seen.contains("x-key: writer"), "{seen}");
    assert!(!other.seen.lock().unwrap().join("").contains("x-key"));
    let missing = wit::Request { credential: Some("nope".to_owned()), ..request("GET", &here) };
    assert!(send(&to, missing, false).await.contains("slot `nope`"));
}

#[tokio::test]
async fn a_slot_url_needs_no_hosts_and_does_not_lead_out_of_its_base() {
    let server = server(ok).await;
    let here = format!("http://127.0.0.1:{}", server.port);
    let grant = Grant { credentials: slots(&here, Some(&format!("{here}/api"))), ..Grant::default() };
    let to = outbound(grant);
    assert_eq!(send(&to, request("GET", "slot:api/v1/x?y=z"), false).await, "200 hi");
    assert!(server.seen.lock().unwrap()[0].starts_with("GET /api/v1/x?y=z "));
    for path in ["slot:api", "slot:api/", "slot:api?a=../b", "slot:api/..x/a..b/%2e%2ex"] {
        assert_eq!(send(&to, request("GET", path), false).await, "200 hi", "{path}");
    }
    let out = [
        "slot:api/../admin",
        "slot:api/%2e%2e/admin",
        "slot:other/x",
        "slot:api/x/../../api-admin/y",
        "slot:api/../api-admin/y",
        "slot:api/./x",
        "slot:api/%2E./x",
        "slot:api/..%2fapi-admin",
        "slot:api/x%5c..%5c..%5cadmin",
        "slot:api/%252e%252e/admin",
    ];
    for path in out {
        assert!(send(&to, request("GET", path), false).await.starts_with("denied"), "{path}");
    }
}

#[tokio::test]
async fn redirects_are_returned_and_large_bodies_refused() {
    let server = server(|request| {
        let path = request.split(' ').nth(1)?;
        Some(match path {
            "/moved" => b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec(),
            "/large" => b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_vec(),
            _ => [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(), vec![b'x'; 5000]].concat(),
        })
    })
    .await;
    let here = format!("http://127.0.0.1:{}", server.port);
    let to = outbound(granted(&here));
    assert_eq!(send(&to, request("GET", &format!("{here}/moved")), false).await, "302 ");
    assert_eq!(send(&to, request("GET", &format!("{here}/large")), false).await, "too-large 1000");
    assert_eq!(send(&to, request("GET", &format!("{here}/endless")), false).await, "too-large 1000");
}

#[tokio::test]
async fn a_broken_answer_is_interrupted_and_no_answer_at_all_unreachable() {
    let server = server(|_| None).await;
    let here = format!("http://127.0.0.1:{}", server.port);
    let to = outbound(granted(&here));
    assert_eq!(send(&to, request("POST", &here), true).await, "interrupted");
    assert_eq!(server.seen.lock().unwrap().len(), 1, "a change is never sent twice");
    assert_eq!(send(&to, request("GET", &here), true).await, "interrupted");
    assert_eq!(server.seen.lock().unwrap().len(), 3, "a read is tried once more");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let to = outbound(granted(&format!("http://{closed}")));
    assert_eq!(send(&to, request("POST", &format!("http://{closed}/")), true).await, "unreachable");
}

#[tokio::test]
async fn a_watch_ends_at_its_mark_and_a_slow_answer_at_its_time() {
    let server = server(|request| {
        let slow = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegin;mark;".to_vec();
        (!request.contains("/never")).then_some(slow)
    })
    .await;
    let here = format!("http://127.0.0.1:{}", server.port);
    let to = outbound(granted(&here));
    let until = |mark: &str| wit::Request { until: Some(mark.as_bytes().to_vec()), timeout: Some(300), ..request("GET", &here) };
    assert_eq!(send(&to, until("mark;"), false).await, "200 begin;mark; cut");
    assert_eq!(send(&to, until("nothing"), false).await, "200 begin;mark; cut");
    assert_eq!(send(&to, wit::Request { timeout: Some(300), ..request("GET", &here) }, false).await, "timed-out");
}

#[tokio::test]
async fn requests_run_at_once_up_to_the_limit_and_answer_in_order() {
    let server = server(|request| {
        let path = request.split(' ').nth(1)?;
        Some(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len()).into_bytes())
    })
    .await;
    let here = format!("http://127.0.0.1:{}", server.port);
    let to = outbound(granted(&here));
    let requests = (0..20).map(|at| request("GET", &format!("{here}/{at}"))).collect();
    let answers = send_all(&to, requests, 4, false).await;
    let want: Vec<_> = (0..20).map(|at| format!("200 /{at}")).collect();
    assert_eq!(answers, want);
    let busiest = server.busiest.load(Ordering::SeqCst);
    assert!((2..=4).contains(&busiest), "{busiest} at once");
}

#[tokio::test]
async fn one_provider_has_no_more_requests_under_way_than_its_limit_however_many_calls_ask() {
    let server = server(ok).await;
    let here = format!("http://127.0.0.1:{}", server.port);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let to = Outbound::new(Arc::new(granted(&here)), &Limits { http_parallel: 2, ..Limits::default() });
    let requests = || (0..8).map(|at| request("GET", &format!("{here}/{at}"))).collect();
    // One that asks for more than there are turns, and one that leaves the number to the host.
    let (one, two) = tokio::join!(send_all(&to, requests(), 8, false), send_all(&to, requests(), 0, false));
    assert!(one.len() == 8 && one.iter().chain(&two).all(|it| it == "200 hi"), "{one:?} {two:?}");
    assert_eq!(server.busiest.load(Ordering::SeqCst), 2);
}
