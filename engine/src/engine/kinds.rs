//! Kinds that only the remote system knows: those that documents mention are asked for, remembered, pinned.
//!
//! A provider whose plugin has `schemas` is asked once a run for the kinds that documents name or that are owned, in the versions
//! that documents name. What it answered is kept in the cache, so that most runs are told that nothing changed, and reading documents
//! (`validate`, `render`) needs no network. Kinds that `trueup.lock` pins for an alias come first there: they are the same on every
//! machine. What a document of this revision defines itself counts before what the system knows.
//!
//! Invariant: a kind that was seen before is not forgotten because a part of the system could not be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::value::{Digest, Json, Map};
use trueup_host as host;

use super::{Bound, Engine, Reading, now_ms};
use crate::config::lock;
use crate::config::project::Environment;
use crate::desired::{self, Context, Head, Mentions, definitions};
use crate::patience;
use crate::store::cache::CacheFile;

/// How long an answer is kept that nobody asks about again.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Under which a provider's answer is kept, beside what its plugin keeps.
const KEY: &str = "kinds";
/// Bytes of a pinned file.
const MAX_PINNED: u64 = 64 << 20;
/// Key of a kind that names what it was made from. It changes more often than the kind, and is in no digest.
const SOURCE: &str = "hash";

/// How long an answer is taken for what there is without asking: schemas change seldom, and documents that do not fit them are held
/// against a new answer before anybody is told.
const FRESH: u64 = 10 * 60 * 1000;

/// What was answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Answer {
    version: Option<String>,
    kinds: Json,
    /// What the provider acted on: another place has other kinds.
    #[serde(default)]
    place: String,
    /// What was asked for, and when, in milliseconds since 1970. Nothing where not all of it was told.
    #[serde(default)]
    asked: Option<(Option<Vec<String>>, u64)>,
}

impl Answer {
    fn is_fresh(&self, names: Option<&[String]>) -> bool {
        let now = now_ms();
        self.asked.as_ref().is_some_and(|(of, at)| of.as_deref() == names && (*at..at.saturating_add(FRESH)).contains(&now))
    }
}

/// Kinds in the form of a manifest's.
type Kinds = Map<String, Json>;

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What documents mention and what is owned.
    Used,
    /// Every kind that there is.
    All,
}

/// Where a provider's answers are kept.
struct Memory<'a> {
    cache: &'a CacheFile,
    /// Names provider, plugin and settings.
    name: String,
}

impl Memory<'_> {
    fn recall(&self) -> Option<Answer> {
        let bytes = self.cache.get(&self.name, KEY, now_ms()).ok().flatten()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn keep(&self, answer: &Answer) {
        let Ok(bytes) = serde_json::to_vec(answer) else { return };
        if let Err(error) = self.cache.put(&self.name, KEY, &bytes, KEPT, now_ms()) {
            tracing::debug!("the kinds of a provider could not be kept: {error}");
        }
    }
}

/// Completes the providers of a context with the kinds of their systems, and the context's key with them. `owned`: alias and kind of
/// what the environment has.
///
/// # Errors
///
/// A system that cannot be asked and of which nothing is known, an answer that breaks the contract, versions that documents cannot
/// be in.
pub async fn complete(
    engine: &Engine,
    environment: &Environment,
    context: &mut Context,
    owned: &[(String, String)],
    (reading, wanted): (Reading, Wanted),
) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let bare = context.key;
    let asked = attempt(engine, environment, context, owned, (reading, wanted, Ask::Seldom)).await;
    if reading == Reading::Documents || !context.kinds_are_old {
        return asked;
    }
    // What does not fit may fit by now.
    if asked.is_ok() && (context.is_remembered() || !desired::load(context).await.has_errors()) {
        return asked;
    }
    context.key = bare;
    context.defined.clear();
    attempt(engine, environment, context, owned, (reading, wanted, Ask::Now)).await
}

/// Whether systems are asked whose kinds were told a short while ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Seldom,
    Now,
}

