use std::os::unix::fs::symlink;

use trueup_core::diagnostic::codes;
use trueup_core::value::Digest;

use super::super::{BlobId, EntryKind, Listed, Source, SourceError};
use super::{Repository, paths, resolved, text};

#[test]
fn files_of_a_commit_are_listed_in_order_and_read_by_id() {
    let repo = Repository::new();
    repo.write("base/b.yaml", "b")
        .write("base/a/x.yaml", "x")
        .write("base/a.yaml", "a")
        .write("base/a0.yaml", "0")
        .write("other", "o");
    repo.commit("first");
    let head = repo.head();
    let want = ["base/a.yaml", "base/a/x.yaml", "base/a0.yaml", "base/b.yaml"];
    for dir in ["base", "./base/", "base//."] {
        assert_eq!(paths(&head, dir).unwrap(), want, "dir={dir}");
    }
    assert_eq!(paths(&head, "").unwrap().len(), 5);
    assert_eq!(text(&head, "base/a/x.yaml"), "x");
    let entry = head.find("base/b.yaml").unwrap().unwrap();
    assert_eq!(head.digest(&entry, 10).unwrap(), (Digest::of(b"b"), 1));
    assert_eq!(head.find("base").unwrap(), None);
    assert_eq!(head.find("base/nothing").unwrap(), None);
    assert_eq!(head.find("base/a.yaml/deeper").unwrap(), None);
}

#[test]
fn a_directory_that_is_known_is_named_and_not_read() {
    let repo = Repository::new();
    repo.write("base/a/x.yaml", "x").write("base/a/deep/y.yaml", "y").write("base/a.yaml", "a").write("base/b/z.yaml", "z");
    repo.commit("first");
    let all = repo.head().list_unknown("base", &|_, _| false).unwrap();
    let shown = |all: &[Listed]| {
        let show = |it: &Listed| match it {
            Listed::Entry(entry) => entry.path.to_string(),
            Listed::Directory(path, _) => format!("{path}/"),
            Listed::Known(path) => format!("{path}/…"),
        };
        all.iter().map(show).collect::<Vec<_>>()
    };
    let want =
        ["base/", "base/a.yaml", "base/a/", "base/a/deep/", "base/a/deep/y.yaml", "base/a/x.yaml", "base/b/", "base/b/z.yaml"];
    assert_eq!(shown(&all), want);
    let known: Vec<(String, BlobId)> = all
        .iter()
        .filter_map(|it| if let Listed::Directory(path, id) = it { Some((path.to_string(), *id)) } else { None })
        .collect();
    // The tree of a known directory may be anywhere: nobody asks for it.
    let id = known.iter().find(|(path, _)| path == "base/a").unwrap().1.to_string();
    std::fs::remove_file(repo.path().join(".git/objects").join(&id[..2]).join(&id[2..])).unwrap();
    let is_known = |path: &str, id: &BlobId| path == "base/a" && known.iter().any(|it| it.0 == path && it.1 == *id);
    let again = repo.head().list_unknown("base", &is_known).unwrap();
    assert_eq!(shown(&again), ["base/", "base/a.yaml", "base/a/…", "base/b/", "base/b/z.yaml"]);
    assert!(repo.head().list("base").is_err());
}

#[test]
fn many_files_are_found_in_a_directory_that_is_read_once() {
    let repo = Repository::new();
    repo.write("base/a.yaml", "a").write("base/b.yaml", "b").commit("first");
    let head = repo.head();
    assert!(head.find("base/a.yaml").unwrap().is_some());
    std::fs::remove_dir_all(repo.path().join(".git/objects")).unwrap();
    assert!(head.find("base/b.yaml").unwrap().is_some() && head.find("base/none").unwrap().is_none());
}

#[test]
fn a_layer_that_is_missing_at_the_revision_is_named_with_it() {
    let repo = Repository::new();
    let id = repo.write("base/a.yaml", "a").commit("first");
    let err = repo.head().list("envs/prod").unwrap_err();
    assert_eq!(err.to_string(), format!("the directory `envs/prod` does not exist at {}", &id[..12]));
    assert_eq!(err.code(), codes::LAYER_MISSING);
    // A file is no layer.
    assert!(matches!(repo.head().list("base/a.yaml"), Err(SourceError::Missing { .. })));
}

