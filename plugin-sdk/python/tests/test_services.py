"""What services may answer, and what becomes of it."""

import json
import typing
import unittest

from trueup import Blob, Error, Found, Item, Page, Pending, Secret, field, http, kind, pick, provider, record
from trueup import contract as wit
from trueup.double import Double, Engine, Failure, fault_of, respond
from trueup.schema import canonicaliser, object_schema


@record
class Address:
    street: str = field(lowercase=True)
    number: int | None = None


@kind(key="{first}/{last}", batch=10)
class Person:
    first: str
    last: str
    email: str | None = field(default=None, case="insensitive")
    home: Address | None = None
    homes: list[Address] = field(default=[], list_key="street")
    labels: dict[str, str] = field(default={})
    role: typing.Literal["admin", "user"] = "user"
    picture: Blob | None = None
    password: Secret | None = None
    klass: str | None = field(default=None, name="class")


class People:
    def __init__(self, conf):
        self.wanted = None

    def scan(self, query, info):
        return Page([])

    def find(self, target):
        return None

    def apply(self, scope, items, info):
        assert all(type(it) is Item for it in items)
        return self.wanted(items)


def people():
    made = provider("people", version="1", kinds={Person: People})
    engine = Engine(made, {})
    return engine, made._services["Person"]


class SchemaTest(unittest.TestCase):
    def test_types_and_hints_become_a_schema(self):
        schema = object_schema(Person)
        properties = schema["properties"]
        self.assertEqual(schema["required"], ["first", "last"])
        self.assertEqual(properties["email"], {"type": "string", "x-trueup-case": "insensitive"})
        self.assertEqual(properties["homes"]["items"]["properties"]["street"]["x-trueup-format"], "lowercase")
        self.assertEqual(properties["homes"]["x-trueup-list-key"], "street")
        self.assertEqual(properties["labels"], {"type": "object", "additionalProperties": {"type": "string"}, "default": {}})
        self.assertEqual(properties["role"], {"type": "string", "enum": ["admin", "user"], "default": "user"})
        self.assertEqual(properties["picture"], {"type": "string", "x-trueup-blob": True})
        secret = {"type": "string", "x-trueup-sensitive": True, "x-trueup-write-only": True}
        self.assertEqual(properties["password"], secret)
        self.assertIn("class", properties)

    def test_what_no_schema_can_be_made_of_is_said_where_it_is_written(self):
        with self.assertRaisesRegex(TypeError, "no schema"):
            record(type("Odd", (), {"__annotations__": {"it": complex}}))
        with self.assertRaisesRegex(TypeError, "unknown hint `immutabel`"):
            field(immutabel=True)
        with self.assertRaisesRegex(ValueError, "there is no field `nam`"):
            kind(key="{nam}")(type("Named", (), {"__annotations__": {"name": str}}))

    def test_a_document_takes_the_spelling_of_its_schema(self):
        schema = {
            "properties": {
                "name": {"type": "string", "x-trueup-format": "lowercase"},
                "ttl": {"type": "integer", "default": 5},
            }
        }
        schema |= {"type": "object"}
        fill, keep = canonicaliser(schema, True), canonicaliser(schema, False)
        self.assertEqual(fill({"name": "WWW", "types": None}), {"name": "www", "ttl": 5})
        self.assertEqual(keep({"name": "WWW"}), {"name": "www"})
        marker = {"name": {"$unknown": "Kind/A"}, "ttl": 1}
        self.assertEqual(fill(marker), marker)

    def test_a_secret_shows_nothing_of_itself_and_opens_in_an_apply_alone(self):
        double = Double()
        secret = Secret.load(double.secret("h", "canary"))
        self.assertEqual((repr(secret), str(secret)), ("(secret)", "(secret)"))
        with self.assertRaises(Error) as raised:
            secret.reveal()
        self.assertEqual(raised.exception.fault, "denied")
        double.phase = "apply"
        self.assertEqual(secret.reveal(), "canary")

    def test_a_blob_is_read_to_its_end_within_a_limit(self):
        blob = Blob.load(Double().blob(b"hello"))
        self.assertEqual(blob.read(5), b"hello")
        with self.assertRaises(Error) as raised:
            blob.read(4)
        self.assertEqual(raised.exception.fault, "invalid")


