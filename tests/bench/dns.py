#!/usr/bin/env python3
"""Benchmarks of the dns provider, in one run against dnscontrol and octoDNS on one PowerDNS, and against the floor: `curl` for
PowerDNS's API, `dig axfr` and `nsupdate` for DNS UPDATE on BIND.

    tests/bench/dns.py [--sizes 1000,10000,50000] [--runs 5] [--servers powerdns,bind] [--skip-peers] [--work DIR]

Needs the release binary (`cargo build --release -p trueup`), git, curl, pdns_server with its SQLite backend, sqlite3, named, dig and
nsupdate; for the peers `dnscontrol` and `octodns-sync` (octodns, octodns-powerdns), each on PATH, in $PEERS_DIR/bin or in
$PEERS_DIR/venv/bin. A peer that is missing is named and left out.

The zone is declared twice for us, as one ZoneFile and as single RecordSets. Every contestant has a zone of its own with the same records
on the same server, so that a change of one is no drift for another. Each figure is a whole process, seen from outside; what is compared
runs in turn (A B A B). That a pass without changes changed nothing, and that each change arrived, is asked of the server. Requests are
counted by a proxy in a run of its own. Nothing here fails on a slow machine: it prints, people judge.
"""
import argparse, functools, json, os, shutil, subprocess, sys, tempfile, urllib.request

sys.dont_write_bytecode = True
from common import BINARY, PEERS, Case, git, once, together
from servers import API_KEY, KEY_NAME, KEY_SECRET, Bind, Counter, Pdns, dns_request, free_port, http_request

KEY = f"hmac-sha256:{KEY_NAME}:{KEY_SECRET}"


def record(zone, size, item, changed):
    """Type and value of one record; the one in the middle has two."""
    kind = item % 10
    if item == size // 2:
        return "A", middle(changed)
    if kind == 7:
        return "AAAA", f"2001:db8::{item:x}"
    if kind == 8:
        return "TXT", f"v=note owner=team{item % 37} id={item}"
    if kind == 9:
        return "CNAME", f"r{item - 9}.{zone}."
    return "A", f"10.{item >> 16 & 255}.{item >> 8 & 255}.{item & 255}"


def middle(changed):
    return "192.0.2.77" if changed else "192.0.2.1"


def records(zone, size, changed):
    return ((f"r{item}", *record(zone, size, item, changed)) for item in range(size))


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(text)


def zone_file(zone, size, changed=False):
    yield (f"$ORIGIN {zone}.\n$TTL 300\n@ IN SOA ns1.example.net. hostmaster.example.net. 1 3600 600 86400 60\n"
           "@ IN NS ns1.example.net.\n@ IN NS ns2.example.net.\n")
    for name, kind, value in records(zone, size, changed):
        yield f'{name} IN {kind} "{value}"\n' if kind == "TXT" else f"{name} IN {kind} {value}\n"


class Contestant:
    """One that keeps a zone as declared. `change` declares the other value of the record in the middle."""

    env = None

    def __init__(self, work, label, short, size):
        self.label, self.size, self.flip = label, size, False
        self.zone, self.folder = f"{short}.bench.example", os.path.join(work, f"{short}-{size}")
        os.makedirs(self.folder, exist_ok=True)

    def change(self):
        self.flip = not self.flip
        self.declare()

    def apply(self):
        once(self.command(), self.folder, self.env or os.environ)

    def case(self, what, command=None, before=None, most=None):
        return Case(f"{self.label} {self.size}: {what}", command or self.command(), self.folder, before, self.env, most)