async fn attempt(
    engine: &Engine,
    environment: &Environment,
    context: &mut Context,
    owned: &[(String, String)],
    (reading, wanted, ask): (Reading, Wanted, Ask),
) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let learns = |it: &&Bound| it.provider.plugin().exports().schemas;
    let learners: Vec<Bound> = context.providers.values().filter(learns).cloned().collect();
    if learners.is_empty() {
        return Ok(Vec::new());
    }
    let mentions = Mentions::gather(context);
    let mixed = mentions.mixed(|alias| learners.iter().any(|it| *it.alias == *alias));
    if !mixed.is_empty() {
        return Err(mixed);
    }
    // What is recorded must be whole: nothing is remembered from before.
    let cache = engine.tape().is_none().then(|| CacheFile::beside(engine.state()));
    let asked = learners.iter().map(|bound| {
        let memory = cache.as_ref().map(|cache| Memory { cache, name: name(environment, bound) });
        let names = (wanted == Wanted::Used).then(|| names(&bound.alias, &mentions, owned));
        async move {
            let kept = memory.as_ref().and_then(Memory::recall).filter(|it| *it.place == *bound.target);
            match kept.filter(|it| reading == Reading::World && ask == Ask::Seldom && it.is_fresh(names.as_deref())) {
                Some(Answer { kinds: Json::Object(kinds), .. }) => Ok((kinds, true)),
                _ => resolve(engine, bound, names.as_deref(), memory.as_ref(), reading).await.map(|it| (it, false)),
            }
        }
    });
    let (mut kinds, mut errors) = (BTreeMap::new(), Vec::new());
    context.kinds_are_old = false;
    for (bound, found) in learners.iter().zip(join_all(asked).await) {
        match found {
            Ok((found, is_old)) => {
                context.kinds_are_old |= is_old;
                kinds.insert(bound.alias.clone(), found);
            }
            Err((text, hint)) => {
                let location = environment.providers.get(&bound.alias).map(|it| it.location.clone());
                let finding = Diagnostic { location, ..refused(&bound.alias, &text) };
                errors.push(Diagnostic { hint, ..finding });
            }
        }
    }
    errors.extend(unserved(&mentions, &kinds));
    if !errors.is_empty() {
        return Err(errors);
    }
    context.kinds = kinds.iter().map(|(alias, it)| (alias.clone(), Json::Object(it.clone()))).collect();
    let mut warnings = settle(context, &kinds).map_err(|it| vec![it])?;
    if define(context, &mentions, &mut kinds).await {
        warnings = settle(context, &kinds).map_err(|it| vec![it])?;
    }
    context.learn(&kinds.into_iter().map(|(alias, it)| (alias, digest(it))).collect());
    Ok(warnings)
}

fn refused(alias: &str, text: &str) -> Diagnostic {
    Diagnostic::error(codes::PLUGIN_LOAD, format!("provider `{alias}`: the kinds of its system {text}"))
}

/// Names a provider's answers in the cache.
fn name(environment: &Environment, bound: &Bound) -> String {
    let config = environment.providers.get(&bound.alias).map(|it| Digest::of_json(&it.config));
    let config = config.map(|it| it.to_string()).unwrap_or_default();
    format!("{}/{}/{}/{config}/kinds", environment.name, bound.alias, bound.digest())
}

/// The kinds to ask for: those of documents with their version, then those that are owned besides.
fn names(alias: &str, mentions: &Mentions, owned: &[(String, String)]) -> Vec<String> {
    let mentioned: BTreeMap<&str, &Head> =
        mentions.heads().filter(|it| it.alias == alias).map(|it| (it.kind.as_str(), it)).collect();
    let owned: BTreeSet<&str> = owned
        .iter()
        .filter(|(of, kind)| of == alias && !mentioned.contains_key(kind.as_str()))
        .map(|(_, kind)| kind.as_str())
        .collect();
    let named = mentioned.values().map(|it| format!("{}/{}", it.kind, it.version));
    named.chain(owned.into_iter().map(str::to_owned)).collect()
}

/// Documents in versions that the system does not serve.
fn unserved(mentions: &Mentions, kinds: &BTreeMap<Arc<str>, Kinds>) -> Vec<Diagnostic> {
    let finding = |head: &Head| {
        let versions = kinds.get(head.alias.as_str())?.get(&head.kind)?.get("versions")?.as_array()?;
        let served: Vec<&str> = versions.iter().filter_map(Json::as_str).collect();
        if served.is_empty() || served.contains(&head.version.as_str()) {
            return None;
        }
        let text =
            format!("the system of `{}` has `{}` in {}, and not in {}", head.alias, head.kind, served.join(", "), head.version);
        let finding = Diagnostic::error(codes::API_VERSION, text).hint("write it in one of these versions");
        Some(Diagnostic { location: mentions.place_of(head), ..finding })
    };
    mentions.heads().filter_map(finding).collect()
}

