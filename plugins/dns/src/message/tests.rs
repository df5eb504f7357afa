use proptest::prelude::*;

use super::transfer::{Transfer, TransferError, Transferred};
use super::update::{Part, SetChange, build};
use super::*;
use crate::name::{Context, Style};
use crate::set::RecordSet;

fn zone() -> Name {
    Name::absolute("example.com").unwrap()
}

fn set(name: &str, rtype: &str, ttl: u32, values: &[&str]) -> RecordSet {
    let (zone, rtype) = (zone(), Type::parse(rtype).unwrap());
    let context = Context { origin: &zone, style: Style::Observed };
    let wire = |text: &&str| {
        let mut wire = Vec::new();
        rdata::parse_text(rtype, text, context, &mut wire).unwrap();
        wire.into()
    };
    let mut set = RecordSet {
        name: Name::parse(name, context).unwrap(),
        rtype,
        ttl,
        values: values.iter().map(wire).collect(),
        raw: Vec::new(),
    };
    set.settle();
    set
}

fn soa(serial: u32) -> RecordSet {
    set("@", "SOA", 60, &[&format!("ns admin {serial} 2 3 4 5")])
}

/// An answer that holds these records, as a server writes it.
fn answer(question: Type, sets: &[RecordSet]) -> Vec<u8> {
    let zone = zone();
    let mut writer = Writer::new(Opcode::Query, &zone, question);
    writer.bytes[2] = 0x84;
    let mut records = 0;
    for set in sets {
        for value in &set.values {
            let labels = crate::name::below(set.name.wire(), &zone).unwrap();
            record_into(Head { labels, rtype: set.rtype, class: IN, ttl: set.ttl }, value, &mut writer.bytes);
            records += 1;
        }
    }
    writer.count(1, records);
    writer.bytes
}

fn transfer(since: Option<u32>, messages: &[Vec<u8>]) -> Result<Transferred, TransferError> {
    let zone = zone();
    let mut transfer = Transfer::new(&zone, since);
    for message in messages {
        transfer.message(message)?;
    }
    transfer.finish()
}

