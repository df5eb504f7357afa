import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Double, respond } from "../trueup/double.js";
import { toText } from "../trueup/host.js";
import { http } from "../trueup/index.js";

let double;
beforeEach(() => {
  double = new Double();
  double.phase = "apply";
});

function check(method, answer, fault, { unsettled = false, wait = null } = {}) {
  double.serve(() => answer);
  const send = () => new http.Request(method, "https://a.example/x?token=canary").send().ok();
  assert.throws(send, (error) => {
    assert.deepEqual([error.fault, error.unsettled, error.wait], [fault, unsettled, wait], `${method} ${JSON.stringify(answer)}`);
    return !error.message.includes("canary");
  });
}

test("each status means what the host should do", () => {
  const faults = {
    400: "invalid", 401: "unauthorized", 403: "unauthorized", 404: "not-found", 405: "unsupported", 409: "conflict",
    412: "conflict", 418: "invalid", 422: "invalid", 503: "transient", 302: "internal",
  };
  for (const [status, fault] of Object.entries(faults)) check("PUT", respond(Number(status)), fault);
  check("GET", respond(429, { "Retry-After": "7" }), "throttled", { wait: 7000 });
  check("GET", respond(429, { "Retry-After": "soon" }), "throttled");
  check("GET", respond(503, { "Retry-After": "99999999999999999999" }), "transient");
});

test("what may have taken effect is unsettled, for writes alone", () => {
  for (const [method, unsettled] of [["GET", false], ["POST", true], ["PURGE", true]]) {
    for (const status of [500, 502, 504]) check(method, respond(status), "transient", { unsettled });
    check(method, { tag: "interrupted", val: "reset" }, "transient", { unsettled });
    check(method, { tag: "timed-out" }, "transient", { unsettled });
    check(method, { tag: "too-large", val: 9 }, "transient", { unsettled });
    check(method, { tag: "unreachable", val: "refused" }, "transient");
    check(method, { tag: "denied", val: "no rule" }, "denied");
    check(method, { tag: "malformed", val: "no host" }, "internal");
  }
});

test("a request is built as it reads", () => {
  const asked = [];
  const link = '<https://a/2>; rel="next", <https://a/9>; rel="last"';
  double.serve((request) => asked.push(request) && respond(200, { ETag: '"1"', Link: link }, { ü: 1 }));
  const request = http.patch("https://a.example/x").query("a b", "c&d").query("e", "ü!").query("no", null);
  const response = request.credential("token").ifMatch('"0"').ifNoneMatch(null).json([1, "ü"]).send().ok();
  const [{ method, url, headers, credential, body }] = asked;
  assert.deepEqual([method, url], ["PATCH", "https://a.example/x?a%20b=c%26d&e=%C3%BC%21"]);
  assert.deepEqual(headers, [["if-match", '"0"'], ["content-type", "application/json"]]);
  assert.deepEqual([credential, toText(body)], ["token", '[1,"ü"]']);
  assert.deepEqual([response.json(), response.etag], [{ ü: 1 }, '"1"']);
  assert.deepEqual([response.link("next"), response.link("prev")], ["https://a/2", null]);
});

test("many requests are answered in their order", () => {
  double.serve(({ url }) => respond(url.endsWith("b") ? 404 : 200, {}, url));
  const found = http.sendAll([http.get("https://x/a"), http.get("https://x/b")]);
  assert.deepEqual(found.map((it) => [it.status, it.text()]), [[200, "https://x/a"], [404, "https://x/b"]]);
  double.serve(() => ({ tag: "timed-out" }));
  assert.equal(http.sendAll([http.get("https://x/a")])[0].code, "http.timed-out");
  assert.deepEqual(http.sendAll([]), []);
});

test("what is not JSON is a fault that holds nothing of it", () => {
  double.serve(() => respond(200, {}, "canary"));
  for (const [method, unsettled] of [["GET", false], ["POST", true]]) {
    const parse = () => new http.Request(method, "https://x/a").send().json();
    assert.throws(parse, (error) => error.unsettled === unsettled && !error.message.includes("canary"));
  }
});

test("an answer in a fault is short and on one line", () => {
  const detail = (body) => {
    double.serve(() => respond(400, {}, body));
    try {
      return http.get("https://x").send().ok();
    } catch (error) {
      return error.detail;
    }
  };
  assert.equal(detail("  a\n\x1b[31mb  "), "a  [31mb");
  assert.equal(detail("ü".repeat(400)).length, 300);
  assert.deepEqual([detail(new Uint8Array([0xff])), detail("")], [null, null]);
});

test("bytes and texts become each other where there is no coder of texts", async () => {
  const { TextDecoder: decoder } = globalThis;
  globalThis.TextDecoder = undefined;
  try {
    const bare = await import("../trueup/host.js?bare");
    // What the engine of components has, and Node may not have yet.
    Uint8Array.prototype.toBase64 ??= function () { return Buffer.from(this).toString("base64"); };
    Uint8Array.fromBase64 ??= (text) => new Uint8Array(Buffer.from(text, "base64"));
    for (const text of ["", "a", "abcd", "abcde".repeat(9), "ü", "abcü", "aaaabbbbccccdddü", `${"x".repeat(40)}日本🎉`]) {
      const bytes = bare.toBytes(text);
      assert.deepEqual([...bytes], [...Buffer.from(text)], text);
      assert.equal(bare.toText(bytes), text);
      assert.equal(bare.toText(new Uint8Array([1, ...bytes]).subarray(1)), text, "not aligned");
    }
    assert.throws(() => bare.toText(new Uint8Array([0xc3, 0x28, 0, 0, 0])));
  } finally {
    globalThis.TextDecoder = decoder;
  }
});
