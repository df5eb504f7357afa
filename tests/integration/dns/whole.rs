//! Zones as a whole: one that claims all that is in it, one that is taken over from somebody else, and names that stand alone.

use std::fmt::Write as _;

use serde_json::json;
use trueup_tests::servers::bind::{Allow, Bind, nsupdate};
use trueup_tests::servers::dig::dig;
use trueup_tests::servers::pdns::Pdns;
use trueup_tests::servers::proxy::{Fate, Proxy, status};

use super::{Way, ZONE, apply, apply_deleting, declare, plan, project, project_file, record, settled};

/// The zone's document: it is there already, and taken over.
fn zone(authoritative: bool) -> String {
    let spec = json!({ "name": ZONE, "authoritative": authoritative, "ignore": ["_acme-challenge* TXT", "dyn"] });
    let metadata = json!({ "name": "zone", "annotations": { "trueup.dev/adopt": "true" } });
    json!({ "apiVersion": "dns/v1", "kind": "Zone", "metadata": metadata, "spec": spec }).to_string()
}

#[test]
fn an_authoritative_zone_lists_all_that_it_would_remove_and_waits_for_a_word_the_first_time() {
    let server = Pdns::start();
    server.zone(ZONE).put(ZONE, "stale.example.test.", "A", 300, &["10.1.1.1"]);
    server.put(ZONE, "_acme-challenge.www.example.test.", "TXT", 60, &["\"token\""]);
    server.put(ZONE, "dyn.example.test.", "AAAA", 60, &["2001:db8::1"]);
    let project = project(&Way::Api(server.api));
    declare(&project, "www", &record("www", "A", 60, &["10.0.0.1"]));
    declare(&project, "zone", &zone(false));
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "stale.example.test", "A").len(), 1, "nothing is claimed yet");
    declare(&project, "zone", &zone(true));
    let seen = plan(&project);
    let mut gone: Vec<&str> = seen["refused"].as_array().unwrap().iter().filter_map(|it| it["resource"].as_str()).collect();
    gone.sort_unstable();
    let all = ["RecordSet/example.test/foreign%20TXT", "RecordSet/example.test/stale%20A"];
    assert_eq!(gone, all, "{seen:#}");
    assert_eq!(
        (seen["steps"].as_array().map(Vec::len), &seen["steps"][0]["resource"]),
        (Some(1), &json!("Zone/zone")),
        "{seen:#}"
    );
    apply(&project).expect_exit(1).expect_text(&["TU0602", "--allow-deletes"]);
    assert_eq!(dig(server.dns, "stale.example.test", "A").len(), 1);
    project.run(&["apply", "--yes", "--trust", "--allow-deletes", "2"]).expect_exit(0);
    assert!(dig(server.dns, "stale.example.test", "A").is_empty());
    assert!(dig(server.dns, "foreign.example.test", "TXT").is_empty());
    assert_eq!(dig(server.dns, "_acme-challenge.www.example.test", "TXT").len(), 1);
    assert_eq!(dig(server.dns, "dyn.example.test", "AAAA").len(), 1);
    assert_eq!(dig(server.dns, "www.example.test", "A").len(), 1);
    assert!(!dig(server.dns, ZONE, "SOA").is_empty() && !dig(server.dns, ZONE, "NS").is_empty());
    settled(&project);
    // Once it is settled, what another hand adds is drift like any other.
    server.put(ZONE, "later.example.test.", "A", 60, &["10.2.2.2"]);
    apply(&project).expect_exit(0);
    assert!(dig(server.dns, "later.example.test", "A").is_empty());
    settled(&project);
}

