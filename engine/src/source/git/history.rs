//! Which commit last touched a line.
//!
//! Follows one line from a commit towards its first parents as long as some parent has it: a parent with the same blob
//! has it at the same place; any other is compared line by line. So only commits that touched the file cost a comparison.

use std::time::{Duration, Instant};

use gix::ObjectId;
use gix::objs::Kind;
use similar::{Algorithm, DiffOp};

use super::super::{BlobId, Commit, Limits, SourceError};
use super::{blob_id, object, object_id, revision, tree};

/// Commits looked at before giving up.
const COMMITS: usize = 10_000;
/// Bytes of a file that is compared.
const FILE: u64 = 16 << 20;
/// How long one comparison may take; a rougher answer is given after it.
const PATIENCE: Duration = Duration::from_millis(500);

/// The commit that last touched `line` (from 1) of the file at `path` (from the root of the repository), starting at `commit`.
pub fn last_touched(
    repo: &gix::Repository,
    commit: &Commit,
    path: &str,
    line: u32,
    limits: &Limits,
) -> Result<Option<Commit>, SourceError> {
    let mut at = revision::parse_id(&commit.id)?;
    let Some(mut blob) = blob_at(repo, at, path, limits)? else {
        return Ok(None);
    };
    let Some(mut line) = (line as usize).checked_sub(1) else {
        return Ok(None);
    };
    if line >= lines(&content(repo, blob)?).len() {
        return Ok(None);
    }
    for _ in 0..COMMITS {
        match parent_with_line(repo, at, path, blob, line, limits)? {
            Some(found) => (at, blob, line) = found,
            None => return revision::describe(repo, at, None, limits).map(Some),
        }
    }
    Ok(None)
}

/// The parent that has the same line: it, its blob, and the line's number there.
fn parent_with_line(
    repo: &gix::Repository,
    at: ObjectId,
    path: &str,
    blob: BlobId,
    line: usize,
    limits: &Limits,
) -> Result<Option<(ObjectId, BlobId, usize)>, SourceError> {
    let mut others = Vec::new();
    for parent in revision::parents(repo, at, limits)? {
        // A parent that is not there is where a shallow history ends.
        if !repo.has_object(parent) {
            continue;
        }
        match blob_at(repo, parent, path, limits)? {
            Some(same) if same == blob => return Ok(Some((parent, blob, line))),
            Some(other) => others.push((parent, other)),
            None => {}
        }
    }
    if others.is_empty() {
        return Ok(None);
    }
    let new = content(repo, blob)?;
    for (parent, other) in others {
        if let Some(line) = same_line(&content(repo, other)?, &new, line) {
            return Ok(Some((parent, other, line)));
        }
    }
    Ok(None)
}

/// Where line `line` of `new` stands in `old`, both from 0; None where it was added or changed.
fn same_line(old: &[u8], new: &[u8], line: usize) -> Option<usize> {
    let (old, new) = (lines(old), lines(new));
    let deadline = Instant::now().checked_add(PATIENCE);
    similar::capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline).iter().find_map(|op| match *op {
        DiffOp::Equal { old_index, new_index, len } if (new_index..new_index + len).contains(&line) => {
            Some(old_index + line - new_index)
        }
        _ => None,
    })
}

fn lines(content: &[u8]) -> Vec<&[u8]> {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.split(|byte| *byte == b'\n').collect()
}

fn content(repo: &gix::Repository, blob: BlobId) -> Result<Vec<u8>, SourceError> {
    object(repo, object_id(&blob)?, Kind::Blob, FILE, || format!("blob {blob}"))
}

fn blob_at(repo: &gix::Repository, commit: ObjectId, path: &str, limits: &Limits) -> Result<Option<BlobId>, SourceError> {
    let tree = blob_id(&revision::tree_of(repo, commit, limits)?)?;
    Ok(tree::find(repo, &tree::Directories::default(), tree, path, limits)?.map(|it| it.id))
}
