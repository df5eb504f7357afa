//! Components built by every released version of the contract and the SDKs, each with a run of it: see tests/corpus/record.sh. This
//! version must run them all, to the same plan and the same end.

use std::fs;
use std::path::Path;

use trueup_tests::Project;

#[test]
fn every_component_of_an_earlier_version_runs_as_it_did() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let project = Project::new();
    let mut seen = 0;
    for version in fs::read_dir(&corpus).unwrap().flatten().filter(|it| it.path().is_dir()) {
        for file in
            fs::read_dir(version.path()).unwrap().flatten().filter(|it| it.path().extension().is_some_and(|it| it == "jsonl"))
        {
            let run = project.run(&["replay", file.path().to_str().unwrap(), "-o", "json"]).expect_exit(0);
            let replayed = run.json();
            assert_eq!(
                (replayed["same"].as_bool(), replayed["missing"].as_u64()),
                (Some(true), Some(0)),
                "{}",
                file.path().display()
            );
            assert!(replayed["answered"].as_u64().is_some_and(|it| it > 10), "{replayed:#}");
            seen += 1;
        }
    }
    assert!(seen >= 2, "tests/corpus holds {seen} recordings");
}
