#!/usr/bin/env python3
"""Benchmarks of the kubernetes provider on a kube-apiserver and etcd of its own, in one run against kubectl, and against the floor:
`curl` fetching the same pages of the same lists.

    tests/bench/kubernetes.py [--maps 1000] [--deployments 500] [--large 5000] [--runs 7] [--skip-peers] [--work DIR]

Needs the release binary (`cargo build --release -p trueup`), git, curl, openssl, etcd, a kube-apiserver (TRUEUP_KUBE_APISERVER, or the one
that `tests/run` keeps in the cache) and for the peer a kubectl (KUBECTL, on PATH, or in $PEERS_DIR/bin; to build it from the same module:
`cd tests/kube-apiserver && go build -mod=mod -o ~/kubectl k8s.io/kubernetes/cmd/kubectl`).

Every contestant has a namespace of its own with the same objects on the same server. Each figure is a whole process, seen from outside; what
is compared runs in turn (A B A B). Requests are those of the server's audit log. Nothing here fails on a slow machine: it prints, people judge.
"""
import argparse, glob, json, os, shutil, subprocess, sys, tempfile, time

sys.dont_write_bytecode = True
from common import BINARY, PEERS, Case, git, once, ratio, together
from servers import free_port

TOKEN = "bench-admin-token"
PAGE = 500
CONFIG = """[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = IP:127.0.0.1
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


class Cluster:
    def __init__(self, folder, program):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        write(os.path.join(folder, "openssl.cnf"), CONFIG)
        for name, signer in (("ca", []), ("server", ["-CA", "ca.pem", "-CAkey", "ca.key"])):
            self.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                      "-extensions", name, "-config", "openssl.cnf", "-keyout", f"{name}.key", "-out", f"{name}.pem", *signer])
        self.run(["openssl", "genrsa", "-out", "accounts.key", "2048"])
        write(self.file("tokens.csv"), f"{TOKEN},admin,admin,system:masters\n")
        write(self.file("audit.yaml"), "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n")
        clients, peers, port = free_port(), free_port(), free_port()
        self.base = f"https://127.0.0.1:{port}"
        self.log = open(self.file("log"), "w", encoding="utf-8")
        self.etcd = self.start(["etcd", f"--data-dir={self.file('etcd')}", f"--listen-client-urls=http://127.0.0.1:{clients}",
                                f"--advertise-client-urls=http://127.0.0.1:{clients}", f"--listen-peer-urls=http://127.0.0.1:{peers}",
                                f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}", f"--initial-cluster=default=http://127.0.0.1:{peers}", "--unsafe-no-fsync"])
        keys = [f"--{name}={self.file(file)}" for name, file in (
            ("tls-cert-file", "server.pem"), ("tls-private-key-file", "server.key"), ("service-account-key-file", "accounts.key"),
            ("service-account-signing-key-file", "accounts.key"), ("token-auth-file", "tokens.csv"), ("audit-policy-file", "audit.yaml"), ("audit-log-path", "audit.log"))]
        self.server = self.start([program, f"--etcd-servers=http://127.0.0.1:{clients}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
                                  f"--secure-port={port}", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16", f"--cert-dir={folder}", *keys,
                                  "--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount"])
        user = f"users:\n- name: a\n  user: {{token: {TOKEN}}}\n"
        write(self.file("kubeconfig"), "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- {name: c, context: {cluster: c, user: a}}\n"
              f"clusters:\n- name: c\n  cluster: {{server: '{self.base}', certificate-authority: '{self.file('ca.pem')}'}}\n{user}")
        os.chmod(self.file("kubeconfig"), 0o600)
        for _ in range(600):
            if subprocess.run(self.curl("/readyz"), cwd=folder, capture_output=True, check=False).stdout == b"ok":
                return
            time.sleep(0.1)
        sys.exit(f"the server is not ready; see {self.file('log')}")

    def file(self, name):
        return os.path.join(self.folder, name)

    def run(self, command):
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def start(self, command):
        return subprocess.Popen(command, cwd=self.folder, stdout=self.log, stderr=subprocess.STDOUT)

    def curl(self, *paths):
        common = ["curl", "-sSf", "--cacert", self.file("ca.pem"), "-H", f"Authorization: Bearer {TOKEN}"]
        return [*common, *(f"{self.base}{path}" for path in paths)]

    def ask(self, path):
        return json.loads(subprocess.run(self.curl(path), check=True, capture_output=True).stdout)

    def asked(self, since):
        """What was asked of the server since that byte of its audit log, and where the log ends now."""
        time.sleep(0.5)
        with open(self.file("audit.log"), encoding="utf-8") as file:
            file.seek(since)
            lines = file.readlines()
            events = [json.loads(line) for line in lines]
            return [(it["verb"], it["requestURI"]) for it in events], file.tell()

    def stop(self):
        for each in (self.server, self.etcd):
            each.kill()
            each.wait()


def config_map(item, value="a"):
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: map-{item}, labels: {{app: bench}}}}\ndata: {{key: {value}, url: 'https://example.com/{item}', note: 'some text that is a little longer'}}\n"


def deployment(item):
    return (f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web-{item}, labels: {{app: web-{item}}}}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: web-{item}}}}}\n"
            f"  template:\n    metadata: {{labels: {{app: web-{item}}}}}\n    spec:\n      containers:\n      - name: web\n        image: nginx:1.27\n        ports: [{{containerPort: 80, name: http}}]\n"
            "        env: [{name: A, value: b}, {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]\n        resources: {limits: {cpu: 1000m, memory: 128Mi}, requests: {cpu: 0.1, memory: 64Mi}}\n"
            "        readinessProbe: {httpGet: {path: /, port: http}}\n        volumeMounts: [{name: conf, mountPath: /etc/conf}]\n      volumes: [{name: conf, configMap: {name: map-0}}]\n")


class Contestant:
    """Manifests in a namespace of one's own; `flip` changes one of them."""

    def __init__(self, cluster, work, name, maps, deployments):
        self.cluster, self.name, self.folder, self.sizes, self.flipped = cluster, name, os.path.join(work, name), (maps, deployments), False
        body = json.dumps({"metadata": {"name": name}})
        cluster.run([*cluster.curl("/api/v1/namespaces"), "-X", "POST", "-H", "Content-Type: application/json", "-d", body])
        for kind, count, make in (("maps", maps, config_map), ("webs", deployments, deployment)):
            for first in range(0, count, 50):
                write(os.path.join(self.folder, "base", f"{kind}-{first}.yaml"), "---\n".join(make(it) for it in range(first, min(first + 50, count))))

    def flip(self):
        self.flipped = not self.flipped
        write(os.path.join(self.folder, "base", "maps-0.yaml"), "---\n".join(config_map(it, "b" if self.flipped and it == 7 else "a") for it in range(50)))


