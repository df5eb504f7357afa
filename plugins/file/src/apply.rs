//! `apply`: one call to the engine for a batch, each change guarded by what was observed.
//!
//! Invariant: nothing is written over, and nothing removed, that is not what the plan saw. Where the engine answers that
//! it was something else, the look that follows only decides what to say.

use serde_json::json;
use sha2::{Digest as _, Sha256};
use trueup_sdk::host::files::{
    self, Entry, Expectation, FileChange, FileError, FileType, Operation, Payload, ReadRequest, Write,
};
use trueup_sdk::{Action, Change, Error, Fault, Json, Outcome, Result};

use crate::document::{self, INLINE, Kind};
use crate::observe::{failure, outputs, remote, version};
use crate::path::{RelativePath, under};
use crate::stat;

/// A change that was judged and may be asked for.
struct Job<'a> {
    change: &'a Change,
    kind: Kind,
    path: RelativePath,
    /// `spec` of the desired document; null for a delete.
    spec: Json,
    request: FileChange,
}

/// Carries changes out; answers each.
pub fn apply(root: &str, changes: &[Change]) -> Vec<Outcome> {
    let jobs = changes.iter().map(|change| job(root, change)).collect::<Vec<_>>();
    let requests = jobs.iter().flatten().map(|it| it.request.clone()).collect::<Vec<_>>();
    let mut answers = if requests.is_empty() { Vec::new() } else { files::change_all(&requests) }.into_iter();
    let mut outcome = |job: Result<Job<'_>>| {
        let job = job?;
        let lost = || Err(FileError::Io("the engine left this change out of its answer".to_owned()));
        let answer = answers.next().unwrap_or_else(lost);
        job.outcome(answer)
    };
    jobs.into_iter().map(|job| outcome(job).unwrap_or_else(Outcome::failed)).collect()
}

fn job<'a>(root: &str, change: &'a Change) -> Result<Job<'a>> {
    let kind = Kind::parse(&change.address.kind)?;
    let path = RelativePath::of(&change.address.scope, &change.address.key);
    let path = path.map_err(|message| Error::invalid("file.path", message))?;
    let desired = change.desired.as_deref().map(serde_json::from_str::<Json>).transpose()?;
    let spec = desired.and_then(|mut doc| Some(doc.get_mut("spec")?.take())).unwrap_or_default();
    let operation = match change.action {
        Action::Create | Action::Update if spec.is_null() => return Err(Error::internal("the change has no desired document")),
        Action::Delete if kind == Kind::File => Operation::RemoveFile,
        Action::Delete => Operation::RemoveDirectory,
        Action::Create if kind == Kind::Directory => Operation::MakeDirectory(mode(&spec)?),
        Action::Update if kind == Kind::Directory || only_mode(change) => match mode(&spec)? {
            Some(mode) => Operation::SetMode(mode),
            None => return Err(Error::internal("an update changes nothing that was declared")),
        },
        Action::Create | Action::Update => {
            let payload = payload(&spec)?;
            let mode = mode(&spec)?.or_else(|| unsaid_mode(change.action, &payload));
            Operation::Write(Write { payload, mode })
        }
    };
    let request = FileChange {
        path: under(root, path.as_str()),
        operation,
        expect: expectation(kind, change, path.key())?,
        token: change.token.clone(),
    };
    Ok(Job { change, kind, path, spec, request })
}

/// Whether the engine found nothing but the mode to differ.
fn only_mode(change: &Change) -> bool {
    !change.edits.is_empty() && change.edits.iter().all(|it| it.path == "/spec/mode")
}

fn mode(spec: &Json) -> Result<Option<u32>> {
    let parse = |value: &Json| value.as_str().and_then(document::parse_mode);
    let wrong = || Error::invalid("file.mode", "the mode must be four octal digits, such as \"0644\"").at("/spec/mode");
    spec.get("mode").map(|value| parse(value).ok_or_else(wrong)).transpose()
}

/// The mode of a new file whose document names none, where that is not the engine's 0644: what only its owner may know, only
/// its owner may read. A file that exists keeps the mode that it has, whoever gave it.
fn unsaid_mode(action: Action, payload: &Payload) -> Option<u32> {
    (action == Action::Create && matches!(payload, Payload::Secret(_))).then_some(0o600)
}

