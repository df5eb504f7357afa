//! Files to resources to objects: one evaluation in the core, one batch of rendering in the plugins.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures_util::future::join_all;
use trueup_core::address::{Address, ResourceId};
use trueup_core::diagnostic::{Diagnostic, Severity, codes};
use trueup_core::document::{self, FileInput, Input, LayerInput, NoBlob, Provider, Resource, SecretField};
use trueup_core::expression::SecretPart;
use trueup_core::plan::Halted;
use trueup_core::schema;
use trueup_core::value::{Json, Path};
use trueup_host as host;

use super::index::{File, Index};
use super::{Context, Halts, Made as Resolved, Rendered, SecretValues, natural_address};
use crate::engine::{Bound, code_of};
use crate::seal::{self, Sealer};
use crate::source::{BlobId, Entry, EntryKind};

/// Declarations in one call of `render`.
const BATCH: usize = 500;
/// Bytes of one document file.
const MAX_FILE: u64 = 16 << 20;

/// Why an evaluation made nothing.
#[derive(Debug)]
pub struct Failed {
    pub diagnostics: Vec<Diagnostic>,
    /// Resources that are known and were not among the files: with theirs it may succeed.
    pub missing: Vec<ResourceId>,
}

impl From<Vec<Diagnostic>> for Failed {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Self { diagnostics, missing: Vec::new() }
    }
}

/// What an evaluation made.
pub struct Made {
    pub resources: Vec<Resolved>,
    /// What layers remove, with the files of all its documents.
    pub removed: Vec<(ResourceId, Vec<u32>)>,
    pub files_parsed: usize,
    pub halted: Halts,
}

/// Resources with their objects, sorted by id. Those that a halted provider did not render have none.
pub(super) struct Rendering {
    pub resources: Vec<Resolved>,
    pub halted: Halts,
}

/// What a plugin finds wrong with a document.
pub(super) struct Wrong {
    /// Placed where the document is declared.
    pub finding: Diagnostic,
    resource: ResourceId,
    /// The files it was made from.
    files: Vec<u32>,
    /// RFC 6901, into its document.
    pointer: Option<String>,
}

/// Findings of plugins at the fields that they are about.
pub(super) fn place(context: &Context, files: &[File], wrong: Vec<Wrong>) -> Vec<Diagnostic> {
    let which: BTreeSet<usize> = wrong.iter().flat_map(|it| &it.files).map(|it| *it as usize).collect();
    let fields: Vec<(&ResourceId, &str)> =
        wrong.iter().map(|it| (&it.resource, it.pointer.as_deref().unwrap_or_default())).collect();
    // Without the files the document's own place is what is known.
    let places = with_input(context, files, which.into_iter().collect(), |input| document::locate(input, &fields));
    let mut places = places.unwrap_or_default().into_iter();
    let place = |Wrong { finding, pointer, .. }: Wrong| match places.next().flatten().filter(|_| pointer.is_some()) {
        Some(place) => finding.at(place),
        None => finding,
    };
    wrong.into_iter().map(place).collect()
}

/// Identities of the documents in these files, unmerged.
///
/// # Errors
///
/// What parsing and routing find.
pub fn identities(context: &Context, files: &[File], which: &BTreeSet<usize>) -> Result<Vec<ResourceId>, Vec<Diagnostic>> {
    let providers = providers(context);
    let layers = read(context, files, which.iter().copied())?;
    let blobs = |_: &str| Err(NoBlob::Missing);
    let (ids, findings) = document::identities(&input(context, &providers, &layers, &blobs, None));
    if findings.iter().any(Diagnostic::is_error) { Err(findings) } else { Ok(ids) }
}

/// What was remembered of files that do not take part.
pub struct Rest<'a> {
    index: &'a Index,
    /// Rows that are not to be relied on: they may be gone.
    without: Option<&'a BTreeSet<usize>>,
    declared: OnceCell<HashSet<ResourceId>>,
}

impl<'a> Rest<'a> {
    pub fn of(index: &'a Index, without: Option<&'a BTreeSet<usize>>) -> Self {
        Self { index, without, declared: OnceCell::new() }
    }

    fn holds(&self, position: usize) -> bool {
        self.without.is_none_or(|it| !it.contains(&position))
    }
}

