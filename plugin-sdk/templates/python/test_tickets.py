"""The provider against the server's own code, in one process and without Wasm: `python3 -m unittest`."""

import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "sdk"))

import server  # noqa: E402
import tickets  # noqa: E402
from trueup import contract as wit  # noqa: E402
from trueup.double import Engine, Failure, fault_of, respond  # noqa: E402


class TicketsTest(unittest.TestCase):
    def setUp(self):
        server.CLOSING = 0
        self.service = server.Service()
        self.engine = Engine(tickets.trueup_provider, {"server": "http://tickets.test/"})
        self.engine.double.serve(self.answer)

    def answer(self, request):
        headers = {name.title(): value for name, value in request.headers} | {"Authorization": "Bearer test-token"}
        self.assertEqual(request.credential, "token")
        try:
            return respond(*self.service.answer(request.method, request.url, headers, json.loads(request.body or b"{}")))
        except server.Refused as refused:
            return respond(refused.status, body=str(refused).encode())

    def declare(self, **spec):
        rendered = self.engine.render("Ticket", "x", {"spec": {"queue": "support", "title": "First"} | spec})
        self.assertEqual(rendered.diagnostics, [])
        return rendered.objects[0]

    def test_a_ticket_is_created_seen_changed_and_closed(self):
        made = self.engine.bring(None, self.declare(tags=["a"])).object
        spec = {"queue": "support", "title": "First", "priority": 3, "tags": ["a"], "body": ""}
        self.assertEqual((json.loads(made.doc)["spec"], made.identity, made.version), (spec, "T-1", '"1"'))
        self.assertEqual(json.loads(made.outputs), {"id": "T-1", "state": "open", "url": "http://tickets.test/tickets/T-1"})
        self.assertEqual(self.engine.read(made.address, identity="T-1"), wit.Observation_Found(made))
        self.assertEqual(self.engine.read(made.address), wit.Observation_Found(made))
        self.assertEqual(self.engine.scan("Ticket", "support").objects, [made])
        now = self.engine.bring(made, self.declare(priority=5)).object
        self.assertEqual(json.loads(now.doc)["spec"]["priority"], 5)
        self.assertEqual(fault_of(self.engine.bring(made, self.declare()).settlement.value), "conflict")
        for _ in range(2):
            self.assertEqual(self.engine.bring(now, None).settlement, wit.Settlement_Settled())
        self.assertEqual(self.engine.read(made.address), wit.Observation_Absent())

    def test_a_delete_that_takes_time_is_pending(self):
        server.CLOSING = 60
        made = self.engine.bring(None, self.declare()).object
        outcome = self.engine.apply([self.engine.change(made, None)])[0]
        self.assertIsInstance(outcome.settlement, wit.Settlement_Pending)
        again = self.engine.poll(outcome.settlement.value.operation)
        self.assertEqual(again.settlement.value.operation, outcome.settlement.value.operation)

    def test_a_queue_is_listed_page_by_page_and_not_again_while_nothing_changes(self):
        for number in range(250):
            self.engine.bring(None, self.declare(title=f"Ticket {number}"))
        self.engine.double.take_calls()
        snapshot = self.engine.scan("Ticket", "support")
        self.assertEqual((len(snapshot.objects), len(self.engine.double.take_calls())), (250, 3))
        again = self.engine.scan("Ticket", "support", since=snapshot.version)
        self.assertEqual(again.coverage, wit.Coverage.UNCHANGED)

    def test_what_changes_while_pages_are_read_is_seen_by_the_next_scan(self):
        made = [self.engine.bring(None, self.declare(title=f"Ticket {number}")).object for number in range(150)]
        page = self.engine.scan_page(self.engine.query("Ticket", "support"))
        self.engine.bring(made[0], self.declare(title="Ticket 0", priority=5))
        page = self.engine.scan_page(self.engine.query("Ticket", "support", cursor=page.next))
        again = self.engine.scan("Ticket", "support", since=page.version)
        self.assertEqual(json.loads(again.objects[0].doc)["spec"]["priority"], 5)

    def test_a_secret_is_sent_and_never_seen(self):
        hook = self.engine.double.secret("h", "hunter2")
        outcome = self.engine.bring(None, self.declare(hook=hook))
        self.assertTrue(self.service.tickets[1]["hookSet"])
        self.assertNotIn("hunter2", repr(outcome))

    def test_a_create_whose_answer_was_lost_makes_no_second_ticket(self):
        change = self.engine.change(None, self.declare())
        self.engine.double.serve(lambda request: self.answer(request) and wit.HttpError_Interrupted("reset by peer"))
        self.assertIsInstance(self.engine.apply([change])[0].settlement, wit.Settlement_Unsettled)
        self.engine.double.serve(self.answer)
        change.attempt, change.unsettled = 1, True
        self.assertEqual(self.engine.apply([change])[0].settlement, wit.Settlement_Settled())
        self.assertEqual(len(self.service.tickets), 1)

    def test_what_the_service_says_is_passed_on(self):
        for status, headers, fault in ((429, {"Retry-After": "7"}, "throttled 7000"), (401, {}, "unauthorized")):
            self.engine.double.serve(lambda _, status=status, headers=headers: respond(status, headers))
            with self.assertRaisesRegex(Failure, fault):
                self.engine.scan("Ticket", "support")
