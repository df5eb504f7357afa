//! Changes under way, runs and saved plans.
//!
//! Invariant: an outcome closes an intent or leaves it open, in the same transaction as what is owned from then on, so
//! that no crash leaves one without the other.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Row};
use trueup_core::address::{Address, ResourceId};
use trueup_core::inventory::{Intent, IntentAction};
use trueup_core::value::{Digest, Json, json};

use super::audit::{self, Line};
use super::writer::Session;
use super::{Edit, Ending, Groundwork, IntentRecord, NewRun, OutcomeRecord, Run, RunId, SavedPlan, StoreError, Verdict};
use super::{inventory, rename};

/// How many plans of an environment are kept.
const PLANS: i64 = 100;

fn action_number(action: IntentAction) -> i64 {
    match action {
        IntentAction::Create => 0,
        IntentAction::Update => 1,
        IntentAction::Delete => 2,
    }
}

fn action_of(number: i64) -> Option<IntentAction> {
    [IntentAction::Create, IntentAction::Update, IntentAction::Delete].into_iter().find(|it| action_number(*it) == number)
}

/// Announces changes.
pub(super) fn intend(
    session: &mut Session<'_>,
    environment: &str,
    run: RunId,
    records: &[IntentRecord],
) -> Result<(), StoreError> {
    let id = session.environment(environment)?;
    for IntentRecord { intent, target } in records {
        let place = session.place(id, &intent.address.scope)?;
        let spot = session.spot(target, &intent.address.scope)?;
        let key = &*intent.address.key;
        // Asked here, before anything is sent: afterwards the object could only be orphaned.
        for sql in [
            "SELECT e.name, n.resource FROM entries n JOIN places p ON p.id = n.place JOIN environments e ON e.id = p.environment \
             WHERE n.spot = ?1 AND n.key = ?2 AND e.id <> ?3",
            "SELECT e.name, n.resource FROM intents n JOIN places p ON p.id = n.place JOIN environments e ON e.id = p.environment \
             WHERE n.spot = ?1 AND n.key = ?2 AND e.id <> ?3",
        ] {
            if let Some((environment, resource)) = session.first(sql, (spot, key, id), |row| Ok((row.get(0)?, row.get(1)?)))? {
                return Err(StoreError::Owned { address: intent.address.clone(), environment, resource });
            }
        }
        session.execute(
            "INSERT INTO intents (token, place, key, spot, resource, action, prior, desired, document, flags, after, operation, \
             run, started) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
             ON CONFLICT (token) DO UPDATE SET prior = ?7, desired = ?8, document = ?9, flags = ?10, after = ?11, operation = ?12, \
             run = ?13, started = ?14",
            (
                &*intent.token,
                place,
                key,
                spot,
                intent.resource.as_str(),
                action_number(intent.action),
                intent.prior.map(|it| it.0),
                intent.desired.map(|it| it.0),
                intent.document.as_ref().map(|it| it.to_string()),
                inventory::declared_flags(intent.protect, intent.prune),
                inventory::join(&intent.after, &intent.siblings),
                intent.operation.as_deref(),
                run.0,
                i64::try_from(intent.started_ms).unwrap_or(i64::MAX),
            ),
        )?;
    }
    Ok(())
}

/// Selects the columns of [`intent_row`] where the condition holds.
macro_rules! select_intents {
    ($condition:literal) => {
        concat!(
            "SELECT i.token, i.resource, p.provider, p.kind, p.scope, i.key, i.action, i.prior, i.desired, i.operation, i.started, ",
            "i.document, i.flags, i.after FROM intents i JOIN places p ON p.id = i.place JOIN environments e ON e.id = p.environment WHERE ",
            $condition
        )
    };
}

const INTENTS: &str = select_intents!("e.name = ?1 ORDER BY i.id");
const INTENT: &str = select_intents!("e.name = ?1 AND i.token = ?2");

