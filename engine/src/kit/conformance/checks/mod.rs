//! The checks, each a name that stays, one sentence on what it proves, and a function.

mod cuts;
mod faults;
mod lists;
mod pure;
mod recorded;
mod rights;
mod state;

use std::future::Future;
use std::pin::Pin;

use super::acts::token;
use super::watch::Fault;
use super::world::{Want, World};
use super::{Bench, Stop, Verdict};

/// One check.
pub struct Check {
    pub name: &'static str,
    pub about: &'static str,
    pub run: for<'a> fn(&'a Bench) -> Pin<Box<dyn Future<Output = Verdict> + 'a>>,
}

macro_rules! checks {
    ($($name:literal $function:path, $about:literal;)*) => {
        /// All checks, in the order in which they run.
        pub const ALL: &[Check] = &[$(Check { name: $name, about: $about, run: |bench| Box::pin($function(bench)) }),*];
    };
}

checks! {
    "describe-pure" pure::describe, "describe answers the same every time, in every instance";
    "schemas-valid" pure::schemas, "Schemas are JSON Schema 2020-12, their hints known and where they belong";
    "render-pure" pure::render_twice, "render gives equal bytes for equal declarations, in every instance";
    "render-idempotent" pure::render_again, "What render made, it makes again out of its own result";
    "render-order" pure::render_order, "What becomes of a declaration does not depend on its neighbours, their order or their number";
    "empty-plan" state::empty_plan, "After an apply a fresh instance finds nothing to change, and applying again changes nothing";
    "answers-true" state::answers, "apply answers with what the server has, not with what was asked for";
    "fields-update" state::fields_update, "Every field is updated in place and read back, or is immutable as the schema says";
    "drift" state::drift, "A field changed behind a provider's back shows in its next scan and read";
    "delete-twice" state::delete_twice, "Deleting what is gone is no error";
    "adopt" state::adopt, "An object made by one provider is found by another under the same address and identity, as declared";
    "pages" lists::pages, "Pages of any size hold the same objects, none twice, and end";
    "absence" lists::absence, "A question that was not answered is never taken for absence";
    "unchanged" lists::unchanged, "A scope is called unchanged only while nothing in it changes";
    "order-and-length" lists::order, "Answers stand in the order of their questions, and one bad item spares the others";
    "unknown-scope" lists::unknown_scope, "A scope or a kind that does not exist is an empty answer or an error, never a crash";
    "create-cut" cuts::create, "A create that was cut off at any request is finished by the next try, and makes one object";
    "update-cut" cuts::update, "An update that was cut off at any request is finished by the next try";
    "delete-cut" cuts::delete, "A delete that was cut off at any request is finished by the next try";
    "fresh-poll" cuts::fresh_poll, "A change that is pending is followed by an instance that did not begin it";
    "throttled" faults::throttled, "How long the server asks to wait reaches the engine";
    "refused" faults::refused, "Each refusal of the server is the fault that the contract has for it";
    "unknown-fields" faults::unknown_fields, "Fields of the server that the plugin does not know change nothing, and are not wiped by an update";
    "no-secret" rights::no_secret, "No secret and no credential is in a message, a log, a document or an output";
    "read-only" rights::read_only, "Nothing but apply, poll and cancel tries to change anything";
    "rights-used" rights::used, "Every right that is asked for is used, and nothing is tried that was not granted";
    "recorded" recorded::same_plan, "A recorded run comes to the same plan with this component, without its server";
    "budget" lists::budget, "Many objects are scanned and rendered within the budget, with work that grows as their number does";
}

/// The first object of each kind, with how many come before it in the order of creation.
fn firsts(wants: &[Want]) -> Vec<usize> {
    let mut kinds = Vec::new();
    let mut found = Vec::new();
    for (at, want) in wants.iter().enumerate() {
        if !kinds.contains(&&want.kind.name) {
            kinds.push(&want.kind.name);
            found.push(at);
        }
    }
    found
}

/// A world in which the objects before the `at`th are made, and that one.
async fn stage(bench: &Bench, at: usize) -> Result<(World<'_>, Want), String> {
    needs_world(bench)?;
    let world = World::open(bench).await?;
    let provider = world.provider();
    let wants = world.wants(&provider).await?;
    let want = wants.get(at).cloned().ok_or("the objects are others at the second time: `render` is not pure")?;
    world.make_all(&provider, wants.get(..at).unwrap_or_default()).await?;
    world.watch.calm();
    Ok((world, want))
}

/// All objects, in a world that is then thrown away: what there is to test.
async fn survey(bench: &Bench) -> Result<Vec<Want>, Stop> {
    if let Some(why) = worldless(bench) {
        return Err(Stop::Skip(why));
    }
    let world = World::open(bench).await?;
    Ok(world.wants(&world.provider()).await?)
}

/// Why nothing can be changed here, if nothing can.
fn worldless(bench: &Bench) -> Option<String> {
    let test = &bench.test;
    let recorded = test.server.is_none() && test.recording.is_some();
    recorded.then(|| "a recording only answers what was asked when it was made; give `plugin.yaml` a `test.server`".to_owned())
}

fn needs_world(bench: &Bench) -> Result<(), String> {
    worldless(bench).map_or(Ok(()), Err)
}

/// At most `count` of many findings, as one text.
fn joined(findings: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = findings.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if findings.len() > SHOWN {
        text.push_str(&format!("; and {} more", findings.len() - SHOWN));
    }
    text
}

/// The verdict on a list of findings.
fn judged(findings: &[String], passed: String) -> Verdict {
    if findings.is_empty() { Ok(passed) } else { Err(Stop::Fail(joined(findings))) }
}
