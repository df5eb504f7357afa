//! From a revision to the objects that an environment wants: documents, resources, objects, and no more work than changed.
//!
//! Owns the memory of what an environment's documents came to ([`index`]) and the way from there to [`plan::Desired`]: files
//! whose content is the same are neither parsed nor rendered again. A document that must be looked at after all (its object
//! differs) is made on demand. The result is the same with and without the memory; a test compares the two.

mod changed;
mod clash;
mod evaluate;
mod index;
mod listing;
mod mentions;
mod origin;
#[cfg(test)]
mod tests;
pub mod trial;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use globset::GlobSet;
use trueup_core::address::{Address, ResourceId, Scope, Sought};
use trueup_core::diagnostic::{Diagnostic, Location, codes};
use trueup_core::document::{Resource, Settings};
use trueup_core::manifest::Claim;
use trueup_core::plan::{self, Halted};
use trueup_core::value::{Digest, Json, json};

use crate::blobs::BlobTable;
use crate::engine::Providers;
use crate::seal::Sealer;
use crate::source::Snapshot;
pub use evaluate::definitions;
use index::{Index, Row};
pub use mentions::{Head, Mentions};

pub use evaluate::resolve;

/// Resources that an environment may have.
pub const MAX_RESOURCES: usize = 1_000_000;

/// Gives the value of a granted secret; the error is for people and holds no value.
pub type SecretValues = dyn Fn(&str) -> Result<String, String> + Send + Sync;

/// All that an environment's objects follow from.
pub struct Context {
    pub environment: Arc<str>,
    pub vars: Json,
    pub default_provider: Option<Arc<str>>,
    pub layers: Vec<Arc<str>>,
    pub exclude: GlobSet,
    pub providers: Providers,
    pub snapshot: Arc<Snapshot>,
    pub sealer: Arc<Sealer>,
    /// None where no secret may be read (`validate`, `render`): markers then hold no HMAC.
    pub secrets: Option<Arc<SecretValues>>,
    pub blobs: Arc<BlobTable>,
    /// Where the memory lies; None: nothing is remembered.
    pub memory: Option<PathBuf>,
    /// Digest of everything above that is not Git.
    pub key: Digest,
    /// By alias: the plugin's digest and the settings as written.
    pub fixed: Json,
    /// What providers' systems told of their kinds, by alias, in the form of a manifest's.
    pub kinds: BTreeMap<Arc<str>, Json>,
    /// Some of them were told a while ago.
    pub kinds_are_old: bool,
    /// Resources whose documents define kinds, by alias and kind.
    pub defined: HashMap<(Arc<str>, String), ResourceId>,
    /// Milliseconds since 1970 when the pass began.
    pub now: u64,
    /// Nothing that was observed before is used.
    pub fresh: bool,
    /// Resources that the environment may have: [`MAX_RESOURCES`].
    pub max_resources: usize,
}

impl Context {
    /// Whether the documents of this revision were judged before, with all else as it is.
    pub fn is_remembered(&self) -> bool {
        let root = self.snapshot.tree_id("");
        self.memory.as_ref().zip(root).is_some_and(|(file, root)| Index::is_of(file, self.key.0, root.as_bytes()))
    }

    /// Takes digests of what providers' systems have as kinds into the key, by alias.
    pub fn learn(&mut self, kinds: &BTreeMap<Arc<str>, Digest>) {
        for (alias, digest) in kinds {
            if let Some(Json::Object(fixed)) = self.fixed.get_mut(&**alias) {
                fixed.insert("kinds".to_owned(), digest.to_string().into());
            }
        }
        let defined: BTreeMap<String, &str> =
            self.defined.iter().map(|((alias, kind), it)| (format!("{alias}/{kind}"), it.as_str())).collect();
        self.key = Digest::of_json(&json!([self.key.to_string(), self.fixed, defined]));
    }
}

/// Providers whose plugin failed while it rendered, by alias.
pub type Halts = BTreeMap<Arc<str>, Halted>;

/// What it cost to know what is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub files: usize,
    pub files_parsed: usize,
    pub resources: usize,
    pub evaluated: usize,
}

/// The objects that an environment wants.
pub struct Desired {
    index: Index,
    /// By resource, then address. Positions are what [`plan::Needs`] speaks of.
    pub objects: Vec<plan::Desired>,
    /// Row of each object.
    row_of: Vec<u32>,
    documents: HashMap<usize, Arc<Json>>,
    /// Resources that wait for a status.
    pub waiting: HashMap<ResourceId, Resource>,
    /// What these providers did not render has one object each, at its natural address and without a document, so that it
    /// is refused by name and what is owned for it is not taken for a leftover.
    pub halted: Halts,
    pub diagnostics: Vec<Diagnostic>,
    pub counts: Counts,
}

