use trueup_core::value::json;

use super::*;

fn manifest(more: trueup_core::value::Json) -> Manifest {
    let mut manifest = json!({"format": 1, "name": "dns", "version": "1.0.0", "config": {"type": "object"}, "kinds": {}});
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Manifest::parse(&manifest).unwrap()
}

fn hosts(asked: &[&str], given: &[&str], ceiling: Option<&[&str]>) -> Result<Vec<String>, String> {
    let given = Given { hosts: given.iter().map(|it| (*it).to_owned()).collect(), ..Given::default() };
    let rules = |them: &[&str]| them.iter().map(|it| HostRule::parse(it).unwrap()).collect();
    let ceiling = ceiling.map(|it| Ceiling { hosts: Some(rules(it)), ..Ceiling::default() });
    let config = json!({"server": "http://127.0.0.1:8081/api/v1", "endpoints": {"s3": "https://s3.example.com/"}});
    let granted = intersect("web", &manifest(json!({"hosts": asked})), &config, &given, ceiling.as_ref());
    granted.map(|it| it.hosts.iter().map(ToString::to_string).collect()).map_err(|them| them.join("\n"))
}

fn credential(name: &str, scheme: Scheme) -> Arc<Credential> {
    Arc::new(Credential { name: name.to_owned(), origins: Vec::new(), servers: Vec::new(), scheme, ca_pem: None, base: None })
}