fn payload(spec: &Json) -> Result<Payload> {
    let content = spec.get("content").unwrap_or(&Json::Null);
    if let Some(text) = content.as_str() {
        return Ok(Payload::Bytes(text.as_bytes().to_vec()));
    }
    if let Some((sha256, _)) = document::blob(content) {
        return Ok(Payload::Blob(sha256.to_owned()));
    }
    match content.get("$secret").and_then(Json::as_str) {
        Some(handle) => Ok(Payload::Secret(handle.to_owned())),
        None => Err(Error::invalid("file.content", "the content is neither text nor a file nor a secret").at("/spec/content")),
    }
}

/// What must stand there. A directory's stat moves with what stands in it, and it may have been made a moment ago as the
/// parent of a file: of directories only the type counts, which the operation itself asks for.
fn expectation(kind: Kind, change: &Change, name: &str) -> Result<Expectation> {
    match (kind, change.action) {
        (Kind::Directory, _) => Ok(Expectation::Any),
        (Kind::File, Action::Create) => Ok(Expectation::Absent),
        (Kind::File, Action::Update | Action::Delete) => {
            let version = change.prior.as_ref().and_then(|it| it.version.as_deref());
            match version.and_then(|it| stat::entry(it, name)) {
                Some(entry) if entry.kind == FileType::File => Ok(Expectation::Same(entry)),
                Some(entry) => Err(failure(&change.address.key, &FileError::WrongType(entry.kind))),
                None => Err(Error::conflict("file.unobserved", "the file was not observed before this change")),
            }
        }
    }
}

