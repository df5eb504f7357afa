//! Which kinds files speak of, before anybody knows what those kinds are.
//!
//! A system may have thousands of kinds: only those are asked for that documents mention, in the version that they mention. Nothing
//! is judged here; what is wrong with a document is told when it is routed.

use super::node::{Node, Source, Sources, Value};
use super::read::read_file;
use super::route::{Router, provider_annotation};
use super::{Input, Limits};
use crate::diagnostic::{Diagnostic, Location};

/// Documents inside each other (`kind: List`) that are looked into.
const MAX_LISTS: usize = 8;

/// What one document says that it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Mention {
    /// The caller's number of the file ([`super::FileInput::index`]).
    pub file: u32,
    /// Position in [`Input::providers`].
    pub provider: usize,
    /// With its group, as [`crate::manifest::Kind::name`].
    pub kind: String,
    /// `v1beta1` of `example.com/v1beta1`.
    pub version: String,
    /// The value of `apiVersion`.
    pub place: Location,
}

/// What each document of the input's files says that it is, in their order. A document that cannot be read, or that belongs to no
/// provider, is left out.
pub fn mentions(input: &Input<'_>) -> Vec<Mention> {
    let files = || input.layers.iter().flat_map(|it| &it.files);
    let sources = Sources(files().map(|it| Source::new(it.path.clone(), it.bytes.clone())).collect());
    let router = Router { input, sources: &sources, findings: Vec::new() };
    let mut out = Vec::new();
    for ((position, source), file) in (0_u32..).zip(&sources.0).zip(files()) {
        let (documents, _) = read_file(source, position, &Limits::default());
        let mut rest: Vec<(&Node, Option<&Node>, usize)> = documents.iter().rev().map(|it| (&it.node, None, 0)).collect();
        while let Some((node, list, lists)) = rest.pop() {
            if let Some(items) = items(node).filter(|_| lists < MAX_LISTS) {
                rest.extend(items.iter().rev().map(|it| (it, Some(node), lists + 1)));
            } else if let Ok(mention) = mention(&router, node, list, file.index) {
                out.push(mention);
            }
        }
    }
    out
}

/// The documents of a list.
fn items(node: &Node) -> Option<&[Node]> {
    let kind = node.get("kind")?.text()?;
    match &node.get("items")?.value {
        Value::List(items) if kind.ends_with("List") => Some(items),
        _ => None,
    }
}

/// `list` is what it is an item of: those of a typed list (`RoleList`) are of its kind, and need not say so.
fn mention(router: &Router<'_>, node: &Node, list: Option<&Node>, file: u32) -> Result<Mention, Diagnostic> {
    let header = |name: &str| match list.filter(|_| node.get(name).is_none()) {
        Some(list) => router.header(list, name),
        None => router.header(node, name),
    };
    let ((api, span), (mut kind, _)) = (header("apiVersion")?, header("kind")?);
    if node.get("kind").is_none()
        && let Some(item) = kind.strip_suffix("List")
    {
        kind = item.to_owned();
    }
    let target = router.target(&api, span, provider_annotation(node))?;
    let kind = if target.group.is_empty() { kind } else { format!("{kind}.{}", target.group) };
    let version = api.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Mention { file, provider: target.provider, kind, version, place: router.sources.location(span) })
}
