//! Builds the bundled plugins to Wasm components and embeds them, and the SDKs and templates of `trueup plugin new`.
//!
//! A nested cargo run with a target folder of its own keeps clear of the lock of the cargo run that we are part of.
//! `TRUEUP_BUNDLED_DIR` names a folder of ready components (`<name>.wasm`) for builds without the Wasm target.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs};

use sha2::{Digest as _, Sha256};

/// Name in `plugin:`, and the package that builds it.
const PLUGINS: &[(&str, &str)] = &[
    ("aws", "trueup-plugin-aws"),
    ("dns", "trueup-plugin-dns"),
    ("file", "trueup-plugin-file"),
    ("kubernetes", "trueup-plugin-kubernetes"),
];
const TARGET: &str = "wasm32-wasip2";

/// What `trueup plugin new` is made of, below the repository's root.
const KIT: &[&str] = &["Cargo.toml", "LICENSE", "plugin-sdk", "wit"];
/// What lies there and is nobody's source: what tools leave behind, and what only we need.
const NO_SOURCE: &[&str] = &["target", "node_modules", "__pycache__", ".venv", "build", "dist", "tests", "examples", "BUILD.md"];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    for watched in ["plugin-sdk", "plugins", "wit", "Cargo.toml", "LICENSE"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo::rerun-if-env-changed=TRUEUP_BUNDLED_DIR");
    let ready = env::var_os("TRUEUP_BUNDLED_DIR").map(PathBuf::from);
    let folder = ready.unwrap_or_else(|| build(&root, &out));

    let mut code = String::from("/// Every bundled plugin.\npub const ALL: &[Bundled] = &[\n");
    for (name, package) in PLUGINS {
        let built = folder.join(format!("{}.wasm", package.replace('-', "_")));
        let file = if built.exists() { built } else { folder.join(format!("{name}.wasm")) };
        let wasm = fs::read(&file).unwrap_or_else(|error| fail(&format!("cannot read {}: {error}", file.display())));
        let copy = out.join(format!("{name}.wasm"));
        fs::write(&copy, &wasm).unwrap_or_else(|error| fail(&format!("cannot write {}: {error}", copy.display())));
        let digest = Sha256::digest(&wasm).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let _ = writeln!(code, "    Bundled {{ name: {name:?}, sha256: {digest:?}, wasm: include_bytes!({copy:?}) }},");
    }
    code.push_str("];\n");
    let kit = kit(&root);
    fs::write(out.join("kit.rs"), kit)
        .unwrap_or_else(|error| fail(&format!("cannot write the list of the kit's files: {error}")));
    fs::write(out.join("bundled.rs"), code).unwrap_or_else(|error| fail(&format!("cannot write the list of plugins: {error}")));
}

/// A list of the kit's files, each with its path from the root and its bytes, sorted.
fn kit(root: &Path) -> String {
    let mut files = Vec::new();
    for name in KIT {
        sources(root, Path::new(name), &mut files);
    }
    files.sort();
    let mut code = String::from("/// Path from the root of the repository, and bytes.\nconst FILES: &[(&str, &[u8])] = &[\n");
    for file in files {
        let full = root.join(&file).canonicalize().unwrap_or_else(|error| fail(&format!("{}: {error}", file.display())));
        let _ = writeln!(code, "    ({:?}, include_bytes!({full:?})),", file.to_string_lossy());
    }
    code.push_str("];\n");
    code
}

fn sources(root: &Path, at: &Path, files: &mut Vec<PathBuf>) {
    let full = root.join(at);
    if full.is_file() {
        files.push(at.to_path_buf());
        return;
    }
    let entries = fs::read_dir(&full).unwrap_or_else(|error| fail(&format!("cannot read {}: {error}", full.display())));
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let left = [".wasm", ".pyc", ".swp", "~"].iter().any(|it| name.ends_with(it));
        if !left && !NO_SOURCE.contains(&name.as_str()) {
            sources(root, &at.join(name), files);
        }
    }
}

/// Builds every plugin and returns the folder that holds the components.
fn build(root: &Path, out: &Path) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = out.join("plugins");
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"]).arg(&target);
    for (_, package) in PLUGINS {
        command.args(["--package", package]);
    }
    // Flags and wrappers of the outer build are for the host, not for Wasm.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_ENCODED_RUSTFLAGS")
            || name == "RUSTFLAGS"
            || name == "CARGO_TARGET_DIR"
            || name == "RUSTC_WORKSPACE_WRAPPER"
        {
            command.env_remove(name);
        }
    }
    let output = command.output().unwrap_or_else(|error| fail(&format!("cannot start cargo for the bundled plugins: {error}")));
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        if text.contains(&format!("`{TARGET}` target may not be installed"))
            || text.contains("can't find crate for `core`")
            || text.contains("can't find crate for `std`")
        {
            fail(&format!("the Wasm target is missing; run: rustup target add {TARGET}"));
        }
        fail(&format!("the bundled plugins do not build:\n{text}"));
    }
    target.join(TARGET).join("release")
}

/// Tells cargo and the person who watches, and ends.
#[expect(clippy::print_stderr, reason = "a build script has no other way to talk")]
fn fail(message: &str) -> ! {
    eprintln!("{message}");
    println!("cargo::error={}", message.lines().next().unwrap_or_default());
    exit(1)
}
