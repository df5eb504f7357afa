//! What only a real server shows: messages at their limit, claims over DNS, TLS, and caches that are on.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use trueup_tests::servers::KEY_NAME;
use trueup_tests::servers::bind::{Allow, Bind, nsupdate};
use trueup_tests::servers::dig::dig;
use trueup_tests::servers::pdns::Pdns;
use trueup_tests::servers::proxy::{Fate, Proxy};

use super::rfc2136::unsigned_update;
use super::{Way, ZONE, apply, apply_deleting, declare, project, project_file, record, settled};

#[test]
fn a_conflict_within_an_update_of_several_messages_fails_alone() {
    let server = Bind::start(&[ZONE], Allow::Address);
    let proxy = Proxy::dns(server.dns);
    let project = project(&Way::Unsigned(proxy.port));
    let mut file = "$TTL 60\n".to_owned();
    for index in 0..600 {
        writeln!(file, "r{index} TXT \"{}\"", "x".repeat(200)).unwrap();
    }
    project.write("zones/zone", file).write(
        "base/zone.yaml",
        "apiVersion: dns/v1\nkind: ZoneFile\nmetadata: {name: zone}\nspec: {zone: example.test, source: zones/zone}\n",
    );
    project.commit("six hundred");
    let (port, done) = (server.dns, AtomicBool::new(false));
    proxy.decide(move |asked| {
        if asked.what == "UPDATE" && !done.swap(true, Ordering::SeqCst) {
            unsigned_update(port, "update add r300.example.test 60 TXT theirs");
        }
        Fate::Pass
    });
    apply(&project).expect_exit(1).expect_text(&["r300.example.test. TXT", "since it was observed"]);
    let sent = proxy.take().iter().filter(|it| *it == "UPDATE").count();
    assert!((4..40).contains(&sent), "several messages, one of them in halves: {sent}");
    assert_eq!(dig(port, "r300.example.test", "TXT"), ["60 TXT \"theirs\""]);
    for index in (0..600).filter(|it| it % 7 == 0 && *it != 300) {
        assert_eq!(dig(port, &format!("r{index}.example.test"), "TXT").len(), 1, "r{index}");
    }
}

#[test]
fn an_authoritative_zone_is_kept_over_dns_too() {
    let server = Bind::start(&[ZONE], Allow::Key);
    let project = project(&Way::Dns(server.dns));
    let spec = json!({ "name": ZONE, "authoritative": true, "ignore": ["ns1 A", "_acme-challenge* TXT"] });
    let metadata = json!({ "name": "zone", "annotations": { "trueup.dev/adopt": "true" } });
    let zone = json!({ "apiVersion": "dns/v1", "kind": "Zone", "metadata": metadata, "spec": spec });
    declare(&project, "zone", &zone.to_string());
    declare(&project, "www", &record("www", "A", 60, &["10.0.0.1"]));
    apply(&project).expect_exit(1).expect_text(&["TU0602", "--allow-deletes"]);
    project.run(&["apply", "--yes", "--trust", "--allow-deletes", "1"]).expect_exit(0);
    assert!(dig(server.dns, "foreign.example.test", "TXT").is_empty());
    settled(&project);
    // What comes now is told by a difference.
    let lines = "update add later.example.test 60 A 10.2.2.2\nupdate add _acme-challenge.www.example.test 60 TXT token";
    nsupdate(server.dns, ZONE, lines);
    apply(&project).expect_exit(0);
    assert!(dig(server.dns, "later.example.test", "A").is_empty());
    assert_eq!(dig(server.dns, "_acme-challenge.www.example.test", "TXT").len(), 1);
    for (name, rtype) in [("www.example.test", "A"), ("ns1.example.test", "A"), (ZONE, "NS")] {
        assert_eq!(dig(server.dns, name, rtype).len(), 1, "{name}");
    }
    settled(&project);
}

#[test]
fn a_zone_is_kept_over_tls_with_an_authority_of_the_operators_own() {
    let (server, tls) = Bind::start_tls(ZONE);
    let project = project(&Way::Dns(tls.port));
    let over_tls = |text: String| text.replace("dns://", "dns+tls://");
    project.write("trueup.yaml", over_tls(project_file(&Way::Dns(tls.port), "")));
    declare(&project, "www", &record("www", "A", 60, &["10.0.0.1"]));
    let credential = |more: &str| {
        let tsig = format!("tsig: {{name: {KEY_NAME}, algorithm: hmac-sha256, secret: {{file: tsig}}}}");
        let origins = format!("origins: [\"dns+tls://127.0.0.1:{}\"]", tls.port);
        project.configure("credentials.yaml", format!("credentials:\n  server: {{{origins}, {tsig}{more}}}\n"));
    };
    credential("");
    apply(&project).expect_exit(1).expect_text(&["dns+tls://127.0.0.1", "certificate"]);
    project.configure("ca.pem", &tls.authority);
    credential(", ca: {file: ca.pem}");
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "www.example.test", "A"), ["60 A 10.0.0.1"]);
    settled(&project);
    declare(&project, "www", &record("www", "A", 60, &["10.0.0.2"]));
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "www.example.test", "A"), ["60 A 10.0.0.2"]);
    settled(&project);
}

#[test]
fn a_change_is_seen_at_once_on_a_powerdns_whose_caches_are_on() {
    let caches = ["--cache-ttl=20", "--query-cache-ttl=20", "--negquery-cache-ttl=60", "--zone-cache-refresh-interval=300"];
    let server = Pdns::start_with(&caches);
    for (zone, way) in [("api.test", Way::Api(server.api)), ("update.test", Way::Dns(server.dns))] {
        server.zone(zone).allow_updates(zone);
        let project = project(&way);
        let www = |value: &str| record("www", "A", 60, &[value]).replace(ZONE, zone);
        // Asked for before it is there, so that its absence is remembered.
        assert!(dig(server.dns, &format!("www.{zone}"), "A").is_empty());
        for value in ["10.0.0.1", "10.0.0.2"] {
            declare(&project, "www", &www(value));
            apply(&project).expect_exit(0);
            assert_eq!(dig(server.dns, &format!("www.{zone}"), "A"), [format!("60 A {value}")]);
            settled(&project);
        }
        project.remove("base/www.json").commit("no www");
        apply_deleting(&project, 1).expect_exit(0);
        assert!(dig(server.dns, &format!("www.{zone}"), "A").is_empty());
        settled(&project);
    }
}
