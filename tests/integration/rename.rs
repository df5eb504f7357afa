//! A provider's alias renamed by `moved-from`: what it owns goes on, untouched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use trueup_tests::{PROJECT, Project, document};

/// The project file with the alias `web`, and these further keys of it.
fn renamed(more: &str) -> String {
    PROJECT.replace("  site: {plugin: file", &format!("  web: {{plugin: file{more}"))
}

fn declare(project: &Project, alias: &str, name: &str, content: &str) {
    let text = document(name, &format!("{name}.txt"), content).replace("site/v1", &format!("{alias}/v1"));
    project.write(&format!("base/{name}.yaml"), text);
}

/// Files `a`, `b` (which depends on `a`) and `c`, applied under the alias `site`.
fn applied() -> Project {
    let project = Project::new();
    ["a", "b", "c"].iter().for_each(|it| declare(&project, "site", it, "one"));
    depend(&project, "site");
    project.commit("before");
    project.apply();
    project
}

fn depend(project: &Project, alias: &str) {
    let text = document("b", "b.txt", "one").replace("site/v1", &format!("{alias}/v1"));
    let metadata = "metadata: {name: b, annotations: {trueup.dev/depends-on: File/a}}";
    project.write("base/b.yaml", text.replace("metadata: {name: b}", metadata));
}

/// The same documents under the alias `web`.
fn rename(project: &Project) {
    project.write("trueup.yaml", renamed(", moved-from: site"));
    ["a", "b", "c"].iter().for_each(|it| declare(project, "web", it, "one"));
    depend(project, "web");
    project.commit("renamed");
}

/// Inode and time of each file: the same only where nobody wrote it anew.
fn stamps(project: &Project) -> BTreeMap<String, (u64, i64, i64)> {
    let stamp = |name: String| {
        let it = fs::metadata(project.site().join(&name)).expect("a file");
        (name, (it.ino(), it.ctime(), it.ctime_nsec()))
    };
    project.world().into_keys().map(stamp).collect()
}

#[test]
fn a_renamed_provider_keeps_what_it_owns_and_nothing_is_sent() {
    let project = applied();
    let before = stamps(&project);
    rename(&project);
    let plan = project.run(&["plan", "-o", "json"]).expect_exit(0).json();
    assert_eq!((plan["steps"].as_array().map(Vec::len), &plan["summary"]["unchanged"]), (Some(0), &3.into()), "{plan}");
    let note = &plan["diagnostics"][0];
    let place = (&note["code"], &note["severity"], &note["file"], &note["line"]);
    assert_eq!(place, (&"TU0505".into(), &"note".into(), &"trueup.yaml".into(), &5.into()), "{note}");
    project.run(&["plan"]).expect_exit(0).expect_text(&["the provider `web` was `site`: 3 objects"]);
    project.apply();
    assert_eq!(stamps(&project), before);
    // It is recorded: nobody needs to say it again, and nothing is said any more.
    project.run(&["plan"]).expect_exit(0).expect_no_text(&["TU0505"]);
    project.write("trueup.yaml", renamed(""));
    project.commit("settled");
    project.run(&["plan", "--detailed-exitcode"]).expect_exit(0);
    project.run(&["get"]).expect_exit(0).expect_no_text(&["site:"]);
    assert_eq!(stamps(&project), before);
}

