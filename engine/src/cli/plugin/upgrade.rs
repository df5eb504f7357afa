//! `trueup plugin upgrade`: what another version of a plugin asks for, knows and would do, before it is pinned.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use trueup_core::diagnostic::codes;
use trueup_core::manifest::Manifest;
use trueup_core::plan::Options;
use trueup_host as host;

use super::differences::{Differences, Steps, between, shape, steps};
use super::distribution::UpgradeArgs;
use super::supply::{Candidate, Terms, agreed, cache, candidate, card, project, sandbox, users, write_lock};
use crate::cli::Shell;
use crate::cli::arguments::RevisionArgs;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::session::{failure, open};
use crate::config::lock::{Lock, Pin};
use crate::config::project::PluginRef;
use crate::engine::{Engine, Reading, load_plugin};
use crate::output::clean::clean;
use crate::output::value::count;
use crate::pass;
use crate::registry::{Asks, Reference};

/// Differences of plans that are shown for one environment.
const SHOWN: usize = 100;

pub async fn run(arguments: &UpgradeArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let engine = project(shell)?;
    let old_text = arguments.plugin.as_str();
    let pin = engine.pins.plugins.get(old_text).cloned().ok_or_else(|| {
        CliError::new(codes::LOCK, format!("trueup.lock pins no plugin `{old_text}`"))
            .hint("`trueup plugin list` shows what it pins; `trueup plugin add` takes a new one in")
    })?;
    let to = target(old_text, arguments.to.as_deref())?;
    let runtime = sandbox()?;
    let terms =
        Terms { bundle: arguments.bundle.as_deref(), signer: &arguments.signer, allow_unsigned: arguments.allow_unsigned };
    let candidate = candidate(shell, &engine, &runtime, &to, &terms).await?;
    let new_text = candidate.reference.text().to_owned();
    let mut new_pin = candidate.pin();
    if new_text == old_text && new_pin.sha256 == pin.sha256 {
        // As when it is added again: nobody takes back what was learnt of just this component by not looking at it.
        new_pin.signed = new_pin.signed.or(pin.signed);
    }
    if new_text == old_text && new_pin == pin {
        shell.output.print(&format!("{} is pinned to just that already.\n", clean(old_text)));
        return Ok(Exit::Fine);
    }
    let old = before(&engine, shell, &runtime, old_text, &pin).await;
    // The same component under another text is there, wherever the old text leads.
    let same = (new_pin.sha256 == pin.sha256).then_some(&candidate.plugin);
    let old_manifest = old.as_ref().or(same).map(|it| it.manifest().as_ref());
    // What was agreed to stands in the lock; a pin without it agreed to what the old manifest asked for.
    let agreed_to = pin.asks.clone().or_else(|| old_manifest.map(Asks::of)).unwrap_or_default();
    let differences = Differences::of(old_manifest, &pin, &agreed_to, candidate.plugin.manifest(), new_pin.signed);
    shell.output.error(&head(&candidate, &pin, old_manifest, shell));
    let text = differences.text(&shell.output.err_style);
    shell.output.error(&text);
    if old.is_none() {
        shell
            .output
            .error("  The old version is not on this machine any more: names, kinds, fields and plans cannot be compared.\n");
    }
    let open = questions(&differences, arguments);
    let flags = open.iter().map(|it| it.1).collect::<Vec<_>>().join(" ");
    for (question, _) in &open {
        if !agreed(shell, false, question, &flags)? {
            return Ok(Exit::Failed);
        }
    }
    if matches!(candidate.reference, PluginRef::Oci(_)) || old.is_some() {
        cache()?.keep(&candidate.wasm)?;
    }
    let plans = match &old {
        Some(_) => plans(shell, old_text, (&pin, &new_pin)).await?,
        None => Vec::new(),
    };
    for line in plans.iter().flat_map(PlanDifference::lines) {
        shell.output.error(&line);
    }
    if !agreed(shell, arguments.yes, "Pin the new version?", "--yes")? {
        if new_pin.sha256 != pin.sha256 {
            cache()?.forget(&new_pin.sha256);
        }
        return Ok(Exit::Failed);
    }
    let mut pins = engine.pins.clone();
    pins.plugins.remove(old_text);
    pins.plugins.insert(new_text.clone(), new_pin);
    write_lock(&engine.root, &pins)?;
    if shell.output.format.is_object() {
        let plans: Vec<_> = plans.iter().map(PlanDifference::shape).collect();
        shell.output.object(&json!({
            "format": "trueup.plugin-upgrade/1", "plugin": new_text, "was": old_text, "sha256": candidate.plugin.digest().to_string(),
            "wasSha256": pin.sha256.to_string(), "version": candidate.plugin.manifest().version, "differences": shape(&differences),
            "plans": plans,
        }))?;
        return Ok(Exit::Fine);
    }
    shell.output.print(&format!("{} is pinned in trueup.lock.\n", clean(&new_text)));
    shell.output.note("Next: commit both files together; another plugin is another thing to trust: `trueup trust`\n");
    let text = to_write(old_text, &new_text, &users(&engine, old_text), &users(&engine, &new_text));
    shell.output.print(&text);
    Ok(Exit::Fine)
}

