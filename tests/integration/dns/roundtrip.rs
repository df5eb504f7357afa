//! Generated zones with every type in hostile spellings: what is applied is what `dig` shows, and never a change again; what is
//! adopted is what was applied.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use serde_json::json;
use trueup_tests::Project;
use trueup_tests::servers::bind::{Allow, Bind, nsupdate};
use trueup_tests::servers::dig::{delegation, dig};
use trueup_tests::servers::knot::Knot;
use trueup_tests::servers::pdns::Pdns;

use super::{Way, apply, project, settled};

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// The text with letters in any case.
    fn any_case(&mut self, text: &str) -> String {
        text.chars().map(|it| if self.roll(2) == 0 { it.to_ascii_uppercase() } else { it }).collect()
    }

    /// A number, perhaps with zeros in front.
    fn number(&mut self, value: u64) -> String {
        if self.roll(3) == 0 { format!("00{value}") } else { value.to_string() }
    }

    fn blank(&mut self) -> &'static str {
        [" ", "\t", "   "][self.roll(3) as usize]
    }

    fn ttl(&mut self, seconds: u64) -> String {
        match self.roll(3) {
            0 => seconds.to_string(),
            1 => format!("{}h{}M", seconds / 3600, seconds % 3600 / 60),
            _ => format!("{}m", seconds / 60),
        }
    }

    /// Hex digits in any case, in one or two words.
    fn hex(&mut self, bytes: usize) -> (String, String) {
        let digits = (0..bytes * 2).map(|_| char::from(b"0123456789ABCDEF"[self.roll(16) as usize])).collect::<String>();
        let mut spelled = self.any_case(&digits.to_lowercase());
        if self.roll(2) == 0 {
            spelled.insert(bytes, ' ');
        }
        (spelled, digits)
    }

    /// One string of bytes, as people may write it and as `dig` does.
    fn string(&mut self) -> (String, String) {
        let (mut spelled, mut shown) = ("\"".to_owned(), "\"".to_owned());
        for _ in 0..1 + self.roll(40) {
            let byte = self.roll(256) as u8;
            let literal = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
            match byte {
                b'"' | b'\\' => write!(shown, "\\{}", char::from(byte)).unwrap(),
                _ if literal => shown.push(char::from(byte)),
                _ => write!(shown, "\\{byte:03}").unwrap(),
            }
            match self.roll(3) {
                0 if literal => spelled.push(char::from(byte)),
                1 if byte.is_ascii_graphic() && !byte.is_ascii_digit() => write!(spelled, "\\{}", char::from(byte)).unwrap(),
                _ => write!(spelled, "\\{byte:03}").unwrap(),
            }
        }
        (spelled + "\"", shown + "\"")
    }
}

/// One set: owner within the zone in lower case, type, TTL, and its values as they are written and as `dig` shows them.
struct Set {
    owner: String,
    /// The owner as people may write it.
    spelled: String,
    rtype: &'static str,
    ttl: u64,
    values: Vec<(String, String)>,
}

const TYPES: [&str; 30] = [
    "A",
    "AAAA",
    "CAA",
    "CNAME",
    "DNAME",
    "DS",
    "HTTPS",
    "LOC",
    "MX",
    "NAPTR",
    "NS",
    "PTR",
    "SRV",
    "SSHFP",
    "SVCB",
    "TLSA",
    "TXT",
    "URI",
    "TXT",
    "A",
    "AAAA",
    "AFSDB",
    "HINFO",
    "KX",
    "OPENPGPKEY",
    "RP",
    "SMIMEA",
    "SPF",
    "TYPE65280",
    "ALIAS",
];

/// Owners that few servers take, as `dig` shows them and as people may write them.
const OWNERS: [(&str, &str); 5] =
    [(r"a\.b", r"\A\.b"), (r"x\032y", r"x\ y"), (r"\@", r"\064"), (r"\200\000", r"\200\000"), (r"par\(en", r"par\040en")];

