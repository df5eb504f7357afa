//! The form of AWS's shared files: sections with settings.

use std::collections::BTreeMap;

/// Settings by name, in lower case.
pub(super) type Settings = BTreeMap<String, String>;

/// Reads sections in their order. Indented lines below a setting belong to it, and are nested settings of services that are
/// nothing to us.
///
/// # Errors
///
/// Names the line, and nothing of what stands there.
pub(super) fn read(text: &str) -> Result<Vec<(String, Settings)>, String> {
    let mut sections: Vec<(String, Settings)> = Vec::new();
    // How far the last setting was indented.
    let mut setting: Option<usize> = None;
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let wrong = |what: &str| format!("line {}: {what}", at + 1);
        let plain = line.trim();
        let indent = line.len() - line.trim_start().len();
        if plain.is_empty() || plain.starts_with(['#', ';']) || setting.is_some_and(|it| it < indent) {
            continue;
        }
        if let Some(rest) = plain.strip_prefix('[') {
            let (name, _) = rest.split_once(']').ok_or_else(|| wrong("a section's name has no end"))?;
            sections.push((name.trim().to_owned(), Settings::new()));
            setting = None;
            continue;
        }
        let (name, value) = plain.split_once('=').ok_or_else(|| wrong("this is neither a section nor a setting"))?;
        let (_, settings) = sections.last_mut().ok_or_else(|| wrong("a setting stands before any section"))?;
        settings.insert(name.trim().to_ascii_lowercase(), without_comment(value).trim().to_owned());
        setting = Some(indent);
    }
    Ok(sections)
}

/// A value up to a `#` or `;` behind a blank.
fn without_comment(value: &str) -> &str {
    let begins =
        |(at, mark): &(usize, char)| matches!(mark, '#' | ';') && value.get(..*at).is_some_and(|it| it.ends_with([' ', '\t']));
    let end = value.char_indices().find(begins).map_or(value.len(), |it| it.0);
    value.get(..end).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_as_other_tools_read_them() {
        let text = "# c\n[default]\nRegion = eu-west-3 ; c\nkey=a#b;c\ns3 =\n  endpoint_url = x\n  [y]\n\n[ profile a b ] # c\n  one = 1\n  two= =2\n    deep\n[x]\nempty =\n";
        let got = read(text).unwrap();
        let names: Vec<_> = got.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(names, ["default", "profile a b", "x"]);
        let pairs = |at: usize| got[at].1.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        assert_eq!(pairs(0), ["key=a#b;c", "region=eu-west-3", "s3="]);
        assert_eq!(pairs(1), ["one=1", "two==2"]);
        assert_eq!(pairs(2), ["empty="]);
    }

    #[test]
    fn what_is_none_of_it_is_named_by_its_line_alone() {
        for (text, want) in [
            ("[default", "line 1: a section's name has no end"),
            ("a = c4nary", "line 1: a setting stands before any section"),
            ("[a]\n\nc4nary", "line 3: this is neither a section nor a setting"),
        ] {
            assert_eq!(read(text).unwrap_err(), want);
        }
    }
}
