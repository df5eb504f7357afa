use serde_json::json;

use super::*;

/// The smallest manifest.
fn least() -> Json {
    json!({"format": 1, "name": "file", "version": "0.1.0", "kinds": {"File": {"schema": {"type": "object"}}}})
}

/// A manifest with one kind whose `spec` has these properties.
fn with_spec(properties: Json) -> Json {
    let mut manifest = least();
    manifest["kinds"]["File"]["schema"] = json!({"properties": {"spec": {"properties": properties}}});
    manifest
}

#[track_caller]
fn refused(path: &str, value: Json, want: &str) {
    let mut manifest = least();
    match path.rsplit_once('/') {
        Some((parent, key)) => manifest.pointer_mut(parent).unwrap()[key] = value,
        None => manifest = value,
    }
    assert_eq!(Manifest::parse(&manifest).err().as_deref(), Some(want), "{path}");
    let beyond_schemas = ["nested deeper", "larger than"];
    if !beyond_schemas.iter().any(|it| want.contains(it)) {
        assert!(!published(&manifest).is_empty(), "the published schema takes what the parser refuses: {want}");
    }
}

/// What the schema that plugin authors are given finds wrong.
fn published(manifest: &Json) -> Vec<crate::schema::Finding> {
    let schema = serde_json::from_str(include_str!("../../../../wit/manifest.schema.json")).unwrap();
    crate::schema::check(manifest, &schema).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn hints(schema: Json) -> Hints {
    Hints::read(&schema).unwrap_or_else(|error| panic!("{error}"))
}

fn paths(list: &[Path]) -> Vec<String> {
    list.iter().map(Path::to_string).collect()
}

#[test]
fn what_is_absent_grants_and_promises_least() {
    let manifest = Manifest::parse(&least()).unwrap();
    assert_eq!(published(&least()), []);
    assert!(manifest.offers("rendering"));
    assert!(!manifest.dirs && !manifest.dns && !manifest.secrets && !manifest.any_api_version);
    assert!(manifest.hosts.is_empty() && manifest.reads.is_empty() && manifest.credentials.is_empty());
    assert_eq!((manifest.parallel, manifest.yaml), (8, YamlDialect::Core));
    assert_eq!(crate::schema::check(&json!({"x": 1}), &manifest.config).unwrap().len(), 1, "no configuration is taken");
    let kind = &manifest.kinds["File"];
    assert_eq!((kind.observe, kind.recover, kind.replace), (Observe::Scan, Recover::None, ReplaceOrder::DeleteFirst));
    assert_eq!((kind.batch, kind.settle_time, kind.schema_version), (None, 0, 1));
    assert_eq!((&kind.claims, &kind.claims_except), (&None, &None));
}

#[test]
fn every_key_of_the_contract_is_read() {
    let manifest = json!({
        "format": 1, "name": "dns", "version": "2", "config": {"type": "object"}, "hosts": ["https://*.example.com:8443", "config.server"],
        "dirs": true, "dns": true, "credentials": {"api": {"schemes": ["header", "bearer"]}, "tsig": {}}, "secrets": true,
        "reads": ["POST /search"], "parallel": 3, "apiVersions": "any", "yaml": "kubectl", "features": ["rendering"], "later": {"unknown": 1},
        "kinds": {"RecordSet.example-1.io": {
            "schema": {}, "schemaVersion": 4, "observe": "read", "batch": {"items": 100, "bytes": 1000, "atomic": true},
            "recover": "conditional", "settleTime": 500, "replace": "create-first", "claims": "/spec/a~1b/exclusive",
            "claimsExcept": "/spec/ignore", "nests": "/",
        }},
    });
    assert_eq!(published(&manifest), []);
    let manifest = Manifest::parse(&manifest).unwrap();
    assert!(manifest.offers("rendering") && !manifest.offers("planning"));
    assert!(manifest.dirs && manifest.dns && manifest.secrets && manifest.any_api_version);
    assert_eq!(manifest.hosts, ["https://*.example.com:8443", "config.server"]);
    assert_eq!(manifest.credentials["api"], ["header", "bearer"]);
    assert_eq!(manifest.credentials["tsig"], [""; 0]);
    assert_eq!((manifest.parallel, manifest.yaml, manifest.reads.len()), (3, YamlDialect::Kubectl, 1));
    let kind = &manifest.kinds["RecordSet.example-1.io"];
    assert_eq!((kind.observe, kind.recover, kind.replace), (Observe::Read, Recover::Conditional, ReplaceOrder::CreateFirst));
    assert_eq!(kind.batch, Some(Batch { items: 100, bytes: 1000, atomic: true }));
    assert_eq!((kind.settle_time, kind.schema_version), (500, 4));
    let place = |scope: &str, key: &str| kind.place(&crate::address::Address::new("p", "K", scope, key));
    assert_eq!((place("", "a").as_deref(), place("a/b", "c").as_deref()), (Some("a"), Some("a/b/c")));
    assert_eq!(kind.claims.as_ref().map(Path::to_string).as_deref(), Some("spec.a/b.exclusive"));
    assert_eq!(kind.claims_except.as_ref().map(Path::to_string).as_deref(), Some("spec.ignore"));
}

#[test]
fn what_breaks_the_contract_is_refused_by_its_path() {
    refused("", json!([]), "the manifest must be a mapping");
    refused("/format", json!(2), "`format` is 2, this engine reads manifests of format 1");
    refused("/name", json!("File"), "`name` is `File`, it must be 1 to 40 of a-z, 0-9 and `-`");
    refused("/name", json!(null), "`name` is missing");
    refused("/version", json!(1), "`version` must be a text");
    refused("/dirs", json!("yes"), "`dirs` must be true or false");
    refused("/parallel", json!(0), "`parallel` must be a whole number from 1 to 64");
    refused("/yaml", json!("1.1"), "`yaml` is `1.1`, it must be one of core, kubectl");
    refused("/hosts", json!(["https://a", "https://a"]), "`hosts` holds `https://a` twice");
    let origin = "write an origin such as `https://*.example.com` or `config.server`";
    for host in ["example.com", "ftp://a", "https://a/b", "https://", "https://u@h", "config."] {
        refused("/hosts", json!([host]), &format!("`hosts` holds `{host}`, {origin}"));
    }
    refused("/reads", json!([1]), "`reads` must be a list of texts, each 1 to 1024 bytes");
    refused("/credentials", json!({"API": {}}), "`credentials` has the slot `API`, it must be 1 to 40 of a-z, 0-9 and `-`");
    refused("/kinds", json!(null), "`kinds` is missing");
    let grammar = "a kind is letters and digits with a capital first, and may end in `.group`";
    for name in ["file", "A b", "A/b", "A.", "A.B"] {
        refused("/kinds", json!({name: {"schema": {}}}), &format!("`kinds` has `{name}`, {grammar}"));
    }
    refused("/kinds/File/schema", json!(null), "`kinds.File.schema` is missing");
    refused("/kinds/File/schema", json!([]), "`kinds.File.schema` must be a JSON Schema (a mapping)");
    refused(
        "/kinds/File/recover",
        json!("magic"),
        "`kinds.File.recover` is `magic`, it must be one of key, token, mark, conditional, none",
    );
    refused("/kinds/File/batch", json!({"items": 0}), "`kinds.File.batch.items` must be a whole number from 1 to 4294967295");
    refused("/kinds/File/settleTime", json!(-1), "`kinds.File.settleTime` must be a whole number from 0 to 86400000");
    refused("/kinds/File/claims", json!("spec.x"), "`kinds.File.claims` must be a pointer to a field such as `/spec/exclusive`");
    let deep = (0..70).fold(json!({}), |inner, _| json!({"items": inner}));
    refused("/kinds/File/schema", deep, "`kinds.File.schema` is nested deeper than 64 levels");
    refused("/kinds/File/schema", json!({"description": "x".repeat(1 << 20)}), "`kinds.File.schema` is larger than 1 MiB");
    let many: serde_json::Map<String, Json> = (0..5000).map(|at| (format!("K{at}"), json!({"schema": {}}))).collect();
    refused("/kinds", Json::Object(many), "`kinds` has 5000 entries, at most 4096 are allowed");
}

#[test]
fn hints_are_found_behind_references_lists_mappings_and_choices() {
    let found = hints(json!({
        "properties": {
            "spec": {"$ref": "#/$defs/Spec"},
            "data": {"type": "object", "additionalProperties": {"type": "string", "x-trueup-sensitive": true}},
            "status": {"properties": {
                "url": {"type": "string", "x-trueup-status-from": ["spec.path", "spec.dir"]},
                "id": {"type": "string", "x-trueup-identity": true},
                "token": {"type": "string", "x-trueup-sensitive": true},
            }},
        },
        "$defs": {"Spec": {"properties": {
            "dir": {"type": "string", "x-trueup-scope": true, "x-trueup-immutable": true},
            "path": {"type": "string", "x-trueup-key": true, "x-trueup-immutable": true},
            "ports": {"type": "array", "x-trueup-list-key": "name", "items": {"properties": {
                "name": {"type": "string", "x-trueup-case": "insensitive"},
                "cpu": {"type": "string", "x-trueup-format": "quantity", "x-trueup-default": "1"},
            }}},
            "tags": {"type": "array", "x-trueup-unordered": true, "x-trueup-computed": false},
            "backend": {"oneOf": [{"properties": {"file": {"type": "string", "x-trueup-blob": true}}},
                                  {"properties": {"pin": {"type": "string", "x-trueup-write-only": true}}}]},
            "serial": {"type": "integer", "x-trueup-computed": true, "x-trueup-order": 3, "x-trueup-later": {}},
        }}},
    }));
    assert_eq!(
        (found.scope.unwrap().to_string(), found.key.unwrap().to_string()),
        ("spec.dir".to_owned(), "spec.path".to_owned())
    );
    assert_eq!(found.identity.unwrap().to_string(), "status.id");
    assert_eq!(paths(&found.immutable), ["spec.dir", "spec.path"]);
    assert_eq!(found.list_keys, [(Path::parse("spec.ports").unwrap(), ListKey::new(&["name"]))]);
    assert_eq!(paths(&found.caseless), ["spec.ports.name"]);
    assert_eq!(found.formats, [(Path::parse("spec.ports.cpu").unwrap(), "quantity".to_owned())]);
    assert_eq!(found.defaults, [(Path::parse("spec.ports.cpu").unwrap(), json!("1"))]);
    assert_eq!(paths(&found.unordered), ["spec.tags"]);
    assert_eq!(paths(&found.blobs), ["spec.backend.file"]);
    assert_eq!(paths(&found.write_only), ["spec.backend.pin"]);
    assert_eq!(paths(&found.computed), ["spec.serial"]);
    assert_eq!(paths(&found.sensitive), ["data.*", "status.token"]);
    let from = found.status_from.iter().map(|(output, fields)| (output.to_string(), paths(fields))).collect::<Vec<_>>();
    assert_eq!(from, [("url".to_owned(), vec!["spec.dir".to_owned(), "spec.path".to_owned()])]);
}

#[test]
fn a_schema_that_contains_itself_is_read_once_around() {
    let found = hints(json!({"properties": {"spec": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": {"properties": {
        "secret": {"type": "string", "x-trueup-sensitive": true}, "next": {"$ref": "#/$defs/Node"}}}}}));
    assert_eq!(paths(&found.sensitive), ["spec.secret"]);
}

