//! The provider as the engine sees it, on a disk in memory.

use trueup_sdk::double::Engine;
use trueup_sdk::host::files::{FileError, FileType};
use trueup_sdk::{Address, Coverage, Desired, Fault, Json, Observation, Outcome, Remote, Settlement, Snapshot, json};

use crate::FileProvider;

/// A provider with its root at `./site`, on an old, empty directory.
fn start() -> Engine<FileProvider> {
    let engine = Engine::start(&json!({ "root": "./site" })).unwrap();
    engine.double().grant("./site");
    engine.double().advance(1000);
    engine
}

fn file(engine: &Engine<FileProvider>, spec: Json) -> Desired {
    render(engine, "File", spec)
}

#[track_caller]
fn render(engine: &Engine<FileProvider>, kind: &str, spec: Json) -> Desired {
    let rendered = engine.render(kind, "name", &json!({ "spec": spec }));
    assert!(rendered.diagnostics.is_empty(), "{:?}", rendered.diagnostics);
    rendered.objects.into_iter().next().unwrap()
}

fn doc(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

/// Paths and contents of a snapshot, by path.
fn contents(snapshot: &Snapshot) -> Vec<(String, Json)> {
    let content = |it: &Remote| (it.identity.clone(), doc(&it.doc)["spec"]["content"].clone());
    let mut all = snapshot.objects.iter().map(content).collect::<Vec<_>>();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[track_caller]
fn object(outcome: Outcome) -> Remote {
    assert_eq!(outcome.settlement, Settlement::Settled);
    outcome.object.unwrap()
}

#[track_caller]
fn rejected(outcome: &Outcome, fault: Fault, code: &str) -> String {
    match &outcome.settlement {
        Settlement::Rejected(failure) => {
            let text = failure.diagnostics[0].summary.clone();
            assert_eq!((&failure.fault, failure.diagnostics[0].code.as_str()), (&fault, code), "{text}");
            text
        }
        other => panic!("not rejected: {other:?}"),
    }
}

// Render.

#[track_caller]
fn renders(kind: &str, spec: Json, scope: &str, key: &str, canonical: Json) {
    let engine = start();
    let it = render(&engine, kind, spec.clone());
    let address = Address { kind: kind.to_owned(), scope: scope.to_owned(), key: key.to_owned() };
    assert_eq!((it.address, doc(&it.doc)), (address, json!({ "spec": canonical })), "{spec}");
}

#[track_caller]
fn refuses(kind: &str, spec: Json, pointer: &str, part: &str) {
    let rendered = start().render(kind, "name", &json!({ "spec": spec }));
    let [diagnostic] = rendered.diagnostics.as_slice() else { panic!("{spec}: {rendered:?}") };
    assert_eq!(diagnostic.path.as_deref(), Some(pointer), "{spec}: {}", diagnostic.summary);
    assert!(diagnostic.summary.contains(part), "{spec}: `{}` does not say `{part}`", diagnostic.summary);
    assert!(rendered.objects.is_empty(), "{spec}");
}

#[test]
fn a_document_renders_to_the_address_and_the_one_spelling_of_its_path() {
    renders("File", json!({"path": "a", "content": "x"}), "", "a", json!({"path": "a", "content": "x"}));
    renders(
        "File",
        json!({"path": "./etc/a.conf", "content": "", "mode": "0600"}),
        "etc",
        "a.conf",
        json!({"path": "etc/a.conf", "content": "", "mode": "0600"}),
    );
    renders("Directory", json!({"path": "var/log/"}), "var", "log", json!({"path": "var/log"}));
}

#[test]
fn markers_pass_through_as_content() {
    let secret = json!({"$secret": "db", "hmac": "00"});
    renders("File", json!({"path": "a", "sensitiveContent": secret}), "", "a", json!({"path": "a", "content": secret}));
    let unknown = json!({"$unknown": "File/b"});
    for name in ["content", "source", "sensitiveContent"] {
        renders("File", json!({"path": "a", name: unknown}), "", "a", json!({"path": "a", "content": unknown}));
    }
    renders("Directory", json!({"path": "a", "mode": unknown}), "", "a", json!({"path": "a", "mode": unknown}));
}

#[test]
fn a_source_becomes_text_where_it_is_short_and_text() {
    let engine = start();
    let content = |bytes: &[u8]| {
        let blob = engine.double().blob(bytes);
        let it = file(&engine, json!({"path": "a", "source": blob}));
        (doc(&it.doc)["spec"]["content"].clone(), blob)
    };
    assert_eq!(content("grüße\r\n".as_bytes()).0, "grüße\r\n");
    assert_eq!(content(b"").0, "");
    for bytes in [&b"\xff\xfe"[..], b"a\0b", &vec![b'x'; 65_537]] {
        let (content, blob) = content(bytes);
        assert_eq!(content, blob);
    }
    assert_eq!(content(&vec![b'x'; 65_536]).0, "x".repeat(65_536));
}

#[test]
fn a_document_that_is_no_file_is_refused_at_its_field() {
    refuses("File", json!({"path": "../a", "content": "x"}), "/spec/path", "may not leave");
    refuses("File", json!({"path": "/a", "content": "x"}), "/spec/path", "absolute");
    refuses("File", json!({"path": {"$unknown": "File/b"}, "content": "x"}), "/spec/path", "known before apply");
    refuses("File", json!({"path": "a"}), "/spec", "exactly one");
    refuses("File", json!({"path": "a", "content": "x", "sensitiveContent": {"$secret": "s"}}), "/spec", "exactly one");
    refuses("File", json!({"path": "a", "content": 1}), "/spec/content", "must be a text");
    refuses("File", json!({"path": "a", "sensitiveContent": "plain"}), "/spec/sensitiveContent", "must hold a secret");
    refuses("File", json!({"path": "a", "source": "a.bin"}), "/spec/source", "a file in the repository");
    for mode in ["644", "0999", "1755", "00644", ""] {
        refuses("File", json!({"path": "a", "content": "x", "mode": mode}), "/spec/mode", "octal");
    }
    refuses("File", json!({"path": "a", "content": "x", "mode": 420}), "/spec/mode", "must be a text");
}

// Scan.

#[test]
fn a_scan_tells_files_of_one_directory_and_nothing_below_it() {
    let engine = start();
    engine.double().write_file("./site/etc/b", b"\xff");
    engine.double().write_file("./site/etc/a", b"one");
    engine.double().set_mode("./site/etc/a", 0o600);
    engine.double().write_file("./site/etc/sub/c", b"deep");
    let snapshot = engine.scan("File", "etc", None).unwrap();
    assert_eq!(snapshot.coverage, Coverage::Whole);
    let blob = engine.double().blob(b"\xff");
    assert_eq!(contents(&snapshot), [("etc/a".to_owned(), json!("one")), ("etc/b".to_owned(), blob)]);
    let a = snapshot.objects.iter().find(|it| it.identity == "etc/a").unwrap();
    assert_eq!(doc(&a.doc), json!({"spec": {"path": "etc/a", "content": "one", "mode": "0600"}}));
    assert_eq!(doc(&a.outputs)["size"], 3);
    let directories = engine.scan("Directory", "etc", None).unwrap();
    let docs = directories.objects.iter().map(|it| doc(&it.doc)).collect::<Vec<_>>();
    assert_eq!(docs, [json!({"spec": {"path": "etc/sub", "mode": "0755"}})]);
}

#[test]
fn a_directory_that_is_missing_is_an_empty_scope() {
    let snapshot = start().scan("File", "no/such", None).unwrap();
    assert_eq!((snapshot.coverage, snapshot.objects.len()), (Coverage::Whole, 0));
    assert!(snapshot.version.is_some());
}

#[test]
fn a_scope_whose_place_a_file_has_taken_is_empty() {
    let engine = start();
    engine.double().write_file("./site/a", b"x");
    for scope in ["a", "a/b"] {
        let snapshot = engine.scan("File", scope, None).unwrap();
        assert_eq!((snapshot.coverage, snapshot.objects.len()), (Coverage::Whole, 0), "{scope}");
    }
    let below = file(&engine, json!({"path": "a/b", "content": "x"}));
    rejected(&engine.bring(None, Some(&below)), Fault::Conflict, "file.type");
}

#[test]
fn a_scope_behind_a_link_fails_and_is_not_followed() {
    let engine = start();
    engine.double().put_special("./site/etc", FileType::Symlink);
    for scope in ["etc", "etc/app"] {
        let failure = engine.scan("File", scope, None).unwrap_err();
        assert_eq!(failure.fault, Fault::Conflict);
        assert!(failure.diagnostics[0].summary.contains("symbolic link"), "{failure:?}");
    }
}

#[test]
fn a_link_or_a_pipe_is_an_object_that_equals_no_document() {
    let engine = start();
    engine.double().put_special("./site/a", FileType::Symlink);
    engine.double().put_special("./site/b", FileType::Other);
    let docs = engine.scan("File", "", None).unwrap().objects;
    let docs = docs.iter().map(|it| doc(&it.doc)["spec"].clone()).collect::<Vec<_>>();
    assert_eq!(docs, [json!({"path": "a", "type": "symlink"}), json!({"path": "b", "type": "other"})]);
}

#[test]
fn a_directory_that_did_not_move_costs_one_listing_and_no_reading() {
    let engine = start();
    engine.double().write_file("./site/a", b"one");
    engine.double().advance(1000);
    let version = engine.scan("File", "", None).unwrap().version;
    engine.double().take_calls();
    let again = engine.scan("File", "", version.as_deref()).unwrap();
    assert_eq!((again.coverage, again.version), (Coverage::Unchanged, version));
    assert_eq!(engine.double().take_calls(), ["files.list-all ./site"]);
}

#[test]
fn what_moves_in_a_subdirectory_does_not_move_its_parent() {
    let engine = start();
    engine.double().write_file("./site/sub/a", b"one");
    engine.double().advance(1000);
    let versions = ["File", "Directory"].map(|kind| engine.scan(kind, "", None).unwrap().version);
    engine.double().write_file("./site/sub/b", b"two");
    for (kind, version) in ["File", "Directory"].into_iter().zip(&versions) {
        assert_eq!(engine.scan(kind, "", version.as_deref()).unwrap().coverage, Coverage::Unchanged, "{kind}");
    }
    engine.double().set_mode("./site/sub", 0o700);
    let moved = engine.scan("Directory", "", versions[1].as_deref()).unwrap();
    assert_eq!((moved.coverage, doc(&moved.objects[0].doc)["spec"]["mode"].clone()), (Coverage::Delta, json!("0700")));
}

#[test]
fn a_delta_reads_only_what_moved_and_names_what_is_gone() {
    let engine = start();
    for name in ["a", "b", "c", "d"] {
        engine.double().write_file(&format!("./site/{name}"), name.as_bytes());
    }
    engine.double().advance(1000);
    let version = engine.scan("File", "", None).unwrap().version;
    engine.double().write_file("./site/b", b"B");
    engine.double().remove("./site/c");
    engine.double().write_file("./site/e", b"e");
    engine.double().advance(1000);
    engine.double().take_calls();
    let delta = engine.scan("File", "", version.as_deref()).unwrap();
    assert_eq!(delta.coverage, Coverage::Delta);
    assert_eq!(contents(&delta), [("b".to_owned(), json!("B")), ("e".to_owned(), json!("e"))]);
    assert_eq!(delta.gone.iter().map(|it| it.address.key.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(engine.double().take_calls(), ["files.list-all ./site", "files.read-all ./site/b", "files.read-all ./site/e"]);
    // The next delta begins where this one ended.
    engine.double().write_file("./site/a", b"A");
    engine.double().advance(1000);
    let next = engine.scan("File", "", delta.version.as_deref()).unwrap();
    assert_eq!((next.coverage, contents(&next)), (Coverage::Delta, vec![("a".to_owned(), json!("A"))]));
    assert!(next.gone.is_empty());
}

#[test]
fn without_its_table_a_moved_directory_is_read_whole() {
    let engine = start();
    engine.double().write_file("./site/a", b"a");
    engine.double().write_file("./site/b", b"b");
    engine.double().advance(1000);
    let version = engine.scan("File", "", None).unwrap().version;
    engine.double().write_file("./site/b", b"B");
    engine.double().advance(1000);
    engine.double().lose_cache();
    let whole = engine.scan("File", "", version.as_deref()).unwrap();
    assert_eq!((whole.coverage, whole.objects.len()), (Coverage::Whole, 2));
    // A version that is not the table's is worth no more than a lost table.
    engine.double().write_file("./site/a", b"A");
    assert_eq!(engine.scan("File", "", version.as_deref()).unwrap().coverage, Coverage::Whole);
}

#[test]
fn an_edit_within_a_tick_of_the_clock_is_never_missed() {
    let engine = start();
    engine.double().write_file("./site/old", b"old");
    engine.double().advance(1000);
    engine.double().write_file("./site/a", b"one");
    let first = engine.scan("File", "", None).unwrap();
    // Same size, same inode, and the clock has not ticked: the stat is the same.
    engine.double().write_file("./site/a", b"two");
    engine.double().take_calls();
    let second = engine.scan("File", "", first.version.as_deref()).unwrap();
    assert_eq!((second.coverage, contents(&second)), (Coverage::Delta, vec![("a".to_owned(), json!("two"))]));
    assert_eq!(engine.double().take_calls(), ["files.list-all ./site", "files.read-all ./site/a"]);
    // Once the clock has surely ticked the file is looked at a last time.
    engine.double().advance(1000);
    let third = engine.scan("File", "", second.version.as_deref()).unwrap();
    assert_eq!((third.coverage, third.objects.len()), (Coverage::Delta, 1));
    assert_eq!(engine.scan("File", "", third.version.as_deref()).unwrap().coverage, Coverage::Unchanged);
}

#[test]
fn a_file_too_long_for_a_document_is_named_by_a_scan_and_read_when_asked_for() {
    let engine = start();
    let long = "x".repeat(64 * 1024 + 1);
    engine.double().write_file("./site/long", long.as_bytes());
    engine.double().write_file("./site/short", b"short");
    engine.double().advance(1000);
    engine.double().take_calls();
    let snapshot = engine.scan("File", "", None).unwrap();
    assert_eq!(engine.double().take_calls(), ["files.list-all ./site", "files.read-all ./site/short"]);
    let unread = json!({"unread": true, "size": long.len()});
    assert_eq!(contents(&snapshot), [("long".to_owned(), unread), ("short".to_owned(), json!("short"))]);
    let marks = snapshot.objects.iter().map(|it| it.ext.clone()).collect::<Vec<_>>();
    assert_eq!(marks, [vec![("unread".to_owned(), "true".to_owned())], vec![]]);
    let address = snapshot.objects[0].address.clone();
    let Observation::Found(found) = engine.read(&address, None, None) else { panic!("it is there") };
    assert_eq!(doc(&found.doc)["spec"]["content"], engine.double().blob(long.as_bytes()));
    assert!(found.ext.is_empty());
    assert_eq!(engine.double().take_calls(), ["files.stat-all ./site/long", "files.read-all ./site/long"]);
    assert_eq!(engine.read(&address, None, found.version.as_deref()), Observation::Unchanged);
    // It was named with the stat that it has, so that nothing is new as long as it has it.
    assert_eq!(engine.scan("File", "", snapshot.version.as_deref()).unwrap().coverage, Coverage::Unchanged);
}

#[test]
fn a_long_scan_comes_in_pages_and_ends_with_a_version_that_holds() {
    let engine = start();
    let names = (0..25).map(|it| format!("f{it:02}")).collect::<Vec<_>>();
    names.iter().for_each(|name| engine.double().write_file(&format!("./site/{name}"), name.as_bytes()));
    engine.double().advance(1000);
    let mut query = engine.query("File", "");
    query.limit = 10;
    let mut seen = Vec::new();
    let version = loop {
        let page = engine.scan_page(query.clone()).unwrap();
        assert!(page.objects.len() <= 10 && page.coverage == Coverage::Whole);
        assert_eq!(page.version.is_some(), page.next.is_none());
        seen.extend(page.objects.iter().map(|it| it.address.key.clone()));
        query.cursor = page.next;
        if query.cursor.is_none() {
            break page.version;
        }
    };
    assert_eq!(seen, names);
    assert_eq!(engine.scan("File", "", version.as_deref()).unwrap().coverage, Coverage::Unchanged);
}

#[test]
fn pages_of_a_directory_that_moved_between_them_make_no_version() {
    let engine = start();
    for name in ["a", "b", "c"] {
        engine.double().write_file(&format!("./site/{name}"), b"x");
    }
    engine.double().advance(1000);
    let mut query = engine.query("File", "");
    query.limit = 2;
    query.cursor = engine.scan_page(query.clone()).unwrap().next;
    engine.double().write_file("./site/a", b"y");
    let last = engine.scan_page(query).unwrap();
    assert_eq!((last.next, last.version, last.objects.len()), (None, None, 1));
}

#[test]
fn an_answer_is_cut_by_its_bytes_too() {
    let engine = start();
    let bytes = vec![b'x'; 60_000];
    (0..300).for_each(|it| engine.double().write_file(&format!("./site/f{it:03}"), &bytes));
    let first = engine.scan_page(engine.query("File", "")).unwrap();
    assert_eq!((first.objects.len(), first.next.is_some()), (279, true)); // 16 MiB of 60,000 bytes each.
    assert_eq!(engine.scan("File", "", None).unwrap().objects.len(), 300);
}

// Read.

#[test]
fn a_lookup_finds_what_a_scan_finds() {
    let engine = start();
    engine.double().write_file("./site/etc/a", b"one");
    engine.double().advance(1000);
    let scanned = engine.scan("File", "etc", None).unwrap().objects.remove(0);
    assert_eq!(engine.read(&scanned.address, None, None), Observation::Found(scanned.clone()));
    assert_eq!(engine.read(&scanned.address, None, scanned.version.as_deref()), Observation::Unchanged);
    engine.double().write_file("./site/etc/a", b"two");
    assert!(matches!(engine.read(&scanned.address, None, scanned.version.as_deref()), Observation::Found(it) if it != scanned));
    for (scope, key) in [("etc", "b"), ("no", "a")] {
        let address = Address { kind: "File".to_owned(), scope: scope.to_owned(), key: key.to_owned() };
        assert_eq!(engine.read(&address, None, None), Observation::Absent);
    }
    let outside = Address { kind: "File".to_owned(), scope: "..".to_owned(), key: "a".to_owned() };
    assert!(matches!(engine.read(&outside, None, None), Observation::Failed(it) if it.fault == Fault::Invalid));
}

// Apply.

#[test]
fn what_was_applied_scans_as_the_outcome_said_and_equals_the_document() {
    let engine = start();
    let double = engine.double().clone();
    let blob = double.blob(b"\x00\x01");
    let long = "x".repeat(70_000);
    for (spec, bytes, mode) in [
        (json!({"path": "a", "content": "one\n"}), b"one\n".to_vec(), 0o644),
        (json!({"path": "deep/er/b", "source": blob, "mode": "0755"}), b"\x00\x01".to_vec(), 0o755),
        (json!({"path": "deep/c", "content": long, "mode": "0400"}), long.clone().into_bytes(), 0o400),
    ] {
        let desired = file(&engine, spec.clone());
        let made = object(engine.bring(None, Some(&desired)));
        assert_eq!(double.file(&format!("./site/{}", made.identity)), Some((bytes, mode)), "{spec}");
        let mut seen = engine.scan("File", &desired.address.scope, None).unwrap().objects;
        if !seen[0].ext.is_empty() {
            // A long file is named by a scan, and read when somebody asks for it.
            assert_eq!(seen[0].ext, [("unread".to_owned(), "true".to_owned())]);
            let Observation::Found(read) = engine.read(&made.address, None, None) else { panic!("it is there") };
            seen = vec![read];
        }
        assert_eq!(seen, [made], "{spec}");
        double.remove(&format!("./site/{}", seen[0].identity));
    }
    let desired = render(&engine, "Directory", json!({"path": "logs", "mode": "0700"}));
    let made = object(engine.bring(None, Some(&desired)));
    assert_eq!(double.directory("./site/logs"), Some(0o700));
    assert!(engine.scan("Directory", "", None).unwrap().objects.contains(&made));
}

#[test]
fn a_secret_reaches_the_file_and_nothing_else() {
    let engine = start();
    let secret = engine.double().secret("handle-1", "canary-7f3a");
    let desired = file(&engine, json!({"path": "a", "sensitiveContent": secret, "mode": "0600"}));
    let made = engine.bring(None, Some(&desired));
    assert_eq!(engine.double().file("./site/a"), Some((b"canary-7f3a".to_vec(), 0o600)));
    let made = object(made);
    assert_eq!(made.sensitive, ["/spec/content"]);
    assert!(!format!("{made:?}").contains("canary"), "{made:?}");
    assert_eq!(doc(&made.doc)["spec"]["content"], secret);
    // Not even opened by the plugin: the host writes it.
    assert!(engine.double().take_calls().iter().all(|it| !it.starts_with("secrets")));
}

#[test]
fn a_secret_file_without_a_declared_mode_is_created_for_its_owner_alone_and_keeps_the_mode_that_it_has() {
    let engine = start();
    let secret = |name: &str| engine.double().secret(name, name);
    let desired = file(&engine, json!({"path": "a", "sensitiveContent": secret("one")}));
    object(engine.bring(None, Some(&desired)));
    assert_eq!(engine.double().file("./site/a"), Some((b"one".to_vec(), 0o600)));
    engine.double().set_mode("./site/a", 0o640);
    let prior = engine.scan("File", "", None).unwrap().objects.remove(0);
    let other = file(&engine, json!({"path": "a", "sensitiveContent": secret("two")}));
    object(engine.bring(Some(&prior), Some(&other)));
    assert_eq!(engine.double().file("./site/a"), Some((b"two".to_vec(), 0o640)));
    let plain = file(&engine, json!({"path": "b", "content": "three"}));
    object(engine.bring(None, Some(&plain)));
    assert_eq!(engine.double().file("./site/b"), Some((b"three".to_vec(), 0o644)));
}

#[test]
fn an_update_writes_content_and_leaves_an_undeclared_mode() {
    let engine = start();
    engine.double().write_file("./site/a", b"old");
    engine.double().set_mode("./site/a", 0o600);
    let prior = engine.scan("File", "", None).unwrap().objects.remove(0);
    let now = object(engine.bring(Some(&prior), Some(&file(&engine, json!({"path": "a", "content": "new"})))));
    assert_eq!(engine.double().file("./site/a"), Some((b"new".to_vec(), 0o600)));
    let inode = |it: &Remote| it.version.clone().unwrap().split('.').nth(4).map(str::to_owned);
    assert_ne!(inode(&now), inode(&prior), "renamed over, not written in place");
    // The mode alone is set in place.
    let moded = object(engine.bring(Some(&now), Some(&file(&engine, json!({"path": "a", "content": "new", "mode": "0640"})))));
    assert_eq!(engine.double().file("./site/a"), Some((b"new".to_vec(), 0o640)));
    assert_eq!(inode(&moded), inode(&now));
    assert_eq!(
        object(engine.bring(Some(&moded), Some(&file(&engine, json!({"path": "a", "content": "", "mode": "0644"}))))).identity,
        "a"
    );
    assert_eq!(engine.double().file("./site/a"), Some((Vec::new(), 0o644)));
}

#[test]
fn what_changed_since_it_was_observed_is_left_alone() {
    let engine = start();
    engine.double().write_file("./site/a", b"old");
    let prior = engine.scan("File", "", None).unwrap().objects.remove(0);
    engine.double().advance(5);
    engine.double().write_file("./site/a", b"by hand");
    let desired = file(&engine, json!({"path": "a", "content": "new"}));
    rejected(&engine.bring(Some(&prior), Some(&desired)), Fault::Conflict, "file.changed");
    rejected(&engine.bring(Some(&prior), None), Fault::Conflict, "file.changed");
    let text = rejected(&engine.bring(None, Some(&desired)), Fault::Conflict, "file.exists");
    assert!(text.contains("`a` exists already"), "{text}");
    assert_eq!(engine.double().file("./site/a"), Some((b"by hand".to_vec(), 0o644)));
    engine.double().remove("./site/a");
    rejected(&engine.bring(Some(&prior), Some(&desired)), Fault::Conflict, "file.changed");
    assert_eq!(engine.bring(Some(&prior), None).settlement, Settlement::Settled, "gone already is deleted");
}

#[test]
fn a_link_or_a_directory_in_the_way_is_refused_and_stays() {
    let engine = start();
    let desired = file(&engine, json!({"path": "a", "content": "x"}));
    engine.double().put_special("./site/a", FileType::Symlink);
    rejected(&engine.bring(None, Some(&desired)), Fault::Conflict, "file.symlink");
    let link = engine.scan("File", "", None).unwrap().objects.remove(0);
    rejected(&engine.bring(Some(&link), Some(&desired)), Fault::Conflict, "file.symlink");
    rejected(&engine.bring(Some(&link), None), Fault::Conflict, "file.symlink");
    let below = file(&engine, json!({"path": "a/b", "content": "x"}));
    rejected(&engine.bring(None, Some(&below)), Fault::Conflict, "file.symlink");
    engine.double().remove("./site/a");
    engine.double().write_file("./site/a/b/mine", b"x");
    let text = rejected(&engine.bring(None, Some(&desired)), Fault::Conflict, "file.type");
    assert!(text.contains("holds `b`"), "{text}");
    assert_eq!(engine.double().directory("./site/a"), Some(0o755));
    // What holds no file is nothing that stays.
    engine.double().remove("./site/a/b/mine");
    object(engine.bring(None, Some(&desired)));
    assert_eq!(engine.double().directory("./site/a"), None);
}

#[test]
fn a_create_that_may_have_happened_is_recognised_by_its_content() {
    let engine = start();
    let desired = file(&engine, json!({"path": "a", "content": "mine", "mode": "0600"}));
    engine.double().fail_change("./site/a", FileError::Io("interrupted".to_owned()), true);
    let mut change = engine.change(None, Some(&desired)).unwrap();
    let first = engine.apply(vec![change.clone()]).remove(0);
    assert!(matches!(first.settlement, Settlement::Unsettled(_)), "{first:?}");
    (change.attempt, change.unsettled) = (1, true);
    let again = object(engine.apply(vec![change.clone()]).remove(0));
    assert_eq!(engine.scan("File", "", None).unwrap().objects, [again]);
    // Of another content, or another mode, it is not ours.
    engine.double().set_mode("./site/a", 0o644);
    rejected(&engine.apply(vec![change.clone()])[0], Fault::Conflict, "file.exists");
    engine.double().set_mode("./site/a", 0o600);
    engine.double().write_file("./site/a", b"your");
    rejected(&engine.apply(vec![change])[0], Fault::Conflict, "file.exists");
}

#[test]
fn a_batch_is_one_call_and_a_bad_change_spares_its_neighbours() {
    let engine = start();
    let desired = ["a", "b", "c"].map(|name| file(&engine, json!({"path": name, "content": name})));
    engine.double().write_file("./site/b", b"theirs");
    let mut changes = desired.iter().filter_map(|it| engine.change(None, Some(it))).collect::<Vec<_>>();
    let mut broken = changes[0].clone();
    broken.desired = Some("{".to_owned());
    changes.insert(1, broken);
    engine.double().take_calls();
    let outcomes = engine.apply(changes);
    let settled = outcomes.iter().map(|it| it.settlement == Settlement::Settled).collect::<Vec<_>>();
    assert_eq!(settled, [true, false, false, true]);
    let calls = engine.double().take_calls();
    let wanted =
        ["files.change-all ./site/a", "files.change-all ./site/b", "files.change-all ./site/c", "files.read-all ./site/b"];
    assert_eq!(calls, wanted, "one call for all, then a look at what was in the way");
}

#[test]
fn a_directory_made_as_a_parent_a_moment_ago_is_no_conflict_and_gets_its_mode() {
    let engine = start();
    object(engine.bring(None, Some(&file(&engine, json!({"path": "logs/a", "content": "x"})))));
    assert_eq!(engine.double().directory("./site/logs"), Some(0o755));
    let made = object(engine.bring(None, Some(&render(&engine, "Directory", json!({"path": "logs", "mode": "0700"})))));
    assert_eq!(engine.double().directory("./site/logs"), Some(0o700));
    assert_eq!(doc(&made.doc)["spec"]["mode"], "0700");
}

#[test]
fn a_directory_that_holds_something_is_not_removed_and_says_what() {
    let engine = start();
    engine.double().write_file("./site/logs/a", b"x");
    let prior = engine.scan("Directory", "", None).unwrap().objects.remove(0);
    let text = rejected(&engine.bring(Some(&prior), None), Fault::Transient(Some(100)), "file.not-empty");
    assert!(text.contains("holds `a`;"), "{text}");
    engine.double().remove("./site/logs/a");
    assert_eq!(engine.bring(Some(&prior), None).settlement, Settlement::Settled);
    assert_eq!(engine.double().directory("./site/logs"), None);
}

#[test]
fn nothing_outside_a_granted_directory_is_reached() {
    let engine = Engine::<FileProvider>::start(&json!({ "root": "./other/" })).unwrap();
    engine.double().grant("./site");
    assert_eq!(engine.scan("File", "", None).unwrap_err().fault, Fault::Denied);
    let desired = file(&engine, json!({"path": "a", "content": "x"}));
    rejected(&engine.bring(None, Some(&desired)), Fault::Denied, "file.denied");
    assert_eq!(engine.double().take_calls()[0], "files.list-all ./other");
}

#[test]
fn settings_without_a_root_are_refused() {
    for config in [json!({}), json!({"root": ""}), json!({"root": 1})] {
        assert!(Engine::<FileProvider>::start(&config).is_err(), "{config}");
    }
}
