//! Values and their differences as people read them.

use std::time::Duration;

use serde_json::Value as Json;
use similar::{ChangeTag, TextDiff};
use trueup_core::value::{Marker, marker};

use super::clean::{clean, clip};
use super::style::{Style, Tone};

/// Texts beyond this many bytes are described, not compared.
const DIFF_LIMIT: usize = 256 << 10;

/// Columns of a line that somebody copies.
const COLUMNS: usize = 100;

/// A command for a shell, in lines that fit beside each other's text: broken before options, as a shell takes it. `taken` are
/// the columns before it.
pub fn broken(command: &str, taken: usize) -> String {
    let (mut out, mut column, mut quoted) = (String::new(), taken, false);
    let mut parts: Vec<String> = Vec::new();
    for word in command.split(' ') {
        match parts.last_mut().filter(|_| quoted || !word.starts_with('-')) {
            Some(last) => *last = format!("{last} {word}"),
            None => parts.push(word.to_owned()),
        }
        quoted ^= word.matches('\'').count() % 2 == 1;
    }
    for (at, part) in parts.iter().enumerate() {
        let length = part.chars().count();
        // Room for the mark of a line that goes on, but behind the last.
        let mark = if at + 1 == parts.len() { 0 } else { 2 };
        if at > 0 && column + 1 + length + mark > COLUMNS {
            out.push_str(" \\\n   ");
            column = 3;
        }
        if at > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(part);
        column += length;
    }
    out
}

/// One value in one line of at most `limit` characters. Texts are quoted only where they could be mistaken.
pub fn inline(value: &Json, limit: usize, style: &Style) -> String {
    clip(&plain(value), limit, style.ellipsis())
}

