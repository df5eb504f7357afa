use super::*;

fn rendered(kind: &str, resource: &str, spec: Json, file: &str) -> Result<Vec<(String, Json)>, Vec<String>> {
    let address = Address { kind: kind.to_owned(), scope: String::new(), key: resource.to_owned() };
    let item = Declared { address, doc: json!({ "spec": spec }).to_string(), ext: Vec::new() };
    let rendered = render(&item, |_, _| Ok(file.as_bytes().to_vec()));
    if !rendered.diagnostics.is_empty() {
        return Err(rendered
            .diagnostics
            .iter()
            .map(|it| format!("{}: {}", it.path.as_deref().unwrap_or_default(), it.summary))
            .collect());
    }
    let show = |it: Desired| {
        (format!("{} {} {}", it.address.kind, it.address.scope, it.address.key), serde_json::from_str(&it.doc).unwrap())
    };
    Ok(rendered.objects.into_iter().map(show).collect())
}

#[track_caller]
fn check(resource: &str, spec: Json, address: &str, want: Json) {
    let got = rendered("RecordSet", resource, spec, "").unwrap();
    assert_eq!(got, [(format!("RecordSet {address}"), json!({ "spec": want.clone() }))]);
    // What the plugin made of it, it makes again.
    assert_eq!(rendered("RecordSet", "other", want, "").unwrap(), got);
}

#[track_caller]
fn refused(resource: &str, spec: Json, want: &str) {
    let errors = rendered("RecordSet", resource, spec.clone(), "").expect_err("refused");
    assert!(errors[0].contains(want), "{spec}: {errors:?}");
}

#[test]
fn a_record_set_renders_to_its_canonical_spelling() {
    check(
        "www",
        json!({"zone": "Example.COM.", "type": "a", "ttl": "1h", "values": ["192.0.2.2", "192.0.2.1"]}),
        "example.com www A",
        json!({"zone": "example.com", "name": "www", "type": "A", "ttl": 3600, "values": ["192.0.2.1", "192.0.2.2"]}),
    );
    check(
        "team/mail",
        json!({"zone": "bücher.example", "name": "@", "type": "MX", "value": "10 Mail"}),
        "xn--bcher-kva.example @ MX",
        json!({"zone": "xn--bcher-kva.example", "name": "@", "type": "MX", "values": ["10 mail.xn--bcher-kva.example."]}),
    );
    check(
        "shop/*",
        json!({"zone": "example.com", "type": "TYPE65280", "ttl": 0, "value": "\\# 2 AB cd"}),
        "example.com * TYPE65280",
        json!({"zone": "example.com", "name": "*", "type": "TYPE65280", "ttl": 0, "values": ["\\# 2 abcd"]}),
    );
    check(
        "x",
        json!({"zone": "example.com", "name": "X.Example.com.", "type": "TXT", "value": "v=spf1 a ~all"}),
        "example.com x TXT",
        json!({"zone": "example.com", "name": "x", "type": "TXT", "values": ["\"v=spf1 a ~all\""]}),
    );
}

#[test]
fn what_is_unknown_yet_stays_unknown() {
    let unknown = json!({"$unknown": "Service/web"});
    check(
        "www",
        json!({"zone": "example.com", "type": "A", "ttl": unknown, "values": [unknown, "192.0.2.1"]}),
        "example.com www A",
        json!({"zone": "example.com", "name": "www", "type": "A", "ttl": unknown, "values": ["192.0.2.1", unknown]}),
    );
    check(
        "www",
        json!({"zone": "example.com", "type": "A", "values": unknown}),
        "example.com www A",
        json!({"zone": "example.com", "name": "www", "type": "A", "values": unknown}),
    );
    refused("www", json!({"zone": "example.com", "type": unknown, "value": "x"}), "known before apply");
}