/// SHA-256 of a text in hex.
fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Job<'_> {
    fn outcome(self, answer: Result<Option<Entry>, FileError>) -> Result<Outcome> {
        match (self.change.action, answer) {
            (Action::Delete, Ok(_) | Err(FileError::NotFound)) => Ok(Outcome::settled(None)),
            (_, Ok(Some(entry))) => self.made(entry),
            (_, Ok(None)) => Err(Error::internal("the engine reported no entry for a change that makes one").unsettled()),
            (_, Err(FileError::Io(text))) => Err(failure(self.path.as_str(), &FileError::Io(text)).unsettled()),
            (_, Err(FileError::NotEmpty)) => Err(self.not_empty()),
            (Action::Update, Err(FileError::NotFound)) => Err(failure(self.path.as_str(), &FileError::Conflict)),
            (Action::Delete, Err(error)) => Err(failure(self.path.as_str(), &error)),
            (_, Err(error @ (FileError::Conflict | FileError::WrongType(_)))) => self.met(&error),
            (_, Err(error)) => Err(failure(self.path.as_str(), &error)),
        }
    }

    /// Done, but for the mode of a directory that stood there already.
    fn made(self, entry: Entry) -> Result<Outcome> {
        let declared = mode(&self.spec)?;
        let stale = self.kind == Kind::Directory && declared.is_some_and(|mode| mode != entry.mode);
        let entry = match declared {
            Some(mode) if stale => {
                let request = FileChange { operation: Operation::SetMode(mode), ..self.request.clone() };
                let answer = files::change_all(&[request]).pop().unwrap_or(Err(FileError::Conflict));
                answer.map_err(|error| failure(self.path.as_str(), &error).unsettled())?.unwrap_or(entry)
            }
            _ => entry,
        };
        Ok(self.settled(&entry, None))
    }

    /// The object as it now is. `sha256` where the file was read.
    fn settled(&self, entry: &Entry, sha256: Option<String>) -> Outcome {
        let path = self.path.as_str();
        let (doc, outputs, secret) = match self.kind {
            Kind::Directory => (document::observed_directory(path, entry.mode), json!({}), false),
            Kind::File => {
                let (content, digest) = self.content(entry);
                let secret = content.get("$secret").is_some();
                let outputs = sha256.or(digest).map_or(json!({}), |it| outputs(&it, entry.size));
                (document::observed_file(path, content, entry.mode), outputs, secret)
            }
        };
        let mut object = remote(self.kind, self.path.scope(), self.path.key(), doc, outputs, version(self.kind, entry));
        if secret {
            object.sensitive.push("/spec/content".to_owned());
        }
        Outcome::settled(Some(object))
    }

    /// The content that was asked for, in its observed form, and its digest where it is known. After a change of mode
    /// alone these are what they were.
    fn content(&self, entry: &Entry) -> (Json, Option<String>) {
        let content = self.spec.get("content").cloned().unwrap_or_default();
        if let Some((sha256, _)) = document::blob(&content) {
            let sha256 = sha256.to_owned();
            return (content, Some(sha256));
        }
        let Some(text) = content.as_str() else {
            // A secret: only the file itself can tell its digest.
            return (content, self.look(0).ok().flatten().map(|it| it.sha256));
        };
        let sha256 = digest(text);
        let observed = if text.len() as u64 > INLINE { json!({ "$blob": sha256, "size": entry.size }) } else { content };
        (observed, Some(sha256))
    }

    fn look(&self, max_bytes: u64) -> Result<Option<files::Content>, FileError> {
        let request = ReadRequest { path: self.request.path.clone(), max_bytes };
        match files::read_all(&[request]).pop() {
            Some(Ok(content)) => Ok(Some(content)),
            Some(Err(FileError::NotFound)) | None => Ok(None),
            Some(Err(error)) => Err(error),
        }
    }

    /// Something else stood there than was expected: fine if an earlier try of this change made it, else refused, in the
    /// words that fit what stands there now.
    fn met(self, error: &FileError) -> Result<Outcome> {
        let path = self.path.as_str();
        let exists = || format!("`{path}` exists already, and was not there when the plan was made");
        match (self.kind == Kind::File).then(|| self.look(0)) {
            Some(Ok(Some(found))) if self.change.unsettled && self.is_ours(&found)? => {
                Ok(self.settled(&found.stat, Some(found.sha256)))
            }
            Some(Err(other @ FileError::WrongType(_))) => Err(failure(path, &other)),
            _ if self.change.action == Action::Create && *error == FileError::Conflict => {
                Err(Error::conflict("file.exists", exists()))
            }
            _ => Err(failure(path, error)),
        }
    }

    /// Whether what stands there is what this change would write. Of a secret this cannot be told without opening it, and
    /// so it is not: the engine compares it by its own means at the next look.
    fn is_ours(&self, found: &files::Content) -> Result<bool> {
        let mode = mode(&self.spec)?.is_none_or(|it| it == found.stat.mode);
        let content = self.spec.get("content").unwrap_or(&Json::Null);
        let wanted = match content.as_str() {
            Some(text) => Some(digest(text)),
            None => document::blob(content).map(|(sha256, _)| sha256.to_owned()),
        };
        Ok(mode && wanted.as_deref() == Some(&found.sha256))
    }

    /// Says what is left in a directory: of one that is to go, its files may be on their way out in this very pass, so that
    /// a later try may succeed; in the place of a file, what is left is not ours to take away.
    fn not_empty(self) -> Error {
        let path = self.path.as_str();
        let listing = files::list_all(std::slice::from_ref(&self.request.path)).pop();
        let names = listing.and_then(Result::ok).map(|it| it.entries).unwrap_or_default();
        let shown = names.iter().take(3).map(|it| format!("`{}`", it.name)).collect::<Vec<_>>().join(", ");
        let more = if names.len() > 3 { format!(" and {} more", names.len() - 3) } else { String::new() };
        if self.kind == Kind::File {
            let holds = if names.is_empty() { String::new() } else { format!(" and holds {shown}{more}") };
            let message = format!("`{path}` is a directory where a file is declared{holds}; move it away");
            return Error::conflict("file.type", message);
        }
        let message = match names.is_empty() {
            true => format!("`{path}` was not empty"),
            false => format!(
                "`{path}` is not empty: it holds {shown}{more}; what is declared elsewhere goes first, the rest is yours to move"
            ),
        };
        Error::new(Fault::Transient(Some(100)), "file.not-empty", message)
    }
}
