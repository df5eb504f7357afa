//! The import against servers of our own on the loopback interface, most of which misbehave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::wire::{self, put_u16, u16_at};
use super::{DnsServer, Exchanger, TsigAlgorithm, TsigKey};
use crate::bindings::trueup::provider::dns as wit;
use crate::grant::{Credential, Grant, Scheme, Slot};
use crate::runtime::Limits;
use crate::services::Secret;

mod refusals;
mod signed;
mod streams;
mod tls;
mod udp;

const SOA: u16 = 6;
const A: u16 = 1;
const NS: u16 = 2;
const IXFR: u16 = 251;
const AXFR: u16 = 252;
/// The id that the plugin writes.
const ID: u16 = 0x1234;

// Messages.

fn name(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in text.split('.').filter(|it| !it.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.bytes());
    }
    out.push(0);
    out
}

fn record(owner: &str, kind: u16, class: u16, data: &[u8]) -> Vec<u8> {
    let mut out = name(owner);
    out.extend([kind.to_be_bytes(), class.to_be_bytes()].concat());
    out.extend(300_u32.to_be_bytes());
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out
}

/// A signature's record.
fn tsig(data: &[u8]) -> Vec<u8> {
    let mut out = record("trueup", 250, 255, data);
    let ttl = name("trueup").len() + 4;
    out[ttl..ttl + 4].fill(0);
    out
}

fn soa(serial: u32) -> Vec<u8> {
    let mut data = [name("ns.example.com"), name("who.example.com")].concat();
    data.extend(serial.to_be_bytes());
    data.extend([0; 16]);
    record("example.com", SOA, 1, &data)
}

fn a(label: &str) -> Vec<u8> {
    record(&format!("{label}.example.com"), A, 1, &[192, 0, 2, 1])
}

/// A message with one question about `example.com` and records in its last three sections.
fn message(opcode: u8, kind: u16, sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    let mut out = [ID.to_be_bytes(), [opcode << 3, 0], 1_u16.to_be_bytes()].concat();
    sections.iter().for_each(|it| out.extend(u16::try_from(it.len()).unwrap().to_be_bytes()));
    out.extend([name("example.com"), kind.to_be_bytes().to_vec(), 1_u16.to_be_bytes().to_vec()].concat());
    sections.iter().for_each(|it| out.extend(it.concat()));
    out
}

fn ask(kind: u16) -> Vec<u8> {
    message(0, kind, [&[], &[], &[]])
}

fn update() -> Vec<u8> {
    message(5, SOA, [&[], &[a("new")], &[]])
}

/// The answer to a query: its id and question, these records.
fn answer(query: &[u8], rcode: u8, records: &[Vec<u8>]) -> Vec<u8> {
    let end = wire::name(query, 12).unwrap().1 + 4;
    let mut out = query[..end].to_vec();
    (out[2], out[3]) = (query[2] & 0x78 | 0x84, rcode);
    [(6, records.len()), (8, 0), (10, 0)].iter().for_each(|(at, it)| put_u16(&mut out, *at, u16::try_from(*it).unwrap()));
    out.extend(records.concat());
    out
}

// Servers.

/// What a server does with a connection, or in answer to a datagram; then it hangs up.
enum Step {
    /// Bytes as they are.
    Send(Vec<u8>),
    /// A message with its length before it.
    Say(Vec<u8>),
    Wait(u64),
}

