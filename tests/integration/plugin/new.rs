//! `plugin new`, `build`, `show` and `dev`: from a name to a plan, in Rust, with the real cargo.
//!
//! The project's crates are compiled into a folder beside the test's binary, so that a second run is quick.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, io};

use trueup_tests::{Run, binary, tree};

/// Longest that a build may take on a busy machine.
const BUILT: Duration = Duration::from_secs(900);

/// A folder for plugins, and the binary in it.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("trueup-kit-").tempdir().expect("a temporary folder"))
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// A change to a file, which must hold the text.
    #[track_caller]
    fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(from), "{path} has no `{from}`");
        fs::write(self.path(path), text.replace(from, to)).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(binary());
        command.args(line.split(' ')).current_dir(self.0.path()).stdin(Stdio::null());
        // The toolchain is the user's: it lies in the home.
        for name in
            ["CARGO_MANIFEST_DIR", "CARGO_PROFILE_RELEASE_OPT_LEVEL", "CARGO_INCREMENTAL", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"]
        {
            command.env_remove(name);
        }
        let beside = |name: &str| binary().with_file_name(name);
        command.env("CARGO_TARGET_DIR", beside("plugin-build")).env("XDG_CACHE_HOME", beside("test-cache"));
        command.env("XDG_CONFIG_HOME", self.path("config")).env("NO_COLOR", "1");
        command
    }

    fn run(&self, line: &str) -> Run {
        Run::of(self.command(line).output().expect("the binary runs"))
    }
}

/// A run that goes on beside the test; ended with the value.
struct Beside {
    child: Child,
    log: PathBuf,
}

