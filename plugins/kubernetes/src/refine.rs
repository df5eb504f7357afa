//! A say in the plan: what a dry run of the change comes to. Asked only for objects that differ already.
//!
//! A dry run that leaves the object as it is means that the difference is one of spelling, or a zero value that the server does not
//! keep. One that is refused as immutable means that the object has to be made anew. Where no dry run can be made (the credential may
//! only read, a webhook does not support it), the engine's plan stands.

use trueup_sdk::http::{self, Response};
use trueup_sdk::{Action, Candidate, EditOp, Error, Fault, Json, Replacement, Result, Verdict};

use crate::apply::{asked, on_server, patch};
use crate::error::{self, Asked, Status};
use crate::fetch::{self, Kinds, PARALLEL};
use crate::kind::Info;
use crate::list::name_of;
use crate::managed;
use crate::object;

/// What the server says of fields that cannot be changed in place.
const IMMUTABLE: [&str; 7] = [
    "field is immutable",
    "is immutable",
    "may not change once set",
    "updates to statefulset spec for fields other than",
    "pod updates may not change fields other than",
    "cannot be changed",
    "spec is immutable after creation",
];

/// Judges each candidate.
pub fn refine(kinds: &Kinds, candidates: &[Candidate]) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = candidates.iter().map(|_| Verdict::Accept).collect();
    let mut asked = Vec::new();
    let mut requests = Vec::new();
    for (at, candidate) in candidates.iter().enumerate() {
        if let Ok(Some((info, body))) = question(kinds, candidate) {
            // Whose fields they are is judged when the change is made: here it is about what would come of it.
            requests.push(patch(&info, &candidate.address, &body, true, true));
            asked.push((at, info));
        }
    }
    let answers = if requests.is_empty() { Vec::new() } else { http::send_all(requests, PARALLEL) };
    for ((at, info), answer) in asked.into_iter().zip(answers) {
        // No answer says nothing about the change.
        if let (Ok(response), Some(candidate), Some(slot)) = (answer, candidates.get(at), verdicts.get_mut(at)) {
            *slot = verdict(candidate, &info, &response);
        }
    }
    verdicts
}

fn question(kinds: &Kinds, candidate: &Candidate) -> Result<Option<(std::rc::Rc<Info>, Vec<u8>)>> {
    let (Action::Update, Some(doc), Some(object)) = (candidate.action, &candidate.desired, &candidate.object) else {
        return Ok(None);
    };
    // What is secret or not yet known cannot be sent in a plan.
    if object::is_open(doc) {
        return Ok(None);
    }
    let Some(info) = kinds.find(&candidate.address.kind)? else { return Ok(None) };
    let body = object::to_send(&info, &candidate.address, doc, object.mark.as_deref(), Some(&object.identity))?;
    Ok(Some((info, serde_json::to_vec(&body)?)))
}

fn verdict(candidate: &Candidate, info: &Info, response: &Response) -> Verdict {
    let status = response.status();
    if (200..300).contains(&status) {
        return agreed(candidate, info, response);
    }
    let refusal = Status::of(response);
    let name = name_of(&candidate.address.kind, &candidate.address.scope, &candidate.address.key);
    let asked = asked("try out", &name, &candidate.address.kind, false);
    if status == 429 {
        // The engine asks again: whether there is anything to change must not hang on how busy a server is.
        return Verdict::Refuse(error::of(response, asked).into());
    }
    if let Some(reason) = immutable(&refusal) {
        let paths = touched(candidate, &refusal);
        return Verdict::Replace(Replacement { paths, create_first: false, reason, ext: Vec::new() });
    }
    let certain = matches!(status, 400 | 422)
        && !refusal.is_another()
        && !refusal.message.contains("dry run")
        && !refusal.message.contains("dryRun");
    if !certain {
        return Verdict::Accept;
    }
    let error = error::of(response, Asked { verb: "apply", ..asked });
    Verdict::Refuse(Error { fault: Fault::Invalid, ..error }.into())
}

/// Whether the change would leave the object as it is.
fn agreed(candidate: &Candidate, info: &Info, response: &Response) -> Verdict {
    // What shows another object says nothing of this one.
    let after = fetch::object(response, asked("try out", "", &candidate.address.kind, false), info, &candidate.address);
    let (Ok(after), Some(before)) = (after, &candidate.object) else { return Verdict::Accept };
    let parse = |text: &str| serde_json::from_str::<Json>(text).ok();
    let after = after.into_remote(info);
    if parse(&after.doc).is_none() || parse(&after.doc) != parse(&before.doc) {
        return Verdict::Accept;
    }
    // The apply would leave these too, and is followed by taking them away.
    let entries = managed::entries(response.bytes());
    let left = |path: &str| managed::is_left_over(&entries, &on_server(&candidate.address.kind, path));
    if candidate.edits.iter().any(|it| it.op == EditOp::Remove && left(&it.path)) {
        return Verdict::Accept;
    }
    Verdict::Ignore(candidate.edits.iter().map(|it| it.path.clone()).collect())
}

/// The server's words, where it refuses to change a field in place.
pub fn immutable(status: &Status) -> Option<String> {
    if status.is_another() {
        return None;
    }
    let causes = status.causes().iter().map(|it| (it.field.as_str(), it.message.as_str()));
    let mut all = causes.chain([("", status.message.as_str())]);
    all.find_map(|(field, message)| {
        let said = IMMUTABLE.iter().find(|it| message.contains(**it))?;
        Some(if field.is_empty() { (*said).to_owned() } else { format!("`{field}`: {said}") })
    })
}

/// The edits that the server refuses; all of them where it does not say which.
fn touched(candidate: &Candidate, status: &Status) -> Vec<String> {
    let fields: Vec<String> = status.causes().iter().filter_map(|it| error::pointer(&it.field)).collect();
    let below = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let refused = |path: &str| fields.iter().any(|it| below(path, it) || below(it, path));
    let all = || candidate.edits.iter().map(|it| it.path.clone());
    let some: Vec<String> = all().filter(|it| refused(it)).collect();
    if some.is_empty() { all().collect() } else { some }
}

#[cfg(test)]
mod tests {
    use trueup_sdk::json;

    use super::*;

    fn status(message: &str, field: &str, cause: &str) -> Status {
        let text =
            json!({ "kind": "Status", "message": message, "details": { "causes": [{ "field": field, "message": cause }] } });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn immutable_fields_are_told_from_wrong_ones() {
        let yes = status("Service \"a\" is invalid", "spec.clusterIPs[0]", "Invalid value: []: may not change once set");
        assert_eq!(immutable(&yes).as_deref(), Some("`spec.clusterIPs[0]`: may not change once set"));
        let yes = status("x", "spec.selector", "Invalid value: v1.LabelSelector{}: field is immutable");
        assert_eq!(immutable(&yes).as_deref(), Some("`spec.selector`: field is immutable"));
        let yes = status("x", "spec", "Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden");
        assert!(immutable(&yes).is_some());
        assert_eq!(immutable(&status("x", "metadata.uid", "Invalid value: \"u\": field is immutable")), None, "another object");
        assert_eq!(immutable(&status("x", "spec.replicas", "Invalid value: -1: must be greater than or equal to 0")), None);
    }
}
