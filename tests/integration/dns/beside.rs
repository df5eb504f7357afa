//! Records beside those of others, and values that servers spell in their own way.

use serde_json::json;
use trueup_tests::Project;
use trueup_tests::servers::bind::{Allow, Bind, nsupdate};
use trueup_tests::servers::dig::dig;
use trueup_tests::servers::knot::Knot;
use trueup_tests::servers::pdns::Pdns;
use trueup_tests::servers::proxy::Proxy;

use super::rfc2136::keep;
use super::{Way, ZONE, apply, declare, project, record, settled};

/// BIND and Knot, each with the zone.
fn both() -> [(&'static str, u16, Box<dyn std::any::Any>); 2] {
    [keep(Bind::start(&[ZONE], Allow::Key), |it| it.dns, "bind"), keep(Knot::start(&[ZONE]), |it| it.dns, "knot")]
}

/// The change is refused with these words, and nothing is left in doubt.
#[track_caller]
fn refused(project: &Project, words: &[&str]) {
    for _ in 0..2 {
        let run = apply(project).expect_exit(1).expect_text(words);
        assert!(!run.stdout.contains("not known whether") && !run.stderr.contains("not known whether"), "{run}");
        assert!(!run.stdout.contains("says it is done") && !run.stderr.contains("says it is done"), "{run}");
    }
}

#[test]
fn what_a_server_would_pass_over_in_silence_is_refused_and_never_in_doubt() {
    for (name, port, _server) in both() {
        nsupdate(port, ZONE, "update add alias.example.test 60 CNAME www.example.net.");
        let project = project(&Way::Dns(port));
        declare(&project, "ok", &record("ok", "A", 60, &["10.0.0.1"]));
        declare(&project, "cname", &record("foreign", "CNAME", 60, &["www"]));
        refused(&project, &["foreign.example.test. CNAME", "a CNAME stands alone"]);
        assert_eq!(dig(port, "ok.example.test", "A"), ["60 A 10.0.0.1"], "{name}: the others are made");
        project.remove("base/cname.json");
        declare(&project, "a", &record("alias", "A", 60, &["10.0.0.2"]));
        refused(&project, &["alias.example.test. A", "since it was observed"]);
        assert_eq!(dig(port, "alias.example.test", "CNAME"), ["60 CNAME www.example.net."], "{name}");
        // Once the other hand has taken its record away, all is as ever.
        nsupdate(port, ZONE, "update delete alias.example.test");
        apply(&project).expect_exit(0);
        assert_eq!(dig(port, "alias.example.test", "A"), ["60 A 10.0.0.2"], "{name}");
        settled(&project);
    }
}

#[test]
fn values_that_stand_in_capitals_are_adopted_changed_and_deleted() {
    for (name, port, _server) in both() {
        let lines = [
            "update add one.example.test 60 CAA 0 ISSUE \"x\"",
            "update add two.example.test 60 SVCB 1 Foo.Example.NET. port=1",
            "update add three.example.test 60 CAA 0 ISSUE \"x\"",
            "update add four.example.test 60 HTTPS 1 Foo.Example.NET. port=1",
            "update add five.example.test 60 MX 10 Foo.Example.NET.",
        ];
        nsupdate(port, ZONE, &lines.join("\n"));
        let project = project(&Way::Dns(port));
        for (owner, rtype, value) in [
            ("one", "CAA", "0 issue \"x\""),
            ("two", "SVCB", "1 foo.example.net. port=1"),
            ("three", "CAA", "0 issue \"x\""),
            ("four", "HTTPS", "1 foo.example.net. port=1"),
            ("five", "MX", "10 foo.example.net."),
        ] {
            declare(&project, owner, &record(owner, rtype, 60, &[value]));
        }
        project.run(&["adopt", "--declared", "--yes", "--trust"]).expect_exit(0);
        settled(&project);
        declare(&project, "one", &record("one", "CAA", 60, &["0 issue \"x\"", "0 iodef \"mailto:a@example.net\""]));
        declare(&project, "two", &record("two", "SVCB", 60, &["2 foo.example.net. port=1"]));
        declare(&project, "five", &record("five", "MX", 120, &["10 foo.example.net."]));
        project.remove("base/three.json").remove("base/four.json").commit("two go");
        apply(&project).expect_exit(0);
        assert_eq!(
            dig(port, "one.example.test", "CAA"),
            ["60 CAA 0 iodef \"mailto:a@example.net\"", "60 CAA 0 issue \"x\""],
            "{name}"
        );
        assert_eq!(dig(port, "two.example.test", "SVCB"), ["60 SVCB 2 foo.example.net. port=1"], "{name}");
        assert!(dig(port, "three.example.test", "CAA").is_empty() && dig(port, "four.example.test", "HTTPS").is_empty());
        settled(&project);
        // And once more, from what is known of our own change.
        declare(&project, "one", &record("one", "CAA", 60, &["0 issue \"y\""]));
        project.remove("base/two.json").remove("base/five.json").commit("no services");
        apply(&project).expect_exit(0);
        assert_eq!(dig(port, "one.example.test", "CAA"), ["60 CAA 0 issue \"y\""], "{name}");
        settled(&project);
    }
}

#[test]
fn changed_aliases_of_one_name_and_of_a_subtree_take_effect_over_dns() {
    for (name, port, _server) in both() {
        let project = project(&Way::Dns(port));
        declare(&project, "cname", &record("www", "CNAME", 60, &["one.example.net."]));
        declare(&project, "dname", &record("old", "DNAME", 60, &["one.example.net."]));
        apply(&project).expect_exit(0);
        declare(&project, "cname", &record("www", "CNAME", 60, &["two.example.net."]));
        declare(&project, "dname", &record("old", "DNAME", 120, &["two.example.net."]));
        apply(&project).expect_exit(0);
        assert_eq!(dig(port, "www.example.test", "CNAME"), ["60 CNAME two.example.net."], "{name}");
        assert_eq!(dig(port, "old.example.test", "DNAME"), ["120 DNAME two.example.net."], "{name}");
        settled(&project);
    }
}

#[test]
fn a_claim_passes_over_records_that_are_switched_off() {
    let server = Pdns::start();
    server.zone(ZONE);
    let records = json!([{ "content": "10.0.0.1", "disabled": false }, { "content": "10.0.0.7", "disabled": true }]);
    let set = json!({ "name": "half.example.test.", "type": "A", "ttl": 60, "changetype": "REPLACE", "records": records });
    server.patch(ZONE, &set);
    let project = project(&Way::Api(server.api));
    declare(&project, "zone", &claimed());
    for _ in 0..2 {
        project.run(&["apply", "--yes", "--trust", "--allow-deletes", "9"]).expect_exit(0);
    }
    assert!(dig(server.dns, "foreign.example.test", "TXT").is_empty(), "what nobody declares is claimed");
    assert!(server.ask("GET", "/zones/example.test.", &json!(null)).1.contains("10.0.0.7"));
    settled(&project);
}

/// The zone, all of it.
fn claimed() -> String {
    let metadata = json!({ "name": "zone", "annotations": { "trueup.dev/adopt": "true" } });
    json!({ "apiVersion": "dns/v1", "kind": "Zone", "metadata": metadata, "spec": { "name": ZONE, "authoritative": true } })
        .to_string()
}

#[test]
fn types_that_are_only_carried_are_seen_listed_and_claimed_on_powerdns() {
    let server = Pdns::start();
    server.zone(ZONE).put(ZONE, "cert.example.test.", "CERT", 60, &["1 2 3 AQID"]);
    server.put(ZONE, "eui.example.test.", "EUI48", 60, &["00-11-22-33-44-55"]);
    server.put(ZONE, "new.example.test.", "TYPE262", 60, &["\\# 2 0161"]);
    let one = project(&Way::Api(server.api));
    one.commit("empty");
    let listed = ["cert CERT", "a value of type CERT is written as `\\# 4 0A000001`", "eui EUI48", "3 documents"];
    one.run(&["adopt", "--provider", "dns", "--scope", ZONE, "--trust"]).expect_exit(0).expect_text(&listed);
    // One that the server has no words for is like any other.
    let two = project(&Way::Api(server.api));
    declare(&two, "new", &record("made", "WALLET", 60, &["\\# 2 0162"]));
    apply(&two).expect_exit(0);
    assert_eq!(dig(server.dns, "made.example.test", "TYPE262").len(), 1);
    declare(&two, "new", &record("made", "WALLET", 60, &["\\# 2 0163"]));
    apply(&two).expect_exit(0);
    settled(&two);
    // One that it writes in its own words cannot be declared here.
    declare(&two, "cert", &record("ours", "CERT", 60, &["\\# 8 0001000203010203"]));
    apply(&two).expect_exit(1).expect_text(&["ours.example.test./CERT", "words of its own for values of type CERT"]);
    two.remove("base/cert.json");
    declare(&two, "zone", &claimed());
    two.run(&["apply", "--yes", "--trust", "--allow-deletes", "9"]).expect_exit(0);
    for (name, rtype) in [("cert", "CERT"), ("eui", "EUI48"), ("new", "TYPE262")] {
        assert!(dig(server.dns, &format!("{name}.example.test"), rtype).is_empty(), "{name}");
    }
    settled(&two);
}

#[test]
fn parameters_that_powerdns_has_no_names_for_are_written_by_number() {
    let server = Pdns::start();
    server.zone(ZONE);
    let proxy = Proxy::http(server.api);
    let project = project(&Way::Api(proxy.port));
    let value = "1 doh.example.net. alpn=h2 dohpath=/dns-query{?dns} ohttp";
    declare(&project, "svcb", &record("_dns", "SVCB", 60, &[value]));
    for index in 0..20 {
        project.write(
            &format!("base/h{index}.json"),
            record(&format!("h{index}"), "HTTPS", 60, &["1 . mandatory=dohpath dohpath=/q"]),
        );
    }
    project.commit("services");
    proxy.take();
    apply(&project).expect_exit(0);
    let sent = proxy.take().iter().filter(|it| it.starts_with("PATCH")).count();
    assert_eq!(sent, 1, "no value is sent again in another spelling");
    let shown = server.ask("GET", "/zones/example.test.?rrset_name=h19.example.test.", &json!(null)).1;
    assert!(shown.contains("key7=\\\"/q\\\""), "{shown}");
    settled(&project);
}
