use proptest::prelude::*;

use super::field::Field;
use super::*;
use crate::name::Name;

fn zone() -> Name {
    Name::absolute("example.com").unwrap()
}

fn canonical(rtype: &str, text: &str, style: Style) -> Result<String, String> {
    let rtype = Type::parse(rtype)?;
    let mut wire = Vec::new();
    parse_text(rtype, text, Context { origin: &zone(), style }, &mut wire).map_err(|it| it.to_string())?;
    let mut spelled = String::new();
    print(rtype, &wire, &mut spelled);
    let mut again = Vec::new();
    parse_text(rtype, &spelled, Context { origin: &Name::root(), style: Style::Observed }, &mut again)
        .unwrap_or_else(|it| panic!("{rtype} {text}: {spelled}: {it}"));
    assert_eq!(wire, again, "{rtype} {text}: {spelled}");
    let mut read_back = Vec::new();
    read(rtype, &mut Reader::new(&wire), &mut read_back).unwrap_or_else(|it| panic!("{rtype} {text}: {it}"));
    assert_eq!(wire, read_back, "{rtype} {text}");
    Ok(spelled)
}

#[track_caller]
fn check(rtype: &str, text: &str, want: &str) {
    assert_eq!(canonical(rtype, text, Style::Master).as_deref(), Ok(want), "{rtype} {text}");
}

#[track_caller]
fn refused(rtype: &str, text: &str, want: &str) {
    let got = canonical(rtype, text, Style::Document);
    assert!(got.as_ref().is_err_and(|it| it.contains(want)), "{rtype} {text}: {got:?}, not {want}");
}

#[test]
fn every_legal_spelling_of_a_value_has_one_canonical_form() {
    check("A", "192.0.2.1", "192.0.2.1");
    check("TYPE1", "\\# 4 C0000201", "192.0.2.1");
    check("AAAA", "2001:DB8:0:0:0:0:0:1", "2001:db8::1");
    check("aaaa", "::FFFF:192.0.2.1", "::ffff:192.0.2.1");
    check("ALIAS", "Web.Example.net.", "web.example.net.");
    check("CNAME", "www", "www.example.com.");
    check("DNAME", "@", "example.com.");
    check("MX", "010 (\n Mail )", "10 mail.example.com.");
    check("MX", "0 .", "0 .");
    check("NS", "\\# 5 034E53\n3100", "ns1.");
    check("SRV", "0 5 5060 SIP.example.com.", "0 5 5060 sip.example.com.");
    check(
        "NAPTR",
        "100 10 \"u\" E2U+sip \"!^.*$!sip:info@example.com!\" .",
        "100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" .",
    );
    check("CAA", "0 ISSUE letsencrypt.org", "0 issue \"letsencrypt.org\"");
    check("CAA", "128 issue \"ca.example; a=b\"", "128 issue \"ca.example; a=b\"");
    check("CAA", "0 issue \"\"", "0 issue \"\"");
    check("URI", "10 1 \"https://example.com/a?b\"", "10 1 \"https://example.com/a?b\"");
    check(
        "DS",
        "60485 RSASHA1 1 ( 2BB183AF5F22588179A53B0A\n 98631FAD1A292118 )",
        "60485 5 1 2bb183af5f22588179a53b0a98631fad1a292118",
    );
    check("SSHFP", "2 1 12 34 AB CD", "2 1 1234abcd");
    check("TLSA", "DANE-EE SPKI SHA2-256 00ff", "3 1 1 00ff");
    check("SOA", "ns1 Admin\\.X 1 2H 15m 1w2d 300", "ns1.example.com. admin\\.x.example.com. 1 7200 900 777600 300");
    check("TYPE65280", "\\# 4 0A00 0001", "\\# 4 0a000001");
    check("TYPE65280", "\\# 0", "\\# 0");
    check("CERT", "\\# 8 00010001 08010203", "\\# 8 0001000108010203");
    check("MINFO", "Admin errors.example.net.", "admin.example.com. errors.example.net.");
    check("OPENPGPKEY", "mQ CN", "mQCN");
}

