//! The provider against an API server of a few lines: what is sent, and what is made of each answer. How a real one behaves is
//! tested in `tests/`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use trueup_sdk::double::{Double, Phase};
use trueup_sdk::host::http as raw;
use trueup_sdk::{Action, Address, Coverage, Edit, EditOp, Fault, Json, Remote, Settlement, json};

use super::*;

mod looks;

const MARK: &str = "0123456789abcdef0123456789abcdef/test/fedcba9876543210fedcba9876543210";

/// Answers for a method and a URL without its query, first come first served; the last one stays.
type Script = BTreeMap<String, Vec<(u16, Json)>>;

struct Server {
    double: Double,
    /// `PATCH slot:… {body}`.
    sent: Rc<RefCell<Vec<String>>>,
}

impl Server {
    fn start(script: &[(&str, u16, Json)]) -> Self {
        let mut answers = Script::new();
        for (request, status, body) in script {
            answers.entry((*request).to_owned()).or_default().push((*status, body.clone()));
        }
        let sent = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&sent);
        let double = Double::install();
        double.enter(Phase::Apply);
        double.serve(move |request| {
            let body = request.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            log.borrow_mut().push(format!("{} {} {body}", request.method, request.url));
            assert_eq!(request.credential.as_deref(), Some("cluster"));
            let plain = request.url.split('?').next().unwrap_or_default();
            let key = format!("{} {plain}", request.method);
            let (status, body) = match answers.get_mut(&key) {
                Some(list) if list.len() > 1 => list.remove(0),
                Some(list) => list[0].clone(),
                None => (404, refusal("NotFound", "no such thing")),
            };
            let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
            Ok(raw::Response { status, headers: vec![("retry-after".to_owned(), "3".to_owned())], body, cut: false })
        });
        Self { double, sent }
    }

    fn provider(&self) -> Kubernetes {
        self.double.enter(Phase::Pure);
        let entry =
            |plural: &str, namespaced: bool| json!({ "schema": {}, "plural": plural, "version": "v1", "namespaced": namespaced });
        let kinds = json!({
            "ConfigMap": entry("configmaps", true),
            "Deployment.apps": entry("deployments", true),
            "CustomResourceDefinition.apiextensions.k8s.io": entry("customresourcedefinitions", false)
        });
        let provider = Kubernetes::configure(json!({}), Some(kinds)).unwrap();
        self.double.enter(Phase::Apply);
        provider
    }

    fn sent(&self) -> Vec<String> {
        self.sent.take()
    }
}

fn info() -> CallInfo {
    CallInfo { now: 0, budget: 30_000, trace: String::new(), ext: Vec::new() }
}

fn refusal(reason: &str, message: &str) -> Json {
    json!({ "kind": "Status", "status": "Failure", "reason": reason, "message": message })
}

fn conflict(manager: &str) -> Json {
    let cause =
        json!({ "reason": "FieldManagerConflict", "message": format!("conflict with \"{manager}\""), "field": ".data.k" });
    json!({ "kind": "Status", "reason": "Conflict", "message": "Apply failed with 1 conflict", "details": { "causes": [cause] } })
}

fn config_map(value: &str) -> Json {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": { "k": value },
        "metadata": { "name": "a", "namespace": "shop", "uid": "u1", "resourceVersion": "7" }
    })
}

fn list(metadata: &Json, items: &Json) -> Json {
    json!({ "apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": items })
}

/// The same with our mark.
fn marked(value: &str) -> Json {
    let mut object = config_map(value);
    object["metadata"]["labels"] = json!({ "trueup.dev/project": "0123456789abcdef0123456789abcdef", "trueup.dev/environment": "test", "trueup.dev/resource": "fedcba9876543210fedcba9876543210" });
    object
}

const URL: &str = "slot:cluster/api/v1/namespaces/shop/configmaps/a";

fn address() -> Address {
    Address { kind: "ConfigMap".to_owned(), scope: "shop".to_owned(), key: "a".to_owned() }
}

fn remote(object: &Json) -> Remote {
    let info =
        Kinds::new(Some(json!({ "ConfigMap": { "schema": {}, "plural": "configmaps", "version": "v1", "namespaced": true } })));
    let info = info.local("ConfigMap").unwrap();
    crate::object::Object::parse(object.to_string().as_bytes()).unwrap().into_remote(&info)
}

