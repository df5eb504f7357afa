//! Faults between us and a real server: each ends with a reason that has a name, and none of them deletes anything.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use trueup_tests::Project;
use trueup_tests::servers::bind::{Allow, Bind};
use trueup_tests::servers::dig::dig;
use trueup_tests::servers::pdns::Pdns;
use trueup_tests::servers::proxy::{Asked, Fate, Proxy, rcode, status};

use super::{Way, ZONE, apply, declare, deletes_nothing, plan, project_file, project_with, record, settled};

/// Three records that are applied; then one is to change, one to go, one to come.
fn pending(way: &Way, more: &str) -> Project {
    let project = project_with(way, more);
    for name in ["keep", "change", "gone"] {
        declare(&project, name, &record(name, "A", 60, &["10.0.0.1"]));
    }
    apply(&project).expect_exit(0);
    settled(&project);
    project.remove("base/gone.json");
    declare(&project, "come", &record("come", "A", 60, &["10.0.0.1"]));
    declare(&project, "change", &record("change", "A", 60, &["10.0.0.2"]));
    project
}

/// All that was applied is there, and nothing else.
#[track_caller]
fn untouched(port: u16) {
    for name in ["keep", "change", "gone"] {
        assert_eq!(dig(port, &format!("{name}.{ZONE}"), "A"), ["60 A 10.0.0.1"], "{name}");
    }
    assert!(dig(port, "come.example.test", "A").is_empty());
    assert_eq!(dig(port, "foreign.example.test", "TXT"), ["300 TXT \"theirs\""]);
}

/// Git is what the world is.
#[track_caller]
fn done(port: u16) {
    for (name, want) in
        [("keep", vec!["60 A 10.0.0.1"]), ("change", vec!["60 A 10.0.0.2"]), ("gone", vec![]), ("come", vec!["60 A 10.0.0.1"])]
    {
        assert_eq!(dig(port, &format!("{name}.{ZONE}"), "A"), want, "{name}");
    }
    assert_eq!(dig(port, "foreign.example.test", "TXT"), ["300 TXT \"theirs\""]);
}

/// While looking fails in this way, nothing is planned, and the reason is told.
#[track_caller]
fn blind(project: &Project, port: u16, texts: &[&str]) {
    deletes_nothing(&plan(project));
    apply(project).expect_exit(1).expect_text(texts);
    untouched(port);
}

/// Takes away what was remembered of zones, so that they are read whole.
fn forget(project: &Project) {
    for name in ["cache.db", "cache.db-wal", "cache.db-shm"] {
        let _ = std::fs::remove_file(project.repo().join(".trueup").join(name));
    }
}

fn reads(asked: &Asked) -> bool {
    asked.what.starts_with("GET") || matches!(asked.what.as_str(), "AXFR" | "IXFR")
}

fn writes(asked: &Asked) -> bool {
    asked.what.starts_with("PATCH") || asked.what == "UPDATE"
}

