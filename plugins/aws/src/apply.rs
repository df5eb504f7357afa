//! Changes, many side by side: each has its calls in order, and every round sends the next call of each.
//!
//! # Guarantees
//! - A create carries the mark, and the token where its operation takes one, so that another try finds or repeats it.
//! - A create that may have taken effect is looked for before it is sent again.
//! - What follows a create and fails leaves the object's identity in the outcome: it is ours, and half made.

use trueup_sdk::{Action, CallInfo, Change, Error, Fault, Json, Lookup, Observation, Outcome, Remote, Result, Settlement};

use crate::client::{self, Call, Failed};
use crate::kind::{self, Kind};
use crate::object;
use crate::program::{self, Steps};
use crate::protocol::Class;
use crate::provider::Aws;
use crate::template::Known;
use crate::wait;
use crate::{field, path};

/// Milliseconds before an object is looked for again that its service does not show yet.
const UNSEEN: u64 = 1_000;

/// A change on its way.
struct Job<'a> {
    change: &'a Change,
    kind: &'static Kind,
    known: Known,
    steps: Steps,
    /// Something was done: what fails from now on leaves a change in part.
    begun: bool,
    /// It exists already, which a create met.
    met: bool,
    failed: Option<Error>,
}

/// Carries out all changes.
pub fn apply(aws: &Aws, changes: &[Change], info: &CallInfo) -> Vec<Outcome> {
    if let Err(error) = aws.in_its_account(info.now) {
        return changes.iter().map(|_| Outcome::failed(error.clone())).collect();
    }
    let mut jobs: Vec<Result<Job<'_>>> = changes.iter().map(|it| Job::new(aws, it, info.now)).collect();
    find_begun(aws, &mut jobs, info.now);
    while round(aws, &mut jobs) {}
    find_met(aws, &mut jobs, info.now);
    while round(aws, &mut jobs) {}
    conclude(aws, jobs, info.now)
}

impl<'a> Job<'a> {
    fn new(aws: &Aws, change: &'a Change, now: u64) -> Result<Self> {
        let kind = kind::find(&change.address.kind)?;
        let parent = match &kind.scope {
            None => String::new(),
            Some(parent) => aws.find_parent(&parent.kind, &change.address.scope, now)?.ok_or_else(|| {
                let text = format!("there is no {} `{}`", parent.kind, change.address.scope);
                Error::new(Fault::Transient(None), "aws.no-parent", text)
            })?,
        };
        let prior = change.prior.as_ref();
        let parsed = |text: Option<&str>| text.and_then(|it| serde_json::from_str::<Json>(it).ok()).unwrap_or_default();
        let doc = parsed(change.desired.as_deref().or(prior.map(|it| it.doc.as_str())));
        let known = Known {
            identity: prior.map(|it| it.identity.clone()).unwrap_or_default(),
            name: if kind.name.is_some() { change.address.key.clone() } else { String::new() },
            scope: change.address.scope.clone(),
            parent,
            token: change.token.clone(),
            status: parsed(prior.map(|it| it.outputs.as_str())),
            spec: doc.get("spec").cloned().unwrap_or_default(),
            ..Known::default()
        };
        let steps = program::steps(kind, change)?;
        Ok(Self { change, kind, known, steps, begun: false, met: false, failed: None })
    }

    fn about(&self) -> String {
        let name = if self.known.name.is_empty() { &self.known.identity } else { &self.known.name };
        let name = if name.is_empty() { self.change.address.key.rsplit('/').next().unwrap_or_default() } else { name };
        format!("{} {name}", self.kind.kind)
    }

