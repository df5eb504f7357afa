//! Checks of scans and reads: pages, versions, silence, order, and many objects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use trueup_core::inventory::IntentAction;
use trueup_core::manifest::Observe;
use trueup_core::value::{Digest, canonical};
use trueup_host::{
    self as host, Coverage, Declared, Fault as Class, Lookup, Observation, Remote, ScopeQuery, Settlement, Snapshot,
};

use super::super::acts::{PAGE, Try, scope_of, token};
use super::super::watch::To;
use super::super::world::{Want, World};
use super::faults::unfinished;
use super::{Bench, Fault, Stop, Verdict, firsts, judged, stage, survey};

/// Questions of one scan that are left without an answer, one after the other.
const MAX_SILENCES: usize = 6;
/// Changes under way at a time while many objects are made.
const AT_ONCE: usize = 8;

/// Objects that a scan shows, told apart.
type Shown = BTreeMap<(String, String), Digest>;

fn shown(objects: &[Remote]) -> Shown {
    objects.iter().map(|it| ((it.address.to_string(), it.identity.clone()), Digest::of(canonical(&it.doc).as_bytes()))).collect()
}

fn query(want: &Want, limit: u32) -> ScopeQuery {
    ScopeQuery { limit, ..ScopeQuery::new(want.kind.name.clone(), want.address.scope.scope.clone()) }
}

fn nothing_scanned() -> Stop {
    Stop::Skip("no kind is observed by scans".to_owned())
}

/// A world with an object and some like it, or why there can be none like it: of some kinds a scope holds but one.
///
/// # Errors
///
/// Where not even the object itself can be made: that is a fault, and nothing to pass over.
async fn family(bench: &Bench, at: usize, count: usize) -> Result<Result<(World<'_>, Want, Vec<Want>), String>, String> {
    let (world, want) = stage(bench, at).await?;
    let provider = world.provider();
    world.make(&provider, &want).await?;
    let siblings = match world.siblings(&provider, &want, count).await {
        Ok(siblings) => siblings,
        Err(alone) => return Ok(Err(alone)),
    };
    if let Err(alone) = world.make_all(&provider, &siblings).await {
        return Ok(Err(alone));
    }
    world.watch.calm();
    let all = [want.clone()].into_iter().chain(siblings).collect();
    Ok(Ok((world, want, all)))
}

/// What a check says that found nothing to look at, with the first reason why.
fn nothing(text: &str, reasons: &[String]) -> Stop {
    Stop::Skip(reasons.first().map_or_else(|| text.to_owned(), |reason| format!("{text}: {reason}")))
}

pub async fn pages(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut alone, mut count) = (Vec::new(), Vec::new(), 0_usize);
    for at in firsts(&wants).into_iter().filter(|at| wants.get(*at).is_some_and(|it| it.kind.observe == Observe::Scan)) {
        let (world, want, made) = match family(bench, at, 4).await? {
            Ok(family) => family,
            Err(why) => {
                alone.push(why);
                continue;
            }
        };
        let (reference, coverage) = in_one(&world, &want).await?;
        if reference.len() < made.len() {
            found.push(format!(
                "a scan of {} shows {} of the {} objects that were made",
                scope_of(&want),
                reference.len(),
                made.len()
            ));
            continue;
        }
        for limit in 1..=3 {
            count += 1;
            found.extend(paged(&world, &want, limit, coverage, &reference).await?);
        }
    }
    if count == 0 && found.is_empty() {
        return Err(nothing("no kind is scanned of which a scope can hold several", &alone));
    }
    judged(&found, format!("{count} scans"))
}

