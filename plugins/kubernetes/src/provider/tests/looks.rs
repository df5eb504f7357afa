//! Lists, reads, discovery.

use super::*;

fn query(kind: &str, scope: &str) -> ScopeQuery {
    ScopeQuery {
        kind: kind.to_owned(),
        scope: scope.to_owned(),
        cursor: None,
        since: None,
        limit: 10_000,
        wait: 0,
        ext: Vec::new(),
    }
}

const LIST: &str = "GET slot:cluster/api/v1/namespaces/shop/configmaps";

#[test]
fn a_scope_is_one_list_by_pages_and_unchanged_at_the_same_version() {
    let page = list(&json!({ "resourceVersion": "9", "continue": "c" }), &json!([config_map("x")]));
    let last = list(&json!({ "resourceVersion": "9" }), &Json::Null);
    let server = Server::start(&[(LIST, 200, page.clone()), (LIST, 200, last), (LIST, 200, page)]);
    let provider = server.provider();
    let first = provider.scan(vec![query("ConfigMap", "shop")], &info()).remove(0).unwrap();
    assert_eq!((first.coverage, first.next.as_deref(), first.version.as_deref()), (Coverage::Whole, Some("c"), Some("9")));
    assert_eq!((first.objects.len(), &first.objects[0].address), (1, &address()));
    let second = provider.scan(vec![ScopeQuery { cursor: first.next, ..query("ConfigMap", "shop") }], &info()).remove(0).unwrap();
    assert!(second.next.is_none() && second.version.is_none() && second.objects.is_empty());
    let sent = server.sent();
    assert!(sent[0].contains("?limit=500 ") && sent[1].contains("?limit=500&continue=c "), "{sent:?}");
    let since = Some("9".to_owned());
    let third = provider.scan(vec![ScopeQuery { since, ..query("ConfigMap", "shop") }], &info()).remove(0).unwrap();
    assert_eq!((third.coverage, third.objects.len()), (Coverage::Unchanged, 0));
}

#[test]
fn a_wait_is_a_watch_that_ends_with_the_first_event() {
    let list = list(&json!({ "resourceVersion": "10" }), &json!([]));
    let waiting = || ScopeQuery { since: Some("9".to_owned()), wait: 2_000, ..query("ConfigMap", "shop") };
    let server = Server::start(&[(LIST, 200, Json::Null)]);
    let quiet = server.provider().scan(vec![waiting()], &info()).remove(0).unwrap();
    assert_eq!((quiet.coverage, quiet.version.as_deref()), (Coverage::Unchanged, Some("9")));
    let sent = server.sent();
    assert!(sent.len() == 1 && sent[0].contains("?watch=1&resourceVersion=9&timeoutSeconds=2 "), "{sent:?}");
    for event in [json!({ "type": "ADDED" }), json!({ "type": "ERROR", "object": { "code": 410 } })] {
        let server = Server::start(&[(LIST, 200, event), (LIST, 200, list.clone())]);
        let seen = server.provider().scan(vec![waiting()], &info()).remove(0).unwrap();
        assert_eq!((seen.coverage, seen.version.as_deref(), server.sent().len()), (Coverage::Whole, Some("10"), 2));
    }
}

#[test]
fn a_page_that_is_more_than_an_answer_may_be_is_asked_for_in_smaller_ones() {
    let double = Double::install();
    double.serve(|request| {
        if request.url.ends_with("limit=500") {
            return Err(raw::HttpError::TooLarge(1));
        }
        let body = list(&json!({ "continue": "c" }), &json!([config_map("x")])).to_string().into_bytes();
        Ok(raw::Response { status: 200, headers: Vec::new(), body, cut: false })
    });
    let kinds = json!({ "ConfigMap": { "schema": {}, "plural": "configmaps", "version": "v1", "namespaced": true } });
    let provider = Kubernetes::configure(json!({}), Some(kinds)).unwrap();
    double.enter(Phase::Observe);
    let page = provider.scan(vec![query("ConfigMap", "shop")], &info()).remove(0).unwrap();
    assert_eq!((page.objects.len(), page.next.as_deref()), (1, Some("c")));
    assert!(double.take_calls().last().is_some_and(|it| it.ends_with("limit=20")));
}

#[test]
fn a_list_that_is_not_whole_is_an_error() {
    for (status, code, fault) in [
        (410, "k8s.list-expired", Fault::Conflict),
        (503, "k8s.unavailable", Fault::Transient(Some(3000))),
        (401, "k8s.unauthorized", Fault::Unauthorized),
    ] {
        let server = Server::start(&[(LIST, status, refusal("X", "y"))]);
        let error = server.provider().scan(vec![query("ConfigMap", "shop")], &info()).remove(0).unwrap_err();
        assert_eq!((error.code.as_str(), error.fault), (code, fault));
    }
}

