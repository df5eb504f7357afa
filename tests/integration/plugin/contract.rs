//! A plugin for another version of the contract.

use std::fs;

use trueup_tests::Project;
use trueup_tests::guests::hostile;

/// The honest component, as if it were built for another version: names have the same length.
fn component(version: &str) -> Vec<u8> {
    let mut bytes = hostile().to_vec();
    let (from, to) = (b"@0.1.0", format!("@{version}"));
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|it| it == from) {
        at += found;
        // Names of the contract alone: `trueup:provider/…@0.1.0`.
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

#[test]
fn a_plugin_for_a_newer_or_older_contract_is_refused_in_one_sentence_that_says_what_to_do() {
    let project = Project::new();
    let newer = "use a newer trueup, or an older release of the plugin";
    let older = "use a newer release of the plugin, or build it again with this version's SDK";
    for (version, cure) in [("0.2.0", newer), ("1.0.0", newer), ("0.0.9", older)] {
        fs::write(project.repo().join("x.wasm"), component(version)).unwrap();
        let want = format!("built for version {version} of the contract and this trueup speaks 0.1.0: {cure}");
        project.run(&["plugin", "show", "./x.wasm"]).expect_exit(1).expect_text(&["TU0700", &want]).expect_no_text(&["wasmtime"]);
        project.run(&["plugin", "add", "./x.wasm", "--yes"]).expect_exit(1).expect_text(&["TU0700", &want]);
        assert!(!project.repo().join("trueup.lock").exists());
    }
    // What only adds to it is the same contract.
    fs::write(project.repo().join("x.wasm"), component("0.1.4")).unwrap();
    project.run(&["plugin", "show", "./x.wasm"]).expect_exit(0);
}
