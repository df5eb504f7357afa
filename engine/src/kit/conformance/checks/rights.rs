//! Checks of what a plugin tells, tries and uses.

use std::sync::PoisonError;

use trueup_core::inventory::IntentAction;
use trueup_core::manifest::Observe;
use trueup_host::{HostRule, Lookup};
use url::Url;

use super::super::acts::{PAGE, Poller, Try};
use super::super::fields::fields;
use super::super::watch::To;
use super::super::world::{Want, World};
use super::{Bench, Fault, Stop, Verdict, joined, judged, stage, survey, token, worldless};
use crate::kit::project::Credential;

/// Shorter values stand anywhere by chance.
const MIN_SECRET: usize = 4;

/// Everything that can be asked of a provider, once: made, listed, read, changed in each field, deleted.
async fn cycle(world: &World<'_>) -> Result<Vec<Want>, String> {
    let provider = world.provider();
    let wants = world.wants(&provider).await?;
    let mut made = world.make_all(&provider, &wants).await?;
    for (want, now) in wants.iter().zip(&mut made) {
        let mut known = want.clone();
        for field in fields(&want.kind) {
            let Some(next) = world.changed_at(&provider, &known, &field).await else { continue };
            // Whether it works is not the question here.
            let change = world.change(IntentAction::Update, &next, Some(now), Try::first(&token()));
            world.carry(&provider, change, Poller::Same).await?;
            if let Some(seen) = world.look(&provider, &next, Some(&now.identity)).await? {
                *now = seen;
            }
            known = next;
        }
        let lookup = Lookup { identity: Some(now.identity.clone()), ..Lookup::new(want.address.clone()) };
        world.read_as(&provider, lookup).await?;
    }
    let mut kinds: Vec<&str> = wants.iter().map(|it| &*it.kind.name).collect();
    kinds.dedup();
    for kind in kinds {
        let _ = provider.scopes(&world.info(), kind).await.map_err(|error| error.to_string())?;
    }
    let _ = provider.discover(&world.info(), None, None).await.map_err(|error| error.to_string())?;
    for (want, now) in wants.iter().zip(&made).rev() {
        let change = world.change(IntentAction::Delete, want, Some(now), Try::first(&token()));
        world.carry(&provider, change, Poller::Same).await?;
    }
    Ok(wants)
}

/// What must be nowhere, with a name for each.
fn canaries(bench: &Bench) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> =
        bench.test.secrets.iter().map(|(name, value)| (format!("the secret `{name}`"), value.clone())).collect();
    for (slot, credential) in &bench.test.credentials {
        let name = format!("the credential `{slot}`");
        match credential {
            Credential::Bearer(token) => all.push((name, token.clone())),
            Credential::Basic { password, .. } => all.push((name, password.clone())),
            Credential::Header(headers) => all.extend(headers.values().map(|it| (name.clone(), it.clone()))),
        }
    }
    all.push(("another value of a secret".to_owned(), "another value of the secret".to_owned()));
    all.retain(|(_, value)| value.len() >= MIN_SECRET);
    all
}

pub async fn no_secret(bench: &Bench) -> Verdict {
    survey(bench).await?;
    let canaries = canaries(bench);
    if bench.test.secrets.is_empty() && bench.test.credentials.is_empty() {
        return Err(Stop::Skip("`plugin.yaml` gives no secret and no credential".to_owned()));
    }
    let mut said = Vec::new();
    let take = |world: &World<'_>| world.said.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    let world = World::open(bench).await?;
    *world.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    let wants = cycle(&world).await?;
    said.extend(take(&world));
    said.extend(world.watch.logs());
    drop(world);
    // The same while everything fails.
    for at in 0..wants.len() {
        let (world, want) = stage(bench, at).await?;
        *world.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
        let answer = |to, status| Fault::Answer { to, status, headers: Vec::new() };
        let faults = [
            Fault::Cut { nth: 0, taken: false },
            answer(To::Changes, 400),
            answer(To::Changes, 401),
            answer(To::Changes, 409),
            answer(To::Changes, 500),
            answer(To::All, 503),
            Fault::Silence { nth: 0 },
        ];
        for fault in faults {
            let provider = world.provider();
            world.watch.arm(fault);
            // What comes of it is not the question here: a crash is heard of as well.
            let change = world.change(IntentAction::Create, &want, None, Try::first(&token()));
            let _ = world.carry(&provider, change, Poller::Same).await;
            if want.kind.observe == Observe::Scan {
                let _ = world.scan(&provider, &want, None, PAGE).await;
            }
            world.watch.calm();
            if let Ok(Some(now)) = world.look(&provider, &want, None).await {
                let next = world.changed(&provider, &want).await.unwrap_or_else(|| want.clone());
                world.watch.arm(answer(To::Changes, 500));
                let change = world.change(IntentAction::Update, &next, Some(&now), Try::first(&token()));
                let _ = world.carry(&provider, change, Poller::Same).await;
                world.watch.calm();
                let _ = world.remove(&provider, &want, &now).await;
            }
        }
        said.extend(take(&world));
        said.extend(world.watch.logs());
    }
    let mut found = Vec::new();
    for (name, value) in &canaries {
        let quoted = format!("{value:?}");
        let told = said.iter().find(|it| it.contains(value.as_str()) || it.contains(quoted.trim_matches('"')));
        found.extend(told.map(|text| {
            format!(
                "{name} is in what `{}` told",
                text.split(':').next().unwrap_or("log").chars().take(40).collect::<String>().replace(value, "…")
            )
        }));
    }
    judged(&found, format!("{} texts hold none of {} values", said.len(), canaries.len()))
}

