//! The kit against forty broken plugins: each must fail the check that is meant for its bug, and the honest one none.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use trueup_tests::guests::mutant;
use trueup_tests::{Project, binary, long};

/// Name of the bug, the check that is meant for it, and what it is.
const MUTANTS: &[(&str, &str, &str)] = &[
    ("describe-counts", "describe-pure", "describe tells how often it was called"),
    ("schema-misspelt", "schemas-valid", "a keyword of the schema is misspelt"),
    ("schema-wrong-default", "schemas-valid", "a default that its own field does not take"),
    ("key-is-optional", "schemas-valid", "the key of the address may be left out"),
    ("render-counts", "render-pure", "render tells how often it was called"),
    ("render-not-idempotent", "render-idempotent", "render adds a full stop each time"),
    ("render-tells-position", "render-order", "render tells an item's place in the list"),
    ("render-order-matters", "render-order", "the order of an unordered list is given a meaning"),
    ("scan-drops-field", "empty-plan", "a scan leaves a field out"),
    ("echoes-desired", "answers-true", "apply answers with what was asked for"),
    ("update-ignores-field", "fields-update", "an update leaves a field out"),
    ("update-ignores-secret", "fields-update", "an update leaves the write-only field out"),
    ("immutable-ignored", "fields-update", "an update of an immutable field is called done"),
    ("drift-cached", "drift", "an instance shows objects as it first saw them"),
    ("delete-404-fails", "delete-twice", "deleting what is gone is an error"),
    ("wrong-identity", "adopt", "a scan calls an object by another name than apply"),
    ("ignores-cursor", "pages", "every page is the first one"),
    ("page-repeats", "pages", "a page begins with the last object of the one before"),
    ("page-partial", "pages", "only the last page is called whole"),
    ("error-is-empty", "absence", "a list that fails is an empty list"),
    ("read-error-absent", "absence", "a read that fails says that there is nothing"),
    ("unchanged-forever", "unchanged", "a scope that was seen once is unchanged for ever"),
    ("short-answers", "order-and-length", "the last answer of a list is left out"),
    ("scan-all-or-nothing", "order-and-length", "one bad query fails the whole scan"),
    ("batch-all-or-nothing", "order-and-length", "one bad change fails the whole batch"),
    ("panics-on-empty", "unknown-scope", "a scope without objects is a crash"),
    ("create-without-look", "create-cut", "another try of a create is a new create"),
    ("cut-is-rejected", "create-cut", "a create that was cut off is called rejected"),
    ("update-cut-is-rejected", "update-cut", "an update that was cut off is called rejected"),
    ("closing-is-conflict", "delete-cut", "a delete under way is somebody else's"),
    ("interrupted-is-invalid", "delete-cut", "a request without an answer is the document's fault"),
    ("poll-needs-globals", "fresh-poll", "only the instance that began a delete can follow it"),
    ("drops-retry-after", "throttled", "how long to wait is not passed on"),
    ("hint-in-seconds", "throttled", "how long to wait is told in seconds"),
    ("throttled-is-invalid", "throttled", "a throttled request is the document's fault"),
    ("unauthorized-is-transient", "refused", "a wrong token is tried again and again"),
    ("forces-conflicts", "refused", "a conflict is written over"),
    ("puts-whole", "unknown-fields", "an update wipes what it does not know"),
    ("refuses-unknown", "unknown-fields", "a field of the server that is not known is an error"),
    ("logs-secret", "no-secret", "the log holds a secret"),
    ("error-holds-secret", "no-secret", "an error holds a secret"),
    ("secret-in-outputs", "no-secret", "an output holds a secret"),
    ("writes-in-scan", "read-only", "a scan sends a POST"),
    ("greedy-host", "rights-used", "a host is asked for and never used"),
    ("greedy-slot", "rights-used", "a credential is asked for and never used"),
    ("greedy-dns", "rights-used", "DNS is asked for and never used"),
    ("greedy-read", "rights-used", "a POST is asked to count as a read and never sent"),
    ("asks-elsewhere", "rights-used", "a host is tried that was not granted"),
    ("quadratic-scan", "budget", "each page goes over all before it"),
];

