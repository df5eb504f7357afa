//! Paths of documents: their one spelling, and the scope and key they make.

/// A relative path in its one spelling: parts joined by `/`, none of them empty, `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelativePath(String);

/// Longest path, in bytes, and longest part (Linux's `PATH_MAX` and `NAME_MAX`).
const PATH_MAX: usize = 4096;
const PART_MAX: usize = 255;

/// Begin of the names that the engine gives its temporary files.
pub const TEMPORARY: &str = ".trueup-";

impl RelativePath {
    /// Reads the path of a document. `./a` is `a`; with `directory`, `a/` is `a`.
    ///
    /// # Errors
    /// Says what is wrong with the text, for people.
    pub fn parse(text: &str, directory: bool) -> Result<Self, String> {
        if text.starts_with('/') {
            return Err("the path is absolute; give it relative to the provider's `root`".to_owned());
        }
        let text = text.strip_suffix('/').filter(|_| directory).unwrap_or(text);
        if text.is_empty() {
            return Err("the path is empty".to_owned());
        }
        if text.len() > PATH_MAX {
            return Err(format!("the path has {} bytes; at most {PATH_MAX} are allowed", text.len()));
        }
        let parts = text.split('/').filter(|part| *part != ".").collect::<Vec<_>>();
        for part in &parts {
            judge(part)?;
        }
        match parts.is_empty() {
            true => Err("the path names the provider's `root` itself".to_owned()),
            false => Ok(Self(parts.join("/"))),
        }
    }

    /// The path of an address, as [`scope`](Self::scope) and [`key`](Self::key) made it.
    ///
    /// # Errors
    /// Says what is wrong, for people.
    pub fn of(scope: &str, key: &str) -> Result<Self, String> {
        let text = if scope.is_empty() { key.to_owned() } else { format!("{scope}/{key}") };
        match Self::parse(&text, false)? {
            path if path.0 == text && path.key() == key => Ok(path),
            _ => Err(format!("`{text}` is not the path of an address")),
        }
    }

    /// The directory that holds it, relative to the root; empty for the root itself.
    pub fn scope(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(scope, _)| scope)
    }

    /// Its name in that directory.
    pub fn key(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, key)| key)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Refuses a part that could not be a name, or that would be no name of its own.
fn judge(part: &str) -> Result<(), String> {
    match part {
        "" => Err("the path has an empty part (`//` or a `/` at the end)".to_owned()),
        ".." => Err("the path has a `..`; it may not leave the provider's `root`".to_owned()),
        _ if part.len() > PART_MAX => Err(format!("a part of the path has {} bytes; at most {PART_MAX} are allowed", part.len())),
        _ if part.chars().any(char::is_control) => Err("the path has a control character".to_owned()),
        _ if part.starts_with(TEMPORARY) => Err(format!("names that begin with `{TEMPORARY}` are for temporary files")),
        _ => Ok(()),
    }
}

/// The engine's path of what stands at `relative` under `root`; the root itself where it is empty.
pub fn under(root: &str, relative: &str) -> String {
    match (root, relative) {
        (root, "") => root.to_owned(),
        ("/", relative) => format!("/{relative}"),
        (root, relative) => format!("{root}/{relative}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, directory: bool, want: Result<(&str, &str), &str>) {
        let got = RelativePath::parse(text, directory);
        match want {
            Ok((scope, key)) => {
                let path = got.unwrap_or_else(|error| panic!("`{text}`: {error}"));
                assert_eq!((path.scope(), path.key()), (scope, key), "`{text}`");
                assert_eq!(RelativePath::of(scope, key), Ok(path), "`{text}`");
            }
            Err(part) => {
                let error = got.expect_err(text);
                assert!(error.contains(part), "`{text}`: `{error}` does not say `{part}`");
            }
        }
    }

    #[test]
    fn a_path_has_one_spelling_and_splits_into_scope_and_key() {
        check("a", false, Ok(("", "a")));
        check("etc/app/a.conf", false, Ok(("etc/app", "a.conf")));
        check("./etc/./a.conf", false, Ok(("etc", "a.conf")));
        check("logs/", true, Ok(("", "logs")));
        check("ä/ö ü", false, Ok(("ä", "ö ü")));
        check("..a/...", false, Ok(("..a", "...")));
    }

    #[test]
    fn a_path_that_leaves_the_root_or_is_no_name_is_refused() {
        check("/etc/passwd", false, Err("absolute"));
        check("../a", false, Err("`..`"));
        check("a/../../b", false, Err("`..`"));
        check("a//b", false, Err("empty part"));
        check("a/", false, Err("empty part"));
        check("a//", true, Err("empty part"));
        check("", false, Err("empty"));
        check(".", true, Err("itself"));
        check("a\0b", false, Err("control character"));
        check("a\nb", false, Err("control character"));
        check(&"x".repeat(256), false, Err("256 bytes"));
        check(&"x/".repeat(2049), false, Err("4098 bytes"));
        check("a/.trueup-x", false, Err("temporary"));
    }

    #[test]
    fn an_address_that_no_path_makes_is_refused() {
        for (scope, key) in [("a", "b/c"), ("a", ""), ("", ""), ("..", "a"), ("a/.", "b"), ("/etc", "passwd"), ("a/", "b")] {
            assert!(RelativePath::of(scope, key).is_err(), "{scope:?} {key:?}");
        }
    }
}
