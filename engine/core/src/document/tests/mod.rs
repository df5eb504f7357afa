//! Whole environments through [`evaluate`]: what comes out, and what is said where.

mod evaluating;
mod hostile;
mod judged;
mod layers;
mod reading;
mod routing;
mod speed;
mod waiting;

use std::collections::HashSet;
use std::sync::Arc;

use super::*;
use crate::diagnostic::codes;
use crate::value::json;

/// A provider with kinds of its own, and one that takes any apiVersion.
fn providers() -> Vec<Provider> {
    let text = json!({"type": "string"});
    let file = json!({
        "type": "object", "required": ["spec"], "additionalProperties": false,
        "properties": {
            "spec": {
                "type": "object", "required": ["path"], "additionalProperties": false,
                "properties": {
                    "path": {"type": "string", "x-trueup-key": true},
                    "content": text, "mode": text, "note": {},
                    "source": {"type": "string", "x-trueup-blob": true},
                    "secret": {"type": "string", "x-trueup-sensitive": true},
                    "tags": {"type": "array", "items": text},
                    "rules": {"type": "array", "x-trueup-list-key": "name", "items": {
                        "type": "object", "additionalProperties": false,
                        "properties": {"name": text, "port": {"type": "integer"}, "to": text, "extra": {}}
                    }}
                }
            },
            "status": {"type": "object", "properties": {"url": text}}
        }
    });
    let any = json!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {"labels": {}, "annotations": {}}},
        "spec": {"type": "object", "properties": {"replicas": {"type": "integer"}, "other": {}}},
        "data": {"type": "object"}
    }});
    let own = json!({
        "format": 1, "name": "file", "version": "0.1.0", "config": {"type": "object"}, "hosts": [], "dirs": true, "dns": false,
        "credentials": {}, "secrets": true, "reads": [], "parallel": 4, "apiVersions": "own", "yaml": "core",
        "kinds": {"File": kind(&file)}
    });
    let kubernetes = json!({
        "format": 1, "name": "kubernetes", "version": "0.1.0", "config": {"type": "object"}, "hosts": [], "dirs": false, "dns": false,
        "credentials": {}, "secrets": true, "reads": [], "parallel": 4, "apiVersions": "any", "yaml": "kubectl",
        "kinds": {"Deployment.apps": kind(&any), "Service": kind(&any), "ConfigMap": kind(&any)}
    });
    vec![provider("site", &own, &["db"]), provider("k8s", &kubernetes, &[])]
}

fn kind(schema: &Json) -> Json {
    json!({
        "schema": schema, "schemaVersion": 1, "observe": "scan", "batch": {"items": 1, "bytes": 1000, "atomic": false},
        "recover": "key", "settleTime": 0, "replace": "create-first"
    })
}

fn provider(alias: &str, manifest: &Json, secrets: &[&str]) -> Provider {
    let manifest = Arc::new(Manifest::parse(manifest).unwrap());
    Provider { alias: alias.into(), manifest, secrets: secrets.iter().map(|it| (*it).to_owned()).collect() }
}

/// An environment of files: layer, path, text.
struct Case {
    providers: Vec<Provider>,
    default_provider: Option<Arc<str>>,
    files: Vec<(&'static str, String, Vec<u8>)>,
    vars: Json,
    known: Option<Declared>,
    only: Option<HashSet<ResourceId>>,
}

/// Resources of files that are not looked at.
struct Declared(HashSet<ResourceId>);

impl Elsewhere for Declared {
    fn declares(&self) -> &HashSet<ResourceId> {
        &self.0
    }

    fn removes(&self, _: &ResourceId) -> bool {
        false
    }
}

impl Case {
    fn new() -> Self {
        let vars = json!({"n": 1, "domain": "example.com", "list": ["a", "b"], "name": "motd"});
        Self { providers: providers(), default_provider: None, files: Vec::new(), vars, known: None, only: None }
    }

    fn file(mut self, layer: &'static str, path: &str, text: impl Into<Vec<u8>>) -> Self {
        self.files.push((layer, path.to_owned(), text.into()));
        self
    }

    fn with_input<T>(&self, act: impl FnOnce(&Input<'_>) -> T) -> T {
        let mut layers: Vec<LayerInput> = Vec::new();
        for (index, (layer, path, bytes)) in (0_u32..).zip(&self.files) {
            let file = FileInput { index, path: path.as_str().into(), bytes: bytes.as_slice().into() };
            match layers.iter_mut().find(|it| &*it.name == *layer) {
                Some(known) => known.files.push(file),
                None => layers.push(LayerInput { name: (*layer).into(), files: vec![file] }),
            }
        }
        let blobs = |path: &str| match path {
            "files/logo.png" => Ok((Digest::of(b"logo"), 4)),
            "files/film.mp4" => {
                let reason = "`files/film.mp4` is over the limit of 64 MiB".to_owned();
                Err(NoBlob::Refused { code: codes::SOURCE_LIMIT, reason })
            }
            _ => Err(NoBlob::Missing),
        };
        act(&Input {
            environment: "prod".into(),
            vars: self.vars.clone(),
            providers: &self.providers,
            default_provider: self.default_provider.clone(),
            layers,
            blobs: &blobs,
            elsewhere: self.known.as_ref().map(|it| it as _),
        })
    }

    fn run(&self) -> Evaluation {
        self.with_input(|input| evaluate(input, self.only.as_ref()))
    }

    /// The documents by their ids; every finding is a failure.
    #[track_caller]
    fn docs(&self) -> Vec<(String, Json)> {
        let done = self.run();
        assert_eq!(said(&done), Vec::<String>::new());
        done.resources.iter().map(|it| (it.id.to_string(), (*it.doc).clone())).collect()
    }

    #[track_caller]
    fn says(&self, want: &[&str]) {
        assert_eq!(said(&self.run()), want);
    }
}

/// Findings as `file:line:column+width CODE message`.
fn said(done: &Evaluation) -> Vec<String> {
    done.diagnostics.iter().map(line).collect()
}

fn line(it: &Diagnostic) -> String {
    let place = it.location.as_ref().map_or_else(String::new, |at| format!("{at}+{}", at.width));
    format!("{place} {} {}", it.code, it.message)
}

/// A `File` in one line of spec.
fn file(name: &str, spec: &str) -> String {
    format!("apiVersion: site/v1\nkind: File\nmetadata: {{name: {name}}}\nspec: {{path: {name}, {spec}}}\n")
}
