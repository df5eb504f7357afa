//! `trueup adopt --provider`: documents of what exists, written into a layer.
//!
//! Nothing is recorded here. An object that is owned and declared nowhere is one that the next plan deletes, so that ownership
//! comes with `adopt --declared`, once the documents are committed; until then no plan knows of any of this.

mod draft;
mod files;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use trueup_core::address::{Address, ResourceId, Scope};
use trueup_core::diagnostic::codes;
use trueup_core::diff;
use trueup_core::document::Shortener;
use trueup_core::manifest::{Kind, Observe};
use trueup_core::observation::{Coverage, Observed};
use trueup_core::plan::{Holder, Options, realm};

use super::Shell;
use super::again;
use super::apply;
use super::arguments::AdoptArgs;
use super::error::CliError;
use super::exit::Exit;
use super::session::{LOOKING, Session};
use crate::desired::{self, Desired, trial};
use crate::engine::{Bound, Wanted};
use crate::observe::{self, Declared, Observation};
use crate::output::Format;
use crate::output::clean::clean;
use crate::output::progress::Phase;
use crate::output::value::count;
use crate::pass::{Surroundings, holders, mark};
use crate::veil::Veil;
use draft::Draft;

/// Reasons of one kind that are shown before the rest is only counted; `-o json` has them all.
const SHOWN: usize = 40;

/// `--declared` and `--recovered` record ownership, `--provider` writes documents.
pub async fn run(arguments: &AdoptArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match &arguments.provider {
        Some(alias) => write(alias, arguments, shell).await,
        None => apply::adopt(arguments, shell).await,
    }
}

/// An object that got no document, and why.
struct Left {
    address: Address,
    reason: String,
}

/// A document that says just what its object is.
struct Written {
    id: ResourceId,
    address: Address,
    text: String,
}

async fn write(alias: &str, arguments: &AdoptArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    if shell.global.source.is_some() {
        return Err(CliError::usage("documents are written into a work tree, and --source has none")
            .hint("clone the repository and run this in it"));
    }
    let mut session = Session::open(shell, &arguments.revision)?;
    let around = session.surroundings_with(Wanted::All, shell, Options::default()).await?;
    let bound = around.context.providers.get(alias).ok_or_else(|| {
        let known: Vec<&str> = around.context.providers.keys().map(|it| &**it).collect();
        CliError::usage(format!("{} has no provider `{alias}`", session.environment.name))
            .hint(format!("it has {}", known.join(", ")))
    })?;
    let kinds = kinds(bound, &arguments.kinds)?;
    let place = files::place(&session, &around.context, arguments, shell)?;
    let phase = session.reading();
    let desired = desired::load(&around.context).await;
    if desired.has_errors() {
        return Err(CliError::from_diagnostics(desired.diagnostics.clone()).texts(session.texts()));
    }
    phase.now(LOOKING);
    let observation = scan(bound, &kinds, &arguments.scope, &around, &session, phase, shell).await?;
    if observation.views.values().all(|it| it.objects.is_empty()) {
        let place = if arguments.scope.is_empty() { String::new() } else { format!(" in `{}`", arguments.scope) };
        let text = format!("`{}` has nothing{place}", bound.alias);
        return Err(CliError::usage(text).hint("name what to list as its system has it, with --scope"));
    }
    let (written, left) = sort_out(bound, &kinds, &desired, &observation, &around).await?;
    let files = place.write(&written).map_err(|error| *error)?;
    say(&session, arguments, &place, &files, (&written, &left), shell)?;
    Ok(Exit::Fine)
}

/// The kinds to list: those named, else all that can be listed.
fn kinds(bound: &Bound, named: &[String]) -> Result<Vec<Arc<Kind>>, CliError> {
    let all = || bound.manifest.kinds.values().filter(|it| it.observe == Observe::Scan);
    let listed = || all().map(|it| &*it.name).collect::<Vec<_>>().join(", ");
    if named.is_empty() {
        let kinds: Vec<_> = all().cloned().collect();
        let none = || CliError::usage(format!("`{}` lists nothing: each object must be named by a document", bound.alias));
        return if kinds.is_empty() { Err(none()) } else { Ok(kinds) };
    }
    let find = |name: &String| match all().find(|it| *it.name == **name) {
        Some(kind) => Ok(kind.clone()),
        None if bound.manifest.kinds.contains_key(name) => {
            Err(CliError::usage(format!("`{}` cannot list objects of kind {name}", bound.alias))
                .hint("declare each of them, then take them over with `trueup adopt --declared`"))
        }
        None => Err(CliError::usage(format!("`{}` has no kind {name}", bound.alias)).hint(format!("it lists {}", listed()))),
    };
    named.iter().collect::<BTreeSet<_>>().into_iter().map(find).collect()
}

/// Everything is of interest, and nothing is worth a read of its own.
struct Everything(Arc<Veil>);

