/** What services may answer, and what becomes of it. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { Double, Engine, faultOf, respond } from "../trueup/double.js";
import { Fault, blob, choice, http, integer, kind, list, map, pending, readBlob, record, reveal, secret, serve, text } from "../trueup/index.js";
import { canonicaliser } from "../trueup/schema.js";

const home = record({ street: text({ lowercase: true }), number: integer({ optional: true }) });
const Person = kind("Person", {
  key: "{first}/{last}",
  batch: { items: 10 },
  spec: {
    first: text(),
    last: text(),
    email: text({ optional: true, case: "insensitive" }),
    homes: list(home, { default: [], listKey: "street" }),
    labels: map(text(), { default: {} }),
    role: choice(["admin", "user"], { default: "user" }),
    picture: blob({ optional: true }),
    password: secret({ optional: true }),
  },
});

/** An engine of people, whose service answers what `answers` has. */
function people(answers = {}) {
  class People {
    find() {
      return null;
    }
    scan() {
      return answers.scan();
    }
    apply(scope, items) {
      return answers.apply(items);
    }
    poll(operation) {
      return answers.poll(operation);
    }
  }
  return new Engine(serve({ name: "people", version: "1", kinds: [[Person, People]] }));
}

const declare = (engine, spec) => engine.render("Person", "x", { spec: { first: "a", last: "b", ...spec } }).objects[0];
const thrown = (fault) => {
  throw fault;
};

test("types and hints become a schema", () => {
  const { properties, required } = Person.schema;
  assert.deepEqual(required, ["first", "last"]);
  assert.deepEqual(properties.email, { type: "string", "x-trueup-case": "insensitive" });
  assert.equal(properties.homes.items.properties.street["x-trueup-format"], "lowercase");
  assert.equal(properties.homes["x-trueup-list-key"], "street");
  assert.deepEqual(properties.labels, { type: "object", additionalProperties: { type: "string" }, default: {} });
  assert.deepEqual(properties.role, { type: "string", enum: ["admin", "user"], default: "user" });
  assert.deepEqual(properties.picture, { type: "string", "x-trueup-blob": true });
  assert.deepEqual(properties.password, { type: "string", "x-trueup-sensitive": true, "x-trueup-write-only": true });
});

test("what no schema can be made of is said where it is written", () => {
  assert.throws(() => text({ immutabel: true }), /unknown hint `immutabel`/);
  assert.throws(() => record({ name: "text" }), /`name` has no type/);
  assert.throws(() => kind("X", { key: "{nam}", spec: { name: text() } }), /there is no field `nam`/);
  assert.throws(() => kind("X", { recover: "luck", spec: {} }), /must be one of key/);
});

test("a document takes the spelling of its schema", () => {
  const { schema } = record({ name: text({ lowercase: true }), ttl: integer({ default: 5 }) });
  assert.deepEqual(canonicaliser(schema, true)({ name: "WWW", types: null }), { name: "www", ttl: 5 });
  assert.deepEqual(canonicaliser(schema, false)({ name: "WWW" }), { name: "www" });
  const marker = { name: { $unknown: "Kind/A" }, ttl: 1 };
  assert.deepEqual(canonicaliser(schema, true)(marker), marker);
  const odd = JSON.parse('{"__proto__": {"polluted": true}}');
  assert.equal(canonicaliser(map(text()).schema, true)(odd).polluted, undefined);
});

test("a default is nobody's to change", () => {
  const engine = people();
  const first = JSON.parse(declare(engine, {}).doc).spec;
  first.homes.push(1);
  assert.deepEqual(JSON.parse(declare(engine, {}).doc).spec.homes, []);
});

test("a secret opens in an apply alone", () => {
  const double = new Double();
  const marker = double.secret("h", "canary");
  assert.throws(() => reveal(marker), { fault: "denied" });
  double.phase = "apply";
  assert.equal(reveal(marker), "canary");
  assert.throws(() => reveal({ $secret: "other" }), { fault: "unauthorized" });
});

