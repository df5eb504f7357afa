//! Keys and signatures that other programs made, and time limits shorter than anybody waits: cosign 2.4.1 (`generate-key-pair`, `sign-blob`) and openssl 3.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::{Keyring, PublicKey, SigningKey, sign_file, verify_file};

/// What both signed.
const MESSAGE: &[u8] = b"hello\n";
const PASSWORD: &str = "correct-horse";
const COSIGN_KEY: &str = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\neyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6\nOCwicCI6MX0sInNhbHQiOiJWeEpLMVNLaTV2Vi8xZy9vTDFuZnNKMUl2bTI1RWw0\nY1EyWXRsT3RWNXQ4PSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94\nIiwibm9uY2UiOiIySXFSRkhkcFVNVElmM2VmZ01GUitTM1Bxa0FwWS9UOCJ9LCJj\naXBoZXJ0ZXh0IjoiczFPS3ZLdjlJSkpOWityVjlLYXJ2bDEybm1SMHpXNXdlMVZ6\nZm4ydHBodnRkVGltU3kzQXZoVW03L3QwZkEzSVdCaDViaUQ3UUZCekNHN3dXZlJp\nUXdCVkpPSndsVzBrVnNMcklhakFGY3dEWEJCSHo0UFpKZnkwSGRlaU9yZHRYWE16\nNk9LZjc2UVFLV25VeENDbHhGR2FLTmxyYWNPckZieDg0bzFtWHY0c1JUU3hRT1VL\nQVFGNlArZzdXVW9zSGpPYXZhNVlwcVcyd3c9PSJ9\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
const COSIGN_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEuLAsA9FM+OyRSV9JS8hsWIfiAw0p\nIwxE4A1xPl9x0u73woTP8Ngju9GX5Irwgh9MjbB2EF0v7haGHbAu8jY4iA==\n-----END PUBLIC KEY-----\n";
const COSIGN_SIGNATURE: &str = "MEUCIQDPtc86zyN2cChctehqFTBj68BAXnP3WpMm0QYI4RJSiwIgVwaPhk27lBLtniVCaEa7xIi2pPDa/ykdATgsoMQpO3s=";
const OPENSSL_KEY: &str =
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEILqD0q8CUpRTClCTntAg0ucY0E1pTNFi/15tXN5gR25a\n-----END PRIVATE KEY-----\n";
const OPENSSL_PUBLIC: &str =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEALkqWls/EIQioAePEgewJkuU01DV0NmuCnWxMDpZqecE=\n-----END PUBLIC KEY-----\n";
const OPENSSL_SIGNATURE: &str = "lbZAuJzoNL9ReDd28WxNIv90qY/hHnbZ0641y/fnZbiKz60sKwmOZ60yeGGt8Op/rsNvN+TO76VBKVxJeA5HAQ==";

/// Files in a folder of their own, 0600.
fn files(list: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |(name, text): &(&str, &str)| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let paths = list.iter().map(write).collect();
    (folder, paths)
}

#[test]
fn what_cosign_and_openssl_signed_is_good_and_nothing_else_is() {
    let cases = [
        (COSIGN_PUBLIC, COSIGN_SIGNATURE, "9c5ef8948352de123747063cfede48901f028576c4d384b6a67cbd369f046fd8"),
        (OPENSSL_PUBLIC, OPENSSL_SIGNATURE, "be99f41f609232af964504b45e2840569dfeb72a6d08bba5bd23a8e14d788136"),
    ];
    let public = |text: &str| PublicKey::from_pem(text).unwrap();
    for (key, signature, fingerprint) in cases {
        let (_folder, paths) = files(&[("m", "hello\n"), ("m.sig", signature), ("k.pub", key)]);
        let keys = Keyring::of_files(&paths[2..]).unwrap();
        let signed = verify_file(&paths[0], MESSAGE, &keys).unwrap();
        assert_eq!((signed.name.as_str(), signed.fingerprint.to_string().as_str()), ("k", fingerprint));
        assert_eq!(public(key).to_pem(), key, "a public key reads back");
        verify_file(&paths[0], b"hello", &keys).unwrap_err();
        let other = cases.iter().find(|it| it.0 != key).unwrap();
        let others = Keyring::of_key("other", public(other.0));
        let refused = verify_file(&paths[0], MESSAGE, &others).unwrap_err();
        assert_eq!(refused.code(), trueup_core::diagnostic::codes::UNSIGNED);
        assert!(refused.text.contains("`other`"), "{refused}");
        verify_file(&paths[0], MESSAGE, &Keyring::default()).unwrap_err();
    }
}