    fn next(&self, aws: &Aws) -> Option<Result<Call>> {
        let step = self.steps.front().filter(|_| self.failed.is_none())?;
        let known = match &step.item {
            Some(item) => Known { raw: item.clone(), ..self.known.clone() },
            None => self.known.clone(),
        };
        let mut input = known.fill(&aws.config, &step.input);
        if input.is_null() {
            input = Json::Object(serde_json::Map::new());
        }
        let with = known.fill(&aws.config, &step.with);
        for (place, value) in &step.puts {
            let mut value = value.clone();
            if let (Json::Object(with), Json::Array(items)) = (&with, &mut value) {
                items.iter_mut().filter_map(Json::as_object_mut).for_each(|it| it.extend(with.clone()));
            }
            path::put(&mut input, place, value);
        }
        Some(field::service(self.kind).and_then(|it| client::call(it, &step.call, input, &self.about(), true)))
    }

    fn take(&mut self, aws: &Aws, answer: Result<Json, Failed>) {
        let Some(step) = self.steps.pop_front() else { return };
        match answer {
            Ok(output) => {
                self.begun = true;
                if step.tells {
                    self.known.raw = output;
                } else if let Some(take) = &step.creates {
                    self.known.raw =
                        take.as_deref().map_or(Some(&output), |it| path::get(&output, it)).cloned().unwrap_or_default();
                    self.known.identity = object::identity(self.kind, &aws.config, &self.known).unwrap_or_default();
                }
            }
            Err(failed) if failed.is_any(&step.done) => self.begun = true,
            Err(failed) if self.change.action == Action::Delete && failed.is_absent() => self.begun = true,
            Err(failed) => {
                let exists = failed.refusal.as_ref().is_some_and(|it| it.class() == Class::Exists);
                self.met = step.creates.is_some() && exists;
                self.failed = Some(failed.error);
            }
        }
    }
}

