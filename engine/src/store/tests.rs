//! What holds for the SQLite store beyond the contract: files, damage, formats, group commit, size.

#![allow(clippy::print_stdout, reason = "measurements that are run by hand")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;
use trueup_core::address::Address;
use trueup_core::inventory::{Entry, Intent};
use trueup_core::value::{Digest, json};

use super::contract::{self, entry, intent, new_run, put};
use super::*;

/// The project that states here are of.
const PROJECT: &str = "4f0c9a000000000000000000000000aa";

fn with(edit: impl FnOnce(&Path)) -> Result<SqliteStore, StoreError> {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state.db");
    let store = SqliteStore::open(&path, PROJECT).unwrap();
    let edits = (0..200).map(|it| put(&entry(&format!("site:File/{it}"), &format!("{it}")), "t")).collect();
    store.edit("prod", None, "adopted", edits).wait().unwrap();
    drop(store);
    edit(&path);
    // The folder goes with `root`: what is judged is judged here.
    SqliteStore::open(&path, PROJECT).and_then(|store| store.inventory("prod").map(|_| store))
}

#[track_caller]
fn check_refused(edit: impl FnOnce(&Path), words: &str) {
    let refused = with(edit).err().map(|it| it.to_string()).unwrap_or_default();
    assert!(refused.contains(words), "{words:?} is not in: {refused:?}");
}

#[test]
fn the_contract_holds() {
    let root = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    contract::run(&|| {
        count.set(count.get() + 1);
        Box::new(SqliteStore::open(&root.path().join(format!("{}.db", count.get())), PROJECT).unwrap())
    });
}

#[test]
fn a_copy_for_a_recording_holds_one_environment_and_who_owns_what_it_reaches() {
    let root = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&root.path().join("state.db"), PROJECT).unwrap();
    let full = |name: &str, target: &str| Edit::Put {
        entry: Box::new(entry(&format!("site:File/{name}"), name)),
        target: target.into(),
        applied: Some(Arc::new(json!({"spec": {"content": format!("text of {name}")}}))),
    };
    store.edit("prod", None, "adopted", vec![full("ours", "here"), full("far", "gone")]).wait().unwrap();
    store.edit("staging", None, "adopted", vec![full("theirs", "here"), full("elsewhere", "there")]).wait().unwrap();
    for (environment, key, target) in [("prod", "begun", "here"), ("staging", "also", "here"), ("staging", "apart", "there")] {
        let about = NewRun {
            revision: format!("commit of {environment}"),
            actor: format!("{environment} person"),
            ..new_run(environment)
        };
        let run = store.begin_run(about).wait().unwrap();
        let token = format!("token of {key}");
        let begun = IntentRecord { target: target.into(), ..intent(&token, &entry(&format!("site:File/{key}"), key)) };
        store.intend(environment, run, vec![begun]).wait().unwrap();
        let ending = Ending::Pending(format!("handle of {key}").into());
        store.outcome(environment, run, vec![OutcomeRecord { token: token.into(), edits: Vec::new(), ending }]).wait().unwrap();
        store.end_run(run, "stopped", json!({"counted": environment})).wait().unwrap();
    }
    let copy = root.path().join("copy.db");
    let bytes = store.export("prod", &["here"]).unwrap().unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|it| it == text.as_bytes());
    assert!(holds("text of ours") && holds("text of far") && holds("File/theirs"));
    assert!(!holds("text of theirs") && !holds("elsewhere") && !holds("apart"), "another environment's");
    assert!(holds("token of begun") && holds("commit of prod") && holds("site:File/also"));
    for gone in ["token of also", "commit of staging", "staging person", "prod person", "handle of", "counted", "stopped"] {
        assert!(!holds(gone), "{gone}: no ownership is judged by it");
    }
    let digest = |key: &[u8]| bytes.windows(32).any(|it| it == Digest::of(key).0);
    assert!(digest(b"ours") && !digest(b"theirs"), "what was applied to their objects");
    fs::write(&copy, &bytes).unwrap();
    let copied = SqliteStore::open(&copy, PROJECT).unwrap();
    assert_eq!(copied.inventory("prod").unwrap(), store.inventory("prod").unwrap());
    let without_handle = |it: Intent| Intent { operation: None, ..it };
    let begun: Vec<Intent> = store.intents("prod").unwrap().into_iter().map(without_handle).collect();
    assert_eq!(copied.intents("prod").unwrap(), begun);
    let of_others = copied.inventory("staging").unwrap();
    assert_eq!(of_others.iter().map(|it| it.applied).collect::<Vec<_>>(), [Digest([0; 32])], "a whole row, at the shared target");
    let theirs = entry("site:File/theirs", "theirs").address;
    assert_eq!(copied.owners(&[("here", &theirs)]).unwrap(), store.owners(&[("here", &theirs)]).unwrap());
    assert_eq!(copied.elsewhere("prod", "site", "here").unwrap(), ["gone"]);
}