#[test]
fn errors_name_record_field_and_rule_and_point_at_the_field() {
    let set = |extra: Json| {
        let mut spec = json!({"zone": "example.com", "type": "A"});
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        spec
    };
    for (resource, spec, want) in [
        ("www", json!({"type": "A", "value": "x"}), "/spec: `zone` is missing"),
        ("www", json!({"zone": "example.com", "value": "x"}), "/spec: www.example.com.: `type` is missing"),
        ("www", set(json!({})), "exactly one of `value` and `values`"),
        ("www", set(json!({"values": []})), "/spec/values: www.example.com. A: values: a record set has at least one value"),
        (
            "www",
            set(json!({"values": ["192.0.2.1", "x"]})),
            "/spec/values/1: www.example.com. A: address: `x` is no IPv4 address",
        ),
        ("www", set(json!({"value": "x"})), "/spec/value: www.example.com. A"),
        (
            "www",
            set(json!({"values": ["192.0.2.1", "192.0.2.2", "192.0.2.1"]})),
            "/spec/values/2: www.example.com. A: values: duplicate values: the third repeats the first",
        ),
        ("www", set(json!({"value": "192.0.2.1", "ttl": -1})), "/spec/ttl: www.example.com. A: ttl"),
        ("www", set(json!({"value": "192.0.2.1", "ttl": "1y"})), "is no time"),
        ("www", set(json!({"value": "192.0.2.1", "ttl": 4_294_967_296_u64})), "0 to 2147483647"),
        (
            "www",
            set(json!({"value": "192.0.2.1", "name": "a.example.org."})),
            "/spec/name: a.example.org. A: name: is outside the zone",
        ),
        ("www.example.com", set(json!({"value": "192.0.2.1"})), "no final dot"),
        ("@", set(json!({"type": "CNAME", "value": "a"})), "apex"),
        ("www", set(json!({"type": "CNAME", "values": ["a", "b"]})), "one value, not 2"),
        ("www", set(json!({"type": "MX", "value": "10 192.0.2.1"})), "exchange: must be a name"),
        ("www", set(json!({"type": "TXT", "value": "a \"b"})), "text: unbalanced quotes"),
        ("www", set(json!({"type": "TXT", "value": "\"b"})), "unbalanced quotes"),
        ("www", set(json!({"type": "RRSIG", "value": "x"})), "the server's"),
        ("@", set(json!({"type": "SOA", "value": "x"})), "the server's"),
        ("www", set(json!({"type": "ANY", "value": "\\# 0"})), "queries only"),
        ("www", set(json!({"type": "NOPE", "value": "x"})), "/spec/type"),
        ("www", set(json!({"value": 1})), "must be a text"),
    ] {
        refused(resource, spec, want);
    }
}

#[test]
fn a_zone_file_renders_to_record_sets_that_equal_single_ones() {
    let spec = json!({"zone": "example.com", "source": {"$blob": "00", "size": 10}});
    let file =
        "$TTL 60\n@ SOA ns m 1 2 3 4 5\n@ NS ns\n@ MX 10 Mail\nwww A 192.0.2.2\nwww A 192.0.2.1\nt TXT \"a\\\\b\\\"\\200\"\n";
    let got = rendered("ZoneFile", "zone", spec.clone(), file).unwrap();
    let keys = got.iter().map(|it| it.0.as_str()).collect::<Vec<_>>();
    assert_eq!(keys, ["RecordSet example.com @ MX", "RecordSet example.com t TXT", "RecordSet example.com www A"]);
    for (address, doc) in &got {
        let again = rendered("RecordSet", "x", doc["spec"].clone(), "").unwrap();
        assert_eq!(again, [(address.clone(), doc.clone())]);
    }
    let errors = rendered("ZoneFile", "zone", spec, "a A x\nb A y\n").unwrap_err();
    assert_eq!(errors.len(), 2);
    assert!(errors[0].starts_with("/spec/source: line 1, column 5: a.example.com. A: address"), "{errors:?}");
}

#[test]
fn a_zone_claims_all_but_the_servers_and_the_ignored() {
    let spec = json!({"authoritative": true, "ignore": ["_acme-challenge* txt", "*.Dyn", "@ CAA"], "kind": "Native", "nameservers": ["ns1", "ns.example.net."]});
    let got = rendered("Zone", "Example.com", spec.clone(), "").unwrap();
    let want = json!({"spec": {"name": "example.com", "authoritative": true, "ignore": ["_acme-challenge* TXT", "*.dyn *", "@ CAA"], "kind": "Native", "nameservers": ["ns1.example.com.", "ns.example.net."]}});
    assert_eq!(got, [("Zone example.com example.com".to_owned(), want)]);
    let apex = Name::absolute("example.com").unwrap();
    let manifest = trueup_core::manifest::Manifest::parse(&crate::manifest::manifest()).unwrap();
    let claim = manifest.kinds["Zone"].claim(&got[0].1).unwrap();
    let claims = |name: &str, rtype: &str| {
        let (name, rtype) = (Name::absolute(name).unwrap(), Type::parse(rtype).unwrap());
        claim.covers(&key(&apex, &name, rtype)) && !is_servers(&apex, &name, rtype)
    };
    assert!(claims("example.com", "MX") && claims("sub.example.com", "NS") && claims("_acme-challenge.example.com", "A"));
    assert!(
        !claims("_acme-challenge.www.example.com", "TXT") && !claims("a.b.dyn.example.com", "A") && !claims("example.com", "CAA")
    );
    assert!(!claims("example.com", "SOA") && !claims("example.com", "NS") && !claims("www.example.com", "RRSIG"));
    for wrong in [
        json!({"kind": "Slave"}),
        json!({"ignore": [""]}),
        json!({"ignore": ["a NOPE"]}),
        json!({"authoritative": "yes"}),
        json!({"name": "a..b"}),
    ] {
        assert!(rendered("Zone", "example.com", wrong.clone(), "").is_err(), "{wrong}");
    }
}

