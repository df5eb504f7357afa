//! A small ticket service to test against: `server PORT` on 127.0.0.1, all in memory. This is the HTTP part, one thread a
//! connection; what tickets do stands in `service`.

mod service;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, thread};

use service::{Answer, Request, Service};

fn main() -> io::Result<()> {
    let port = env::args().nth(1).and_then(|it| it.parse::<u16>().ok()).ok_or_else(|| io::Error::other("usage: server PORT"))?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let service = Arc::new(Mutex::new(Service::new()));
    for stream in listener.incoming().flatten() {
        let service = Arc::clone(&service);
        thread::spawn(move || drop(serve(&stream, &service)));
    }
    Ok(())
}

/// Answers the requests of one connection, one after the other.
fn serve(stream: &TcpStream, service: &Mutex<Service>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        let Answer { status, etag, body } = service.lock().unwrap_or_else(PoisonError::into_inner).answer(&request);
        let body = if status == 304 { String::new() } else { body.to_string() };
        let etag = etag.map(|it| format!("etag: {it}\r\n")).unwrap_or_default();
        let head = format!("HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n{etag}content-length: {}\r\n\r\n", body.len());
        let mut stream = stream;
        stream.write_all((head + &body).as_bytes())?;
    }
    Ok(())
}

/// The next request; none at the end of the connection.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.take(16_384).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut lines = lines.into_iter();
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ').map(str::to_owned);
    let (method, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = lines.filter_map(|it| it.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())));
    let mut request = Request { method, url, headers: headers.collect(), body: Vec::new() };
    let length = request.header("content-length").and_then(|it| it.parse::<usize>().ok()).unwrap_or(0);
    if length > 1 << 20 {
        return Err(io::Error::other("a body above 1 MiB"));
    }
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}