#[test]
fn an_origin_reads_back_and_nothing_else_is_one() {
    let cases =
        ["https://example.com", "https://*.example.com:8443", "http://127.0.0.1:8081", "https://[::1]", "http://a.example"];
    for text in cases {
        assert_eq!(HostRule::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(HostRule::parse("https://EXAMPLE.com:443/").unwrap().to_string(), "https://example.com");
    let wrong = [
        "example.com",
        "ftp://example.com",
        "https://",
        "https://*",
        "https://*.com",
        "https://*.1.2.3.4",
        "https://a.*.com",
        "https://*.*.example.com",
        "https://u@example.com",
        "https://example.com/path",
        "https://example.com?q",
    ];
    for text in wrong {
        assert!(HostRule::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_pattern_covers_names_below_it_with_the_same_scheme_and_port() {
    let cases = [
        ("https://*.example.com", "https://a.example.com", true),
        ("https://*.example.com", "https://a.b.example.com", true),
        ("https://*.example.com", "https://example.com", false),
        ("https://*.example.com", "https://badexample.com", false),
        ("https://*.example.com", "http://a.example.com", false),
        ("https://*.example.com", "https://a.example.com:444", false),
        ("https://*.example.com", "https://*.b.example.com", true),
        ("https://*.b.example.com", "https://*.example.com", false),
        ("https://a.example.com", "https://*.example.com", false),
    ];
    for (rule, other, want) in cases {
        assert_eq!(HostRule::parse(rule).unwrap().covers(&HostRule::parse(other).unwrap()), want, "{rule} {other}");
    }
}

#[test]
fn hosts_are_what_was_asked_and_given_the_narrower_of_both() {
    let ok = |them: &[&str]| Ok(them.iter().map(|it| (*it).to_owned()).collect());
    assert_eq!(hosts(&["https://*.example.com"], &["https://a.example.com"], None), ok(&["https://a.example.com"]));
    assert_eq!(hosts(&["https://a.example.com"], &["https://*.example.com"], None), ok(&["https://a.example.com"]));
    assert_eq!(hosts(&["config.server"], &["http://127.0.0.1:8081"], None), ok(&["http://127.0.0.1:8081"]));
    assert_eq!(hosts(&["config.endpoints"], &["https://s3.example.com"], None), ok(&["https://s3.example.com"]));
    assert_eq!(hosts(&["https://a.example.com"], &[], None), ok(&[]));
    let never = hosts(&["config.missing"], &["https://a.example.com"], None).unwrap_err();
    assert!(never.contains("provider `web`") && never.contains("never asks for `https://a.example.com`"), "{never}");
}

#[test]
fn the_operators_ceiling_is_above_everything() {
    let asked = ["https://*.example.com"];
    let above = hosts(&asked, &["https://a.example.com"], Some(&["https://b.example.com"])).unwrap_err();
    assert!(above.contains("`https://a.example.com`") && above.contains("`server.yaml`"), "{above}");
    assert!(hosts(&asked, &["https://*.example.com"], Some(&["https://a.example.com"])).is_err());
    assert!(hosts(&asked, &["https://a.example.com"], Some(&asked)).is_ok());
    let dir = DirGrant { text: "/srv/a".to_owned(), path: "/srv/a".into() };
    let given = Given { dirs: vec![dir], secrets: ["db".to_owned()].into(), ..Given::default() };
    let asks = manifest(json!({"dirs": true, "secrets": true}));
    let under = |dirs: &str, secret: &str| {
        let (dirs, secrets) = (Some(vec![dirs.into()]), Some([secret.to_owned()].into()));
        intersect("web", &asks, &json!({}), &given, Some(&Ceiling { dirs, secrets, ..Ceiling::default() }))
    };
    assert!(under("/srv", "db").is_ok());
    assert_eq!(under("/srv/ab", "other").unwrap_err().len(), 2);
}

#[test]
fn a_dns_server_is_granted_in_any_spelling_and_never_above_the_ceiling() {
    let dns = |given: &str, ceiling: Option<&str>| {
        let given = Given { dns: vec![given.to_owned()], ..Given::default() };
        let ceiling = ceiling.map(|it| vec![DnsServer::parse(it).unwrap()]);
        let ceiling = Ceiling { dns: ceiling, ..Ceiling::default() };
        let granted = intersect("web", &manifest(json!({"dns": true})), &json!({}), &given, Some(&ceiling));
        granted.map(|it| it.dns.iter().map(ToString::to_string).collect::<String>()).map_err(|them| them.concat())
    };
    assert_eq!(dns("dns://NS.example.com", None).as_deref(), Ok("dns://ns.example.com:53"));
    assert_eq!(dns("dns://ns.example.com", Some("dns://ns.example.com:53")).as_deref(), Ok("dns://ns.example.com:53"));
    for (given, ceiling) in [("dns://a:54", "dns://a:53"), ("dns+tls://a:53", "dns://a:53"), ("dns://b", "dns://a")] {
        assert!(dns(given, Some(ceiling)).unwrap_err().contains("`server.yaml`"), "{given} {ceiling}");
    }
    assert!(dns("udp://a", None).unwrap_err().contains("must be `dns://host:port`"));
}

#[test]
fn what_a_plugin_does_not_ask_for_is_not_given() {
    let given = Given {
        dirs: vec![DirGrant { text: "./a".to_owned(), path: "/a".into() }],
        dns: vec!["dns://127.0.0.1".to_owned()],
        secrets: ["db".to_owned()].into(),
        reads: Some(vec!["POST /search".to_owned()]),
        ..Given::default()
    };
    let refused = intersect("web", &manifest(json!({})), &json!({}), &given, None).unwrap_err();
    assert_eq!(refused.len(), 4, "{refused:?}");
    let asks = manifest(json!({"dirs": true, "dns": true, "secrets": true, "reads": ["POST /search", "POST /list"]}));
    let grant = intersect("web", &asks, &json!({}), &given, None).unwrap();
    let reads: Vec<_> = grant.reads.iter().map(ReadRule::as_str).collect();
    assert_eq!((grant.dirs.len(), grant.dns.len(), grant.secrets.len(), reads), (1, 1, 1, vec!["POST /search"]));
    let bundled = Given { reads: None, ..given };
    assert_eq!(intersect("web", &asks, &json!({}), &bundled, None).unwrap().reads.len(), 2);
}

#[test]
fn a_credential_fills_a_slot_of_the_manifest_with_a_scheme_that_it_takes() {
    let asks = manifest(json!({"credentials": {"api": {"schemes": ["bearer"]}}}));
    let fill = |slot: &str, scheme: Scheme| {
        let it = credential("pdns", scheme);
        let slots = BTreeMap::from([(slot.to_owned(), Slot { read: Arc::clone(&it), write: it })]);
        let given = Given { credentials: slots, ..Given::default() };
        intersect("web", &asks, &json!({}), &given, None).map(|it| it.credentials.len()).map_err(|them| them.join("\n"))
    };
    let token = || Secret::from("t0ken");
    assert_eq!(fill("api", Scheme::Bearer(token())), Ok(1));
    let scheme = fill("api", Scheme::Header { name: "x".to_owned(), value: token() }).unwrap_err();
    assert!(scheme.contains("slot `api` takes bearer") && !scheme.contains("t0ken"), "{scheme}");
    assert!(fill("tsig", Scheme::Bearer(token())).unwrap_err().contains("its slots: api"));
}
