//! Keeps what a run asked and was told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trueup_core::value::{Digest, Json};
use trueup_host::{Asked, Login, Scheme};

use super::cut::{self, Cut, Digests};
use super::file::{BYTES, Call, End, FORMAT, Header, Recording, RecordingError};
use crate::blobs::BlobTable;
use crate::config::project::{Environment, PluginRef};
use crate::config::{lock, project};
use crate::engine::{Bound, Engine};
use crate::pass::Surroundings;
use crate::source::{EntryKind, Snapshot, SourceError};
use crate::store::StoreError;

/// Bytes of one file of the project.
const FILE: u64 = 64 << 20;

/// Listens to a run. Everything stays in memory until the run's end: only then is known what must be cut.
pub struct Recorder {
    path: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    secrets: BTreeMap<String, String>,
    /// Credentials whose values come while the run goes on.
    logins: Vec<(String, Arc<dyn Login>)>,
    /// Observed values that their provider calls sensitive, with their HMACs.
    sensitives: BTreeMap<String, String>,
    /// Handles and what stands for each.
    handles: BTreeMap<String, String>,
    /// Whole values that documents made of secrets.
    composed: BTreeSet<String>,
    calls: Vec<Call>,
    seals: HashMap<Vec<u8>, Digest>,
    /// About what all of this takes.
    bytes: u64,
    start: Option<Start>,
}

/// What a run stands on, taken before it changes anything.
pub struct Start {
    header: Header,
    files: BTreeMap<String, Vec<u8>>,
    plugins: BTreeMap<String, Vec<u8>>,
    state: Option<Vec<u8>>,
}

