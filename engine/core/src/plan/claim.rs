//! What a document claims: objects of its scope that nobody declares, planned to go.
//!
//! A claim takes the place of ownership as the evidence for a delete, and of nothing else: the view must be whole, the object
//! nobody's (no declaration, no entry, no other environment, no foreign mark), the claiming document itself not refused.
//! What a claim takes for the first time waits for the operator's number however little it is; [`Entry::claims`] remembers that
//! it had it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::intents::Doubts;
use super::join::Join;
use super::{Action, Change, Claimed, Claims, Docs, Draft, Drifted, Origin, Reason, Step, World, judge};
use crate::address::{Address, ResourceId, Scope};
use crate::diff;
use crate::document::DriftMode;
use crate::inventory::{IntentAction, Ownership};
use crate::manifest::Claim;
use crate::observation::{Coverage, Observed};

/// Provider and text of a scope, whatever the kind.
type Place<'a> = (&'a str, &'a str);

/// Declared objects that claim a place, first by resource.
struct Claimants<'a> {
    world: &'a World<'a>,
    places: HashMap<Place<'a>, Vec<usize>>,
}

/// An object that is nobody's, in a scope that is claimed.
struct Stranger<'a> {
    found: &'a Observed,
    /// Index of the first claimant.
    by: usize,
}

fn place(scope: &Scope) -> Place<'_> {
    (&scope.provider, &scope.scope)
}

impl<'a> Claimants<'a> {
    fn new(world: &'a World<'a>) -> Self {
        let mut places: HashMap<Place<'_>, Vec<usize>> = HashMap::new();
        let desired = if world.options.destroy { &[] } else { world.desired };
        for (at, want) in desired.iter().enumerate().filter(|(_, it)| it.claims.is_some()) {
            if world.halted(&want.address.scope).is_none() {
                places.entry(place(&want.address.scope)).or_default().push(at);
            }
        }
        for all in places.values_mut() {
            all.sort_by_key(|at| world.desired.get(*at).map(|it| (&it.resource, &it.address)));
        }
        Self { world, places }
    }

    fn claims(&self, at: usize) -> Option<&'a Claim> {
        self.world.desired.get(at)?.claims.as_deref()
    }

    /// The claimants of the scope, unless its kind is one that claims there itself.
    fn of<'s>(&'s self, scope: &'s Scope) -> &'s [usize] {
        let all = self.places.get(&place(scope)).map_or(&[][..], Vec::as_slice);
        let own = |at: &usize| self.world.desired.get(*at).is_some_and(|it| it.address.scope.kind == scope.kind);
        if all.iter().any(own) { &[] } else { all }
    }

    /// What stands in claimed scopes and is nobody's, by scope and key. All claims of a scope must be about it, so that what
    /// one document leaves alone no other takes.
    fn strangers(&self, doubts: &'a Doubts, joined: &Join<'a>) -> Vec<Stranger<'a>> {
        let mut out = Vec::new();
        let whole = self.world.views.values().filter(|it| it.coverage == Coverage::Whole && !self.of(&it.scope).is_empty());
        let whole: Vec<_> = whole.collect();
        if whole.is_empty() {
            return out;
        }
        let known = self.known(doubts, joined);
        for view in whole {
            let by = self.of(&view.scope);
            let claims: Vec<&Claim> = by.iter().filter_map(|it| self.claims(*it)).collect();
            let known = known.get(&view.scope);
            let (Some(first), Some(_)) = (by.first(), (self.world.kinds)(&view.scope)) else { continue };
            for found in view.objects.values() {
                let ours = known.is_some_and(|it| it.contains(&*found.address.key));
                if !ours && !found.unclaimed && claims.iter().all(|it| it.covers(&found.address.key)) {
                    out.push(Stranger { found, by: *first });
                }
            }
        }
        out
    }

    /// Keys of claimed scopes that are declared, owned, or found to be what is, at whatever key it stands.
    fn known(&self, doubts: &'a Doubts, joined: &Join<'a>) -> HashMap<&'a Scope, HashSet<&'a str>> {
        let mut out: HashMap<&Scope, HashSet<&str>> = HashMap::new();
        let looks = joined.pairs.iter().flat_map(|it| [it.old, it.new]).chain(joined.leftovers.iter().map(|it| it.look));
        let seen = looks.filter_map(|it| it.seen()).map(|it| &it.address);
        let owned = doubts.holdings(self.world).into_iter().map(|it| &it.address);
        let declared = self.world.desired.iter().map(|it| &it.address);
        // Neighbours mostly share their scope: one question for all of them.
        let mut last: Option<(&Scope, bool)> = None;
        for address in declared.chain(owned).chain(seen).chain(joined.taken.keys().copied()) {
            let claimed = match last.filter(|(scope, _)| **scope == address.scope) {
                Some((_, claimed)) => claimed,
                None => !self.of(&address.scope).is_empty(),
            };
            last = Some((&address.scope, claimed));
            if claimed {
                out.entry(&address.scope).or_default().insert(&address.key);
            }
        }
        out
    }
}

