/** Errors of a provider: what the engine should do, and what a person should read. */

const FAULTS = ["invalid", "unauthorized", "denied", "not-found", "conflict", "throttled", "transient", "unsupported", "internal"];

/**
 * One failure. The message is for people: lower case, no full stop, what and where and what to do next, never a secret.
 * `fault` says what the engine does about it, `code` is stable and for machines: `http.status`.
 */
export class Fault extends Error {
  constructor(fault, code, message, { detail = null, path = null, wait = null, unsettled = false } = {}) {
    if (!FAULTS.includes(fault)) throw new TypeError(`unknown fault \`${fault}\`; there are ${FAULTS.join(", ")}`);
    super(message);
    this.name = "Fault";
    Object.assign(this, { fault, code, detail, path, wait, unsettled });
  }

  /** The document is wrong. Not tried again until Git changes. */
  static invalid(code, message, more) {
    return new Fault("invalid", code, message, more);
  }

  /** The object changed since it was observed, or has another owner. */
  static conflict(code, message, more) {
    return new Fault("conflict", code, message, more);
  }

  /** A later try may succeed with nobody doing anything. */
  static transient(code, message, more) {
    return new Fault("transient", code, message, more);
  }

  /** This provider does not do that. */
  static unsupported(message) {
    return new Fault("unsupported", "sdk.unsupported", message);
  }

  /** A bug in the plugin. */
  static internal(message, more) {
    return new Fault("internal", "sdk.internal", message, more);
  }
}

/** Anything that was thrown as a `Fault`. Of what nobody foresaw: its type and place, as its text may quote a secret. */
export function caught(error) {
  if (error instanceof Fault) return error;
  const place = /([\w.-]+:\d+)(?::\d+)?\)?$/m.exec(error?.stack ?? "")?.[1];
  return Fault.internal(`the provider threw ${error?.name ?? typeof error}${place ? ` at ${place}` : ""}`);
}

/** As one finding of the contract. */
export function diagnostic(error) {
  return { severity: "error", code: error.code, summary: error.message, detail: error.detail, path: error.path };
}

/** As a failure of the contract. */
export function failure(error) {
  const holds = error.fault === "throttled" || error.fault === "transient";
  return { fault: holds ? { tag: error.fault, val: error.wait } : { tag: error.fault }, diagnostics: [diagnostic(error)] };
}
