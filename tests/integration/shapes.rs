//! The shapes that programs read: every key of every verb, as `engine/src/output/shapes.md` documents them. Keys are only
//! ever added, and with one of them a line here.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value as Json;
use trueup_tests::{PROJECT, Project};

const DOCUMENTED: &str = include_str!("../../engine/src/output/shapes.md");

/// Two files, one of which reads the other and a variable, in two layers; applied twice.
fn project() -> Project {
    let project = Project::with(&PROJECT.replace("{layers: [base]}", "{layers: [base, over], vars: {end: bye}}"));
    project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "${{ ref('File/a').spec.content }} ${{ vars.end }}");
    project.write("over/a.yaml", "apiVersion: site/v1\nkind: File\nmetadata: {name: a}\nspec: {content: over}\n").commit("two");
    project.apply();
    project.write("over/a.yaml", "apiVersion: site/v1\nkind: File\nmetadata: {name: a}\nspec: {content: new}\n").commit("new");
    project.apply();
    project
}

/// All keys of a value: `a`, `a.b`, `a[].c`; documents and whatever people name themselves are not entered.
fn keys(value: &Json, at: &str, out: &mut BTreeSet<String>) {
    match value {
        Json::Object(map) => {
            for (key, value) in map {
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                if !["spec", "metadata", "applied.spec", "counts", "objects"].iter().any(|it| path.ends_with(it)) {
                    keys(value, &path, out);
                }
                out.insert(path);
            }
        }
        Json::Array(items) => items.iter().for_each(|it| keys(it, &format!("{at}[]"), out)),
        _ => {}
    }
}

/// The verb's object has exactly these keys, its format is documented, and so is every key of it.
#[track_caller]
fn check(project: &Project, verb: &[&str], exit: i32, want: &str) {
    let object = project.run(&[verb, &["-o", "json"]].concat()).expect_exit(exit).json();
    let mut got = BTreeSet::new();
    keys(&object, "", &mut got);
    let want: BTreeSet<String> = want.split_whitespace().map(str::to_owned).collect();
    assert_eq!(got, want, "{verb:?} {object:#}");
    let format = object["format"].as_str().expect("a format");
    let section = DOCUMENTED.split("\n## ").find(|it| it.starts_with(&format!("`{format}`")));
    let section = section.unwrap_or_else(|| panic!("{format} is not documented"));
    for key in want {
        let last = key.rsplit('.').next().unwrap().trim_end_matches("[]").to_owned();
        assert!(section.contains(&format!("`{last}`")), "`{key}` of {format} is not documented");
    }
}

#[test]
fn the_keys_of_documents_are_stable() {
    let project = project();
    let validate =
        "format revision valid environments environments[].name environments[].valid environments[].resources diagnostics";
    check(&project, &["validate"], 0, validate);
    check(
        &project,
        &["render"],
        0,
        "format environment revision documents documents[].apiVersion documents[].kind documents[].metadata documents[].spec",
    );
    check(
        &project,
        &["explain", "File/b", "spec.content"],
        0,
        "format resource id revision fields fields[].path fields[].value fields[].sources fields[].sources[].layer \
         fields[].sources[].file fields[].sources[].line fields[].sources[].value fields[].reads fields[].reads[].id \
         fields[].reads[].path fields[].reads[].sources fields[].reads[].sources[].layer fields[].reads[].sources[].file \
         fields[].reads[].sources[].line fields[].reads[].sources[].value fields[].variables fields[].variables[].name \
         fields[].variables[].file fields[].variables[].line fields[].commit fields[].commit.id fields[].commit.summary fields[].commit.author fields[].commit.email fields[].commit.time",
    );
    project.write("base/bad.yaml", "a: [").commit("broken");
    let findings = "diagnostics[].code diagnostics[].severity diagnostics[].message diagnostics[].file diagnostics[].line \
                    diagnostics[].column";
    check(&project, &["validate"], 1, &format!("{validate} {findings}"));
    check(&project, &["render"], 1, &format!("format error error.code error.message diagnostics {findings}"));
}

#[test]
fn the_keys_of_what_is_known_are_stable() {
    let project = project();
    let run = |at: &str| {
        ["id", "environment", "command", "actor", "revision", "plan", "began", "ended", "outcome", "counts"]
            .map(|key| format!("{at}.{key}"))
            .join(" ")
    };
    check(&project, &["history"], 0, &format!("format runs {}", run("runs[]")));
    check(&project, &["history", "--verify"], 0, "format verified rows head");
    let resource = "resource id provider object object.kind object.scope object.key identity ownership protected";
    let each = |at: &str| resource.split(' ').map(|key| format!("{at}.{key}")).collect::<Vec<_>>().join(" ");
    let get = format!("format environment resources {}", each("resources[]")).replace("resources[].objects", "");
    check(&project, &["get"], 0, &get);
    check(&project, &["get", "File/a"], 0, &format!("{get} resources[].applied resources[].applied.spec"));
    let status =
        ["name", "revision", "sync", "health", "resources", "inDoubt", "observed", "objects", "drifted", "unhealthy", "lastRun"]
            .map(|key| format!("environments[].{key}"))
            .join(" ");
    let status = format!("format environments {status} {}", run("environments[].lastRun"));
    check(&project, &["status"], 0, &status);
    fs::remove_file(project.site().join("b.txt")).unwrap();
    let why = "format environment resource id chain chain[].resource chain[].id chain[].inSync chain[].state chain[].hint \
               chain[].waitsFor blocks last last.time last.event last.run last.reason";
    check(&project, &["why", "File/b"], 0, why);
    let trouble = ["id", "state", "message"].map(|key| format!("environments[].unhealthy[].{key}")).join(" ");
    check(&project, &["status"], 0, &format!("{status} {trouble}"));
}

#[test]
fn help_and_completions_are_objects_for_programs_too() {
    let project = Project::new();
    for topic in [&["help"][..], &["help", "plan"], &["help", "TU0102"]] {
        check(&project, topic, 0, "format topic text");
    }
    check(&project, &["completions", "bash"], 0, "format shell script");
    let script = project.run(&["completions", "fish", "-o", "yaml"]).expect_exit(0);
    assert!(script.stdout.contains("shell: \"fish\"") || script.stdout.contains("shell: fish"), "{script}");
}
