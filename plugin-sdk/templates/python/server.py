"""A small ticket service to test against: `python3 server.py PORT`. All of its state is in memory."""

import bisect
import collections
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 100
CLOSING = 0.3  # Seconds that a delete takes.
WRITABLE = ("title", "priority", "tags", "body", "hook")
OWN = ("id", "queue", "state", "created", "rev", "hookSet")


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Service:
    def __init__(self):
        self.lock = threading.Lock()
        self.tickets, self.titles, self.keys = {}, {}, {}  # by number; numbers by (queue, title); by Idempotency-Key
        self.queues = collections.defaultdict(list)  # numbers of each queue, in order
        self.versions, self.requests = collections.Counter(), collections.Counter()
        self.closing, self.last = collections.deque(), 0  # (when it is gone, number)

    def sweep(self):
        while self.closing and self.closing[0][0] <= time.monotonic():
            _, number = self.closing.popleft()
            ticket = self.tickets.pop(number)
            numbers = self.queues[ticket["queue"]]
            numbers.pop(bisect.bisect_left(numbers, number))
            del self.titles[ticket["queue"], ticket["title"]]
            self.versions[ticket["queue"]] += 1

    def find(self, id):
        number = int(id[2:]) if id.startswith("T-") and id[2:].isdecimal() else 0
        if number not in self.tickets:
            raise Refused(404, f"there is no ticket {id}")
        return number, self.tickets[number]

    def page(self, query):
        queue, limit = query.get("queue", ""), min(int(query.get("limit") or PAGE), PAGE)
        numbers = self.queues.get(queue, [])
        start = bisect.bisect_right(numbers, int(query["after"][2:])) if query.get("after") else 0
        chosen = numbers[start : start + limit]
        more = start + limit < len(numbers)
        tickets = [self.tickets[it] for it in chosen]
        return {"tickets": tickets, "next": tickets[-1]["id"] if more else None}, f'"q{self.versions[queue]}"'

    def create(self, body, key):
        if key in self.keys:
            return 200, self.tickets.get(self.keys[key]) or body
        queue, title = body.get("queue"), body.get("title")
        if not (isinstance(queue, str) and queue and isinstance(title, str) and title):
            raise Refused(422, "a ticket needs a queue and a title")
        if (queue, title) in self.titles:
            raise Refused(409, f"{queue} has a ticket of that title")
        self.last += 1
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ticket = {"id": f"T-{self.last}", "queue": queue, "title": title, "priority": 3, "tags": [], "body": ""}
        ticket |= {"state": "open", "hookSet": False, "created": now, "rev": 0}
        self.tickets[self.last] = ticket
        self.titles[queue, title] = self.last
        self.queues[queue].append(self.last)
        if key:
            self.keys[key] = self.last
        self.merge(ticket, body)
        return 201, ticket

    def change(self, number, ticket, body):
        title = body.get("title", ticket["title"])
        if body.get("queue", ticket["queue"]) != ticket["queue"]:
            raise Refused(422, "a ticket stays in its queue")
        if self.titles.get((ticket["queue"], title), number) != number:
            raise Refused(409, f"{ticket['queue']} has a ticket of that title")
        del self.titles[ticket["queue"], ticket["title"]]
        self.titles[ticket["queue"], title] = number
        self.merge(ticket, body)

    def merge(self, ticket, body):
        ticket.update({name: value for name, value in body.items() if name not in OWN and name != "hook"})
        if "hook" in body:
            ticket["hookSet"] = body["hook"] is not None  # The value itself is nobody's to read.
        ticket["rev"] += 1
        self.versions[ticket["queue"]] += 1

    def close(self, number, ticket):
        if ticket["state"] != "closing":
            self.merge(ticket, {"state": "closing"})
            ticket["state"] = "closing"
            self.closing.append((time.monotonic() + CLOSING, number))

    def answer(self, method, url, headers, body):
        """Status, headers, and JSON or None."""
        url = urlsplit(url)
        parts = [unquote(it) for it in url.path.strip("/").split("/")]
        if method == "GET" and parts == ["requests"]:
            return 200, {}, dict(self.requests)
        self.requests[method] += 1
        if headers.get("Authorization") != "Bearer test-token":
            return 401, {}, {"error": "a token is needed"}
        self.sweep()
        if parts == ["tickets"] and method == "GET":
            page, etag = self.page({name: values[0] for name, values in parse_qs(url.query).items()})
            is_known = headers.get("If-None-Match") == etag
            return (304, {"ETag": etag}, None) if is_known else (200, {"ETag": etag}, page)
        if parts == ["tickets"] and method == "POST":
            status, ticket = self.create(body, headers.get("Idempotency-Key"))
            return status, {"ETag": f'"{ticket["rev"]}"'}, ticket
        if len(parts) != 2 or parts[0] != "tickets":
            raise Refused(404, "there is nothing here")
        number, ticket = self.find(parts[1])
        if method == "DELETE":
            self.close(number, ticket)
            return 202, {}, ticket
        if method == "PATCH":
            if headers.get("If-Match", f'"{ticket["rev"]}"') not in ("*", f'"{ticket["rev"]}"'):
                raise Refused(412, "the ticket has changed")
            self.change(number, ticket, body)
        elif method != "GET":
            raise Refused(405, f"no {method} here")
        return 200, {"ETag": f'"{ticket["rev"]}"'}, ticket


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # One segment for each answer.
    service = Service()

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length) if length else b"{}"
        try:
            with self.service.lock:
                status, headers, body = self.service.answer(self.command, self.path, self.headers, json.loads(text))
                data = b"" if body is None else json.dumps(body).encode()
        except Refused as refused:
            status, headers, data = refused.status, {}, json.dumps({"error": str(refused)}).encode()
        except (ValueError, AttributeError) as error:
            status, headers, data = 400, {}, json.dumps({"error": str(error)}).encode()
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = answer


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
