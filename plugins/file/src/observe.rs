//! `scan` and `read`: what stands in the directories.
//!
//! A call of any size asks the engine twice: once for all listings, once for the content of all files that moved. A
//! directory whose listing hashes to what the engine already holds costs neither. A scan reads no file that is too long to
//! stand in a document: it is named as `unread`, and the engine asks for it by `read` where somebody declares or owns it, so
//! that a neighbour of any size costs a declared file nothing.
//!
//! Invariant: an edit is never missed because it came within a tick of the file system's clock. What is so young goes
//! into the [table](crate::table) without a fingerprint, and a version that holds such an entry ends with `~`, which is
//! never answered with `unchanged`.

use std::collections::HashMap;

use serde_json::json;
use trueup_sdk::error::healthy;
use trueup_sdk::host::cache;
use trueup_sdk::host::files::{self, Content, Entry, FileError, FileType, Listing, ReadRequest};
use trueup_sdk::{
    Address, CallInfo, Coverage, Diagnostic, Error, Fault, Gone, Json, Lookup, Observation, Remote, Result, ScopeQuery, Severity,
    Snapshot,
};

use crate::document::{self, INLINE, Kind, LONGEST};
use crate::path::{RelativePath, under};
use crate::stat::{self, Hasher};
use crate::table::Table;

/// How long the engine may keep a table: until something better displaces it.
const TABLE_TTL: u64 = 365 * 24 * 3600 * 1000;

/// Most text of files in one answer, in bytes. What is above is left for the next page, so that an answer stays well
/// below the engine's limit however many scopes were asked for.
const ANSWER: u64 = 16 << 20;

/// One directory of a call, as far as it can be told without reading a file.
struct Look {
    kind: Kind,
    /// Those of the kind, in order of the names.
    entries: Vec<Entry>,
    version: String,
    /// Indices into `entries` that this page reports.
    report: std::ops::Range<usize>,
    /// Of the entries in `report`, which ones: all for a whole scan, those that moved for a delta.
    moved: Option<Vec<usize>>,
    gone: Vec<String>,
    next: Option<String>,
    /// The listing moved since the first page: the pages together are no state of the directory.
    torn: bool,
    diagnostics: Vec<Diagnostic>,
}

/// Answers each query.
pub fn scan(root: &str, queries: &[ScopeQuery], info: &CallInfo) -> Vec<Result<Snapshot>> {
    let listings = list(root, queries.iter().map(|it| it.scope.as_str()));
    let mut budget = ANSWER;
    let looks = queries.iter().map(|query| look(query, &listings, info, &mut budget)).collect::<Vec<_>>();
    let wanted = looks.iter().zip(queries).filter_map(|(look, query)| Some((look.as_ref().ok()?.as_ref()?, query)));
    let requests =
        wanted.flat_map(|(look, query)| look.to_read().map(|entry| request(root, &query.scope, &entry.name))).collect::<Vec<_>>();
    let mut contents = if requests.is_empty() { Vec::new() } else { files::read_all(&requests) }.into_iter();
    let answer = |(look, query): (Result<Option<Look>>, &ScopeQuery)| match look? {
        None => Ok(unchanged(query)),
        Some(look) => Ok(look.answer(query, info, &mut contents)),
    };
    looks.into_iter().zip(queries).map(answer).collect()
}

/// Lists each directory once, however many queries name it.
fn list<'a>(root: &str, scopes: impl Iterator<Item = &'a str>) -> HashMap<&'a str, Result<Listing, FileError>> {
    let mut names = scopes.collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    let directories = names.iter().map(|scope| under(root, scope)).collect::<Vec<_>>();
    names.into_iter().zip(files::list_all(&directories)).collect()
}

fn request(root: &str, scope: &str, name: &str) -> ReadRequest {
    ReadRequest { path: format!("{}/{name}", under(root, scope)), max_bytes: INLINE }
}

fn unchanged(query: &ScopeQuery) -> Snapshot {
    let version = query.since.clone();
    Snapshot {
        objects: Vec::new(),
        next: None,
        version,
        coverage: Coverage::Unchanged,
        gone: Vec::new(),
        diagnostics: Vec::new(),
        ext: Vec::new(),
    }
}