#[test]
fn an_ignored_name_is_within_the_zone_or_absolute_and_else_an_error() {
    let ignored = |pattern: &str| {
        let got = rendered("Zone", "example.com", json!({"authoritative": true, "ignore": [pattern]}), "");
        got.map(|it| it[0].1["spec"]["ignore"][0].as_str().unwrap().to_owned()).map_err(|it| it.join(" "))
    };
    for (pattern, want) in [
        ("*.dyn.Example.com.", "*.dyn *"),
        ("example.com. MX", "@ MX"),
        ("www.example.com.example.com. A", "www.example.com A"),
        ("notexample.com", "notexample.com *"),
        ("*", "* *"),
    ] {
        assert_eq!(ignored(pattern).as_deref(), Ok(want), "{pattern}");
    }
    for (pattern, want) in [
        ("_acme-challenge.example.com TXT", "/spec/ignore: ignore: `_acme-challenge.example.com` has no final dot"),
        ("Example.com", "write `example.com.`"),
        ("*example.com", "no final dot"),
        ("bücher", "not of ASCII"),
        ("www.example.org.", "outside the zone"),
        ("xexample.com.", "outside the zone"),
        ("a A b", "a name and perhaps a type"),
    ] {
        let error = ignored(pattern).expect_err(pattern);
        assert!(error.contains(want), "{pattern}: {error}");
    }
    // What a document of ours says is read again when the zone is made.
    let spec = json!({"ignore": ["www.example.com A"]});
    assert!(Zone::parse(spec.as_object().unwrap(), "example.com", Style::Observed).is_ok());
}

#[test]
fn a_record_whose_name_ends_in_the_zone_twice_is_declared_as_it_is_shown() {
    let zone = Name::absolute("example.com").unwrap();
    let name = Name::absolute("www.example.com.example.com").unwrap();
    let set = RecordSet { name, rtype: Type::A, ttl: 60, values: vec![vec![192, 0, 2, 1].into()], raw: Vec::new() };
    let seen: Json = serde_json::from_str(&text(&zone, &set)).unwrap();
    let got = rendered("RecordSet", "adopted", seen["spec"].clone(), "").unwrap();
    assert_eq!(got, [(format!("RecordSet example.com {}", key(&zone, &set.name, set.rtype)), seen)]);
}

#[test]
fn keys_lead_back_to_names_and_types() {
    let zone = Name::absolute("example.com").unwrap();
    for (name, rtype) in
        [("example.com", "MX"), ("a\\032b.example.com", "TXT"), ("*.example.com", "TYPE65280"), ("\\@.example.com", "A")]
    {
        let (name, rtype) = (Name::absolute(name).unwrap(), Type::parse(rtype).unwrap());
        assert_eq!(parse_key(&zone, &key(&zone, &name, rtype)).unwrap(), (name, rtype));
    }
    assert!(parse_key(&zone, "www").is_err() && parse_key(&zone, "www NOPE").is_err());
}

#[test]
fn a_canonical_document_becomes_a_set_once_it_is_known() {
    let stored = |doc: &Json, ttl| {
        let zone = Name::absolute("www.example.com").unwrap();
        stored_set(&zone, Type::parse("A").unwrap(), &doc.to_string(), ttl)
    };
    let doc = |values: Json| {
        let spec = json!({"zone": "example.com", "type": "A", "values": values});
        rendered("RecordSet", "www", spec, "").unwrap().remove(0).1
    };
    let set = stored(&doc(json!(["192.0.2.2", "192.0.2.1"])), 300).unwrap();
    assert_eq!((set.ttl, set.spelled().collect::<Vec<_>>()), (300, vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()]));
    let zone = Name::absolute("example.com").unwrap();
    let again: Json = serde_json::from_str(&text(&zone, &set)).unwrap();
    assert_eq!(
        again,
        json!({"spec": {"zone": "example.com", "name": "www", "type": "A", "ttl": 300, "values": ["192.0.2.1", "192.0.2.2"]}})
    );
    assert!(stored(&doc(json!([{"$unknown": "x"}])), 300).is_err());
}
