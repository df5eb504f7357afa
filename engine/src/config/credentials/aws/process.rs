//! A profile's program that gives keys (`credential_process`). It runs only where `credentials.yaml` names it, and in no shell.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use trueup_core::text::clean;
use trueup_core::value::Json;
use trueup_host::Secret;

use super::{Found, Values, judged};
use crate::config::credentials::moment::moment;
use crate::config::credentials::program::{self, Program};
use crate::config::paths;

/// Takes a profile's command apart.
///
/// # Errors
///
/// Where `exec` of the entry does not name its program, and where it is no command.
pub(super) fn program(command: &str, exec: &[String], home: Option<&Path>) -> Result<Program, String> {
    let mut words = words(command).ok_or("its `credential_process` has a quotation mark that is never closed")?.into_iter();
    let first = words.next().ok_or("its `credential_process` names no program")?;
    let path = paths::expand(&first, home);
    let shown = clean(&first, 200);
    if first.contains('/') && !path.is_absolute() {
        return Err(format!(
            "its `credential_process` runs `{shown}`, which is another program in every folder; write its whole path"
        ));
    }
    if !program::is_named(exec, &first, &path) {
        return Err(format!(
            "it runs the program `{shown}` to log in, which the entry in credentials.yaml does not name; if you want it to be run, \
             write `exec: [{shown}]` there"
        ));
    }
    let command = if first.contains('/') { path } else { PathBuf::from(first) };
    Ok(Program { command, arguments: words.collect(), variables: Vec::new(), limit: program::LIMIT })
}

/// Runs it, and reads its answer.
///
/// # Errors
///
/// Where it fails or answers with something else than keys.
pub(super) fn find(program: &Program, values: &mut Values) -> Result<Found, String> {
    let answer = program.run(&[], "")?;
    read(answer.expose(), values).map_err(|why| format!("{} {why}", program.name()))
}

/// No message holds any of the answer.
fn read(answer: &str, values: &mut Values) -> Result<Found, String> {
    let json: Json = serde_json::from_str(answer).map_err(|_| "answered with what is no JSON".to_owned())?;
    if json.get("Version").and_then(Json::as_u64) != Some(1) {
        return Err("answered in another version than 1".to_owned());
    }
    let secret = |key: &str| json.get(key).and_then(Json::as_str).filter(|it| !it.is_empty()).map(Secret::from);
    let needed = |key: &str| secret(key).ok_or_else(|| format!("answered without `{key}`"));
    let keys = values.keys(needed("AccessKeyId")?, needed("SecretAccessKey")?, secret("SessionToken"));
    judged(&keys)?;
    let lasts = match json.get("Expiration") {
        None | Some(Json::Null) => None,
        Some(end) => {
            let end = end.as_str().and_then(moment).ok_or("answered with an `Expiration` that is no time")?;
            let lasts = end.duration_since(SystemTime::now()).ok().filter(|it| !it.is_zero());
            Some(lasts.ok_or("answered with keys whose time is over already; look at this machine's clock too")?)
        }
    };
    Ok(Found { keys, lasts, fresh: None })
}

/// Words as a shell parts them, with `'`, `"` and `\`, and nothing else that a shell would do.
fn words(text: &str) -> Option<Vec<String>> {
    let (mut out, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) = (Vec::new(), None, None);
    let mut chars = text.chars();
    while let Some(it) = chars.next() {
        match (quote, it) {
            (Some(open), _) if it == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(it),
            (_, '\\') => word.get_or_insert_default().push(chars.next()?),
            (None, '\'' | '"') => {
                quote = Some(it);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => out.extend(word.take()),
            _ => word.get_or_insert_default().push(it),
        }
    }
    out.extend(word);
    quote.is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_taken_apart_as_it_would_be_in_a_shell_and_no_further() {
        for (text, want) in [
            ("a  b\tc", Some(&["a", "b", "c"][..])),
            (r#"/bin/x --a "b c" 'd "e\' f\ g \"h"#, Some(&["/bin/x", "--a", "b c", r#"d "e\"#, "f g", "\"h"])),
            (r#"a "" '' "x\"y""#, Some(&["a", "", "", "x\"y"])),
            ("a $HOME `b` | c; d", Some(&["a", "$HOME", "`b`", "|", "c;", "d"])),
            ("a \"b", None),
            ("", Some(&[])),
        ] {
            let got = words(text);
            assert_eq!(
                got.as_ref().map(|it| it.iter().map(String::as_str).collect::<Vec<_>>()),
                want.map(<[_]>::to_vec),
                "{text}"
            );
        }
    }
}
