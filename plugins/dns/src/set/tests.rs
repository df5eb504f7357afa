use super::*;
use crate::name::Context;

fn zone() -> Name {
    Name::absolute("example.com").unwrap()
}

fn collect(records: &[(&str, &str, u32, &str)], style: Style) -> Result<Vec<RecordSet>, Vec<Problem>> {
    let mut collector = Collector::default();
    for (name, rtype, ttl, value) in records {
        let (zone, rtype) = (zone(), Type::parse(rtype).unwrap());
        let context = Context { origin: &zone, style };
        let mut wire = Vec::new();
        rdata::parse_text(rtype, value, context, &mut wire).unwrap();
        collector.add(Name::parse(name, context).unwrap().wire(), rtype, *ttl, &wire, 0);
    }
    collector.finish(style).map(|it| it.sets)
}

#[test]
fn records_in_any_order_become_sorted_sets_of_distinct_values() {
    let sets = collect(
        &[
            ("www", "A", 60, "192.0.2.2"),
            ("a.www", "A", 60, "192.0.2.9"),
            ("@", "MX", 60, "10 b"),
            ("www", "AAAA", 60, "::1"),
            ("www", "A", 60, "192.0.2.1"),
            ("www", "A", 60, "192.0.2.2"),
        ],
        Style::Master,
    );
    let sets = sets.unwrap();
    let shown = sets
        .iter()
        .map(|it| format!("{} {} {}", it.name, it.rtype, it.spelled().collect::<Vec<_>>().join(",")))
        .collect::<Vec<_>>();
    assert_eq!(
        shown,
        [
            "example.com. MX 10 b.example.com.",
            "www.example.com. A 192.0.2.1,192.0.2.2",
            "www.example.com. AAAA ::1",
            "a.www.example.com. A 192.0.2.9"
        ]
    );
}

#[test]
fn two_ttls_in_a_set_are_an_error_of_people_and_the_smaller_one_of_servers() {
    let records = [("www", "A", 60, "192.0.2.1"), ("www", "A", 30, "192.0.2.2")];
    let problems = collect(&records, Style::Master).unwrap_err();
    assert_eq!(problems[0].to_string(), "www.example.com. A: ttl: two TTLs in one record set: 60 and 30");
    assert_eq!(collect(&records, Style::Observed).unwrap()[0].ttl, 30);
}

#[test]
fn rules_across_the_sets_of_a_zone_name_record_field_and_rule() {
    let sets = collect(
        &[
            ("@", "CNAME", 60, "a.example.net."),
            ("www", "CNAME", 60, "a"),
            ("www", "TXT", 60, "x"),
            ("two", "CNAME", 60, "a"),
            ("two", "CNAME", 60, "b"),
            ("a.example.org.", "A", 60, "192.0.2.1"),
            ("fine", "CNAME", 60, "a"),
        ],
        Style::Master,
    );
    let mut problems = check_zone(&zone(), &sets.unwrap()).iter().map(|(_, it)| it.to_string()).collect::<Vec<_>>();
    problems.sort();
    let want = [
        "a.example.org. A: name: is outside the zone example.com.",
        "example.com. CNAME: type: a CNAME cannot stand at the apex",
        "two.example.com. CNAME: values: a CNAME has one value, not 2",
        "www.example.com. CNAME: type: a CNAME cannot stand beside other records of its name, here TXT",
    ];
    assert_eq!(problems.len(), want.len(), "{problems:#?}");
    for (problem, want) in problems.iter().zip(want) {
        assert!(problem.starts_with(want), "{problem}");
    }
}

#[test]
fn what_is_the_servers_is_soa_ns_at_the_apex_and_dnssec() {
    let below = Name::absolute("a.example.com").unwrap();
    let servers = |name: &Name, rtype: &str| is_servers(&zone(), name, Type::parse(rtype).unwrap());
    for rtype in ["SOA", "NS", "RRSIG", "NSEC3PARAM", "DNSKEY", "CDS"] {
        assert!(servers(&zone(), rtype), "{rtype}");
    }
    assert!(!servers(&below, "NS") && !servers(&below, "DS") && !servers(&zone(), "A"));
}
