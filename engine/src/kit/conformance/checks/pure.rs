//! Checks of what depends on nothing but its arguments.

use trueup_core::diff;
use trueup_core::manifest::{Hints, Kind};
use trueup_core::schema;
use trueup_core::value::{Json, Path, Segment, canonical, json};
use trueup_host::{self as host, Declared};

use super::super::fields::{fields, others, reordered, with};
use super::super::world::{Want, World};
use super::{Bench, Stop, Verdict, joined, judged};

/// Keywords of this contract.
const KEYWORDS: &[&str] = &[
    "identity",
    "scope",
    "key",
    "computed",
    "immutable",
    "list-key",
    "unordered",
    "case",
    "format",
    "sensitive",
    "write-only",
    "blob",
    "default",
    "order",
    "status-from",
    "target",
];

pub async fn describe(bench: &Bench) -> Verdict {
    let failed = |error: host::CallError| error.to_string();
    let mut answers = bench.plugin.describe_again(3).await.map_err(failed)?;
    answers.extend(bench.plugin.describe_again(2).await.map_err(failed)?);
    let first = bench.plugin.manifest_text();
    match answers.iter().position(|it| it != first) {
        None => Ok(format!("{} answers of {} bytes", answers.len(), first.len())),
        Some(_) => Err(Stop::Fail(
            "two calls of `describe` gave two manifests: it must not depend on a counter, a clock or an earlier call".to_owned(),
        )),
    }
}

pub async fn schemas(bench: &Bench) -> Verdict {
    let manifest = bench.plugin.manifest();
    let mut found = Vec::new();
    if let Err(error) = schema::check(&json!({}), &manifest.config) {
        found.push(format!("the schema of `config`: {error}"));
    }
    keywords("config", &manifest.config, &mut found);
    for kind in manifest.kinds.values() {
        of_kind(kind, &mut found);
    }
    for feature in manifest.features.iter().flatten() {
        if !bench.plugin.exports().names().contains(&feature.as_str()) {
            found.push(format!("`features` names `{feature}`, which the component does not export"));
        }
    }
    judged(&found, format!("{} kinds", manifest.kinds.len()))
}

fn of_kind(kind: &Kind, found: &mut Vec<String>) {
    let name = &kind.name;
    keywords(name, &kind.schema, found);
    // A document of nothing makes the schema compile; that it is refused is as it should be.
    let broken =
        schema::findings(&json!({}), kind).into_iter().find(|it| it.code == trueup_core::diagnostic::codes::PLUGIN_CONTRACT);
    found.extend(broken.map(|it| it.message));
    if kind.schema.pointer("/properties/spec").is_none() {
        found.push(format!("{name}: the schema has no `spec`"));
        return;
    }
    let hints = &kind.hints;
    for (word, path) in [("scope", &hints.scope), ("key", &hints.key)] {
        if let Some(path) = path
            && !is_required(&kind.schema, path)
        {
            found.push(format!("{name}: `{path}` is the {word} of its address and may be left out; add it to `required`"));
        }
    }
    let status = Segment::Key("status".to_owned());
    for path in hints.computed.iter().filter(|it| it.0.first() != Some(&status) && is_required(&kind.schema, it)) {
        found.push(format!("{name}: `{path}` is computed and required; what the system sets belongs under `status`"));
    }
    for path in hints.immutable.iter().filter(|it| Hints::covers(&hints.computed, it)) {
        found.push(format!("{name}: `{path}` is immutable and computed; one of both"));
    }
    for (path, value) in &hints.defaults {
        let field = fields(kind).into_iter().find(|it| it.path == *path);
        let wrong = field.and_then(|it| schema::check(value, &it.schema).ok()).and_then(|it| it.into_iter().next());
        found.extend(wrong.map(|it| format!("{name}: the default of `{path}` is not valid: {}", it.message)));
    }
    for (path, key) in &hints.list_keys {
        if let Some(items) = at(&kind.schema, path).and_then(|it| it.pointer("/items/properties"))
            && let Some(key) = key.fields().find(|it| items.get(it).is_none())
        {
            found.push(format!("{name}: items of `{path}` have no field `{key}`, which is to tell them apart"));
        }
    }
    for (output, from) in &hints.status_from {
        for path in from.iter().filter(|it| at(&kind.schema, it).is_none()) {
            found.push(format!("{name}: `status.{output}` is to follow from `{path}`, which is no field"));
        }
    }
    unmarked(&kind.schema, name, found);
}

