//! Which kinds an environment's documents mention, before those kinds are known.
//!
//! Systems that have kinds of their own are asked for those that documents name, in the version that they name. What each file
//! mentions is remembered by its content, so that a pass reads only files that are new.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use serde::{Deserialize, Serialize};
use trueup_core::diagnostic::{Diagnostic, Location, codes};
use trueup_core::document;

use super::index::{File, Index};
use super::listing::{self, Listing};
use super::{Context, evaluate};
use crate::regular;

/// Changes whenever the layout of [`Memory`] does.
const FORMAT: u32 = 1;
/// A larger file is not ours.
const MAX_BYTES: u64 = 1 << 30;

/// Provider, kind and version that a document names.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head {
    pub alias: String,
    pub kind: String,
    pub version: String,
}

/// One document: a position in [`Memory::heads`], then line, column and width of its `apiVersion`.
type Said = (u32, u32, u32, u32);

/// What is remembered of an environment's files.
#[derive(Serialize, Deserialize, Default)]
struct Memory {
    format: u32,
    key: [u8; 32],
    root: Vec<u8>,
    trees: Vec<File>,
    files: Vec<File>,
    heads: Vec<Head>,
    /// By file.
    said: Vec<Vec<Said>>,
}

/// What the documents mention.
pub struct Mentions {
    memory: Memory,
}

impl Mentions {
    /// Looks through the files of an environment. `context` need not know any kind yet: its key says whose documents are. Files that cannot be listed or read mention nothing: whoever reads them next says
    /// why.
    pub fn gather(context: &Context) -> Self {
        let key = context.key.0;
        let file = context.memory.as_ref().map(|it| it.with_extension("kinds"));
        let mut known = file.as_deref().and_then(|it| Memory::load(it, key)).unwrap_or_default();
        let root = context.snapshot.tree_id("").map(|it| it.as_bytes().to_vec()).unwrap_or_default();
        if !root.is_empty() && root == known.root {
            return Self { memory: known };
        }
        let index = Index { files: std::mem::take(&mut known.files), trees: std::mem::take(&mut known.trees), ..Index::new(key) };
        let Ok(Listing { files, trees, warnings }) = listing::list(context, &index) else {
            return Self { memory: Memory::default() };
        };
        known.files = index.files;
        let root = if warnings.is_empty() { root } else { Vec::new() };
        let mut memory = Memory { format: FORMAT, key, root, trees, files, ..Memory::default() };
        let fresh = memory.take_over(&known);
        memory.read(context, fresh);
        if let Some(file) = &file
            && let Err(error) = memory.save(file)
        {
            tracing::debug!("cannot write {}: {error}", file.display());
        }
        Self { memory }
    }

    /// Everything that is mentioned, once each.
    pub fn heads(&self) -> impl Iterator<Item = &Head> {
        self.memory.heads.iter()
    }

    /// A finding for each kind of these aliases that is mentioned in several versions.
    pub fn mixed(&self, of: impl Fn(&str) -> bool) -> Vec<Diagnostic> {
        let mut versions: BTreeMap<(&str, &str), BTreeSet<u32>> = BTreeMap::new();
        for (at, head) in (0_u32..).zip(&self.memory.heads).filter(|(_, it)| of(&it.alias)) {
            versions.entry((&head.alias, &head.kind)).or_default().insert(at);
        }
        let several = versions.into_iter().filter(|(_, heads)| heads.len() > 1);
        several.filter_map(|((_, kind), heads)| self.several(kind, &heads)).collect()
    }

    fn several(&self, kind: &str, heads: &BTreeSet<u32>) -> Option<Diagnostic> {
        let mut places = heads.iter().filter_map(|it| Some((self.head(*it)?, self.place(*it)?)));
        let ((first, one), (second, two)) = (places.next()?, places.next()?);
        let message = format!("`{kind}` is declared in two versions, `{}` and `{}`", first.version, second.version);
        let finding = Diagnostic::error(codes::API_VERSION, message).at(two).also(one, "the other version");
        Some(finding.hint("write all documents of a kind in one version: what one of them says is compared in that version"))
    }

    /// Where the first document with this head is.
    pub fn place_of(&self, head: &Head) -> Option<Location> {
        let at = self.memory.heads.iter().position(|it| it == head)?;
        self.place(u32::try_from(at).ok()?)
    }

