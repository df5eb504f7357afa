//! XML as services write it, read in one pass and with nothing kept.
//!
//! Knows elements, attributes, text, CDATA, comments, processing instructions and the five entities; namespaces are dropped from names
//! and not resolved. A document type is refused, so nothing can be expanded; depth is bounded. What it gives borrows from the body.

use std::borrow::Cow;

use super::DEPTH;

pub mod read;
pub mod write;

/// The begin of an element.
#[derive(Debug)]
pub struct Tag<'a> {
    /// Without its prefix.
    pub name: &'a str,
    /// With their prefixes.
    pub attributes: Vec<(&'a str, String)>,
}

enum Event<'a> {
    Start(Tag<'a>),
    Text(Cow<'a, str>),
    End,
}

/// Reads a document from its root on; always in some element until [`end`](Self::end).
pub struct Reader<'a> {
    rest: &'a str,
    /// Full names of the elements that are open.
    open: Vec<&'a str>,
    /// The element that was begun last is `<a/>`.
    closed: bool,
}

type Result<T> = std::result::Result<T, String>;

fn bad<T>(what: &str) -> Result<T> {
    Err(format!("is no XML: {what}"))
}

impl<'a> Reader<'a> {
    /// The root of a document.
    pub fn begin(body: &'a [u8]) -> Result<(Self, Tag<'a>)> {
        let Ok(text) = std::str::from_utf8(body) else { return bad("not UTF-8") };
        let mut reader = Self { rest: text.strip_prefix('\u{feff}').unwrap_or(text), open: Vec::new(), closed: false };
        loop {
            match reader.next()? {
                Event::Start(tag) => return Ok((reader, tag)),
                Event::Text(text) if text.trim().is_empty() && !reader.rest.is_empty() => {}
                Event::Text(_) | Event::End => return bad("it does not begin with an element"),
            }
        }
    }

    /// The next element in this one; none at this one's end, which is passed then.
    pub fn child(&mut self) -> Result<Option<Tag<'a>>> {
        loop {
            match self.next()? {
                Event::Start(tag) => return Ok(Some(tag)),
                Event::Text(_) => {}
                Event::End => return Ok(None),
            }
        }
    }

    /// The text of this element, whose end is passed; elements in it are not part of it.
    pub fn text(&mut self) -> Result<Cow<'a, str>> {
        let mut out = Cow::Borrowed("");
        loop {
            match self.next()? {
                Event::Start(_) => self.skip()?,
                Event::Text(text) if out.is_empty() => out = text,
                Event::Text(text) => out.to_mut().push_str(&text),
                Event::End => return Ok(out),
            }
        }
    }

    /// Passes the end of this element.
    pub fn skip(&mut self) -> Result<()> {
        let depth = self.open.len();
        while self.open.len() >= depth {
            self.next()?;
        }
        Ok(())
    }

    /// After the root's end: nothing else may follow.
    pub fn end(&mut self) -> Result<()> {
        while !self.rest.is_empty() {
            match self.next()? {
                Event::Text(text) if text.trim().is_empty() => {}
                _ => return bad("more after its end"),
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Event<'a>> {
        if std::mem::take(&mut self.closed) {
            self.open.pop();
            return Ok(Event::End);
        }
        loop {
            let Some(markup) = self.rest.strip_prefix('<') else { return self.characters() };
            if markup.starts_with('?') {
                self.after("?>")?;
            } else if markup.starts_with("!--") {
                self.rest = markup.get(3..).unwrap_or_default();
                self.after("-->")?;
            } else if let Some(data) = markup.strip_prefix("![CDATA[") {
                self.rest = data;
                return Ok(Event::Text(lines(self.after("]]>")?)));
            } else if markup.starts_with('!') {
                return bad("it has a document type");
            } else if let Some(name) = markup.strip_prefix('/') {
                self.rest = name;
                return self.close();
            } else {
                self.rest = markup;
                return self.start();
            }
        }
    }

    /// What is before `mark`, which is passed.
    fn after(&mut self, mark: &str) -> Result<&'a str> {
        let Some((before, rest)) = self.rest.split_once(mark) else { return bad("it ends too early") };
        self.rest = rest;
        Ok(before)
    }

    /// Text up to the next mark; empty at the end of the document.
    fn characters(&mut self) -> Result<Event<'a>> {
        let end = self.rest.find('<').unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        if rest.is_empty() && !self.open.is_empty() {
            return bad("it ends too early");
        }
        self.rest = rest;
        resolve(text).map(Event::Text)
    }

    fn close(&mut self) -> Result<Event<'a>> {
        let name = self.after(">")?.trim_end();
        match self.open.pop() {
            Some(open) if open == name => Ok(Event::End),
            _ => bad("an element ends that was not begun"),
        }
    }

    fn start(&mut self) -> Result<Event<'a>> {
        let full = self.name()?;
        let mut attributes = Vec::new();
        loop {
            let spaced = self.rest.starts_with(|it: char| it.is_ascii_whitespace());
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.rest = rest;
                break;
            }
            if let Some(rest) = self.rest.strip_prefix("/>") {
                self.rest = rest;
                self.closed = true;
                break;
            }
            if !spaced {
                return bad("a mark is not ended");
            }
            attributes.push(self.attribute()?);
        }
        if self.open.len() >= DEPTH {
            return bad("it is nested too deeply");
        }
        self.open.push(full);
        Ok(Event::Start(Tag { name: full.rsplit(':').next().unwrap_or(full), attributes }))
    }

    fn name(&mut self) -> Result<&'a str> {
        let end = self.rest.find(|it: char| it.is_ascii_whitespace() || matches!(it, '/' | '>' | '=' | '<' | '"' | '\'' | '&'));
        match self.rest.split_at_checked(end.unwrap_or_default()) {
            Some((name, rest)) if !name.is_empty() => {
                self.rest = rest;
                Ok(name)
            }
            _ => bad("a name is missing"),
        }
    }

    fn attribute(&mut self) -> Result<(&'a str, String)> {
        let name = self.name()?;
        let Some(value) = self.rest.trim_start().strip_prefix('=') else { return bad("an attribute has no value") };
        let value = value.trim_start();
        let Some(quote) = value.get(..1).filter(|it| matches!(*it, "\"" | "'")) else {
            return bad("an attribute has no quotes");
        };
        self.rest = value.get(1..).unwrap_or_default();
        let value = self.after(quote)?;
        Ok((name, resolve(value)?.into_owned()))
    }
}

/// Line ends as XML has them (XML 1.0, 2.11).
fn lines(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

/// Text with its entities resolved; each makes one character.
fn resolve(text: &str) -> Result<Cow<'_, str>> {
    let text = lines(text);
    if !text.contains('&') {
        return Ok(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('&');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let Some((name, rest)) = part.split_once(';') else { return bad("an entity is not ended") };
        let Some(character) = entity(name) else { return bad("an entity that it does not declare") };
        out.push(character);
        out.push_str(rest);
    }
    Ok(out.into())
}

fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => {}
    }
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix('x') {
        Some(hex) if hex.bytes().all(|it| it.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok()?,
        None if number.bytes().all(|it| it.is_ascii_digit()) => number.parse().ok()?,
        _ => return None,
    };
    char::from_u32(code)
}