/// Fields under `status` are the system's own.
fn unmarked(schema: &Json, name: &str, found: &mut Vec<String>) {
    for (field, inner) in schema.pointer("/properties/status/properties").and_then(Json::as_object).into_iter().flatten() {
        if inner.get("x-trueup-immutable").is_some()
            || inner.get("x-trueup-write-only").is_some()
            || inner.get("x-trueup-key").is_some()
        {
            found.push(format!("{name}: `status.{field}` has a keyword that only fields of `spec` have"));
        }
    }
}

/// The schema of a field, where properties lead to it.
fn at<'a>(schema: &'a Json, path: &Path) -> Option<&'a Json> {
    path.0.iter().try_fold(schema, |at, segment| match segment {
        Segment::Key(key) => at.get("properties").or_else(|| at.pointer("/items/properties"))?.get(key),
        _ => Some(at),
    })
}

fn is_required(schema: &Json, path: &Path) -> bool {
    let Some((Segment::Key(last), above)) = path.0.split_last() else { return false };
    let parent = at(schema, &Path(above.to_vec()));
    parent.and_then(|it| it.get("required")).and_then(Json::as_array).is_some_and(|it| it.iter().any(|it| it == last))
}

/// Keywords that no version knows are misspelt ones.
fn keywords(name: &str, schema: &Json, found: &mut Vec<String>) {
    let mut todo = vec![schema];
    while let Some(value) = todo.pop() {
        match value {
            Json::Object(map) => {
                for key in map.keys().filter_map(|it| it.strip_prefix("x-trueup-")).filter(|it| !KEYWORDS.contains(it)) {
                    found.push(format!("{name}: `x-trueup-{key}` is no keyword of this contract"));
                }
                todo.extend(map.values());
            }
            Json::Array(items) => todo.extend(items),
            _ => {}
        }
    }
}

/// Several valid declarations of each object: as given, and with another value in each field.
async fn variants(world: &World<'_>, provider: &host::Provider, wants: &[Want]) -> Vec<Want> {
    let mut all = wants.to_vec();
    for want in wants {
        for field in fields(&want.kind) {
            // Whatever its address then is.
            let given = json!({ "spec": want.change });
            for value in others(&field, field.path.get(&want.declared), field.path.get(&given)) {
                let declared = with(&want.declared, &field.path, value);
                if let Some(other) = world.varied(provider, want, &want.name, &declared).await {
                    all.push(other);
                    break;
                }
            }
        }
    }
    all
}

/// What `render` makes of declarations, as text, one for each.
async fn rendered(world: &World<'_>, provider: &host::Provider, wants: &[&Want]) -> Result<Vec<String>, String> {
    let declared = |it: &&Want| {
        let address = trueup_core::address::Address { scope: it.address.scope.clone(), key: it.address.key.clone() };
        Declared { address, doc: std::sync::Arc::new(world.sealer.to_handles(&it.declared)) }
    };
    let answers =
        provider.render(&world.info(), wants.iter().map(declared).collect()).await.map_err(|error| error.to_string())?;
    let text = |it: &host::Rendered| {
        let objects: Vec<Json> = it.objects.iter().map(|it| json!([it.address.to_string(), canonical(&it.doc)])).collect();
        let findings: Vec<&str> = it.findings.iter().map(|it| it.summary.as_str()).collect();
        json!([objects, findings]).to_string()
    };
    Ok(answers.iter().map(text).collect())
}

async fn pure_world(bench: &Bench) -> Result<(World<'_>, host::Provider, Vec<Want>), Stop> {
    if !bench.plugin.exports().rendering {
        return Err(Stop::Skip("the plugin does not render: its declarations are its objects".to_owned()));
    }
    let world = World::open(bench).await?;
    let provider = world.provider();
    let wants = world.wants(&provider).await?;
    let all = variants(&world, &provider, &wants).await;
    Ok((world, provider, all))
}

