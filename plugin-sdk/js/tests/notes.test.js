import assert from "node:assert/strict";
import { test } from "node:test";

import { Engine, faultOf, respond } from "../trueup/double.js";
import { http } from "../trueup/index.js";
import { notes } from "./notes.js";

/** The service: notes by URL, each with the number of its version. */
function service() {
  const held = new Map();
  const serve = ({ method, url, headers, body }) => {
    const it = held.get(url);
    const wanted = Object.fromEntries(headers);
    const isStale = ![undefined, "*", String(it?.version)].includes(wanted["if-match"]);
    if (isStale || (wanted["if-none-match"] && it)) return respond(412);
    if (method === "DELETE" && it) return held.delete(url) && respond(204);
    if (method === "PUT") held.set(url, { version: (it?.version ?? 0) + 1, body });
    else if (!it) return respond(404);
    const { version, body: now } = held.get(url);
    return respond(200, { ETag: String(version), Location: "/n/1" }, now);
  };
  return { held, serve };
}

function start() {
  const engine = new Engine(notes);
  const { held, serve } = service();
  engine.double.serve(serve);
  return { engine, held, serve };
}

const spec = (it) => JSON.parse(it.doc).spec;

test("a note is rendered, created, seen, changed and deleted", () => {
  const { engine, held } = start();
  const note = (text) => engine.render("Note", "x", { spec: { board: "Home", title: "a b", text } }).objects[0];
  const desired = note("hello");
  assert.deepEqual(desired.address, { kind: "Note", scope: "home", key: "a b" });
  assert.deepEqual(JSON.parse(desired.doc), { spec: { board: "home", title: "a b", text: "hello", stars: 1 } });
  const made = engine.bring(null, desired).object;
  assert.ok(held.has("https://notes.example/api/home/a%20b"));
  assert.deepEqual([spec(made), made.version, JSON.parse(made.outputs)], [spec(desired), "1", { link: "/n/1" }]);
  assert.deepEqual(engine.read(desired.address), { tag: "found", val: made });
  assert.deepEqual(engine.read(desired.address, { since: "1" }), { tag: "unchanged" });
  const now = engine.bring(made, note("bye")).object;
  assert.equal(faultOf(engine.bring(made, null).settlement.val), "conflict");
  assert.equal(engine.bring(now, null).settlement.tag, "settled");
  assert.equal(engine.bring(now, null).settlement.tag, "settled", "deleting twice");
  assert.deepEqual(engine.read(desired.address), { tag: "absent" });
});

test("a create whose answer was lost makes no second note", () => {
  const { engine, held, serve } = start();
  const desired = engine.render("Note", "x", { spec: { board: "b", title: "t", text: "x" } }).objects[0];
  const change = engine.change(null, desired);
  engine.double.serve((request) => serve(request) && { tag: "interrupted", val: "reset by peer" });
  assert.equal(engine.apply([change])[0].settlement.tag, "unsettled");
  engine.double.serve(serve);
  assert.equal(engine.apply([{ ...change, attempt: 1, unsettled: true }])[0].settlement.tag, "settled");
  assert.deepEqual([...held.values()].map((it) => it.version), [1]);
});

test("what an earlier try made otherwise is finished", () => {
  const { engine } = start();
  const note = (text) => engine.render("Note", "x", { spec: { board: "b", title: "t", text } }).objects[0];
  engine.bring(null, note("old"));
  const outcome = engine.apply([{ ...engine.change(null, note("new")), attempt: 1, unsettled: true }])[0];
  assert.equal(spec(outcome.object).text, "new");
});

test("a plan cannot write", () => {
  const { engine, held } = start();
  engine.double.phase = "observe";
  assert.throws(() => http.put("https://notes.example/api/x").send(), { fault: "denied", unsettled: false });
  assert.equal(held.size, 0);
});

test("an unknown value in a lookup is no error", () => {
  const { engine } = start();
  const desired = { spec: { board: "b", title: "t", text: { $unknown: "Note/a" } } };
  assert.deepEqual(engine.read({ kind: "Note", scope: "b", key: "t" }, { desired }), { tag: "absent" });
  assert.deepEqual(spec(engine.render("Note", "x", desired).objects[0]).text, { $unknown: "Note/a" });
});

test("a kind that is not served is refused, and an unserved function is too", () => {
  const { engine } = start();
  assert.equal(engine.render("Other", "x", { spec: {} }).diagnostics[0].code, "sdk.unsupported");
  assert.equal(faultOf(engine.read({ kind: "Other", scope: "", key: "x" }).val), "unsupported");
  assert.throws(() => engine.scan("Note", "b"), { fault: "unsupported" });
  assert.equal(faultOf(engine.poll("Note x").settlement.val), "unsupported");
});

test("an address needs what it is made of", () => {
  const { engine } = start();
  for (const [title, why] of [[null, /is missing/], [{ $unknown: "Note/a" }, /must be known before apply/]]) {
    const { objects, diagnostics } = engine.render("Note", "x", { spec: { board: "b", title, text: "x" } });
    assert.deepEqual([objects, diagnostics[0].path], [[], "/spec/title"]);
    assert.match(diagnostics[0].summary, why);
  }
});

test("the manifest says what the kinds say", () => {
  const manifest = start().engine.manifest();
  const { observe, recover, schema } = manifest.kinds.Note;
  assert.deepEqual([observe, recover], ["read", "key"]);
  const { properties, required, description } = schema.properties.spec;
  assert.deepEqual([required, description], [["board", "title", "text"], "A note on a board."]);
  assert.equal(properties.title["x-trueup-key"], true);
  assert.deepEqual(properties.stars, { type: "integer", default: 1, minimum: 1, maximum: 5 });
  assert.equal(properties.text.description, "What it says.");
  assert.equal(schema.properties.status.properties.link["x-trueup-computed"], true);
  assert.deepEqual([manifest.credentials, manifest.features], [{ token: { schemes: ["bearer"] } }, ["rendering"]]);
});
