//! The cases of the catalogue of hostile inputs that concern a repository that is already here.

use std::time::{Duration, Instant};

use trueup_core::diagnostic::codes;

use super::super::{EntryKind, Limits, Source, SourceError};
use super::{Repository, paths, text};

/// Commits a tree with one entry of this name below `base` and expects that listing it is refused with these words.
#[track_caller]
fn check_name(name: &[u8], want: Option<&str>) {
    let repo = Repository::new();
    let blob = repo.object("blob", b"x");
    let tree = repo.tree(&[("100644", name, &blob)]);
    repo.commit_tree(&[("40000", b"base", &tree)]);
    let got = repo.head().list("base");
    match (want, &got) {
        (None, Ok(_)) => {}
        (Some(want), Err(err @ SourceError::Path { .. })) => {
            let shown = err.to_string();
            assert!(shown.contains(want) && !shown.chars().any(char::is_control), "name={name:?} {shown}");
            assert_eq!(err.code(), codes::PATH_REFUSED);
        }
        _ => panic!("name={name:?} {got:?}"),
    }
}

#[test]
fn names_that_leave_their_directory_are_refused() {
    check_name(b"..", Some("`..`"));
    check_name(b".", Some("`..`"));
    check_name(b"", Some("empty"));
    check_name(b"a/b", Some("separator"));
    check_name(b"../../etc/passwd", Some("separator"));
    check_name(b"..\\..\\x", Some("backslash"));
    check_name(b"/etc/passwd", Some("separator"));
    check_name(b"...", None);
    check_name(b"a b.yaml", None);
    check_name("größe.yaml".as_bytes(), None);
}

#[test]
fn names_that_stand_for_dot_git_are_refused() {
    for name in
        [".git", ".GIT", ".Git", "git~1", "GIT~1", ".g\u{200c}it", ".git\u{200d}", ".git ", ".git.", ".git::$INDEX_ALLOCATION"]
    {
        check_name(name.as_bytes(), Some("base/"));
    }
    check_name(b".github", None);
    check_name(b".gitignore", None);
}

#[test]
fn names_that_cannot_be_shown_are_refused() {
    check_name(b"a\xff.yaml", Some("\\xff"));
    check_name(b"a\x1b[31m.yaml", Some("control"));
    check_name(b"a\nb.yaml", Some("control"));
    check_name("a\u{202e}lmay.yaml".as_bytes(), Some("invisible"));
}

#[test]
fn a_path_is_refused_before_git_is_asked() {
    let repo = Repository::new();
    repo.write("a.yaml", "a").commit("first");
    let head = repo.head();
    for path in ["/etc/passwd", "../x", "a/../../x", ".git/config", "a\\b", "a\u{202e}", "x/.GIT/config"] {
        assert!(matches!(head.find(path), Err(SourceError::Path { .. })), "path={path}");
        assert!(matches!(head.list(path), Err(SourceError::Path { .. })), "path={path}");
        assert!(matches!(repo.source().worktree().unwrap().find(path), Err(SourceError::Path { .. })), "path={path}");
        assert!(repo.source().within(path).is_err(), "path={path}");
        assert_eq!(head.tree_id(path), None, "path={path}");
    }
}

#[test]
fn symbolic_links_are_listed_and_never_followed() {
    let repo = Repository::new();
    let secret = repo.object("blob", b"apiVersion: v1");
    let loops = repo.object("blob", b"b");
    let targets: Vec<String> =
        [&b"/etc/shadow"[..], b"../..", b"/proc/self/environ", b"real.yaml"].iter().map(|it| repo.object("blob", it)).collect();
    let tree = repo.tree(&[
        ("120000", b"a", &loops),
        ("120000", b"b", &loops),
        ("120000", b"chain.yaml", &targets[3]),
        ("120000", b"environ.yaml", &targets[2]),
        ("100644", b"real.yaml", &secret),
        ("120000", b"shadow.yaml", &targets[0]),
        ("120000", b"up", &targets[1]),
    ]);
    repo.commit_tree(&[("40000", b"base", &tree)]);
    let head = repo.head();
    let entries = head.list("base").unwrap();
    assert_eq!(entries.iter().filter(|it| it.kind == EntryKind::Symlink).count(), 6);
    for entry in entries.iter().filter(|it| it.kind == EntryKind::Symlink) {
        let err = head.read(entry, 1 << 20).unwrap_err();
        assert_eq!((err.code(), err.to_string().contains(&*entry.path)), (codes::SYMLINK, true), "{err}");
    }
    assert_eq!(head.find("base/up/base/real.yaml").unwrap(), None);
    assert!(matches!(head.list("base/up"), Err(SourceError::Missing { .. })));
    assert_eq!(text(&head, "base/real.yaml"), "apiVersion: v1");
}

