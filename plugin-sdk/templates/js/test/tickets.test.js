/** The provider against the server's own code, in one process and without Wasm: `node --test`. */
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import * as server from "../server.mjs";
import { Engine, faultOf, respond } from "../sdk/trueup/double.js";
import { toText } from "../sdk/trueup/host.js";
import * as tickets from "../src/tickets.js";

let engine;

function answer({ method, url, headers, body, credential }) {
  assert.equal(credential, "token");
  const all = { ...Object.fromEntries(headers), authorization: "Bearer test-token" };
  return respond(...server.respond(method, url, all, body && toText(body)));
}

const declare = (spec = {}) => {
  const { objects, diagnostics } = engine.render("Ticket", "x", { spec: { queue: "support", title: "First", ...spec } });
  assert.deepEqual(diagnostics, []);
  return objects[0];
};
const spec = (it) => JSON.parse(it.doc).spec;

beforeEach(() => {
  server.reset();
  server.closes.after = 0;
  engine = new Engine(tickets, { server: "http://tickets.test/" });
  engine.double.serve(answer);
});

test("a ticket is created, seen, changed and closed", () => {
  const made = engine.bring(null, declare({ tags: ["a"] })).object;
  assert.deepEqual(spec(made), { queue: "support", title: "First", priority: 3, tags: ["a"], body: "" });
  assert.deepEqual([made.identity, made.version], ["T-1", '"1"']);
  assert.deepEqual(JSON.parse(made.outputs), { id: "T-1", state: "open", url: "http://tickets.test/tickets/T-1" });
  assert.deepEqual(engine.read(made.address, { identity: "T-1" }), { tag: "found", val: made });
  assert.deepEqual(engine.read(made.address), { tag: "found", val: made });
  assert.deepEqual(engine.scan("Ticket", "support").objects, [made]);
  const now = engine.bring(made, declare({ priority: 5 })).object;
  assert.equal(spec(now).priority, 5);
  assert.equal(faultOf(engine.bring(made, declare()).settlement.val), "conflict");
  for (const _ of [1, 2]) assert.equal(engine.bring(now, null).settlement.tag, "settled");
  assert.deepEqual(engine.read(made.address), { tag: "absent" });
});

test("a delete that takes time is pending", () => {
  server.closes.after = 60_000;
  const made = engine.bring(null, declare()).object;
  const { settlement } = engine.apply([engine.change(made, null)])[0];
  assert.equal(settlement.tag, "pending");
  assert.equal(engine.poll(settlement.val.operation).settlement.val.operation, settlement.val.operation);
});

test("a queue is listed page by page, and not again while nothing changes", () => {
  for (let number = 0; number < 250; number++) engine.bring(null, declare({ title: `Ticket ${number}` }));
  engine.double.takeCalls();
  const snapshot = engine.scan("Ticket", "support");
  assert.deepEqual([snapshot.objects.length, engine.double.takeCalls().length], [250, 3]);
  assert.equal(engine.scan("Ticket", "support", snapshot.version).coverage, "unchanged");
});

test("what changes while pages are read is seen by the next scan", () => {
  const made = [];
  for (let number = 0; number < 150; number++) made.push(engine.bring(null, declare({ title: `Ticket ${number}` })).object);
  const query = { kind: "Ticket", scope: "support" };
  const first = engine.scanPage(query);
  engine.bring(made[0], declare({ title: "Ticket 0", priority: 5 }));
  const second = engine.scanPage({ ...query, cursor: first.next });
  assert.equal(spec(engine.scan("Ticket", "support", second.version).objects[0]).priority, 5);
});

test("a secret is sent and never seen", () => {
  const outcome = engine.bring(null, declare({ hook: engine.double.secret("h", "hunter2") }));
  const [, , { tickets: all }] = server.respond("GET", "/tickets?queue=support", { authorization: "Bearer test-token" });
  assert.equal(all[0].hookSet, true);
  assert.ok(!JSON.stringify(outcome).includes("hunter2"));
});

test("a create whose answer was lost makes no second ticket", () => {
  const change = engine.change(null, declare());
  engine.double.serve((request) => answer(request) && { tag: "interrupted", val: "reset by peer" });
  assert.equal(engine.apply([change])[0].settlement.tag, "unsettled");
  engine.double.serve(answer);
  assert.equal(engine.apply([{ ...change, attempt: 1, unsettled: true }])[0].settlement.tag, "settled");
  assert.equal(engine.scan("Ticket", "support").objects.length, 1);
});

test("what the service says is passed on", () => {
  for (const [status, headers, fault] of [[429, { "Retry-After": "7" }, "throttled 7000"], [401, {}, "unauthorized"]]) {
    engine.double.serve(() => respond(status, headers));
    assert.throws(() => engine.scan("Ticket", "support"), { fault });
  }
});