#[test]
fn what_a_person_releases_in_a_claimed_zone_is_not_removed_without_a_word() {
    let server = Pdns::start();
    server.zone(ZONE);
    let project = project(&Way::Api(server.api));
    declare(&project, "zone", &zone(true));
    for name in ["one", "two"] {
        declare(&project, name, &record(name, "A", 60, &["10.0.0.1"]));
    }
    project.run(&["apply", "--yes", "--trust", "--allow-deletes", "9"]).expect_exit(0);
    settled(&project);
    let stays = |name: &str| assert_eq!(dig(server.dns, &format!("{name}.example.test"), "A").len(), 1, "{name}");
    // By command, and by annotation.
    project.run(&["forget", "RecordSet/one-a", "--yes"]).expect_exit(0);
    project.remove("base/one.json");
    project.commit("release one");
    apply(&project).expect_exit(1).expect_text(&["TU0602", "--allow-deletes"]);
    stays("one");
    project.run(&["apply", "--yes", "--trust", "--allow-deletes", "9"]).expect_exit(0);
    assert!(dig(server.dns, "one.example.test", "A").is_empty(), "now somebody said so");
    settled(&project);
    let kept = record("two", "A", 60, &["10.0.0.1"]);
    let kept = kept.replacen("\"metadata\":{", "\"metadata\":{\"annotations\":{\"trueup.dev/prune\":\"false\"},", 1);
    declare(&project, "two", &kept);
    apply(&project).expect_exit(0);
    project.remove("base/two.json");
    project.commit("release two");
    apply(&project).expect_exit(0);
    for _ in 0..2 {
        apply(&project).expect_exit(1).expect_text(&["TU0602", "--allow-deletes"]);
        stays("two");
    }
}

#[test]
fn a_signed_zone_is_never_deleted_with_its_keys() {
    let server = Pdns::start();
    server.zone(ZONE).delete(ZONE, "foreign.example.test.", "TXT");
    server.ask("POST", "/zones/example.test./cryptokeys", &json!({ "keytype": "csk", "active": true }));
    let project = project(&Way::Api(server.api));
    declare(&project, "zone", &zone(false));
    apply(&project).expect_exit(0);
    project.remove("base/zone.json").commit("no zone");
    apply_deleting(&project, 1).expect_exit(1).expect_text(&["is signed", "its keys", "trueup forget"]);
    assert!(!dig(server.dns, ZONE, "SOA").is_empty());
    project.run(&["forget", "Zone/zone", "--yes"]).expect_exit(0);
    settled(&project);
}

#[test]
fn a_claim_spares_what_another_alias_of_the_same_server_declares() {
    let server = Pdns::start();
    server.zone(ZONE);
    let project = project(&Way::Api(server.api));
    let file = project_file(&Way::Api(server.api), "");
    let line = file.lines().find(|it| it.starts_with("  dns:")).unwrap();
    // The same server, in another spelling.
    let twin = line.replacen("  dns:", "  two:", 1).replacen(
        "server: \"http://127.0.0.1",
        "serverId: localhost, server: \"http://127.0.0.1",
        1,
    );
    project.write("trueup.yaml", file.replace(line, &format!("{line}\n{twin}")));
    declare(&project, "zone", &zone(true));
    declare(&project, "app", &record("app", "A", 60, &["10.0.0.1"]).replace("dns/v1", "two/v1"));
    for _ in 0..3 {
        project.run(&["apply", "--yes", "--trust", "--allow-deletes", "9"]).expect_exit(0);
        assert_eq!(dig(server.dns, "app.example.test", "A"), ["60 A 10.0.0.1"]);
    }
    assert!(dig(server.dns, "foreign.example.test", "TXT").is_empty(), "what nobody declares is claimed");
    declare(&project, "again", &record("app", "A", 60, &["10.0.0.2"]));
    project.run(&["plan", "--trust"]).expect_exit(1).expect_text(&["TU0208", "are both", "base/again.json", "base/app.json"]);
}

#[test]
fn an_answer_that_is_not_all_of_a_zone_proves_nothing() {
    let server = Pdns::start();
    server.zone(ZONE).put(ZONE, "www.example.test.", "A", 300, &["10.8.8.8"]);
    let proxy = Proxy::http(server.api);
    let project = project(&Way::Api(proxy.port));
    declare(&project, "www", &record("www", "A", 60, &["10.0.0.1"]));
    apply(&project).expect_exit(1).expect_text(&["TU0600"]);
    declare(&project, "zone", &zone(true));
    let name = "\"name\": \"example.test.\", \"kind\": \"Native\"";
    for answer in [
        status(200, &format!("{{{name}}}")),
        status(200, &format!("{{{name}, \"rrsets\": []}}")),
        status(404, "<html>no backend</html>"),
    ] {
        proxy.decide(move |asked| if asked.what.starts_with("GET") { Fate::Answer(answer.clone()) } else { Fate::Pass });
        project.run(&["apply", "--yes", "--trust", "--allow-deletes", "9"]).expect_exit(1).expect_text(&["PowerDNS"]);
        assert_eq!(dig(server.dns, "www.example.test", "A"), ["300 A 10.8.8.8"]);
        assert_eq!(dig(server.dns, "foreign.example.test", "TXT").len(), 1);
    }
    proxy.decide(|_| Fate::Pass);
    // Nothing was learnt from these: the claim still waits.
    project.remove("base/www.json").commit("no www");
    apply(&project).expect_exit(1).expect_text(&["TU0602"]);
    assert_eq!(dig(server.dns, "www.example.test", "A"), ["300 A 10.8.8.8"]);
}

