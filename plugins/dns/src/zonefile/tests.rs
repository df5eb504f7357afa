use super::*;

fn zone() -> Name {
    Name::absolute("example.com").unwrap()
}

fn shown(sets: &[RecordSet]) -> Vec<String> {
    let line = |it: &RecordSet| {
        format!("{} {} {} {}", it.name.relative_to(&zone()), it.ttl, it.rtype, it.spelled().collect::<Vec<_>>().join(" | "))
    };
    sets.iter().map(line).collect()
}

#[track_caller]
fn check(text: &str, want: &[&str]) {
    match parse(text.as_bytes(), &zone()) {
        Ok(sets) => assert_eq!(shown(&sets), want, "{text}"),
        Err(errors) => panic!("{text}: {errors:?}"),
    }
}

#[track_caller]
fn refused(text: &str, line: usize, column: usize, want: &str) {
    let errors = parse(text.as_bytes(), &zone()).expect_err(text);
    let first = &errors[0];
    assert!(first.message.contains(want), "{text}: {first}");
    assert_eq!((first.line, first.column), (line, column), "{text}: {first}");
}

#[test]
fn the_file_of_rfc_1035_reads_as_it_always_did() {
    let text = "\u{feff}$TTL 1h\r
$ORIGIN example.com.\r
@   IN  SOA     VENERA      Action\\.domains (\r
                                 20     ; SERIAL\r
                                 7200   ; REFRESH\r
                                 600    ; RETRY\r
                                 3600000; EXPIRE\r
                                 60)    ; MINIMUM\r
        NS      A.ISI.EDU.\r
        NS      VENERA\r
        MX      10      VENERA\r
        MX      20      VAXA\r
A       A       26.3.0.103\r
VENERA  A       10.1.0.52\r
        A       128.9.0.32\r
VAXA    300 IN A       10.2.0.27\r
        IN 300 A       128.9.0.33\r
quoted  TXT \"a; (b)\r
c\" plain ; \"comment\r
";
    // SOA and NS at the apex are the server's.
    check(
        text,
        &[
            "@ 3600 MX 10 venera.example.com. | 20 vaxa.example.com.",
            "a 3600 A 26.3.0.103",
            "quoted 3600 TXT \"a; (b)\\013\\010c\" \"plain\"",
            "vaxa 300 A 10.2.0.27 | 128.9.0.33",
            "venera 3600 A 10.1.0.52 | 128.9.0.32",
        ],
    );
}

#[test]
fn directives_move_origin_and_ttl_for_what_follows() {
    check(
        "$ttl 60\na A 192.0.2.1\n$ORIGIN sub\nb A 192.0.2.2\n$ORIGIN example.com.\n$TTL 2m\nc A 192.0.2.3\n  TXT same\n",
        &["a 60 A 192.0.2.1", "c 120 A 192.0.2.3", "c 120 TXT \"same\"", "b.sub 60 A 192.0.2.2"],
    );
}

#[test]
fn a_missing_ttl_is_the_one_before_or_the_minimum_of_the_soa() {
    check("a 60 A 192.0.2.1\nb A 192.0.2.2\n", &["a 60 A 192.0.2.1", "b 60 A 192.0.2.2"]);
    check("@ SOA ns. m. 1 2 3 4 5\nb A 192.0.2.2\n", &["b 5 A 192.0.2.2"]);
    // The minimum is the default of the whole file, not the TTL before the next.
    check("@ SOA ns. m. 1 2 3 4 5\na 60 A 192.0.2.1\nb A 192.0.2.2\n", &["a 60 A 192.0.2.1", "b 5 A 192.0.2.2"]);
    check("@ 7 SOA ns. m. 1 2 3 4 5\nb A 192.0.2.2\n", &["b 7 A 192.0.2.2"]);
    check("$TTL 9\n@ SOA ns. m. 1 2 3 4 5\nb A 192.0.2.2\n", &["b 9 A 192.0.2.2"]);
    refused("a A 192.0.2.1\n", 1, 1, "no $TTL");
}