/// A scan in as few pages as the provider likes.
async fn in_one(world: &World<'_>, want: &Want) -> Result<(Shown, Coverage), String> {
    let provider = world.provider();
    let (mut query, mut seen, mut cursors) = (query(want, PAGE), Shown::new(), BTreeSet::new());
    loop {
        let page =
            world.page(&provider, query.clone()).await?.map_err(|failure| format!("scanning {}: {failure}", scope_of(want)))?;
        seen.extend(shown(&page.objects));
        match page.next {
            None => return Ok((seen, page.coverage)),
            Some(next) if !cursors.insert(next.clone()) => {
                return Err(format!("a scan of {} does not end: a cursor came back", scope_of(want)));
            }
            next => query.cursor = next,
        }
    }
}

/// What is wrong with a scan in pages of `limit`, each by another instance.
async fn paged(world: &World<'_>, want: &Want, limit: u32, whole: Coverage, reference: &Shown) -> Result<Option<String>, String> {
    let title = format!("a scan of {} in pages of {limit}", scope_of(want));
    let (mut seen, mut twice) = (Shown::new(), Vec::new());
    let mut query = query(want, limit);
    let mut cursors = BTreeSet::new();
    // A page may be empty, and a provider may cut smaller ones; more than this is no end.
    for _ in 0..reference.len() * 4 + 16 {
        let page = match world.page(&world.provider(), query.clone()).await? {
            Ok(page) => page,
            Err(failure) => return Ok(Some(format!("{title} fails: {failure}"))),
        };
        if page.coverage != whole {
            return Ok(Some(format!("{title} is called {:?} on one page, and {:?} in one piece", page.coverage, whole)));
        }
        for (name, doc) in shown(&page.objects) {
            let again = seen.insert(name.clone(), doc).is_some();
            twice.extend(again.then(|| format!("`{}`", name.1)));
        }
        match page.next {
            None => {
                let missing = reference.iter().filter(|(name, doc)| seen.get(*name) != Some(*doc)).count();
                return Ok(if !twice.is_empty() {
                    Some(format!("{title} shows {} twice", twice.join(", ")))
                } else if missing > 0 {
                    Some(format!("{title} misses {missing} of {} objects", reference.len()))
                } else if seen.len() > reference.len() {
                    Some(format!("{title} shows {} objects that a scan in one piece does not", seen.len() - reference.len()))
                } else {
                    None
                });
            }
            Some(next) if !cursors.insert(next.clone()) => return Ok(Some(format!("{title} does not end: a cursor came back"))),
            next => query.cursor = next,
        }
    }
    Ok(Some(format!("{title} does not end")))
}

pub async fn absence(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut count) = (Vec::new(), 0_usize);
    for at in firsts(&wants) {
        let (world, want, all) = match family(bench, at, 4).await? {
            Ok(made) => made,
            // Where there is but one, its absence is what is looked for.
            Err(_) => {
                let (world, want) = stage(bench, at).await?;
                world.make(&world.provider(), &want).await?;
                (world, want.clone(), vec![want])
            }
        };
        let silences = |nth| [Fault::Silence { nth }, answer(nth, 500), answer(nth, 403)];
        if want.kind.observe == Observe::Scan {
            for fault in (0..MAX_SILENCES).flat_map(silences) {
                world.watch.arm(fault.clone());
                let scanned = world.scan(&world.provider(), &want, None, 2).await?;
                if world.watch.calm() == 0 {
                    continue;
                }
                count += 1;
                if let Ok(scanned) = scanned
                    && scanned.coverage == Coverage::Whole
                    && scanned.objects.len() < all.len()
                {
                    let (shown, there) = (scanned.objects.len(), all.len());
                    found.push(format!(
                        "a scan of {} is called whole and shows {shown} of {there} objects, though {}; say partial, or fail",
                        scope_of(&want),
                        told(&fault)
                    ));
                }
            }
        }
        let identity = world.look(&world.provider(), &want, None).await?.map(|it| it.identity);
        for fault in (0..2).flat_map(silences) {
            world.watch.arm(fault.clone());
            let lookup = Lookup { identity: identity.clone(), ..Lookup::new(want.address.clone()) };
            let seen = world.read_as(&world.provider(), lookup).await?;
            if world.watch.calm() == 0 {
                continue;
            }
            count += 1;
            if seen == Observation::Absent {
                found.push(format!("a read of {} says that it is absent, though {}; fail instead", want.title(), told(&fault)));
            }
        }
    }
    found.dedup();
    judged(&found, format!("{count} questions without an answer"))
}

