//! What stands beside the files that are declared: it is named, never in the way, and never run.

use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use trueup_tests::{PROJECT, Project, document};

/// `git status` of a clone must run nothing that the repository brought.
#[test]
fn a_clone_that_declares_a_git_folder_in_a_free_directory_runs_nothing() {
    let project = Project::new();
    project.write(".gitignore", ".trueup/\n");
    let config = "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = \"touch ../PWNED\"\n";
    for (name, path, content) in [
        ("config", ".git/config", config),
        ("head", ".git/HEAD", "ref: refs/heads/main\n"),
        ("keep", ".git/objects/keep", ""),
        ("refs", ".git/refs/keep", ""),
        ("plain", "plain.txt", "plain\n"),
    ] {
        project.declare(name, path, content);
    }
    project.git(&["add", "-A"]);
    // An entry that makes Git look for a repository in `site`.
    let gitlink = format!("160000,{},site", "1".repeat(40));
    project.git(&["update-index", "--add", "--cacheinfo", &gitlink]);
    project.git(&["commit", "-q", "-m", "hostile"]);
    fs::create_dir_all(project.site()).unwrap();
    let run = project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["stands for `.git`", "File/config"]);
    assert_eq!(project.world().into_keys().collect::<Vec<_>>(), ["plain.txt"], "{run}");
    let status = Command::new("git").args(["status"]).current_dir(project.repo()).env("HOME", project.home()).output().unwrap();
    assert!(!project.repo().join("PWNED").exists() && !project.outside().join("PWNED").exists(), "{status:?}");
}

#[test]
fn every_disguise_of_a_git_folder_is_refused_by_name() {
    for path in [".GIT/config", "git~1/config", "a/.git/hooks/post-checkout", ".git./config", ".trueup/state.db", "\".git \"/x"] {
        let project = Project::new();
        let text = document("x", "PATH", "x").replace("PATH", &path.replace('"', ""));
        project.write("base/x.yaml", text).commit("hostile");
        let words = ["which holds more than data", "stands for `."];
        project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&words);
        assert!(project.world().keys().all(|it| !it.contains('g') || it == "a/"), "{path}: {:?}", project.world());
    }
}

#[test]
fn a_file_and_a_directory_of_one_path_are_refused_with_both_places() {
    let project = Project::new();
    project.declare("a", "here/it", "x");
    let directory = "apiVersion: site/v1\nkind: Directory\nmetadata: {name: b}\nspec: {path: here/it}\n";
    project.write("base/d.yaml", directory).commit("both");
    let words = ["TU0208", "`File/a`", "`Directory/b`", "are both `here/it`", "base/a.yaml:2", "base/d.yaml:2"];
    project.run(&["plan"]).expect_exit(1).expect_text(&words);
    // Also where one of them was there before.
    project.remove("base/d.yaml").commit("one");
    project.apply();
    project.write("base/d.yaml", directory).commit("both again");
    project.run(&["plan"]).expect_exit(1).expect_text(&words);
    // A directory and a file in it are two places.
    let project = Project::new();
    project.declare("a", "here/it", "x").write("base/d.yaml", directory.replace("here/it", "here")).commit("around it");
    project.apply();
}

#[test]
fn a_neighbour_of_any_size_costs_a_declared_file_nothing() {
    let project = Project::new();
    fs::create_dir_all(project.site()).unwrap();
    File::create(project.site().join("huge")).unwrap().set_len(40 << 30).unwrap();
    project.declare("a", "a.txt", "one\n").commit("one");
    let begun = Instant::now();
    project.apply();
    project.run(&["plan"]).expect_exit(0).expect_text(&["No changes"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // Declared, it is somebody's; it is longer than anything that can be declared, and differs unread.
    project.declare("h", "huge", "small\n").commit("huge");
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0600", "File/h"]);
    let text = document("h", "huge", "small\n").replace("{name: h}", "{name: h, annotations: {trueup.dev/adopt: \"true\"}}");
    project.write("base/h.yaml", text).commit("adopted");
    project.apply();
    assert_eq!(project.world()["huge"], "small\n");
}

#[test]
fn a_long_file_is_read_where_it_is_declared_adopted_or_owned_and_its_drift_is_seen() {
    let project = Project::new();
    let long = |fill: &str| fill.repeat(100 << 10);
    fs::create_dir_all(project.site()).unwrap();
    fs::write(project.site().join("long"), long("x")).unwrap();
    let declared = |source: &str| {
        format!(
            "apiVersion: site/v1\nkind: File\nmetadata: {{name: l, annotations: {{trueup.dev/adopt: \"true\"}}}}\nspec: {{path: long, source: {source}}}\n"
        )
    };
    project.write("files/long", long("x")).declare("a", "a.txt", "one").commit("beside it");
    project.apply();
    // It was nobody's when its directory was observed.
    project.write("base/l.yaml", declared("files/long")).commit("adopted");
    let plan = project.plan();
    assert_eq!((&plan["summary"]["adopt"], &plan["steps"][0]["changes"]), (&1.into(), &serde_json::json!([])), "{plan}");
    project.apply();
    project.run(&["plan"]).expect_exit(0).expect_text(&["No changes"]);
    // Of the same length, so that only its content tells.
    fs::write(project.site().join("long"), long("y")).unwrap();
    let plan = project.plan();
    let origin = &plan["steps"][0]["changes"][0]["origin"];
    assert_eq!((&plan["summary"]["update"], origin), (&1.into(), &"drift".into()), "{plan}");
    project.apply();
    assert_eq!(project.world()["long"], long("x"));
}

#[test]
fn what_a_killed_run_staged_goes_though_nobody_knows_its_token_any_more() {
    let project = Project::with(PROJECT);
    project.declare("a", "a.txt", "one").commit("one");
    project.apply();
    let staging = project.site().join(".trueup-tmp");
    fs::create_dir(&staging).unwrap();
    for (name, hours) in [("forgotten.0", 2), ("at-work.0", 0)] {
        fs::write(staging.join(name), "secret").unwrap();
        let then = SystemTime::now() - Duration::from_secs(3600 * hours);
        File::options().write(true).open(staging.join(name)).unwrap().set_modified(then).unwrap();
    }
    project.declare("a", "a.txt", "two").commit("two");
    project.apply();
    assert!(!staging.join("forgotten.0").exists());
    assert!(staging.join("at-work.0").exists(), "another project may be at work on it");
}
