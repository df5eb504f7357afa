//! `trueup replay`: a recorded run again, without a network, a credential or a server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value as Json, json};
use trueup_core::diagnostic::codes;
use trueup_core::plan::{Options, Step};

use super::Shell;
use super::arguments::{Global, RevisionArgs};
use super::error::CliError;
use super::exit::Exit;
use super::reviewed::{difference, lines};
use super::session::Session;
use crate::apply::{Cancel, Ended, Report};
use crate::bundled;
use crate::engine::read_component;
use crate::output::clean::{clean, clip};
use crate::output::json::Plan;
use crate::output::result::outcomes;
use crate::output::value::count;
use crate::pass::{self, Order, Planned, Surroundings};
use crate::recording::{Parted, Player, Recording, Stage, Tape};

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

/// How a replay ended.
struct Replayed {
    plan: Plan,
    /// Steps that are not those of the recorded plan.
    moved: Vec<String>,
    /// Outcomes that came or went.
    outcomes: Vec<String>,
    parted: Vec<Parted>,
    /// Questions that the recorded run did not ask, those of `parted` among them.
    missing: usize,
    answered: usize,
    /// Questions of the recorded run that nobody asked.
    unasked: usize,
}

impl Replayed {
    fn is_same(&self, recorded: &Plan) -> bool {
        self.plan.digest == recorded.digest && self.moved.is_empty() && self.outcomes.is_empty() && self.missing == 0
    }
}

pub async fn run(arguments: &ReplayArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let shown = arguments.file.display().to_string();
    let failed = |text: String| CliError::new(codes::RECORDING, format!("`{}`: {text}", clean(&shown)));
    let recording = Recording::read(&arguments.file).map_err(|error| failed(error.to_string()))?;
    if !matches!(recording.header.command.as_str(), "plan" | "apply") {
        return Err(failed("it is neither of a plan nor of an apply".to_owned()));
    }
    let plugins = plugins(&arguments.plugin, &recording)?;
    let player = Arc::new(Player::new(&recording, plugins));
    let stage = Stage::set(&recording).map_err(|error| failed(format!("it cannot be laid out: {error}")))?;
    let replayed = replay(&recording, &player, stage.root(), shell).await?;
    let same = replayed.is_same(&recording.end.plan);
    if shell.output.format.is_object() {
        shell.output.object(&object(&recording, &replayed, same))?;
    } else {
        let text = text(&recording, &replayed, same);
        shell.output.print(&text);
    }
    Ok(if same { Exit::Fine } else { Exit::Failed })
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

/// The same pass again, in the project that the recording holds.
async fn replay(recording: &Recording, player: &Arc<Player>, root: &Path, shell: &mut Shell<'_>) -> Result<Replayed, CliError> {
    let header = &recording.header;
    let global = Global {
        directory: Some(root.to_owned()),
        source: None,
        path: None,
        environment: Some(header.environment.clone()),
        state: None,
        credentials: None,
        // Nothing is reached: every question is answered from the file.
        trust: true,
        ..shell.global.clone()
    };
    let mut inner = Shell { global, output: &mut *shell.output, interrupt: shell.interrupt };
    let revision = RevisionArgs { rev: None, worktree: true };
    let mut session = Session::taped(&inner, &revision, Some(Tape::Player(player.clone())))?;
    let options = Options { allow_deletes: header.allow_deletes, allow_recreate: header.allow_recreate, ..Options::default() };
    let around = session.surroundings(&mut inner, options).await?;
    let planned = session.plan(&around).await?;
    let plan = session.shape(&around, &planned);
    let moved = difference(&recording.end.plan, &plan);
    let ended = match (header.command.as_str(), recording.end.outcomes.is_empty()) {
        ("apply", false) => apply(around, planned, &session).await?,
        _ => Vec::new(),
    };
    let (parted, missing) = player.parted();
    let (answered, unasked) = player.counts();
    let outcomes = changed(&recording.end.outcomes, &ended);
    Ok(Replayed { plan, moved, outcomes, parted, missing, answered, unasked })
}

async fn apply(around: Surroundings, planned: Planned, session: &Session) -> Result<Vec<String>, CliError> {
    let _lock = session.engine.lock(&session.environment.name).map_err(|it| session.failure(it))?;
    let report: Arc<dyn Report> = Arc::new(Silent);
    let order = Order { command: "replay".to_owned(), actor: "replay".to_owned(), report, cancel: Cancel::default() };
    let (_, planned, applied) = pass::apply(around, planned, order).await?;
    Ok(outcomes(&super::apply::steps(&planned, &applied, &planned.short)))
}

struct Silent;

impl Report for Silent {
    fn started(&self, _: &Step) {}
    fn ended(&self, _: &Step, _: &Ended) {}
    fn waiting(&self, _: &Step, _: &str) {}
}

/// Lines of one list that are not in the other.
fn changed(recorded: &[String], now: &[String]) -> Vec<String> {
    let gone = recorded.iter().filter(|it| !now.contains(it)).map(|it| format!("recorded: {it}"));
    gone.chain(now.iter().filter(|it| !recorded.contains(it)).map(|it| format!("now: {it}"))).collect()
}

fn object(recording: &Recording, replayed: &Replayed, same: bool) -> Json {
    let parted: Vec<Json> = replayed
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
        "recorded": recording.end.plan.digest, "digest": replayed.plan.digest, "answered": replayed.answered,
        "missing": replayed.missing, "unasked": replayed.unasked, "parted": parted, "moved": replayed.moved,
        "outcomes": replayed.outcomes,
    })
}

