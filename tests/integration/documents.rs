//! What is declared: layers, variables, files of the repository, revisions and the work tree.

use std::fs;

use serde_json::json;
use trueup_tests::{PROJECT, Project, document, mode};

/// `dev` is the layer base in `site`, `prod` puts the layer over on it, in `prod`.
const LAYERED: &str = r#"apiVersion: trueup.dev/v1
kind: Project
metadata: {name: shop, id: 4f0c9a000000000000000000000000aa}
providers:
  site: {plugin: file, config: {root: ./site}, dirs: ["./site"]}
environments:
  dev: {layers: [base], vars: {greeting: Hi}}
  prod:
    layers: [base, over]
    vars: {greeting: Welcome, port: 8080}
    providers: {site: {config: {root: ./prod}, dirs: ["./prod"]}}
"#;

fn layered() -> Project {
    let project = Project::with(LAYERED);
    project.write(".gitignore", "/site/\n/prod/\n.trueup/\n");
    project
}

#[test]
fn a_later_layer_changes_just_the_fields_that_it_names() {
    let project = layered();
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "two\n");
    project
        .write("over/a.yaml", "apiVersion: site/v1\nkind: File\nmetadata: {name: a}\nspec: {mode: \"0640\"}\n")
        .commit("layers");
    project.run(&["apply", "--yes", "-e", "prod"]).expect_exit(0);
    let folder = project.repo().join("prod");
    assert_eq!(fs::read_to_string(folder.join("a.txt")).unwrap(), "one\n");
    assert_eq!((mode(&folder.join("a.txt")), mode(&folder.join("b.txt"))), (0o640, 0o644));
    assert!(project.world().is_empty(), "dev was not asked for");
}

#[test]
fn a_later_layer_adds_and_removes_resources_and_null_takes_a_field_away() {
    let project = layered();
    project.declare("gone", "gone.txt", "one\n");
    project.write("base/b.yaml", format!("{}  mode: \"0600\"\n", document("b", "b.txt", "two\n")));
    project.write("over/b.yaml", "apiVersion: site/v1\nkind: File\nmetadata: {name: b}\nspec: {mode: null}\n");
    project.write("over/new.yaml", document("new", "new.txt", "three\n"));
    let remove = "{name: gone, annotations: {trueup.dev/remove: \"true\"}}";
    project.write("over/gone.yaml", format!("apiVersion: site/v1\nkind: File\nmetadata: {remove}\n")).commit("layers");
    project.run(&["apply", "--yes", "-e", "prod"]).expect_exit(0);
    let folder = project.repo().join("prod");
    assert_eq!(trueup_tests::tree(&folder).into_keys().collect::<Vec<_>>(), ["b.txt", "new.txt"]);
    assert_eq!(mode(&folder.join("b.txt")), 0o644);
}

#[test]
fn variables_and_the_environments_name_stand_in_for_text_and_keep_their_type() {
    let project = layered();
    project.declare("a", "${{ env.name }}.txt", "${{ vars.greeting }} to ${{ env.name }}, $${{ literal }} ${SHELL} {{ go }}\n");
    project.write("over/port.yaml", document("port", "port", "${{ vars.port }}.\n")).commit("variables");
    project.run(&["apply", "--yes", "-e", "dev"]).expect_exit(0);
    project.run(&["apply", "--yes", "-e", "prod"]).expect_exit(0);
    assert_eq!(project.world()["dev.txt"], "Hi to dev, ${{ literal }} ${SHELL} {{ go }}\n");
    let prod = trueup_tests::tree(&project.repo().join("prod"));
    assert_eq!(
        (prod["prod.txt"].as_str(), prod["port"].as_str()),
        ("Welcome to prod, ${{ literal }} ${SHELL} {{ go }}\n", "8080.\n")
    );
}

#[test]
fn a_variable_that_is_not_there_is_an_error_with_a_caret_and_a_number_is_no_text() {
    let project = layered();
    project.declare("a", "a.txt", "${{ vars.greetings }}\n").commit("misspelt");
    project.run(&["validate", "-e", "dev"]).expect_exit(1).expect_text(&["base/a.yaml:6:", "greetings", "^"]);
    project.remove("base/a.yaml").write("over/a.yaml", document("a", "a.txt", "${{ vars.port }}")).declare("k", "k.txt", "k\n");
    project.commit("a number");
    project.run(&["plan", "-e", "prod"]).expect_exit(1).expect_text(&["over/a.yaml:6:", "must be a text", "8080"]);
    project.run(&["plan", "-e", "dev"]).expect_exit(0);
}

