//! Cases of the comparison; the paths in the hints are those of the table in `hints`.

use super::*;
use crate::manifest::ListKey;
use crate::value::{Digest, blob, json, secret, unknown};

fn hints() -> Hints {
    let path = |text: &str| Path::parse(text).unwrap();
    Hints {
        computed: vec![path("computed"), path("nested.computed"), path("plain.id"), path("keyed.id"), path("users.id")],
        list_keys: vec![
            (path("keyed"), ListKey::new(&["name"])),
            (path("items"), ListKey::new(&["name"])),
            (path("items.ports"), ListKey::new(&["port"])),
            (path("service"), ListKey::new(&["port", "protocol"])),
        ],
        unordered: vec![path("set"), path("users")],
        caseless: vec![path("host"), path("hosts"), path("plain.host"), path("keyed.name"), path("users.name")],
        write_only: vec![path("password"), path("plain.password"), path("keyed.password"), path("users.password")],
        ..Hints::default()
    }
}

fn told(changes: &[Change]) -> Vec<String> {
    let text = |it: &Option<Json>| it.as_ref().map_or("-".to_owned(), Json::to_string);
    changes.iter().map(|it| format!("{}: {} -> {} {}", it.path, text(&it.before), text(&it.after), it.origin.name())).collect()
}

#[track_caller]
fn check(desired: Json, applied: Json, observed: Json, want: &[&str]) {
    let got = told(&compare(&desired, Some(&applied), &observed, &hints(), &[]));
    assert_eq!(got, want, "desired {desired}\napplied {applied}\nobserved {observed}");
}

/// Nothing was applied before: only what is declared counts.
#[track_caller]
fn equal(desired: Json, observed: Json) {
    let got = compare(&desired, None, &observed, &hints(), &[]);
    assert_eq!(told(&got), [""; 0], "desired {desired}\nobserved {observed}");
}

#[track_caller]
fn differs(desired: Json, observed: Json, want: &str) {
    let got = compare(&desired, None, &observed, &hints(), &[]);
    assert_eq!(told(&got), [format!("{want} git")], "desired {desired}\nobserved {observed}");
}

#[test]
fn fields_of_the_server_are_never_a_change() {
    equal(json!({"a": 1}), json!({"a": 1, "b": 2, "c": {"d": 3}}));
    equal(json!({"a": {"b": 1}}), json!({"a": {"b": 1, "c": 2}}));
    equal(json!({"a": [{"b": 1}]}), json!({"a": [{"b": 1, "c": 2}]}));
    check(json!({}), json!({}), json!({"b": 2}), &[]);
    equal(json!({"computed": 1, "nested": {"computed": 2}}), json!({"computed": 5}));
}

#[test]
fn what_was_applied_and_is_declared_no_more_goes_with_all_below_it() {
    check(json!({}), json!({"a": 1}), json!({"a": 1}), &["a: 1 -> - git"]);
    check(json!({}), json!({"a": 1}), json!({"a": 2}), &["a: 2 -> - both"]);
    check(json!({}), json!({"a": 1}), json!({}), &[]);
    check(
        json!({}),
        json!({"probe": {"path": "/"}}),
        json!({"probe": {"path": "/", "period": 10}}),
        &["probe: {\"path\":\"/\",\"period\":10} -> - git"],
    );
    check(json!({}), json!({"a": {}, "b": [], "c": null}), json!({"a": {"x": 1}, "b": [1], "c": 1}), &[]);
}

#[test]
fn origins_are_told_for_each_path() {
    check(json!({"a": 2}), json!({"a": 1}), json!({"a": 1}), &["a: 1 -> 2 git"]);
    check(json!({"a": 1}), json!({"a": 1}), json!({"a": 2}), &["a: 2 -> 1 drift"]);
    check(json!({"a": 3}), json!({"a": 1}), json!({"a": 2}), &["a: 2 -> 3 both"]);
    check(json!({"a": 3}), json!({"a": 1}), json!({"a": 3}), &[]);
    check(json!({"a": 3}), json!({}), json!({}), &["a: - -> 3 git"]);
    check(json!({"a": 3}), json!({"a": 3}), json!({}), &["a: - -> 3 drift"]);
    check(json!({"a": 3}), json!({"a": 1}), json!({}), &["a: - -> 3 both"]);
}

