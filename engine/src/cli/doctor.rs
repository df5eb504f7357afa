//! `trueup doctor`: one line for each thing that may be wrong on this machine, and what to do about it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value as Json, json};

use super::Shell;
use super::arguments::RevisionArgs;
use super::error::CliError;
use super::exit::Exit;
use super::session::{failure, open};
use crate::engine::{Engine, folders};
use crate::output::clean::clean;
use crate::output::style::Tone;
use crate::output::value::count;
use crate::store::Store as _;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

struct Check {
    level: Level,
    name: &'static str,
    text: String,
    /// What to do.
    hint: Option<String>,
}

fn check(level: Level, name: &'static str, text: impl Into<String>) -> Check {
    Check { level, name, text: text.into(), hint: None }
}

fn failed(name: &'static str, error: &CliError) -> Check {
    Check { level: Level::Fail, name, text: error.message.clone(), hint: error.hint.clone() }
}

impl Check {
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

pub fn run(shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let mut checks = vec![cache(), credentials_mode(shell)];
    match open(shell, &RevisionArgs::default()) {
        Err(error) => checks.push(failed("project", &error)),
        Ok(engine) => {
            let environments = count(engine.project.environments.len(), "environment");
            checks.push(check(Level::Ok, "project", format!("{}, {environments}", engine.project.name)));
            checks.push(source(&engine));
            checks.push(credentials(&engine));
            checks.push(trust(&engine));
            checks.push(state(&engine));
        }
    }
    let bad = checks.iter().any(|it| it.level == Level::Fail);
    if shell.output.format.is_object() {
        let checks: Vec<Json> = checks
            .iter()
            .map(|it| json!({"name": it.name, "level": it.level.word(), "text": it.text, "hint": it.hint}))
            .collect();
        shell.output.object(&json!({"format": "trueup.doctor/1", "healthy": !bad, "checks": checks}))?;
    } else {
        let style = shell.output.style;
        let mut text = String::new();
        for it in &checks {
            let tone = match it.level {
                Level::Ok => Tone::Good,
                Level::Warn => Tone::Change,
                Level::Fail => Tone::Bad,
            };
            let word = style.paint(tone, format!("{:4}", it.level.word()));
            text.push_str(&format!("{word}  {:12} {}\n", it.name, clean(&it.text)));
            if let Some(hint) = &it.hint {
                text.push_str(&format!("                    {}\n", clean(hint)));
            }
        }
        shell.output.print(&text);
    }
    Ok(if bad { Exit::Failed } else { Exit::Fine })
}

/// Compiled plugins are kept in the user's cache; without it every run compiles anew.
fn cache() -> Check {
    const NAME: &str = "cache";
    let folder = match folders() {
        Ok(folders) => folders.cache.join("compiled"),
        Err(problem) => return failed(NAME, &failure(problem, None)),
    };
    if let Err(error) = std::fs::create_dir_all(&folder) {
        return check(Level::Warn, NAME, format!("{}: {error}", folder.display()))
            .hint("every run compiles its plugins anew; make it writable or set XDG_CACHE_HOME");
    }
    let probe = crate::private::beside(&folder.join("probe"));
    if let Err(error) = std::fs::write(&probe, b"") {
        return check(Level::Warn, NAME, format!("{}: {error}", folder.display()))
            .hint("every run compiles its plugins anew; make it writable or set XDG_CACHE_HOME");
    }
    let _ = std::fs::remove_file(&probe);
    let compiled = std::fs::read_dir(&folder)
        .map_or(0, |it| it.flatten().filter(|it| it.path().extension().is_some_and(|it| it == "cwasm")).count());
    check(Level::Ok, NAME, format!("{} compiled in {}", count(compiled, "plugin"), folder.display()))
}

fn credentials_mode(shell: &Shell<'_>) -> Check {
    const NAME: &str = "secrets";
    let file = match (&shell.global.credentials, folders()) {
        (Some(file), _) => file.clone(),
        (None, Ok(folders)) => folders.credentials(),
        (None, Err(problem)) => return failed(NAME, &failure(problem, None)),
    };
    match std::fs::metadata(&file) {
        Err(_) => check(Level::Ok, NAME, format!("no {}", file.display())),
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            check(Level::Fail, NAME, format!("others can read {}", file.display())).hint(format!("chmod 600 {}", file.display()))
        }
        Ok(_) => check(Level::Ok, NAME, format!("{} is yours alone", file.display())),
    }
}

