/**
 * From services of kinds to the exports of the contract.
 *
 *     export const { lifecycle, rendering, … } = serve({ name: "notes", version: "0.1.0", config: {…}, kinds: [[Note, Notes]] });
 *
 * A service is a class made with the provider's settings. The functions that it has decide what the manifest promises:
 *
 * | function | answers | meaning |
 * |---|---|---|
 * | `find(target)` | found or null | the object, if it is there. A fault is never absence |
 * | `create(target, desired)` | found or pending | creates it, and answers with what the server now has |
 * | `update(target, desired)` | found or pending | brings it to `desired`, on the condition of `target.version` |
 * | `delete(target)` | nothing or pending | deletes it; `not-found` counts as done |
 * | `poll(operation, info)` | found, null (gone) or pending | looks after what was pending |
 * | `scan(query, info)` | a page | all objects of a scope, page by page: `{ objects, next, version }`, or `unchanged()` |
 * | `apply(scope, items, info)` | a list of found, null or `Fault` | many changes at once, in place of create, update, delete |
 * | `refine(candidate, info)` | a verdict of the contract, null to accept | a say in the plan |
 * | `cancel(operation, info)` | | gives up what was pending |
 * | `scopes(info)` | a list of texts | scopes that exist |
 * | `upgrade(doc, version)` (static) | a document | of an older schema version |
 * | `render(declared)` (static) | the contract's list of desired objects | in place of the SDK's own |
 *
 * A found object is `{ spec, identity, version, status, mark, health, address }`; all but `spec` may be left out, and of `spec` the
 * fields that the kind has are taken.
 */
import { Fault, caught, diagnostic, failure } from "./errors.js";
import { sent } from "./http.js";
import { Pending } from "./kind.js";
import { canonicaliser, record } from "./schema.js";

const FEATURES = { planning: "refine", operations: "poll", discovery: "scopes" };

/** The exports of a component, for `export const { … } = serve({ … })`; `manifest()` for tests. */
export function serve(parts) {
  const provider = new Provider(parts);
  const functions = (...names) => Object.fromEntries(names.map((it) => [it, (...items) => provider[it](...items)]));
  return {
    lifecycle: functions("describe", "configure", "scan", "read", "apply"),
    rendering: functions("render"),
    planning: functions("refine"),
    operations: functions("poll", "cancel"),
    schemas: functions("discover"),
    discovery: functions("scopes"),
    migration: functions("upgrade"),
    healthChecks: functions("assess"),
  };
}

class Provider {
  #rest;
  #config;
  #settings;
  #kinds;
  #services = null;

  constructor(parts) {
    const { name, version, config = {}, kinds, hosts = [], credentials = {}, parallel = 4 } = parts;
    const { secrets = false, dns = false, dirs = false, reads = [] } = parts;
    const slots = Object.entries(credentials).map(([slot, schemes]) => [slot, { schemes }]);
    this.#rest = { name, version, hosts, dirs, dns, secrets, reads, parallel, credentials: Object.fromEntries(slots) };
    this.#config = record(config).schema;
    this.#settings = canonicaliser(this.#config, true);
    this.#kinds = new Map(kinds.map(([kind, service]) => [kind.name, { kind, service }]));
    for (const { kind, service } of this.#kinds.values()) {
      const has = (...names) => names.some((it) => it in service.prototype);
      if (!has("find", "scan")) throw new TypeError(`objects of kind \`${kind.name}\` are never observed: write \`find\` or \`scan\``);
      if (!has("create", "apply")) {
        throw new TypeError(`objects of kind \`${kind.name}\` are never changed: write \`create\`, \`update\`, \`delete\` or \`apply\``);
      }
    }
  }

