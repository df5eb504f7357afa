#!/usr/bin/env python3
"""Benchmarks of the file provider, as ratios in one run against OpenTofu and against the floor.

    tests/bench/files.py [--sizes 1000,10000,100000] [--runs 7] [--skip-tofu] [--work DIR]

Needs the release binary (`cargo build --release -p trueup -p trueup-tests`), git, and for the peer `tofu` with its `local`
provider: `tofu` on PATH or in $PEERS_DIR/bin, `terraform-provider-local` in $PEERS_DIR/bin. Where the provider is missing,
OpenTofu's built-in `terraform_data` stands in and a quarter of each ratio is asked for.

Each figure is a whole process, seen from outside: wall seconds, CPU seconds (user and system, children too), peak resident
memory. Commands that are compared run in turn (A B A B), so that both see the same load; medians are printed, the ratio is that
of the medians. Nothing here fails on a slow machine: it prints, people judge.
"""
import argparse, os, shutil, subprocess, sys, tempfile

sys.dont_write_bytecode = True
from common import BINARY, PEERS, TARGET, Case, away, git, once, ratio, together

DIST = os.environ.get("TRUEUP_DIST", os.path.join(TARGET, "dist", "trueup"))
STATWALK = os.path.join(os.path.dirname(BINARY), "stat-walk")


def documents(directory, items, changed=None):
    """One YAML file with these files of one directory."""
    out = []
    for item in items:
        tag = "changed" if changed == item else "base"
        out.append(f"apiVersion: site/v1\nkind: File\nmetadata: {{name: d{directory}-f{item}}}\nspec:\n"
                   f"  path: d{directory}/f{item}.txt\n  content: |\n    name=item-{item} owner=team{item % 37} size={item} tag={tag}\n")
    return "---\n".join(out)