/// What `--yes` does not cover and was not agreed to on the command line: a question each, and the option that answers it.
fn questions(differences: &Differences, arguments: &UpgradeArgs) -> Vec<(String, &'static str)> {
    let other = differences.name.as_ref().map(|it| {
        let word = if it.was.is_some() { "is" } else { "may be" };
        format!("It {word} another plugin, `{}`. Agree to that?", clean(&it.is))
    });
    let lost = differences.lost_signer().then(|| "It lost its signer. Agree to that?".to_owned());
    let more = count(differences.more.len(), "right");
    let more = (!differences.more.is_empty()).then(|| format!("It asks for {more} more. Agree to that?"));
    let all = [
        (other, arguments.allow_other_name, "--allow-other-name"),
        (lost, arguments.allow_lost_signer, "--allow-lost-signer"),
        (more, arguments.allow_more_rights, "--allow-more-rights"),
    ];
    all.into_iter().filter_map(|(question, agreed, flag)| Some((question.filter(|_| !agreed)?, flag))).collect()
}

/// What is to stand in trueup.yaml now. `using` are the providers that name the old text, `ready` those that name the new one.
fn to_write(old: &str, new: &str, using: &[&str], ready: &[&str]) -> String {
    let line = format!("    plugin: {:?}\n", clean(new));
    let (old, using, ready) = (clean(old), using.join(", "), ready.join(", "));
    match (old == clean(new), using.is_empty(), ready.is_empty()) {
        (true, false, _) => format!("trueup.yaml says so already, for {}:\n{line}", clean(&using)),
        (false, false, _) => format!(
            "trueup.yaml still names {old} for {0}, which trueup.lock pins no more: nothing is planned until it says for {0}\n{line}",
            clean(&using)
        ),
        (false, true, false) => format!("trueup.yaml says so already, for {}:\n{line}", clean(&ready)),
        (_, true, _) => format!("No provider in trueup.yaml uses it; one that does says\n{line}"),
    }
}

/// What `--to` means for a plugin: a tag of its repository, or a text of its own.
fn target(old: &str, to: Option<&str>) -> Result<String, CliError> {
    let Some(to) = to else { return Ok(old.to_owned()) };
    if to.starts_with("oci://") || to.starts_with(['.', '/']) || !old.starts_with("oci://") {
        return Ok(to.to_owned());
    }
    Ok(Reference::parse(old)?.tagged(to)?.to_string())
}

fn head(candidate: &Candidate, pin: &Pin, old: Option<&Manifest>, shell: &Shell<'_>) -> String {
    let was = old.map_or_else(String::new, |it| format!("{} {}, ", clean(&it.name), clean(&it.version)));
    format!("{}  instead of {was}sha256 {}\n", card(candidate, &shell.output.err_style), pin.sha256)
}

/// The version that is pinned, from the cache, the registry, or the last commit that had it.
async fn before(engine: &Engine, shell: &Shell<'_>, runtime: &host::Runtime, text: &str, pin: &Pin) -> Option<host::Plugin> {
    let reference = PluginRef::parse(text)?;
    if let PluginRef::Oci(_) = reference {
        // By its digest: what the tag leads to now does not matter.
        return load_plugin(engine, runtime, &reference, Reading::World).await.ok().filter(|it| it.digest() == &pin.sha256);
    }
    let cache = cache().ok()?;
    let known = runtime.load_by_digest(&pin.sha256, || cache.read(&pin.sha256)).await;
    if let Ok(plugin) = known {
        return Some(plugin);
    }
    let committed = open(shell, &RevisionArgs::default()).ok()?;
    let entry = committed.protected.find(text.trim_start_matches("./")).ok()??;
    let bytes = committed.protected.read(&entry, crate::registry::MAX_COMPONENT).ok()?;
    cache.keep(&bytes).ok()?;
    runtime.load_by_digest(&pin.sha256, || Ok(bytes.to_vec())).await.ok()
}

/// What the two versions would do differently in one environment.
struct PlanDifference {
    environment: String,
    /// None: it could not be compared, and why.
    lines: Result<Vec<String>, String>,
    steps: usize,
}

impl PlanDifference {
    fn lines(&self) -> Vec<String> {
        let name = clean(&self.environment);
        match &self.lines {
            Err(why) => vec![format!("  The plans of {name} were not compared: {}\n", clean(why))],
            Ok(lines) if lines.is_empty() => {
                vec![format!("  The plan of {name} is the same with both: {}\n", count(self.steps, "step"))]
            }
            Ok(lines) => {
                let mut out = vec![format!("  The plan of {name} differs\n")];
                out.extend(lines.iter().take(SHOWN).map(|it| format!("    {}\n", clean(it))));
                if lines.len() > SHOWN {
                    out.push(format!("    and {} more\n", lines.len() - SHOWN));
                }
                out
            }
        }
    }

    fn shape(&self) -> serde_json::Value {
        match &self.lines {
            Ok(lines) => json!({"environment": self.environment, "differences": lines}),
            Err(why) => json!({"environment": self.environment, "differences": null, "reason": why}),
        }
    }
}

