//! From an environment's files to its resources: the walk through this module's parts.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::draft::{Draft, Slot, draft};
use super::gather::{Declared, Gathered, gather};
use super::locate::expression_finding;
use super::node::{Node, Sources, Span};
use super::order::order;
use super::scope::{Fixed, References, Scope};
use super::settings::unknown_field;
use super::settle::{Entry, Waiting};
use super::slots::{self, Filled};
use super::text::shown;
use super::{Evaluation, Input, Limits, NameFault, NoBlob, Resource, Shortener, private};
use crate::address::ResourceId;
use crate::diagnostic::{Diagnostic, codes};
use crate::expression::{ExpressionError, NameError, Reference, Template};
use crate::manifest::Kind;
use crate::schema;
use crate::value::{Json, Path, Segment, blob};

/// Bytes that all expressions of an environment together may come to.
const MAX_MADE: usize = 256 << 20;
/// Links of a circle that are named in a message.
const SHOWN_LINKS: usize = 8;

/// Parses, routes, merges, evaluates and judges all documents of an environment.
///
/// With `only`, just these resources are made, and what their references read; what is declared twice or means several
/// things is told by all. Every finding of every document is reported: none hides another but by making it meaningless.
pub fn evaluate(input: &Input<'_>, only: Option<&HashSet<ResourceId>>) -> Evaluation {
    let limits = Limits::default();
    let Gathered { sources, mut declared, findings } = gather(input, &limits);
    let mut removed = Vec::new();
    for (id, it) in &mut declared {
        let elsewhere = input.elsewhere.is_some_and(|it| it.removes(id));
        it.present = !elsewhere && it.parts.last().is_some_and(|part| !part.remove);
        if it.parts.iter().any(|part| part.remove) && only.is_none_or(|it| it.contains(id)) {
            removed.push((id.clone(), it.parts.iter().map(|part| part.file).collect()));
        }
    }
    removed.sort_unstable();
    let mut run = Run {
        input,
        limits: &limits,
        sources: &sources,
        declared,
        names: OnceCell::new(),
        nodes: Vec::new(),
        positions: HashMap::new(),
        findings,
        missing: BTreeSet::new(),
        made: 0,
    };
    run.draft_all(only);
    Evaluation { removed, ..run.finish_all(only) }
}

/// Puts a value where a path leads.
pub(crate) fn set_at(doc: &mut Json, path: &Path, value: Json) {
    let place = path.0.iter().try_fold(doc, |at, segment| match segment {
        Segment::Key(key) => at.get_mut(key),
        Segment::Index(index) => at.get_mut(*index),
        Segment::Item { .. } => None,
    });
    if let Some(place) = place {
        *place = value;
    }
}

/// One resource on its way.
struct Work {
    id: ResourceId,
    draft: Draft,
    references: References,
    /// What must be there first: references and `depends-on`.
    after: BTreeSet<ResourceId>,
    failed: bool,
    doc: Option<Arc<Json>>,
}

struct Run<'a> {
    input: &'a Input<'a>,
    limits: &'a Limits,
    sources: &'a Sources,
    declared: HashMap<ResourceId, Declared>,
    /// Made when a short name is first met.
    names: OnceCell<Shortener>,
    nodes: Vec<Work>,
    positions: HashMap<ResourceId, usize>,
    findings: Vec<Diagnostic>,
    missing: BTreeSet<ResourceId>,
    made: usize,
}