#[test]
fn a_state_of_the_first_format_is_brought_up_to_date() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state.db");
    let store = SqliteStore::open(&path, PROJECT).unwrap();
    let (plain, sealed) = (entry("site:File/a", "a"), Entry { secrets: true, ..entry("site:File/b", "b") });
    let document = Arc::new(json!({"spec": {"content": {"$secret": "db", "hmac": "00"}}}));
    let secret = Edit::Put { entry: Box::new(sealed.clone()), target: "t".into(), applied: Some(document) };
    store.edit("prod", None, "adopted", vec![put(&plain, "t"), secret]).wait().unwrap();
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    store.intend("prod", run, vec![intent("t", &entry("site:File/c", "c"))]).wait().unwrap();
    let begun = store.intents("prod").unwrap();
    drop(store);
    let db = Connection::open(&path).unwrap();
    // As the first format wrote it: no flag, and none of the columns.
    let old = Entry { secrets: false, ..sealed.clone() };
    inventory::put_flags(&db, 1, &old).unwrap();
    db.execute_batch(
        "ALTER TABLE intents DROP COLUMN document; ALTER TABLE intents DROP COLUMN flags; ALTER TABLE intents DROP COLUMN after; \
         DROP TABLE project; PRAGMA user_version = 1",
    )
    .unwrap();
    drop(db);
    let store = SqliteStore::open(&path, PROJECT).unwrap();
    assert_eq!(store.inventory("prod").unwrap(), [plain, sealed]);
    let expected =
        Intent { document: None, after: Arc::from([]), siblings: Arc::from([]), protect: false, prune: true, ..begun[0].clone() };
    assert_eq!(store.intents("prod").unwrap(), [expected]);
    drop(store);
    SqliteStore::open(&path, PROJECT).unwrap();
}

#[test]
fn a_state_is_of_one_project_and_one_that_was_of_none_becomes_its() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state.db");
    let store = SqliteStore::open(&path, PROJECT).unwrap();
    store.edit("prod", None, "adopted", vec![put(&entry("site:File/a", "a"), "t")]).wait().unwrap();
    drop(store);
    let other = "0".repeat(32);
    let refused = SqliteStore::open(&path, &other).err().unwrap().to_string();
    assert!(refused.contains(PROJECT) && refused.contains(&other) && refused.contains("--state"), "{refused}");
    // As the second format wrote it.
    Connection::open(&path).unwrap().execute_batch("DROP TABLE project; PRAGMA user_version = 2").unwrap();
    assert_eq!(SqliteStore::open(&path, PROJECT).unwrap().inventory("prod").unwrap().len(), 1);
    SqliteStore::open(&path, &other).err().unwrap();
}

#[test]
fn a_state_that_is_a_fifo_is_refused_and_nobody_waits() {
    let fifo = |path: &Path| {
        fs::remove_file(path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    };
    check_refused(fifo, "it is a FIFO and no regular file");
}

#[test]
fn a_state_that_is_empty_cut_or_altered_is_refused_and_never_read_as_nothing() {
    let words = "Put a backup";
    with(|_| ()).unwrap();
    check_refused(|path| fs::write(path, "").unwrap(), words);
    check_refused(|path| fs::write(path, "not a database").unwrap(), words);
    check_refused(|path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(8192).unwrap(), words);
    check_refused(|path| fs::write(path, &fs::read(path).unwrap()[..100]).unwrap(), words);
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let places: Vec<usize> = (0..bytes.len() - 11).filter(|it| &bytes[*it..*it + 11] == b"site:File/7").collect();
        places.iter().for_each(|it| bytes[it + 10] ^= 1);
        fs::write(path, bytes).unwrap();
    };
    check_refused(flip, "not what was written");
}

#[test]
fn a_state_of_a_newer_version_or_of_another_program_is_refused() {
    let run = |path: &Path, sql: &str| Connection::open(path).unwrap().execute_batch(sql).unwrap();
    check_refused(|path| run(path, "PRAGMA user_version = 99"), "has format 99");
    check_refused(|path| run(path, "PRAGMA application_id = 7"), "another program");
}

#[test]
fn a_line_of_the_audit_log_that_is_altered_or_taken_out_is_found() {
    for (sql, seq) in [
        ("UPDATE audit SET body = replace(body, 'adopted', 'applied') WHERE seq = 7", 7),
        ("UPDATE audit SET time = time + 1 WHERE seq = 200", 200),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 5", 6),
        ("UPDATE audit SET resource = 'site:File/x' WHERE seq = 3", 3),
    ] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("state.db");
        let store = SqliteStore::open(&path, PROJECT).unwrap();
        let edits = (0..200).map(|it| put(&entry(&format!("site:File/{it}"), &format!("{it}")), "t")).collect();
        store.edit("prod", None, "adopted", edits).wait().unwrap();
        assert_eq!(store.verify().unwrap().unwrap().rows, 200);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        assert_eq!(store.verify().unwrap().unwrap_err().seq, seq, "{sql}");
    }
}

