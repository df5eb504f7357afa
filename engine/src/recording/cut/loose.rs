//! Finds a value however its characters are written: as they are, or escaped as JSON and its like, URLs, HTML and mail do it, each
//! character in its own way and any number of times over. Encoders differ in what they escape, so that no list of spellings is
//! whole; what a reader makes of a text does not differ.
//!
//! A line break matches any other one, an indented one, or none: PEM stands in one line, in YAML, and in JSON.

use std::ops::Range;

/// Steps that the search for one value may take from one place, for each of its bytes. Only a text that is made for it comes
/// there; what was matched until then is cut, as nobody knows.
const STEPS: usize = 64;
/// Levels of escapes inside escapes.
const LEVELS: usize = 8;

/// What a value is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// White space with a line break in it.
    Break,
}

/// A value to look for.
#[derive(Clone, Debug)]
pub(super) struct Loose(Vec<Part>);

impl Loose {
    /// None where nothing is left of it without the white space around it.
    pub(super) fn new(value: &str) -> Option<Self> {
        let (mut parts, mut rest) = (Vec::new(), value.trim_matches(['\n', '\r', '\t', ' ']));
        while let Some(first) = rest.as_bytes().first() {
            let after = rest.trim_start_matches(['\n', '\r', '\t', ' ']);
            let space = rest.get(..rest.len() - after.len()).unwrap_or_default();
            if space.contains(['\n', '\r']) {
                parts.push(Part::Break);
                rest = after;
                continue;
            }
            let length = rest.chars().next().map_or(1, char::len_utf8);
            parts.push(Part::Byte(*first));
            parts.extend(rest.as_bytes().iter().take(length).skip(1).map(|it| Part::Byte(*it)));
            rest = rest.get(length..).unwrap_or_default();
        }
        (!parts.is_empty()).then_some(Self(parts))
    }

    /// Where it stands in `text`, from `from` on.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        let first = self.0.first()?;
        let begins = |byte: u8| *first == Part::Byte(byte) || matches!(byte, b'\\' | b'%' | b'&' | b'=' | b'+');
        let mut at = from;
        while let Some(step) = text.get(at..).and_then(|rest| rest.iter().position(|it| begins(*it))) {
            let start = at + step;
            if let Some(end) = self.matches(text, start) {
                return Some(start..end);
            }
            at = start + 1;
        }
        None
    }

    /// Where the value ends that begins here, if it does.
    fn matches(&self, text: &[u8], start: usize) -> Option<usize> {
        let mut open = vec![(start, 0_usize)];
        let mut left = STEPS.saturating_mul(self.0.len());
        while let Some((at, part)) = open.pop() {
            match self.0.get(part) {
                None => return Some(at),
                Some(Part::Break) => open.push((blank(text, at), part + 1)),
                Some(Part::Byte(_)) => {
                    // The plain reading comes last on the stack, and so is tried first.
                    escapes(text, at, &mut |bytes, next| {
                        let same = bytes.iter().enumerate().all(|(on, it)| self.0.get(part + on) == Some(&Part::Byte(*it)));
                        if same {
                            open.push((next, part + bytes.len()));
                        }
                    });
                    if let Some(Part::Byte(byte)) = self.0.get(part)
                        && text.get(at) == Some(byte)
                    {
                        open.push((at + 1, part + 1));
                    }
                }
            }
            left -= 1;
            if left == 0 {
                return open.iter().map(|it| it.0).max().filter(|it| *it > start);
            }
        }
        None
    }
}

/// The end of white space, written in any way.
fn blank(text: &[u8], mut at: usize) -> usize {
    loop {
        let mut after = None;
        match text.get(at) {
            Some(b'\n' | b'\r' | b' ' | b'\t') => after = Some(at + 1),
            // As likely the first character of the next line.
            Some(b'+') => {}
            _ => escapes(text, at, &mut |bytes, next| {
                if bytes.iter().all(|it| matches!(it, b'\n' | b'\r' | b' ' | b'\t')) {
                    after = Some(next);
                }
            }),
        }
        match after {
            Some(next) if next > at => at = next,
            _ => return at,
        }
    }
}

/// Tells every way in which an escape may be read here: the bytes that it stands for, and where it ends.
fn escapes(text: &[u8], at: usize, told: &mut dyn FnMut(&[u8], usize)) {
    match text.get(at) {
        Some(b'\\') => backslash(text, at, told),
        Some(b'%') => percent(text, at, told),
        Some(b'&') => entity(text, at, told),
        Some(b'+') => told(b" ", at + 1),
        Some(b'=') => quoted(text, at, told),
        _ => {}
    }
}

