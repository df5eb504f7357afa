//! Our protocols against those of botocore and moto: the cases of `tests/data/protocol`, which `make.py` there makes.

use std::fs;
use std::path::PathBuf;

use crate::model::{self, Operation, Service};
use crate::protocol::{self, Wire};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

pub fn cases(name: &str) -> Json {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/protocol").join(format!("{name}.json"));
    serde_json::from_str(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

pub fn operation(service: &'static Service, case: &Json) -> &'static Operation {
    service.operation(case["operation"].as_str().unwrap()).unwrap()
}

fn headers(case: &Json) -> Vec<(String, String)> {
    case["headers"].as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// Pairs of a form or a query, as a reader of them sees them, sorted.
fn pairs(text: &str) -> Json {
    let unescape = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            if *first == b'%' {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
                rest = &tail[2..];
            } else {
                assert!(first.is_ascii_alphanumeric() || b"-._~".contains(first), "{text} is not escaped");
                bytes.push(*first);
                rest = tail;
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    let parts = text.split('&').filter(|it| !it.is_empty());
    let mut out: Vec<_> =
        parts.map(|it| it.split_once('=').unwrap_or((it, ""))).map(|(k, v)| (unescape(k), unescape(v))).collect();
    out.sort();
    json!(out)
}

/// What we made, in the form of the case. What we add on purpose and botocore adds elsewhere (or not at all) is left out.
fn made(wire: &Wire, want: &Json) -> Json {
    let wanted = want["headers"].as_object().unwrap();
    let kept = |name: &str| {
        wanted.contains_key(name)
            || !(name == "content-type" || name.starts_with("x-amz-checksum-") || name == "x-amz-sdk-checksum-algorithm")
    };
    let headers = wire.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), json!(value)));
    let headers: Map<_, _> = headers.filter(|(name, _)| kept(name)).collect();
    let mut out = json!({ "method": wire.method, "path": wire.path, "query": pairs(&wire.query), "headers": headers });
    let text = || std::str::from_utf8(&wire.body).unwrap();
    let (form, value) = if want.get("form").is_some() {
        ("form", pairs(text()))
    } else if want.get("json").is_some() {
        ("json", serde_json::from_slice(&wire.body).unwrap_or(Json::Null))
    } else if want.get("xml").is_some() {
        ("xml", json!(text().strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").unwrap()))
    } else {
        ("raw", json!(STANDARD.encode(&wire.body)))
    };
    out[form] = value;
    out
}

#[test]
fn every_request_is_as_botocore_makes_it() {
    let mut count = 0;
    for name in model::services() {
        let service = model::service(name).unwrap();
        for case in cases(name)["requests"].as_array().unwrap() {
            let operation = operation(service, case);
            let wire = protocol::request(service, operation, &case["input"]);
            let wire = wire.unwrap_or_else(|error| panic!("{name} {}: {error}\n{}", operation.name, case["input"]));
            let got = made(&wire, &case["want"]);
            assert_eq!(got, case["want"], "{name} {}\n{}", operation.name, case["input"]);
            count += 1;
        }
    }
    assert!(count > 500, "{count} cases");
}

#[test]
fn every_answer_is_read_as_botocore_reads_it() {
    let mut count = 0;
    for name in model::services() {
        let service = model::service(name).unwrap();
        for case in cases(name)["responses"].as_array().unwrap() {
            let operation = operation(service, case);
            let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
            let body = case["body"].as_str().unwrap();
            let got = protocol::response(service, operation, status, &headers(case), body.as_bytes());
            let got = got.unwrap_or_else(|error| panic!("{name} {}: {error}\n{body}", operation.name));
            assert_eq!(got, case["want"], "{name} {}\n{body}", operation.name);
            count += 1;
        }
    }
    assert!(count > 300, "{count} cases");
}

#[test]
fn every_error_is_read_as_botocore_reads_it() {
    for case in cases("errors").as_array().unwrap() {
        let service = model::service(case["service"].as_str().unwrap()).unwrap();
        let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
        let body = case["body"].as_str().unwrap().as_bytes();
        let refusal = protocol::response(service, operation(service, case), status, &headers(case), body).unwrap_err();
        let got = json!({ "code": refusal.code, "message": refusal.message, "request_id": refusal.request_id });
        assert_eq!(got, case["want"], "{case}");
    }
}