/// A plugin's project around one component, whose server is the ticket server of the tests.
fn project(name: &str) -> (Project, PathBuf) {
    let project = Project::new();
    let folder = project.outside().join("tickets");
    fs::create_dir_all(folder.join("build")).unwrap();
    fs::write(folder.join("build/tickets.wasm"), mutant(name)).unwrap();
    let server = binary().with_file_name("ticket-server");
    let objects = if long() { 10_000 } else { 2_000 };
    let text = format!(
        r#"apiVersion: trueup.dev/v1
kind: Plugin
metadata: {{name: tickets}}
build: {{command: ["true"], component: build/tickets.wasm}}
test:
  server: {{command: ["{}", "{{port}}"]}}
  config: {{server: "http://127.0.0.1:{{port}}"}}
  hosts: ["http://127.0.0.1:{{port}}"]
  credentials: {{token: {{bearer: "test-token"}}}}
  secrets: {{hook: "s3cret-hook-value"}}
  objects:
    - kind: Ticket
      name: first
      spec: {{queue: support, title: First, channel: web, priority: 2, tags: [a, b], body: "It does not start", hook: "${{{{ secret('hook') }}}}"}}
  extra:
    change: {{method: PATCH, path: "/tickets/{{identity}}", body: {{assignee: eve}}}}
    look: {{path: "/tickets/{{identity}}", pointer: /assignee}}
  budget: {{objects: {objects}, seconds: 20}}
"#,
        server.display()
    );
    fs::write(folder.join("plugin.yaml"), text).unwrap();
    (project, folder)
}

/// The report of a run, and its exit code.
fn tested(project: &Project, folder: &Path, only: Option<&str>) -> (Option<i32>, Json) {
    let mut arguments =
        vec!["plugin".to_owned(), "test".to_owned(), folder.display().to_string(), "-o".to_owned(), "json".to_owned()];
    arguments.extend(only.into_iter().flat_map(|it| ["--only".to_owned(), it.to_owned()]));
    let run = project.run(&arguments);
    (run.code, run.json())
}

/// Names and details of the checks that ended so.
fn checks<'a>(report: &'a Json, outcome: &str) -> Vec<(&'a str, &'a str)> {
    let all = report["checks"].as_array().unwrap_or_else(|| panic!("no checks: {report:#}")).iter();
    let text = |it: &'a Json, key: &str| it[key].as_str().unwrap_or_default();
    all.filter(|it| it["outcome"] == outcome).map(|it| (text(it, "name"), text(it, "detail"))).collect()
}

#[test]
fn the_honest_provider_passes_every_check() {
    let (project, folder) = project("honest");
    let (code, report) = tested(&project, &folder, None);
    let skipped: Vec<&str> = checks(&report, "skipped").iter().map(|it| it.0).collect();
    assert_eq!((checks(&report, "failed"), skipped, code), (vec![], vec!["recorded"], Some(0)), "{report:#}");
    assert!(report["passed"].as_u64() > Some(25), "{report:#}");
}

#[test]
fn each_of_forty_bugs_fails_the_check_that_is_meant_for_it() {
    let mut missed = Vec::new();
    println!("{:26} {:18} {:54} also", "bug", "check", "what it is");
    for (name, check, about) in MUTANTS {
        let (project, folder) = project(name);
        // All checks where there is time: which ones else see the bug.
        let (code, report) = tested(&project, &folder, Some(*check).filter(|_| !long()));
        let failed = checks(&report, "failed");
        let also: Vec<&str> = failed.iter().map(|(name, _)| *name).filter(|it| it != check).collect();
        println!("{name:26} {check:18} {about:54} {}", also.join(" "));
        match failed.iter().find(|(it, _)| it == check) {
            Some((_, detail)) if code == Some(1) => println!("    {detail}"),
            _ => missed.push(format!("{name}: `{check}` did not fail (exit {code:?}): {report:#}")),
        }
    }
    assert!(MUTANTS.len() >= 40 && missed.is_empty(), "{} of {} missed:\n{}", missed.len(), MUTANTS.len(), missed.join("\n"));
}
