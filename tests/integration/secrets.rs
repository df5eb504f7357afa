//! A canary: a secret that a run used stands in its own file and in the file it was declared for, and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use trueup_tests::guests::{COMPONENT, hostile, lock, project_file, sha256};
use trueup_tests::{Project, Run, binary, document};

const FIRST: &str = "c4nary-Xyzzy9-Plugh7-Quux3";
const SECOND: &str = "c4nary-Frobn8-Grault-Waldo";

const PROJECT: &str = r#"apiVersion: trueup.dev/v1
kind: Project
metadata: {name: shop, id: 4f0c9a000000000000000000000000aa}
providers:
  site: {plugin: file, config: {root: ./site}, dirs: ["./site"], secrets: [db]}
environments:
  prod: {layers: [base]}
"#;

const DOCUMENT: &str = r#"apiVersion: site/v1
kind: File
metadata: {name: password}
spec:
  path: password.txt
  sensitiveContent: "${{ secret('db') }}"
"#;

/// The resource `password` with this path, and secret or not.
fn password(path: &str, content: &str) -> String {
    format!("apiVersion: site/v1\nkind: File\nmetadata: {{name: password}}\nspec: {{path: {path}, {content}}}\n")
}

const SEALED: &str = "sensitiveContent: \"${{ secret('db') }}\"";

fn set(project: &Project, value: &str) {
    project.configure("db", value);
}

fn set_mode(project: &Project, mode: u32) {
    fs::set_permissions(project.config().join("credentials.yaml"), fs::Permissions::from_mode(mode)).unwrap();
}

/// A committed project with a secret, granted.
fn project() -> Project {
    let project = granted(PROJECT);
    // Beside it something plain, so that the layer is there without it as well.
    project.declare("keep", "keep.txt", "same").write("base/password.yaml", DOCUMENT).commit("a password");
    project.run(&["trust", "--yes"]).expect_exit(0).expect_text(&["learn the secret `db`"]);
    project
}

/// A project whose operator has the secret `db`.
fn granted(file: &str) -> Project {
    let project = Project::with(file);
    project.configure("credentials.yaml", "secrets: {db: {file: db}}\n");
    set(&project, FIRST);
    project
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// The three ways in which base64 of a longer text can hold these bytes, without the characters that its neighbours share.
fn base64(bytes: &[u8]) -> Vec<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |skip: usize| {
        let bits = bytes[skip..].chunks_exact(3).flat_map(|it| {
            let group = (u32::from(it[0]) << 16) | (u32::from(it[1]) << 8) | u32::from(it[2]);
            [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(group >> shift) as usize & 63]))
        });
        bits.collect::<String>()
    };
    (0..3).map(encode).collect()
}

/// Every form in which the value is looked for.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let reversed = value.bytes().rev().collect::<Vec<_>>();
    let mut forms = vec![value.as_bytes().to_vec(), reversed.clone()];
    for bytes in [value.as_bytes(), &reversed] {
        forms.extend([hex(bytes).into_bytes(), hex(bytes).to_uppercase().into_bytes()]);
        for text in base64(bytes) {
            forms.push(text.replace('+', "-").replace('/', "_").into_bytes());
            forms.push(text.into_bytes());
        }
    }
    forms
}

fn holds(bytes: &[u8]) -> bool {
    let forms = [forms(FIRST), forms(SECOND)].concat();
    forms.iter().any(|form| bytes.windows(form.len()).any(|it| it == form))
}

