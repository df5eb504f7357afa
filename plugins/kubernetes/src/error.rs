//! What the API server refuses with (`kind: Status`), as the contract's faults, in words for people.
//!
//! Messages of the server may quote values. Of a kind whose values are secret, only a reason of Kubernetes' own is told, and the names of
//! fields where the API server itself judged them: a webhook writes into any part of its refusal what it likes.

use serde::Deserialize;
use trueup_sdk::http::Response;
use trueup_sdk::{Error, Fault};

/// Longest part of the server's own words, in bytes.
const WORDS: usize = 1500;
/// Reasons that the API server gives by itself.
const REASONS: [&str; 19] = [
    "AlreadyExists",
    "BadRequest",
    "Conflict",
    "Expired",
    "Forbidden",
    "Gone",
    "InternalError",
    "Invalid",
    "MethodNotAllowed",
    "NotAcceptable",
    "NotFound",
    "RequestEntityTooLarge",
    "ServerTimeout",
    "ServiceUnavailable",
    "StoreReadError",
    "Timeout",
    "TooManyRequests",
    "Unauthorized",
    "UnsupportedMediaType",
];
/// How webhooks and policies begin what they say.
const STRANGERS: [&str; 4] = ["admission webhook", "denied the request", "ValidatingAdmissionPolicy", "denied request"];
/// How long a quota or a namespace that is going is left alone, in milliseconds.
const LATER: u64 = 10_000;

/// The body of a refusal.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Status {
    pub kind: String,
    pub message: String,
    pub reason: String,
    pub details: Option<Details>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    pub name: String,
    pub kind: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: u64,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

impl Status {
    /// The body of an answer; empty where it is none (a proxy's page).
    pub fn of(response: &Response) -> Self {
        let parsed: Option<Self> = serde_json::from_slice(response.bytes()).ok();
        parsed.filter(|it| it.kind == "Status").unwrap_or_default()
    }

    pub fn causes(&self) -> &[Cause] {
        self.details.as_ref().map(|it| it.causes.as_slice()).unwrap_or_default()
    }

    /// Whether what judges changes refused this one (a limit, a policy, a webhook), and not the rights of who asks.
    pub fn is_admission(&self) -> bool {
        let has = |text: &str| self.message.contains(text);
        let rights = has("User \"") && has("\" cannot ");
        let later = has("exceeded quota") || has("because it is being terminated");
        self.reads_like_admission() && !rights && !later
    }

    /// Whether the words may be those of a webhook or a policy, which says what it likes, with any code.
    fn reads_like_admission(&self) -> bool {
        self.message.contains(" is forbidden: ") || self.is_a_strangers()
    }

    fn is_a_strangers(&self) -> bool {
        STRANGERS.iter().any(|it| self.message.contains(it))
    }

    /// Whether this answer of that code is the API server's own word on fields of the object: what they may hold, and whether they may
    /// change.
    pub fn is_validation(&self, code: u16) -> bool {
        code == 422 && self.reason == "Invalid" && !self.is_another() && !self.reads_like_admission()
    }

    /// Whether the object has another `uid` than the one that was named.
    pub fn is_another(&self) -> bool {
        self.causes().iter().any(|it| it.field == "metadata.uid")
    }

    /// Other managers of fields that were to be applied, each with the fields.
    pub fn conflicts(&self) -> Vec<(String, Vec<String>)> {
        let mut out: Vec<(String, Vec<String>)> = Vec::new();
        for cause in self.causes().iter().filter(|it| it.reason == "FieldManagerConflict") {
            let manager = cause.message.split('"').nth(1).unwrap_or("another manager").to_owned();
            match out.iter_mut().find(|(name, _)| *name == manager) {
                Some((_, fields)) => fields.push(cause.field.clone()),
                None => out.push((manager, vec![cause.field.clone()])),
            }
        }
        out
    }
}

