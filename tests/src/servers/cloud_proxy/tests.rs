//! The proxy before the real stand-in, asked by a client that does nothing by itself.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::thread;

use super::*;
use crate::servers::moto::{Cloud, Keys, Moto};

/// Asks once, over one connection, what it is told to.
struct Client {
    stream: BufReader<TcpStream>,
    keys: Keys,
}

impl Client {
    fn new(port: u16, keys: &Keys) -> Self {
        Self { stream: BufReader::new(TcpStream::connect(("127.0.0.1", port)).unwrap()), keys: keys.clone() }
    }

    /// None where the answer does not come, or not whole.
    fn ask(&mut self, first: &str, service: &str, headers: &[(&str, &str)], body: &str) -> Option<Message> {
        let mut message = Message { first: format!("{first} HTTP/1.1"), body: body.into(), ..Message::default() };
        headers.iter().for_each(|(name, value)| message.set(name, value));
        let scope = format!("{}/20260101/eu-west-1/{service}/aws4_request", self.keys.access_key);
        message.set("Host", "127.0.0.1");
        message.set("Authorization", &format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"));
        message.set("X-Amz-Security-Token", &self.keys.token);
        message.set("X-Amz-Date", &refusal::stamp(refusal::now()));
        self.stream.get_ref().write_all(&message.bytes()).ok()?;
        Message::read_answer(&mut self.stream, message.method())
    }

    fn sqs(&mut self, operation: &str, input: Json) -> Option<Message> {
        let target = format!("AmazonSQS.{operation}");
        let headers = [("X-Amz-Target", target.as_str()), ("Content-Type", "application/x-amz-json-1.0")];
        self.ask("POST /", "sqs", &headers, &input.to_string())
    }

    fn iam(&mut self, form: &str) -> Option<Message> {
        self.ask("POST /", "iam", &[("Content-Type", "application/x-www-form-urlencoded")], form)
    }

    fn create(&mut self, name: &str) -> Option<Message> {
        self.sqs("CreateQueue", json!({ "QueueName": name }))
    }

    /// Names of queues as one page shows them, and where the next begins.
    fn queues(&mut self, token: Option<&str>) -> (Vec<String>, Option<String>) {
        let input = match token {
            Some(token) => json!({ "MaxResults": 2, "NextToken": token }),
            None => json!({ "MaxResults": 2 }),
        };
        let page: Json = serde_json::from_slice(&self.sqs("ListQueues", input).unwrap().body).unwrap();
        let urls = page["QueueUrls"].as_array().cloned().unwrap_or_default();
        let name = |it: &Json| it.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        (urls.iter().map(name).collect(), page["NextToken"].as_str().map(str::to_owned))
    }
}

fn world() -> (Cloud<'static>, CloudProxy, Client) {
    let cloud = Moto::shared().account();
    let proxy = Moto::shared().proxy();
    let client = Client::new(proxy.port, &cloud.keys());
    (cloud, proxy, client)
}

fn queues_of(cloud: &Cloud) -> usize {
    cloud.call("sqs", "list_queues", json!({}))["QueueUrls"].as_array().map_or(0, Vec::len)
}

#[test]
fn requests_over_one_connection_are_written_down_in_their_order() {
    let (cloud, proxy, mut client) = world();
    assert_eq!(client.create("a").unwrap().status(), 200);
    assert_eq!(client.sqs("GetQueueUrl", json!({ "QueueName": "b" })).unwrap().status(), 400);
    assert!(client.iam("Action=ListRoles&Version=2010-05-08&Marker=m").is_some());
    let seen = proxy.take();
    let told: Vec<_> = seen.iter().map(|it| (it.number, it.service.as_str(), it.operation.as_str(), it.fate.as_str())).collect();
    assert_eq!(told, [(0, "sqs", "CreateQueue", "pass"), (1, "sqs", "GetQueueUrl", "pass"), (2, "iam", "ListRoles", "pass")]);
    assert_eq!((seen[0].status, seen[1].status), (Some(200), Some(400)));
    assert_eq!(seen[2].page, [("Marker".to_owned(), "m".to_owned())]);
    assert_eq!(proxy.most_in_flight(), 0);
    assert_eq!(queues_of(&cloud), 1);
}

#[test]
fn what_is_cut_before_the_server_is_not_done_and_what_is_cut_after_it_is() {
    let (cloud, proxy, mut client) = world();
    proxy.rules(vec![Rule::on("sqs", "CreateQueue", |_| Fate::CutBefore), Rule::on("sqs", "Create*", |_| Fate::CutAfter)]);
    assert_eq!(client.create("a"), None);
    assert_eq!(queues_of(&cloud), 0);
    let mut client = Client::new(proxy.port, &client.keys);
    assert_eq!(client.create("b"), None);
    assert_eq!(queues_of(&cloud), 1);
    assert_eq!(Client::new(proxy.port, &client.keys).create("c").unwrap().status(), 200);
    assert_eq!(proxy.take().iter().map(|it| it.status).collect::<Vec<_>>(), [None, None, Some(200)]);
}

#[test]
fn a_rule_skips_and_ends_and_a_refused_request_does_not_reach_the_server() {
    let (cloud, proxy, mut client) = world();
    let throttle = |asked: &Asked| Fate::Refuse(Refusal::throttled(asked).retry_after(3));
    proxy.rules(vec![Rule::on("*", "Create*", throttle).skip(1).times(2)]);
    let answers: Vec<_> = ["a", "b", "c", "d"].iter().map(|it| client.create(it).unwrap()).collect();
    assert_eq!(answers.iter().map(Message::status).collect::<Vec<_>>(), [200, 400, 400, 200]);
    assert_eq!(answers[1].header("retry-after"), Some("3"));
    assert_eq!(queues_of(&cloud), 2);
}

#[test]
fn an_answer_that_is_truncated_or_refused_late_was_done() {
    let (cloud, proxy, mut client) = world();
    proxy.rules(vec![
        Rule::on("sqs", "CreateQueue", |asked| Fate::RefuseAfter(Refusal::trouble(asked, 500))),
        Rule::on("sqs", "CreateQueue", |_| Fate::Truncate(5)),
    ]);
    assert_eq!(client.create("a").unwrap().status(), 500);
    assert_eq!(client.create("b"), None);
    assert_eq!(queues_of(&cloud), 2);
}

#[test]
fn pages_are_repeated_skipped_and_shortened() {
    let (cloud, proxy, mut client) = world();
    for name in ["a", "b", "c", "d", "e"] {
        cloud.call("sqs", "create_queue", json!({ "QueueName": name }));
    }
    let (first, second) = client.queues(None);
    assert_eq!(first, ["a", "b"]);
    proxy.rules(vec![Rule::on("sqs", "ListQueues", |_| Fate::RepeatPage)]);
    assert_eq!(client.queues(second.as_deref()), (first.clone(), second.clone()));
    let (page, third) = client.queues(second.as_deref());
    assert_eq!(page, ["c", "d"]);
    proxy.rules(vec![Rule::on("sqs", "ListQueues", |_| Fate::SkipPage), Rule::on("sqs", "ListQueues", |_| Fate::DropLast(1))]);
    assert_eq!(client.queues(None), (vec!["c".to_owned(), "d".to_owned()], third));
    assert_eq!(client.queues(None), (vec!["a".to_owned()], second));
    proxy.rules(vec![Rule::on("sqs", "ListQueues", |_| Fate::Hide(vec!["a".to_owned()]))]);
    assert_eq!(client.queues(None).0, ["b"]);
}

#[test]
fn lists_that_the_server_gives_whole_come_in_pages() {
    let (cloud, proxy, mut client) = world();
    (0..5).for_each(|_| drop(cloud.call("kms", "create_key", json!({}))));
    proxy.rules(vec![Rule::on("kms", "ListKeys", |_| Fate::Paged(2)).always()]);
    let (mut sizes, mut input) = (Vec::new(), json!({ "Limit": 2 }));
    loop {
        let headers = [("X-Amz-Target", "TrentService.ListKeys"), ("Content-Type", "application/x-amz-json-1.1")];
        let page = client.ask("POST /", "kms", &headers, &input.to_string()).unwrap();
        let page: Json = serde_json::from_slice(&page.body).unwrap();
        sizes.push(page["Keys"].as_array().unwrap().len());
        if page["Truncated"] == false {
            break;
        }
        input["Marker"] = page["NextMarker"].clone();
    }
    assert_eq!(sizes, [2, 2, 1]);
}

#[test]
fn what_was_made_a_moment_ago_is_missing_in_so_many_listings() {
    let (_, proxy, mut client) = world();
    client.create("old").unwrap();
    proxy.late(2);
    client.create("new").unwrap();
    let shown: Vec<_> = (0..3).map(|_| client.queues(None).0).collect();
    assert_eq!(shown, [vec!["old"], vec!["old"], vec!["old", "new"]]);
    client.iam("Action=CreateRole&RoleName=r&AssumeRolePolicyDocument=%7B%7D&Version=2010-05-08").unwrap();
    let shows = |client: &mut Client| client.iam("Action=ListRoles&Version=2010-05-08").unwrap().text().contains(">r<");
    assert_eq!([shows(&mut client), shows(&mut client), shows(&mut client)], [false, false, true]);
}

#[test]
fn a_session_ends_and_a_clock_is_hours_away() {
    let (cloud, proxy, mut client) = world();
    proxy.expire(&client.keys.access_key);
    let told = client.create("a").unwrap();
    assert!(told.text().contains("ExpiredTokenException"), "{}", told.text());
    let mut client = Client::new(proxy.port, &cloud.keys());
    assert_eq!(client.create("a").unwrap().status(), 200);
    proxy.clock(5);
    let told = client.create("b").unwrap();
    assert!(told.text().contains("Signature expired"), "{}", told.text());
    proxy.calm();
    assert_eq!(client.create("b").unwrap().status(), 200);
}

#[test]
fn a_gate_holds_what_is_in_flight_together() {
    let (_, proxy, client) = world();
    let gate = Gate::default();
    let held = gate.clone();
    proxy.decide(move |_| Fate::Hold(held.clone()));
    let (port, keys) = (proxy.port, &client.keys);
    thread::scope(|scope| {
        let asks = |name: &'static str| move || Client::new(port, keys).create(name).unwrap().status();
        let asking = [scope.spawn(asks("a")), scope.spawn(asks("b")), scope.spawn(asks("c"))];
        gate.reached(3);
        assert_eq!(proxy.most_in_flight(), 3);
        gate.open();
        assert_eq!(asking.map(|it| it.join().unwrap()), [200, 200, 200]);
    });
    proxy.wait(|seen| seen.iter().all(|it| it.status == Some(200)));
}

#[test]
fn a_state_that_the_server_is_never_in_is_written_into_its_answer() {
    let (_, proxy, mut client) = world();
    client.create("q").unwrap();
    proxy.rules(vec![Rule::on("sqs", "ListQueues", |_| Fate::Edit(Box::new(|it| it.replace("/q", "/edited"))))]);
    assert_eq!(client.queues(None).0, ["edited"]);
}

#[test]
fn a_seed_does_the_same_to_two_runs_and_stops_when_its_budget_is_spent() {
    let traces: Vec<_> = (0..2)
        .map(|_| {
            let (_, proxy, client) = world();
            let rates = Rates { cut_before: 0.3, throttle: 0.3, budget: 8, ..Rates::none() };
            let faults = Faults::seeded(11, rates).on(&proxy);
            let keys = &client.keys;
            (0..40).for_each(|number| drop(Client::new(proxy.port, keys).create(&format!("q{number}"))));
            assert!(proxy.take().iter().skip(30).all(|it| it.fate == "pass"));
            faults.trace()
        })
        .collect();
    assert_eq!(traces[0], traces[1]);
    assert_eq!(traces[0].len(), 8);
}

#[test]
fn a_tape_answers_without_the_server_what_it_has_recorded() {
    let (_, _, client) = world();
    let tape = Arc::new(Tape::new(Duration::ZERO));
    let proxy = CloudProxy::start(0, &format!("127.0.0.1:{}", Moto::shared().port), Some(tape));
    let mut client = Client::new(proxy.port, &client.keys);
    client.create("a").unwrap();
    assert_eq!(client.queues(None).0, ["a"]);
    let mut control = |target: &str| client.ask(&format!("GET {target}"), "", &[], "").unwrap();
    assert_eq!(control("/__stub/mode?replay").status(), 200);
    assert_eq!(control("/__stub/mode?else").status(), 404);
    client.create("b").unwrap();
    assert_eq!(client.queues(None).0, ["a"]);
    let counts: Json = serde_json::from_slice(&client.ask("GET /__stub/counts", "", &[], "").unwrap().body).unwrap();
    assert_eq!(counts["operations"], json!({ "sqs CreateQueue": 2, "sqs ListQueues": 2 }));
    assert_eq!((&counts["requests"], &counts["recorded"], &counts["missed"]), (&json!(4), &json!(2), &json!(1)));
}
