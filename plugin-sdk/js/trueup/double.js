/**
 * The double of the engine, for tests without Wasm: the same provider code runs under `node --test`, its imports answered from
 * memory.
 *
 *     const engine = new Engine(tickets, { server: "https://tickets.example" });
 *     engine.double.serve((request) => respond(200, {}, { tickets: [], next: null }));
 *     const made = engine.bring(null, engine.render("Ticket", "first", { spec: {…} }).objects[0]);
 *
 * `Engine` plays the engine's part and is where a test begins; `Double` is the world behind the imports. Both keep the rules of the
 * contract that a provider could break: nothing but `log` and `blobs` in a PURE call, no request that writes and no secret outside
 * `apply`, answers in the shape and length that the contract wants. The newest double is asked.
 */
import { createHash } from "node:crypto";

import { connect, toBytes } from "./host.js";

const READS = ["GET", "HEAD", "OPTIONS"];

// `T?`: may be null. `[T]`: a list. `attributes`: a list of pairs of texts. A variant: cases with what they hold.
const RECORDS = {
  Address: "kind:text scope:text key:text",
  Diagnostic: "severity:Severity code:text summary:text detail:text? path:text?",
  Failure: "fault:Fault diagnostics:[Diagnostic]",
  Health: "state:HealthState message:text",
  Remote: "address:Address identity:text doc:text outputs:text version:text? mark:text? health:Health sensitive:[text] ext:attributes",
  Gone: "address:Address identity:text?",
  Snapshot: "objects:[Remote] next:text? version:text? coverage:Coverage gone:[Gone] diagnostics:[Diagnostic] ext:attributes",
  Pending: "operation:text after:number message:text ext:attributes",
  Outcome: "settlement:Settlement object:Remote? diagnostics:[Diagnostic] ext:attributes",
  Desired: "address:Address doc:text after:[Address] ext:attributes",
  Rendered: "objects:[Desired] diagnostics:[Diagnostic]",
  Replacement: "paths:[text] createFirst:boolean reason:text ext:attributes",
  Request: "method:text url:text headers:attributes body:bytes? credential:text? timeout:number? until:bytes? ext:attributes",
};
const VARIANTS = {
  Fault: "invalid unauthorized denied not-found conflict throttled:number? transient:number? unsupported internal",
  Observation: "found:Remote absent unchanged failed:Failure",
  Settlement: "settled pending:Pending rejected:Failure unsettled:Failure",
  Verdict: "accept ignore:[text] replace:Replacement hold:text refuse:Failure",
};
const ENUMS = {
  Severity: "error warning note",
  HealthState: "healthy progressing degraded suspended unknown",
  Coverage: "whole delta unchanged partial",
};
const isPair = (it) => Array.isArray(it) && it.length === 2 && it.every((part) => typeof part === "string");
const PLAIN = {
  text: (it) => typeof it === "string",
  number: (it) => Number.isSafeInteger(it) && it >= 0,
  boolean: (it) => typeof it === "boolean",
  bytes: (it) => it instanceof Uint8Array,
  attributes: (it) => Array.isArray(it) && it.every(isPair),
};

/** Where `value` is not what the contract wants, as text; null where it fits. A component would trap there. */
function misfit(value, wanted, at) {
  if (wanted.endsWith("?")) return value === null ? null : misfit(value, wanted.slice(0, -1), at);
  if (wanted in PLAIN) return PLAIN[wanted](value) ? null : `${at} is ${typeof value}, not ${wanted}`;
  if (wanted in ENUMS) return ENUMS[wanted].split(" ").includes(value) ? null : `${at} is no ${wanted}`;
  const first = (parts) => parts.find((it) => it !== null) ?? null;
  if (wanted.startsWith("[")) {
    if (!Array.isArray(value)) return `${at} is ${typeof value}, not a list`;
    return first(value.map((it, index) => misfit(it, wanted.slice(1, -1), `${at}[${index}]`)));
  }
  if (typeof value !== "object" || value === null) return `${at} is ${value === null ? "null" : typeof value}, not ${wanted}`;
  const parts = (RECORDS[wanted] ?? VARIANTS[wanted]).split(" ").map((it) => it.split(":"));
  if (wanted in RECORDS) return first(parts.map(([name, kind]) => misfit(value[name], kind, `${at}.${name}`)));
  const found = parts.find(([tag]) => tag === value.tag);
  if (!found) return `${at} is no case of ${wanted}`;
  return found[1] === undefined ? null : misfit(value.val, found[1], `${at}.${value.tag}`);
}

/** An answer of the server; `body` is text or bytes, or anything else to be sent as JSON. */
export function respond(status, headers = {}, body = "") {
  const isRaw = typeof body === "string" || body instanceof Uint8Array;
  const bytes = body instanceof Uint8Array ? body : toBytes(isRaw ? body : JSON.stringify(body));
  return { status, headers: Object.entries(headers), body: bytes, cut: false };
}