#[test]
fn files_of_the_repository_are_copied_byte_for_byte() {
    let project = Project::new();
    let binary: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    project.write("assets/x.bin", &binary).write("assets/text.txt", "line\r\nno end").write("assets/empty", "");
    for (name, file) in [("bin", "x.bin"), ("text", "text.txt"), ("empty", "empty")] {
        let text = format!(
            "apiVersion: site/v1\nkind: File\nmetadata: {{name: {name}}}\nspec: {{path: {file}, source: assets/{file}}}\n"
        );
        project.write(&format!("base/{name}.yaml"), text);
    }
    project.commit("files");
    project.apply();
    let read = |name: &str| fs::read(project.site().join(name)).unwrap();
    assert!(read("x.bin") == binary, "binary");
    assert_eq!((read("text.txt"), read("empty")), (b"line\r\nno end".to_vec(), Vec::new()));
    assert_eq!(project.plan()["summary"]["unchanged"], 3);
    project.write("assets/x.bin", &binary[1..]).commit("other bytes");
    let plan = project.plan();
    assert_eq!(plan["summary"]["update"], 1, "{plan}");
    project.apply();
    assert!(read("x.bin") == binary[1..], "changed");
    fs::write(project.site().join("x.bin"), b"by hand").unwrap();
    project.apply();
    assert!(read("x.bin") == binary[1..], "healed");
}

#[test]
fn a_source_that_is_not_in_the_repository_is_an_error_and_prunes_nothing() {
    let project = Project::new();
    project
        .write("assets/x", "x")
        .write("base/x.yaml", "apiVersion: site/v1\nkind: File\nmetadata: {name: x}\nspec: {path: x, source: assets/x}\n");
    project.commit("a file");
    project.apply();
    project.remove("assets/x").commit("gone");
    project.run(&["apply", "--yes", "--allow-deletes", "9"]).expect_exit(1).expect_text(&["base/x.yaml:4:", "assets/x"]);
    assert_eq!(project.world()["x"], "x");
}

#[test]
fn a_declared_mode_is_kept_and_an_undeclared_one_is_left_alone() {
    let project = Project::new();
    project.write("base/a.yaml", format!("{}  mode: \"0600\"\n", document("a", "a.txt", "one\n")));
    project.declare("b", "b.txt", "two\n").commit("two files");
    project.apply();
    let of = |name: &str| mode(&project.site().join(name));
    assert_eq!((of("a.txt"), of("b.txt")), (0o600, 0o644));
    for name in ["a.txt", "b.txt"] {
        let mut rights = fs::metadata(project.site().join(name)).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o666);
        fs::set_permissions(project.site().join(name), rights).unwrap();
    }
    let plan = project.plan();
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(1), "{plan}");
    assert_eq!(
        (&plan["steps"][0]["resource"], &plan["steps"][0]["changes"][0]["path"]),
        (&json!("File/a"), &json!("spec.mode")),
        "{plan}"
    );
    project.apply();
    assert_eq!((of("a.txt"), of("b.txt")), (0o600, 0o666));
}

#[test]
fn a_directory_has_its_mode_and_goes_only_when_it_is_empty() {
    let project = Project::new();
    let directory = "apiVersion: site/v1\nkind: Directory\nmetadata: {name: up}\nspec: {path: var/up, mode: \"0750\"}\n";
    project.write("base/up.yaml", directory).declare("k", "k.txt", "k\n").commit("a directory");
    project.apply();
    assert_eq!(mode(&project.site().join("var/up")), 0o750);
    project.write("site/var/up/foreign.txt", "theirs\n");
    project.remove("base/up.yaml").commit("drop it");
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["foreign.txt"]);
    assert_eq!(project.world()["var/up/foreign.txt"], "theirs\n");
    fs::remove_file(project.site().join("var/up/foreign.txt")).unwrap();
    project.apply();
    assert_eq!(project.world().into_keys().collect::<Vec<_>>(), ["k.txt", "var/"]);
}