struct Server {
    origin: String,
    /// Queries as they came.
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

async fn tcp(script: impl Fn(&[u8]) -> Vec<Step> + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server { origin: format!("dns://{}", listener.local_addr().unwrap()), seen: Arc::default() };
    let (seen, script) = (server.seen.clone(), Arc::new(script));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (seen, script) = (seen.clone(), script.clone());
            tokio::spawn(async move {
                let Ok(len) = stream.read_u16().await else { return };
                let mut query = vec![0; usize::from(len)];
                stream.read_exact(&mut query).await.unwrap();
                seen.lock().unwrap().push(query.clone());
                for step in script(&query) {
                    let bytes = match step {
                        Step::Send(bytes) => bytes,
                        Step::Say(bytes) => [u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec(), bytes].concat(),
                        Step::Wait(ms) => {
                            tokio::time::sleep(Duration::from_millis(ms)).await;
                            continue;
                        }
                    };
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    server
}

async fn udp(script: impl Fn(&[u8]) -> Vec<Step> + Send + 'static) -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = Server { origin: format!("dns://{}", socket.local_addr().unwrap()), seen: Arc::default() };
    let seen = server.seen.clone();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            seen.lock().unwrap().push(buffer[..len].to_vec());
            for step in script(&buffer[..len]) {
                match step {
                    Step::Send(bytes) | Step::Say(bytes) => drop(socket.send_to(&bytes, from).await),
                    Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                }
            }
        }
    });
    server
}

// The plugin's side.

fn key() -> TsigKey {
    TsigKey::new("trueup.", TsigAlgorithm::HmacSha256, &Secret::from("AAECAwQFBgcICQoLDA0ODw==")).unwrap()
}

/// A grant of a server, with the slot `tsig` for it.
fn granted(origin: &str) -> Grant {
    let server = DnsServer::parse(origin).unwrap();
    let it = Arc::new(Credential {
        name: "zone-key".to_owned(),
        origins: Vec::new(),
        servers: vec![server.clone()],
        scheme: Scheme::Tsig(Box::new(key())),
        ca_pem: None,
        base: None,
    });
    let slots = BTreeMap::from([("tsig".to_owned(), Slot { read: it.clone(), write: it })]);
    Grant { dns: vec![server], credentials: slots, ..Grant::default() }
}

fn query(origin: &str, via: wit::Transport, message: Vec<u8>) -> wit::Query {
    wit::Query { server: origin.to_owned(), via, message, credential: None, max_bytes: 0, timeout: Some(2000) }
}

fn signed(query: wit::Query) -> wit::Query {
    wit::Query { credential: Some("tsig".to_owned()), ..query }
}

/// Sends queries within `apply` (`writes`) or outside.
async fn exchange_all(grant: Grant, queries: Vec<wit::Query>, writes: bool) -> Vec<Result<Vec<Vec<u8>>, String>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exchanger = Exchanger::new(Arc::new(grant), &Limits::default());
    let answers = exchanger.exchange_all(queries, 0, writes, Instant::now() + Duration::from_secs(20)).await;
    answers.into_iter().map(|it| it.map_err(told)).collect()
}

async fn exchange(grant: Grant, query: wit::Query, writes: bool) -> Result<Vec<Vec<u8>>, String> {
    exchange_all(grant, vec![query], writes).await.remove(0)
}

fn told(error: wit::DnsError) -> String {
    match error {
        wit::DnsError::Denied(text) => format!("denied: {text}"),
        wit::DnsError::Unreachable(text) => format!("unreachable: {text}"),
        wit::DnsError::Unauthorized(text) => format!("unauthorized: {text}"),
        wit::DnsError::Interrupted(text) => format!("interrupted: {text}"),
        wit::DnsError::TimedOut => "timed-out".to_owned(),
        wit::DnsError::TooLarge(limit) => format!("too-large: {limit}"),
        wit::DnsError::Malformed(text) => format!("malformed: {text}"),
    }
}

#[track_caller]
fn fails(got: Result<Vec<Vec<u8>>, String>, class: &str, words: &str) {
    let error = got.unwrap_err();
    assert!(error.starts_with(class) && error.contains(words), "want {class} … {words}, got {error}");
}

/// Signs as a server does, written from the RFC and not with the code under test.
struct Signer {
    covered: Vec<u8>,
    first: bool,
    /// Seconds by which the server's clock is ahead.
    skew: u64,
}

impl Signer {
    /// For the answer to a signed query.
    fn of(query: &[u8]) -> Self {
        // The signature stands before the original id, the error and the length of nothing.
        let signature = &query[query.len() - 38..query.len() - 6];
        Self { covered: [&[0, 32], signature].concat(), first: true, skew: 0 }
    }

    /// A message that is sent as it is.
    fn plain(&mut self, message: Vec<u8>) -> Step {
        self.covered.extend(&message);
        Step::Say(message)
    }

    fn say(&mut self, message: Vec<u8>) -> Step {
        Step::Say(self.sign(message))
    }

    fn sign(&mut self, mut message: Vec<u8>) -> Vec<u8> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + self.skew;
        let timers = [&now.to_be_bytes()[2..], &300_u16.to_be_bytes()].concat();
        let (key, algorithm) = (name("trueup"), name("hmac-sha256"));
        let mut mac = Hmac::<Sha256>::new_from_slice(&(0..16).collect::<Vec<u8>>()).unwrap();
        mac.update(&self.covered);
        mac.update(&message);
        match self.first {
            true => mac.update(&[&key[..], &[0, 255, 0, 0, 0, 0], &algorithm, &timers, &[0; 4]].concat()),
            false => mac.update(&timers),
        }
        let signature = mac.finalize().into_bytes().to_vec();
        let id = message[..2].to_vec();
        let data = [&algorithm[..], &timers, &[0, 32], &signature, &id, &[0; 4]].concat();
        message.extend(tsig(&data));
        let count = u16_at(&message, 10).unwrap();
        put_u16(&mut message, 10, count + 1);
        (self.covered, self.first) = ([&[0, 32], &signature[..]].concat(), false);
        message
    }
}