#[test]
fn an_api_that_cannot_be_read_stops_everything_and_deletes_nothing() {
    let server = Pdns::start();
    server.zone(ZONE);
    let proxy = Proxy::http(server.api);
    // Long enough for a busy machine, and shorter than what is slow here.
    let project = pending(&Way::Api(proxy.port), ", timeout: 3");
    let fate = |judge: fn(&Asked) -> Fate, texts: &[&str]| {
        proxy.decide(judge);
        blind(&project, server.dns, texts);
    };
    fate(|_| Fate::Answer(status(500, "{\"error\": \"backend gone\"}")), &["answered 500", "backend gone"]);
    fate(|_| Fate::Answer(status(503, "")), &["answered 503"]);
    fate(|_| Fate::Cut(300), &["GET http://127.0.0.1"]);
    fate(
        |_| Fate::Answer(status(200, "{\"name\": \"example.test.\", \"kind\": \"Native\", \"rrsets\": [{\"name\": ")),
        &["is no zone of PowerDNS"],
    );
    fate(
        |_| Fate::Answer(status(200, "{\"name\": \"other.test.\", \"kind\": \"Native\", \"rrsets\": []}")),
        &["it is of `other.test.`"],
    );
    fate(|_| Fate::Answer(status(200, "<html>login</html>")), &["is no zone of PowerDNS"]);
    fate(|_| Fate::Wait(Duration::from_secs(6)), &["no answer in time"]);
    fate(|_| Fate::Close, &["GET http://127.0.0.1"]);
    fate(|_| Fate::Answer(status(404, "Not Found")), &["does not have the zone `example.test`"]);
    fate(|_| Fate::Answer(status(302, "")), &["answered 302"]);
    proxy.decide(|_| Fate::Pass);
    project.configure("key", "wrong");
    blind(&project, server.dns, &["answered 401", "API key is wrong"]);
    project.configure("key", trueup_tests::servers::pdns::API_KEY);
    apply(&project).expect_exit(0);
    done(server.dns);
    settled(&project);
}

#[test]
fn an_api_that_fails_after_it_did_its_work_is_asked_once() {
    let server = Pdns::start();
    server.zone(ZONE);
    for answer in [status(500, "{\"error\": \"late\"}"), status(504, ""), Vec::new(), b"HTTP/1.1 204 No".to_vec()] {
        let proxy = Proxy::http(server.api);
        let project = pending(&Way::Api(proxy.port), "");
        let late = answer.clone();
        proxy.decide(move |asked| if writes(asked) { Fate::Late(late.clone()) } else { Fate::Pass });
        apply(&project).expect_exit(0);
        assert_eq!(proxy.take().iter().filter(|it| it.starts_with("PATCH")).count(), 1);
        done(server.dns);
        proxy.decide(|_| Fate::Pass);
        settled(&project);
        project.run(&["destroy", "--yes", "--trust", "-e", "prod", "--allow-deletes", "3"]).expect_exit(0);
    }
}

#[test]
fn an_api_that_refuses_changes_says_why_and_nothing_is_lost() {
    let server = Pdns::start();
    server.zone(ZONE);
    let proxy = Proxy::http(server.api);
    let project = pending(&Way::Api(proxy.port), "");
    for (code, body, text) in [
        (500, "{\"error\": \"attempt to write a readonly database\"}", "readonly database"),
        (503, "", "answered 503"),
        (403, "", "answered 403"),
        (413, "", "answered 413"),
        (422, "{\"error\": \"no\"}", "answered 422: no"),
    ] {
        proxy.decide(move |asked| if writes(asked) { Fate::Answer(status(code, body)) } else { Fate::Pass });
        apply(&project).expect_exit(1).expect_text(&[text]);
        untouched(server.dns);
    }
    // A change that did not come through is tried again within the run.
    proxy.decide(|asked| if writes(asked) && asked.number < 2 { Fate::Close } else { Fate::Pass });
    apply(&project).expect_exit(0);
    done(server.dns);
}

#[test]
fn a_zone_that_is_a_copy_or_gone_on_powerdns_is_refused_by_name() {
    let server = Pdns::start();
    server.zone(ZONE);
    let project = pending(&Way::Api(server.api), "");
    let (status, text) = server.ask("PUT", "/zones/example.test.", &json!({ "kind": "Slave", "masters": ["127.0.0.1:9"] }));
    assert_eq!(status, 204, "{text}");
    deletes_nothing(&plan(&project));
    apply(&project).expect_exit(1).expect_text(&["is a copy on this server", "change it at its primary"]);
    assert_eq!(server.ask("DELETE", "/zones/example.test.", &json!(null)).0, 204);
    deletes_nothing(&plan(&project));
    apply(&project).expect_exit(1).expect_text(&["does not have the zone `example.test`", "declare a `Zone`"]);
}