/// JSON, JavaScript, YAML, shells: `\n`, `\"`, `\u00e4`, and all of these escaped again.
fn backslash(text: &[u8], at: usize, told: &mut dyn FnMut(&[u8], usize)) {
    let run = text.iter().skip(at).take(1 << LEVELS).take_while(|it| **it == b'\\').count();
    // Backslashes of the value itself.
    for count in (1..LEVELS).map(|it| 1 << it).filter(|it| *it <= run) {
        told(b"\\", at + count);
    }
    let after = at + run;
    let plain: &[u8] = match text.get(after) {
        Some(b'n') => b"\n",
        Some(b'r') => b"\r",
        Some(b't') => b"\t",
        Some(b'b') => b"\x08",
        Some(b'f') => b"\x0c",
        Some(b'u') => return unicode(text, after, told),
        Some(b'x') => {
            // A character, or a byte of one.
            if let Some(number) = hex(text, after + 1, 2) {
                code(number, after + 3, told);
                if let Ok(byte) = u8::try_from(number) {
                    told(&[byte], after + 3);
                }
            }
            return;
        }
        Some(other) if other.is_ascii_punctuation() => return told(&[*other], after + 1),
        _ => return,
    };
    told(plain, after + 1);
}

/// `u00e4`, `ud83d\ude00`; `at` is the `u`.
fn unicode(text: &[u8], at: usize, told: &mut dyn FnMut(&[u8], usize)) {
    let Some(first) = hex(text, at + 1, 4) else { return };
    if !(0xd800..0xdc00).contains(&first) {
        return code(first, at + 5, told);
    }
    let run = text.iter().skip(at + 5).take(1 << LEVELS).take_while(|it| **it == b'\\').count();
    let next = at + 5 + run;
    if run > 0
        && text.get(next) == Some(&b'u')
        && let Some(second) = hex(text, next + 1, 4).filter(|it| (0xdc00..0xe000).contains(it))
    {
        code(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), next + 5, told);
    }
}

/// `%C3%A4`, a byte at a time, and `%25C3`.
fn percent(text: &[u8], at: usize, told: &mut dyn FnMut(&[u8], usize)) {
    let mut digits = at + 1;
    for _ in 0..LEVELS {
        if let Some(byte) = hex(text, digits, 2).and_then(|it| u8::try_from(it).ok()) {
            told(&[byte], digits + 2);
        }
        match text.get(digits..digits + 2) {
            Some(b"25") => digits += 2,
            _ => break,
        }
    }
}

/// `&lt;`, `&#60;`, `&#x3c;`, and `&amp;lt;`.
fn entity(text: &[u8], at: usize, told: &mut dyn FnMut(&[u8], usize)) {
    const NAMES: [(&[u8], &[u8]); 7] = [
        (b"amp;", b"&"),
        (b"lt;", b"<"),
        (b"gt;", b">"),
        (b"quot;", b"\""),
        (b"apos;", b"'"),
        (b"nbsp;", "\u{a0}".as_bytes()),
        (b"NewLine;", b"\n"),
    ];
    let mut name = at + 1;
    for _ in 0..LEVELS {
        let rest = text.get(name..).unwrap_or_default();
        for (spelled, stands) in NAMES {
            if rest.starts_with(spelled) {
                told(stands, name + spelled.len());
            }
        }
        if rest.first() == Some(&b'#') {
            let (radix, skip) = if matches!(rest.get(1), Some(b'x' | b'X')) { (16, 2) } else { (10, 1) };
            let digits = rest.iter().skip(skip).take(7).take_while(|it| char::from(**it).is_digit(radix)).count();
            let number = rest.get(skip..skip + digits).and_then(|it| std::str::from_utf8(it).ok());
            if let Some(number) = number.and_then(|it| u32::from_str_radix(it, radix).ok())
                && rest.get(skip + digits) == Some(&b';')
            {
                code(number, name + skip + digits + 1, told);
            }
        }
        if !rest.starts_with(b"amp;") {
            break;
        }
        name += 4;
    }
}

/// Quoted-printable (RFC 2045 §6.7): `=C3=A4`, and a line that is broken for its length.
fn quoted(text: &[u8], at: usize, told: &mut dyn FnMut(&[u8], usize)) {
    if let Some(byte) = hex(text, at + 1, 2).and_then(|it| u8::try_from(it).ok()) {
        told(&[byte], at + 3);
    }
    let rest = text.get(at + 1..).unwrap_or_default();
    for broken in [&b"\r\n"[..], b"\n", b"\\r\\n", b"\\n"] {
        if rest.starts_with(broken) {
            told(b"", at + 1 + broken.len());
        }
    }
}

