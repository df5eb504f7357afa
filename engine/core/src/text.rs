//! Text from outside: what of it must not reach a terminal, and names that stand for a folder that runs programs.

/// Whether a terminal could act on `c`, or a reader could not see it.
pub fn is_hostile(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'        // C0, DEL, C1: escape sequences begin here
        | '\u{ad}'                                      // soft hyphen
        | '\u{61c}' | '\u{180e}'                        // Arabic letter mark, Mongolian vowel separator
        | '\u{200b}'..='\u{200f}'                       // zero width, direction marks
        | '\u{2028}'..='\u{202e}'                       // line and paragraph separators, embeddings, overrides
        | '\u{2060}'..='\u{206f}'                       // word joiner, isolates, deprecated formatting
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'          // byte order mark, interlinear annotation
        | '\u{e0000}'..='\u{e007f}') // tags
}

/// `text` in one line of at most `max` bytes, every hostile character spelt out (`\n`, `\t`, `\u001b`); what was cut is
/// shown by `…`.
pub fn clean(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let before = out.len();
        spell(&mut out, c);
        if out.len() > max {
            out.truncate(before);
            out.push('…');
            break;
        }
    }
    out
}

/// Appends a character, spelt out where it is hostile.
pub fn spell(out: &mut String, c: char) {
    use std::fmt::Write as _;
    match c {
        c if !is_hostile(c) => out.push(c),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c => {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
    }
}

/// Folders that hold more than data: hooks and configuration of Git run programs, and the state of trueup decides what is
/// deleted. Each with the short name that NTFS gives it.
const INNER: [(&str, &str); 2] = [(".git", "git~1"), (".trueup", "trueup~1")];

/// The folder that a part of a path stands for, if it is one of those that no document may reach: `.git`, `.trueup`, and all
/// that a file system takes for one of them, by the rules of `core.protectHFS` and `core.protectNTFS` (case, characters that
/// are ignored, dots and spaces at the end, streams, short names). `A:` of a drive letter is not judged.
pub fn inner_folder(part: &str) -> Option<&'static str> {
    let plain: String = part.chars().filter(|it| !is_ignorable(*it)).collect();
    // NTFS reads a name up to its stream, and Windows takes a backslash for the end of a part.
    let parts = plain.split(['\\', '/']).map(|it| it.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']));
    let stands = |it: &str| INNER.iter().find(|(name, short)| it.eq_ignore_ascii_case(name) || it.eq_ignore_ascii_case(short));
    parts.into_iter().find_map(stands).map(|(name, _)| *name)
}

/// Characters that HFS+ leaves out when it compares names, as Git lists them.
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaned_text_is_one_line_of_bounded_length_that_moves_no_cursor() {
        for (text, max, want) in [
            ("plain — ü", 100, "plain — ü"),
            ("a\u{1b}[2J\tb\n", 100, "a\\u001b[2J\\tb\\n"),
            ("\u{202e}\u{200b}\u{e0041}", 100, "\\u202e\\u200b\\ue0041"),
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abcdef…"),
            ("abc\u{1b}d", 6, "abc…"),
        ] {
            assert_eq!(clean(text, max), want, "{text:?}");
        }
    }

    #[test]
    fn whatever_a_file_system_takes_for_a_folder_that_runs_programs_is_known() {
        let git = [
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~1",
            ".g\u{200c}it",
            ".git\u{200d}",
            "\u{feff}.git",
            ".git ",
            ".git. .",
            "git~1.",
            ".git::$INDEX_ALLOCATION",
            ".git\\config",
            "a\\.git",
        ];
        for name in git {
            assert_eq!(inner_folder(name), Some(".git"), "{name:?}");
        }
        for name in [".trueup", ".TrueUp", "trueup~1", ".trueup."] {
            assert_eq!(inner_folder(name), Some(".trueup"), "{name:?}");
        }
        for name in ["", ".", "git", ".github", ".gitignore", ".gitmodules", "git~2", "x.git", ".git x", ".trueup-x", "trueup"] {
            assert_eq!(inner_folder(name), None, "{name:?}");
        }
    }
}
