//! Projects from elsewhere (`--source`): over smart HTTP from a real `git http-backend`, and from repositories on this machine.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use trueup_tests::git_server::{Reply, Request, Server, response};
use trueup_tests::guests::{COMPONENT, hostile, hostile_project};
use trueup_tests::{PROJECT, Project, Run, document, private, tree};

/// A project whose files land in `<outside>/target`, the server that it is fetched from, and what fetches asked for.
struct World {
    project: Project,
    server: Server,
    /// Bodies of the requests for packs.
    asked: Arc<Mutex<Vec<String>>>,
}

impl World {
    /// Two files, committed and not applied.
    fn new() -> Self {
        let project = Project::new();
        let target = project.outside().join("target");
        fs::create_dir(&target).unwrap();
        project.write("trueup.yaml", PROJECT.replace("./site", target.to_str().unwrap()));
        project.declare("a", "a.txt", "one\n").declare("b", "b.txt", "two\n").commit("two files");
        let server = Server::new(project.outside());
        Self { project, server, asked: Arc::default() }
    }

    /// From now on only requests with this header are answered as `git` does.
    fn ask_for(&self, authorization: &'static str) {
        let asked = self.asked.clone();
        self.server.on(move |request: &Request| {
            if request.is_fetch() {
                asked.lock().unwrap().push(String::from_utf8_lossy(&request.body).into_owned());
            }
            match request.headers.get("authorization").is_some_and(|it| it == authorization) {
                true => Reply::Git,
                false => response("401 Unauthorized", "WWW-Authenticate: Basic realm=\"git\"\r\n", b"no"),
            }
        });
    }

    /// `credentials.yaml` with one entry for this server; its values are in files and in the environment.
    fn credentials(&self, means: &str) {
        let text = format!("credentials:\n  forge: {{git: true, origins: [\"http://{}\"], {means}}}\n", self.server.addr);
        self.project.configure("credentials.yaml", text);
    }

    fn secret(&self, value: &str) -> PathBuf {
        let file = self.project.outside().join("secret");
        private(&file, format!("{value}\n"));
        file
    }

    /// Runs a verb on the project at the server, from a folder that has nothing to do with it.
    fn run(&self, arguments: &[&str]) -> Run {
        let url = self.server.url();
        let arguments = [arguments, &["--source", &url, "--trust"]].concat();
        Run::of(self.project.command(&arguments).current_dir(self.project.home()).output().unwrap())
    }

    fn target(&self) -> Vec<(String, String)> {
        tree(&self.project.outside().join("target")).into_iter().collect()
    }
}

