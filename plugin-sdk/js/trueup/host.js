/**
 * What the engine offers a provider: the imports of the contract, by their names. In a component `connect` is given the imports
 * themselves, in a unit test those of its double.
 *
 * Every function that takes a list is one call to the engine however long the list is: gather first, then ask once. What `http`,
 * `reveal` and `readBlob` do not cover is used as the bindings have it: `host.files.listAll([...])`, `host.dns.exchangeAll([...], 0)`.
 */
export const host = { blobs: null, cache: null, dns: null, files: null, http: null, log: null, secrets: null, signing: null };

/** Lets `host` reach these imports. */
export function connect(imports) {
  Object.assign(host, imports);
}

/** What an import failed with: bindings differ in whether it is thrown itself or within an error. */
export function thrown(error) {
  return error instanceof Error && error.payload !== undefined ? error.payload : error;
}

/** One line of the log: `log("info", "listed", { queue })`. Known secrets are masked, but do not rely on it. */
export function log(level, message, fields = {}) {
  host.log.write(level, message, Object.entries(fields).map(([name, value]) => [name, String(value)]));
}

/** Bytes of a text in UTF-8. */
export function toBytes(text) {
  const latin = /^[\x00-\x7f]*$/.test(text) ? text : unescape(encodeURIComponent(text));
  const bytes = new Uint8Array(latin.length);
  for (let at = 0; at < latin.length; at++) bytes[at] = latin.charCodeAt(at);
  return bytes;
}

/** The text of bytes in UTF-8. The engines of components have no `TextDecoder`, and a loop of our own would be slow there. */
export function toText(bytes) {
  let latin = "";
  for (let at = 0; at < bytes.length; at += 8192) latin += String.fromCharCode.apply(null, bytes.subarray(at, at + 8192));
  return /[\x80-\xff]/.test(latin) ? decodeURIComponent(escape(latin)) : latin;
}