class ServiceTest(unittest.TestCase):
    def declare(self, engine, **spec):
        return engine.render("Person", "x", {"spec": {"first": "a", "last": "b"} | spec}).objects[0]

    def test_a_nested_document_comes_back_as_it_went(self):
        engine, service = people()
        spec = {"home": {"street": "Main"}, "homes": [{"street": "A", "number": 1}], "class": "x"}
        desired = self.declare(engine, **spec, picture=engine.double.blob(b"hello"), password={"$secret": "h"})
        self.assertEqual(desired.address.key, "a/b")
        seen = []
        service.wanted = lambda items: seen.extend(it.desired for it in items) or [Found(it.desired) for it in items]
        outcome = engine.apply([engine.change(None, desired)])[0]
        self.assertEqual((seen[0].home.street, seen[0].homes[0].number, seen[0].klass), ("main", 1, "x"))
        self.assertEqual(json.loads(outcome.object.doc), json.loads(desired.doc))

    def test_a_batch_is_brought_to_the_length_that_was_asked(self):
        engine, service = people()
        changes = [engine.change(None, self.declare(engine, last=it)) for it in "abc"]
        service.wanted = lambda items: [Found(items[0].desired), Error.conflict("x", "taken")]
        kinds = [type(it.settlement) for it in engine.apply(changes)]
        self.assertEqual(kinds, [wit.Settlement_Settled, wit.Settlement_Rejected, wit.Settlement_Unsettled])

        def fails(items):
            raise Error.transient("x", "later", wait=5)

        service.wanted = fails
        self.assertEqual({fault_of(it.settlement.value) for it in engine.apply(changes)}, {"transient 5"})

    def test_what_nobody_foresaw_is_a_fault_without_its_text_and_unsettled_once_something_was_sent(self):
        engine, service = people()
        engine.double.serve(lambda _: respond(200))

        def wrong(items):
            raise KeyError("canary")

        def wrote(items):
            http.put("https://x").send()
            raise KeyError("canary")

        for wanted, settlement in ((wrong, wit.Settlement_Rejected), (wrote, wit.Settlement_Unsettled)):
            service.wanted = wanted
            outcome = engine.apply([engine.change(None, self.declare(engine))])[0]
            self.assertIsInstance(outcome.settlement, settlement)
            text = outcome.settlement.value.diagnostics[0].summary
            self.assertRegex(text, r"KeyError at test_services\.py:\d+")
            self.assertNotIn("canary", text)

    def test_a_poll_that_could_not_ask_is_asked_again_and_one_that_failed_is_unsettled(self):
        engine, service = people()
        answers = iter(
            [
                Error.transient("x", "busy", wait=7),
                Error.invalid("x", "no"),
                Pending("op", after=9),
                Found(pick(Person, {"first": "a", "last": "b"})),
            ]
        )

        def poll(operation, info):
            self.assertEqual(operation, "op 1")
            answer = next(answers)
            if isinstance(answer, Error):
                raise answer
            return answer

        service.poll = poll
        again = engine.poll("Person op 1").settlement
        self.assertEqual((again.value.operation, again.value.after), ("Person op 1", 7))
        self.assertIsInstance(engine.poll("Person op 1").settlement, wit.Settlement_Unsettled)
        self.assertEqual(engine.poll("Person op 1").settlement.value.operation, "Person op")
        self.assertEqual(engine.poll("Person op 1").object.address.key, "a/b")

    def test_the_manifest_promises_what_the_service_has(self):
        engine, _ = people()
        manifest = engine.manifest()
        made = manifest["kinds"]["Person"]
        self.assertEqual((made["observe"], made["recover"], made["batch"]["items"]), ("scan", "key", 10))
        self.assertEqual(manifest["features"], ["rendering"])
        with self.assertRaisesRegex(TypeError, "never observed"):
            provider("x", version="1", kinds={Person: type("Blind", (), {"create": None})})
        with self.assertRaisesRegex(TypeError, "never changed"):
            provider("x", version="1", kinds={Person: type("Idle", (), {"find": None})})

    def test_an_answer_of_a_wrong_type_is_an_error_that_says_so(self):
        engine, service = people()
        service.scan = lambda query, info: []
        with self.assertRaisesRegex(Failure, "where a page"):
            engine.scan("Person", "")
        service.wanted = lambda items: [{}]
        outcome = engine.apply([engine.change(None, self.declare(engine))])[0]
        self.assertIn("where an object", outcome.settlement.value.diagnostics[0].summary)
        self.assertIsInstance(outcome.settlement, wit.Settlement_Unsettled)
