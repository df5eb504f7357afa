use proptest::prelude::*;

use super::*;

fn zone() -> Name {
    Name::absolute("example.com").unwrap()
}

#[track_caller]
fn check(text: &str, style: Style, want: Result<&str, &str>) {
    let got = Name::parse(text, Context { origin: &zone(), style });
    match (got, want) {
        (Ok(name), Ok(want)) => assert_eq!(name.to_string(), want, "{text}"),
        (Err(message), Err(want)) => assert!(message.contains(want), "{text}: {message}"),
        (got, want) => panic!("{text}: {got:?}, not {want:?}"),
    }
}

#[test]
fn every_legal_spelling_of_a_name_has_one_canonical_form() {
    for (text, want) in [
        ("WWW", "www.example.com."),
        ("www.Example.COM.", "www.example.com."),
        ("\\119\\087w", "www.example.com."),
        ("\\w\\W\\w.example.com.", "www.example.com."),
        ("@", "example.com."),
        (".", "."),
        ("*", "*.example.com."),
        ("_sip._TCP", "_sip._tcp.example.com."),
        ("a\\.b.c.", "a\\.b.c."),
        ("a\\032b.", "a\\032b."),
        ("\\@", "\\@.example.com."),
        ("\\255.", "\\255."),
        ("Bücher.", "xn--bcher-kva."),
        ("bu\u{308}cher.", "xn--bcher-kva."),
        ("XN--BCHER-KVA.", "xn--bcher-kva."),
    ] {
        check(text, Style::Master, Ok(want));
    }
}

#[test]
fn a_name_that_breaks_a_rule_says_which() {
    let label = "a".repeat(64);
    let long = "abcdefgh.".repeat(29);
    for (text, want) in [
        ("", "empty"),
        ("a..b.", "empty label"),
        (".a", "empty label"),
        (label.as_str(), "more than 63"),
        (long.as_str(), "more than 255"),
        ("a\\", "backslash"),
        ("a\\25", "three digits"),
        ("a\\256", "above"),
        ("a b", "blanks"),
        ("\u{fffd}", "international"),
        ("a。b.", "international"),
    ] {
        check(text, Style::Master, Err(want));
    }
}

#[test]
fn a_forgotten_final_dot_is_an_error_in_documents_and_a_relative_name_in_master_files() {
    check("www.example.com", Style::Master, Ok("www.example.com.example.com."));
    check("www.example.com", Style::Document, Err("write `www.example.com.`"));
    check("EXAMPLE.com", Style::Document, Err("no final dot"));
    check("notexample.com", Style::Document, Ok("notexample.com.example.com."));
    check("a.b", Style::Document, Ok("a.b.example.com."));
}

#[test]
fn a_name_that_ends_in_its_zone_twice_is_declared_with_its_final_dot() {
    for (text, want) in [
        ("www.example.com.example.com.", "www.example.com.example.com."),
        ("example.com.example.com.", "example.com.example.com."),
        ("notexample.com.example.com.", "notexample.com"),
        ("www.example.com.", "www"),
        ("example.com.", "@"),
    ] {
        let name = Name::absolute(text).unwrap();
        assert_eq!(name.declared_in(&zone()), want);
        assert_eq!(Name::parse(want, Context { origin: &zone(), style: Style::Document }), Ok(name));
    }
}

#[test]
fn names_sort_as_rfc_4034_shows() {
    let order = [
        "example.",
        "a.example.",
        "yljkjljk.a.example.",
        "Z.a.example.",
        "zABC.a.EXAMPLE.",
        "z.example.",
        "\\001.z.example.",
        "*.z.example.",
        "\\200.z.example.",
    ];
    let names = order.map(|it| Name::absolute(it).unwrap());
    for (index, one) in names.iter().enumerate() {
        for (other_index, other) in names.iter().enumerate() {
            assert_eq!(one.cmp(other), index.cmp(&other_index), "{one} {other}");
        }
    }
}

#[test]
fn a_name_knows_its_zone_by_labels_not_by_bytes() {
    let name = |it: &str| Name::absolute(it).unwrap();
    assert!(name("a.example.com").is_within(&zone()) && zone().is_within(&zone()));
    assert!(!name("aexample.com").is_within(&zone()) && !name("com").is_within(&zone()));
    // The label `x\007example` ends with the bytes of the zone's first label.
    assert!(!name("x\\007example.com").is_within(&zone()));
    assert_eq!(name("a.b.example.com").relative_to(&zone()), "a.b");
    assert_eq!(zone().relative_to(&zone()), "@");
    assert_eq!(name("a.org").relative_to(&zone()), "a.org.");
    assert_eq!((zone().without_dot(), Name::root().without_dot()), ("example.com".to_owned(), ".".to_owned()));
    assert_eq!(zone().parent().unwrap(), name("com"));
    assert!(Name::root().parent().is_none() && name("*.a").is_wildcard() && !name("a").is_wildcard());
}

#[test]
fn compression_pointers_only_go_backwards() {
    let mut out = Vec::new();
    let message = b"\x01a\x00\x03WWW\xc0\x00\xc0\x03";
    let mut reader = Reader::new(message).jump(3);
    read_into(&mut reader, &mut out).unwrap();
    assert_eq!((Name::from_canonical(&out).to_string(), reader.position()), ("www.a.".to_owned(), 9));
    for bad in [&b"\xc0\x00"[..], b"\x01a\xc0\x02", b"\x01a\xc0\x00", b"\xc0\x05\x00", b"\x40a", b"\x05ab", b"\xc0"] {
        assert!(read_into(&mut Reader::new(bad), &mut Vec::new()).is_err(), "{bad:?}");
    }
    let long = b"\x3f".iter().copied().chain([b'a'; 63]).cycle().take(64 * 5).chain([0]).collect::<Vec<_>>();
    assert_eq!(read_into(&mut Reader::new(&long), &mut Vec::new()), Err(Malformed("a name is too long")));
}

proptest! {
    #[test]
    fn any_name_survives_its_spelling_and_its_wire_form(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8)) {
        let mut wire = Vec::new();
        for label in &labels {
            wire.push(label.len() as u8);
            wire.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        wire.push(0);
        let name = Name::from_canonical(&wire);
        prop_assert_eq!(&Name::absolute(&name.to_string()).unwrap(), &name);
        let mut read = Vec::new();
        read_into(&mut Reader::new(&wire), &mut read).unwrap();
        prop_assert_eq!(&read, &wire);
        prop_assert_eq!(name.cmp(&name), Ordering::Equal);
    }

    #[test]
    fn no_bytes_make_the_reader_fail_otherwise_than_by_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..300) {
        let mut out = Vec::new();
        if read_into(&mut Reader::new(&bytes).jump(at), &mut out).is_ok() {
            prop_assert!(out.len() <= MAX_NAME);
            let again = Name::absolute(&Name::from_canonical(&out).to_string()).unwrap();
            prop_assert_eq!(again.wire(), out.as_slice());
        }
    }

    #[test]
    fn no_text_makes_the_parser_fail_otherwise_than_by_an_error(text in "\\PC{0,40}") {
        if let Ok(name) = Name::absolute(&text) {
            prop_assert_eq!(Name::absolute(&name.to_string()).unwrap(), name);
        }
    }
}