fn files(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_project_is_planned_and_applied_over_http_with_a_token_and_only_what_is_new_crosses_the_network() {
    let world = World::new();
    world.ask_for("Bearer c4nary-token");
    world.credentials(&format!("bearer: {{file: {}}}", world.secret("c4nary-token").display()));
    world.run(&["plan"]).expect_exit(0).expect_text(&["File/a", "File/b", "2 to add"]);
    world.run(&["apply", "--yes"]).expect_exit(0).expect_no_text(&["c4nary"]);
    assert_eq!(world.target(), files(&[("a.txt", "one\n"), ("b.txt", "two\n")]));
    let first = world.project.git(&["rev-parse", "HEAD"]);
    assert_eq!(world.asked.lock().unwrap().len(), 1, "the second run found nothing new");

    world.project.declare("a", "a.txt", "other\n").remove("base/b.yaml").commit("a changes, b goes");
    world.run(&["apply", "--yes"]).expect_exit(0);
    assert_eq!(world.target(), files(&[("a.txt", "other\n")]));
    let asked = world.asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert!(!asked[0].contains("have ") && asked[1].contains(&format!("have {}", first.trim())), "{asked:?}");
}

#[test]
fn basic_credentials_are_sent_and_wrong_ones_are_told_of_without_a_value() {
    let world = World::new();
    // mia:hunter-c4nary
    world.ask_for("Basic bWlhOmh1bnRlci1jNG5hcnk=");
    let basic = |secret: &str| {
        let user = world.project.outside().join("user");
        fs::write(&user, "mia\n").unwrap();
        let file = world.secret(secret);
        world.credentials(&format!("basic: {{user: {{file: {}}}, password: {{file: {}}}}}", user.display(), file.display()));
    };
    basic("hunter-c4nary");
    world.run(&["apply", "--yes"]).expect_exit(0).expect_no_text(&["c4nary"]);
    let before = world.target();
    assert_eq!(before.len(), 2);

    world.project.remove("base/b.yaml").commit("b goes");
    basic("wrong-c4nary");
    for verb in [&["plan"][..], &["apply", "--yes"]] {
        world.run(verb).expect_exit(1).expect_text(&["TU0001", "HTTP 401", "git: true"]).expect_no_text(&["c4nary"]);
    }
    fs::remove_file(world.project.config().join("credentials.yaml")).unwrap();
    world.run(&["apply", "--yes"]).expect_exit(1).expect_text(&["HTTP 401", "credentials.yaml"]);
    assert_eq!(world.target(), before, "nothing goes on a source that was not read");
    basic("hunter-c4nary");
    world.run(&["apply", "--yes"]).expect_exit(0);
    assert_eq!(world.target(), files(&[("a.txt", "one\n")]));
}

#[test]
fn a_server_that_is_down_means_try_again_and_everything_stays() {
    let world = World::new();
    world.run(&["apply", "--yes"]).expect_exit(0);
    let before = world.target();
    world.project.remove("base/a.yaml").commit("a goes");
    for down in [|| response("503 Service Unavailable", "", b"later"), || Reply::Raw(Vec::new())] {
        world.server.on(move |_| down());
        world.run(&["plan"]).expect_exit(75).expect_text(&["TU0001"]);
        let failed = world.run(&["apply", "--yes", "-o", "json"]).expect_exit(75).json();
        assert_eq!(failed["error"]["code"], "TU0001", "{failed}");
        assert_eq!(world.target(), before);
    }
    world.server.on(|_| Reply::Git);
    world.run(&["apply", "--yes"]).expect_exit(0);
    assert_eq!(world.target(), files(&[("b.txt", "two\n")]));
}

#[test]
fn documents_come_from_the_revision_that_is_named_and_settings_from_the_default_branch() {
    let world = World::new();
    let project = &world.project;
    project.git(&["tag", "first"]);
    let first = project.git(&["rev-parse", "HEAD"]);
    project.git(&["checkout", "-q", "-b", "feature"]);
    let elsewhere = project.outside().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    project.write("trueup.yaml", PROJECT.replace("./site", elsewhere.to_str().unwrap()));
    project.declare("a", "a.txt", "of the feature\n").commit("a feature that wants another folder");
    project.git(&["checkout", "-q", "main"]);
    project.declare("c", "c.txt", "three\n").commit("main goes on");

    let bare = project.outside().join("a bare one.git");
    project.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    let local = |arguments: &[&str]| {
        let arguments = [arguments, &["--source", bare.to_str().unwrap(), "--trust"]].concat();
        Run::of(project.command(&arguments).current_dir(project.home()).output().unwrap())
    };
    let remote = |arguments: &[&str]| world.run(arguments);
    for run in [&remote as &dyn Fn(&[&str]) -> Run, &local] {
        run(&["apply", "--yes", "--rev", "feature"]).expect_exit(0);
        assert_eq!(world.target(), files(&[("a.txt", "of the feature\n"), ("b.txt", "two\n")]));
        assert!(tree(&elsewhere).is_empty(), "no branch decides where its files go");
        run(&["apply", "--yes"]).expect_exit(0);
        assert_eq!(world.target().len(), 3);
        for rev in ["first", first.trim()] {
            let plan = run(&["plan", "-o", "json", "--rev", rev]).expect_exit(0).json();
            assert_eq!((&plan["revision"], &plan["summary"]["delete"]), (&first.trim().into(), &1.into()), "{plan}");
        }
        run(&["plan", "--rev", "nope"]).expect_exit(1).expect_text(&["nope"]);
        run(&["plan", "--worktree"]).expect_exit(64).expect_text(&["--worktree"]);
    }
}

#[test]
fn a_folder_of_the_operators_stands_for_the_projects_own_and_nothing_of_it_is_free() {
    let project = Project::new();
    project.declare("a", "a.txt", "one\n").commit("one file below the project's own folder");
    let repo = project.repo();
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--source", repo.to_str().unwrap()]].concat();
        Run::of(project.command(&arguments).current_dir(project.home()).output().unwrap())
    };
    let sources = project.home().join(".local/state/trueup/sources");
    run(&["plan"]).expect_exit(1).expect_text(&["TU0501", "trueup trust"]);
    run(&["trust"]).expect_text(&[sources.to_str().unwrap()]);
    run(&["validate"]).expect_exit(0);
    run(&["apply", "--yes", "--trust"]).expect_exit(0);
    let written: Vec<String> = tree(&sources).into_keys().collect();
    assert!(written.iter().any(|it| it.ends_with("/site/a.txt")), "{written:?}");
    assert!(!project.site().exists(), "the repository is read and never written to");
    // Agreed to once, for exactly this source.
    run(&["trust", "--yes"]).expect_exit(0);
    run(&["plan"]).expect_exit(0).expect_text(&["No changes"]);
    let clone = project.outside().join("clone");
    project.git(&["clone", "-q", ".", clone.to_str().unwrap()]);
    let other = ["plan", "--source", clone.to_str().unwrap()];
    Run::of(project.command(&other).current_dir(project.home()).output().unwrap()).expect_exit(1).expect_text(&["TU0501"]);
    // The same words from another folder mean another source.
    let (here, there) = (project.outside().join("here/in"), project.outside().join("there/in"));
    for (folder, source) in [(&here, &repo), (&there, &clone)] {
        fs::create_dir_all(folder).unwrap();
        std::os::unix::fs::symlink(source, folder.parent().unwrap().join("shop")).unwrap();
    }
    let from = |folder: &std::path::Path| {
        Run::of(project.command(&["plan", "--source", "../shop"]).current_dir(folder).output().unwrap())
    };
    from(&here).expect_exit(0).expect_text(&["No changes"]);
    from(&there).expect_exit(1).expect_text(&["TU0501"]);
}

