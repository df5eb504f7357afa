//! A person's word on what nothing else can tell: how a change ended that was killed, and whether an object that only its mark
//! tells of is owned again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;
use trueup_tests::Project;
use trueup_tests::guests::{hostile_project, thing};

/// A document of another kind than `Thing`.
fn declare(project: &Project, kind: &str, name: &str, text: &str) {
    let document = thing(name, "").replace("kind: Thing", &format!("kind: {kind}")).replace("text: x", &format!("text: {text}"));
    project.write(&format!("base/{name}.yaml"), document);
}

/// The file behind an object.
fn file(project: &Project, kind: &str, name: &str) -> PathBuf {
    project.repo().join(format!("evil/{name}.{}", kind.to_lowercase()))
}

/// A project whose only documents are these, which are not applied.
fn project(kind: &str, names: &[&str]) -> Project {
    let project = hostile_project("honest", "");
    // A layer stays one when its last document goes.
    project.remove("base/a.yaml").remove("base/t.yaml").write("base/.keep", "");
    names.iter().for_each(|it| declare(&project, kind, it, "x"));
    project.commit("declared");
    project
}

#[track_caller]
fn apply(project: &Project) {
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
}

/// An apply that dies before the provider hears of its changes.
#[track_caller]
fn killed(project: &Project) {
    let mut command = project.command(&["apply", "--yes", "--trust", "--allow-deletes", "9"]);
    let output = command.env("TRUEUP_KILL_AT", "call.before:1").output().unwrap();
    assert_eq!(output.status.code(), None, "{}", String::from_utf8_lossy(&output.stderr));
}

/// Ownership and identity of a resource, as `get` tells them.
fn owned(project: &Project, name: &str) -> Option<(String, String)> {
    let got = project.run(&["get", "-o", "json"]).expect_exit(0).json();
    let text = |it: &Json, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let found = got["resources"].as_array()?.iter().find(|it| text(it, "resource").ends_with(&format!("/{name}")))?.clone();
    Some((text(&found, "ownership"), text(&found, "identity")))
}

/// What the plan would do: `create Nameless/n`.
fn steps(project: &Project) -> Vec<String> {
    let plan = project.run(&["plan", "--trust", "-o", "json"]).json();
    let step = |it: &Json| format!("{} {}", it["action"].as_str().unwrap(), it["resource"].as_str().unwrap());
    plan["steps"].as_array().unwrap().iter().map(step).collect()
}

