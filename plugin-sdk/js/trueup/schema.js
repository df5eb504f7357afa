/**
 * JSON Schema from builders: `text() integer() number() boolean() choice("a", "b") list(T) map(T) record({…}) secret() blob()
 * anything()`. What a type cannot say stands in its hints:
 *
 * | hint | meaning |
 * |---|---|
 * | `default` | filled in where it is not declared |
 * | `optional` | may be left out |
 * | `description`, `title` | for people |
 * | `min max minLength maxLength minItems maxItems pattern` | as in JSON Schema |
 * | `immutable` | a change means a replacement |
 * | `computed` | the server's own: never compared |
 * | `unordered`, `listKey: "name"` | a list whose order means nothing; a list merged by this field |
 * | `lowercase`, `uppercase`, `case: "insensitive"` | canonical spelling; comparison without regard to case |
 * | `secret`, or `sensitive` and `writeOnly` apart | never shown, never read back. `secret()` is both |
 * | `blob` | a path in the repository. `blob()` is one |
 * | `statusFrom: ["spec.a"]` | on an output: changes when that field does |
 */
import { Fault } from "./errors.js";
import { host, thrown } from "./host.js";

const FLAGS = {
  scope: "x-trueup-scope", key: "x-trueup-key", computed: "x-trueup-computed", immutable: "x-trueup-immutable",
  unordered: "x-trueup-unordered", sensitive: "x-trueup-sensitive", writeOnly: "x-trueup-write-only", blob: "x-trueup-blob",
  identity: "x-trueup-identity",
};
const VALUES = {
  default: "default", min: "minimum", max: "maximum", minLength: "minLength", maxLength: "maxLength", minItems: "minItems",
  maxItems: "maxItems", pattern: "pattern", listKey: "x-trueup-list-key", case: "x-trueup-case", format: "x-trueup-format",
  order: "x-trueup-order", statusFrom: "x-trueup-status-from", title: "title", description: "description",
};

const HINTS = [...Object.keys(FLAGS), ...Object.keys(VALUES), "optional", "secret", "lowercase", "uppercase"];

/** A type with its hints. */
class Field {
  constructor(schema, { optional = false, secret = false, lowercase = false, uppercase = false, ...hints } = {}) {
    this.schema = { ...schema };
    for (const [name, value] of Object.entries(hints)) {
      if (name in VALUES) this.schema[VALUES[name]] = value;
      else if (!(name in FLAGS)) throw new TypeError(`unknown hint \`${name}\`; there are ${HINTS.join(", ")}`);
      else if (value) this.schema[FLAGS[name]] = true;
    }
    if (secret) Object.assign(this.schema, { "x-trueup-sensitive": true, "x-trueup-write-only": true });
    if (lowercase || uppercase) this.schema["x-trueup-format"] = lowercase ? "lowercase" : "uppercase";
    this.isOptional = optional || "default" in hints;
  }
}

/** A text. */
export const text = (hints) => new Field({ type: "string" }, hints);
/** A whole number. */
export const integer = (hints) => new Field({ type: "integer" }, hints);
/** A number. */
export const number = (hints) => new Field({ type: "number" }, hints);
/** True or false. */
export const boolean = (hints) => new Field({ type: "boolean" }, hints);
/** A text that is one of these. */
export const choice = (names, hints) => new Field({ type: "string", enum: names }, hints);
/** A list of one type. */
export const list = (of, hints) => new Field({ type: "array", items: of.schema }, hints);
/** An object with any names. */
export const map = (of, hints) => new Field({ type: "object", additionalProperties: of.schema }, hints);
/** A secret, which a provider sees as a handle and opens with `reveal`. */
export const secret = (hints) => new Field({ type: "string" }, { ...hints, secret: true });
/** A file of the revision, opened with `readBlob`. */
export const blob = (hints) => new Field({ type: "string" }, { ...hints, blob: true });
/** Any JSON. */
export const anything = (hints) => new Field({}, hints);

/** An object with these fields. */
export function record(fields, hints) {
  const properties = {};
  const required = [];
  for (const [name, field] of Object.entries(fields)) {
    if (!(field instanceof Field)) throw new TypeError(`\`${name}\` has no type; write \`text()\`, \`list(text())\` and the like`);
    properties[name] = field.schema;
    if (!field.isOptional) required.push(name);
  }
  return new Field({ type: "object", properties, required, additionalProperties: false }, hints);
}

/** The value of a secret, within `apply` only. Where a secret is written as plain text, that text. */
export function reveal(value) {
  if (typeof value === "string") return value;
  try {
    return host.secrets.reveal(value.$secret);
  } catch (error) {
    const { tag, val } = thrown(error);
    if (tag === "denied") throw new Fault("denied", "secret.denied", "a secret was refused to the provider");
    if (tag === "missing") throw new Fault("unauthorized", "secret.missing", "a secret has no value");
    throw Fault.transient("secret.unavailable", `a secret cannot be read: ${val}`);
  }
}

/** A whole file of the revision as bytes, if it has at most `limit` of them. Within `render` and `apply`. */
export function readBlob({ $blob, size }, limit) {
  if (size > limit) throw Fault.invalid("blob.size", `the file has ${size} bytes; at most ${limit} are taken`);
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; ) {
    const more = host.blobs.read($blob, at, size - at);
    if (!more?.length) throw Fault.internal("a file that the document names is not in the revision");
    bytes.set(more, at);
    at += more.length;
  }
  return bytes;
}

const copied = (value) => (typeof value === "object" && value !== null ? JSON.parse(JSON.stringify(value)) : value);
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * A function that brings a value into the spelling that its schema wants: defaults filled in where `fill`, texts in lower or upper
 * case, fields that are null left out. Markers stay as they are. Null where there is nothing to do.
 */
export function canonicaliser(schema, fill) {
  const format = schema["x-trueup-format"];
  if (format === "lowercase") return (value) => (typeof value === "string" ? value.toLowerCase() : value);
  if (format === "uppercase") return (value) => (typeof value === "string" ? value.toUpperCase() : value);
  if (schema.items) {
    const inner = canonicaliser(schema.items, fill);
    return inner && ((value) => (Array.isArray(value) ? value.map(inner) : value));
  }
  if (schema.type !== undefined && schema.type !== "object") return null;
  const properties = schema.properties ?? {};
  const known = Object.entries(properties).map(([name, it]) => [name, canonicaliser(it, fill)]).filter(([, change]) => change);
  const defaults = Object.entries(properties).filter(([, it]) => fill && "default" in it).map(([name, it]) => [name, it.default]);
  const others = isObject(schema.additionalProperties) ? canonicaliser(schema.additionalProperties, fill) : null;
  return (value) => {
    if (!isObject(value)) return value;
    if (Object.keys(value)[0]?.startsWith("$")) return value;
    const there = Object.entries(value).filter(([, it]) => it !== null && it !== undefined);
    const change = ([name, it]) => [name, others && !Object.hasOwn(properties, name) ? others(it) : it];
    // Not by assignment, which would take `__proto__` for something else than a name.
    const made = Object.fromEntries(there.map(change));
    for (const [name, value] of defaults) if (!Object.hasOwn(made, name)) made[name] = copied(value);
    for (const [name, change] of known) if (Object.hasOwn(made, name)) made[name] = change(made[name]);
    return made;
  };
}
