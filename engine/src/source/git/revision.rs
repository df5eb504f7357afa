//! From what people call a revision to one commit.

use std::collections::HashSet;

use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::objs::{CommitRef, Kind, TagRef};

use super::super::{Commit, Limits, SourceError};
use super::{cause, clean, object};

/// Tags that point to tags.
const TAG_DEPTH: usize = 16;
/// Commits that `~N` may walk.
const ANCESTORS: u32 = 10_000;
/// Bytes of a revision as written.
const REVISION: usize = 1024;

/// Resolves `rev` to a commit, once.
pub fn resolve(repo: &gix::Repository, rev: &str, limits: &Limits) -> Result<Commit, SourceError> {
    let unknown = || SourceError::UnknownRevision { rev: rev.chars().take(200).collect() };
    if rev.len() > REVISION || rev.starts_with('-') || rev.chars().any(char::is_control) {
        return Err(unknown());
    }
    let (name, steps) = split_steps(rev).ok_or_else(unknown)?;
    let (id, branch) = match name {
        "" | "HEAD" | "@" => head(repo)?,
        _ => named(repo, name, limits)?.ok_or_else(unknown)?,
    };
    let mut id = peel(repo, id, limits)?.ok_or_else(unknown)?;
    for _ in 0..steps {
        id = parents(repo, id, limits)?.into_iter().next().ok_or_else(unknown)?;
    }
    describe(repo, id, if steps == 0 { branch } else { None }, limits)
}

/// Reads the commit `id` for people.
pub fn describe(repo: &gix::Repository, id: ObjectId, branch: Option<String>, limits: &Limits) -> Result<Commit, SourceError> {
    with_commit(repo, id, limits, |commit| {
        let author = commit.author().map_err(|err| unreadable(id, &err))?;
        let time = commit.committer().ok().and_then(|it| it.time().ok()).map_or(0, |time| time.seconds);
        Ok(Commit {
            id: id.to_string(),
            summary: clean(commit.message.trim_start(), 200),
            author: clean(author.name, 200),
            email: clean(author.email, 200),
            time,
            branch,
        })
    })
}

/// The tree of a commit.
pub fn tree_of(repo: &gix::Repository, id: ObjectId, limits: &Limits) -> Result<ObjectId, SourceError> {
    with_commit(repo, id, limits, |commit| Ok(commit.tree()))
}

/// The parents of a commit; none for the first.
pub fn parents(repo: &gix::Repository, id: ObjectId, limits: &Limits) -> Result<Vec<ObjectId>, SourceError> {
    with_commit(repo, id, limits, |commit| Ok(commit.parents().collect()))
}

/// Reads a full id back.
pub fn parse_id(hex: &str) -> Result<ObjectId, SourceError> {
    ObjectId::from_hex(hex.as_bytes()).map_err(|_| SourceError::UnknownRevision { rev: hex.chars().take(200).collect() })
}

