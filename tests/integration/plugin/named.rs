//! What a person or a project names as a plugin and is none: said at once, by what it is, and with what to do.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use trueup_tests::guests::hostile;
use trueup_tests::servers::registry::openssl_key;
use trueup_tests::{Project, Run};

/// A run that must not wait for anybody, nor read without an end.
#[track_caller]
fn soon(project: &Project, arguments: &[&str]) -> Run {
    let mut child = project.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let late = Instant::now() + Duration::from_secs(30);
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > late {
            let _ = child.kill();
            panic!("{arguments:?} waits: {}", Run::of(child.wait_with_output().expect("an end")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Run::of(child.wait_with_output().expect("an end"))
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs (coreutils)").success());
}

/// A plugin's project, not built.
fn begun(project: &Project, folder: &str) {
    let kit = "apiVersion: trueup.dev/v1\nkind: Plugin\nmetadata: {name: thing}\nbuild: {language: rust}\n";
    project.write(&format!("{folder}/plugin.yaml"), kit);
}

#[test]
fn a_plugin_that_is_a_fifo_or_a_device_is_refused_by_what_it_is_and_nobody_waits() {
    for (plugin, what) in [("./pipe", "it is a FIFO and no regular file"), ("/dev/zero", "it is a device and no regular file")] {
        let project = Project::with(&format!(
            "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {{name: shop, id: 4f0c9a000000000000000000000000aa}}\n\
             providers:\n  evil: {{plugin: {plugin}}}\nenvironments:\n  prod: {{layers: [base]}}\n"
        ));
        project.write("base/.keep", "").commit("names what is no file");
        fifo(&project.repo().join("pipe"));
        for line in [&["plan", "--trust"][..], &["plan", "--trust", "--worktree"], &["validate"], &["plugin", "show", plugin]] {
            soon(&project, line).expect_exit(1).expect_text(&["TU0700", what]);
        }
        soon(&project, &["plugin", "add", plugin, "--yes"]).expect_exit(1).expect_text(&["TU0700", what]);
        soon(&project, &["plugin", "publish", plugin, "oci://127.0.0.1:9/x:1"]).expect_exit(1).expect_text(&[what]);
        assert!(!project.repo().join("trueup.lock").exists());
    }
    // The signature beside a component is named by nobody, and read all the same.
    let project = Project::new();
    project.write("thing.wasm", hostile());
    fifo(&project.repo().join("thing.wasm.sig"));
    openssl_key(project.outside(), "author", &["-algorithm", "ed25519"]);
    let key = project.outside().join("author.pub").display().to_string();
    let verified = soon(&project, &["plugin", "verify", "thing.wasm", "--key", &key]).expect_exit(1);
    verified.expect_text(&["thing.wasm.sig", "it is a FIFO"]);
}

#[test]
fn the_folder_of_a_plugins_project_means_its_component_and_says_how_that_is_built() {
    let project = Project::new();
    begun(&project, "made");
    for line in
        [&["plugin", "show", "made"][..], &["plugin", "add", "made", "--yes"], &["plugin", "publish", "made", "oci://h/x:1"]]
    {
        project.run(line).expect_exit(1).expect_text(&[
            "TU0700",
            "`made` is a plugin's project, and the project is not built: there is no `made/build/thing.wasm`",
            "`trueup plugin build made` makes the component",
        ]);
    }
    project.write("made/build/thing.wasm", hostile());
    project.run(&["plugin", "show", "made"]).expect_exit(0).expect_text(&["hostile 0.1.0"]);
    project.run(&["plugin", "add", "made", "--yes"]).expect_exit(0).expect_text(&["./made/build/thing.wasm is pinned"]);
    // Any other folder.
    fs::create_dir(project.repo().join("other")).unwrap();
    for line in [&["plugin", "show", "./other"][..], &["plugin", "add", "./other", "--yes"]] {
        project.run(line).expect_exit(1).expect_text(&[
            "`./other` is a folder, and no plugin's project: it has no `plugin.yaml`",
            "name a component, which is a file, or the folder of a plugin's project",
        ]);
    }
}

#[test]
fn a_file_that_is_not_there_and_a_reference_that_is_missing_are_told_apart() {
    let project = Project::new();
    let add = |text: &str, hint: &str| {
        project.run(&["plugin", "add", text, "--yes"]).expect_exit(1).expect_text(&["TU0700", text, hint]);
    };
    add("./nope.wasm", "is the path right? `trueup plugin build` makes the component");
    add("ghcr.io/acme/tickets:1.0", "a reference begins with oci://: `oci://ghcr.io/acme/tickets:1.0`");
    add("file", "`plugin: file` in trueup.yaml is all that it needs");
    for text in ["ghcr.io/acme/tickets:1.0", "oci://ghcr.io/acme/tickets:1.0"] {
        let shown = project.run(&["plugin", "show", text]).expect_exit(1);
        shown.expect_text(&["TU0700", text, "`trueup plugin add oci://ghcr.io/acme/tickets:1.0` shows"]);
    }
    project.run(&["plugin", "show", "./nope.wasm"]).expect_exit(1).expect_text(&["give a bundled plugin"]);
    let published = project.run(&["plugin", "publish", "nope", "oci://127.0.0.1:9/x:1"]).expect_exit(1);
    published.expect_text(&["TU0700", "`nope`", "is the path right? `trueup plugin build` makes the component"]);
    project.write("x.wasm", hostile());
    let publish = |arguments: &[&str], words: &[&str]| {
        project.run(&[&["plugin", "publish"], arguments].concat()).expect_exit(64).expect_text(words);
    };
    publish(&[], &["nothing says where to publish to", "`trueup plugin publish oci://HOST/NAME:TAG`"]);
    publish(&["./x.wasm"], &["nothing says where to", "`trueup plugin publish ./x.wasm oci://HOST/NAME:TAG`"]);
    publish(&["a", "b", "c"], &["`c` is one too many"]);
    publish(&["oci://h/x:1", "./x.wasm"], &["the reference comes last", "`trueup plugin publish ./x.wasm oci://h/x:1`"]);
    project.run(&["plugin", "publish", "--help"]).expect_exit(0).expect_text(&["trueup plugin publish [OPTIONS] [PATH] REF"]);
}

#[test]
fn whatever_file_is_named_a_fifo_in_its_place_is_refused_and_nobody_waits() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file");
    let path = project.outside().join("pipe.pub");
    fifo(&path);
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let pipe = path.to_str().unwrap();
    project.write("thing.wasm", hostile());
    let what = "it is a FIFO and no regular file";
    soon(&project, &["replay", pipe]).expect_exit(1).expect_text(&["TU0616", what]);
    soon(&project, &["apply", "--yes", "--plan", pipe]).expect_exit(64).expect_text(&["cannot read the plan", what]);
    soon(&project, &["plugin", "sign", "thing.wasm", "--key", pipe]).expect_exit(1).expect_text(&["pipe.pub", what]);
    soon(&project, &["plugin", "verify", "thing.wasm", "--key", pipe]).expect_exit(1).expect_text(&["pipe.pub", what]);
    assert!(project.world().is_empty(), "nothing is done");
    // What an untrusted plugin's project has where it names a recording.
    project.write("kit/build/thing.wasm", trueup_tests::guests::mutant("honest"));
    let kit = "apiVersion: trueup.dev/v1\nkind: Plugin\nmetadata: {name: thing}\nbuild: {command: [\"true\"], component: \
               build/thing.wasm}\ntest: {recording: rec.jsonl, objects: [{kind: Ticket, name: a, spec: {}}]}\n";
    project.write("kit/plugin.yaml", kit);
    fifo(&project.repo().join("kit/rec.jsonl"));
    let tested = soon(&project, &["plugin", "test", "kit", "--only", "recorded"]).expect_exit(1);
    tested.expect_text(&["rec.jsonl", what]);
}
