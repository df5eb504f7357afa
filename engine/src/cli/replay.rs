//! `trueup replay`: a recorded run again, without a network, a credential or a server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};
use trueup_core::diagnostic::codes;

use super::Shell;
use super::error::{CliError, Texts};
use super::exit::Exit;
use super::session::{LOOKING, reading};
use crate::bundled;
use crate::engine::read_component;
use crate::output::clean::{clean, clip};
use crate::output::difference::lines;
use crate::output::json::Plan;
use crate::output::value::count;
use crate::recording::{Again, AgainError, MEND, Parted, Recording, Until, again};

/// `format` of the result.
const FORMAT: &str = "trueup.replay/1";
/// Characters of a question that are shown.
const QUESTION: usize = 400;

/// Run a recording again, offline, and hold it against what came of it
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup plan --record run.jsonl                    keep a run\n  trueup replay run.jsonl                           the same plan from it, anywhere\n  trueup replay run.jsonl --plugin ./x.wasm=./new.wasm   with another build of a plugin"
)]
pub struct ReplayArgs {
    /// What `--record` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Take another component for a plugin: what `plugin:` says, `=`, a file
    #[arg(long, value_name = "TEXT=PATH")]
    pub plugin: Vec<String>,
}

/// A replay, and what of it is not as recorded.
struct Replayed {
    again: Again,
    /// Outcomes that came or went.
    outcomes: Vec<String>,
}

impl Replayed {
    fn is_same(&self, recorded: &Plan) -> bool {
        let it = &self.again;
        it.plan.digest == recorded.digest && it.moved.is_empty() && self.outcomes.is_empty() && it.missing == 0
    }
}

pub async fn run(arguments: &ReplayArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let shown = clean(&arguments.file.display().to_string()).into_owned();
    let recording = Recording::read(&arguments.file)
        .map_err(|error| CliError::new(codes::RECORDING, format!("`{shown}`: {error}")).hint(error.hint()))?;
    if !matches!(recording.header.command.as_str(), "plan" | "apply") {
        let text = format!("`{shown}`: it is neither of a plan nor of an apply");
        return Err(CliError::new(codes::RECORDING, text).hint(MEND));
    }
    let plugins = plugins(&arguments.plugin, &recording)?;
    let again = {
        let phase = reading(shell);
        again(&recording, plugins, Until::End, &|| phase.now(LOOKING)).await
    };
    let again = again.map_err(|error| failure(error, &shown, &recording))?;
    let outcomes = changed(&recording.end.outcomes, &again.outcomes);
    let replayed = Replayed { again, outcomes };
    let same = replayed.is_same(&recording.end.plan);
    if shell.output.format.is_object() {
        shell.output.object(&object(&recording, &replayed, same))?;
    } else {
        let text = text(&recording, &replayed, same);
        shell.output.print(&text);
    }
    Ok(if same { Exit::Fine } else { Exit::Failed })
}

/// Why the recorded run cannot be made again: findings with their lines from the recording, anything else as its fault.
fn failure(error: AgainError, shown: &str, recording: &Recording) -> CliError {
    let text = error.of(shown);
    match error {
        AgainError::Findings(findings) => {
            let files = recording.files.clone();
            let text = move |file: &str| files.get(file).map(|it| String::from_utf8_lossy(it).into_owned());
            CliError::from_diagnostics(findings).texts(Texts::new(text))
        }
        AgainError::Stage(_) => CliError::new(codes::RECORDING, text).hint("give it room, or another folder with TMPDIR"),
        AgainError::Wrong(_) | AgainError::State(_) => CliError::new(codes::RECORDING, text).hint(MEND),
    }
}

