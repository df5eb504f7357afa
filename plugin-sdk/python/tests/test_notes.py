import json
import unittest

from trueup import contract as wit
from trueup.double import Engine, fault_of, respond

from . import notes


class Service:
    """The service: notes by URL, each with the number of its version."""

    def __init__(self):
        self.notes = {}

    def __call__(self, request):
        held, headers = self.notes.get(request.url), dict(request.headers)
        version = held and str(held[0])
        if "if-none-match" in headers and held or headers.get("if-match", "*") not in ("*", version):
            return respond(412)
        if request.method == "PUT":
            self.notes[request.url] = (held[0] + 1 if held else 1, request.body)
        elif request.method == "DELETE" and held:
            del self.notes[request.url]
            return respond(204)
        elif held is None:
            return respond(404)
        version, body = self.notes[request.url]
        return respond(200, {"ETag": str(version), "Location": "/n/1"}, body)


def start():
    engine, service = Engine(notes.trueup_provider, {}), Service()
    engine.double.serve(service)
    return engine, service


class NotesTest(unittest.TestCase):
    def test_a_note_is_rendered_created_seen_changed_and_deleted(self):
        engine, service = start()

        def note(text):
            doc = {"spec": {"board": "Home", "title": "a b", "text": text}}
            return engine.render("Note", "x", doc).objects[0]

        desired = note("hello")
        self.assertEqual((desired.address.scope, desired.address.key), ("home", "a b"))
        spec = {"board": "home", "title": "a b", "text": "hello", "stars": 1}
        self.assertEqual(json.loads(desired.doc), {"spec": spec})
        made = engine.bring(None, desired).object
        self.assertIn("https://notes.example/api/home/a%20b", service.notes)
        self.assertEqual((json.loads(made.doc), made.version), ({"spec": spec}, "1"))
        self.assertEqual(json.loads(made.outputs), {"link": "/n/1"})
        self.assertEqual(engine.read(desired.address), wit.Observation_Found(made))
        self.assertEqual(engine.read(desired.address, since="1"), wit.Observation_Unchanged())
        now = engine.bring(made, note("bye")).object
        stale = engine.bring(made, None)
        self.assertEqual(fault_of(stale.settlement.value), "conflict")
        self.assertEqual(engine.bring(now, None).settlement, wit.Settlement_Settled())
        self.assertEqual(engine.bring(now, None).settlement, wit.Settlement_Settled(), "deleting twice")
        self.assertEqual(engine.read(desired.address), wit.Observation_Absent())

    def test_a_create_whose_answer_was_lost_makes_no_second_note(self):
        engine, service = start()
        desired = engine.render("Note", "x", {"spec": {"board": "b", "title": "t", "text": "x"}}).objects[0]
        change = engine.change(None, desired)
        engine.double.serve(lambda request: service(request) and wit.HttpError_Interrupted("reset by peer"))
        self.assertIsInstance(engine.apply([change])[0].settlement, wit.Settlement_Unsettled)
        engine.double.serve(service)
        change.attempt, change.unsettled = 1, True
        self.assertEqual(engine.apply([change])[0].settlement, wit.Settlement_Settled())
        self.assertEqual([version for version, _ in service.notes.values()], [1])

    def test_what_an_earlier_try_made_otherwise_is_finished(self):
        engine, service = start()
        note = engine.render("Note", "x", {"spec": {"board": "b", "title": "t", "text": "old"}}).objects[0]
        engine.bring(None, note)
        note = engine.render("Note", "x", {"spec": {"board": "b", "title": "t", "text": "new"}}).objects[0]
        change = engine.change(None, note)
        change.attempt, change.unsettled = 1, True
        self.assertEqual(json.loads(engine.apply([change])[0].object.doc)["spec"]["text"], "new")

    def test_a_plan_cannot_write(self):
        engine, service = start()
        engine.double.phase = "observe"
        with self.assertRaisesRegex(Exception, "no apply"):
            notes.http.put("https://notes.example/api/x").send()
        self.assertEqual(service.notes, {})

    def test_an_unknown_value_in_a_lookup_is_no_error(self):
        engine, _ = start()
        address = wit.Address("Note", "b", "t")
        desired = {"spec": {"board": "b", "title": "t", "text": {"$unknown": "Note/a"}}}
        self.assertEqual(engine.read(address, desired=desired), wit.Observation_Absent())
        rendered = engine.render("Note", "x", desired).objects[0]
        self.assertEqual(json.loads(rendered.doc)["spec"]["text"], {"$unknown": "Note/a"})

    def test_a_kind_that_is_not_served_is_refused_and_an_unserved_function_is_too(self):
        engine, _ = start()
        self.assertEqual(engine.render("Other", "x", {"spec": {}}).diagnostics[0].code, "sdk.unsupported")
        self.assertEqual(fault_of(engine.read(wit.Address("Other", "", "x")).value), "unsupported")
        with self.assertRaisesRegex(Exception, "unsupported"):
            engine.scan("Note", "b")
        self.assertEqual(fault_of(engine.poll("Note x").settlement.value), "unsupported")

    def test_an_address_needs_what_it_is_made_of(self):
        engine, _ = start()
        for title, why in ((None, "is missing"), ({"$unknown": "Note/a"}, "must be known before apply")):
            rendered = engine.render("Note", "x", {"spec": {"board": "b", "title": title, "text": "x"}})
            self.assertEqual((rendered.objects, rendered.diagnostics[0].path), ([], "/spec/title"))
            self.assertIn(why, rendered.diagnostics[0].summary)

    def test_the_manifest_says_what_the_classes_say(self):
        manifest = start()[0].manifest()
        kind = manifest["kinds"]["Note"]
        self.assertEqual((kind["observe"], kind["recover"]), ("read", "key"))
        spec = kind["schema"]["properties"]["spec"]
        self.assertEqual((spec["required"], spec["description"]), (["board", "title", "text"], "A note on a board."))
        self.assertIs(spec["properties"]["title"]["x-trueup-key"], True)
        self.assertEqual(spec["properties"]["stars"], {"type": "integer", "minimum": 1, "maximum": 5, "default": 1})
        self.assertEqual(spec["properties"]["text"]["description"], "What it says.")
        self.assertIs(kind["schema"]["properties"]["status"]["properties"]["link"]["x-trueup-computed"], True)
        self.assertEqual(manifest["credentials"], {"token": {"schemes": ["bearer"]}})
        self.assertEqual(manifest["features"], ["rendering"])