class Ours(Contestant):
    """A project of ours; `sets` declares single RecordSets in files of a hundred, else one ZoneFile."""

    def __init__(self, work, server, port, size, sets):
        super().__init__(work, "trueup RecordSets" if sets else "trueup ZoneFile", "rs" if sets else "zf", size)
        self.sets, self.folder = sets, f"{self.folder}-{server}"
        home = os.path.join(work, f"home-{server}")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        self.env.update(HOME=home, XDG_CACHE_HOME=os.path.join(work, "cache"))
        if server == Pdns.kind:
            origin, given, config = f"http://127.0.0.1:{port}", "hosts", "flavor: powerdns"
            credential = "header: {X-API-Key: {file: key}}"
        else:
            origin, given, config = f"dns://127.0.0.1:{port}", "dns", "flavor: rfc2136"
            credential = f"tsig: {{name: {KEY_NAME}, algorithm: hmac-sha256, secret: {{file: key}}}}"
        operator = os.path.join(home, ".config", "trueup")
        for name, text in (("key", API_KEY if server == Pdns.kind else KEY_SECRET),
                           ("credentials.yaml", f'credentials:\n  server: {{origins: ["{origin}"], {credential}}}\n')):
            write(os.path.join(operator, name), text)
            os.chmod(os.path.join(operator, name), 0o600)
        write(os.path.join(self.folder, "trueup.yaml"),
              "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: bench, id: 4f0c9a000000000000000000000000aa}\nproviders:\n"
              f'  dns: {{plugin: dns, config: {{{config}, server: "{origin}"}}, {given}: ["{origin}"], credential: server}}\n'
              "environments:\n  prod: {layers: [base]}\n")
        write(os.path.join(self.folder, ".gitignore"), ".trueup/\n")
        if sets:
            for first in range(0, size, 100):
                self.declare(first)
        else:
            write(os.path.join(self.folder, "base", "zone.yaml"), "apiVersion: dns/v1\nkind: ZoneFile\nmetadata: {name: all}\n"
                  f"spec: {{zone: {self.zone}, source: zones/all.zone}}\n")
            self.declare()
        git(self.folder, "init", "-q", "-b", "main")
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "-m", "all")
        git(self.folder, "gc", "-q")

    def declare(self, first=None):
        if self.sets:
            first = self.size // 2 // 100 * 100 if first is None else first
            write(os.path.join(self.folder, "base", f"{first}.yaml"), "---\n".join(
                "apiVersion: dns/v1\nkind: RecordSet\nmetadata: {name: r%d}\nspec: {zone: %s, type: %s, ttl: 300, value: \"%s\"}\n"
                % (item, self.zone, *record(self.zone, self.size, item, self.flip)) for item in range(first, min(first + 100, self.size))))
        else:
            write(os.path.join(self.folder, "zones", "all.zone"), zone_file(self.zone, self.size, self.flip))

    def change(self):
        super().change()
        git(self.folder, "commit", "-q", "-a", "-m", "one")

    def own(self):
        """Takes the zone as it was loaded under management, and says what that took."""
        once([BINARY, "trust", "--yes"], self.folder, self.env)
        adopt = self.case("adopt what is there", [BINARY, "adopt", "--declared", "--yes", "--show", "summary"])
        together([adopt], 1, warm=0)

    def command(self):
        return [BINARY, "apply", "--yes"]


class Dnscontrol(Contestant):
    def __init__(self, work, port, size):
        super().__init__(work, "dnscontrol", "dc", size)
        self.binary = found("dnscontrol")
        write(os.path.join(self.folder, "creds.json"), json.dumps({"none": {"TYPE": "NONE"}, "pdns": {
            "TYPE": "POWERDNS", "apiKey": API_KEY, "apiUrl": f"http://127.0.0.1:{port}", "serverName": "localhost"}}))
        self.declare()

    def declare(self):
        # It deletes a SOA that it is not told of.
        soa = 'SOA("@", "ns1.example.net.", "hostmaster.example.net.", 3600, 600, 86400, 60)'
        body = "".join(f',\n  {kind}("{name}", "{value}")' for name, kind, value in records(self.zone, self.size, self.flip))
        write(os.path.join(self.folder, "dnsconfig.js"),
              f'var R = NewRegistrar("none");\nvar P = NewDnsProvider("pdns");\nD("{self.zone}", R, DnsProvider(P), DefaultTTL(300),\n'
              f'  NAMESERVER("ns1.example.net."), NAMESERVER("ns2.example.net."), {soa}{body}\n);\n')

    def command(self):
        return [self.binary, "push"]


class Octodns(Contestant):
    def __init__(self, work, port, size):
        super().__init__(work, "octoDNS", "od", size)
        self.binary = found("octodns-sync")
        write(os.path.join(self.folder, "config.yaml"), "manager: {max_workers: 1}\nproviders:\n"
              f"  zones: {{class: octodns.provider.yaml.YamlProvider, directory: {self.folder}/zones, default_ttl: 300, enforce_order: false}}\n"
              f"  pdns: {{class: octodns_powerdns.PowerDnsProvider, host: 127.0.0.1, port: {port}, api_key: {API_KEY}, scheme: http, "
              f"soa_edit_api: default, timeout: 300}}\nzones:\n  {self.zone}.: {{sources: [zones], targets: [pdns]}}\n")
        self.declare()

    def declare(self):
        write(os.path.join(self.folder, "zones", f"{self.zone}.yaml"), "---\n'': {type: NS, ttl: 300, values: [ns1.example.net., ns2.example.net.]}\n"
              + "".join(f"{name}: {{type: {kind}, ttl: 300, value: '{value}'}}\n" for name, kind, value in records(self.zone, self.size, self.flip)))

    def command(self):
        return [self.binary, "--quiet", f"--config-file={self.folder}/config.yaml", "--force", "--doit"]


