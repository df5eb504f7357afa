//! Hostile and broken input: each gets a named refusal, and what was applied before stays as it is.
//!
//! The numbers are those of the catalogue in the comments: A is the Git source, B documents, C the graph.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use trueup_tests::{Project, document};

/// Applies one file, then adds `files` and commits; planning and applying must fail with `code` and the words, and the
/// world must be as it was.
#[track_caller]
fn refused(files: &[(&str, &[u8])], code: &str, words: &[&str]) {
    let project = Project::new();
    project.declare("kept", "kept.txt", "kept\n").declare("other", "other.txt", "other\n").commit("good");
    project.apply();
    project.remove("base/other.yaml");
    for (path, bytes) in files {
        project.write(path, bytes);
    }
    project.commit("bad");
    refused_in(&project, code, words);
}

#[track_caller]
fn refused_in(project: &Project, code: &str, words: &[&str]) {
    let before = project.world();
    let begun = Instant::now();
    let run = project.run(&["apply", "--yes", "--allow-deletes", "100"]);
    assert_eq!(run.code, Some(1), "{run}");
    let run = run.expect_text(&[code]).expect_text(words);
    assert!(begun.elapsed() < Duration::from_secs(20), "took {:?}\n{run}", begun.elapsed());
    assert!(!run.stdout.contains("panicked") && !run.stderr.contains("panicked"), "{run}");
    assert_eq!(project.world(), before, "nothing may be pruned or written\n{run}");
}

fn file(text: &str) -> [(&'static str, &[u8]); 1] {
    [("base/bad.yaml", text.as_bytes())]
}

const HEAD: &str = "apiVersion: site/v1\nkind: File\nmetadata: {name: bad}\n";

fn body(spec: &str) -> String {
    format!("{HEAD}{spec}")
}

#[test]
fn a03_a_symbolic_link_among_the_documents_is_refused_and_never_followed() {
    let project = Project::new();
    project.declare("kept", "kept.txt", "kept\n").commit("good");
    project.apply();
    symlink("/etc/passwd", project.repo().join("base/link.yaml")).unwrap();
    symlink("link.yaml", project.repo().join("base/loop.yaml")).unwrap();
    project.commit("links");
    refused_in(&project, "TU0003", &["base/link.yaml", "symbolic link"]);
}

#[test]
fn a05_a_submodule_is_ignored_with_a_warning() {
    let project = Project::new();
    project.declare("kept", "kept.txt", "kept\n");
    project.write(
        ".gitmodules",
        "[submodule \"x\"]\n\tpath = base/x\n\turl = ext::sh -c touch% /tmp/owned\n\tupdate = !touch owned\n",
    );
    project.git(&["add", "-A"]);
    let zeros = "0123456789012345678901234567890123456789";
    project.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{zeros},base/x")]);
    project.git(&["commit", "-q", "-m", "submodule"]);
    project.apply().expect_text(&["submodule"]);
    assert_eq!(project.world().keys().map(String::as_str).collect::<Vec<_>>(), ["kept.txt"]);
}

#[test]
fn a06_a_pointer_of_large_file_storage_is_plain_text_and_so_no_document() {
    let text = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n";
    refused(&[("base/big.yaml", text.as_bytes()), (".gitattributes", b"*.yaml filter=lfs\n")], "TU01", &["base/big.yaml"]);
}

#[test]
fn a14_a_layer_that_is_gone_prunes_nothing() {
    let project = Project::new();
    project.declare("a", "a.txt", "a\n").write("other/keep.txt", "x").commit("good");
    project.apply();
    fs::remove_dir_all(project.repo().join("base")).unwrap();
    project.commit("layer gone");
    refused_in(&project, "TU0006", &["base"]);
}

#[test]
fn a14_a_source_that_declares_nothing_any_more_prunes_nothing_without_a_word() {
    let project = Project::new();
    project.declare("a", "a.txt", "a\n").declare("b", "b.txt", "b\n").commit("good");
    project.apply();
    project.write("base/a.yaml", "").write("base/b.yaml", "# generated\n").commit("the generator failed");
    let said = ["TU0602", "nothing is declared", "--allow-deletes 2"];
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&said);
    project.remove("base/a.yaml").remove("base/b.yaml").write("base/.gitkeep", "").commit("the layer is empty");
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&said);
    assert_eq!(project.world().len(), 2);
    project.run(&["apply", "--yes", "--allow-deletes", "2"]).expect_exit(0);
    assert!(project.world().is_empty());
}

#[test]
fn a14_a_sparse_checkout_is_no_word_on_what_it_leaves_out() {
    let project = Project::new();
    for name in ["a", "b", "c", "d"] {
        project.write(&format!("base/{name}/{name}.yaml"), document(name, &format!("{name}.txt"), "x\n"));
    }
    project.commit("good");
    project.apply();
    project.git(&["sparse-checkout", "set", "--no-cone", "/*", "!/base/d/"]);
    assert!(!project.repo().join("base/d").exists());
    project.run(&["apply", "--yes", "--worktree"]).expect_exit(1).expect_text(&["base/d/d.yaml", "sparse checkout"]);
    assert_eq!(project.world().len(), 4);
    // What is committed is whole, and so is a worktree whose layers are.
    project.run(&["plan"]).expect_exit(0).expect_text(&["No changes"]);
    project.git(&["sparse-checkout", "disable"]);
    project.run(&["plan", "--worktree"]).expect_exit(0).expect_text(&["No changes"]);
}

