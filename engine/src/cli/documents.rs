//! `trueup validate` and `render`: documents alone, without the world, rights or secrets.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use trueup_core::diagnostic::Diagnostic;
use trueup_core::document::{Resource, Shortener};
use trueup_core::value::secret;

use super::Shell;
use super::arguments::{RenderArgs, RevisionArgs, ValidateArgs};
use super::error::CliError;
use super::exit::Exit;
use super::session::{Session, named, open, texts};
use crate::desired::{self, Context, Desired};
use crate::engine::{Engine, Reading};
use crate::output::Format;
use crate::output::clean::clean;
use crate::output::json::{self as shapes, public};
use crate::output::plan::short_revision;
use crate::output::style::Tone;
use crate::output::value::count;
use crate::output::yaml::to_yaml;
use crate::seal::without_plain;

/// What judging one environment found.
struct Judged {
    environment: String,
    resources: usize,
    found: Vec<Diagnostic>,
}

pub async fn validate(arguments: &ValidateArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let engine = open(shell, &arguments.revision)?;
    let names: Vec<String> = match &shell.global.environment {
        Some(name) => vec![name.clone()],
        None => engine.project.environments.keys().cloned().collect(),
    };
    let mut judged = Vec::new();
    for name in names {
        judged.push(judge(&engine, name).await?);
    }
    let mut all: Vec<Diagnostic> = Vec::new();
    for finding in judged.iter().flat_map(|it| &it.found) {
        // A file of a shared layer is judged once for each environment, and told of once.
        if !all.contains(finding) {
            all.push(finding.clone());
        }
    }
    let wrong = all.iter().any(Diagnostic::is_error);
    let texts = texts(&engine.snapshot);
    shell.output.diagnostics(&all, &|file| texts.get(file));
    if shell.output.format.is_object() {
        let environments: Vec<Json> = judged
            .iter()
            .map(|it| json!({"name": it.environment, "valid": !it.found.iter().any(Diagnostic::is_error), "resources": it.resources}))
            .collect();
        let diagnostics: Vec<_> = all.iter().map(shapes::Diagnostic::from).collect();
        let object = json!({"format": "trueup.validate/1", "revision": engine.revision(), "valid": !wrong, "environments": environments, "diagnostics": diagnostics});
        shell.output.object(&object)?;
    } else {
        let mut text = String::new();
        for it in &judged {
            let errors = it.found.iter().filter(|it| it.is_error()).count();
            let (word, tone) = if errors == 0 { ("valid".to_owned(), Tone::Good) } else { (count(errors, "error"), Tone::Bad) };
            let word = shell.output.style.paint(tone, word).into_owned();
            let resources = if errors == 0 { format!(", {}", count(it.resources, "resource")) } else { String::new() };
            text.push_str(&format!("{}: {word}{resources}\n", clean(&it.environment)));
        }
        shell.output.print(&text);
    }
    Ok(if wrong { Exit::Failed } else { Exit::Fine })
}

/// Judges one environment; errors of one never stop another.
async fn judge(engine: &Engine, name: String) -> Result<Judged, CliError> {
    let loaded = match engine.environment(Some(&name)) {
        Ok(environment) => engine.context(&environment, Reading::Documents, Arc::default()).await,
        Err(problem) => Err(problem),
    };
    match loaded {
        Ok(context) => {
            let desired = desired::load(&context).await;
            let found = desired.diagnostics.iter().cloned().chain(desired.faults()).collect();
            Ok(Judged { environment: name, resources: desired.counts.resources, found })
        }
        Err(crate::engine::Problem::Findings(found)) => Ok(Judged { environment: name, resources: 0, found }),
        Err(problem) => Err(super::session::failure(problem, Some(&engine.snapshot))),
    }
}

/// An environment's documents, read without rights.
pub struct Opened {
    pub session: Session,
    pub context: Context,
    pub desired: Desired,
}

/// Opens an environment for reading documents; errors in them are the error.
pub async fn open_documents(shell: &Shell<'_>, revision: &RevisionArgs) -> Result<Opened, CliError> {
    let session = Session::open(shell, revision)?;
    let context = session.engine.context(&session.environment, Reading::Documents, session.denials.clone()).await;
    let context = context.map_err(|it| session.failure(it))?;
    let desired = desired::load(&context).await;
    if desired.has_errors() || !desired.halted.is_empty() {
        let found = desired.diagnostics.iter().cloned().chain(desired.faults()).collect();
        return Err(CliError::from_diagnostics(found).texts(session.texts()));
    }
    Ok(Opened { session, context, desired })
}

pub async fn render(arguments: &RenderArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let it = open_documents(shell, &arguments.revision).await?;
    let texts = it.session.texts();
    shell.output.diagnostics(&it.desired.diagnostics, &|file| texts.get(file));
    let all = it.desired.resources(&it.context).await;
    let all = all.map_err(|found| CliError::from_diagnostics(found).texts(it.session.texts()))?;
    let names = Shortener::new(all.iter().map(|it| it.id.clone()));
    let mut ids = Vec::new();
    for text in &arguments.resources {
        ids.push(named(&names, text)?);
    }
    let chosen: Vec<&Resource> = all.iter().filter(|it| ids.is_empty() || ids.contains(&it.id)).collect();
    let providers = &it.context.providers;
    let document = |one: &Resource| document(one, providers.get(one.id.alias()).is_some_and(|it| it.manifest.any_api_version));
    match shell.output.format {
        Format::Name => {
            let names: Vec<String> = chosen.iter().map(|it| names.shorten(&it.id)).collect();
            shell.output.names(names.iter().map(String::as_str));
        }
        Format::Json | Format::Yaml => {
            let documents: Vec<Json> = chosen.iter().map(|it| document(it)).collect();
            let (revision, environment) = (it.session.engine.revision(), &it.session.environment.name);
            let object =
                json!({"format": "trueup.render/1", "environment": environment, "revision": revision, "documents": documents});
            shell.output.object(&object)?;
        }
        Format::Table => {
            let revision = short_revision(&it.session.engine.revision(), None);
            let mut text = format!("# {} at {revision}\n", clean(&it.session.environment.name));
            for resource in chosen {
                text.push_str(&format!("---\n# {}\n{}", clean(&resource.location.to_string()), to_yaml(&document(resource))));
            }
            shell.output.print(&text);
        }
    }
    Ok(Exit::Fine)
}

/// The document as it would be written in one file, its settings taken off. `any`: its provider takes any `apiVersion`.
fn document(resource: &Resource, any: bool) -> Json {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), Json::from(&*resource.name));
    if let Some(namespace) = &resource.namespace {
        metadata.insert("namespace".to_owned(), Json::from(&**namespace));
    }
    let hidden = without_plain(&resource.doc, &resource.kind.hints.plain, &|_| secret("", ""));
    let mut body = match public(hidden.as_ref().unwrap_or(&resource.doc)) {
        Json::Object(body) => body,
        _ => Map::new(),
    };
    // Labels and annotations lie in the body's metadata.
    if let Some(Json::Object(more)) = body.remove("metadata") {
        metadata.extend(more);
    }
    let (version, kind) = resource.kind.header(resource.id.alias(), any);
    let mut out = Map::new();
    out.insert("apiVersion".to_owned(), Json::from(version));
    out.insert("kind".to_owned(), Json::from(kind));
    out.insert("metadata".to_owned(), Json::Object(metadata));
    out.extend(body);
    Json::Object(out)
}
