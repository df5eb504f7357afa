//! Cuts short values where they are words of their own: a whole value of JSON, of a header or of a form, or a word of a text.
//!
//! Anywhere else a value of a few characters is part of something else, and to cut it would leave no recording to replay.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use trueup_core::value::Json;

/// A short value as it stands, in JSON, in a form and in base64. The same places mean the same spelling.
pub(super) fn spellings(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let json = Json::from(value).to_string();
    let form: String = url::form_urlencoded::byte_serialize(bytes).collect();
    let base64 = [STANDARD.encode(bytes), STANDARD_NO_PAD.encode(bytes), URL_SAFE.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)];
    let plain = [value.to_owned(), json.trim_matches('"').to_owned(), form.replace('+', "%20"), form];
    plain.into_iter().chain(base64).collect()
}

/// `text` with what stands for each of these words.
pub(super) fn cut(mut text: String, words: &[(String, String)]) -> String {
    for (value, shown) in words {
        let apart = |at: usize| stands_apart(&text, at, value);
        let places: Vec<usize> = text.match_indices(value.as_str()).map(|it| it.0).filter(|it| apart(*it)).collect();
        for at in places.into_iter().rev() {
            text.replace_range(at..at + value.len(), shown);
        }
    }
    text
}

/// Whether what stands at `at` belongs to no longer word.
fn stands_apart(text: &str, at: usize, value: &str) -> bool {
    let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + value.len()..).unwrap_or_default());
    let begins = !value.starts_with(is_word) || !before.ends_with(is_word) || ends_in_escape(before);
    begins && (!value.ends_with(is_word) || ends_word(after, value))
}

fn ends_word(after: &str, value: &str) -> bool {
    // `12.0` is 12, and a full stop ends a sentence.
    let number = value.bytes().all(|it| it.is_ascii_digit() || it == b'-');
    let rest = match after.strip_prefix('.') {
        Some(rest) if number => rest.trim_start_matches('0'),
        Some(rest) => rest,
        None => after,
    };
    !rest.starts_with(is_word)
}

/// `-`, `.` and `_` join words: names of hosts, dates, addresses.
fn is_word(it: char) -> bool {
    it.is_alphanumeric() || matches!(it, '-' | '.' | '_')
}

/// Whether the letters or digits before belong to an escape of JSON or of a URL: `\n`, `\u0026`, `%22`.
fn ends_in_escape(before: &str) -> bool {
    let hex = |count: usize| {
        let (head, tail) = before.split_at_checked(before.len().checked_sub(count)?)?;
        tail.bytes().all(|it| it.is_ascii_hexdigit()).then_some(head)
    };
    before.strip_suffix(['n', 'r', 't', 'b', 'f']).is_some_and(|it| it.ends_with('\\'))
        || hex(4).is_some_and(|it| it.ends_with("\\u"))
        || hex(2).is_some_and(|it| it.ends_with('%'))
}