#[test]
fn generate_makes_a_record_for_each_number() {
    check("$TTL 1\n$GENERATE 1-3 h$ A 192.0.2.$\n", &["h1 1 A 192.0.2.1", "h2 1 A 192.0.2.2", "h3 1 A 192.0.2.3"]);
    check(
        "$GENERATE 0-4/2 h${10,3,d} 5 IN CNAME x${-0,2,X}.\n",
        &["h010 5 CNAME x00.", "h012 5 CNAME x02.", "h014 5 CNAME x04."],
    );
    check("$GENERATE 17-17 ${0,3,n} 5 TXT \"\\\"a \\$ $$ ${0,4,o}\\\" b$\"\n", &["1.1 5 TXT \"a $ $ 0021\" \"b17\""]);
    check("$GENERATE 2-3 @ 5 MX \"10 m$\"\n", &["@ 5 MX 10 m2.example.com. | 10 m3.example.com."]);
    for (text, want) in [
        ("$GENERATE 3-1 h$ 1 A 192.0.2.$", "no range"),
        ("$GENERATE 1-3/0 h$ 1 A 192.0.2.$", "no range"),
        ("$GENERATE 1-2147483647 h$ 1 A 192.0.2.$", "more than 1000000"),
        ("$GENERATE 1-2 h${a} 1 A 192.0.2.$", "no modifier"),
        ("$GENERATE 1-2 h${0,999,d} 1 A 192.0.2.$", "no modifier"),
        ("$GENERATE 1-2 h${-5} 1 A 192.0.2.$", "below 0"),
        ("$GENERATE 1-2 h${0 1 A 192.0.2.$", "closing brace"),
        ("$GENERATE 1-2", "takes a range"),
        ("$GENERATE 255-256 h$ 1 A 192.0.2.$", "no IPv4"),
    ] {
        let errors = parse(text.as_bytes(), &zone()).expect_err(text);
        assert!(errors[0].message.contains(want), "{text}: {}", errors[0]);
    }
}

#[test]
fn errors_name_line_column_record_and_rule() {
    let ttl = "$TTL 60\n";
    for (text, line, column, want) in [
        ("a A 1.2.3\n", 2, 5, "a.example.com. A: address: `1.2.3` is no IPv4 address"),
        ("ä A 192.0.2.1\nb MX 10 ( \n   192.0.2.1 )\n", 4, 4, "exchange: must be a name"),
        ("a TXT \"open\n\n", 2, 7, "quote is not closed"),
        ("a TXT ( x\n", 2, 7, "parenthesis is not closed"),
        ("a CH TXT x\n", 2, 3, "class CH"),
        ("a BOGUS x\n", 2, 3, "no record type"),
        ("a 60\n", 2, 1, "no type"),
        ("a ANY\n", 2, 3, "class ANY"),
        ("www.example.org. A 192.0.2.1\n", 2, 1, "outside the zone example.com."),
        (" A 192.0.2.1\n", 2, 2, "no owner"),
        ("$INCLUDE other.zone\n", 2, 1, "$INCLUDE is not read"),
        ("$BOGUS\n", 2, 1, "no directive"),
        ("a A 192.0.2.1\nb CNAME a\nb TXT x\n", 3, 1, "beside other records"),
        ("@ CNAME a\n", 2, 1, "apex"),
        ("a 1 A 192.0.2.1\nb A 192.0.2.1\na 2 A 192.0.2.2\n", 4, 1, "two TTLs"),
        ("a 99999999999 A 192.0.2.1\n", 2, 3, "more than 2147483647"),
        ("sub SOA ns. m. 1 2 3 4 5\n", 2, 1, "apex"),
        ("a OPT x\n", 2, 1, "OPT"),
    ] {
        refused(&format!("{ttl}{text}"), line, column, want);
    }
    let latin = parse(b"a 1 A 192.0.2.1\nb 1 TXT \xe4\n", &zone()).unwrap_err();
    assert_eq!((latin[0].line, latin[0].message.contains("UTF-8")), (2, true));
    let many = parse("a A x\n".repeat(100).as_bytes(), &zone()).unwrap_err();
    assert_eq!(many.len(), MAX_ERRORS);
}

