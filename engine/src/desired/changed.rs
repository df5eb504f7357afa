//! What changed since the last pass, and how little must be evaluated because of it.

use std::collections::{BTreeSet, HashMap, HashSet};

use trueup_core::address::{ResourceId, Scope};
use trueup_core::diagnostic::Diagnostic;

use super::index::{File, Index, Object, Row, SettingsRow};
use super::listing::{self, Listing};
use super::{Context, Counts, Halts, Made, Rendered, clash, evaluate};
use trueup_core::value::Digest;

/// Rounds in which references lead to further files, before everything is evaluated.
const MAX_ROUNDS: usize = 8;

/// The memory brought up to date.
pub struct Current {
    pub index: Index,
    pub made: Vec<Made>,
    pub halted: Halts,
    pub diagnostics: Vec<Diagnostic>,
    pub counts: Counts,
}

/// Evaluates what changed and puts it into the memory.
///
/// # Errors
///
/// Everything that forbids a plan, of all files: where a change brings an error, all files are judged anew, so that the
/// list is the same as without a memory.
pub async fn bring_up_to_date(context: &Context, mut index: Index) -> Result<Current, Vec<Diagnostic>> {
    let root = context.snapshot.tree_id("").map(|it| it.as_bytes().to_vec()).unwrap_or_default();
    let same = !root.is_empty() && root == index.root && !index.files.is_empty();
    let Listing { files, trees, warnings: mut diagnostics } = match same {
        true => Listing { files: index.files.clone(), trees: std::mem::take(&mut index.trees), warnings: Vec::new() },
        false => listing::list(context, &index)?,
    };
    // What a listing warns of is told at every pass: such a tree is listed again.
    let root = if diagnostics.is_empty() { root } else { Vec::new() };
    let trees = Trees { root, trees };
    if index.rows.is_empty() {
        return whole(context, files, trees, diagnostics).await;
    }
    let mut change = Change::between(context, &index, &files, same);
    // A file that cannot be read is told of together with all others.
    let Ok(brought) = evaluate::identities(context, &files, &change.new_files) else {
        return whole(context, files, trees, diagnostics).await;
    };
    change.take_in(&index, &brought);
    if change.affected.is_empty() && change.new_files.is_empty() {
        let counts = Counts { files: files.len(), resources: resources(&index.rows), ..Counts::default() };
        let is_moved = !same;
        let rows = change.keep(index.rows);
        return Ok(Current {
            index: trees.index(context, files, rows, is_moved),
            made: Vec::new(),
            halted: Halts::new(),
            diagnostics,
            counts,
        });
    }
    match part(context, &index, &files, &change, brought).await {
        Ok(made) => {
            let fresh = rows(context, &made);
            let evaluate::Made { resources: made, files_parsed, halted, .. } = made;
            diagnostics.extend(made.iter().flat_map(|it| it.resource.warnings.iter().cloned()));
            let mut rows = change.keep(index.rows);
            rows.extend(fresh);
            rows.sort_by(|one, other| one.id.cmp(&other.id));
            clash::judge(context, &rows, &files, &made)?;
            let counts = Counts { files: files.len(), files_parsed, resources: resources(&rows), evaluated: made.len() };
            let index = trees.index(context, files, rows, true);
            Ok(Current { index, made, halted, diagnostics, counts })
        }
        // Judged in part, an error may be another one than judged as a whole.
        Err(_) => whole(context, files, trees, diagnostics).await,
    }
}

/// What Git says of the directories that were listed.
struct Trees {
    /// Of the project's root; empty where it is to be listed again.
    root: Vec<u8>,
    trees: Vec<File>,
}

impl Trees {
    fn index(self, context: &Context, files: Vec<File>, rows: Vec<Row>, is_moved: bool) -> Index {
        let Self { root, trees } = self;
        Index { root, trees, files, rows, is_moved, ..Index::new(context.key.0) }
    }
}

/// Evaluates every file.
async fn whole(
    context: &Context,
    files: Vec<File>,
    trees: Trees,
    mut diagnostics: Vec<Diagnostic>,
) -> Result<Current, Vec<Diagnostic>> {
    let all = (0..files.len()).collect();
    let made = match evaluate::evaluate(context, &files, all, None, None).await {
        Ok(made) => made,
        Err(failed) => {
            diagnostics.extend(failed.diagnostics);
            return Err(diagnostics);
        }
    };
    let rows = rows(context, &made);
    let evaluate::Made { resources: made, files_parsed, halted, .. } = made;
    diagnostics.extend(made.iter().flat_map(|it| it.resource.warnings.iter().cloned()));
    clash::judge(context, &rows, &files, &made)?;
    let counts = Counts { files: files.len(), files_parsed, resources: made.len(), evaluated: made.len() };
    let index = trees.index(context, files, rows, true);
    Ok(Current { index, made, halted, diagnostics, counts })
}

/// How many rows are resources.
fn resources(rows: &[Row]) -> usize {
    rows.iter().filter(|it| !it.removed).count()
}