class Ours(Contestant):
    def __init__(self, cluster, work, name, maps, deployments):
        super().__init__(cluster, work, name, maps, deployments)
        home = os.path.join(work, f"home-{name}")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")} | {"HOME": home, "XDG_CACHE_HOME": os.path.join(work, "cache")}
        credentials = os.path.join(home, ".config", "trueup", "credentials.yaml")
        write(credentials, f"credentials:\n  cluster: {{kubeconfig: {{file: '{cluster.file('kubeconfig')}'}}}}\n")
        os.chmod(credentials, 0o600)
        write(os.path.join(self.folder, "trueup.yaml"), "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: bench, id: 4f0c9a000000000000000000000000aa}\n"
              f"providers:\n  k8s: {{plugin: kubernetes, credential: cluster, config: {{namespace: {name}}}}}\nenvironments:\n  prod: {{layers: [base]}}\n")
        write(os.path.join(self.folder, ".gitignore"), ".trueup/\n")
        git(self.folder, "init", "-q", "-b", "main")
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "-m", "all")
        once([BINARY, "trust", "--yes"], self.folder, self.env)

    def flip(self):
        super().flip()
        git(self.folder, "commit", "-q", "-a", "-m", "one")

    def case(self, what, verb=("apply", "--yes"), before=None):
        return Case(f"trueup: {what}", [BINARY, *verb, "--show", "summary"], self.folder, before, self.env)

    def elsewhere(self):
        """Somebody changes an object of another namespace: no list of the server has the version that it had."""
        body = json.dumps({"data": {"now": str(time.monotonic_ns())}})
        path = "/api/v1/namespaces/default/configmaps/elsewhere"
        patch = ["-X", "PATCH", "-H", "Content-Type: application/apply-patch+yaml", "-o", "/dev/null", "-d"]
        whole = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "elsewhere"}, **json.loads(body)})
        self.cluster.run([*self.cluster.curl(f"{path}?fieldManager=bench&force=true"), *patch, whole])

    def count(self, what):
        """Requests of one run."""
        _, end = self.cluster.asked(0)
        once([BINARY, "apply", "--yes", "--show", "summary"], self.folder, self.env)
        asked, _ = self.cluster.asked(end)
        lists = [it for it in asked if it[0] in ("list", "watch")]
        others = [it for it in asked if it[0] not in ("list", "watch")]
        shown = ", ".join(f"{verb} {uri.split('?')[0]}" for verb, uri in others)
        print(f"    -> {what}: {len(lists)} pages of lists and {len(others)} other requests ({shown})", flush=True)


