//! Reads and routes every file of every layer, and finds what is declared twice.

use std::collections::HashMap;
use std::sync::Arc;

use super::node::{Node, Source, Sources, Span};
use super::read::read_file;
use super::route::{Routed, Router, foreign};
use super::settings::Setting;
use super::{Input, Limits, private};
use crate::address::ResourceId;
use crate::diagnostic::{Diagnostic, Location, codes};
use crate::manifest::Kind;

/// One document of a resource.
#[derive(Debug)]
pub(crate) struct Part {
    /// Position in [`Input::layers`].
    pub layer: usize,
    /// The caller's number of the file.
    pub file: u32,
    pub body: Node,
    pub settings: Vec<Setting>,
    pub remove: bool,
    pub place: Span,
    pub dynamic: bool,
    pub reserved: bool,
}

/// All documents of one identity, in the order of their layers.
#[derive(Debug)]
pub(crate) struct Declared {
    pub kind: Arc<Kind>,
    pub provider: usize,
    pub namespace: Option<Arc<str>>,
    pub name: Arc<str>,
    pub parts: Vec<Part>,
    /// Some document has findings.
    pub broken: bool,
    /// Something is left after the layers that remove it; told once all are read.
    pub present: bool,
}

/// Everything that the files declare.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub sources: Sources,
    pub declared: HashMap<ResourceId, Declared>,
    pub findings: Vec<Diagnostic>,
}

/// Identities that the files declare, sorted, with what reading and routing them finds. Nothing is merged or evaluated: this
/// is how a caller learns what a changed file brings before it decides what to evaluate.
pub fn identities(input: &Input<'_>) -> (Vec<ResourceId>, Vec<Diagnostic>) {
    let Gathered { declared, mut findings, .. } = gather(input, &Limits::default());
    private::hide(findings.iter_mut(), input);
    let mut ids: Vec<ResourceId> = declared.into_keys().collect();
    ids.sort_unstable();
    (ids, findings)
}

/// Reads and routes everything.
pub(crate) fn gather(input: &Input<'_>, limits: &Limits) -> Gathered {
    let mut files = Vec::new();
    let mut sources = Vec::new();
    for (layer, it) in input.layers.iter().enumerate() {
        for file in &it.files {
            files.push((layer, file.index));
            sources.push(Source::new(file.path.clone(), file.bytes.clone()));
        }
    }
    let sources = Sources(sources);
    let mut router = Router { input, sources: &sources, findings: Vec::new() };
    let mut declared: HashMap<ResourceId, Declared> = HashMap::new();
    for ((position, source), (layer, index)) in (0_u32..).zip(&sources.0).zip(files) {
        if let Some(finding) = foreign_file(source) {
            router.findings.push(finding);
            continue;
        }
        let (documents, findings) = read_file(source, position, limits);
        router.findings.extend(findings);
        for raw in documents {
            for routed in router.route(raw) {
                if let Some(finding) = add(&mut declared, routed, layer, index, input, &sources) {
                    router.findings.push(finding);
                }
            }
        }
    }
    let findings = router.findings;
    Gathered { sources, declared, findings }
}

/// Files that other tools own, by their names.
fn foreign_file(source: &Source) -> Option<Diagnostic> {
    let what = match source.path.rsplit('/').next()? {
        "kustomization.yaml" | "kustomization.yml" | "Kustomization" => "a kustomization",
        "Chart.yaml" => "a Helm chart",
        _ => return None,
    };
    let location = Location { file: source.path.clone(), line: 1, column: 1, width: 0 };
    Some(foreign(what).at(location))
}

/// Files a document under its identity; a finding where its layer has one already.
fn add(
    declared: &mut HashMap<ResourceId, Declared>,
    routed: Routed,
    layer: usize,
    file: u32,
    input: &Input<'_>,
    sources: &Sources,
) -> Option<Diagnostic> {
    let Routed { id, kind, provider, namespace, name, body, settings, remove, place, dynamic, reserved, broken } = routed;
    let part = Part { layer, file, body, settings, remove, place, dynamic, reserved };
    let known = declared.entry(id.clone()).or_insert_with(|| Declared {
        kind,
        provider,
        namespace,
        name,
        parts: Vec::new(),
        broken,
        present: false,
    });
    known.broken |= broken;
    if let Some(first) = known.parts.last().filter(|it| it.layer == layer) {
        let (one, two) = (sources.location(first.place), sources.location(place));
        let layer = input.layers.get(layer).map_or("", |it| &it.name);
        let message =
            format!("`{id}` is declared twice in layer `{layer}`: in {}:{} and {}:{}", one.file, one.line, two.file, two.line);
        known.broken = true;
        let finding = Diagnostic::error(codes::DUPLICATE_IDENTITY, message).at(two).also(one, "first here");
        return Some(finding.hint("remove one of them, or give it another name"));
    }
    known.parts.push(part);
    None
}