  describe() {
    const all = [...this.#kinds.values()];
    const real = Object.entries(FEATURES).filter(([, name]) => all.some(({ service }) => name in service.prototype));
    const features = ["rendering", ...real.map(([feature]) => feature)];
    if (all.some(({ service }) => "upgrade" in service)) features.push("migration");
    const kinds = all.map(({ kind, service }) => [kind.name, kind.manifest("scan" in service.prototype ? "scan" : "read")]);
    const fixed = { format: 1, config: this.#config, apiVersions: "own", yaml: "core" };
    return JSON.stringify({ ...fixed, ...this.#rest, features, kinds: Object.fromEntries(kinds) });
  }

  configure(config) {
    refusing(() => {
      const settings = this.#settings(JSON.parse(config));
      this.#services = new Map([...this.#kinds].map(([name, { service }]) => [name, new service(settings)]));
    });
  }

  /** The kind, and the service's function; or a fault that says that there is none. */
  #serving(name, wanted) {
    if (this.#services === null) throw Fault.internal("called before `configure`");
    const service = this.#services.get(name);
    if (typeof service?.[wanted] !== "function") {
      throw Fault.unsupported(`kind \`${name}\` is not served that way by this provider`);
    }
    return [this.#kinds.get(name).kind, service];
  }

  scan(queries, info) {
    return queries.map((query) => result(() => this.#scan(query, info)));
  }

  #scan(query, info) {
    const [kind, service] = this.#serving(query.kind, "scan");
    const page = service.scan(query, info);
    if (!Array.isArray(page?.objects)) throw Fault.internal("the provider answered no page with `objects` where one is wanted");
    const { objects, next = null, version = null, coverage = "whole", gone = [] } = page;
    return { objects: objects.map((it) => kind.remote(it, null)), next, version, coverage, gone, diagnostics: [], ext: [] };
  }

  read(lookups, info) {
    return lookups.map((lookup) => this.#read(lookup, info));
  }

  #read(lookup, info) {
    const { address, identity, mark, token, since } = lookup;
    try {
      const [kind, service] = this.#serving(address.kind, "find");
      // A desired document may hold values that are not known yet: then the look goes by address alone.
      const isKnown = typeof lookup.desired === "string" && !lookup.desired.includes('"$unknown"');
      const desired = isKnown ? kind.parse(lookup.desired) : null;
      const found = service.find(target(address, { identity, desired, mark, token, version: since, info })) ?? null;
      if (found === null) return { tag: "absent" };
      const remote = kind.remote(found, address);
      const isHeld = remote.version !== null && remote.version === since;
      return isHeld ? { tag: "unchanged" } : { tag: "found", val: remote };
    } catch (error) {
      const fault = caught(error);
      return fault.fault === "not-found" ? { tag: "absent" } : { tag: "failed", val: failure(fault) };
    }
  }

  apply(changes, info) {
    const groups = new Map();
    changes.forEach((change, at) => {
      const name = change.address.kind;
      groups.set(name, [...(groups.get(name) ?? []), at]);
    });
    const answers = [];
    for (const [name, group] of groups) {
      const isBatch = "apply" in (this.#kinds.get(name)?.service.prototype ?? {});
      const some = group.map((at) => changes[at]);
      const outcomes = isBatch
        ? this.#applyBatch(name, some, info)
        : some.map((change) => outcome(() => this.#change(name, change, info)));
      group.forEach((at, index) => (answers[at] = outcomes[index]));
    }
    return answers;
  }

  #change(name, change, info) {
    const { action, address, prior, mark, token } = change;
    const [kind, service] = this.#serving(name, action);
    const desired = typeof change.desired === "string" ? kind.parse(change.desired) : null;
    const at = target(address, { identity: prior?.identity, desired, mark, token, version: prior?.version, info });
    if (action === "delete") return settled(kind, deleted(service, at) ?? null, address);
    if (desired === null) throw Fault.internal("the change has no desired document");
    if (action === "create" && change.unsettled && typeof service.find === "function") {
      // An earlier try may have made it: look, and finish what is there.
      const made = unsettled(() => service.find(at)) ?? null;
      if (made !== null) {
        if (kind.isAsDeclared(made, desired)) return settled(kind, made, address);
        this.#serving(name, "update");
        Object.assign(at, { identity: made.identity ?? null, version: made.version ?? null });
        return settled(kind, service.update(at, desired), address, true);
      }
    }
    return settled(kind, service[action](at, desired), address, true);
  }

  #applyBatch(name, changes, info) {
    const answers = [];
    const items = [];
    changes.forEach((change, at) => {
      try {
        const [kind] = this.#serving(name, "apply");
        items.push({ at, change, desired: typeof change.desired === "string" ? kind.parse(change.desired) : null });
      } catch (error) {
        answers[at] = failed(caught(error));
      }
    });
    const { kind } = this.#kinds.get(name);
    if (items.length < changes.length && kind.options.batch?.atomic) {
      const together = Fault.invalid("batch.atomic", "another change that must go together with this one is wrong");
      return changes.map((_, at) => answers[at] ?? failed(together));
    }
    const before = sent();
    let results = [];
    try {
      const given = items.map(({ change, desired }) => ({ change, desired }));
      if (items.length > 0) results = [...this.#services.get(name).apply(changes[0].address.scope, given, info)];
    } catch (error) {
      const fault = blamed(error, before);
      results = items.map(() => fault);
    }
    items.forEach(({ at, change, desired }, index) => {
      answers[at] = outcome(() => {
        const answer = results[index];
        if (answer === undefined) {
          throw Fault.internal("the provider left this change out of its answer", { unsettled: true });
        }
        if (!(answer instanceof Fault)) return settled(kind, answer, change.address);
        if (answer.fault === "not-found" && desired === null) return settled(kind, null, null);
        throw answer;
      });
    });
    return answers;
  }

  poll(handles, info) {
    return handles.map((handle) => this.#poll(...split(handle), info));
  }

  #poll(name, operation, info) {
    try {
      const [kind, service] = this.#serving(name, "poll");
      return settled(kind, service.poll(operation, info) ?? null, null);
    } catch (error) {
      const fault = caught(error);
      if (fault.fault === "throttled" || fault.fault === "transient") {
        // It could not be asked, which says nothing of the change: it is asked again.
        return settled({ name }, new Pending(operation, { after: fault.wait ?? 1000, message: fault.message }), null);
      }
      fault.unsettled = true;
      return failed(fault);
    }
  }

  cancel(handles, info) {
    for (const handle of handles) {
      const [name, operation] = split(handle);
      try {
        this.#serving(name, "cancel")[1].cancel(operation, info);
      } catch {
        // Best effort; a `poll` follows.
      }
    }
  }

  render(items) {
    return items.map((item) => {
      try {
        const { kind, service } = this.#kinds.get(item.address.kind) ?? {};
        if (!kind) throw Fault.unsupported(`kind \`${item.address.kind}\` is not served by this provider`);
        return { objects: "render" in service ? service.render(item) : [kind.render(item)], diagnostics: [] };
      } catch (error) {
        return { objects: [], diagnostics: [diagnostic(caught(error))] };
      }
    });
  }

  refine(candidates, info) {
    return candidates.map((candidate) => {
      try {
        const service = this.#services?.get(candidate.address.kind);
        return service?.refine?.(candidate, info) ?? { tag: "accept" };
      } catch (error) {
        return { tag: "refuse", val: failure(caught(error)) };
      }
    });
  }

  scopes(name, info) {
    return refusing(() => this.#serving(name, "scopes")[1].scopes(info));
  }

  discover() {
    return refusing(() => {
      throw Fault.unsupported("the manifest names every kind of this provider");
    });
  }

  upgrade(items) {
    return items.map((stored) => result(() => {
      const { kind, service } = this.#kinds.get(stored.kind) ?? {};
      if (!service || !("upgrade" in service)) return stored;
      const doc = service.upgrade(JSON.parse(stored.doc), stored.schemaVersion);
      return { ...stored, schemaVersion: kind.options.schemaVersion, doc: JSON.stringify(doc) };
    }));
  }

  assess(objects) {
    return objects.map(() => ({ state: "unknown", message: "" }));
  }
}

/** What is asked for, or about to be changed. `name`: its identity, else its key. */
function target(address, { identity, desired, mark, token, version, info }) {
  const { scope, key } = address;
  return {
    address, scope, key, name: identity || key, identity: identity || null, desired, mark: mark ?? null, token: token ?? null,
    version: version ?? null, info,
  };
}

function deleted(service, target) {
  try {
    return service.delete(target);
  } catch (error) {
    if (error instanceof Fault && error.fault === "not-found") return null;
    if (!(error instanceof Fault) || error.fault !== "conflict" || typeof service.find !== "function") throw error;
    // A precondition fails on what is gone, too (RFC 9110, `If-Match`).
    let isGone = false;
    try {
      isGone = (service.find(target) ?? null) === null;
    } catch {
      // Whether it is gone cannot be told: the conflict stands.
    }
    if (!isGone) throw error;
    return null;
  }
}

/** Handles name the kind, as an instance that polls knows nothing else. No kind's name has a space. */
function split(handle) {
  const at = handle.indexOf(" ");
  return [handle.slice(0, at), handle.slice(at + 1)];
}

function refusing(ask) {
  try {
    return ask();
  } catch (error) {
    throw failure(caught(error));
  }
}

function result(ask) {
  try {
    return { tag: "ok", val: ask() };
  } catch (error) {
    return { tag: "err", val: failure(caught(error)) };
  }
}

function outcome(ask) {
  const before = sent();
  try {
    return ask();
  } catch (error) {
    return failed(blamed(error, before));
  }
}

/** What was thrown as a fault of a change: what nobody foresaw leaves a change unsettled that has sent something. */
function blamed(error, before) {
  const fault = caught(error);
  if (fault !== error) fault.unsettled = sent() !== before;
  return fault;
}

function unsettled(ask) {
  try {
    return ask();
  } catch (error) {
    const fault = caught(error);
    fault.unsettled = true;
    throw fault;
  }
}

function failed(fault) {
  return { settlement: { tag: fault.unsettled ? "unsettled" : "rejected", val: failure(fault) }, object: null, diagnostics: [], ext: [] };
}

/** The outcome of what a function answered: done, or under way. `wanted`: an object must be there when it is done. */
function settled(kind, answer, address, wanted = false) {
  const isPending = answer instanceof Pending;
  const found = isPending ? answer.found : answer;
  // From here on the change is made, whatever is wrong with the answer.
  const isThere = (found !== null && found !== undefined) || (wanted && !isPending);
  const object = isThere ? unsettled(() => kind.remote(found, address)) : null;
  if (!isPending) return { settlement: { tag: "settled" }, object, diagnostics: [], ext: [] };
  const pending = { operation: `${kind.name} ${answer.operation}`, after: answer.after, message: answer.message, ext: [] };
  return { settlement: { tag: "pending", val: pending }, object, diagnostics: [], ext: [] };
}
