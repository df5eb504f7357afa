//! DNS UPDATE and zone transfers, on BIND, Knot and PowerDNS.

use trueup_tests::Project;
use trueup_tests::servers::bind::{Allow, Bind, nsupdate};
use trueup_tests::servers::dig::dig;
use trueup_tests::servers::knot::Knot;
use trueup_tests::servers::pdns::Pdns;
use trueup_tests::servers::proxy::Proxy;

use super::{Way, ZONE, apply, apply_deleting, declare, plan, project, record, settled};

/// One record set of each type, as documents spell it and as `dig` shows it.
const TYPES: [(&str, &str, &str, &str); 21] = [
    ("a", "A", "10.0.0.1", "10.0.0.1"),
    ("aaaa", "AAAA", "2001:DB8:0:0::1", "2001:db8::1"),
    ("caa", "CAA", "0 issue \"ca.example.net\"", "0 issue \"ca.example.net\""),
    ("cname", "CNAME", "www", "www.example.test."),
    ("dname", "DNAME", "other.example.net.", "other.example.net."),
    ("sub", "NS", "ns1.example.net.", ""),
    ("https", "HTTPS", "1 . alpn=h2,h3 port=8443", "1 . alpn=\"h2,h3\" port=8443"),
    (
        "loc",
        "LOC",
        "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
        "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
    ),
    ("mx", "MX", "10 mail", "10 mail.example.test."),
    ("naptr", "NAPTR", "100 10 \"U\" \"E2U+sip\" \"!^.*$!sip:a@b.c!\" .", "100 10 \"U\" \"E2U+sip\" \"!^.*$!sip:a@b.c!\" ."),
    ("ptr", "PTR", "host", "host.example.test."),
    ("_sip._tcp", "SRV", "1 2 5060 sip", "1 2 5060 sip.example.test."),
    ("sshfp", "SSHFP", "4 1 0123456789abcdef0123456789abcdef01234567", "4 1 0123456789ABCDEF0123456789ABCDEF01234567"),
    ("svcb", "SVCB", "0 svc.example.net.", "0 svc.example.net."),
    ("_443._tcp", "TLSA", "3 1 0 aabbccdd", "3 1 0 AABBCCDD"),
    ("txt", "TXT", "v=spf1 -all", "\"v=spf1 -all\""),
    ("uri", "URI", "10 1 \"https://example.net/\"", "10 1 \"https://example.net/\""),
    ("mail", "A", "10.0.0.25", "10.0.0.25"),
    ("generic", "TYPE65280", "\\# 4 0A000001", "\\# 4 0A000001"),
    ("*.wild", "A", "10.0.0.9", "10.0.0.9"),
    ("deep.under.here", "TXT", "\"a b\" \"c\\\"d\"", "\"a b\" \"c\\\"d\""),
];

/// Makes, changes, heals and deletes on a server that has the zone; `by_hand` changes it past the project.
fn walk(project: &Project, port: u16, types: &[(&str, &str, &str, &str)], by_hand: &dyn Fn(&str)) {
    for (name, rtype, value, _) in types {
        project.write(&format!("base/{}.json", name.replace('*', "x")), record(name, rtype, 60, &[value]));
    }
    project.commit("one of each");
    apply(project).expect_exit(0);
    for (name, rtype, _, shown) in types.iter().filter(|it| !it.3.is_empty()) {
        assert_eq!(dig(port, &format!("{name}.{ZONE}"), rtype), [format!("60 {rtype} {shown}")], "{name}");
    }
    settled(project);
    declare(project, "a", &record("a", "A", 120, &["10.0.0.2", "10.0.0.3"]));
    project.remove("base/txt.json");
    // An alias takes the place of an address in one step of its own: two resources, one name.
    project.remove("base/cname.json");
    declare(project, "cname2", &record("cname", "A", 60, &["10.0.0.5"]).replace("cname-a", "cname-address"));
    apply(project).expect_exit(0);
    assert_eq!(dig(port, "a.example.test", "A"), ["120 A 10.0.0.2", "120 A 10.0.0.3"]);
    assert!(dig(port, "txt.example.test", "TXT").is_empty());
    assert_eq!(dig(port, "cname.example.test", "A"), ["60 A 10.0.0.5"]);
    settled(project);
    by_hand("update delete mx.example.test MX");
    by_hand("update add aaaa.example.test 60 AAAA 2001:db8::2");
    by_hand("update add theirs.example.test 60 TXT mine");
    let seen = plan(project);
    assert_eq!((&seen["summary"]["create"], &seen["summary"]["update"]), (&1.into(), &1.into()), "{seen:#}");
    apply(project).expect_exit(0);
    assert_eq!(dig(port, "mx.example.test", "MX"), ["60 MX 10 mail.example.test."]);
    assert_eq!(dig(port, "aaaa.example.test", "AAAA"), ["60 AAAA 2001:db8::1"]);
    settled(project);
    for (name, ..) in types {
        let _ = std::fs::remove_file(project.repo().join(format!("base/{}.json", name.replace('*', "x"))));
    }
    project.remove("base/cname2.json").commit("nothing");
    project.run(&["apply", "--yes", "--trust", "--allow-deletes", "30"]).expect_exit(0);
    assert!(dig(port, "deep.under.here.example.test", "TXT").is_empty());
    assert_eq!(dig(port, "foreign.example.test", "TXT"), ["300 TXT \"theirs\""]);
    assert_eq!(dig(port, "theirs.example.test", "TXT"), ["60 TXT \"mine\""]);
    settled(project);
}