#[test]
fn the_folder_that_one_stands_in_is_not_free_for_a_project_from_elsewhere() {
    let project = Project::new();
    let target = project.outside().join("target");
    fs::create_dir(&target).unwrap();
    project
        .write("trueup.yaml", PROJECT.replace("./site", target.to_str().unwrap()))
        .declare("a", "a.txt", "one\n")
        .commit("one");
    let repo = project.repo();
    for folder in [project.outside(), std::path::Path::new("/")] {
        let mut command = project.command(&["plan", "--source", repo.to_str().unwrap()]);
        Run::of(command.current_dir(folder).output().unwrap()).expect_exit(1).expect_text(&["TU0501", "trueup trust"]);
    }
}

#[test]
fn a_path_inside_the_source_is_the_project() {
    let world = World::new();
    let settings = fs::read_to_string(world.project.repo().join("trueup.yaml")).unwrap();
    world.project.write("infra/trueup.yaml", settings).write("infra/base/x.yaml", document("x", "x.txt", "inside\n"));
    world.project.commit("a project further in");
    world.run(&["apply", "--yes", "--path", "infra"]).expect_exit(0);
    assert_eq!(world.target(), files(&[("x.txt", "inside\n")]));
    world.run(&["plan", "--path", "nowhere"]).expect_exit(1).expect_text(&["nowhere"]);
    world.run(&["plan", "--path", "../infra"]).expect_exit(1);
}

#[test]
fn a_plugin_of_the_projects_own_is_taken_from_the_source_that_it_is_committed_to() {
    let project = hostile_project("honest", "");
    let repo = project.repo();
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--source", repo.to_str().unwrap(), "--trust"]].concat();
        Run::of(project.command(&arguments).current_dir(project.home()).output().unwrap())
    };
    run(&["apply", "--yes"]).expect_exit(0);
    run(&["plan"]).expect_exit(0).expect_text(&["No changes"]);
    run(&["plugin", "show", "evil"]).expect_exit(0).expect_text(&["hostile", "Thing"]);
    // What lies in the folder here, and is not committed, is not part of the source.
    fs::write(repo.join(COMPONENT), [hostile(), &[0, 2, 1, b'x']].concat()).unwrap();
    run(&["plan"]).expect_exit(0).expect_text(&["No changes"]);
    project.commit("another plugin");
    run(&["plan"]).expect_exit(1).expect_text(&["TU0503", "provider `evil`: plugin `./evil.wasm` is sha256"]);
    project.remove(COMPONENT).commit("no plugin");
    run(&["plan"]).expect_exit(1).expect_text(&["TU0700", "provider `evil`: `./evil.wasm` is not committed at", "commit it"]);
    run(&["plugin", "show", "evil"]).expect_exit(1).expect_text(&["`./evil.wasm` is not committed at"]);
}