fn value(dice: &mut Dice, rtype: &str, zone: &str) -> (String, String) {
    let blank = dice.blank();
    let n = dice.roll(1000);
    let host = format!("host{n}.example.net.");
    let far = dice.any_case(&host);
    // Within the zone: relative, or absolute with its final dot.
    let (near, inner) = (format!("in{n}"), format!("in{n}.{zone}."));
    let near = if dice.roll(2) == 0 { dice.any_case(&near) } else { dice.any_case(&inner) };
    let (port, weight) = (dice.roll(65536), dice.roll(100));
    match rtype {
        "A" => {
            let octets = [10, dice.roll(256), dice.roll(256), dice.roll(256)];
            let plain = octets.map(|it| it.to_string()).join(".");
            let hex = octets.map(|it| format!("{it:02x}")).concat();
            (if dice.roll(3) == 0 { format!("\\# 4{blank}{hex}") } else { plain.clone() }, plain)
        }
        "AAAA" => {
            let mut groups = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0].map(|it: u16| it);
            for group in &mut groups[3..] {
                *group = if dice.roll(2) == 0 { 0 } else { dice.roll(65536) as u16 };
            }
            if dice.roll(4) == 0 {
                // An IPv4 address in the clothes of IPv6.
                groups = [0, 0, 0, 0, 0, 0xffff, 0xc000, groups[7]];
            }
            let full = groups.map(|it| format!("{it:04X}")).join(":");
            (full, Ipv6Addr::from(groups).to_string())
        }
        "CAA" => (format!("0{blank}issue{blank}\"ca{n}.example.net\""), format!("0 issue \"ca{n}.example.net\"")),
        "CNAME" | "DNAME" | "NS" | "ALIAS" => (far, host),
        "AFSDB" | "KX" => (format!("{}{blank}{far}", dice.number(weight)), format!("{weight} {host}")),
        "HINFO" => {
            let ((cpu, cpu_shown), (os, os_shown)) = (dice.string(), dice.string());
            (format!("{cpu}{blank}{os}"), format!("{cpu_shown} {os_shown}"))
        }
        "OPENPGPKEY" => (format!("mQ{blank}CN{n:04}"), format!("mQCN{n:04}")),
        "RP" => (format!("{near}{blank}{far}"), format!("{inner} {host}")),
        "TYPE65280" => (format!("\\#{blank}004 {n:04}{blank}0aFF"), format!("\\# 4 {n:04}0AFF")),
        "PTR" => (near, inner),
        "DS" => {
            let (spelled, digest) = dice.hex(32);
            (format!("{}{blank}13 02 {spelled}", dice.number(port)), format!("{port} 13 2 {} {}", &digest[..56], &digest[56..]))
        }
        "SSHFP" => {
            let (spelled, digest) = dice.hex(20);
            (format!("4 01{blank}{spelled}"), format!("4 1 {digest}"))
        }
        "TLSA" | "SMIMEA" => {
            let (spelled, digest) = dice.hex(20);
            (format!("3 1 0{blank}{spelled}"), format!("3 1 0 {digest}"))
        }
        "HTTPS" => (format!("1 .{blank}port={port} alpn=\"h2,h3\""), format!("1 . alpn=\"h2,h3\" port={port}")),
        "SVCB" => (format!("{}{blank}{far} port={port}", dice.number(1 + weight)), format!("{} {host} port={port}", 1 + weight)),
        "LOC" => {
            let degrees = weight % 90;
            let spelled = format!("{degrees} 22 23 N{blank}4 53 32.000 E -2m");
            (spelled, format!("{degrees} 22 23.000 N 4 53 32.000 E -2.00m 1m 10000m 10m"))
        }
        "MX" => (format!("{}{blank}{far}", dice.number(weight)), format!("{weight} {host}")),
        "NAPTR" => (
            format!("{} 10 \"U\"{blank}\"E2U+sip\" \"!^.*$!sip:a@b.c!\" .", dice.number(weight)),
            format!("{weight} 10 \"U\" \"E2U+sip\" \"!^.*$!sip:a@b.c!\" ."),
        ),
        "SRV" => {
            (format!("{} {} {port}{blank}{far}", dice.number(weight), dice.number(n)), format!("{weight} {n} {port} {host}"))
        }
        "URI" => (
            format!("{}{blank}1 \"https://example.net/{n}?a=b\"", dice.number(weight)),
            format!("{weight} 1 \"https://example.net/{n}?a=b\""),
        ),
        _ => {
            let count = 1 + dice.roll(3);
            let strings = (0..count).map(|_| dice.string()).collect::<Vec<_>>();
            let join = |texts: Vec<String>, by: &str| texts.join(by);
            let (spelled, shown) = strings.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
            (join(spelled, blank), join(shown, " "))
        }
    }
}

