"""Servers for the benchmark of zones, on the loopback and in a folder of their own, and a proxy that counts what they are asked."""
import os, socket, subprocess, sys, threading, time

API_KEY = "bench-Api9-Key7"
KEY_NAME = "trueup."
KEY_SECRET = "dHJ1ZXVwIHRlc3RzIHNoYXJlIHRoaXMga2V5ISEhISE="
SCHEMA = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"


def free_port():
    """A port that is free for TCP and UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A child process that listens on a port; it can be stopped and started on another one with its data kept."""

    def __init__(self, folder):
        self.folder, self.child, self.port = folder, None, None
        os.makedirs(folder, exist_ok=True)

    def run(self, command, port):
        self.port = port
        with open(os.path.join(self.folder, "server.log"), "wb") as log:
            self.child = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not (listens(port) and self.ready()):
            if self.child.poll() is not None or time.monotonic() > deadline:
                self.stop()
                sys.exit(f"{command[0]} does not start; see {self.folder}/server.log\n{self.log()[-2000:]}")
            time.sleep(0.02)

    def ready(self):
        return True

    def log(self):
        with open(os.path.join(self.folder, "server.log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self):
        if self.child:
            self.child.terminate()
            self.child.wait()
            self.child = None


class Pdns(Server):
    """PowerDNS with SQLite; zones are loaded from zone files before it starts."""

    kind = "PowerDNS"

    def __init__(self, folder):
        super().__init__(folder)
        self.database = os.path.join(folder, "pdns.sqlite3")
        with open(SCHEMA, encoding="utf-8") as schema:
            subprocess.run(["sqlite3", self.database], stdin=schema, check=True)
        with open(os.path.join(folder, "pdns.conf"), "w", encoding="utf-8") as file:
            file.write(f"launch=gsqlite3\ngsqlite3-database={self.database}\ngsqlite3-pragma-synchronous=0\n")

    def load(self, zone, path):
        for command in (["load-zone", zone, path], ["set-meta", zone, "SOA-EDIT-API", "DEFAULT"]):
            done = subprocess.run(["pdnsutil", f"--config-dir={self.folder}", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                sys.exit(f"pdnsutil {' '.join(command)}: {done.stdout.decode(errors='replace')[-2000:]}")

    def start(self, port):
        dns = free_port()
        self.run(["pdns_server", f"--config-dir={self.folder}", f"--socket-dir={self.folder}", "--webserver=yes", "--api=yes",
                  f"--api-key={API_KEY}", "--webserver-address=127.0.0.1", f"--webserver-port={port}", "--local-address=127.0.0.1",
                  f"--local-port={dns}", "--daemon=no", "--guardian=no", "--loglevel=3", "--zone-cache-refresh-interval=0"], port)


class Bind(Server):
    """BIND with zones that one key may change and transfer."""

    kind = "BIND"

    def __init__(self, folder):
        super().__init__(folder)
        self.zones = []

    def load(self, zone, path):
        with open(path, "rb") as source, open(os.path.join(self.folder, f"{zone}.db"), "wb") as target:
            target.write(source.read())
        self.zones.append(zone)

    def start(self, port):
        config = os.path.join(self.folder, "named.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'options {{ directory "{self.folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none; '
                       'session-keyfile none; recursion no; notify no; dnssec-validation no; };\ncontrols { };\n'
                       f'key "{KEY_NAME}" {{ algorithm hmac-sha256; secret "{KEY_SECRET}"; }};\n')
            for zone in self.zones:
                file.write(f'zone "{zone}" {{ type primary; file "{zone}.db"; allow-update {{ key "{KEY_NAME}"; }}; '
                           f'allow-transfer {{ key "{KEY_NAME}"; }}; }};\n')
        self.run(["named", "-g", "-n", "1", "-c", config], port)

    def ready(self):
        return any(line.endswith(" running") for line in self.log().splitlines())


class Counter:
    """A proxy on one port of the loopback before a server on another; keeps what was asked, a word or two for each request."""

    def __init__(self, port, target, read):
        self.target, self.read, self.asked, self.lock = target, read, [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.up, args=(client, server), daemon=True).start()
            threading.Thread(target=self.down, args=(server, client), daemon=True).start()

    def up(self, client, server):
        """Passes on what the client says, and notes each request in it."""
        with client.makefile("rb") as stream:
            try:
                while (request := self.read(stream)) is not None:
                    what, data = request
                    with self.lock:
                        self.asked.append(what)
                    server.sendall(data)
                server.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    @staticmethod
    def down(server, client):
        try:
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def take(self):
        with self.lock:
            asked, self.asked = self.asked, []
        return asked

    def close(self):
        # The thread in accept() is woken by the shutdown only.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def http_request(stream):
    """One HTTP request of a stream: its method, and its bytes."""
    head, length = b"", 0
    while line := stream.readline():
        head += line
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if name.lower() == b"transfer-encoding":
            sys.exit("the counting proxy reads no chunked request")
        if line == b"\r\n":
            return head.split(b" ")[0].decode(), head + stream.read(length)
    return None


def dns_request(stream):
    """One DNS message of a TCP stream: what it asks for, and its bytes."""
    size = stream.read(2)
    if len(size) < 2:
        return None
    message = stream.read(int.from_bytes(size, "big"))
    if (message[2] >> 3) & 15 == 5:
        return "UPDATE", size + message
    at = 12
    while message[at]:
        at += message[at] + 1
    kind = int.from_bytes(message[at + 1:at + 3], "big")
    return {251: "IXFR", 252: "AXFR"}.get(kind, "query"), size + message