/// What was asked, for the words of an error.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `apply`, `delete`, `list`.
    pub verb: &'a str,
    /// `Deployment.apps shop/web`.
    pub what: &'a str,
    /// It would have changed something.
    pub writes: bool,
    /// The server's words may hold secrets.
    pub secret: bool,
}

/// The error that an answer is, whatever its body.
pub fn of(response: &Response, asked: Asked<'_>) -> Error {
    judge(response.status(), retry_after(response), &Status::of(response), asked)
}

/// Milliseconds that the server asks to wait.
pub fn retry_after(response: &Response) -> Option<u64> {
    let seconds: u64 = response.header("retry-after")?.trim().parse().ok()?;
    seconds.checked_mul(1000).filter(|it| *it <= 86_400_000)
}

/// See [`of`]; pure.
pub fn judge(code: u16, retry_after: Option<u64>, status: &Status, asked: Asked<'_>) -> Error {
    let conflicts = status.conflicts();
    if !conflicts.is_empty() {
        return managed(&conflicts, asked);
    }
    let wait = retry_after
        .or_else(|| status.details.as_ref().map(|it| it.retry_after_seconds.saturating_mul(1000)).filter(|it| *it > 0));
    let has = |text: &str| status.message.contains(text);
    let going = status.causes().iter().any(|it| it.reason == "NamespaceTerminating") || has("because it is being terminated");
    let (fault, name) = match code {
        401 => (Fault::Unauthorized, "unauthorized"),
        403 if going => (Fault::Transient(wait.or(Some(LATER))), "namespace-terminating"),
        403 if has("exceeded quota") => (Fault::Transient(wait.or(Some(LATER))), "quota"),
        403 if status.is_admission() => (Fault::Invalid, "refused"),
        403 => (Fault::Unauthorized, "forbidden"),
        404 | 410 => (Fault::NotFound, "not-found"),
        405 | 406 | 415 | 501 => (Fault::Unsupported, "unsupported"),
        409 => (Fault::Conflict, "conflict"),
        // Another object of the name than the one that was seen.
        422 if status.is_another() => (Fault::Conflict, "conflict"),
        429 => (Fault::Throttled(wait), "throttled"),
        408 | 500..=599 => (Fault::Transient(wait), "unavailable"),
        300..=399 => (Fault::Internal, "redirect"),
        _ => (Fault::Invalid, "invalid"),
    };
    let mut told = words(code, status, asked);
    if let (Some(wait), 429 | 500..=599) = (wait, code) {
        told.push_str(&format!("; it asks to be left alone for {} s", wait.div_ceil(1000)));
    }
    let error = Error::new(fault, &format!("k8s.{name}"), format!("cannot {} {}: {told}", asked.verb, asked.what));
    let error = match status.causes().iter().find_map(|it| pointer(&it.field)) {
        Some(path) if code == 422 || code == 400 => error.at(path),
        _ => error,
    };
    // A webhook that cannot be asked is asked before anything is stored.
    // A proxy answers with any of these for a server that did not live to tell.
    let unknown = matches!(code, 408 | 500 | 502..=599) && !has("failed calling webhook");
    if asked.writes && unknown { error.unsettled() } else { error }
}

/// An answer that is no JSON, or none of the shape that was asked for; `error` holds nothing of it.
pub fn garbled(error: &Error, asked: Asked<'_>) -> Error {
    unfit(&format!("the answer is no object of Kubernetes ({})", error.message), asked)
}

/// An answer that shows something else than what was asked for.
pub fn stray(what: &str, asked: Asked<'_>) -> Error {
    unfit(&format!("the answer shows {what}"), asked)
}

fn unfit(text: &str, asked: Asked<'_>) -> Error {
    let text = format!("cannot {} {}: {text}; is something else listening there, or a proxy in between?", asked.verb, asked.what);
    let error = Error::transient("k8s.answer", text);
    if asked.writes { error.unsettled() } else { error }
}