fn with_commit<R>(
    repo: &gix::Repository,
    id: ObjectId,
    limits: &Limits,
    f: impl FnOnce(CommitRef<'_>) -> Result<R, SourceError>,
) -> Result<R, SourceError> {
    let data = object(repo, id, Kind::Commit, limits.object, || format!("commit {id}"))?;
    f(CommitRef::from_bytes(&data, gix::hash::Kind::Sha1).map_err(|err| unreadable(id, &err))?)
}

fn unreadable(id: ObjectId, err: &gix::Error) -> SourceError {
    SourceError::Unreadable { what: format!("commit {id}"), cause: cause(err) }
}

/// Takes `~N` and `^` off the end: the name and how many first parents to go.
fn split_steps(rev: &str) -> Option<(&str, u32)> {
    let (mut name, mut steps) = (rev, 0_u32);
    loop {
        if let Some(rest) = name.strip_suffix('^') {
            (name, steps) = (rest, steps + 1);
        } else if let Some((rest, count)) = name.rsplit_once('~').filter(|(_, count)| count.bytes().all(|it| it.is_ascii_digit()))
        {
            let count = if count.is_empty() { 1 } else { count.parse().ok()? };
            (name, steps) = (rest, steps.checked_add(count)?);
        } else {
            return (steps <= ANCESTORS).then_some((name, steps));
        }
        if steps > ANCESTORS {
            return None;
        }
    }
}

/// The commit of `HEAD`, and the branch it is on.
fn head(repo: &gix::Repository) -> Result<(ObjectId, Option<String>), SourceError> {
    let what = || "`HEAD`".to_owned();
    let head = repo.head().map_err(|err| SourceError::Unreadable { what: what(), cause: cause(&err) })?;
    if head.is_unborn() {
        return Err(SourceError::NothingCommitted);
    }
    let branch = head.referent_name().map(|name| name.shorten().to_string());
    let id = head.id().map(|id| id.detach());
    match id {
        Some(id) => Ok((id, branch)),
        None => Err(SourceError::Unreadable { what: what(), cause: "it points to a reference that points to another".into() }),
    }
}

/// A full id, a reference, or a short id, in this order.
fn named(repo: &gix::Repository, name: &str, limits: &Limits) -> Result<Option<(ObjectId, Option<String>)>, SourceError> {
    let hex = name.bytes().all(|it| it.is_ascii_hexdigit());
    if hex && name.len() == 40 {
        let id = parse_id(&name.to_ascii_lowercase())?;
        return Ok(repo.has_object(id).then_some((id, None)));
    }
    if name.starts_with("refs/") {
        return reference(repo, name);
    }
    let found: Vec<(String, ObjectId, Option<String>)> = ["refs/tags/", "refs/heads/", "refs/remotes/"]
        .into_iter()
        .map(|folder| format!("{folder}{name}"))
        .filter_map(|full| reference(repo, &full).transpose().map(|it| it.map(|(id, branch)| (full, id, branch))))
        .collect::<Result<_, _>>()?;
    let mut commits = HashSet::new();
    for (_, id, _) in &found {
        commits.insert(peel(repo, *id, limits)?.unwrap_or(*id));
    }
    if commits.len() > 1 {
        let candidates = found.into_iter().map(|(full, ..)| format!("`{full}`")).collect();
        return Err(SourceError::AmbiguousRevision { rev: name.to_owned(), candidates });
    }
    if let Some((_, id, branch)) = found.into_iter().max_by_key(|(full, ..)| full.starts_with("refs/heads/")) {
        return Ok(Some((id, branch)));
    }
    if hex && name.len() >= 4 { short_id(repo, name, limits) } else { Ok(None) }
}

/// What a reference with this full name points to, and the branch it is.
fn reference(repo: &gix::Repository, full: &str) -> Result<Option<(ObjectId, Option<String>)>, SourceError> {
    // A name that Git does not allow is a name that nothing has.
    if gix::validate::reference::name(full.into()).is_err() {
        return Ok(None);
    }
    let unreadable = |err: gix::Error| SourceError::Unreadable { what: format!("`{full}`"), cause: cause(&err) };
    match repo.try_find_reference(full).map_err(unreadable)? {
        None => Ok(None),
        Some(mut found) => {
            let id = found.follow_to_object().map_err(unreadable)?.detach();
            Ok(Some((id, full.strip_prefix("refs/heads/").map(str::to_owned))))
        }
    }
}

/// The only commit whose id starts so.
fn short_id(repo: &gix::Repository, hex: &str, limits: &Limits) -> Result<Option<(ObjectId, Option<String>)>, SourceError> {
    let Ok(prefix) = gix::hash::Prefix::from_hex(&hex.to_ascii_lowercase()) else {
        return Ok(None);
    };
    let mut ids = HashSet::new();
    repo.objects
        .lookup_prefix(prefix, Some(&mut ids))
        .map_err(|err| SourceError::Unreadable { what: format!("commit {hex}"), cause: cause(&err) })?;
    let mut commits = Vec::new();
    for id in ids {
        if peel(repo, id, limits)? == Some(id) {
            commits.push(id);
        }
    }
    commits.sort();
    match commits.as_slice() {
        [] => Ok(None),
        [id] => Ok(Some((*id, None))),
        _ => Err(SourceError::AmbiguousRevision {
            rev: hex.to_owned(),
            candidates: commits.iter().take(5).map(|id| format!("`{id}`")).collect(),
        }),
    }
}

/// Follows annotated tags to a commit; None where they lead elsewhere.
fn peel(repo: &gix::Repository, mut id: ObjectId, limits: &Limits) -> Result<Option<ObjectId>, SourceError> {
    for _ in 0..TAG_DEPTH {
        let header = repo
            .try_find_header(id)
            .map_err(|err| SourceError::Unreadable { what: format!("object {id}"), cause: cause(&err) })?;
        match header.map(|it| it.kind()) {
            None => {
                return Err(SourceError::Unreadable {
                    what: format!("object {id}"),
                    cause: "it is not in the repository".into(),
                });
            }
            Some(Kind::Commit) => return Ok(Some(id)),
            Some(Kind::Tree | Kind::Blob) => return Ok(None),
            Some(Kind::Tag) => {
                let data = object(repo, id, Kind::Tag, limits.object, || format!("tag {id}"))?;
                id = TagRef::from_bytes(&data, gix::hash::Kind::Sha1).map_err(|err| unreadable(id, &err))?.target();
            }
        }
    }
    Err(SourceError::Limit { what: "the chain of tags".to_owned(), limit: TAG_DEPTH.to_string() })
}