#[test]
fn a14_a_repository_without_a_commit_says_so() {
    let project = Project::new();
    project.run(&["plan"]).expect_exit(1).expect_text(&["TU0001", "commit"]);
}

#[test]
fn b01_aliases_that_multiply_are_stopped() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for at in 1..12 {
        let before = format!("*a{}", at - 1);
        text.push_str(&format!("a{at}: &a{at} [{}]\n", vec![before; 9].join(", ")));
    }
    refused(&file(&body(&format!("spec:\n  path: x\n  content: x\n{text}"))), "TU0104", &["base/bad.yaml"]);
}

#[test]
fn b02_depth_is_limited_in_every_style() {
    let flow = format!("{HEAD}spec: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    refused(&file(&flow), "TU0104", &["base/bad.yaml"]);
    let block = format!("{HEAD}spec:\n  {}x\n", "- ".repeat(40_000));
    refused(&file(&block), "TU0104", &["base/bad.yaml"]);
    let json = format!(
        "{{\"apiVersion\":\"site/v1\",\"kind\":\"File\",\"metadata\":{{\"name\":\"bad\"}},\"spec\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    refused(&[("base/bad.json", json.as_bytes())], "TU0104", &["base/bad.json"]);
}

#[test]
fn b03_a_key_that_stands_twice_is_told_with_both_lines() {
    refused(&file(&body("spec:\n  path: x\n  content: a\n  path: y\n")), "TU0102", &["bad.yaml:7", "path"]);
}

#[test]
fn b04_what_two_yamls_read_differently_must_be_quoted() {
    for value in ["0644", "yes", "1:30", "0o17", "0b11"] {
        refused(&file(&body(&format!("spec:\n  path: x\n  content: {value}\n"))), "TU0103", &["quote"]);
    }
    refused(&file(&body("spec:\n  path: x\n  content: 9223372036854775809\n")), "TU0106", &["bad.yaml:6"]);
}

#[test]
fn b05_unknown_tags_are_refused() {
    refused(&file(&body("spec:\n  path: x\n  content: !!python/object/apply:os.system [ls]\n")), "TU0105", &["bad.yaml:6"]);
    refused(&file(&body("spec: !include other.yaml\n")), "TU0105", &["bad.yaml:4"]);
}

#[test]
fn b06_text_that_is_not_clean_utf8_is_refused() {
    refused(&[("base/bad.yaml", b"\xff\xfea\0p\0i\0")], "TU0101", &["base/bad.yaml"]);
    refused(&[("base/bad.yaml", b"apiVersion: site/v1\nkind: \xc3\x28\n")], "TU0101", &["base/bad.yaml"]);
    let nul = format!("{HEAD}spec: {{path: x, content: \"a\0b\"}}\n");
    refused(&file(&nul), "TU01", &["base/bad.yaml"]);
}

#[test]
fn b07_escapes_for_terminals_are_neutralised_wherever_they_come_from() {
    let project = Project::new();
    project.write("base/bad.yaml", body("spec:\n  path: x\n  content: \"\\e]0;owned\\a\\e[2J\\u202Egnp\"\n")).commit("escapes");
    let run = project.run(&["plan", "--show", "full"]).expect_exit(0);
    assert!(!run.stdout.contains('\u{1b}') && !run.stdout.contains('\u{202e}'), "{run:?}");
}

#[test]
fn b08_one_broken_file_hides_no_other() {
    let project = Project::new();
    project.write("base/one.yaml", "a: [\n").write("base/two.yaml", body("spec:\n  pth: x\n  content: y\n")).commit("two errors");
    project.run(&["plan"]).expect_exit(1).expect_text(&["base/one.yaml", "base/two.yaml", "did you mean", "path"]);
}

#[test]
fn b08_ten_thousand_documents_in_a_file_are_read_and_one_bad_one_refuses_the_file() {
    let mut text = String::new();
    for at in 0..10_000 {
        text.push_str("---\n");
        text.push_str(&document(&format!("f{at}"), &format!("many/{at}.txt"), "x"));
    }
    let project = Project::new();
    project.write("base/many.yaml", &text).commit("many");
    let plan = project.plan();
    assert_eq!(plan["summary"]["create"], 10_000);
    project.write("base/many.yaml", text + "---\nkind: File\n").commit("one bad");
    project.run(&["plan"]).expect_exit(1).expect_text(&["TU0107", "base/many.yaml"]);
}

#[test]
fn b09_wrong_fields_are_told_with_file_line_and_a_suggestion() {
    refused(&file(&body("spec:\n  path: x\n  contents: y\n")), "TU0301", &["bad.yaml:6", "did you mean", "content"]);
    refused(&file(&body("spec:\n  path: 3\n  content: y\n")), "TU0300", &["bad.yaml:5"]);
    refused(&file(&body("spec:\n  content: y\n")), "TU0302", &["path"]);
}

#[test]
fn b10_names_and_paths_outside_the_grammar_are_refused() {
    for name in ["../../x", "<script>", "%2e%2e%2f", "a b", ""] {
        let text = format!("apiVersion: site/v1\nkind: File\nmetadata: {{name: \"{name}\"}}\nspec: {{path: x, content: y}}\n");
        refused(&file(&text), "TU0108", &["bad.yaml:3"]);
    }
    for path in ["../x", "/etc/passwd", "a//b", "a/../b", ".", ""] {
        refused(&file(&body(&format!("spec:\n  path: \"{path}\"\n  content: y\n"))), "TU03", &["base/bad.yaml:5"]);
    }
}

#[test]
fn b11_expressions_are_bounded_and_never_undefined() {
    refused(&file(&body("spec:\n  path: x\n  content: \"${{ vars.nothing }}\"\n")), "TU0402", &["bad.yaml:6", "nothing"]);
    let long = format!("spec:\n  path: x\n  content: \"${{{{ {} }}}}\"\n", vec!["1"; 4000].join("+"));
    refused(&file(&body(&long)), "TU0401", &["bad.yaml:6"]);
    refused(&file(&body("spec:\n  path: x\n  content: \"${{ [1,2].map(x, x) }}\"\n")), "TU04", &["map"]);
    refused(&file(&body("spec:\n  path: x\n  content: \"${{ vars.a \"\n")), "TU0400", &["bad.yaml:6"]);
}

#[test]
fn b12_only_documented_endings_are_documents() {
    let project = Project::new();
    project
        .declare("a", "a.txt", "a\n")
        .write("base/b.YAML", "[")
        .write("base/c.yml.bak", "[")
        .write("base/.hidden/d.yaml", "[")
        .commit("endings");
    project.apply();
    assert_eq!(project.world().len(), 1);
}

#[test]
fn b13_a_document_cannot_change_the_engines_policy() {
    let text = "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: evil, id: 00000000000000000000000000000000}\n";
    refused(&file(text), "TU02", &["base/bad.yaml"]);
}

#[test]
fn b14_a_plain_value_in_a_field_for_secrets_is_refused_and_not_shown() {
    let project = Project::new();
    project.write("base/bad.yaml", body("spec:\n  path: x\n  sensitiveContent: hunter2-canary\n")).commit("pasted");
    project.run(&["plan"]).expect_exit(1).expect_text(&["TU0304"]).expect_no_text(&["hunter2-canary"]);
}

#[test]
fn c01_circles_are_named() {
    let link = |name: &str, other: &str| {
        format!(
            "apiVersion: site/v1\nkind: File\nmetadata: {{name: {name}}}\nspec:\n  path: {name}\n  content: \"${{{{ ref('File/{other}').spec.content }}}}\"\n"
        )
    };
    refused(
        &[("base/a.yaml", link("a", "b").as_bytes()), ("base/b.yaml", link("b", "a").as_bytes())],
        "TU0407",
        &["File/a", "File/b"],
    );
    refused(&[("base/a.yaml", link("a", "a").as_bytes())], "TU0407", &["File/a"]);
}

#[test]
fn c03_one_identity_twice_is_told_with_both_places() {
    refused(
        &[("base/a.yaml", document("twin", "a", "x").as_bytes()), ("base/b.yaml", document("twin", "b", "y").as_bytes())],
        "TU0200",
        &["base/a.yaml", "base/b.yaml"],
    );
}

#[test]
fn c03_two_resources_that_are_one_file_are_refused() {
    refused(
        &[
            ("base/a.yaml", document("one", "same.txt", "x").as_bytes()),
            ("base/b.yaml", document("two", "same.txt", "x").as_bytes()),
        ],
        "TU0208",
        &["same.txt"],
    );
}

#[test]
fn c05_a_reference_to_nothing_is_an_error_with_a_suggestion() {
    refused(&file(&body("spec:\n  path: x\n  content: \"${{ ref('File/kep').spec.content }}\"\n")), "TU0405", &["File/kep"]);
}

#[test]
fn c08_a_document_that_moves_to_another_file_changes_nothing() {
    let project = Project::new();
    project.declare("a", "a.txt", "a\n").commit("one");
    project.apply();
    project.remove("base/a.yaml").write("base/deep/er.yaml", document("a", "a.txt", "a\n")).commit("moved");
    let plan = project.plan();
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(0), "{plan}");
}

#[test]
fn c12_deletions_beyond_the_limit_wait_for_a_person() {
    let project = Project::new();
    for at in 0..12 {
        project.declare(&format!("f{at}"), &format!("f{at}.txt"), "x");
    }
    project.commit("twelve");
    project.apply();
    for at in 0..11 {
        project.remove(&format!("base/f{at}.yaml"));
    }
    project.commit("eleven gone");
    let before = project.world();
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0602", "--allow-deletes"]);
    assert_eq!(project.world(), before);
    project.run(&["apply", "--yes", "--allow-deletes", "11"]).expect_exit(0);
    assert_eq!(project.world().len(), 1);
}