#[test]
fn what_a_signed_zone_has_on_top_is_left_out_and_a_closing_soa_is_the_first_one() {
    let text = "@ 60 SOA ns. m. 1 2 3 4 5\na 60 A 192.0.2.1\na 60 RRSIG A 13 3 60 20260101000000 20250101000000 1 example.com. AA==\na 60 NSEC b A RRSIG\n@ 60 SOA ns. m. 1 2 3 4 5\n";
    check(text, &["a 60 A 192.0.2.1"]);
    check("@ 60 DNSKEY 257 3 13 AAAA\n", &[]);
}

#[test]
fn a_file_without_records_is_an_error_and_not_an_empty_zone() {
    for text in ["", "\u{feff}", "; all gone\n\n", "$TTL 60\n$ORIGIN example.com.\n"] {
        refused(text, 1, 1, "holds no records");
    }
    check("@ 60 SOA ns. m. 1 2 3 4 5\n", &[]);
}

#[test]
fn limits_of_size_and_number_are_errors() {
    let errors = parse(&vec![b'\n'; MAX_BYTES + 1], &zone()).unwrap_err();
    assert!(errors[0].message.contains("64 MiB"), "{}", errors[0]);
    let errors = parse("a 1 A 1.1.1.1\n".repeat(MAX_RECORDS + 1).as_bytes(), &zone()).unwrap_err();
    assert!(errors[0].message.contains("1000000 records"), "{}", errors[0]);
}

proptest::proptest! {
    #[test]
    fn no_file_makes_the_parser_fail_otherwise_than_by_errors(text in "(\\$ORIGIN|\\$TTL|\\$GENERATE| |\t|\n|\r\n|@|IN|A|TXT|SOA|[0-9]{1,3}|[a-z.]{1,5}|\"|\\(|\\)|;|\\\\|\\$|\\{|\\}|-|\\PC){0,60}") {
        if let Err(errors) = parse(text.as_bytes(), &zone()) {
            proptest::prop_assert!(!errors.is_empty() && errors.iter().all(|it| it.line > 0 && it.column > 0));
        }
    }
}

/// Run with `--release --ignored` to see the time.
#[test]
#[ignore = "a measurement"]
fn fifty_thousand_records_take_a_fraction_of_a_second() {
    use std::fmt::Write;
    let mut text = String::from("$TTL 3600\n@ SOA ns1 admin 1 2 3 4 5\n");
    for index in 0..50_000 {
        let scattered = index * 7919 % 50_000;
        let _ = match index % 4 {
            0 => writeln!(text, "host{scattered} IN A 192.0.2.{}", index % 250),
            1 => writeln!(text, "host{scattered} 300 IN AAAA 2001:db8::{index:x}"),
            2 => writeln!(text, "host{scattered} MX 10 mail{index}"),
            _ => writeln!(text, "host{scattered} TXT \"v=spf1 include:{index}.example.net ~all\""),
        };
    }
    let start = std::time::Instant::now();
    let sets = parse(text.as_bytes(), &zone()).unwrap();
    let parsed = start.elapsed();
    let bytes: usize = sets.iter().map(|it| crate::document::text(&zone(), it).len()).sum();
    let spelled = start.elapsed();
    assert_eq!(sets.len(), 50_000);
    assert!(spelled.as_millis() < 300 || cfg!(debug_assertions), "parsed {parsed:?}, spelled {spelled:?}, {bytes} bytes");
}