/// One open change; none where the row is not what was written.
fn intent_row(row: &Row<'_>) -> rusqlite::Result<Option<Intent>> {
    let digest = |index| -> rusqlite::Result<Option<Digest>> { Ok(row.get::<_, Option<[u8; 32]>>(index)?.map(Digest)) };
    let text = |index| -> rusqlite::Result<String> { row.get(index) };
    let (address, nothing) =
        (Address::new(&text(2)?, &text(3)?, &text(4)?, &text(5)?), || Some((Arc::default(), Arc::default())));
    let after = row.get_ref(13)?.as_str_or_null()?.map_or_else(nothing, |it| inventory::split(it, &address.scope.provider));
    let (Some(resource), Some(action), Some((after, siblings))) = (ResourceId::parse(&text(1)?), action_of(row.get(6)?), after)
    else {
        return Ok(None);
    };
    let document = match row.get_ref(11)?.as_str_or_null()?.map(serde_json::from_str) {
        Some(Err(_)) => return Ok(None),
        Some(Ok(document)) => Some(Arc::new(document)),
        None => None,
    };
    let (protect, prune) = inventory::of_declared_flags(row.get(12)?);
    Ok(Some(Intent {
        token: text(0)?.into(),
        resource,
        address,
        action,
        prior: digest(7)?,
        desired: digest(8)?,
        document,
        after,
        siblings,
        protect,
        prune,
        operation: row.get::<_, Option<String>>(9)?.map(Into::into),
        started_ms: u64::try_from(row.get::<_, i64>(10)?).unwrap_or_default(),
    }))
}

/// Changes under way, oldest first.
pub(super) fn intents(path: &Path, db: &Connection, environment: &str) -> Result<Vec<Intent>, StoreError> {
    let fail = |err| StoreError::sqlite(path, "read the state in", err);
    let mut query = db.prepare(INTENTS).map_err(fail)?;
    let rows: Vec<Option<Intent>> = query.query_map((environment,), intent_row).and_then(Iterator::collect).map_err(fail)?;
    rows.into_iter()
        .map(|it| it.ok_or_else(|| StoreError::damaged(path, "a row of the changes under way is not what was written")))
        .collect()
}

/// The open change with this token.
fn open_intent(session: &mut Session<'_>, environment: &str, token: &str) -> Result<Intent, StoreError> {
    let found = session.first(INTENT, (environment, token), intent_row)?;
    found.flatten().ok_or_else(|| StoreError::NoIntent { token: token.to_owned() })
}

/// What the audit log says of a change.
fn body(intent: &Intent) -> Json {
    let action = match intent.action {
        IntentAction::Create => "create",
        IntentAction::Update => "update",
        IntentAction::Delete => "delete",
    };
    let hex = |digest: Option<Digest>| digest.map(|it| it.to_string());
    json!({
        "token": &*intent.token, "action": action, "object": inventory::object(&intent.address),
        "prior": hex(intent.prior), "desired": hex(intent.desired),
    })
}

fn close(session: &mut Session<'_>, token: &str) -> Result<(), StoreError> {
    session.execute("DELETE FROM intents WHERE token = ?1", (token,)).map(drop)
}

fn apply_edits(session: &mut Session<'_>, environment: &str, edits: &[Edit]) -> Result<(), StoreError> {
    let id = session.environment(environment)?;
    edits.iter().try_for_each(|edit| inventory::apply(session, id, edit).map(drop))
}

