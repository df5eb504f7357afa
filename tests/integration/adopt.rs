//! `trueup adopt --provider`: documents of what exists.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::Value as Json;
use trueup_tests::{PROJECT, Project, Run};

/// A project that declares nothing, over a directory with this and that.
fn world() -> Project {
    let project = Project::new();
    project.write("base/.keep", "").commit("nothing yet");
    project.write("site/etc/motd", "hello\n").write("site/etc/sub/inner", "inner\n").write("site/motd", "top\n");
    project.write("site/etc/lines", "a ${{ vars.x }} \"b\"\n\n\t- yes\n").write("site/etc/empty", "");
    project
}

#[track_caller]
fn adopt(project: &Project, more: &[&str]) -> Run {
    project.run(&[&["adopt", "--provider", "site"], more].concat())
}

fn reasons(run: &Run) -> Vec<(String, String)> {
    let text = |it: &Json| it.as_str().unwrap().to_owned();
    run.json()["left"].as_array().unwrap().iter().map(|it| (text(&it["object"]["key"]), text(&it["reason"]))).collect()
}

#[test]
fn what_exists_is_written_as_documents_and_the_plan_after_adopting_them_is_empty() {
    let project = world();
    let run = adopt(&project, &["--scope", "etc"]).expect_exit(0);
    let run = run.expect_text(&["Wrote base/site-etc.yaml: 4 documents.", "Nothing is owned yet", "git add base/site-etc.yaml"]);
    run.expect_text(&["trueup adopt -e prod --declared"]).expect_no_text(&["Left out"]);
    let text = fs::read_to_string(project.repo().join("base/site-etc.yaml")).unwrap();
    let first = "apiVersion: site/v1\nkind: Directory\nmetadata:\n  name: sub\nspec:\n  mode: \"0755\"\n  path: etc/sub\n---\n";
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("  content: \"a $${{ vars.x }}"), "{text}");
    // Nothing is owned before Git has it, so that no plan can take it away.
    let before = project.world();
    assert_eq!(project.run(&["get", "-o", "name"]).stdout, "");
    project.run(&["plan"]).expect_exit(0).expect_text(&["No changes"]);
    project.commit("adopt site etc");
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0600"]);
    assert_eq!(project.world(), before);
    project.run(&["adopt", "--declared", "--yes"]).expect_exit(0);
    let plan = project.plan();
    assert_eq!(plan["steps"].as_array().unwrap().len() + plan["refused"].as_array().unwrap().len(), 0, "{plan}");
    assert_eq!(plan["summary"]["unchanged"], 4, "{plan}");
    assert_eq!(project.world(), before);
    project.apply();
    assert_eq!(project.world(), before);
    // From here on it is as anything that is declared.
    project.write("site/etc/motd", "by hand\n");
    project.apply();
    assert_eq!(project.world(), before);
    let again = adopt(&project, &["--scope", "etc", "-o", "json"]).expect_exit(0);
    assert!(reasons(&again).iter().all(|it| it.1 == "it is declared already"), "{again}");
    assert_eq!((again.json()["files"].as_array().unwrap().len(), reasons(&again).len()), (0, 4));
}

