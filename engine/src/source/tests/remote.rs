use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use trueup_core::diagnostic::codes;

use super::super::child::{Order, main};
use super::super::{Commit, FetchLimits, Fetcher, Remote, RemoteUrl, Source, SourceError};
use super::server::{Reply, Request, Server, children, response};
use super::{Repository, paths, text};

/// A server, a repository that it serves, and a cache.
pub(super) struct World {
    pub(super) origin: Repository,
    pub(super) server: Server,
    pub(super) cache: tempfile::TempDir,
    pub(super) limits: FetchLimits,
}

impl World {
    pub(super) fn new() -> Self {
        let origin = Repository::new();
        origin.git(&["config", "uploadpack.allowAnySHA1InWant", "false"]);
        // The server serves `<folder>/repo`.
        std::os::unix::fs::symlink(".", origin.path().join("repo")).unwrap();
        std::fs::write(origin.path().join(".git/info/exclude"), "repo\n").unwrap();
        let server = Server::new(origin.path());
        let limits = FetchLimits { idle: Duration::from_secs(10), total: Duration::from_secs(60), ..FetchLimits::default() };
        Self { origin, server, cache: tempfile::tempdir().unwrap(), limits }
    }

    /// With one commit of `base/a.yaml` that holds `1`.
    pub(super) fn with_commit() -> (Self, String) {
        let world = Self::new();
        let id = world.origin.write("base/a.yaml", "1").commit("first");
        (world, id)
    }

    fn remote(&self) -> Remote {
        Remote { url: RemoteUrl::parse(&self.server.url(), false).unwrap(), headers: Vec::new(), ca: None }
    }

    fn fetch_as(&self, remote: &Remote, rev: Option<&str>) -> Result<(Source, Commit), SourceError> {
        let args = ["--exact", "source::tests::remote::the_child_that_fetches", "--ignored", "--nocapture", "-q"];
        Fetcher {
            program: std::env::current_exe().unwrap(),
            args: args.map(str::to_owned).to_vec(),
            cache: self.cache.path().to_path_buf(),
            limits: self.limits,
        }
        .fetch(remote, rev)
    }

    pub(super) fn fetch(&self, rev: Option<&str>) -> Result<(Source, Commit), SourceError> {
        self.fetch_as(&self.remote(), rev)
    }

    pub(super) fn fetch_id(&self, rev: Option<&str>) -> Result<String, SourceError> {
        self.fetch(rev).map(|(_, commit)| commit.id)
    }