#[test]
fn hints_that_make_no_sense_are_refused_where_they_stand() {
    let check = |properties: Json, want: &str| {
        let error = Manifest::parse(&with_spec(properties)).expect_err(want);
        assert_eq!(error, format!("`kinds.File.schema` {want}"));
    };
    check(json!({"a": {"x-trueup-sensitive": "yes"}}), "`x-trueup-sensitive` at `spec.a` must be true or false");
    check(
        json!({"a": {"type": "integer", "x-trueup-key": true}}),
        "`x-trueup-key` at `spec.a` belongs on a field of type string",
    );
    check(
        json!({"a": {"type": "string", "x-trueup-list-key": "n"}}),
        "`x-trueup-list-key` at `spec.a` belongs on a field of type array",
    );
    check(
        json!({"a": {"type": "string", "x-trueup-key": true}, "b": {"type": "string", "x-trueup-key": true}}),
        "`x-trueup-key` at `spec.a` is given at `spec.b` already",
    );
    check(
        json!({"a": {"type": "string", "x-trueup-key": true, "x-trueup-sensitive": true}}),
        "`x-trueup-key` at `spec.a` is also sensitive, but addresses and identities are shown",
    );
    check(
        json!({"a": {"type": "string", "x-trueup-scope": true, "x-trueup-computed": true}}),
        "`x-trueup-scope` at `spec.a` is also computed, but an address must be declared",
    );
    check(
        json!({"a": {"x-trueup-status-from": ["spec.b"]}}),
        "`x-trueup-status-from` at `spec.a` belongs on a property of `status`",
    );
    check(json!({"a": {"x-trueup-case": "upper"}}), "`x-trueup-case` at `spec.a` must be `insensitive` or `sensitive`");
    check(json!({"a": {"$ref": "http://x/y"}}), "`$ref: http://x/y` at `spec.a` leads nowhere in this schema");
    check(
        json!({"a": {"additionalProperties": {"type": "string", "x-trueup-key": true}}}),
        "`x-trueup-key` at `spec.a.*` belongs on one text field under `spec`",
    );
}