pub async fn read_only(bench: &Bench) -> Verdict {
    survey(bench).await?;
    let world = World::open(bench).await?;
    cycle(&world).await?;
    let tried: Vec<String> = bench.usage().trespasses.into_iter().collect();
    judged(&tried, "no change was attempted outside an apply".to_owned())
}

pub async fn used(bench: &Bench) -> Verdict {
    if let Some(why) = worldless(bench) {
        return Err(Stop::Skip(why));
    }
    let world = World::open(bench).await?;
    cycle(&world).await?;
    let (usage, test, manifest) = (bench.usage(), &world.test, bench.plugin.manifest());
    let mut found: Vec<String> = usage.denied.iter().map(|it| format!("it was refused: {it}")).collect();
    // Requests may go to other ports in other worlds of the run; this one is the last.
    for asked in &manifest.hosts {
        let rule = match asked.strip_prefix("config.") {
            None => HostRule::parse(asked).ok(),
            Some(path) => {
                let value = path.split('.').try_fold(&test.config, |at, field| at.get(field)).and_then(|it| it.as_str());
                value.and_then(|it| Url::parse(it).ok()).as_ref().and_then(HostRule::of)
            }
        };
        // A setting that is not given, or holds no address of this kind, asks for nothing.
        let Some(rule) = rule.filter(|it| matches!(it.scheme.as_str(), "http" | "https")) else { continue };
        let by_slot = usage.origins.is_empty() && !usage.slots.is_empty();
        if !by_slot && !usage.origins.iter().any(|it| rule.covers(it)) {
            found.push(format!("it asks for the host `{asked}`, and no request went there"));
        }
    }
    for slot in manifest.credentials.keys().filter(|it| !usage.slots.contains(*it)) {
        found.push(format!("it asks for the credential slot `{slot}`, and no request named it"));
    }
    for rule in manifest.reads.iter().filter(|it| !usage.reads.contains(*it)) {
        found.push(format!("it asks to count `{rule}` as a read, and no request was one"));
    }
    for dir in test.dirs.iter().filter(|it| !usage.dirs.contains(*it)) {
        found.push(format!("it is given the directory `{dir}`, and never looked into it"));
    }
    for server in test.dns.iter().filter(|_| usage.dns.is_empty()) {
        found.push(format!("it is given the DNS server `{server}`, and never asked it"));
    }
    for name in test.secrets.keys().filter(|it| !usage.secrets.contains(*it)) {
        found.push(format!("it is given the secret `{name}`, and never opened it"));
    }
    let flags = [
        (manifest.dirs, test.dirs.is_empty(), "directories"),
        (manifest.dns, test.dns.is_empty(), "DNS servers"),
        (manifest.secrets, test.secrets.is_empty(), "secrets"),
    ];
    let untested: Vec<String> =
        flags.iter().filter(|(asked, none, _)| *asked && *none).map(|(_, _, what)| (*what).to_owned()).collect();
    // Where settings have a choice (a flavour of server), a right may be for what is not chosen here; elsewhere it is for nothing.
    let choice = |it: &serde_json::Value| it.get("enum").and_then(serde_json::Value::as_array).is_some_and(|it| it.len() > 1);
    let chooses =
        manifest.config.get("properties").and_then(serde_json::Value::as_object).is_some_and(|it| it.values().any(choice));
    if !chooses {
        found.extend(
            untested
                .iter()
                .map(|it| format!("it asks for {it}, and `plugin.yaml` gives none: give one and test with it, or do not ask")),
        );
    }
    match (found.is_empty(), untested.is_empty()) {
        (false, _) => Err(Stop::Fail(joined(&found))),
        (true, true) => Ok("each right that it asks for".to_owned()),
        (true, false) => Ok(format!(
            "each right that `plugin.yaml` gives; it also asks for {}, which is not tested here",
            untested.join(" and ")
        )),
    }
}
