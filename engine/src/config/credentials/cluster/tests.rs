//! Each form of a kubeconfig, everything that is refused, and when a login is asked for anew.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::Instant;

use tempfile::TempDir;
use trueup_host::{Held, Login, Scheme};

use super::*;
use crate::config::credentials::Credentials;
use crate::config::credentials::renewed::Patience;

/// A kubeconfig with one context `prod`, user `ann`, and these fields of the cluster and of the user.
fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: prod\npreferences: {{}}\n\
         contexts:\n- name: prod\n  context: {{cluster: east, user: ann, namespace: shop}}\n- name: open\n  context: {{cluster: east}}\n\
         clusters:\n- name: east\n  cluster: {{{cluster}}}\nusers:\n- name: ann\n  user: {{{user}}}\n"
    )
}

const SERVER: &str = "server: 'https://10.0.0.1:6443'";

struct Case {
    folder: TempDir,
    asked: Asked,
}

impl Case {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        private::write(&file, text.as_bytes()).unwrap();
        Self { folder, asked: Asked { file, ..Asked::default() } }
    }

    fn put(&self, name: &str, text: &str) -> &Self {
        private::write(&self.folder.path().join(name), text.as_bytes()).unwrap();
        self
    }

    /// A file of the folder.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.path("runs")).map_or(0, |it| it.lines().count())
    }

    fn open(&self) -> Result<Opened, String> {
        open(&self.asked)
    }

    fn login(&self) -> Arc<dyn Login> {
        self.open().unwrap().cluster.login
    }

    fn refused(&self) -> String {
        self.open().unwrap_err()
    }
}

fn sent(held: &Held) -> &str {
    held.authorization.as_ref().map_or("", |it| it.expose())
}

fn user(fields: &str) -> Case {
    Case::new(&kubeconfig(SERVER, fields))
}

/// What is refused says why, whose it is, and never a value.
#[track_caller]
fn check(case: &Case, want: &[&str]) {
    let refused = case.refused();
    for want in want {
        assert!(refused.contains(want), "`{want}`: {refused}");
    }
    assert!(refused.contains(&*case.asked.file.to_string_lossy()) && !refused.contains("c4nary"), "{refused}");
}

#[test]
fn each_way_to_log_in_is_sent_as_kubectl_sends_it() {
    let data = |text: &str| BASE64_STANDARD.encode(text);
    for (fields, want, values) in [
        ("token: t0ken".to_owned(), "Bearer t0ken", &["t0ken"][..]),
        ("tokenFile: token".to_owned(), "Bearer of-file", &["of-file"]),
        ("token: t0ken, tokenFile: token".to_owned(), "Bearer of-file", &["of-file"]),
        ("username: ann, password: s3cret".to_owned(), "Basic YW5uOnMzY3JldA==", &["s3cret", "ann:s3cret"]),
        (format!("client-certificate-data: {}, client-key-data: {}", data("CERT"), data("KEY")), "", &[]),
        ("client-certificate: cert, client-key: key, token: t0ken".to_owned(), "Bearer t0ken", &["t0ken"]),
        (String::new(), "", &[]),
    ] {
        let case = user(&fields);
        case.put("token", " of-file\n").put("cert", "CERT").put("key", "KEY");
        let opened = case.open().unwrap();
        assert_eq!(opened.server.as_str(), "https://10.0.0.1:6443/");
        let login = opened.cluster.login;
        assert!(login.held().is_none(), "nothing is read before it is asked for");
        let held = login.fetch(None).unwrap();
        assert_eq!((sent(&held), login.values()), (want, values.iter().map(|it| (*it).to_owned()).collect()), "{fields}");
        let shown = held.certificate.as_ref().map(|it| (it.cert_pem.as_str(), it.key_pem.expose()));
        assert_eq!(shown, fields.contains("client-").then_some(("CERT", "KEY")), "{fields}");
        assert!(Arc::ptr_eq(&held, &login.held().unwrap()), "{fields}");
        assert!(Arc::ptr_eq(&held, &login.fetch(Some(&held)).unwrap()), "nothing newer: {fields}");
        let debug = format!("{login:?} {held:?}");
        assert!(!["t0ken", "of-file", "s3cret", "KEY"].iter().any(|it| debug.contains(it)), "{debug}");
    }
    let whose = user("token: t0ken").login().whose();
    assert!(whose.starts_with("context `prod` of `/") && whose.ends_with("/config`, user `ann`"), "{whose}");
    let mut nobody = user("token: t0ken");
    nobody.asked.context = Some("open".to_owned());
    assert_eq!(sent(&nobody.login().fetch(None).unwrap()), "");
    assert!(nobody.login().whose().ends_with(", no user"));
}

