//! Tickets of a service as documents: what people declare, and how it is found, made, changed and closed.

use trueup_sdk::prelude::*;
use trueup_sdk::schema::fields;

#[derive(Settings, Deserialize)]
struct Conf {
    /// Where the service listens, such as `https://tickets.example.com`.
    server: String,
}

/// A ticket in a queue.
#[derive(Clone, Kind, Serialize, Deserialize)]
#[kind(scope = "queue", key = "title", status = TicketStatus)]
struct Ticket {
    /// A ticket stays in its queue: another queue is another ticket.
    #[hint(immutable)]
    queue: String,
    /// What names it within its queue.
    title: String,
    /// From 1, urgent, to 5.
    #[hint(default = 3, min = 1, max = 5)]
    priority: u8,
    #[hint(unordered, default = [])]
    tags: Vec<String>,
    #[hint(default = "")]
    body: String,
    /// What the service signs its calls with. It is never read back.
    hook: Option<Secret>,
}

#[derive(Clone, Default, Schema, Serialize, Deserialize)]
struct TicketStatus {
    /// What the service calls it.
    #[hint(computed)]
    id: String,
    /// `open`, or `closing` until it is gone.
    #[hint(computed)]
    state: String,
    /// Where people read it.
    #[hint(computed)]
    url: String,
}

/// A ticket as the service shows it.
#[derive(Deserialize)]
struct Shown {
    id: String,
    state: String,
    rev: u64,
    #[serde(flatten)]
    ticket: Ticket,
}

#[derive(Deserialize)]
struct List {
    tickets: Vec<Shown>,
    next: Option<String>,
}

#[provider(name = "{{name}}", scan(Ticket), crud(Ticket), hosts("config.server"), credentials(token("bearer")), secrets, parallel = 16)]
struct Tickets(Conf);

impl Tickets {
    fn url(&self, id: &str) -> String {
        format!("{}/tickets/{}", self.0.server, http::escape(id))
    }

    fn found(&self, shown: Shown) -> Found<Ticket> {
        let Shown { id, state, rev, ticket } = shown;
        let found = Found::new(ticket).identity(&id).version(Some(format!("\"{rev}\"")));
        let found = if state == "closing" { found.pending(100, "the ticket closes") } else { found };
        found.status(TicketStatus { url: self.url(&id), id, state })
    }
}

impl Scan<Ticket> for Tickets {
    fn scan(&self, query: &ScopeQuery, _: &CallInfo) -> Result<Page<Ticket>> {
        let request = http::get(format!("{}/tickets", self.0.server)).query("queue", &query.scope).credential("token");
        let request = request.query("limit", &query.limit.clamp(1, 100).to_string());
        let Some(response) = request.page(query, "after").send()?.changed()? else { return Ok(Page::unchanged()) };
        let List { tickets, next } = response.json()?;
        Ok(Page::whole(tickets.into_iter().map(|it| self.found(it)).collect()).next(next).version(response.etag()))
    }
}

impl Crud<Ticket> for Tickets {
    fn find(&self, ticket: &Target<'_, Ticket>) -> Result<Option<Found<Ticket>>> {
        let Some(id) = ticket.identity else { return self.search(ticket) };
        let response = http::get(self.url(id)).credential("token").send()?.found()?;
        response.map(|it| Ok(self.found(it.json()?))).transpose()
    }

    fn create(&self, ticket: &Target<'_, Ticket>, desired: &Ticket) -> Result<Found<Ticket>> {
        let request = http::post(format!("{}/tickets", self.0.server)).credential("token");
        let response = request.idempotency_key(ticket.token()).json(&fields(desired)?).send()?.ok()?;
        Ok(self.found(response.json()?))
    }

    fn update(&self, ticket: &Target<'_, Ticket>, desired: &Ticket) -> Result<Found<Ticket>> {
        let mut fields = fields(desired)?;
        fields.remove("queue");
        let request = http::patch(self.url(ticket.name())).credential("token").if_match(ticket.version);
        Ok(self.found(request.json(&fields).send()?.ok()?.json()?))
    }

    fn delete(&self, ticket: &Target<'_, Ticket>) -> Result<Deleted> {
        let response = http::delete(self.url(ticket.name())).credential("token").send()?.ok()?;
        Ok(if response.status() == 202 { Deleted::later(100, "the ticket closes") } else { Deleted::Gone })
    }
}

#[cfg(test)]
mod tests;