#[test]
fn bind_keeps_every_type_true() {
    let server = Bind::start(&[ZONE], Allow::Key);
    walk(&project(&Way::Dns(server.dns)), server.dns, &TYPES, &|lines| nsupdate(server.dns, ZONE, lines));
}

#[test]
fn knot_keeps_every_type_true() {
    let server = Knot::start(&[ZONE]);
    walk(&project(&Way::Dns(server.dns)), server.dns, &TYPES, &|lines| nsupdate(server.dns, ZONE, lines));
}

#[test]
fn powerdns_keeps_every_type_true_over_dns() {
    let server = Pdns::start();
    server.zone(ZONE).allow_updates(ZONE);
    // Its UPDATE does not know types without a name.
    let types = TYPES.iter().copied().filter(|it| it.0 != "generic").collect::<Vec<_>>();
    walk(&project(&Way::Dns(server.dns)), server.dns, &types, &|lines| nsupdate(server.dns, ZONE, lines));
}

#[test]
fn powerdns_keeps_every_type_true_by_its_api() {
    let server = Pdns::start();
    server.zone(ZONE).allow_updates(ZONE);
    walk(&project(&Way::Api(server.api)), server.dns, &TYPES, &|lines| nsupdate(server.dns, ZONE, lines));
}

#[test]
fn a_pass_without_changes_is_one_message_and_a_change_is_a_look_an_update_and_a_look() {
    let server = Bind::start(&[ZONE], Allow::Address);
    let proxy = Proxy::dns(server.dns);
    let project = project(&Way::Unsigned(proxy.port));
    declare(&project, "a", &record("a", "A", 60, &["10.0.0.1"]));
    declare(&project, "b", &record("b", "A", 60, &["10.0.0.1"]));
    apply(&project).expect_exit(0);
    settled(&project);
    proxy.take();
    settled(&project);
    assert_eq!(proxy.take(), ["IXFR"]);
    declare(&project, "b", &record("b", "A", 60, &["10.0.0.2"]));
    apply(&project).expect_exit(0);
    assert_eq!(proxy.take(), ["IXFR", "UPDATE", "TYPE1"]);
    // The next pass reads the difference, and the set that it touches.
    settled(&project);
    assert_eq!(proxy.take(), ["IXFR", "TYPE1"]);
}

#[test]
fn what_changed_between_the_look_and_the_change_is_a_conflict_and_stays() {
    let server = Bind::start(&[ZONE], Allow::Address);
    let proxy = Proxy::dns(server.dns);
    let project = project(&Way::Unsigned(proxy.port));
    declare(&project, "a", &record("a", "A", 60, &["10.0.0.1"]));
    declare(&project, "b", &record("b", "A", 60, &["10.0.0.1"]));
    apply(&project).expect_exit(0);
    settled(&project);
    declare(&project, "a", &record("a", "A", 60, &["10.0.0.2"]));
    declare(&project, "b", &record("b", "A", 60, &["10.0.0.2"]));
    declare(&project, "c", &record("c", "A", 60, &["10.0.0.2"]));
    let port = server.dns;
    let done = std::sync::atomic::AtomicBool::new(false);
    proxy.decide(move |asked| {
        if asked.what == "UPDATE" && !done.swap(true, std::sync::atomic::Ordering::SeqCst) {
            unsigned_update(port, "update add a.example.test 60 A 10.9.9.9\nupdate add c.example.test 60 A 10.9.9.9");
        }
        trueup_tests::servers::proxy::Fate::Pass
    });
    let run = apply(&project).expect_exit(1).expect_text(&["a.example.test. A", "c.example.test. A", "since it was observed"]);
    assert!(!run.stdout.contains("not known whether"), "{run}");
    assert_eq!(dig(port, "a.example.test", "A"), ["60 A 10.0.0.1", "60 A 10.9.9.9"]);
    assert_eq!(dig(port, "c.example.test", "A"), ["60 A 10.9.9.9"]);
    assert_eq!(dig(port, "b.example.test", "A"), ["60 A 10.0.0.2"], "the others are changed");
    apply(&project).expect_exit(1).expect_text(&["TU0600"]);
    assert_eq!(dig(port, "a.example.test", "A"), ["60 A 10.0.0.2"], "planned anew, it is drift");
}

