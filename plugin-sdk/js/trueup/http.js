/**
 * Requests in a few words, and what their failures mean.
 *
 *     http.put(url).credential("token").json({ text: "hello" }).send().ok().json()
 *
 * | answer | fault |
 * |---|---|
 * | 400, 422, other 4xx | invalid |
 * | 401, 403 | unauthorized |
 * | 404, 410 | not-found |
 * | 405, 501 | unsupported |
 * | 409, 412 | conflict |
 * | 429 | throttled, with `Retry-After` |
 * | 408, 5xx | transient, with `Retry-After` |
 * | unreachable | transient: nothing was sent |
 * | interrupted, timed out, too large | transient |
 *
 * A request that writes and was interrupted, timed out, or met a 500, 502 or 504 may have taken effect: its fault is `unsettled`,
 * and so is the change that it was made for.
 */
import { Fault } from "./errors.js";
import { host, thrown, toBytes, toText } from "./host.js";

const READS = ["GET", "HEAD", "OPTIONS"];
/** Longest part of an answer that stands in an error, in characters. */
const EXCERPT = 300;
const STATUS = {
  401: "unauthorized", 403: "unauthorized", 404: "not-found", 405: "unsupported", 408: "transient", 409: "conflict",
  410: "not-found", 412: "conflict", 429: "throttled", 501: "unsupported",
};

let written = 0;

/** How many requests that write were sent by this instance so far. */
export function sent() {
  return written;
}

