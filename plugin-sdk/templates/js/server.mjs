/** A small ticket service to test against: `node server.mjs PORT`. All of its state is in memory. */
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

const PAGE = 100;
const OWN = ["id", "queue", "state", "created", "rev", "hookSet", "hook"];

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Milliseconds that a delete takes. */
export const closes = { after: 300 };

const tickets = new Map(); // by number
const titles = new Map(); // numbers by queue and title
const keys = new Map(); // numbers by Idempotency-Key
const queues = new Map(); // { numbers, version } by name; numbers in order
const requests = {};
const closing = []; // { at, number }, the first that is over first
let last = 0;

const naturalKey = (queue, title) => JSON.stringify([queue, title]);
const etag = ({ rev }) => ({ ETag: `"${rev}"` });

/** Where `number` is or would be among numbers in order. */
function place(numbers, number) {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

function sweep() {
  while (closing.length > 0 && closing[0].at <= Date.now()) {
    const { number } = closing.shift();
    const { queue: name, title } = tickets.get(number);
    const queue = queues.get(name);
    tickets.delete(number);
    titles.delete(naturalKey(name, title));
    queue.numbers.splice(place(queue.numbers, number), 1);
    queue.version += 1;
  }
}

function find(id) {
  const number = /^T-\d+$/.test(id) ? Number(id.slice(2)) : 0;
  const ticket = tickets.get(number);
  if (!ticket) throw new Refused(404, `there is no ticket ${id}`);
  return ticket;
}

function page(query) {
  const { numbers, version } = queues.get(query.get("queue")) ?? { numbers: [], version: 0 };
  const limit = Math.min(Number(query.get("limit") ?? PAGE) || PAGE, PAGE);
  const start = query.has("after") ? place(numbers, Number(query.get("after").slice(2)) + 1) : 0;
  const chosen = numbers.slice(start, start + limit).map((it) => tickets.get(it));
  const next = start + limit < numbers.length ? chosen.at(-1).id : null;
  return [{ tickets: chosen, next }, `"q${version}"`];
}

function merge(ticket, body) {
  for (const [name, value] of Object.entries(body)) if (!OWN.includes(name)) ticket[name] = value;
  if ("hook" in body) ticket.hookSet = body.hook !== null; // The value itself is nobody's to read.
  ticket.rev += 1;
  queues.get(ticket.queue).version += 1;
}

function create(body, key) {
  if (key !== undefined && keys.has(key)) return [200, tickets.get(keys.get(key)) ?? body];
  const { queue, title } = body;
  if (typeof queue !== "string" || !queue || typeof title !== "string" || !title) {
    throw new Refused(422, "a ticket needs a queue and a title");
  }
  if (titles.has(naturalKey(queue, title))) throw new Refused(409, `${queue} has a ticket of that title`);
  const number = (last += 1);
  const fixed = { id: `T-${number}`, queue, title, priority: 3, tags: [], body: "" };
  const ticket = { ...fixed, state: "open", hookSet: false, created: new Date().toISOString(), rev: 0 };
  tickets.set(number, ticket);
  titles.set(naturalKey(queue, title), number);
  if (!queues.has(queue)) queues.set(queue, { numbers: [], version: 0 });
  queues.get(queue).numbers.push(number);
  if (key !== undefined) keys.set(key, number);
  merge(ticket, body);
  return [201, ticket];
}

function change(ticket, body) {
  const { queue, title, id } = ticket;
  if ((body.queue ?? queue) !== queue) throw new Refused(422, "a ticket stays in its queue");
  const [number, wanted] = [Number(id.slice(2)), naturalKey(queue, body.title ?? title)];
  if ((titles.get(wanted) ?? number) !== number) throw new Refused(409, `${queue} has a ticket of that title`);
  titles.delete(naturalKey(queue, title));
  titles.set(wanted, number);
  merge(ticket, body);
}

function close(ticket) {
  if (ticket.state === "closing") return;
  merge(ticket, {});
  ticket.state = "closing";
  closing.push({ at: Date.now() + closes.after, number: Number(ticket.id.slice(2)) });
}

/** Status, headers, and what is sent as JSON. `headers` have names in lower case. */
export function respond(method, url, headers, body) {
  try {
    return answer(method, new URL(url, "http://localhost"), headers, JSON.parse(body || "{}"));
  } catch (error) {
    return [error instanceof Refused ? error.status : 400, {}, { error: error.message }];
  }
}

/** Forgets everything. */
export function reset() {
  for (const it of [tickets, titles, keys, queues]) it.clear();
  closing.length = last = 0;
}

function answer(method, url, headers, body) {
  const parts = url.pathname.slice(1).split("/").map(decodeURIComponent);
  if (method === "GET" && url.pathname === "/requests") return [200, {}, requests];
  requests[method] = (requests[method] ?? 0) + 1;
  if (headers.authorization !== "Bearer test-token") throw new Refused(401, "a token is needed");
  sweep();
  if (url.pathname === "/tickets" && method === "GET") {
    const [found, version] = page(url.searchParams);
    return headers["if-none-match"] === version ? [304, { ETag: version }] : [200, { ETag: version }, found];
  }
  if (url.pathname === "/tickets" && method === "POST") {
    const [status, ticket] = create(body, headers["idempotency-key"]);
    return [status, etag(ticket), ticket];
  }
  if (parts.length !== 2 || parts[0] !== "tickets") throw new Refused(404, "there is nothing here");
  const ticket = find(parts[1]);
  if (method === "DELETE") {
    close(ticket);
    return [202, {}, ticket];
  }
  if (method === "PATCH") {
    const wanted = headers["if-match"] ?? "*";
    if (wanted !== "*" && wanted !== etag(ticket).ETag) throw new Refused(412, "the ticket has changed");
    change(ticket, body);
  } else if (method !== "GET") throw new Refused(405, `no ${method} here`);
  return [200, etag(ticket), ticket];
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const [status, headers, body] = respond(request.method, request.url, request.headers, Buffer.concat(chunks).toString());
    const data = body === undefined ? "" : JSON.stringify(body);
    response.writeHead(status, { ...headers, "Content-Type": "application/json", "Content-Length": Buffer.byteLength(data) });
    response.end(data);
  });
});
server.keepAliveTimeout = 60_000;
if (process.argv[1] === fileURLToPath(import.meta.url)) server.listen(Number(process.argv[2]), "127.0.0.1");
