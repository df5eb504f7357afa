/** A provider of notes that a web service keeps: the worked example of the tests. */
import { http, integer, kind, serve, text } from "../trueup/index.js";

const Note = kind("Note", {
  description: "A note on a board.",
  scope: "board",
  key: "title",
  spec: {
    board: text({ lowercase: true }),
    title: text(),
    text: text({ description: "What it says." }),
    stars: integer({ default: 1, min: 1, max: 5 }),
  },
  status: { link: text({ computed: true, description: "Where people read it." }) },
});

class Notes {
  constructor({ server }) {
    this.server = server;
  }

  url({ scope, key }) {
    return `${this.server}/${http.escape(scope)}/${http.escape(key)}`;
  }

  put(note, desired, condition) {
    const request = http.put(this.url(note)).credential("token").header(...condition);
    return found(request.idempotencyKey(note.token).json(desired).send().ok());
  }

  find(note) {
    const response = http.get(this.url(note)).credential("token").send().found();
    return response && found(response);
  }

  create(note, desired) {
    return this.put(note, desired, ["if-none-match", "*"]);
  }

  update(note, desired) {
    return this.put(note, desired, ["if-match", note.version ?? "*"]);
  }

  delete(note) {
    http.del(this.url(note)).credential("token").ifMatch(note.version).send().ok();
  }
}

function found(response) {
  return { spec: response.json(), version: response.etag, status: { link: response.header("location") } };
}

export const notes = serve({
  name: "notes",
  version: "0.1.0",
  config: { server: text({ default: "https://notes.example/api", description: "Where the service listens." }) },
  kinds: [[Note, Notes]],
  hosts: ["config.server"],
  credentials: { token: ["bearer"] },
});