#[test]
fn a_server_that_is_down_stops_everything() {
    let server = Bind::start(&[ZONE], Allow::Key);
    let api = Pdns::start();
    api.zone(ZONE);
    let (dns, http) = (Proxy::dns(server.dns), Proxy::http(api.api));
    for (way, proxy, port, text) in
        [(Way::Dns(dns.port), dns, server.dns, "dns://127.0.0.1"), (Way::Api(http.port), http, api.dns, "GET http://127.0.0.1")]
    {
        let project = pending(&way, "");
        drop(proxy);
        blind(&project, port, &[text]);
    }
}

#[test]
fn a_transfer_that_fails_stops_everything_and_deletes_nothing() {
    let server = Bind::start(&[ZONE], Allow::Address);
    let proxy = Proxy::dns(server.dns);
    let project = pending(&Way::Unsigned(proxy.port), ", timeout: 1");
    let fate = |judge: fn(&Asked) -> Fate, texts: &[&str]| {
        proxy.decide(judge);
        blind(&project, server.dns, texts);
    };
    fate(|asked| if reads(asked) { Fate::Cut(40) } else { Fate::Pass }, &["dns://127.0.0.1"]);
    fate(|asked| if reads(asked) { Fate::Cut(1) } else { Fate::Pass }, &["dns://127.0.0.1"]);
    fate(|asked| if reads(asked) { Fate::Wait(Duration::from_secs(3)) } else { Fate::Pass }, &["in time"]);
    fate(|asked| if reads(asked) { Fate::Close } else { Fate::Pass }, &["dns://127.0.0.1"]);
    fate(|asked| if reads(asked) { Fate::Answer(rcode(asked, 2)) } else { Fate::Pass }, &["SERVFAIL"]);
    fate(|asked| if reads(asked) { Fate::Answer(rcode(asked, 5)) } else { Fate::Pass }, &["REFUSED", "allow transfers"]);
    fate(
        |asked| if reads(asked) { Fate::Answer(rcode(asked, 9)) } else { Fate::Pass },
        &["does not have the zone `example.test`"],
    );
    fate(|asked| if reads(asked) { Fate::Answer(rcode(asked, 0)) } else { Fate::Pass }, &["zone `example.test`"]);
    // A whole zone, cut in its midst and at its end.
    for most in [60, 120, 180] {
        forget(&project);
        proxy.decide(move |asked| if reads(asked) { Fate::Cut(most) } else { Fate::Pass });
        blind(&project, server.dns, &["dns://127.0.0.1"]);
        assert!(proxy.take().iter().all(|it| it == "AXFR"), "cut at {most}");
    }
    proxy.decide(|_| Fate::Pass);
    apply(&project).expect_exit(0);
    done(server.dns);
}

#[test]
fn a_server_that_fails_after_the_update_took_effect_is_asked_once() {
    let server = Bind::start(&[ZONE], Allow::Address);
    let answers: [fn(&Asked) -> Vec<u8>; 3] = [|asked| rcode(asked, 2), |_| Vec::new(), |asked| rcode(asked, 0)[..7].to_vec()];
    for answer in answers {
        let proxy = Proxy::dns(server.dns);
        let project = pending(&Way::Unsigned(proxy.port), "");
        proxy.decide(move |asked| if writes(asked) { Fate::Late(answer(asked)) } else { Fate::Pass });
        apply(&project).expect_exit(0);
        assert_eq!(proxy.take().iter().filter(|it| *it == "UPDATE").count(), 1);
        done(server.dns);
        proxy.decide(|_| Fate::Pass);
        settled(&project);
        project.run(&["destroy", "--yes", "--trust", "-e", "prod", "--allow-deletes", "3"]).expect_exit(0);
    }
}

