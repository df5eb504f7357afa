//! A Git server over HTTP for tests: `git http-backend` behind a few lines, with faults where a test asks for them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::git;

/// One request, body included.
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    /// Whether this asks for a pack.
    pub fn is_fetch(&self) -> bool {
        self.target.ends_with("/git-upload-pack") && String::from_utf8_lossy(&self.body).contains("command=fetch")
    }
}

/// What the server does with a request.
pub enum Reply {
    /// As `git` answers.
    Git,
    /// As `git` answers, with the body changed.
    Changed(fn(&mut Vec<u8>)),
    /// Status line, headers and body as they are.
    Raw(Vec<u8>),
    /// These pieces, with a pause after each; an empty piece just waits.
    Slow(Vec<Vec<u8>>, Duration),
}

type Judge = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server for one test. It ends with the process: its threads hold nothing that needs an end.
pub struct Server {
    pub addr: SocketAddr,
    judge: Arc<Mutex<Arc<Judge>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves the repositories below `root` as `git` does.
    pub fn new(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let judge: Arc<Mutex<Arc<Judge>>> = Arc::new(Mutex::new(Arc::new(|_: &Request| Reply::Git)));
        let server = Self { addr: listener.local_addr().unwrap(), judge: judge.clone(), seen: Arc::default() };
        let (root, seen) = (root.to_path_buf(), server.seen.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (judge, root, seen) = (judge.lock().unwrap().clone(), root.clone(), seen.clone());
                // A client that went away is what some tests are about.
                thread::spawn(move || serve(stream, &root, &*judge, &seen).ok());
            }
        });
        server
    }

    /// From now on, `judge` says what becomes of each request.
    pub fn on(&self, judge: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.judge.lock().unwrap() = Arc::new(judge);
    }

    pub fn url(&self) -> String {
        format!("http://{}/repo", self.addr)
    }

    /// Method and target of all requests so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, root: &Path, judge: &Judge, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let request = read_request(&mut input)?;
    seen.lock().unwrap().push(format!("{} {}", request.method, request.target));
    let mut output = stream;
    match judge(&request) {
        Reply::Git => output.write_all(&answer(root, &request, |_| {})?),
        Reply::Changed(change) => output.write_all(&answer(root, &request, change)?),
        Reply::Raw(raw) => output.write_all(&raw),
        Reply::Slow(pieces, pause) => pieces.iter().try_for_each(|piece| {
            output.write_all(piece)?;
            output.flush()?;
            thread::sleep(pause);
            Ok(())
        }),
    }
}