#[test]
fn the_files_of_a_state_are_private_and_its_folder_is_hidden_from_git() {
    let root = tempfile::tempdir().unwrap();
    let path = default_path(root.path());
    let store = SqliteStore::open(&path, PROJECT).unwrap();
    store.begin_run(new_run("prod")).wait().unwrap();
    store
        .put_scopes("prod", vec![ScopeRecord { scope: entry("a:K/n", "n").address.scope, version: None, objects: [1].into() }])
        .unwrap();
    let folder = path.parent().unwrap();
    assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(folder.join(".gitignore")).unwrap(), "*\n");
    let mut names = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        if name != ".gitignore" {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
            names.push(name);
        }
    }
    assert!(names.contains(&"state.db-wal".to_owned()) && names.contains(&"cache.db".to_owned()), "{names:?}");
    assert!(!names.iter().any(|it| it.ends_with("tmp")), "{names:?}");
}

#[test]
fn a_committed_write_is_there_when_the_process_was_killed_and_the_file_is_checked_then() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state.db");
    let store = SqliteStore::open(&path, PROJECT).unwrap();
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    store.intend("prod", run, vec![intent("t", &entry("site:File/a", "a"))]).wait().unwrap();
    // As a kill leaves it: neither closed nor checkpointed.
    let copy = root.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    fs::copy(root.path().join("state.db-wal"), root.path().join("copy.db-wal")).unwrap();
    assert_eq!(SqliteStore::open(&copy, PROJECT).unwrap().intents("prod").unwrap().len(), 1);
}

#[test]
fn writes_that_are_queued_together_share_a_commit_and_one_that_fails_takes_nothing_from_its_neighbours() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state.db");
    let store = SqliteStore::open(&path, PROJECT).unwrap();
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    // While another process writes, ours queue up.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let entries: Vec<Entry> = (0..200).map(|it| entry(&format!("site:File/{it}"), &format!("{it}"))).collect();
    let commits: Vec<_> = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| match index {
            100 => store.outcome(
                "prod",
                run,
                vec![OutcomeRecord { token: "none".into(), edits: vec![put(entry, "t")], ending: Ending::Settled }],
            ),
            _ => store.intend("prod", run, vec![intent(&format!("t-{index}"), entry)]),
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(50));
    other.execute_batch("ROLLBACK").unwrap();
    let failed = commits.into_iter().map(Commit::wait).filter(Result::is_err).count();
    assert_eq!(failed, 1);
    assert_eq!(store.intents("prod").unwrap().len(), 199);
    assert_eq!(store.inventory("prod").unwrap(), []);
    let counts = store.finish();
    // One for the run, one for what came before the queue, then 64 at a time.
    assert!(counts.writes == 201 && (4..=7).contains(&counts.commits), "{counts:?}");
}

#[test]
fn two_processes_may_write_to_one_state() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state.db");
    let stores = [SqliteStore::open(&path, PROJECT).unwrap(), SqliteStore::open(&path, PROJECT).unwrap()];
    std::thread::scope(|scope| {
        for (store, environment) in stores.iter().zip(["dev", "prod"]) {
            scope.spawn(move || {
                for index in 0..50 {
                    let mut entry = entry(&format!("site:File/{index}"), &format!("{index}"));
                    entry.address = Address::new("site", "File", environment, &entry.address.key);
                    store.edit(environment, None, "adopted", vec![put(&entry, "t")]).wait().unwrap();
                }
            });
        }
    });
    assert_eq!(stores[0].inventory("prod").unwrap().len() + stores[1].inventory("dev").unwrap().len(), 100);
    assert_eq!(stores[0].verify().unwrap().unwrap().rows, 100);
}

