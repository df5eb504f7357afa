//! Each kind of entry, and everything that is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn open(text: &str, folder: &Path) -> Result<Credentials, Vec<Diagnostic>> {
    let path = folder.join("credentials.yaml");
    private::write(&path, text.as_bytes()).unwrap();
    Credentials::open(&path, true)
}

fn findings(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let Err(found) = open(text, folder.path()) else { return Vec::new() };
    found.iter().map(|it| it.message.clone()).collect()
}

/// The examples of the design, one of each kind.
const ALL: &str = r#"
credentials:
  pdns: {origins: ["http://127.0.0.1:8081"], header: {X-API-Key: {file: key}}}
  user: {origins: ["https://*.example.com"], basic: {user: {file: user}, password: {file: key}}, base: "https://api.example.com/v1", ca: {file: ca.pem}}
  token: {origins: ["https://git.example.org:8443"], bearer: {file: key}, git: true}
  tls: {origins: ["https://10.0.0.1:6443"], client-certificate: {cert: {file: ca.pem}, key: {file: key}}}
  aws: {origins: ["https://*.amazonaws.com"], sigv4: {access_key: {env: AWS_ACCESS_KEY_ID}, secret_key: {env: AWS_SECRET_ACCESS_KEY}}}
  aws-file: {origins: ["https://*.amazonaws.com"], sigv4: {access_key: {file: user}, secret_key: {file: key}}, ca: {file: ca.pem}}
  prod: {origins: ["https://10.0.0.1:6443"], kubeconfig: {file: kube/config, context: prod}, exec: [aws, ~/bin/x, /bin/y], insecure: true}
  here: {in-cluster: true}
  tsig: {origins: ["dns://127.0.0.1:53"], tsig: {name: trueup., algorithm: hmac-sha256, secret: {file: tsig}}}
secrets:
  db-password: {file: key}
  lines: {file: lines}
  none: {file: none}
  unset: {env: TRUEUP_TEST_VARIABLE_THAT_NOBODY_SETS}
"#;

#[test]
fn each_kind_of_entry_becomes_a_credential_with_its_value_read_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = open(ALL, folder.path()).unwrap();
    let missing = credentials.credential("pdns").unwrap_err().message;
    assert!(missing.contains("cannot be read"), "{missing}");
    for (name, text) in
        [("key", "c4nary\n"), ("user", "ann"), ("ca.pem", "PEM\n"), ("lines", "a\n\n"), ("tsig", "YzRuYXJ5YzRuYXJ5\n")]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let pdns = credentials.credential("pdns").unwrap();
    let Scheme::Header { name, value } = &pdns.scheme else { panic!("{pdns:?}") };
    assert_eq!((name.as_str(), value.expose()), ("X-API-Key", "c4nary"));
    let user = credentials.credential("user").unwrap();
    let Scheme::Basic { user: name, password } = &user.scheme else { panic!("{user:?}") };
    assert_eq!((name.as_str(), password.expose(), user.ca_pem.as_deref()), ("ann", "c4nary", Some("PEM")));
    assert_eq!(user.base.as_ref().map(Url::as_str), Some("https://api.example.com/v1"));
    assert!(matches!(credentials.credential("token").unwrap().scheme, Scheme::Bearer(_)));
    assert!(matches!(credentials.credential("tls").unwrap().scheme, Scheme::ClientCertificate { .. }));
    let tsig = credentials.credential("tsig").unwrap();
    assert!(matches!(tsig.scheme, Scheme::Tsig(_)) && tsig.origins.is_empty());
    assert_eq!(tsig.servers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["dns://127.0.0.1:53"]);
    assert!(format!("{tsig:?}").contains("TsigKey(trueup. HmacSha256 (secret))"), "{tsig:?}");
    let aws = credentials.credential("aws-file").unwrap();
    assert!(matches!(aws.scheme, Scheme::SigV4(_)) && aws.base().is_none() && aws.ca_pem.as_deref() == Some("PEM"), "{aws:?}");
    assert!(!format!("{aws:?}").contains("c4nary"));
    assert!(credentials.has("aws"), "the design's own form");
    assert_eq!(credentials.secret("db-password").unwrap(), "c4nary");
    assert_eq!(credentials.secret("lines").unwrap(), "a\n", "one line end belongs to the file");
    assert!(!format!("{credentials:?} {pdns:?} {user:?}").contains("c4nary"));
}