#[test]
fn a_zone_of_a_thousand_mixed_records_is_taken_over_as_documents_and_the_plan_after_it_is_empty() {
    let server = Bind::start(&[ZONE], Allow::Key);
    let mut updates = String::new();
    for index in 0..1_000 {
        // A message has 64 KiB.
        if index > 0 && index % 200 == 0 {
            nsupdate(server.dns, ZONE, updates.trim_end());
            updates.clear();
        }
        let (name, last) = (format!("h{index}.example.test"), index % 250);
        let _ = match index % 8 {
            0 => writeln!(updates, "update add {name} 60 A 10.0.0.{last}"),
            1 => writeln!(updates, "update add {name} 3600 AAAA 2001:DB8::{index:x}"),
            2 => writeln!(updates, "update add {name} 60 TXT \"v=one; \\\"quoted\\\"\" \"part {index}\""),
            3 => writeln!(updates, "update add {name} 60 MX 10 Mail{index}.Example.NET."),
            4 => writeln!(updates, "update add _sip._tcp.{name} 60 SRV 1 2 5060 h0.example.test."),
            5 => writeln!(updates, "update add {name} 60 CAA 0 issue \"ca{index}.example.net\""),
            6 => writeln!(updates, "update add {name} 60 CNAME h0.example.test."),
            _ => writeln!(updates, "update add {name} 60 SSHFP 1 1 123456789abcdef67890123456789abcdef67890"),
        };
    }
    nsupdate(server.dns, ZONE, updates.trim_end());
    let project = project(&Way::Dns(server.dns));
    project.commit("empty");
    let adopt = ["adopt", "--provider", "dns", "--scope", ZONE, "--trust"];
    for scope in ["Example.TEST", "example.test."] {
        let other = ["adopt", "--provider", "dns", "--scope", scope, "--trust"];
        project.run(&other).expect_exit(1).expect_text(&["write the scope as `example.test`"]);
    }
    project.run(&adopt).expect_exit(0).expect_text(&["1003 documents", "--declared"]);
    project.commit("what exists");
    let seen = plan(&project);
    let refused = seen["refused"].as_array().map_or(0, Vec::len);
    assert!(refused >= 1_000, "nobody claimed them yet: {refused}");
    project.run(&["adopt", "--declared", "--yes", "--trust"]).expect_exit(0);
    settled(&project);
    let seen = plan(&project);
    assert!(seen["summary"]["unchanged"].as_u64() >= Some(1_000), "{}", seen["summary"]);
    assert_eq!(
        dig(server.dns, "h3.example.test", "MX"),
        ["60 MX 10 Mail3.Example.NET."],
        "what stands there stays as it is spelt"
    );
}

#[test]
fn a_cname_beside_another_record_set_of_its_name_is_an_error_of_both_documents() {
    let server = Pdns::start();
    server.zone(ZONE);
    let project = project(&Way::Api(server.api));
    declare(&project, "a", &record("www", "A", 60, &["10.0.0.1"]));
    declare(&project, "b", &record("www", "CNAME", 60, &["other"]));
    let words = ["TU0208", "www A", "www CNAME", "stands alone at its name", "base/a.json", "base/b.json"];
    project.run(&["plan", "--trust"]).expect_exit(1).expect_text(&words);
    project.remove("base/b.json").commit("one of the two");
    apply(&project).expect_exit(0);
    // What is new is judged against what was there before.
    declare(&project, "b", &record("www", "CNAME", 60, &["other"]));
    project.run(&["plan", "--trust"]).expect_exit(1).expect_text(&words);
}
