//! The import on real directories.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trueup_core::value::Digest;

use super::*;
use crate::grant::DirGrant;
use crate::runtime::Limits;
use crate::services::{NoServices, Secret, SecretError, Services};

struct World {
    dir: tempfile::TempDir,
    grants: Vec<DirGrant>,
}

/// `./site` is granted; `outside` stands beside it.
fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("site")).unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    let grants = vec![DirGrant { text: "./site".to_owned(), path: dir.path().join("site") }];
    World { dir, grants }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

impl World {
    fn site(&self) -> std::path::PathBuf {
        self.dir.path().join("site")
    }

    fn list(&self, path: &str) -> Answer<Vec<(String, wit::FileType)>> {
        let answers = list_all(&Roots(&self.grants), &[path.to_owned()], &Limits::default(), soon());
        let listing = answers.into_iter().next().unwrap()?;
        Ok(listing.entries.into_iter().map(|it| (it.name, it.kind)).collect())
    }

    fn read(&self, path: &str, max: u64) -> Answer<wit::Content> {
        let request = wit::ReadRequest { path: path.to_owned(), max_bytes: max };
        read_all(&Roots(&self.grants), &[request], &Limits::default(), soon()).into_iter().next().unwrap()
    }

    fn stat(&self, path: &str) -> Answer<wit::Entry> {
        stat_all(&Roots(&self.grants), &[path.to_owned()], soon()).remove(0)
    }

    fn change(&self, path: &str, operation: wit::Operation, expect: wit::Expectation) -> Answer<Option<wit::Entry>> {
        self.change_with(&NoServices, path, operation, expect)
    }

    fn change_with(
        &self,
        services: &dyn Services,
        path: &str,
        operation: wit::Operation,
        expect: wit::Expectation,
    ) -> Answer<Option<wit::Entry>> {
        let change = wit::FileChange { path: path.to_owned(), operation, expect, token: "t0ken".to_owned() };
        let all = Change { roots: Roots(&self.grants), services, tokens: &["t0ken".to_owned()], deadline: soon() };
        all.all(vec![change]).into_iter().next().unwrap()
    }
}

fn text(text: &str) -> wit::Operation {
    wit::Operation::Write(wit::Write { payload: wit::Payload::Bytes(text.as_bytes().to_vec()), mode: None })
}

/// The error's case, for comparison in tests.
fn case<T>(answer: Answer<T>) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(wit::FileError::Denied(_)) => "denied".to_owned(),
        Err(wit::FileError::Io(text)) => text,
        Err(wit::FileError::WrongType(kind)) => format!("wrong-type {kind:?}"),
        Err(other) => format!("{other:?}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_path_outside_the_grant_is_denied_before_anything_is_opened() {
    let world = world();
    for path in [
        "/etc/passwd",
        "site/a",
        "./sitex/a",
        "./site/../outside/secret",
        "./site//a",
        "./site/./a",
        "./site/.trueup-tmp/x",
        "./site/a\0b",
        "",
        "./site/",
    ] {
        assert_eq!(case(world.read(path, 10)), "denied", "{path}");
        assert_eq!(case(world.change(path, text("x"), wit::Expectation::Any)), "denied", "{path}");
    }
    assert_eq!(fs::read_dir(world.site()).unwrap().count(), 0);
}