class Ours:
    """A project with `size` files in directories of `per` (or fewer)."""

    def __init__(self, work, size, per=100):
        self.folder, self.size, self.flip = os.path.join(work, f"ours-{size}-{per}"), size, 0
        self.per = min(per, size)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(os.path.join(self.folder, "base"))
        self.write("trueup.yaml", "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: bench, id: 4f0c9a000000000000000000000000aa}\n"
                   "providers:\n  site: {plugin: file, config: {root: ./site}, dirs: [\"./site\"]}\nenvironments:\n  prod: {layers: [base]}\n")
        self.write(".gitignore", "/site/\n.trueup/\n")
        for directory in range(size // self.per):
            for first in range(0, self.per, 100):
                self.write(f"base/d{directory}-{first}.yaml", documents(directory, self.part(first)))
        git(self.folder, "init", "-q", "-b", "main")
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "-m", "all")
        git(self.folder, "gc", "-q")
        self.env = dict(os.environ, HOME=work, XDG_CACHE_HOME=os.path.join(work, "cache"))

    def part(self, first):
        """A hundred documents a file, however many files a directory has: what a change costs to parse is the same."""
        return range(first, min(first + 100, self.per))

    def write(self, path, text):
        with open(os.path.join(self.folder, path), "w", encoding="utf-8") as file:
            file.write(text)

    def clean(self):
        for name in ("site", ".trueup"):
            away(os.path.join(self.folder, name))

    def change(self):
        """Commits a change of one file in the middle."""
        self.flip = 1 - self.flip
        middle = (self.size // self.per) // 2
        self.write(f"base/d{middle}-0.yaml", documents(middle, self.part(0), changed=0 if self.flip else None))
        git(self.folder, "commit", "-q", "-a", "-m", "one")

    def apply(self, *more):
        return [BINARY, "apply", "--yes", *more]

    def case(self, label, before=None):
        return Case(f"trueup {self.size}: {label}", self.apply(), self.folder, before, self.env)


class Tofu:
    """The same in OpenTofu: `local_file`, or `terraform_data` where the provider is missing."""

    def __init__(self, work, size):
        self.folder, self.size, self.flip = os.path.join(work, f"tofu-{size}"), size, 0
        self.local = os.path.exists(os.path.join(PEERS, "bin", "terraform-provider-local"))
        self.binary = shutil.which("tofu") or os.path.join(PEERS, "bin", "tofu")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.env = dict(os.environ, TF_IN_AUTOMATION="1", TF_INPUT="0", CHECKPOINT_DISABLE="1")
        if self.local:
            mirror = os.path.join(work, "mirror", "peers.local", "hashicorp", "local", "2.9.0", "linux_amd64")
            os.makedirs(mirror, exist_ok=True)
            shutil.copy(os.path.join(PEERS, "bin", "terraform-provider-local"), os.path.join(mirror, "terraform-provider-local_v2.9.0"))
            rc = os.path.join(work, "tofurc")
            with open(rc, "w", encoding="utf-8") as file:
                file.write('provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' % os.path.join(work, "mirror"))
            self.env["TF_CLI_CONFIG_FILE"] = rc
        self.write(None)
        subprocess.run([self.binary, "init", "-no-color"], cwd=self.folder, env=self.env, check=True, stdout=subprocess.DEVNULL)

    def write(self, changed):
        tag = lambda item: "changed" if item == changed else "base"
        if self.local:
            text = 'terraform {\n  required_providers {\n    local = { source = "peers.local/hashicorp/local" }\n  }\n}\n' + "".join(
                f'resource "local_file" "r{i}" {{\n  filename = "${{path.module}}/out/{i}.txt"\n'
                f'  content  = "name=item-{i} owner=team{i % 37} size={i} tag={tag(i)}\\n"\n}}\n' for i in range(self.size))
        else:
            text = "".join(f'resource "terraform_data" "r{i}" {{\n  input = {{ name = "item-{i}", owner = "team{i % 37}", tag = "{tag(i)}" }}\n}}\n'
                           for i in range(self.size))
        with open(os.path.join(self.folder, "main.tf"), "w", encoding="utf-8") as file:
            file.write(text)

    def clean(self):
        for name in ("terraform.tfstate", "terraform.tfstate.backup", "out"):
            away(os.path.join(self.folder, name))

    def change(self):
        self.flip = 1 - self.flip
        self.write(self.size // 2 if self.flip else None)

    def case(self, label, before=None):
        kind = "local_file" if self.local else "terraform_data"
        return Case(f"tofu {self.size} {kind}: {label}", [self.binary, "apply", "-no-color", "-auto-approve"], self.folder, before, self.env)


def against_tofu(work, runs):
    print("\n== 1,000 files against OpenTofu, in turn")
    ours, tofu = Ours(work, 1000), Tofu(work, 1000)
    quarter = "" if tofu.local else " / 4, as terraform_data stands in"
    for label, target, prepare in (("first apply", "20x", "clean"), ("no-op apply", "100x", None), ("one file changed", "100x", "change")):
        mine = ours.case(label, getattr(ours, prepare) if prepare else None)
        theirs = tofu.case(label, getattr(tofu, prepare) if prepare else None)
        together([mine, theirs], max(3, runs // 2))
        ratio(f"{label}, wall", theirs, mine, 0, target + quarter)
        ratio(f"{label}, CPU", theirs, mine, 1)
        ratio(f"{label}, peak memory of ours / theirs", mine, theirs, 2, "below 0.5")


def alone(work, sizes, runs):
    noops = {}
    for size in sizes:
        print(f"\n== {size} files in {max(1, size // 100)} directories")
        ours = Ours(work, size)
        cold = ours.case("first apply, compile cache cold", lambda: (ours.clean(), shutil.rmtree(os.path.join(work, "cache"), ignore_errors=True)))
        first = ours.case("first apply", ours.clean)
        together([cold], 1, warm=0)
        together([first], 3 if size < 100000 else 1, warm=0)
        floor = Case(f"floor {size}: stat every file", [STATWALK, os.path.join(ours.folder, "site")], ours.folder)
        noop, change = ours.case("no-op apply"), ours.case("one file changed", ours.change)
        together([floor, noop], runs)
        together([change], runs)
        noops[size] = noop
        ratio("no-op / floor, wall", noop, floor, 0, "at most 3x at 100,000" if size >= 100000 else None)
        ratio("one change / no-op, wall", change, noop, 0, "at most 1.2x at 100,000" if size >= 100000 else None)
        bytes_of_documents = sum(os.path.getsize(os.path.join(ours.folder, "base", name)) for name in os.listdir(os.path.join(ours.folder, "base")))
        for case in (first, noop, change):
            each = (case.median(2) * 1024 - bytes_of_documents / 1024) / size
            print(f"    -> {case.label}: {each:.2f} KiB a resource beyond its documents   (asked: at most 4, all of the process counted)")
    for small, large in ((10000, 100000),):
        if small in noops and large in noops:
            ratio(f"no-op {large} / no-op {small}, wall", noops[large], noops[small], 0, "at most 12x")


def shipped(work, runs):
    """The no-op of the binary that is shipped beside that of the release profile."""
    if not os.path.exists(DIST):
        print(f"\n{DIST} is missing (cargo build --profile dist): the no-op of what is shipped is left out")
        return
    print("\n== no-op at 10,000: release and dist profile, in turn")
    cases = []
    for name, binary in (("release", BINARY), ("dist", DIST)):
        # A project each: the two hold other plugins, and one would throw away what the other remembers.
        ours = Ours(os.path.join(work, name), 10000)
        command = [binary, "apply", "--yes"]
        once(command, ours.folder, ours.env)
        once(command, ours.folder, ours.env)
        cases.append(Case(f"trueup 10000: {name}", command, ours.folder, None, ours.env))
    release, dist = cases
    together(cases, runs)
    ratio("dist / release, wall", dist, release)


def one_directory(work, size, runs):
    print(f"\n== {size} files in one directory, against {size} in directories of 100")
    wide, deep = Ours(work, size), Ours(work, size, per=size)
    for label, prepare in (("first apply", "clean"), ("no-op apply", None), ("one file changed", "change")):
        many = wide.case(f"{label}, many directories", getattr(wide, prepare) if prepare else None)
        one = deep.case(f"{label}, one directory", getattr(deep, prepare) if prepare else None)
        together([many, one], min(3, runs))
        ratio(f"{label}, one directory / many, wall", one, many, 0, "at most 1.5x: nothing is looked for linearly")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--skip-tofu", action="store_true")
    parser.add_argument("--work", default=None, help="folder to work in; kept")
    arguments = parser.parse_args()
    for needed in (BINARY, STATWALK):
        if not os.path.exists(needed):
            sys.exit(f"{needed} is missing; run: cargo build --release -p trueup -p trueup-tests")
    work = arguments.work or tempfile.mkdtemp(prefix="trueup-bench-")
    os.makedirs(work, exist_ok=True)
    version = subprocess.run([BINARY, "version"], capture_output=True, text=True).stdout.strip()
    print(f"{version}; {os.cpu_count()} processors; wall is min, median, max in seconds")
    if not arguments.skip_tofu:
        if shutil.which("tofu") or os.path.exists(os.path.join(PEERS, "bin", "tofu")):
            against_tofu(work, arguments.runs)
        else:
            print("OpenTofu is missing: no `tofu` on PATH or in $PEERS_DIR/bin; its part is left out")
    shipped(work, arguments.runs)
    alone(work, [int(it) for it in arguments.sizes.split(",")], arguments.runs)
    one_directory(work, 10000, arguments.runs)
    if not arguments.work:
        shutil.rmtree(work, ignore_errors=True)


main()
