//! The command to type next, with the options that this one was given: so that it speaks of the same project and revision.

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
    let path = |it: &Option<std::path::PathBuf>| it.as_ref().map(|it| it.to_string_lossy().into_owned());
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
        assert_eq!(limits(&given) + &limits(&LimitArgs::default()), " --allow-deletes 0 --allow-recreate");
    }
}