#[test]
fn changes_of_the_same_commit_are_compared_with_what_was_applied_under_the_old_alias() {
    let project = applied();
    rename(&project);
    declare(&project, "web", "a", "two");
    project.remove("base/c.yaml");
    let moved = document("d", "b.txt", "one").replace("site/v1", "web/v1");
    let annotation = "metadata: {name: d, annotations: {trueup.dev/moved-from: \"site:File/b\"}}";
    project.remove("base/b.yaml").write("base/d.yaml", moved.replace("metadata: {name: d}", annotation));
    project.commit("and changed");
    let plan = project.plan();
    let steps: Vec<String> = plan["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| format!("{} {}", it["action"].as_str().unwrap_or_default(), it["id"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(steps, ["update web:File/a", "delete web:File/c", "move web:File/d"], "{plan}");
    assert_eq!(plan["steps"][0]["changes"][0]["origin"], "git", "{plan}");
    project.apply();
    let want = [("a.txt", "two"), ("b.txt", "one")].map(|(path, text)| (path.to_owned(), text.to_owned()));
    assert_eq!(project.world(), want.into());
    assert_eq!(project.plan()["summary"]["unchanged"], 2);
}

#[test]
fn a_provider_that_is_gone_and_not_renamed_is_an_error_that_names_the_way() {
    let project = applied();
    rename(&project);
    project.write("trueup.yaml", renamed(""));
    project.commit("gone");
    project.run(&["plan"]).expect_exit(1).expect_text(&["TU0504", "the provider `site` is gone", "`moved-from`"]);
}

#[test]
fn an_old_alias_that_is_still_there_or_claimed_twice_is_an_error_with_its_line() {
    let project = applied();
    let other = |more: &str| format!("  web: {{plugin: file, config: {{root: ./site}}, dirs: [\"./site\"]{more}}}\n");
    let with = |text: &str| PROJECT.replace("environments:", &format!("{text}environments:"));
    for (text, words) in [
        (with(&other(", moved-from: site")), "trueup.yaml:6"),
        (
            renamed(", moved-from: site").replace("environments:", "  wiki: {plugin: file, moved-from: site}\nenvironments:"),
            "trueup.yaml:6",
        ),
        (renamed(", moved-from: web"), "trueup.yaml:5"),
    ] {
        project.write("trueup.yaml", &text);
        project.commit("wrong");
        project.run(&["plan"]).expect_exit(1).expect_text(&["TU0505", words]);
    }
    // Both own a resource of one name: nobody could say which of the two is meant.
    project
        .write("trueup.yaml", with(&other("").replace("./site", "./other")))
        .write(".gitignore", "/site/\n/other/\n.trueup/\n");
    declare(&project, "site", "b", "one");
    project.write("base/web.yaml", document("a", "a.txt", "other").replace("site/v1", "web/v1"));
    project.commit("two");
    project.apply();
    rename(&project);
    project.remove("base/web.yaml");
    project.commit("one of two");
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0505", "both own File/a", "trueup.yaml:5"]);
    assert_eq!(fs::read_to_string(project.repo().join("other/a.txt")).unwrap(), "other");
    assert_eq!(project.world().len(), 3);
}

#[test]
fn a_kill_around_a_rename_leaves_all_of_it_undone_or_done() {
    let points = [
        "record.before",
        "record.after",
        "store.write.before",
        "store.write.after",
        "store.intent.before",
        "store.intent.after",
        "call.after",
        "store.outcome.before",
        "store.outcome.after",
    ];
    let mut killed = 0;
    for point in points {
        for hit in 1..=if point.starts_with("store.write") { 4 } else { 1 } {
            let project = applied();
            let before = stamps(&project);
            rename(&project);
            declare(&project, "web", "a", "two");
            project.commit("and changed");
            let run = project.command(&["apply", "--yes"]).env("TRUEUP_KILL_AT", format!("{point}:{hit}")).output().unwrap();
            killed += usize::from(run.status.code().is_none());
            project.apply();
            let after = stamps(&project);
            assert_eq!((after["b.txt"], after["c.txt"]), (before["b.txt"], before["c.txt"]), "{point}:{hit}");
            assert_eq!(project.world()["a.txt"], "two", "{point}:{hit}");
            let plan = project.plan();
            let settled = (
                plan["steps"].as_array().map(Vec::len),
                &plan["summary"]["unchanged"],
                plan["diagnostics"].as_array().map(Vec::len),
            );
            assert_eq!(settled, (Some(0), &3.into(), Some(0)), "{point}:{hit}: {plan}");
        }
    }
    assert!(killed >= points.len(), "only {killed} kills");
}