/// Gives each provider its kinds; what is wrong with single ones.
fn settle(context: &mut Context, kinds: &BTreeMap<Arc<str>, Kinds>) -> Result<Vec<Diagnostic>, Diagnostic> {
    let mut warnings = Vec::new();
    for (alias, kinds) in kinds {
        let Some(bound) = context.providers.get_mut(alias) else { continue };
        let kinds = Json::Object(kinds.clone());
        let whole = bound.provider.plugin().manifest().with_kinds(&kinds);
        let (whole, wrong) = whole.map_err(|rule| refused(alias, &format!("break the contract: {rule}")))?;
        bound.provider.set_kinds(&kinds);
        bound.manifest = Arc::new(whole);
        let left = |rule: String| Diagnostic::warning(codes::KIND_LEFT_OUT, format!("provider `{alias}`: {rule}"));
        warnings.extend(wrong.into_iter().map(left));
    }
    Ok(warnings)
}

/// Adds what documents of this revision define; whether any does.
async fn define(context: &mut Context, mentions: &Mentions, kinds: &mut BTreeMap<Arc<str>, Kinds>) -> bool {
    let providers = &context.providers;
    let defines = |it: &Head| {
        let kind = providers.get(it.alias.as_str()).and_then(|bound| bound.manifest.kinds.get(&it.kind));
        kind.is_some_and(|it| it.defines)
    };
    let (files, which) = mentions.files(defines);
    if which.is_empty() {
        return false;
    }
    let mut any = false;
    for (resource, defined) in definitions(context, files, which).await {
        let Some((alias, known)) = kinds.iter_mut().find(|(alias, _)| &***alias == resource.alias()) else { continue };
        for (name, entry) in defined.as_object().into_iter().flatten() {
            any = true;
            let version = mentions.heads().find(|it| it.alias == **alias && it.kind == *name).map(|it| it.version.as_str());
            known.insert(name.clone(), of_version(entry, version));
            context.defined.insert((alias.clone(), name.clone()), resource.clone());
        }
    }
    any
}

/// A kind that is defined in several versions, in the one that documents name: an entry may have others under `at`, by version.
fn of_version(entry: &Json, version: Option<&str>) -> Json {
    let mut out = entry.clone();
    let Json::Object(map) = &mut out else { return out };
    let others = map.remove("at");
    let other = version.and_then(|it| others.as_ref()?.get(it)?.as_object());
    map.extend(other.into_iter().flatten().map(|(key, it)| (key.clone(), it.clone())));
    out
}

/// The bytes of `schemas/<sha256>.json` for what a system told of its kinds, over those that are pinned already: several environments
/// may have one alias.
pub fn to_pin(told: &Json, pinned: Option<Json>) -> Vec<u8> {
    let mut all = if let Some(Json::Object(kinds)) = pinned { kinds } else { Kinds::new() };
    for (name, kind) in told.as_object().into_iter().flatten().filter(|(_, it)| it.get("schema").is_some()) {
        let mut kind = kind.clone();
        kind.as_object_mut().and_then(|it| it.remove(SOURCE));
        all.insert(name.clone(), kind);
    }
    format!("{}\n", Json::Object(all)).into_bytes()
}

/// Of the kinds as far as documents and plugins can tell them apart.
fn digest(kinds: Kinds) -> Digest {
    let known = kinds.into_iter().filter(|(_, it)| it.get("schema").is_some()).map(|(name, mut kind)| {
        kind.as_object_mut().and_then(|it| it.remove(SOURCE));
        (name, kind)
    });
    Digest::of_json(&Json::Object(known.collect()))
}

/// Why nothing is known, and what to do about it.
type Reason = (String, Option<String>);