#[test]
fn a_submodule_is_listed_and_never_entered() {
    let repo = Repository::new();
    let modules = repo.object("blob", b"[submodule \"x\"]\n\tpath = x\n\turl = -u./evil\n\tupdate = !touch /tmp/owned\n");
    let blob = repo.object("blob", b"a");
    repo.commit_tree(&[("100644", b".gitmodules", &modules), ("100644", b"a.yaml", &blob), ("160000", b"x", &"1".repeat(40))]);
    let head = repo.head();
    assert_eq!(paths(&head, "").unwrap(), [".gitmodules", "a.yaml", "x"]);
    let entry = head.find("x").unwrap().unwrap();
    assert_eq!(entry.kind, EntryKind::Submodule);
    assert_eq!(head.read(&entry, 100).unwrap_err().code(), codes::SUBMODULE);
}

#[test]
fn filters_and_large_file_pointers_are_plain_text() {
    let repo = Repository::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    repo.write("a.yaml", pointer).commit("first");
    repo.write(".gitattributes", "*.yaml filter=evil text eol=crlf\n").commit("second");
    let marker = repo.path().join("owned");
    repo.git(&["config", "filter.evil.smudge", &format!("touch {}", marker.display())]);
    repo.git(&["config", "filter.evil.required", "true"]);
    assert_eq!(text(&repo.head(), "a.yaml"), pointer);
    assert_eq!(text(&repo.source().worktree().unwrap(), "a.yaml"), pointer);
    assert_eq!(repo.source().modified(&repo.head()), Vec::<String>::new());
    assert!(!marker.exists());
}

#[test]
fn a_blob_over_the_limit_is_refused_by_its_header() {
    let repo = Repository::new();
    repo.write("big.yaml", vec![b'a'; 1 << 20]).write("small.yaml", "s").commit("first");
    for snapshot in [repo.head(), repo.source().worktree().unwrap()] {
        let entry = snapshot.find("big.yaml").unwrap().unwrap();
        let err = snapshot.read(&entry, 1000).unwrap_err();
        assert_eq!(err.to_string(), "`big.yaml` (1048576 bytes) is over the limit of 1000 bytes");
        assert_eq!(err.code(), codes::SOURCE_LIMIT);
        assert_eq!(snapshot.read(&entry, 1 << 20).unwrap().len(), 1 << 20);
    }
}

#[test]
fn a_blob_that_inflates_to_much_more_than_it_is_packed_costs_nothing() {
    let repo = Repository::new();
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    let input = repo.path().join("zeros");
    std::io::copy(&mut std::io::Read::take(zeros, 64 << 20), &mut std::fs::File::create(&input).unwrap()).unwrap();
    repo.commit("big");
    let head = repo.head();
    let entry = head.find("zeros").unwrap().unwrap();
    let started = Instant::now();
    assert!(matches!(head.read(&entry, 16 << 20), Err(SourceError::Limit { .. })));
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
}

/// Lists a chain of directories this deep.
fn deep(levels: usize) -> Result<Vec<String>, String> {
    let repo = Repository::new();
    let blob = repo.object("blob", b"x");
    let mut tree = repo.tree(&[("100644", b"a.yaml", &blob)]);
    for _ in 0..levels {
        tree = repo.tree(&[("40000", b"d", &tree)]);
    }
    repo.commit_tree(&[("40000", b"base", &tree)]);
    paths(&repo.head(), "base")
}

#[test]
fn directories_may_be_nested_64_deep_and_no_deeper() {
    assert_eq!(deep(64).map(|it| it.len()), Ok(1));
    let err = deep(65).unwrap_err();
    assert!(err.starts_with("the nesting of directories at `base/d/") && err.ends_with("is over the limit of 64"), "{err}");
}

