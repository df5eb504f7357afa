//! What takes long before anything is changed says what it is, to people, once it does.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use trueup_tests::git_server::{Reply, Server};
use trueup_tests::guests::{hostile_project, project_file};
use trueup_tests::{PROJECT, Project, Run};

/// Longer than a run is silent.
const LONG: Duration = Duration::from_millis(2600);

/// The lines of standard error that say what is being done.
fn told(run: &Run) -> Vec<&str> {
    run.stderr.lines().filter(|it| it.ends_with(" …")).collect()
}

#[test]
fn a_slow_fetch_is_told_of_to_people_and_a_quick_one_to_nobody() {
    let project = Project::with(PROJECT);
    project.declare("a", "a.txt", "one\n").commit("one file");
    let server = Server::new(project.outside());
    let url = server.url();
    let plan = |more: &[&str]| project.run(&[&["plan", "--trust", "--source", &url], more].concat()).expect_exit(0);
    assert!(told(&plan(&[])).is_empty());
    server.on(|request| {
        if request.target.contains("info/refs") {
            std::thread::sleep(LONG);
        }
        Reply::Git
    });
    let run = plan(&[]);
    assert_eq!(told(&run), [format!("fetching {url} …")], "{run}");
    for silent in [&["-q"][..], &["-o", "json"]] {
        let run = plan(silent);
        assert!(!run.stderr.contains("fetching"), "{silent:?} {run}");
    }
    let line = format!("plan --trust --source {url}");
    project.at_terminal(&line, "").expect_exit(0).expect_text(&[&format!("fetching {url}"), "File/a"]);
}

#[test]
fn a_slow_look_at_the_world_is_told_of_by_every_verb_that_looks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                std::thread::sleep(LONG);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            });
        }
    });
    let project = hostile_project("honest", "");
    let rights = format!(r#", hosts: ["{origin}"]"#);
    project.write("trueup.yaml", project_file("scan-slow", &origin, &rights)).commit("a slow one");
    for (verb, exit) in [
        (&["plan"][..], 0),
        (&["adopt", "--declared", "--yes"], 0),
        // There is nothing to list.
        (&["adopt", "--provider", "evil", "--kind", "Thing"], 64),
        (&["apply", "--yes"], 0),
        (&["destroy", "--yes", "--allow-deletes", "9"], 0),
    ] {
        let run = project.run(&[verb, &["--trust"]].concat()).expect_exit(exit);
        assert_eq!(told(&run), ["looking at what there is …"], "{verb:?} {run}");
    }
}