fn words(code: u16, status: &Status, asked: Asked<'_>) -> String {
    if status.kind.is_empty() {
        return format!("the server answers {code}, and not as Kubernetes does");
    }
    if asked.secret && (matches!(code, 400 | 409 | 422 | 500..=599) || status.is_admission() || status.is_a_strangers()) {
        let own = REASONS.contains(&status.reason.as_str());
        let reason = if own { status.reason.clone() } else { format!("the server answers {code}") };
        let judged = status.causes().iter().filter(|_| status.is_validation(code));
        let fields: Vec<&str> = judged.map(|it| it.field.as_str()).filter(|it| !it.is_empty()).collect();
        return if fields.is_empty() { reason } else { format!("{reason} at {}", cut(&fields.join(", "))) };
    }
    let message = if status.message.is_empty() { &status.reason } else { &status.message };
    let hint = match code {
        401 => "; the credential is missing, wrong or expired",
        403 if !status.is_admission() && !message.contains("exceeded quota") => "; grant the credential's user this verb (RBAC)",
        _ => "",
    };
    format!("{}{hint}", cut(message))
}

/// What somebody else wrote, as it may stand in a message: one line, and not too long.
pub fn cut(text: &str) -> String {
    let line: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    let end = (0..=WORDS.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or_default();
    line.get(..end).unwrap_or_default().to_owned()
}

fn managed(conflicts: &[(String, Vec<String>)], asked: Asked<'_>) -> Error {
    let each = |(manager, fields): &(String, Vec<String>)| format!("`{manager}` manages {}", fields.join(", "));
    let who = cut(&conflicts.iter().map(each).collect::<Vec<_>>().join("; "));
    let text = format!(
        "cannot {} {}: {who}; remove the fields from the document, list them under `trueup.dev/ignore`, or take them over with the \
         annotation `trueup.dev/force: \"true\"`",
        asked.verb, asked.what
    );
    let error = Error::conflict("k8s.field-conflict", text);
    match conflicts.first().and_then(|(_, fields)| fields.first()).and_then(|it| pointer(it)) {
        Some(path) => error.at(path),
        None => error,
    }
}

/// The pointer to a field as the server writes it (`.spec.template.spec.containers[0].image`, `spec.ports[name="x"]`): as far down as
/// it leads through mappings only.
pub fn pointer(field: &str) -> Option<String> {
    let plain = field.split('[').next().unwrap_or_default().trim_start_matches('.');
    let parts: Vec<&str> = plain.split('.').filter(|it| !it.is_empty()).collect();
    let fits = !parts.is_empty() && parts.iter().all(|it| it.bytes().all(|it| it.is_ascii_alphanumeric()));
    fits.then(|| parts.iter().map(|it| format!("/{it}")).collect())
}

#[cfg(test)]
mod tests {
    use trueup_sdk::json;

    use super::*;

    const ASKED: Asked<'static> = Asked { verb: "apply", what: "Deployment.apps shop/web", writes: true, secret: false };

    fn status(reason: &str, message: &str) -> Status {
        Status { kind: "Status".to_owned(), reason: reason.to_owned(), message: message.to_owned(), details: None }
    }

    #[track_caller]
    fn check(code: u16, message: &str, want: (Fault, &str, bool)) {
        let error = judge(code, Some(7000), &status("X", message), ASKED);
        assert_eq!((error.fault, error.code.as_str(), error.unsettled), want, "{code} {message}");
    }

    #[test]
    fn each_status_is_what_the_engine_should_do() {
        check(401, "", (Fault::Unauthorized, "k8s.unauthorized", false));
        check(403, "cannot patch", (Fault::Unauthorized, "k8s.forbidden", false));
        check(
            403,
            "unable to create because it is being terminated",
            (Fault::Transient(Some(7000)), "k8s.namespace-terminating", false),
        );
        let limits = "pods \"x\" is forbidden: maximum memory usage per Container is 4Gi";
        check(403, limits, (Fault::Invalid, "k8s.refused", false));
        check(403, "pods is forbidden: User \"ann\" cannot patch resource", (Fault::Unauthorized, "k8s.forbidden", false));
        check(403, "exceeded quota: q", (Fault::Transient(Some(7000)), "k8s.quota", false));
        check(404, "", (Fault::NotFound, "k8s.not-found", false));
        check(409, "", (Fault::Conflict, "k8s.conflict", false));
        check(422, "", (Fault::Invalid, "k8s.invalid", false));
        check(429, "", (Fault::Throttled(Some(7000)), "k8s.throttled", false));
        check(500, "etcd", (Fault::Transient(Some(7000)), "k8s.unavailable", true));
        check(500, "failed calling webhook \"x\"", (Fault::Transient(Some(7000)), "k8s.unavailable", false));
        check(501, "", (Fault::Unsupported, "k8s.unsupported", false));
        check(503, "", (Fault::Transient(Some(7000)), "k8s.unavailable", true));
        check(503, "failed calling webhook \"x\"", (Fault::Transient(Some(7000)), "k8s.unavailable", false));
        check(504, "", (Fault::Transient(Some(7000)), "k8s.unavailable", true));
    }

    #[test]
    fn a_conflict_names_managers_and_fields() {
        let text = json!({
            "kind": "Status", "reason": "Conflict", "message": "Apply failed with 2 conflicts",
            "details": { "causes": [
                { "reason": "FieldManagerConflict", "message": "conflict with \"helm\" using apps/v1", "field": ".spec.replicas" },
                { "reason": "FieldManagerConflict", "message": "conflict with \"helm\" using apps/v1", "field": ".spec.template.spec.containers[name=\"a\"].image" }
            ] }
        });
        let error = judge(409, None, &serde_json::from_value(text).unwrap(), ASKED);
        let want = "`helm` manages .spec.replicas, .spec.template.spec.containers[name=\"a\"].image";
        assert!(error.message.contains(want) && error.message.contains("trueup.dev/force"), "{error}");
        assert_eq!((error.fault, error.path.as_deref()), (Fault::Conflict, Some("/spec/replicas")));
    }

    #[test]
    fn words_about_a_secret_name_fields_and_never_values() {
        let text = json!({
            "kind": "Status", "reason": "Invalid", "message": "Secret \"db\" is invalid: data[x]: Invalid value: \"canary\"",
            "details": { "causes": [{ "reason": "FieldValueInvalid", "message": "Invalid value: \"canary\"", "field": "data[x]" }] }
        });
        let error = judge(422, None, &serde_json::from_value(text).unwrap(), Asked { secret: true, ..ASKED });
        assert!(!error.message.contains("canary") && error.message.contains("Invalid at data[x]"), "{error}");
    }

    #[test]
    fn a_webhook_tells_nothing_of_a_secret_in_whatever_part_of_its_refusal() {
        let said = "admission webhook \"x\" denied the request: password canary; exceeded quota; User \"a\" cannot";
        let causes = json!([{ "reason": "canary", "message": "canary", "field": "canary" }]);
        for (code, message, reason) in
            [(403, said, "Denied: canary"), (422, said, "Invalid"), (429, said, "canary"), (500, "failed: canary", "canary")]
        {
            let text = json!({ "kind": "Status", "reason": reason, "message": message, "details": { "causes": causes } });
            let error = judge(code, None, &serde_json::from_value(text).unwrap(), Asked { secret: true, ..ASKED });
            assert!(!error.message.contains("canary"), "{code}: {error}");
        }
        let long = status("Conflict", &format!("\u{1b}[2J{}", "x".repeat(9000)));
        let told = judge(409, None, &long, ASKED).message;
        assert!(told.len() < 2000 && !told.contains('\u{1b}'), "{told}");
    }

    #[test]
    fn what_is_not_from_kubernetes_says_so() {
        let error = judge(502, None, &Status::default(), ASKED);
        assert!(error.message.ends_with("the server answers 502, and not as Kubernetes does"), "{error}");
    }
}