/** Percent-encodes all but unreserved characters (RFC 3986): for one part of a path, or one value of a query. */
export function escape(text) {
  return encodeURIComponent(text).replace(/[!'()*]/g, (it) => `%${it.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** A request to be; every method but `send` returns it again. */
export class Request {
  constructor(method, url) {
    this.inner = { method, url, headers: [], body: null, credential: null, timeout: null, until: null, ext: [] };
  }

  /** Adds a query parameter, escaped; none where `value` is null or undefined. */
  query(name, value) {
    if (value !== null && value !== undefined) {
      const sign = this.inner.url.includes("?") ? "&" : "?";
      this.inner.url += `${sign}${escape(name)}=${escape(String(value))}`;
    }
    return this;
  }

  /** Adds a header. */
  header(name, value) {
    this.inner.headers.push([name, value]);
    return this;
  }

  /** Lets the engine add what this credential slot holds. */
  credential(slot) {
    this.inner.credential = slot;
    return this;
  }

  /** The token of a change, as the key under which the server recognises another try. */
  idempotencyKey(token) {
    return this.header("idempotency-key", token ?? "");
  }

  /** Only if the object still is this version; no condition where it is null. */
  ifMatch(version) {
    return version === null || version === undefined ? this : this.header("if-match", version);
  }

  /** Only if the object is no longer this version; see `Response.notModified`. */
  ifNoneMatch(version) {
    return version === null || version === undefined ? this : this.header("if-none-match", version);
  }

  /** Milliseconds; never longer than the call's budget. */
  timeout(millis) {
    this.inner.timeout = millis;
    return this;
  }

  /** A body of any type, as text or bytes. */
  body(contentType, data) {
    this.inner.body = typeof data === "string" ? toBytes(data) : data;
    return this.header("content-type", contentType);
  }

  /** A body of JSON. */
  json(value) {
    return this.body("application/json", JSON.stringify(value));
  }

  /** Sends it. An answer of any status is one; throws a `Fault` where there is none. */
  send() {
    return received(this, answered(() => host.http.send(counted(this))));
  }
}

function answered(ask) {
  try {
    return { tag: "ok", val: ask() };
  } catch (error) {
    const val = thrown(error);
    if (typeof val?.tag !== "string") throw error;
    return { tag: "err", val };
  }
}

function counted(request) {
  if (!READS.includes(request.inner.method)) written += 1;
  return request.inner;
}

function received(request, answer) {
  const { method, url } = request.inner;
  // The query is left out: it may hold a token of a page.
  const what = `${method} ${url.split("?", 1)[0]}`;
  const writes = !READS.includes(method);
  if (answer.tag === "ok") return new Response(answer.val, what, writes);
  const { tag, val } = answer.val;
  const fails = (fault, text, mayHaveWritten) => {
    throw new Fault(fault, `http.${tag}`, `${what}: ${text}`, { unsettled: mayHaveWritten && writes });
  };
  if (tag === "denied") return fails("denied", val, false);
  if (tag === "unreachable") return fails("transient", val, false);
  if (tag === "interrupted") return fails("transient", val, true);
  if (tag === "timed-out") return fails("transient", "no answer in time", true);
  if (tag === "too-large") return fails("transient", `the answer is above the limit of ${val} bytes`, true);
  return fails("internal", val, false);
}

/** A GET request. */
export const get = (url) => new Request("GET", url);
/** A HEAD request. */
export const head = (url) => new Request("HEAD", url);
/** A POST request. */
export const post = (url) => new Request("POST", url);
/** A PUT request. */
export const put = (url) => new Request("PUT", url);
/** A PATCH request. */
export const patch = (url) => new Request("PATCH", url);
/** A DELETE request. (`delete` is a word of the language.) */
export const del = (url) => new Request("DELETE", url);

/**
 * Sends many requests at once, at most `parallel` at a time (0: as many as the grant allows); in their order, a `Response` or a
 * `Fault` for each.
 */
export function sendAll(requests, parallel = 0) {
  const answers = requests.length === 0 ? [] : host.http.sendAll(requests.map(counted), parallel);
  return requests.map((request, at) => {
    try {
      return received(request, answers[at]);
    } catch (error) {
      if (error instanceof Fault) return error;
      throw error;
    }
  });
}

/** An answer, of any status. */
export class Response {
  #what;
  #writes;

  constructor({ status, headers, body }, what, writes) {
    Object.assign(this, { status, headers, bytes: body });
    this.#what = what;
    this.#writes = writes;
  }

  /** The first header of this name, in any case; null without. */
  header(name) {
    const wanted = name.toLowerCase();
    return this.headers.find(([it]) => it.toLowerCase() === wanted)?.[1] ?? null;
  }

  /** The entity tag. */
  get etag() {
    return this.header("etag");
  }

  /** Whether the server says that nothing changed (304). */
  get notModified() {
    return this.status === 304;
  }

  /** The address behind `rel="next"` (or another relation) of the `Link` header. */
  link(relation) {
    for (const link of (this.header("link") ?? "").split(",")) {
      const [address, ...parameters] = link.split(";");
      if (parameters.some((it) => it.trim() === `rel="${relation}"`)) return address.trim().replace(/^<|>$/g, "");
    }
    return null;
  }

  /** The body as text. */
  text() {
    return toText(this.bytes);
  }

  /** The body as JSON. Where it is none, the fault holds nothing of it. */
  json() {
    try {
      return JSON.parse(toText(this.bytes));
    } catch {
      throw Fault.internal(`${this.#what} answered what is not JSON`, { unsettled: this.#writes });
    }
  }

  /** Null where the object is not there (404 or 410); else as `ok`. */
  found() {
    return this.status === 404 || this.status === 410 ? null : this.ok();
  }

  /** This answer, if it is a success; else throws a `Fault` as the table of this module says. */
  ok() {
    const { status } = this;
    if (200 <= status && status < 300) return this;
    const others = 500 <= status && status < 600 ? "transient" : 400 <= status && status < 500 ? "invalid" : "internal";
    const fault = STATUS[status] ?? others;
    const after = (this.header("retry-after") ?? "").trim();
    // A wait of more than 2^53 milliseconds is none that JavaScript can carry.
    const wait = /^\d{1,12}$/.test(after) && (fault === "throttled" || fault === "transient") ? Number(after) * 1000 : null;
    throw new Fault(fault, "http.status", `${this.#what} answered ${status}`, {
      detail: excerpt(this.bytes),
      wait,
      unsettled: this.#writes && [408, 500, 502, 504].includes(status),
    });
  }
}

/** The beginning of a body that is text, on one line. */
function excerpt(bytes) {
  try {
    const text = toText(bytes).trim().replace(/\p{Cc}/gu, " ");
    return Array.from(text.slice(0, 2 * EXCERPT)).slice(0, EXCERPT).join("") || null;
  } catch {
    return null;
  }
}