class Floor(Contestant):
    """What any tool must do: read the zone; and for a change also send it."""

    def __init__(self, work, server, port, size):
        self.server, self.port = server, port
        super().__init__(work, "floor, curl" if server == Pdns.kind else "floor, dig and nsupdate", "fl", size)
        self.declare()

    def declare(self):
        name = f"r{self.size // 2}.{self.zone}."
        write(os.path.join(self.folder, "patch.json"), json.dumps({"rrsets": [{"name": name, "type": "A", "ttl": 300, "changetype": "REPLACE",
              "records": [{"content": middle(self.flip), "disabled": False}]}]}))
        write(os.path.join(self.folder, "update"), f"server 127.0.0.1 {self.port}\nzone {self.zone}.\nupdate delete {name} A\n"
              f"update add {name} 300 A {middle(self.flip)}\nsend\n")

    def fetch(self):
        if self.server == Pdns.kind:
            return ["curl", "-sSf", "-o", "zone.json", "-H", f"X-API-Key: {API_KEY}", api(self.port, self.zone)]
        return ["sh", "-c", f"dig -y {KEY} @127.0.0.1 -p {self.port} {self.zone} axfr > zone.txt"]

    def command(self):
        """Both, for the change."""
        if self.server == Pdns.kind:
            return [*self.fetch(), "--next", "-sSf", "-o", "answer.json", "-X", "PATCH", "-H", f"X-API-Key: {API_KEY}",
                    "--data-binary", "@patch.json", api(self.port, self.zone)]
        return ["sh", "-c", f"{self.fetch()[2]} && nsupdate -v -y {KEY} update"]


def api(port, zone):
    return f"http://127.0.0.1:{port}/api/v1/servers/localhost/zones/{zone}."


def found(program):
    """Where a peer is: on PATH, or under PEERS_DIR."""
    places = os.pathsep.join([os.environ.get("PATH", ""), os.path.join(PEERS, "bin"), os.path.join(PEERS, "venv", "bin")])
    return shutil.which(program, path=places)


def ask(server, contestant, query):
    """What PowerDNS's API says of a zone."""
    request = urllib.request.Request(api(server.port, contestant.zone) + query, headers={"X-API-Key": API_KEY})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def serial(server, contestant):
    if server.kind == Pdns.kind:
        return ask(server, contestant, "?rrsets=false")["serial"]
    return dig(server.port, contestant.zone, "SOA").split()[2]


def dig(port, name, kind):
    command = ["dig", "+short", "+tcp", "@127.0.0.1", "-p", str(port), name, kind]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def value(server, contestant):
    """The record in the middle as the server has it."""
    name = f"r{contestant.size // 2}.{contestant.zone}."
    if server.kind == Pdns.kind:
        return ask(server, contestant, f"?rrset_name={name}&rrset_type=A")["rrsets"][0]["records"][0]["content"]
    return dig(server.port, name, "A")


def verdict(met, limit):
    return f"   (asked: {limit}: {'met' if met else 'NOT MET'})"


def compare(size, floor, ours, peers, above):
    """Our figures beside what is asked for, which is of 10,000 records; with other sizes nothing is judged."""
    judge = verdict if size == 10000 else lambda *_: ""
    for mine in ours:
        beyond, least = mine.median(0) - floor.median(0), min(run[0] for run in mine.runs) - min(run[0] for run in floor.runs)
        print(f"    -> {mine.label}: wall beyond the floor {beyond:.3f} s, of the fastest {least:.3f} s"
              f"{judge(beyond <= above, f'at most {above:.3f} s')}")
        print(f"       CPU {mine.median(1):.3f} s{judge(mine.median(1) <= 0.25, 'at most 0.250 s')}")
        for peer in peers:
            times = [peer.median(column) / max(mine.median(column), 1e-9) for column in range(3)]
            print(f"       {peer.label.split(' ')[0]} / ours: wall {times[0]:.1f}x, CPU {times[1]:.1f}x, memory {times[2]:.2f}x"
                  f"{judge(times[2] > 1, 'memory above 1')}", flush=True)


