//! One fetch over smart HTTP into a bare repository. Runs in the child process only.
//!
//! Invariant: our references move last, and only to a commit whose files are all there. Whatever a server sends, a failed
//! fetch leaves the repository as it was, but for files that nothing names and the next fetch removes.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix::ObjectId;
use gix::bstr::BStr;
use gix::objs::tree::EntryKind as TreeEntryKind;
use gix::objs::{Kind, TreeRefIter};
use gix::progress::{Count, Id, MessageLevel, NestedProgress, Progress, Step, StepShared, UNKNOWN, Unit};
use gix::protocol::handshake::Ref;
use gix::protocol::transport::client::blocking_io::{Transport, http};
use gix::refs::transaction::PreviousValue;
use gix::remote::fetch::refmap::Source as Mapped;
use gix::remote::fetch::{RefMap, Status, Tags};
use gix::remote::{Connection, Direction};
use reqwest::blocking::ClientBuilder;
use sha2::{Digest as _, Sha256};

use super::super::child::{Failed, Fetched, Order, Why};
use super::super::{Limits, SourceError};
use super::{cause, object, revision};

/// Counts what moves during a fetch, so that a silent server can be told from a slow one.
///
/// Every part of the work has a counter of its own, as gix also decides by them.
#[derive(Clone, Default)]
pub struct Meter {
    own: StepShared,
    all: Arc<Mutex<Vec<StepShared>>>,
}

impl Meter {
    /// Bytes and objects so far, together; only that it changes means something.
    pub fn count(&self) -> u64 {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().fold(self.step() as u64, |sum, it| sum.wrapping_add(it.load(Ordering::Relaxed) as u64))
    }

    fn child(&self) -> Self {
        let own = StepShared::default();
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(own.clone());
        Self { own, all: self.all.clone() }
    }
}

impl Count for Meter {
    fn set(&self, step: Step) {
        self.own.store(step, Ordering::Relaxed);
    }

    fn step(&self) -> Step {
        self.own.load(Ordering::Relaxed)
    }

    fn inc_by(&self, step: Step) {
        self.own.fetch_add(step, Ordering::Relaxed);
    }

    fn counter(&self) -> StepShared {
        self.own.clone()
    }
}

impl Progress for Meter {
    fn init(&mut self, _: Option<Step>, _: Option<Unit>) {}

    fn set_name(&mut self, _: String) {}

    fn name(&self) -> Option<String> {
        None
    }

    fn id(&self) -> Id {
        UNKNOWN
    }

    fn message(&self, _: MessageLevel, _: String) {}
}

impl NestedProgress for Meter {
    type SubProgress = Self;

    fn add_child(&mut self, _: impl Into<String>) -> Self {
        self.child()
    }

    fn add_child_with_id(&mut self, _: impl Into<String>, _: Id) -> Self {
        self.child()
    }
}

/// Fetches what `order` names and says which commit it is.
pub fn fetch(order: &Order, meter: &Meter) -> Result<Fetched, Failed> {
    let repo = cache(&order.repository)?;
    let wanted = wanted(order.rev.as_deref())?;
    if let Some(fetched) = receive(&repo, order, &wanted, meter)? {
        return Ok(fetched);
    }
    // A short id, or a full one that the server does not hand out by itself: it may be on some branch.
    if let Some(commit) = wanted.commit {
        let branches = branches(&repo, order, meter)?;
        let wanted = Wanted { specs: branches, commit: Some(commit), whole: true };
        if let Some(fetched) = receive(&repo, order, &wanted, meter)? {
            return Ok(fetched);
        }
    }
    Err(Failed::new(Why::Unknown, ""))
}

/// What to ask the server for.
struct Wanted {
    specs: Vec<String>,
    /// A full or short commit id.
    commit: Option<String>,
    /// Whether `specs` are all branches, and `commit` may be on any of them.
    whole: bool,
}

fn wanted(rev: Option<&str>) -> Result<Wanted, Failed> {
    let rev = match rev {
        None | Some("" | "HEAD" | "@") => return Ok(Wanted { specs: vec!["HEAD".into()], commit: None, whole: false }),
        Some(rev) => rev,
    };
    let full = |name: &str| gix::validate::reference::name(name.into()).is_ok() && !name.contains('*');
    let hex = rev.bytes().all(|it| it.is_ascii_hexdigit());
    if hex && rev.len() == 40 {
        let id = rev.to_ascii_lowercase();
        return Ok(Wanted { specs: vec![id.clone()], commit: Some(id), whole: false });
    }
    let specs = match rev.starts_with("refs/") {
        true => vec![rev.to_owned()],
        false => vec![format!("refs/heads/{rev}"), format!("refs/tags/{rev}")],
    };
    if !specs.iter().all(|spec| full(spec)) {
        return Err(Failed::new(Why::Unknown, "it is no name of a branch, tag or commit"));
    }
    Ok(Wanted { specs, commit: (hex && rev.len() >= 4).then(|| rev.to_ascii_lowercase()), whole: false })
}