/// What two listings differ by, in terms of rows.
struct Change {
    /// Rows whose resources must be evaluated again, or are gone.
    affected: BTreeSet<usize>,
    /// Files (new positions) that are new or have another content.
    new_files: BTreeSet<usize>,
    /// New position of each old file; None: gone or changed.
    moved: Vec<Option<u32>>,
    /// New position of each old file by path, changed or not; None: gone.
    by_path: Vec<Option<u32>>,
}

impl Change {
    fn between(context: &Context, index: &Index, files: &[File], same: bool) -> Self {
        let mut this = Self { affected: BTreeSet::new(), new_files: BTreeSet::new(), moved: Vec::new(), by_path: Vec::new() };
        if same {
            this.moved = (0..index.files.len()).map(|it| u32::try_from(it).ok()).collect();
            this.by_path = this.moved.clone();
        } else {
            this.compare(&index.files, files);
        }
        for (position, row) in index.rows.iter().enumerate() {
            let touched = !same && row.files.iter().any(|it| this.moved.get(*it as usize).is_none_or(Option::is_none));
            let other_blob = |(path, id): &(String, Vec<u8>)| {
                context.snapshot.find(path).ok().flatten().is_none_or(|entry| entry.id.as_bytes() != id)
            };
            if touched || row.live || (!same && row.blobs.iter().any(other_blob)) {
                this.affected.insert(position);
            }
        }
        this
    }

    /// Adds what the resources in new and changed files affect, and then all that depends on anything affected.
    ///
    /// A resource may get another layer without any of its files having changed. A new one may have the name that a short
    /// reference to another meant: what that refers to is worked out again.
    fn take_in(&mut self, index: &Index, brought: &[ResourceId]) {
        let mut names: HashSet<String> = HashSet::new();
        for id in brought {
            match index.position(id.as_str()) {
                Some(position) => drop(self.affected.insert(position)),
                None => drop(names.insert(id.name().to_owned())),
            }
        }
        // What a layer removed may be there again.
        let removed = self.affected.iter().filter_map(|it| index.rows.get(*it)).filter(|it| it.removed);
        names.extend(removed.filter_map(|it| Some(ResourceId::parse(&it.id)?.name().to_owned())));
        if !names.is_empty() {
            let may_mean = |id: &String| ResourceId::parse(id).is_some_and(|id| names.contains(id.name()));
            let rows = index.rows.iter().enumerate().filter(|(_, row)| row.after.iter().any(may_mean));
            self.affected.extend(rows.map(|(position, _)| position));
        }
        if !self.affected.is_empty() {
            self.add_dependents(index);
        }
    }

    /// Both lists are sorted by layer and path.
    fn compare(&mut self, old: &[File], new: &[File]) {
        let mut at = 0;
        for file in old {
            let order = |other: &File| (other.layer, &other.path).cmp(&(file.layer, &file.path));
            while new.get(at).is_some_and(|it| order(it).is_lt()) {
                self.new_files.insert(at);
                at += 1;
            }
            let (mut moved, mut by_path) = (None, None);
            if let Some(it) = new.get(at).filter(|it| order(it).is_eq()) {
                by_path = u32::try_from(at).ok();
                if it.id == file.id {
                    moved = by_path;
                } else {
                    self.new_files.insert(at);
                }
                at += 1;
            }
            self.moved.push(moved);
            self.by_path.push(by_path);
        }
        self.new_files.extend(at..new.len());
    }

    /// A resource that names an affected one is affected: its expressions may come out different.
    fn add_dependents(&mut self, index: &Index) {
        let mut dependents: HashMap<&str, Vec<usize>> = HashMap::new();
        for (position, row) in index.rows.iter().enumerate() {
            row.after.iter().for_each(|it| dependents.entry(it).or_default().push(position));
        }
        let mut todo: Vec<usize> = self.affected.iter().copied().collect();
        while let Some(position) = todo.pop() {
            let Some(row) = index.rows.get(position) else { continue };
            for dependent in dependents.get(row.id.as_str()).into_iter().flatten() {
                if self.affected.insert(*dependent) {
                    todo.push(*dependent);
                }
            }
        }
    }

    /// The rows that stay as they are, with files at their new positions.
    fn keep(&self, rows: Vec<Row>) -> Vec<Row> {
        let renumber = |it: &mut u32| {
            if let Some(Some(new)) = self.moved.get(*it as usize) {
                *it = *new;
            }
        };
        let kept = rows.into_iter().enumerate().filter(|(position, _)| !self.affected.contains(position));
        kept.map(|(_, mut row)| {
            row.files.iter_mut().for_each(renumber);
            renumber(&mut row.location.0);
            row
        })
        .collect()
    }
}