#[test]
fn what_is_missing_is_said_with_a_near_name_and_never_with_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = open(ALL, folder.path()).unwrap();
    let check = |refused: String, want: &str| assert!(refused.contains(want), "{refused}");
    check(credentials.credential("pdnss").unwrap_err().message, "did you mean `pdns`?");
    check(credentials.secret("db-pasword").unwrap_err(), "did you mean `db-password`?");
    check(credentials.secret("unset").unwrap_err(), "`TRUEUP_TEST_VARIABLE_THAT_NOBODY_SETS` is not set");
    check(credentials.secret("none").unwrap_err(), "cannot be read");
    fs::write(folder.path().join("none"), "\n").unwrap();
    check(credentials.secret("none").unwrap_err(), "empty");
    fs::write(folder.path().join("none"), b"c4nary\xff").unwrap();
    let refused = credentials.secret("none").unwrap_err();
    assert!(!refused.contains("c4nary"), "{refused}");
}

#[test]
fn a_file_that_others_can_read_is_refused_and_one_that_is_not_there_knows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials.yaml");
    assert!(!Credentials::open(&path, false).unwrap().has("pdns"));
    assert!(Credentials::open(&path, true).unwrap_err()[0].message.contains("no such file"));
    open(ALL, folder.path()).unwrap();
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = Credentials::open(&path, false).unwrap_err().remove(0).message;
        assert!(refused.contains("chmod 600"), "{mode:o} {refused}");
    }
    assert!(!open("", folder.path()).unwrap().has("pdns"));
}

#[test]
fn a_literal_value_and_every_misspelling_is_refused_and_not_repeated() {
    let entry = |text: &str| findings(&format!("credentials: {{x: {{origins: ['https://a.org'], {text}}}}}\n"));
    for (text, want) in [
        ("bearer: c4nary", "never the value itself"),
        ("bearer: {value: c4nary}", "no key `value`"),
        ("bearer: {env: A, file: b}", "never the value itself"),
        ("bearer: {}", "never the value itself"),
        ("header: {X-Key: c4nary}", "never the value itself"),
        ("header: {}", "one name and its value"),
        ("header: {'X Key': {env: A}}", "not the name of a header"),
        ("basic: {user: {env: A}, password: c4nary}", "never the value itself"),
        ("basic: {user: {env: A}}", "needs a key `password`"),
        ("beerer: {env: A}", "no key `beerer`"),
        ("bearer: {env: A}, basic: {user: {env: A}, password: {env: A}}", "exactly one of"),
        ("bearer: {env: A}, git: maybe", "`git` must be"),
        ("bearer: {env: A}, base: 'https://b.org'", "one of the `origins`"),
        ("sigv4: {access_key: {env: A}}", "needs a key `secret_key`"),
        ("kubeconfig: {context: a}", "needs a key `file`"),
        ("kubeconfig: {file: a, context: [c4nary]}", "`context` must be a text"),
        ("kubeconfig: {file: a, token: c4nary}", "no key `token`"),
        ("kubeconfig: {file: a}, insecure: c4nary", "`insecure` must be"),
        ("kubeconfig: {file: a}, exec: aws", "`exec` must be a list"),
        ("kubeconfig: {file: a}, exec: [bin/aws]", "a name, or a path from `/`"),
        ("in-cluster: false", "`in-cluster` must be `true`"),
        ("bearer: {env: A}, insecure: true", "`insecure` is for `kubeconfig` alone"),
        ("in-cluster: true, exec: [aws]", "`exec` is for `kubeconfig` and for"),
    ] {
        let found = entry(text);
        assert!(found.iter().any(|it| it.contains(want)), "{text}: {found:?}");
        assert!(!found.concat().contains("c4nary"), "{text}: {found:?}");
    }
    for origins in ["[]", "['a.org']", "['https://a.org/x']", "['https://*']", "['https://u:p@a.org']", "['dns://a.org']", "x"] {
        let found = findings(&format!("credentials: {{x: {{origins: {origins}, bearer: {{env: A}}}}}}\n"));
        assert!(!found.is_empty(), "{origins}");
    }
    assert!(!findings("credentials: {x: {bearer: {env: A}}}\n").is_empty());
    for broken in
        ["secrets: {db: {file: 0177}}", "secrets: {db: !c4nary x}", "secrets: {db: 'c4nary}", "secrets: {db: &a [*c4nary]}"]
    {
        let found = findings(broken);
        assert!(
            !found.is_empty() && !found.concat().contains("c4nary") && !found.concat().contains("0177"),
            "{broken}: {found:?}"
        );
    }
    assert!(findings("secrets: {db: c4nary}\n").concat().contains("never the value itself"));
}

