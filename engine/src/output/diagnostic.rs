//! Diagnostics for people: the code, the line with a caret under it, what to do next.
//!
//! The text of files comes from the caller; where it is not to be had, file, line and column stand alone. Lines are
//! cleaned before they are shown, and a line that may hold a secret is never shown: nor is any other of a file that has
//! documents which hold secrets by their nature, whoever found what.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use trueup_core::diagnostic::{Diagnostic, Location, Severity, codes};
use trueup_core::document::holds_secrets;

use super::clean::{clean, clean_lines};
use super::style::{Style, Tone};

/// Gives the text of one file of the source, if it can be had.
pub type Texts<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Lines beyond this many characters are not shown, only their place.
const LINE_LIMIT: usize = 2_000;
/// Findings shown to people; JSON has all of them.
const SHOWN: usize = 50;

/// All findings, errors first, then by place; ends in a line break unless there is nothing to say.
pub fn render_all(diagnostics: &[Diagnostic], texts: &Texts<'_>, style: &Style) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by(|a, b| (a.severity, &a.location, a.code).cmp(&(b.severity, &b.location, b.code)));
    let mut out = String::new();
    for diagnostic in sorted.iter().take(SHOWN) {
        out.push_str(&render(diagnostic, texts, style));
        out.push_str("\n\n");
    }
    if let Some(more) = sorted.len().checked_sub(SHOWN).filter(|it| *it > 0) {
        out.push_str(&format!("and {more} more; `-o json` lists them all\n\n"));
    }
    out
}

/// One finding, without a line break at its end.
pub fn render(diagnostic: &Diagnostic, texts: &Texts<'_>, style: &Style) -> String {
    if diagnostic.location.is_none() && diagnostic.related.is_empty() {
        return placeless(diagnostic, style);
    }
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut group = Group::with_title(level.primary_title(clean(&diagnostic.message)).id(diagnostic.code.to_string()));
    // The line that holds a plain secret is the one thing that must not be repeated.
    let quotable = !diagnostic.hidden && diagnostic.code != codes::PLAIN_SECRET && diagnostic.code != codes::SECRET_PLACE;
    let nothing = |_: &str| None;
    let texts: &Texts<'_> = if quotable { texts } else { &nothing };
    if let Some(location) = &diagnostic.location {
        group = place(group, location, None, texts);
    }
    for (location, words) in &diagnostic.related {
        group = place(group, location, Some(words), texts);
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.message(clean_lines(hint).into_owned()));
    }
    let renderer = if style.color { Renderer::styled() } else { Renderer::plain() };
    let decor = if style.unicode && style.color { DecorStyle::Unicode } else { DecorStyle::Ascii };
    renderer.decor_style(decor).term_width(style.width).render(&[group])
}

/// A finding that has no line to show: its words, and what to do next. The renderer would draw an empty gutter for it.
fn placeless(diagnostic: &Diagnostic, style: &Style) -> String {
    let (word, tone) = match diagnostic.severity {
        Severity::Error => ("error", Tone::Bad),
        Severity::Warning => ("warning", Tone::Change),
        Severity::Note => ("note", Tone::Strong),
    };
    let head = style.paint(tone, format!("{word}[{}]", diagnostic.code));
    let mut out = format!("{head}: {}", clean(&diagnostic.message));
    if let Some(hint) = &diagnostic.hint {
        out.push_str("\n  = help: ");
        out.push_str(&clean_lines(hint).replace('\n', "\n          "));
    }
    out
}

/// Adds the line of `location` with a caret, or only where it is.
fn place<'a>(group: Group<'a>, location: &Location, label: Option<&str>, texts: &Texts<'_>) -> Group<'a> {
    let path = clean(&location.file).into_owned();
    let label = label.map(|it| clean(it).into_owned());
    let quotable = |text: &String| !holds_secrets(text);
    let Some((line, span)) = texts(&location.file).filter(quotable).and_then(|text| excerpt(&text, location)) else {
        let origin = Origin::path(path).line(location.line as usize).char_column(location.column as usize);
        let group = group.element(origin);
        return match label {
            Some(label) => group.element(Level::NOTE.message(label)),
            None => group,
        };
    };
    let kind = if label.is_some() { AnnotationKind::Context } else { AnnotationKind::Primary };
    let snippet = Snippet::source(line).line_start(location.line as usize).path(path);
    group.element(snippet.annotation(kind.span(span).label(label)))
}