pub async fn render_twice(bench: &Bench) -> Verdict {
    let (world, provider, wants) = pure_world(bench).await?;
    let all: Vec<&Want> = wants.iter().collect();
    let first = rendered(&world, &provider, &all).await?;
    for (which, provider) in [("the same instance", &provider), ("another instance", &world.provider())] {
        let again = rendered(&world, provider, &all).await?;
        if let Some((want, _)) = all.iter().zip(first.iter().zip(&again)).find(|(_, (one, two))| one != two) {
            return Err(Stop::Fail(format!(
                "{} rendered in two ways, the second time by {which}: `render` must depend on its arguments alone",
                want.title()
            )));
        }
    }
    Ok(format!("{} declarations", all.len()))
}

pub async fn render_again(bench: &Bench) -> Verdict {
    let (world, provider, wants) = pure_world(bench).await?;
    let mut found = Vec::new();
    for want in &wants {
        let again = Want { declared: (*want.desired).clone(), ..want.clone() };
        match world.render_unjudged(&provider, &want.kind, &want.name, &again.declared, &want.change).await {
            Err(error) => found.push(format!("its own result is not taken: {error}")),
            Ok(made) => match made.as_slice() {
                [one] if one.desired == want.desired && one.address == want.address => {}
                [one] if one.address != want.address => {
                    found.push(format!("{} became {} when its rendered document was rendered", want.title(), one.title()))
                }
                [one] => {
                    let paths = diff::compare(&one.desired, None, &want.desired, &Hints::default(), &[]);
                    let path = paths.first().map_or_else(|| "spec".to_owned(), |it| it.path.to_string());
                    found.push(format!("{}: `{path}` is another one when its rendered document is rendered", want.title()));
                }
                many => {
                    found.push(format!("{} became {} objects when its rendered document was rendered", want.title(), many.len()))
                }
            },
        }
    }
    judged(&found, format!("{} documents", wants.len()))
}

pub async fn render_order(bench: &Bench) -> Verdict {
    let (world, provider, mut wants) = pure_world(bench).await?;
    // Too few to have an order: the same ones again.
    while wants.len() < 4 {
        wants.extend(wants.clone());
    }
    let all: Vec<&Want> = wants.iter().collect();
    let first = rendered(&world, &provider, &all).await?;
    let backwards: Vec<&Want> = all.iter().rev().copied().collect();
    let mut reversed = rendered(&world, &provider, &backwards).await?;
    reversed.reverse();
    let mut alone = Vec::new();
    for want in &all {
        alone.extend(rendered(&world, &provider, &[want]).await?);
    }
    let mut found = Vec::new();
    for (how, other) in [("in another order", &reversed), ("alone", &alone)] {
        let differs = all.iter().zip(first.iter().zip(other)).find(|(_, (one, two))| one != two);
        found.extend(differs.map(|(want, _)| {
            format!("{} renders to something else {how}: each result must depend on its own declaration alone", want.title())
        }));
    }
    found.extend(unordered(&world, &provider, &wants).await);
    match found.is_empty() {
        true => Ok(format!("{} declarations, in two orders and alone", all.len())),
        false => Err(Stop::Fail(joined(&found))),
    }
}

/// A list whose order means nothing, turned round, must compare equal.
async fn unordered(world: &World<'_>, provider: &host::Provider, wants: &[Want]) -> Vec<String> {
    let mut found = Vec::new();
    for want in wants {
        for path in &want.kind.hints.unordered {
            let Some(turned) = path.get(&want.declared).and_then(reordered) else { continue };
            let declared = with(&want.declared, path, turned);
            let Some(other) = world.varied(provider, want, &want.name, &declared).await else { continue };
            let differs = !diff::compare(&other.desired, Some(&want.desired), &want.desired, &want.kind.hints, &[]).is_empty();
            if differs || other.address != want.address {
                found.push(format!("{}: `{path}` is unordered, and in another order it is a change", want.title()));
            }
        }
    }
    found
}