#[test]
fn long_names_many_files_and_trees_that_multiply_are_refused_by_name() {
    let repo = Repository::new();
    let blob = repo.object("blob", b"x");
    let long = vec![b'n'; 65_536];
    repo.commit_tree(&[("100644", &long, &blob)]);
    assert_eq!(repo.head().list("").unwrap_err().to_string(), "the length of a path in `` is over the limit of 4096 bytes");

    // Ten trees of ten entries each name 10^10 files.
    let names: Vec<Vec<u8>> = (0..10).map(|it| format!("n{it}").into_bytes()).collect();
    let mut tree = repo.tree(&names.iter().map(|name| ("100644", name.as_slice(), blob.as_str())).collect::<Vec<_>>());
    for _ in 0..9 {
        tree = repo.tree(&names.iter().map(|name| ("40000", name.as_slice(), tree.as_str())).collect::<Vec<_>>());
    }
    repo.commit_tree(&[("40000", b"bomb", &tree)]);
    let source = repo.source().with_limits(Limits { files: 1000, ..Limits::default() });
    let snapshot = source.snapshot(&source.resolve("HEAD").unwrap()).unwrap();
    assert_eq!(snapshot.list("").unwrap_err().to_string(), "the number of files is over the limit of 1000");

    // The same of empty directories.
    let mut tree = repo.tree(&[]);
    for _ in 0..9 {
        tree = repo.tree(&names.iter().map(|name| ("40000", name.as_slice(), tree.as_str())).collect::<Vec<_>>());
    }
    repo.commit_tree(&[("40000", b"bomb", &tree)]);
    let snapshot = source.snapshot(&source.resolve("HEAD").unwrap()).unwrap();
    assert_eq!(snapshot.list("").unwrap_err().to_string(), "the number of directories is over the limit of 1000");
}

#[test]
fn an_entry_that_is_there_twice_is_refused() {
    let repo = Repository::new();
    let (one, two) = (repo.object("blob", b"1"), repo.object("blob", b"2"));
    repo.commit_tree(&[("100644", b"a.yaml", &one), ("100644", b"a.yaml", &two)]);
    assert!(repo.head().list("").unwrap_err().to_string().contains("not in order"));
}

#[test]
fn damaged_and_missing_objects_are_errors_that_name_the_path() {
    let repo = Repository::new();
    let id = repo.write("base/a.yaml", "some content").commit("first");
    let blob = repo.git(&["rev-parse", "HEAD:base/a.yaml"]);
    let tree = repo.git(&["rev-parse", "HEAD:base"]);
    let head = repo.head();
    let entry = head.find("base/a.yaml").unwrap().unwrap();
    let file = |id: &str| repo.path().join(format!(".git/objects/{}/{}", &id[..2], &id[2..]));
    std::fs::remove_file(file(&blob)).unwrap();
    let err = head.read(&entry, 100).unwrap_err();
    assert!(err.to_string().starts_with("cannot read `base/a.yaml`: object "), "{err}");
    // A listing needs no blob.
    assert_eq!(paths(&head, "base").unwrap(), ["base/a.yaml"]);
    for content in [&b""[..], b"garbage", &[0x78, 0x9c, 0xff, 0xff, 0xff]] {
        std::fs::remove_file(file(&tree)).unwrap();
        std::fs::write(file(&tree), content).unwrap();
        assert!(matches!(repo.head().list("base"), Err(SourceError::Unreadable { .. })), "content={content:?}");
    }
    std::fs::remove_file(file(&id)).unwrap();
    assert!(matches!(Source::open(repo.path()).unwrap().resolve("HEAD"), Err(SourceError::Unreadable { .. })));
}

#[test]
fn a_commit_without_a_tree_or_with_hostile_text_is_an_error_or_clean_text() {
    let repo = Repository::new();
    let bad = repo.object("commit", b"tree nonsense\n\nx");
    repo.write(".git/refs/heads/main", format!("{bad}\n"));
    assert!(matches!(repo.source().resolve("main"), Err(SourceError::Unreadable { .. })));
    let tree = repo.tree(&[]);
    let who = "\u{1b}]0;title\u{7} <a@b> 1700000000 +0000";
    let text = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\n\u{1b}[31mred\u{202e} \nbody\n");
    let commit = repo.object("commit", text.as_bytes());
    repo.git(&["update-ref", "refs/heads/main", &commit]);
    let commit = repo.source().resolve("main").unwrap();
    assert_eq!((commit.summary.as_str(), commit.author.as_str()), ("\u{fffd}[31mred\u{fffd} ", "\u{fffd}]0;title\u{fffd}"));
}