test("a blob is read to its end, within a limit", () => {
  const marker = new Double().blob(new Uint8Array([1, 2, 3]));
  assert.deepEqual([...readBlob(marker, 3)], [1, 2, 3]);
  assert.throws(() => readBlob(marker, 2), { fault: "invalid" });
});

test("a nested document comes back as it went", () => {
  const engine = people({ apply: (items) => items.map(({ desired }) => ({ spec: desired })) });
  const picture = engine.double.blob(new Uint8Array([1]));
  const desired = declare(engine, { homes: [{ street: "Main", number: 1 }], picture, password: { $secret: "h" } });
  assert.equal(desired.address.key, "a/b");
  const { object } = engine.apply([engine.change(null, desired)])[0];
  assert.deepEqual(JSON.parse(object.doc), JSON.parse(desired.doc));
});

test("a batch is brought to the length that was asked", () => {
  const answers = { apply: (items) => [{ spec: items[0].desired }, Fault.conflict("x", "taken")] };
  const engine = people(answers);
  const changes = ["a", "b", "c"].map((last) => engine.change(null, declare(engine, { last })));
  assert.deepEqual(engine.apply(changes).map((it) => it.settlement.tag), ["settled", "rejected", "unsettled"]);
  answers.apply = () => thrown(Fault.transient("x", "later", { wait: 5 }));
  assert.deepEqual(engine.apply(changes).map((it) => faultOf(it.settlement.val)), Array(3).fill("transient 5"));
});

test("what nobody foresaw is a fault without its text, and unsettled once something was sent", () => {
  const answers = {};
  const engine = people(answers);
  engine.double.serve(() => respond(200));
  const wrong = () => thrown(new TypeError("canary"));
  const wrote = () => http.put("https://x").send() && wrong();
  for (const [apply, tag] of [[wrong, "rejected"], [wrote, "unsettled"]]) {
    answers.apply = apply;
    const { settlement } = engine.apply([engine.change(null, declare(engine, {}))])[0];
    assert.equal(settlement.tag, tag);
    assert.match(settlement.val.diagnostics[0].summary, /TypeError at services\.test\.js:\d+$/);
    assert.ok(!JSON.stringify(settlement).includes("canary"));
  }
});

test("a poll that could not ask is asked again, and one that failed is unsettled", () => {
  const answers = {};
  const engine = people(answers);
  const poll = (answer) => {
    answers.poll = (operation) => operation === "op 1" && answer();
    return engine.poll("Person op 1");
  };
  const again = poll(() => thrown(Fault.transient("x", "busy", { wait: 7 }))).settlement.val;
  assert.deepEqual([again.operation, again.after], ["Person op 1", 7]);
  assert.equal(poll(() => thrown(Fault.invalid("x", "no"))).settlement.tag, "unsettled");
  assert.equal(poll(() => pending("op", { after: 9 })).settlement.val.operation, "Person op");
  assert.equal(poll(() => ({ spec: { first: "a", last: "b" } })).object.address.key, "a/b");
});

test("the manifest promises what the service has", () => {
  const { kinds, features } = people().manifest();
  assert.deepEqual([kinds.Person.observe, kinds.Person.recover, kinds.Person.batch.items], ["scan", "key", 10]);
  assert.deepEqual(features, ["rendering", "operations"]);
  class Blind { create() {} }
  class Idle { find() {} }
  assert.throws(() => serve({ name: "x", version: "1", kinds: [[Person, Blind]] }), /never observed/);
  assert.throws(() => serve({ name: "x", version: "1", kinds: [[Person, Idle]] }), /never changed/);
});

test("an answer of a wrong type is an error that says so", () => {
  const engine = people({ scan: () => [], apply: () => [7] });
  assert.throws(() => engine.scan("Person", ""), /no page/);
  const { settlement } = engine.apply([engine.change(null, declare(engine, {}))])[0];
  assert.deepEqual([settlement.tag, settlement.val.fault.tag], ["unsettled", "internal"]);
});
