//! Checks of changes that were cut off, at every request that changes something, before and after it was taken.

use trueup_core::inventory::IntentAction;
use trueup_core::manifest::{Observe, Recover};
use trueup_host::{Lookup, Observation, Remote, Settlement};

use super::super::acts::{PAGE, Poller, Try, told};
use super::super::world::{Want, World};
use super::{Bench, Fault, Stop, Verdict, firsts, judged, stage, survey, token};

/// Requests of one change at which it is cut; a change of more is tested at its first ones.
const MAX_CUTS: usize = 8;
/// Longest wait for a kind's settle time.
const MAX_SETTLE: u64 = 10_000;

/// Identities of the objects of a kind in the scope, where they can be listed.
async fn all(world: &World<'_>, want: &Want) -> Result<Option<Vec<String>>, String> {
    if want.kind.observe == Observe::Read {
        return Ok(None);
    }
    match world.scan(&world.provider(), want, None, PAGE).await? {
        Ok(scanned) => Ok(Some(scanned.objects.into_iter().map(|it| it.identity).collect())),
        // Nothing of its kind may be there yet, not even the scope.
        Err(_) => Ok(Some(Vec::new())),
    }
}

/// Everything that may break while a change is carried out: each of its requests that changes something, before and after it was
/// taken, and each question that it asks.
fn breaks(world: &World<'_>) -> Vec<Fault> {
    let calls = world.watch.calls();
    let count = |mutates: bool| {
        calls.iter().filter(|it| it.function == "apply" && it.outside && it.mutates == mutates).count().min(MAX_CUTS)
    };
    let cuts = (0..count(true)).flat_map(|nth| [Fault::Cut { nth, taken: false }, Fault::Cut { nth, taken: true }]);
    cuts.chain((0..count(false)).map(|nth| Fault::Silence { nth })).collect()
}

/// Where a change broke off, for messages.
fn place(fault: &Fault) -> String {
    match fault {
        Fault::Cut { nth, taken } => {
            format!("cut off at change {} of its requests, {} it was taken", nth + 1, if *taken { "after" } else { "before" })
        }
        Fault::Silence { nth } => format!("without an answer to question {} that it asks", nth + 1),
        other => format!("with {other:?}"),
    }
}

async fn settle(want: &Want) {
    tokio::time::sleep(std::time::Duration::from_millis(want.kind.settle_time.min(MAX_SETTLE))).await;
}

/// The change that went well in `world`, cut off at each of its requests, each time in a world of its own; how many cuts.
async fn each(bench: &Bench, world: World<'_>, at: usize, action: IntentAction, found: &mut Vec<String>) -> usize {
    let faults = breaks(&world);
    drop(world);
    let cuts = faults.len();
    for fault in faults {
        let ended = match action {
            IntentAction::Create => one_create(bench, at, fault).await,
            _ => one_change(bench, at, fault, action).await,
        };
        found.extend(ended.err());
    }
    cuts
}

pub async fn create(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut cuts, mut hopeless) = (Vec::new(), 0_usize, Vec::new());
    for at in firsts(&wants) {
        let (world, want) = stage(bench, at).await?;
        if want.kind.recover == Recover::None {
            hopeless.push(want.kind.name.to_string());
            continue;
        }
        let change = world.change(IntentAction::Create, &want, None, Try::first(&token()));
        world.carry(&world.provider(), change, Poller::Same).await?;
        let count = world.watch.changes();
        if count == 0 {
            found.push(format!("creating {} asks for no change of anything", want.title()));
        }
        cuts += each(bench, world, at, IntentAction::Create, &mut found).await;
    }
    if cuts == 0 && found.is_empty() {
        return Err(Stop::Skip(format!(
            "{} declares nothing that finds an object again: after a cut a person must say what happened",
            hopeless.join(", ")
        )));
    }
    judged(&found, format!("{cuts} cuts"))
}