#[test]
fn what_no_document_can_say_is_left_out_with_the_reason() {
    let project = world();
    project.write("site/etc/big", vec![b'x'; 65_537]).write("site/etc/binary", b"a\0b");
    project.write("site/etc/edge", vec![b'x'; 65_536]);
    symlink("motd", project.site().join("etc/link")).unwrap();
    project.run(&["plan"]).expect_exit(0);
    let run = adopt(&project, &["--scope", "etc", "--kind", "File", "-o", "json"]).expect_exit(0);
    let left = reasons(&run);
    let names: Vec<&str> = left.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(names, ["big", "binary", "link"], "{run}");
    assert!(left[0].1.contains("declare it by hand") && left[1].1.contains("`spec.content` is 3 bytes"), "{left:?}");
    let ids: Vec<String> =
        run.json()["documents"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["site:File/edge", "site:File/empty", "site:File/lines", "site:File/motd"]);
    assert_eq!(run.json()["files"][0]["path"], "base/site-etc-file.yaml");
    project.commit("adopt");
    project.run(&["adopt", "--declared", "--yes"]).expect_exit(0);
    project.run(&["plan"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn names_are_unique_in_the_environment_and_say_where_an_object_is() {
    let project = world();
    project.declare("motd", "other.txt", "x\n").declare("etc-motd", "another.txt", "x\n").commit("names that are taken");
    project.write("site/etc/über uns", "x\n");
    let run = adopt(&project, &["--scope", "etc", "--kind", "File", "-o", "name"]).expect_exit(0);
    assert_eq!(run.stdout, "File/empty\nFile/lines\nFile/etc-motd-2\nFile/ber-uns\n");
    adopt(&project, &["-o", "name"]).expect_exit(0);
    project.run(&["validate", "--worktree"]).expect_exit(0);
}

#[test]
fn no_file_is_overwritten_and_none_is_written_where_no_layer_is_without_a_word() {
    let project = world();
    project.write("base/site-etc.yaml", "# mine\n");
    adopt(&project, &["--scope", "etc"]).expect_exit(1).expect_text(&["base/site-etc.yaml", "no file is overwritten", "--out"]);
    assert_eq!(fs::read_to_string(project.repo().join("base/site-etc.yaml")).unwrap(), "# mine\n");
    let run = adopt(&project, &["--scope", "etc", "--out", "drafts/new"]).expect_exit(0);
    run.expect_text(&["Wrote drafts/new/site-etc.yaml", "in no layer of prod"]);
    // A link in the repository leads nobody's files out of it.
    fs::remove_file(project.repo().join("base/site-etc.yaml")).unwrap();
    fs::rename(project.repo().join("base"), project.outside().join("elsewhere")).unwrap();
    symlink(project.outside().join("elsewhere"), project.repo().join("base")).unwrap();
    adopt(&project, &["--scope", "etc"]).expect_exit(1).expect_text(&["leads out of the project"]);
    assert!(!project.outside().join("elsewhere/site-etc.yaml").exists());
}

#[test]
fn a_folder_that_cannot_be_read_gives_no_documents() {
    let project = world();
    // Whoever may read everything is not kept out by a mode: a link in the way is never followed.
    symlink("etc", project.site().join("through")).unwrap();
    adopt(&project, &["--scope", "through"]).expect_exit(1).expect_text(&["cannot be listed"]);
    assert!(!project.repo().join("base/site-through.yaml").exists());
    adopt(&project, &["--scope", "nowhere"]).expect_exit(64).expect_text(&["has nothing in `nowhere`", "--scope"]);
    adopt(&project, &["--kind", "Pod"]).expect_exit(64).expect_text(&["no kind Pod", "Directory, File"]);
    project.run(&["adopt", "--provider", "dns"]).expect_exit(64).expect_text(&["no provider `dns`", "site"]);
    project.run(&["adopt", "--provider", "site", "--source", "."]).expect_exit(64).expect_text(&["work tree"]);
}

#[test]
fn what_another_environment_owns_gets_no_document() {
    let environments = "  dev: {layers: [dev]}\n  prod: {layers: [base]}";
    let project = Project::with(&PROJECT.replace("  prod: {layers: [base]}", environments));
    project.write("base/.keep", "").write("dev/a.yaml", trueup_tests::document("a", "a.txt", "one\n")).commit("dev has it");
    project.run(&["apply", "--yes", "-e", "dev"]).expect_exit(0);
    project.write("site/b.txt", "two\n");
    fs::set_permissions(project.site().join("b.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let run = adopt(&project, &["-e", "prod", "-o", "json"]).expect_exit(0);
    assert_eq!(reasons(&run), [("a.txt".to_owned(), "the environment `dev` owns it".to_owned())], "{run}");
    assert!(fs::read_to_string(project.repo().join("base/site.yaml")).unwrap().contains("mode: \"0600\""));
}