#[test]
fn a_cluster_is_its_server_with_its_path_its_authority_and_its_name() {
    let ca = BASE64_STANDARD.encode("CA");
    let (first, second) = ca.split_at(2);
    for (fields, ca) in [
        (format!("certificate-authority-data: {ca}"), Some("CA")),
        // Go takes line ends in base64.
        (format!("certificate-authority-data: \"{first}\\n{second}\", certificate-authority: none"), Some("CA")),
        ("certificate-authority: ca.pem".to_owned(), Some("PEM\n")),
        ("insecure-skip-tls-verify: false".to_owned(), None),
    ] {
        let case =
            Case::new(&kubeconfig(&format!("server: 'https://a.test/k8s/c-1', tls-server-name: b.test, {fields}"), "token: t"));
        case.put("ca.pem", "PEM\n");
        let opened = case.open().unwrap();
        assert_eq!((opened.server.as_str(), opened.ca_pem.as_deref()), ("https://a.test/k8s/c-1", ca), "{fields}");
        assert_eq!((opened.cluster.server_name.as_deref(), opened.cluster.insecure), (Some("b.test"), false));
    }
}

#[test]
fn what_opens_a_connection_to_others_needs_the_operators_word() {
    for (cluster, want, url) in [
        ("server: 'https://a.test', insecure-skip-tls-verify: true", "`insecure-skip-tls-verify`", "https://a.test/"),
        ("server: 'http://a.test:8080'", "without TLS", "http://a.test:8080/"),
    ] {
        let mut case = Case::new(&kubeconfig(cluster, "token: c4nary"));
        check(&case, &["context `prod`", want, "`insecure: true`", "credentials.yaml"]);
        case.asked.insecure = true;
        let opened = case.open().unwrap();
        assert_eq!((opened.server.as_str(), opened.cluster.insecure), (url, cluster.contains("skip")));
    }
    for here in ["http://127.0.0.1:8001", "http://localhost:8001", "http://[::1]:8001"] {
        assert!(Case::new(&kubeconfig(&format!("server: '{here}'"), "")).open().is_ok(), "{here}");
    }
}