/** The name of a failure's fault: `conflict`, or `throttled 7000` where it holds a wait. */
export function faultOf({ fault }) {
  return fault.val === null || fault.val === undefined ? fault.tag : `${fault.tag} ${fault.val}`;
}

/** What `Engine` throws where a function of the contract answered with a failure. */
export class Failure extends Error {
  constructor(failure) {
    super(`${faultOf(failure)}: ${failure.diagnostics[0].summary}`);
    this.fault = faultOf(failure);
  }
}

/** The world behind the imports. The clock stands at 2026-01-01. */
export class Double {
  phase = "observe";
  now = 1_767_225_600_000;
  lines = [];
  #calls = [];
  #server = null;
  #others = {};
  #blobs = new Map();
  #secrets = new Map();
  #cache = new Map();

  constructor() {
    const own = {
      http: { send: (it) => this.#send(it), sendAll: (all) => all.map((it) => this.#answer(it)) },
      log: { write: (level, message, fields) => void this.lines.push([level, message, ...fields.map((it) => it.join("="))].join(" ")) },
      cache: { get: (key) => this.#cache.get(key) ?? null, put: (key, value) => void this.#cache.set(key, value) },
      blobs: { read: (digest, offset, length) => this.#blobs.get(digest)?.slice(offset, offset + length) ?? null },
      secrets: { reveal: (handle) => this.#reveal(handle) },
      dns: {}, files: {}, signing: {},
    };
    const names = Object.keys(own);
    const guarded = (name) => new Proxy({}, {
      get: (_, wanted) => (...items) => {
        if (this.phase === "pure" && name !== "log" && name !== "blobs") {
          throw new Error(`\`${name}\` was asked in a PURE call, where the engine denies it`);
        }
        return (this.#others[name] ?? own[name])[wanted](...items);
      },
    });
    connect(Object.fromEntries(names.map((name) => [name, guarded(name)])));
  }

  /** Answers HTTP requests: `server(request)` gives an answer (`respond`), or `{ tag: "interrupted", val: "…" }` and the like. */
  serve(server) {
    this.#server = server;
  }

  /** Answers `files`, `dns` or `signing` with an object that has their functions. */
  provide(name, imported) {
    this.#others[name] = imported;
  }

  /** Adds a file to the revision; what stands for it in a document. */
  blob(bytes) {
    const digest = createHash("sha256").update(bytes).digest("hex");
    this.#blobs.set(digest, bytes);
    return { $blob: digest, size: bytes.length };
  }

  /** Grants a secret; what stands for it in a document. */
  secret(handle, value) {
    this.#secrets.set(handle, value);
    return { $secret: handle };
  }

  /** Loses what the provider cached, as the engine may at any time. */
  loseCache() {
    this.#cache.clear();
  }

  /** Lets time pass. */
  advance(millis) {
    this.now += millis;
  }

  /** What the provider asked for since the last time this was called: `http PUT https://…`. */
  takeCalls() {
    return this.#calls.splice(0);
  }

  #send(request) {
    const wrong = misfit(request, "Request", "request");
    if (wrong) throw new Error(wrong);
    this.#calls.push(`http ${request.method} ${request.url}`);
    if (!READS.includes(request.method) && this.phase !== "apply") {
      throw { tag: "denied", val: `${request.method} is no read, and this is no apply` };
    }
    const answer = this.#server?.(request) ?? { tag: "unreachable", val: "the test serves nothing" };
    if (typeof answer.tag === "string") throw answer;
    // Names as the engine hands them on.
    return { ...answer, headers: answer.headers.map(([name, value]) => [name.toLowerCase(), value]) };
  }

  #answer(request) {
    try {
      return { tag: "ok", val: this.#send(request) };
    } catch (error) {
      if (error instanceof Error) throw error;
      return { tag: "err", val: error };
    }
  }

  #reveal(handle) {
    if (this.phase !== "apply") throw { tag: "denied" };
    if (!this.#secrets.has(handle)) throw { tag: "missing" };
    return this.#secrets.get(handle);
  }
}

/** One configured provider and the world around it. */
export class Engine {
  #exports;
  #tokens = 0;

  /** `exports`: what `serve` gave, or the module that exports it. */
  constructor(exports, config = {}) {
    this.#exports = exports;
    this.double = new Double();
    this.restart(config);
  }

  /** Configures a new instance in the same world, as the engine may between two calls. */
  restart(config) {
    this.double.phase = "pure";
    failing(() => this.#exports.lifecycle.configure(JSON.stringify(config), null));
  }

  /** What the provider says of itself. */
  manifest() {
    this.double.phase = "pure";
    return JSON.parse(this.#exports.lifecycle.describe());
  }

  #call(phase, ask, items, wanted) {
    this.double.phase = phase;
    const info = { now: this.double.now, budget: 30_000, trace: "", ext: [] };
    // Copies, as what crosses the border is.
    const answers = ask(structuredClone(items), info);
    if (answers.length !== items.length) throw new Error(`${answers.length} answers to ${items.length} items`);
    for (const answer of answers) {
      const isErr = answer.tag === "err" && "val" in answer;
      const held = answer.tag === "ok" || isErr ? answer.val : answer;
      const wrong = misfit(held, isErr ? "Failure" : wanted, "answer");
      if (wrong) throw new Error(wrong);
    }
    return answers;
  }

  /** Renders one declaration whose address has the default key. */
  render(kind, name, doc) {
    const declared = { address: { kind, scope: "", key: name }, doc: JSON.stringify(doc), ext: [] };
    return this.#call("pure", (items) => this.#exports.rendering.render(items), [declared], "Rendered")[0];
  }

  /** Scans a scope to its last page; the snapshot, with the objects of all pages. */
  scan(kind, scope, since = null) {
    const whole = this.scanPage({ kind, scope, since });
    while (whole.next !== null) {
      const page = this.scanPage({ kind, scope, since, cursor: whole.next });
      whole.objects.push(...page.objects);
      whole.gone.push(...page.gone);
      Object.assign(whole, { next: page.next, version: page.version });
    }
    return whole;
  }

  /** One page. */
  scanPage(query) {
    const whole = { cursor: null, since: null, limit: 10_000, wait: 0, ext: [], ...query };
    const answer = this.#call("observe", (...it) => this.#exports.lifecycle.scan(...it), [whole], "Snapshot")[0];
    if (answer.tag === "err") throw new Failure(answer.val);
    return answer.val;
  }

  /** Looks at one object: an observation of the contract. */
  read(address, { identity = null, desired = null, since = null } = {}) {
    const doc = desired === null ? null : JSON.stringify(desired);
    const lookup = { address, identity, desired: doc, mark: null, token: null, since, ext: [] };
    return this.#call("observe", (...it) => this.#exports.lifecycle.read(...it), [lookup], "Observation")[0];
  }

  /** A change to try, with a token of its own. `edits` are what differs between the two documents. */
  change(prior, desired) {
    this.#tokens += 1;
    const action = prior === null ? "create" : desired === null ? "delete" : "update";
    const edits = desired === null ? [] : differences("", prior && JSON.parse(prior.doc), JSON.parse(desired.doc));
    const mark = "0123456789abcdef0123456789abcdef/test/0123456789abcdef0123456789abcdef";
    const { address } = prior ?? desired;
    return {
      action, address, token: `token-${this.#tokens}`, attempt: 0, unsettled: false, mark, desired: desired?.doc ?? null, prior, edits,
      ext: [],
    };
  }

  /** Carries changes out in one call. */
  apply(changes) {
    return this.#call("apply", (...it) => this.#exports.lifecycle.apply(...it), changes, "Outcome");
  }

  /** Brings one object from `prior` to `desired`: creates, updates or deletes it, and follows what is pending. */
  bring(prior, desired) {
    return this.follow(this.apply([this.change(prior, desired)])[0]);
  }

  /** Polls until nothing is pending any more; the clock is moved on, and nobody waits. */
  follow(outcome) {
    for (let polls = 0; polls < 100; polls++) {
      if (outcome.settlement.tag !== "pending") return outcome;
      this.double.advance(outcome.settlement.val.after);
      outcome = this.poll(outcome.settlement.val.operation);
    }
    throw new Error("still pending after a hundred polls");
  }

  /** Asks once for a pending change. */
  poll(operation) {
    return this.#call("apply", (...it) => this.#exports.operations.poll(...it), [operation], "Outcome")[0];
  }

  /** Asks the provider about one planned change. */
  refine(prior, desired) {
    const { action, address, desired: doc, edits } = this.change(prior, desired);
    const candidate = { action, address, desired: doc, object: prior, edits, ext: [] };
    return this.#call("observe", (...it) => this.#exports.planning.refine(...it), [candidate], "Verdict")[0];
  }
}

function failing(ask) {
  try {
    return ask();
  } catch (error) {
    throw error instanceof Error ? error : new Failure(error);
  }
}

/** What differs between two documents, members that are only in `before` excepted: nobody declared them. */
function differences(path, before, after) {
  const isObject = (it) => typeof it === "object" && it !== null && !Array.isArray(it);
  if (isObject(before) && isObject(after)) {
    return Object.entries(after).flatMap(([name, value]) => {
      const at = `${path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
      if (Object.hasOwn(before, name)) return differences(at, before[name], value);
      return [{ op: "add", path: at, value: JSON.stringify(value) }];
    });
  }
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  return [{ op: "replace", path, value: JSON.stringify(after) }];
}