/// As [`inline`], without a limit and not yet cleaned.
fn plain(value: &Json) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    match value {
        Json::String(text) if unmistakable(text) => text.clone(),
        Json::Array(items) => format!("[{}]", items.iter().map(nested).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let members = map.iter().map(|(key, it)| format!("{key}: {}", nested(it)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}

/// Inside a list or mapping every text is quoted.
fn nested(value: &Json) -> String {
    if value.is_string() { value.to_string() } else { plain(value) }
}

/// The words that stand for a value that is not there.
fn special(value: &Json) -> Option<String> {
    Some(match marker(value)? {
        Marker::Unknown(after) => format!("(known after {after})"),
        Marker::Secret { .. } => "(secret)".to_owned(),
        Marker::Blob { sha256, size } => format!("(file {}, {})", sha256.get(..8).unwrap_or(sha256), bytes(size)),
    })
}

/// Whether a reader takes this text for a text, and for this one.
fn unmistakable(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && !text.contains(['\n', '"'])
        && !text.starts_with(['[', '{', '('])
        && text.parse::<f64>().is_err()
        && serde_json::from_str::<Json>(text).is_err()
}

/// Whether this is a secret.
pub fn is_secret(value: &Json) -> bool {
    matches!(marker(value), Some(Marker::Secret { .. }))
}

/// A text of several lines.
pub fn lines(value: &Json) -> Option<&str> {
    value.as_str().filter(|it| it.strip_suffix('\n').unwrap_or(it).contains('\n'))
}

/// `12 B`, `3.4 KiB`, `1.2 MiB`
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in UNITS.iter().skip(1) {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A count with its word: `1 field`, `2 fields`.
pub fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// A small unified diff, two lines of context, each line behind `indent`; at most `limit` lines.
pub fn diff(before: &str, after: &str, indent: &str, limit: usize, style: &Style) -> String {
    if before.len().max(after.len()) > DIFF_LIMIT {
        return format!("{indent}(text of {} {} {})\n", bytes(before.len() as u64), style.arrow(), bytes(after.len() as u64));
    }
    let mut config = TextDiff::configure();
    config.timeout(Duration::from_millis(200));
    let diff = config.diff_lines(before, after);
    let mut out = Vec::new();
    for (index, group) in diff.grouped_ops(2).iter().enumerate() {
        if index > 0 {
            out.push((Tone::Faint, style.ellipsis().to_owned()));
        }
        for change in group.iter().flat_map(|it| diff.iter_changes(it)) {
            let (tone, sign) = match change.tag() {
                ChangeTag::Equal => (Tone::Faint, ' '),
                ChangeTag::Delete => (Tone::Bad, '-'),
                ChangeTag::Insert => (Tone::Good, '+'),
            };
            let line = change.value();
            let end = if line.ends_with('\n') { "" } else { " (no line break at the end)" };
            let line = clip(line.strip_suffix('\n').unwrap_or(line), 200, style.ellipsis());
            out.push((tone, format!("{sign} {line}{end}")));
        }
    }
    let more = out.len().saturating_sub(limit);
    out.truncate(limit);
    if more > 0 {
        out.push((Tone::Faint, format!("{} {}", style.ellipsis(), count(more, "more line"))));
    }
    out.iter().map(|(tone, line)| format!("{indent}{}\n", style.paint(*tone, line.trim_end()))).collect()
}

/// The last part of a path that is longer than `limit`, from the start of a segment where that is possible.
pub fn tail(path: &str, limit: usize, style: &Style) -> String {
    let path = clean(path);
    let length = path.chars().count();
    if length <= limit {
        return path.into_owned();
    }
    let mark = style.ellipsis();
    let end: String = path.chars().skip(length - limit.saturating_sub(mark.chars().count())).collect();
    let start = end.find('.').map(|it| it + 1).filter(|it| *it < end.len() / 2).unwrap_or(0);
    format!("{mark}{}", end.get(start..).unwrap_or(&end))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: Json, want: &str) {
        assert_eq!(inline(&value, 40, &Style::PLAIN), want, "{value}");
    }

    #[test]
    fn a_long_command_is_broken_before_options_and_never_inside_quotes() {
        assert_eq!(broken("trueup apply -e prod --plan p-1", 6), "trueup apply -e prod --plan p-1");
        let (folder, file) = ("tickets/example", format!("tickets/{}/credentials.yaml", "x".repeat(50)));
        let command = format!("trueup apply -e dev -C {folder} --credentials {file} --worktree --plan p-1");
        let want = format!("trueup apply -e dev -C {folder} \\\n    --credentials {file} \\\n    --worktree --plan p-1");
        assert_eq!(broken(&command, 6), want);
        let quoted = format!("trueup apply -C '{}' --yes", "a -b ".repeat(30));
        assert_eq!(broken(&quoted, 6), format!("trueup apply \\\n    -C '{}' \\\n    --yes", "a -b ".repeat(30)));
        for line in want.lines().chain(broken(&command, 90).lines()) {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
    }

    #[test]
    fn a_value_is_one_line_that_cannot_be_mistaken() {
        check(json!(6), "6");
        check(json!("https://old.cdn"), "https://old.cdn");
        check(json!("6"), "\"6\"");
        check(json!("0644"), "\"0644\"");
        check(json!("true"), "\"true\"");
        check(json!(""), "\"\"");
        check(json!("a\n"), "\"a\\n\"");
        check(json!(" a"), "\" a\"");
        check(json!("(secret)"), "\"(secret)\"");
        check(json!({"a": ["x", 1], "b": {}}), "{a: [\"x\", 1], b: {}}");
        check(json!("x\u{1b}[31m"), "x\\u001b[31m");
        check(json!("x".repeat(50)), &format!("{}…", "x".repeat(39)));
    }

    #[test]
    fn what_is_not_there_is_said_in_words() {
        check(json!({"$unknown": "Bucket/assets"}), "(known after Bucket/assets)");
        check(json!({"$secret": "db", "hmac": "00"}), "(secret)");
        check(json!([{"$secret": "db", "hmac": "c0ffee"}]), "[(secret)]");
        check(json!({"$blob": "0123456789abcdef", "size": 4096}), "(file 01234567, 4.0 KiB)");
    }

    #[test]
    fn texts_of_several_lines_become_a_small_diff() {
        let before = "a\nb\nc\nd\ne\nf\n";
        let after = "a\nb\nc\nD\u{1b}\ne\nf";
        let want = "  b\n  c\n- d\n+ D\\u001b\n  e\n- f\n+ f (no line break at the end)\n";
        let got = diff(before, after, "", 40, &Style::PLAIN);
        assert_eq!(got, want);
        assert_eq!(diff(before, after, "", 2, &Style::PLAIN).lines().count(), 3);
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        let path = "spec.template.spec.containers[name=web].env[name=ASSETS].value";
        assert_eq!(tail(path, 48, &Style::PLAIN), "…containers[name=web].env[name=ASSETS].value");
        assert_eq!(tail("spec.replicas", 40, &Style::PLAIN), "spec.replicas");
        assert!(tail(path, 40, &Style::PLAIN).chars().count() <= 40);
    }
}
