//! Each way to get keys, at servers of our own on the loopback interface, and everything that is refused.

mod profiles;
mod services;
mod sso;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use trueup_core::value::json;
use trueup_host::Held;

use super::*;
use crate::config::credentials::Credentials;
use crate::private;

/// A request as it came.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    headers: String,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|it| it.split_once(": ").filter(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1))
    }
}

/// A server that answers with what `answer` makes of a request: status, further header lines, body.
struct Server {
    url: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    fn new(answer: impl Fn(&Seen) -> (u16, String, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &log, &answer);
            }
        });
        Self { url, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Answers one request; the next one comes by another connection.
fn serve(mut stream: TcpStream, log: &Mutex<Vec<Seen>>, answer: &dyn Fn(&Seen) -> (u16, String, String)) {
    let mut text = Vec::new();
    let seen = loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(got) => text.extend_from_slice(&chunk[..got]),
        }
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let (line, headers) = head.split_once("\r\n").unwrap();
        let seen = Seen { line: line.to_owned(), headers: headers.to_owned(), body: body.to_owned() };
        let length = seen.header("content-length").map_or(0, |it| it.parse::<usize>().unwrap());
        if length <= body.len() {
            break seen;
        }
    };
    log.lock().unwrap().push(seen.clone());
    let (status, more, body) = answer(&seen);
    let length = body.len();
    let _ = write!(stream, "HTTP/1.1 {status} X\r\n{more}connection: close\r\ncontent-length: {length}\r\n\r\n{body}");
}

/// Reads an entry's `sigv4` as `credentials.yaml` has it.
fn asked(text: &str, more: &str, folder: &Path) -> Asked {
    let path = folder.join("credentials.yaml");
    let text = format!("credentials: {{x: {{origins: ['https://*.amazonaws.com'], sigv4: {text}{more}}}}}\n");
    private::write(&path, text.as_bytes()).unwrap();
    let credentials = Credentials::open(&path, true).unwrap();
    match &credentials.entries["x"].means {
        super::super::Means::SigV4(asked) => (**asked).clone(),
        other => panic!("{other:?}"),
    }
}

/// An entry, and what it finds around it.
struct Case {
    folder: TempDir,
    around: Around,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let around = Around { home: Some(folder.path().to_owned()), variables: Some(BTreeMap::new()), sso: None };
        Self { folder, around }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.around.variables.get_or_insert_default().insert(name.to_owned(), value.to_owned());
        self
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        private::write(&path, text.as_bytes()).unwrap();
        path
    }

    fn login(&self, text: &str) -> Result<Renewed, String> {
        self.login_with(text, "")
    }

    fn login_with(&self, text: &str, more: &str) -> Result<Renewed, String> {
        login(&asked(text, more, self.folder.path()), None, self.around.clone())
    }

    /// The keys that come of it, `id secret token`, or why none do.
    #[track_caller]
    fn get(&self, text: &str) -> Result<String, String> {
        let login = self.login(text)?;
        let got = login.fetch(None).map(|it| shown(&it));
        let words = format!("{login:?} {:?}", got.as_ref().err());
        assert!(!login.values().iter().any(|it| words.contains(it)) && !words.contains("c4nary"), "{words}");
        got
    }
}

fn shown(held: &Held) -> String {
    let keys = held.keys.as_ref().unwrap();
    let token = keys.session_token.as_ref().map_or("-", |it| it.expose());
    format!("{} {} {token}", keys.access_key.expose(), keys.secret_key.expose())
}

fn time(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    super::sso::written(UNIX_EPOCH + Duration::from_secs(now.checked_add_signed(seconds).unwrap()))
}

/// What STS answers with: keys that are named after the role, for an hour.
fn given(name: &str, lasts: i64) -> (u16, String, String) {
    let end = time(lasts);
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>ID-{name}</AccessKeyId><SecretAccessKey>c4nary-secret-{name}/+=</SecretAccessKey>\
         <SessionToken>c4nary-token-{name}</SessionToken><Expiration>{end}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    );
    (200, "content-type: text/xml\r\n".to_owned(), body)
}

fn form(seen: &Seen) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect()
}

/// An STS that gives every role, to whoever asks.
fn sts() -> Server {
    Server::new(|seen| {
        let role = form(seen)["RoleArn"].clone();
        given(role.rsplit('/').next().unwrap(), 3600)
    })
}

/// Whose keys each request was signed with, and for which region: `id region`.
fn signers(server: &Server) -> Vec<String> {
    let signer = |seen: &Seen| {
        let scope = seen.header("authorization")?.split("Credential=").nth(1)?.split(',').next()?.to_owned();
        let parts: Vec<_> = scope.split('/').collect();
        assert_eq!(parts[3], "sts");
        Some(format!("{} {}", parts[0], parts[2]))
    };
    server.seen().iter().map(|it| signer(it).unwrap_or_else(|| "-".to_owned())).collect()
}

const ROLE: &str = "arn:aws:iam::123456789012:role/";