#[test]
fn what_kubectl_would_do_and_we_do_not_is_refused_with_the_reason() {
    let exec = "command: login, apiVersion: client.authentication.k8s.io/v1";
    for (cluster, fields, want) in [
        ("server: 'https://a.test', proxy-url: 'http://c4nary'", "", "without a proxy"),
        ("server: 'a.test:6443'", "", "must be a URL such as"),
        ("server: 'https://u:c4nary@a.test'", "", "must be a URL such as"),
        ("server: 'https://a.test?c4nary'", "", "must be a URL such as"),
        ("", "", "must be a URL such as"),
        ("server: 'https://a.test', tls-server-name: 10.0.0.1", "", "no address"),
        ("server: 'https://a.test', certificate-authority-data: c4nary", "", "no base64"),
        ("server: 'https://a.test', certificate-authority: none.pem", "", "none.pem` cannot be read"),
        (SERVER, "auth-provider: {name: gcp, config: {access-token: c4nary}}", "`exec`"),
        (SERVER, "token: c4nary, as: root", "`as` of user `ann`"),
        (SERVER, "token: c4nary, as-groups: [c4nary]", "`as-groups` of user `ann`"),
        (SERVER, "token: 177", "must be a text; quote it"),
        (SERVER, "token: c4nary, username: ann, password: c4nary", "only one of them"),
        (SERVER, "client-certificate-data: YQ==", "no `client-key`"),
        (SERVER, "client-key-data: YQ==", "no `client-certificate`"),
        (SERVER, "exec: {apiVersion: client.authentication.k8s.io/v1}", "names no `command`"),
        (SERVER, &format!("exec: {{{exec}}}"), "write `exec: [login]`"),
        (SERVER, "exec: {command: sh, apiVersion: client.authentication.k8s.io/v1alpha1}", "`client.authentication.k8s.io/v1`"),
        (SERVER, &format!("exec: {{{exec}, interactiveMode: Always}}").replace("login", "sh"), "nobody"),
        (SERVER, &format!("exec: {{{exec}, env: [{{name: 'A=', value: c4nary}}]}}").replace("login", "sh"), "name of a variable"),
        (SERVER, &format!("exec: {{{exec}, args: [1]}}").replace("login", "sh"), "each of it must be a text"),
    ] {
        let mut case = Case::new(&kubeconfig(cluster, fields));
        case.asked.exec.push("sh".to_owned());
        check(&case, &["context `prod`", want]);
        assert_eq!(case.refused().contains("user `ann`"), !fields.is_empty(), "{fields}");
    }
}

#[test]
fn contexts_clusters_and_users_are_found_by_name_or_the_names_are_said() {
    let good = kubeconfig(SERVER, "token: c4nary");
    let mut case = Case::new(&good);
    case.asked.context = Some("prd".to_owned());
    check(&case, &["there is no context `prd`", "`prod`, `open`", "did you mean `prod`?"]);
    for (old, new, want) in [
        ("current-context: prod\n", "", "no `current-context`; name one with `context:`"),
        ("current-context: prod\n", "current-context: ''\n", "`contexts` has `prod`, `open`"),
        ("name: open", "name: prod", "context `prod` stands twice"),
        ("{cluster: east, user: ann", "{cluster: west, user: ann", "there is no cluster `west`"),
        ("user: ann", "user: bob", "there is no user `bob`"),
        ("{cluster: east, user: ann, namespace: shop}", "{user: ann}", "it names no cluster"),
        ("contexts:\n", "contexts: {}\nothers:\n", "must be a list"),
        ("  user: {token: c4nary}", "  user: [c4nary]", "must be a mapping"),
        ("kind: Config", "kind: Secret", "no kubeconfig"),
        ("token: c4nary", "token: [c4nary", "no YAML that can be read: see line"),
        ("token: c4nary", "token: c4nary, token: c4nary", "no YAML that can be read"),
    ] {
        assert!(good.contains(old), "{old}");
        check(&Case::new(&good.replacen(old, new, 1)), &[want]);
    }
}

#[test]
fn a_kubeconfig_that_others_can_read_is_absent_or_too_large_is_refused() {
    let case = user("token: c4nary");
    fs::set_permissions(&case.asked.file, fs::Permissions::from_mode(0o644)).unwrap();
    check(&case, &["chmod 600"]);
    fs::remove_file(&case.asked.file).unwrap();
    check(&case, &["there is no file"]);
    case.put("config", &format!("{}# {}", kubeconfig(SERVER, "token: c4nary"), "x".repeat(1 << 20)));
    check(&case, &["longer than 1048576 bytes"]);
}

/// A program that counts its runs and answers with this status.
fn answering(status: &str) -> String {
    let info = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":STATUS}"#;
    format!("echo run >> $(dirname $0)/runs\ncat <<END\n{}\nEND", info.replace("STATUS", status))
}

/// A user who logs in by `./login` of the kubeconfig's folder, which is a shell and does this. A script of that name could be
/// busy: other tests start programs while it is written.
fn with_program(more: &str, body: &str) -> Case {
    let mut case = user("");
    let (script, login) = (case.path("script"), case.path("login"));
    let fields = "command: ./login, apiVersion: client.authentication.k8s.io/v1";
    let fields = format!("exec: {{{fields}, args: ['{}', a b]{more}}}", script.display());
    case.put("config", &kubeconfig(SERVER, &fields)).put("script", body);
    std::os::unix::fs::symlink("/bin/sh", &login).unwrap();
    case.asked.exec.push(login.to_string_lossy().into_owned());
    case
}

