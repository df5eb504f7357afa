//! The guests of the tests: the hostile one with projects that run it, and the provider of tickets with its bugs.
//!
//! The component is built here, once a test binary: it is only ever a test's, so that no other build needs it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use crate::{Project, document};

/// Name of the plugin's file in a project's repository.
pub const COMPONENT: &str = "evil.wasm";

/// The hostile component's bytes, as `tests/guests` builds it.
///
/// # Panics
///
/// Where it does not build; the message holds what cargo said.
pub fn hostile() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| build("trueup-guest-hostile"))
}

/// The provider of tickets with this bug in it, as `tests/mutants` builds it; `honest` has none.
///
/// # Panics
///
/// As [`hostile`], and where the name is too long.
pub fn mutant(name: &str) -> Vec<u8> {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let mut bytes = BYTES.get_or_init(|| build("trueup-guest-mutants")).clone();
    let place = bytes.windows(14).position(|it| it == b"@mutant=honest").expect("the component says which bug it has");
    let place = bytes.get_mut(place + 8..place + 48).expect("room for a name");
    assert!(name.len() < place.len(), "{name}");
    place.fill(b'@');
    place[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// Builds one of the guests.
fn build(package: &str) -> Vec<u8> {
    let folder = env::current_exe().expect("the test's own path").with_file_name("guest-build");
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "--target", "wasm32-wasip2", "-p", package, "--target-dir"])
        .arg(&folder)
        .current_dir(workspace)
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_PROFILE_RELEASE_OPT_LEVEL")
        .env_remove("CARGO_INCREMENTAL")
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "the guest does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    let file = folder.join(format!("wasm32-wasip2/release/{}.wasm", package.replace('-', "_")));
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A project file with an honest provider `site` and the hostile one, `evil`, which behaves as `mode` says; `url` is
/// where it sends requests, `rights` are further keys of it (`, secrets: [x]`).
pub fn project_file(mode: &str, url: &str, rights: &str) -> String {
    format!(
        r#"apiVersion: trueup.dev/v1
kind: Project
metadata: {{name: shop, id: 4f0c9a000000000000000000000000aa}}
providers:
  site: {{plugin: file, config: {{root: ./site}}, dirs: ["./site"]}}
  evil: {{plugin: ./{COMPONENT}, config: {{root: ./evil, mode: {mode}, url: "{url}"}}, dirs: ["./evil"]{rights}}}
environments:
  prod: {{layers: [base]}}
"#
    )
}

/// A `Thing` document of the hostile provider; `render` is what it is to do wrong in `render`, if anything.
pub fn thing(name: &str, render: &str) -> String {
    let render = if render.is_empty() { String::new() } else { format!(", render: {render}") };
    format!("apiVersion: evil/v1\nkind: Thing\nmetadata: {{name: {name}}}\nspec: {{text: x{render}}}\n")
}

/// A committed project: the pinned component, one `Thing` named `t`, and one file `a.txt` of `site` with the text `one`.
pub fn hostile_project(mode: &str, render: &str) -> Project {
    let project = Project::with(&project_file(mode, "http://127.0.0.1:9", ""));
    project.write(COMPONENT, hostile());
    project.write("trueup.lock", lock(&sha256(hostile_file(&project))));
    project.write(".gitignore", "/site/\n/evil/\n.trueup/\n");
    project.write("base/a.yaml", document("a", "a.txt", "one"));
    project.write("base/t.yaml", thing("t", render));
    fs::create_dir_all(project.repo().join("evil")).expect("a folder");
    project.commit("hostile");
    project
}

fn hostile_file(project: &Project) -> PathBuf {
    project.repo().join(COMPONENT)
}

/// A `trueup.lock` that pins the component.
pub fn lock(sha256: &str) -> String {
    format!("{{\"format\": 1, \"plugins\": {{\"./{COMPONENT}\": {{\"sha256\": \"{sha256}\"}}}}, \"schemas\": {{}}}}\n")
}

/// Digest of a file, by the system's `sha256sum`, as a person would pin it.
pub fn sha256(file: PathBuf) -> String {
    let output = Command::new("sha256sum").arg(&file).output().expect("sha256sum runs");
    assert!(output.status.success(), "{}", file.display());
    String::from_utf8_lossy(&output.stdout).split_whitespace().next().expect("a digest").to_owned()
}
