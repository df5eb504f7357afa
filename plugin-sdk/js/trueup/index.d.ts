// Types of the SDK, for TypeScript and for editors. What things mean is written beside the code: `http.js`, `schema.js`, `kind.js`,
// `provider.js`.

/** What the engine does about a failure. */
export type FaultName =
  | "invalid" | "unauthorized" | "denied" | "not-found" | "conflict" | "throttled" | "transient" | "unsupported" | "internal";

interface FaultParts {
  detail?: string | null;
  /** JSON pointer into the document. */
  path?: string | null;
  /** Milliseconds that the service asks for, with `throttled` and `transient`. */
  wait?: number | null;
  /** The change may have taken effect. */
  unsettled?: boolean;
}

/** One failure; the message is for people. */
export class Fault extends Error {
  constructor(fault: FaultName, code: string, message: string, more?: FaultParts);
  fault: FaultName;
  code: string;
  detail: string | null;
  path: string | null;
  wait: number | null;
  unsettled: boolean;
  static invalid(code: string, message: string, more?: FaultParts): Fault;
  static conflict(code: string, message: string, more?: FaultParts): Fault;
  static transient(code: string, message: string, more?: FaultParts): Fault;
  static unsupported(message: string): Fault;
  static internal(message: string, more?: FaultParts): Fault;
}

export declare namespace http {
  /** A request to be; every method but `send` returns it again. */
  class Request {
    constructor(method: string, url: string);
    query(name: string, value: string | number | boolean | null | undefined): this;
    header(name: string, value: string): this;
    credential(slot: string): this;
    idempotencyKey(token: string | null): this;
    ifMatch(version: string | null | undefined): this;
    ifNoneMatch(version: string | null | undefined): this;
    timeout(millis: number): this;
    body(contentType: string, data: string | Uint8Array): this;
    json(value: unknown): this;
    send(): Response;
  }
  class Response {
    readonly status: number;
    readonly headers: [string, string][];
    readonly bytes: Uint8Array;
    readonly etag: string | null;
    readonly notModified: boolean;
    header(name: string): string | null;
    link(relation: string): string | null;
    text(): string;
    json(): any;
    found(): Response | null;
    ok(): Response;
  }
  function get(url: string): Request;
  function head(url: string): Request;
  function post(url: string): Request;
  function put(url: string): Request;
  function patch(url: string): Request;
  function del(url: string): Request;
  function sendAll(requests: Request[], parallel?: number): (Response | Fault)[];
  function escape(text: string): string;
  function sent(): number;
}

interface Hints<T> {
  default?: T;
  optional?: boolean;
  title?: string;
  description?: string;
  min?: number;
  max?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
  immutable?: boolean;
  computed?: boolean;
  unordered?: boolean;
  listKey?: string;
  lowercase?: boolean;
  uppercase?: boolean;
  case?: "insensitive";
  secret?: boolean;
  sensitive?: boolean;
  writeOnly?: boolean;
  blob?: boolean;
  scope?: boolean;
  key?: boolean;
  identity?: boolean;
  format?: string;
  order?: unknown;
  statusFrom?: string[];
}

/** A type with its hints; `Optional` where a desired document may lack it. */
export interface Field<T, Optional extends boolean = boolean> {
  readonly schema: object;
  readonly isOptional: boolean;
  readonly _type?: [T, Optional];
}
/** Fields that have a default are always there; those that are optional may not be. */
type Made<T, H> = Field<T, H extends { optional: true } ? true : false>;
type Fields = Record<string, Field<any, any>>;

/** A secret as a provider sees it: open it with `reveal`. */
export type Secret = { $secret: string } | string;
/** A file of the revision: open it with `readBlob`. */
export type Blob = { $blob: string; size: number };

export function text<H extends Hints<string>>(hints?: H): Made<string, H>;
export function integer<H extends Hints<number>>(hints?: H): Made<number, H>;
export function number<H extends Hints<number>>(hints?: H): Made<number, H>;
export function boolean<H extends Hints<boolean>>(hints?: H): Made<boolean, H>;
export function choice<const N extends string, H extends Hints<N>>(names: readonly N[], hints?: H): Made<N, H>;
export function list<T, H extends Hints<T[]>>(of: Field<T, any>, hints?: H): Made<T[], H>;
export function map<T, H extends Hints<Record<string, T>>>(of: Field<T, any>, hints?: H): Made<Record<string, T>, H>;
export function record<F extends Fields, H extends Hints<Shape<F>>>(fields: F, hints?: H): Made<Shape<F>, H>;
export function secret<H extends Hints<Secret>>(hints?: H): Made<Secret, H>;
export function blob<H extends Hints<Blob>>(hints?: H): Made<Blob, H>;
export function anything<H extends Hints<any>>(hints?: H): Made<any, H>;