/// Whether everything that the project's providers name is in the operator's file and can be read.
fn credentials(engine: &Engine) -> Check {
    const NAME: &str = "credentials";
    let held = match engine.credentials() {
        Ok(held) => held,
        Err(problem) => return failed(NAME, &failure(problem, None)),
    };
    let providers = || engine.project.environments.values().flat_map(|it| it.providers.values());
    let secrets: BTreeSet<&String> = providers().flat_map(|it| &it.secrets).collect();
    let slots = providers().flat_map(|it| it.credential.iter().chain(it.credentials.values()));
    let names: BTreeSet<&String> = slots.flat_map(|it| [&it.read, &it.write]).collect();
    let missing = secrets.iter().filter_map(|it| held.secret(it).err());
    let mut missing: Vec<String> = missing.collect();
    // Whose they are that have an end: a kubeconfig has many contexts, and the wrong one is not told from its name.
    let mut whose = String::new();
    // Logging in may run a program, which a project that nobody trusts has no say in.
    let trusted = engine.check_trust().is_ok();
    for name in &names {
        match held.credential(name) {
            Err(problem) => missing.push(problem.message),
            Ok(credential) => {
                let Some(login) = credential.login() else { continue };
                let at = credential.base.as_ref().map(|it| format!(" at {it}")).unwrap_or_default();
                whose.push_str(&format!("; `{name}` is {}{at}", login.whose()));
                let tried = if trusted { login.fetch(None).err() } else { None };
                missing.extend(tried.map(|it| format!("credential `{name}`: {it}")));
            }
        }
    }
    let asked = secrets.len() + names.len();
    match missing.as_slice() {
        [] if asked == 0 => check(Level::Ok, NAME, "the project names none"),
        [] => check(Level::Ok, NAME, format!("all {asked} that the project names are there{whose}")),
        missing => check(Level::Fail, NAME, missing.join("; ")).hint("`trueup help credentials` shows what stands in the file"),
    }
}

fn source(engine: &Engine) -> Check {
    let revision = engine.revision();
    let modified = engine.source.modified(&engine.snapshot);
    if modified.is_empty() {
        return check(Level::Ok, "source", format!("at {revision}"));
    }
    let text = format!("at {revision}; not committed: {}", count(modified.len(), "file"));
    check(Level::Warn, "source", text).hint("commit them, or give --worktree to plan with them")
}

fn trust(engine: &Engine) -> Check {
    match engine.check_trust() {
        Ok(()) if engine.rights().needs_trust() => check(Level::Ok, "trust", "granted"),
        Ok(()) => check(Level::Ok, "trust", "nothing is asked for beyond the project's folder"),
        Err(problem) => {
            let error = failure(problem, None);
            Check { level: Level::Warn, ..failed("trust", &error) }
        }
    }
}

fn state(engine: &Engine) -> Check {
    const NAME: &str = "state";
    let path = engine.state().display().to_string();
    if !engine.state().exists() {
        return check(Level::Ok, NAME, format!("nothing was applied yet; it will be {path}"));
    }
    let store = match engine.store() {
        Ok(store) => store,
        Err(problem) => return failed(NAME, &failure(problem, None)),
    };
    match store.verify() {
        Err(error) => failed(NAME, &error.into()),
        Ok(Err(bad)) => check(Level::Fail, NAME, format!("line {} of the audit log does not fit: {}", bad.seq, bad.what))
            .hint("the file was altered or cut; keep a copy of it"),
        Ok(Ok(verified)) => {
            let doubt: usize = store
                .environments()
                .map(|names| names.iter().map(|it| store.intents(it).map_or(0, |it| it.len())).sum())
                .unwrap_or_default();
            let text = format!("{path}, {} lines of audit log", verified.rows);
            if doubt == 0 {
                check(Level::Ok, NAME, text)
            } else {
                check(Level::Warn, NAME, format!("{text}, {} in doubt", count(doubt, "change")))
                    .hint("trueup plan says which, and what to do")
            }
        }
    }
}