#[test]
fn keys_of_files_and_variables_are_read_again_where_they_are_refused() {
    let case = Case::new();
    case.put("id", "AKID\n");
    let secret = case.put("secret", "c4nary-1\n");
    case.put("token", "c4nary-t\n");
    let both = "{access_key: {file: id}, secret_key: {file: secret}}";
    assert_eq!(case.get(both).unwrap(), "AKID c4nary-1 -");
    let login = case.login("{access_key: {file: id}, secret_key: {file: secret}, session_token: {file: token}}").unwrap();
    assert!(login.held().is_none(), "nothing is kept before it is asked for");
    let held = login.fetch(None).unwrap();
    assert_eq!(shown(&held), "AKID c4nary-1 c4nary-t");
    assert!(Arc::ptr_eq(&held, &login.fetch(Some(&held)).unwrap()), "there is nothing newer");
    let login = case.login(both).unwrap();
    let held = login.fetch(None).unwrap();
    fs::write(&secret, "c4nary-2").unwrap();
    assert!(Arc::ptr_eq(&held, &login.fetch(None).unwrap()), "what is fresh is not read again");
    assert_eq!(shown(&login.fetch(Some(&held)).unwrap()), "AKID c4nary-2 -");
    assert_eq!(login.values(), ["c4nary-1", "c4nary-2"]);
    fs::write(&secret, "c4nary-2\nc4nary-3").unwrap();
    assert!(case.get(both).unwrap_err().contains("one word each"));
    fs::remove_file(&secret).unwrap();
    assert!(case.get(both).unwrap_err().contains("cannot be read"));
}

#[test]
fn the_environment_is_read_where_the_entry_says_so_and_nowhere_else() {
    let case =
        Case::new().variable("AWS_ACCESS_KEY_ID", "AKID").variable("AWS_PROFILE", "x").variable("AWS_ENDPOINT_URL", "http://x");
    let missing = case.get("{environment: true}").unwrap_err();
    assert_eq!(missing, "the variable `AWS_SECRET_ACCESS_KEY` is not set");
    let case = case.variable("AWS_SECRET_ACCESS_KEY", "c4nary-1");
    assert_eq!(case.get("{environment: true}").unwrap(), "AKID c4nary-1 -");
    let case = case.variable("AWS_SESSION_TOKEN", "c4nary-t");
    assert_eq!(case.get("{environment: true}").unwrap(), "AKID c4nary-1 c4nary-t");
    // A source that has nothing gives way to no other one.
    for text in ["{profile: default}", "{access_key: {file: id}, secret_key: {file: id}}"] {
        assert!(case.get(text).is_err(), "{text}");
    }
}

#[test]
fn whose_keys_they_are_is_said_and_the_entry_becomes_one_credential_for_all() {
    let case = Case::new();
    case.put("id", "AKID");
    for (text, want) in [
        ("{access_key: {file: id}, secret_key: {file: id}}", "the access key in `/"),
        ("{instance: true}", "the role of this instance"),
        (
            "{instance: true, assume-role: {role: 'arn:aws:iam::123456789012:role/x'}}",
            "role `arn:aws:iam::123456789012:role/x` by the role of this instance",
        ),
        ("{web-identity: {role: 'arn:aws:iam::123456789012:role/x', token: {file: id}}}", "by the token in `/"),
    ] {
        let whose = case.login(text).unwrap().whose();
        assert!(whose.contains(want), "{whose}");
    }
    let text = "credentials: {x: {origins: ['https://s3.example'], sigv4: {access_key: {file: id}, secret_key: {file: id}}}}";
    let path = case.put("credentials.yaml", text);
    let credentials = Credentials::open(&path, true).unwrap();
    let (one, two) = (credentials.credential("x").unwrap(), credentials.credential("x").unwrap());
    assert!(Arc::ptr_eq(&one, &two) && one.scheme.word() == "sigv4" && one.login().is_some());
    assert_eq!(one.base().unwrap().as_str(), "https://s3.example/");
}

#[test]
fn git_and_registries_are_not_sent_signatures() {
    let case = Case::new();
    case.put("id", "AKID");
    let keys = "sigv4: {access_key: {file: id}, secret_key: {file: id}}";
    let text = format!("credentials: {{x: {{origins: ['https://a.example'], git: true, registry: true, {keys}}}}}\n");
    let credentials = Credentials::open(&case.put("credentials.yaml", &text), true).unwrap();
    let url = Url::parse("https://a.example/x").unwrap();
    let git = credentials.remote(&url).unwrap_err().remove(0).message;
    let registry = credentials.registry(&url).unwrap_err().message;
    for words in [git, registry] {
        assert!(words.contains("`x` is of the kind `sigv4`, which this version does not send there"), "{words}");
    }
}