impl Declared for Everything {
    fn interest(&self, _: &Address) -> Option<Arc<Veil>> {
        Some(self.0.clone())
    }

    fn is_read(&self, _: &Address) -> bool {
        false
    }

    fn asks_for_status(&self) -> bool {
        false
    }
}

/// What stands in the scope, with its documents.
async fn scan(
    bound: &Bound,
    kinds: &[Arc<Kind>],
    scope: &str,
    around: &Surroundings,
    session: &Session,
    phase: Phase,
    shell: &mut Shell<'_>,
) -> Result<Observation, CliError> {
    let scopes: Vec<Scope> =
        kinds.iter().map(|it| Scope { provider: bound.alias.clone(), kind: it.name.clone(), scope: scope.into() }).collect();
    let everything = Everything(Arc::default());
    let sealer = &around.context.sealer;
    let mut seen = observe::observe(bound, scopes, HashMap::new(), &everything, sealer, around.context.now).await;
    drop(phase);
    let mut found = std::mem::take(&mut seen.warnings);
    found.extend(session.denied());
    shell.output.diagnostics(&found, &|_| None);
    for view in seen.views.values() {
        let text = match &view.coverage {
            Coverage::Whole => continue,
            Coverage::Partial | Coverage::Named(_) => {
                "it was not read whole, so that what is missing would be missing for ever".to_owned()
            }
            Coverage::Failed(why) => why.clone(),
        };
        let text = format!("{} in `{scope}` of `{}` cannot be listed: {text}", view.scope.kind, bound.alias);
        let error = CliError::new(codes::OBSERVE_FAILED, text);
        return Err(if scope.is_empty() { error.hint("name what to list with --scope") } else { error });
    }
    let addresses: Vec<Address> = seen.views.values().flat_map(|it| it.objects.values()).map(|it| it.address.clone()).collect();
    seen.load(&addresses, sealer, &HashMap::new());
    Ok(seen)
}

/// Whose the objects of a scan are already.
struct Owners {
    declared: HashSet<Address>,
    owned: HashSet<Address>,
    elsewhere: HashMap<Address, Holder>,
    mark: String,
}

impl Owners {
    fn of(desired: &Desired, observation: &Observation, around: &Surroundings, bound: &Bound) -> Result<Self, CliError> {
        let environment = &around.context.environment;
        let all: Vec<&Address> = observation.views.values().flat_map(|it| it.objects.values()).map(|it| &it.address).collect();
        Ok(Self {
            declared: desired.objects.iter().map(|it| it.address.clone()).collect(),
            owned: around.store.inventory(environment)?.into_iter().map(|it| it.address).collect(),
            elsewhere: holders(around, &all)?,
            mark: realm(&mark(&around.project, environment, &ResourceId::new(&bound.alias, "x", None, "x"))).to_owned(),
        })
    }

    /// Why the object is not to be declared anew, if it is not.
    fn reason(&self, found: &Observed) -> Option<String> {
        let address = &found.address;
        if self.declared.contains(address) {
            return Some("it is declared already".to_owned());
        }
        if self.owned.contains(address) {
            return Some("it is owned already, and its document is gone: a plan says what becomes of it".to_owned());
        }
        if let Some(other) = self.elsewhere.get(address) {
            return Some(format!("{other} owns it"));
        }
        if let Some(other) = found.mark.as_deref().map(realm).filter(|it| *it != self.mark) {
            return Some(format!("it carries the mark of another owner (`{other}`)"));
        }
        found.unclaimed.then(|| "its system makes or needs it by itself, or would lose a part of it by a change".to_owned())
    }
}

/// Makes a document for each object and keeps those that come back as what was seen.
async fn sort_out(
    bound: &Bound,
    kinds: &[Arc<Kind>],
    desired: &Desired,
    observation: &Observation,
    around: &Surroundings,
) -> Result<(Vec<Written>, Vec<Left>), CliError> {
    let owners = Owners::of(desired, observation, around, bound)?;
    let taken = desired.ids().chain(around.store.inventory(&around.context.environment)?.into_iter().map(|it| it.resource));
    let mut drafts = draft::Drafts::new(&around.context, bound, taken.collect());
    let (mut tries, mut left) = (Vec::new(), Vec::new());
    for (kind, found) in kinds.iter().flat_map(|kind| objects(kind, observation).map(move |found| (kind, found))) {
        let draft = match owners.reason(found) {
            Some(reason) => Err(reason),
            None if observation.unread.contains(&found.address) => {
                Err("telling all of it is dear, and the provider did not: declare it by hand".to_owned())
            }
            None => drafts.draft(kind, found),
        };
        match draft {
            Ok(draft) => tries.push((kind, found, draft)),
            Err(reason) => left.push(Left { address: found.address.clone(), reason }),
        }
    }
    let texts: Vec<String> = tries.iter().map(|(_, _, draft)| draft.text.clone()).collect();
    let mut written = Vec::new();
    for ((kind, found, Draft { id, text }), tried) in tries.into_iter().zip(trial::try_out(&around.context, &texts).await) {
        match tried.and_then(|it| same(kind, found, &id, &it)) {
            Ok(()) => written.push(Written { id, address: found.address.clone(), text }),
            Err(reason) => left.push(Left { address: found.address.clone(), reason }),
        }
    }
    left.sort_by(|a, b| a.address.cmp(&b.address));
    Ok((written, left))
}

