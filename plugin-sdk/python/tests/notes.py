"""A provider of notes that a web service keeps: the worked example of the tests."""

from trueup import Found, field, http, kind, pick, provider, record


@record
class Conf:
    server: str = field(default="https://notes.example/api", description="Where the service listens.")


@record
class NoteStatus:
    link: str = field(computed=True, description="Where people read it.")


@kind(scope="board", key="title", status=NoteStatus)
class Note:
    """A note on a board."""

    board: str = field(lowercase=True)
    title: str
    text: str = field(description="What it says.")
    stars: int = field(default=1, min=1, max=5)


class Notes:
    def __init__(self, conf):
        self.server = conf.server

    def url(self, note):
        return f"{self.server}/{http.escape(note.scope)}/{http.escape(note.key)}"

    def put(self, note, desired, condition):
        body = {"board": desired.board, "title": desired.title, "text": desired.text, "stars": desired.stars}
        request = http.put(self.url(note)).credential("token").header(*condition)
        return found(request.idempotency_key(note.token).json(body).send().ok())

    def find(self, note):
        response = http.get(self.url(note)).credential("token").send().found()
        return response and found(response)

    def create(self, note, desired):
        return self.put(note, desired, ("if-none-match", "*"))

    def update(self, note, desired):
        return self.put(note, desired, ("if-match", note.version or "*"))

    def delete(self, note):
        http.delete(self.url(note)).credential("token").if_match(note.version).send().ok()


def found(response):
    status = NoteStatus(link=response.header("location"))
    return Found(pick(Note, response.json()), version=response.etag, status=status)


provider(
    "notes",
    version="0.1.0",
    config=Conf,
    kinds={Note: Notes},
    hosts=["config.server"],
    credentials={"token": ["bearer"]},
).export(__name__)