fn answer(nth: usize, status: u16) -> Fault {
    Fault::Answer { to: To::NthRead(nth), status, headers: Vec::new() }
}

fn told(fault: &Fault) -> String {
    match fault {
        Fault::Answer { status, .. } => format!("the server answered {status} to one of its requests"),
        _ => "one of its questions had no answer".to_owned(),
    }
}

pub async fn unchanged(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut count) = (Vec::new(), 0_usize);
    for at in firsts(&wants).into_iter().filter(|at| wants.get(*at).is_some_and(|it| it.kind.observe == Observe::Scan)) {
        let (world, want) = stage(bench, at).await?;
        let (provider, other) = (world.provider(), world.provider());
        let made = world.make(&other, &want).await?;
        let scan = async |since: Option<&str>| {
            let scanned = world.scan(&provider, &want, since, PAGE).await?;
            scanned.map_err(|failure| format!("scanning {}: {failure}", scope_of(&want)))
        };
        let first = scan(None).await?;
        let Some(version) = first.version.clone() else { continue };
        count += 1;
        let (same, before) = (scan(Some(&version)).await?, shown(&first.objects));
        let differs = match same.coverage {
            Coverage::Unchanged => false,
            // What changed a moment before may be told once more, if it is the same.
            Coverage::Delta => shown(&same.objects).iter().any(|(name, doc)| before.get(name) != Some(doc)),
            Coverage::Whole | Coverage::Partial => shown(&same.objects) != before,
        };
        if differs {
            found.push(format!("{}: nothing was changed, and a scan since the last one shows something else", scope_of(&want)));
        }
        let version = same.version.or(Some(version));
        // An update, a create and a delete by somebody else, each since the scan before it.
        let mut version = match world.changed(&other, &want).await {
            None => version,
            Some(next) => {
                world.bring(&other, &next, &made).await?;
                let seen = scan(version.as_deref()).await?;
                if !seen
                    .objects
                    .iter()
                    .any(|it| it.identity == made.identity && world.document_of(&want, it) != world.document_of(&want, &made))
                {
                    found.push(format!("{}: an object was updated, and a scan since before does not show it", scope_of(&want)));
                }
                seen.version
            }
        };
        if let Ok(siblings) = world.siblings(&other, &want, 1).await
            && let Some(sibling) = siblings.first()
        {
            let second = world.make(&other, sibling).await?;
            let seen = scan(version.as_deref()).await?;
            if !seen.objects.iter().any(|it| it.identity == second.identity) {
                found.push(format!("{}: an object was created, and a scan since before does not show it", scope_of(&want)));
            }
            version = seen.version;
            world.remove(&other, sibling, &second).await?;
            let seen = scan(version.as_deref()).await?;
            let still = seen.objects.iter().any(|it| it.identity == second.identity);
            if seen.coverage == Coverage::Unchanged || still {
                found.push(format!("{}: an object was deleted, and a scan since before does not tell", scope_of(&want)));
            }
        }
    }
    if count == 0 && found.is_empty() {
        return Err(Stop::Skip("no scan gives a version".to_owned()));
    }
    judged(&found, format!("{count} kinds"))
}