fn read_request(input: &mut impl BufRead) -> std::io::Result<Request> {
    let mut line = || -> std::io::Result<String> {
        let mut line = String::new();
        input.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    loop {
        let header = line()?;
        match header.split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|it| it == "chunked") {
        loop {
            let mut size = String::new();
            input.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).unwrap_or(0);
            input.take(size).read_to_end(&mut body)?;
            input.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(size) = headers.get("content-length").and_then(|it| it.parse().ok()) {
        input.take(size).read_to_end(&mut body)?;
    }
    Ok(Request { method, target, headers, body })
}

/// What `git http-backend` answers, as an HTTP response.
fn answer(root: &Path, request: &Request, change: fn(&mut Vec<u8>)) -> std::io::Result<Vec<u8>> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
    let mut child = git(root)
        .arg("http-backend")
        .envs([("GIT_PROJECT_ROOT", root.as_os_str()), ("GIT_HTTP_EXPORT_ALL", "1".as_ref())])
        .envs([("PATH_INFO", path), ("QUERY_STRING", query), ("REQUEST_METHOD", &request.method)])
        .envs([("CONTENT_TYPE", header("content-type")), ("GIT_PROTOCOL", header("git-protocol"))])
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().unwrap();
    let body = request.body.clone();
    thread::spawn(move || stdin.write_all(&body).ok());
    let said = child.wait_with_output()?.stdout;
    let end = said.windows(4).position(|it| it == b"\r\n\r\n").unwrap_or(said.len());
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    let mut body = said.get(end + 4..).unwrap_or_default().to_vec();
    change(&mut body);
    let status = head.lines().find_map(|it| it.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
    let rest: Vec<&str> = head.lines().filter(|it| !it.starts_with("Status: ")).collect();
    Ok([format!("HTTP/1.1 {status}\r\n{}\r\nConnection: close\r\n\r\n", rest.join("\r\n")).into_bytes(), body].concat())
}

/// A response with this status, headers (each with its line end) and body.
pub fn response(status: &str, headers: &str, body: &[u8]) -> Reply {
    Reply::Raw(
        [format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()).as_bytes(), body]
            .concat(),
    )
}

/// The answer to a request for a pack, with this pack in it.
pub fn pack_answer(pack: &[u8]) -> Reply {
    let line = |bytes: &[u8]| [format!("{:04x}", bytes.len() + 4).as_bytes(), bytes].concat();
    let mut body = line(b"packfile\n");
    for piece in pack.chunks(60_000) {
        body.extend(line(&[b"\x01", piece].concat()));
    }
    body.extend(b"0000");
    response("200 OK", "Content-Type: application/x-git-upload-pack-result\r\n", &body)
}

/// Packs made by hand, of objects no `git` would pack. Nothing is compressed: `deflate` has a form for that.
pub struct Pack {
    bytes: Vec<u8>,
    count: u32,
}

impl Default for Pack {
    fn default() -> Self {
        Self { bytes: b"PACK\0\0\0\x02\0\0\0\0".to_vec(), count: 0 }
    }
}

impl Pack {
    /// Adds an object: 1 commit, 2 tree, 3 blob. Returns where it starts.
    pub fn object(&mut self, kind: u8, content: &[u8]) -> usize {
        self.entry(kind, content.len(), &[], content)
    }

    /// Adds the object at `base` (`size` bytes long), changed by a delta of these instructions that gives `result` bytes.
    pub fn delta(&mut self, base: usize, size: usize, result: usize, instructions: &[u8]) -> usize {
        let delta = [varint(size), varint(result), instructions.to_vec()].concat();
        let mut back = self.bytes.len() - base;
        let mut offset = vec![(back & 0x7f) as u8];
        while back > 0x7f {
            back = (back >> 7) - 1;
            offset.insert(0, 0x80 | (back & 0x7f) as u8);
        }
        self.entry(6, delta.len(), &offset, &delta)
    }

    fn entry(&mut self, kind: u8, size: usize, extra: &[u8], content: &[u8]) -> usize {
        let start = self.bytes.len();
        let mut rest = size >> 4;
        self.bytes.push(kind << 4 | (size & 15) as u8 | if rest > 0 { 0x80 } else { 0 });
        if rest > 0 {
            self.bytes.extend(varint(std::mem::take(&mut rest)));
        }
        self.bytes.extend_from_slice(extra);
        self.bytes.extend(stored(content));
        self.count += 1;
        start
    }

    /// The pack with its count and checksum.
    pub fn finish(self) -> Vec<u8> {
        let count = self.count;
        self.finish_claiming(count)
    }

    /// The pack, saying that it holds `count` objects.
    pub fn finish_claiming(mut self, count: u32) -> Vec<u8> {
        self.bytes[8..12].copy_from_slice(&count.to_be_bytes());
        let mut child = std::process::Command::new("sha1sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&self.bytes).unwrap();
        let hex = child.wait_with_output().unwrap().stdout;
        let hex = String::from_utf8(hex[..40].to_vec()).unwrap();
        self.bytes.extend((0..40).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()));
        self.bytes
    }
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// The zlib form of bytes that are not compressed.
fn stored(content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut pieces = content.chunks(65_535).peekable();
    if content.is_empty() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(piece) = pieces.next() {
        out.push(u8::from(pieces.peek().is_none()));
        out.extend((piece.len() as u16).to_le_bytes());
        out.extend((!(piece.len() as u16)).to_le_bytes());
        out.extend(piece);
    }
    let (a, b) = content.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

/// All processes that this one started, by the folder that shows them.
pub fn children() -> Vec<PathBuf> {
    let me = format!("\nPPid:\t{}\n", std::process::id());
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|it| it.path());
    all.filter(|it| std::fs::read_to_string(it.join("status")).is_ok_and(|status| status.contains(&me))).collect()
}
