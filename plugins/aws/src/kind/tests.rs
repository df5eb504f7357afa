use super::*;
use crate::field::{self, input, shape_at, typed};
use crate::model::{self, Service};

#[test]
fn names_of_documents_are_those_of_the_api_in_small_letters() {
    for (name, want) in [
        ("CidrBlock", "cidrBlock"),
        ("KMSKeyId", "kmsKeyId"),
        ("DNSName", "dnsName"),
        ("Id", "id"),
        ("SSE", "sse"),
        ("name", "name"),
        ("S3Bucket", "s3Bucket"),
    ] {
        assert_eq!(small(name), want);
    }
    assert_eq!(capital("cidrBlock"), "CidrBlock");
}

/// Every call that a kind makes, with its constant input and the places that are put into it.
fn calls(kind: &Kind) -> Vec<(String, Json, Vec<String>)> {
    let mut out = Vec::new();
    let mut add = |call: &str, input: &Json, places: Vec<String>| out.push((call.to_owned(), input.clone(), places));
    kind.list.iter().chain(&kind.many).for_each(|it| add(&it.call, &it.input, Vec::new()));
    kind.one.iter().for_each(|it| add(&it.call, &it.input, Vec::new()));
    add(&kind.create.call, &kind.create.input, kind.name.iter().map(|it| it.at.clone()).filter(|it| !it.is_empty()).collect());
    kind.delete.iter().for_each(|it| add(&it.call, &it.input, Vec::new()));
    let tags = kind.tags.iter().flat_map(|it| [&it.add, &it.remove]);
    let items = kind.update.iter().flat_map(|it| [&it.add, &it.remove, &it.change]).flatten();
    for it in tags.chain(items) {
        add(&it.call, &it.input, Some(it.at.clone()).filter(|it| !it.is_empty()).into_iter().collect());
    }
    for update in &kind.update {
        update.call.iter().for_each(|it| add(it, &update.input, Vec::new()));
        update.unset.iter().for_each(|it| add(&it.call, &it.input, Vec::new()));
    }
    out
}

/// Every place of a template that holds something.
fn places(template: &Json, at: &str, out: &mut Vec<String>) {
    match template {
        Json::Object(fields) => {
            for (name, it) in fields {
                let place = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                out.push(place.clone());
                places(it, &place, out);
            }
        }
        Json::Array(items) => items.iter().for_each(|it| places(it, at, out)),
        _ => {}
    }
}

fn check_call(kind: &Kind, service: &'static Service, call: &str, template: &Json, extra: &[String], wrong: &mut Vec<String>) {
    let Some(operation) = service.operation(call) else {
        wrong.push(format!("{}: `{}` has no operation `{call}`; add it to models/operations.txt", kind.kind, kind.service));
        return;
    };
    let shape = service.input(operation);
    let mut all = extra.to_vec();
    places(template, "", &mut all);
    for place in all {
        if shape.and_then(|it| shape_at(service, it, &place)).is_none() {
            wrong.push(format!("{}: the input of {call} has no `{place}`", kind.kind));
        }
    }
}

#[test]
fn every_call_of_every_kind_is_one_of_its_service_and_its_inputs_are_too() {
    let mut wrong = Vec::new();
    for kind in all().unwrap().values() {
        let Some(service) = model::service(&kind.service) else {
            wrong.push(format!("{}: there is no service `{}`", kind.kind, kind.service));
            continue;
        };
        for (call, template, extra) in calls(kind) {
            check_call(kind, service, &call, &template, &extra, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_field_stands_somewhere_in_the_input_that_sets_it() {
    let mut wrong = Vec::new();
    for kind in all().unwrap().values() {
        for (name, field) in &kind.fields {
            let typed = typed(kind, name, field).unwrap();
            // A value of a map has no shape of its own: the map has.
            let place = field.place(name);
            let parent = place.rsplit_once(['.', ']']).map_or("", |(front, _)| front).split('[').next().unwrap_or_default();
            let call = &kind.create.call;
            let above = || input(field::service(kind).unwrap(), call).and_then(|it| shape_at(typed.service, it, parent));
            if field.digest_of.is_empty()
                && typed.shape.is_none()
                && above().is_none()
                && field.fields.is_none()
                && field.scalar.is_none()
            {
                wrong.push(format!("{}: `{name}` stands nowhere in the input of {call} ({place})", kind.kind));
            }
        }
        for update in &kind.update {
            for name in update.fields.keys().filter(|it| !kind.fields.contains_key(*it)) {
                wrong.push(format!("{}: `{name}` is set by a call and is no field", kind.kind));
            }
        }
        let setters = kind.update.iter().filter(|it| it.fields.is_empty() && it.call.is_some()).count();
        if setters > 1 {
            wrong.push(format!("{}: several calls set all other fields", kind.kind));
        }
        for (name, field) in &kind.fields {
            if !field.immutable && !field.initial && kind.setter(name).is_none() {
                wrong.push(format!("{}: no call sets `{name}` once the object is there; it is immutable or initial", kind.kind));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_kind_takes_less_than_sixty_lines() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("kinds");
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let lines = text.lines().count();
        assert!(lines < 60, "{}: {lines} lines", entry.path().display());
    }
}