/// A resource after evaluation and rendering.
pub(crate) struct Made {
    pub resource: Resource,
    pub objects: Vec<Rendered>,
}

/// One object of a resource.
pub(crate) struct Rendered {
    pub address: Address,
    pub document: Arc<Json>,
    /// Objects of the same resource that must be there first, sorted.
    pub siblings: Vec<Address>,
}

impl Desired {
    /// Whether anything forbids a plan.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// One error for each halted provider: for who reads documents only. In a plan they are refusals, one a resource.
    pub fn faults(&self) -> impl Iterator<Item = Diagnostic> + '_ {
        self.halted.values().map(|it| Diagnostic::error(it.code, it.reason.clone()))
    }

    /// Nothing: what an environment that is destroyed wants, whatever its documents say.
    pub fn nothing(context: &Context) -> Self {
        Self::refused(context, Vec::new())
    }

    /// No objects, and the findings that forbid them.
    fn refused(context: &Context, diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            index: Index::new(context.key.0),
            objects: Vec::new(),
            row_of: Vec::new(),
            documents: HashMap::new(),
            waiting: HashMap::new(),
            halted: Halts::new(),
            diagnostics,
            counts: Counts::default(),
        }
    }

    /// Files of the revision, other than documents, that documents name.
    pub fn named_files(&self) -> impl Iterator<Item = &str> + '_ {
        self.index.rows.iter().flat_map(|row| row.blobs.iter().map(|(path, _)| path.as_str()))
    }

    /// Identities of all resources, in no particular order.
    pub fn ids(&self) -> impl Iterator<Item = ResourceId> + '_ {
        let without = self.index.rows.iter().filter(|row| row.objects.is_empty() && !row.removed);
        self.objects.iter().map(|it| it.resource.clone()).chain(without.filter_map(|row| ResourceId::parse(&row.id)))
    }

    /// The document of an object, if it is at hand.
    pub fn document(&self, object: usize) -> Option<&Arc<Json>> {
        self.documents.get(&object)
    }

    /// Makes the documents of these objects, those at hand excepted.
    ///
    /// # Errors
    ///
    /// What evaluating or rendering them finds.
    pub async fn make(&mut self, context: &Context, wanted: &[usize]) -> Result<(), Vec<Diagnostic>> {
        let missing = wanted.iter().filter(|it| !self.documents.contains_key(it));
        let works = |it: &plan::Desired| !self.halted.contains_key(&it.address.scope.provider);
        let missing = missing.filter(|it| self.objects.get(**it).is_some_and(works));
        let mut rows: Vec<u32> = missing.filter_map(|it| self.row_of.get(*it).copied()).collect();
        rows.sort_unstable();
        rows.dedup();
        if rows.is_empty() {
            return Ok(());
        }
        let only = rows.iter().filter_map(|it| ResourceId::parse(&self.index.rows.get(*it as usize)?.id)).collect();
        let files = changed::files_of(&self.index, &rows);
        let rest = evaluate::Rest::of(&self.index, None);
        let made =
            evaluate::evaluate(context, &self.index.files, files, Some(only), Some(&rest)).await.map_err(|it| it.diagnostics)?;
        self.counts.files_parsed += made.files_parsed;
        self.counts.evaluated += made.resources.len();
        self.halted.extend(made.halted);
        let by_address: HashMap<Address, Arc<Json>> =
            made.resources.into_iter().flat_map(|it| it.objects).map(|it| (it.address, it.document)).collect();
        for row in rows {
            let first = self.row_of.partition_point(|it| *it < row);
            for object in first..self.row_of.partition_point(|it| *it <= row) {
                if let Some(document) = self.objects.get(object).and_then(|it| by_address.get(&it.address)) {
                    self.documents.insert(object, document.clone());
                }
            }
        }
        Ok(())
    }

    /// Takes documents in whose statuses became known; whether any object's document is another one now.
    ///
    /// # Errors
    ///
    /// What judging or rendering them finds.
    pub async fn settle(&mut self, context: &Context, filled: Vec<(ResourceId, Arc<Json>)>) -> Result<bool, Vec<Diagnostic>> {
        let mut resources = Vec::new();
        for (id, document) in filled {
            let Some(resource) = self.waiting.get(&id).filter(|it| *it.doc != *document) else { continue };
            if self.halted.contains_key(id.alias()) {
                continue;
            }
            let mut resource = resource.clone();
            resource.doc = document;
            resources.push(resource);
        }
        if resources.is_empty() {
            return Ok(false);
        }
        let rendering = evaluate::render(context, resources).await;
        let evaluate::Rendering { resources, halted } =
            rendering.map_err(|it| evaluate::place(context, &self.index.files, it))?;
        let mut changed = !halted.is_empty();
        self.halted.extend(halted);
        for made in resources {
            let id = made.resource.id.clone();
            self.waiting.insert(id.clone(), made.resource);
            let first = self.objects.partition_point(|it| it.resource < id);
            for Rendered { address, document, .. } in made.objects {
                let found = self
                    .objects
                    .iter_mut()
                    .enumerate()
                    .skip(first)
                    .take_while(|(_, it)| it.resource == id)
                    .find(|(_, it)| it.address == address);
                let Some((at, object)) = found else { continue };
                let digest = Digest::of_json(&document);
                changed |= object.digest != digest;
                object.digest = digest;
                object.claims = object.kind.claim(&document).map(Arc::new);
                self.documents.insert(at, document);
            }
        }
        Ok(changed)
    }

    /// Remembers what was found. Losing it costs time only, so that a failure is a warning.
    pub fn remember(&self, context: &Context) {
        if let Some(file) = &context.memory
            && let Err(error) = self.index.save(file)
        {
            tracing::warn!("cannot write {}: {error}", file.display());
        }
    }

    /// Whether the memory on disk is older than this. What a halted provider did not render is not worth remembering.
    pub fn is_new(&self) -> bool {
        self.halted.is_empty() && (self.counts.files_parsed > 0 || self.index.is_moved)
    }
}

