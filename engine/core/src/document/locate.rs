//! Places inside scalars: which characters of a file an expression in a decoded text stands for.

use super::node::{Source, Sources, Span};
use crate::diagnostic::{Diagnostic, codes};
use crate::expression::ExpressionError;

/// The finding that an expression's error is, with a caret under its text in the file.
///
/// `text` is what was decoded from the scalar at `span`.
pub(crate) fn expression_finding(error: &ExpressionError, text: &str, span: Span, sources: &Sources) -> Diagnostic {
    let mut finding = Diagnostic::error(error.code, error.message.clone());
    finding.hint.clone_from(&error.hint);
    let Some(source) = sources.get(span) else { return finding };
    if error.code == codes::EXPRESSION_SYNTAX && comment_follows(source, span) {
        finding.hint = Some("put the whole value in double quotes: ` #` begins a comment in a plain one".to_owned());
    }
    finding.at(source.location(inner(source, span, text, error.start, error.end)))
}

/// The same for a scalar that is one expression without `${{ }}` around it.
pub(crate) fn bare_finding(error: &ExpressionError, text: &str, span: Span, sources: &Sources) -> Diagnostic {
    let mut finding = Diagnostic::error(error.code, error.message.clone());
    finding.hint.clone_from(&error.hint);
    let Some(source) = sources.get(span) else { return finding };
    let raw = std::str::from_utf8(source.slice(span)).unwrap_or_default();
    finding.at(source.location(between(span, bare_offset(raw, text, error.start), bare_offset(raw, text, error.end))))
}

/// Offset in the raw text of a scalar for an offset in what was decoded from it.
fn bare_offset(raw: &str, text: &str, offset: usize) -> Option<usize> {
    let begin = match raw.chars().next()? {
        '\'' | '"' => 1,
        '|' | '>' => raw.find('\n')? + 1,
        _ => 0,
    };
    let indent = if begin > 1 { raw.get(begin..)?.len() - raw.get(begin..)?.trim_start().len() } else { 0 };
    follow(raw, text.get(..offset)?, begin + indent)
}

/// The part of a scalar's place that the bytes `start..end` of its decoded text come from; the whole where that cannot be
/// told.
fn inner(source: &Source, span: Span, text: &str, start: usize, end: usize) -> Span {
    let raw = std::str::from_utf8(source.slice(span)).unwrap_or_default();
    between(span, raw_offset(raw, text, start), raw_offset(raw, text, end))
}

fn between(span: Span, start: Option<usize>, end: Option<usize>) -> Span {
    let whole = |offset: Option<usize>| offset.and_then(|it| u32::try_from(it).ok());
    let Some(from) = whole(start) else { return span };
    let to = whole(end).unwrap_or(from).max(from);
    span.part(span.start + from, (to - from).max(1))
}

/// Offset in the raw text of a scalar for an offset in what was decoded from it. Counts from the nearest `${{` before it,
/// which both have in the same order.
fn raw_offset(raw: &str, text: &str, offset: usize) -> Option<usize> {
    const OPEN: &str = "${{";
    let before = text.get(..text.len().min(offset.saturating_add(OPEN.len())))?;
    let (nth, anchor) =
        before.match_indices(OPEN).take_while(|(at, _)| *at <= offset).enumerate().last().map(|(nth, it)| (nth, it.0))?;
    let (at, _) = raw.match_indices(OPEN).nth(nth)?;
    follow(raw, text.get(anchor..offset)?, at)
}

/// Where in the raw text of a scalar one stands after `text`, which begins at `at`.
fn follow(raw: &str, text: &str, mut at: usize) -> Option<usize> {
    let double = raw.starts_with('"');
    for wanted in text.chars() {
        let rest = raw.get(at..)?;
        let found = rest.chars().next()?;
        at += match (wanted, found) {
            ('\'', '\'') if raw.starts_with('\'') && rest.starts_with("''") => 2,
            (_, '\\') if double => escape_length(rest),
            (' ' | '\n', ' ' | '\n' | '\r') if rest.trim_start_matches(' ').starts_with(['\n', '\r']) => {
                rest.len() - rest.trim_start().len()
            }
            (wanted, found) if wanted == found => found.len_utf8(),
            _ => return None,
        };
    }
    Some(at)
}

fn escape_length(rest: &str) -> usize {
    match rest.as_bytes().get(1) {
        Some(b'x') => 4,
        Some(b'u') => 6,
        Some(b'U') => 10,
        _ => 2,
    }
}

/// Whether a plain scalar was cut short by a comment on its line.
fn comment_follows(source: &Source, span: Span) -> bool {
    let raw = source.slice(span);
    let after = source.bytes.get(span.end as usize..).unwrap_or_default();
    let line = after.split(|it| *it == b'\n').next().unwrap_or_default();
    !matches!(raw.first(), Some(b'"' | b'\'' | b'|' | b'>')) && line.windows(2).any(|pair| pair == b" #")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, text: &str, needle: &str, want: &str) {
        let start = text.find(needle).unwrap();
        let source = Source::new("a.yaml".into(), raw.as_bytes().into());
        let span = Span { file: 0, start: 0, end: raw.len() as u32 };
        let got = inner(&source, span, text, start, start + needle.len());
        assert_eq!(std::str::from_utf8(source.slice(got)).unwrap(), want, "{raw}");
    }

    #[test]
    fn a_caret_finds_its_text_in_an_expression_that_stands_alone() {
        for (raw, text) in [
            ("self.a == 'b'", "self.a == 'b'"),
            ("'self.a == ''b'''", "self.a == 'b'"),
            ("\"self.a == 'b'\"", "self.a == 'b'"),
            (">-\n  self.a ==\n  'b'\n", "self.a == 'b'"),
        ] {
            let at = |needle: &str| bare_offset(raw, text, text.find(needle).unwrap());
            assert_eq!(raw.get(at("self").unwrap()..at(" ==").unwrap()), Some("self.a"), "{raw}");
            assert!(raw.get(at("'b'").unwrap()..).unwrap().trim_start_matches('\'').starts_with('b'), "{raw}");
        }
    }

    #[test]
    fn a_caret_finds_its_text_through_quotes_escapes_and_folds() {
        check("a ${{ vars.x }}", "a ${{ vars.x }}", "vars.x", "vars.x");
        check("\"\\u00e4 ${{ vars.x }}\"", "ä ${{ vars.x }}", "vars.x", "vars.x");
        check("'${{ ref(''K/n'').spec.x }}'", "${{ ref('K/n').spec.x }}", "spec.x", "spec.x");
        check("\"${{ \\\"a\\\" + vars.x }}\"", "${{ \"a\" + vars.x }}", "vars.x", "vars.x");
        check("|\n  x\n  ${{ vars.a }}\n  ${{ vars.b }}\n", "x\n${{ vars.a }}\n${{ vars.b }}\n", "vars.b", "vars.b");
        check("|\n  ${{ vars.a +\n  vars.b }}\n", "${{ vars.a +\nvars.b }}\n", "vars.b", "vars.b");
        check(">\n  ${{ vars.a +\n  vars.b }}\n", "${{ vars.a + vars.b }}\n", "vars.b", "vars.b");
    }
}