impl document::Elsewhere for Rest<'_> {
    fn declares(&self) -> &HashSet<ResourceId> {
        self.declared.get_or_init(|| {
            let rows = self.index.rows.iter().enumerate().filter(|(at, row)| !row.removed && self.holds(*at));
            rows.filter_map(|(_, row)| ResourceId::parse(&row.id)).collect()
        })
    }

    fn removes(&self, id: &ResourceId) -> bool {
        let position = self.index.position(id.as_str()).filter(|it| self.holds(*it));
        position.and_then(|it| self.index.rows.get(it)).is_some_and(|it| it.removed)
    }
}

/// Kinds that documents in `which` files define, with the resource that does. What cannot be read or rendered defines none: whoever
/// evaluates it next says why.
pub async fn definitions(context: &Context, files: &[File], which: Vec<usize>) -> Vec<(ResourceId, Arc<Json>)> {
    let found = with_input(context, files, which, |input| document::evaluate(input, None).resources);
    let mut by_provider: BTreeMap<String, Vec<Resource>> = BTreeMap::new();
    for resource in found.unwrap_or_default().into_iter().filter(|it| it.kind.defines) {
        by_provider.entry(resource.id.alias().to_owned()).or_default().push(resource);
    }
    let mut out = Vec::new();
    for (alias, resources) in by_provider {
        let Some(bound) = context.providers.get(alias.as_str()) else { continue };
        let declared = resources.iter().map(|it| host::Declared { address: natural_address(it, &it.doc), doc: it.doc.clone() });
        let Ok(answers) = bound.provider.render(&bound.call(context.now), declared.collect()).await else { continue };
        for (resource, answer) in resources.into_iter().zip(answers) {
            out.extend(answer.objects.into_iter().filter_map(|it| Some((resource.id.clone(), it.defines?))));
        }
    }
    out
}

/// Evaluates and renders the resources in `which` files, or `only` some of them.
///
/// # Errors
///
/// All findings, where an error is among them, and what is missing.
pub async fn evaluate(
    context: &Context,
    files: &[File],
    which: Vec<usize>,
    only: Option<HashSet<ResourceId>>,
    elsewhere: Option<&Rest<'_>>,
) -> Result<Made, Failed> {
    let files_parsed = which.len();
    let providers = providers(context);
    let layers = read(context, files, which.into_iter())?;
    let blobs = |path: &str| context.blobs.digest(path);
    let evaluation = document::evaluate(&input(context, &providers, &layers, &blobs, elsewhere), only.as_ref());
    drop(layers);
    if !evaluation.missing.is_empty() || evaluation.diagnostics.iter().any(Diagnostic::is_error) {
        return Err(Failed { diagnostics: evaluation.diagnostics, missing: evaluation.missing });
    }
    let mut resources = evaluation.resources;
    if let Some(first) = resources.first_mut() {
        // Findings about files rather than resources travel with the first resource: they are warnings, shown once.
        first.warnings.extend(evaluation.diagnostics);
    }
    let mut errors = Vec::new();
    for resource in &mut resources {
        if let Err(error) = fill_secrets(context.secrets.as_deref(), &context.sealer, resource) {
            errors.push(error);
        }
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let Rendering { resources, halted } = match render(context, resources).await {
        Ok(rendering) => rendering,
        Err(wrong) => return Err(place(context, files, wrong).into()),
    };
    Ok(Made { resources, removed: evaluation.removed, files_parsed, halted })
}

pub(super) fn providers(context: &Context) -> Vec<Provider> {
    context
        .providers
        .iter()
        .map(|(alias, it)| Provider { alias: alias.clone(), manifest: it.manifest.clone(), secrets: it.secrets.clone() })
        .collect()
}

pub(super) fn input<'a>(
    context: &'a Context,
    providers: &'a [Provider],
    layers: &'a [LayerInput],
    blobs: &'a dyn Fn(&str) -> Result<(trueup_core::value::Digest, u64), NoBlob>,
    elsewhere: Option<&'a Rest<'a>>,
) -> Input<'a> {
    Input {
        environment: context.environment.clone(),
        vars: context.vars.clone(),
        providers,
        default_provider: context.default_provider.clone(),
        layers: layers.to_vec(),
        blobs,
        elsewhere: elsewhere.map(|it| it as _),
    }
}

