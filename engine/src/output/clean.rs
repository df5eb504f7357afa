//! Makes text from outside harmless on a terminal.
//!
//! Documents, plugins, remote systems and file names may carry escape sequences that move the cursor, set a window's
//! title or turn the direction of text around. Whatever is printed passes through [`clean`] first; what a program reads
//! (`-o json`, `-o yaml`) passes through [`escape`], which keeps the value and changes only its spelling.

use std::borrow::Cow;
use std::fmt::Write as _;

pub use trueup_core::text::is_hostile;

/// One line of text for a terminal: every hostile character is spelt out (`\n`, `\t`, `\u001b`, `\u202e`).
pub fn clean(text: &str) -> Cow<'_, str> {
    spell(text, |_| false)
}

/// As [`clean`], but the text keeps its line breaks.
pub fn clean_lines(text: &str) -> Cow<'_, str> {
    spell(text, |c| c == '\n')
}

/// At most `limit` characters of the cleaned text; what was cut is shown by `mark`.
pub fn clip(text: &str, limit: usize, mark: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(limit) {
        None => text.into_owned(),
        Some(_) => {
            let keep = limit.saturating_sub(mark.chars().count());
            text.chars().take(keep).chain(mark.chars()).collect()
        }
    }
}

/// JSON text with every hostile character that JSON allows unescaped written as `\uXXXX`; it means the same.
pub fn escape(json: String) -> String {
    if !json.chars().any(|c| is_hostile(c) && c != '\n') {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_hostile(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn spell(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| is_hostile(c) && !keep(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if keep(c) { out.push(c) } else { trueup_core::text::spell(&mut out, c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(clean(text), want, "{text:?}");
    }

    #[test]
    fn escape_sequences_line_breaks_and_bidi_marks_are_spelt_out() {
        check("plain — text ü", "plain — text ü");
        check("\u{1b}]0;title\u{7}", "\\u001b]0;title\\u0007");
        check("\u{9b}31m", "\\u009b31m");
        check("a\u{202e}b\u{2066}c\u{200b}", "a\\u202eb\\u2066c\\u200b");
        check("one\ntwo\tthree\r", "one\\ntwo\\tthree\\r");
        check("\u{e0041}", "\\ue0041");
    }

    #[test]
    fn lines_stay_lines_only_where_that_is_asked_for() {
        assert_eq!(clean_lines("a\nb\u{1b}c"), "a\nb\\u001bc");
    }

    #[test]
    fn clipped_text_is_never_longer_than_its_limit() {
        assert_eq!(clip("abcdef", 6, "…"), "abcdef");
        assert_eq!(clip("abcdefg", 6, "…"), "abcde…");
        assert_eq!(clip("\u{1b}\u{1b}", 6, "..."), "\\u0...");
    }

    #[test]
    fn escaped_json_reads_back_as_the_same_value() {
        let value = serde_json::json!({"k\u{202e}": "\u{9b}\u{e0001}x\u{1b}"});
        let text = escape(value.to_string());
        assert!(!text.chars().any(is_hostile), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
