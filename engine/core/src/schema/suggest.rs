//! "Did you mean": the nearest of some names to one that was misspelt.

/// Names beyond this many are not looked at; a suggestion is not worth more.
const MAX_CANDIDATES: usize = 2_000;
/// Longer names are compared by their beginnings only for equality of case.
const MAX_LENGTH: usize = 128;

/// The candidate that `name` most likely stands for: equal but for case, else at most a third of its characters away
/// (insertions, deletions, replacements and swapped neighbours count one each). The first of several equally near.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().take(MAX_LENGTH + 1).collect();
    let allowed = (wanted.len() / 3).clamp(1, 4);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates.into_iter().take(MAX_CANDIDATES) {
        if candidate == name {
            continue;
        }
        if candidate.eq_ignore_ascii_case(name) {
            return Some(candidate);
        }
        let other: Vec<char> = candidate.chars().take(MAX_LENGTH + 1).collect();
        if wanted.len().max(other.len()) > MAX_LENGTH || wanted.len().abs_diff(other.len()) > allowed {
            continue;
        }
        let away = distance(&wanted, &other);
        // A one-letter name is near every other one.
        let close = away <= allowed && away < wanted.len().max(other.len());
        if close && best.is_none_or(|(least, _)| away < least) {
            best = Some((away, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The same as a hint for people: ``did you mean `x` ``.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|it| format!("did you mean `{it}`?"))
}

/// Edits between two texts (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (row, from) in a.iter().enumerate() {
        let mut line = Vec::with_capacity(b.len() + 1);
        line.push(row + 1);
        for (column, to) in b.iter().enumerate() {
            let at = |list: &[usize], index: usize| list.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, column) + usize::from(from != to);
            let mut least = replaced.min(at(&last, column + 1) + 1).min(at(&line, column) + 1);
            let previous = |list: &[char], index: usize| index.checked_sub(1).and_then(|it| list.get(it).copied());
            if previous(a, row) == Some(*to) && previous(b, column) == Some(*from) && row > 0 && column > 0 {
                least = least.min(at(&before, column - 1) + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut last, line);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, candidates: &[&str], want: Option<&str>) {
        assert_eq!(nearest(name, candidates.iter().copied()), want, "{name} among {candidates:?}");
    }

    #[test]
    fn a_misspelt_name_finds_the_one_it_stands_for() {
        check("contnet", &["source", "content", "contents"], Some("content"));
        check("Content", &["contents", "content"], Some("content"));
        check("moed", &["mode", "path"], Some("mode"));
        check("replica", &["replicas", "selector"], Some("replicas"));
        check("domian", &["domain"], Some("domain"));
    }

    #[test]
    fn names_that_are_not_alike_are_not_suggested() {
        check("owner", &["path", "mode"], None);
        check("a", &["b", "c"], None);
        check("mode", &["mode"], None);
        check(&"x".repeat(100_000), &["content"], None);
    }
}