/// The full names of all branches of the server.
fn branches(repo: &gix::Repository, order: &Order, meter: &Meter) -> Result<Vec<String>, Failed> {
    let denied = AtomicBool::new(false);
    // The right side is for the grammar only: a listing moves nothing.
    let remote = remote(repo, order, &["refs/heads/*:refs/trueup/*".to_owned()])?;
    let connection = connect(&remote, order, &denied)?;
    let (map, _) =
        connection.ref_map(meter.clone(), Default::default()).map_err(|err| failed(&err, denied.load(Ordering::Relaxed)))?;
    Ok(map.mappings.iter().filter_map(|it| it.remote.as_name()).map(ToString::to_string).collect())
}

fn remote<'repo>(repo: &'repo gix::Repository, order: &Order, specs: &[String]) -> Result<gix::Remote<'repo>, Failed> {
    let specs = specs.iter().map(|spec| BStr::new(spec.as_bytes()));
    repo.remote_at_without_url_rewrite(order.url.as_str())
        .and_then(|remote| remote.with_fetch_tags(Tags::None).with_refspecs(specs, Direction::Fetch))
        .map_err(|err| failed(&err, false))
}

/// Opens a connection; `denied` becomes true when the server asks for credentials.
fn connect<'a, 'repo>(
    remote: &'a gix::Remote<'repo>,
    order: &Order,
    denied: &'a AtomicBool,
) -> Result<Connection<'a, 'a, 'repo, Box<dyn Transport + Send>>, Failed> {
    let mut connection = remote.connect(Direction::Fetch).map_err(|err| failed(&err, false))?;
    connection.set_transport_options(Box::new(http_options(order)?));
    // Called only when the server asks: the credentials that we have were in the first request already.
    Ok(connection.with_credentials(|_| {
        denied.store(true, Ordering::Relaxed);
        Ok(None)
    }))
}

/// One conversation with the server; None where it has nothing of that name.
fn receive(repo: &gix::Repository, order: &Order, wanted: &Wanted, meter: &Meter) -> Result<Option<Fetched>, Failed> {
    if wanted.specs.is_empty() {
        return Ok(None);
    }
    let denied = AtomicBool::new(false);
    let failed = |err: gix::Error| failed(&err, denied.load(Ordering::Relaxed));
    let remote = remote(repo, order, &wanted.specs)?;
    let connection = connect(&remote, order, &denied)?;
    let prepared = connection.prepare_fetch(meter.clone(), Default::default()).map_err(failed)?;
    let target = target(prepared.ref_map(), wanted)?;
    if matches!(target, Target::None) {
        return Ok(None);
    }
    let outcome = match prepared.receive(meter.clone(), &AtomicBool::new(false)) {
        Ok(outcome) => outcome,
        // The server refuses to hand out this commit by its id.
        Err(err) if matches!(target, Target::Id(_)) && cause(&err).contains("not our ref") => return Ok(None),
        Err(err) => return Err(failed(err)),
    };
    let pack = match outcome.status {
        Status::Change { write_pack_bundle, .. } => Some(write_pack_bundle),
        Status::NoPackReceived { .. } => None,
    };
    let settled = settle(repo, target);
    let Some(pack) = pack else {
        // We told the server that we have it all, and have not: an earlier answer was cut off at the wrong place.
        return settled.map_err(|err| if err.why == Why::Broken { Failed { why: Why::Stale, ..err } } else { err });
    };
    // Where the files are not all there, the pack goes again, or the next fetch would think it had them.
    let refused = if settled.is_err() { [pack.index_path, pack.data_path] } else { [None, None] };
    for path in refused.into_iter().flatten().chain(pack.keep_path) {
        std::fs::remove_file(&path).map_err(|err| Failed::new(Why::Broken, format!("cannot clean up: {err}")))?;
    }
    settled
}

/// What the server's answer says that we want.
enum Target {
    None,
    /// A reference: where it points, and the branch it is.
    Ref {
        name: String,
        id: ObjectId,
        branch: Option<String>,
    },
    Id(ObjectId),
    /// The tips of all branches, and the commit that may be among what they reach.
    Branches {
        tips: Vec<(String, ObjectId)>,
        commit: String,
    },
}