pub async fn order(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut alone, mut count) = (Vec::new(), Vec::new(), 0_usize);
    for at in firsts(&wants) {
        let (world, want, all) = match family(bench, at, 2).await? {
            Ok(family) => family,
            Err(why) => {
                alone.push(why);
                continue;
            }
        };
        count += 1;
        let provider = world.provider();
        let title = scope_of(&want);
        if want.kind.observe == Observe::Scan {
            let good = query(&want, PAGE);
            let bad = ScopeQuery {
                scope: unknown(&want.address.scope.scope).into(),
                cursor: Some("no cursor of ours".to_owned()),
                ..good.clone()
            };
            let answers = provider.scan(&world.info(), vec![good.clone(), bad, good]).await.map_err(|error| error.to_string())?;
            let holds =
                |it: Option<&Result<Snapshot, host::Failure>>| matches!(it, Some(Ok(page)) if page.objects.len() >= all.len());
            if !holds(answers.first()) || !holds(answers.get(2)) {
                found.push(format!(
                    "{title}: a scan of it fails because another one in the same call is of a scope that does not exist"
                ));
            }
        }
        // A key that could be one: that of an object which nobody made.
        let siblings = world.siblings(&provider, &want, 3).await?;
        let missing = siblings.last().map(|it| it.address.clone()).ok_or("no further object can be made")?;
        let addresses: Vec<_> = all.iter().map(|it| it.address.clone()).collect();
        let lookups = addresses
            .iter()
            .take(1)
            .chain([&missing])
            .chain(addresses.iter().skip(1))
            .cloned()
            .map(Lookup::new)
            .collect::<Vec<_>>();
        let asked: Vec<_> = lookups.iter().map(|it| it.address.key.clone()).collect();
        let answers = provider.read(&world.info(), lookups).await.map_err(|error| error.to_string())?;
        for (key, answer) in asked.iter().zip(&answers) {
            match answer {
                Observation::Found(remote)
                    if *key != missing.key && (remote.address.key == *key || remote.address.key.is_empty()) => {}
                Observation::Absent if *key == missing.key => {}
                Observation::Failed(failure) => found.push(format!("{title}: reading `{key}` among others fails: {failure}")),
                _ => found.push(format!("{title}: the answer to a read of `{key}` is not about it")),
            }
        }
        found.extend(batched(&world, &want).await?);
    }
    if count == 0 {
        return Err(nothing("no kind has objects of which several can be made", &alone));
    }
    judged(&found, format!("{count} kinds"))
}

/// Changes of one call, one of which cannot be carried out.
async fn batched(world: &World<'_>, want: &Want) -> Result<Vec<String>, String> {
    let fits = want.kind.batch.is_some_and(|it| it.items >= 3 && !it.atomic);
    let provider = world.provider();
    let all = if fits { world.siblings(&provider, want, 5).await.unwrap_or_default() } else { Vec::new() };
    // Those after the family's.
    let [_, _, one, gone, two] = all.as_slice() else { return Ok(Vec::new()) };
    let old = world.make(&provider, gone).await?;
    world.remove(&provider, gone, &old).await?;
    let (first, second, third) = (token(), token(), token());
    let next = world.changed(&provider, gone).await.unwrap_or_else(|| gone.clone());
    let changes = vec![
        world.change(IntentAction::Create, one, None, Try::first(&first)),
        world.change(IntentAction::Update, &next, Some(&old), Try::first(&second)),
        world.change(IntentAction::Create, two, None, Try::first(&third)),
    ];
    let outcomes = world.send(&provider, changes).await?;
    let mut found = Vec::new();
    for (want, outcome) in [(one, outcomes.first()), (two, outcomes.get(2))] {
        match outcome.map(|it| &it.settlement) {
            Some(Settlement::Settled | Settlement::Pending(_)) => {}
            Some(other) => found.push(format!(
                "{}, beside an update of an object that is gone; one bad item must not spoil the batch",
                unfinished(want, "creating", other)
            )),
            None => found.push("`apply` answered fewer changes than it was sent".to_owned()),
        }
        if world.look(&world.provider(), want, None).await?.is_none() {
            found.push(format!("{} was in a batch with an update of an object that is gone, and it was not made", want.title()));
        }
    }
    Ok(found)
}

