//! PowerDNS by its HTTP API.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use trueup_tests::servers::dig::dig;
use trueup_tests::servers::pdns::Pdns;
use trueup_tests::servers::proxy::{Fate, Proxy};

use super::{Way, ZONE, apply, apply_deleting, declare, plan, project, project_with, record, settled};

#[test]
fn a_record_is_made_changed_healed_and_deleted_and_each_plan_after_it_is_empty() {
    let server = Pdns::start();
    server.zone(ZONE);
    let project = project(&Way::Api(server.api));
    let www = |it: &[&str]| record("www", "A", 60, it);
    declare(&project, "www", &www(&["10.0.0.1"]));
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "www.example.test", "A"), ["60 A 10.0.0.1"]);
    settled(&project);
    declare(&project, "www", &www(&["10.0.0.2", "10.0.0.3"]));
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "www.example.test", "A"), ["60 A 10.0.0.2", "60 A 10.0.0.3"]);
    settled(&project);
    server.delete(ZONE, "www.example.test.", "A");
    assert_eq!(plan(&project)["summary"]["create"], 1);
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "www.example.test", "A").len(), 2);
    server.put(ZONE, "www.example.test.", "A", 5, &["10.9.9.9"]);
    let seen = plan(&project);
    assert_eq!((&seen["summary"]["update"], &seen["steps"][0]["changes"][0]["origin"]), (&json!(1), &json!("drift")), "{seen:#}");
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "www.example.test", "A"), ["60 A 10.0.0.2", "60 A 10.0.0.3"]);
    project.remove("base/www.json").commit("no www");
    apply_deleting(&project, 1).expect_exit(0);
    assert!(dig(server.dns, "www.example.test", "A").is_empty());
    assert_eq!(dig(server.dns, "foreign.example.test", "TXT"), ["300 TXT \"theirs\""]);
    settled(&project);
}

#[test]
fn a_pass_without_changes_is_one_request_and_one_change_is_three() {
    let server = Pdns::start();
    server.zone(ZONE);
    let proxy = Proxy::http(server.api);
    let project = project(&Way::Api(proxy.port));
    for name in ["a", "b", "c"] {
        declare(&project, name, &record(name, "A", 60, &["10.0.0.1"]));
    }
    apply(&project).expect_exit(0);
    settled(&project);
    proxy.take();
    settled(&project);
    let zone = "GET /api/v1/servers/localhost/zones/example.test.";
    assert_eq!(proxy.take(), [zone]);
    declare(&project, "b", &record("b", "A", 60, &["10.0.0.2"]));
    apply(&project).expect_exit(0);
    let asked = proxy.take();
    let patch = "PATCH /api/v1/servers/localhost/zones/example.test.".to_owned();
    let look = format!("{zone}?rrset_name=b.example.test.&rrset_type=A");
    assert_eq!(asked, [zone.to_owned(), patch, look]);
}

#[test]
fn what_another_hand_made_is_never_taken_nor_overwritten() {
    let server = Pdns::start();
    server.zone(ZONE).put(ZONE, "www.example.test.", "A", 300, &["10.1.1.1"]);
    let project = project(&Way::Api(server.api));
    declare(&project, "www", &record("www", "A", 60, &["10.0.0.1"]));
    apply(&project).expect_exit(1).expect_text(&["TU0600"]);
    assert_eq!(dig(server.dns, "www.example.test", "A"), ["300 A 10.1.1.1"]);
    // A CNAME beside what is there is the server's to refuse; the record beside it in the same request is made.
    project.remove("base/www.json");
    declare(&project, "ok", &record("ok", "A", 60, &["10.0.0.1"]));
    declare(&project, "alias", &record("foreign", "CNAME", 60, &["www"]));
    apply(&project).expect_exit(1).expect_text(&["foreign.example.test. IN CNAME", "onflicts"]);
    assert_eq!(dig(server.dns, "ok.example.test", "A"), ["60 A 10.0.0.1"]);
    assert_eq!(dig(server.dns, "foreign.example.test", "TXT"), ["300 TXT \"theirs\""]);
}