#[test]
fn a_project_in_a_subfolder_sees_only_its_own_paths() {
    let repo = Repository::new();
    repo.write("apps/shop/base/a.yaml", "a").write("secret.yaml", "s").commit("first");
    let source = Source::open(&repo.path().join("apps/shop")).unwrap();
    let head = source.snapshot(&source.resolve("HEAD").unwrap()).unwrap();
    assert_eq!(source.prefix(), "apps/shop");
    assert_eq!(paths(&head, "").unwrap(), ["base/a.yaml"]);
    assert_eq!(text(&head, "base/a.yaml"), "a");
    assert!(matches!(head.find("../../secret.yaml"), Err(SourceError::Path { .. })));
    let same = repo.source().within("apps/shop").unwrap();
    assert_eq!(paths(&same.worktree().unwrap(), "").unwrap(), ["base/a.yaml"]);
}

#[test]
fn a_folder_outside_of_git_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.yaml"), "a").unwrap();
    let err = Source::open(dir.path()).unwrap_err();
    assert!(matches!(err, SourceError::NotARepository { .. }), "{err}");
    assert!(err.hint().unwrap().contains("git init"));
    let source = Source::open_worktree(dir.path()).unwrap();
    let files = source.worktree().unwrap();
    assert_eq!(text(&files, "a.yaml"), "a");
    assert_eq!(files.revision(), "uncommitted+worktree");
}

#[test]
fn an_empty_repository_has_nothing_committed() {
    let repo = Repository::new();
    let err = repo.source().resolve("HEAD").unwrap_err();
    assert_eq!(err, SourceError::NothingCommitted);
    assert!(!err.is_unreachable());
    repo.write("a.yaml", "a");
    assert_eq!(paths(&repo.source().worktree().unwrap(), "").unwrap(), ["a.yaml"]);
}

#[test]
fn branches_tags_and_commits_resolve_to_one_commit() {
    let repo = Repository::new();
    let first = repo.write("a", "1").commit("first");
    repo.git(&["tag", "light"]);
    repo.git(&["tag", "-a", "annotated", "-m", "tag"]);
    repo.git(&["tag", "-a", "nested", "-m", "tag of a tag", "annotated"]);
    repo.git(&["branch", "feature/x"]);
    let second = repo.write("a", "2").commit("second");
    let source = repo.source();
    for (rev, want) in [
        ("HEAD", &second),
        ("", &second),
        ("@", &second),
        ("main", &second),
        ("refs/heads/main", &second),
        ("light", &first),
        ("annotated", &first),
        ("nested", &first),
        ("refs/tags/annotated", &first),
        ("feature/x", &first),
        ("HEAD~1", &first),
        ("main^", &first),
        ("main~", &first),
        (second.as_str(), &second),
        (&first[..10], &first),
        (&first.to_uppercase()[..8], &first),
    ] {
        assert_eq!(resolved(&source, rev).as_ref(), Ok(want), "rev={rev}");
    }
    for rev in
        ["nope", "HEAD~2", "main~99999999999", "-x", "a..b", "refs/heads/../../x", "deadbeef", "main\n", "../x", &"0".repeat(40)]
    {
        assert!(
            matches!(resolved(&source, rev), Err(SourceError::UnknownRevision { .. })),
            "rev={rev} {:?}",
            resolved(&source, rev)
        );
    }
    let head = source.resolve("HEAD").unwrap();
    assert_eq!((head.summary.as_str(), head.author.as_str(), head.email.as_str()), ("second", "Ada Lovelace", "ada@example.com"));
    assert_eq!((head.time, head.branch.as_deref(), head.short().len()), (1_700_000_000, Some("main"), 12));
    assert_eq!(source.resolve("feature/x").unwrap().branch.as_deref(), Some("feature/x"));
    assert_eq!(source.resolve("light").unwrap().branch, None);
}

