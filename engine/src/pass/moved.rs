//! A provider whose settings lead elsewhere than to where its objects are.
//!
//! Addresses are relative to what a provider acts on: at another place they are other objects, and may be anybody's. So nothing
//! is compared, healed or pruned there on the word of an inventory that speaks of the old place.

use std::collections::BTreeSet;

use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::value::Json;

use super::{PassError, Surroundings};

/// Refuses to plan where a provider owns something, or has a change under way, at another place than the one it acts on.
pub(super) fn check(around: &Surroundings) -> Result<(), PassError> {
    let mut findings = Vec::new();
    for (alias, bound) in &around.context.providers {
        let before = around.renames.iter().filter(|it| it.to == *alias).map(|it| &it.from);
        for known in before.chain([alias]) {
            let all = around.store.elsewhere(&around.context.environment, known, &bound.target)?;
            let marked = !bound.manifest.target.is_empty();
            if let Some(other) = all.into_iter().find(|it| is_elsewhere(it, &bound.target, marked)) {
                let intents = around.store.intents(&around.context.environment)?;
                let doubt = intents.iter().any(|it| *it.resource.alias() == **known);
                findings.push(moved(around, alias, &other, &bound.target, doubt));
            }
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(PassError::Documents(findings)) }
}

/// Whether two targets are two places. A plugin that marks what of its settings says where is taken at its word; of another one
/// only what looks like a place counts, and what was added takes nothing away.
fn is_elsewhere(old: &str, new: &str, marked: bool) -> bool {
    let parts = |it: &str| serde_json::from_str::<Vec<Json>>(it).unwrap_or_default();
    match (parts(old).as_slice(), parts(new).as_slice()) {
        ([old_name, old_settings, ..], [name, settings, ..]) if marked => (old_name, old_settings) != (name, settings),
        _ => !places(old).is_subset(&places(new)),
    }
}

fn moved(around: &Surroundings, alias: &str, old: &str, new: &str, doubt: bool) -> Diagnostic {
    let (old, new) = (places(old), places(new));
    let named = |all: &BTreeSet<String>, but: &BTreeSet<String>| {
        let names: Vec<&str> = all.difference(but).map(String::as_str).collect();
        if names.is_empty() { "somewhere else".to_owned() } else { names.join(", ") }
    };
    let text = format!("the provider `{alias}` acts on {}, and what it owns is at {}", named(&new, &old), named(&old, &new));
    let environment = &around.context.environment;
    let doubt = if doubt { format!(", settle what is in doubt with `trueup resolve -e {environment}`") } else { String::new() };
    Diagnostic::error(codes::PROVIDER_MOVED, text).hint(format!(
        "put the old settings back; or release what is owned with `trueup forget -e {environment} '{alias}:*'` (it stays where it is){doubt}, and take over what exists at the new place with `trueup adopt -e {environment} --declared`"
    ))
}

/// The texts of a target: directories, servers, names.
fn places(target: &str) -> BTreeSet<String> {
    fn gather(value: &Json, out: &mut BTreeSet<String>) {
        match value {
            Json::String(text) if text.contains('/') => drop(out.insert(text.clone())),
            Json::Array(items) => items.iter().for_each(|it| gather(it, out)),
            Json::Object(fields) => fields.values().for_each(|it| gather(it, out)),
            _ => {}
        }
    }
    let mut out = BTreeSet::new();
    gather(&serde_json::from_str(target).unwrap_or_default(), &mut out);
    out
}
