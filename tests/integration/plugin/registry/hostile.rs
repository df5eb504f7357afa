//! Artifacts and registries that are not honest: each is refused by name, and nothing of it stays.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use trueup_tests::guests::hostile;
use trueup_tests::servers::registry::{Answer, Artifact, Asked, Fake, Login, Registry, base64, piped, sha256};
use trueup_tests::{Project, Run};

use super::{cached, component, credentials, fresh, kept, project, trusted_key};

/// `plugin add` from a server that answers like this; refused with these words, and nothing is kept.
#[track_caller]
fn refused(server: &Fake, words: &[&str]) -> Run {
    refused_with(&project("./x.wasm"), server, 1, words)
}

#[track_caller]
fn refused_with(project: &Project, server: &Fake, exit: i32, words: &[&str]) -> Run {
    let cache = fresh(project, "cache");
    let reference = format!("oci://127.0.0.1:{}/thing:1", server.port);
    let begun = Instant::now();
    let run = cached(project, &cache, &["plugin", "add", &reference, "--yes", "--allow-unsigned"]).expect_exit(exit);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let run = run.expect_text(words).expect_no_text(&["panicked"]);
    let code = if exit == 75 { "TU0722" } else { "TU0720" };
    assert!(run.stderr.contains(code), "{run}");
    assert_eq!(kept(&cache), Vec::<String>::new(), "{run}");
    assert!(!project.repo().join("trueup.lock").exists(), "{run}");
    run
}

/// An honest artifact with its manifest changed.
fn made(change: impl FnOnce(&mut Json)) -> Fake {
    let artifact = Artifact::new(hostile(), change);
    Fake::start(move |asked| artifact.answer(asked))
}

/// An honest artifact, but for the answers that `judge` gives.
fn served(judge: impl Fn(&Artifact, &Asked) -> Option<Answer> + Send + Sync + 'static) -> Fake {
    let artifact = Artifact::new(hostile(), |_| ());
    Fake::start(move |asked| judge(&artifact, asked).unwrap_or_else(|| artifact.answer(asked)))
}

fn is_component(artifact: &Artifact, asked: &Asked) -> bool {
    asked.path.ends_with(&format!("blobs/sha256:{}", artifact.digest))
}

#[test]
fn the_hand_made_artifact_is_taken_when_nothing_is_wrong_with_it() {
    let project = project("./x.wasm");
    let server = made(|_| ());
    let reference = format!("oci://127.0.0.1:{}/thing:1", server.port);
    project.run(&["plugin", "add", &reference, "--yes", "--allow-unsigned"]).expect_exit(0);
    // Bytes of an encoding are what nobody asked for; none was asked for.
    assert!(
        server.seen().iter().all(|it| !it.head.contains("accept-encoding") && !it.head.contains("authorization")),
        "{:?}",
        server.seen()
    );
}

#[test]
fn other_bytes_than_the_digest_says_are_refused() {
    let changed = served(|artifact, asked| {
        let mut bytes = artifact.component.clone();
        *bytes.last_mut().unwrap() ^= 1;
        is_component(artifact, asked).then(|| Answer::with(200, &[], &bytes))
    });
    refused(&changed, &["what came for sha256:", "it was changed, or cut off"]);
    let config = served(|_, asked| {
        let config = asked.path.contains("/blobs/") && asked.method == "GET";
        config.then(|| Answer::with(200, &[], b"{}"))
    });
    refused(&config, &["what came for sha256:"]);
    let short =
        served(|artifact, asked| is_component(artifact, asked).then(|| Answer::with(200, &[], &artifact.component[..1000])));
    refused(&short, &["it was changed, or cut off"]);
    let contradicting = served(|artifact, asked| {
        let headers = [("Docker-Content-Digest", format!("sha256:{}", "ab".repeat(32)))];
        let headers: Vec<(&str, &str)> = headers.iter().map(|it| (it.0, it.1.as_str())).collect();
        asked.path.ends_with("/manifests/1").then(|| Answer::with(200, &headers, &artifact.manifest))
    });
    refused(&contradicting, &["and it is sha256:"]);
    let project = project("./x.wasm");
    let server = made(|_| ());
    let named = format!("oci://127.0.0.1:{}/thing@sha256:{}", server.port, "ab".repeat(32));
    project.run(&["plugin", "add", &named, "--yes", "--allow-unsigned"]).expect_exit(1).expect_text(&["was asked for"]);
}