#[test]
fn every_wrong_key_and_combination_is_named() {
    let findings = |entry: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.yaml");
        private::write(&path, format!("credentials: {{x: {{origins: ['https://a.org'], {entry}}}}}\n").as_bytes()).unwrap();
        let found = Credentials::open(&path, true).err().unwrap_or_default();
        found.iter().map(|it| format!("{} {:?}", it.message, it.location)).collect::<Vec<_>>().join("\n")
    };
    let keys = "access_key: {env: A}, secret_key: {env: B}";
    let role = "role: 'arn:aws:iam::123456789012:role/x'";
    for (entry, want) in [
        ("sigv4: {}".to_owned(), "exactly one of"),
        ("sigv4: {region: eu-west-3}".to_owned(), "exactly one of"),
        (format!("sigv4: {{{keys}, environment: true}}"), "exactly one of"),
        ("sigv4: {profile: a, instance: true}".to_owned(), "exactly one of"),
        ("sigv4: {access_key: {env: A}}".to_owned(), "needs a key `secret_key`"),
        ("sigv4: {session_token: {env: A}}".to_owned(), "needs a key `access_key`"),
        ("sigv4: {access_key: c4nary, secret_key: {env: B}}".to_owned(), "never the value itself"),
        (format!("sigv4: {{{keys}, session_token: c4nary}}"), "never the value itself"),
        ("sigv4: {acces_key: {env: A}, secret_key: {env: B}}".to_owned(), "no key `acces_key`"),
        ("sigv4: {environment: x}".to_owned(), "`environment` must be `true`"),
        ("sigv4: {instance: false}".to_owned(), "`instance` must be `true`"),
        ("sigv4: {environment: true, config: {file: a}}".to_owned(), "`config` is for `profile` alone"),
        ("sigv4: {profile: a, config: x}".to_owned(), "`config` must be a mapping"),
        ("sigv4: {profile: a, config: {env: x}}".to_owned(), "no key `env`"),
        ("sigv4: {profile: [a]}".to_owned(), "`profile` must be a text"),
        ("sigv4: {environment: true, endpoint: 'http://127.0.0.1'}".to_owned(), "`endpoint` is for `instance` alone"),
        ("sigv4: {instance: true, endpoint: 'http://u:p@a'}".to_owned(), "`endpoint` must be a URL"),
        ("sigv4: {environment: true, sts: 'http://sts.example'}".to_owned(), "without TLS"),
        ("sigv4: {environment: true, sts: 'ftp://sts.example'}".to_owned(), "`sts` must be a URL"),
        ("sigv4: {environment: true, region: 'a/b'}".to_owned(), "`region` must be"),
        (format!("sigv4: {{web-identity: {{{role}}}}}"), "needs a key `token`"),
        ("sigv4: {web-identity: {token: {file: a}}}".to_owned(), "needs a key `role`"),
        (format!("sigv4: {{web-identity: {{{role}, token: {{file: a}}, external-id: ab}}}}"), "no key `external-id`"),
        ("sigv4: {environment: true, assume-role: {role: x}}".to_owned(), "the ARN of a role"),
        ("sigv4: {environment: true, assume-role: {role: 'a:aws:iam::123456789012:role/x'}}".to_owned(), "such as `arn:aws"),
        (format!("sigv4: {{environment: true, assume-role: {{{role}, duration: 900}}}}"), "`duration` must be a text"),
        (format!("sigv4: {{environment: true, assume-role: {{{role}, duration: 14m}}}}"), "from `15m` to `12h`"),
        (format!("sigv4: {{environment: true, assume-role: {{{role}, duration: 13h}}}}"), "from `15m` to `12h`"),
        (format!("sigv4: {{environment: true, assume-role: {{{role}, session-name: 'a b'}}}}"), "a session's name"),
        (format!("sigv4: {{environment: true, assume-role: {{{role}, external-id: x}}}}"), "an external ID"),
        ("sigv4: {environment: true}, exec: [aws]".to_owned(), "`exec` is for `kubeconfig` and for a `profile`"),
        ("sigv4: {profile: a}, exec: [bin/aws]".to_owned(), "a name, or a path from `/`"),
        ("sigv4: {profile: a}, insecure: true".to_owned(), "`insecure` is for `kubeconfig` alone"),
    ] {
        let found = findings(&entry);
        assert!(found.contains(want) && found.contains("line: 1"), "{entry}: {found}");
        assert!(!found.contains("c4nary"), "{entry}: {found}");
    }
    for entry in [
        format!("sigv4: {{{keys}, session_token: {{file: c}}, region: eu-west-3, sts: 'https://sts.example/x'}}"),
        "sigv4: {environment: true, sts: 'http://127.0.0.1:5000'}".to_owned(),
        "sigv4: {profile: a b, config: {file: ~/x}}, exec: [aws, /bin/x]".to_owned(),
        format!("sigv4: {{web-identity: {{{role}, token: {{file: /x}}, session-name: ci, duration: 1h}}}}"),
        "sigv4: {instance: true, endpoint: 'http://[fd00:ec2::254]'}".to_owned(),
        format!("sigv4: {{instance: true, assume-role: {{{role}, external-id: 'a:b', session-name: x-y, duration: 15m}}}}"),
    ] {
        assert_eq!(findings(&entry), "", "{entry}");
    }
}