/// Plans every environment that uses the plugin with both versions, which look at the same world; nothing is changed by either.
async fn plans(shell: &Shell<'_>, text: &str, (old, new): (&Pin, &Pin)) -> Result<Vec<PlanDifference>, CliError> {
    let engine = project(shell)?;
    let only = shell.global.environment.as_deref();
    let using = engine.project.environments.values().filter(|it| it.providers.values().any(|it| it.plugin.text() == text));
    let names: BTreeSet<String> = using.map(|it| it.name.clone()).filter(|it| only.is_none_or(|only| only == it)).collect();
    let mut out = Vec::new();
    for environment in names {
        // The new one first: what is remembered of the last look is then the old one's again.
        let both = match planned(shell, text, new, &environment).await {
            Ok(with_new) => planned(shell, text, old, &environment).await.map(|with_old| (with_old, with_new)),
            Err(error) => Err(error),
        };
        out.push(match both {
            Ok((with_old, with_new)) => {
                let lines = between(&with_old, &with_new);
                PlanDifference { environment, steps: with_new.len(), lines: Ok(lines) }
            }
            Err(error) => {
                let why = match error.diagnostics.iter().find(|it| it.is_error()) {
                    Some(first) => first.message.clone(),
                    None => error.message,
                };
                PlanDifference { environment, steps: 0, lines: Err(why) }
            }
        });
    }
    Ok(out)
}

/// The steps of an environment with one version of the plugin in place of whatever its text leads to.
async fn planned(shell: &Shell<'_>, text: &str, pin: &Pin, environment: &str) -> Result<Steps, CliError> {
    let mut engine = project(shell)?;
    // The operator's word on the project as it is. That the plugin is another one was shown, and rights beyond were agreed to.
    engine.check_trust().map_err(|it| failure(it, None))?;
    engine.trust_for_this_run();
    // By its digest, from the cache: both versions of a file have one name.
    let stand_in = PluginRef::Oci(format!("oci://localhost/{}", pin.sha256));
    let providers = engine.project.environments.values_mut().flat_map(|it| it.providers.values_mut());
    providers.chain(engine.project.providers.values_mut()).filter(|it| it.plugin.text() == text).for_each(|it| {
        it.plugin = stand_in.clone();
    });
    let mut pins: Lock = engine.pins.clone();
    pins.plugins.insert(stand_in.text().to_owned(), pin.clone());
    engine.pins = pins;
    let failed = |it| failure(it, None);
    let environment = engine.environment(Some(environment)).map_err(failed)?;
    let around = engine.surroundings(&environment, Options::default(), Arc::default()).await.map_err(failed)?;
    let planned = pass::plan(&around, &|| ()).await.map_err(|it| failed(it.into()))?;
    Ok(steps(&planned.plan))
}

#[cfg(test)]
mod tests {
    use super::super::differences::Replaced;
    use super::*;

    #[test]
    fn the_last_line_is_what_trueup_yaml_is_to_say_and_a_pin_that_it_still_needs_is_missed_aloud() {
        let check = |old: &str, using: &[&str], ready: &[&str], words: &str| {
            let text = to_write(old, "oci://h/a:1.1", using, ready);
            assert!(text.ends_with("\n    plugin: \"oci://h/a:1.1\"\n") && text.contains(words), "{text}");
        };
        check("oci://h/a:1.0", &["a", "b"], &[], "still names oci://h/a:1.0 for a, b, which trueup.lock pins no more");
        check("oci://h/a:1.0", &[], &["a"], "says so already, for a");
        check("oci://h/a:1.1", &["a"], &["a"], "says so already, for a");
        check("oci://h/a:1.1", &[], &[], "No provider in trueup.yaml uses it");
    }

    #[test]
    fn each_thing_that_yes_does_not_cover_is_a_question_with_an_option_of_its_own() {
        let differences = Differences {
            name: Some(Replaced { was: Some("a".to_owned()), is: "b".to_owned() }),
            signer: Some(Replaced { was: "k".to_owned(), is: None }),
            more: vec!["learn secrets".to_owned()],
            ..Differences::default()
        };
        let arguments = UpgradeArgs { yes: true, ..UpgradeArgs::default() };
        let flags = |it: &UpgradeArgs| questions(&differences, it).iter().map(|it| it.1).collect::<Vec<_>>().join(" ");
        assert_eq!(flags(&arguments), "--allow-other-name --allow-lost-signer --allow-more-rights");
        let arguments = UpgradeArgs { allow_lost_signer: true, allow_more_rights: true, ..arguments };
        assert_eq!(flags(&arguments), "--allow-other-name");
        assert!(questions(&Differences::default(), &arguments).is_empty());
        // Nobody knows what the old one called itself.
        let unknown = Differences { name: Some(Replaced { was: None, is: "b".to_owned() }), ..Differences::default() };
        let asked = questions(&unknown, &arguments);
        assert_eq!(asked, [("It may be another plugin, `b`. Agree to that?".to_owned(), "--allow-other-name")]);
    }
}
