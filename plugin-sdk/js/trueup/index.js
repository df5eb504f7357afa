/**
 * The JavaScript SDK for `trueup` providers: descriptions of what people declare, a few functions for what the service does. The
 * engine compares, plans, orders, retries, remembers and shows. No dependency; synchronous, as components are.
 */
export * as http from "./http.js";
export { Fault } from "./errors.js";
export { host, log } from "./host.js";
export { kind, pending, unchanged } from "./kind.js";
export { serve } from "./provider.js";
export { anything, blob, boolean, choice, integer, list, map, number, readBlob, record, reveal, secret, text } from "./schema.js";
