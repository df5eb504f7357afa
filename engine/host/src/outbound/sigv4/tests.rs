//! Known signatures, one spelling for each URL, and what a request must say of its signature.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn keys(access_key: &str, secret_key: &str, token: Option<&str>) -> Keys {
    Keys { access_key: Secret::from(access_key), secret_key: Secret::from(secret_key), session_token: token.map(Secret::from) }
}

fn signing(service: &str, region: &str) -> Signing {
    Signing { service: service.to_owned(), region: region.to_owned(), unsigned: false }
}

fn headers(them: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in them {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn parsed(url: &str) -> Url {
    Url::parse(url).unwrap()
}

/// The signature alone, at a time in seconds.
fn signature(keys: &Keys, how: &Signing, time: u64, method: &str, url: &str, given: &[(&str, &str)], body: &str) -> String {
    let mut headers = headers(given);
    let time = UNIX_EPOCH + Duration::from_secs(time);
    sign(keys, how, time, method, &spelled(&parsed(url)).unwrap(), &mut headers, body.as_bytes()).unwrap();
    headers["authorization"].to_str().unwrap().rsplit_once("Signature=").unwrap().1.to_owned()
}

/// Keys of AWS's own examples.
const EXAMPLE: (&str, &str) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
/// 2015-08-30T12:36:00Z
const THEN: u64 = 1_440_938_160;

#[test]
fn the_published_examples_are_signed_as_published() {
    let keys = keys(EXAMPLE.0, EXAMPLE.1, None);
    let suite = signing("service", "us-east-1");
    for (method, url, given, want) in [
        ("GET", "https://example.amazonaws.com/", &[][..], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "https://example.amazonaws.com/", &[], "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            "https://example.amazonaws.com/?Param2=value2&Param1=value1",
            &[],
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ] {
        assert_eq!(signature(&keys, &suite, THEN, method, url, given, ""), want, "{method} {url}");
    }
    let url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08";
    let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    let got = signature(&keys, &signing("iam", "us-east-1"), THEN, "GET", url, &form, "");
    assert_eq!(got, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    // S3's own example, of 2013-05-24.
    let keys = self::keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None);
    let url = "https://examplebucket.s3.amazonaws.com/test.txt";
    let got = signature(&keys, &signing("s3", "us-east-1"), 1_369_353_600, "GET", url, &[("range", "bytes=0-9")], "");
    assert_eq!(got, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

/// Made with botocore 1.44.5 as a second implementation: random requests of `SigV4Auth` and, for `s3`, `S3SigV4Auth` at
/// 2026-01-02T03:04:05Z with the example's keys. `given` is a URL as somebody may write it, `sent` what Python's
/// `quote(unquote_to_bytes(part), safe="-_.~")` makes of each part of it, which is what botocore signed; for an unsigned body
/// `payload_signing_enabled` was off.
const VECTORS: &str = include_str!("vectors.json");

#[test]
fn random_requests_are_spelled_and_signed_as_a_second_implementation_does() {
    let vectors: Vec<Json> = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.len() >= 40);
    for it in &vectors {
        let text = |key: &str| it[key].as_str().unwrap();
        let url = spelled(&parsed(text("given"))).unwrap();
        assert_eq!(url.as_str(), text("sent"), "{it}");
        let given: Vec<_> = it["headers"].as_array().unwrap().iter().collect();
        let given: Vec<_> = given.iter().map(|it| (it[0].as_str().unwrap(), it[1].as_str().unwrap())).collect();
        let mut headers = headers(&given);
        let keys = keys(EXAMPLE.0, EXAMPLE.1, it["token"].as_str());
        let how = Signing { unsigned: it["unsigned"].as_bool().unwrap(), ..signing(text("service"), text("region")) };
        let time = UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        sign(&keys, &how, time, text("method"), &url, &mut headers, text("body").as_bytes()).unwrap();
        let got = |name: &str| headers.get(name).map(|it| it.to_str().unwrap());
        for (name, key) in [
            ("authorization", "authorization"),
            ("x-amz-date", "date"),
            ("x-amz-content-sha256", "sha256"),
            ("x-amz-security-token", "security"),
        ] {
            assert_eq!(got(name), it[key].as_str(), "{name}: {it}");
        }
    }
}

#[test]
fn what_may_be_written_in_two_ways_is_sent_in_one() {
    for (given, want) in [
        ("https://a.example", "https://a.example/"),
        ("https://a.example/?", "https://a.example/"),
        ("https://a.example:443/a b", "https://a.example/a%20b"),
        ("https://a.example/arn:aws:iam::1:role%2Fx/tags", "https://a.example/arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx/tags"),
        ("https://a.example/a+b?c+d=e+f", "https://a.example/a%2Bb?c%20d=e%20f"),
        ("https://a.example/?acl", "https://a.example/?acl"),
        ("https://a.example/?acl=", "https://a.example/?acl="),
        ("https://a.example/?b=2&a=1&b=1&&b=2", "https://a.example/?b=2&a=1&b=1&b=2"),
        ("https://a.example/?a=b=c/d?e", "https://a.example/?a=b%3Dc%2Fd%3Fe"),
        ("https://a.example/%7euser//x/", "https://a.example/~user//x/"),
        ("https://a.example/%c3%a9%FF", "https://a.example/%C3%A9%FF"),
        ("https://a.example/é", "https://a.example/%C3%A9"),
        ("https://a.example/%252e%252e", "https://a.example/%252e%252e"),
    ] {
        let got = spelled(&parsed(given)).unwrap();
        assert_eq!(got.as_str(), want, "{given}");
        assert_eq!(spelled(&got).unwrap(), got, "{given}");
    }
    for wrong in ["https://a.example/100%", "https://a.example/%zz", "https://a.example/?a=%f", "https://a.example/?a=%FF"] {
        assert!(spelled(&parsed(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn a_signature_replaces_an_earlier_one_and_does_not_print_itself() {
    let keys = keys(EXAMPLE.0, "c4nary", Some("t0ken"));
    let mut headers = headers(&[("content-type", "a/b")]);
    let url = parsed("https://a.example/");
    let signed = |headers: &mut HeaderMap, at: u64| {
        sign(&keys, &signing("s3", "a"), UNIX_EPOCH + Duration::from_secs(at), "GET", &url, headers, b"").unwrap();
    };
    signed(&mut headers, THEN);
    let first = headers.clone();
    signed(&mut headers, THEN);
    assert_eq!(headers, first, "what an earlier signature added is not signed");
    signed(&mut headers, THEN + 60);
    assert_ne!(headers["authorization"], first["authorization"]);
    assert_eq!((headers.len(), headers.get_all("x-amz-date").iter().count()), (5, 1));
    let shown = format!("{headers:?} {keys:?}");
    assert!(!["c4nary", "t0ken", "Signature", "AKID"].iter().any(|it| shown.contains(it)), "{shown}");
    let wrong = self::keys("A", "s3cret", Some("a\nb"));
    let words = sign(&wrong, &signing("s3", "a"), UNIX_EPOCH, "GET", &url, &mut headers, b"").unwrap_err();
    assert!(words.contains("cannot be signed") && !words.contains("s3cret"), "{words}");
}

#[test]
fn a_request_names_its_service_and_region_and_may_leave_its_body_out() {
    let of = |ext: &[(&str, &str)]| {
        let ext: Vec<_> = ext.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Signing::of(&ext)
    };
    let (service, region) = (("sigv4.service", "s3"), ("sigv4.region", "eu-west-3"));
    assert_eq!(of(&[service, region, ("other", "x")]), Ok(signing("s3", "eu-west-3")));
    assert_eq!(of(&[service, region, ("sigv4.payload", "signed")]), Ok(signing("s3", "eu-west-3")));
    assert_eq!(of(&[region, ("sigv4.payload", "unsigned"), service]).map(|it| it.unsigned), Ok(true));
    let long = "x".repeat(65);
    for (ext, want) in [
        (&[region][..], "`sigv4.service` is missing"),
        (&[service], "`sigv4.region` is missing"),
        (&[service, service, region], "`sigv4.service` stands twice"),
        (&[service, ("sigv4.region", "")], "`sigv4.region` must be"),
        (&[service, ("sigv4.region", "eu/west")], "`sigv4.region` must be"),
        (&[service, ("sigv4.region", &long)], "`sigv4.region` must be"),
        (&[("sigv4.service", "S3"), region], "`sigv4.service` must be"),
        (&[service, region, ("sigv4.payload", "no")], "`sigv4.payload` must be"),
    ] {
        let words = of(ext).unwrap_err();
        assert!(words.contains(want), "{ext:?}: {words}");
    }
}

proptest! {
    /// Whatever a plugin writes reads the same as before, in one spelling.
    #[test]
    fn a_spelled_url_means_what_was_written(
        parts in proptest::collection::vec("[ -~é世]{0,6}", 0..5),
        query in proptest::collection::vec("[ -~é世]{0,8}", 0..5),
    ) {
        let text = format!("https://a.example/{}?{}", parts.join("/"), query.join("&")).replace(['\\', '#'], "-");
        let url = parsed(&text);
        if let Ok(got) = spelled(&url) {
            prop_assert_eq!(&spelled(&got).unwrap(), &got);
            let path = |it: &Url| it.path().split('/').map(|it| decoded(it, false).unwrap()).collect::<Vec<_>>();
            prop_assert_eq!(path(&url), path(&got));
            let pairs = |it: &Url| it.query_pairs().map(|(a, b)| (a.into_owned(), b.into_owned())).collect::<Vec<_>>();
            prop_assert_eq!(pairs(&url), pairs(&got));
            let rest = &got.as_str()["https://a.example".len()..];
            prop_assert!(rest.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.~%/?&=".contains(&it)), "{}", got);
        }
    }
}