#[test]
fn a_damaged_cache_is_begun_anew_and_its_values_are_what_was_put_or_nothing() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state.db");
    let record =
        ScopeRecord { scope: entry("a:K/n", "n").address.scope, version: Some("1".into()), objects: (*b"observed").into() };
    let fill = || {
        let cache = cache::CacheFile::beside(&state);
        cache.put_scopes("prod", std::slice::from_ref(&record)).unwrap();
        cache.put("plugin", "key", b"kept by a plugin", std::time::Duration::from_secs(9), 1000).unwrap();
        assert_eq!(cache.get("plugin", "key", 9999).unwrap().as_deref(), Some(&b"kept by a plugin"[..]));
        assert_eq!(cache.get("plugin", "key", 10_000).unwrap(), None, "it has expired");
        assert_eq!(cache.get("other", "key", 1000).unwrap(), None, "it is another's");
        assert_eq!(cache.scopes("prod").unwrap(), std::slice::from_ref(&record));
    };
    let path = root.path().join("cache.db");
    fill();
    fs::write(&path, "not a database, and longer than the header of one, which has a hundred bytes in all; this has more")
        .unwrap();
    fill();
    fs::write(&path, "").unwrap();
    fill();
    let mut bytes = fs::read(&path).unwrap();
    for needle in [&b"observed"[..], b"kept by a plugin"] {
        let at = bytes.windows(needle.len()).position(|it| it == needle).unwrap();
        bytes[at] ^= 1;
    }
    fs::write(&path, bytes).unwrap();
    let cache = cache::CacheFile::beside(&state);
    assert_eq!((cache.scopes("prod").unwrap(), cache.get("plugin", "key", 1000).unwrap()), (vec![], None));
}

#[test]
fn a_providers_cache_lets_the_longest_unused_go_and_never_grows_past_its_limit() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache::CacheFile::beside(&root.path().join("state.db"));
    let value = vec![7; 4 << 20];
    let ttl = std::time::Duration::from_secs(1 << 20);
    cache.put("other", "stays", b"x", ttl, 0).unwrap();
    for index in 0..20_u64 {
        cache.put("plugin", &format!("{index}"), &value, ttl, index).unwrap();
        // A use that is long after the last one counts.
        cache.get("plugin", "0", 100_000 * (index + 1)).unwrap();
    }
    let there: Vec<u64> = (0..20).filter(|it| cache.get("plugin", &format!("{it}"), 50).unwrap().is_some()).collect();
    assert_eq!(there, [0].into_iter().chain(6..20).collect::<Vec<_>>());
    assert!(cache.get("other", "stays", 50).unwrap().is_some());
    cache.put("plugin", "huge", &vec![0; 17 << 20], ttl, 50).unwrap();
    assert_eq!(cache.get("plugin", "huge", 50).unwrap(), None);
}

/// `cargo test --release -p trueup store:: -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn an_inventory_of_100_000_is_read_in_80_ms() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state.db");
    let store = SqliteStore::open(&path, PROJECT).unwrap();
    let run = store.begin_run(new_run("prod")).wait().unwrap();
    let entries: Vec<Entry> = (0..100_000)
        .map(|it| {
            let key = format!("{}/file-{it}.txt", it / 100);
            let mut entry = entry(&format!("site:File/file-{it}"), &key);
            entry.address = Address::new("site", "File", &format!("dir-{}", it / 100), &key);
            entry.agreed = Some(Digest::of(b"x"));
            entry
        })
        .collect();
    let begin = Instant::now();
    for group in entries.chunks(64) {
        let records = group.iter().map(|it| intent(&format!("{:032}", it.applied), it)).collect();
        store.intend("prod", run, records).wait().unwrap();
        let records = group
            .iter()
            .map(|it| OutcomeRecord {
                token: format!("{:032}", it.applied).into(),
                edits: vec![put(it, "t")],
                ending: Ending::Settled,
            })
            .collect();
        store.outcome("prod", run, records).wait().unwrap();
    }
    println!("100,000 intents and outcomes in groups of 64: {:?}", begin.elapsed());
    let agreed: Vec<_> = entries.iter().map(|it| (it.address.clone(), Digest::of(b"y"))).collect();
    let begin = Instant::now();
    store.prepare("prod", run, Groundwork { agreed, ..Groundwork::default() }).wait().unwrap();
    println!("agreed: {:?}", begin.elapsed());
    drop(store);
    for _ in 0..3 {
        let begin = Instant::now();
        let store = SqliteStore::open(&path, PROJECT).unwrap();
        let opened = begin.elapsed();
        let read = store.inventory("prod").unwrap();
        let all = begin.elapsed();
        assert_eq!(read.len(), entries.len());
        let addresses: Vec<Address> = read.iter().map(|it| it.address.clone()).collect();
        let pairs: Vec<(&str, &Address)> = addresses.iter().map(|it| ("t", it)).collect();
        let begin = Instant::now();
        let owners = store.owners(&pairs).unwrap();
        assert!(owners.iter().all(Option::is_some));
        let owners = begin.elapsed();
        let begin = Instant::now();
        store.applied("prod", &addresses).unwrap();
        println!(
            "open {opened:?}, with inventory {all:?}, owners {owners:?}, documents {:?}; file {} KiB",
            begin.elapsed(),
            fs::metadata(&path).unwrap().len() >> 10
        );
    }
    let begin = Instant::now();
    let verified = SqliteStore::open(&path, PROJECT).unwrap().verify().unwrap().unwrap();
    println!("verify {} lines: {:?}", verified.rows, begin.elapsed());
}