#[test]
fn what_is_empty_or_null_and_not_there_is_no_change() {
    for empty in [json!([]), json!({}), json!(null), json!({"x": {"y": []}})] {
        equal(json!({ "a": empty.clone() }), json!({}));
        equal(json!({ "a": empty }), json!({"a": null}));
    }
    equal(json!({"created": null}), json!({"created": "2026"}));
    differs(json!({"a": ""}), json!({}), "a: - -> \"\"");
    differs(json!({"a": []}), json!({"a": [1]}), "a: [1] -> []");
    differs(json!({"a": {"b": 1}}), json!({}), "a: - -> {\"b\":1}");
    equal(json!({"nested": {"computed": 1}}), json!({}));
}

#[test]
fn numbers_are_equal_by_value() {
    equal(json!({"a": 1}), json!({"a": 1.0}));
    equal(json!({"a": u64::MAX}), json!({"a": u64::MAX}));
    differs(
        json!({"a": 9_007_199_254_740_993_i64}),
        json!({"a": 9_007_199_254_740_992_i64}),
        "a: 9007199254740992 -> 9007199254740993",
    );
    differs(json!({"a": 1}), json!({"a": "1"}), "a: \"1\" -> 1");
    differs(json!({"a": 1}), json!({"a": true}), "a: true -> 1");
}

#[test]
fn texts_without_case_are_equal_in_any_case() {
    equal(json!({"host": "A.Example", "hosts": ["B"]}), json!({"host": "a.example", "hosts": ["b"]}));
    differs(json!({"name": "A"}), json!({"name": "a"}), "name: \"a\" -> \"A\"");
}

#[test]
fn secrets_are_equal_by_hmac_alone() {
    equal(json!({"a": secret("db", "01")}), json!({"a": secret("", "01")}));
    let want = format!("a: {} -> {}", secret("", "02"), secret("db", "01"));
    differs(json!({"a": secret("db", "01")}), json!({"a": secret("", "02")}), &want);
    // An HMAC that was never computed is equal to nothing.
    assert_eq!(compare(&json!({"a": secret("db", "")}), None, &json!({"a": secret("db", "")}), &hints(), &[]).len(), 1);
    assert_eq!(compare(&json!({"a": secret("db", "01")}), None, &json!({"a": "plain"}), &hints(), &[]).len(), 1);
}

#[test]
fn a_text_and_a_file_of_the_revision_are_equal_by_digest_and_size() {
    let file = blob(&Digest::of(b"hello"), 5);
    equal(json!({"a": "hello"}), json!({"a": file.clone()}));
    equal(json!({"a": file.clone()}), json!({"a": "hello"}));
    equal(json!({"a": file.clone()}), json!({"a": file.clone()}));
    for other in [json!("hallo"), blob(&Digest::of(b"hello"), 6), json!(5), json!(["hello"])] {
        assert_eq!(compare(&json!({"a": file.clone()}), None, &json!({ "a": other.clone() }), &hints(), &[]).len(), 1, "{other}");
    }
}

#[test]
fn an_unknown_is_always_a_change() {
    let open = unknown("K/a");
    differs(json!({"a": open.clone()}), json!({"a": 1}), "a: 1 -> {\"$unknown\":\"K/a\"}");
    differs(json!({"a": open.clone()}), json!({}), "a: - -> {\"$unknown\":\"K/a\"}");
    differs(json!({"a": [open]}), json!({"a": [1]}), "a: [1] -> [{\"$unknown\":\"K/a\"}]");
}

#[test]
fn items_with_a_merge_key_are_compared_one_by_one() {
    let observed = json!({"items": [{"name": "x", "v": 1, "server": 1}, {"name": "injected"}, {"name": "y", "v": 1}]});
    equal(json!({"items": [{"name": "y", "v": 1}, {"name": "x", "v": 1}]}), observed.clone());
    check(
        json!({"items": [{"name": "x", "v": 2}, {"name": "z"}]}),
        json!({"items": [{"name": "x", "v": 1}, {"name": "y", "v": 1}, {"name": "w"}]}),
        observed,
        &[
            "items[name=x].v: 1 -> 2 git",
            "items[name=z]: - -> {\"name\":\"z\"} git",
            "items[name=y]: {\"name\":\"y\",\"v\":1} -> - git",
        ],
    );
    // Keys of lists within lists, and keys that are numbers.
    check(
        json!({"items": [{"name": "x", "ports": [{"port": 80, "to": 2}]}]}),
        json!({"items": [{"name": "x", "ports": [{"port": 80, "to": 1}]}]}),
        json!({"items": [{"name": "x", "ports": [{"port": 443}, {"port": 80, "to": 3}]}]}),
        &["items[name=x].ports[port=80].to: 3 -> 2 both"],
    );
}