async fn one_create(bench: &Bench, at: usize, fault: Fault) -> Result<(), String> {
    let (world, want) = stage(bench, at).await?;
    let title = format!("creating {}, {}", want.title(), place(&fault));
    let before = all(&world, &want).await?;
    let token = token();
    world.watch.arm(fault);
    let first =
        world.carry(&world.provider(), world.change(IntentAction::Create, &want, None, Try::first(&token)), Poller::Same).await?;
    world.watch.calm();
    if let Settlement::Rejected(failure) = &first.settlement {
        let there = world.look(&world.provider(), &want, None).await?.is_some();
        if there {
            return Err(format!(
                "{title}: it answered rejected ({failure}), which says that nothing changed, and the object is there; answer unsettled"
            ));
        }
    }
    settle(&want).await;
    let fresh = world.provider();
    let again = world.carry(&fresh, world.change(IntentAction::Create, &want, None, Try::again(&token)), Poller::Same).await?;
    if again.settlement != Settlement::Settled {
        return Err(format!(
            "{title}: the next try, which is told that an earlier one may have taken effect, is {}",
            told(&again.settlement)
        ));
    }
    let known = again.object.as_ref().map(|it| it.identity.clone());
    let seen = world
        .look(&fresh, &want, known.as_deref())
        .await?
        .ok_or_else(|| format!("{title}: after the next try the object is not there"))?;
    if known.as_ref().is_some_and(|it| *it != seen.identity) {
        return Err(format!(
            "{title}: the next try answers with `{}`, and the object is `{}`",
            known.unwrap_or_default(),
            seen.identity
        ));
    }
    if let (Some(before), Some(after)) = (before, all(&world, &want).await?) {
        let more = after.len().saturating_sub(before.len());
        if more != 1 {
            return Err(format!(
                "{title}: after the next try there are {more} objects more, not one; look before you create where `unsettled` is true"
            ));
        }
    }
    let differs = world.differences(&fresh, &want, &seen).await?;
    if differs.is_empty() {
        Ok(())
    } else {
        Err(format!("{title}: after the next try {} is not as declared", differs.join(", ")))
    }
}

pub async fn update(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut cuts) = (Vec::new(), 0_usize);
    for at in firsts(&wants) {
        let (world, want) = stage(bench, at).await?;
        let provider = world.provider();
        let made = world.make(&provider, &want).await?;
        let Some(next) = world.changed(&world.provider(), &want).await else { continue };
        world.watch.calm();
        world.bring(&provider, &next, &made).await.map_err(|error| format!("updating {}: {error}", want.title()))?;
        cuts += each(bench, world, at, IntentAction::Update, &mut found).await;
    }
    if cuts == 0 {
        return Err(Stop::Skip("no object can be updated in place".to_owned()));
    }
    judged(&found, format!("{cuts} cuts"))
}

pub async fn delete(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut cuts) = (Vec::new(), 0_usize);
    for at in firsts(&wants) {
        let (world, want) = stage(bench, at).await?;
        let provider = world.provider();
        let made = world.make(&provider, &want).await?;
        world.watch.calm();
        world.remove(&provider, &want, &made).await?;
        let count = world.watch.changes();
        if count == 0 {
            found.push(format!("deleting {} asks for no change of anything", want.title()));
        }
        cuts += each(bench, world, at, IntentAction::Delete, &mut found).await;
    }
    judged(&found, format!("{cuts} cuts"))
}

