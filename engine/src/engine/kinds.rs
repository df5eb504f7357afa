//! Kinds that only the remote system knows: asked for, remembered, pinned.
//!
//! A provider whose plugin has `schemas` is asked once a run what kinds its system has; what it answered before is kept in the
//! cache, so that most runs are told that nothing changed, and read documents (`validate`, `render`) without a network. Kinds that
//! `trueup.lock` pins for an alias come first there: they are the same on every machine.
//!
//! Invariant: a kind that was seen before is not forgotten because a part of the system could not be asked.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::manifest::Manifest;
use trueup_core::value::{Digest, Json, Map};
use trueup_host as host;

use super::{Engine, Reading, now_ms};
use crate::config::lock;
use crate::config::project::ProviderConfig;
use crate::patience;
use crate::store::cache::CacheFile;

/// How long an answer is kept that nobody asks about again.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Under which a provider's answer is kept, beside what its plugin keeps.
const KEY: &str = "kinds";
/// Bytes of a pinned file.
const MAX_PINNED: u64 = 64 << 20;

/// What was answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Answer {
    version: Option<String>,
    kinds: Json,
}

/// Where a provider's answer is kept.
pub struct Memory<'a> {
    pub cache: &'a CacheFile,
    /// Names provider, plugin and settings.
    pub name: String,
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

/// A provider's manifest with the kinds of its system, and their digest for what depends on them. None where the plugin names all
/// of its kinds itself.
///
/// # Errors
///
/// A finding without a place: the system cannot be asked and nothing is known of it, or the answer breaks the contract.
pub async fn resolve(
    engine: &Engine,
    alias: &str,
    config: &ProviderConfig,
    provider: &host::Provider,
    memory: Option<&Memory<'_>>,
    reading: Reading,
) -> Result<Option<(Arc<Manifest>, Digest)>, Box<Diagnostic>> {
    let manifest = provider.plugin().manifest();
    if !provider.plugin().exports().schemas {
        return Ok(None);
    }
    let refused = |text: String| {
        let text = format!("provider `{alias}`: the kinds of its system {text}");
        Box::new(Diagnostic::error(codes::PLUGIN_LOAD, text).at(config.location.clone()))
    };
    let kept = memory.and_then(Memory::recall);
    let kinds = match reading {
        Reading::Documents => match pinned(engine, alias).map_err(&refused)? {
            Some(pinned) => pinned,
            None => kept.map(|it| it.kinds).ok_or_else(|| {
                let hint = "`trueup plan` asks the system and remembers the answer";
                Box::new(refused("are not known on this machine, and reading documents asks nobody".to_owned()).hint(hint))
            })?,
        },
        Reading::World => asked(provider, kept, memory).await.map_err(refused)?,
    };
    let whole = manifest.with_kinds(&kinds).map_err(|rule| refused(format!("break the contract: {rule}")))?;
    provider.set_kinds(&kinds);
    Ok(Some((Arc::new(whole), Digest::of_json(&kinds))))
}

/// The kinds that the lock pins, from the file beside it.
fn pinned(engine: &Engine, alias: &str) -> Result<Option<Json>, String> {
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
async fn asked(provider: &host::Provider, kept: Option<Answer>, memory: Option<&Memory<'_>>) -> Result<Json, String> {
    if let Some(kept) = &kept {
        provider.set_kinds(&kept.kinds);
    }
    let info = host::CallInfo { now_ms: now_ms(), ..host::CallInfo::default() };
    let since = kept.as_ref().and_then(|it| it.version.as_deref());
    let mut tries = 1;
    let answer = loop {
        let answer = provider.discover(&info, since).await;
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
        return kept.map(|it| it.kinds).ok_or_else(|| "are called unchanged, and were never told".to_owned());
    };
    let mut kinds = Json::clone(&new);
    if let (false, Some(kept)) = (answer.complete, kept)
        && let (Json::Object(now), Json::Object(before)) = (&mut kinds, kept.kinds)
    {
        merge(now, before);
    }
    // A version of a part would hide the rest from the next run.
    let answer = Answer { version: answer.version.filter(|_| answer.complete), kinds };
    if let Some(memory) = memory {
        memory.keep(&answer);
    }
    Ok(answer.kinds)
}

/// Adds what was known before and is not told now.
fn merge(now: &mut Map<String, Json>, before: Map<String, Json>) {
    for (name, kind) in before {
        now.entry(name).or_insert(kind);
    }
}