/// Files below a folder that hold a canary in any form; links are not followed.
fn found(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut todo) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                todo.push(path);
            } else if kind.is_file() && fs::read(&path).is_ok_and(|it| holds(&it)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[track_caller]
fn clean(run: Run) -> Run {
    assert!(!holds(run.stdout.as_bytes()) && !holds(run.stderr.as_bytes()), "the canary is told\n{run}");
    run
}

/// Runs every command that tells something, in the given format.
fn tell(project: &Project) {
    let saved = project.outside().join("plan.json");
    let saved = saved.to_str().unwrap();
    for format in ["table", "json", "yaml"] {
        for arguments in [
            &["plan", "--show", "full", "--out", saved][..],
            &["history"],
            &["get"],
            &["get", "File/password"],
            &["status"],
            &["why", "File/password"],
            &["explain", "File/password"],
            &["explain", "File/password", "spec.sensitiveContent"],
            &["render"],
            &["validate"],
            &["doctor"],
        ] {
            clean(project.run(&[arguments, &["-vv", "-o", format]].concat()));
        }
    }
}

#[test]
fn the_search_finds_every_form() {
    for form in forms(FIRST) {
        assert!(holds(&[b"before ", form.as_slice(), b" after"].concat()));
    }
    assert!(!holds(b"c4nary"));
}

#[test]
fn a_canary_is_in_the_declared_file_and_in_its_own_and_nowhere_else() {
    let project = project();
    let places = [project.config().join("db"), project.site().join("password.txt")];
    // Caches of its own, so that what others leave in the shared one is not searched.
    let cache = project.outside().join("cache");
    let own =
        |arguments: &[&str]| Run::of(project.command(arguments).env("XDG_CACHE_HOME", &cache).output().expect("the binary runs"));
    tell(&project);
    assert_eq!(found(project.outside()), places[..1]);
    clean(own(&["apply", "--yes", "-vv"])).expect_exit(0);
    assert_eq!(fs::read_to_string(&places[1]).unwrap(), FIRST);
    tell(&project);
    assert_eq!(found(project.outside()), places);

    set(&project, SECOND);
    clean(project.run(&["plan", "-vv"])).expect_text(&["(secret changed)"]);
    let saved = project.outside().join("saved.json");
    let saved = saved.to_str().unwrap();
    clean(project.run(&["plan", "--out", saved, "-o", "json", "-vv"])).expect_exit(0);
    clean(own(&["apply", "--yes", "-o", "json", "-vv", "--plan", saved])).expect_exit(0);
    assert_eq!(fs::read_to_string(&places[1]).unwrap(), SECOND);
    tell(&project);
    assert_eq!(found(project.outside()), places);
    // A changed file is healed, and neither text is told.
    fs::write(&places[1], FIRST).unwrap();
    clean(own(&["apply", "--yes", "-vv"])).expect_exit(0);
    assert_eq!(fs::read_to_string(&places[1]).unwrap(), SECOND);
    tell(&project);
    assert_eq!(found(project.outside()), places);
    assert!(found(&binary().with_file_name("test-cache")).is_empty(), "the shared cache");
}

/// What may become of a document with a secret. The change is committed; what is applied goes elsewhere.
const SHAPES: [(&str, fn(&Project)); 8] = [
    ("becomes plain", |it| {
        it.write("base/password.yaml", password("password.txt", "content: plain"));
    }),
    ("becomes a file of the repository", |it| {
        it.write("files/plain.txt", "plain").write("base/password.yaml", password("password.txt", "source: files/plain.txt"));
    }),
    ("goes", |it| {
        it.remove("base/password.yaml");
    }),
    ("goes as another comes", |it| {
        it.remove("base/password.yaml").declare("other", "other.txt", "plain");
    }),
    ("gets another path", |it| {
        it.write("base/password.yaml", password("other.txt", SEALED));
    }),
    ("gets another path and becomes plain", |it| {
        it.write("base/password.yaml", password("other.txt", "content: plain"));
    }),
    ("gets another name and becomes plain", |it| {
        let old = "metadata: {name: renamed, annotations: {trueup.dev/moved-from: File/password}}";
        let text = document("renamed", "password.txt", "plain").replace("metadata: {name: renamed}", old);
        it.remove("base/password.yaml").write("base/renamed.yaml", text);
    }),
    ("gets a mode", |it| {
        it.write("base/password.yaml", password("password.txt", "content: plain, mode: \"0600\""));
    }),
];

/// As [`tell`], what shows most.
fn look(project: &Project) {
    let saved = project.outside().join("plan.json");
    let saved = saved.to_str().unwrap();
    clean(project.run(&["plan", "--show", "full", "-vv", "--out", saved]));
    for arguments in [&["plan"][..], &["get"], &["history"], &["why", "File/password"]] {
        clean(project.run(&[arguments, &["-vv", "-o", "json"]].concat()));
    }
}

/// The same shapes whatever else is true of the world: `before` makes it so.
#[track_caller]
fn nothing_is_told(what: &str, shape: fn(&Project), before: impl Fn(&Project)) {
    let project = project();
    clean(project.run(&["apply", "--yes", "-vv"])).expect_exit(0);
    shape(&project);
    project.commit(what);
    before(&project);
    let (own, site) = (project.config().join("db"), project.site());
    let elsewhere = |project: &Project| {
        let mut places = found(project.outside());
        places.retain(|it| *it != own && !it.starts_with(&site));
        assert!(places.is_empty(), "a document {what}: {places:?}");
    };
    look(&project);
    elsewhere(&project);
    clean(project.run(&["apply", "--yes", "-vv", "-o", "json", "--allow-deletes", "9"])).expect_exit(0);
    look(&project);
    elsewhere(&project);
    let plan = project.plan();
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(0), "a document {what}: {plan}");
}

#[test]
fn a_secret_is_not_told_whatever_becomes_of_its_document() {
    for (what, shape) in SHAPES {
        nothing_is_told(what, shape, |_| {});
    }
}

#[test]
fn a_secret_is_not_told_by_a_look_that_finds_the_world_changed_as_well() {
    for (what, shape) in SHAPES {
        nothing_is_told(what, shape, |project| {
            fs::write(project.site().join("password.txt"), format!("{FIRST} and more")).unwrap();
            fs::set_permissions(project.site().join("password.txt"), fs::Permissions::from_mode(0o640)).unwrap();
        });
    }
}

