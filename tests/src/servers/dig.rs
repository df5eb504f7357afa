//! What a server answers, as `dig` tells it.

use std::process::Command;

/// The records of one name and type that a server on `port` answers for, each as `ttl type value`, in order.
///
/// # Panics
/// Where `dig` is missing or gets no answer.
pub fn dig(port: u16, name: &str, rtype: &str) -> Vec<String> {
    section(port, name, rtype, "+answer")
}

/// The NS records of a delegation, which stand beside the answer; each as [`dig`] has it.
pub fn delegation(port: u16, name: &str) -> Vec<String> {
    section(port, name, "NS", "+authority")
}

fn section(port: u16, name: &str, rtype: &str, section: &str) -> Vec<String> {
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port.to_string(), name, rtype])
        .args(["+noall", section, "+tcp", "+norecurse", "+time=5", "+tries=2"])
        .output()
        .expect("dig runs: tests/run installs bind9-dnsutils");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "dig {name} {rtype}: {text}{}", String::from_utf8_lossy(&output.stderr));
    let mut lines = text.lines().filter(|it| !it.starts_with(';') && !it.trim().is_empty()).map(record).collect::<Vec<_>>();
    lines.sort();
    lines
}

/// `name ttl class type value…` without name and class.
fn record(line: &str) -> String {
    let mut words = line.split_whitespace();
    let (_, ttl, _) = (words.next(), words.next().unwrap_or_default(), words.next());
    let rest = words.collect::<Vec<_>>().join(" ");
    format!("{ttl} {rest}")
}
