//! The service, request by request.

use trueup_sdk::{Error, Fault, Json, Result, http};

use crate::{is, raw, ticket};

/// Most tickets in one answer of the service.
const PAGE: u32 = 100;

/// One answer to a list.
#[derive(Default)]
pub struct Page {
    pub tickets: Vec<Json>,
    /// The last ticket of this page, where there are more.
    pub next: Option<String>,
    pub etag: Option<String>,
}

pub struct Client {
    pub server: String,
}

/// The identity before this one.
pub fn before(id: &str) -> String {
    let number = id.strip_prefix("T-").and_then(|it| it.parse::<u64>().ok()).unwrap_or(1);
    format!("T-{}", number.saturating_sub(1))
}

impl Client {
    pub fn new(server: &str) -> Self {
        Self { server: server.trim_end_matches('/').to_owned() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    /// A page of a queue; none where nothing changed since `since`.
    pub fn list(&self, queue: &str, limit: u32, after: Option<&str>, since: Option<&str>) -> Result<Option<Page>> {
        let mut request = http::get(self.url("/tickets")).credential("token").query("queue", queue);
        request = request.query("limit", &limit.min(PAGE).to_string());
        if let Some(after) = after {
            request = request.query("after", after);
        }
        let response = checked(request.if_none_match(since).send())?;
        if response.not_modified() {
            return Ok(None);
        }
        let response = ok(response)?;
        let etag = response.etag();
        let body: Json = response.json()?;
        let tickets: Vec<Json> = body.get("tickets").and_then(Json::as_array).cloned().unwrap_or_default();
        tickets.iter().try_for_each(known)?;
        Ok(Some(Page { tickets, next: body.get("next").and_then(Json::as_str).map(str::to_owned), etag }))
    }

    pub fn get(&self, id: &str) -> Result<Option<Json>> {
        let response = checked(http::get(self.url(&format!("/tickets/{}", http::escape(id)))).credential("token").send())?;
        if response.status() == 404 {
            return Ok(None);
        }
        let ticket = ok(response)?.json()?;
        known(&ticket)?;
        Ok(Some(ticket))
    }

    /// The ticket of a queue with this title.
    pub fn search(&self, queue: &str, title: &str) -> Result<Option<Json>> {
        let mut after = None;
        loop {
            let Some(page) = self.list(queue, PAGE, after.as_deref(), None)? else { return Ok(None) };
            if let Some(found) = page.tickets.into_iter().find(|it| it["title"] == title) {
                return Ok(Some(found));
            }
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
        }
    }

    /// Creates, many at a time; each with what recognises another try of it.
    pub fn create_all(&self, bodies: Vec<Result<(Json, String)>>) -> Vec<Result<Json>> {
        let request =
            |(body, key): &(Json, String)| http::post(self.url("/tickets")).credential("token").idempotency_key(key).json(body);
        let requests = bodies.iter().flatten().map(request).collect();
        let mut answers = http::send_all(requests, 8).into_iter();
        let one = |body: Result<(Json, String)>| {
            body?;
            let answer = answers.next().unwrap_or_else(|| Err(Error::internal("no answer")));
            ok(checked(answer)?)?.json()
        };
        bodies.into_iter().map(one).collect()
    }

    /// Only where it still is this version.
    pub fn update(&self, id: &str, body: &Json, version: Option<&str>) -> Result<Json> {
        let url = self.url(&format!("/tickets/{}", http::escape(id)));
        let request = if is("puts-whole") { http::put(url) } else { http::patch(url) };
        let request = request.credential("token").if_match(version).json(body);
        ok(checked(request.send())?)?.json()
    }

    /// False where there is no such ticket.
    pub fn delete(&self, id: &str) -> Result<bool> {
        let response = checked(http::delete(self.url(&format!("/tickets/{}", http::escape(id)))).credential("token").send())?;
        if response.status() == 404 {
            return Ok(false);
        }
        ok(response).map(|_| true)
    }

    /// What no scan may do.
    pub fn touch(&self) -> Result<()> {
        http::post(self.url("/tickets")).credential("token").send().map(drop)
    }

    /// A host that nobody granted.
    pub fn elsewhere(&self) -> bool {
        trueup_sdk::host::http::send(&raw("GET", "http://telemetry.example.com/".to_owned())).is_ok()
    }
}

fn known(ticket: &Json) -> Result<()> {
    if is("refuses-unknown") && !ticket::is_known(ticket) {
        return Err(Error::internal("the ticket has a field that nobody knows"));
    }
    Ok(())
}

fn checked(answer: Result<http::Response>) -> Result<http::Response> {
    match answer {
        // What the service did with a request that nobody answered is not known; this says that it did nothing.
        Err(error) if is("interrupted-is-invalid") => Err(Error { fault: Fault::Invalid, unsettled: false, ..error }),
        answer => answer,
    }
}

fn ok(response: http::Response) -> Result<http::Response> {
    response.ok().map_err(|error| match error.fault {
        Fault::Throttled(Some(_)) if is("drops-retry-after") => Error { fault: Fault::Throttled(None), ..error },
        Fault::Throttled(Some(hint)) if is("hint-in-seconds") => Error { fault: Fault::Throttled(Some(hint / 1000)), ..error },
        Fault::Throttled(_) if is("throttled-is-invalid") => Error { fault: Fault::Invalid, ..error },
        Fault::Unauthorized if is("unauthorized-is-transient") => Error { fault: Fault::Transient(None), ..error },
        _ => error,
    })
}