fn text(recording: &Recording, replayed: &Replayed, same: bool) -> String {
    let header = &recording.header;
    let mut out = format!(
        "{} of {}/{} at {}, recorded by trueup {}: {} answered\n",
        clean(&header.command),
        clean(&header.project),
        clean(&header.environment),
        clean(&header.revision),
        clean(&header.trueup),
        count(replayed.answered, "host call"),
    );
    for (plugin, sha256) in &header.plugins {
        if bundled::find(plugin).is_some_and(|it| it.sha256 != sha256) {
            let _ = writeln!(out, "The plugin `{}` is bundled, and of another build than the recorded one.", clean(plugin));
        }
    }
    if same {
        let _ = writeln!(out, "The plan is the same: {}", clean(&replayed.plan.digest));
        if !recording.end.outcomes.is_empty() {
            let _ = writeln!(out, "So is how its {} ended.", count(recording.end.outcomes.len(), "step"));
        }
        if replayed.unasked > 0 {
            let _ = writeln!(out, "{} of the recording were not asked this time.", count(replayed.unasked, "question"));
        }
        return out;
    }
    if let Some(first) = replayed.parted.first() {
        let question = |it: &Json| clip(&it.to_string(), QUESTION, "…").to_string();
        let Parted { provider, function, import, .. } = first;
        let _ = writeln!(out, "It parted where `{}` asked {} in its `{}`:", clean(provider), clean(import), clean(function));
        let _ = writeln!(out, "  now       {}", question(&first.question));
        let nearest = first.nearest.as_ref().map_or_else(|| "nothing of the kind".to_owned(), question);
        let _ = writeln!(out, "  recorded  {nearest}");
        if let Some(more) = replayed.missing.checked_sub(1).filter(|it| *it > 0) {
            let _ = writeln!(out, "  and {} more that were not recorded", count(more, "question"));
        }
    }
    if replayed.plan.digest != recording.end.plan.digest {
        let _ = writeln!(out, "The plan is another one: {}, recorded was {}", replayed.plan.id(), recording.end.plan.id());
        out.push_str(&lines(&replayed.moved));
    }
    for line in replayed.outcomes.iter().take(20) {
        let _ = writeln!(out, "  {}", clean(line));
    }
    out
}
