//! Whose a document is and what it is called: provider, kind, namespace and name, engine settings taken off.

use std::sync::Arc;

use super::Input;
use super::dialect::{Unread, resolve};
use super::locate::expression_finding;
use super::node::{Member, Node, Sources, Span, Value};
use super::read::Raw;
use super::scope::Fixed;
use super::settings::{PREFIX, Setting};
use super::text::shown;
use crate::address::ResourceId;
use crate::diagnostic::{Code, Diagnostic, codes};
use crate::expression::{Evaluated, Template};
use crate::manifest::{Kind, YamlDialect};
use crate::schema::suggest;

/// Groups of Kubernetes without a dot, and its core version: never aliases.
const RESERVED: &[&str] = &["v1", "apps", "batch", "autoscaling", "policy", "extensions"];

/// Levels of `kind: List` inside each other.
const MAX_LISTS: usize = 8;

/// A document with its address and without it.
#[derive(Debug)]
pub(crate) struct Routed {
    pub id: ResourceId,
    pub kind: Arc<Kind>,
    /// Position in [`Input::providers`].
    pub provider: usize,
    pub namespace: Option<Arc<str>>,
    pub name: Arc<str>,
    /// The body fields; `metadata` with labels and annotations where the kind has them.
    pub body: Node,
    pub settings: Vec<Setting>,
    /// `trueup.dev/remove: "true"`.
    pub remove: bool,
    /// The value of `kind`.
    pub place: Span,
    pub dynamic: bool,
    pub reserved: bool,
    /// It has findings: it is there, and must not be used.
    pub broken: bool,
}

pub(crate) struct Router<'a> {
    pub input: &'a Input<'a>,
    pub sources: &'a Sources,
    pub findings: Vec<Diagnostic>,
}

/// The value and the place of the annotation that names a provider.
pub(super) fn provider_annotation(document: &Node) -> Option<(Node, Span)> {
    let member = document.get("metadata")?.get("annotations")?.member("trueup.dev/provider")?;
    Some((member.node.clone(), member.underline()))
}

/// A provider and the group that is part of its kinds' names; empty for none.
pub(super) struct Target {
    pub(super) provider: usize,
    pub(super) group: String,
}

