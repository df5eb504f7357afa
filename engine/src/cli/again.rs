//! The command to type next, with the options that this one was given: so that it speaks of the same project and revision.

use std::path::{Path, PathBuf};

use super::arguments::{Global, LimitArgs, RevisionArgs};

/// `trueup <verb> -e <environment>` and every option of `global` and `revision` that says what is looked at.
pub fn command(verb: &str, environment: &str, global: &Global, revision: &RevisionArgs) -> String {
    let mut words = vec!["trueup".to_owned(), verb.to_owned()];
    let mut option = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            words.extend([name.to_owned(), quoted(value)]);
        }
    };
    option("-e", Some(environment).filter(|it| !it.is_empty()));
    let here = std::env::current_dir().ok();
    let path = |it: &Option<PathBuf>| it.as_ref().map(|it| shorter(it, here.as_deref()).to_string_lossy().into_owned());
    option("-C", path(&global.directory).as_deref());
    option("--source", global.source.as_deref());
    option("--path", global.path.as_deref());
    option("--state", path(&global.state).as_deref());
    option("--credentials", path(&global.credentials).as_deref());
    option("--rev", revision.rev.as_deref());
    words.extend(revision.worktree.then(|| "--worktree".to_owned()));
    words.extend(global.trust.then(|| "--trust".to_owned()));
    words.join(" ")
}

/// The same place from here, where that is shorter to type.
fn shorter(path: &Path, here: Option<&Path>) -> PathBuf {
    let Some(here) = here.filter(|_| path.is_absolute()) else { return path.to_owned() };
    let mut from_here = PathBuf::new();
    for above in here.ancestors() {
        match path.strip_prefix(above) {
            Ok(rest) => {
                from_here.push(rest);
                break;
            }
            Err(_) => from_here.push(".."),
        }
    }
    if from_here.as_os_str().is_empty() {
        from_here.push(".");
    }
    // The way up and down again may be the longer one.
    if from_here.as_os_str().len() < path.as_os_str().len() { from_here } else { path.to_owned() }
}

/// ` --allow-deletes 3 --allow-recreate`, as far as they were given.
pub fn limits(limits: &LimitArgs) -> String {
    let deletes = limits.allow_deletes.map(|it| format!(" --allow-deletes {it}")).unwrap_or_default();
    let recreate = if limits.allow_recreate { " --allow-recreate" } else { "" };
    format!("{deletes}{recreate}")
}

/// As a shell takes it for one word.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-~^".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_given_from_here_where_that_is_shorter() {
        let check = |path: &str, want: &str| {
            assert_eq!(shorter(Path::new(path), Some(Path::new("/home/mia/plugins"))), Path::new(want), "{path}");
        };
        check("/home/mia/plugins/tickets/example", "tickets/example");
        check("/home/mia/plugins", ".");
        check("/home/mia/shop", "../shop");
        check("/srv/s.db", "/srv/s.db");
        check("tickets/../x", "tickets/../x");
        assert_eq!(shorter(Path::new("/a/b"), None), Path::new("/a/b"));
    }

    #[test]
    fn what_was_given_is_given_again_and_nothing_else() {
        let (mut global, mut revision) = (Global::default(), RevisionArgs::default());
        assert_eq!(command("plan", "prod", &global, &revision), "trueup plan -e prod");
        global.directory = Some("my shop".into());
        global.state = Some("/srv/s.db".into());
        revision.rev = Some("it's".to_owned());
        let want = r"trueup apply -e prod -C 'my shop' --state /srv/s.db --rev 'it'\''s'";
        assert_eq!(command("apply", "prod", &global, &revision), want);
        revision = RevisionArgs { rev: None, worktree: true };
        global = Global { source: Some("https://example.org/a.git".to_owned()), trust: true, ..Global::default() };
        let want = "trueup plan --source https://example.org/a.git --worktree --trust";
        assert_eq!(command("plan", "", &global, &revision), want);
        let given = LimitArgs { allow_deletes: Some(0), allow_recreate: true };
        let absolute = std::env::current_dir().unwrap().join("my/shop");
        global = Global { directory: Some(absolute), ..Global::default() };
        assert_eq!(command("plan", "", &global, &RevisionArgs::default()), "trueup plan -C my/shop");
        assert_eq!(limits(&given) + &limits(&LimitArgs::default()), " --allow-deletes 0 --allow-recreate");
    }
}
