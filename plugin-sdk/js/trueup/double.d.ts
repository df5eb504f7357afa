import type { Address, Exports } from "./index.js";

export interface HttpRequest {
  method: string;
  url: string;
  headers: [string, string][];
  body: Uint8Array | null;
  credential: string | null;
}
export interface HttpResponse {
  status: number;
  headers: [string, string][];
  body: Uint8Array;
  cut: boolean;
}
export type HttpError =
  | { tag: "denied" | "unreachable" | "interrupted" | "malformed"; val: string }
  | { tag: "timed-out" }
  | { tag: "too-large"; val: number };

export function respond(status: number, headers?: Record<string, string>, body?: unknown): HttpResponse;
export function faultOf(failure: any): string;
export class Failure extends Error {
  fault: string;
}

export class Double {
  phase: "pure" | "observe" | "apply";
  now: number;
  lines: string[];
  serve(server: (request: HttpRequest) => HttpResponse | HttpError): void;
  provide(name: "files" | "dns" | "signing", imported: object): void;
  blob(bytes: Uint8Array): { $blob: string; size: number };
  secret(handle: string, value: string): { $secret: string };
  loseCache(): void;
  advance(millis: number): void;
  takeCalls(): string[];
}

/** What crosses the border is as the contract's records: `any`, to be looked at as a test likes. */
export class Engine {
  constructor(exports: Exports, config?: object);
  readonly double: Double;
  restart(config: object): void;
  manifest(): any;
  render(kind: string, name: string, doc: object): any;
  scan(kind: string, scope: string, since?: string | null): any;
  scanPage(query: { kind: string; scope: string; cursor?: string | null; since?: string | null; limit?: number }): any;
  read(address: Address, more?: { identity?: string | null; desired?: object | null; since?: string | null }): any;
  change(prior: any, desired: any): any;
  apply(changes: any[]): any[];
  bring(prior: any, desired: any): any;
  follow(outcome: any): any;
  poll(operation: string): any;
  refine(prior: any, desired: any): any;
}