fn target(map: &RefMap, wanted: &Wanted) -> Result<Target, Failed> {
    if let (Some(commit), true) = (&wanted.commit, wanted.whole) {
        let tip = |it: &Mapped| Some((it.as_name()?.to_string(), it.as_id()?.to_owned()));
        let tips = map.mappings.iter().filter_map(|it| tip(&it.remote)).collect();
        return Ok(Target::Branches { tips, commit: commit.clone() });
    }
    let mut found: Vec<(String, ObjectId, ObjectId, Option<String>)> = Vec::new();
    for mapping in &map.mappings {
        let source = match &mapping.remote {
            Mapped::ObjectId(id) => return Ok(Target::Id(*id)),
            Mapped::Ref(Ref::Unborn { .. }) => return Err(Failed::new(Why::Empty, "")),
            Mapped::Ref(source) => source,
        };
        let (name, id, peeled) = source.unpack();
        let Some(id) = id else {
            return Err(Failed::new(Why::Empty, ""));
        };
        let branch = match source {
            Ref::Symbolic { target, .. } => target.strip_prefix(b"refs/heads/"),
            _ => name.strip_prefix(b"refs/heads/"),
        };
        let branch = branch.map(|it| super::clean(it, 200));
        found.push((name.to_string(), id.to_owned(), peeled.unwrap_or(id).to_owned(), branch));
    }
    if let [(one, _, first, _), (two, _, second, _), ..] = found.as_slice()
        && first != second
    {
        return Err(Failed { why: Why::Ambiguous, cause: String::new(), names: vec![one.clone(), two.clone()] });
    }
    match found.into_iter().next() {
        Some((name, id, _, branch)) => Ok(Target::Ref { name, id, branch }),
        // A server that advertises nothing at all has nothing at all.
        None if map.remote_refs.is_empty() && wanted.commit.is_none() && wanted.specs == ["HEAD"] => {
            Err(Failed::new(Why::Empty, ""))
        }
        None => Ok(Target::None),
    }
}

/// Looks whether all files of the commit are there, then moves our references.
fn settle(repo: &gix::Repository, target: Target) -> Result<Option<Fetched>, Failed> {
    let limits = Limits::default();
    let broken = |err: SourceError| Failed::new(Why::Broken, err.to_string());
    let describe = |id: ObjectId| revision::resolve(repo, &id.to_string(), &limits).map_err(broken);
    let (commit, branch, keep) = match target {
        Target::None => return Ok(None),
        Target::Ref { name, id, branch } => (describe(id)?, branch, vec![(name, id)]),
        Target::Id(id) => (describe(id)?, None, vec![(format!("commits/{id}"), id)]),
        Target::Branches { tips, commit } => match revision::resolve(repo, &commit, &limits) {
            Ok(commit) => (commit, None, tips),
            Err(SourceError::UnknownRevision { .. }) => return Ok(None),
            Err(SourceError::AmbiguousRevision { candidates, .. }) => {
                return Err(Failed { why: Why::Ambiguous, cause: String::new(), names: candidates });
            }
            Err(err) => return Err(broken(err)),
        },
    };
    let id = revision::parse_id(&commit.id).map_err(broken)?;
    complete(repo, revision::tree_of(repo, id, &limits).map_err(broken)?, &limits).map_err(broken)?;
    for (name, id) in keep {
        // A name of ours, as two names of the server (`a`, later `a/b`) may not fit into one folder.
        let name =
            format!("refs/trueup/{}", Sha256::digest(&name).iter().take(20).map(|it| format!("{it:02x}")).collect::<String>());
        repo.reference(name.as_str(), id, PreviousValue::Any, "fetch").map_err(|err| Failed::new(Why::Broken, cause(&err)))?;
    }
    Ok(Some(Fetched { commit: commit.id, branch }))
}