/// One set of each type, of one to four values where the type allows it.
fn generate(dice: &mut Dice, zone: &str, way: &Way) -> Vec<Set> {
    let mut sets = Vec::new();
    let is_api = matches!(way, Way::Api(_));
    for (index, rtype) in TYPES.into_iter().enumerate().filter(|(_, it)| is_api || *it != "ALIAS") {
        let single = matches!(rtype, "CNAME" | "DNAME" | "ALIAS");
        let count = if single { 1 } else { 1 + dice.roll(4) };
        let mut values = Vec::<(String, String)>::new();
        for _ in 0..count {
            let it = value(dice, rtype, zone);
            if values.iter().all(|(_, shown)| *shown != it.1) {
                values.push(it);
            }
        }
        let deep = ["", ".b", ".b.c"][dice.roll(3) as usize];
        // A DS stands at a delegation.
        let owner = if rtype == "DS" { "cut".to_owned() } else { format!("n{index}{deep}") };
        let ttl = 60 * (1 + dice.roll(200));
        sets.push(Set { spelled: owner.clone(), owner, rtype, ttl, values });
    }
    let far = ("ns.example.net.".to_owned(), "ns.example.net.".to_owned());
    let set = |owner: &str, spelled: &str, rtype, value| Set {
        owner: owner.to_owned(),
        spelled: spelled.to_owned(),
        rtype,
        ttl: 300,
        values: vec![value],
    };
    sets.push(set("cut", "cut", "NS", far));
    sets.push(set("*.wild", "*.wild", "TXT", dice.string()));
    sets.push(set("_x.xn--bcher-kva", "_x.Bücher", "TXT", dice.string()));
    // PowerDNS's API takes letters, digits, `-`, `_`, `/` and `*` in names, and refuses these.
    for (owner, spelled) in OWNERS.into_iter().filter(|_| !is_api) {
        sets.push(set(owner, spelled, "TXT", dice.string()));
    }
    sets
}

fn owner(dice: &mut Dice, zone: &str, set: &Set) -> String {
    let name = if dice.roll(2) == 0 { set.spelled.clone() } else { format!("{}.{zone}.", set.spelled) };
    dice.any_case(&name)
}

/// As documents, one for each set.
fn documents(dice: &mut Dice, project: &Project, zone: &str, sets: &[Set]) {
    for (index, set) in sets.iter().enumerate() {
        let values = set.values.iter().map(|it| it.0.as_str()).collect::<Vec<_>>();
        let ttl = dice.ttl(set.ttl);
        let spec = json!({ "zone": dice.any_case(zone), "name": owner(dice, zone, set), "type": dice.any_case(set.rtype), "ttl": ttl, "values": values });
        let document =
            json!({ "apiVersion": "dns/v1", "kind": "RecordSet", "metadata": { "name": format!("r{index}") }, "spec": spec });
        project.write(&format!("base/r{index}.json"), document.to_string());
    }
}

/// As one master file.
fn master_file(dice: &mut Dice, project: &Project, zone: &str, sets: &[Set]) {
    let mut text = format!("$ORIGIN {zone}.\n$TTL 1h ; a comment\n");
    for set in sets {
        for (value, _) in &set.values {
            let (name, ttl, rtype) = (owner(dice, zone, set), dice.ttl(set.ttl), dice.any_case(set.rtype));
            let head = if dice.roll(2) == 0 { format!("{ttl} IN") } else { format!("in {ttl}") };
            match dice.roll(2) {
                0 => writeln!(text, "{name} {head} {rtype} {value}").unwrap(),
                _ => writeln!(text, "{name} {head} {rtype} ( ; opened\n  {value} )").unwrap(),
            }
        }
    }
    project.write("zones/zone", text);
    let document =
        format!("apiVersion: dns/v1\nkind: ZoneFile\nmetadata: {{name: zone}}\nspec: {{zone: {zone}, source: zones/zone}}\n");
    project.write("base/zone.yaml", document);
}