#[test]
fn a_program_is_run_once_with_its_arguments_and_variables_and_what_it_is_told_of_the_cluster() {
    let more = ", env: [{name: WHO, value: s3cret}], provideClusterInfo: true";
    let body = format!(
        "[ \"$1 $WHO\" = 'a b s3cret' ] || exit 7\nprintf %s \"$KUBERNETES_EXEC_INFO\" > $(dirname $0)/info\n{}",
        answering(r#"{"token":"t$$","clientCertificateData":"CERT","clientKeyData":"KEY"}"#)
    );
    let case = with_program(more, &body);
    let login = case.login();
    assert_eq!(case.runs(), 0, "not before it is needed");
    let held = login.fetch(None).unwrap();
    assert!(sent(&held).starts_with("Bearer t") && held.certificate.as_ref().unwrap().key_pem.expose() == "KEY");
    assert!(Arc::ptr_eq(&held, &login.fetch(None).unwrap()) && login.held().is_some());
    assert_eq!(case.runs(), 1);
    let info: serde_json::Value = serde_json::from_str(&fs::read_to_string(case.path("info")).unwrap()).unwrap();
    assert_eq!(info["spec"]["cluster"]["server"], "https://10.0.0.1:6443");
    assert_eq!((info["kind"].as_str(), info["spec"]["interactive"].as_bool()), (Some("ExecCredential"), Some(false)));
    // Each run gives another token: one that was refused is replaced, once in a while.
    let newer = login.fetch(Some(&held)).unwrap();
    assert!(!Arc::ptr_eq(&held, &newer) && sent(&held) != sent(&newer));
    assert!(Arc::ptr_eq(held.certificate.as_ref().unwrap(), newer.certificate.as_ref().unwrap()), "no new connections");
    assert!(Arc::ptr_eq(&newer, &login.fetch(Some(&held)).unwrap()), "the others take what one got");
    assert!(Arc::ptr_eq(&newer, &login.fetch(Some(&newer)).unwrap()), "not for every request");
    assert_eq!((case.runs(), login.values().len()), (2, 2));
}

#[test]
fn a_credential_is_got_anew_before_it_ends_and_used_until_then_where_that_fails() {
    let body = format!(
        "[ -e $(dirname $0)/broken ] && exit 3\nend=$(date -u -d '+3 seconds' +%Y-%m-%dT%H:%M:%SZ)\n{}",
        answering(r#"{"token":"t$$","expirationTimestamp":"$end"}"#)
    );
    let case = with_program("", &body);
    let login = case.login();
    let until_stale = || {
        let begun = Instant::now();
        while login.held().is_some() {
            assert!(begun.elapsed() < Duration::from_secs(3), "got anew before its end");
            thread::sleep(Duration::from_millis(10));
        }
    };
    let first = login.fetch(None).unwrap();
    assert!(login.held().is_some());
    until_stale();
    let second = login.fetch(None).unwrap();
    assert!(sent(&first) != sent(&second) && case.runs() == 2);
    // Fails from now on: good until its end, and then no more.
    case.put("broken", "");
    until_stale();
    assert!(Arc::ptr_eq(&second, &login.fetch(None).unwrap()));
    thread::sleep(Duration::from_secs(1));
    let words = login.fetch(None).unwrap_err();
    assert!(words.contains("user `ann`") && words.contains("failed (exit status: 3)"), "{words}");
}

#[test]
fn what_a_program_does_wrong_is_said_without_what_it_said_in_secret() {
    let long = "head -c 1100000 /dev/zero | tr '\\0' x";
    let v1 = r#""apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential""#;
    let said = |text: &str| format!("cat <<'END'\n{text}\nEND");
    for (body, want) in [
        ("echo 'log in: c4nary' >&2; exit 1".to_owned(), "failed (exit status: 1): log in: (secret)"),
        ("kill -9 $$".to_owned(), "failed (signal: 9"),
        (said("c4nary"), "no JSON"),
        (said(r#"{"kind":"c4nary"}"#), "no `ExecCredential`"),
        (said(&format!("{{{}}}", v1.replace("v1", "v1beta1"))), "another version than"),
        (said(&format!("{{{v1}}}")), "without a `status`"),
        (said(&format!(r#"{{{v1},"status":{{"token":["c4nary"]}}}}"#)), "`status.token` that is no text"),
        (said(&format!(r#"{{{v1},"status":{{"token":""}}}}"#)), "neither a token nor a certificate"),
        (said(&format!(r#"{{{v1},"status":{{"clientKeyData":"c4nary"}}}}"#)), "a certificate or a key alone"),
        (said(&format!(r#"{{{v1},"status":{{"token":"c4nary","expirationTimestamp":"soon"}}}}"#)), "is no time"),
        (
            said(&format!(r#"{{{v1},"status":{{"token":"c4nary","expirationTimestamp":"2020-01-01T00:00:00Z"}}}}"#)),
            "over already",
        ),
        ("printf '\\377'".to_owned(), "not UTF-8"),
        (long.to_owned(), "1 MiB"),
    ] {
        let case = with_program(", env: [{name: KEY, value: c4nary}]", &body);
        let words = case.login().fetch(None).unwrap_err();
        assert!(words.contains(want) && words.contains("user `ann`") && words.contains("/login`"), "{body}: {words}");
        assert!(!words.contains("c4nary"), "{words}");
    }
}

#[test]
fn a_program_that_is_not_there_or_does_not_end_stops_nobody_for_long() {
    let mut case =
        user("exec: {command: trueup-no-such, apiVersion: client.authentication.k8s.io/v1beta1, installHint: apt install it}");
    case.asked.exec.push("trueup-no-such".to_owned());
    let words = case.login().fetch(None).unwrap_err();
    assert!(words.contains("`trueup-no-such` does not start") && words.contains("apt install it"), "{words}");
    for body in ["sleep 60", "sleep 60 & exit 0", "setsid sleep 20 & exit 0", "while true; do echo x; done", "yes >&2"] {
        let case = with_program("", body);
        let program = program::Program {
            command: "sh".into(),
            arguments: vec![case.path("script").to_string_lossy().into_owned()],
            variables: Vec::new(),
            limit: Duration::from_secs(1),
        };
        let program = Program { program, api: exec::VERSIONS[0].to_owned(), cluster: None, hint: None };
        let begun = Instant::now();
        assert!(program.run().is_err(), "{body}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{body}: {:?}", begun.elapsed());
    }
}

#[test]
fn what_failed_is_not_asked_for_again_at_once() {
    let case = with_program("", "echo run >> $(dirname $0)/runs; exit 1");
    let login = case.login();
    for _ in 0..5 {
        assert!(login.fetch(None).is_err());
    }
    assert_eq!(case.runs(), 1);
    let user =
        User { authorization: Authorization::TokenFile { file: case.path("token"), every: Duration::ZERO }, certificate: None };
    let none = Duration::ZERO;
    let login = Renewed::new("x".to_owned(), user).with_patience(Patience { refused: none, failed: none });
    assert!(login.fetch(None).unwrap_err().contains("cannot be read"));
    case.put("token", "\n");
    assert!(login.fetch(None).unwrap_err().contains("is empty"));
    case.put("token", "one");
    let first = login.fetch(None).unwrap();
    case.put("token", "two");
    assert_eq!((sent(&first), sent(&login.fetch(Some(&first)).unwrap())), ("Bearer one", "Bearer two"));
    case.put("token", "three");
    assert_eq!(sent(&login.fetch(None).unwrap()), "Bearer three", "its time is over at once");
}

#[test]
fn a_pods_service_account_is_found_where_the_kubelet_puts_it() {
    let folder = tempfile::tempdir().unwrap();
    let pod = |host: &str, port: &str| {
        let some = |it: &str| Some(it.to_owned()).filter(|it| !it.is_empty());
        Pod { folder: folder.path().to_owned(), host: some(host), port: some(port) }
    };
    for (host, port) in [("", "443"), ("10.0.0.1", "")] {
        let refused = pod(host, port).open().unwrap_err();
        assert!(refused.contains("runs in a pod") && refused.contains("`KUBERNETES_SERVICE_HOST`"), "{refused}");
    }
    assert!(pod("10.0.0.1", "443").open().unwrap_err().contains("ca.crt` cannot be read"));
    fs::write(folder.path().join("ca.crt"), "CA").unwrap();
    assert!(pod("10.0.0.1", "443").open().unwrap_err().contains("`automountServiceAccountToken`"));
    fs::write(folder.path().join("token"), "one").unwrap();
    for (host, port, want) in [("10.0.0.1", "443", "https://10.0.0.1/"), ("fd00::1", "6443", "https://[fd00::1]:6443/")] {
        let opened = pod(host, port).open().unwrap();
        assert_eq!((opened.server.as_str(), opened.ca_pem.as_deref()), (want, Some("CA")));
        assert_eq!(sent(&opened.cluster.login.fetch(None).unwrap()), "Bearer one");
    }
    assert!(pod("10.0.0.1/x", "443").open().is_err());
    let login = pod("10.0.0.1", "443").open().unwrap().cluster.login;
    let first = login.fetch(None).unwrap();
    fs::write(folder.path().join("token"), "two").unwrap();
    assert!(login.held().is_some(), "not read again for a minute");
    assert_eq!(sent(&login.fetch(Some(&first)).unwrap()), "Bearer two");
}

#[test]
fn an_entry_sends_a_kubeconfig_to_its_server_alone_unless_it_names_origins() {
    let case = Case::new(&kubeconfig("server: 'https://a.east.test:6443/k8s'", "token: c4nary"));
    let entry = |more: &str| {
        case.put("credentials.yaml", &format!("credentials: {{prod: {{kubeconfig: {{file: config}}{more}}}}}\n"));
        Credentials::open(&case.path("credentials.yaml"), true).unwrap().credential("prod")
    };
    let origins = |more: &str| entry(more).unwrap().origins.iter().map(ToString::to_string).collect::<Vec<_>>();
    let base = |more: &str| entry(more).unwrap().base.as_ref().unwrap().to_string();
    assert_eq!((origins("").concat(), base("")), ("https://a.east.test:6443".into(), "https://a.east.test:6443/k8s".into()));
    let wider = ", origins: ['https://*.east.test:6443']";
    assert_eq!(
        (origins(wider).concat(), base(wider)),
        ("https://*.east.test:6443".into(), "https://a.east.test:6443/k8s".into())
    );
    let through = ", origins: ['https://127.0.0.1:1'], base: 'https://127.0.0.1:1/x'";
    assert_eq!((origins(through).concat(), base(through)), ("https://127.0.0.1:1".into(), "https://127.0.0.1:1/x".into()));
    let refused = entry(", origins: ['https://b.test']").unwrap_err().message;
    for want in ["`prod`", "context `prod`", "user `ann`", "https://a.east.test:6443 is none of the `origins`"] {
        assert!(refused.contains(want), "{refused}");
    }
    case.put("ca.pem", "OWN");
    assert_eq!(entry(", ca: {file: ca.pem}").unwrap().ca_pem.as_deref(), Some("OWN"));
    let credentials = Credentials::open(&case.path("credentials.yaml"), true).unwrap();
    let (one, other) = (credentials.credential("prod").unwrap(), credentials.credential("prod").unwrap());
    assert!(Arc::ptr_eq(&one, &other) && matches!(one.scheme, Scheme::Kubeconfig(_)), "logged in once for all who use it");
    assert_eq!(one.scheme.word(), "kubeconfig");
    case.put("config", "kind: Secret\n");
    let refused = entry("").unwrap_err().message;
    assert!(refused.starts_with("`prod` of the credentials cannot be used: `/"), "{refused}");
}
