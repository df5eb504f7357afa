//! The audit log: a line for each outcome, edit and run, each with a hash over the line before and itself.
//!
//! Invariant: lines are only ever added, numbered from 1 without a gap. Whoever alters, inserts or takes out a line must
//! alter every hash after it, so a head that was written down elsewhere proves all lines before it.

use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest as _, Sha256};
use trueup_core::address::ResourceId;
use trueup_core::value::{Digest, Json};

use super::writer::Session;
use super::{RunId, StoreError};

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    pub seq: u64,
    /// Milliseconds since 1970.
    pub time: u64,
    pub environment: String,
    pub run: Option<RunId>,
    /// `began`, `ended`, `settled`, `pending`, `rejected`, `unsettled`, `resolved`, `put`, `removed`.
    pub event: String,
    /// Identity; empty where the line is about a run.
    pub resource: String,
    /// What more is known: `token`, `action`, `object`, `prior`, `desired`, `reason`, `actor` …
    pub body: Json,
}

/// What a walk over the whole log found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    pub rows: u64,
    /// Hash of the newest line; zero for an empty log.
    pub head: Digest,
}

/// The first line of the audit log that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    pub seq: u64,
    /// What does not fit, for people.
    pub what: &'static str,
}

/// Number and hash of the newest line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    seq: i64,
    hash: [u8; 32],
}

impl Head {
    /// The head as it is on disk; other processes may have written since we last did.
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let newest = db
            .query_row("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", [], |row| {
                Ok(Self { seq: row.get(0)?, hash: row.get(1)? })
            })
            .optional()?;
        Ok(newest.unwrap_or_default())
    }
}

/// What one line says.
pub(super) struct Line<'a> {
    pub environment: &'a str,
    pub run: Option<RunId>,
    pub event: &'a str,
    pub resource: &'a str,
    pub body: &'a Json,
}

/// Adds a line.
pub(super) fn append(session: &mut Session<'_>, line: &Line<'_>) -> Result<(), StoreError> {
    let body = line.body.to_string();
    let (head, time) = (session.head, session.now);
    let seq = head.seq + 1;
    let run = line.run.map(|it| it.0);
    let hash = hash(&head.hash, seq, time, line.environment, run, [line.event, line.resource, &body]);
    session.execute(
        "INSERT INTO audit (seq, time, environment, run, event, resource, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (seq, time, line.environment, run, line.event, line.resource, &body, hash),
    )?;
    session.head = Head { seq, hash };
    Ok(())
}

fn hash(prior: &[u8; 32], seq: i64, time: i64, environment: &str, run: Option<i64>, texts: [&str; 3]) -> [u8; 32] {
    let mut sum = Sha256::new();
    sum.update(prior);
    for number in [seq, time, run.unwrap_or(-1)] {
        sum.update(number.to_be_bytes());
    }
    for text in [environment].iter().chain(&texts) {
        sum.update((text.len() as u64).to_be_bytes());
        sum.update(text);
    }
    sum.finalize().into()
}

/// The newest lines that concern a run, a resource, or both.
pub(super) fn lines(
    db: &Connection,
    run: Option<RunId>,
    resource: Option<&ResourceId>,
    limit: usize,
) -> rusqlite::Result<Vec<AuditRow>> {
    let mut query = db.prepare(
        "SELECT seq, time, environment, run, event, resource, body FROM audit WHERE (?1 IS NULL OR run = ?1) \
         AND (?2 IS NULL OR resource = ?2) ORDER BY seq DESC LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query.query_map((run.map(|it| it.0), resource.map(ResourceId::as_str), limit), |row| {
        Ok(AuditRow {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            time: row.get::<_, i64>(1)?.cast_unsigned(),
            environment: row.get(2)?,
            run: row.get::<_, Option<i64>>(3)?.map(RunId),
            event: row.get(4)?,
            resource: row.get(5)?,
            body: serde_json::from_str(row.get_ref(6)?.as_str()?).unwrap_or_default(),
        })
    })?;
    rows.collect()
}

/// Walks the chain from the first line.
pub(super) fn verify(db: &Connection) -> rusqlite::Result<Result<Verified, BadRow>> {
    let mut query = db.prepare("SELECT seq, time, environment, run, event, resource, body, hash FROM audit ORDER BY seq")?;
    let mut rows = query.query([])?;
    let mut head = Head::default();
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let bad = |what| Ok(Err(BadRow { seq: seq.cast_unsigned(), what }));
        if seq != head.seq + 1 {
            return bad("the line before it is missing");
        }
        let texts = [row.get_ref(4)?.as_str()?, row.get_ref(5)?.as_str()?, row.get_ref(6)?.as_str()?];
        let want = hash(&head.hash, seq, row.get(1)?, row.get_ref(2)?.as_str()?, row.get(3)?, texts);
        if row.get_ref(7)?.as_blob()? != want {
            return bad("its hash does not fit what it says and the line before it");
        }
        head = Head { seq, hash: want };
    }
    Ok(Ok(Verified { rows: head.seq.cast_unsigned(), head: Digest(head.hash) }))
}