/// Components that were named on the command line, by what `plugin:` says.
fn plugins(given: &[String], recording: &Recording) -> Result<BTreeMap<String, Vec<u8>>, CliError> {
    let mut plugins = BTreeMap::new();
    for it in given {
        let known: Vec<&str> = recording.header.plugins.keys().map(String::as_str).collect();
        let wrong = |text: String| CliError::usage(text).hint(format!("the recording has {}", known.join(", ")));
        let (text, path) = it.split_once('=').ok_or_else(|| wrong(format!("--plugin {it}: there is no `=`")))?;
        if !recording.header.plugins.contains_key(text) {
            return Err(wrong(format!("the recorded run had no plugin `{text}`")));
        }
        let bytes = read_component(Path::new(path)).map_err(|error| wrong(format!("{path}: {error}")))?;
        plugins.insert(text.to_owned(), bytes);
    }
    Ok(plugins)
}

/// Lines of one list that are not in the other.
fn changed(recorded: &[String], now: &[String]) -> Vec<String> {
    let gone = recorded.iter().filter(|it| !now.contains(it)).map(|it| format!("recorded: {it}"));
    gone.chain(now.iter().filter(|it| !recorded.contains(it)).map(|it| format!("now: {it}"))).collect()
}

fn object(recording: &Recording, replayed: &Replayed, same: bool) -> Json {
    let Replayed { again, outcomes } = replayed;
    let moved: Vec<&str> = again.moved.iter().map(|it| it.line.as_str()).collect();
    let parted: Vec<Json> = again
        .parted
        .iter()
        .map(|it| {
            json!({
                "provider": it.provider, "function": it.function, "import": it.import, "question": it.question, "nearest": it.nearest,
            })
        })
        .collect();
    json!({
        "format": FORMAT, "same": same, "environment": recording.header.environment, "revision": recording.header.revision,
        "recorded": recording.end.plan.digest, "digest": again.plan.digest, "answered": again.answered,
        "missing": again.missing, "unasked": again.unasked, "parted": parted, "moved": moved,
        "outcomes": outcomes,
    })
}

fn text(recording: &Recording, replayed: &Replayed, same: bool) -> String {
    let (header, again) = (&recording.header, &replayed.again);
    let mut out = format!(
        "{} of {}/{} at {}, recorded by trueup {}: {} answered\n",
        clean(&header.command),
        clean(&header.project),
        clean(&header.environment),
        clean(&header.revision),
        clean(&header.trueup),
        count(again.answered, "host call"),
    );
    for (plugin, sha256) in &header.plugins {
        if bundled::find(plugin).is_some_and(|it| it.sha256 != sha256) {
            let _ = writeln!(out, "The plugin `{}` is bundled, and of another build than the recorded one.", clean(plugin));
        }
    }
    if same {
        let _ = writeln!(out, "The plan is the same: {}", clean(&again.plan.digest));
        if !recording.end.outcomes.is_empty() {
            let _ = writeln!(out, "So is how its {} ended.", count(recording.end.outcomes.len(), "step"));
        }
        if again.unasked > 0 {
            let _ = writeln!(out, "{} of the recording were not asked this time.", count(again.unasked, "question"));
        }
        return out;
    }
    if let Some(first) = again.parted.first() {
        let question = |it: &Json| clip(&it.to_string(), QUESTION, "…").to_string();
        let Parted { provider, function, import, .. } = first;
        let _ = writeln!(out, "It parted where `{}` asked {} in its `{}`:", clean(provider), clean(import), clean(function));
        let _ = writeln!(out, "  now       {}", question(&first.question));
        let nearest = first.nearest.as_ref().map_or_else(|| "nothing of the kind".to_owned(), question);
        let _ = writeln!(out, "  recorded  {nearest}");
        if let Some(more) = again.missing.checked_sub(1).filter(|it| *it > 0) {
            let _ = writeln!(out, "  and {} more that were not recorded", count(more, "question"));
        }
    }
    if again.plan.digest != recording.end.plan.digest {
        let _ = writeln!(out, "The plan is another one: {}, recorded was {}", again.plan.id(), recording.end.plan.id());
        out.push_str(&lines(&again.moved));
    }
    for line in replayed.outcomes.iter().take(20) {
        let _ = writeln!(out, "  {}", clean(line));
    }
    out
}