/// The line of `location`, cleaned, and the bytes of it to underline.
fn excerpt(text: &str, location: &Location) -> Option<(String, std::ops::Range<usize>)> {
    let line = text.lines().nth((location.line as usize).checked_sub(1)?)?;
    if line.chars().count() > LINE_LIMIT {
        return None;
    }
    let start = (location.column as usize).saturating_sub(1);
    let width = (location.width as usize).max(1);
    let part = |from: usize, count: usize| {
        let piece: String = line.chars().skip(from).take(count).collect();
        clean(&piece.replace('\t', "    ")).into_owned()
    };
    let (before, marked, after) = (part(0, start), part(start, width), part(start + width, LINE_LIMIT));
    let end = before.len() + marked.len();
    Some((format!("{before}{marked}{after}"), before.len()..end))
}

#[cfg(test)]
mod tests {
    use trueup_core::diagnostic::Code;

    use super::*;

    fn location(line: u32, column: u32, width: u32) -> Location {
        Location { file: "base/site.yaml".into(), line, column, width }
    }

    fn texts(_: &str) -> Option<String> {
        Some("spec:\n  contnet: a\u{1b}[2J\n\tx: hunter2\n".to_owned())
    }

    #[track_caller]
    fn check(diagnostic: &Diagnostic, want: &str) {
        assert_eq!(render(diagnostic, &texts, &Style::PLAIN), want);
    }

    #[test]
    fn a_finding_has_its_code_its_line_a_caret_and_a_hint() {
        let it = Diagnostic::error(Code(301), "`contnet` is not a field of File").at(location(2, 3, 7));
        check(
            &it.hint("did you mean `content`?"),
            "error[TU0301]: `contnet` is not a field of File\n \
             --> base/site.yaml:2:3\n  |\n\
             2 |   contnet: a\\u001b[2J\n  |   ^^^^^^^\n  |\n  \
             = help: did you mean `content`?",
        );
    }

    #[test]
    fn the_caret_stands_right_behind_a_tab() {
        let it = Diagnostic::warning(Code(103), "odd").at(location(3, 2, 1));
        check(&it, "warning[TU0103]: odd\n --> base/site.yaml:3:5\n  |\n3 |     x: hunter2\n  |     ^");
    }

    #[test]
    fn a_line_with_a_plain_secret_is_not_repeated() {
        let it = Diagnostic::error(codes::PLAIN_SECRET, "a plain value in a field for secrets").at(location(3, 2, 1));
        check(&it, "error[TU0304]: a plain value in a field for secrets\n--> base/site.yaml:3:2");
    }

    #[test]
    fn no_line_of_a_file_with_a_document_for_secrets_is_quoted() {
        let texts = |_: &str| Some("kind: Secret\nstringData: {a: hunter2, a: hunter3}\n".to_owned());
        let it = Diagnostic::error(codes::DUPLICATE_KEY, "the key `a` stands twice").at(location(2, 25, 1));
        let got = render(&it.also(location(2, 14, 1), "first here").hint("remove one of them"), &texts, &Style::PLAIN);
        assert!(!got.contains("hunter"), "{got}");
        for part in ["the key `a` stands twice", "base/site.yaml:2:25", "base/site.yaml:2:14", "first here", "remove one of them"]
        {
            assert!(got.contains(part), "`{part}` in {got}");
        }
    }

    #[test]
    fn a_place_beyond_the_text_shows_only_where_it_is() {
        check(&Diagnostic::error(Code(1), "gone").at(location(99, 1, 1)), "error[TU0001]: gone\n--> base/site.yaml:99:1");
    }

    #[test]
    fn a_finding_without_a_place_has_no_empty_gutter() {
        check(&Diagnostic::error(Code(1), "gone"), "error[TU0001]: gone");
        check(
            &Diagnostic::warning(Code(1), "odd\u{1b}").hint("try\nagain"),
            "warning[TU0001]: odd\\u001b\n  = help: try\n          again",
        );
    }

    #[test]
    fn both_places_of_a_duplicate_are_shown() {
        let it = Diagnostic::error(Code(102), "`spec` stands twice").at(location(2, 3, 7)).also(location(1, 1, 4), "first here");
        check(
            &it,
            "error[TU0102]: `spec` stands twice\n --> base/site.yaml:2:3\n  |\n\
             2 |   contnet: a\\u001b[2J\n  |   ^^^^^^^\n  |\n \
             ::: base/site.yaml:1:1\n  |\n1 | spec:\n  | ---- first here",
        );
    }

    #[test]
    fn many_findings_are_cut_and_counted() {
        let many: Vec<_> = (0..53).map(|it| Diagnostic::error(Code(1), format!("finding {it}"))).collect();
        let text = render_all(&many, &texts, &Style::PLAIN);
        assert_eq!(text.matches("error[TU0001]").count(), 50);
        assert!(text.contains("and 3 more"), "{text}");
    }
}