    /// All files of the cache below `objects/pack`.
    pub(super) fn packs(&self) -> Vec<String> {
        let mut names = Vec::new();
        for folder in std::fs::read_dir(self.cache.path()).unwrap().flatten() {
            for file in std::fs::read_dir(folder.path().join("g0/objects/pack")).into_iter().flatten().flatten() {
                names.push(file.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        names
    }
}

#[test]
#[ignore = "run by the fetches of the other tests, as their child"]
fn the_child_that_fetches() {
    // With all other ignored tests it has nothing to do.
    if !std::env::args().any(|it| it == "--exact") {
        return;
    }
    let code = main(&[]);
    // Before the harness of the tests says anything on stdout.
    std::process::exit(if code == std::process::ExitCode::SUCCESS { 0 } else { 1 });
}

#[test]
fn the_default_branch_is_fetched_and_then_only_what_is_new() {
    let (world, first) = World::with_commit();
    let (source, commit) = world.fetch(None).unwrap();
    assert_eq!((commit.id.as_str(), commit.branch.as_deref(), commit.summary.as_str()), (first.as_str(), Some("main"), "first"));
    let before = source.snapshot(&commit).unwrap();
    assert_eq!(text(&before, "base/a.yaml"), "1");
    assert_eq!((source.root(), source.worktree().unwrap_err()), (None, SourceError::NoWorktree));
    let packs = world.packs();
    assert_eq!(packs.len(), 2, "{packs:?}");

    // Nothing new: nothing is sent and nothing is written.
    let asked = world.server.seen().len();
    assert_eq!(world.fetch_id(None), Ok(first));
    assert_eq!(world.packs(), packs);
    assert!(!world.server.seen()[asked..].iter().any(|it| it.contains("command=fetch")));

    let second = world.origin.write("base/a.yaml", "2").commit("second");
    let (source, commit) = world.fetch(None).unwrap();
    assert_eq!(commit.id, second);
    let after = source.snapshot(&commit).unwrap();
    assert_eq!((text(&after, "base/a.yaml"), text(&before, "base/a.yaml")), ("2".into(), "1".into()));
    assert_eq!(source.history(&after, "base/a.yaml", 1).unwrap().id, second);
    assert_eq!(world.packs().len(), 4);
    assert_eq!(paths(&source.within("base").unwrap().snapshot(&commit).unwrap(), "").unwrap(), ["a.yaml"]);
}

#[test]
fn branches_tags_and_commits_are_fetched_by_name() {
    let (world, first) = World::with_commit();
    world.origin.git(&["tag", "-a", "v1", "-m", "one"]);
    world.origin.git(&["tag", "light"]);
    world.origin.git(&["branch", "feature/x"]);
    let second = world.origin.write("base/a.yaml", "2").commit("second");
    for (rev, want) in [
        ("v1", &first),
        ("light", &first),
        ("feature/x", &first),
        ("refs/tags/v1", &first),
        ("main", &second),
        ("HEAD", &second),
        (first.as_str(), &first),
        (&second[..9], &second),
    ] {
        assert_eq!(world.fetch_id(Some(rev)).as_ref(), Ok(want), "rev={rev}");
    }
    assert_eq!(world.fetch(Some("feature/x")).unwrap().1.branch.as_deref(), Some("feature/x"));
    assert_eq!(world.fetch(Some("v1")).unwrap().1.branch, None);
    for rev in ["nope", "deadbeef", "a..b", "--upload-pack=evil", "refs/heads/*", "a b", &"1".repeat(40)] {
        assert!(
            matches!(world.fetch_id(Some(rev)), Err(SourceError::UnknownRevision { .. })),
            "rev={rev} {:?}",
            world.fetch_id(Some(rev))
        );
    }
    world.origin.git(&["branch", "v1", "main"]);
    assert!(matches!(world.fetch_id(Some("v1")), Err(SourceError::AmbiguousRevision { .. })));
}

#[test]
fn a_branch_that_moved_back_or_became_a_folder_is_what_the_server_says() {
    let (world, first) = World::with_commit();
    world.origin.git(&["branch", "x"]);
    world.origin.write("base/a.yaml", "2").commit("second");
    assert_ne!(world.fetch_id(None), Ok(first.clone()));
    world.origin.git(&["reset", "-q", "--hard", &first]);
    assert_eq!(world.fetch_id(None), Ok(first.clone()));
    assert_eq!(world.fetch_id(Some("x")), Ok(first.clone()));
    world.origin.git(&["branch", "-D", "x"]);
    world.origin.git(&["branch", "x/y"]);
    assert_eq!(world.fetch_id(Some("x/y")), Ok(first));
}

#[test]
fn a_branch_that_is_gone_and_an_empty_repository_are_errors_and_what_was_fetched_stays() {
    let (world, _) = World::with_commit();
    world.origin.git(&["branch", "prod"]);
    let (source, commit) = world.fetch(Some("prod")).unwrap();
    let snapshot = source.snapshot(&commit).unwrap();
    world.origin.git(&["branch", "-D", "prod"]);
    assert_eq!(world.fetch_id(Some("prod")), Err(SourceError::UnknownRevision { rev: "prod".into() }));
    world.origin.git(&["checkout", "-q", "--orphan", "other"]);
    world.origin.git(&["branch", "-D", "main"]);
    assert_eq!(world.fetch_id(None), Err(SourceError::NothingCommitted));
    assert_eq!(text(&snapshot, "base/a.yaml"), "1");
    assert_eq!(World::new().fetch_id(None), Err(SourceError::NothingCommitted));
}

#[test]
fn credentials_are_sent_as_a_header_and_stand_in_no_argument_or_environment() {
    let (world, first) = World::with_commit();
    let leaks = Arc::new(Mutex::new((0, Vec::new())));
    let found = leaks.clone();
    world.server.on(move |request| {
        for child in children() {
            let mut found = found.lock().unwrap();
            found.0 += 1;
            for file in ["cmdline", "environ"] {
                let bytes = std::fs::read(child.join(file)).unwrap_or_default();
                if String::from_utf8_lossy(&bytes).contains("c4nary") {
                    found.1.push(child.join(file));
                }
            }
        }
        match request.headers.get("authorization").map(String::as_str) {
            Some("Bearer c4nary") => Reply::Git,
            _ => response("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"no"),
        }
    });
    let err = world.fetch_id(None).unwrap_err();
    assert_eq!(err, SourceError::Denied { url: world.server.url(), cause: "HTTP 401".into() });
    assert!(err.hint().unwrap().contains("git: true") && !err.is_unreachable());
    let remote = Remote { headers: vec!["Authorization: Bearer c4nary".into()], ..world.remote() };
    assert_eq!(world.fetch_as(&remote, None).unwrap().1.id, first);
    assert!(!format!("{remote:?}").contains("c4nary"));
    let (looked, leaks) = leaks.lock().unwrap().clone();
    assert!(looked > 0 && leaks.is_empty(), "{looked} {leaks:?}");
    let wrong = Remote { headers: vec!["Authorization: Bearer c4nary2".into()], ..world.remote() };
    assert!(!world.fetch_as(&wrong, None).unwrap_err().to_string().contains("c4nary"));
}

#[test]
fn a_redirect_is_refused_and_no_credential_follows_it() {
    let (world, _) = World::with_commit();
    let other = Server::new(world.origin.path());
    let elsewhere = format!("Location: {}/info/refs?service=git-upload-pack\r\n", other.url());
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let elsewhere = elsewhere.clone();
        world.server.on(move |_| response(status, &elsewhere, b""));
        for headers in [vec![], vec!["Authorization: Bearer c4nary".to_owned()]] {
            let err = world.fetch_as(&Remote { headers, ..world.remote() }, None).unwrap_err();
            assert!(matches!(&err, SourceError::BadAnswer { cause, .. } if cause.contains("redirects")), "{status} {err}");
        }
    }
    // Also for the second request.
    let moved = elsewhere.clone();
    world
        .server
        .on(move |request| if request.method == "POST" { response("307 Temporary Redirect", &moved, b"") } else { Reply::Git });
    assert!(world.fetch_id(None).is_err());
    assert_eq!(other.seen(), Vec::<String>::new());
}

#[test]
fn failures_say_whether_trying_again_may_help() {
    let (world, first) = World::with_commit();
    for (status, unreachable) in [
        ("500 Internal Server Error", true),
        ("503 Service Unavailable", true),
        ("429 Too Many Requests", true),
        ("404 Not Found", false),
        ("403 Forbidden", false),
    ] {
        world.server.on(move |_| response(status, "", b"no"));
        let err = world.fetch_id(None).unwrap_err();
        assert_eq!(err.is_unreachable(), unreachable, "{status} {err}");
        assert_eq!(err.code(), codes::SOURCE_UNREADABLE);
        assert!(err.to_string().contains(&status[..3]) && err.to_string().contains(&world.server.url()), "{status} {err}");
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Remote { url: RemoteUrl::parse(&format!("http://{free}/repo"), false).unwrap(), ..world.remote() };
    let err = world.fetch_as(&gone, None).unwrap_err();
    assert!(err.is_unreachable(), "{err}");
    world.server.on(|_| Reply::Git);
    assert_eq!(world.fetch_id(None), Ok(first));
}

#[test]
fn a_server_that_is_silent_or_drips_is_left_in_time() {
    let (mut world, _) = World::with_commit();
    world.limits = FetchLimits { idle: Duration::from_millis(1500), total: Duration::from_secs(4), ..world.limits };
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n".to_vec();
    let check = |reply: &dyn Fn(&Request) -> bool, pieces: Vec<Vec<u8>>, pause: u64| {
        let _ = reply;
        world.server.on(move |_| Reply::Slow(pieces.clone(), Duration::from_millis(pause)));
        let started = Instant::now();
        let err = world.fetch_id(None).unwrap_err();
        assert!(err.is_unreachable(), "{err}");
        assert!(started.elapsed() < Duration::from_secs(7), "{:?} {err}", started.elapsed());
    };
    let any = |_: &Request| true;
    check(&any, vec![Vec::new()], 20_000);
    check(&any, vec![head.clone(), Vec::new()], 20_000);
    check(&any, std::iter::once(head).chain(std::iter::repeat_n(b"0".to_vec(), 100)).collect(), 500);
    // Children of other tests are among them, which end when their fetches do.
    let begun = Instant::now();
    for child in children().iter().filter(|it| is_fetching(it)) {
        while child.exists() && is_fetching(child) {
            assert!(begun.elapsed() < Duration::from_secs(10), "a child is left");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn is_fetching(process: &Path) -> bool {
    // A process that ended and was not waited for yet has an empty command line.
    std::fs::read(process.join("cmdline")).is_ok_and(|it| String::from_utf8_lossy(&it).contains("the_child_that_fetches"))
}

/// A child that is held up by the server at its first request, and the pipe that its order came through.
fn stalled(world: &World) -> (std::process::Child, std::process::ChildStdin) {
    use std::io::Write;
    use std::process::{Command, Stdio};
    world.server.on(|_| Reply::Slow(vec![Vec::new()], Duration::from_secs(30)));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "source::tests::remote::the_child_that_fetches", "--ignored", "--nocapture", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let order = Order {
        url: world.server.url(),
        headers: Vec::new(),
        ca: None,
        rev: None,
        repository: world.cache.path().join("g0"),
        memory: 4 << 30,
        file: 1 << 30,
        cpu_s: 60,
        idle_ms: 60_000,
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&[serde_json::to_vec(&order).unwrap(), b"\n".to_vec()].concat()).unwrap();
    while world.server.seen().is_empty() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::sleep(Duration::from_millis(20));
    }
    (child, stdin)
}

#[test]
fn a_child_whose_parent_is_gone_ends() {
    let (world, _) = World::with_commit();
    let (mut child, stdin) = stalled(&world);
    drop(stdin);
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(5), "it is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_child_is_held_to_its_limits_by_the_system_before_it_asks_the_server_for_anything() {
    let (world, _) = World::with_commit();
    let (mut child, _stdin) = stalled(&world);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // The one that is told of by a signal with a name, and the one behind it.
    for (name, soft, hard) in [
        ("Max address space", 4_u64 << 30, 4_u64 << 30),
        ("Max cpu time", 60, 65),
        ("Max file size", 1 << 30, 1 << 30),
        ("Max core file size", 0, 0),
    ] {
        let line = limits.lines().find_map(|it| it.strip_prefix(name)).unwrap_or_else(|| panic!("{limits}"));
        let got: Vec<&str> = line.split_whitespace().take(2).collect();
        assert_eq!(got, [soft.to_string(), hard.to_string()], "{name}");
    }
}

#[test]
fn a_child_that_never_reads_its_order_is_given_up_in_time() {
    let (world, _) = World::with_commit();
    // More than any pipe holds, so that writing it cannot end.
    let remote = Remote { ca: Some("x".repeat(3 << 20)), ..world.remote() };
    let fetcher = Fetcher {
        program: "/bin/sleep".into(),
        args: vec!["60".to_owned()],
        cache: world.cache.path().to_path_buf(),
        limits: FetchLimits { idle: Duration::from_secs(1), ..world.limits },
    };
    let started = Instant::now();
    let err = fetcher.fetch(&remote, None).unwrap_err();
    assert!(matches!(&err, SourceError::Unreachable { cause, .. } if cause.contains("silent for 1 s")), "{err}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    // One that reads it gets all of it.
    let bundle = std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
    let padded = Remote { ca: Some(format!("{bundle}\n{}", "# padding\n".repeat(100_000))), ..world.remote() };
    if !bundle.is_empty() {
        world.fetch_as(&padded, None).unwrap();
    }
}

#[test]
fn a_fetch_waits_for_another_of_the_same_url_and_not_for_ever() {
    let (mut world, first) = World::with_commit();
    world.fetch_id(None).unwrap();
    let folder = std::fs::read_dir(world.cache.path()).unwrap().next().unwrap().unwrap().path();
    let lock = std::fs::File::options().append(true).open(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    world.limits.total = Duration::from_millis(500);
    let err = world.fetch_id(None).unwrap_err();
    assert!(err.is_unreachable() && err.to_string().contains("another run"), "{err}");
    world.limits.total = Duration::from_secs(60);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| world.fetch_id(None));
        std::thread::sleep(Duration::from_millis(300));
        drop(lock);
        assert_eq!(waiting.join().unwrap(), Ok(first));
    });
}

#[test]
fn a_cache_that_was_left_half_made_is_made_anew() {
    let (world, first) = World::with_commit();
    world.fetch_id(None).unwrap();
    let folder = std::fs::read_dir(world.cache.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(folder.join("g0/HEAD")).unwrap();
    assert_eq!(world.fetch_id(None), Ok(first));
}

#[test]
fn a_local_repository_is_opened_where_it_is() {
    let (world, first) = World::with_commit();
    for url in [world.origin.path().display().to_string(), format!("file://{}", world.origin.path().display())] {
        let remote = Remote { url: RemoteUrl::parse(&url, true).unwrap(), ..world.remote() };
        let (source, commit) = world.fetch_as(&remote, None).unwrap();
        assert_eq!(commit.id, first);
        assert_eq!(source.worktree().unwrap_err(), SourceError::NoWorktree);
    }
    assert_eq!(world.server.seen(), Vec::<String>::new());
}

#[track_caller]
fn check_url(text: &str, from_operator: bool, want: Result<&str, &str>) {
    let got = RemoteUrl::parse(text, from_operator);
    match (&got, want) {
        (Ok(url), Ok(want)) => assert_eq!(url.to_string(), want, "text={text}"),
        (Err(err), Err(want)) => {
            let shown = format!("{err} ({})", err.hint().unwrap_or_default());
            assert!(shown.contains(want), "text={text} {shown}");
            assert!(!shown.contains("hunter2") && !shown.chars().any(char::is_control), "text={text} {shown}");
            assert!(!err.is_unreachable());
        }
        _ => panic!("text={text} {got:?}"),
    }
}

#[test]
fn urls_outside_of_http_are_refused_with_what_to_write() {
    check_url("https://git.example.com/shop.git", false, Ok("https://git.example.com/shop.git"));
    check_url("HTTP://Example.com:8080/x", false, Ok("http://example.com:8080/x"));
    for text in [
        "ssh://-oProxyCommand=touch /tmp/x",
        "ssh://-oProxyCommand=x/y",
        "ssh://git@example.com/x",
        "git@example.com:x/y.git",
        "example.com:x",
    ] {
        check_url(text, true, Err("https://"));
    }
    for text in [
        "ext::sh -c id",
        "ext::sh%20-c%20id",
        "git://example.com/x",
        "ftp://example.com/x",
        "-u./evil",
        "--upload-pack=x",
        "",
        "http://",
    ] {
        check_url(text, true, Err("https://"));
    }
    check_url("https://-evil/x", false, Err("refused"));
    check_url("https://example.com/x?token=hunter2", false, Err("query"));
    check_url("https://example.com/x#hunter2", false, Err("fragment"));
    check_url("https://exa\u{1b}mple.com/", false, Err("refused"));
}

#[test]
fn credentials_in_a_url_are_refused_and_not_repeated() {
    for text in [
        "https://user:hunter2@example.com/x",
        "https://hunter2@example.com/x",
        "https://user:hunter2%40@example.com/x",
        "https://user:hunter2@@example.com/x",
        "http://:hunter2@example.com",
        "https://user:a/hunter2@example.com/x",
        "ssh://user:hunter2@example.com/x",
        "https://@example.com/",
    ] {
        check_url(text, false, Err("refused"));
    }
    check_url("https://user:hunter2@example.com/x", false, Err("credentials.yaml"));
}

#[test]
fn repositories_on_this_machine_come_from_the_command_line_only() {
    check_url("file:///srv/git/shop.git", true, Ok("/srv/git/shop.git"));
    check_url("../shop", true, Ok("../shop"));
    check_url("/srv/my projects/shop", true, Ok("/srv/my projects/shop"));
    check_url("/srv/my projects/shop", false, Err("command line"));
    check_url("https://example.com/my projects", true, Err("not a URL"));
    check_url("/srv/my\nprojects", true, Err("not a URL"));
    check_url("/srv/git/shop.git", false, Err("command line"));
    check_url("file:///srv/git/shop.git", false, Err("command line"));
    check_url("./shop", false, Err("command line"));
    check_url("file://example.com/x", true, Err("refused"));
}