/// Whether the entry is of the kind's business: directories of `Directory`; of `File` all the rest, as a link or a pipe
/// where a file is declared must be seen.
fn concerns(kind: Kind, entry: &Entry) -> bool {
    (entry.kind == FileType::Directory) == (kind == Kind::Directory)
}

/// Hash of all that could make a difference to objects of the kind. The times of a directory move with what stands in
/// it, so of directories only inode and mode count.
fn hash(kind: Kind, entries: &[Entry]) -> u128 {
    let mut hasher = Hasher::new();
    for entry in entries.iter().filter(|it| concerns(kind, it)) {
        hasher.bytes(entry.name.as_bytes());
        match kind {
            Kind::File => hasher.stat(entry),
            Kind::Directory => {
                hasher.word(entry.inode);
                hasher.word(u64::from(entry.mode));
            }
        }
    }
    hasher.finish()
}

/// Whether a scan reads the entry.
fn is_read(entry: &Entry) -> bool {
    entry.kind == FileType::File && entry.size <= INLINE
}

/// Whether what was reported of the entry may be stale although its stat is the same. A directory has nothing to read.
fn is_racy(kind: Kind, entry: &Entry, info: &CallInfo) -> bool {
    kind == Kind::File && entry.kind == FileType::File && stat::is_racy(entry, info.now)
}

/// Whether a directory that could not be listed surely holds nothing: it is not there, or a file stands in its place. What
/// stands behind a link is another matter: nobody looked.
fn holds_nothing(error: &FileError) -> bool {
    matches!(error, FileError::NotFound | FileError::WrongType(FileType::File | FileType::Other))
}

/// Decides what must be read. None: nothing changed.
fn look(
    query: &ScopeQuery,
    listings: &HashMap<&str, Result<Listing, FileError>>,
    info: &CallInfo,
    budget: &mut u64,
) -> Result<Option<Look>> {
    let kind = Kind::parse(&query.kind)?;
    let empty = Listing { entries: Vec::new(), unreadable: 0 };
    let listing = match listings.get(query.scope.as_str()) {
        Some(Ok(listing)) => listing,
        Some(Err(error)) if holds_nothing(error) => &empty,
        Some(Err(error)) => return Err(failure(&query.scope, error)),
        None => return Err(Error::internal("the engine left a listing out of its answer")),
    };
    let hash = format!("{:032x}", hash(kind, &listing.entries));
    if query.since.as_deref() == Some(&hash) && query.cursor.is_none() {
        return Ok(None);
    }
    let mut entries = listing.entries.iter().filter(|it| concerns(kind, it)).cloned().collect::<Vec<_>>();
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let racy = entries.iter().any(|it| is_racy(kind, it, info));
    let version = if racy { format!("{hash}~") } else { hash };
    let mut look = Look {
        kind,
        report: 0..entries.len(),
        entries,
        version,
        moved: None,
        gone: Vec::new(),
        next: None,
        torn: false,
        diagnostics: Vec::new(),
    };
    if listing.unreadable > 0 {
        let text = format!("{} names in `{}` are not UTF-8 and were left out", listing.unreadable, shown(&query.scope));
        look.diagnostics.push(Error::invalid("file.name", text).diagnostic(Severity::Warning));
    }
    if query.cursor.is_none() {
        look.narrow(query, *budget);
    }
    if look.moved.is_none() {
        look.page(query, *budget);
    }
    *budget = budget.saturating_sub(look.to_read().map(|it| it.size).sum());
    Ok(Some(look))
}

/// The cache's key for the table of a scope.
fn table_key(kind: Kind, scope: &str) -> String {
    format!("scope/{}/{scope}", kind.name())
}