/// Objects whose documents a claim needs: what is to go is shown, and sent as what was seen.
pub(super) fn needs<'a>(world: &'a World<'a>, doubts: &'a Doubts, joined: &Join<'a>) -> Vec<Address> {
    let claimants = Claimants::new(world);
    if claimants.places.is_empty() {
        return Vec::new();
    }
    claimants.strangers(doubts, joined).into_iter().map(|it| it.found.address.clone()).collect()
}

/// Plans what is claimed to go. After everything that may refuse a claiming document by itself.
pub(super) fn plan(world: &World<'_>, docs: &Docs, doubts: &Doubts, joined: &Join<'_>, draft: &mut Draft) {
    let claimants = Claimants::new(world);
    if claimants.places.is_empty() {
        return;
    }
    let refused: HashSet<&Address> = draft.plan.refused.iter().filter_map(|it| it.address.as_ref()).collect();
    let stands = |at: usize| world.desired.get(at).is_some_and(|it| !refused.contains(&it.address));
    let mut claims: BTreeMap<usize, Claims> = BTreeMap::new();
    let settled = settled(world, docs, doubts, &claimants);
    let unread = world.views.values().filter(|it| it.coverage != Coverage::Whole);
    let unread: HashSet<usize> = unread.flat_map(|it| claimants.of(&it.scope)).copied().collect();
    let known = |at: &usize| settled.get(at).copied().unwrap_or_default();
    // What a person lets go of is not to go by the claim without a word.
    let released = draft.plan.steps.iter().filter(|it| it.action == Action::Forget && it.prior.is_some());
    let released: HashSet<usize> = released.flat_map(|it| claimants.of(&it.address.scope)).copied().collect();
    for at in claimants.places.values().flatten() {
        let settled = (known(at) || !unread.contains(at)) && !released.contains(at);
        claims.insert(*at, Claims { desired: *at, settled, new: Vec::new() });
    }
    let mut steps = Vec::new();
    for Stranger { found, by } in claimants.strangers(doubts, joined) {
        let address = &found.address;
        // One that is refused may come to leave the object alone.
        let all = claimants.of(&address.scope);
        let foreign = found.mark.as_deref().is_some_and(|mark| !judge::same_realm(mark, &(world.mark)(&name(address))));
        if !all.iter().all(|it| stands(*it)) || foreign || doubts.refusal(address).is_some() || (world.others)(address).is_some()
        {
            continue;
        }
        let new = !all.iter().all(known);
        for at in all.iter().filter(|it| !known(it)) {
            claims.entry(*at).and_modify(|it| it.new.push(address.clone()));
        }
        let Some(step) = step(world, doubts, found, Claimed { by, new }) else { continue };
        // What came after the claim was settled is none of Git's doing.
        let mode = all.iter().map(|it| drift(world, *it)).find(|it| *it != DriftMode::Heal).filter(|_| !new);
        match mode {
            None => steps.push(step),
            Some(mode) => {
                let changes = step.changes.into_iter().map(|it| Change { origin: Origin::Drift, ..it }).collect();
                draft.plan.drift.push(Drifted { resource: step.resource, address: step.address, changes, gone: false, mode });
            }
        }
    }
    draft.plan.steps.extend(steps);
    draft.plan.claims = claims.into_values().collect();
}

/// Whether what is not as the document says is put right.
fn drift(world: &World<'_>, at: usize) -> DriftMode {
    world.desired.get(at).and_then(|it| it.settings.drift).unwrap_or(world.options.drift)
}

