"""What the benchmarks share: a command run and measured from outside, cases that run in turn, and their figures in print."""
import os, statistics, subprocess, sys, time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PEERS = os.environ.get("PEERS_DIR", os.path.expanduser("~/.cache/trueup-peers"))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
BINARY = os.environ.get("TRUEUP", os.path.join(TARGET, "release", "trueup"))


def once(command, cwd, env):
    """Runs a command; returns wall, CPU seconds, peak resident MiB of the largest process. Linux counts what
    this script holds when it starts a child as the child's, so no peak is below some 20 MiB."""
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {child.returncode}\n{output.decode(errors='replace')[-3000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Case:
    """One command with what must be done before each run of it; `most` bounds how often a slow one runs."""

    def __init__(self, label, command, cwd, before=None, env=None, most=None):
        self.label, self.command, self.cwd, self.before, self.env, self.most = label, command, cwd, before, env or os.environ, most
        self.runs = []

    def go(self, count=True):
        if self.before:
            self.before()
        run = once(self.command, self.cwd, self.env)
        if count:
            self.runs.append(run)

    def median(self, column):
        return statistics.median(run[column] for run in self.runs)

    def line(self):
        walls = [run[0] for run in self.runs]
        return (f"{self.label:<46} wall {min(walls):8.3f} {self.median(0):8.3f} {max(walls):8.3f}   "
                f"cpu {self.median(1):8.3f}   rss {self.median(2):7.1f} MiB   n={len(walls)}")


def together(cases, runs, warm=1):
    for turn in range(warm + runs):
        for case in cases:
            if case.most is None or 0 <= turn - warm < case.most:
                case.go(count=turn >= warm)
    for case in cases:
        print(case.line(), flush=True)


def ratio(label, above, below, column=0, target=None):
    value = above.median(column) / max(below.median(column), 1e-9)
    print(f"    -> {label}: {value:.2f}x" + (f"   (asked: {target})" if target else ""), flush=True)


def away(path):
    """Moves a tree aside instead of deleting it: ext4 searches long for an inode that was not deleted in the last seconds, which
    would be measured as part of the next creations, of ours and of theirs."""
    if os.path.lexists(path):
        trash = os.path.join(os.path.dirname(os.path.dirname(path)), "trash")
        os.makedirs(trash, exist_ok=True)
        os.rename(path, os.path.join(trash, f"{time.monotonic_ns()}"))


def git(cwd, *arguments):
    subprocess.run(["git", "-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false",
                    "-c", "gc.auto=0", *arguments], cwd=cwd, check=True, stdout=subprocess.DEVNULL)