#[test]
fn items_whose_merge_key_is_shared_or_missing_go_by_position() {
    equal(json!({"items": [{"v": 1}, {"v": 2}]}), json!({"items": [{"v": 1, "s": 1}, {"v": 2}]}));
    differs(
        json!({"items": [{"name": "a", "v": 1}, {"name": "a", "v": 2}]}),
        json!({"items": [{"name": "a", "v": 1}, {"name": "a", "v": 3}]}),
        "items[1].v: 3 -> 2",
    );
}

#[test]
fn sets_have_no_order_and_are_declared_as_a_whole() {
    equal(json!({"set": [1, 2, 2]}), json!({"set": [2, 1, 2.0]}));
    equal(json!({"set": [{"a": 1}, {"a": 2}]}), json!({"set": [{"a": 2, "server": 1}, {"a": 1}]}));
    differs(json!({"set": [1, 2, 2]}), json!({"set": [1, 1, 2]}), "set: [1,1,2] -> [1,2,2]");
    differs(json!({"set": [1]}), json!({"set": [1, 2]}), "set: [1,2] -> [1]");
    let (long, other): (Vec<_>, Vec<_>) = ((0..5_000).map(|it| it * 2).collect(), (0..5_000).map(|it| it * 2 + 1).collect());
    assert_eq!(compare(&json!({"set": long}), None, &json!({"set": other}), &hints(), &[]).len(), 1);
}

#[test]
fn other_lists_are_compared_by_position_or_replaced() {
    differs(json!({"a": [1, 2]}), json!({"a": [2, 1]}), "a: [2,1] -> [1,2]");
    differs(json!({"a": [{"x": 1}, {"x": 2}]}), json!({"a": [{"x": 1}, {"x": 3, "s": 1}]}), "a[1].x: 3 -> 2");
    differs(json!({"a": [{"x": 1}]}), json!({"a": []}), "a: [] -> [{\"x\":1}]");
    check(json!({"a": [1]}), json!({"a": [1]}), json!({"a": [1, 2]}), &["a: [1,2] -> [1] drift"]);
}

#[test]
fn what_is_never_read_back_is_compared_with_what_was_sent() {
    check(json!({"password": "a"}), json!({"password": "a"}), json!({}), &[]);
    check(json!({"password": "b"}), json!({"password": "a"}), json!({}), &["password: \"a\" -> \"b\" git"]);
    check(json!({}), json!({"password": "a"}), json!({}), &["password: \"a\" -> - git"]);
    differs(json!({"password": "a"}), json!({}), "password: - -> \"a\"");
}

#[test]
fn what_is_said_of_a_field_of_items_holds_whatever_way_the_list_is_compared() {
    // By position, by merge key, as a set.
    for list in ["plain", "keyed", "users"] {
        let doc = |items: Json| json!({ list: items });
        let name = if list == "plain" { "host" } else { "name" };
        equal(doc(json!([{name: "Web", "v": 1}])), doc(json!([{name: "web", "v": 1, "id": 7}])));
        equal(doc(json!([{name: "web", "v": 1, "id": 5}])), doc(json!([{name: "WEB", "v": 1, "id": 7}])));
        let item = |name_: &str, v: i32| json!({name: name_, "v": v});
        let secret = |name_: &str, password: &str| json!({name: name_, "v": 1, "password": password});
        let two = |one: Json, other: Json| doc(json!([one, other]));
        // What is never read back is compared with what was sent.
        let seen = two(item("a", 1), item("b", 1));
        check(two(secret("a", "x"), secret("b", "y")), two(secret("a", "x"), secret("b", "y")), seen.clone(), &[]);
        let found = |desired: &Json, applied: Option<&Json>| compare(desired, applied, &seen, &hints(), &[]);
        let changed = two(secret("a", "x"), secret("b", "z"));
        let got = found(&changed, Some(&two(secret("a", "x"), secret("b", "y"))));
        assert_eq!(got.iter().map(|it| it.origin).collect::<Vec<_>>(), [Origin::Git], "{list}: {:?}", told(&got));
        assert!(!found(&changed, None).is_empty(), "{list}: never sent");
        assert!(found(&two(item("a", 1), item("b", 1)), None).is_empty(), "{list}: nothing to send");
    }
    equal(json!({"users": [{"name": "A"}, {"name": "b"}]}), json!({"users": [{"name": "B", "id": 1}, {"name": "a", "id": 2}]}));
    differs(
        json!({"keyed": [{"name": "Web", "v": 2}]}),
        json!({"keyed": [{"name": "web", "v": 1}]}),
        "keyed[name=Web].v: 1 -> 2",
    );
}