impl Recorder {
    /// Will write to `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, kept: Mutex::default() }
    }

    /// Where it will lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the run stands on, and what no answer may carry out: credentials, which a server may echo.
    pub fn start(&self, start: Start, around: &Surroundings) {
        let mut kept = self.lock();
        kept.start = Some(start);
        for bound in around.context.providers.values() {
            for slot in bound.provider.grant().credentials.values() {
                for credential in [&slot.read, &slot.write] {
                    let name = format!("credential-{}", credential.name);
                    let (value, pair) = match &credential.scheme {
                        Scheme::Header { value, .. } | Scheme::Bearer(value) => (value.expose(), None),
                        Scheme::Basic { user, password } => (password.expose(), Some(format!("{user}:{}", password.expose()))),
                        // Values that come while it runs are asked for at its end.
                        Scheme::Kubeconfig(_) | Scheme::SigV4(_) => {
                            kept.logins.extend(credential.login().map(|it| (name, Arc::clone(it))));
                            continue;
                        }
                        // These sign, and are sent nowhere.
                        Scheme::ClientCertificate { .. } | Scheme::Tsig(_) => continue,
                    };
                    kept.secrets.insert(name.clone(), value.to_owned());
                    kept.secrets.extend(pair.map(|it| (format!("{name}-pair"), it)));
                }
            }
        }
    }

    pub(super) fn secret(&self, name: &str, value: &str) {
        self.lock().secrets.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn handle(&self, name: &str, hmac: &str, handle: &str, value: &str) {
        let mut kept = self.lock();
        if name.is_empty() {
            // A plain value of a document: no secret of ours that could be cut in its place.
            kept.sensitives.insert(value.to_owned(), hmac.to_owned());
        } else {
            kept.composed.insert(value.to_owned());
        }
        kept.handles.insert(handle.to_owned(), cut::handle(name, hmac));
    }

    pub(super) fn sensitive(&self, value: &str, hmac: &str) {
        self.lock().sensitives.insert(value.to_owned(), hmac.to_owned());
    }

    pub(super) fn hmac(&self, value: &[u8], computed: Digest) -> Digest {
        let mut kept = self.lock();
        if kept.bytes <= BYTES && kept.seals.insert(value.to_vec(), computed).is_none() {
            kept.bytes += value.len() as u64;
        }
        computed
    }

    pub(super) fn call(&self, asked: &Asked<'_>, answer: &Json) {
        let (mut question, mut answer) = (asked.question.clone(), answer.clone());
        for token in asked.tokens.iter().filter(|it| !it.is_empty()) {
            cut::swap(&mut question, token, cut::TOKEN);
            cut::swap(&mut answer, token, cut::TOKEN);
        }
        cut::cookies(&mut question);
        cut::cookies(&mut answer);
        let size = size(&question) + size(&answer);
        let mut kept = self.lock();
        kept.bytes += size;
        if kept.bytes <= BYTES {
            let (function, import) = (asked.function.to_owned(), asked.import.to_owned());
            kept.calls.push(Call { provider: asked.provider.to_owned(), function, import, question, answer });
        }
    }

    /// Cuts what is secret and writes the file.
    ///
    /// # Errors
    ///
    /// Where a secret could not be cut out, it would be too large, or the system refuses: then there is no file.
    pub fn finish(&self, blobs: &BlobTable, snapshot: &Snapshot, end: &End) -> Result<(), RecordingError> {
        let mut kept = std::mem::take(&mut *self.lock());
        for (name, login) in std::mem::take(&mut kept.logins) {
            let values = login.values().into_iter().enumerate();
            kept.secrets.extend(values.map(|(at, value)| (if at == 0 { name.clone() } else { format!("{name}-{at}") }, value)));
        }
        let mut start = kept.start.take().ok_or_else(|| RecordingError::Wrong("the run never began".to_owned()))?;
        if let Some((name, _)) = kept.secrets.iter().find(|(_, value)| value.len() < cut::SHORTEST) {
            return Err(RecordingError::Secret(name.clone()));
        }
        // What documents made of secrets is the stand-in's in the same way as the secret is.
        let composed = std::mem::take(&mut kept.composed);
        kept.sensitives.retain(|value, _| !composed.contains(value));
        if kept.sensitives.keys().any(|it| cut::is_too_short(it)) {
            return Err(RecordingError::Sensitive);
        }
        if kept.bytes > BYTES {
            return Err(RecordingError::Large);
        }
        for path in blobs.paths() {
            if let Some(bytes) = read(snapshot, &path).map_err(wrong)? {
                start.files.insert(path, bytes);
            }
        }
        start.holds_no(&kept.secrets)?;
        let values = composed.iter().chain(kept.sensitives.keys()).chain(kept.secrets.values());
        let cut = Cut::new(&kept.secrets, &kept.sensitives, &kept.handles).digests(values);
        let mut digests = Digests::default();
        for call in &mut kept.calls {
            let sealed =
                cut.json(&mut call.question, &mut Digests::default()).and_then(|()| cut.json(&mut call.answer, &mut digests));
            sealed.map_err(|why| RecordingError::Sealed(format!("`{}` in its `{}`: {why}", call.provider, call.function)))?;
        }
        kept.calls.iter_mut().for_each(|it| [&mut it.question, &mut it.answer].into_iter().for_each(|it| digests.put(it)));
        // Answers came in an order of chance where requests went side by side.
        kept.calls.sort_by_cached_key(|it| cut::key(&it.provider, &it.function, &it.import, &it.question).to_string());
        let seals = kept.seals.iter();
        let seals = seals.map(|(value, hmac)| (Digest::of(&cut.bytes(value)).to_string(), hmac.to_string())).collect();
        let mut end = serde_json::to_value(end).map_err(|error| RecordingError::Wrong(error.to_string()))?;
        cut.json(&mut end, &mut Digests::default()).map_err(RecordingError::Sealed)?;
        let end = serde_json::from_value(end).map_err(|error| RecordingError::Wrong(error.to_string()))?;
        let Start { header, files, plugins, state } = start;
        // Documents hold names of secrets; one that holds a value is its author's, and no reason to pass it on. The settings hold no
        // secret, and what is only sensitive elsewhere may be a word of theirs.
        let clean = |path: &str, bytes: Vec<u8>| {
            if matches!(path, project::FILE | lock::FILE) { bytes } else { cut.bytes(&bytes) }
        };
        let files = files.into_iter().map(|(path, bytes)| (path.clone(), clean(&path, bytes))).collect();
        Recording { header, files, plugins, state, calls: kept.calls, seals, end }.write(&self.path)
    }
}