/// Whether everything below a tree is there. Each tree is looked at once, however often it is named.
fn complete(repo: &gix::Repository, root: ObjectId, limits: &Limits) -> Result<(), SourceError> {
    let missing = |id: &gix::oid| SourceError::Unreadable {
        what: "the files of the commit".into(),
        cause: format!("object {id} is missing"),
    };
    let mut seen = HashSet::from([root]);
    let mut waiting = vec![root];
    while let Some(tree) = waiting.pop() {
        if seen.len() > limits.files {
            return Err(SourceError::Limit { what: "the number of directories".into(), limit: limits.files.to_string() });
        }
        let data = object(repo, tree, Kind::Tree, limits.object, || format!("directory {tree}"))?;
        for entry in TreeRefIter::from_bytes(&data, gix::hash::Kind::Sha1) {
            let entry = entry.map_err(|err| SourceError::Unreadable { what: format!("directory {tree}"), cause: cause(&err) })?;
            match entry.mode.kind() {
                TreeEntryKind::Commit => {}
                TreeEntryKind::Tree => {
                    if seen.insert(entry.oid.to_owned()) {
                        waiting.push(entry.oid.to_owned());
                    }
                }
                _ if repo.has_object(entry.oid) => {}
                _ => return Err(missing(entry.oid)),
            }
        }
    }
    Ok(())
}

/// The bare repository to fetch into: the one that is there, else a new one.
fn cache(path: &Path) -> Result<gix::Repository, Failed> {
    let broken = |err: String| Failed::new(Why::Broken, format!("the cache `{}`: {err}", path.display()));
    if path.exists() {
        match gix::open_opts(path, super::fetch_options()) {
            Ok(repo) => {
                sweep(&path.join("objects/pack")).map_err(|err| broken(err.to_string()))?;
                return Ok(repo);
            }
            // A fetch that was killed while it made the repository.
            Err(_) => std::fs::remove_dir_all(path).map_err(|err| broken(err.to_string()))?,
        }
    }
    std::fs::create_dir_all(path).map_err(|err| broken(err.to_string()))?;
    gix::ThreadSafeRepository::init_opts(path, gix::create::Kind::Bare, Default::default(), super::fetch_options())
        .map(Into::into)
        .map_err(|err| broken(cause(&err)))
}

/// Removes what killed fetches left: everything but finished packs. Nobody else writes here, as the cache is locked.
fn sweep(packs: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(packs)? {
        let path = entry?.path();
        let name = path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        let finished = name.starts_with("pack-") && (name.ends_with(".idx") || path.with_extension("idx").exists());
        if !finished || name.ends_with(".keep") {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn http_options(order: &Order) -> Result<http::Options, Failed> {
    let mut roots = Vec::new();
    if let Some(pem) = &order.ca {
        roots = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|err| Failed::new(Why::Broken, format!("the certificates of `ca` cannot be read: {err}")))?;
    }
    let idle = Duration::from_millis(order.idle_ms);
    let configure = move |client: ClientBuilder| -> gix::Result<ClientBuilder> {
        let client = client.timeout(idle).no_gzip();
        Ok(if roots.is_empty() { client } else { client.tls_certs_merge(roots.iter().cloned()) })
    };
    let backend = http::reqwest::Options {
        configure_client: Some(Box::new(configure)),
        // With a request of ours gix refuses every redirect by name, so that no header ever follows one.
        configure_request: Some(Box::new(|_| Ok(()))),
    };
    Ok(http::Options {
        extra_headers: order.headers.clone(),
        follow_redirects: http::options::FollowRedirects::All,
        backend: Some(Arc::new(Mutex::new(backend))),
        ..Default::default()
    })
}

/// What kind of failure this is, told from types where there are any.
fn failed(err: &gix::Error, denied: bool) -> Failed {
    use std::io::ErrorKind as Io;
    let text = cause(err);
    let http = err.downcast_any_ref::<reqwest::Error>();
    let status = http.and_then(reqwest::Error::status).map(|it| it.as_u16());
    if denied || matches!(status, Some(401 | 403)) {
        return Failed::new(Why::Denied, if status == Some(403) { "HTTP 403" } else { "HTTP 401" });
    }
    if text.contains("refusing to follow redirect") {
        return Failed::new(Why::Broken, "the server redirects to another address: give that one");
    }
    let broke_off = err.iter_errors().filter_map(|it| it.downcast_ref::<std::io::Error>()).any(|it| {
        matches!(
            it.kind(),
            Io::UnexpectedEof | Io::ConnectionReset | Io::ConnectionAborted | Io::ConnectionRefused | Io::TimedOut
        )
    });
    match status {
        Some(404) => Failed::new(Why::Broken, "there is no Git repository (HTTP 404)"),
        Some(code @ (429 | 500..)) => Failed::new(Why::Unreachable, format!("HTTP {code}")),
        _ if text.contains("certificate") => Failed::new(Why::Broken, text),
        Some(code) => Failed::new(Why::Broken, format!("HTTP {code}")),
        None if http.is_some() || broke_off => Failed::new(Why::Unreachable, text),
        None => Failed::new(Why::Broken, text),
    }
}
