//! Zones on real servers: PowerDNS by its API, and BIND, Knot and PowerDNS over DNS itself. What a test says of the world is what
//! `dig` says.

mod beside;
mod faults;
mod files;
mod mixed;
mod powerdns;
mod real;
mod rfc2136;
mod roundtrip;
mod whole;

use serde_json::Value as Json;
use trueup_tests::servers::pdns::API_KEY;
use trueup_tests::servers::{KEY_NAME, KEY_SECRET};
use trueup_tests::{Project, Run};

const ZONE: &str = "example.test";

/// How a project speaks to its server.
enum Way {
    /// PowerDNS's API on this port.
    Api(u16),
    /// DNS on this port, signed.
    Dns(u16),
    /// DNS on this port, unsigned.
    Unsigned(u16),
}

/// The project's file; `more` are settings of the provider.
fn project_file(way: &Way, more: &str) -> String {
    let provider = match way {
        Way::Api(port) => format!(
            "config: {{flavor: powerdns, server: \"http://127.0.0.1:{port}\"{more}}}, hosts: [\"http://127.0.0.1:{port}\"], credential: server"
        ),
        Way::Dns(port) => format!(
            "config: {{flavor: rfc2136, server: \"dns://127.0.0.1:{port}\"{more}}}, dns: [\"dns://127.0.0.1:{port}\"], credential: server"
        ),
        Way::Unsigned(port) => format!(
            "config: {{flavor: rfc2136, server: \"dns://127.0.0.1:{port}\", tsig: false{more}}}, dns: [\"dns://127.0.0.1:{port}\"]"
        ),
    };
    format!(
        "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {{name: shop, id: 4f0c9a000000000000000000000000aa}}\nproviders:\n  dns: {{plugin: dns, {provider}}}\nenvironments:\n  prod: {{layers: [base]}}\n"
    )
}

/// A project on a server, with the operator's credential for it.
fn project(way: &Way) -> Project {
    project_with(way, "")
}

fn project_with(way: &Way, more: &str) -> Project {
    let project = Project::with(&project_file(way, more));
    project.configure("key", API_KEY);
    project.configure("tsig", KEY_SECRET);
    let credential = match way {
        Way::Api(port) => format!("origins: [\"http://127.0.0.1:{port}\"], header: {{X-API-Key: {{file: key}}}}"),
        Way::Dns(port) | Way::Unsigned(port) => format!(
            "origins: [\"dns://127.0.0.1:{port}\"], tsig: {{name: {KEY_NAME}, algorithm: hmac-sha256, secret: {{file: tsig}}}}"
        ),
    };
    project.configure("credentials.yaml", format!("credentials:\n  server: {{{credential}}}\n"));
    project.write("base/.keep", "");
    project
}

/// A `RecordSet` document in `example.test`.
fn record(name: &str, rtype: &str, ttl: u32, values: &[&str]) -> String {
    let spec = serde_json::json!({ "zone": ZONE, "name": name, "type": rtype, "ttl": ttl, "values": values });
    let resource = format!("{}-{}", name.replace(['*', '@', '.'], "x"), rtype.to_lowercase());
    format!(
        "{}\n",
        serde_json::json!({ "apiVersion": "dns/v1", "kind": "RecordSet", "metadata": { "name": resource }, "spec": spec })
    )
}

/// Writes one document into the layer and commits.
fn declare(project: &Project, file: &str, text: &str) {
    project.write(&format!("base/{file}.json"), text).commit(file);
}

#[track_caller]
fn apply(project: &Project) -> Run {
    project.run(&["apply", "--yes", "--trust"])
}

/// As [`apply`], with the operator's word that this many objects may go.
#[track_caller]
fn apply_deleting(project: &Project, count: usize) -> Run {
    project.run(&["apply", "--yes", "--trust", "--allow-deletes", &count.to_string()])
}

#[track_caller]
fn plan(project: &Project) -> Json {
    project.run(&["plan", "--trust", "-o", "json"]).json()
}

/// Nothing is left to do, and nothing is refused.
#[track_caller]
fn settled(project: &Project) {
    let run = project.run(&["plan", "--trust", "--detailed-exitcode"]);
    assert_eq!(run.code, Some(0), "{run}");
}

/// No step of this plan deletes or replaces anything.
#[track_caller]
fn deletes_nothing(plan: &Json) {
    let steps = plan["steps"].as_array().cloned().unwrap_or_default();
    let actions = steps.iter().map(|it| it["action"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    assert!(actions.iter().all(|it| it != "delete" && it != "replace"), "{plan:#}");
}
