//! Checks of what is in the world after a change, and of what a provider says of it.

use trueup_core::diff;
use trueup_core::inventory::IntentAction;
use trueup_core::manifest::{Hints, Observe, Recover};
use trueup_core::value::{Json, Path, json};
use trueup_host::{self as host, Lookup, Observation, Remote, Settlement};

use super::super::acts::{PAGE, Poller, Try, told};
use super::super::fields::{Field, fields, is_secret, others, reordered, with};
use super::super::watch::{Fault, bytes};
use super::super::world::{Want, World};
use super::{Bench, Stop, Verdict, firsts, judged, stage, survey, token};

pub async fn empty_plan(bench: &Bench) -> Verdict {
    survey(bench).await?;
    let world = World::open(bench).await?;
    let provider = world.provider();
    let wants = world.wants(&provider).await?;
    let made = world.make_all(&provider, &wants).await?;
    let fresh = world.provider();
    let mut found = Vec::new();
    for (want, first) in wants.iter().zip(&made) {
        let Some(seen) = world.look(&fresh, want, Some(&first.identity)).await? else {
            found.push(format!("{} was created, and a fresh instance does not show it", want.title()));
            continue;
        };
        let differs = world.differences(&fresh, want, &seen).await?;
        if !differs.is_empty() {
            found.push(format!("{} is planned again at once: {} is not as it was applied", want.title(), differs.join(", ")));
            continue;
        }
        let before = world.document_of(want, &seen);
        match world.bring(&fresh, want, &seen).await {
            Err(error) => found.push(format!("applying {} a second time: {error}", want.title())),
            Ok(_) => match world.look(&fresh, want, Some(&first.identity)).await? {
                Some(after) if world.document_of(want, &after) == before && after.identity == seen.identity => {}
                Some(_) => found.push(format!("applying {} a second time changed it", want.title())),
                None => found.push(format!("{} is gone after it was applied a second time", want.title())),
            },
        }
    }
    judged(&found, format!("{} objects", wants.len()))
}

/// A text field of the object itself, long enough not to stand anywhere by chance.
fn echoed(want: &Want) -> Option<(Path, String)> {
    let hints = &want.kind.hints;
    let hidden = [&hints.sensitive, &hints.write_only, &hints.computed, &hints.blobs, &hints.immutable];
    let of_address = |path: &Path| hints.key.as_ref() == Some(path) || hints.scope.as_ref() == Some(path);
    fields(&want.kind).into_iter().find_map(|field| {
        let text = field.path.get(&want.desired)?.as_str()?.to_owned();
        let plain = !hidden.iter().any(|it| Hints::covers(it, &field.path)) && !of_address(&field.path);
        let free = field.schema.get("enum").is_none() && field.schema.get("pattern").is_none();
        (plain && free && text.len() >= 3 && *text != *want.address.key).then_some((field.path, text))
    })
}

pub async fn answers(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut looked) = (Vec::new(), 0_usize);
    for at in firsts(&wants) {
        let (world, want) = stage(bench, at).await?;
        let Some((path, text)) = echoed(&want) else { continue };
        let provider = world.provider();
        let is = format!("{text}~");
        world.watch.arm(Fault::Instead { of: text.clone(), is });
        let change = world.change(IntentAction::Create, &want, None, Try::first(&token()));
        let outcome = world.carry(&provider, change, Poller::Same).await?;
        if world.watch.calm() == 0 {
            // No answer was changed: what failed would fail by itself.
            if outcome.settlement != Settlement::Settled {
                return Err(Stop::Fail(format!("creating {}: {}", want.title(), told(&outcome.settlement))));
            }
            continue;
        }
        looked += 1;
        let claims = outcome.object.as_ref().and_then(|it| path.get(&it.doc)).and_then(Json::as_str) == Some(&text);
        if outcome.settlement == Settlement::Settled && claims {
            found.push(format!(
                "{}: the server answered another `{path}` than was asked for, and `apply` said it had what was asked for",
                want.title()
            ));
        }
    }
    if looked == 0 {
        return Err(Stop::Skip("no answer of the server repeats a text field of an object".to_owned()));
    }
    judged(&found, format!("{looked} kinds"))
}

/// How a field may be changed.
enum Way {
    /// To each of these in turn.
    To(Vec<Want>),
    /// Another value makes another object.
    Address,
    /// No other value is valid here.
    None,
}