impl Run<'_> {
    /// Merges what is wanted and, link by link, what that depends on.
    fn draft_all(&mut self, only: Option<&HashSet<ResourceId>>) {
        let mut wanted: Vec<ResourceId> =
            self.declared.keys().filter(|id| only.is_none_or(|it| it.contains(*id))).cloned().collect();
        wanted.sort_unstable();
        let mut seen: HashSet<ResourceId> = wanted.iter().cloned().collect();
        let mut queue = VecDeque::from(wanted);
        while let Some(id) = queue.pop_front() {
            let Some(declared) = self.declared.get_mut(&id) else { continue };
            let broken = declared.broken;
            let (draft, findings) = draft(&id, declared, self.input, self.sources);
            self.findings.extend(findings);
            let Some(mut draft) = draft else { continue };
            let mut references = References::new();
            let mut after = BTreeSet::new();
            let mut problems = Vec::new();
            self.link(&draft, &mut references, &mut after, &mut problems);
            draft.findings.extend(problems);
            for needed in &after {
                if self.declared.contains_key(needed) && seen.insert(needed.clone()) {
                    queue.push_back(needed.clone());
                }
            }
            let failed = broken || draft.has_errors();
            self.positions.insert(id.clone(), self.nodes.len());
            self.nodes.push(Work { id, draft, references, after, failed, doc: None });
        }
    }

    /// Finds what the references and the `depends-on` of a draft name.
    fn link(&self, draft: &Draft, references: &mut References, after: &mut BTreeSet<ResourceId>, problems: &mut Vec<Diagnostic>) {
        for slot in &draft.slots {
            for reference in slot.template.references() {
                match self.resolve(&reference.text) {
                    Ok(id) => {
                        after.insert(id.clone());
                        problems.extend(self.undeclared(&id, reference).map(|it| self.at_reference(it, reference, slot, draft)));
                        let short = if reference.status { self.names().shorten(&id) } else { reference.text.clone() };
                        let known = references.entry(reference.text.clone()).or_insert_with(|| (id, String::new()));
                        if reference.status || known.1.is_empty() {
                            known.1 = short;
                        }
                    }
                    Err(fault) => {
                        let error = NameError { code: fault.code(), message: fault.to_string(), hint: fault.hint() };
                        problems.push(self.at_reference(error, reference, slot, draft));
                    }
                }
            }
        }
        for text in &draft.settings.depends_on {
            match self.resolve(text) {
                Ok(id) => {
                    after.insert(id);
                }
                Err(fault) => {
                    let mut finding = Diagnostic::error(fault.code(), format!("trueup.dev/depends-on: {fault}"));
                    finding.hint = fault.hint();
                    problems.push(finding.at(self.sources.location(draft.depends_on)));
                }
            }
        }
    }

    /// The finding about one `ref()`.
    fn at_reference(&self, error: NameError, reference: &Reference, slot: &Slot, draft: &Draft) -> Diagnostic {
        let NameError { code, message, hint } = error;
        let error = ExpressionError { code, message, start: reference.start, end: reference.end, hint };
        let text = draft.body.find(&slot.path).and_then(Node::text).unwrap_or_default();
        expression_finding(&error, text, slot.span, self.sources)
    }

    /// An output that the schema of the resource's kind rules out; a `spec` is judged by what stands in it.
    fn undeclared(&self, id: &ResourceId, reference: &Reference) -> Option<NameError> {
        let provider = self.input.providers.iter().find(|it| *it.alias == *id.alias()).filter(|_| reference.status)?;
        let (name, meant) = schema::undeclared(provider.manifest.kinds.get(id.kind())?, true, &reference.path)?;
        let message = format!("`{}` has no output {}", self.names().shorten(id), shown(&name));
        Some(NameError { code: codes::EXPRESSION_UNDEFINED, message, hint: meant.map(|it| format!("did you mean `{it}`?")) })
    }

    fn is_declared(&self, id: &ResourceId) -> bool {
        self.declared.get(id).is_some_and(|it| it.present) || self.input.elsewhere.is_some_and(|it| it.declares().contains(id))
    }

    fn resolve(&self, text: &str) -> Result<ResourceId, NameFault> {
        match ResourceId::parse(text).filter(|id| self.is_declared(id)) {
            Some(id) => Ok(id),
            None => self.names().resolve(text),
        }
    }

    fn names(&self) -> &Shortener {
        self.names.get_or_init(|| {
            let here = self.declared.iter().filter(|(_, it)| it.present).map(|(id, _)| id.clone());
            let known = self.input.elsewhere.into_iter().flat_map(|it| it.declares());
            let elsewhere = known.filter(|id| !self.declared.contains_key(*id)).cloned();
            Shortener::new(here.chain(elsewhere))
        })
    }

    fn finish_all(mut self, only: Option<&HashSet<ResourceId>>) -> Evaluation {
        let position = |id: &ResourceId| self.positions.get(id).copied();
        let needs: Vec<Vec<usize>> = self.nodes.iter().map(|it| it.after.iter().filter_map(position).collect()).collect();
        let order = order(&needs);
        for circle in &order.circles {
            let finding = self.circle(circle);
            self.findings.push(finding);
        }
        let mut resources = Vec::new();
        let mut waiting = Waiting::default();
        for at in order.sequence {
            let knotted = order.knotted.get(at) == Some(&true);
            let Some(node) = self.nodes.get_mut(at) else { continue };
            node.failed |= knotted;
            let findings = std::mem::take(&mut node.draft.findings);
            if node.failed || self.lacks_a_spec(at) {
                self.findings.extend(findings);
                continue;
            }
            if let Some(resource) = self.finish(at, findings, &mut waiting)
                && only.is_none_or(|it| it.contains(&resource.id))
            {
                resources.push(resource);
            }
        }
        if resources.iter().any(|it: &Resource| it.waits) {
            waiting.vars = self.input.vars.clone();
            waiting.environment = self.input.environment.clone();
            let waiting = Arc::new(waiting);
            resources.iter_mut().filter(|it| it.waits).for_each(|it| it.waiting = Some(waiting.clone()));
        }
        resources.sort_by(|a, b| a.id.cmp(&b.id));
        let mut diagnostics = self.findings;
        private::hide(diagnostics.iter_mut().chain(resources.iter_mut().flat_map(|it| &mut it.warnings)), self.input);
        diagnostics.sort_by(|a, b| (&a.location, a.code, &a.message).cmp(&(&b.location, b.code, &b.message)));
        Evaluation { resources, diagnostics, missing: self.missing.into_iter().collect(), removed: Vec::new() }
    }

    /// Whether an expression reads the `spec` of a resource that failed or is not at hand. The first was reported where it
    /// happened, the second is noted.
    fn lacks_a_spec(&mut self, at: usize) -> bool {
        let Some(node) = self.nodes.get(at) else { return true };
        let mut lacks = false;
        let read = node.draft.slots.iter().flat_map(|it| it.template.references()).filter(|it| !it.status);
        for (id, _) in read.filter_map(|it| node.references.get(&it.text)) {
            match self.positions.get(id).and_then(|it| self.nodes.get(*it)) {
                Some(other) => lacks |= other.doc.is_none(),
                None => {
                    self.missing.insert(id.clone());
                    lacks = true;
                }
            }
        }
        lacks
    }

    fn circle(&self, circle: &[usize]) -> Diagnostic {
        let nodes: Vec<&Work> = circle.iter().filter_map(|at| self.nodes.get(*at)).collect();
        let name = |it: &&Work| format!("`{}`", self.names().shorten(&it.id));
        let mut links: Vec<String> = nodes.iter().take(SHOWN_LINKS).map(name).collect();
        if nodes.len() > SHOWN_LINKS {
            links.push(format!("… ({} in all)", nodes.len()));
        }
        links.extend(nodes.first().map(name));
        let message = format!("resources depend on each other in a circle: {}", links.join(" → "));
        let mut finding = Diagnostic::error(codes::CYCLE, message).hint("remove one of these references");
        for (at, node) in nodes.iter().take(SHOWN_LINKS).enumerate() {
            let location = self.sources.location(node.draft.place);
            match at {
                0 => finding = finding.at(location),
                _ => finding = finding.also(location, "and this one"),
            }
        }
        finding
    }

    /// Evaluates one document, everything it reads being there.
    fn finish(&mut self, at: usize, warnings: Vec<Diagnostic>, waiting: &mut Waiting) -> Option<Resource> {
        let node = self.nodes.get_mut(at)?;
        let slots = std::mem::take(&mut node.draft.slots);
        let texts = slots
            .iter()
            .map(|slot| node.draft.body.find(&slot.path).and_then(Node::text).unwrap_or_default().to_owned())
            .collect();
        let doc = node.draft.body.drain_json();
        let node = self.nodes.get(at)?;
        let declared = self.declared.get(&node.id)?;
        let provider = self.input.providers.get(declared.provider)?;
        let (mut filled, made) = self.fill(node, doc, &slots, texts, &provider.secrets);
        filled.findings.extend(warnings);
        let mut blobs = Vec::new();
        let locate = |path: &Path| Some(self.sources.location(node.draft.body.span_of(path)));
        for hint in &declared.kind.hints.blobs {
            let mut path = Vec::new();
            each_at(&mut filled.doc, &hint.0, &mut path, &mut |value, path| {
                let Some(text) = value.as_str() else { return };
                let name = text.strip_prefix("./").unwrap_or(text);
                match (self.input.blobs)(name) {
                    Ok((digest, size)) => {
                        blobs.push(Arc::from(name));
                        *value = blob(&digest, size);
                    }
                    Err(no) => {
                        let finding = no_blob(name, no);
                        filled.findings.extend(locate(&Path(path.to_vec())).map(|it| finding.at(it)));
                    }
                }
            });
        }
        filled.findings.extend(schema::validate(&filled.doc, &declared.kind, &locate));
        filled.findings.extend(ignored_nothing(node, &declared.kind).map(|it| it.at(self.sources.location(node.draft.place))));
        let failed = filled.findings.iter().any(Diagnostic::is_error);
        // The warnings of a resource go with it.
        let (errors, warnings) = if failed { (filled.findings, Vec::new()) } else { (Vec::new(), filled.findings) };
        let doc = Arc::new(filled.doc);
        let waits = !filled.waiting.is_empty();
        let resource = Resource {
            id: node.id.clone(),
            kind: declared.kind.clone(),
            namespace: declared.namespace.clone(),
            name: declared.name.clone(),
            doc: doc.clone(),
            settings: Arc::new(node.draft.settings.clone()),
            location: self.sources.location(node.draft.place),
            files: node.draft.files.clone(),
            after: node.after.iter().cloned().collect(),
            waits,
            secrets: filled.secrets,
            blobs,
            waiting: None,
            warnings,
        };
        if waits && !failed {
            self.remember(node, &doc, filled.waiting, provider.secrets.clone(), waiting);
        }
        self.findings.extend(errors);
        self.made += made;
        let node = self.nodes.get_mut(at)?;
        // A tree is needed for its places alone, and every finding of this one is made.
        node.draft.body = Node { span: Span::default(), value: super::node::Value::Null };
        node.failed = failed;
        if failed {
            return None;
        }
        node.doc = Some(doc);
        Some(resource)
    }

    /// Evaluates the expressions of a document; and how many bytes they came to.
    fn fill(&self, node: &Work, doc: Json, slots: &[Slot], texts: Vec<String>, granted: &[String]) -> (Filled, usize) {
        if slots.is_empty() {
            return (Filled::of(doc), 0);
        }
        let document = |id: &ResourceId| self.nodes.get(*self.positions.get(id)?)?.doc.as_deref();
        let evaluate = |template: &Template, own: &Json, budget: &mut usize| {
            let fixed = Fixed { vars: &self.input.vars, environment: &self.input.environment };
            let scope = Scope { fixed, granted, references: &node.references, document: &document, status: &|_| None, own };
            template.evaluate_within(&scope, budget)
        };
        let most = self.limits.document_bytes.min(MAX_MADE.saturating_sub(self.made));
        slots::fill(doc, slots, &texts, most, self.sources, &evaluate)
    }

    /// Keeps what a waiting document needs to be evaluated again.
    fn remember(
        &self,
        node: &Work,
        doc: &Arc<Json>,
        slots: Vec<(Path, Template)>,
        granted: Arc<[String]>,
        waiting: &mut Waiting,
    ) {
        let read = slots.iter().flat_map(|(_, it)| it.references()).filter(|it| !it.status);
        for (id, _) in read.filter_map(|it| node.references.get(&it.text)) {
            if let Some(doc) = self.positions.get(id).and_then(|it| self.nodes.get(*it)).and_then(|it| it.doc.clone()) {
                waiting.documents.insert(id.clone(), doc);
            }
        }
        let entry = Entry { doc: doc.clone(), slots, granted, references: node.references.clone() };
        waiting.entries.insert(node.id.clone(), entry);
    }
}