#[test]
fn a_schema_that_unfolds_without_end_is_refused() {
    let mut defs: serde_json::Map<String, Json> = (0..30)
        .map(|at| {
            (
                format!("d{at}"),
                json!({"allOf": [{"$ref": format!("#/$defs/d{}", at + 1)}, {"$ref": format!("#/$defs/d{}", at + 1)}]}),
            )
        })
        .collect();
    defs.insert("d30".to_owned(), json!({}));
    let error = Hints::read(&json!({"$ref": "#/$defs/d0", "$defs": defs})).unwrap_err();
    assert!(error.starts_with("the schema unfolds to more than"), "{error}");
}

#[test]
fn a_hint_speaks_of_every_item_of_a_list_and_every_key_of_a_mapping() {
    let path = |text: &str| Path::parse(text).unwrap();
    let hints = [path("spec.env.value"), path("data.*")];
    for (at, covers, names) in [
        ("spec.env[0].value", true, true),
        ("spec.env[name=A].value", true, true),
        ("spec.env[0].value.inner", true, false),
        ("spec.env", false, false),
        ("data.password", true, true),
        ("data[\"a.b\"].c", true, false),
        ("data", false, false),
    ] {
        assert_eq!((Hints::covers(&hints, &path(at)), Hints::names(&hints, &path(at))), (covers, names), "{at}");
    }
    assert_eq!(Hints::of(&[(path("spec.ports"), 1)], &path("spec.ports")), Some(&1));
}
