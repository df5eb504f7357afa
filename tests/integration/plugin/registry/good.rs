//! From a built component to one that is applied elsewhere, on Debian's docker-registry.

use std::fs;
use std::process::Command;
use std::sync::atomic::Ordering;

use trueup_tests::guests::{hostile, sha256};
use trueup_tests::servers::registry::{Link, Login, Registry, openssl_key};

use super::{cached, component, eager, fresh, kept, project, trusted_key};

#[test]
fn a_plugin_is_published_signed_added_applied_and_works_without_the_registry_from_then_on() {
    let registry = Registry::start(&Login::Nobody);
    let reference = registry.reference("team/thing:1.0");
    let project = project(&reference);
    let file = component(&project);
    let file = file.to_str().unwrap();
    let key = trusted_key(&project, "author");
    project
        .run(&["plugin", "publish", file, &reference, "--key", &key])
        .expect_exit(0)
        .expect_text(&["published as", "signed by key"]);

    let manifest = registry.manifest("team/thing", "1.0").expect("a manifest");
    let digest = sha256(component(&project));
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&manifest["layers"][0]["mediaType"], &manifest["layers"][0]["digest"]),
        (&"application/wasm".into(), &format!("sha256:{digest}").into())
    );

    let cache = fresh(&project, "cache");
    project.commit("not pinned");
    cached(&project, &cache, &["plan", "--trust"]).expect_exit(1).expect_text(&["TU0503", "not pinned", "trueup plugin add"]);
    let add = cached(&project, &cache, &["plugin", "add", &reference, "--yes", "--as", "thing"]).expect_exit(0);
    add.expect_text(&["signed   author", "It asks", "is pinned in trueup.lock", "plugin: \"oci://127.0.0.1"]);
    let lock: serde_json::Value = serde_json::from_str(&fs::read_to_string(project.repo().join("trueup.lock")).unwrap()).unwrap();
    let pin = &lock["plugins"][&reference];
    assert_eq!(pin["sha256"], digest.as_str());
    let public = Command::new("sh")
        .args(["-c", "openssl pkey -pubin -in author.pub -outform der | sha256sum | cut -c1-64"])
        .current_dir(project.outside())
        .output()
        .unwrap();
    assert_eq!(
        pin["signed"].as_str(),
        Some(String::from_utf8_lossy(&public.stdout).trim()),
        "the fingerprint that openssl shows"
    );
    assert!(pin["asks"].is_object() && pin["manifest"].is_string(), "{lock:#}");
    assert_eq!(kept(&cache), [format!("{digest}.wasm")]);

    project.commit("pinned");
    cached(&project, &cache, &["apply", "--yes", "--trust"]).expect_exit(0);
    assert_eq!(fs::read_to_string(project.repo().join("evil/t.thing")).unwrap(), "x");

    // Another machine: fetched by the digest, though the tag is somebody else's by now.
    let other = project.outside().join("eager.wasm");
    fs::write(&other, eager()).unwrap();
    project.run(&["plugin", "publish", other.to_str().unwrap(), &reference, "--move-tag"]).expect_exit(0);
    let elsewhere = fresh(&project, "elsewhere");
    cached(&project, &elsewhere, &["validate"]).expect_exit(1).expect_text(&["TU0720", "reading documents fetches nothing"]);
    cached(&project, &elsewhere, &["plan"]).expect_exit(1).expect_text(&["TU0501"]);
    assert!(kept(&elsewhere).is_empty(), "nothing is fetched for a project that nobody trusts");
    cached(&project, &elsewhere, &["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
    assert_eq!(kept(&elsewhere), [format!("{digest}.wasm")]);
    cached(&project, &elsewhere, &["validate"]).expect_exit(0);

    drop(registry);
    cached(&project, &elsewhere, &["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
    // Compiled code goes with another version of the compiler: the component is there all the same.
    fs::remove_dir_all(elsewhere.join("trueup/compiled")).unwrap();
    cached(&project, &elsewhere, &["plan", "--trust"]).expect_exit(0).expect_text(&["No changes"]);
    // A file that was changed there is as good as none.
    fs::remove_dir_all(elsewhere.join("trueup/compiled")).unwrap();
    fs::write(elsewhere.join("trueup/oci").join(format!("{digest}.wasm")), eager()).unwrap();
    let away = cached(&project, &elsewhere, &["plan", "--trust"]).expect_exit(75);
    away.expect_text(&["TU0722", "cannot be reached"]);
}

#[test]
fn publishing_the_same_again_does_nothing_and_a_tag_moves_only_where_that_is_said() {
    let registry = Registry::start(&Login::Nobody);
    let reference = registry.reference("thing:1");
    let project = project(&reference);
    let key = trusted_key(&project, "author");
    // A plugin project: what it built lies in its `build`.
    fs::create_dir_all(project.repo().join("made/build")).unwrap();
    let kit = "apiVersion: trueup.dev/v1\nkind: Plugin\nmetadata: {name: thing}\nbuild: {language: rust}\n";
    fs::write(project.repo().join("made/plugin.yaml"), kit).unwrap();
    let unbuilt = project.run(&["plugin", "publish", "made", &reference]).expect_exit(1);
    unbuilt.expect_text(&["the project is not built", "trueup plugin build"]);
    fs::write(project.repo().join("made/build/thing.wasm"), hostile()).unwrap();
    let publish = ["plugin", "publish", "made", &reference, "--key", &key, "-o", "json"];
    let first = project.run(&publish).expect_exit(0).json();
    let second = project.run(&publish).expect_exit(0).json();
    assert_eq!((&first["changed"], &second["changed"]), (&true.into(), &false.into()));
    assert_eq!(first["manifest"], second["manifest"], "equal components give equal manifests");
    let signatures = |digest: &str| {
        registry.manifest("thing", &format!("sha256-{digest}.sig")).map_or(0, |it| it["layers"].as_array().unwrap().len())
    };
    let digest = first["manifest"].as_str().unwrap();
    assert_eq!(signatures(digest), 1, "and one signature");
    // A second signer's stands beside the first.
    openssl_key(project.outside(), "other", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let other = project.outside().join("other.key").display().to_string();
    project.run(&["plugin", "sign", &reference, "--key", &other]).expect_exit(0).expect_text(&[": signed"]);
    assert_eq!(signatures(digest), 2);
    for key in ["author.pub", "other.pub"] {
        let key = project.outside().join(key).display().to_string();
        project.run(&["plugin", "verify", &reference, "--key", &key]).expect_exit(0).expect_text(&["signed by"]);
    }

    project.run(&["plugin", "add", &reference, "--yes"]).expect_exit(0);
    let before = fs::read(project.repo().join("trueup.lock")).unwrap();
    fs::write(project.repo().join("made/build/thing.wasm"), eager()).unwrap();
    project.run(&publish).expect_exit(1).expect_text(&["TU0720", "is something else already", "--move-tag"]);
    project.run(&[&publish[..], &["--move-tag"]].concat()).expect_exit(0);
    // The tag was swapped: what is pinned stays, and says so.
    project.run(&["plugin", "add", &reference, "--yes"]).expect_exit(1).expect_text(&[
        "TU0503",
        "trueup.lock pins sha256",
        "plugin upgrade",
    ]);
    assert_eq!(fs::read(project.repo().join("trueup.lock")).unwrap(), before);
}

#[test]
fn what_nobody_signed_is_taken_only_where_that_is_said_and_keys_are_the_operators() {
    let registry = Registry::start(&Login::Nobody);
    let reference = registry.reference("thing:1");
    let project = project(&reference);
    let file = component(&project);
    project.run(&["plugin", "publish", file.to_str().unwrap(), &reference]).expect_exit(0).expect_text(&["not signed"]);
    let cache = fresh(&project, "cache");
    let add = ["plugin", "add", &reference, "--yes"];
    let refused = |words: &[&str]| {
        cached(&project, &cache, &add).expect_exit(1).expect_text(&["TU0721"]).expect_text(words);
        assert!(kept(&cache).is_empty() && !project.repo().join("trueup.lock").exists());
    };
    refused(&["is not signed", "--allow-unsigned"]);
    cached(&project, &cache, &["plugin", "verify", &reference]).expect_exit(1).expect_text(&["is not signed"]);

    openssl_key(project.outside(), "stranger", &["-algorithm", "ed25519"]);
    let stranger = project.outside().join("stranger");
    project.run(&["plugin", "sign", &reference, "--key", &format!("{}.key", stranger.display())]).expect_exit(0);
    refused(&["you trust no key yet", "plugin-keys"]);
    trusted_key(&project, "author");
    refused(&["of the key ", "which is not trusted", "`author`"]);
    // Keys that others could have put there are no word of the operator's.
    let folder = project.config().join("plugin-keys");
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    cached(&project, &cache, &add).expect_exit(1).expect_text(&["decides whom you trust", "others can change it"]);
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    let unsigned = cached(&project, &cache, &["plugin", "add", &reference, "--yes", "--allow-unsigned"]).expect_exit(0);
    unsigned.expect_text(&["by nobody you trust", "the digest that you commit is all that holds it"]);
    fs::remove_file(project.repo().join("trueup.lock")).unwrap();
    let given = ["plugin", "add", &reference, "--yes", "--key", &format!("{}.pub", stranger.display())];
    cached(&project, &cache, &given).expect_exit(0).expect_text(&["signed   stranger"]);
    // Nobody is there to agree.
    fs::remove_file(project.repo().join("trueup.lock")).unwrap();
    cached(&project, &cache, &given[..3]).expect_exit(1);
    let nobody = ["plugin", "add", &reference, "--allow-unsigned"];
    cached(&project, &cache, &nobody).expect_exit(1).expect_text(&["nobody is here to agree", "--yes"]);
    assert!(!project.repo().join("trueup.lock").exists());
    project
        .at_terminal(&format!("plugin add {reference} --allow-unsigned"), "n\n")
        .expect_exit(1)
        .expect_text(&["It asks to", "Nothing was done"]);
    project.at_terminal(&format!("plugin add {reference} --allow-unsigned"), "y\n").expect_exit(0).expect_text(&["is pinned"]);
}

#[test]
fn a_file_is_pinned_as_it_is_and_its_detached_signature_is_judged() {
    let project = project("./thing.wasm");
    fs::write(project.repo().join("thing.wasm"), hostile()).unwrap();
    let key = trusted_key(&project, "author");
    project.run(&["plugin", "verify", "thing.wasm"]).expect_exit(1).expect_text(&["TU0721", "is not signed"]);
    project.run(&["plugin", "sign", "thing.wasm", "--key", &key]).expect_exit(0);
    project.run(&["plugin", "verify", "thing.wasm"]).expect_exit(0).expect_text(&["signed by author"]);
    // openssl says so too, and what openssl signs is taken.
    let shell = |text: &str| {
        let run = Command::new("sh").args(["-ec", text]).current_dir(project.outside()).output().unwrap();
        assert!(run.status.success(), "{text}: {}", String::from_utf8_lossy(&run.stderr));
    };
    shell(
        "base64 -d repo/thing.wasm.sig > raw; openssl pkeyutl -verify -pubin -inkey author.pub -rawin -in repo/thing.wasm -sigfile raw",
    );
    openssl_key(project.outside(), "ec", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    shell("openssl dgst -sha256 -sign ec.key repo/thing.wasm | base64 -w0 > repo/thing.wasm.sig");
    let ec = project.outside().join("ec.pub").display().to_string();
    project.run(&["plugin", "verify", "thing.wasm", "--key", &ec]).expect_exit(0).expect_text(&["signed by ec"]);
    project
        .run(&["plugin", "verify", "thing.wasm"])
        .expect_exit(1)
        .expect_text(&["broken, or of none of the trusted keys (`author`)"]);

    let add = project.run(&["plugin", "add", "thing.wasm", "--key", &ec, "--as", "thing", "--yes"]).expect_exit(0);
    add.expect_text(&["plugin: \"./thing.wasm\"", "signed   ec"]);
    project.commit("pinned");
    project.run(&["apply", "--yes", "--trust"]).expect_exit(0);
    fs::write(project.repo().join("thing.wasm.sig"), "no base64!").unwrap();
    project.run(&["plugin", "verify", "thing.wasm", "--key", &ec]).expect_exit(1).expect_text(&["is no base64"]);
    // A key of one's own, drawn here, is one that openssl reads.
    let new = project.outside().join("new.key").display().to_string();
    project.run(&["plugin", "sign", "thing.wasm", "--new-key", &new]).expect_exit(0).expect_text(&["fingerprint"]);
    shell(
        "base64 -d repo/thing.wasm.sig > raw; openssl pkey -in new.key -noout; openssl pkeyutl -verify -pubin -inkey new.key.pub -rawin -in repo/thing.wasm -sigfile raw",
    );
    assert_eq!(trueup_tests::mode(&project.outside().join("new.key")), 0o600);
    project.run(&["plugin", "sign", "thing.wasm", "--new-key", &new]).expect_exit(1).expect_text(&["keys are not overwritten"]);
    fs::set_permissions(project.outside().join("new.key"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    project.run(&["plugin", "sign", "thing.wasm", "--key", &new]).expect_exit(1).expect_text(&["chmod 600"]);
}

#[test]
fn an_upload_that_was_cut_publishes_nothing_and_the_same_again_goes_through() {
    let registry = Registry::start(&Login::Nobody);
    let link = Link::to(registry.port);
    let project = project("./x.wasm");
    let file = component(&project);
    let reference = format!("oci://127.0.0.1:{}/thing:1", link.port);
    link.cut.store(true, Ordering::SeqCst);
    let cut = project.run(&["plugin", "publish", file.to_str().unwrap(), &reference]).expect_exit(75);
    cut.expect_text(&["TU0722", "broke off", "try again"]);
    assert!(registry.manifest("thing", "1").is_none(), "what is not whole is not to be found");
    link.cut.store(false, Ordering::SeqCst);
    project.run(&["plugin", "publish", file.to_str().unwrap(), &reference]).expect_exit(0).expect_text(&["published as"]);
    assert!(registry.manifest("thing", "1").is_some());
}

#[test]
fn a_signature_for_another_repository_is_no_signature_unless_that_is_named() {
    let registry = Registry::start(&Login::Nobody);
    let project = project("./x.wasm");
    let file = component(&project);
    let key = trusted_key(&project, "author");
    let good = registry.reference("good:1");
    project.run(&["plugin", "publish", file.to_str().unwrap(), &good, "--key", &key]).expect_exit(0);
    // The very artifact, with its signature, under a name that it was not signed for.
    project.run(&["plugin", "mirror", &good, "--to", &registry.reference("evil")]).expect_exit(0);
    let swapped = registry.reference("evil/good:1");
    project.run(&["plugin", "add", &swapped, "--yes"]).expect_exit(1).expect_text(&[
        "TU0721",
        "is for the repository",
        "--signed-for",
    ]);
    let named = format!("127.0.0.1:{}/good", registry.port);
    project.run(&["plugin", "add", &swapped, "--yes", "--signed-for", &named]).expect_exit(0);
}

/// The object's keys, and that the page of shapes names each of them.
#[track_caller]
fn keys(object: &serde_json::Value, want: &str) {
    let documented = include_str!("../../../../engine/src/output/shapes.md");
    let got: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(got, want.split(' ').collect::<Vec<_>>(), "{object:#}");
    let format = object["format"].as_str().unwrap();
    let section = documented.split("\n## ").find(|it| it.starts_with(&format!("`{format}`"))).expect(format);
    got.iter().for_each(|it| assert!(section.contains(&format!("`{it}`")), "`{it}` of {format}"));
}

#[test]
fn the_shapes_of_distribution_are_documented() {
    let registry = Registry::start(&Login::Nobody);
    let reference = registry.reference("thing:1");
    let project = project(&reference);
    let (file, key) = (component(&project), trusted_key(&project, "author"));
    let json = |arguments: &[&str]| project.run(&[arguments, &["-o", "json"]].concat()).expect_exit(0).json();
    let publish = json(&["plugin", "publish", file.to_str().unwrap(), &reference, "--key", &key]);
    keys(&publish, "changed format manifest name plugin sha256 signed version");
    keys(&json(&["plugin", "sign", &reference, "--key", &key]), "changed format key sha256 signed");
    keys(&json(&["plugin", "verify", &reference]), "format key plugin sha256 signer");
    let add = json(&["plugin", "add", &reference, "--yes", "--as", "evil"]);
    keys(&add, "asks changed format lines name plugin sha256 signed version");
    assert_eq!(json(&["plugin", "add", &reference])["changed"], false, "nothing is asked where nothing changes");
    let carried = project.outside().join("carried").display().to_string();
    keys(&json(&["plugin", "bundle", &carried, &reference]), "format plugins");
    keys(&json(&["plugin", "mirror", &reference, "--to", &registry.reference("m")]), "format plugins");
    let list = json(&["plugin", "list"]);
    let row = list["plugins"].as_array().unwrap().iter().find(|it| it["name"] == reference.as_str()).unwrap();
    assert_eq!((&row["from"], &row["signed"]), (&"provider evil".into(), &add["signed"]), "{list:#}");
    project.write("trueup.yaml", fs::read_to_string(project.repo().join("trueup.yaml")).unwrap().replace(&reference, "file"));
    keys(&json(&["plugin", "remove", &reference, "--yes"]), "format plugin sha256");
}
