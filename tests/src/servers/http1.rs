//! Messages of HTTP/1.1 as they are on the wire, for the servers and proxies of the tests: whole in memory, and bounded.

use std::io::{self, BufRead, Read as _};

/// Most bytes of a head, and of a body.
const HEAD: u64 = 64 << 10;
const BODY: usize = 64 << 20;

/// A request or an answer. Names of headers keep their spelling, and are found by any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// `GET /path HTTP/1.1`, or `HTTP/1.1 200 OK`.
    pub first: String,
    pub headers: Vec<(String, String)>,
    /// Without the marks of chunks: the length is said by [`Message::bytes`].
    pub body: Vec<u8>,
}

impl Message {
    /// An answer.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { first: format!("HTTP/1.1 {status} Forged"), headers, body: body.into() }
    }

    /// Reads a request; None where the other side has no more, or says what is no HTTP.
    pub fn read_request(reader: &mut impl BufRead, on_continue: impl FnOnce() -> io::Result<()>) -> Option<Self> {
        let mut this = Self::read_head(reader)?;
        if this.remove("expect").is_some() {
            on_continue().ok()?;
        }
        this.read_body(reader, false)?;
        Some(this)
    }

    /// Reads the answer to a request of this method.
    pub fn read_answer(reader: &mut impl BufRead, method: &str) -> Option<Self> {
        let mut this = Self::read_head(reader)?;
        if method != "HEAD" && !matches!(this.status(), 100..=199 | 204 | 304) {
            this.read_body(reader, true)?;
        }
        Some(this)
    }

    fn read_head(reader: &mut impl BufRead) -> Option<Self> {
        let mut reader = reader.take(HEAD);
        let mut line = || {
            let mut line = Vec::new();
            reader.read_until(b'\n', &mut line).ok()?;
            line.ends_with(b"\n").then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
        };
        let first = line().filter(|it| it.contains("HTTP/1."))?;
        let mut headers = Vec::new();
        loop {
            let line = line()?;
            if line.is_empty() {
                return Some(Self { first, headers, body: Vec::new() });
            }
            let (name, value) = line.split_once(':')?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// `to_end`: where nothing says how long it is, the body ends with the connection, as an answer's may.
    fn read_body(&mut self, reader: &mut impl BufRead, to_end: bool) -> Option<()> {
        if self.remove("transfer-encoding").is_some_and(|it| it.to_lowercase().contains("chunked")) {
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).ok()?;
                let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
                self.read_exactly(reader, size)?;
                // The end of the line after a chunk, or after the last one the lines that may trail it.
                while reader.read_line(&mut line).ok()? > 2 {}
                if size == 0 {
                    return Some(());
                }
            }
        }
        match self.header("content-length").map(|it| it.parse::<usize>()) {
            Some(length) => self.read_exactly(reader, length.ok()?),
            None if to_end => {
                reader.take(BODY as u64 + 1).read_to_end(&mut self.body).ok()?;
                (self.body.len() <= BODY).then_some(())
            }
            None => Some(()),
        }
    }

    fn read_exactly(&mut self, reader: &mut impl BufRead, more: usize) -> Option<()> {
        let from = self.body.len();
        let to = from.checked_add(more).filter(|it| *it <= BODY)?;
        self.body.resize(to, 0);
        reader.read_exact(self.body.get_mut(from..)?).ok()
    }

    /// The message on the wire, with the length of its body where it has one or may have one.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            head += &if name.eq_ignore_ascii_case("content-length") && !self.body.is_empty() {
                format!("{name}: {}\r\n", self.body.len())
            } else {
                format!("{name}: {value}\r\n")
            };
        }
        let silent = self.header("content-length").is_none();
        if silent && (!self.body.is_empty() || !matches!(self.status(), 0 | 100..=199 | 204 | 304)) {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        let mut out = (head + "\r\n").into_bytes();
        out.extend_from_slice(&self.body);
        out
    }

    /// Sets the body, and its length.
    pub fn with_body(mut self, body: Vec<u8>) -> Self {
        if self.header("content-length").is_some() {
            self.set("content-length", &body.len().to_string());
        }
        self.body = body;
        self
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1.as_str())
    }

    /// Replaces all headers of this name.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Takes all headers of this name away; the first one's value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let value = self.header(name).map(str::to_owned);
        self.headers.retain(|it| !it.0.eq_ignore_ascii_case(name));
        value
    }

    /// Of a request.
    pub fn method(&self) -> &str {
        self.first.split(' ').next().unwrap_or_default()
    }

    /// Of a request: path and query.
    pub fn target(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    /// Of a request: the path without the query, as it came.
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// Of a request: the query's members, decoded.
    pub fn query(&self) -> Vec<(String, String)> {
        self.target().split_once('?').map(|it| pairs(it.1)).unwrap_or_default()
    }

    /// Of an answer; 0 of what is none.
    pub fn status(&self) -> u16 {
        self.first.strip_prefix("HTTP/1.").and_then(|it| it.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Members of a form or a query, decoded and in order.
pub fn pairs(form: &str) -> Vec<(String, String)> {
    let parts = form.split('&').filter(|it| !it.is_empty());
    parts.map(|it| it.split_once('=').unwrap_or((it, ""))).map(|(name, value)| (unescape(name), unescape(value))).collect()
}

/// The form of these members.
pub fn form(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect::<Vec<_>>().join("&")
}

pub fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex: String = if byte == b'%' { bytes.clone().take(2).map(char::from).collect() } else { String::new() };
        match (byte, u8::from_str_radix(&hex, 16)) {
            (b'%', Ok(value)) if hex.len() == 2 => {
                out.push(value);
                bytes.nth(1);
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|it| if plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Option<Message> {
        Message::read_answer(&mut text.as_bytes(), "GET")
    }

    #[test]
    fn a_body_ends_by_its_length_by_its_last_chunk_or_with_the_connection() {
        let by_length = answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef").unwrap();
        assert_eq!(by_length.text(), "abc");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n";
        let by_chunks = answer(chunked).unwrap();
        assert_eq!(by_chunks.text(), "abcdefg");
        assert!(String::from_utf8(by_chunks.bytes()).unwrap().contains("Content-Length: 7\r\n"));
        assert_eq!(answer("HTTP/1.0 200 OK\r\n\r\nabc").unwrap().text(), "abc");
    }

    #[test]
    fn a_message_that_is_cut_short_is_none() {
        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc"), None);
        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-"), None);
        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), None);
    }

    #[test]
    fn a_head_request_is_answered_with_a_length_and_no_body() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n";
        let head = Message::read_answer(&mut text.as_bytes(), "HEAD").unwrap();
        assert_eq!(head.bytes(), text.as_bytes());
    }

    #[test]
    fn a_form_is_the_same_after_it_is_read_and_written() {
        let text = "Action=CreateTags&Tag.1.Value=a%20b%2Fc%26&Empty=";
        assert_eq!(form(&pairs(text)), text);
        assert_eq!(pairs("tagging&a=1+2"), [("tagging".to_owned(), String::new()), ("a".to_owned(), "1 2".to_owned())]);
    }
}