#[test]
fn documents_may_be_json_and_lie_in_folders_and_hidden_ones_are_left_out() {
    let project = Project::new();
    let text = json!({"apiVersion": "site/v1", "kind": "File", "metadata": {"name": "a"}, "spec": {"path": "a.txt", "content": "one\n"}});
    project
        .write("base/deep/er/a.json", text.to_string())
        .write("base/.hidden/b.yaml", "no document")
        .write("base/README.md", "text");
    project.write("base/c.yml", document("c", "c.txt", "three\n")).commit("documents");
    project.apply();
    assert_eq!(project.world().into_keys().collect::<Vec<_>>(), ["a.txt", "c.txt"]);
    project.write("base/deep/er/a.json", text.to_string().replace("content", "contents")).commit("misspelt");
    project.run(&["plan"]).expect_exit(1).expect_text(&["base/deep/er/a.json:1:", "contents", "content"]);
}

#[test]
fn excluded_files_are_no_documents() {
    let project =
        Project::with(&PROJECT.replace("{layers: [base]}", "{layers: [base], exclude: [\"**/values-*.yaml\", \"base/old/**\"]}"));
    project.write("base/deep/values-prod.yaml", "just: values\n").write("base/old/x.yaml", document("x", "x.txt", "x"));
    project.declare("a", "a.txt", "one\n").commit("some are excluded");
    project.apply();
    assert_eq!(project.world().into_keys().collect::<Vec<_>>(), ["a.txt"]);
}

#[test]
fn uncommitted_files_are_named_and_taken_only_when_asked_for() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    project.declare("a", "a.txt", "two\n").declare("b", "b.txt", "new\n");
    let plan = project.run(&["plan"]).expect_exit(0);
    assert!(plan.stdout.contains("one\\n") && !plan.stdout.contains("two\\n"), "{plan}");
    let hint = plan.stderr.lines().find(|it| it.contains("--worktree")).unwrap_or_else(|| panic!("a hint\n{plan}"));
    assert!(hint.contains("base/a.yaml") && hint.contains("base/b.yaml"), "{plan}");
    let run = project.run(&["apply", "--yes", "--worktree"]).expect_exit(0);
    assert!(run.stdout.contains("worktree") || run.stderr.contains("uncommitted"), "{run}");
    assert_eq!(
        project.world().into_iter().collect::<Vec<_>>(),
        [("a.txt", "two\n"), ("b.txt", "new\n")].map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
    let head = project.git(&["rev-parse", "HEAD"]);
    assert_eq!(project.run(&["plan", "--worktree", "-o", "json"]).json()["revision"], format!("{}+worktree", head.trim()));
    project.commit("now committed");
    project.run(&["plan"]).expect_exit(0).expect_text(&["No changes"]).expect_no_text(&["--worktree"]);
}

#[test]
fn any_revision_can_be_planned_and_applied() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one");
    project.git(&["tag", "v1"]);
    project.declare("a", "a.txt", "two\n").commit("two");
    project.apply();
    let first = project.git(&["rev-parse", "v1"]);
    for rev in ["HEAD~1", "v1", first.trim(), &first[..8]] {
        let plan = project.run(&["plan", "--rev", rev, "-o", "json"]).expect_exit(0).json();
        assert_eq!((&plan["revision"], &plan["summary"]["update"]), (&json!(first.trim()), &json!(1)), "{rev}: {plan}");
    }
    project.run(&["apply", "--yes", "--rev", "HEAD~1"]).expect_exit(0);
    assert_eq!(project.world()["a.txt"], "one\n");
    project.run(&["plan", "--rev", "no-such-branch"]).expect_exit(1).expect_text(&["no-such-branch"]);
}

#[test]
fn a_wrong_field_is_told_with_file_line_and_what_was_meant() {
    let project = Project::new();
    project.write("base/a.yaml", document("a", "a.txt", "one\n").replace("content", "contnet")).declare("b", "b.txt", "b\n");
    project.write("base/c.yaml", document("c", "c.txt", "c\n").replace("path: c.txt", "path: 7")).commit("two mistakes");
    let run = project.run(&["validate"]).expect_exit(1);
    run.expect_text(&["base/a.yaml:6:", "contnet", "`content`", "base/c.yaml:5:", "^"]);
}