def pages(cluster, namespace):
    """Paths of every page of both lists; tokens of pages are good for minutes."""
    out = []
    for collection in (f"/api/v1/namespaces/{namespace}/configmaps", f"/apis/apps/v1/namespaces/{namespace}/deployments"):
        path = f"{collection}?limit={PAGE}"
        while path:
            out.append(path)
            token = cluster.ask(path)["metadata"].get("continue")
            path = token and f"{collection}?limit={PAGE}&continue={token}"
    return out


def kubectl(cluster, work, args, kubectl_path):
    peer = Contestant(cluster, work, "peer", args.maps, args.deployments)
    env = os.environ | {"KUBECONFIG": cluster.file("kubeconfig"), "HOME": os.path.join(work, "home-peer")}
    where = ["-n", "peer", "-f", "base"]
    apply = [kubectl_path, "apply", "--server-side", *where]
    once(apply, peer.folder, env)
    return Case("kubectl diff", [kubectl_path, "diff", "--server-side", *where], peer.folder, None, env, 2), Case("kubectl apply --server-side", apply, peer.folder, None, env, 2)


def contest(cluster, work, args):
    print(f"\n== {args.maps} ConfigMaps and {args.deployments} Deployments", flush=True)
    ours = Ours(cluster, work, "ours", args.maps, args.deployments)
    together([ours.case("first apply")], 1, warm=0)
    floor = Case("floor, curl of the same pages", [*cluster.curl(*pages(cluster, "ours")), "-o", "/dev/null"], work)
    floor.command = [*cluster.curl(), *(part for path in pages(cluster, "ours") for part in (f"{cluster.base}{path}", "-o", "/dev/null"))]
    no_op, busy = ours.case("no-op"), ours.case("no-op, changes elsewhere in the cluster", before=ours.elsewhere)
    peers = []
    path = os.environ.get("KUBECTL") or shutil.which("kubectl", path=os.pathsep.join([os.environ.get("PATH", ""), os.path.join(PEERS, "bin")]))
    if args.skip_peers or not path:
        print("    -> kubectl is left out", flush=True)
    else:
        peers = kubectl(cluster, work, args, path)
    together([floor, no_op, busy, *peers], args.runs)
    ratio("no-op / curl of the same pages", no_op, floor, target="at most 2")
    ratio("no-op with changes elsewhere / curl of the same pages", busy, floor, target="at most 2")
    for peer in peers:
        ratio(f"{peer.label} / no-op", peer, no_op, target="at least 50")
    ours.count("no-op")
    ours.flip()
    ours.count("one change")
    changed = ours.case("one change", before=ours.flip)
    together([changed], args.runs)


def large(cluster, work, args):
    print(f"\n== {args.large} ConfigMaps", flush=True)
    ours = Ours(cluster, work, "large", args.large, 0)
    first, no_op = ours.case("first apply"), ours.case("no-op")
    together([first], 1, warm=0)
    together([no_op], args.runs)
    peak = max(run[2] for run in no_op.runs)
    print(f"    -> memory: {peak:.0f} MiB   (asked: under 150 MiB)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--maps", 1000), ("--deployments", 500), ("--large", 5000), ("--runs", 7)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--work", help="where everything is made; by default a temporary folder that is taken away")
    args = parser.parse_args()
    built = sorted(glob.glob(os.path.expanduser("~/.cache/trueup/kube-apiserver-*[0-9a-f]")), key=os.path.getmtime)
    program = os.environ.get("TRUEUP_KUBE_APISERVER") or (built[-1] if built else None)
    if not program:
        sys.exit("no kube-apiserver: tests/run builds one, or name it in TRUEUP_KUBE_APISERVER")
    work = os.path.abspath(args.work) if args.work else tempfile.mkdtemp(prefix="trueup-bench-")
    cluster = Cluster(os.path.join(work, "cluster"), program)
    try:
        contest(cluster, work, args)
        if args.large:
            large(cluster, work, args)
    finally:
        cluster.stop()
        if not args.work:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
