use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::json;

use super::*;

fn of_secret(value: &str) -> Cut {
    Cut::new(&BTreeMap::from([("k".into(), value.into())]), &BTreeMap::new(), &BTreeMap::new())
}

fn of_sensitive(value: &str) -> Cut {
    Cut::new(&BTreeMap::new(), &BTreeMap::from([(value.into(), "0123456789abcdef".into())]), &BTreeMap::new())
}

#[test]
fn a_secret_is_cut_in_every_spelling_and_the_replay_spells_its_stand_in_the_same_way() {
    let value = "p\"a ss/ö";
    let cut = Cut::new(&BTreeMap::from([("db".into(), value.into())]), &BTreeMap::new(), &BTreeMap::new());
    let whole = |text: &str| spellings(text).join("|");
    assert_eq!(cut.text(&whole(value)), whole(&placeholder("db")));
    let mut recorded = json!({"body": {"$text": format!("{{\"x\":{}}}", json!(value))}, "url": format!("?p={value}"), value: 1});
    cut.json(&mut recorded, &mut Digests::default()).unwrap();
    assert!(!recorded.to_string().contains("ss/"), "{recorded}");
}

#[test]
fn base64_of_a_longer_text_does_not_carry_it_out() {
    let cut = Cut::new(&BTreeMap::from([("k".into(), "hunter2-hunter2".into())]), &BTreeMap::new(), &BTreeMap::new());
    for before in ["", "u", "us", "use", "user:"] {
        for after in ["", "@", "@h", "@host"] {
            let packed = cut.text(&STANDARD.encode(format!("{before}hunter2-hunter2{after}")));
            let open = STANDARD_NO_PAD.decode(packed.trim_end_matches('=')).map(|it| String::from_utf8_lossy(&it).into_owned());
            assert!(!open.unwrap_or_default().contains("unter2-hunter"), "{before} {after}: {packed}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_keep_their_length() {
    let cut = Cut::new(&BTreeMap::from([("k".into(), "hunter2".into())]), &BTreeMap::new(), &BTreeMap::new());
    let bytes = [&[0xff][..], b"hunter2", &[0xfe]].concat();
    let mut packed = json!({"$base64": STANDARD.encode(&bytes)});
    cut.json(&mut packed, &mut Digests::default()).unwrap();
    assert_eq!(STANDARD.decode(packed["$base64"].as_str().unwrap()).unwrap(), [&[0xff][..], b"*******", &[0xfe]].concat());
}

#[test]
fn a_longer_secret_that_holds_a_shorter_one_is_cut_first() {
    let secrets = BTreeMap::from([("a".into(), "abcd".into()), ("b".into(), "abcdefgh".into())]);
    let cut = Cut::new(&secrets, &BTreeMap::new(), &BTreeMap::new());
    assert_eq!(cut.text("abcdefgh abcd"), format!("{} {}", placeholder("b"), placeholder("a")));
}

#[test]
fn a_secret_that_holds_another_one_is_cut_whole_however_it_is_spelled() {
    let (outer, inner) = ("p/ss=inner-1/w&x of many words", "inner-1");
    let secrets = BTreeMap::from([("outer".into(), outer.into()), ("inner".into(), inner.into())]);
    let cut = Cut::new(&secrets, &BTreeMap::new(), &BTreeMap::new());
    for spelled in
        ["p/ss%3Dinner-1%2Fw&x%20of+many words", "p\\/ss=inner-1/w\\u0026x of many words", "p%2Fss=inner-1/w&amp;x of many words"]
    {
        assert_eq!(cut.text(&format!("a={spelled}&b={inner}")), format!("a={}&b={}", placeholder("outer"), placeholder("inner")));
    }
    // In hex over lines, one of which has all of the inner one.
    let hex = |text: &str| text.bytes().map(|it| format!("{it:02x}")).collect::<String>();
    let broken =
        hex(outer).as_bytes().chunks(30).map(|it| String::from_utf8_lossy(it).into_owned()).collect::<Vec<_>>().join("\n");
    assert!(broken.contains(&hex(inner)), "{broken}");
    assert_eq!(cut.text(&broken), hex(&placeholder("outer")));
    let got = cut.bytes(&[&[0xff][..], outer.as_bytes(), &[0xfe]].concat());
    assert_eq!(got, [&[0xff][..], "*".repeat(outer.len()).as_bytes(), &[0xfe]].concat());
}

#[test]
fn a_digest_of_a_content_becomes_that_of_what_is_left_of_it() {
    let (cut, mut digests) = (of_secret("hunter2-hunter2"), Digests::default());
    let digest = |text: &str| Digest::of(text.as_bytes()).to_string();
    let before = "password=hunter2-hunter2";
    let mut answer = json!({"body": {"$text": before}, "etag": digest(before), "other": digest("else")});
    cut.json(&mut answer, &mut digests).unwrap();
    digests.put(&mut answer);
    let after = cut.text(before);
    assert_eq!(answer, json!({"body": {"$text": after}, "etag": digest(&after), "other": digest("else")}));
}

#[test]
fn a_short_sensitive_value_is_cut_wherever_it_is_a_word_of_its_own_and_nowhere_else() {
    let shown = sensitive("abc", "0123456789abcdef");
    for (text, want) in [
        (r#"{"pin":"abc","other":"abcd"}"#, r#"{"pin":"@","other":"abcd"}"#),
        ("abc", "@"),
        ("Bearer abc", "Bearer @"),
        ("pin=abc&x=1", "pin=@&x=1"),
        ("https://x.test/?pin=abc", "https://x.test/?pin=@"),
        (r#"{"inner":"{\"pin\":\"abc\",\n\tabc}"}"#, r#"{"inner":"{\"pin\":\"@\",\n\t@}"}"#),
        ("%22abc%22", "%22@%22"),
        (r"a\u0026abc", r"a\u0026@"),
        ("it is abc.", "it is @."),
        ("abc.example xabc abc1 x-abc", "abc.example xabc abc1 x-abc"),
    ] {
        assert_eq!(of_sensitive("abc").text(text), want.replace('@', &shown), "{text}");
    }
    let packed = STANDARD.encode("abc");
    assert_eq!(of_sensitive("abc").text(&packed), STANDARD.encode(shown));
}

#[test]
fn a_number_stays_a_number_when_it_is_cut() {
    for value in ["12", "1234", "-123", "1.25", "123456", "987654321012"] {
        let body = of_sensitive(value).text(&format!(r#"{{"pin":{value},"list":[ {value} ],"x":112}}"#));
        let read: Json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{body}: {error}"));
        assert!(read["pin"].is_number() && read["pin"] == read["list"][0] && read["x"] == 112, "{body}");
        assert!(!body.contains(&format!(":{value},")), "{body}");
    }
    assert!(!of_sensitive("12").text(r#"{"pin":12.0}"#).contains(":12."));
    assert_eq!(of_sensitive("12").text("10.12.0.1 2026-11-12 12.5"), "10.12.0.1 2026-11-12 12.5");
}

#[test]
fn a_value_of_one_character_or_a_switch_cannot_be_cut() {
    for (value, want) in [("a", true), ("7", true), ("true", true), ("false", true), ("ab", false), ("", false), ("null", false)]
    {
        assert_eq!(is_too_short(value), want, "{value}");
    }
    assert_eq!(of_sensitive("null").text("null"), "null");
}

#[test]
fn base64_and_base32_that_are_broken_over_lines_do_not_carry_a_secret_out() {
    let value = "a-private-key-".repeat(12);
    let cut = of_secret(&value);
    let wrap = |text: &str, at: usize, with: &str| {
        text.as_bytes().chunks(at).map(|it| String::from_utf8_lossy(it).into_owned()).collect::<Vec<_>>().join(with)
    };
    for spelled in
        [STANDARD.encode(&value), STANDARD.encode(format!("user:{value}@host")), spelling::base32(value.as_bytes(), false)]
    {
        for with in ["\n", "\r\n", "\n    ", "\\n", "\\r\\n", "\\\\n"] {
            let got = cut.text(&format!("before {with}{}{with} after", wrap(&spelled, 64, with)));
            let left = spelled.as_bytes().windows(24).filter(|it| got.contains(std::str::from_utf8(it).unwrap())).count();
            assert!(left == 0 && got.starts_with("before ") && got.ends_with(" after"), "{with:?} {spelled}: {got}");
        }
    }
}

#[test]
fn base32_does_not_carry_a_secret_out() {
    let cut = of_secret("hunter2-hunter2");
    for before in ["", "u", "us", "use", "user", "user:"] {
        for spelled in [true, false].map(|hex| spelling::base32(format!("{before}hunter2-hunter2@h").as_bytes(), hex)) {
            for text in [spelled.clone(), spelled.to_lowercase()] {
                let got = cut.text(&text);
                let left = text.as_bytes().windows(10).filter(|it| got.contains(std::str::from_utf8(it).unwrap())).count();
                assert_eq!(left, 0, "{before}: {text} {got}");
            }
        }
    }
}

#[test]
fn a_packed_body_is_opened_cut_and_packed_again_or_refused() {
    let cut = of_secret("hunter2-hunter2");
    let text = br#"{"password":"hunter2-hunter2"}"#;
    let answer = |encoding: &str, body: &[u8]| json!({"Ok": {"status": 200, "headers": [["Content-Encoding", encoding]], "body": {"$base64": STANDARD.encode(body)}}});
    let body = |it: &Json| STANDARD.decode(it["Ok"]["body"]["$base64"].as_str().unwrap()).unwrap();
    let want = cut.bytes(text);
    for (encoding, packed) in [
        ("gzip", packed::gzip(text)),
        ("", packed::gzip(text)),
        ("deflate", packed::deflate(text, true)),
        ("deflate", packed::deflate(text, false)),
    ] {
        let mut it = answer(encoding, &packed);
        cut.json(&mut it, &mut Digests::default()).unwrap();
        let inner = packed::gunzip(&body(&it)).or_else(|| packed::inflate(&body(&it)).map(|it| it.0)).unwrap();
        assert_eq!(inner, want, "{encoding}");
    }
    for (encoding, bytes) in [("br", &[0xff_u8, 1, 2][..]), ("gzip", &[0x1f, 0x8b, 8, 0xff]), ("gzip, gzip", &packed::gzip(text))]
    {
        let told = cut.json(&mut answer(encoding, bytes), &mut Digests::default()).unwrap_err();
        assert!(told.contains(encoding), "{told}");
    }
    cut.json(&mut answer("identity", b"x"), &mut Digests::default()).unwrap();
    Cut::default().json(&mut answer("br", &[0xff, 1]), &mut Digests::default()).unwrap();
    // Packed, and nothing of ours in it: it stays byte for byte.
    let other = packed::gzip(b"nothing");
    let mut it = answer("gzip", &other);
    cut.json(&mut it, &mut Digests::default()).unwrap();
    assert_eq!(body(&it), other);
}

#[test]
fn bytes_that_are_no_text_are_searched_for_every_spelling() {
    let value = "hunter2-hunter2";
    let utf16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hex: String = value.bytes().map(|it| format!("{it:02x}")).collect();
    for spelled in
        [STANDARD.encode(value).into_bytes(), STANDARD_NO_PAD.encode(format!("u:{value}")).into_bytes(), hex.into(), utf16]
    {
        let got = of_secret(value).bytes(&[&[0xff][..], &spelled, &[0xfe]].concat());
        assert_eq!(got.len(), spelled.len() + 2);
        assert!(spelled.windows(12).all(|it| !got.windows(12).any(|other| other == it)), "{got:?}");
    }
    assert_eq!(of_sensitive("ab").bytes(b"\xffab\x01cabd"), b"\xff**\x01cabd");
    assert_eq!(of_sensitive("abcd").bytes(b"\xffxabcdx"), b"\xffx****x");
}