fn objects<'a>(kind: &'a Kind, observation: &'a Observation) -> impl Iterator<Item = &'a Observed> {
    observation.views.values().filter(|it| it.scope.kind == kind.name).flat_map(|it| it.objects.values())
}

/// Whether the document is about the object, and asks for just what it is: then a plan has nothing to do.
fn same(kind: &Kind, found: &Observed, id: &ResourceId, tried: &trial::Tried) -> Result<(), String> {
    let [(address, document)] = tried.objects.as_slice() else {
        return Err(format!("its document would make {} objects", tried.objects.len()));
    };
    if *address != found.address || tried.id != *id {
        return Err(format!("its document would be about another object, {address}"));
    }
    let now = found.doc.as_deref().ok_or("it was not read")?;
    match diff::compare(document, None, now, &kind.hints, &[]).first() {
        None => Ok(()),
        Some(change) => Err(format!("its document would change it at `{}`", change.path)),
    }
}

/// What was written, what was not and why, and what to do next.
fn say(
    session: &Session,
    arguments: &AdoptArgs,
    place: &files::Place,
    files: &[files::File],
    (written, left): (&[Written], &[Left]),
    shell: &mut Shell<'_>,
) -> Result<(), CliError> {
    let environment = &session.environment.name;
    let names = Shortener::new(written.iter().map(|it| it.id.clone()));
    let adopt = again::command("adopt", environment, &shell.global, &super::arguments::RevisionArgs::default());
    let mut next: Vec<String> = Vec::new();
    if !files.is_empty() {
        let paths: Vec<String> = files.iter().map(|it| again::quoted(&it.shown)).collect();
        let git = place.git.as_ref().map(|it| format!("git -C {}", again::quoted(it))).unwrap_or_else(|| "git".to_owned());
        next.push(format!("{git} add {} && {git} commit -m {}", paths.join(" "), again::quoted(&place.message)));
        next.push(format!("{adopt} --declared"));
    }
    if let Format::Name = shell.output.format {
        shell.output.names(written.iter().map(|it| it.id.local()));
        return Ok(());
    }
    if shell.output.format.is_object() {
        let object = |it: &Address| json!({"kind": &*it.scope.kind, "scope": &*it.scope.scope, "key": &*it.key});
        let documents = files
            .iter()
            .flat_map(|file| written.get(file.documents.clone()).unwrap_or_default().iter().map(move |it| (file, it)));
        let documents: Vec<Json> = documents
            .map(|(file, it)| {
                json!({"resource": names.shorten(&it.id), "id": it.id.as_str(), "object": object(&it.address), "file": file.shown})
            })
            .collect();
        let left: Vec<Json> = left.iter().map(|it| json!({"object": object(&it.address), "reason": it.reason})).collect();
        return Ok(shell.output.object(&json!({
            "format": "trueup.documents/1",
            "environment": environment,
            "provider": arguments.provider,
            "scope": arguments.scope,
            "files": files.iter().map(|it| json!({"path": it.shown, "documents": it.documents.len()})).collect::<Vec<_>>(),
            "documents": documents,
            "left": left,
            "note": place.note,
            "next": next,
        }))?);
    }
    let mut text = String::new();
    for file in files {
        let _ = writeln!(text, "Wrote {}: {}.", clean(&file.shown), count(file.documents.len(), "document"));
    }
    if files.is_empty() {
        text.push_str("Nothing was written: there is nothing to declare anew.\n");
    }
    if !left.is_empty() {
        let _ = writeln!(text, "Left out, {}:", count(left.len(), "object"));
        for it in left.iter().take(SHOWN) {
            let _ = writeln!(text, "  {}: {}", clean(&it.address.to_string()), clean(&it.reason));
        }
        if let Some(more) = left.len().checked_sub(SHOWN).filter(|it| *it > 0) {
            let _ = writeln!(text, "  and {more} more (-o json names them)");
        }
    }
    if let Some(note) = &place.note {
        let _ = writeln!(text, "Note: {}", clean(note));
    }
    if !next.is_empty() {
        text.push_str("Nothing is owned yet. Look through what was written, then:\n");
        for it in &next {
            let _ = writeln!(text, "  {}", clean(it));
        }
    }
    shell.output.print(&text);
    Ok(())
}