#[test]
fn what_is_no_single_component_is_refused_by_what_it_is() {
    refused(&made(|it| it["layers"] = json!([it["layers"][0], it["layers"][0]])), &["has 2 layers, and a plugin is exactly one"]);
    refused(&made(|it| it["layers"] = json!([])), &["has 0 layers"]);
    refused(&made(|it| it["mediaType"] = json!("application/vnd.oci.image.index.v1+json")), &["served as"]);
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}).to_string();
    let index =
        Fake::start(move |_| Answer::with(200, &[("Content-Type", "application/vnd.oci.image.index.v1+json")], index.as_bytes()));
    refused(&index, &["an index of several artifacts"]);
    refused(&Fake::start(|_| Answer::with(200, &[("Content-Type", "text/html")], b"<html>Log in</html>")), &["is not JSON"]);
    refused(&made(|it| it["layers"][0]["digest"] = json!(format!("sha512:{}", "ab".repeat(64)))), &["only sha256 is known here"]);
    refused(
        &made(|it| it["layers"][0]["mediaType"] = json!("application/wasm+gzip")),
        &["`application/wasm+gzip`", "not packed"],
    );
    for title in ["../../x", "/etc/cron.d/x", "..\\x"] {
        let server = made(|it| it["layers"][0]["annotations"] = json!({"org.opencontainers.image.title": title}));
        refused(&server, &["is a path, or no name of a file"]);
    }
    // An honest artifact of something else: no component inside.
    let artifact = Artifact::new(b"\x7fELF and so on", |_| ());
    let other = Fake::start(move |asked| artifact.answer(asked));
    let project = project("./x.wasm");
    let reference = format!("oci://127.0.0.1:{}/thing:1", other.port);
    project
        .run(&["plugin", "add", &reference, "--yes", "--allow-unsigned"])
        .expect_exit(1)
        .expect_text(&["TU0700", "no WebAssembly component"]);
    assert!(!project.repo().join("trueup.lock").exists());
}

#[test]
fn more_than_the_limits_is_refused_declared_or_not_and_nothing_is_unpacked() {
    refused(&made(|it| it["layers"][0]["size"] = json!((64 << 20) + 1)), &["plugins above 67108864 are not loaded"]);
    // Longer than its manifest says: by its length, and without one.
    let declared = served(|artifact, asked| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40);
        is_component(artifact, asked).then(|| Answer::Raw(head.into_bytes()))
    });
    refused(&declared, &["sends more than"]);
    let endless = served(|artifact, asked| {
        let mut raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..80 {
            raw.extend_from_slice(b"100000\r\n");
            raw.resize(raw.len() + (1 << 20), b'x');
            raw.extend_from_slice(b"\r\n");
        }
        is_component(artifact, asked).then_some(Answer::Raw(raw))
    });
    refused(&endless, &["sends more than"]);
    let manifest = Fake::start(|_| Answer::with(200, &[("Content-Type", "application/json")], &vec![b' '; (1 << 20) + 1]));
    refused(&manifest, &["sends more than 1048576 bytes for the manifest"]);
    // A bomb: a gibibyte in a megabyte, sent as an encoding that nobody asked for.
    let bomb = piped(Command::new("sh").args(["-c", "head -c 1073741824 /dev/zero | gzip -1"]), b"");
    let packed = served(move |artifact, asked| {
        let headers = [("Content-Encoding", "gzip")];
        is_component(artifact, asked).then(|| Answer::with(200, &headers, &bomb))
    });
    refused(&packed, &["Content-Encoding: gzip", "which was not asked for"]);
}