    fn head(&self, at: u32) -> Option<&Head> {
        self.memory.heads.get(at as usize)
    }

    fn place(&self, head: u32) -> Option<Location> {
        let found = self.memory.said.iter().zip(&self.memory.files).find_map(|(said, file)| {
            let (_, line, column, width) = said.iter().find(|it| it.0 == head)?;
            Some((file, *line, *column, *width))
        });
        let (file, line, column, width) = found?;
        Some(Location { file: file.path.as_str().into(), line, column, width })
    }

    /// The environment's files, and which of them have documents that these heads are about.
    pub fn files(&self, about: impl Fn(&Head) -> bool) -> (&[File], Vec<usize>) {
        let heads: BTreeSet<u32> = (0_u32..).zip(&self.memory.heads).filter(|(_, it)| about(it)).map(|(at, _)| at).collect();
        let holds = |said: &Vec<Said>| said.iter().any(|it| heads.contains(&it.0));
        let which = self.memory.said.iter().enumerate().filter(|(_, it)| holds(it)).map(|(at, _)| at).collect();
        (&self.memory.files, which)
    }
}

impl Memory {
    fn load(file: &Path, key: [u8; 32]) -> Option<Self> {
        let memory: Self = postcard::from_bytes(&regular::read(file, MAX_BYTES).ok()?).ok()?;
        let heads = u32::try_from(memory.heads.len()).ok()?;
        let sound = memory.format == FORMAT
            && memory.key == key
            && memory.said.len() == memory.files.len()
            && memory.said.iter().flatten().all(|it| it.0 < heads);
        sound.then_some(memory)
    }

    fn save(&self, file: &Path) -> io::Result<()> {
        let bytes = postcard::to_stdvec(self).map_err(io::Error::other)?;
        fs::create_dir_all(file.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        let temporary = file.with_extension(format!("kinds.{}.tmp", std::process::id()));
        fs::write(&temporary, bytes)?;
        fs::rename(&temporary, file)
    }

    /// Takes over what is known of files whose content is the same; the positions of the others.
    fn take_over(&mut self, known: &Self) -> Vec<usize> {
        let by_id: HashMap<&[u8], &Vec<Said>> =
            known.files.iter().zip(&known.said).map(|(file, said)| (file.id.as_slice(), said)).collect();
        let mut heads = Heads::default();
        self.said = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let said = by_id.get(file.id.as_slice()).into_iter().flat_map(|it| it.iter());
            let renumbered = said.filter_map(|it| Some((heads.number(known.heads.get(it.0 as usize)?), it.1, it.2, it.3)));
            self.said.push(renumbered.collect());
        }
        self.heads = heads.all;
        let is_new = |(at, file): (usize, &File)| (!by_id.contains_key(file.id.as_slice())).then_some(at);
        self.files.iter().enumerate().filter_map(is_new).collect()
    }

    /// Reads the files that are new.
    fn read(&mut self, context: &Context, fresh: Vec<usize>) {
        if fresh.is_empty() {
            return;
        }
        let aliases: Vec<&Arc<str>> = context.providers.keys().collect();
        let Ok(found) = evaluate::with_input(context, &self.files, fresh, document::mentions) else { return };
        let mut heads = Heads::of(std::mem::take(&mut self.heads));
        for it in found {
            let Some(alias) = aliases.get(it.provider) else { continue };
            let head = heads.number(&Head { alias: alias.to_string(), kind: it.kind, version: it.version });
            if let Some(said) = self.said.get_mut(it.file as usize) {
                said.push((head, it.place.line, it.place.column, it.place.width));
            }
        }
        self.heads = heads.all;
    }
}

/// Heads by number.
#[derive(Default)]
struct Heads {
    all: Vec<Head>,
    numbers: HashMap<Head, u32>,
}

impl Heads {
    fn of(all: Vec<Head>) -> Self {
        let numbers = (0_u32..).zip(&all).map(|(at, it)| (it.clone(), at)).collect();
        Self { all, numbers }
    }

    fn number(&mut self, head: &Head) -> u32 {
        if let Some(known) = self.numbers.get(head) {
            return *known;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(head.clone());
        self.numbers.insert(head.clone(), number);
        number
    }
}
