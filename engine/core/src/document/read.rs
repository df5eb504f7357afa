//! Reads files into documents, before anybody knows whose they are.

use std::sync::Arc;

use super::build::Builder;
use super::dialect::resolve;
use super::node::{Node, Source, Sources, Span};
use super::{Limits, json, text, yaml};
use crate::diagnostic::{Diagnostic, Location, codes};
use crate::manifest::YamlDialect;
use crate::value::{Json, Path};

/// One document of a file, not yet routed.
#[derive(Debug)]
pub(crate) struct Raw {
    pub node: Node,
    /// Whether an expression may stand in it.
    pub dynamic: bool,
    /// Whether some key begins with `$`.
    pub reserved: bool,
}

/// Reads the documents of one file. A document with findings is left out; its neighbours are not.
pub(crate) fn read_file(source: &Source, file: u32, limits: &Limits) -> (Vec<Raw>, Vec<Diagnostic>) {
    let clean = match text::clean(source, file, limits.file_bytes) {
        Ok(text) => text,
        Err(finding) => return (Vec::new(), vec![finding]),
    };
    if is_json(&source.path) {
        let found = read_json(source, clean, file, limits);
        return found.map_or_else(|findings| (Vec::new(), findings), |raw| (raw.into_iter().collect(), Vec::new()));
    }
    let mut out = Vec::new();
    let mut findings = Vec::new();
    for range in text::chunks(clean) {
        let piece = clean.get(range.clone()).unwrap_or_default();
        if piece.len() > limits.document_bytes {
            findings.push(too_large(source, file, range.start, limits));
            continue;
        }
        let (documents, problems) = yaml::read(source, clean, range, file, limits);
        if problems.is_empty() {
            let dynamic = piece.contains("{{");
            out.extend(documents.into_iter().map(|it| Raw { node: it.node, dynamic, reserved: it.reserved }));
        }
        findings.extend(problems);
    }
    (out, findings)
}

fn read_json(source: &Source, clean: &str, file: u32, limits: &Limits) -> Result<Option<Raw>, Vec<Diagnostic>> {
    if clean.trim().is_empty() {
        return Ok(None);
    }
    if clean.len() > limits.document_bytes {
        return Err(vec![too_large(source, file, 0, limits)]);
    }
    let mut builder = Builder::new(source, limits);
    let node = json::read(clean, file, &mut builder);
    match node {
        Some(node) if builder.findings.is_empty() => {
            Ok(Some(Raw { node, dynamic: clean.contains("{{"), reserved: builder.reserved }))
        }
        _ => Err(builder.findings),
    }
}

fn too_large(source: &Source, file: u32, start: usize, limits: &Limits) -> Diagnostic {
    let message = format!("the document is larger than {} MiB", limits.document_bytes >> 20);
    let span = Span { file, start: 0, end: 0 }.part(u32::try_from(start).unwrap_or(u32::MAX), 0);
    Diagnostic::error(codes::DOCUMENT_LIMIT, message)
        .at(source.location(span))
        .hint("keep large content in a file of its own that the document names")
}

/// Whether a path ends in `.json`, exactly so.
fn is_json(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|it| it == "json")
}

/// One document of a file with its places, for readers of files that are no resources (`trueup.yaml`).
#[derive(Debug)]
pub struct RawDocument {
    sources: Arc<Sources>,
    raw: Raw,
}

impl RawDocument {
    /// The document's value, its plain scalars read in a dialect. With findings, the value is not to be used.
    pub fn json(&self, dialect: YamlDialect) -> (Json, Vec<Diagnostic>) {
        let mut node = self.raw.node.clone();
        let mut findings = Vec::new();
        resolve(&mut node, dialect, &self.sources, &mut findings);
        (node.drain_json(), findings.into_iter().map(|it| it.finding).collect())
    }

    /// Where the value at a path stands; where nothing does, the nearest place above it.
    pub fn locate(&self, path: &Path) -> Location {
        self.sources.location(self.raw.node.span_of(path))
    }

    /// Where the key of the value at a path stands, for findings about the key itself.
    pub fn locate_key(&self, path: &Path) -> Location {
        let above = path.0.split_last().map(|(last, above)| (last, Path(above.to_vec())));
        let member = above.and_then(|(last, above)| match last {
            crate::value::Segment::Key(key) => self.raw.node.find(&above)?.member(key),
            _ => None,
        });
        member.map_or_else(|| self.locate(path), |member| self.sources.location(member.key_span))
    }
}

/// Reads every document of a YAML or JSON file (`.json`, strictly one). Empty documents are left out.
///
/// A finding costs the document that it stands in, never its neighbours; a file that is too large or not clean UTF-8 has
/// no documents. Never panics, whatever the bytes.
pub fn parse(file: &Arc<str>, bytes: &[u8], limits: &Limits) -> (Vec<RawDocument>, Vec<Diagnostic>) {
    let source = Source::new(file.clone(), bytes.into());
    let (documents, findings) = read_file(&source, 0, limits);
    let sources = Arc::new(Sources(vec![source]));
    (documents.into_iter().map(|raw| RawDocument { sources: sources.clone(), raw }).collect(), findings)
}