impl Look {
    /// Answers with a delta, where the table of the version that the engine holds is there and the answer fits in one page.
    fn narrow(&mut self, query: &ScopeQuery, budget: u64) {
        let Some(since) = query.since.as_deref() else { return };
        let table = cache::get(&table_key(self.kind, &query.scope)).and_then(|bytes| Table::parse(&bytes));
        let Some(table) = table.filter(|it| it.version == since) else { return };
        let mut known = table.entries.into_iter().peekable();
        let (mut moved, mut gone) = (Vec::new(), Vec::new());
        for (index, entry) in self.entries.iter().enumerate() {
            while let Some((name, _)) = known.next_if(|(name, _)| *name < entry.name) {
                gone.push(name);
            }
            let before = known.next_if(|(name, _)| *name == entry.name).and_then(|(_, fingerprint)| fingerprint);
            if before != Some(self.fingerprint(entry)) {
                moved.push(index);
            }
        }
        gone.extend(known.map(|(name, _)| name));
        let bytes =
            moved.iter().filter_map(|index| self.entries.get(*index)).filter(|it| is_read(it)).map(|it| it.size).sum::<u64>();
        if moved.len().saturating_add(gone.len()) <= query.limit as usize && bytes <= budget {
            (self.moved, self.gone) = (Some(moved), gone);
        }
    }

    fn fingerprint(&self, entry: &Entry) -> u128 {
        match self.kind {
            Kind::File => stat::fingerprint(entry),
            Kind::Directory => hash(Kind::Directory, std::slice::from_ref(entry)),
        }
    }

    /// Cuts a page out of a whole scan. A cursor is the version of the first page and the last name that was reported.
    fn page(&mut self, query: &ScopeQuery, budget: u64) {
        let (first, after) = match query.cursor.as_deref().and_then(|it| it.split_once('/')) {
            Some((first, after)) => (first.to_owned(), Some(after)),
            None => (self.version.clone(), None),
        };
        self.torn = first.trim_end_matches('~') != self.version.trim_end_matches('~');
        let begin = after.map_or(0, |after| self.entries.partition_point(|it| it.name.as_str() <= after));
        let mut bytes = 0_u64;
        let fits = |entry: &&Entry| {
            bytes = bytes.saturating_add(if is_read(entry) { entry.size } else { 0 });
            bytes <= budget
        };
        let rest = self.entries.get(begin..).unwrap_or_default();
        let count = rest.iter().take(query.limit.max(1) as usize).take_while(fits).count();
        self.report = begin..begin.saturating_add(count);
        if count < rest.len() {
            let last = self.report.end.checked_sub(1).and_then(|it| self.entries.get(it)).map_or("", |it| it.name.as_str());
            self.next = Some(format!("{first}/{last}"));
        }
    }

    /// What this page reports.
    fn reported(&self) -> impl Iterator<Item = &Entry> {
        let whole = self.moved.is_none().then(|| self.entries.get(self.report.clone()).unwrap_or_default());
        let moved = self.moved.iter().flatten().filter_map(|index| self.entries.get(*index));
        whole.unwrap_or_default().iter().chain(moved)
    }

    /// Of that, what is read.
    fn to_read(&self) -> impl Iterator<Item = &Entry> {
        self.reported().filter(|it| is_read(it))
    }

    /// Builds the answer, taking one content for each entry of [`to_read`](Self::to_read) from `contents`.
    fn answer(
        self,
        query: &ScopeQuery,
        info: &CallInfo,
        contents: &mut impl Iterator<Item = Result<Content, FileError>>,
    ) -> Snapshot {
        let mut objects = Vec::new();
        let mut read = HashMap::new();
        for entry in self.reported() {
            let content = is_read(entry).then(|| contents.next()).flatten();
            let is_unread = entry.kind == FileType::File && content.is_none();
            let (mut remote, seen) = object(self.kind, &query.scope, entry, content);
            if let Some(remote) = remote.as_mut().filter(|_| is_unread) {
                remote.ext.push(("unread".to_owned(), "true".to_owned()));
            }
            objects.extend(remote);
            // The table holds what was reported, which the entry may have left behind between its listing and its reading.
            read.insert(entry.name.clone(), seen);
        }
        let complete = self.next.is_none() && !self.torn && (self.moved.is_some() || self.report.start == 0);
        if complete {
            self.keep(query, info, &read);
        }
        let delta = self.moved.is_some();
        let address = |key: String| Address { kind: self.kind.name().to_owned(), scope: query.scope.clone(), key };
        let gone = self.gone.into_iter().map(|name| Gone { address: address(name), identity: None }).collect();
        Snapshot {
            objects,
            version: (self.next.is_none() && !self.torn).then_some(self.version),
            coverage: if delta { Coverage::Delta } else { Coverage::Whole },
            gone,
            next: self.next,
            diagnostics: self.diagnostics,
            ext: Vec::new(),
        }
    }

