/** Kinds, and what is said of an object. */
import { Fault } from "./errors.js";
import { canonicaliser, record } from "./schema.js";

const RECOVER = ["key", "token", "mark", "conditional", "none"];
const REPLACE = ["create-first", "delete-first"];
const HEALTHY = { state: "healthy", message: "" };
const NONE = [];

/** A change that was accepted and is under way: answered in place of what the function answers when it is done. */
export class Pending {
  constructor(operation, { after = 1000, message = "under way", found = null } = {}) {
    Object.assign(this, { operation, after, message, found });
  }
}

/** `new Pending(…)`. After `after` milliseconds `poll` is given `operation`, which must hold all that a fresh instance needs. */
export const pending = (operation, more) => new Pending(operation, more);

/** The page that says that nothing changed since `query.since`. */
export const unchanged = () => ({ objects: [], coverage: "unchanged" });

/**
 * A kind of documents. `spec` and `status` are fields by name; the other parts:
 *
 * | part | meaning |
 * |---|---|
 * | `scope: "zone"`, `key: "{subname}/{rtype}"` | the address, from fields; by default no scope, and the document's name as key |
 * | `batch: { items: 500, bytes: 65536, atomic: true }` | limits of one `apply`, for services that have one |
 * | `recover: "key"` | or `token`, `mark`, `conditional` (as `key`, and a create makes the whole object where none is, or nothing), `none`: what finds an object whose create was interrupted |
 * | `settle: 5000` | milliseconds for which absence proves nothing after an interrupted create |
 * | `replace: "create-first"` | or `delete-first` |
 * | `version: 2` | of the schema |
 */
export function kind(name, parts) {
  return new Kind(name, parts);
}

function oneOf(name, value, allowed) {
  if (!allowed.includes(value)) throw new TypeError(`\`${name}\` must be one of ${allowed.join(", ")}`);
  return value;
}

/** What is known of a kind, worked out once: what is done for each object does not look at fields again. */
class Kind {
  #declare;
  #observed;

  constructor(name, { spec, status = null, description, scope = null, key = null, batch, recover, settle = 0, replace, version = 1 }) {
    this.name = name;
    this.schema = record(spec, description === undefined ? {} : { description }).schema;
    this.status = status && record(status).schema;
    this.names = Object.keys(spec);
    this.scope = template(this.names, scope);
    this.key = template(this.names, key);
    for (const [part, keyword] of [[this.scope, "x-trueup-scope"], [this.key, "x-trueup-key"]]) {
      if (typeof part === "string") this.schema.properties[part] = { ...this.schema.properties[part], [keyword]: true };
    }
    this.#declare = canonicaliser(this.schema, true);
    const changes = this.names.map((name) => [name, canonicaliser(this.schema.properties[name], false)]);
    this.#observed = changes.filter(([, change]) => change);
    this.options = {
      schemaVersion: version,
      recover: oneOf("recover", recover ?? (key === null ? "none" : "key"), RECOVER),
      settleTime: settle,
      replace: oneOf("replace", replace ?? "delete-first", REPLACE),
    };
    if (batch) this.options.batch = { bytes: 1048576, atomic: false, ...batch };
  }

  /** The manifest of the kind. */
  manifest(observe) {
    const properties = { spec: this.schema, ...(this.status && { status: this.status }) };
    const schema = { type: "object", properties, required: ["spec"], additionalProperties: false };
    return { schema, observe, ...this.options };
  }

  /** The canonical form of one declaration: defaults and spelling as the schema says, the address from its fields. */
  render({ address, doc }) {
    const parsed = JSON.parse(doc);
    parsed.spec = this.#declare(specOf(parsed));
    return { address: this.address(parsed.spec, address), doc: JSON.stringify(parsed), after: [], ext: [] };
  }

  /** The spec of a desired document. */
  parse(doc) {
    return specOf(JSON.parse(doc));
  }

  /** The fields of `spec` that the kind has, in canonical spelling; those that the server did not give are left out. */
  observed(spec) {
    const made = {};
    for (const name of this.names) {
      const value = spec[name];
      if (value !== null && value !== undefined) made[name] = value;
    }
    for (const [name, change] of this.#observed) if (name in made) made[name] = change(made[name]);
    return made;
  }

  /** The contract's record. `known` is the address for which it was asked. */
  remote(found, known) {
    if (typeof found?.spec !== "object") throw Fault.internal("the provider answered no object with `spec` where one is wanted");
    const spec = this.observed(found.spec);
    const address = found.address ?? known ?? this.address(spec, null);
    return {
      address,
      identity: found.identity || address.key,
      doc: JSON.stringify({ spec }),
      outputs: found.status ? JSON.stringify(found.status) : "{}",
      version: found.version ?? null,
      mark: found.mark ?? null,
      health: found.health ?? HEALTHY,
      sensitive: NONE,
      ext: NONE,
    };
  }

  /** Whether every field that is declared has the declared value. */
  isAsDeclared(found, desired) {
    const [there, wanted] = [this.observed(found.spec), this.observed(desired)];
    return Object.entries(wanted).every(([name, value]) => isSame(there[name], value));
  }

  /** The address that the fields make, else what it was. */
  address(spec, before) {
    return {
      kind: this.name,
      scope: this.scope ? part(this.scope, spec) : (before?.scope ?? ""),
      key: this.key ? part(this.key, spec) : (before?.key ?? ""),
    };
  }
}

function specOf(doc) {
  if (typeof doc.spec !== "object" || doc.spec === null) throw Fault.invalid("document.spec", "`spec` is missing");
  return doc.spec;
}

function isSame(a, b) {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  const names = Object.keys(a);
  const isAlike = Array.isArray(a) === Array.isArray(b) && names.length === Object.keys(b).length;
  return isAlike && names.every((name) => Object.hasOwn(b, name) && isSame(a[name], b[name]));
}

/** `{subname}/{rtype}` as pieces of text and names of fields in turn, text first; a bare name of a field as itself. */
function template(names, text) {
  if (text === null || names.includes(text)) return text;
  const pieces = text.split(/\{(\w+)\}/);
  if (pieces.length === 1) throw new TypeError(`\`${text}\` names no field; write \`{field}\``);
  const unknown = pieces.find((it, at) => at % 2 === 1 && !names.includes(it));
  if (unknown !== undefined) throw new TypeError(`there is no field \`${unknown}\``);
  return pieces.length === 3 && !pieces[0] && !pieces[2] ? pieces[1] : pieces;
}

function part(pieces, spec) {
  if (typeof pieces === "string") return textOf(pieces, spec);
  return pieces.map((it, at) => (at % 2 === 1 ? textOf(it, spec) : it)).join("");
}

function textOf(name, spec) {
  const value = spec[name];
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const isMissing = value === null || value === undefined;
  const why = isMissing ? "is missing" : "must be known before apply: it is part of the address";
  throw Fault.invalid("document.address", `\`${name}\` ${why}`, { path: `/spec/${name}` });
}