/// Other documents for one field of an object.
async fn way(world: &World<'_>, provider: &host::Provider, want: &Want, field: &Field) -> Way {
    let now = field.path.get(&want.declared);
    let hints = &want.kind.hints;
    let secret = Hints::covers(&hints.sensitive, &field.path) && (is_secret(now) || now.is_none());
    let given = field.path.get(&json!({ "spec": want.change })).cloned();
    let values = match given {
        Some(given) if !secret || is_secret(Some(&given)) => vec![given],
        given => match world.test.secrets.keys().next().filter(|_| secret) {
            // Of the same name, so that it is granted; of another value, so that its HMAC is another.
            Some(name) => {
                let text = given.as_ref().and_then(Json::as_str).unwrap_or("another value of the secret");
                vec![world.sealer.take(name, text.to_owned())]
            }
            None => others(field, now, None),
        },
    };
    let (mut made, mut elsewhere) = (Vec::new(), false);
    for value in values {
        let declared = with(&want.declared, &field.path, value);
        let Some(other) = world.varied(provider, want, &want.name, &declared).await else { continue };
        if other.address != want.address {
            elsewhere = true;
        } else if other.desired != want.desired {
            made.push(other);
        }
    }
    // Of a list both ways are tried, longer and shorter; of anything else one other value is enough.
    if now.is_some_and(Json::is_array) {
        made.sort_by_key(|it| std::cmp::Reverse(field.path.get(&it.declared).and_then(Json::as_array).map_or(0, Vec::len)));
        made.dedup_by_key(|it| field.path.get(&it.declared).and_then(Json::as_array).map_or(0, Vec::len));
    } else {
        made.truncate(1);
    }
    match (made.is_empty(), elsewhere) {
        (false, _) => Way::To(made),
        (true, true) => Way::Address,
        (true, false) => Way::None,
    }
}

/// One object on its way from value to value.
struct Walk<'w> {
    world: &'w World<'w>,
    provider: host::Provider,
    want: Want,
    now: Remote,
    found: Vec<String>,
}

impl Walk<'_> {
    /// Brings the object to `next`, whose `path` is another, and looks at what came of it.
    async fn step(&mut self, next: Want, path: &Path) -> Result<(), String> {
        let title = format!("{}: `{path}`", next.title());
        let before = self.world.document_of(&self.want, &self.now);
        self.world.watch.calm();
        if let Err(error) = self.world.bring(&self.provider, &next, &self.now).await {
            let hint = if error.contains("invalid") || error.contains("conflict") {
                "; a field that cannot change in place is marked `x-trueup-immutable`"
            } else {
                ""
            };
            self.found.push(format!("{title} cannot be updated: {error}{hint}"));
            return self.look_again().await;
        }
        let sent = self.world.watch.calls();
        let fresh = self.world.provider();
        for (how, seen) in [
            ("scan", self.world.look(&fresh, &next, Some(&self.now.identity)).await?),
            ("read", self.world.read(&fresh, &next, Some(&self.now.identity)).await?),
        ] {
            let Some(seen) = seen else {
                self.found.push(format!("{title}: the object is not in a {how} after the update"));
                continue;
            };
            if seen.identity != self.now.identity {
                self.found.push(format!(
                    "{title}: the update made another object (identity `{}` became `{}`)",
                    self.now.identity, seen.identity
                ));
            }
            let differs = self.world.differences(&fresh, &next, &seen).await?;
            if !differs.is_empty() {
                self.found.push(format!("{title} was updated, and a {how} does not show it: {} differs", differs.join(", ")));
                continue;
            }
            let hidden = Hints::covers(&next.kind.hints.write_only, path);
            let after = self.world.document_of(&next, &seen);
            if !hidden && path.get(&after).is_none() && path.get(&next.desired).is_some_and(|it| !diff::hollow(it)) {
                self.found.push(format!(
                    "{title} is not in what a {how} shows; mark it `x-trueup-write-only` if the system never tells it"
                ));
            }
            // What differs now and was not to.
            let meant: Vec<Path> = changed_paths(&self.want, &next);
            let wiped = diff::compare(&before, Some(&before), &after, &next.kind.hints, &meant);
            let wiped: Vec<String> = wiped.iter().map(|it| it.path.to_string()).collect();
            if !wiped.is_empty() && !hidden {
                self.found.push(format!("{title}: the update changed `{}` as well", wiped.join("`, `")));
            }
            self.now = seen;
        }
        if let Some(secret) = secret_at(self.world, &next, path) {
            let carries = |call: &super::super::watch::Call| call.mutates && carries(&call.question, &secret);
            if !sent.iter().any(carries) {
                self.found.push(format!("{title}: its new value was not sent to the server"));
            }
        }
        self.want = next;
        Ok(())
    }

    async fn look_again(&mut self) -> Result<(), String> {
        if let Some(now) = self.world.look(&self.provider, &self.want, Some(&self.now.identity)).await? {
            self.now = now;
        }
        Ok(())
    }

    /// A field that the schema calls immutable: an update of it must not be said to be done when it is not.
    async fn fixed(&mut self, next: &Want, path: &Path) -> Result<(), String> {
        let change = self.world.change(IntentAction::Update, next, Some(&self.now), Try::first(&token()));
        let outcome = self.world.carry(&self.provider, change, Poller::Same).await?;
        let fresh = self.world.provider();
        let seen = self.world.look(&fresh, next, Some(&self.now.identity)).await?;
        let done = match &seen {
            Some(seen) => self.world.differences(&fresh, next, seen).await?.is_empty(),
            None => false,
        };
        if outcome.settlement == Settlement::Settled && !done {
            self.found.push(format!(
                "{}: `{path}` is immutable, and an update of it was called settled and changed nothing; refuse it",
                next.title()
            ));
        }
        self.look_again().await
    }
}