def count(server, port, ours, peers):
    """Requests of one pass each, through a proxy on the port that every configuration names. Over DNS, what follows a change reads
    the difference and the set that it touches; so one pass goes before what is counted, and what is behind it is shown, not judged."""
    server.stop()
    server.start(free_port())
    counter = Counter(port, server.port, http_request if server.kind == Pdns.kind else dns_request)
    for each in ours + peers:
        passes = ((None, None), ("no-op", 1), ("one change", 3), ("change after a change", None), ("no-op after a change", None))
        for what, limit in passes:
            if what in ("one change", "change after a change"):
                each.change()
            each.apply()
            taken = counter.take()
            if what:
                asked = verdict(len(taken) == limit, str(limit)) if limit and each in ours else ""
                print(f"    -> {each.label} {each.size}: {what}: requests {len(taken)}, {' '.join(taken)}{asked}", flush=True)
    counter.close()


def series(server, size, runs, floor, ours, peers):
    """What is timed. A pass of ours that follows a change reads anew what that change touched, so a change of a zone at rest, a change
    straight after another and the pass behind a change differ. A peer, to which they are all one, runs in the first of each only."""
    everyone = [floor, *ours, *peers]
    # A peer takes minutes at 50,000: one run of it says enough.
    most = 1 if size > 10000 else None
    before = [serial(server, each) for each in everyone]
    reads = [peer.case("no-op", most=most) for peer in peers]
    timed(size, runs, floor.case("fetch", floor.fetch()), [it.case("no-op") for it in ours], reads, 0.150)
    for each, was in zip(everyone, before):
        if serial(server, each) != was:
            print(f"    -> {each.label}: a pass without changes changed the zone: its serial was {was} and is {serial(server, each)}")
    writes = [peer.case("one change", None, peer.change, most) for peer in peers]
    for what, prepare in (("one change", lambda it: (it.apply(), it.change())), ("change after a change", lambda it: it.change())):
        mine = [it.case(what, None, functools.partial(prepare, it)) for it in ours]
        timed(size, runs, floor.case("fetch and one change", None, floor.change), mine, writes, 0.200)
    for each in everyone:
        if value(server, each) != middle(each.flip):
            print(f"    -> {each.label}: the change did not arrive: {value(server, each)} instead of {middle(each.flip)}")
    mine = [it.case("no-op after a change", None, functools.partial(lambda it: (it.change(), it.apply()), it)) for it in ours]
    timed(size, runs, floor.case("fetch", floor.fetch()), mine, reads, 0.150)


def timed(size, runs, floor, ours, peers, above):
    """Runs all in turn, peers only that have not run yet, and prints how ours are beside the others."""
    together([floor, *ours, *(it for it in peers if not it.runs)], runs)
    compare(size, floor, ours, peers, above)


def contest(work, server, port, size, runs, peers):
    print(f"\n== {size} records on {server.kind}", flush=True)
    ours = [Ours(work, server.kind, port, size, sets) for sets in (False, True)]
    peers, floor = [peer(work, port, size) for peer in peers], Floor(work, server.kind, port, size)
    everyone = [floor, *ours, *peers]
    for each in everyone:
        path = os.path.join(server.folder, "load.zone")
        write(path, zone_file(each.zone, size))
        server.load(each.zone, path)
    server.start(port)
    try:
        for each in ours:
            each.own()
        series(server, size, runs, floor, ours, peers)
        count(server, port, ours, peers)
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,50000")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--servers", default="powerdns,bind")
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--work", default=None, help="new folder to work in; kept")
    arguments = parser.parse_args()
    for needed in (BINARY, "git", "curl", "pdns_server", "pdnsutil", "sqlite3", "named", "dig", "nsupdate"):
        if not shutil.which(needed):
            sys.exit(f"{needed} is missing; the first lines of this file say what is needed")
    work = os.path.abspath(arguments.work or tempfile.mkdtemp(prefix="trueup-bench-"))
    if os.path.isdir(work) and os.listdir(work):
        sys.exit(f"{work} is not empty; name a new folder")
    version = subprocess.run([BINARY, "version"], capture_output=True, text=True).stdout.splitlines()[0]
    print(f"{version}; {os.cpu_count()} processors; wall is min, median, max in seconds")
    known = {} if arguments.skip_peers else {"dnscontrol": Dnscontrol, "octodns-sync": Octodns}
    for program in [it for it in known if not found(it)]:
        print(f"{program} is missing: it is neither on PATH nor under $PEERS_DIR; its part is left out")
    peers = [peer for program, peer in known.items() if found(program)]
    for size in (int(it) for it in arguments.sizes.split(",")):
        for name, kind in (("powerdns", Pdns), ("bind", Bind)):
            if name in arguments.servers.split(","):
                contest(work, kind(os.path.join(work, f"{name}-{size}")), free_port(), size, arguments.runs, peers if kind is Pdns else [])
    if not arguments.work:
        shutil.rmtree(work, ignore_errors=True)


main()