/// Evaluates the affected resources and those that the changed files bring.
///
/// No circle escapes it: one that closes now has an edge of something affected, and all that depends on that is affected too.
async fn part(
    context: &Context,
    index: &Index,
    files: &[File],
    change: &Change,
    brought: Vec<ResourceId>,
) -> Result<evaluate::Made, evaluate::Failed> {
    let mut only: HashSet<ResourceId> = brought.into_iter().collect();
    only.extend(change.affected.iter().filter_map(|it| ResourceId::parse(&index.rows.get(*it)?.id)));
    // Only what stays as it is may be relied on unseen: what is affected may be gone.
    let rest = evaluate::Rest::of(index, Some(&change.affected));
    let mut wanted: BTreeSet<usize> = change.new_files.clone();
    let mut todo: Vec<usize> = change.affected.iter().copied().collect();
    let mut seen = change.affected.clone();
    for _ in 0..MAX_ROUNDS {
        add_files(index, change, &mut todo, &mut seen, &mut wanted);
        match evaluate::evaluate(context, files, wanted.iter().copied().collect(), Some(only.clone()), Some(&rest)).await {
            // A new reference leads to what is declared elsewhere: its files take part, and it is tried again.
            Err(failed) if !failed.missing.is_empty() => {
                let positions = failed.missing.iter().filter_map(|it| index.position(it.as_str()));
                todo.extend(positions.filter(|it| seen.insert(*it)));
                if todo.is_empty() {
                    return Err(failed);
                }
            }
            other => return other,
        }
    }
    Err(Vec::new().into())
}

/// Adds the files of the rows in `todo`, and of all that they name.
fn add_files(index: &Index, change: &Change, todo: &mut Vec<usize>, seen: &mut BTreeSet<usize>, wanted: &mut BTreeSet<usize>) {
    while let Some(position) = todo.pop() {
        let Some(row) = index.rows.get(position) else { continue };
        wanted
            .extend(row.files.iter().filter_map(|it| change.by_path.get(*it as usize).copied().flatten()).map(|it| it as usize));
        todo.extend(row.after.iter().filter_map(|it| index.position(it)).filter(|it| seen.insert(*it)));
    }
}

/// Files of these rows and of all that they name, directly or not.
pub fn files_of(index: &Index, rows: &[u32]) -> Vec<usize> {
    let mut todo: Vec<usize> = rows.iter().map(|it| *it as usize).collect();
    let mut seen: HashSet<usize> = todo.iter().copied().collect();
    let mut files = BTreeSet::new();
    while let Some(position) = todo.pop() {
        let Some(row) = index.rows.get(position) else { continue };
        files.extend(row.files.iter().map(|it| *it as usize));
        todo.extend(row.after.iter().filter_map(|it| index.position(it)).filter(|it| seen.insert(*it)));
    }
    files.into_iter().collect()
}

/// What is remembered of an evaluation, by id.
fn rows(context: &Context, made: &evaluate::Made) -> Vec<Row> {
    let mut rows: Vec<Row> = made.resources.iter().map(|it| row(context, it)).collect();
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    let mut gone = Vec::new();
    for (id, files) in &made.removed {
        match rows.binary_search_by(|it| it.id.as_str().cmp(id.as_str())).ok().and_then(|at| rows.get_mut(at)) {
            // Added again by a later layer: what it was before counts all the same.
            Some(row) => {
                let new: Vec<u32> = files.iter().filter(|it| !row.files.contains(it)).copied().collect();
                row.files.extend(new);
            }
            None => gone.push(Row {
                id: id.to_string(),
                files: files.clone(),
                after: Vec::new(),
                settings: None,
                location: (files.first().copied().unwrap_or_default(), 0, 0, 0),
                blobs: Vec::new(),
                live: false,
                removed: true,
                objects: Vec::new(),
            }),
        }
    }
    rows.extend(gone);
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    rows
}

/// What is remembered of a resource.
fn row(context: &Context, made: &Made) -> Row {
    let it = &made.resource;
    let position = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
    let object = |object: &Rendered| Object {
        kind: object.address.scope.kind.to_string(),
        scope: object.address.scope.scope.to_string(),
        key: object.address.key.to_string(),
        digest: Digest::of_json(&object.document).0,
        siblings: object
            .siblings
            .iter()
            .filter_map(|it| made.objects.iter().position(|other| other.address == *it))
            .map(position)
            .collect(),
        claims: claims(context, object),
    };
    let blobs = it.blobs.iter().filter_map(|path| {
        let entry = context.snapshot.find(path).ok().flatten()?;
        Some((path.to_string(), entry.id.as_bytes().to_vec()))
    });
    Row {
        id: it.id.to_string(),
        files: it.files.clone(),
        after: it.after.iter().map(ToString::to_string).collect(),
        settings: SettingsRow::of(&it.settings),
        location: (it.files.first().copied().unwrap_or(position(0)), it.location.line, it.location.column, it.location.width),
        blobs: blobs.collect(),
        live: it.waits || !it.secrets.is_empty() || !it.warnings.is_empty(),
        removed: false,
        objects: made.objects.iter().map(object).collect(),
    }
}

/// What an object's document claims, as it is remembered.
fn claims(context: &Context, object: &Rendered) -> Option<Vec<String>> {
    let Scope { provider, kind, .. } = &object.address.scope;
    let kind = context.providers.get(provider)?.manifest.kinds.get(&**kind)?;
    kind.claim(&object.document).map(|it| it.except)
}