/// `dig`'s lines without what its versions write in two ways.
fn plain(lines: Vec<String>) -> Vec<String> {
    let mut lines = lines.into_iter().map(|it| it.replace("\\;", ";")).collect::<Vec<_>>();
    lines.sort();
    lines
}

#[track_caller]
fn shown(port: u16, zone: &str, sets: &[Set]) {
    // An ALIAS is answered by what it leads to.
    for set in sets.iter().filter(|it| it.rtype != "ALIAS") {
        let name = format!("{}.{zone}", set.owner);
        let seen = if set.rtype == "NS" { delegation(port, &name) } else { dig(port, &name, set.rtype) };
        let want = set
            .values
            .iter()
            .map(|it| format!("{} {} {}", set.ttl, set.rtype, it.1.split_whitespace().collect::<Vec<_>>().join(" ")));
        assert_eq!(plain(seen), plain(want.collect()), "{} {}", set.owner, set.rtype);
    }
}

/// Another project adopts what stands in the zone, and has nothing to change.
#[track_caller]
fn taken_over(way: &Way, zone: &str, sets: usize) {
    let project = project(way);
    project.commit("empty");
    // And the NS of the apex, the foreign TXT, and where the zone began with a file its server's address.
    let all = sets + if matches!(way, Way::Api(_)) { 2 } else { 3 };
    let adopt = ["adopt", "--provider", "dns", "--scope", zone, "--trust"];
    project.run(&adopt).expect_exit(0).expect_text(&[&format!("{all} documents")]);
    project.commit("what exists");
    project.run(&["adopt", "--declared", "--yes", "--trust"]).expect_exit(0);
    settled(&project);
}

fn round(seed: u64, way: &Way, port: u16, zone: &str) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let sets = generate(&mut dice, zone, way);
    let project = project(way);
    if seed.is_multiple_of(2) {
        documents(&mut dice, &project, zone, &sets);
    } else {
        master_file(&mut dice, &project, zone, &sets);
    }
    project.commit("a zone");
    apply(&project).expect_exit(0);
    settled(&project);
    shown(port, zone, &sets);
    taken_over(way, zone, sets.len());
    // One goes by hand, and one is written in another way: the first comes back, the other is no change.
    let mut gone = &sets[dice.roll(sets.len() as u64) as usize];
    // PowerDNS's UPDATE does not know types without a name.
    while matches!(way, Way::Api(_)) && matches!(gone.rtype, "ALIAS" | "TYPE65280") {
        gone = &sets[dice.roll(sets.len() as u64) as usize];
    }
    nsupdate(port, zone, &format!("update delete {}.{zone} {}", gone.owner, gone.rtype));
    apply(&project).expect_exit(0);
    shown(port, zone, &sets);
    if seed.is_multiple_of(2) {
        documents(&mut dice, &project, zone, &sets);
    } else {
        master_file(&mut dice, &project, zone, &sets);
    }
    project.commit("the same, in other spellings");
    settled(&project);
    assert_eq!(dig(port, &format!("foreign.{zone}"), "TXT"), ["300 TXT \"theirs\""]);
}

/// Zones a server.
fn count() -> usize {
    if trueup_tests::long() { 67 } else { 3 }
}

fn zones() -> Vec<String> {
    (0..count()).map(|it| format!("z{it}.test")).collect()
}

#[test]
fn generated_zones_come_back_from_bind_as_they_were_declared() {
    let zones = zones();
    let server = Bind::start(&zones.iter().map(String::as_str).collect::<Vec<_>>(), Allow::Key);
    for (seed, zone) in zones.iter().enumerate() {
        round(seed as u64 + 1, &Way::Dns(server.dns), server.dns, zone);
    }
}

#[test]
fn generated_zones_come_back_from_knot_as_they_were_declared() {
    let zones = zones();
    let server = Knot::start(&zones.iter().map(String::as_str).collect::<Vec<_>>());
    for (seed, zone) in zones.iter().enumerate() {
        round(seed as u64 + 1001, &Way::Dns(server.dns), server.dns, zone);
    }
}

#[test]
fn generated_zones_come_back_from_powerdns_as_they_were_declared() {
    let server = Pdns::start();
    for (seed, zone) in zones().iter().enumerate() {
        server.zone(zone).allow_updates(zone);
        round(seed as u64 + 2001, &Way::Api(server.api), server.dns, zone);
    }
}