#[test]
fn queries_are_as_rfc_1035_and_1995_lay_them_out() {
    let asked = query(&zone(), Type::AXFR);
    assert_eq!(asked, b"\0\0\0\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\xfc\0\x01");
    let asked = ixfr(&zone(), 0x0102_0304);
    assert_eq!(&asked[..12], b"\0\0\0\0\0\x01\0\0\0\x01\0\0");
    assert_eq!(&asked[25..29], b"\0\xfb\0\x01");
    assert_eq!(&asked[29..41], b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16");
    assert_eq!(&asked[43..47], &[1, 2, 3, 4]);
    assert_eq!(asked.len(), 29 + 12 + 22);
}

#[test]
fn an_update_carries_what_was_observed_as_prerequisites_and_deletes_before_it_adds() {
    let (old, new) = (set("www", "A", 60, &["192.0.2.1"]), set("www", "CNAME", 30, &["a"]));
    let changes = [SetChange { before: None, after: Some(&new) }, SetChange { before: Some(&old), after: None }];
    let parts = build(&zone(), &changes, MAX_MESSAGE).unwrap();
    let want = [
        b"\0\0\x28\0\0\x01\0\x02\0\x02\0\0\x07example\x03com\0\0\x06\0\x01".as_slice(),
        b"\x03www\xc0\x0c\0\x05\0\xfe\0\0\0\0\0\0",                 // no CNAME is there
        b"\x03www\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\xc0\0\x02\x01", // this A is there
        b"\x03www\xc0\x0c\0\x01\0\xff\0\0\0\0\0\0",                 // delete all A
        b"\x03www\xc0\x0c\0\x05\0\x01\0\0\0\x1e\0\x0f\x01a\x07example\x03com\0", // add
    ];
    assert_eq!(parts, [Part { message: want.concat(), changes: 0..2 }]);
}

/// The prerequisites of an update, as type, class and length of each.
fn prerequisites(message: &[u8]) -> Vec<(Type, u16, u16)> {
    let mut reader = Reader::new(message).jump(6);
    let count = reader.u16().unwrap();
    let mut reader = reader.jump(HEADER + zone().wire().len() + 4);
    (0..count)
        .map(|_| {
            crate::name::read_into(&mut reader, &mut Vec::new()).unwrap();
            let (rtype, class) = (Type(reader.u16().unwrap()), reader.u16().unwrap());
            reader.u32().unwrap();
            let length = reader.u16().unwrap();
            reader.take(usize::from(length)).unwrap();
            (rtype, class, length)
        })
        .collect()
}

#[test]
fn what_servers_would_pass_over_in_silence_is_a_prerequisite() {
    let (a, txt) = (set("www", "A", 60, &["192.0.2.1"]), set("www", "TXT", 60, &["\"x\""]));
    let (alias, other) = (set("www", "CNAME", 60, &["a"]), set("www", "CNAME", 60, &["b"]));
    let conditions = |changes: &[(Option<&RecordSet>, Option<&RecordSet>)]| {
        let changes = changes.iter().map(|(before, after)| SetChange { before: *before, after: *after }).collect::<Vec<_>>();
        prerequisites(&build(&zone(), &changes, MAX_MESSAGE).unwrap()[0].message)
    };
    let none = |rtype| (rtype, NONE, 0);
    assert_eq!(conditions(&[(None, Some(&alias))]), [none(Type::CNAME), none(Type::ANY)], "nothing of the name is there");
    assert_eq!(conditions(&[(None, Some(&a)), (None, Some(&txt))]), [none(Type::A), none(Type::TXT), none(Type::CNAME)]);
    assert_eq!(conditions(&[(Some(&txt), None), (None, Some(&a))]), [(Type::TXT, IN, 2), none(Type::A), none(Type::CNAME)]);
    // One takes the place of the other, and what is there is changed.
    assert_eq!(conditions(&[(Some(&alias), None), (None, Some(&a))]), [(Type::CNAME, IN, 15), none(Type::A)]);
    assert_eq!(conditions(&[(Some(&a), None), (None, Some(&alias))]), [(Type::A, IN, 4), none(Type::CNAME)]);
    assert_eq!(conditions(&[(Some(&alias), Some(&other))]), [(Type::CNAME, IN, 15)]);
    assert_eq!(conditions(&[(Some(&a), None)]), [(Type::A, IN, 4)]);
}

#[test]
fn a_value_is_compared_in_the_bytes_that_the_server_has() {
    let zone = zone();
    let mut message = answer(Type::CAA, &[]);
    for (rtype, value) in [
        (Type::CAA, &b"\0\x05ISSUEx"[..]),
        (Type::CAA, b"\0\x05issuex"),
        (Type::CAA, b"\0\x05issuey"),
        (Type::SVCB, b"\0\x01\x03Foo\x07Example\x03NET\0"),
        (Type::MX, b"\0\x0a\x04mail\xc0\x0c"),
    ] {
        record_into(Head { labels: b"\x03www", rtype, class: IN, ttl: 60 }, value, &mut message);
    }
    message[7] = 5;
    let mut collector = Collector::default();
    Answer::parse(&message, Opcode::Query)
        .unwrap()
        .each(|it| {
            it.gather(&mut collector);
            Ok::<(), Malformed>(())
        })
        .unwrap();
    let sets = collector.finish(Style::Observed).unwrap().sets;
    let [mx, svcb, caa] = sets.as_slice() else { panic!("{sets:?}") };
    assert!(mx.raw.is_empty(), "a compressed name is no other value");
    assert_eq!(svcb.spelled().collect::<Vec<_>>(), ["1 foo.example.net."]);
    assert_eq!(svcb.as_seen(), [Box::from(&b"\0\x01\x03Foo\x07Example\x03NET\0"[..])]);
    assert_eq!(caa.spelled().collect::<Vec<_>>(), ["0 issue \"x\"", "0 issue \"y\""]);
    let want = [&b"\0\x05ISSUEx"[..], b"\0\x05issuex", b"\0\x05issuey"];
    assert_eq!(caa.as_seen(), want.map(Box::from));
    let parts = build(&zone, &[SetChange { before: Some(caa), after: None }], MAX_MESSAGE).unwrap();
    assert_eq!(prerequisites(&parts[0].message), [(Type::CAA, IN, 8); 3]);
    assert!(parts[0].message.windows(5).any(|it| it == b"ISSUE"));
}

#[test]
fn updates_split_at_the_limit_and_never_within_a_name() {
    let sets = (0..2000).map(|it| {
        set(
            &format!("h{}", it / 2),
            if it % 2 == 0 { "A" } else { "TXT" },
            60,
            &[if it % 2 == 0 { "192.0.2.1" } else { "\"some text\"" }],
        )
    });
    let sets = sets.collect::<Vec<_>>();
    let changes = sets.iter().map(|it| SetChange { before: None, after: Some(it) }).collect::<Vec<_>>();
    let parts = build(&zone(), &changes, 16_384).unwrap();
    assert!(parts.len() > 3, "{}", parts.len());
    let mut next = 0;
    for part in &parts {
        assert!(part.message.len() + 1000 <= 16_384);
        assert_eq!((part.changes.start, part.changes.end % 2), (next, 0));
        next = part.changes.end;
    }
    assert_eq!(next, 2000);
    assert!(build(&zone(), &[], MAX_MESSAGE).unwrap().is_empty());
}

#[test]
fn what_no_update_can_carry_is_an_error_that_names_it() {
    let long = (0..300).map(|it| format!("\"{it}{}\"", "x".repeat(250))).collect::<Vec<_>>();
    let long = set("big", "TXT", 60, &long.iter().map(String::as_str).collect::<Vec<_>>());
    let (alias, outside) = (set("@", "ALIAS", 60, &["a.example.net."]), set("a.example.org.", "A", 60, &["192.0.2.1"]));
    for (set, want) in
        [(&long, "big.example.com. TXT: values: its change needs"), (&alias, "PowerDNS's own"), (&outside, "outside the zone")]
    {
        let problem = build(&zone(), &[SetChange { before: None, after: Some(set) }], MAX_MESSAGE).unwrap_err().to_string();
        assert!(problem.contains(want), "{problem}");
    }
}

#[test]
fn a_whole_transfer_becomes_sets_over_any_number_of_messages() {
    let (a, mx) = (set("www", "A", 60, &["192.0.2.1", "192.0.2.2"]), set("@", "MX", 60, &["10 mail"]));
    let want = Ok(Transferred::Whole { serial: 7, sets: vec![soa(7), mx.clone(), a.clone()] });
    assert_eq!(transfer(None, &[answer(Type::AXFR, &[soa(7), a.clone(), mx.clone(), soa(7)])]), want);
    let messages = [vec![soa(7)], vec![a.clone()], vec![mx], vec![soa(7)]].map(|it| answer(Type::AXFR, &it));
    assert_eq!(transfer(None, &messages), want);
    assert_eq!(
        transfer(Some(5), &[answer(Type::IXFR, &[soa(7), a.clone(), soa(7)])]),
        Ok(Transferred::Whole { serial: 7, sets: vec![soa(7), a] })
    );
}

#[test]
fn a_transfer_that_is_cut_goes_on_or_ends_otherwise_yields_nothing() {
    let a = set("www", "A", 60, &["192.0.2.1"]);
    let whole = answer(Type::AXFR, &[soa(7), a.clone(), soa(7)]);
    assert_eq!(transfer(None, &[]), Err(TransferError::Cut));
    assert_eq!(transfer(None, &[answer(Type::AXFR, &[soa(7)])]), Err(TransferError::Cut));
    assert_eq!(transfer(None, &[answer(Type::AXFR, &[soa(7), a.clone()])]), Err(TransferError::Cut));
    assert!(transfer(None, &[whole.clone(), answer(Type::AXFR, std::slice::from_ref(&a))]).is_err());
    assert!(transfer(None, &[answer(Type::AXFR, &[soa(7), a.clone(), soa(8)])]).is_err());
    assert!(transfer(None, &[answer(Type::AXFR, &[a.clone(), soa(7)])]).is_err());
    for cut in 1..whole.len() {
        assert!(transfer(None, &[whole[..cut].to_vec()]).is_err(), "{cut}");
    }
    let mut refused = answer(Type::AXFR, &[]);
    refused[3] = 9;
    let error = transfer(None, &[refused]).unwrap_err();
    assert_eq!(error, TransferError::Refused(Rcode::NOTAUTH));
    assert!(error.to_string().contains("NOTAUTH (the server is not authoritative"), "{error}");
}

#[test]
fn an_incremental_transfer_says_what_went_and_came_or_that_nothing_did() {
    let (one, two, three) =
        (set("a", "A", 60, &["192.0.2.1"]), set("b", "A", 60, &["192.0.2.2"]), set("c", "A", 60, &["192.0.2.3"]));
    assert_eq!(transfer(Some(7), &[answer(Type::IXFR, &[soa(7)])]), Ok(Transferred::Unchanged { serial: 7 }));
    assert_eq!(transfer(Some(6), &[answer(Type::IXFR, &[soa(7)])]), Err(TransferError::Cut));
    let records = [soa(9), soa(7), one, soa(8), two.clone(), soa(8), soa(9), three, soa(9)];
    let Ok(Transferred::Delta { serial: 9, steps }) = transfer(Some(7), &[answer(Type::IXFR, &records)]) else { panic!() };
    let names = |list: &[transfer::DeltaRecord]| list.iter().map(|it| it.name.relative_to(&zone())).collect::<Vec<_>>();
    let steps = steps.iter().map(|it| (names(&it.removed), names(&it.added))).collect::<Vec<_>>();
    assert_eq!(steps, [(vec!["a".to_owned()], vec!["b".to_owned()]), (vec![], vec!["c".to_owned()])]);
    assert_eq!(transfer(Some(7), &[answer(Type::IXFR, &records[..8])]), Err(TransferError::Cut));
    let gap = [soa(9), soa(7), soa(8), soa(6), soa(9), soa(9)];
    assert!(transfer(Some(7), &[answer(Type::IXFR, &gap)]).is_err());
}

#[test]
fn serials_wrap() {
    assert!(is_at_least(5, 5) && is_at_least(6, 5) && !is_at_least(5, 6));
    assert!(is_at_least(1, u32::MAX) && !is_at_least(u32::MAX, 1));
}

#[test]
fn answers_are_read_strictly() {
    let good = answer(Type::SOA, &[soa(7)]);
    let read = |bytes: &[u8], opcode| {
        let answer = Answer::parse(bytes, opcode)?;
        let mut serials = Vec::new();
        answer.each(|it| serial(it.value).map(|it| serials.push(it)))?;
        Ok::<_, Malformed>((serials, answer.is_about(&zone(), Type::SOA), answer.authoritative, answer.truncated))
    };
    assert_eq!(read(&good, Opcode::Query), Ok((vec![7], true, true, false)));
    assert!(read(&good, Opcode::Update).is_err() && read(&query(&zone(), Type::SOA), Opcode::Query).is_err());
    assert!(read(&[good.clone(), vec![0]].concat(), Opcode::Query).is_err());
    let mut more = good.clone();
    more[7] = 2;
    assert!(read(&more, Opcode::Query).is_err());
    more[7] = 1;
    more[5] = 2;
    assert!(read(&more, Opcode::Query).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_fail_otherwise_than_by_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400), flips in prop::collection::vec((0_usize..200, any::<u8>()), 0..6)) {
        let zone = zone();
        let mut message = answer(Type::AXFR, &[soa(7), set("www", "MX", 60, &["10 mail"]), soa(7)]);
        for (at, byte) in flips {
            if let Some(slot) = message.get_mut(at) {
                *slot = byte;
            }
        }
        for message in [bytes, message] {
            let mut transfer = Transfer::new(&zone, Some(3));
            let _ = transfer.message(&message).and_then(|()| transfer.finish().map(|_| ()));
            if let Ok(answer) = Answer::parse(&message, Opcode::Query) {
                let _ = answer.each(|_| Ok::<(), Malformed>(()));
            }
        }
    }
}