#[test]
fn a_name_that_is_a_branch_and_another_tag_is_refused() {
    let repo = Repository::new();
    let first = repo.write("a", "1").commit("first");
    repo.git(&["tag", "v1"]);
    repo.git(&["branch", "same"]);
    repo.git(&["tag", "-a", "same", "-m", "same commit"]);
    repo.write("a", "2").commit("second");
    repo.git(&["branch", "v1"]);
    let source = repo.source();
    let err = source.resolve("v1").unwrap_err();
    assert_eq!(err.hint().unwrap(), "write one of `refs/tags/v1`, `refs/heads/v1`");
    assert_eq!(resolved(&source, "refs/tags/v1"), Ok(first.clone()));
    assert_eq!(resolved(&source, "same"), Ok(first));
}

#[test]
fn a_ref_that_moves_or_goes_does_not_move_a_snapshot() {
    let repo = Repository::new();
    repo.write("a.yaml", "1").commit("first");
    repo.git(&["tag", "release"]);
    let source = repo.source();
    let snapshot = source.snapshot(&source.resolve("release").unwrap()).unwrap();
    repo.write("a.yaml", "2").commit("second");
    repo.git(&["tag", "-f", "release"]);
    assert_eq!(text(&snapshot, "a.yaml"), "1");
    let moved = source.snapshot(&source.resolve("release").unwrap()).unwrap();
    assert_eq!(text(&moved, "a.yaml"), "2");
    repo.git(&["checkout", "-q", "--detach"]);
    repo.git(&["branch", "-D", "main"]);
    assert!(matches!(source.resolve("main"), Err(SourceError::UnknownRevision { .. })));
    assert_eq!(text(&snapshot, "a.yaml"), "1");
    assert_eq!(source.resolve("HEAD").unwrap().branch, None);
}

#[test]
fn the_id_of_a_directory_changes_with_what_is_below_it_and_with_nothing_else() {
    let repo = Repository::new();
    repo.write("base/deep/a.yaml", "1").write("envs/b.yaml", "1").commit("first");
    let before = repo.head();
    repo.write("envs/b.yaml", "2").commit("second");
    let after = repo.head();
    assert_eq!(before.tree_id("base"), after.tree_id("base"));
    assert_ne!(before.tree_id("envs"), after.tree_id("envs"));
    assert!(before.tree_id("").is_some());
    assert_eq!((after.tree_id("gone"), after.tree_id("base/deep/a.yaml")), (None, None));
}

#[test]
fn packed_objects_and_refs_are_read_as_loose_ones_are() {
    let repo = Repository::new();
    for number in 0..50 {
        repo.write(&format!("base/{number:02}.yaml"), format!("{}{number}", "same text\n".repeat(50)));
    }
    let id = repo.commit("many");
    repo.git(&["tag", "-a", "v1", "-m", "one"]);
    repo.git(&["repack", "-adfq", "--depth=50"]);
    repo.git(&["pack-refs", "--all"]);
    let source = repo.source();
    assert_eq!(resolved(&source, "v1"), Ok(id.clone()));
    assert_eq!(resolved(&source, &id[..7]), Ok(id));
    let head = repo.head();
    assert_eq!(paths(&head, "base").unwrap().len(), 50);
    assert!(text(&head, "base/49.yaml").ends_with("\n49"));
}

#[test]
fn a_snapshot_is_read_from_many_threads() {
    let repo = Repository::new();
    repo.write("a.yaml", "a").commit("first");
    let head = repo.head();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| assert_eq!(text(&head, "a.yaml"), "a")));
        }
    });
}

#[test]
fn the_environment_of_git_has_no_effect() {
    let repo = Repository::new();
    repo.write("a.yaml", "a").commit("first");
    // In a process of its own, as the environment belongs to the whole process.
    let this = std::env::current_exe().unwrap();
    let status = std::process::Command::new(this)
        .args(["--exact", "source::tests::local::reads_a_repository_given_in_the_environment", "--ignored"])
        .envs([
            ("GIT_DIR", "/nonexistent"),
            ("GIT_WORK_TREE", "/"),
            ("GIT_INDEX_FILE", "/dev/null"),
            ("GIT_OBJECT_DIRECTORY", "/tmp"),
        ])
        .envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "core.worktree"), ("GIT_CONFIG_VALUE_0", "/")])
        .env("SOURCE_UNDER_TEST", repo.path())
        .output()
        .unwrap();
    assert!(status.status.success() && String::from_utf8_lossy(&status.stdout).contains("1 passed"), "{status:?}");
}

