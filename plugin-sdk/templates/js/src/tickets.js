/** The provider of tickets: what people declare, and how the service's API does it. */
import { Fault, http, integer, kind, list, pending, reveal, secret, serve, text, unchanged } from "../sdk/trueup/index.js";

export const Ticket = kind("Ticket", {
  description: "A ticket in a queue.",
  scope: "queue",
  key: "title",
  spec: {
    queue: text({ immutable: true, minLength: 1, description: "The queue that it waits in." }),
    title: text({ minLength: 1, description: "What it is about; no two of a queue are the same." }),
    priority: integer({ default: 3, min: 1, max: 5 }),
    tags: list(text(), { default: [], unordered: true }),
    body: text({ default: "" }),
    hook: secret({ optional: true, description: "Secret that the service signs its calls with. It never shows it." }),
  },
  status: {
    id: text({ computed: true, description: "What the service calls the ticket." }),
    state: text({ computed: true, description: "`open`, or `closing` while it is being deleted." }),
    url: text({ computed: true, description: "Where people read it." }),
  },
});

class Tickets {
  constructor({ server }) {
    this.server = server.replace(/\/+$/, "");
  }

  url(id) {
    return `${this.server}/tickets/${http.escape(id)}`;
  }

  found(ticket) {
    const { id, state, rev } = ticket;
    return { spec: ticket, identity: id, version: `"${rev}"`, status: { id, state, url: this.url(id) } };
  }

  page(queue, after, since, limit) {
    const request = http.get(`${this.server}/tickets`).query("queue", queue).query("after", after).query("limit", limit);
    const response = request.credential("token").ifNoneMatch(since).send();
    if (response.notModified) return unchanged();
    const { tickets, next } = response.ok().json();
    return { objects: tickets.map((it) => this.found(it)), next, version: response.etag };
  }

  scan({ scope, cursor, since, limit }) {
    const [after, first] = (cursor ?? "").split(" ");
    const { next = null, ...page } = this.page(scope, after || null, cursor ? null : since, limit);
    // The version of the first page: what changed while the others were read is seen by the next scan.
    const version = first ?? page.version;
    return { ...page, version, next: next && `${next} ${version}` };
  }

  find({ identity, scope, key }) {
    if (identity) {
      const response = http.get(this.url(identity)).credential("token").send().found();
      return response && this.found(response.json());
    }
    for (let page = this.page(scope); ; page = this.page(scope, page.next)) {
      const found = page.objects.find((it) => it.spec.title === key);
      if (found || page.next === null) return found ?? null;
    }
  }

  create({ token }, desired) {
    const { queue, title } = desired;
    return this.write(http.post(`${this.server}/tickets`).idempotencyKey(token), { queue, title }, desired);
  }

  update({ identity, version }, desired) {
    return this.write(http.patch(this.url(identity)).ifMatch(version), {}, desired);
  }

  write(request, names, { priority, tags, body, hook }) {
    const ticket = { ...names, priority, tags, body, hook: hook ? reveal(hook) : null };
    return this.found(request.credential("token").json(ticket).send().ok().json());
  }

  delete({ identity }) {
    http.del(this.url(identity)).credential("token").send().ok();
    return pending(identity, { after: 100, message: "the ticket is closing" });
  }

  poll(id) {
    const response = http.get(this.url(id)).credential("token").send().found();
    if (response === null) return null;
    if (response.json().state !== "closing") {
      throw Fault.conflict("ticket.open", "the ticket was opened again while it was closing");
    }
    return pending(id, { after: 100, message: "the ticket is closing" });
  }
}

export const { lifecycle, rendering, planning, operations, schemas, discovery, migration, healthChecks } = serve({
  name: "{{name}}",
  version: "0.1.0",
  config: { server: text({ description: "Where the service listens, such as https://tickets.example.com" }) },
  kinds: [[Ticket, Tickets]],
  hosts: ["config.server"],
  credentials: { token: ["bearer"] },
  secrets: true,
  parallel: 8,
});