/// Claims that the operator knows of: no object of theirs is claimed for the first time.
fn settled(world: &World<'_>, docs: &Docs, doubts: &Doubts, claimants: &Claimants<'_>) -> HashMap<usize, bool> {
    let addresses: HashMap<&Address, usize> =
        claimants.places.values().flatten().filter_map(|at| Some((&world.desired.get(*at)?.address, *at))).collect();
    let mut out = HashMap::new();
    for held in doubts.holdings(world) {
        let Some((at, want)) = addresses.get(&held.address).and_then(|at| Some((*at, world.desired.get(*at)?))) else {
            continue;
        };
        let old = || want.kind.claim(doubts.applied(held, docs)?);
        let same = held.applied == want.digest || old().zip(want.claims.as_deref()).is_some_and(|(old, now)| now.within(&old));
        out.insert(at, held.claims && same);
    }
    out
}

fn step(world: &World<'_>, doubts: &Doubts, found: &Observed, claim: Claimed) -> Option<Step> {
    let claimant = world.desired.get(claim.by)?;
    // What was not read is not known to be what was shown, nor to be the object that goes.
    let document = found.doc.as_ref()?;
    let address = &found.address;
    let place = if address.scope.scope.is_empty() { &address.scope.provider } else { &address.scope.scope };
    let text = format!(
        "{} ({}:{}) claims every object of `{place}`, and nobody declares this one",
        (world.shown)(&claimant.resource),
        claimant.location.file,
        claimant.location.line,
    );
    Some(Step {
        action: Action::Delete,
        resource: name(address),
        from: None,
        address: address.clone(),
        reasons: vec![Reason::new("claimed", text)],
        changes: diff::owned(document, document),
        desired: None,
        desired_digest: None,
        prior: Some(Arc::new(found.clone())),
        after: Vec::new(),
        location: Some(claimant.location.clone()),
        source: None,
        ownership: Ownership::Owned,
        token: doubts.token(address, IntentAction::Delete, None),
        claim: Some(claim),
        rank: 0,
    })
}

/// What an object without a document is called: `alias:Kind/[scope/]key`, with `%` codes for what no identity can hold.
fn name(address: &Address) -> ResourceId {
    let Scope { provider, kind, scope } = &address.scope;
    let scope = (!scope.is_empty()).then(|| part(scope));
    ResourceId::new(provider, kind, scope.as_deref(), &part(&address.key))
}

fn part(text: &str) -> String {
    if text.is_empty() {
        return "%".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        if matches!(it, '/' | '%') || it.is_control() || it.is_whitespace() {
            let mut bytes = [0; 4];
            it.encode_utf8(&mut bytes).bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
        } else {
            out.push(it);
        }
    }
    out
}

/// Takes back what documents claim that turned out to be refused: what does not stand claims nothing.
pub(super) fn withdraw(world: &World<'_>, draft: &mut Draft) {
    if draft.plan.claims.is_empty() {
        return;
    }
    let refused: HashSet<&Address> = draft.plan.refused.iter().filter_map(|it| it.address.as_ref()).collect();
    let gone: HashSet<usize> = draft
        .plan
        .claims
        .iter()
        .map(|it| it.desired)
        .filter(|at| world.desired.get(*at).is_none_or(|it| refused.contains(&it.address)))
        .collect();
    draft.plan.steps.retain(|it| !it.claim.is_some_and(|it| gone.contains(&it.by)));
}

/// Claims of which something new is refused are not settled: it waits at the next pass as well.
pub(super) fn settle(draft: &mut Draft) {
    let plan = &mut draft.plan;
    if plan.claims.iter().all(|it| it.new.is_empty()) {
        return;
    }
    let going: HashSet<&Address> = plan.steps.iter().filter(|it| it.claim.is_some()).map(|it| &it.address).collect();
    for claims in &mut plan.claims {
        claims.settled &= claims.new.iter().all(|it| going.contains(it));
    }
}

/// What claims goes, or comes to claim, before what it claims does.
pub(super) fn edges(steps: &[Step]) -> Vec<(usize, usize)> {
    let claimed = || steps.iter().enumerate().filter_map(|(at, it)| Some((at, it.claim?.by)));
    if claimed().next().is_none() {
        return Vec::new();
    }
    let mut makers: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, source) in steps.iter().enumerate().filter_map(|(at, it)| Some((at, it.source?))) {
        makers.entry(source).or_default().push(at);
    }
    claimed().flat_map(|(at, by)| makers.get(&by).into_iter().flatten().map(move |maker| (*maker, at))).collect()
}
