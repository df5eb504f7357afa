//! A say in the plan: what a dry run of the change comes to. Asked only for objects that differ already.
//!
//! A dry run that leaves the object as it is means that the difference is one of spelling, or a zero value that the server does not
//! keep. One that the API server itself refuses as immutable means that the object has to be made anew; a webhook or a policy that says
//! so refuses the change, and must not be got around by a delete. Where no dry run can be made (the credential may
//! only read, a webhook does not support it), the engine's plan stands.

use trueup_sdk::http::{self, Response};
use trueup_sdk::{Action, Candidate, EditOp, Error, Fault, Json, Replacement, Result, Verdict};

use crate::apply::{Sending, asked, decided, forced, on_server, takes_over};
use crate::error::{self, Asked, Cause, Status};
use crate::fetch::{self, Kinds, PARALLEL};
use crate::kind::Info;
use crate::list::name_of;
use crate::managed;
use crate::object;
use crate::secret;

/// What the server says of fields that cannot be changed in place.
const IMMUTABLE: [&str; 9] = [
    "field is immutable",
    "is immutable",
    "are immutable",
    "may not change once set",
    "may not be changed",
    "cannot be changed",
    "cannot change roleRef",
    "pod updates may not change fields other than",
    // Of a StatefulSet's `spec`, of a StorageClass's `parameters`.
    "updates to ",
];
/// Bytes of these words that are told.
const TOLD: usize = 240;

/// Judges each candidate.
pub fn refine(kinds: &Kinds, candidates: &[Candidate]) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = candidates.iter().map(|_| Verdict::Accept).collect();
    let mut asked = Vec::new();
    let mut requests = Vec::new();
    for (at, candidate) in candidates.iter().enumerate() {
        if let (Some(verdict), Some(slot)) = (fixed(candidate), verdicts.get_mut(at)) {
            *slot = verdict;
        } else if let Ok(Some((info, body))) = question(kinds, candidate) {
            requests.push(trial(candidate, &info, &body).request(forced(&candidate.ext)));
            asked.push((at, info, body));
        }
    }
    let answers = if requests.is_empty() { Vec::new() } else { http::send_all(requests, PARALLEL) };
    for ((at, info, body), answer) in asked.into_iter().zip(answers) {
        let (Some(candidate), Some(slot)) = (candidates.get(at), verdicts.get_mut(at)) else { continue };
        // No answer says nothing about the change.
        if let Ok(response) = answer.and_then(|it| {
            // To the change as it would be sent: a conflict that needs no person is not one.
            decided(takes_over(&candidate.ext), &trial(candidate, &info, &body), it)
        }) {
            *slot = verdict(candidate, &info, &response);
        }
    }
    verdicts
}

fn trial<'a>(candidate: &'a Candidate, info: &'a Info, body: &'a [u8]) -> Sending<'a> {
    Sending { info, address: &candidate.address, body, dry_run: true }
}

/// What of a Secret cannot change in place. Its values must not be sent in a plan, so that the server cannot be asked.
fn fixed(candidate: &Candidate) -> Option<Verdict> {
    let object = candidate.object.as_ref().filter(|_| candidate.action == Action::Update)?;
    if candidate.address.kind != secret::KIND {
        return None;
    }
    let sealed = serde_json::from_str::<Json>(&object.doc).ok()?.get("immutable") == Some(&Json::Bool(true));
    let is_fixed = |path: &str| match path.split('/').nth(1) {
        Some("type") => true,
        Some("data" | "stringData" | "immutable") => sealed,
        _ => false,
    };
    let paths: Vec<String> = candidate.edits.iter().map(|it| it.path.clone()).filter(|it| is_fixed(it)).collect();
    let first = paths.first()?;
    let reason = match first.as_str() {
        "/type" => "`type`: field is immutable",
        _ => "field is immutable when `immutable` is set",
    };
    Some(Verdict::Replace(Replacement { reason: reason.to_owned(), paths, create_first: false, ext: Vec::new() }))
}

