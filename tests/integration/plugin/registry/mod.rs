//! Plugins from registries: the good ways on a real one, what is refused on a hand-made one.

mod carried;
mod good;
mod hostile;
mod login;
mod upgrade;

use std::fs;
use std::path::{Path, PathBuf};

use trueup_tests::guests::{hostile, thing};
use trueup_tests::servers::registry::openssl_key;
use trueup_tests::{Project, Run};

/// A project whose provider `evil` is the plugin of this text, with one `Thing`, not committed.
pub(super) fn project(plugin: &str) -> Project {
    let text = format!(
        "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {{name: shop, id: 4f0c9a000000000000000000000000aa}}\nproviders:\n  \
         evil: {{plugin: \"{plugin}\", config: {{root: ./evil, mode: honest, url: \"http://127.0.0.1:9\"}}, dirs: [\"./evil\"]}}\n\
         environments:\n  prod: {{layers: [base]}}\n"
    );
    let project = Project::with(&text);
    project.write(".gitignore", "/evil/\n.trueup/\n/made/\n").write("base/t.yaml", thing("t", ""));
    fs::create_dir_all(project.repo().join("evil")).unwrap();
    project
}

/// The honest component in a file outside of any repository.
pub(super) fn component(project: &Project) -> PathBuf {
    let file = project.outside().join("thing.wasm");
    fs::write(&file, hostile()).unwrap();
    file
}

/// The component, in a version that asks for more and knows one field more.
pub(super) fn eager() -> Vec<u8> {
    let (from, to) = (b"@describe=honest@", b"@describe=eager@@");
    let mut bytes = hostile().to_vec();
    let at = bytes.windows(from.len()).position(|it| it == from).expect("the marker");
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

/// A fresh cache: nothing was fetched or compiled in it.
pub(super) fn fresh(project: &Project, name: &str) -> PathBuf {
    let cache = project.outside().join(name);
    fs::create_dir_all(&cache).unwrap();
    cache
}

/// Runs with this cache.
#[track_caller]
pub(super) fn cached(project: &Project, cache: &Path, arguments: &[&str]) -> Run {
    Run::of(project.command(arguments).env("XDG_CACHE_HOME", cache).output().expect("the binary runs"))
}

/// Components that were kept in a cache.
pub(super) fn kept(cache: &Path) -> Vec<String> {
    let entries = fs::read_dir(cache.join("trueup/oci")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|it| it.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A key made by openssl, trusted under this name; path of its private half.
pub(super) fn trusted_key(project: &Project, name: &str) -> String {
    openssl_key(project.outside(), name, &["-algorithm", "ed25519"]);
    let public = fs::read(project.outside().join(format!("{name}.pub"))).unwrap();
    project.configure(&format!("plugin-keys/{name}.pub"), public);
    project.outside().join(format!("{name}.key")).display().to_string()
}

/// `credentials.yaml` of the operator, with a file for the password.
pub(super) fn credentials(project: &Project, entries: &str, password: &str) {
    for (name, text) in [("credentials.yaml", entries), ("user", "mia"), ("password", password)] {
        project.configure(name, text);
    }
}