#[test]
fn no_symbolic_link_is_followed_anywhere_in_a_path() {
    let world = world();
    symlink("../outside", world.site().join("dir")).unwrap();
    symlink("../outside/secret", world.site().join("file")).unwrap();
    symlink("nowhere", world.site().join("dangling")).unwrap();
    let wrong = "wrong-type FileType::Symlink";
    for path in ["./site/dir", "./site/dir/secret", "./site/file", "./site/dangling"] {
        assert_eq!(case(world.list(path)), wrong, "list {path}");
        assert_eq!(case(world.read(path, 10)), wrong, "read {path}");
        assert_eq!(case(world.change(path, text("x"), wit::Expectation::Any)), wrong, "write {path}");
        assert_eq!(case(world.change(path, wit::Operation::SetMode(0o777), wit::Expectation::Any)), wrong, "mode {path}");
        assert_eq!(case(world.change(path, wit::Operation::RemoveFile, wit::Expectation::Any)), wrong, "remove {path}");
        let make = world.change(&format!("{path}/new/x"), wit::Operation::MakeDirectory(None), wit::Expectation::Any);
        assert_eq!(case(make), wrong, "make below {path}");
    }
    assert_eq!(fs::read(world.dir.path().join("outside/secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(world.dir.path().join("outside")).unwrap().count(), 1);
    // A link is listed as what it is.
    let names = world.list("./site").unwrap();
    assert!(names.iter().all(|(_, kind)| *kind == wit::FileType::Symlink) && names.len() == 3, "{names:?}");
}

#[test]
fn the_granted_directory_itself_may_stand_behind_a_link() {
    let mut world = world();
    symlink("site", world.dir.path().join("current")).unwrap();
    world.grants = vec![DirGrant { text: "./current".to_owned(), path: world.dir.path().join("current") }];
    assert_eq!(case(world.change("./current/a", text("x"), wit::Expectation::Absent)), "ok");
    assert_eq!(fs::read(world.site().join("a")).unwrap(), b"x");
}

#[test]
fn a_file_is_written_whole_with_its_parents_and_modes() {
    let world = world();
    let made = world.change("./site/a/b/c.txt", text("hello"), wit::Expectation::Absent).unwrap().unwrap();
    assert_eq!((made.name.as_str(), made.size, made.mode), ("c.txt", 5, 0o644));
    let path = world.site().join("a/b/c.txt");
    assert_eq!((fs::read(&path).unwrap(), mode(&path), mode(&world.site().join("a/b"))), (b"hello".to_vec(), 0o644, 0o755));
    // The mode of an old file stays unless another is asked for.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(case(world.change("./site/a/b/c.txt", text("two"), wit::Expectation::Any)), "ok");
    assert_eq!(mode(&path), 0o600);
    let with_mode = wit::Write { payload: wit::Payload::Bytes(b"x".to_vec()), mode: Some(0o4755) };
    assert_eq!(case(world.change("./site/a/b/c.txt", wit::Operation::Write(with_mode), wit::Expectation::Any)), "ok");
    assert_eq!(mode(&path), 0o4755);
    assert!(!world.site().join(STAGING).exists(), "the staging folder goes when it is empty");
}

#[test]
fn a_granted_directory_that_is_missing_reads_as_not_found_and_is_made_by_the_first_write() {
    let world = world();
    fs::remove_dir(world.site()).unwrap();
    assert_eq!(case(world.list("./site")), "FileError::NotFound");
    assert_eq!(case(world.read("./site/a", 1)), "FileError::NotFound");
    assert_eq!(case(world.change("./site/a", wit::Operation::RemoveFile, wit::Expectation::Any)), "FileError::NotFound");
    assert!(!world.site().exists());
    assert_eq!(case(world.change("./site/a", text("x"), wit::Expectation::Absent)), "ok");
    assert_eq!(mode(&world.site()), 0o755);
}

#[test]
fn nothing_is_changed_where_something_else_stands_than_was_expected() {
    let world = world();
    let conflict = "FileError::Conflict";
    let first = world.change("./site/a", text("one"), wit::Expectation::Absent).unwrap().unwrap();
    assert_eq!(case(world.change("./site/a", text("two"), wit::Expectation::Absent)), conflict);
    fs::write(world.site().join("a"), "by hand").unwrap();
    for operation in [text("two"), wit::Operation::SetMode(0o600), wit::Operation::RemoveFile] {
        assert_eq!(case(world.change("./site/a", operation, wit::Expectation::Same(first.clone()))), conflict);
    }
    assert_eq!((fs::read(world.site().join("a")).unwrap(), mode(&world.site().join("a"))), (b"by hand".to_vec(), 0o644));
    assert_eq!(case(world.change("./site/b", text("x"), wit::Expectation::Same(first))), conflict);
    assert!(!world.site().join("b").exists() && !world.site().join(STAGING).exists());
    let now = world.read("./site/a", 0).unwrap().stat;
    assert_eq!(case(world.change("./site/a", text("two"), wit::Expectation::Same(now))), "ok");
}

#[test]
fn directories_are_made_kept_and_removed_only_when_empty() {
    let world = world();
    let make = |mode| wit::Operation::MakeDirectory(mode);
    assert_eq!(case(world.change("./site/d", make(Some(0o700)), wit::Expectation::Any)), "ok");
    assert_eq!(mode(&world.site().join("d")), 0o700);
    assert_eq!(case(world.change("./site/d", make(None), wit::Expectation::Any)), "ok");
    assert_eq!(mode(&world.site().join("d")), 0o700, "nothing to do where it exists");
    assert_eq!(case(world.change("./site/d/f", text("x"), wit::Expectation::Any)), "ok");
    assert_eq!(case(world.change("./site/d", wit::Operation::RemoveDirectory, wit::Expectation::Any)), "FileError::NotEmpty");
    let wrong = "wrong-type FileType::Directory";
    assert_eq!(case(world.change("./site/d", wit::Operation::RemoveFile, wit::Expectation::Any)), wrong);
    assert_eq!(case(world.change("./site/d", text("x"), wit::Expectation::Any)), "FileError::NotEmpty");
    assert_eq!(case(world.change("./site/d/f/g", text("x"), wit::Expectation::Any)), "wrong-type FileType::File");
    assert_eq!(case(world.list("./site/d/f")), "wrong-type FileType::File");
    assert_eq!(case(world.change("./site/d/f", wit::Operation::RemoveFile, wit::Expectation::Any)), "ok");
    assert_eq!(case(world.change("./site/d", wit::Operation::RemoveDirectory, wit::Expectation::Any)), "ok");
    assert_eq!(case(world.change("./site", wit::Operation::RemoveDirectory, wit::Expectation::Any)), "denied");
}

#[test]
fn a_directory_that_holds_no_file_at_any_depth_gives_way_to_a_file_and_no_other_does() {
    let world = world();
    let site = world.site();
    fs::create_dir_all(site.join("d/e/f")).unwrap();
    fs::create_dir_all(site.join("d/g")).unwrap();
    fs::write(site.join("d/e/f/x"), "kept").unwrap();
    for expect in [wit::Expectation::Absent, wit::Expectation::Any] {
        assert_eq!(case(world.change("./site/d", text("new"), expect)), "FileError::NotEmpty");
    }
    fs::remove_file(site.join("d/e/f/x")).unwrap();
    assert!(site.join("d/g").is_dir(), "a refusal takes nothing away");
    // A link is not looked through, whatever stands behind it.
    symlink(world.dir.path().join("outside"), site.join("d/g/link")).unwrap();
    assert_eq!(case(world.change("./site/d", text("new"), wit::Expectation::Absent)), "FileError::NotEmpty");
    fs::remove_file(site.join("d/g/link")).unwrap();
    let made = world.change("./site/d", text("new"), wit::Expectation::Absent).unwrap().unwrap();
    assert_eq!((made.kind, made.mode), (wit::FileType::File, 0o644), "the directory's mode is none of the file's");
    assert_eq!(fs::read(site.join("d")).unwrap(), b"new");
    assert!(world.dir.path().join("outside/secret").exists());
    // Where a file was observed, a directory is another thing, empty or not.
    fs::remove_file(site.join("d")).unwrap();
    fs::create_dir(site.join("d")).unwrap();
    assert_eq!(case(world.change("./site/d", text("new"), wit::Expectation::Same(made))), "FileError::Conflict");
    // Deeper than anybody nests, it is not gone through.
    fs::create_dir_all(site.join(format!("deep{}", "/d".repeat(17)))).unwrap();
    assert_eq!(case(world.change("./site/deep", text("new"), wit::Expectation::Any)), "FileError::NotEmpty");
}

#[test]
fn a_file_that_its_owner_cannot_read_can_have_its_mode_set() {
    let world = world();
    fs::write(world.site().join("f"), "x").unwrap();
    fs::set_permissions(world.site().join("f"), fs::Permissions::from_mode(0o000)).unwrap();
    let set = world.change("./site/f", wit::Operation::SetMode(0o640), wit::Expectation::Any).unwrap().unwrap();
    assert_eq!((set.mode, mode(&world.site().join("f"))), (0o640, 0o640));
    assert_eq!(case(world.change("./site/f", wit::Operation::SetMode(0o10000), wit::Expectation::Any)), "denied");
}

#[test]
fn contents_come_with_digest_and_only_up_to_the_size_asked_for() {
    let world = world();
    fs::write(world.site().join("f"), "hello").unwrap();
    let whole = world.read("./site/f", 5).unwrap();
    assert_eq!((whole.bytes.as_deref(), whole.sha256), (Some(&b"hello"[..]), Digest::of(b"hello").to_string()));
    let large = world.read("./site/f", 4).unwrap();
    assert_eq!((large.bytes, large.sha256), (None, Digest::of(b"hello").to_string()));
    let big = vec![7_u8; 300_000];
    fs::write(world.site().join("big"), &big).unwrap();
    let read = world.read("./site/big", u64::MAX).unwrap();
    assert_eq!((read.bytes.as_deref(), read.sha256), (Some(&*big), Digest::of(&big).to_string()));
    fs::write(world.site().join("empty"), "").unwrap();
    assert_eq!(world.read("./site/empty", 0).unwrap().bytes, Some(Vec::new()));
}

#[test]
fn a_pipe_is_not_waited_for() {
    let world = world();
    rustix::fs::mknodat(rustix::fs::CWD, world.site().join("pipe"), FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    assert_eq!(case(world.read("./site/pipe", 10)), "wrong-type FileType::Other");
    assert_eq!(case(world.change("./site/pipe", text("x"), wit::Expectation::Any)), "wrong-type FileType::Other");
}

#[test]
fn a_listing_is_sorted_hides_the_staging_folder_and_counts_what_has_no_utf8_name() {
    use std::os::unix::ffi::OsStrExt;
    let world = world();
    for name in ["b", "a", "ü"] {
        fs::write(world.site().join(name), "").unwrap();
    }
    fs::create_dir(world.site().join(STAGING)).unwrap();
    fs::write(world.site().join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    let answers = list_all(&Roots(&world.grants), &["./site".to_owned()], &Limits::default(), soon());
    let listing = answers.into_iter().next().unwrap().unwrap_or_else(|_| panic!("listing"));
    let names: Vec<_> = listing.entries.iter().map(|it| it.name.as_str()).collect();
    assert_eq!((names, listing.unreadable), (vec!["a", "b", "ü"], 1));
}

#[test]
fn many_directories_are_listed_by_several_threads_in_the_order_asked() {
    let world = world();
    let paths: Vec<String> = (0..200).map(|at| format!("./site/d{at}")).collect();
    for at in 0..200 {
        fs::create_dir(world.site().join(format!("d{at}"))).unwrap();
        fs::write(world.site().join(format!("d{at}/f{at}")), "").unwrap();
    }
    let answers = list_all(&Roots(&world.grants), &paths, &Limits::default(), soon());
    for (at, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap_or_else(|_| panic!("{at}")).entries[0].name, format!("f{at}"));
    }
    let few = Limits { entries: 150, ..Limits::default() };
    let refused = list_all(&Roots(&world.grants), &paths, &few, soon());
    assert_eq!(refused.iter().filter(|it| matches!(it, Err(wit::FileError::TooLarge(150)))).count(), 50);
    let late = list_all(&Roots(&world.grants), &paths, &Limits::default(), Instant::now());
    assert!(late.into_iter().all(|it| case(it) == "the call's time is up"));
}

struct Revision;

impl Services for Revision {
    fn blob(&self, sha256: &Digest) -> Option<Arc<[u8]>> {
        (*sha256 == Digest::of(b"blob")).then(|| Arc::from(&b"blob"[..]))
    }

    fn reveal(&self, handle: &str) -> Result<Secret, SecretError> {
        if handle == "h1" { Ok(Secret::from("canary")) } else { Err(SecretError::Denied) }
    }
}

#[test]
fn blobs_and_secrets_are_written_without_passing_through_the_guest() {
    let world = world();
    let write = |payload| wit::Operation::Write(wit::Write { payload, mode: Some(0o600) });
    let blob = wit::Payload::Blob(Digest::of(b"blob").to_string());
    assert_eq!(case(world.change_with(&Revision, "./site/b", write(blob), wit::Expectation::Absent)), "ok");
    let secret = wit::Payload::Secret("h1".to_owned());
    assert_eq!(case(world.change_with(&Revision, "./site/s", write(secret), wit::Expectation::Absent)), "ok");
    assert_eq!(fs::read(world.site().join("b")).unwrap(), b"blob");
    assert_eq!((fs::read(world.site().join("s")).unwrap(), mode(&world.site().join("s"))), (b"canary".to_vec(), 0o600));
    for payload in [wit::Payload::Blob("00".repeat(32)), wit::Payload::Secret("h2".to_owned())] {
        let refused = world.change_with(&Revision, "./site/x", write(payload), wit::Expectation::Absent);
        assert_eq!(case(refused), "denied");
    }
    assert!(!world.site().join("x").exists());
}

#[test]
fn a_sweep_takes_what_no_running_call_can_have_staged() {
    let world = world();
    let staging = world.site().join(STAGING);
    fs::create_dir(&staging).unwrap();
    for (name, minutes) in [("forgotten.0", 61), ("at-work.1", 59), ("skewed.2", 0), ("no-token", 600), (".x", 600)] {
        fs::write(staging.join(name), "secret").unwrap();
        let then = std::time::SystemTime::now() - Duration::from_secs(60 * minutes);
        fs::File::options().write(true).open(staging.join(name)).unwrap().set_modified(then).unwrap();
    }
    assert_eq!(sweep(&world.grants, &[]).unwrap(), 1);
    let mut left: Vec<_> = fs::read_dir(&staging).unwrap().map(|it| it.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".x", "at-work.1", "no-token", "skewed.2"]);
}

#[test]
fn no_path_below_a_granted_directory_reaches_a_folder_that_runs_programs() {
    let world = world();
    for folder in [".git", ".GIT", "git~1", ".g\u{200c}it", ".git ", ".git.", ".trueup", ".Trueup"] {
        for path in [format!("./site/{folder}/config"), format!("./site/{folder}"), format!("./site/a/{folder}/hooks/x")] {
            for refused in [
                world.change(&path, text("x"), wit::Expectation::Absent).map(drop),
                world.change(&path, wit::Operation::MakeDirectory(None), wit::Expectation::Any).map(drop),
                world.change(&path, wit::Operation::RemoveFile, wit::Expectation::Any).map(drop),
                world.read(&path, 10).map(drop),
                world.list(&path).map(drop),
                world.stat(&path).map(drop),
            ] {
                let Err(wit::FileError::Denied(why)) = refused else { panic!("{path}: {refused:?}") };
                assert!(why.contains("stands for `."), "{why}");
            }
        }
    }
    assert_eq!(fs::read_dir(world.site()).unwrap().count(), 0);
    world.change("./site/.github/x", text("x"), wit::Expectation::Absent).unwrap();
    // Whoever grants the folder itself was asked.
    fs::create_dir(world.dir.path().join(".git")).unwrap();
    let grants = vec![DirGrant { text: "./.git".to_owned(), path: world.dir.path().join(".git") }];
    World { grants, ..world }.change("./.git/description", text("x"), wit::Expectation::Absent).unwrap();
}

#[test]
fn a_named_path_is_looked_at_without_its_directory_and_never_through_a_link() {
    let world = world();
    fs::create_dir(world.site().join("d")).unwrap();
    fs::write(world.site().join("d/a"), "abc").unwrap();
    symlink("../outside", world.site().join("link")).unwrap();
    let of = |path: &str| world.stat(path).map(|it| (it.name, it.kind, it.size));
    assert_eq!(of("./site/d/a").unwrap(), ("a".to_owned(), wit::FileType::File, 3));
    assert_eq!(of("./site/d").unwrap().1, wit::FileType::Directory);
    assert_eq!(of("./site").unwrap().1, wit::FileType::Directory);
    assert_eq!(of("./site/link").unwrap().1, wit::FileType::Symlink);
    assert_eq!(case(world.stat("./site/link/secret")), "wrong-type FileType::Symlink");
    assert_eq!(case(world.stat("./site/d/a/b")), "wrong-type FileType::File");
    assert_eq!(case(world.stat("./site/d/b")), "FileError::NotFound");
    assert_eq!(case(world.stat("./outside/secret")), "denied");
    let listed = list_all(&Roots(&world.grants), &["./site/d".to_owned()], &Limits::default(), soon()).remove(0).unwrap();
    assert_eq!(format!("{:?}", world.stat("./site/d/a").unwrap()), format!("{:?}", listed.entries[0]));
}

#[test]
fn a_file_that_changes_while_it_is_read_gives_its_room_back() {
    let room = std::sync::atomic::AtomicU64::new(10);
    let taken = super::read::Taken::of(&room, 8).unwrap();
    assert!(super::read::Taken::of(&room, 8).is_none());
    drop(taken);
    super::read::Taken::of(&room, 8).unwrap().keep();
    assert_eq!(room.into_inner(), 2);
}

#[test]
fn a_sweep_takes_what_these_tokens_left_and_nothing_else() {
    let world = world();
    let staging = world.site().join(STAGING);
    fs::create_dir(&staging).unwrap();
    for name in ["dead.0", "dead.17", "alive.1", "deadly.2", "dead"] {
        fs::write(staging.join(name), "x").unwrap();
    }
    assert_eq!(sweep(&world.grants, &["dead".to_owned()]).unwrap(), 2);
    let mut left: Vec<_> = fs::read_dir(&staging).unwrap().map(|it| it.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["alive.1", "dead", "deadly.2"]);
    for name in left {
        fs::remove_file(staging.join(name)).unwrap();
    }
    assert_eq!(sweep(&world.grants, &["dead".to_owned()]).unwrap(), 0);
    assert!(!staging.exists());
    assert_eq!(sweep(&world.grants, &["dead".to_owned()]).unwrap(), 0);
}

#[test]
fn a_staging_folder_that_is_a_link_is_not_written_through() {
    let world = world();
    symlink("../outside", world.site().join(STAGING)).unwrap();
    let refused = case(world.change("./site/a", text("x"), wit::Expectation::Absent));
    assert!(refused.starts_with("wrong-type"), "{refused}");
    assert_eq!(sweep(&world.grants, &["secret".to_owned()]).unwrap(), 0);
    assert_eq!(fs::read_dir(world.dir.path().join("outside")).unwrap().count(), 1);
}