#[test]
fn a_registry_that_answers_slowly_or_never_costs_a_bounded_time() {
    let never =
        served(|artifact, asked| is_component(artifact, asked).then(|| Answer::Stall(Vec::new(), Duration::from_secs(50))));
    let halfway = served(|artifact, asked| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nhalf", artifact.component.len());
        is_component(artifact, asked).then(|| Answer::Stall(head.into_bytes(), Duration::from_secs(50)))
    });
    // At the same time, as each waits.
    std::thread::scope(|scope| {
        for server in [&never, &halfway] {
            scope.spawn(move || refused_with(&project("./x.wasm"), server, 75, &["was silent for 20 s", "try again"]));
        }
    });
    let cut = served(|artifact, asked| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nhalf", artifact.component.len());
        is_component(artifact, asked).then(|| Answer::Raw(head.into_bytes()))
    });
    refused_with(&project("./x.wasm"), &cut, 75, &["broke off"]);
    refused_with(&project("./x.wasm"), &Fake::start(|_| Answer::status(503, "")), 75, &["answered 503"]);
}

/// A login that is granted for one server.
fn login(project: &Project, port: u16) {
    let text = format!(
        "credentials:\n  store: {{origins: [\"http://127.0.0.1:{port}\"], registry: true, basic: {{user: {{file: user}}, password: {{file: password}}}}}}\n"
    );
    credentials(project, &text, "s3cret-of-the-registry");
}

/// Whether the head of a request carries the login of [`login`].
fn carries(asked: &Asked) -> bool {
    asked.head.contains("authorization") || asked.head.contains("s3cret")
}

#[test]
fn a_redirect_to_another_server_is_followed_without_the_credential_and_never_with_one() {
    let artifact = Arc::new(Artifact::new(hostile(), |_| ()));
    let blobs = artifact.clone();
    let store = Fake::start(move |asked| blobs.answer(asked));
    let port = store.port;
    let registry = |location: String| {
        let artifact = artifact.clone();
        Fake::start(move |asked: &Asked| {
            if !asked.head.contains("authorization: basic") {
                return Answer::with(401, &[("WWW-Authenticate", "Basic realm=\"x\"")], b"");
            }
            match asked.path.split_once("/blobs/") {
                Some((_, rest)) => Answer::with(307, &[("Location", &location.replace("{}", rest))], b""),
                None => artifact.answer(asked),
            }
        })
    };
    let honest = registry(format!("http://127.0.0.1:{port}/v2/thing/blobs/{{}}"));
    let project = project("./x.wasm");
    login(&project, honest.port);
    let reference = format!("oci://127.0.0.1:{}/thing:1", honest.port);
    project.run(&["plugin", "add", &reference, "--yes", "--allow-unsigned"]).expect_exit(0);
    fs::remove_file(project.repo().join("trueup.lock")).unwrap();
    assert!(honest.seen().iter().any(carries), "the login goes where it is granted");
    assert!(!store.seen().is_empty() && !store.seen().iter().any(carries), "and nowhere else: {:?}", store.seen());

    for (location, words) in [
        (format!("http://mia:s3cret@127.0.0.1:{port}/{{}}"), "that holds credentials"),
        ("http://10.0.0.1/{}".to_owned(), "only https is taken"),
        ("http://blobs.example/{}".to_owned(), "only https is taken"),
        ("https://169.254.169.254/latest/meta-data/{}".to_owned(), "not public"),
        ("https://[fd00:ec2::254]/{}".to_owned(), "not public"),
        ("file:///etc/passwd".to_owned(), "only https is taken"),
        ("ftp://127.0.0.1/{}".to_owned(), "only https is taken"),
    ] {
        let server = registry(location.clone());
        login(&project, server.port);
        let run = refused_with(&project, &server, 1, &["redirects to", words]);
        run.expect_no_text(&["s3cret"]);
    }
    assert!(!store.seen().iter().any(carries));
    let circle = served(|_, asked| asked.path.contains("/blobs/").then(|| Answer::with(307, &[("Location", &asked.path)], b"")));
    refused(&circle, &["more than 3 redirects"]);
}

