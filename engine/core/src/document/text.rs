//! What a file must be before anything reads it: clean UTF-8 without invisible tricks; and how it falls into documents.

use std::ops::Range;

use super::node::{Source, Span};
use crate::diagnostic::{Code, Diagnostic, codes};

/// Checks size and encoding, and gives the text.
///
/// Refused are byte order marks, UTF-16, NUL and other control characters, and bidirectional overrides, which can make a
/// file read differently from what it says. Other invisible characters are refused in keys only.
pub(crate) fn clean(source: &Source, file: u32, max: usize) -> Result<&str, Diagnostic> {
    let bytes: &[u8] = &source.bytes;
    let fail = |code: Code, start: usize, width: usize, message: String| {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let span = Span { file, start: 0, end: 0 }.part(start, u32::try_from(width).unwrap_or(0));
        Diagnostic::error(code, message).at(source.location(span))
    };
    if bytes.len() > max {
        let message = format!("the file is larger than {} MiB", max >> 20);
        return Err(fail(codes::DOCUMENT_LIMIT, 0, 0, message).hint("split it into several files"));
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(fail(codes::ENCODING, 0, 0, "the file is UTF-16".into()).hint("save it as UTF-8"));
    }
    if bytes.starts_with(&[0xEF, 0xBB, 0xBF]) {
        let message = "the file begins with a byte order mark".into();
        return Err(fail(codes::ENCODING, 0, 0, message).hint("save it as UTF-8 without a byte order mark"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        fail(codes::ENCODING, error.valid_up_to(), 1, format!("byte 0x{byte:02x} is not UTF-8")).hint("save the file as UTF-8")
    })?;
    match bad_character(text) {
        None => Ok(text),
        Some((at, '\0')) => {
            let message = "a NUL character".into();
            Err(fail(codes::ENCODING, at, 1, message).hint("save the file as UTF-8; NUL cannot be kept in a document"))
        }
        Some((at, found)) => {
            let shown = escaped(found);
            let message = format!("the invisible character {shown} stands in the file");
            let hint = format!("remove it, or write it as {shown} in double quotes");
            Err(fail(codes::ENCODING, at, found.len_utf8(), message).hint(hint))
        }
    }
}

/// The first character that may not stand unescaped in a file.
fn bad_character(text: &str) -> Option<(usize, char)> {
    let plain = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7E);
    if text.bytes().all(plain) {
        return None;
    }
    let bad = |it: char| match it {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}' => true,
        other => other.is_control() || is_bidi(other),
    };
    text.char_indices().find(|(_, it)| bad(*it))
}

/// Controls that reorder the text around them.
fn is_bidi(it: char) -> bool {
    matches!(it, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character can hide in a key or a name: controls, reordering marks, zero-width characters.
pub(crate) fn hides(it: char) -> bool {
    it.is_control()
        || is_bidi(it)
        || matches!(it, '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{FEFF}')
}

/// `\u202e`, as it can be written in YAML and JSON.
fn escaped(it: char) -> String {
    format!("\\u{:04x}", it as u32)
}

/// A text from a document in a message: short, in backticks, nothing hidden.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut out = String::from("`");
    for (count, it) in text.chars().enumerate() {
        if count == MOST {
            out.push('…');
            break;
        }
        if hides(it) { out.push_str(&escaped(it)) } else { out.push(it) }
    }
    out.push('`');
    out
}

/// The documents of a YAML file, each from its `---` on.
///
/// A `---` at the start of a line always begins a document, whatever stands before it, so that a document that does not
/// parse hides none of its neighbours. Directives stay with the document they precede.
pub(crate) fn chunks(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("\n---")).map(|at| from + at + 1) {
        from = at;
        let marker = text.as_bytes().get(at + 3).is_none_or(|next| matches!(next, b' ' | b'\t' | b'\n' | b'\r'));
        if marker && !text.get(start..at).is_some_and(only_directives) {
            out.push(start..at);
            start = at;
        }
    }
    out.push(start..text.len());
    out
}

/// Whether a text before a `---` holds directives and no content, so that both belong to one document.
fn only_directives(text: &str) -> bool {
    let mut some = false;
    text.lines().all(|line| {
        some |= line.starts_with('%');
        line.starts_with(['%', '#']) || line.trim().is_empty()
    }) && some
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], want: Option<&str>) {
        let source = Source::new("a.yaml".into(), bytes.into());
        let got = clean(&source, 0, 1 << 20).err();
        match (&got, want) {
            (None, None) => {}
            (Some(got), Some(want)) => assert!(got.message.contains(want), "{bytes:?}: {}", got.message),
            _ => panic!("{bytes:?}: {got:?}"),
        }
    }

    #[test]
    fn a_file_that_is_not_clean_utf_8_is_refused_by_name() {
        check("ä: 😀\tx\r\n".as_bytes(), None);
        check("a: \u{200d}\u{2028}".as_bytes(), None);
        check(b"\xEF\xBB\xBFa: 1", Some("byte order mark"));
        check(b"\xFF\xFEa\0", Some("UTF-16"));
        check(b"a: \xC3(", Some("byte 0xc3 is not UTF-8"));
        check(b"a: \0", Some("NUL"));
        check(b"a: \x1b[31m", Some("\\u001b"));
        check("a: \u{202e}b".as_bytes(), Some("\\u202e"));
        check("a: b\u{feff}".as_bytes(), Some("\\ufeff"));
        check("a: \u{9b}1m".as_bytes(), Some("\\u009b"));
    }

    #[test]
    fn a_file_above_its_limit_is_refused() {
        let source = Source::new("a.yaml".into(), vec![b' '; (1 << 20) + 1].into());
        let got = clean(&source, 0, 1 << 20).unwrap_err();
        assert_eq!(got.code, codes::DOCUMENT_LIMIT);
    }

    #[test]
    fn documents_begin_at_their_markers() {
        let parts = |text: &str| chunks(text).into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>();
        assert_eq!(parts("a: 1\n---\nb: 2\n"), ["a: 1\n", "---\nb: 2\n"]);
        assert_eq!(parts("---\na: ---\n--- x\n----\n"), ["---\na: ---\n", "--- x\n----\n"]);
        assert_eq!(parts("# c\n%YAML 1.2\n---\na: 1"), ["# c\n%YAML 1.2\n---\na: 1"]);
        assert_eq!(parts("# c\n---\na: 1"), ["# c\n", "---\na: 1"]);
    }

    #[test]
    fn a_text_in_a_message_is_short_and_hides_nothing() {
        assert_eq!(shown("a\u{1b}[31m\u{202e}"), "`a\\u001b[31m\\u202e`");
        assert_eq!(shown(&"x".repeat(300)).chars().count(), 63);
    }
}