fn question(kinds: &Kinds, candidate: &Candidate) -> Result<Option<(std::rc::Rc<Info>, Vec<u8>)>> {
    let (Action::Update, Some(doc), Some(object)) = (candidate.action, &candidate.desired, &candidate.object) else {
        return Ok(None);
    };
    // What is secret or not yet known cannot be sent in a plan; what is written for its mark alone changes nothing.
    if object::is_open(doc) || candidate.edits.is_empty() {
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
    if let Some(reason) = immutable(status, &refusal) {
        let paths = touched(candidate, &refusal);
        return Verdict::Replace(Replacement { paths, create_first: false, reason, ext: Vec::new() });
    }
    let certain = (matches!(status, 400 | 422) || refusal.is_admission() || !refusal.conflicts().is_empty())
        && !refusal.is_another()
        && !refusal.message.contains("dry run")
        && !refusal.message.contains("dryRun");
    if !certain {
        return Verdict::Accept;
    }
    let error = error::of(response, Asked { verb: "apply", ..asked });
    let fault = if refusal.conflicts().is_empty() { Fault::Invalid } else { Fault::Conflict };
    Verdict::Refuse(Error { fault, ..error }.into())
}

/// Whether the change would leave the object as it is.
fn agreed(candidate: &Candidate, info: &Info, response: &Response) -> Verdict {
    // What shows another object says nothing of this one.
    let after = fetch::object(response, asked("try out", "", &candidate.address.kind, false), info, &candidate.address);
    let (Ok(after), Some(before)) = (after, &candidate.object) else { return Verdict::Accept };
    let parse = |text: &str| serde_json::from_str::<Json>(text).ok();
    let after = after.into_remote(info);
    let (Some(now), Some(then)) = (parse(&after.doc), parse(&before.doc)) else { return Verdict::Accept };
    if now != then {
        return beside(candidate, &now);
    }
    // The apply would leave these too, and is followed by taking them away.
    let (entries, _) = managed::entries(response.bytes());
    let left = |path: &str| managed::is_left_over(&entries, &on_server(&candidate.address.kind, path));
    if candidate.edits.iter().any(|it| it.op == EditOp::Remove && left(&it.path)) {
        return Verdict::Accept;
    }
    Verdict::Ignore(candidate.edits.iter().map(|it| it.path.clone()).collect())
}

/// Of a change that does something: what of it the server does not keep. `after` is what a dry run of it came to.
fn beside(candidate: &Candidate, after: &Json) -> Verdict {
    let desired: Json = candidate.desired.as_deref().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
    let added = candidate.edits.iter().filter(|it| it.op == EditOp::Add);
    let lost: Vec<String> = added.map(|it| it.path.clone()).filter(|it| !is_kept(&desired, after, it)).collect();
    if lost.is_empty() { Verdict::Accept } else { Verdict::Ignore(lost) }
}

/// Whether the value at this pointer into `desired` is in `after`, as far as can be told.
fn is_kept(desired: &Json, after: &Json, pointer: &str) -> bool {
    let (mut want, mut now) = (desired, after);
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let next = match (want, now) {
            (Json::Array(items), Json::Array(found)) => {
                let item = token.parse::<usize>().ok().and_then(|it| items.get(it));
                item.and_then(|item| Some((item, counterpart(item, found)?)))
            }
            (Json::Object(members), Json::Object(found)) => match (members.get(&token), found.get(&token)) {
                (Some(_), None) => return false,
                (member, found) => member.zip(found),
            },
            _ => None,
        };
        let Some((next_want, next_now)) = next else { return true };
        (want, now) = (next_want, next_now);
    }
    true
}

/// The one item that agrees with `item` in every scalar that both have.
fn counterpart<'a>(item: &Json, found: &'a [Json]) -> Option<&'a Json> {
    let agrees = |other: &&Json| {
        let shared = item.as_object().into_iter().flatten().filter_map(|(name, value)| Some((value, other.get(name)?)));
        let mut scalars = shared.filter(|(value, _)| !value.is_object() && !value.is_array()).peekable();
        scalars.peek().is_some() && scalars.all(|(one, other)| one == other)
    };
    let mut fits = found.iter().filter(agrees);
    fits.next().filter(|_| fits.next().is_none())
}