    /// Keeps the table of this version. `read` has what was reported now; the rest is as the table before said.
    fn keep(&self, query: &ScopeQuery, info: &CallInfo, read: &HashMap<String, Option<Entry>>) {
        let row = |entry: &Entry| {
            let seen = match read.get(&entry.name) {
                Some(seen) => seen.as_ref()?,
                None => entry,
            };
            let certain = !is_racy(self.kind, seen, info);
            Some((entry.name.clone(), certain.then(|| self.fingerprint(seen))))
        };
        let table = Table { version: self.version.clone(), entries: self.entries.iter().filter_map(row).collect() };
        cache::put(&table_key(self.kind, &query.scope), &table.to_bytes(), TABLE_TTL);
    }
}

/// One entry as an object, and the stat that it had when it was read; none where it is gone by now. A file without its content
/// was not read.
fn object(
    kind: Kind,
    scope: &str,
    entry: &Entry,
    content: Option<Result<Content, FileError>>,
) -> (Option<Remote>, Option<Entry>) {
    let path = if scope.is_empty() { entry.name.clone() } else { format!("{scope}/{}", entry.name) };
    let other = |what: &str| (document::observed_other(&path, what), json!({}), entry.clone());
    let (doc, outputs, seen) = match (entry.kind, content) {
        (FileType::Directory, _) => (document::observed_directory(&path, entry.mode), json!({}), entry.clone()),
        (FileType::Symlink, _) | (_, Some(Err(FileError::WrongType(FileType::Symlink)))) => other("symlink"),
        (FileType::File, Some(Ok(content))) => {
            let (stat, outputs) = (content.stat.clone(), outputs(&content.sha256, content.stat.size));
            (document::observed_file(&path, document::observed_content(content), stat.mode), outputs, stat)
        }
        (_, Some(Err(FileError::NotFound))) => return (None, None),
        (FileType::File, None) => {
            (document::observed_file(&path, document::unread_content(entry.size), entry.mode), json!({}), entry.clone())
        }
        (FileType::File, _) => other("unreadable"),
        (FileType::Other, _) => other("other"),
    };
    let remote = remote(kind, scope, &entry.name, doc, outputs, version(kind, &seen));
    (Some(remote), Some(seen))
}

/// What `.status` of a file holds.
pub fn outputs(sha256: &str, size: u64) -> Json {
    json!({ "sha256": sha256, "size": size })
}

/// The version of an object: its stat, without what moves in a directory with what stands in it.
pub fn version(kind: Kind, entry: &Entry) -> String {
    match kind {
        Kind::File => stat::version(entry),
        Kind::Directory => stat::version(&Entry { size: 0, modified: 0, changed: 0, ..entry.clone() }),
    }
}

/// An object as the contract wants it.
pub fn remote(kind: Kind, scope: &str, key: &str, doc: Json, outputs: Json, version: String) -> Remote {
    let identity = if scope.is_empty() { key.to_owned() } else { format!("{scope}/{key}") };
    Remote {
        address: Address { kind: kind.name().to_owned(), scope: scope.to_owned(), key: key.to_owned() },
        identity,
        doc: doc.to_string(),
        outputs: outputs.to_string(),
        version: Some(version),
        mark: None,
        health: healthy(),
        sensitive: Vec::new(),
        ext: Vec::new(),
    }
}