/// What `context`'s environment wants at its revision.
///
/// Findings are in [`Desired::diagnostics`]; with an error among them the objects are not complete and must not be planned.
pub async fn load(context: &Context) -> Desired {
    let remembered = match &context.memory {
        Some(file) => Index::load(file, context.key.0),
        None => Index::new(context.key.0),
    };
    match changed::bring_up_to_date(context, remembered).await {
        Ok(current) if current.counts.resources > context.max_resources => {
            let text = format!(
                "the environment `{}` declares {} resources; there may be {}",
                context.environment, current.counts.resources, context.max_resources
            );
            let finding = Diagnostic::error(codes::SOURCE_LIMIT, text);
            Desired::refused(context, vec![finding.hint("make several environments of it, each with layers of its own")])
        }
        Ok(current) => build(context, current),
        Err(diagnostics) => Desired::refused(context, diagnostics),
    }
}

/// Lays rows out as objects.
fn build(context: &Context, current: changed::Current) -> Desired {
    let changed::Current { index, made, halted, diagnostics, counts } = current;
    let mut builder = Builder::new(context, &index);
    let unrendered = made.iter().filter(|it| it.objects.is_empty() && halted.contains_key(it.resource.id.alias()));
    let unrendered: HashMap<&str, &Resource> = unrendered.map(|it| (it.resource.id.as_str(), &it.resource)).collect();
    for (position, row) in index.rows.iter().enumerate() {
        match unrendered.get(row.id.as_str()) {
            Some(resource) => builder.row(position, &Row { objects: vec![placeholder(resource)], ..row.clone() }),
            None => builder.row(position, row),
        }
    }
    let Builder { objects, row_of, .. } = builder;
    let mut documents = HashMap::new();
    let mut waiting = HashMap::new();
    let mut by_address: HashMap<Address, Arc<Json>> = HashMap::new();
    for it in made {
        by_address.extend(it.objects.into_iter().map(|it| (it.address, it.document)));
        if it.resource.waits {
            waiting.insert(it.resource.id.clone(), it.resource);
        }
    }
    if !by_address.is_empty() {
        let made: Sought<'_> = by_address.keys().collect();
        for (position, object) in objects.iter().enumerate().filter(|(_, it)| made.contains(&it.address)) {
            if let Some(document) = by_address.get(&object.address) {
                documents.insert(position, document.clone());
            }
        }
    }
    Desired { index, objects, row_of, documents, waiting, halted, diagnostics, counts }
}

/// Stands for the objects of a resource that was not rendered. Its digest is that of no document.
fn placeholder(resource: &Resource) -> index::Object {
    let address = natural_address(resource, &resource.doc);
    index::Object {
        kind: address.scope.kind.to_string(),
        scope: address.scope.scope.to_string(),
        key: address.key.to_string(),
        digest: [0; 32],
        siblings: Vec::new(),
        claims: None,
    }
}