/// What to say of a file that a document names and cannot have.
fn no_blob(name: &str, no: NoBlob) -> Diagnostic {
    match no {
        NoBlob::Missing => {
            let message = format!("the revision has no file {}", shown(name));
            Diagnostic::error(codes::BLOB_MISSING, message)
                .hint("commit it, or correct the path: it counts from the folder of `trueup.yaml`, wherever the document stands")
        }
        NoBlob::Refused { code, reason } => Diagnostic::error(code, reason),
    }
}

/// Paths of `trueup.dev/ignore` that no document of the kind can have: they would leave alone what nobody meant.
fn ignored_nothing<'a>(node: &'a Work, kind: &'a Kind) -> impl Iterator<Item = Diagnostic> + 'a {
    node.draft.settings.ignore.iter().filter_map(move |path| {
        let (name, meant) = unknown_field(kind, path)?;
        let message = format!("trueup.dev/ignore: `{path}` is no field of {}: there is no {}", kind.name, shown(&name));
        let hint = meant.map_or_else(|| "field paths begin with `spec`".to_owned(), |it| format!("did you mean `{it}`?"));
        Some(Diagnostic::error(codes::SETTING_VALUE, message).hint(hint))
    })
}

/// Calls `act` for every value that a schema's hint means, lists passed through item by item.
fn each_at(value: &mut Json, hint: &[Segment], path: &mut Vec<Segment>, act: &mut dyn FnMut(&mut Json, &[Segment])) {
    if let Json::Array(items) = value {
        for (at, item) in items.iter_mut().enumerate() {
            path.push(Segment::Index(at));
            each_at(item, hint, path, act);
            path.pop();
        }
        return;
    }
    let Some((first, rest)) = hint.split_first() else { return act(value, path) };
    let (Segment::Key(wanted), Json::Object(map)) = (first, value) else { return };
    let any = wanted == crate::manifest::ANY_KEY;
    let keys: Vec<String> = if any { map.keys().cloned().collect() } else { vec![wanted.clone()] };
    for key in keys {
        if let Some(inner) = map.get_mut(&key) {
            path.push(Segment::Key(key));
            each_at(inner, rest, path, act);
            path.pop();
        }
    }
}