#[test]
fn private_keys_of_cosign_and_openssl_sign_what_their_public_halves_verify() {
    for (key, public, password) in [(COSIGN_KEY, COSIGN_PUBLIC, Some(PASSWORD)), (OPENSSL_KEY, OPENSSL_PUBLIC, None)] {
        let (_folder, paths) = files(&[("m", "hello\n"), ("key", key)]);
        let signing = SigningKey::read(&paths[1], || password.map(str::to_owned)).unwrap();
        let public = PublicKey::from_pem(public).unwrap();
        assert_eq!(signing.public(), public);
        sign_file(&paths[0], MESSAGE, &signing).unwrap();
        verify_file(&paths[0], MESSAGE, &Keyring::of_key("k", public)).unwrap();
        assert!(format!("{signing:?}").starts_with("SigningKey("));
    }
}

#[test]
fn a_private_key_that_cannot_be_opened_says_why_and_shows_nothing_of_itself() {
    let inner = |change: &dyn Fn(String) -> String| {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        let body: String = COSIGN_KEY.lines().filter(|it| !it.starts_with('-')).collect();
        let text = change(String::from_utf8(BASE64_STANDARD.decode(body).unwrap()).unwrap());
        format!(
            "-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n{}\n-----END ENCRYPTED COSIGN PRIVATE KEY-----\n",
            BASE64_STANDARD.encode(text)
        )
    };
    let check = |text: &str, password: Option<&str>, words: &str| {
        let (_folder, paths) = files(&[("key", text)]);
        let refused = SigningKey::read(&paths[0], || password.map(str::to_owned)).unwrap_err();
        let told = format!("{refused} {}", refused.hint.as_deref().unwrap_or_default());
        assert!(told.contains(words), "{words}: {told}");
        assert!(!told.contains("horse") && !told.contains("MC4CAQ"), "{told}");
    };
    check(COSIGN_KEY, None, "COSIGN_PASSWORD");
    check(COSIGN_KEY, Some("wrong-horse"), "the password is wrong");
    check(&inner(&|it| it), Some("wrong-horse"), "the password is wrong");
    check(&inner(&|it| it.replace("65536", "1073741824")), Some(PASSWORD), "parameters of scrypt");
    check(&inner(&|it| it.replace("65536", "65535")), Some(PASSWORD), "parameters of scrypt");
    check(&inner(&|it| it.replace("\"r\":8", "\"r\":0")), Some(PASSWORD), "parameters of scrypt");
    check(&inner(&|it| it.replace("scrypt", "argon2")), Some(PASSWORD), "not scrypt");
    check(&inner(&|_| "{".to_owned()), Some(PASSWORD), "not JSON");
    check(COSIGN_PUBLIC, None, "not a private key");
    check("hello", None, "not PEM");
    check(&OPENSSL_KEY.replace("MC4CAQ", "MC4CAg"), None, "neither an Ed25519 key");
    check(&OPENSSL_KEY.replace("PRIVATE", "EC PRIVATE"), None, "openssl pkcs8");
    let (_folder, paths) = files(&[("key", OPENSSL_KEY)]);
    fs::set_permissions(&paths[0], fs::Permissions::from_mode(0o644)).unwrap();
    assert!(SigningKey::read(&paths[0], || None).unwrap_err().text.contains("chmod 600"));
    assert!(PublicKey::from_pem(OPENSSL_KEY).unwrap_err().contains("not a public key"));
    let rsa =
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEALkqWls/EIQioAePEgewJkuU01DV0NmuCnWxMDpZqecE=\n-----END PUBLIC KEY-----\n";
    assert!(PublicKey::from_pem(rsa).unwrap_err().contains("neither"));
}