#[test]
fn a_list_that_is_forbidden_says_so_and_proves_nothing() {
    let server = Server::start(&[(LIST, 403, refusal("Forbidden", "cannot list"))]);
    let snapshot = server.provider().scan(vec![query("ConfigMap", "shop")], &info()).remove(0).unwrap();
    assert_eq!((snapshot.coverage, snapshot.ext), (Coverage::Partial, vec![("unlisted".to_owned(), "true".to_owned())]));
    assert!(snapshot.diagnostics[0].summary.contains("cannot list"), "{:?}", snapshot.diagnostics);
}

#[test]
fn an_answer_that_is_not_the_list_that_was_asked_for_is_an_error() {
    let other = |name: &str, value: Json| {
        let mut object = config_map("x");
        *object.pointer_mut(name).unwrap() = value;
        list(&json!({}), &json!([config_map("y"), object]))
    };
    let mut secrets = list(&json!({}), &json!([]));
    secrets["kind"] = json!("SecretList");
    for (answer, words) in [
        (json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }), "kind `Status`"),
        (json!({}), "no list of ConfigMap"),
        (json!({ "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {} }), "a list without items"),
        (secrets, "kind `SecretList`"),
        (other("/metadata/namespace", json!("elsewhere")), "the namespace `elsewhere`"),
        (other("/metadata/name", json!("")), "without a name"),
        (other("/kind", json!("Secret")), "kind `Secret`"),
        (other("/metadata", json!("x")), "unexpected shape"),
        (json!("<html>"), "unexpected shape"),
    ] {
        let server = Server::start(&[(LIST, 200, answer)]);
        let error = server.provider().scan(vec![query("ConfigMap", "shop")], &info()).remove(0).unwrap_err();
        assert!(
            error.message.starts_with("cannot list ConfigMap in `shop`: ") && error.message.contains(words),
            "{words}: {error}"
        );
    }
}

#[test]
fn an_object_that_cannot_be_read_hides_no_other() {
    let mut deep = json!("x");
    (0..200).for_each(|_| deep = json!({ "a": deep.take() }));
    let at = |pointer: &str, value: Json| {
        let mut object = config_map("x");
        object["metadata"]["name"] = json!("odd");
        object["metadata"]["labels"] = json!({});
        *object.pointer_mut(pointer).unwrap() = value;
        list(&json!({ "resourceVersion": "9" }), &json!([config_map("y"), object]))
    };
    let large = Json::from("x".repeat(5 << 20));
    for (answer, all) in
        [(at("/data/k", deep), true), (at("/metadata/labels", json!({ "a": 1 })), true), (at("/data/k", large), false)]
    {
        let server = Server::start(&[(LIST, 200, answer)]);
        let page = server.provider().scan(vec![query("ConfigMap", "shop")], &info()).remove(0).unwrap();
        let is_unread = |it: &Remote| it.ext.iter().any(|(name, _)| name == "unread");
        let seen: Vec<(&str, bool)> = page.objects.iter().map(|it| (it.address.key.as_str(), is_unread(it))).collect();
        assert_eq!((page.coverage, seen), (Coverage::Whole, vec![("a", all), ("odd", true)]));
    }
    let nulls = at("/metadata/labels", Json::Null);
    let server = Server::start(&[(LIST, 200, nulls)]);
    let page = server.provider().scan(vec![query("ConfigMap", "shop")], &info()).remove(0).unwrap();
    assert!(page.objects.iter().all(|it| it.ext.is_empty()), "{page:?}");
}

#[test]
fn a_kind_that_the_server_does_not_have_has_no_objects_and_one_whose_server_is_down_is_an_error() {
    let scan = |server: &Server| server.provider().scan(vec![query("Widget.example.com", "shop")], &info()).remove(0);
    let groups = json!({ "kind": "APIGroupList", "groups": [{ "name": "apps" }] });
    let none = scan(&Server::start(&[("GET slot:cluster/apis", 200, groups)])).unwrap();
    assert_eq!((none.coverage, none.objects.len()), (Coverage::Whole, 0));
    assert!(scan(&Server::start(&[])).is_err(), "a page that is not there says nothing of the kind");
    let group = json!({ "kind": "APIGroup", "name": "example.com", "preferredVersion": { "version": "v1" }, "versions": [{ "version": "v1" }] });
    let down = Server::start(&[
        ("GET slot:cluster/apis/example.com", 200, group),
        ("GET slot:cluster/apis/example.com/v1", 503, Json::Null),
    ]);
    assert_eq!(scan(&down).unwrap_err().fault, Fault::Transient(Some(3000)));
    let beside = Server::start(&[]).provider().scan(vec![query("ConfigMap", "")], &info()).remove(0).unwrap();
    assert_eq!((beside.coverage, beside.objects.len()), (Coverage::Whole, 0), "it has objects in namespaces only");
}

#[test]
fn an_object_is_read_by_name() {
    let lookup = |since: Option<&str>| Lookup {
        address: address(),
        identity: None,
        desired: None,
        mark: None,
        token: None,
        since: since.map(str::to_owned),
        ext: Vec::new(),
    };
    let server = Server::start(&[(&format!("GET {URL}"), 200, config_map("x"))]);
    let read = |since: Option<&str>| server.provider().read(vec![lookup(since)], &info()).remove(0);
    assert!(matches!(read(None), Observation::Found(it) if it.version.as_deref() == Some("7")));
    assert!(matches!(read(Some("7")), Observation::Unchanged));
    let empty = Server::start(&[]);
    assert!(matches!(empty.provider().read(vec![lookup(None)], &info()).remove(0), Observation::Absent));
    let page = Server::start(&[
        (&format!("GET {URL}"), 404, Json::Null),
        (
            "GET slot:cluster/api/v1",
            200,
            json!({ "kind": "APIResourceList", "groupVersion": "v1", "resources": [{ "name": "configmaps", "kind": "ConfigMap" }] }),
        ),
    ]);
    let strange = page.provider().read(vec![lookup(None)], &info()).remove(0);
    assert!(matches!(strange, Observation::Failed(_)), "a page that is not Kubernetes' own proves nothing: {strange:?}");
}

#[test]
fn discovery_answers_kinds_once_and_then_unchanged() {
    let resource = json!({ "resource": "configmaps", "responseKind": { "kind": "ConfigMap" }, "scope": "Namespaced", "verbs": ["get", "list", "patch"] });
    let core = json!({ "kind": "APIGroupDiscoveryList", "items": [{ "metadata": {}, "versions": [{ "version": "v1", "resources": [resource] }] }] });
    let none = json!({ "kind": "APIGroupDiscoveryList", "items": [] });
    let index = json!({ "paths": { "api/v1": { "serverRelativeURL": "/openapi/v3/api/v1?hash=A" } } });
    let schemas = json!({ "components": { "schemas": { "X": { "type": "object", "properties": { "data": { "type": "object" } },
        "x-kubernetes-group-version-kind": [{ "group": "", "version": "v1", "kind": "ConfigMap" }] } } } });
    let server = Server::start(&[
        ("GET slot:cluster/api", 200, core),
        ("GET slot:cluster/apis", 200, none),
        ("GET slot:cluster/openapi/v3", 200, index),
        ("GET slot:cluster/openapi/v3/api/v1", 200, schemas),
    ]);
    let provider = Kubernetes::configure(json!({}), None).unwrap();
    let first = provider.discover(None, &info()).unwrap();
    assert!(first.complete && !first.unchanged && server.sent().len() == 4);
    let kinds: Json = serde_json::from_str(&first.kinds).unwrap();
    assert_eq!(kinds["ConfigMap"]["schema"]["properties"]["data"]["type"], json!(["object", "null"]));
    let provider = Kubernetes::configure(json!({}), Some(kinds)).unwrap();
    let second = provider.discover(first.version, &info()).unwrap();
    assert!(second.unchanged && second.complete && server.sent().len() == 3);
    let third = provider.discover(None, &info()).unwrap();
    assert!(!third.unchanged && server.sent().len() == 3, "the schemas are those of the same hash");
}

#[test]
fn an_old_server_is_refused_by_name() {
    let server = Server::start(&[
        ("GET slot:cluster/api", 200, json!({ "kind": "APIVersions" })),
        ("GET slot:cluster/apis", 200, json!({ "kind": "APIGroupList" })),
    ]);
    let error = server.provider().discover(None, &info()).unwrap_err();
    assert!(error.fault == Fault::Unsupported && error.message.contains("1.27"), "{error}");
}

#[test]
fn scopes_are_namespaces() {
    let list = "GET slot:cluster/api/v1/namespaces";
    let page = |name: &str, next: &str| json!({ "kind": "NamespaceList", "metadata": { "continue": next }, "items": [{ "metadata": { "name": name } }] });
    let groups = json!({ "kind": "APIGroupList", "groups": [] });
    let server =
        Server::start(&[(list, 200, page("a", "c")), (list, 200, page("b", "")), ("GET slot:cluster/apis", 200, groups)]);
    let provider = server.provider();
    assert_eq!(provider.scopes("ConfigMap", &info()).unwrap(), ["a", "b"]);
    assert_eq!(provider.scopes("CustomResourceDefinition.apiextensions.k8s.io", &info()).unwrap(), [""]);
    assert!(provider.scopes("Widget.example.com", &info()).unwrap().is_empty());
}