/// `nsupdate` without a key.
pub(super) fn unsigned_update(port: u16, lines: &str) {
    use std::io::Write as _;
    let mut child = std::process::Command::new("nsupdate").arg("-v").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let text = format!("server 127.0.0.1 {port}\nzone {ZONE}\n{lines}\nsend\n");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_record_under_a_wildcard_is_seen_to_be_gone() {
    let server = Bind::start(&[ZONE], Allow::Key);
    let project = project(&Way::Dns(server.dns));
    declare(&project, "wild", &record("*", "A", 60, &["10.0.0.9"]));
    declare(&project, "www", &record("www", "A", 60, &["10.0.0.1"]));
    declare(&project, "old", &record("old", "A", 60, &["10.0.0.2"]));
    apply(&project).expect_exit(0);
    settled(&project);
    project.remove("base/www.json").commit("no www");
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "www.example.test", "A"), ["60 A 10.0.0.9"], "the wildcard answers");
    settled(&project);
    // And where the wildcard comes in the same step.
    project.remove("base/wild.json").commit("no wildcard");
    apply(&project).expect_exit(0);
    project.remove("base/old.json");
    declare(&project, "wild", &record("*", "A", 60, &["10.0.0.9"]));
    apply(&project).expect_exit(0);
    assert_eq!(dig(server.dns, "old.example.test", "A"), ["60 A 10.0.0.9"]);
    settled(&project);
}

#[test]
fn servers_of_a_zone_change_without_leaving_it_without_any() {
    for (name, port, _server) in
        [keep(Bind::start(&[ZONE], Allow::Key), |it| it.dns, "bind"), keep(Knot::start(&[ZONE]), |it| it.dns, "knot")]
    {
        let project = project(&Way::Dns(port));
        declare(&project, "ns", &record("@", "NS", 300, &["ns1"]));
        project.run(&["adopt", "--declared", "--yes", "--trust"]).expect_exit(0);
        declare(&project, "ns", &record("@", "NS", 600, &["ns2.example.net.", "ns3.example.net."]));
        apply(&project).expect_exit(0);
        assert_eq!(dig(port, ZONE, "NS"), ["600 NS ns2.example.net.", "600 NS ns3.example.net."], "{name}");
        settled(&project);
        project.remove("base/ns.json").commit("no servers");
        apply_deleting(&project, 1).expect_exit(1).expect_text(&["cannot be without NS", "trueup forget"]);
        assert_eq!(dig(port, ZONE, "NS").len(), 2, "{name}");
    }
}

/// A server that stays while its port is used.
pub(super) fn keep<T: 'static>(
    server: T,
    port: impl Fn(&T) -> u16,
    name: &'static str,
) -> (&'static str, u16, Box<dyn std::any::Any>) {
    (name, port(&server), Box::new(server))
}

#[test]
fn a_zone_that_the_server_does_not_have_is_refused_by_name() {
    let server = Bind::start(&["other.test"], Allow::Key);
    let project = project(&Way::Dns(server.dns));
    declare(&project, "a", &record("a", "A", 60, &["10.0.0.1"]));
    let zone = "{\"apiVersion\": \"dns/v1\", \"kind\": \"Zone\", \"metadata\": {\"name\": \"example.test\"}, \"spec\": {}}";
    apply(&project).expect_exit(1).expect_text(&["does not have the zone `example.test`", "DNS UPDATE cannot make zones"]);
    declare(&project, "zone", zone);
    apply(&project).expect_exit(1).expect_text(&["does not have the zone `example.test`", "DNS UPDATE cannot make zones"]);
}