#[test]
fn a_key_for_dns_messages_is_strong_and_its_secret_is_base64() {
    let folder = tempfile::tempdir().unwrap();
    let entry =
        |key: &str| format!("credentials: {{x: {{origins: ['dns://127.0.0.1'], tsig: {{{key}, secret: {{file: key}}}}}}}}\n");
    for (key, want) in [
        ("name: k, algorithm: hmac-md5", "is too weak; make a key for `hmac-sha256`"),
        ("name: k, algorithm: hmac-sha1", "is too weak"),
        ("name: k, algorithm: sha256", "must be `hmac-sha256`"),
        ("algorithm: hmac-sha256", "needs a key `name`"),
        ("name: k", "needs a key `algorithm`"),
    ] {
        let found = findings(&entry(key));
        assert!(found.iter().any(|it| it.contains(want)), "{key}: {found:?}");
    }
    let elsewhere = findings(
        "credentials: {x: {origins: ['https://a.org'], tsig: {name: k, algorithm: hmac-sha256, secret: {file: key}}}}\n",
    );
    assert!(elsewhere.concat().contains("must be `dns://host:port`"), "{elsewhere:?}");
    for (name, secret, want) in [
        ("trueup.", "c4nary!", "no base64"),
        ("a..b", "YzRuYXJ5", "must be a domain name"),
        ("a b", "YzRuYXJ5", "must be a domain name"),
        (".", "YzRuYXJ5", "must be a domain name"),
    ] {
        fs::write(folder.path().join("key"), secret).unwrap();
        let credentials = open(&entry(&format!("name: '{name}', algorithm: HMAC-SHA512.")), folder.path()).unwrap();
        let refused = credentials.credential("x").unwrap_err().message;
        assert!(refused.contains(want) && !refused.contains(secret), "{name}: {refused}");
    }
}

#[test]
fn a_git_remote_uses_the_only_entry_for_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key"), "c4nary").unwrap();
    let entry =
        |name: &str, origin: &str, git: bool| format!("  {name}: {{origins: ['{origin}'], bearer: {{file: key}}, git: {git}}}\n");
    let text = format!(
        "credentials:\n{}{}{}{}",
        entry("one", "https://git.example.org", true),
        entry("api", "https://git.example.org", false),
        entry("two", "https://*.example.net", true),
        entry("three", "https://a.example.net", true)
    );
    let credentials = open(&text, folder.path()).unwrap();
    let headers = |url: &str| credentials.remote(&Url::parse(url).unwrap()).map(|it| it.headers);
    assert_eq!(headers("https://git.example.org/a/b.git").unwrap(), ["Authorization: Bearer c4nary"]);
    assert_eq!(headers("https://git.example.org:8443/a").unwrap(), [""; 0], "another port");
    assert_eq!(headers("http://git.example.org/a").unwrap(), [""; 0], "without TLS");
    let refused = headers("https://a.example.net/x").unwrap_err().remove(0).message;
    assert!(refused.contains("`three`, `two`"), "{refused}");
    fs::write(folder.path().join("key"), "c4nary\r\nX: y").unwrap();
    let refused = headers("https://git.example.org/a").unwrap_err().remove(0).message;
    assert!(refused.contains("cannot stand in a header") && !refused.contains("c4nary"), "{refused}");
}
