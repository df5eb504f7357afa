//! docs/tutorial.md, typed in as it stands: from nothing to a plugin that is tested, used and handed on. In CI in Rust and
//! JavaScript, with `--long` in all four languages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use trueup_tests::servers::free_port;
use trueup_tests::servers::registry::{Login, Registry};
use trueup_tests::{Run, binary, long};

/// The page as a script in one language. `port` takes the place of 8080, `registry` of 5000.
fn script(language: &str, port: u16, registry: u16) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tutorial.md")).expect("the tutorial");
    let row: Vec<&str> = page
        .lines()
        .find(|it| it.starts_with(&format!("| {language} |")))
        .unwrap_or_else(|| panic!("the tutorial has no row for {language}"))
        .split('|')
        .map(|it| it.split('`').nth(1).unwrap_or_default())
        .collect();
    let (tools, server) = (row[2], row[3]);
    let mut out = String::from("set -euo pipefail\n");
    let mut typed = false;
    for line in page.lines() {
        match line {
            "```sh" => typed = true,
            "```" => typed = false,
            "<!-- tools -->" => out.push_str(&format!("{tools}\n")),
            "<!-- server -->" => out.push_str(&format!(
                // A group of its own, as `go run` and `cargo run` leave the server behind when they are killed.
                "set -m\n(cd ../tickets && {server}) </dev/null & server=$!\nset +m\ntrap 'kill -- -$server' EXIT\n\
                 for _ in $(seq 600); do curl --silent http://127.0.0.1:8080/requests >/dev/null && break; sleep 0.1; done\n"
            )),
            line if typed => out.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    let out = out.replace("--lang python", &format!("--lang {language}"));
    out.replace("8080", &port.to_string()).replace("127.0.0.1:5000", &format!("127.0.0.1:{registry}"))
}

/// Types it, in an empty folder, as a user without settings.
fn type_in(language: &str) {
    let folder = tempfile::Builder::new().prefix("trueup-tutorial-").tempdir().unwrap();
    let registry = Registry::start(&Login::Nobody);
    let text = script(language, free_port(), registry.port);
    let bin = binary();
    let path = format!("{}:{}", bin.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let home = folder.path().join("settings");
    let mut command = Command::new("bash");
    command.args(["-x", "-c", &text]).current_dir(folder.path()).stdin(Stdio::null()).env("PATH", path);
    for name in ["CARGO_MANIFEST_DIR", "CARGO_INCREMENTAL", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "VIRTUAL_ENV", "GOFLAGS"] {
        command.env_remove(name);
    }
    // What cargo builds of the project's crates lies beside the test's own, so that a second run is quick.
    command.env("CARGO_TARGET_DIR", cache("plugin-build")).env("XDG_CACHE_HOME", cache("test-cache"));
    command.env("XDG_CONFIG_HOME", &home).env("NO_COLOR", "1");
    for (name, value) in [("NAME", "author"), ("EMAIL", "author@example.com")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let run = Run::of(command.output().expect("bash")).expect_exit(0);
    run.expect_text(&["The plan is the same", "T-1"]);
}

fn cache(name: &str) -> PathBuf {
    binary().with_file_name(name)
}

#[test]
fn the_tutorial_works_in_rust() {
    type_in("rust");
}

#[test]
fn the_tutorial_works_in_javascript() {
    type_in("js");
}

#[test]
fn the_tutorial_works_in_python() {
    if long() {
        type_in("python");
    }
}

#[test]
fn the_tutorial_works_in_go() {
    if long() {
        type_in("go");
    }
}