#[test]
fn a_secret_is_not_told_by_an_apply_that_fails() {
    for (what, shape) in SHAPES {
        nothing_is_told(what, shape, |project| {
            // In the way of every file of the site, until it is gone.
            let file = project.site().join("password.txt");
            fs::set_permissions(project.site(), fs::Permissions::from_mode(0o500)).unwrap();
            let held = fs::File::create(project.site().join("probe")).is_err();
            if held {
                clean(project.run(&["apply", "--yes", "-vv", "--allow-deletes", "9"])).expect_exit(1);
            }
            fs::set_permissions(project.site(), fs::Permissions::from_mode(0o755)).unwrap();
            let _ = fs::remove_file(project.site().join("probe"));
            assert!(file.exists(), "{what}");
            // What stands there now nobody made here.
            fs::create_dir_all(project.site().join("other.txt/in")).unwrap();
            clean(project.run(&["apply", "--yes", "-vv", "--allow-deletes", "9"]));
            fs::remove_dir_all(project.site().join("other.txt")).ok();
        });
    }
}

#[test]
fn a_secret_is_not_told_after_a_kill() {
    for (what, shape) in SHAPES {
        for point in ["call.before:1", "call.after:1"] {
            nothing_is_told(what, shape, |project| {
                let killed =
                    project.command(&["apply", "--yes", "--allow-deletes", "9"]).env("TRUEUP_KILL_AT", point).output().unwrap();
                assert_eq!(killed.status.code(), None, "a document {what}, {point}");
            });
        }
    }
}

#[test]
fn a_secret_whose_create_was_killed_is_not_told_though_its_document_is_gone() {
    for point in ["call.before:1", "call.after:1"] {
        let project = project();
        let killed = project.command(&["apply", "--yes"]).env("TRUEUP_KILL_AT", point).output().unwrap();
        assert_eq!(killed.status.code(), None);
        project.remove("base/password.yaml").commit("gone");
        look(&project);
        clean(project.run(&["apply", "--yes", "-vv"])).expect_exit(0);
        assert_eq!(project.world().get("password.txt"), None, "{point}");
        look(&project);
        assert_eq!(found(project.outside()), [project.config().join("db")]);
    }
}

#[test]
fn a_secret_is_in_no_memory_of_a_plugin_before_it_is_opened() {
    let file = project_file("apply-peek", "http://127.0.0.1:9", ", secrets: [db]");
    let project = granted(&file);
    project.write(COMPONENT, hostile());
    project.write("trueup.lock", lock(&sha256(project.repo().join(COMPONENT))));
    project.write(".gitignore", "/site/\n/evil/\n.trueup/\n");
    let spec = "spec: {text: x, secret: \"${{ secret('db') }}\"}";
    project.write("base/t.yaml", format!("apiVersion: evil/v1\nkind: Thing\nmetadata: {{name: t}}\n{spec}\n"));
    fs::create_dir_all(project.repo().join("evil")).unwrap();
    project.commit("a peeking plugin");
    let run = clean(project.run(&["apply", "--yes", "--trust", "-vv"])).expect_exit(0);
    run.expect_text(&["attempt peek in scan: 0", "attempt peek before: 0", "attempt peek after: (true, true)"]);
}

#[test]
fn an_unchanged_secret_is_no_change() {
    let project = project();
    project.apply();
    let plan = project.plan();
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(0), "{plan}");
}

#[test]
fn a_document_that_waits_for_a_status_gets_its_secrets_too() {
    let project = project();
    let keep = "${{ ref('File/keep').status.sha256 }}";
    let both = format!("sensitiveContent: \"{keep} ${{{{ secret('db') }}}}\"");
    // In one text with what is waited for, and beside it in another field.
    project.write("base/both.yaml", password("both.txt", &both).replace("name: password", "name: both"));
    let mode = "mode: \"${{ '0' + string(600 + ref('File/keep').status.size) }}\"";
    let beside = password("beside.txt", &format!("{SEALED}, {mode}")).replace("name: password", "name: beside");
    project.write("base/beside.yaml", beside).commit("they wait");
    clean(project.run(&["apply", "--yes"])).expect_exit(0);
    let digest = sha256(project.site().join("keep.txt"));
    assert_eq!(fs::read_to_string(project.site().join("both.txt")).unwrap(), format!("{digest} {FIRST}"));
    assert_eq!(fs::read_to_string(project.site().join("beside.txt")).unwrap(), FIRST);
    clean(project.run(&["plan", "--detailed-exitcode"])).expect_exit(0);
}

#[test]
fn credentials_that_others_can_read_are_refused() {
    let project = project();
    for mode in [0o644, 0o640, 0o604] {
        set_mode(&project, mode);
        for command in [&["plan"][..], &["apply", "--yes"]] {
            clean(project.run(command)).expect_exit(1).expect_text(&["TU0502", "others can read or change it", "chmod 600"]);
        }
    }
    assert!(project.world().is_empty(), "nothing may be written");
    set_mode(&project, 0o600);
    project.apply();
}

#[test]
fn a_project_that_asks_for_a_secret_runs_only_when_trusted() {
    let project = Project::with(PROJECT);
    project.write("base/password.yaml", DOCUMENT).commit("a password");
    project.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["TU0501", "trueup trust"]);
}