#[test]
fn an_upload_is_sent_to_no_other_server() {
    let store = Fake::start(|_| Answer::status(201, ""));
    let port = store.port;
    let registry = Fake::start(move |asked: &Asked| match asked.method.as_str() {
        "POST" => Answer::with(202, &[("Location", &format!("http://127.0.0.1:{port}/upload"))], b""),
        _ => Answer::status(404, ""),
    });
    let project = project("./x.wasm");
    let file = component(&project);
    let reference = format!("oci://127.0.0.1:{}/thing:1", registry.port);
    let run = project.run(&["plugin", "publish", file.to_str().unwrap(), &reference]).expect_exit(1);
    run.expect_text(&["TU0720", "wants an upload to be sent to", "another server"]);
    assert!(store.seen().is_empty());
}

#[test]
fn a_signature_that_is_broken_or_was_made_for_another_artifact_is_refused() {
    let project = project("./x.wasm");
    trusted_key(&project, "author");
    let artifact = Artifact::new(hostile(), |_| ());
    let digest = sha256(&artifact.manifest);
    let payload = |port: u16, digest: &str, kind: &str| {
        json!({"critical": {"identity": {"docker-reference": format!("127.0.0.1:{port}/thing")},
            "image": {"docker-manifest-digest": format!("sha256:{digest}")}, "type": kind}, "optional": null})
        .to_string()
    };
    let sign = |text: &str| {
        fs::write(project.outside().join("payload"), text).unwrap();
        let key = project.outside().join("author.key");
        let mut openssl = Command::new("openssl");
        openssl.args(["pkeyutl", "-sign", "-rawin", "-inkey"]).arg(key).arg("-in").arg(project.outside().join("payload"));
        base64(&openssl.output().unwrap().stdout, false)
    };
    let kind = "cosign container image signature";
    // What is signed names its server, whose port is known once it listens.
    let known: Arc<std::sync::Mutex<(String, String)>> = Arc::default();
    let (serving, inner) = (known.clone(), artifact.clone());
    let server = Fake::start(move |asked| {
        let (payload, signature) = serving.lock().unwrap().clone();
        if asked.path.contains("/manifests/sha256-") {
            let manifest = json!({
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": format!("sha256:{}", sha256(b"{}")), "size": 2},
                "layers": [{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": format!("sha256:{}", sha256(payload.as_bytes())),
                    "size": payload.len(), "annotations": {"dev.cosignproject.cosign/signature": signature}}],
            });
            return Answer::with(200, &[], manifest.to_string().as_bytes());
        }
        if asked.path.ends_with(&sha256(payload.as_bytes())) {
            return Answer::with(200, &[], payload.as_bytes());
        }
        inner.answer(asked)
    });
    let reference = format!("oci://127.0.0.1:{}/thing:1", server.port);
    let check = |payload: String, signature: String, words: &[&str]| {
        *known.lock().unwrap() = (payload, signature);
        let cache = fresh(&project, "cache");
        let run = cached(&project, &cache, &["plugin", "add", &reference, "--yes"]);
        match words {
            [] => drop(run.expect_exit(0)),
            words => {
                run.expect_exit(1).expect_text(&["TU0721"]).expect_text(words);
                assert!(kept(&cache).is_empty() && !project.repo().join("trueup.lock").exists());
            }
        }
    };
    let good = payload(server.port, &digest, kind);
    let other = payload(server.port, &"00".repeat(32), kind);
    check(other.clone(), sign(&other), &["is for another artifact"]);
    let typed = payload(server.port, &digest, "something else");
    check(typed.clone(), sign(&typed), &["of another type"]);
    let named = payload(server.port.wrapping_add(1), &digest, kind);
    check(named.clone(), sign(&named), &["is for the repository"]);
    check(good.clone(), sign(&other), &["one is broken, or of a key that is not trusted"]);
    check(good.clone(), "AAAA".to_owned(), &["one is broken"]);
    check(good.clone(), "%".to_owned(), &["one is no base64"]);
    check("{".to_owned(), sign("{"), &["of another type"]);
    // What openssl signed for just this is good.
    let signature = sign(&good);
    check(good, signature, &[]);
}