/// A scope that is not there, spelt like one that is.
fn unknown(scope: &str) -> String {
    if scope.is_empty() { "trueup-no-such-scope".to_owned() } else { format!("trueup-no-such-{scope}") }
}

/// Whether a failure says that there is no such thing.
fn is_none(fault: Class) -> bool {
    matches!(fault, Class::NotFound | Class::Invalid | Class::Unsupported | Class::Denied | Class::Unauthorized)
}

pub async fn unknown_scope(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let world = World::open(bench).await?;
    let provider = world.provider();
    let mut found = Vec::new();
    let kinds: Vec<&Want> = firsts(&wants).into_iter().filter_map(|at| wants.get(at)).collect();
    let mut questions: Vec<ScopeQuery> = vec![ScopeQuery::new("TrueupNoSuchKind".into(), "".into())];
    questions.extend(
        kinds
            .iter()
            .filter(|it| it.kind.observe == Observe::Scan)
            .map(|it| ScopeQuery { scope: unknown(&it.address.scope.scope).into(), ..query(it, PAGE) }),
    );
    let count = questions.len();
    for question in questions {
        let title = format!("a scan of kind `{}` in the scope `{}`, which does not exist,", question.kind, question.scope);
        match world.page(&provider, question).await {
            Err(error) => found.push(format!("{title} ends the instance: {error}")),
            Ok(Ok(page)) if !page.objects.is_empty() => found.push(format!("{title} shows {} objects", page.objects.len())),
            Ok(Err(failure)) if !is_none(failure.fault) => {
                found.push(format!("{title} fails as `{}`: {failure}", failure.fault.word()))
            }
            Ok(_) => {}
        }
    }
    for want in kinds {
        let scope =
            trueup_core::address::Scope { scope: unknown(&want.address.scope.scope).into(), ..want.address.scope.clone() };
        let lookup = Lookup::new(trueup_core::address::Address { scope, key: want.address.key.clone() });
        let title = format!("a read of a {} in a scope that does not exist", want.kind.name);
        match world.read_as(&provider, lookup).await {
            Err(error) => found.push(format!("{title} ends the instance: {error}")),
            Ok(Observation::Found(_)) => found.push(format!("{title} finds one")),
            Ok(Observation::Failed(failure)) if !is_none(failure.fault) => {
                found.push(format!("{title} fails as `{}`: {failure}", failure.fault.word()))
            }
            Ok(_) => {}
        }
    }
    judged(&found, format!("{count} scans"))
}

/// By how much the work may grow where the objects are twice as many, in hundredths. Twice is what it should be, four times what a
/// loop in a loop makes of it; sorting, and a language's collector, come to a little more than twice.
const GROWTH: u64 = 275;

/// What something cost with so many objects there.
#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    /// Instructions of the plugin.
    work: u64,
}

/// Both with the same objects.
struct Taken {
    scan: Cost,
    render: Cost,
}