type Of<F> = F extends Field<infer T, any> ? T : never;
type OptionalNames<F extends Fields> = { [N in keyof F]: F[N] extends Field<any, true> ? N : never }[keyof F];
/** The object that has these fields. */
export type Shape<F extends Fields> = { [N in Exclude<keyof F, OptionalNames<F>>]: Of<F[N]> } & { [N in OptionalNames<F>]?: Of<F[N]> };

export function reveal(value: Secret): string;
export function readBlob(blob: Blob, limit: number): Uint8Array;

export interface Address {
  kind: string;
  scope: string;
  key: string;
}
export interface Health {
  state: "healthy" | "progressing" | "degraded" | "suspended" | "unknown";
  message: string;
}
export interface CallInfo {
  /** Milliseconds since 1970, when this reconciliation began. */
  now: number;
  budget: number;
  trace: string;
  ext: [string, string][];
}

/** One object as the remote system has it; of `spec` the fields that the kind has are taken. */
export interface Found<Spec = any, Status = any> {
  spec: Partial<Spec> | Record<string, any>;
  identity?: string;
  version?: string | null;
  status?: Status;
  mark?: string | null;
  health?: Health;
  address?: Address;
}
export class Pending<F = Found> {
  constructor(operation: string, more?: { after?: number; message?: string; found?: F | null });
}
export function pending<F = Found>(operation: string, more?: { after?: number; message?: string; found?: F | null }): Pending<F>;

export interface Page<F = Found> {
  objects: F[];
  next?: string | null;
  version?: string | null;
  coverage?: "whole" | "delta" | "unchanged" | "partial";
  gone?: { address: Address; identity: string | null }[];
}
export function unchanged(): Page<never>;

export interface ScopeQuery {
  kind: string;
  scope: string;
  cursor: string | null;
  since: string | null;
  limit: number;
  wait: number;
  ext: [string, string][];
}
/** What is asked for, or about to be changed. */
export interface Target<Spec = any> {
  address: Address;
  scope: string;
  key: string;
  /** Its identity, else its key. */
  name: string;
  identity: string | null;
  desired: Spec | null;
  mark: string | null;
  token: string | null;
  version: string | null;
  info: CallInfo;
}
export interface Item<Spec = any> {
  change: any;
  /** Null: delete it. */
  desired: Spec | null;
}

/** What a service of a kind may have; see `provider.js`. */
export interface Service<Spec = any, Status = any> {
  find?(target: Target<Spec>): Found<Spec, Status> | null | undefined;
  create?(target: Target<Spec>, desired: Spec): Found<Spec, Status> | Pending;
  update?(target: Target<Spec>, desired: Spec): Found<Spec, Status> | Pending;
  delete?(target: Target<Spec>): Pending | null | void;
  poll?(operation: string, info: CallInfo): Found<Spec, Status> | Pending | null | undefined;
  scan?(query: ScopeQuery, info: CallInfo): Page<Found<Spec, Status>>;
  apply?(scope: string, items: Item<Spec>[], info: CallInfo): (Found<Spec, Status> | Pending | Fault | null)[];
  refine?(candidate: any, info: CallInfo): any;
  cancel?(operation: string, info: CallInfo): void;
  scopes?(info: CallInfo): string[];
}

export interface Kind<Spec = any, Status = any> {
  readonly name: string;
  readonly schema: object;
  readonly _type?: [Spec, Status];
}
/** The spec of a kind's desired documents: `Desired<typeof Ticket>`. */
export type Desired<K> = K extends Kind<infer Spec, any> ? Spec : never;

export function kind<S extends Fields, T extends Fields = {}>(
  name: string,
  parts: {
    spec: S;
    status?: T;
    description?: string;
    scope?: string;
    key?: string;
    batch?: { items: number; bytes?: number; atomic?: boolean };
    recover?: "key" | "token" | "mark" | "conditional" | "none";
    settle?: number;
    replace?: "create-first" | "delete-first";
    version?: number;
  },
): Kind<Shape<S>, Shape<T>>;

/** The interfaces that a component exports. */
export interface Exports {
  lifecycle: any;
  rendering: any;
  planning: any;
  operations: any;
  schemas: any;
  discovery: any;
  migration: any;
  healthChecks: any;
}
export function serve<C extends Fields = {}>(parts: {
  name: string;
  version: string;
  config?: C;
  kinds: [Kind, new (config: Shape<C>) => Service][];
  hosts?: string[];
  credentials?: Record<string, string[]>;
  secrets?: boolean;
  dns?: boolean;
  dirs?: boolean;
  reads?: string[];
  parallel?: number;
}): Exports;

export function log(level: "trace" | "debug" | "info" | "warn" | "error", message: string, fields?: Record<string, unknown>): void;
/** The imports of the contract, as the bindings have them. */
export const host: Record<"blobs" | "cache" | "dns" | "files" | "http" | "log" | "secrets" | "signing", any>;
