//! What another version changes is shown before it is pinned, and what is used is not removed.

use std::fs;

use serde_json::Value as Json;
use trueup_tests::guests::{hostile, mutant};
use trueup_tests::servers::registry::{Login, Registry};

use super::{cached, component, eager, fresh, project, trusted_key};

/// Another version of the component: it looks for its things under other names, `t.thing2`.
fn other() -> Vec<u8> {
    let (from, to) = (b"@suffix=@", b"@suffix=2");
    let mut bytes = hostile().to_vec();
    let at = bytes.windows(from.len()).position(|it| it == from).expect("the marker");
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

fn lock(project: &trueup_tests::Project) -> Json {
    serde_json::from_str(&fs::read_to_string(project.repo().join("trueup.lock")).unwrap()).unwrap()
}

#[test]
fn an_upgrade_shows_rights_fields_and_plans_and_asks_for_more_rights_by_themselves() {
    let registry = Registry::start(&Login::Nobody);
    let (old, new) = (registry.reference("thing:1.0"), registry.reference("thing:1.1"));
    let project = project(&old);
    let key = trusted_key(&project, "author");
    let file = component(&project);
    let file = file.to_str().unwrap();
    project.run(&["plugin", "publish", file, &old, "--key", &key]).expect_exit(0);
    fs::write(file, eager()).unwrap();
    project.run(&["plugin", "publish", file, &new, "--key", &key]).expect_exit(0);
    project.run(&["plugin", "add", &old, "--yes"]).expect_exit(0);
    project.commit("pinned");
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    let before = lock(&project);

    let upgrade = ["plugin", "upgrade", &old, "--to", "1.1", "--yes", "--trust"];
    let more = project.run(&upgrade).expect_exit(1);
    more.expect_text(&["It asks for more: to", "+ send requests to https://*.example.com"]).expect_text(&[
        "- send requests to the server that `config.url` names",
        "+ Thing spec.note: string",
        "nobody is here to agree",
        "--allow-more-rights",
    ]);
    assert_eq!(lock(&project), before);
    let done = project.run(&[&upgrade[..], &["--allow-more-rights"]].concat()).expect_exit(0);
    let done = done.expect_text(&[
        "is pinned in trueup.lock",
        &format!("trueup.yaml still names {old} for evil, which trueup.lock pins no more"),
    ]);
    assert_eq!(done.stdout.lines().last(), Some(format!("    plugin: \"{new}\"").as_str()), "{done}");
    let after = lock(&project);
    assert!(
        after["plugins"].get(&old).is_none() && after["plugins"][&new]["asks"] != before["plugins"][&old]["asks"],
        "{after:#}"
    );
    project.run(&["plugin", "upgrade", &old]).expect_exit(1).expect_text(&["TU0503", "pins no plugin"]);
}

#[test]
fn another_plugin_in_the_place_of_the_pinned_one_is_agreed_to_by_itself() {
    let registry = Registry::start(&Login::Nobody);
    let (old, new) = (registry.reference("thing:1.0"), registry.reference("thing:1.1"));
    let project = project(&old);
    let key = trusted_key(&project, "author");
    let file = component(&project);
    let file = file.to_str().unwrap();
    project.run(&["plugin", "publish", file, &old, "--key", &key]).expect_exit(0);
    fs::write(file, mutant("honest")).unwrap();
    project.run(&["plugin", "publish", file, &new, "--key", &key]).expect_exit(0);
    project.run(&["plugin", "add", &old, "--yes"]).expect_exit(0);
    project.commit("pinned");
    let before = lock(&project);
    let upgrade = ["plugin", "upgrade", &old, "--to", "1.1", "--yes", "--trust"];
    let asked = project.run(&upgrade).expect_exit(1);
    asked.expect_text(&[
        "It is another plugin: it calls itself `tickets`, and the pinned one `hostile`",
        "nobody is here to agree",
        "--allow-other-name --allow-more-rights goes on without asking",
    ]);
    let asked = project.run(&[&upgrade[..], &["--allow-more-rights"]].concat()).expect_exit(1);
    asked.expect_text(&["--allow-other-name goes on without asking"]);
    assert_eq!(lock(&project), before);
    let done = project.run(&[&upgrade[..], &["--allow-more-rights", "--allow-other-name", "-o", "json"]].concat()).expect_exit(0);
    assert_eq!(done.json()["differences"]["name"], serde_json::json!({"was": "hostile", "is": "tickets"}), "{done}");
    assert!(lock(&project)["plugins"].get(&new).is_some());
}

#[test]
fn a_plugin_whose_pinned_one_is_nowhere_to_be_found_is_agreed_to_by_itself() {
    let project = project("./thing.wasm");
    fs::write(project.repo().join("thing.wasm"), hostile()).unwrap();
    project.run(&["plugin", "add", "thing.wasm", "--yes"]).expect_exit(0);
    // Neither a commit nor the cache has the old one.
    project.remove("thing.wasm").commit("pinned");
    fs::write(project.repo().join("thing.wasm"), other()).unwrap();
    let cache = fresh(&project, "cache");
    let before = lock(&project);
    let upgrade = ["plugin", "upgrade", "./thing.wasm", "--yes", "--trust"];
    let asked = cached(&project, &cache, &upgrade).expect_exit(1);
    asked.expect_text(&["It may be another plugin: it calls itself `hostile`", "--allow-other-name goes on without asking"]);
    assert_eq!(lock(&project), before);
    let line = [&upgrade[..], &["--allow-other-name", "-o", "json"]].concat();
    let done = cached(&project, &cache, &line).expect_exit(0).json();
    assert_eq!(done["differences"]["name"], serde_json::json!({"was": null, "is": "hostile"}), "{done:#}");
}

#[test]
fn a_signer_that_is_lost_is_agreed_to_by_itself_and_not_by_taking_what_is_unsigned() {
    let registry = Registry::start(&Login::Nobody);
    let (old, new) = (registry.reference("thing:1.0"), registry.reference("thing:1.1"));
    let project = project(&old);
    let key = trusted_key(&project, "author");
    let file = component(&project);
    let file = file.to_str().unwrap();
    project.run(&["plugin", "publish", file, &old, "--key", &key]).expect_exit(0);
    fs::write(file, other()).unwrap();
    project.run(&["plugin", "publish", file, &new]).expect_exit(0);
    project.run(&["plugin", "add", &old, "--yes"]).expect_exit(0);
    project.commit("pinned");
    let before = lock(&project);
    let upgrade = ["plugin", "upgrade", &old, "--to", "1.1", "--yes", "--trust"];
    project.run(&upgrade).expect_exit(1).expect_text(&["TU0721", "is not signed"]);
    let unsigned = [&upgrade[..], &["--allow-unsigned"]].concat();
    project.run(&unsigned).expect_exit(1).expect_text(&[
        "It lost its signer: the pinned one was signed by key ",
        "and this one by nobody you trust",
        "--allow-lost-signer goes on without asking",
    ]);
    assert_eq!(lock(&project), before);
    let done = project.run(&[&unsigned[..], &["--allow-lost-signer", "-o", "json"]].concat()).expect_exit(0).json();
    let signer = &done["differences"]["signer"];
    assert_eq!((&signer["was"], &signer["is"]), (&before["plugins"][&old]["signed"], &Json::Null), "{done:#}");
    assert!(lock(&project)["plugins"][&new].get("signed").is_none());
}

#[test]
fn a_file_whose_signature_is_of_the_file_before_lost_its_signer() {
    let project = project("./thing.wasm");
    let key = trusted_key(&project, "author");
    fs::write(project.repo().join("thing.wasm"), hostile()).unwrap();
    project.run(&["plugin", "sign", "thing.wasm", "--key", &key]).expect_exit(0);
    project.run(&["plugin", "add", "thing.wasm", "--yes"]).expect_exit(0).expect_text(&["signed   author"]);
    project.commit("pinned");
    fs::write(project.repo().join("thing.wasm"), other()).unwrap();
    let upgrade = ["plugin", "upgrade", "./thing.wasm", "--yes", "--trust"];
    project.run(&upgrade).expect_exit(1).expect_text(&["It lost its signer", "--allow-lost-signer"]);
    project.run(&["plugin", "sign", "thing.wasm", "--key", &key]).expect_exit(0);
    let done = project.run(&upgrade).expect_exit(0).expect_no_text(&["lost"]);
    assert!(done.stdout.ends_with("trueup.yaml says so already, for evil:\n    plugin: \"./thing.wasm\"\n"), "{done}");
    assert!(lock(&project)["plugins"]["./thing.wasm"]["signed"].is_string());
}

#[test]
fn a_moved_tag_or_changed_file_is_compared_with_what_was_pinned_on_the_same_world() {
    let registry = Registry::start(&Login::Nobody);
    let reference = registry.reference("thing:1");
    let project = project(&reference);
    let file = component(&project);
    let file = file.to_str().unwrap();
    project.run(&["plugin", "publish", file, &reference]).expect_exit(0);
    project.run(&["plugin", "add", &reference, "--yes", "--allow-unsigned"]).expect_exit(0);
    project.commit("pinned");
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    let upgrade = ["plugin", "upgrade", &reference, "--allow-unsigned", "--yes", "--trust"];
    project.run(&upgrade).expect_exit(0).expect_text(&["is pinned to just that already"]);

    // Its things end in another suffix: what is there is not seen, and would be made anew.
    fs::write(file, other()).unwrap();
    project.run(&["plugin", "publish", file, &reference, "--move-tag"]).expect_exit(0);
    let untrusted = project.run(&["plugin", "upgrade", &reference, "--allow-unsigned", "-o", "json"]).expect_exit(1);
    untrusted.expect_text(&["The plans of prod were not compared"]);
    let shown = project.run(&[&upgrade[..], &["-o", "json"]].concat()).expect_exit(0);
    shown.clone().expect_text(&["Rights, kinds and fields are the same", "The plan of prod differs"]);
    let shape = shown.json();
    let differences = shape["plans"][0]["differences"].as_array().unwrap();
    assert!(differences.iter().any(|it| it.as_str().unwrap().contains("Thing/t")), "{shape:#}");
    assert_eq!(fs::read_to_string(project.repo().join("evil/t.thing")).unwrap(), "x", "nothing was changed by comparing");
    assert!(!project.repo().join("evil/t.thing2").exists());
}

#[test]
fn a_file_of_another_version_is_compared_with_the_committed_one() {
    let project = project("./thing.wasm");
    fs::write(project.repo().join("thing.wasm"), hostile()).unwrap();
    project.run(&["plugin", "add", "thing.wasm", "--yes"]).expect_exit(0);
    project.commit("pinned");
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    fs::write(project.repo().join("thing.wasm"), other()).unwrap();
    let plan = project.run(&["plan", "--worktree", "--trust"]).expect_exit(1);
    plan.expect_text(&["TU0503", "trueup plugin upgrade ./thing.wasm"]);
    let upgrade = project.run(&["plugin", "upgrade", "./thing.wasm", "--yes", "--trust"]).expect_exit(0);
    upgrade.expect_text(&["The plan of prod differs", "is pinned in trueup.lock"]);
    project.run(&["plan", "--worktree", "--trust"]).expect_text(&["Thing/t"]);
}

#[test]
fn what_is_used_or_owns_objects_is_not_removed() {
    let project = project("./thing.wasm");
    fs::write(project.repo().join("thing.wasm"), hostile()).unwrap();
    project.run(&["plugin", "remove", "./thing.wasm", "--yes"]).expect_exit(1).expect_text(&["pins no plugin"]);
    project.run(&["plugin", "add", "thing.wasm", "--yes"]).expect_exit(0);
    project.commit("pinned");
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    let remove = ["plugin", "remove", "./thing.wasm", "--yes"];
    project.run(&remove).expect_exit(1).expect_text(&["TU0503", "is the plugin of evil"]);
    // Taken out of the settings, with what it made still there.
    let settings = fs::read_to_string(project.repo().join("trueup.yaml")).unwrap();
    let without: String =
        settings.lines().filter(|it| !it.contains("evil:") && !it.contains("providers:")).map(|it| format!("{it}\n")).collect();
    project.write("trueup.yaml", &without);
    project.run(&remove).expect_exit(1).expect_text(&["TU0504", "prod owns 1 object through `evil`", "trueup forget"]);
    project.run(&["forget", "evil:*", "--yes", "-e", "prod"]).expect_exit(0);
    project.run(&remove).expect_exit(0).expect_text(&["no longer pinned"]);
    assert!(lock(&project)["plugins"].as_object().unwrap().is_empty());
}