/// One update or delete that is cut off, and what an engine does then: it looks, and tries again what is not done.
async fn one_change(bench: &Bench, at: usize, fault: Fault, action: IntentAction) -> Result<(), String> {
    let (world, want) = stage(bench, at).await?;
    let made = world.make(&world.provider(), &want).await?;
    let deletes = action == IntentAction::Delete;
    let next = if deletes {
        want.clone()
    } else {
        world.changed(&world.provider(), &want).await.ok_or("the update is another one at the second time")?
    };
    let verb = if deletes { "deleting" } else { "updating" };
    let title = format!("{verb} {}, {}", want.title(), place(&fault));
    let token = token();
    world.watch.arm(fault);
    let change = world.change(action, &next, Some(&made), Try::first(&token));
    let first = world.carry(&world.provider(), change, Poller::Same).await?;
    world.watch.calm();
    let fresh = world.provider();
    // A change that is under way may still be: what is looked at is where it comes to.
    let seen = look(&world, &next, &made).await?;
    let done = is_done(&world, &next, seen.as_ref(), deletes).await?;
    match &first.settlement {
        Settlement::Rejected(failure)
            if done || seen.as_ref().is_some_and(|it| it.doc != made.doc || it.outputs != made.outputs) =>
        {
            return Err(format!(
                "{title}: it answered rejected ({failure}), which says that nothing changed, and it took effect; answer unsettled"
            ));
        }
        Settlement::Settled if !done => return Err(format!("{title}: it answered settled, and it is not done")),
        _ => {}
    }
    if done {
        return Ok(());
    }
    let prior = seen.ok_or_else(|| format!("{title}: the object is gone"))?;
    let again = world.carry(&fresh, world.change(action, &next, Some(&prior), Try::again(&token)), Poller::Same).await?;
    if again.settlement != Settlement::Settled {
        return Err(format!("{title}: the next try is {}", told(&again.settlement)));
    }
    let seen = look(&world, &next, &made).await?;
    match is_done(&world, &next, seen.as_ref(), deletes).await? {
        true => Ok(()),
        false => Err(format!("{title}: the next try answered settled, and it is not done")),
    }
}

async fn look(world: &World<'_>, want: &Want, made: &Remote) -> Result<Option<Remote>, String> {
    let lookup = Lookup { identity: Some(made.identity.clone()), ..Lookup::new(want.address.clone()) };
    match world.read_as(&world.provider(), lookup).await? {
        Observation::Found(remote) => Ok(Some(*remote)),
        Observation::Absent => Ok(None),
        Observation::Failed(failure) => Err(format!("reading {}: {failure}", want.title())),
        Observation::Unchanged => Err(format!("reading {}: it says `unchanged` to a first question", want.title())),
    }
}

async fn is_done(world: &World<'_>, want: &Want, seen: Option<&Remote>, deletes: bool) -> Result<bool, String> {
    match seen {
        None => Ok(deletes),
        Some(_) if deletes => Ok(false),
        Some(seen) => Ok(world.differences(&world.provider(), want, seen).await?.is_empty()),
    }
}

pub async fn fresh_poll(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut pended) = (Vec::new(), 0_usize);
    for at in firsts(&wants) {
        let (world, want) = stage(bench, at).await?;
        let mut now = None;
        for action in [IntentAction::Create, IntentAction::Update, IntentAction::Delete] {
            let next = match action {
                IntentAction::Update => world.changed(&world.provider(), &want).await,
                _ => Some(want.clone()),
            };
            let Some(next) = next else { continue };
            let change = world.change(action, &next, now.as_ref(), Try::first(&token()));
            *world.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Vec::new());
            let outcome = world.carry(&world.provider(), change, Poller::Fresh).await?;
            let said = world.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take().unwrap_or_default();
            pended += usize::from(said.iter().any(|it| it.starts_with("poll: ")));
            if outcome.settlement != Settlement::Settled {
                found.push(format!(
                    "{} of {}, followed by other instances: {}; `operation` must hold all that one needs",
                    word(action),
                    want.title(),
                    told(&outcome.settlement)
                ));
                break;
            }
            now = world.look(&world.provider(), &next, now.as_ref().map(|it: &Remote| it.identity.as_str())).await?;
        }
    }
    if pended == 0 && found.is_empty() {
        return Err(Stop::Skip("no change was pending".to_owned()));
    }
    judged(&found, format!("{pended} changes were pending"))
}

fn word(action: IntentAction) -> &'static str {
    match action {
        IntentAction::Create => "a create",
        IntentAction::Update => "an update",
        IntentAction::Delete => "a delete",
    }
}
