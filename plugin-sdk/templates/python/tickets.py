"""The provider of tickets: what people declare, and how the service's API does it."""

from trueup import Error, Found, Page, Pending, Secret, field, http, kind, pick, provider, record


@record
class Conf:
    server: str = field(description="Where the service listens, such as https://tickets.example.com")


@record
class TicketStatus:
    id: str = field(computed=True, description="What the service calls the ticket.")
    state: str = field(computed=True, description="`open`, or `closing` while it is being deleted.")
    url: str = field(computed=True, description="Where people read it.")


@kind(scope="queue", key="title", status=TicketStatus)
class Ticket:
    """A ticket in a queue."""

    queue: str = field(immutable=True, min_length=1, description="The queue that it waits in.")
    title: str = field(min_length=1, description="What it is about; no two of a queue are the same.")
    priority: int = field(default=3, min=1, max=5)
    tags: list[str] = field(default=[], unordered=True)
    body: str = field(default="")
    hook: Secret | None = field(default=None, description="Secret that the service signs its calls with. It never shows it.")


class Tickets:
    def __init__(self, conf):
        self.server = conf.server.rstrip("/")

    def url(self, id):
        return f"{self.server}/tickets/{http.escape(id)}"

    def found(self, ticket):
        status = TicketStatus(id=ticket["id"], state=ticket["state"], url=self.url(ticket["id"]))
        return Found(pick(Ticket, ticket), identity=ticket["id"], version=f'"{ticket["rev"]}"', status=status)

    def page(self, queue, after=None, since=None, limit=None):
        request = http.get(f"{self.server}/tickets").query("queue", queue).query("after", after).query("limit", limit)
        response = request.credential("token").if_none_match(since).send()
        if response.not_modified:
            return Page.unchanged()
        page = response.ok().json()
        return Page([self.found(it) for it in page["tickets"]], next=page["next"], version=response.etag)

    def scan(self, query, info):
        after, _, first = (query.cursor or "").partition(" ")
        page = self.page(query.scope, after or None, None if after else query.since, query.limit)
        # The version of the first page: what changed while the others were read is seen by the next scan.
        page.version = first or page.version
        page.next = page.next and f"{page.next} {page.version}"
        return page

    def find(self, target):
        if target.identity:
            response = http.get(self.url(target.identity)).credential("token").send().found()
            return response and self.found(response.json())
        page = self.page(target.scope)
        while True:
            for it in page.objects:
                if it.spec.title == target.key:
                    return it
            if page.next is None:
                return None
            page = self.page(target.scope, page.next)

    def create(self, target, desired):
        request = http.post(f"{self.server}/tickets").idempotency_key(target.token)
        return self.write(request, {"queue": desired.queue, "title": desired.title}, desired)

    def update(self, target, desired):
        return self.write(http.patch(self.url(target.identity)).if_match(target.version), {}, desired)

    def write(self, request, body, desired):
        body |= {"priority": desired.priority, "tags": desired.tags, "body": desired.body}
        body["hook"] = desired.hook and desired.hook.reveal()
        return self.found(request.credential("token").json(body).send().ok().json())

    def delete(self, target):
        http.delete(self.url(target.identity)).credential("token").send().ok()
        return Pending(target.identity, after=100, message="the ticket is closing")

    def poll(self, id, info):
        response = http.get(self.url(id)).credential("token").send().found()
        if response is None:
            return None
        if response.json()["state"] != "closing":
            raise Error.conflict("ticket.open", "the ticket was opened again while it was closing")
        return Pending(id, after=100, message="the ticket is closing")


provider(
    "{{name}}",
    version="0.1.0",
    config=Conf,
    kinds={Ticket: Tickets},
    hosts=["config.server"],
    credentials={"token": ["bearer"]},
    secrets=True,
    parallel=8,
).export(__name__)