/// Answers each lookup. All are looked at by name, then the files that may have moved are read together. A file that is longer
/// than any that could be declared is not read, and never equals a declaration.
pub fn read(root: &str, lookups: &[Lookup], info: &CallInfo) -> Vec<Observation> {
    let places = lookups.iter().map(place).collect::<Vec<_>>();
    let paths = places.iter().flatten().map(|(_, path)| under(root, path.as_str())).collect::<Vec<_>>();
    let mut stats = if paths.is_empty() { Vec::new() } else { files::stat_all(&paths) }.into_iter();
    let mut found = |(place, lookup): (Result<(Kind, RelativePath)>, &Lookup)| {
        let (kind, _) = place?;
        found(kind, lookup, stats.next())
    };
    let found = places.into_iter().zip(lookups).map(&mut found).collect::<Vec<_>>();
    let moved = |kind: Kind, entry: &Entry, lookup: &Lookup| {
        is_racy(kind, entry, info) || lookup.since.as_deref() != Some(&version(kind, entry))
    };
    let wanted = |kind: Kind, entry: &Entry, lookup: &Lookup| {
        entry.kind == FileType::File && entry.size <= LONGEST && moved(kind, entry, lookup)
    };
    let mut requests = Vec::new();
    for (found, lookup) in found.iter().zip(lookups) {
        if let Ok(Some((kind, entry))) = found
            && wanted(*kind, entry, lookup)
        {
            requests.push(request(root, &lookup.address.scope, &entry.name));
        }
    }
    let mut contents = if requests.is_empty() { Vec::new() } else { files::read_all(&requests) }.into_iter();
    let answer = |(found, lookup): (Result<Option<(Kind, Entry)>>, &Lookup)| match found {
        Err(error) => Observation::Failed(error.into()),
        Ok(None) => Observation::Absent,
        Ok(Some((kind, entry))) if !moved(kind, &entry, lookup) => Observation::Unchanged,
        Ok(Some((kind, entry))) => {
            let content = wanted(kind, &entry, lookup).then(|| contents.next()).flatten();
            object(kind, &lookup.address.scope, &entry, content).0.map_or(Observation::Absent, Observation::Found)
        }
    };
    found.into_iter().zip(lookups).map(answer).collect()
}

fn place(lookup: &Lookup) -> Result<(Kind, RelativePath)> {
    let kind = Kind::parse(&lookup.address.kind)?;
    let path = RelativePath::of(&lookup.address.scope, &lookup.address.key);
    Ok((kind, path.map_err(|message| Error::invalid("file.path", message))?))
}

/// What the engine's answer says of a lookup: the entry, if there is one of the kind.
fn found(kind: Kind, lookup: &Lookup, stat: Option<Result<Entry, FileError>>) -> Result<Option<(Kind, Entry)>> {
    match stat {
        Some(Ok(entry)) => Ok(concerns(kind, &entry).then_some((kind, entry))),
        Some(Err(error)) if holds_nothing(&error) => Ok(None),
        Some(Err(error)) => Err(failure(&lookup.address.scope, &error)),
        None => Err(Error::internal("the engine left a path out of its answer")),
    }
}

/// A path as people should see it: the root has no name of its own.
pub fn shown(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

/// What a failed file call means. Nothing was changed, but for `io`, which says so only within a change.
pub fn failure(path: &str, error: &FileError) -> Error {
    let path = shown(path);
    match error {
        FileError::Denied(rule) => Error::new(Fault::Denied, "file.denied", format!("`{path}`: {rule}")),
        FileError::NotFound => Error::new(Fault::NotFound, "file.not-found", format!("`{path}` does not exist")),
        FileError::WrongType(FileType::Symlink) => Error::conflict(
            "file.symlink",
            format!("`{path}` is or passes through a symbolic link, which is never followed; remove the link"),
        ),
        FileError::WrongType(FileType::Directory) => {
            Error::conflict("file.type", format!("`{path}` is a directory where a file is declared; move it away"))
        }
        FileError::WrongType(FileType::File | FileType::Other) => {
            Error::conflict("file.type", format!("`{path}` or a part of it is of another type than declared; move it away"))
        }
        FileError::Conflict => Error::conflict("file.changed", format!("`{path}` changed since it was observed")),
        FileError::NotEmpty => Error::transient("file.not-empty", format!("`{path}` is not empty")),
        FileError::TooLarge(limit) => {
            Error::new(Fault::Denied, "file.too-large", format!("`{path}` is above the limit of {limit}"))
        }
        FileError::Io(text) => Error::transient("file.io", format!("`{path}`: {text}")),
    }
}
