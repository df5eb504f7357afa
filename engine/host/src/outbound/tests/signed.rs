//! Requests that are signed, at a server that works the signature out again from the bytes that it got.

use std::collections::{HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::*;
use crate::outbound::sigv4::Keys;
use crate::outbound::{Held, Login};

/// Seconds by which the server's clock is ahead at paths that begin with `/ahead`, and behind at `/behind`.
const AWAY: i64 = 3600;

/// Gives keys of these names, one after the other, each when it is asked for anew.
#[derive(Debug)]
struct Keyring {
    next: Mutex<VecDeque<&'static str>>,
    now: Mutex<Option<Arc<Held>>>,
    fetched: AtomicUsize,
    /// Whether no newer keys are an error, and not the old ones.
    fails: bool,
}

fn keyring(names: &[&'static str]) -> Arc<Keyring> {
    Arc::new(Keyring {
        next: Mutex::new(names.iter().copied().collect()),
        now: Mutex::default(),
        fetched: AtomicUsize::new(0),
        fails: false,
    })
}

impl Login for Keyring {
    fn whose(&self) -> String {
        "profile `prod`".to_owned()
    }

    fn held(&self) -> Option<Arc<Held>> {
        self.now.lock().unwrap().clone()
    }

    fn fetch(&self, refused: Option<&Arc<Held>>) -> Result<Arc<Held>, String> {
        let mut now = self.now.lock().unwrap();
        if let Some(held) = &*now
            && !refused.is_some_and(|it| Arc::ptr_eq(it, held))
        {
            return Ok(Arc::clone(held));
        }
        self.fetched.fetch_add(1, Ordering::SeqCst);
        let Some(name) = self.next.lock().unwrap().pop_front() else {
            return refused.filter(|_| !self.fails).cloned().ok_or_else(|| "profile `prod`: log in".to_owned());
        };
        let token = Some(Secret::new(format!("token-of-{name}")));
        let keys =
            Keys { access_key: Secret::from(name), secret_key: Secret::new(format!("secret-of-{name}")), session_token: token };
        Ok(Arc::clone(now.insert(Arc::new(Held { keys: Some(keys), ..Held::default() }))))
    }

    fn values(&self) -> Vec<String> {
        Vec::new()
    }
}

fn granted(origin: &str, login: Arc<dyn Login>) -> Grant {
    let credential = Arc::new(Credential {
        name: "aws".to_owned(),
        origins: vec![HostRule::parse(origin).unwrap()],
        servers: Vec::new(),
        scheme: Scheme::SigV4(login),
        ca_pem: None,
        base: None,
    });
    let slot = Slot { read: Arc::clone(&credential), write: credential };
    Grant { credentials: BTreeMap::from([("api".to_owned(), slot)]), ..Grant::default() }
}

fn to(server: &Server, login: &Arc<Keyring>) -> Outbound {
    outbound(granted(&format!("http://127.0.0.1:{}", server.port), login.clone()))
}

fn asked(method: &str, service: &str, path: &str) -> wit::Request {
    let ext =
        [("sigv4.service", service), ("sigv4.region", "eu-west-3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    wit::Request { credential: Some("api".to_owned()), ext: ext.to_vec(), ..request(method, &format!("slot:api{path}")) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// As a service other than S3 reads what it got: without empty parts, and escaped once more.
fn escaped(path: &str) -> String {
    let mut path = path.to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    let keep = |it: u8| it.is_ascii_alphanumeric() || b"-_.~/".contains(&it);
    path.bytes().map(|it| if keep(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect()
}

/// The headers of a request as it came.
fn headers_of(request: &str) -> HashMap<&str, &str> {
    request.split("\r\n\r\n").next().unwrap().lines().skip(1).filter_map(|it| it.split_once(": ")).collect()
}

/// Whose signature a request carries; none where it is not the one that belongs to these bytes. For requests without a body, or
/// to S3.
fn signer(request: &str) -> Option<&str> {
    let mut line = request.lines().next()?.split(' ');
    let (method, target) = (line.next()?, line.next()?);
    let headers = headers_of(request);
    let rest = headers.get("authorization")?.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
    let (scope, rest) = rest.split_once(", SignedHeaders=")?;
    let (names, signature) = rest.split_once(", Signature=")?;
    let (key, scope) = scope.split_once('/')?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let [day, region, service] = scope.split('/').collect::<Vec<_>>().get(..3)?.try_into().ok()?;
    let mut pairs: Vec<_> =
        query.split('&').filter(|it| !it.is_empty()).map(|it| it.split_once('=').unwrap_or((it, ""))).collect();
    pairs.sort_unstable();
    let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let path = if service == "s3" { path.to_owned() } else { escaped(path) };
    let lines = names.split(';').map(|it| Some(format!("{it}:{}\n", headers.get(it)?))).collect::<Option<String>>()?;
    let payload = headers.get("x-amz-content-sha256").map_or_else(|| hex(&Sha256::digest(b"")), |it| (*it).to_owned());
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}");
    let time = headers.get("x-amz-date").filter(|it| it.starts_with(day))?;
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let secret = format!("AWS4secret-of-{key}");
    let made = [day, region, service, "aws4_request", &text].iter().fold(secret.into_bytes(), |key, it| mac(&key, it));
    let token = headers.get("x-amz-security-token") == Some(&&*format!("token-of-{key}"));
    (token && hex(&made) == signature && names.contains("host")).then_some(key)
}

/// Year, month, day and the second of the day.
fn civil(seconds: i64) -> (i64, i64, i64, i64) {
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year_of_era + days.div_euclid(146_097) * 400 + i64::from(month <= 2), month, day, second)
}

fn stamp(seconds: i64) -> String {
    let (year, month, day, second) = civil(seconds);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

fn dated(seconds: i64) -> String {
    let (year, month, day, second) = civil(seconds);
    let month = "JanFebMarAprMayJunJulAugSepOctNovDec".get(usize::try_from(month - 1).unwrap() * 3..).unwrap();
    format!("Mon, {day:02} {} {year} {:02}:{:02}:{:02} GMT", &month[..3], second / 3600, second / 60 % 60, second % 60)
}

fn answer(status: &str, more: &str, body: &str) -> Option<Vec<u8>> {
    Some(format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

fn code(code: &str, date: &str) -> Option<Vec<u8>> {
    let body = format!("<Error><Code>{code}</Code></Error>");
    answer("403 Forbidden", &format!("date: {date}\r\n"), &body)
}

/// Believes the keys `new` alone, calls `old` expired and all others unknown, and has the clock that its paths say.
fn service(request: &str) -> Option<Vec<u8>> {
    let path = request.split(' ').nth(1)?;
    let away = if path.starts_with("/ahead") {
        AWAY
    } else if path.starts_with("/behind") {
        -AWAY
    } else {
        0
    };
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap() + away;
    let Some(signer) = signer(request) else { return code("SignatureDoesNotMatch", &dated(now)) };
    let time = headers_of(request)["x-amz-date"].to_owned();
    if path.starts_with("/never") {
        return code("RequestTimeTooSkewed", &dated(now + AWAY));
    }
    if *time < *stamp(now - 300) || *stamp(now + 300) < *time {
        return code("RequestTimeTooSkewed", &dated(now));
    }
    match signer {
        "new" => answer("200 OK", "", "hi"),
        "old" | "older" => code("ExpiredToken", &dated(now)),
        "denied" => code("AccessDenied", &dated(now)),
        _ => code("InvalidAccessKeyId", &dated(now)),
    }
}

#[tokio::test]
async fn what_is_sent_is_what_was_signed_however_a_plugin_writes_it() {
    let server = server(service).await;
    let to = to(&server, &keyring(&["new"]));
    let pieces =
        ["a", ":", "+", "%20", " ", "%2F", "é", "%C3%A9", "=", "@", "~", "%7e", "!", "(", ")", "*", "'", ",", "$", "//", ";"];
    let mut requests = Vec::new();
    for (at, one) in pieces.iter().enumerate() {
        let other = pieces[(at * 7 + 3) % pieces.len()];
        for service in ["s3", "ec2", "execute-api"] {
            requests.push(asked("GET", service, &format!("/x{one}{other}?{one}&a={other}{one}&a=1&A&b=&{other}={one}&a=1")));
        }
    }
    requests.push(asked("GET", "ec2", ""));
    requests.push(asked("GET", "s3", "?list-type=2&prefix="));
    requests.push(asked("DELETE", "lambda", "/2015-03-31/functions/arn:aws:lambda:eu-west-3:1:function:x"));
    let count = requests.len();
    let answers = send_all(&to, requests, 0, true).await;
    assert_eq!(answers, vec!["200 hi"; count]);
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.len(), count);
    assert!(
        seen.iter().any(|it| it.starts_with("DELETE /2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-3%3A1%3Afunction%3Ax "))
    );
}

#[tokio::test]
async fn headers_and_bodies_are_covered_and_those_of_the_signature_are_the_hosts() {
    let server = server(service).await;
    let to = to(&server, &keyring(&["new"]));
    let with = |headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        wit::Request { headers, body: Some(b"{}".to_vec()), ..asked("PUT", "s3", "/b/k") }
    };
    assert_eq!(send(&to, with(&[("Content-Type", "a/b"), ("x-amz-acl", "private")]), true).await, "200 hi");
    let mut unsigned = with(&[]);
    unsigned.ext.push(("sigv4.payload".to_owned(), "unsigned".to_owned()));
    assert_eq!(send(&to, unsigned, true).await, "200 hi");
    {
        let seen = server.seen.lock().unwrap();
        assert!(
            seen[0].contains("SignedHeaders=content-type;host;x-amz-acl;x-amz-content-sha256;x-amz-date;x-amz-security-token")
        );
        assert_eq!(headers_of(&seen[0])["x-amz-content-sha256"], hex(&Sha256::digest(b"{}")));
        assert_eq!(headers_of(&seen[1])["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
    }
    assert_eq!(send(&to, wit::Request { body: None, ..asked("PUT", "s3", "/b/empty") }, true).await, "200 hi");
    assert_eq!(headers_of(&server.seen.lock().unwrap()[2])["content-length"], "0", "S3 wants to be told");
    for name in ["Authorization", "X-Amz-Date", "x-amz-security-token", "X-AMZ-CONTENT-SHA256"] {
        assert!(send(&to, with(&[(name, "x")]), true).await.starts_with("denied"), "{name}");
    }
    for ext in [&[][..], &[("sigv4.service", "s3")], &[("sigv4.service", "S3"), ("sigv4.region", "a")]] {
        let ext = ext.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(send(&to, wit::Request { ext, ..asked("GET", "s3", "/") }, true).await, "malformed");
    }
    assert_eq!(send(&to, asked("GET", "s3", "/100%"), true).await, "malformed");
    assert_eq!(server.seen.lock().unwrap().len(), 3, "what is refused is not sent");
}

#[tokio::test]
async fn another_origin_gets_no_signature_and_needs_none() {
    let (mine, other) = (server(service).await, server(ok).await);
    let there = format!("http://127.0.0.1:{}", other.port);
    let mut grant = granted(&format!("http://127.0.0.1:{}", mine.port), keyring(&["new"]));
    grant.hosts.push(HostRule::parse(&there).unwrap());
    let to = outbound(grant);
    let with = wit::Request { credential: Some("api".to_owned()), ..request("GET", &format!("{there}/a:b?c+d")) };
    assert_eq!(send(&to, with, true).await, "200 hi");
    let seen = other.seen.lock().unwrap().join("");
    assert!(seen.starts_with("GET /a:b?c+d ") && !seen.contains("authorization") && !seen.contains("x-amz"), "{seen}");
}

#[tokio::test]
async fn what_is_refused_for_its_keys_is_sent_once_more_with_others_also_where_it_changes_something() {
    for (names, want, sent, fetched) in [
        (&["old", "new", "unused"][..], "200 hi", 2, 2),
        (&["unknown", "new"], "200 hi", 2, 2),
        (&["old", "older", "new"], "403 <Error><Code>ExpiredToken</Code></Error>", 2, 2),
        (&["old"], "403 <Error><Code>ExpiredToken</Code></Error>", 1, 2),
        (&["unknown"], "403 <Error><Code>InvalidAccessKeyId</Code></Error>", 1, 2),
        (&["denied", "new"], "403 <Error><Code>AccessDenied</Code></Error>", 1, 1),
    ] {
        for method in ["GET", "POST"] {
            let server = server(service).await;
            let keyring = keyring(names);
            let body = (method == "POST").then(|| b"c".to_vec());
            let got = send(&to(&server, &keyring), wit::Request { body, ..asked(method, "s3", "/x") }, true).await;
            let seen = server.seen.lock().unwrap().len();
            assert_eq!((got.as_str(), seen, keyring.fetched.load(Ordering::SeqCst)), (want, sent, fetched), "{names:?} {method}");
        }
    }
}

#[tokio::test]
async fn keys_that_are_not_to_be_had_any_more_are_said_so_and_doubted_ones_leave_the_servers_answer() {
    let server = server(service).await;
    for (name, want) in [("old", "unreachable"), ("unknown", "403 <Error><Code>InvalidAccessKeyId</Code></Error>")] {
        let keyring = Arc::new(Keyring { fails: true, ..Arc::into_inner(keyring(&[name])).unwrap() });
        assert_eq!(send(&to(&server, &keyring), asked("GET", "s3", "/x"), false).await, want);
    }
}

#[tokio::test]
async fn many_requests_that_are_refused_at_once_ask_for_new_keys_once() {
    let server = server(service).await;
    let keyring = keyring(&["old", "new"]);
    let answers = send_all(&to(&server, &keyring), (0..20).map(|_| asked("GET", "ec2", "/x")).collect(), 8, false).await;
    assert_eq!(answers, vec!["200 hi"; 20]);
    assert_eq!(keyring.fetched.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_with_another_clock_is_signed_for_in_its_time_from_then_on() {
    for path in ["/ahead", "/behind"] {
        let server = server(service).await;
        let to = to(&server, &keyring(&["new"]));
        let with = || wit::Request { body: Some(b"c".to_vec()), ..asked("POST", "s3", path) };
        assert_eq!(send(&to, with(), true).await, "200 hi", "{path}");
        assert_eq!(server.seen.lock().unwrap().len(), 2, "{path}");
        assert_eq!(send(&to, with(), true).await, "200 hi", "{path}");
        assert_eq!(server.seen.lock().unwrap().len(), 3, "{path}: the clock is known");
    }
}

#[tokio::test]
async fn other_keys_and_another_time_are_tried_once_each_and_nothing_goes_round() {
    for (path, names, want, sent) in [
        ("/ahead", &["old", "new"][..], "200 hi", 3),
        ("/ahead", &["old", "older", "new"], "403 <Error><Code>ExpiredToken</Code></Error>", 3),
        ("/never", &["new", "newer"], "403 <Error><Code>RequestTimeTooSkewed</Code></Error>", 2),
    ] {
        let server = server(service).await;
        let got = send(&to(&server, &keyring(names)), asked("GET", "s3", path), false).await;
        assert_eq!((got.as_str(), server.seen.lock().unwrap().len()), (want, sent), "{path} {names:?}");
    }
}

#[tokio::test]
async fn what_got_no_answer_is_signed_anew_when_it_is_tried_again() {
    let server = server(|request| if request.starts_with("HEAD") { ok(request) } else { None }).await;
    let to = to(&server, &keyring(&["new"]));
    assert_eq!(send(&to, asked("GET", "ec2", "/x"), false).await, "interrupted");
    assert_eq!(send(&to, wit::Request { body: Some(b"c".to_vec()), ..asked("POST", "s3", "/x") }, true).await, "interrupted");
    let seen = server.seen.lock().unwrap();
    assert!(seen.len() == 3 && seen.iter().all(|it| signer(it) == Some("new")), "{seen:?}");
}
