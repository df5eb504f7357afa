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

const coders = typeof TextDecoder === "function" && { decode: new TextDecoder("utf-8", { fatal: true }), encode: new TextEncoder() };

/**
 * Bytes of a text in UTF-8. The engine of components has no `TextEncoder`, and a loop over characters is slow there: what it has are
 * functions that were made for other ends, and run natively.
 */
export function toBytes(text) {
  return coders ? coders.encode.encode(text) : Uint8Array.fromBase64(btoa(unescape(encodeURIComponent(text))));
}

/** The text of bytes in UTF-8; throws where they are none. See `toBytes`. */
export function toText(bytes) {
  if (coders) return coders.decode.decode(bytes);
  const latin = atob(bytes.toBase64());
  return isAscii(bytes) ? latin : decodeURIComponent(escape(latin));
}

/** Looks at sixteen bytes at a time: step by step is slow where nothing is compiled. */
function isAscii(bytes) {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const words = new Int32Array(aligned.buffer, aligned.byteOffset, bytes.length >> 2);
  const { length } = words;
  let all = 0;
  let at = 0;
  for (; at + 3 < length; at += 4) all |= words[at] | words[at + 1] | words[at + 2] | words[at + 3];
  for (; at < length; at++) all |= words[at];
  for (at *= 4; at < bytes.length; at++) all |= bytes[at];
  return (all & 0x80808080) === 0;
}
