//! A proxy before a real server, which counts what is asked and fails on demand.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::http1::Message;
use super::tls::{Stream, Tls};

/// What is asked, in a word or two (`GET /zones/…`, `AXFR`, `UPDATE`), and as it came.
pub struct Asked {
    /// Counted from 0, over all connections.
    pub number: usize,
    pub what: String,
    pub bytes: Vec<u8>,
}

/// What becomes of it.
pub enum Fate {
    Pass,
    /// The server is asked after so long.
    Wait(Duration),
    /// The connection is closed, and nothing reaches the server.
    Close,
    /// This is the answer, and nothing reaches the server.
    Answer(Vec<u8>),
    /// The server does what it is asked to, and this is the answer.
    Late(Vec<u8>),
    /// Of the server's answer only so many bytes come through.
    Cut(usize),
    /// The server is asked this, and its answer is the answer.
    Instead(Vec<u8>),
}

/// How messages are told from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Dns,
}

type Judge = dyn Fn(&Asked) -> Fate + Send + Sync;

struct Shared {
    target: u16,
    protocol: Protocol,
    tls: Option<Tls>,
    judge: Mutex<Arc<Judge>>,
    asked: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// One proxy; it ends with the value.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Before the HTTP server on this port of the loopback.
    pub fn http(target: u16) -> Self {
        Self::start(target, Protocol::Http, None)
    }

    /// Before the HTTPS server on this port. Without a target it is a server of its own, whose every answer is decided.
    pub fn https(target: Option<u16>, tls: Tls) -> Self {
        Self::start(target.unwrap_or_default(), Protocol::Http, Some(tls))
    }

    /// Before the DNS server on this port, for TCP.
    pub fn dns(target: u16) -> Self {
        Self::start(target, Protocol::Dns, None)
    }

    fn start(target: u16, protocol: Protocol, tls: Option<Tls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let judge: Arc<Judge> = Arc::new(|_| Fate::Pass);
        let over = AtomicBool::new(false);
        let shared = Arc::new(Shared { target, protocol, tls, judge: Mutex::new(judge), asked: Mutex::default(), over });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = serving.clone();
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { port, shared }
    }

    /// From now on `judge` decides; the count begins anew.
    pub fn decide(&self, judge: impl Fn(&Asked) -> Fate + Send + Sync + 'static) {
        *self.shared.judge.lock().expect("no panic") = Arc::new(judge);
        self.take();
    }

    /// What was asked since the last time this was called.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.asked.lock().expect("no panic"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn serve(&self, socket: TcpStream) {
        let _ = socket.set_read_timeout(Some(Duration::from_secs(60)));
        let Ok(plain) = socket.try_clone() else { return };
        let mut client: Box<dyn Stream> = match &self.tls {
            Some(tls) => tls.accept(plain),
            None => Box::new(plain),
        };
        let read = match self.protocol {
            Protocol::Http => read_http(&mut client),
            Protocol::Dns => read_dns(&mut client),
        };
        let Some(bytes) = read else { return };
        let what = match self.protocol {
            Protocol::Http => String::from_utf8_lossy(&bytes).split(" HTTP/").next().unwrap_or_default().to_owned(),
            Protocol::Dns => dns_word(&bytes),
        };
        let number = {
            let mut asked = self.asked.lock().expect("no panic");
            asked.push(what.clone());
            asked.len() - 1
        };
        let judge = self.judge.lock().expect("no panic").clone();
        let fate = judge(&Asked { number, what, bytes: bytes.clone() });
        // What is cut has no end that says so.
        let whole = !matches!(fate, Fate::Close | Fate::Cut(_));
        let sent = match fate {
            Fate::Pass => self.forward(&bytes, &mut client, usize::MAX),
            Fate::Wait(time) => {
                thread::sleep(time);
                self.forward(&bytes, &mut client, usize::MAX)
            }
            Fate::Close => Ok(()),
            Fate::Answer(answer) => client.write_all(&answer),
            Fate::Late(answer) => self.forward(&bytes, &mut std::io::sink(), usize::MAX).and_then(|()| client.write_all(&answer)),
            Fate::Cut(most) => self.forward(&bytes, &mut client, most),
            Fate::Instead(other) => self.forward(&other, &mut client, usize::MAX),
        };
        if whole && sent.is_ok() {
            client.finish();
        }
        let _ = socket.shutdown(Shutdown::Both);
    }

    /// Asks the server, and passes at most `most` bytes of its answer on.
    fn forward(&self, bytes: &[u8], client: &mut dyn Write, most: usize) -> std::io::Result<()> {
        let server = TcpStream::connect(("127.0.0.1", self.target))?;
        // A DNS server waits for more on the connection: what comes within this time is the answer.
        let wait = if self.protocol == Protocol::Dns { 400 } else { 60_000 };
        server.set_read_timeout(Some(Duration::from_millis(wait)))?;
        let mut server: Box<dyn Stream> = match &self.tls {
            Some(tls) => tls.connect(server),
            None => Box::new(server),
        };
        server.write_all(bytes)?;
        let (mut buffer, mut left) = (vec![0; 64 << 10], most);
        loop {
            let count = match server.read(&mut buffer) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(count) => count.min(left),
            };
            client.write_all(&buffer[..count])?;
            left -= count;
            if left == 0 {
                return Ok(());
            }
        }
    }
}

fn read_http(client: &mut impl Read) -> Option<Vec<u8>> {
    let mut message = Message::read_request(&mut BufReader::new(client), || Ok(()))?;
    // One request a connection, so that the server ends its answer by closing.
    message.set("Connection", "close");
    Some(message.bytes())
}

fn read_dns(client: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    client.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; 2 + usize::from(u16::from_be_bytes(length))];
    bytes[..2].copy_from_slice(&length);
    client.read_exact(&mut bytes[2..]).ok()?;
    Some(bytes)
}

/// `UPDATE`, or the type of a query.
fn dns_word(bytes: &[u8]) -> String {
    if bytes.get(4).is_some_and(|it| it >> 3 & 15 == 5) {
        return "UPDATE".to_owned();
    }
    let mut at = 14;
    while let Some(length) = bytes.get(at).filter(|it| **it > 0) {
        at += 1 + usize::from(*length);
    }
    let rtype = bytes.get(at + 1..at + 3).map_or(0, |it| u16::from_be_bytes([it[0], it[1]]));
    match rtype {
        6 => "SOA".to_owned(),
        251 => "IXFR".to_owned(),
        252 => "AXFR".to_owned(),
        other => format!("TYPE{other}"),
    }
}

/// An HTTP answer.
pub fn status(code: u16, body: &str) -> Vec<u8> {
    status_with(code, &[], body)
}

/// An HTTP answer with more header lines.
pub fn status_with(code: u16, headers: &[&str], body: &str) -> Vec<u8> {
    let more = headers.iter().map(|it| format!("{it}\r\n")).collect::<String>();
    format!(
        "HTTP/1.1 {code} Forged\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An answer of a DNS server that is a code and nothing else.
pub fn rcode(asked: &Asked, code: u8) -> Vec<u8> {
    let mut at = 14;
    while let Some(length) = asked.bytes.get(at).filter(|it| **it > 0) {
        at += 1 + usize::from(*length);
    }
    let mut out = asked.bytes[..at + 5].to_vec();
    let length = u16::try_from(out.len() - 2).expect("a short message");
    out[..2].copy_from_slice(&length.to_be_bytes());
    out[4] |= 0x80;
    out[5] = code;
    out[8..14].fill(0);
    out
}