/// A number of so many hex digits.
fn hex(text: &[u8], at: usize, digits: usize) -> Option<u32> {
    let text = std::str::from_utf8(text.get(at..at + digits)?).ok()?;
    // `from_str_radix` takes a sign.
    text.bytes().all(|it| it.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// The UTF-8 of a code point.
fn code(point: u32, next: usize, told: &mut dyn FnMut(&[u8], usize)) {
    if let Some(it) = char::from_u32(point) {
        told(it.encode_utf8(&mut [0; 4]).as_bytes(), next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(value: &str, text: &str) -> Option<String> {
        let at = Loose::new(value).unwrap().find(text.as_bytes(), 0)?;
        Some(String::from_utf8_lossy(text.as_bytes().get(at).unwrap()).into_owned())
    }

    #[test]
    fn a_value_is_found_as_any_encoder_writes_it() {
        let value = "pä<ss-wörd&1/x(y)! \"q\"\\z";
        let json = |it: &str| serde_json::Value::from(it).to_string().trim_matches('"').to_owned();
        let twice = json(&json(value));
        for spelled in [
            value,
            r#"pä\u003css-wörd\u00261/x(y)! \"q\"\\z"#,
            r#"p\u00e4<ss-w\u00F6rd&1/x(y)! \"q\"\\z"#,
            "p%C3%A4%3Css-w%C3%B6rd%261%2Fx(y)!%20%22q%22%5Cz",
            "p%c3%a4%3Css-w%C3%B6rd%261/x%28y%29%21+%22q%22%5Cz",
            "p%25C3%25A4%253Css-w%25C3%25B6rd%25261/x(y)!%2520%2522q%2522%255Cz",
            "pä&lt;ss-wörd&amp;1/x(y)! &quot;q&quot;\\z",
            "p&#228;&#x3c;ss-w&#xF6;rd&amp;1/x(y)! &#34;q&#34;\\z",
            "pä&amp;lt;ss-wörd&amp;amp;1/x(y)! &amp;quot;q&amp;quot;\\z",
            "p=C3=A4<ss-w=C3=B6rd&1/x(y)!=20=\r\n\"q\"\\z",
            r#"p\xe4<ss-w\xf6rd&1\/x\(y\)\! \"q\"\\z"#,
            &json(value),
            &twice,
            &json(&twice),
        ] {
            let around = format!("{{\"a\": \"{spelled}\", \"b\": 1}}");
            assert_eq!(found(value, &around).as_deref(), Some(spelled), "{spelled}");
        }
        assert_eq!(found("q7/Zt+9kQw4xY8==", "key=q7%2FZt+9kQw4xY8==&x").as_deref(), Some("q7%2FZt+9kQw4xY8=="));
        assert_eq!(found("q7/Zt+9kQw4xY8==", "q7/Zt%2B9kQw4xY8%3D%3D").as_deref(), Some("q7/Zt%2B9kQw4xY8%3D%3D"));
        assert_eq!(found("smile 😀 x", r"smile \ud83d\ude00 x").as_deref(), Some(r"smile \ud83d\ude00 x"));
        assert_eq!(found("pä", r"p\xc3\xa4").as_deref(), Some(r"p\xc3\xa4"));
        assert_eq!(found(r"a\\b\c", r"a\\\\b\\c").as_deref(), Some(r"a\\\\b\\c"));
    }

    #[test]
    fn lines_are_found_broken_in_any_way_or_in_none() {
        let pem = "-----BEGIN KEY-----\nAbCd+/0=\nEfGh1234\n-----END KEY-----\n";
        let lines: Vec<&str> = pem.trim_end().lines().collect();
        for with in ["\n", "\r\n", "\\n", "\\r\\n", "\\\\n", "\n    ", "", " ", "%0A", "&#10;", "\\n  ", "\n\t"] {
            let spelled = lines.join(with);
            assert_eq!(found(pem, &format!("key: |{with}{spelled}{with}next")).as_deref(), Some(spelled.as_str()), "{with:?}");
        }
    }

    #[test]
    fn what_is_another_text_is_not_found() {
        for text in ["", "hunter", "hunter3", "hunte%72", r"hunter\u0033", "%68%75nter", "hunter&#51;", "hunter 2", "Hunter2"] {
            assert_eq!(found("hunter2", text), None, "{text}");
        }
        assert!(Loose::new(" \n").is_none());
    }

    #[test]
    fn a_text_that_is_made_to_be_read_in_many_ways_costs_a_bounded_time() {
        let value = "%25".repeat(200) + "!";
        assert_eq!(found(&value, &"%25".repeat(10_000)), None);
        let slashes = "\\".repeat(300) + "!";
        assert!(found(&slashes, &"\\".repeat(5_000)).is_some(), "what nobody can tell is cut");
    }
}