/// Turns rows into objects; texts that repeat are shared.
struct Builder<'a> {
    context: &'a Context,
    paths: Vec<Arc<str>>,
    defaults: Arc<Settings>,
    nothing: Arc<[ResourceId]>,
    scopes: HashMap<(Arc<str>, String, String), Scope>,
    objects: Vec<plan::Desired>,
    row_of: Vec<u32>,
}

impl<'a> Builder<'a> {
    fn new(context: &'a Context, index: &'a Index) -> Self {
        let objects = Vec::with_capacity(index.rows.len());
        Self {
            context,
            paths: index.files.iter().map(|it| Arc::from(it.path.as_str())).collect(),
            defaults: Arc::default(),
            nothing: Arc::from([]),
            scopes: HashMap::new(),
            objects,
            row_of: Vec::with_capacity(index.rows.len()),
        }
    }

    fn row(&mut self, position: usize, row: &Row) {
        let Some(resource) = ResourceId::parse(&row.id) else { return };
        let Some((alias, bound)) = self.context.providers.get_key_value(resource.alias()) else { return };
        let settings = row.settings.as_ref().map_or_else(|| self.defaults.clone(), |it| Arc::new(it.settings()));
        let after = self.after(&resource, alias, row);
        let (file, line, column, width) = row.location;
        let file = self.paths.get(file as usize).cloned().unwrap_or_default();
        let address = |it: &index::Object| Address::new(alias, &it.kind, &it.scope, &it.key);
        for object in &row.objects {
            let siblings = object.siblings.iter().filter_map(|it| row.objects.get(*it as usize)).map(address);
            let Some(kind) = bound.manifest.kinds.get(&object.kind) else { continue };
            // Objects of a scope follow each other, so that the last scope is nearly always the right one.
            let last = self.objects.last().map(|it: &plan::Desired| &it.address.scope);
            let scope = match last {
                Some(last) if *last.scope == *object.scope && *last.kind == *object.kind && last.provider == *alias => {
                    last.clone()
                }
                _ => self
                    .scopes
                    .entry((alias.clone(), object.kind.clone(), object.scope.clone()))
                    .or_insert_with(|| Scope {
                        provider: alias.clone(),
                        kind: kind.name.clone(),
                        scope: object.scope.as_str().into(),
                    })
                    .clone(),
            };
            self.objects.push(plan::Desired {
                resource: resource.clone(),
                address: Address { scope, key: object.key.as_str().into() },
                digest: Digest(object.digest),
                settings: settings.clone(),
                after: after.clone(),
                siblings: if object.siblings.is_empty() { Arc::default() } else { siblings.collect() },
                location: Location { file: file.clone(), line, column, width },
                kind: kind.clone(),
                claims: object.claims.as_ref().map(|it| Arc::new(Claim { except: it.clone() })),
            });
            self.row_of.push(u32::try_from(position).unwrap_or(u32::MAX));
        }
    }
}

impl Builder<'_> {
    /// What must be there first: what the document names, and what defines the kinds of its objects.
    fn after(&self, resource: &ResourceId, alias: &Arc<str>, row: &Row) -> Arc<[ResourceId]> {
        let defined = &self.context.defined;
        let definer = |it: &index::Object| defined.get(&(alias.clone(), it.kind.clone())).filter(|it| *it != resource).cloned();
        let definers = if defined.is_empty() { BTreeSet::new() } else { row.objects.iter().filter_map(definer).collect() };
        if row.after.is_empty() && definers.is_empty() {
            return self.nothing.clone();
        }
        row.after.iter().filter_map(|it| ResourceId::parse(it)).chain(definers).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The address that a resource has where its plugin does not render: from the fields that the schema marks, else
/// `[namespace/]name`.
pub fn natural_address(resource: &Resource, document: &Json) -> Address {
    let hints = &resource.kind.hints;
    let text = |path: &Option<trueup_core::value::Path>| {
        path.as_ref().and_then(|it| it.get(document)).and_then(Json::as_str).map(str::to_owned)
    };
    let name = match &resource.namespace {
        Some(namespace) => format!("{namespace}/{}", resource.name),
        None => resource.name.to_string(),
    };
    let scope = text(&hints.scope).unwrap_or_default();
    Address::new(resource.id.alias(), &resource.kind.name, &scope, &text(&hints.key).unwrap_or(name))
}