/// Something that a killed run staged for the open change of this resource.
fn stage(project: &Project, name: &str) -> PathBuf {
    let query = format!("SELECT token FROM intents WHERE resource LIKE '%/{name}'");
    let output = Command::new("sqlite3").arg(project.repo().join(".trueup/state.db")).arg(query).output().expect("sqlite3 runs");
    let token = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(!token.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = project.repo().join("evil/.trueup-tmp");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{token}.0"));
    fs::write(&file, "half a file").unwrap();
    file
}

#[test]
fn a_create_that_nothing_can_find_again_waits_for_a_word_and_each_word_settles_its_own_change_alone() {
    let project = project("Nameless", &["n", "m"]);
    killed(&project);
    let waits = ["TU0605", "Nameless/n", "Nameless/m", "nothing tells whether it took effect", "trueup resolve"];
    project.run(&["plan", "--trust"]).expect_exit(1).expect_text(&waits);
    project.run(&["apply", "--yes", "--trust"]).expect_exit(1).expect_text(&waits);
    let status = project.run(&["status", "-o", "json"]).expect_exit(0).json();
    assert_eq!(status["environments"][0]["inDoubt"], 2, "{status}");
    let other = ["resolve", "Nameless/z", "--absent", "--trust"];
    project.run(&other).expect_exit(1).expect_text(&["in doubt: ", "Nameless/m", "Nameless/n"]);

    let left = ["n", "m"].map(|it| stage(&project, it));
    let word = project.run(&["resolve", "Nameless/n", "--absent", "--trust", "-o", "json"]).expect_exit(0).json();
    assert_eq!((&word["format"], &word["verdict"]), (&"trueup.resolve/1".into(), &"absent".into()), "{word}");
    assert_eq!(left.each_ref().map(|it| it.exists()), [false, true], "what was staged goes with its change");
    assert_eq!(owned(&project, "n"), None);
    let plan = project.run(&["plan", "--trust", "-o", "json"]).expect_exit(1).json();
    assert_eq!((plan["refused"].as_array().unwrap().len(), &plan["refused"][0]["resource"]), (1, &"Nameless/m".into()), "{plan}");
    assert_eq!(steps(&project), ["create Nameless/n"]);

    // The other one was made, and is not quite what was asked for.
    fs::write(file(&project, "Nameless", "m"), "half").unwrap();
    project.run(&["plan", "--trust"]).expect_exit(1).expect_text(&["what is there now is not what it was to make"]);
    project.run(&["resolve", "m", "--adopt", "m", "--trust"]).expect_exit(0).expect_text(&["settled as adopted", "trueup plan"]);
    assert!(!left[1].exists());
    assert_eq!(owned(&project, "m"), Some(("owned".to_owned(), "m".to_owned())));
    let mut planned = steps(&project);
    planned.sort();
    assert_eq!(planned, ["create Nameless/n", "update Nameless/m"]);
    apply(&project);
    for name in ["n", "m"] {
        assert_eq!(fs::read_to_string(file(&project, "Nameless", name)).unwrap(), "x", "{name}");
    }
    assert!(steps(&project).is_empty());
    project
        .run(&["resolve", "m", "--absent", "--trust"])
        .expect_exit(1)
        .expect_text(&["no change of this environment is in doubt"]);
    project.run(&["history"]).expect_exit(0).expect_text(&["resolve", "1 resolve"]);
}

#[test]
fn an_adopted_object_is_the_one_that_was_named_and_no_other() {
    let project = project("Nameless", &["n"]);
    killed(&project);
    project.run(&["resolve", "n", "--adopt", "another", "--trust"]).expect_exit(0);
    assert_eq!(owned(&project, "n"), Some(("owned".to_owned(), "another".to_owned())));
    fs::write(file(&project, "Nameless", "n"), "somebody's").unwrap();
    project.run(&["plan", "--trust"]).expect_exit(1).expect_text(&["the object is gone, and another one (`n`) has its place"]);
    assert_eq!(fs::read_to_string(file(&project, "Nameless", "n")).unwrap(), "somebody's");
}

#[test]
fn what_was_owned_before_the_change_stays_owned_when_it_is_adopted_and_goes_when_it_is_absent() {
    for (word, kept) in [(&["--adopt", "n"][..], true), (&["--absent"], false)] {
        let project = project("Nameless", &["n"]);
        apply(&project);
        declare(&project, "Nameless", "n", "y");
        project.commit("another text");
        killed(&project);
        project.run(&[&["resolve", "n", "--trust"], word].concat()).expect_exit(0);
        assert_eq!(owned(&project, "n").is_some(), kept, "{word:?}");
        if kept {
            assert_eq!(steps(&project), ["update Nameless/n"]);
            apply(&project);
            assert_eq!(fs::read_to_string(file(&project, "Nameless", "n")).unwrap(), "y");
        } else {
            project.run(&["plan", "--trust"]).expect_exit(1).expect_text(&["TU0600", "the object exists and nobody claimed it"]);
            assert_eq!(fs::read_to_string(file(&project, "Nameless", "n")).unwrap(), "x");
        }
    }
}

#[test]
fn what_only_its_mark_tells_of_after_the_state_was_lost_is_not_deleted_until_a_person_owns_it_again() {
    let project = project("Marked", &["m"]);
    apply(&project);
    let text = fs::read_to_string(file(&project, "Marked", "m")).unwrap();
    assert!(text.ends_with("\nx") && text.contains("/prod/"), "{text}");
    fs::remove_dir_all(project.repo().join(".trueup")).unwrap();
    project.run(&["plan", "--trust", "-o", "json"]).expect_exit(0).expect_text(&["it carries this environment's mark"]);
    assert_eq!(steps(&project), ["adopt Marked/m"]);
    apply(&project);
    assert_eq!(owned(&project, "m"), Some(("recovered".to_owned(), "m".to_owned())));
    assert!(steps(&project).is_empty());

    project.remove("base/m.yaml").commit("gone");
    let refused = ["TU0606", "it is owned by its mark alone", "trueup adopt --recovered"];
    let allowed = ["apply", "--yes", "--trust", "--allow-deletes", "1"];
    project.run(&allowed).expect_exit(1).expect_text(&refused[..1]).expect_text(&refused[2..]);
    assert!(file(&project, "Marked", "m").exists());

    declare(&project, "Marked", "m", "x");
    project.commit("back");
    project
        .run(&["adopt", "--recovered", "--trust"])
        .expect_exit(1)
        .expect_text(&["nobody is here to agree", "--recovered --yes"]);
    project.run(&["adopt", "--recovered", "--yes", "--trust"]).expect_exit(0);
    assert_eq!(owned(&project, "m"), Some(("owned".to_owned(), "m".to_owned())));
    project.remove("base/m.yaml").commit("gone for good");
    project.run(&allowed).expect_exit(0);
    assert!(!file(&project, "Marked", "m").exists());
}

#[test]
fn adopting_what_is_recovered_takes_it_as_declared_and_makes_nothing_else() {
    let project = project("Marked", &["m", "other"]);
    apply(&project);
    fs::remove_dir_all(project.repo().join(".trueup")).unwrap();
    declare(&project, "Marked", "m", "y");
    declare(&project, "Marked", "new", "x");
    project.commit("a change and a new one");
    project.run(&["adopt", "--recovered", "--yes", "--trust"]).expect_exit(0);
    for name in ["m", "other"] {
        assert_eq!(owned(&project, name), Some(("owned".to_owned(), name.to_owned())));
    }
    assert!(fs::read_to_string(file(&project, "Marked", "m")).unwrap().ends_with("\ny"));
    assert!(!file(&project, "Marked", "new").exists());
    assert_eq!(steps(&project), ["create Marked/new"]);
}