#[test]
fn a_zone_is_made_with_its_records_and_goes_with_them_but_never_with_those_of_others() {
    let server = Pdns::start();
    let project = project(&Way::Api(server.api));
    let zone = json!({ "apiVersion": "dns/v1", "kind": "Zone", "metadata": { "name": ZONE }, "spec": { "kind": "Native", "nameservers": ["ns1"] } });
    declare(&project, "zone", &zone.to_string());
    declare(&project, "www", &record("www", "A", 60, &["10.0.0.1"]));
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "www.example.test", "A"), ["60 A 10.0.0.1"]);
    assert_eq!(dig(server.dns, ZONE, "NS"), ["3600 NS ns1.example.test."]);
    settled(&project);
    let mut primary = zone.clone();
    primary["spec"]["kind"] = json!("Master");
    declare(&project, "zone", &primary.to_string());
    apply(&project).expect_exit(0);
    assert!(server.ask("GET", "/zones/example.test.", &json!(null)).1.contains("\"kind\": \"Master\""));
    settled(&project);
    server.put(ZONE, "theirs.example.test.", "A", 300, &["10.1.1.1"]);
    project.remove("base/zone.json").remove("base/www.json").commit("no zone");
    apply_deleting(&project, 2).expect_exit(1).expect_text(&["`theirs.example.test. A`", "not empty"]);
    assert_eq!(dig(server.dns, "theirs.example.test", "A"), ["300 A 10.1.1.1"]);
    assert!(dig(server.dns, "www.example.test", "A").is_empty());
    server.delete(ZONE, "theirs.example.test.", "A");
    apply_deleting(&project, 1).expect_exit(0);
    assert_eq!(server.ask("GET", "/zones/example.test.", &json!(null)).0, 404);
    settled(&project);
}

#[test]
fn a_change_that_does_not_fit_into_one_request_goes_in_several() {
    let server = Pdns::start();
    server.zone(ZONE);
    let proxy = Proxy::http(server.api);
    let project = project_with(&Way::Api(proxy.port), ", maxBody: 4096");
    for index in 0..60 {
        project.write(&format!("base/r{index}.json"), record(&format!("r{index}"), "TXT", 60, &["some text of some length"]));
    }
    project.commit("sixty records");
    apply(&project).expect_exit(0);
    let asked = proxy.take();
    assert!((2..5).contains(&asked.iter().filter(|it| it.starts_with("PATCH")).count()), "{asked:?}");
    assert_eq!(dig(server.dns, "r59.example.test", "TXT"), ["60 TXT \"some text of some length\""]);
    settled(&project);
    let long = "x".repeat(240);
    let values = (0..30).map(|it| format!("{it}{long}")).collect::<Vec<_>>();
    declare(&project, "long", &record("long", "TXT", 60, &values.iter().map(String::as_str).collect::<Vec<_>>()));
    apply(&project).expect_exit(1).expect_text(&["config.maxBody"]);
}

#[test]
fn records_that_are_switched_off_are_not_lost_by_a_change() {
    let server = Pdns::start();
    server.zone(ZONE);
    let project = project(&Way::Api(server.api));
    declare(&project, "www", &record("www", "A", 60, &["10.0.0.1"]));
    apply(&project).expect_exit(0);
    let records = json!([{ "content": "10.0.0.1", "disabled": false }, { "content": "10.0.0.7", "disabled": true }]);
    server.patch(
        ZONE,
        &json!({ "name": "www.example.test.", "type": "A", "ttl": 60, "changetype": "REPLACE", "records": records }),
    );
    settled(&project);
    declare(&project, "www", &record("www", "A", 60, &["10.0.0.2"]));
    apply(&project).expect_exit(1).expect_text(&["switched off"]);
    assert!(server.ask("GET", "/zones/example.test.", &json!(null)).1.contains("10.0.0.7"));
}

#[test]
fn a_look_that_is_old_is_repeated_before_anything_is_written() {
    let server = std::sync::Arc::new(Pdns::start());
    server.zone(ZONE);
    let proxy = Proxy::http(server.api);
    let project = project(&Way::Api(proxy.port));
    declare(&project, "a", &record("a", "A", 60, &["10.0.0.1"]));
    declare(&project, "b", &record("b", "A", 60, &["10.0.0.1"]));
    apply(&project).expect_exit(0);
    declare(&project, "a", &record("a", "A", 60, &["10.0.0.2"]));
    declare(&project, "b", &record("b", "A", 60, &["10.0.0.2"]));
    let (hand, asked_before) = (server.clone(), Mutex::new(0));
    proxy.decide(move |asked| {
        // Both names are looked at anew side by side: neither goes on before the change by hand is there.
        let mut before = asked_before.lock().expect("no panic");
        *before += 1;
        match (asked.what.starts_with("GET"), *before) {
            (true, 1) => return Fate::Wait(Duration::from_secs(6)),
            (true, 2) => {
                hand.put(ZONE, "a.example.test.", "A", 60, &["10.9.9.9"]);
            }
            _ => {}
        }
        Fate::Pass
    });
    apply(&project).expect_exit(1).expect_text(&["a.example.test. A changed since it was observed"]);
    assert_eq!(dig(server.dns, "a.example.test", "A"), ["60 A 10.9.9.9"]);
    assert_eq!(dig(server.dns, "b.example.test", "A"), ["60 A 10.0.0.2"]);
}