#[test]
fn items_whose_merge_keys_differ_in_case_alone_are_one_item() {
    let item = |name: &str| json!({"keyed": [{"name": name, "v": 1}]});
    check(item("web"), item("WEB"), item("Web"), &[]);
    // Two of them are no items by key any more.
    let twice = json!({"keyed": [{"name": "web"}, {"name": "WEB"}]});
    differs(twice, json!({"keyed": [{"name": "web"}]}), "keyed: [{\"name\":\"web\"}] -> [{\"name\":\"web\"},{\"name\":\"WEB\"}]");
}

#[track_caller]
fn ignoring(path: &str, desired: Json, observed: Json, want_changes: usize, want_sent: Json) {
    let ignore = [Path::parse(path).unwrap()];
    let got = compare(&desired, None, &observed, &hints(), &ignore);
    assert_eq!(got.len(), want_changes, "{path}: {:?}", told(&got));
    assert_eq!(*keep_ignored(&Arc::new(desired), &observed, &ignore), want_sent, "{path}");
}

#[test]
fn ignored_paths_are_no_change_and_are_sent_as_they_are() {
    ignoring("a", json!({"a": 1, "b": 1}), json!({"a": 2, "b": 2}), 1, json!({"a": 2, "b": 1}));
    ignoring("a", json!({"a": {"x": 1}}), json!({"a": {"x": 2, "y": 1}}), 0, json!({"a": {"x": 2, "y": 1}}));
    ignoring("a.x", json!({"a": {"x": 1}, "b": 1}), json!({"b": 1}), 0, json!({"a": {}, "b": 1}));
    ignoring("a.x", json!({"b": 1}), json!({"a": {"x": 1}, "b": 1}), 0, json!({"a": {"x": 1}, "b": 1}));
    let items = |v: i32| json!({"items": [{"name": "n", "v": v}]});
    ignoring("items[name=n].v", items(1), items(2), 0, items(2));
    ignoring("items[0].v", items(1), items(2), 0, items(2));
    let plain = |v: i32| json!({"l": [{"name": "m"}, {"name": "n", "v": v}]});
    ignoring("l[name=n].v", plain(1), plain(2), 0, plain(2));
    ignoring("l[name=m].v", plain(1), plain(2), 1, plain(1));
}

#[test]
fn a_change_touches_a_hint_at_below_and_above_it() {
    let change = |path: &str, before: Json, after: Json| Change {
        path: Path::parse(path).unwrap(),
        before: Some(before),
        after: Some(after),
        origin: Origin::Git,
    };
    let hint = Path::parse("a.b").unwrap();
    assert!(touches(&change("a.b", json!(1), json!(2)), &hint));
    assert!(touches(&change("a.b.c", json!(1), json!(2)), &hint));
    assert!(touches(&change("a", json!({"b": 1}), json!({"b": 2})), &hint));
    assert!(!touches(&change("a", json!({"b": 1, "c": 1}), json!({"b": 1, "c": 2})), &hint));
    assert!(!touches(&change("a.c", json!(1), json!(2)), &hint));
    let items = Path::parse("l.x").unwrap();
    assert!(touches(&change("l[0].x", json!(1), json!(2)), &items));
    assert!(touches(&change("l", json!([{"x": 1}]), json!([{"x": 2}])), &items));
    assert!(!touches(&change("l", json!([{"x": 1}]), json!([{"x": 1, "y": 2}])), &items));
    assert!(touches(&change("m.any.x", json!(1), json!(2)), &Path::parse("m.*.x").unwrap()));
}

#[test]
fn items_that_several_fields_tell_apart_are_matched_by_all_of_them() {
    let of = |port: u16, protocol: &str, to: u16| json!({"port": port, "protocol": protocol, "to": to});
    let both = json!({"service": [of(53, "UDP", 1), of(53, "TCP", 2)]});
    equal(both.clone(), json!({"service": [of(53, "TCP", 2), of(80, "TCP", 3), of(53, "UDP", 1)]}));
    differs(both.clone(), json!({"service": [of(53, "TCP", 2), of(53, "UDP", 9)]}), "service[port=53,protocol=UDP].to: 9 -> 1");
    let one = json!({"service": [of(53, "TCP", 2)]});
    let gone = r#"service[port=53,protocol=UDP]: {"port":53,"protocol":"UDP","to":1} -> - git"#;
    check(one.clone(), both.clone(), both.clone(), &[gone]);
    // Ignored by one of the fields, where people do not name the other.
    for ignored in ["service[port=53].to", "service[port=53,protocol=UDP].to", "service[0].to"] {
        let ignore = [Path::parse(ignored).unwrap()];
        let found = json!({"service": [of(53, "UDP", 9), of(53, "TCP", 2)]});
        assert_eq!(told(&compare(&both, None, &found, &hints(), &ignore)), [""; 0], "{ignored}");
    }
}