/// Sends the next call of every change that has one; whether there was any.
fn round(aws: &Aws, jobs: &mut [Result<Job<'_>>]) -> bool {
    let (mut places, mut calls) = (Vec::new(), Vec::new());
    for (at, job) in jobs.iter_mut().enumerate() {
        let Ok(job) = job else { continue };
        match job.next(aws) {
            None => {}
            Some(Ok(call)) => {
                places.push(at);
                calls.push(call);
            }
            Some(Err(error)) => job.failed = Some(error),
        }
    }
    for (at, answer) in places.iter().zip(client::send(&aws.config, &calls)) {
        if let Some(Ok(job)) = jobs.get_mut(*at) {
            job.take(aws, answer);
        }
    }
    !places.is_empty()
}

/// Looks for objects that an earlier try of their create may have made.
fn find_begun(aws: &Aws, jobs: &mut [Result<Job<'_>>], now: u64) {
    look(
        aws,
        jobs,
        now,
        |job| job.change.action == Action::Create && job.change.unsettled,
        |job, found| {
            if let Some(found) = found {
                job.goes_on(found);
            }
        },
    );
}

/// Creates that met an object of their name: it is ours where it carries the mark.
fn find_met(aws: &Aws, jobs: &mut [Result<Job<'_>>], now: u64) {
    look(
        aws,
        jobs,
        now,
        |job| job.met,
        |job, found| {
            job.met = false;
            match found {
                Some(found) if job.change.unsettled && is_ours(job, &found) => {
                    job.failed = None;
                    job.goes_on(found);
                }
                _ => {
                    let text =
                        format!("{} exists already, and is not ours; `trueup adopt --declared` takes it over", job.about());
                    job.failed = Some(Error::conflict("aws.exists", text));
                }
            }
        },
    );
}

fn is_ours(job: &Job<'_>, found: &Remote) -> bool {
    found.mark.as_ref() == Some(&job.change.mark) || job.kind.tags.is_none()
}

impl Job<'_> {
    /// The object is there: what is left of its create.
    fn goes_on(&mut self, found: Remote) {
        if !is_ours(self, &found) {
            return;
        }
        self.known.identity.clone_from(&found.identity);
        self.begun = true;
        let spec = program::spec_of(self.change.desired.as_deref());
        match spec.and_then(|spec| program::after_create(self.kind, self.change, &spec)) {
            Ok(steps) => self.steps = steps,
            Err(error) => self.failed = Some(error),
        }
    }
}

fn look<'a>(
    aws: &Aws,
    jobs: &mut [Result<Job<'a>>],
    now: u64,
    which: impl Fn(&Job<'a>) -> bool,
    take: impl Fn(&mut Job<'a>, Option<Remote>),
) {
    let (mut places, mut lookups) = (Vec::new(), Vec::new());
    for (at, job) in jobs.iter().enumerate() {
        if let Ok(job) = job
            && which(job)
        {
            places.push(at);
            let mark = Some(job.change.mark.clone());
            lookups.push(Lookup { mark, ..lookup(job) });
        }
    }
    if lookups.is_empty() {
        return;
    }
    for (at, seen) in places.into_iter().zip(aws.read_all(&lookups, now)) {
        let Some(Ok(job)) = jobs.get_mut(at) else { continue };
        match seen {
            Observation::Found(remote) => take(job, Some(remote)),
            Observation::Absent | Observation::Unchanged => take(job, None),
            Observation::Failed(failure) => {
                let words = failure.diagnostics.first().map(|it| it.summary.clone()).unwrap_or_default();
                let mut error = Error::new(failure.fault, "aws.unseen", words);
                error.unsettled = job.change.unsettled;
                job.failed = Some(error);
            }
        }
    }
}

fn lookup(job: &Job<'_>) -> Lookup {
    let identity = (!job.known.identity.is_empty()).then(|| job.known.identity.clone());
    let address = job.change.address.clone();
    Lookup { address, identity, desired: None, mark: None, token: None, since: None, ext: Vec::new() }
}

/// Looks at what was changed, and says how each change ended.
fn conclude(aws: &Aws, jobs: Vec<Result<Job<'_>>>, now: u64) -> Vec<Outcome> {
    let asked = |it: &&Result<Job<'_>>| it.as_ref().is_ok_and(|it| it.begun && !it.known.identity.is_empty());
    let lookups: Vec<Lookup> = jobs.iter().filter(asked).filter_map(|it| it.as_ref().ok().map(lookup)).collect();
    let mut seen = if lookups.is_empty() { Vec::new() } else { aws.read_all(&lookups, now) }.into_iter();
    let each = |job: Result<Job<'_>>| {
        let looked = asked(&&job);
        let seen = if looked { seen.next() } else { None };
        match job {
            Err(error) => Outcome::failed(error),
            Ok(job) => concluded(job, seen),
        }
    };
    jobs.into_iter().map(each).collect()
}

fn concluded(job: Job<'_>, seen: Option<Observation>) -> Outcome {
    let found = match seen {
        Some(Observation::Found(remote)) => Some(remote),
        Some(Observation::Failed(failure)) if job.failed.is_none() => {
            return Outcome {
                settlement: Settlement::Unsettled(failure),
                object: Some(bare(&job)),
                diagnostics: Vec::new(),
                ext: Vec::new(),
            };
        }
        _ => None,
    };
    if let Some(error) = job.failed {
        let object =
            found.or_else(|| (job.begun && !job.known.identity.is_empty()).then(|| bare_of(&job.change.address, &job.known)));
        // What was done before it failed is not undone.
        let error = if job.begun { error.unsettled() } else { error };
        return Outcome { object, ..Outcome::failed(error) };
    }
    let gone = job.change.action == Action::Delete;
    match found {
        None if gone => Outcome::settled(None),
        // Its service does not show it yet.
        None => {
            wait::pending(&job.change.address, &job.known.identity, gone, UNSEEN, "it is not to be seen yet", Some(bare(&job)))
        }
        Some(remote) => wait::judged(job.kind, &job.change.address, remote, gone),
    }
}

/// What is known of an object without a look.
fn bare(job: &Job<'_>) -> Remote {
    bare_of(&job.change.address, &job.known)
}

fn bare_of(address: &trueup_sdk::Address, known: &Known) -> Remote {
    Remote {
        address: address.clone(),
        identity: known.identity.clone(),
        doc: "{}".to_owned(),
        outputs: String::new(),
        version: None,
        mark: None,
        health: trueup_sdk::error::healthy(),
        sensitive: Vec::new(),
        ext: Vec::new(),
    }
}