fn change(action: Action, prior: Option<&Json>) -> Change {
    Change {
        action,
        address: address(),
        token: "t".to_owned(),
        attempt: 0,
        unsettled: false,
        mark: MARK.to_owned(),
        desired: (action != Action::Delete).then(|| json!({ "data": { "k": "new" } }).to_string()),
        prior: prior.map(remote),
        edits: Vec::new(),
        ext: Vec::new(),
    }
}

#[track_caller]
fn apply(server: &Server, change: Change) -> Outcome {
    server.provider().apply(vec![change], &info()).remove(0)
}

#[track_caller]
fn fault(outcome: &Outcome) -> (Fault, String) {
    match &outcome.settlement {
        Settlement::Rejected(it) | Settlement::Unsettled(it) => (it.fault, it.diagnostics[0].code.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_create_looks_then_applies_with_our_mark() {
    let server = Server::start(&[(&format!("PATCH {URL}"), 201, config_map("new"))]);
    let outcome = apply(&server, change(Action::Create, None));
    assert!(matches!(outcome.settlement, Settlement::Settled), "{outcome:?}");
    assert_eq!(outcome.object.unwrap().identity, "u1");
    let sent = server.sent();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[0].starts_with(&format!("GET {URL}")));
    assert!(sent[1].starts_with(&format!("PATCH {URL}?fieldManager=trueup {{")), "{}", sent[1]);
    assert!(sent[1].contains("\"trueup.dev/environment\":\"test\"") && !sent[1].contains("uid"), "{}", sent[1]);
}

#[test]
fn a_create_leaves_what_is_not_ours_alone() {
    let server = Server::start(&[(&format!("GET {URL}"), 200, config_map("theirs"))]);
    let outcome = apply(&server, change(Action::Create, None));
    assert_eq!(fault(&outcome), (Fault::Conflict, "k8s.exists".to_owned()));
    assert_eq!(server.sent().len(), 1, "nothing is written");
}

#[test]
fn a_create_that_was_cut_off_meets_its_own_object() {
    let ours = marked("new");
    let server = Server::start(&[(&format!("GET {URL}"), 200, ours.clone()), (&format!("PATCH {URL}"), 200, ours)]);
    let outcome = apply(&server, Change { unsettled: true, attempt: 1, ..change(Action::Create, None) });
    assert!(matches!(outcome.settlement, Settlement::Settled), "{outcome:?}");
    assert_eq!(outcome.object.unwrap().mark.as_deref(), Some(MARK));
}

#[test]
fn a_create_that_merged_into_another_ones_object_says_so() {
    let server = Server::start(&[(&format!("PATCH {URL}"), 200, config_map("new"))]);
    let outcome = apply(&server, change(Action::Create, None));
    assert!(matches!(outcome.settlement, Settlement::Rejected(_)), "a look would find all that was asked for: {outcome:?}");
    assert_eq!(fault(&outcome), (Fault::Conflict, "k8s.exists".to_owned()));
}

#[test]
fn a_change_to_an_object_that_is_going_is_not_done() {
    let mut going = marked("new");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let server = Server::start(&[(&format!("PATCH {URL}"), 200, going)]);
    let outcome = apply(&server, change(Action::Update, Some(&marked("old"))));
    assert!(matches!(outcome.settlement, Settlement::Rejected(_)), "a look would find all that was asked for: {outcome:?}");
    assert_eq!(fault(&outcome), (Fault::Transient(Some(2000)), "k8s.terminating".to_owned()));
}

#[test]
fn an_update_names_the_uid_and_a_conflict_names_the_manager() {
    let server =
        Server::start(&[(&format!("PATCH {URL}"), 409, conflict("helm")), (&format!("GET {URL}"), 200, config_map("old"))]);
    let outcome = apply(&server, change(Action::Update, Some(&config_map("old"))));
    let Settlement::Rejected(failure) = &outcome.settlement else { panic!("{outcome:?}") };
    assert_eq!(failure.fault, Fault::Conflict);
    assert!(failure.diagnostics[0].summary.contains("`helm` manages .data.k"), "{failure:?}");
    assert!(server.sent()[0].contains("\"uid\":\"u1\""));
}

#[test]
fn a_change_by_hand_after_our_apply_is_put_back_and_force_takes_over() {
    let mut edited = config_map("edited");
    edited["metadata"]["managedFields"] = json!([
        { "manager": "trueup", "operation": "Apply", "time": "2026-01-01T00:00:00Z" },
        { "manager": "kubectl-edit", "operation": "Update", "time": "2026-01-01T00:00:09Z" }
    ]);
    let patch = format!("PATCH {URL}");
    let server = Server::start(&[
        (&patch, 409, conflict("kubectl-edit")),
        (&patch, 200, config_map("new")),
        (&format!("GET {URL}"), 200, edited),
    ]);
    let outcome = apply(&server, change(Action::Update, Some(&config_map("edited"))));
    assert!(matches!(outcome.settlement, Settlement::Settled), "{outcome:?}");
    let sent = server.sent();
    assert!(!sent[0].contains("force") && !sent[0].contains("resourceVersion"), "{sent:?}");
    let at = "\"resourceVersion\":\"7\"";
    assert!(sent[2].contains("?fieldManager=trueup&force=true ") && sent[2].contains(at), "of what was judged: {sent:?}");
    let force = vec![("force".to_owned(), "true".to_owned())];
    apply(&server, Change { ext: force, ..change(Action::Update, Some(&config_map("old"))) });
    assert!(server.sent()[0].contains("force=true"));
}

#[test]
fn what_is_forced_is_judged_anew_where_somebody_wrote_the_object_meanwhile() {
    let managed = |manager: &str, operation: &str, version: &str| {
        let mut object = config_map("edited");
        object["metadata"]["resourceVersion"] = json!(version);
        object["metadata"]["managedFields"] = json!([
            { "manager": "trueup", "operation": "Apply", "time": "2026-01-01T00:00:00Z" },
            { "manager": manager, "operation": operation, "time": "2026-01-01T00:00:09Z" }
        ]);
        object
    };
    let (get, patch) = (format!("GET {URL}"), format!("PATCH {URL}"));
    let server = Server::start(&[
        (&patch, 409, conflict("kubectl-edit")),
        (&get, 200, managed("kubectl-edit", "Update", "7")),
        (&patch, 409, refusal("Conflict", "the object has been modified")),
        (&patch, 409, conflict("operator")),
        (&get, 200, managed("operator", "Apply", "8")),
    ]);
    let outcome = apply(&server, change(Action::Update, Some(&marked("edited"))));
    let Settlement::Rejected(failure) = &outcome.settlement else { panic!("{outcome:?}") };
    assert!(failure.diagnostics[0].summary.contains("`operator` manages .data.k"), "{failure:?}");
    let sent = server.sent();
    assert!(sent.len() == 5 && sent.iter().filter(|it| it.contains("force=true")).count() == 1, "{sent:?}");
}

#[test]
fn a_field_that_a_former_applier_still_holds_is_taken_away() {
    let mut held = config_map("new");
    held["data"]["old"] = json!("x");
    held["metadata"]["managedFields"] =
        json!([{ "manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": { "f:data": { "f:old": {} } } }]);
    let patch = format!("PATCH {URL}");
    let server = Server::start(&[(&patch, 200, held), (&patch, 200, config_map("new"))]);
    let edits = vec![Edit { op: EditOp::Remove, path: "/data/old".to_owned(), value: None }];
    let outcome = apply(&server, Change { edits, ..change(Action::Update, Some(&marked("old"))) });
    assert!(matches!(outcome.settlement, Settlement::Settled), "{outcome:?}");
    let sent = server.sent();
    assert!(
        sent[1].ends_with(r#"[{"op":"test","path":"/metadata/resourceVersion","value":"7"},{"op":"remove","path":"/data/old"}]"#),
        "{sent:?}"
    );
}

#[test]
fn who_takes_an_object_over_ends_what_applied_it_before_and_nobody_else() {
    let adopt = || vec![("adopt".to_owned(), "true".to_owned())];
    let mut taken = marked("new");
    taken["metadata"]["managedFields"] = json!([
        { "manager": "helm", "operation": "Update", "fieldsV1": {} },
        { "manager": "trueup", "operation": "Apply", "fieldsV1": {} },
        { "manager": "operator", "operation": "Apply", "fieldsV1": {} },
        { "manager": "kube-controller-manager", "operation": "Update", "subresource": "scale", "fieldsV1": {} },
        { "manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": {} }
    ]);
    let patch = format!("PATCH {URL}");
    let server = Server::start(&[(&patch, 200, taken), (&patch, 200, marked("new"))]);
    let outcome = apply(&server, Change { ext: adopt(), ..change(Action::Update, Some(&config_map("old"))) });
    assert!(matches!(outcome.settlement, Settlement::Settled), "{outcome:?}");
    let sent = server.sent();
    let removals = r#"{"op":"remove","path":"/metadata/managedFields/4"},{"op":"remove","path":"/metadata/managedFields/0"}]"#;
    assert!(sent.len() == 2 && sent[1].ends_with(removals), "{sent:?}");
    apply(&server, change(Action::Update, Some(&config_map("old"))));
    assert_eq!(server.sent().len(), 1, "it is ours, and somebody took its labels off");
}

#[test]
fn what_an_apply_leaves_to_do_is_done_though_a_controller_writes_its_status_meanwhile() {
    let at = |version: &str, before: &[&str]| {
        let mut object = marked("new");
        object["metadata"]["resourceVersion"] = json!(version);
        let entries = before.iter().map(|it| json!({ "manager": it, "operation": "Update", "subresource": "status" }));
        let helm = json!({ "manager": "helm", "operation": "Update" });
        object["metadata"]["managedFields"] = entries.chain([helm]).collect();
        object
    };
    let (get, patch) = (format!("GET {URL}"), format!("PATCH {URL}"));
    let lost = (patch.as_str(), 422, refusal("Invalid", "testing path /metadata/resourceVersion failed"));
    let adopted = || {
        let ext = vec![("adopt".to_owned(), "true".to_owned())];
        Change { ext, ..change(Action::Update, Some(&config_map("old"))) }
    };
    let now = (get.as_str(), 200, at("8", &["controller"]));
    let server = Server::start(&[(&patch, 200, at("7", &[])), lost.clone(), (&patch, 200, marked("new")), now]);
    let outcome = apply(&server, adopted());
    assert!(matches!(outcome.settlement, Settlement::Settled), "{outcome:?}");
    let sent = server.sent();
    let want = r#""value":"8"},{"op":"remove","path":"/metadata/managedFields/1"}]"#;
    assert!(sent.len() == 4 && sent[3].ends_with(want), "{sent:?}");
    // Refused for what it says, and not for when.
    let server = Server::start(&[(&patch, 200, at("7", &[])), lost, (&get, 200, at("7", &[]))]);
    let outcome = apply(&server, adopted());
    assert!(matches!(outcome.settlement, Settlement::Unsettled(_)) && server.sent().len() == 3, "{outcome:?}");
}

#[test]
fn a_plan_tells_a_conflict_and_decides_one_that_needs_no_person() {
    let candidate = |prior: &Json, ext: &[(&str, &str)]| Candidate {
        action: Action::Update,
        address: address(),
        desired: Some(json!({ "data": { "k": "new" } }).to_string()),
        object: Some(remote(prior)),
        edits: vec![Edit { op: EditOp::Replace, path: "/data/k".to_owned(), value: Some("\"new\"".to_owned()) }],
        ext: ext.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let mut held = config_map("theirs");
    held["metadata"]["managedFields"] = json!([{ "manager": "helm", "operation": "Update", "time": "2026-01-01T00:00:00Z" }]);
    let (get, patch) = (format!("GET {URL}"), format!("PATCH {URL}"));
    let (get, patch) = (get.as_str(), patch.as_str());
    // Taken over from Helm: a person's word was given.
    let script = [(patch, 409, conflict("helm")), (patch, 200, config_map("new")), (get, 200, held)];
    let server = Server::start(&script);
    let verdict = server.provider().refine(vec![candidate(&config_map("theirs"), &[("adopt", "true")])], &info()).remove(0);
    assert!(matches!(verdict, Verdict::Accept), "{verdict:?}");
    let sent = server.sent();
    assert!(sent.len() == 3 && sent.iter().filter(|it| it.contains("dryRun=All")).count() == 2, "{sent:?}");
    // Ours already, also where somebody took its labels off, and Helm changes it nevertheless.
    for prior in [marked("theirs"), config_map("theirs")] {
        let server = Server::start(&script);
        let verdict = server.provider().refine(vec![candidate(&prior, &[])], &info()).remove(0);
        let Verdict::Refuse(failure) = verdict else { panic!("{verdict:?}") };
        let told = &failure.diagnostics[0].summary;
        assert!(failure.fault == Fault::Conflict && told.contains("`helm` manages .data.k"), "{failure:?}");
    }
}

#[test]
fn a_delete_names_uid_and_version_and_waits_for_finalizers() {
    let mut going = config_map("x");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    going["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let get = format!("GET {URL}");
    let gone = refusal("NotFound", "gone");
    let server = Server::start(&[(&format!("DELETE {URL}"), 200, going.clone()), (&get, 200, going), (&get, 404, gone)]);
    let outcome = apply(&server, change(Action::Delete, Some(&config_map("x"))));
    let Settlement::Pending(pending) = &outcome.settlement else { panic!("{outcome:?}") };
    assert!(pending.message.contains("held by example.com/hold"), "{pending:?}");
    let sent = server.sent();
    assert!(
        sent[0].contains(r#""preconditions":{"resourceVersion":"7","uid":"u1"},"propagationPolicy":"Background""#),
        "{sent:?}"
    );
    let over = server.provider().poll(vec![pending.operation.clone()], &info()).remove(0);
    assert!(matches!(over.settlement, Settlement::Settled) && over.object.is_none(), "{over:?}");
}

#[test]
fn a_delete_is_tried_again_where_only_the_version_moved() {
    let mut now = config_map("x");
    now["metadata"]["resourceVersion"] = json!("8");
    let delete = format!("DELETE {URL}");
    let done = json!({ "kind": "Status", "status": "Success" });
    let server =
        Server::start(&[(&delete, 409, refusal("Conflict", "moved")), (&delete, 200, done), (&format!("GET {URL}"), 200, now)]);
    let outcome = apply(&server, change(Action::Delete, Some(&config_map("x"))));
    assert!(matches!(outcome.settlement, Settlement::Settled), "{outcome:?}");
    assert!(server.sent()[2].contains(r#""resourceVersion":"8""#));
    let server =
        Server::start(&[(&delete, 409, refusal("Conflict", "moved")), (&format!("GET {URL}"), 200, config_map("other"))]);
    let outcome = apply(&server, change(Action::Delete, Some(&config_map("x"))));
    assert_eq!(fault(&outcome), (Fault::Conflict, "k8s.conflict".to_owned()));
}

#[test]
fn an_object_that_is_gone_is_deleted() {
    let server = Server::start(&[]);
    let outcome = apply(&server, change(Action::Delete, Some(&config_map("x"))));
    assert!(matches!(outcome.settlement, Settlement::Settled), "{outcome:?}");
}

#[test]
fn throttling_and_failures_are_told_with_their_wait() {
    for (status, fault_wanted, unsettled) in [
        (429, Fault::Throttled(Some(3000)), false),
        (503, Fault::Transient(Some(3000)), true),
        (500, Fault::Transient(Some(3000)), true),
    ] {
        let server = Server::start(&[(&format!("PATCH {URL}"), status, refusal("X", "y"))]);
        let outcome = apply(&server, change(Action::Update, Some(&config_map("old"))));
        assert_eq!(fault(&outcome).0, fault_wanted);
        assert_eq!(matches!(outcome.settlement, Settlement::Unsettled(_)), unsettled, "{status}");
    }
}

#[test]
fn a_definition_is_done_once_it_is_established() {
    let url = "slot:cluster/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
    let fresh = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "widgets.example.com", "uid": "u" }
    });
    let mut ready = fresh.clone();
    ready["status"] = json!({ "conditions": [{ "type": "Established", "status": "True" }] });
    let get = format!("GET {url}");
    let server = Server::start(&[
        (&get, 404, refusal("NotFound", "")),
        (&get, 200, fresh.clone()),
        (&get, 200, ready),
        (&format!("PATCH {url}"), 201, fresh),
    ]);
    let address = Address {
        kind: "CustomResourceDefinition.apiextensions.k8s.io".to_owned(),
        scope: String::new(),
        key: "widgets.example.com".to_owned(),
    };
    let mut outcome = apply(&server, Change { address, ..change(Action::Create, None) });
    for _ in 0..2 {
        let Settlement::Pending(pending) = &outcome.settlement else { panic!("{outcome:?}") };
        outcome = server.provider().poll(vec![pending.operation.clone()], &info()).remove(0);
    }
    assert!(matches!(outcome.settlement, Settlement::Settled) && outcome.object.is_some(), "{outcome:?}");
}