#[test]
fn an_update_that_is_refused_says_why_and_nothing_is_lost() {
    let server = Bind::start(&[ZONE], Allow::Address);
    let proxy = Proxy::dns(server.dns);
    let project = pending(&Way::Unsigned(proxy.port), "");
    for (code, text) in [(2, "SERVFAIL"), (5, "REFUSED"), (9, "NOTAUTH"), (4, "NOTIMP"), (8, "since it was observed")] {
        proxy.decide(move |asked| if writes(asked) { Fate::Answer(rcode(asked, code)) } else { Fate::Pass });
        apply(&project).expect_exit(1).expect_text(&[text]);
        untouched(server.dns);
    }
    proxy.decide(|asked| if writes(asked) && asked.number < 2 { Fate::Close } else { Fate::Pass });
    apply(&project).expect_exit(0);
    done(server.dns);
}

#[test]
fn a_key_that_is_wrong_or_missing_is_told_and_nothing_is_believed() {
    let server = Bind::start(&[ZONE], Allow::Key);
    let proxy = Proxy::dns(server.dns);
    let project = pending(&Way::Dns(proxy.port), "");
    project.configure("tsig", "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmch");
    blind(&project, server.dns, &["BADSIG"]);
    project.configure("tsig", trueup_tests::servers::KEY_SECRET);
    let credentials = project.config().join("credentials.yaml");
    let text = std::fs::read_to_string(&credentials).unwrap();
    project.configure("credentials.yaml", text.replace("name: trueup.", "name: nobody."));
    blind(&project, server.dns, &["BADKEY"]);
    project.configure("credentials.yaml", &text);
    // Answers that nobody signed: of looks, and of the change itself.
    proxy.decide(|asked| if reads(asked) { Fate::Late(rcode(asked, 0)) } else { Fate::Pass });
    blind(&project, server.dns, &["dns://127.0.0.1"]);
    proxy.decide(|asked| if writes(asked) { Fate::Answer(rcode(asked, 0)) } else { Fate::Pass });
    apply(&project).expect_exit(1).expect_text(&["dns://127.0.0.1"]);
    untouched(server.dns);
    // No key at all.
    proxy.decide(|_| Fate::Pass);
    project.write("trueup.yaml", project_file(&Way::Unsigned(proxy.port), "")).commit("unsigned");
    blind(&project, server.dns, &["REFUSED", "allow transfers"]);
}

#[test]
fn a_clock_that_is_wrong_is_told_with_both_times() {
    let server = Bind::start(&[ZONE], Allow::Key);
    let project = pending(&Way::Dns(server.dns), "");
    let plain = project.command(&["apply", "--yes", "--trust"]);
    let mut command = Command::new("faketime");
    command.args(["-m", "-f", "-1h"]).arg(plain.get_program()).args(plain.get_args()).current_dir(project.repo());
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // Only the time of day is wrong: timers run on.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    trueup_tests::Run::of(command.output().unwrap()).expect_exit(1).expect_text(&["BADTIME"]);
    untouched(server.dns);
}

#[test]
fn a_server_that_only_copies_the_zone_is_read_but_takes_no_changes() {
    let primary = Bind::start(&[ZONE], Allow::Address);
    let project = pending(&Way::Unsigned(primary.dns), "");
    let copy = Bind::start_secondary(ZONE, primary.dns);
    for _ in 0..200 {
        if !dig(copy.dns, "keep.example.test", "A").is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    project.write("trueup.yaml", project_file(&Way::Unsigned(copy.dns), "")).commit("the copy");
    // Another server is another place: what is owned at the first is released, and claimed at the copy.
    apply(&project).expect_exit(1).expect_text(&["TU0506"]);
    project.run(&["forget", "dns:*", "--yes"]).expect_exit(0);
    let run = project.run(&["adopt", "--declared", "--yes", "--trust"]).expect_exit(1);
    assert!(run.stdout.contains("REFUSED") || run.stderr.contains("REFUSED") || run.stderr.contains("NOTAUTH"), "{run}");
    untouched(primary.dns);
    untouched(copy.dns);
}