/// Where the rendered documents of two states of an object differ.
fn changed_paths(from: &Want, to: &Want) -> Vec<Path> {
    diff::compare(&to.desired, Some(&from.desired), &from.desired, &Hints::default(), &[]).into_iter().map(|it| it.path).collect()
}

/// The plain text of the secret at a path, where there is one.
fn secret_at(world: &World<'_>, want: &Want, path: &Path) -> Option<String> {
    let handles = world.sealer.to_handles(&want.desired);
    world.sealer.reveal(path.get(&handles)?.get("$secret")?.as_str()?)
}

/// Whether a question hands a secret over, in plain or by its handle.
fn carries(question: &Json, secret: &str) -> bool {
    let body = bytes(&question["body"]);
    let text = String::from_utf8_lossy(&body);
    let quoted = Json::from(secret).to_string();
    text.contains(secret)
        || text.contains(quoted.trim_matches('"'))
        || question.pointer("/operation/Write/payload/Secret").is_some()
}

pub async fn fields_update(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut tested, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..wants.len() {
        let (world, want) = stage(bench, at).await?;
        let provider = world.provider();
        let now = world.make(&provider, &want).await?;
        let mut walk = Walk { world: &world, provider, want: want.clone(), now, found: Vec::new() };
        for field in fields(&want.kind) {
            let name = format!("{}.{}", want.kind.name, field.path);
            // From where the walk stands now.
            match way(&world, &walk.provider, &walk.want.clone(), &field).await {
                Way::Address => tested.push(name),
                Way::None => unknown.push(name),
                Way::To(all) if Hints::covers(&want.kind.hints.immutable, &field.path) => {
                    if let Some(next) = all.first() {
                        walk.fixed(next, &field.path).await?;
                    }
                    tested.push(name);
                }
                Way::To(all) => {
                    for next in all {
                        walk.step(next, &field.path).await?;
                    }
                    tested.push(name);
                }
            }
        }
        for path in &want.kind.hints.unordered {
            let Some(turned) = path.get(&walk.want.desired).and_then(reordered) else { continue };
            let other = with(&walk.want.desired, path, turned);
            if !diff::compare(&other, Some(&other), &world.document_of(&walk.want, &walk.now), &want.kind.hints, &[]).is_empty() {
                walk.found.push(format!("{}: `{path}` in another order is a change", want.title()));
            }
        }
        found.extend(walk.found);
    }
    unknown.sort();
    unknown.dedup();
    unknown.retain(|it| !tested.contains(it));
    if !unknown.is_empty() {
        found.push(format!(
            "no other value is known for {}: give one in `change` of an object, or an object that has it",
            unknown.join(", ")
        ));
    }
    tested.sort();
    tested.dedup();
    judged(&found, format!("{} fields", tested.len()))
}

pub async fn drift(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut failed, mut count) = (Vec::new(), Vec::new(), 0_usize);
    for at in 0..wants.len() {
        let (world, want) = stage(bench, at).await?;
        let (ours, theirs) = (world.provider(), world.provider());
        let mut now = world.make(&ours, &want).await?;
        let mut known = want.clone();
        let mut since = None;
        for field in fields(&want.kind) {
            let hints = &want.kind.hints;
            let skipped =
                [&hints.immutable, &hints.write_only, &hints.sensitive].into_iter().any(|it| Hints::covers(it, &field.path));
            let Way::To(all) = way(&world, &theirs, &known.clone(), &field).await else { continue };
            let Some(next) = all.into_iter().next().filter(|_| !skipped) else { continue };
            if let Err(error) = world.bring(&theirs, &next, &now).await {
                failed.push(error); // `fields-update` is about that.
                continue;
            }
            // Where it shows: a declaration may be rendered to other fields.
            let paths = changed_paths(&known, &next);
            count += 1;
            let title = format!("{}: `{}`", want.title(), field.path);
            let stale = |it: &Remote| {
                let doc = world.document_of(&known, it);
                paths.iter().any(|path| path.get(&doc) == path.get(&known.desired))
            };
            if want.kind.observe == Observe::Scan {
                let scanned = world.scan(&ours, &want, since.as_deref(), PAGE).await?;
                let scanned = scanned.map_err(|failure| format!("scanning after a change: {failure}"))?;
                let seen = scanned.objects.iter().find(|it| it.identity == now.identity);
                if scanned.coverage == host::Coverage::Unchanged {
                    found.push(format!("{title} was changed by somebody else, and a scan says that nothing was"));
                } else if seen.is_none() {
                    found.push(format!("{title} was changed by somebody else, and the object is not in a scan"));
                } else if seen.is_some_and(stale) {
                    found.push(format!("{title} was changed by somebody else, and a scan shows what it was"));
                }
                since = scanned.version;
            }
            match world.read(&ours, &next, Some(&now.identity)).await? {
                None => found.push(format!("{title} was changed by somebody else, and a read does not find the object")),
                Some(seen) if stale(&seen) => {
                    found.push(format!("{title} was changed by somebody else, and a read shows what it was"))
                }
                Some(_) => {}
            }
            // As who changed it sees it, so that the next change meets its version.
            now = world.read(&world.provider(), &next, Some(&now.identity)).await?.ok_or("the object is gone")?;
            known = next;
        }
    }
    if count == 0 && found.is_empty() {
        return Err(match failed.into_iter().next() {
            Some(error) => Stop::Fail(error),
            None => Stop::Skip("no field can be changed in place".to_owned()),
        });
    }
    judged(&found, format!("{count} fields"))
}