#[test]
fn a_tag_that_others_filled_with_signatures_takes_no_more_and_is_judged_within_bounds() {
    let project = project("./x.wasm");
    let key = trusted_key(&project, "author");
    for (count, verb, words) in [
        (32, "sign", "has 32 signatures already, and one that has more than 32 is judged by nobody"),
        (33, "sign", "has 33 signatures already"),
        (33, "verify", "the artifact has more than 32 signatures"),
        (100_000, "verify", "sends more than 1048576 bytes"),
    ] {
        let artifact = Artifact::new(hostile(), |_| ());
        let layer = json!({"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "size": artifact.config.len(),
            "digest": format!("sha256:{}", sha256(&artifact.config)), "annotations": {"dev.cosignproject.cosign/signature": "AAAA"}});
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": layer["digest"], "size": layer["size"]},
            "layers": vec![layer; count]});
        let signatures = manifest.to_string().into_bytes();
        let server = Fake::start(move |asked| match asked.path.contains("/manifests/sha256-") {
            true => Answer::with(200, &[("Content-Type", "application/vnd.oci.image.manifest.v1+json")], &signatures),
            false => artifact.answer(asked),
        });
        let reference = format!("oci://127.0.0.1:{}/thing:1", server.port);
        let line = match verb {
            "sign" => vec!["plugin", "sign", &reference, "--key", &key],
            _ => vec!["plugin", "verify", &reference],
        };
        project.run(&line).expect_exit(1).expect_text(&["TU0720", words]);
        assert!(server.seen().iter().all(|it| it.method == "GET"), "nothing was written: {:?}", server.seen());
    }
}

#[test]
fn a_host_that_does_not_exist_is_no_reason_to_try_again() {
    let project = project("./x.wasm");
    let run = project.run(&["plugin", "add", "oci://no-such-host.invalid/thing:1", "--yes"]).expect_exit(1);
    run.expect_text(&["TU0720", "there is no host `no-such-host.invalid`", "is it spelt right?"]).expect_no_text(&["try again"]);
}

#[test]
fn a_lock_that_says_less_than_the_manifest_asks_or_pins_another_artifact_stops_the_plan_by_name() {
    let registry = Registry::start(&Login::Nobody);
    let reference = registry.reference("thing:1");
    let project = project(&reference);
    let file = component(&project);
    project.run(&["plugin", "publish", file.to_str().unwrap(), &reference]).expect_exit(0);
    project.run(&["plugin", "add", &reference, "--yes", "--allow-unsigned"]).expect_exit(0);
    let text = fs::read_to_string(project.repo().join("trueup.lock")).unwrap();
    let change = |change: &dyn Fn(&mut Json)| {
        let mut lock: Json = serde_json::from_str(&text).unwrap();
        change(&mut lock["plugins"][&reference]);
        project.write("trueup.lock", lock.to_string()).commit("changed");
    };
    change(&|pin| pin["asks"] = json!({}));
    project.run(&["plan", "--trust"]).expect_exit(1).expect_text(&[
        "TU0503",
        "asks for more than `trueup.lock` says",
        "read and change files",
    ]);
    change(&|pin| pin["asks"] = json!({"everything": true}));
    project.run(&["plan", "--trust"]).expect_exit(1).expect_text(&["TU0503", "does not understand"]);
    // The digest of one thing, the manifest of another.
    change(&|pin| pin["sha256"] = json!("ab".repeat(32)));
    let cache = fresh(&project, "other");
    cached(&project, &cache, &["plan", "--trust"]).expect_exit(1).expect_text(&["TU0720", "and the lock pins sha256:abab"]);
    change(&|pin| {
        *pin = json!({"sha256": "ab".repeat(32)});
    });
    cached(&project, &cache, &["plan", "--trust"]).expect_exit(1).expect_text(&["TU0720", "has no such thing"]);
    assert!(kept(&cache).is_empty());
    // A digest alone is enough where it is right.
    let digest = serde_json::from_str::<Json>(&text).unwrap()["plugins"][&reference]["sha256"].clone();
    change(&|pin| *pin = json!({"sha256": digest}));
    cached(&project, &cache, &["plan", "--trust"]).expect_exit(0);
    assert_eq!(kept(&cache).len(), 1);
}
