//! Differences that are none to act on: what somebody else may change after the create, and what cannot be taken back.

use trueup_sdk::{Action, Candidate, EditOp, Verdict};

use crate::kind::{self, Kind};

/// A say in one step.
pub fn verdict(candidate: &Candidate) -> Verdict {
    let Ok(kind) = kind::find(&candidate.address.kind) else { return Verdict::Accept };
    // Only of what is there can anything be left alone.
    if candidate.action != Action::Update || candidate.object.is_none() {
        return Verdict::Accept;
    }
    let ignored: Vec<String> = candidate.edits.iter().filter(|it| is_ignored(kind, it)).map(|it| it.path.clone()).collect();
    if ignored.is_empty() { Verdict::Accept } else { Verdict::Ignore(ignored) }
}

fn is_ignored(kind: &Kind, edit: &trueup_sdk::Edit) -> bool {
    let Some(name) = edit.path.split('/').nth(2) else { return false };
    let Some(field) = kind.fields.get(name) else { return false };
    // A desired count belongs to whoever scales the group, from the moment that the group is there.
    let whole = edit.path.split('/').count() == 3;
    let lasting = || whole && edit.op == EditOp::Remove && !can_unset(kind, name);
    field.initial || lasting()
}

/// Whether a field that nobody declares any more can be put back to what it is by itself.
fn can_unset(kind: &Kind, name: &str) -> bool {
    let field = kind.fields.get(name);
    let emptied = kind.update.iter().any(|it| it.fields.contains_key(name) && (it.unset.is_some() || it.remove.is_some()));
    name == "tags" || emptied || field.is_some_and(|it| it.default.is_some() || it.immutable)
}

#[cfg(test)]
mod tests {
    use trueup_sdk::{Address, Edit, Remote, error};

    use super::*;

    fn candidate(action: Action, kind: &str, edits: &[(EditOp, &str)]) -> Candidate {
        let address = Address { kind: kind.to_owned(), scope: String::new(), key: "a".to_owned() };
        let object = Remote {
            address: address.clone(),
            identity: "a".to_owned(),
            doc: "{}".to_owned(),
            outputs: String::new(),
            version: None,
            mark: None,
            health: error::healthy(),
            sensitive: Vec::new(),
            ext: Vec::new(),
        };
        let edit = |(op, path): &(EditOp, &str)| Edit { op: *op, path: (*path).to_owned(), value: None };
        let object = (action != Action::Create).then_some(object);
        Candidate { action, address, desired: None, object, edits: edits.iter().map(edit).collect(), ext: Vec::new() }
    }

    #[track_caller]
    fn check(action: Action, kind: &str, edits: &[(EditOp, &str)], want: &[&str]) {
        let ignored = match verdict(&candidate(action, kind, edits)) {
            Verdict::Accept => Vec::new(),
            Verdict::Ignore(paths) => paths,
            other => panic!("{other:?}"),
        };
        assert_eq!(ignored, want, "{kind} {edits:?}");
    }

    #[test]
    fn a_count_is_said_at_the_create_and_left_alone_from_then_on() {
        let edit = [(EditOp::Replace, "/spec/desiredCapacity"), (EditOp::Replace, "/spec/maxSize")];
        check(Action::Create, "AutoScalingGroup", &edit, &[]);
        check(Action::Update, "AutoScalingGroup", &edit, &["/spec/desiredCapacity"]);
    }

    #[test]
    fn what_cannot_be_taken_back_stays_where_nobody_declares_it_any_more() {
        check(Action::Update, "Topic", &[(EditOp::Remove, "/spec/tracingConfig")], &["/spec/tracingConfig"]);
        check(Action::Update, "Topic", &[(EditOp::Remove, "/spec/displayName")], &[]);
        check(Action::Update, "Bucket", &[(EditOp::Remove, "/spec/policy"), (EditOp::Remove, "/spec/tags/a")], &[]);
    }
}
