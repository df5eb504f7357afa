//! One resource with its layers merged and its expressions found, not yet evaluated.

use super::gather::{Declared, Part};
use super::layer::Merge;
use super::locate::expression_finding;
use super::node::{Node, Sources, Span, Value};
use super::settings::{self, Ground, Setting};
use super::text::shown;
use super::{Input, Settings};
use crate::address::ResourceId;
use crate::diagnostic::{Diagnostic, codes};
use crate::expression::Template;
use crate::manifest::{Hints, Kind};
use crate::value::{Path, Segment};

/// Keys that only the engine writes.
const RESERVED: &[&str] = &["$unknown", "$secret", "$blob", "$remove"];

/// A text with expressions.
#[derive(Debug)]
pub(crate) struct Slot {
    pub path: Path,
    pub span: Span,
    pub template: Template,
}

/// A merged document and what is to be evaluated in it.
#[derive(Debug)]
pub(crate) struct Draft {
    pub body: Node,
    pub slots: Vec<Slot>,
    pub settings: Settings,
    /// The value of `depends-on`, for findings about it.
    pub depends_on: Span,
    pub place: Span,
    pub files: Vec<u32>,
    pub findings: Vec<Diagnostic>,
}

impl Draft {
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(Diagnostic::is_error)
    }
}

/// Merges the layers of one resource; None where the last of them removes it. The parts are used up.
pub(crate) fn draft(
    id: &ResourceId,
    declared: &mut Declared,
    input: &Input<'_>,
    sources: &Sources,
) -> (Option<Draft>, Vec<Diagnostic>) {
    let kind = declared.kind.clone();
    let mut merge = Merge::new(&kind, sources);
    let mut current: Option<Current> = None;
    for part in std::mem::take(&mut declared.parts) {
        current = match (current, part.remove) {
            (None, true) => {
                merge.findings.push(nothing_to_remove(id, &part, input, sources));
                None
            }
            (Some(_), true) => None,
            (None, false) => Some(Current::new(part)),
            (Some(mut current), false) => {
                current.lay(part, &mut merge);
                Some(current)
            }
        };
    }
    let mut findings = merge.findings;
    let Some(current) = current else { return (None, findings) };
    let ground = Ground { vars: &input.vars, environment: &input.environment, kind: &kind };
    let settings = settings::read(&current.settings, &ground, sources, &mut findings);
    let depends_on = current.settings.iter().find(|it| it.name == "depends-on").map_or(current.place, |it| it.value_span);
    let mut scan = Scan { kind: &kind, sources, path: Vec::new(), slots: Vec::new(), findings };
    if current.reserved || current.dynamic {
        for member in current.body.members() {
            // Metadata was evaluated when the document was routed.
            if member.key != "metadata" {
                scan.path.push(Segment::Key(member.key.clone()));
                scan.node(&member.node, current.dynamic);
                scan.path.pop();
            }
        }
    }
    let Current { body, place, files, .. } = current;
    let Scan { slots, findings, .. } = scan;
    (Some(Draft { body, slots, settings, depends_on, place, files, findings }), Vec::new())
}

/// What the layers so far came to.
struct Current {
    body: Node,
    settings: Vec<Setting>,
    place: Span,
    files: Vec<u32>,
    dynamic: bool,
    reserved: bool,
}

impl Current {
    fn new(part: Part) -> Self {
        let Part { body, settings, place, file, dynamic, reserved, .. } = part;
        Self { body, settings, place, files: vec![file], dynamic, reserved }
    }

    fn lay(&mut self, part: Part, merge: &mut Merge<'_>) {
        merge.over(&mut self.body, part.body);
        for setting in part.settings {
            match self.settings.iter_mut().find(|it| it.name == setting.name) {
                Some(old) => *old = setting,
                None => self.settings.push(setting),
            }
        }
        if self.files.last() != Some(&part.file) {
            self.files.push(part.file);
        }
        self.dynamic |= part.dynamic;
        self.reserved |= part.reserved;
    }
}

fn nothing_to_remove(id: &ResourceId, part: &Part, input: &Input<'_>, sources: &Sources) -> Diagnostic {
    let layer = input.layers.get(part.layer).map_or("", |it| &it.name);
    let setting = part.settings.iter().find(|it| it.name == "remove").map_or(part.place, |it| it.span);
    Diagnostic::error(codes::REMOVE_NOTHING, format!("no layer before `{layer}` declares `{id}`"))
        .at(sources.location(setting))
        .hint("remove the document, or check its kind, namespace and name")
}

/// Looks for expressions and for keys that are not the document's to write.
struct Scan<'a> {
    kind: &'a Kind,
    sources: &'a Sources,
    path: Vec<Segment>,
    slots: Vec<Slot>,
    findings: Vec<Diagnostic>,
}

impl Scan<'_> {
    fn node(&mut self, node: &Node, dynamic: bool) {
        match &node.value {
            Value::Text(text) if dynamic && text.contains("${{") => self.text(text, node.span),
            Value::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.path.push(Segment::Index(at));
                    self.node(item, dynamic);
                    self.path.pop();
                }
            }
            Value::Map(members) => {
                for member in members {
                    self.key(&member.key, member.key_span);
                    self.path.push(Segment::Key(member.key.clone()));
                    self.node(&member.node, dynamic);
                    self.path.pop();
                }
            }
            _ => {}
        }
    }

    fn key(&mut self, key: &str, span: Span) {
        let finding = if RESERVED.contains(&key) {
            let finding = Diagnostic::error(codes::RESERVED, format!("the key {} is the engine's own", shown(key)));
            if key == "$remove" {
                finding
                    .hint("it removes an item from a list of an earlier layer, if the kind's schema names the list's merge key")
            } else {
                finding.hint("write an expression, such as ${{ secret('name') }}")
            }
        } else if key.contains("${{") {
            Diagnostic::error(codes::EXPRESSION_PLACE, "a key cannot hold an expression")
        } else {
            return;
        };
        self.findings.push(finding.at(self.sources.location(span)));
    }

    fn text(&mut self, text: &str, span: Span) {
        let template = match Template::parse(text) {
            Ok(Some(template)) => template,
            Ok(None) => return,
            Err(error) => {
                self.findings.push(expression_finding(&error, text, span, self.sources));
                return;
            }
        };
        let path = Path(self.path.clone());
        let hints = &self.kind.hints;
        let address = [&hints.scope, &hints.key].into_iter().flatten().any(|it| Hints::names(std::slice::from_ref(it), &path));
        if address && !template.is_static() {
            let message = format!("{path} is part of the object's address, which is needed before anything is evaluated");
            let finding = Diagnostic::error(codes::EXPRESSION_PLACE, message).at(self.sources.location(span));
            self.findings.push(finding.hint("use `vars` and `env` only"));
            return;
        }
        self.slots.push(Slot { path, span, template });
    }
}