/// The server's words, where it refuses to change a field in place.
pub fn immutable(code: u16, status: &Status) -> Option<String> {
    if !status.is_validation(code) {
        return None;
    }
    status.causes().iter().find_map(|Cause { field, message, .. }| {
        // What stands before may quote values.
        let said = IMMUTABLE.iter().find_map(|it| message.get(message.find(it)?..))?;
        if said.starts_with("updates to ") && !said.contains("forbidden") {
            return None;
        }
        let end = (0..=TOLD.min(said.len())).rev().find(|at| said.is_char_boundary(*at)).unwrap_or_default();
        let said = said.get(..end).unwrap_or_default().trim_end_matches('.');
        Some(if field.is_empty() { said.to_owned() } else { format!("`{field}`: {said}") })
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
        let causes = json!([{ "field": field, "message": cause }]);
        let text = json!({ "kind": "Status", "reason": "Invalid", "message": message, "details": { "causes": causes } });
        serde_json::from_value(text).unwrap()
    }

    fn immutable(status: &Status) -> Option<String> {
        super::immutable(422, status)
    }

    #[test]
    fn what_a_dry_run_does_not_keep_is_found_in_lists_of_any_order() {
        let env = |items: Json| json!({ "spec": { "containers": [{ "name": "a", "image": "x", "env": items }] } });
        let desired = env(json!([{ "name": "A", "value": "1" }, { "name": "E", "value": "" }]));
        let after = env(json!([{ "name": "E" }, { "name": "A", "value": "1" }]));
        assert!(!is_kept(&desired, &after, "/spec/containers/0/env/1/value"));
        assert!(is_kept(&desired, &after, "/spec/containers/0/env/0/value"));
        assert!(is_kept(&desired, &env(json!([])), "/spec/containers/0/env/1/value"), "nothing is known of it");
        assert!(!is_kept(&json!({ "a": { "b/c": "" } }), &json!({ "a": {} }), "/a/b~1c"));
        assert_eq!(counterpart(&json!({ "x": 1 }), &[json!({ "x": 1, "y": 1 }), json!({ "x": 1, "y": 2 })]), None, "two fit");
    }

    #[test]
    fn immutable_fields_are_told_from_wrong_ones() {
        let yes = status("Service \"a\" is invalid", "spec.clusterIPs[0]", "Invalid value: []: may not change once set");
        assert_eq!(immutable(&yes).as_deref(), Some("`spec.clusterIPs[0]`: may not change once set"));
        let yes = status("x", "spec.selector", "Invalid value: v1.LabelSelector{}: field is immutable");
        assert_eq!(immutable(&yes).as_deref(), Some("`spec.selector`: field is immutable"));
        let yes = status("x", "spec", "Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden");
        let want = "`spec`: updates to statefulset spec for fields other than 'replicas' are forbidden";
        assert_eq!(immutable(&yes).as_deref(), Some(want));
        let yes = status("x", "parameters", "Forbidden: updates to parameters are forbidden.");
        assert_eq!(immutable(&yes).as_deref(), Some("`parameters`: updates to parameters are forbidden"));
        let yes = status("x", "roleRef", "Invalid value: {\"Name\":\"two\"}: cannot change roleRef");
        assert_eq!(immutable(&yes).as_deref(), Some("`roleRef`: cannot change roleRef"));
        assert_eq!(immutable(&status("x", "spec", "Invalid value: see the updates to come")), None);
        assert_eq!(immutable(&status("x", "metadata.uid", "Invalid value: \"u\": field is immutable")), None, "another object");
        assert_eq!(immutable(&status("x", "spec.replicas", "Invalid value: -1: must be greater than or equal to 0")), None);
    }
    #[test]
    fn what_a_webhook_or_a_policy_says_does_not_make_a_field_immutable() {
        let says = |message: &str| status(message, "", "label team cannot be changed");
        assert!(immutable(&says("Deployment.apps \"web\" is invalid: metadata.labels: label team cannot be changed")).is_some());
        let webhook = "admission webhook \"x\" denied the request: exceeded quota, and label team cannot be changed";
        let policy =
            "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: is immutable";
        assert!(immutable(&says(webhook)).is_none() && immutable(&says(policy)).is_none());
        for code in [400, 403, 409, 500] {
            assert!(super::immutable(code, &says("label team cannot be changed")).is_none(), "{code}");
        }
        let told = status("PersistentVolumeClaim \"a\" is invalid: spec: is immutable", "spec", "Forbidden: required");
        assert!(immutable(&told).is_none(), "fields are told of in causes");
    }
}