#[test]
fn texts_keep_their_strings_and_only_long_ones_are_cut() {
    check("TXT", "plain", "\"plain\"");
    check("TXT", "a \"b c\" d", "\"a\" \"b c\" \"d\"");
    check("TXT", "\"a\"\"b\"", "\"a\" \"b\"");
    check("TXT", "\"say \\\"hi\\\" \\\\ \\065 ; \\233 é\"", "\"say \\\"hi\\\" \\\\ A ; \\233 \\195\\169\"");
    check("TXT", "\"\"", "\"\"");
    let long = "x".repeat(300);
    check("TXT", &format!("\"{long}\""), &format!("\"{}\" \"{}\"", "x".repeat(255), "x".repeat(45)));
    // Four characters that are one byte each do not count as four.
    check("TXT", &format!("\"{}\"", "\\120".repeat(255)), &format!("\"{}\"", "x".repeat(255)));
}

#[test]
fn an_unquoted_text_in_a_document_is_one_string() {
    assert_eq!(canonical("TXT", "v=spf1 include:a.example ~all", Style::Document).unwrap(), "\"v=spf1 include:a.example ~all\"");
    assert_eq!(canonical("TXT", "v=DKIM1; k=rsa; p=a\\;b", Style::Document).unwrap(), "\"v=DKIM1; k=rsa; p=a;b\"");
    assert_eq!(canonical("TXT", "\"a\" \"b\"", Style::Document).unwrap(), "\"a\" \"b\"");
    assert_eq!(canonical("TXT", "(c) 2024 Foo", Style::Document).unwrap(), "\"(c) 2024 Foo\"");
    assert_eq!(canonical("SPF", "()", Style::Document).unwrap(), "\"()\"");
    assert_eq!(canonical("TXT", "( \n\"a\"\n\"b\" )", Style::Document).unwrap(), "\"a\" \"b\"");
    refused("TXT", "say \"hi\"", "unbalanced quotes");
    refused("TXT", "\"say", "unbalanced quotes");
    refused("TXT", "\"a\"b", "quote");
}

#[test]
fn locations_have_defaults_and_are_spelled_out() {
    check("LOC", "42 21 54 N 71 06 18 W -24m 30m", "42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m");
    check("LOC", "52 N 0 E 0", "52 0 0.000 N 0 0 0.000 E 0.00m 1.00m 10000.00m 10.00m");
    check("LOC", "52 14 05.5 n 00 08 50.001 e 10.25m 0m 0 0m", "52 14 5.500 N 0 8 50.001 E 10.25m 0.00m 0.00m 0.00m");
    check("LOC", "90 S 180 W 42849672.95m", "90 0 0.000 S 180 0 0.000 W 42849672.95m 1.00m 10000.00m 10.00m");
    for (text, want) in [
        ("91 N 0 E 0m", "latitude"),
        ("90 0 1 N 0 E 0m", "above 90"),
        ("1 60 N 0 E 0m", "minutes"),
        ("1 N 1 1 1.2345 E 0m", "seconds"),
        ("1 N 2 E", "altitude"),
        ("1 N 2 E -100001m", "altitude"),
        ("1 N 2 E x", "metres"),
        ("1 N 2 E 0 1 2 3 4", "too many"),
        ("1 E 2 E 0", "minutes"),
    ] {
        refused("LOC", text, want);
    }
}