/// Reads files and hands them to `look` as the core takes them.
///
/// # Errors
///
/// A file that cannot be read.
pub fn with_input<R>(
    context: &Context,
    files: &[File],
    which: Vec<usize>,
    look: impl FnOnce(&Input<'_>) -> R,
) -> Result<R, Vec<Diagnostic>> {
    let providers = providers(context);
    let layers = read(context, files, which.into_iter())?;
    let blobs = |path: &str| context.blobs.digest(path);
    Ok(look(&input(context, &providers, &layers, &blobs, None)))
}

/// Reads files into layers.
fn read(context: &Context, files: &[File], which: impl Iterator<Item = usize>) -> Result<Vec<LayerInput>, Vec<Diagnostic>> {
    let mut layers: Vec<LayerInput> =
        context.layers.iter().map(|it| LayerInput { name: it.clone(), files: Vec::new() }).collect();
    let mut errors = Vec::new();
    for position in which {
        let Some(file) = files.get(position) else { continue };
        let Some(layer) = layers.get_mut(usize::from(file.layer)) else { continue };
        let Some(id) = BlobId::new(&file.id) else { continue };
        let entry = Entry { path: file.path.as_str().into(), id, kind: EntryKind::File, executable: false };
        match context.snapshot.read(&entry, MAX_FILE) {
            Ok(bytes) => layer.files.push(FileInput {
                index: u32::try_from(position).unwrap_or(u32::MAX),
                path: file.path.as_str().into(),
                bytes,
            }),
            Err(error) => errors.push(error.to_diagnostic()),
        }
    }
    if errors.is_empty() { Ok(layers) } else { Err(errors) }
}

/// A resource that waited, with the statuses that are known now. Its secrets are sealed again: those in texts with a status were
/// not known before.
///
/// # Errors
///
/// Where an expression fails, or a secret has no value.
pub fn resolve(
    resource: &Resource,
    status: &dyn Fn(&ResourceId) -> Option<Json>,
    values: Option<&SecretValues>,
    sealer: &Sealer,
) -> Result<Resource, Diagnostic> {
    let settled = resource.settle(status)?;
    let mut resolved = Resource { doc: Arc::new(settled.doc), secrets: settled.secrets, ..resource.clone() };
    fill_secrets(values, sealer, &mut resolved)?;
    // What is evaluated again later begins with the secrets that wait for nothing.
    resolved.secrets.clone_from(&resource.secrets);
    Ok(resolved)
}

/// Gives each secret of a resource its HMAC, where values may be read.
fn fill_secrets(values: Option<&SecretValues>, sealer: &Sealer, resource: &mut Resource) -> Result<(), Diagnostic> {
    let Some(values) = values.filter(|_| !resource.secrets.is_empty()) else { return Ok(()) };
    let mut document = (*resource.doc).clone();
    for SecretField { path, parts, location } in &resource.secrets {
        let (mut names, mut value) = (Vec::new(), String::new());
        for part in parts {
            match part {
                SecretPart::Text(text) => value.push_str(text),
                SecretPart::Secret(name) => {
                    let text = values(name).map_err(|text| Diagnostic::error(codes::CREDENTIALS, text).at(location.clone()))?;
                    value.push_str(&text);
                    names.push(name.as_str());
                }
            }
        }
        seal::set(&mut document, path, sealer.take(&names.join("+"), value));
    }
    resource.doc = Arc::new(document);
    Ok(())
}

/// Resources to objects, a batch of each provider at a time. A plugin that fails halts its own provider and no other.
///
/// # Errors
///
/// What plugins find wrong with documents.
pub(super) async fn render(context: &Context, resources: Vec<Resource>) -> Result<Rendering, Vec<Wrong>> {
    let mut by_provider: BTreeMap<String, Vec<Resource>> = BTreeMap::new();
    for resource in resources {
        by_provider.entry(resource.id.alias().to_owned()).or_default().push(resource);
    }
    let renderings = by_provider.into_iter().filter_map(|(alias, resources)| {
        let (alias, bound) = context.providers.get_key_value(alias.as_str())?;
        Some(async move { (alias, render_all(context, bound, resources).await) })
    });
    let (mut made, mut halted, mut errors) = (Vec::new(), Halts::new(), Vec::new());
    for (alias, (resolved, halt, findings)) in join_all(renderings).await {
        made.extend(resolved);
        halted.extend(halt.map(|it| (alias.clone(), it)));
        errors.extend(findings);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    made.sort_by(|one, other| one.resource.id.cmp(&other.resource.id));
    Ok(Rendering { resources: made, halted })
}

/// Renders what one provider has, and says why it stopped where its plugin failed.
async fn render_all(context: &Context, bound: &Bound, resources: Vec<Resource>) -> (Vec<Resolved>, Option<Halted>, Vec<Wrong>) {
    let (mut made, mut errors) = (Vec::new(), Vec::new());
    if !bound.renders() {
        let object = |it: &Resource| {
            let object = itself(it);
            Rendered { address: bound.keyed(&context.environment, object.address), ..object }
        };
        made.extend(resources.into_iter().map(|it| Resolved { objects: vec![object(&it)], resource: it }));
        return (made, None, errors);
    }
    let mut rest = resources.into_iter().peekable();
    while rest.peek().is_some() {
        let batch: Vec<Resource> = rest.by_ref().take(BATCH).collect();
        if let Err((batch, halt)) = render_batch(context, bound, batch, &mut made, &mut errors).await {
            made.extend(batch.into_iter().chain(rest).map(|it| Resolved { objects: Vec::new(), resource: it }));
            return (made, Some(halt), errors);
        }
    }
    (made, None, errors)
}

/// The object that a declaration is where nobody renders it.
fn itself(resource: &Resource) -> Rendered {
    let document = resource.doc.clone();
    Rendered { address: natural_address(resource, &document), document, siblings: Vec::new() }
}

/// Gives the batch back where the plugin failed.
async fn render_batch(
    context: &Context,
    bound: &Bound,
    batch: Vec<Resource>,
    made: &mut Vec<Resolved>,
    errors: &mut Vec<Wrong>,
) -> Result<(), (Vec<Resource>, Halted)> {
    let declared =
        batch.iter().map(|it| host::Declared { address: natural_address(it, &it.doc), doc: handles(context, it) }).collect();
    let answers = match bound.provider.render(&bound.call(context.now), declared).await {
        Ok(answers) => answers,
        Err(error) => {
            let code = code_of(error.fault(), codes::PLUGIN_CALL);
            return Err((batch, Halted { code, reason: context.sealer.mask(&error.to_string()) }));
        }
    };
    let key = |address: Address| bound.keyed(&context.environment, address);
    for (mut resource, answer) in batch.into_iter().zip(answers) {
        for finding in answer.findings {
            let text = context.sealer.mask(&finding.summary);
            let mut finding_out =
                Diagnostic { severity: finding.severity, ..Diagnostic::error(codes::RENDER, text) }.at(resource.location.clone());
            finding_out.hint = finding.detail.map(|it| context.sealer.mask(&it));
            let path = Path::from_pointer(finding.path.as_deref().unwrap_or_default(), &resource.doc);
            finding_out.hidden = schema::is_secret(&resource.kind.hints, &path);
            if finding.severity == Severity::Error {
                let (resource, files) = (resource.id.clone(), resource.files.clone());
                errors.push(Wrong { finding: finding_out, resource, files, pointer: finding.path });
            } else {
                resource.warnings.push(finding_out);
            }
        }
        let objects = answer.objects.into_iter().map(|it| {
            let document = sealed(&context.sealer, &resource, it.doc);
            let mut siblings: Vec<Address> = it.after.into_iter().map(key).collect();
            siblings.sort_unstable();
            siblings.dedup();
            Rendered { address: key(it.address), document, siblings }
        });
        made.push(Resolved { objects: objects.collect(), resource });
    }
    Ok(())
}

/// What a plugin rendered, with its secrets as markers again, and with plain values of fields for secrets as markers too.
fn sealed(sealer: &Sealer, resource: &Resource, document: Arc<Json>) -> Arc<Json> {
    let document = if resource.secrets.is_empty() { document } else { Arc::new(sealer.from_handles(&document)) };
    sealer.take_plain(&document, &resource.kind.hints.plain).map_or(document, Arc::new)
}

fn handles(context: &Context, resource: &Resource) -> Arc<Json> {
    if resource.secrets.is_empty() { resource.doc.clone() } else { Arc::new(context.sealer.to_handles(&resource.doc)) }
}