/// Records how changes ended.
pub(super) fn outcome(
    session: &mut Session<'_>,
    environment: &str,
    run: RunId,
    records: &[OutcomeRecord],
) -> Result<(), StoreError> {
    for OutcomeRecord { token, edits, ending } in records {
        let intent = open_intent(session, environment, token)?;
        apply_edits(session, environment, edits)?;
        let mut body = body(&intent);
        let event = match ending {
            Ending::Settled => {
                close(session, token)?;
                "settled"
            }
            Ending::Pending(operation) => {
                session.execute("UPDATE intents SET operation = ?2 WHERE token = ?1", (&**token, &**operation))?;
                "pending"
            }
            Ending::Rejected(reason) => {
                close(session, token)?;
                set(&mut body, "reason", reason);
                "rejected"
            }
            Ending::Unsettled(reason) => {
                set(&mut body, "reason", reason);
                "unsettled"
            }
        };
        let resource = intent.resource.as_str();
        audit::append(session, &Line { environment, run: Some(run), event, resource, body: &body })?;
    }
    Ok(())
}

fn set(body: &mut Json, key: &str, text: &str) {
    if let Some(map) = body.as_object_mut() {
        map.insert(key.to_owned(), text.into());
    }
}

/// Settles a change in doubt.
pub(super) fn resolve(
    session: &mut Session<'_>,
    environment: &str,
    run: Option<RunId>,
    token: &str,
    verdict: Verdict,
    edits: &[Edit],
) -> Result<(), StoreError> {
    let intent = open_intent(session, environment, token)?;
    apply_edits(session, environment, edits)?;
    close(session, token)?;
    let mut body = body(&intent);
    let words = match verdict {
        Verdict::Undone => "undone",
        Verdict::Done => "done",
        Verdict::Adopted => "adopted",
        Verdict::Absent => "absent",
    };
    set(&mut body, "verdict", words);
    audit::append(session, &Line { environment, run, event: "resolved", resource: intent.resource.as_str(), body: &body })
}

/// Records what an apply stands on, all or none.
pub(super) fn prepare(session: &mut Session<'_>, environment: &str, run: RunId, ground: &Groundwork) -> Result<(), StoreError> {
    for (from, to) in &ground.renames {
        rename::rename(session, environment, Some(run), from, to)?;
    }
    for (token, verdict, edits) in &ground.resolved {
        resolve(session, environment, Some(run), token, *verdict, edits)?;
    }
    inventory::edit(session, environment, Some(run), "planned", &ground.edits)?;
    let id = session.environment(environment)?;
    let agreed = ground.agreed.iter().map(|(address, digest)| Edit::Agreed(address.clone(), *digest));
    agreed.into_iter().try_for_each(|edit| inventory::apply(session, id, &edit).map(drop))
}

/// Begins a run.
pub(super) fn begin_run(session: &mut Session<'_>, run: &NewRun) -> Result<RunId, StoreError> {
    let environment = session.environment(&run.environment)?;
    let now = session.now;
    session.execute(
        "INSERT INTO runs (environment, revision, plan, command, actor, began) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (environment, &run.revision, run.plan.map(|it| it.0), &run.command, &run.actor, now),
    )?;
    let id = RunId(session.last_row());
    let body = json!({
        "revision": run.revision, "plan": run.plan.map(|it| it.to_string()), "command": run.command, "actor": run.actor,
    });
    audit::append(session, &Line { environment: &run.environment, run: Some(id), event: "began", resource: "", body: &body })?;
    Ok(id)
}

/// Ends a run.
pub(super) fn end_run(session: &mut Session<'_>, run: RunId, outcome: &str, counts: &Json) -> Result<(), StoreError> {
    let now = session.now;
    session.execute(
        "UPDATE runs SET ended = ?2, outcome = ?3, counts = ?4 WHERE id = ?1",
        (run.0, now, outcome, counts.to_string()),
    )?;
    let sql = "SELECT e.name FROM runs r JOIN environments e ON e.id = r.environment WHERE r.id = ?1";
    let environment: String = session.first(sql, (run.0,), |row| row.get(0))?.unwrap_or_default();
    let body = json!({ "outcome": outcome, "counts": counts });
    audit::append(session, &Line { environment: &environment, run: Some(run), event: "ended", resource: "", body: &body })
}