#[test]
fn service_parameters_are_sorted_and_checked() {
    check("HTTPS", "0 .", "0 .");
    check("SVCB", "1 foo.example.com. port=53", "1 foo.example.com. port=53");
    check(
        "HTTPS",
        "16 @ ipv6hint=2001:DB8::1 alpn=\"h2,h3-19\" mandatory=port,alpn ipv4hint=192.0.2.1,192.0.2.2 port=\"443\"",
        "16 example.com. mandatory=alpn,port alpn=\"h2,h3-19\" port=443 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1",
    );
    check(
        "SVCB",
        "1 . key667=\"hello\\210qoo\" no-default-alpn alpn=h2",
        "1 . alpn=\"h2\" no-default-alpn key667=\"hello\\210qoo\"",
    );
    check("SVCB", "1 . key3=443", "1 . port=443");
    check("SVCB", "1 . key8=\"\" key700=\"\"", "1 . ohttp key700");
    // RFC 9460 appendix D.2: both are the list of `f\oo,bar` and `h2`.
    check("SVCB", r#"16 foo.example.org. alpn="f\\\\oo\\,bar,h2""#, r#"16 foo.example.org. alpn="f\\\\oo\\,bar,h2""#);
    check("SVCB", r"16 foo.example.org. alpn=f\\\092oo\092,bar,h2", r#"16 foo.example.org. alpn="f\\\\oo\\,bar,h2""#);
    check("SVCB", "1 . dohpath=/dns-query{?dns} ech=AEX+", "1 . ech=AEX+ dohpath=\"/dns-query{?dns}\"");
    for (text, want) in [
        ("1 . port=1 port=2", "twice"),
        ("1 . mandatory=port", "missing"),
        ("1 . mandatory=mandatory", "wrong value"),
        ("1 . port", "needs a value"),
        ("1 . no-default-alpn=1", "takes no value"),
        ("1 . port=65536", "port"),
        ("1 . alpn=a,,b", "1 to 255"),
        ("1 . ipv4hint=::1", "IPv4"),
        ("1 . color=red", "no parameter"),
        ("1 . key65535=a", "no parameter"),
        ("1 . \"port=1\"", "key=value"),
    ] {
        refused("SVCB", text, want);
    }
}

#[test]
fn a_value_that_breaks_a_rule_names_field_and_rule() {
    for (rtype, text, want) in [
        ("A", "192.0.2.256", "address: `192.0.2.256` is no IPv4 address"),
        ("A", "192.0.2.01", "no IPv4 address"),
        ("A", "192.0.2.1 192.0.2.2", "one word too many"),
        ("AAAA", "192.0.2.1", "no IPv6 address"),
        ("MX", "mail", "preference: must be a number"),
        ("MX", "10", "exchange: is missing; MX has preference, exchange"),
        ("MX", "65536 mail", "from 0 to 65535"),
        ("MX", "+1 mail", "must be a number"),
        ("MX", "10 192.0.2.1", "exchange: must be a name, but `192.0.2.1` is an address"),
        ("NS", "2001:db8::1", "target: must be a name"),
        ("CNAME", "192.0.2.1.", "is an address"),
        ("CNAME", "\"a\"", "without quotes"),
        ("SRV", "0 0 1 192.0.2.1", "target"),
        ("HTTPS", "1 192.0.2.1 alpn=h2", "target: must be a name, but `192.0.2.1` is an address"),
        ("SVCB", "1 2001:db8::1", "target: must be a name"),
        ("NAPTR", "1 1 \"s\" \"\" \"\" 192.0.2.1", "replacement: must be a name"),
        ("CAA", "0 is-sue x", "tag: must be letters and digits"),
        ("CAA", "256 issue x", "flags"),
        ("DS", "1 8 2 abc", "odd number"),
        ("DS", "1 8 2 xy", "no hex digit"),
        ("DS", "1 8 2", "digest: is missing"),
        ("TYPE65280", "10", "\\# 4 0A000001"),
        ("CERT", "PKIX 1 8 AQID", "a value of type CERT is written as `\\# 4 0A000001`"),
        ("TYPE65280", "\\# 2 00", "says 2 bytes, but 1 follow"),
        ("A", "\\# 3 000000", "no value of type A"),
        ("A", "\\# 5 0000000000", "more bytes"),
        ("HINFO", "\"a", "quote is not closed"),
        ("A", "(192.0.2.1", "parenthesis is not closed"),
        ("A", "192.0.2.1)", "was not opened"),
        ("HINFO", &format!("a \"{}\"", "x".repeat(256)), "os: has more than 255 bytes"),
    ] {
        refused(rtype, text, want);
    }
    // A server has what it has.
    assert_eq!(canonical("MX", "10 192.0.2.1.", Style::Observed).unwrap(), "10 192.0.2.1.");
}

#[test]
fn times_take_units_up_to_the_limit() {
    for (text, want) in [("300", 300), ("1h30m", 5400), ("1W2D3H4M5S", 788_645), ("0", 0), ("2147483647", 0x7fff_ffff)] {
        assert_eq!(encoding::parse_ttl(text), Ok(want), "{text}");
    }
    for text in ["", "h", "1x", "1h30", "-1", "2147483648", "99999999999999999999w", "1 h"] {
        assert!(encoding::parse_ttl(text).is_err(), "{text}");
    }
}

#[test]
fn types_have_names_numbers_and_an_order() {
    assert!(types::TABLE.is_sorted_by(|one, other| one.rtype < other.rtype));
    assert_eq!(Type::parse("type65401"), Ok(Type::ALIAS));
    assert_eq!((Type::parse("cert"), Type::parse("TYPE37")), (Ok(Type(37)), Ok(Type(37))));
    assert_eq!((Type(37).to_string(), Type(37).safe_name(), Type::MX.safe_name()), ("CERT".into(), "TYPE37".into(), "MX".into()));
    assert_eq!((Type(15).to_string(), Type(65280).to_string()), ("MX".to_owned(), "TYPE65280".to_owned()));
    assert_eq!(
        (Type(46).role(), Type(255).role(), Type(200).role(), Type(300).role()),
        (Role::Server, Role::Query, Role::Query, Role::Data)
    );
    for wrong in ["", "X", "TYPE", "TYPE65536", "TYPE+1", "TYPé1"] {
        assert!(Type::parse(wrong).is_err(), "{wrong}");
    }
}

/// Small, and the same for the same seed: which value, and how it is spelled, come from two of them.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn bytes(&mut self, least: u64, most: u64) -> Vec<u8> {
        let length = least + self.roll(most - least + 1);
        (0..length).map(|_| self.roll(256) as u8).collect()
    }
}