/// Answers every request with this head, and then with a byte now and then.
fn dripping(head: &'static [u8], pause: std::time::Duration) -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(head);
                while stream.write_all(b" ").is_ok() {
                    std::thread::sleep(pause);
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_registry_that_drips_is_given_up_at_the_limit_of_the_whole_request_and_a_silent_one_sooner() {
    use std::time::{Duration, Instant};

    use super::{Patience, Place, Reference, Remote, Trouble};
    let patience =
        Patience { connect: Duration::from_secs(1), idle: Duration::from_millis(500), request: Duration::from_millis(1500) };
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    for (pause, least) in
        [(Duration::from_millis(50), Duration::from_millis(1400)), (Duration::from_secs(60), Duration::from_millis(400))]
    {
        let reference = Reference::parse(&format!("oci://127.0.0.1:{}/x:1", dripping(head, pause))).unwrap();
        let place = Place::Remote(Box::new(Remote::new(&reference, None, patience).unwrap()));
        let begun = Instant::now();
        let refused = place.image(&reference).await.unwrap_err();
        assert_eq!(refused.trouble, Trouble::Unreachable, "{refused}");
        assert!(refused.text.contains("was silent for 0.5 s, or took longer than 1.5 s"), "{refused}");
        assert!((least..Duration::from_secs(10)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }
}

/// A TLS server of openssl with a certificate that it issued itself; ended with the value.
struct Tls {
    port: u16,
    child: std::process::Child,
    _folder: tempfile::TempDir,
}

impl Tls {
    /// `more` are further arguments of `openssl req`.
    fn start(more: &[&str]) -> Self {
        use std::process::{Command, Stdio};
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"])
            .args(more)
            .current_dir(folder.path())
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-key", "key.pem", "-cert", "cert.pem", "-accept"])
            .arg(format!("127.0.0.1:{port}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        let late = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < late, "openssl does not listen on {port}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self { port, child, _folder: folder }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a request over TLS to a port of this machine comes to. By a connection of its own, as no registry here is named by `https`.
async fn over_tls(port: u16) -> super::RegistryError {
    use super::connection::{Access, Ask, Connection};
    let reference = super::Reference::parse("oci://127.0.0.1:9/x:1").unwrap();
    let connection = Connection::new(&reference, None, super::Patience::default()).unwrap();
    let url = url::Url::parse(&format!("https://127.0.0.1:{port}/v2/")).unwrap();
    let Err(refused) = connection.send(&Ask::new(reqwest::Method::GET, url, Access::Pull)).await else {
        panic!("an answer came")
    };
    refused
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_no_reason_to_try_again_and_says_where_to_name_its_authority() {
    // As an authority issues one, and as `openssl req -x509` makes it for itself.
    for (more, words) in [
        (&["-addext", "basicConstraints=critical,CA:FALSE"][..], "as nobody whom this machine trusts issued it"),
        (&[], "as it is that of an authority itself"),
    ] {
        let server = Tls::start(more);
        let refused = over_tls(server.port).await;
        assert_eq!(refused.code(), trueup_core::diagnostic::codes::REGISTRY, "{refused}");
        assert!(refused.text.contains("its certificate is not trusted, ") && refused.text.contains(words), "{refused}");
        let hint = refused.hint.unwrap();
        assert!(hint.contains("`ca`") && hint.contains("credentials.yaml") && !hint.contains("try again"), "{hint}");
    }
}

#[tokio::test]
async fn what_speaks_no_tls_is_no_reason_to_try_again_either() {
    let port = dripping(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", std::time::Duration::from_secs(60));
    let refused = over_tls(port).await;
    assert_eq!(refused.code(), trueup_core::diagnostic::codes::REGISTRY, "{refused}");
    assert!(refused.text.contains("no TLS comes about"), "{refused}");
    assert!(refused.hint.as_ref().is_some_and(|it| it.contains("is the port right?")), "{refused}");
}

#[test]
fn a_strangers_text_is_cut_between_words_and_says_that_it_was() {
    use super::{SHOWN, shown};
    assert_eq!(shown("a\nb \u{1b}"), "a\\nb \\u{1b}");
    let words = "word ".repeat(SHOWN);
    let cut = shown(&words);
    assert!(cut.ends_with("word…") && cut.chars().count() <= SHOWN + 1, "{cut}");
    let one = "ä".repeat(SHOWN + 1);
    assert_eq!(shown(&one), format!("{}…", "ä".repeat(SHOWN)));
}