async fn resolve(
    engine: &Engine,
    bound: &Bound,
    names: Option<&[String]>,
    memory: Option<&Memory<'_>>,
    reading: Reading,
) -> Result<Kinds, Reason> {
    let kept = memory.and_then(Memory::recall);
    let plain = |text: String| (text, None);
    let kinds = match reading {
        Reading::World => {
            let kept = kept.filter(|it| *it.place == *bound.target);
            asked(bound, names, kept, memory).await.map_err(plain)?
        }
        Reading::Documents => match (pinned(engine, &bound.alias).map_err(plain)?, kept) {
            (Some(kinds), _) | (None, Some(Answer { kinds, .. })) => kinds,
            (None, None) => {
                let hint =
                    "`trueup plan` asks the system and remembers the answer; `trueup schema --pin` pins it in the repository";
                let text = "are not known on this machine, and reading documents asks nobody".to_owned();
                return Err((text, Some(hint.to_owned())));
            }
        },
    };
    match kinds {
        Json::Object(kinds) => Ok(kinds),
        _ => Err(plain("are no mapping".to_owned())),
    }
}

/// The kinds that the lock pins, from the file beside it.
///
/// # Errors
///
/// In words that go on after "the kinds of its system".
pub fn pinned(engine: &Engine, alias: &str) -> Result<Option<Json>, String> {
    let Some(digest) = engine.pins.schemas.get(alias) else { return Ok(None) };
    let path = format!("schemas/{digest}.json");
    let wrong = |what: &str| format!("are pinned in {} as `{path}`, which {what}", lock::FILE);
    let entry = engine.protected.find(&path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let entry = entry.ok_or_else(|| wrong("is not committed"))?;
    let bytes = engine.protected.read(&entry, MAX_PINNED).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if Digest::of(&bytes) != *digest {
        return Err(wrong("has another digest"));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| wrong(&format!("is no JSON (line {})", error.line())))
}

/// Asks the system. What is known of it already stands where it cannot be asked, and fills in what it could not say.
async fn asked(
    bound: &Bound,
    names: Option<&[String]>,
    kept: Option<Answer>,
    memory: Option<&Memory<'_>>,
) -> Result<Json, String> {
    let provider = &bound.provider;
    if let Some(kept) = &kept {
        provider.set_kinds(&kept.kinds);
    }
    let info = host::CallInfo { now_ms: now_ms(), ..host::CallInfo::default() };
    let since = kept.as_ref().and_then(|it| it.version.as_deref());
    let mut tries = 1;
    let answer = loop {
        let answer = provider.discover(&info, since, names).await;
        let late = if let Ok(Some(Err(failure))) = &answer { patience::before_again(failure.fault, tries) } else { None };
        let Some(pause) = late else { break answer };
        tokio::time::sleep(pause).await;
        tries += 1;
    };
    let answer = match answer {
        Ok(Some(Ok(answer))) => answer,
        Ok(None) => return Err("were not told".to_owned()),
        failed => {
            let why = match failed {
                Ok(Some(Err(failure))) => failure.to_string(),
                Err(error) => error.to_string(),
                Ok(_) => String::new(),
            };
            // Its observation fails for the same reason, which is where it is told, and halts this provider alone.
            return kept.map(|it| it.kinds).ok_or_else(|| format!("cannot be asked for: {why}"));
        }
    };
    let Some(new) = answer.kinds else {
        let kept = kept.ok_or_else(|| "are called unchanged, and were never told".to_owned())?;
        let kept = Answer { asked: told_now(names).filter(|_| answer.complete), ..kept };
        if let Some(memory) = memory {
            memory.keep(&kept);
        }
        return Ok(kept.kinds);
    };
    let mut kinds = Json::clone(&new);
    if let (false, Some(kept)) = (answer.complete, kept)
        && let (Json::Object(now), Json::Object(before)) = (&mut kinds, kept.kinds)
    {
        merge(now, before);
    }
    // A version of a part would hide the rest from the next run.
    let whole = answer.complete && answer.version.is_some();
    let asked = told_now(names).filter(|_| whole);
    let answer = Answer { version: answer.version.filter(|_| whole), kinds, place: bound.target.to_string(), asked };
    if let Some(memory) = memory {
        memory.keep(&answer);
    }
    Ok(answer.kinds)
}

fn told_now(names: Option<&[String]>) -> Option<(Option<Vec<String>>, u64)> {
    Some((names.map(<[String]>::to_vec), now_ms()))
}

/// Adds what was known before and is not told now.
fn merge(now: &mut Kinds, before: Kinds) {
    for (name, kind) in before {
        let known = now.entry(name).or_insert(Json::Null);
        if known.get("schema").is_none() && kind.get("schema").is_some() {
            *known = kind;
        }
    }
    now.retain(|_, it| !it.is_null());
}