/// One value, drawn by `value`, in a spelling drawn by `style`.
fn spell(field: Field, value: &mut Dice, style: &mut Dice) -> String {
    match field {
        Field::U8 | Field::Mnemonic(_) => spell_number(value.roll(256), style),
        Field::U16 => spell_number(value.roll(65536), style),
        Field::U32 => spell_number(value.roll(1 << 31), style),
        Field::Time => {
            let hours = value.roll(100);
            if style.roll(2) == 0 { format!("{hours}H") } else { (hours * 3600).to_string() }
        }
        Field::Ipv4 => std::net::Ipv4Addr::from(value.roll(1 << 31) as u32).to_string(),
        Field::Ipv6 => {
            let parts = [value.roll(65536), 0, 0, value.roll(2), 0, value.roll(65536), 0, value.roll(65536)].map(|it| it as u16);
            match style.roll(3) {
                0 => std::net::Ipv6Addr::from(parts).to_string().to_uppercase(),
                1 => parts.map(|it| format!("{it:04X}")).join(":"),
                _ => parts.map(|it| format!("{it:x}")).join(":"),
            }
        }
        Field::Name | Field::Host => {
            let labels = (0..=value.roll(3)).map(|_| value.bytes(1, 12)).collect::<Vec<_>>();
            let labels = labels.iter().map(|it| spell_bytes(it, style, true)).collect::<Vec<_>>().join(".");
            if style.roll(2) == 0 { format!("{labels}.EXAMPLE.com.") } else { labels }
        }
        Field::Text | Field::Remainder => format!("\"{}\"", spell_bytes(&value.bytes(0, 40), style, false)),
        Field::Texts => {
            let texts = (0..=value.roll(3)).map(|_| value.bytes(0, 255)).collect::<Vec<_>>();
            texts.iter().map(|it| format!("\"{}\"", spell_bytes(it, style, false))).collect::<Vec<_>>().join(blank(style))
        }
        Field::Tag => (0..=value.roll(10)).map(|_| letter_in_any_case(b'a' + value.roll(26) as u8, style)).collect(),
        Field::Hex => value
            .bytes(1, 40)
            .iter()
            .map(|it| if style.roll(2) == 0 { format!("{it:02X} ") } else { format!("{it:02x}") })
            .collect(),
        Field::Base64 => {
            let mut text = String::new();
            encoding::print_base64(&value.bytes(1, 60), &mut text);
            let cut = style.roll(text.len() as u64) as usize;
            format!("{}{}{}", &text[..cut], blank(style), &text[cut..])
        }
        Field::Loc => {
            let (degrees, minutes, metres) = (value.roll(89), value.roll(60), value.roll(9));
            let seconds = if style.roll(2) == 0 { " 0.0" } else { "" };
            let sizes = if style.roll(2) == 0 { " 1m 10000.00 10.0m" } else { "" };
            format!("{degrees} {minutes}{seconds} {} 0{degrees} W {metres}m{sizes}", if style.roll(2) == 0 { "n" } else { "N" })
        }
        Field::Params => {
            let port = spell_number(value.roll(65536), style);
            let mut all = [
                format!("port={port}"),
                "alpn=\"h2,h3\"".to_owned(),
                format!("key700=\"{}\"", spell_bytes(&value.bytes(1, 20), style, false)),
            ];
            let turn = style.roll(3) as usize;
            all.rotate_left(turn);
            all.join(blank(style))
        }
    }
}