impl Start {
    /// A replay needs the names of files, plugins and the environment, and the settings, as they are: a secret that stands in
    /// them cannot be cut.
    fn holds_no(&self, secrets: &BTreeMap<String, String>) -> Result<(), RecordingError> {
        let settings = [project::FILE, lock::FILE].into_iter().filter_map(|it| self.files.get(it));
        let settings: Vec<String> = settings.map(|it| String::from_utf8_lossy(it).into_owned()).collect();
        let Header { project, environment, revision, .. } = &self.header;
        let header = [project, environment, revision];
        let names: Vec<&String> = self.files.keys().chain(self.plugins.keys()).chain(&settings).chain(header).collect();
        for (name, value) in secrets {
            let cut = Cut::new(&[(name.clone(), value.clone())].into(), &BTreeMap::new(), &BTreeMap::new());
            if names.iter().any(|it| cut.text(it) != **it) {
                return Err(RecordingError::Named(name.clone()));
            }
        }
        Ok(())
    }

    /// Takes the project's files, its plugins and what is owned.
    ///
    /// # Errors
    ///
    /// Where any of it cannot be read.
    pub fn take(
        engine: &Engine,
        environment: &Environment,
        around: &Surroundings,
        command: &str,
    ) -> Result<Self, RecordingError> {
        let mut files = BTreeMap::new();
        for name in [project::FILE, lock::FILE] {
            files.extend(read(&engine.protected, name).map_err(wrong)?.map(|it| (name.to_owned(), it)));
        }
        let mut room = BYTES;
        for layer in &environment.layers {
            for entry in engine.snapshot.list(layer).map_err(wrong)?.into_iter().filter(|it| it.kind == EntryKind::File) {
                let bytes = engine.snapshot.read(&entry, FILE).map_err(wrong)?;
                room = room.checked_sub(bytes.len() as u64).ok_or(RecordingError::Large)?;
                files.insert(entry.path.to_string(), bytes.to_vec());
            }
        }
        let (mut plugins, mut digests) = (BTreeMap::new(), BTreeMap::new());
        for (alias, provider) in &environment.providers {
            let text = provider.plugin.text().to_owned();
            let digest = around.context.providers.get(alias).map(Bound::digest).unwrap_or_default();
            digests.insert(text.clone(), digest.to_string());
            if !matches!(provider.plugin, PluginRef::Bundled(_)) {
                let bytes = engine.plugin_bytes(&provider.plugin, &digest).map_err(RecordingError::Wrong)?;
                plugins.insert(text, bytes);
            }
        }
        let header = Header {
            format: FORMAT.to_owned(),
            trueup: env!("CARGO_PKG_VERSION").to_owned(),
            command: command.to_owned(),
            project: engine.project.name.clone(),
            environment: environment.name.clone(),
            revision: around.revision.clone(),
            now: around.context.now,
            allow_deletes: around.options.allow_deletes,
            allow_recreate: around.options.allow_recreate,
            plugins: digests,
            targets: around.context.providers.iter().map(|(alias, it)| (alias.to_string(), it.target.to_string())).collect(),
        };
        let targets: Vec<&str> = header.targets.values().map(String::as_str).collect();
        let state = around
            .store
            .export(&environment.name, &targets)
            .map_err(|error: StoreError| RecordingError::Wrong(error.to_string()))?;
        Ok(Self { header, files, plugins, state })
    }
}

fn wrong(error: SourceError) -> RecordingError {
    RecordingError::Wrong(error.to_string())
}

fn read(snapshot: &Snapshot, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
    match snapshot.find(path)? {
        Some(entry) => Ok(Some(snapshot.read(&entry, FILE)?.to_vec())),
        None => Ok(None),
    }
}

/// About how many bytes a value takes.
fn size(value: &Json) -> u64 {
    match value {
        Json::String(text) => text.len() as u64 + 32,
        Json::Array(items) => 32 + items.iter().map(size).sum::<u64>(),
        Json::Object(fields) => 32 + fields.iter().map(|(key, it)| key.len() as u64 + 32 + size(it)).sum::<u64>(),
        _ => 32,
    }
}