impl Router<'_> {
    /// Routes one document, or each item of a list. Documents without a clear identity end in findings only.
    pub(crate) fn route(&mut self, raw: Raw) -> Vec<Routed> {
        let mut out = Vec::new();
        let mut rest = vec![(raw, 0)];
        while let Some((raw, lists)) = rest.pop() {
            let place = raw.node.span;
            match self.one(raw, &mut rest, lists) {
                Ok(Some(routed)) => out.push(routed),
                Ok(None) => {}
                Err(finding) => {
                    let finding = if finding.location.is_some() {
                        finding
                    } else {
                        finding.at(self.sources.location(place.part(place.start, 0)))
                    };
                    self.findings.push(finding);
                }
            }
        }
        out
    }

    fn error(&self, code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, message).at(self.sources.location(span))
    }

    fn one(&mut self, mut raw: Raw, rest: &mut Vec<(Raw, usize)>, lists: usize) -> Result<Option<Routed>, Diagnostic> {
        let shape = "a document is a mapping with apiVersion, kind, metadata and spec";
        if !matches!(raw.node.value, Value::Map(_)) {
            return Err(Diagnostic::error(codes::SHAPE, format!("{shape}, and this is {}", raw.node.type_name())));
        }
        let (api, api_span) = self.header(&raw.node, "apiVersion")?;
        let (kind, place) = self.header(&raw.node, "kind")?;
        if api.starts_with("kustomize.config.k8s.io/") {
            return Err(foreign("a kustomization").at(self.sources.location(place)));
        }
        if api.starts_with("trueup.dev/") {
            return self.own_format(&kind, place, api_span);
        }
        let target = self.target(&api, api_span, provider_annotation(&raw.node))?;
        let Some(provider) = self.input.providers.get(target.provider) else { return Ok(None) };
        let dialect = provider.manifest.yaml;
        if dialect == YamlDialect::Kubectl && self.is_list(&kind, &target, &raw.node) {
            return self.list(raw, rest, lists).map(|()| None);
        }
        let before = self.findings.len();
        let mut unread = Vec::new();
        resolve(&mut raw.node, dialect, self.sources, &mut unread);
        let kind = match self.kind(&kind, place, &target) {
            Ok(kind) => kind,
            Err(finding) => {
                self.findings.extend(unread.into_iter().map(Unread::masked));
                return Err(finding);
            }
        };
        if !unread.is_empty() {
            let mut secret = Vec::new();
            kind.hints.sensitive.iter().for_each(|hint| raw.node.spans_at(&hint.0, &mut secret));
            let hidden = |it: Unread| if secret.iter().any(|span| span.covers(it.span)) { it.masked() } else { it.finding };
            self.findings.extend(unread.into_iter().map(hidden));
        }
        self.address(raw, kind, place, &target, before)
    }

    /// A header field, as it stands.
    pub(super) fn header(&self, node: &Node, key: &str) -> Result<(String, Span), Diagnostic> {
        let Some(member) = node.member(key) else {
            let nearest = suggest::nearest(key, node.members().iter().map(|it| it.key.as_str())).filter(|_| key != "kind");
            let mut finding = Diagnostic::error(codes::SHAPE, format!("the document has no {key}"));
            finding.hint = match nearest {
                Some(other) => Some(format!("is `{other}` meant to be `{key}`?")),
                None => Some(format!("exclude files that are no documents, or add `{key}:`")),
            };
            return Err(finding);
        };
        match member.node.text() {
            Some(text) if text.contains("${{") => {
                Err(self.error(codes::EXPRESSION_PLACE, member.node.span, format!("{key} cannot hold an expression")))
            }
            Some(text) if !text.is_empty() => Ok((text.to_owned(), member.node.span)),
            _ => Err(self.error(codes::SHAPE, member.underline(), format!("{key} must be a text"))),
        }
    }

    /// `trueup.yaml` itself may stand in a layer; nothing else of this format may.
    fn own_format(&self, kind: &str, place: Span, api: Span) -> Result<Option<Routed>, Diagnostic> {
        let file = self.sources.get(place).map_or("", |it| &it.path);
        if kind == "Project" && file.rsplit('/').next() == Some("trueup.yaml") {
            return Ok(None);
        }
        let finding =
            self.error(codes::NO_PROVIDER, api, "`trueup.dev/…` documents set up the engine and are read from trueup.yaml only");
        Err(finding.hint("move it there, or remove it"))
    }

    /// Whether a document is a list of documents: `List`, or a typed one (`ConfigMapList`) as `kubectl get --raw` answers it.
    fn is_list(&self, kind: &str, target: &Target, node: &Node) -> bool {
        let known = || self.kind_of(kind, target).is_some();
        let named = || node.get("metadata").is_some_and(|it| it.get("name").is_some());
        let typed = kind.len() > "List".len() && kind.ends_with("List") && node.get("items").is_some();
        (kind == "List" && target.group.is_empty()) || (typed && !named() && !known())
    }

    fn kind_of(&self, kind: &str, target: &Target) -> Option<&Arc<Kind>> {
        let name = if target.group.is_empty() { kind.to_owned() } else { format!("{kind}.{}", target.group) };
        self.input.providers.get(target.provider)?.manifest.kinds.get(&name)
    }

    fn list(&self, mut raw: Raw, rest: &mut Vec<(Raw, usize)>, lists: usize) -> Result<(), Diagnostic> {
        let span = raw.node.span;
        let header = |name: &str| raw.node.member(name).cloned();
        // Items of a typed list are of its kind, and need not say so.
        let kind = header("kind").and_then(|it| {
            let text = it.node.text()?.strip_suffix("List").filter(|it| !it.is_empty())?.to_owned();
            Some(Member { node: Node { span: it.node.span, value: Value::Text(text) }, ..it })
        });
        let given: Vec<Member> =
            kind.map(|it| (it, header("apiVersion"))).into_iter().flat_map(|(kind, api)| [Some(kind), api]).flatten().collect();
        let items = raw.node.take("items").map(|it| it.node);
        let Some(Node { value: Value::List(items), .. }) = items else {
            return Err(self.error(codes::SHAPE, span.part(span.start, 0), "a List has a list of documents under `items`"));
        };
        if lists >= MAX_LISTS {
            return Err(self.error(
                codes::DOCUMENT_LIMIT,
                span.part(span.start, 0),
                format!("more than {MAX_LISTS} Lists stand inside each other"),
            ));
        }
        // Taken from the end, so that they come out in order.
        let documents = items.into_iter().rev().map(|node| of_list(node, &given));
        rest.extend(documents.map(|node| (Raw { node, dynamic: raw.dynamic, reserved: raw.reserved }, lists + 1)));
        Ok(())
    }

    fn alias(&self, alias: &str) -> Option<usize> {
        self.input.providers.iter().position(|it| &*it.alias == alias)
    }

    pub(super) fn target(&self, api: &str, api_span: Span, annotation: Option<(Node, Span)>) -> Result<Target, Diagnostic> {
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        let own = !group.is_empty() && !group.contains('.') && !RESERVED.contains(&group);
        if own && let Some(provider) = self.alias(group) {
            if version != "v1" {
                let message = format!("the provider `{group}` has {} only", shown(&format!("{group}/v1")));
                return Err(self.error(codes::NO_PROVIDER, api_span, message));
            }
            return Ok(Target { provider, group: String::new() });
        }
        let named = match annotation {
            Some((node, span)) => Some((self.fixed_text(&node)?, span)),
            None if own => {
                let mut finding = self.error(
                    codes::NO_PROVIDER,
                    api_span,
                    format!("no provider of this environment is called {}", shown(group)),
                );
                finding.hint = suggest::did_you_mean(group, self.aliases()).or_else(|| Some(self.known_aliases()));
                return Err(finding);
            }
            None => self.input.default_provider.as_ref().map(|it| (it.to_string(), api_span)),
        };
        let provider = match named {
            Some((alias, span)) => self.named(&alias, span)?,
            None => self.only(api, api_span)?,
        };
        Ok(Target { provider, group: group.to_owned() })
    }

    fn aliases(&self) -> impl Iterator<Item = &str> {
        self.input.providers.iter().map(|it| &*it.alias)
    }

    fn known_aliases(&self) -> String {
        let aliases: Vec<&str> = self.aliases().collect();
        if aliases.is_empty() {
            "add it to `providers:` in trueup.yaml".to_owned()
        } else {
            format!("its providers are {}", aliases.join(", "))
        }
    }

    /// The provider that an annotation or the environment names.
    fn named(&self, alias: &str, span: Span) -> Result<usize, Diagnostic> {
        let Some(provider) = self.alias(alias) else {
            let mut finding =
                self.error(codes::NO_PROVIDER, span, format!("no provider of this environment is called {}", shown(alias)));
            finding.hint = suggest::did_you_mean(alias, self.aliases()).or_else(|| Some(self.known_aliases()));
            return Err(finding);
        };
        if self.input.providers.get(provider).is_some_and(|it| it.manifest.any_api_version) {
            return Ok(provider);
        }
        let message = format!("the provider `{alias}` takes documents with `apiVersion: {alias}/v1` only");
        Err(self.error(codes::NO_PROVIDER, span, message).hint(format!("write `apiVersion: {alias}/v1`")))
    }

    /// The only provider that takes any `apiVersion`.
    fn only(&self, api: &str, span: Span) -> Result<usize, Diagnostic> {
        let mut takers = self.input.providers.iter().enumerate().filter(|(_, it)| it.manifest.any_api_version);
        let first = takers.next();
        match (first, takers.next()) {
            (Some((provider, _)), None) => Ok(provider),
            (None, _) => {
                let finding =
                    self.error(codes::NO_PROVIDER, span, format!("no provider of this environment takes {}", shown(api)));
                Err(finding.hint(format!("write `apiVersion: <alias>/v1`; {}", self.known_aliases())))
            }
            (Some((_, first)), Some((_, second))) => {
                let others = takers.map(|(_, it)| format!(", `{}`", it.alias)).collect::<String>();
                let message = format!("several providers take {}: `{}`, `{}`{others}", shown(api), first.alias, second.alias);
                let hint = "set `defaultProvider` of the environment, or the annotation trueup.dev/provider";
                Err(self.error(codes::AMBIGUOUS_PROVIDER, span, message).hint(hint))
            }
        }
    }

    /// A text of the metadata, which may hold `vars` and `env`.
    fn fixed_text(&self, node: &Node) -> Result<String, Diagnostic> {
        let text = node.text().ok_or_else(|| self.error(codes::SHAPE, node.span, "this must be a text").hint("quote it"))?;
        let mut node = Node { span: node.span, value: Value::Text(text.to_owned()) };
        self.fix(&mut node)?;
        node.text().map(str::to_owned).ok_or_else(|| self.error(codes::SHAPE, node.span, "this must come to a text"))
    }

    /// Evaluates a text that may use `vars` and `env` only.
    fn fix(&self, node: &mut Node) -> Result<(), Diagnostic> {
        let Value::Text(text) = &node.value else { return Ok(()) };
        if !text.contains("${{") {
            return Ok(());
        }
        let finding = |error| expression_finding(&error, text, node.span, self.sources);
        let Some(template) = Template::parse(text).map_err(finding)? else { return Ok(()) };
        if !template.is_static() {
            let finding =
                self.error(codes::EXPRESSION_PLACE, node.span, "names and metadata are needed before anything is evaluated");
            return Err(finding.hint("use `vars` and `env` only"));
        }
        let names = Fixed { vars: &self.input.vars, environment: &self.input.environment };
        match template.evaluate(&names).map_err(finding)? {
            Evaluated::Value(value) => node.set(value),
            Evaluated::Unknown(_) | Evaluated::Secret { .. } => {
                return Err(self.error(codes::EXPRESSION_PLACE, node.span, "this value must be known here"));
            }
        }
        Ok(())
    }

    /// Evaluates every text below `node`, which is metadata.
    fn fix_all(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Text(_) => {
                if let Err(finding) = self.fix(node) {
                    self.findings.push(finding);
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.fix_all(item)),
            Value::Map(members) => members.iter_mut().for_each(|member| self.fix_all(&mut member.node)),
            _ => {}
        }
    }

    fn address(
        &mut self,
        mut raw: Raw,
        kind: Arc<Kind>,
        place: Span,
        target: &Target,
        before: usize,
    ) -> Result<Option<Routed>, Diagnostic> {
        let Some(mut metadata) = raw.node.take("metadata") else {
            return Err(Diagnostic::error(codes::SHAPE, "the document has no metadata").hint("add `metadata: {name: …}`"));
        };
        if !matches!(metadata.node.value, Value::Map(_)) {
            return Err(self.error(
                codes::SHAPE,
                metadata.underline(),
                format!("metadata is {}, and must be a mapping", metadata.node.type_name()),
            ));
        }
        raw.node.take("apiVersion");
        raw.node.take("kind");
        if raw.dynamic {
            let before = self.findings.len();
            self.fix_all(&mut metadata.node);
            if self.findings.len() > before {
                return Ok(None);
            }
        }
        let Some(name) = metadata.node.take("name") else {
            if let Some(generate) = metadata.node.member("generateName") {
                let text = "`generateName` has the server draw a name, and no two applies would mean the same object";
                return Err(self.error(codes::SHAPE, generate.underline(), text).hint("write `name:` in its place"));
            }
            return Err(self.error(codes::SHAPE, metadata.key_span, "the document has no metadata.name"));
        };
        let foreign = self.input.providers.get(target.provider).is_some_and(|it| it.manifest.any_api_version);
        let name = self.name("name", &name, foreign)?;
        let namespace = metadata.node.take("namespace").filter(|it| it.node.value != Value::Null);
        let namespace = namespace.map(|it| self.name("namespace", &it, false)).transpose()?;
        let alias = self.input.providers.get(target.provider).map_or("", |it| &it.alias);
        if foreign {
            // Other tools write it into documents (`status: {}`), and it never was anybody's wish.
            raw.node.take("status");
        }
        let id = ResourceId::new(alias, &kind.name, namespace.as_deref(), &name);
        let settings = self.settings(&mut metadata);
        self.leftovers(&mut metadata, &kind);
        if !metadata.node.members().is_empty()
            && let Value::Map(members) = &mut raw.node.value
        {
            members.push(metadata);
        }
        let remove = settings.iter().any(|it| it.name == "remove" && it.text.as_deref() == Some("true"));
        let broken = self.findings.get(before..).is_some_and(|new| new.iter().any(Diagnostic::is_error));
        let Raw { node: body, dynamic, reserved } = raw;
        Ok(Some(Routed {
            id,
            kind,
            provider: target.provider,
            namespace,
            name,
            body,
            settings,
            remove,
            place,
            dynamic,
            reserved,
            broken,
        }))
    }

    fn kind(&self, kind: &str, place: Span, target: &Target) -> Result<Arc<Kind>, Diagnostic> {
        let name = if target.group.is_empty() { kind.to_owned() } else { format!("{kind}.{}", target.group) };
        let Some(provider) = self.input.providers.get(target.provider) else {
            return Err(self.error(codes::NO_PROVIDER, place, "the provider is gone"));
        };
        let kinds = &provider.manifest.kinds;
        kinds.get(&name).cloned().ok_or_else(|| {
            let mut finding =
                self.error(codes::UNKNOWN_KIND, place, format!("the provider `{}` has no kind {}", provider.alias, shown(&name)));
            let some = || {
                let names: Vec<&str> = kinds.keys().take(8).map(String::as_str).collect();
                format!("its kinds are {}{}", names.join(", "), if kinds.len() > 8 { " …" } else { "" })
            };
            let all = kinds.keys().chain(&*provider.manifest.others).map(String::as_str);
            finding.hint = suggest::did_you_mean(&name, all).or_else(|| Some(some()));
            finding
        })
    }

    /// `metadata.name` or `metadata.namespace`.
    fn name(&self, field: &str, member: &Member, colon: bool) -> Result<Arc<str>, Diagnostic> {
        let Value::Text(text) = &member.node.value else {
            let message = format!("metadata.{field} is {}, and must be a text", member.node.type_name());
            return Err(self.error(codes::NAME, member.underline(), message).hint("quote it"));
        };
        if is_name(text, colon) {
            return Ok(text.as_str().into());
        }
        let message = match text.len() {
            0 => format!("metadata.{field} is empty"),
            length if length > 253 => format!("metadata.{field} has {length} characters, and 253 are allowed"),
            _ => format!("metadata.{field} is {}", shown(text)),
        };
        let more = if colon { " `:`" } else { "" };
        Err(self.error(codes::NAME, member.node.span, message).hint(format!("use letters, digits and `.` `_` `*` `@` `-`{more}")))
    }

    /// Takes the `trueup.dev/` annotations off.
    fn settings(&mut self, metadata: &mut Member) -> Vec<Setting> {
        let mut out = Vec::new();
        let Value::Map(fields) = &mut metadata.node.value else { return out };
        let Some(annotations) = fields.iter_mut().find(|it| it.key == "annotations") else { return out };
        let Value::Map(members) = &mut annotations.node.value else { return out };
        let (ours, theirs) = std::mem::take(members).into_iter().partition(|it| it.key.starts_with(PREFIX));
        *members = theirs;
        let left = !members.is_empty();
        for member in ours {
            let span = member.underline();
            let value_span = member.node.span;
            let name = member.key.strip_prefix(PREFIX).unwrap_or_default().to_owned();
            match member.node.value {
                Value::Text(text) => out.push(Setting { name, text: Some(text), span, value_span }),
                Value::Null => out.push(Setting { name, text: None, span, value_span }),
                _ => {
                    let message = format!("{} is {}, and annotations are texts", shown(&member.key), member.node.type_name());
                    self.findings.push(self.error(codes::SETTING_VALUE, value_span, message).hint("quote it"));
                }
            }
        }
        if !left {
            fields.retain(|it| it.key != "annotations");
        }
        out
    }

    /// What is left in the metadata must be the kind's.
    fn leftovers(&mut self, metadata: &mut Member, kind: &Kind) {
        let Value::Map(members) = &mut metadata.node.value else { return };
        members.retain(|it| it.node.value != Value::Null);
        let schema = kind.schema.get("properties").and_then(|it| it.get("metadata"));
        let fields = schema.and_then(|it| it.get("properties"));
        let mut wrong = Vec::new();
        for member in members.iter() {
            let usual = matches!(member.key.as_str(), "labels" | "annotations");
            let allowed = fields.is_some_and(|it| it.get(&member.key).is_some()) || schema.is_some() && usual;
            if allowed {
                continue;
            }
            let message = if usual {
                format!("a {} has no {}", kind.name, member.key)
            } else {
                format!("metadata has no field {}", shown(&member.key))
            };
            let mut finding = self.error(codes::UNKNOWN_FIELD, member.underline(), message);
            finding.hint = suggest::did_you_mean(&member.key, ["name", "namespace", "labels", "annotations"]);
            if usual {
                finding.hint = Some(format!("remove them: the provider would not keep {}", member.key));
            }
            wrong.push(finding);
        }
        self.findings.extend(wrong);
    }
}

/// An item of a list with those header fields of it that it does not have itself.
fn of_list(mut node: Node, given: &[Member]) -> Node {
    if let Value::Map(members) = &mut node.value {
        let missing: Vec<Member> = given.iter().filter(|it| members.iter().all(|own| own.key != it.key)).cloned().collect();
        members.extend(missing);
    }
    node
}

/// A kustomization or a chart where documents are expected.
pub(crate) fn foreign(what: &str) -> Diagnostic {
    Diagnostic::error(codes::FOREIGN_FORMAT, format!("this is {what}, not a document"))
        .hint("commit what it renders to, or exclude its folder with `exclude:`")
}

/// 1 to 253 of letters, digits and `.` `_` `*` `@` `-`, and no step of a path. A `colon` may stand in names of other systems
/// (`system:foo`).
fn is_name(text: &str, colon: bool) -> bool {
    let fits = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'*' | b'@' | b'-') || (colon && it == b':');
    (1..=253).contains(&text.len()) && text.bytes().all(fits) && text != "." && text != ".."
}