pub async fn delete_twice(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let mut found = Vec::new();
    for at in firsts(&wants) {
        let (world, want) = stage(bench, at).await?;
        let provider = world.provider();
        let made = world.make(&provider, &want).await?;
        world.remove(&provider, &want, &made).await?;
        if world.look(&world.provider(), &want, Some(&made.identity)).await?.is_some() {
            found.push(format!("{} was deleted, and it is still there", want.title()));
        }
        let change = world.change(IntentAction::Delete, &want, Some(&made), Try::first(&token()));
        let outcome = world.carry(&world.provider(), change, Poller::Same).await?;
        if outcome.settlement != Settlement::Settled {
            found.push(format!(
                "deleting {} a second time: {}; what is gone is deleted",
                want.title(),
                told(&outcome.settlement)
            ));
        }
    }
    judged(&found, format!("{} kinds", firsts(&wants).len()))
}

pub async fn adopt(bench: &Bench) -> Verdict {
    survey(bench).await?;
    let world = World::open(bench).await?;
    let provider = world.provider();
    let wants = world.wants(&provider).await?;
    let mut found = Vec::new();
    for want in &wants {
        let change = world.change(IntentAction::Create, want, None, Try::first(&token()));
        let mark = change.mark.clone();
        let outcome = world.carry(&provider, change, Poller::Same).await?;
        if outcome.settlement != Settlement::Settled {
            return Err(Stop::Fail(format!("creating {}: {}", want.title(), told(&outcome.settlement))));
        }
        let answered = outcome.object.map(|it| it.identity);
        let fresh = world.provider();
        let Some(seen) = world.look(&fresh, want, answered.as_deref()).await? else {
            found.push(format!("{} is not found by another instance under its address", want.title()));
            continue;
        };
        if answered.as_ref().is_some_and(|it| *it != seen.identity) {
            found.push(format!(
                "{}: `apply` called it `{}`, a scan calls it `{}`",
                want.title(),
                answered.unwrap_or_default(),
                seen.identity
            ));
        }
        if want.kind.recover == Recover::Mark && seen.mark.as_deref() != Some(&mark) {
            found.push(format!(
                "{}: the kind is recovered by its mark, and the object does not show the mark it was created with",
                want.title()
            ));
        }
        let differs = world.differences(&fresh, want, &seen).await?;
        if !differs.is_empty() {
            found.push(format!("{} as found is not as declared: {}", want.title(), differs.join(", ")));
        }
        let desired = Some(std::sync::Arc::new(world.sealer.to_handles(&want.desired)));
        for (how, lookup) in [
            ("its declaration", Lookup { desired, ..Lookup::new(want.address.clone()) }),
            ("its identity", Lookup { identity: Some(seen.identity.clone()), ..Lookup::new(want.address.clone()) }),
        ] {
            match world.read_as(&fresh, lookup).await? {
                Observation::Found(it) if it.identity == seen.identity => {}
                Observation::Found(it) => {
                    found.push(format!("{}: a read by {how} finds `{}`, a scan `{}`", want.title(), it.identity, seen.identity))
                }
                Observation::Absent => found.push(format!("{} is not found by a read by {how}", want.title())),
                Observation::Unchanged => {
                    found.push(format!("{}: a read by {how} says `unchanged` to a first question", want.title()))
                }
                Observation::Failed(failure) => found.push(format!("{}: a read by {how} fails: {failure}", want.title())),
            }
        }
    }
    judged(&found, format!("{} objects", wants.len()))
}
