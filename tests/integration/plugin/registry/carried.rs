//! Mirrors and bundles.

use std::fs;
use std::os::unix::fs::symlink;

use trueup_tests::guests::{hostile, sha256};
use trueup_tests::servers::registry::{Login, Registry};

use super::{cached, component, fresh, kept, project, trusted_key};

#[test]
fn a_bundle_is_carried_to_where_no_network_is_and_judged_there_as_a_registry_is() {
    let registry = Registry::start(&Login::Nobody);
    let reference = registry.reference("team/thing:1.0");
    let project = project(&reference);
    let file = component(&project);
    let key = trusted_key(&project, "author");
    let folder = project.outside().join("carried");
    let carried = folder.display().to_string();
    project.run(&["plugin", "publish", file.to_str().unwrap(), &reference]).expect_exit(0);
    project.run(&["plugin", "bundle", &carried, &reference]).expect_exit(1).expect_text(&["TU0721", "is not signed"]);
    assert!(!folder.exists(), "no folder without anything in it");
    project.run(&["plugin", "sign", &reference, "--key", &key]).expect_exit(0);
    project.run(&["plugin", "bundle", &carried, &reference]).expect_exit(0).expect_text(&["signed by author"]);
    // An image layout, as other tools know it.
    assert_eq!(fs::read_to_string(folder.join("oci-layout")).unwrap(), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let digest = sha256(file);
    assert_eq!(fs::read(folder.join("blobs/sha256").join(&digest)).unwrap(), hostile());
    drop(registry);

    let cache = fresh(&project, "cache");
    let add = ["plugin", "add", "--bundle", &carried, &reference, "--yes"];
    cached(&project, &cache, &["plugin", "add", &reference, "--yes"]).expect_exit(75).expect_text(&["cannot be reached"]);
    cached(&project, &cache, &add).expect_exit(0).expect_text(&["signed   author"]);
    project.commit("pinned");
    cached(&project, &cache, &["apply", "--yes", "--trust"]).expect_exit(0);
    fs::remove_file(project.repo().join("trueup.lock")).unwrap();

    let refused = |words: &[&str]| {
        let cache = fresh(&project, "refusing");
        cached(&project, &cache, &add).expect_exit(1).expect_text(&["TU0720"]).expect_text(words);
        assert!(kept(&cache).is_empty() && !project.repo().join("trueup.lock").exists());
    };
    let blob = folder.join("blobs/sha256").join(&digest);
    let mut changed = hostile().to_vec();
    changed[100] ^= 1;
    fs::write(&blob, changed).unwrap();
    refused(&["what came for sha256:"]);
    fs::remove_file(&blob).unwrap();
    refused(&["lacks sha256:"]);
    // A link is no blob, wherever it leads.
    symlink(component(&project), &blob).unwrap();
    refused(&["cannot be used"]);
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, hostile()).unwrap();
    let index = fs::read_to_string(folder.join("index.json")).unwrap();
    fs::write(folder.join("index.json"), index.replace("sha256:", "sha256:../../")).unwrap();
    refused(&["a digest that is none"]);
    fs::write(folder.join("index.json"), "[").unwrap();
    refused(&["is no bundle"]);
    fs::write(folder.join("index.json"), index).unwrap();
    let other = ["plugin", "add", "--bundle", &carried, "oci://elsewhere.example/x:1", "--yes"];
    cached(&project, &cache, &other).expect_exit(1).expect_text(&["the bundle does not hold"]);
    let file = ["plugin", "add", "--bundle", &carried, "./thing.wasm", "--yes"];
    cached(&project, &cache, &file).expect_exit(64);
}

#[test]
fn a_mirror_holds_the_same_bytes_and_the_same_signatures() {
    let (registry, mirror) = (Registry::start(&Login::Nobody), Registry::start(&Login::Nobody));
    let reference = registry.reference("team/thing:1.0");
    let project = project(&reference);
    let file = component(&project);
    let key = trusted_key(&project, "author");
    let published = project
        .run(&["plugin", "publish", file.to_str().unwrap(), &reference, "--key", &key, "-o", "json"])
        .expect_exit(0)
        .json();
    let to = mirror.reference("far");
    for _ in 0..2 {
        project
            .run(&["plugin", "mirror", &reference, "--to", &to])
            .expect_exit(0)
            .expect_text(&["far/team/thing:1.0", "signed by author"]);
    }
    assert_eq!(mirror.manifest("far/team/thing", "1.0"), registry.manifest("team/thing", "1.0"));
    let tag = format!("sha256-{}.sig", published["manifest"].as_str().unwrap());
    let signatures = mirror.manifest("far/team/thing", &tag);
    assert!(signatures.is_some() && signatures == registry.manifest("team/thing", &tag));
    let there = mirror.reference("far/team/thing:1.0");
    let signed_for = format!("127.0.0.1:{}/team/thing", registry.port);
    project.run(&["plugin", "add", &there, "--yes", "--signed-for", &signed_for]).expect_exit(0);
    project.run(&["plugin", "verify", &there]).expect_exit(1).expect_text(&["is for the repository"]);
    project.run(&["plugin", "verify", &there, "--signed-for", &signed_for]).expect_exit(0);
}