fn spell_number(number: u64, style: &mut Dice) -> String {
    if style.roll(3) == 0 { format!("0{number}") } else { number.to_string() }
}

fn letter_in_any_case(letter: u8, style: &mut Dice) -> char {
    char::from(if style.roll(2) == 0 { letter.to_ascii_uppercase() } else { letter })
}

fn spell_bytes(bytes: &[u8], style: &mut Dice, is_name: bool) -> String {
    let mut text = String::new();
    for &byte in bytes {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'*')
            || (!is_name && matches!(byte, b' ' | b';' | b'(' | b'@'));
        let byte = if is_name && byte.is_ascii_alphabetic() { letter_in_any_case(byte, style) as u8 } else { byte };
        match style.roll(4) {
            // `\\#` alone would begin the generic form.
            0 if byte.is_ascii_graphic() && !byte.is_ascii_digit() && byte != b'#' => text.extend(['\\', char::from(byte)]),
            1..=2 if plain => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
    text
}

fn blank(style: &mut Dice) -> &'static str {
    [" ", "\t ", " ( ", "\n"][style.roll(2) as usize]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn two_spellings_of_a_value_of_any_type_are_one_value(value in any::<u64>(), one in any::<u64>(), other in any::<u64>()) {
        for info in types::TABLE.iter().filter(|it| !it.fields.is_empty()) {
            let mut forms = [one, other].map(|seed| {
                let (mut value, mut style) = (Dice(value), Dice(seed));
                let words = info.fields.iter().map(|(_, field)| spell(*field, &mut value, &mut style)).collect::<Vec<_>>();
                let text = words.join(blank(&mut style));
                let text = if style.roll(2) == 0 { format!("( {text}\n)") } else { text };
                // Prints, parses and reads back within.
                (canonical(info.name, &text, Style::Observed), text)
            });
            let [(first, text), (second, respelled)] = &mut forms;
            prop_assert!(first.is_ok(), "{} {text}: {first:?}", info.name);
            prop_assert_eq!(first, second, "{} {} / {}", info.name, text, respelled);
        }
    }

    #[test]
    fn any_bytes_of_any_type_are_refused_or_come_back_as_they_are(bytes in prop::collection::vec(any::<u8>(), 0..64), zeros in 0_usize..16) {
        let bytes = [vec![0; zeros], bytes].concat();
        for info in types::TABLE {
            let mut wire = Vec::new();
            if read(info.rtype, &mut Reader::new(&bytes), &mut wire).is_ok() && info.role != Role::Query {
                let mut text = String::new();
                print(info.rtype, &wire, &mut text);
                let mut again = Vec::new();
                let parsed = parse_text(info.rtype, &text, Context { origin: &Name::root(), style: Style::Observed }, &mut again);
                prop_assert!(parsed.is_ok(), "{} {text}: {parsed:?}", info.name);
                prop_assert_eq!(&again, &wire, "{} {}", info.name, text);
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_fail_otherwise_than_by_an_error(text in "[0-9a-fA-F \\\\\"();.,=:#@$\\-\\PC]{0,60}") {
        for info in types::TABLE {
            let _ = canonical(info.name, &text, Style::Document);
            let _ = canonical(info.name, &text, Style::Master);
        }
    }
}

#[test]
fn a_digest_is_as_long_as_its_algorithm_makes_it() {
    for (rtype, text, want) in [
        (Type::SSHFP, "4 2 aabb", Some("fingerprint: of type 2 has 32 bytes, not 2")),
        (Type::SSHFP, "4 1 0123456789abcdef0123456789abcdef01234567", None),
        (Type::SSHFP, "4 9 aabb", None),
        (Type::DS, "1 13 4 aabb", Some("digest: of type 4 has 48 bytes, not 2")),
        (Type::TLSA, "3 1 1 aabb", Some("data: of type 1 has 32 bytes, not 2")),
        (Type::TLSA, "3 1 2 aabb", Some("data: of type 2 has 64 bytes, not 2")),
        (Type::TLSA, "3 1 0 aabb", None),
        (Type::MX, "3 a.", None),
    ] {
        let mut wire = Vec::new();
        parse_text(rtype, text, Context { origin: &Name::root(), style: Style::Document }, &mut wire).unwrap();
        assert_eq!(crate::rdata::check(rtype, &wire).err().map(|it| it.to_string()).as_deref(), want, "{text}");
    }
}