impl Beside {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let out = File::create(&log).unwrap();
        let child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().expect("the binary runs");
        Self { child, log }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        File::open(&self.log).and_then(|mut it| it.read_to_string(&mut text)).unwrap_or_default();
        text
    }

    /// Waits until what it said after `from` bytes holds a text; where that ends.
    #[track_caller]
    fn said(&mut self, from: usize, wanted: &str) -> usize {
        let late = Instant::now() + BUILT;
        loop {
            let text = self.text();
            if let Some(at) = text.get(from..).and_then(|it| it.find(wanted)) {
                return from + at + wanted.len();
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("it ended ({status}) before it said `{wanted}`:\n{text}");
            }
            assert!(Instant::now() < late, "it never said `{wanted}`:\n{text}");
            sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).map(|it| it.port()).expect("a port")
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Gives a project's example a port of its own: tests run at the same time.
fn own_port(desk: &Desk, plugin: &str) -> u16 {
    let port = free_port();
    desk.edit(&format!("{plugin}/example/trueup.yaml"), "127.0.0.1:8080", &format!("127.0.0.1:{port}"));
    port
}

#[test]
fn a_new_plugin_in_rust_builds_is_shown_plans_on_each_save_and_ends_with_its_server() -> io::Result<()> {
    let desk = Desk::new();
    let made = desk.run("plugin new my-tickets --lang rust tickets").expect_exit(0);
    made.expect_text(&["src/lib.rs", "plugin.yaml", "cd tickets", "trueup plugin build"]).expect_no_text(&["{{"]);
    let lock = fs::read(desk.path("tickets/Cargo.lock"))?;

    let built = desk.run("-C tickets plugin build").expect_exit(0);
    let built = built.expect_text(&["my-tickets 0.1.0", "build/my-tickets.wasm", "now in example/trueup.lock", "Ticket"]);
    assert_eq!(built.stdout.matches("sha256").count(), 1, "{built}");
    assert_eq!(fs::read(desk.path("tickets/Cargo.lock"))?, lock, "the lock that comes along is complete");
    let again = desk.run("-C tickets plugin build -o json").expect_exit(0).json();
    assert_eq!((&again["format"], &again["pinned"]), (&"trueup.build/1".into(), &false.into()), "{again}");
    let digest = again["sha256"].as_str().unwrap();
    assert!(fs::read_to_string(desk.path("tickets/example/trueup.lock"))?.contains(digest));

    desk.run("plugin show tickets")
        .expect_exit(0)
        .expect_text(&[digest, "to send requests to what `server` of its settings names", "as `token` (bearer)", "http, secrets"])
        .expect_text(&["wasi", "priority", "default 3", "secret, never read back", "kind Ticket"]);

    let port = own_port(&desk, "tickets");
    let mut dev = Beside::start(desk.command("plugin dev tickets"), desk.path("dev.log"));
    let said = dev.said(0, "watching for changes");
    let text = dev.text();
    for part in ["starting the test's server", "The door is broken", "Plan: 2 to add", "(secret)"] {
        assert!(text.contains(part), "`{part}` is missing:\n{text}");
    }
    assert!(listens(port) && !text.contains("s3cret-hook-value"), "{text}");
    // What to type next is short enough to read, and a shell takes it as it stands.
    let next = text.split("\nNext: ").nth(1).and_then(|it| it.split("\n\n").next()).unwrap_or_else(|| panic!("{text}"));
    assert!(next.contains("-C tickets/example") && next.contains("--credentials tickets/build/dev/credentials.yaml"), "{next}");
    assert!(next.lines().all(|it| it.len() <= 100 - "Next: ".len()), "{next}");

    // The example alone: planned again, and nothing is built.
    desk.edit("tickets/example/base/tickets.yaml", "title: Buy a new door", "title: Buy a newer door");
    let said = dev.said(said, "Buy a newer door");
    let said = dev.said(said, "watching for changes");
    assert_eq!(dev.text().matches("building build/").count(), 1, "{}", dev.text());

    // A source that does not compile: cargo's own words, and it goes on.
    desk.edit("tickets/src/lib.rs", "From 1, urgent, to 5.\n", "From 1, urgent, to 5.\n    nonsense!\n");
    let said = dev.said(said, "watching for changes");
    for part in ["src/lib.rs:", "error[TU0704]", "its messages stand above"] {
        assert!(dev.text().contains(part), "`{part}` is missing:\n{}", dev.text());
    }
    // Mended, with another default: the second plan is made by the new component.
    desk.edit("tickets/src/lib.rs", "    nonsense!\n", "");
    desk.edit("tickets/src/lib.rs", "default = 3", "default = 4");
    let said = dev.said(said, "now in example/trueup.lock");
    dev.said(said, "watching for changes");
    let text = dev.text();
    assert!(text.get(said..).is_some_and(|it| it.contains("priority") && it.contains('4')), "{text}");

    dev.signal("-INT");
    let status = dev.child.wait()?;
    assert_eq!(status.code(), Some(0), "{}", dev.text());
    assert!(!listens(port), "the server outlives `plugin dev`");

    // Its own tests, as the README says.
    let mut tests = Command::new("cargo");
    tests.args(["test", "--quiet", "--locked", "--release"]).current_dir(desk.path("tickets")).env_remove("RUSTUP_TOOLCHAIN");
    let tests = tests.env("CARGO_TARGET_DIR", binary().with_file_name("plugin-build")).output()?;
    assert!(tests.status.success(), "{}", Run::of(tests));
    Ok(())
}

#[test]
fn what_cannot_be_begun_is_refused_and_nothing_is_written() {
    let desk = Desk::new();
    desk.write("full/keep.txt", "mine");
    desk.write("file", "");
    let check = |line: &str, exit: i32, parts: &[&str]| {
        desk.run(line).expect_exit(exit).expect_text(parts);
    };
    check("plugin new full --lang rust", 1, &["error[TU0507]: the folder `", "is not empty", "nothing was changed"]);
    check("plugin new other --lang rust file", 1, &["is no folder"]);
    for (name, language, words) in
        [("file", "go", "it is a plugin that comes with trueup"), ("dns", "rust", "it is a plugin that comes with trueup")]
    {
        check(&format!("plugin new {name} --lang {language}"), 64, &["is no name for a plugin", words]);
    }
    for name in ["Tickets", "1st", "null", "apps", "a_b", "../x"] {
        check(&format!("plugin new {name} --lang rust"), 64, &["is no name for a plugin"]);
    }
    check("plugin new tickets --lang perl", 64, &["perl", "rust, python, js, go"]);
    check("plugin new tickets", 64, &["--lang"]);
    assert_eq!(tree(desk.0.path()).keys().collect::<Vec<_>>(), ["file", "full/", "full/keep.txt"]);
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let desk = Desk::new();
    let nothing = desk.path("empty");
    fs::create_dir(&nothing).unwrap();
    for (language, tool, install) in [
        ("rust", "cargo", "sh.rustup.rs"),
        ("python", "componentize-py", ".venv/bin/pip install -r requirements.txt"),
        ("js", "node", "nodejs.org"),
        ("go", "go", "go.dev/doc/install"),
    ] {
        let plugin = format!("apiVersion: trueup.dev/v1\nkind: Plugin\nmetadata: {{name: a}}\nbuild: {{language: {language}}}\n");
        desk.write(&format!("{language}/plugin.yaml"), &plugin);
        let mut command = desk.command(&format!("plugin build {language}"));
        Run::of(command.env("PATH", &nothing).output().unwrap()).expect_exit(1).expect_text(&[
            &format!("error[TU0704]: there is no `{tool}`"),
            "help: install it: ",
            install,
        ]);
    }
    // A Rust without the target: a rustc that says where its libraries would be.
    for (name, script) in [("cargo", "exit 1"), ("rustc", "echo /no/such/folder")] {
        desk.write(&format!("empty/{name}"), &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(desk.path(&format!("empty/{name}")), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut path = vec![nothing];
    path.push(PathBuf::from("/bin"));
    let mut command = desk.command("plugin build rust");
    Run::of(command.env("PATH", env::join_paths(path).unwrap()).output().unwrap())
        .expect_exit(1)
        .expect_text(&["Rust's target `wasm32-wasip2` is not installed", "rustup target add wasm32-wasip2"]);
}

#[test]
fn a_build_by_a_command_of_the_authors_is_judged_by_what_it_leaves() {
    let desk = Desk::new();
    let plugin = |command: &str| {
        format!(
            "apiVersion: trueup.dev/v1\nkind: Plugin\nmetadata: {{name: a}}\nbuild: {{command: {command}, component: out/a.wasm}}\n"
        )
    };
    let check = |command: &str, parts: &[&str]| {
        desk.write("a/plugin.yaml", &plugin(command));
        desk.run("plugin build a").expect_exit(1).expect_text(parts);
    };
    check("[sh, -c, \"echo no rule >&2; exit 7\"]", &["no rule\n", "`sh` failed (exit status: 7)"]);
    check("[\"true\"]", &["`true` did not write `out/a.wasm`"]);
    check("[no-such-program]", &["there is no `no-such-program` on the PATH"]);
    check("[sh, -c, \"mkdir -p out; echo x > out/a.wasm\"]", &["error[TU0700]", "was built, and is refused"]);
    desk.write("a/plugin.yaml", "apiVersion: trueup.dev/v1\nkind: Plugin\nmetadata: {name: a}\nbuild: {languge: rust}\n");
    desk.run("plugin build a").expect_exit(1).expect_text(&["plugin.yaml:4", "did you mean `language`?"]);
    desk.run("plugin build .").expect_exit(1).expect_text(&["error[TU0507]", "plugin new NAME"]);
    desk.run("plugin build nowhere").expect_exit(1).expect_text(&["cannot open the folder"]);
}

#[test]
fn a_stopped_build_stops_the_compiler() {
    let desk = Desk::new();
    let beat = desk.path("beat");
    let script = format!("while true; do echo x >> {}; sleep 0.05; done", beat.display());
    desk.write(
        "a/plugin.yaml",
        &format!("apiVersion: trueup.dev/v1\nkind: Plugin\nmetadata: {{name: a}}\nbuild: {{command: [sh, -c, {script:?}], component: a.wasm}}\n"),
    );
    let mut build = Beside::start(desk.command("plugin build a"), desk.path("build.log"));
    let late = Instant::now() + Duration::from_secs(60);
    while !beat.exists() && Instant::now() < late {
        sleep(Duration::from_millis(20));
    }
    build.signal("-INT");
    let status = build.child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{}", build.text());
    let size = |path: &Path| path.metadata().unwrap().len();
    let before = size(&beat);
    sleep(Duration::from_millis(300));
    assert_eq!(size(&beat), before, "the compiler still runs");
}