#[test]
#[ignore = "run by the_environment_of_git_has_no_effect"]
fn reads_a_repository_given_in_the_environment() {
    let Some(dir) = std::env::var_os("SOURCE_UNDER_TEST") else {
        return;
    };
    let source = Source::open(dir.as_ref()).unwrap();
    let head = source.snapshot(&source.resolve("HEAD").unwrap()).unwrap();
    assert_eq!(text(&head, "a.yaml"), "a");
    assert_eq!(paths(&source.worktree().unwrap(), "").unwrap(), ["a.yaml"]);
}

#[test]
fn the_worktree_has_tracked_and_new_files_and_no_ignored_ones() {
    let repo = Repository::new();
    repo.write(".gitignore", "*.log\nbuild/\n").write("base/a.yaml", "a").write("build/kept.yaml", "k");
    repo.git(&["add", "-f", "build/kept.yaml"]);
    let id = repo.commit("first");
    repo.write("base/a.yaml", "changed").write("base/new.yaml", "n").write("base/x.log", "l").write("build/out.yaml", "o");
    symlink("/etc/passwd", repo.path().join("base/link.yaml")).unwrap();
    symlink("/etc", repo.path().join("etc")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        repo.path().join("base/pipe.yaml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let worktree = repo.source().worktree().unwrap();
    assert_eq!(worktree.revision(), format!("{id}+worktree"));
    assert_eq!(
        paths(&worktree, "").unwrap(),
        [".gitignore", "base/a.yaml", "base/link.yaml", "base/new.yaml", "build/kept.yaml", "etc"]
    );
    assert_eq!(text(&worktree, "base/a.yaml"), "changed");
    let link = worktree.find("base/link.yaml").unwrap().unwrap();
    assert_eq!(link.kind, EntryKind::Symlink);
    assert_eq!(worktree.read(&link, 100).unwrap_err().code(), codes::SYMLINK);
    for path in ["etc/passwd", "base/x.log", "build/out.yaml", "base/pipe.yaml", "base"] {
        assert_eq!(worktree.find(path).unwrap(), None, "path={path}");
    }
    assert!(worktree.find("build/kept.yaml").unwrap().is_some());
    assert!(matches!(worktree.list("nothing"), Err(SourceError::Missing { .. })));
    assert!(matches!(worktree.list("etc"), Err(SourceError::Missing { .. })));
}

#[test]
fn a_worktree_file_has_the_id_that_it_will_have_once_committed() {
    let repo = Repository::new();
    repo.write("a.yaml", "some text\n");
    let before = repo.source().worktree().unwrap().find("a.yaml").unwrap().unwrap();
    repo.commit("first");
    assert_eq!(repo.head().find("a.yaml").unwrap().unwrap(), before);
}

#[test]
fn a_worktree_file_that_changes_after_the_listing_is_not_used() {
    let repo = Repository::new();
    repo.write("a.yaml", "before");
    let worktree = repo.source().worktree().unwrap();
    let entry = worktree.find("a.yaml").unwrap().unwrap();
    repo.write("a.yaml", "behind");
    let err = worktree.read(&entry, 100).unwrap_err();
    assert_eq!(err, SourceError::Changed { path: "a.yaml".into() });
    assert!(err.is_unreachable());
}

#[test]
fn files_that_differ_from_the_commit_are_named() {
    let repo = Repository::new();
    repo.write(".gitignore", "*.log\n").write("base/same.yaml", "s").write("base/changed.yaml", "1").write("base/gone.yaml", "g");
    repo.write("base/staged.yaml", "1").write("base/touched.yaml", "t").write("site/out", "o").commit("first");
    let source = repo.source();
    let head = repo.head();
    assert_eq!(source.modified(&head), Vec::<String>::new());
    repo.write("base/changed.yaml", "2").write("base/new.yaml", "n").write("base/x.log", "l").write("base/staged.yaml", "2");
    repo.git(&["add", "base/staged.yaml"]);
    repo.write("base/touched.yaml", "t").write("site/new", "n");
    std::fs::remove_file(repo.path().join("base/gone.yaml")).unwrap();
    let want = ["base/changed.yaml", "base/gone.yaml", "base/new.yaml", "base/staged.yaml"];
    assert_eq!(source.modified_below(&head, &["base"]), want);
    assert_eq!(source.modified(&head).len(), 5);
    assert_eq!(source.modified(&source.worktree().unwrap()), Vec::<String>::new());
}

#[test]
fn the_commit_behind_a_line_is_found_through_edits_above_it_and_merges() {
    let repo = Repository::new();
    repo.write("apps/a.yaml", "one\ntwo\nthree\n");
    let first = repo.commit("first");
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.write("apps/a.yaml", "one\ntwo\nTHREE\n");
    let side = repo.commit("side");
    repo.git(&["checkout", "-q", "main"]);
    repo.write("apps/a.yaml", "zero\none\ntwo\nthree\n");
    let second = repo.commit("second");
    repo.git(&["merge", "-q", "-m", "merge", "side"]);
    repo.write("other", "o").commit("unrelated");
    let source = Source::open(&repo.path().join("apps")).unwrap();
    let head = source.snapshot(&source.resolve("HEAD").unwrap()).unwrap();
    assert_eq!(text(&head, "a.yaml"), "zero\none\ntwo\nTHREE\n");
    for (line, want) in [(1, Some(&second)), (2, Some(&first)), (3, Some(&first)), (4, Some(&side)), (5, None), (0, None)] {
        assert_eq!(source.history(&head, "a.yaml", line).map(|it| it.id).as_ref(), want, "line={line}");
    }
    assert_eq!(source.history(&head, "missing.yaml", 1), None);
}

#[test]
fn a_linked_worktree_has_its_own_head_and_files() {
    let repo = Repository::new();
    let first = repo.write("a.yaml", "1").commit("first");
    let linked = tempfile::tempdir().unwrap();
    let path = linked.path().join("side");
    repo.git(&["worktree", "add", "-q", "-b", "side", path.to_str().unwrap()]);
    repo.write("a.yaml", "2").commit("second");
    std::fs::write(path.join("new.yaml"), "n").unwrap();
    let source = Source::open(&path).unwrap();
    let head = source.resolve("HEAD").unwrap();
    assert_eq!((head.id.as_str(), head.branch.as_deref()), (first.as_str(), Some("side")));
    assert_eq!(text(&source.snapshot(&head).unwrap(), "a.yaml"), "1");
    assert_eq!(paths(&source.worktree().unwrap(), "").unwrap(), ["a.yaml", "new.yaml"]);
    assert_eq!(source.modified(&source.snapshot(&head).unwrap()), ["new.yaml"]);
}

#[test]
fn a_bare_repository_is_read_and_has_no_worktree() {
    let repo = Repository::new();
    repo.write("a.yaml", "1").commit("first");
    let bare = tempfile::tempdir().unwrap();
    repo.git(&["clone", "-q", "--bare", ".", bare.path().to_str().unwrap()]);
    let source = Source::open(bare.path()).unwrap();
    assert_eq!(text(&source.snapshot(&source.resolve("main").unwrap()).unwrap(), "a.yaml"), "1");
    assert_eq!(source.worktree().unwrap_err(), SourceError::NoWorktree);
}

#[test]
fn a_repository_of_another_format_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert!(super::git(dir.path()).args(["init", "-q", "--object-format=sha256"]).status().unwrap().success());
    let err = Source::open(dir.path()).unwrap_err();
    assert!(matches!(err, SourceError::Unreadable { .. }) && err.to_string().contains("sha256"), "{err}");
    let broken = Repository::new();
    broken.write(".git/HEAD", "nonsense");
    let err = Source::open(broken.path()).and_then(|it| it.resolve("HEAD")).unwrap_err();
    assert!(matches!(err, SourceError::Unreadable { .. }), "{err}");
}

#[test]
fn a_history_that_is_cut_off_ends_with_the_oldest_commit_there_is() {
    let repo = Repository::new();
    repo.write("a.yaml", "1").commit("first");
    repo.write("b.yaml", "1");
    let second = repo.commit("second");
    let shallow = tempfile::tempdir().unwrap();
    let url = format!("file://{}", repo.path().display());
    repo.git(&["clone", "-q", "--depth=1", &url, shallow.path().to_str().unwrap()]);
    let source = Source::open(shallow.path()).unwrap();
    let head = source.snapshot(&source.resolve("HEAD").unwrap()).unwrap();
    assert_eq!(source.history(&head, "a.yaml", 1).unwrap().id, second);
}