pub async fn budget(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let scanned = wants.iter().position(|it| it.kind.observe == Observe::Scan).ok_or_else(nothing_scanned)?;
    // The last kind that is scanned is what there is most of: records and not zones, files and not directories.
    let at = wants.iter().rposition(|it| it.kind.observe == Observe::Scan).unwrap_or(scanned);
    let (world, want) = stage(bench, at).await?;
    world.watch.go_blind();
    let count = usize::try_from(bench.test.budget.objects).unwrap_or(usize::MAX);
    let limit = Duration::from_secs(bench.test.budget.seconds);
    let provider = world.provider();
    let all = world.siblings(&provider, &want, count).await?;
    let (half, rest) = all.split_at(all.len() / 2);
    let made = Instant::now();
    fill(&world, half).await?;
    let first = measure(&world, &world.provider(), &want, half).await?;
    fill(&world, rest).await?;
    let made = made.elapsed();
    let fresh = world.provider();
    let second = measure(&world, &fresh, &want, &all).await?;
    let mut found = Vec::new();
    for (what, half, whole) in [("scan", first.scan, second.scan), ("render", first.render, second.render)] {
        let growth = whole.work.saturating_mul(100) / half.work.max(1);
        if whole.time > limit {
            let (took, limit) = (whole.time.as_secs_f64(), limit.as_secs());
            found.push(format!("{what} of {count} objects takes {took:.1} s; the budget is {limit} s"));
        } else if growth > GROWTH {
            let text =
                format!("{what} of twice as many objects, {count}, takes {}.{:02} times the work", growth / 100, growth % 100);
            found.push(format!("{text}: it grows faster than their number"));
        }
    }
    let memory = fresh
        .memory_held()
        .map_or_else(|| "more than half of the limit".to_owned(), |it| format!("{} MiB", it.div_ceil(1 << 20)));
    let figures = format!(
        "{count} objects of kind {}: scan {:.2} s, render {:.2} s, memory {memory}; made in {:.1} s",
        want.kind.name,
        second.scan.time.as_secs_f64(),
        second.render.time.as_secs_f64(),
        made.as_secs_f64()
    );
    judged(&found, figures)
}

/// Makes many objects, as many in a call as the kind takes, several calls at a time.
async fn fill(world: &World<'_>, wants: &[Want]) -> Result<(), String> {
    let provider = world.provider();
    let batch = wants.first().and_then(|it| it.kind.batch);
    let (items, bytes) =
        batch.map_or((1, 0), |it| (usize::try_from(it.items).unwrap_or(1), usize::try_from(it.bytes).unwrap_or(1)));
    let weight = wants.first().map_or(1, |it| canonical(&it.desired).len() * 2);
    let size = items.min(bytes / weight).clamp(1, 10_000);
    let once = usize::try_from(provider.parallel()).unwrap_or(1).min(AT_ONCE);
    for round in wants.chunks(size.saturating_mul(once)) {
        let calls = round.chunks(size).map(|part| {
            let change = |it: &Want| world.change(IntentAction::Create, it, None, Try::first(&token()));
            let (provider, changes) = (&provider, part.iter().map(change).collect());
            async move { provider.apply(&world.info(), changes).await }
        });
        let answers = futures_util::future::join_all(calls).await;
        for (part, answer) in round.chunks(size).zip(answers) {
            let outcomes = answer.map_err(|error| error.to_string())?;
            for (want, outcome) in part.iter().zip(&outcomes) {
                if !matches!(outcome.settlement, Settlement::Settled | Settlement::Pending(_)) {
                    return Err(unfinished(want, "creating", &outcome.settlement));
                }
            }
        }
    }
    Ok(())
}

async fn measure(world: &World<'_>, provider: &host::Provider, want: &Want, all: &[Want]) -> Result<Taken, String> {
    let (start, before) = (Instant::now(), provider.work());
    let mut query = query(want, PAGE);
    let mut seen = 0_usize;
    loop {
        let page =
            world.page(provider, query.clone()).await?.map_err(|failure| format!("scanning {}: {failure}", scope_of(want)))?;
        seen += page.objects.iter().filter(|it| it.address.scope.kind == want.kind.name).count();
        if page.next.is_none() || page.next == query.cursor {
            break;
        }
        query.cursor = page.next;
    }
    let scan = Cost { time: start.elapsed(), work: provider.work() - before };
    if seen < all.len() {
        return Err(format!("a scan of {} shows {seen} of {} objects", scope_of(want), all.len()));
    }
    let declared = all
        .iter()
        .map(|it| Declared { address: it.address.clone(), doc: std::sync::Arc::new(world.sealer.to_handles(&it.declared)) })
        .collect();
    let (start, before) = (Instant::now(), provider.work());
    provider.render(&world.info(), declared).await.map_err(|error| error.to_string())?;
    Ok(Taken { scan, render: Cost { time: start.elapsed(), work: provider.work() - before } })
}
