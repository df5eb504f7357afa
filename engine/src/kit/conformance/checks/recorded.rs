//! The check of a recording: a test of a provider that needs no server.

use std::collections::BTreeMap;

use super::super::world::Bench;
use super::super::{Stop, Verdict};
use crate::recording::{Recording, Until, again};

/// What `trueup plan --record` or `apply --record` kept, planned again with this component in the place of the recorded one.
pub async fn same_plan(bench: &Bench) -> Verdict {
    let Some(name) = &bench.test.recording else {
        return Err(Stop::Skip("`plugin.yaml` names no recording; `trueup plan --record FILE` makes one".to_owned()));
    };
    let recording = Recording::read(&bench.folder.join(name)).map_err(|error| format!("`{name}`: {error}"))?;
    let mut texts: Vec<&String> = recording.plugins.keys().collect();
    if texts.is_empty() {
        texts = recording.header.plugins.keys().filter(|it| **it == bench.plugin.manifest().name).collect();
    }
    let [text] = texts.as_slice() else {
        return Err(Stop::Fail(format!("`{name}` is of a run with {} plugins; record one with this plugin alone", texts.len())));
    };
    let plugins = BTreeMap::from([((*text).clone(), bench.wasm.clone())]);
    let again = again(&recording, plugins, Until::Plan, &|| ()).await.map_err(|error| error.of(name))?;
    if let Some(parted) = again.parted.first() {
        let question = parted.question.to_string();
        let question = question.chars().take(200).collect::<String>();
        let more = again.missing.saturating_sub(1);
        return Err(Stop::Fail(format!(
            "`{name}`: in its `{}` it asked {} for what was not recorded: {question}, and {more} more; `trueup replay` shows both",
            parted.function, parted.import
        )));
    }
    if !again.moved.is_empty() {
        let names = again.moved.iter().take(5).map(|it| it.id.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Stop::Fail(format!("`{name}`: the plan is another one for {names}; `trueup replay` shows both")));
    }
    Ok(format!("{} host calls answered", again.answered))
}