/// The newest runs.
pub(super) fn history(db: &Connection, environment: Option<&str>, limit: usize) -> rusqlite::Result<Vec<Run>> {
    let mut query = db.prepare(
        "SELECT r.id, e.name, r.revision, r.plan, r.command, r.actor, r.began, r.ended, r.outcome, r.counts FROM runs r \
         JOIN environments e ON e.id = r.environment WHERE ?1 IS NULL OR e.name = ?1 ORDER BY r.id DESC LIMIT ?2",
    )?;
    let rows = query.query_map((environment, i64::try_from(limit).unwrap_or(i64::MAX)), |row| {
        let counts: Option<String> = row.get(9)?;
        Ok(Run {
            id: RunId(row.get(0)?),
            about: NewRun {
                environment: row.get(1)?,
                revision: row.get(2)?,
                plan: row.get::<_, Option<[u8; 32]>>(3)?.map(Digest),
                command: row.get(4)?,
                actor: row.get(5)?,
            },
            began: row.get::<_, i64>(6)?.cast_unsigned(),
            ended: row.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned),
            outcome: row.get(8)?,
            counts: counts.and_then(|it| serde_json::from_str(&it).ok()).unwrap_or_default(),
        })
    })?;
    rows.collect()
}

/// Keeps a plan, and lets the oldest go.
pub(super) fn save_plan(session: &mut Session<'_>, environment: &str, digest: Digest, text: &str) -> Result<(), StoreError> {
    let id = session.environment(environment)?;
    let now = session.now;
    session.execute(
        "INSERT OR REPLACE INTO plans (environment, digest, text, saved) VALUES (?1, ?2, ?3, ?4)",
        (id, digest.to_string(), text, now),
    )?;
    session.execute(
        "DELETE FROM plans WHERE environment = ?1 AND id <= (SELECT id FROM plans WHERE environment = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        (id, PLANS),
    )?;
    Ok(())
}

/// The plan that `text` names.
pub(super) fn plan(path: &Path, db: &Connection, text: &str) -> Result<Option<SavedPlan>, StoreError> {
    let fail = |err| StoreError::sqlite(path, "read the state in", err);
    let prefix = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("p-")).unwrap_or(text);
    if !(8..=64).contains(&prefix.len()) || !prefix.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(None);
    }
    let mut query = db
        .prepare(
            "SELECT e.name, p.digest, p.text, p.saved FROM plans p JOIN environments e ON e.id = p.environment \
             WHERE p.digest >= ?1 AND p.digest < ?1 || 'g' ORDER BY p.id DESC",
        )
        .map_err(fail)?;
    let mut rows = query.query((prefix,)).map_err(fail)?;
    let mut found: Option<SavedPlan> = None;
    while let Some(row) = rows.next().map_err(fail)? {
        let digest: String = row.get(1).map_err(fail)?;
        let digest = Digest::parse(&digest).ok_or_else(|| StoreError::damaged(path, "a saved plan has no digest"))?;
        match &found {
            Some(plan) if plan.digest == digest => {}
            Some(_) => return Err(StoreError::Ambiguous { prefix: text.to_owned() }),
            None => {
                let saved: i64 = row.get(3).map_err(fail)?;
                found = Some(SavedPlan {
                    environment: row.get(0).map_err(fail)?,
                    digest,
                    json: row.get(2).map_err(fail)?,
                    saved: saved.cast_unsigned(),
                });
            }
        }
    }
    Ok(found)
}

/// Environments that own something or have changes under way.
pub(super) fn environments(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query = db.prepare(
        "SELECT e.name FROM environments e WHERE EXISTS (SELECT 1 FROM places p WHERE p.environment = e.id AND \
         (EXISTS (SELECT 1 FROM entries n WHERE n.place = p.id) OR EXISTS (SELECT 1 FROM intents i WHERE i.place = p.id))) \
         ORDER BY e.name",
    )?;
    query.query_map([], |row| row.get(0))?.collect()
}
