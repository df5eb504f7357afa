//! Rules that hold on every server.

use serde_json::json;
use trueup_tests::servers::bind::{Allow, Bind, nsupdate};
use trueup_tests::servers::dig::dig;

use super::{Way, ZONE, apply, declare, project, project_with, record, settled};

#[test]
fn only_the_zones_that_the_provider_lists_are_read_or_changed() {
    let server = Bind::start(&[ZONE], Allow::Key);
    let project = project_with(&Way::Dns(server.dns), ", zones: [other.test]");
    declare(&project, "a", &record("a", "A", 60, &["10.0.0.1"]));
    apply(&project).expect_exit(1).expect_text(&["zone `example.test` is not among `config.zones`"]);
    assert!(dig(server.dns, "a.example.test", "A").is_empty());
}

#[test]
fn a_set_without_a_ttl_keeps_the_one_that_the_server_has() {
    let server = Bind::start(&[ZONE], Allow::Key);
    let project = project_with(&Way::Dns(server.dns), ", ttl: 77");
    let set = |value: &str| {
        json!({ "apiVersion": "dns/v1", "kind": "RecordSet", "metadata": { "name": "a" }, "spec": { "zone": ZONE, "type": "A", "value": value } })
            .to_string()
    };
    declare(&project, "a", &set("10.0.0.1"));
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "a.example.test", "A"), ["77 A 10.0.0.1"]);
    nsupdate(server.dns, ZONE, "update delete a.example.test A\nupdate add a.example.test 99 A 10.0.0.1");
    settled(&project);
    declare(&project, "a", &set("10.0.0.2"));
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "a.example.test", "A"), ["99 A 10.0.0.2"]);
}

#[test]
fn a_document_that_changes_its_type_replaces_the_set() {
    let server = Bind::start(&[ZONE], Allow::Key);
    let project = project(&Way::Dns(server.dns));
    let set = |rtype: &str, value: &str| {
        json!({ "apiVersion": "dns/v1", "kind": "RecordSet", "metadata": { "name": "www" }, "spec": { "zone": ZONE, "type": rtype, "ttl": 60, "value": value } })
            .to_string()
    };
    declare(&project, "www", &set("A", "10.0.0.1"));
    apply(&project).expect_exit(0);
    declare(&project, "www", &set("CNAME", "host.example.net."));
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "www.example.test", "CNAME"), ["60 CNAME host.example.net."]);
    settled(&project);
}

#[test]
fn names_that_few_servers_take_are_kept_as_they_are_declared() {
    let server = Bind::start(&[ZONE], Allow::Key);
    let project = project(&Way::Dns(server.dns));
    let names =
        [r"a\.b", r"x\032y", r"\@at", r"par\(en", r#"q\"uote"#, "Bücher", r"\200\000", "_under_score", r"semi\;colon", "*"];
    for (index, name) in names.iter().enumerate() {
        let spec = json!({ "zone": ZONE, "name": name, "type": "TXT", "ttl": 60, "value": "here" });
        let name = format!("n{index}");
        let document = json!({ "apiVersion": "dns/v1", "kind": "RecordSet", "metadata": { "name": name }, "spec": spec });
        declare(&project, &name, &document.to_string());
    }
    apply(&project).expect_exit(0);
    for name in [r"a\.b", r"x\032y", r"\@at", "xn--bcher-kva", r"\200\000", "anything"] {
        assert_eq!(dig(server.dns, &format!("{name}.{ZONE}"), "TXT"), ["60 TXT \"here\""], "{name}");
    }
    settled(&project);
}
