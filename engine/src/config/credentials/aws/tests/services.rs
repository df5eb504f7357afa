//! STS, the metadata service, and when keys are got anew.

use super::*;
use crate::config::credentials::renewed::Patience;

#[test]
fn a_role_is_assumed_with_the_keys_in_the_region_that_is_named() {
    let sts = sts();
    let case = Case::new().variable("AWS_ACCESS_KEY_ID", "AKID").variable("AWS_SECRET_ACCESS_KEY", "c4nary-1");
    let text = |more: &str| format!("{{environment: true, sts: '{}', assume-role: {{role: '{ROLE}deploy'{more}}}", sts.url);
    assert_eq!(case.get(&format!("{}}}", text(""))).unwrap(), "ID-deploy c4nary-secret-deploy/+= c4nary-token-deploy");
    let more = text(", external-id: 'a:b', session-name: ci, duration: 15m");
    let login = case.login(&format!("{more}, region: eu-west-3}}")).unwrap();
    login.fetch(None).unwrap();
    assert_eq!(login.values(), ["c4nary-1", "c4nary-secret-deploy/+=", "c4nary-token-deploy"]);
    assert_eq!(signers(&sts), ["AKID us-east-1", "AKID eu-west-3"]);
    let forms: Vec<_> = sts.seen().iter().map(form).collect();
    let want = [("Action", "AssumeRole"), ("RoleSessionName", "trueup"), ("Version", "2011-06-15")];
    for (name, value) in want {
        assert_eq!(forms[0][name], value);
    }
    assert!(!forms[0].contains_key("ExternalId") && !forms[0].contains_key("DurationSeconds"));
    assert_eq!((&*forms[1]["ExternalId"], &*forms[1]["RoleSessionName"], &*forms[1]["DurationSeconds"]), ("a:b", "ci", "900"));
    assert!(
        !sts.seen().iter().any(|it| it.headers.contains("c4nary") || it.body.contains("c4nary")),
        "the key itself is not sent"
    );
}

#[test]
fn a_token_opens_a_role_without_any_key_and_is_read_anew_each_time() {
    let sts = sts();
    let case = Case::new();
    let token = case.put("token", "c4nary-a\n");
    let text = format!("{{web-identity: {{role: '{ROLE}pod', token: {{file: token}}, session-name: pod}}, sts: '{}'}}", sts.url);
    let login = case.login(&text).unwrap();
    let held = login.fetch(None).unwrap();
    assert_eq!(shown(&held), "ID-pod c4nary-secret-pod/+= c4nary-token-pod");
    fs::write(&token, "c4nary-b").unwrap();
    login.fetch(Some(&held)).unwrap();
    let forms: Vec<_> = sts.seen().iter().map(form).collect();
    assert_eq!(forms.iter().map(|it| it["WebIdentityToken"].as_str()).collect::<Vec<_>>(), ["c4nary-a", "c4nary-b"]);
    assert_eq!((&*forms[0]["Action"], &*forms[0]["RoleSessionName"]), ("AssumeRoleWithWebIdentity", "pod"));
    assert_eq!(signers(&sts), ["-", "-"]);
    assert_eq!(login.values(), ["c4nary-a", "c4nary-secret-pod/+=", "c4nary-token-pod", "c4nary-b"]);
    fs::remove_file(token).unwrap();
    assert!(case.login(&text).unwrap_err().contains("cannot be read"), "said where the entry is named");
}

#[test]
fn what_sts_says_is_told_without_any_value() {
    let case = Case::new().variable("AWS_ACCESS_KEY_ID", "AKID").variable("AWS_SECRET_ACCESS_KEY", "c4nary-1");
    for (status, body, want, requests) in [
        (403, "<Error><Code>AccessDenied</Code><Message>no &lt;c4nary-1&gt;</Message></Error>", "AccessDenied: no <(secret)>", 1),
        (400, "<Error><Code>ValidationError</Code></Error>", "ValidationError", 1),
        (200, "<x/>", "has no `AccessKeyId`", 1),
        (302, "", "302", 1),
        (503, "", "503", 3),
    ] {
        let sts = Server::new(move |_| (status, String::new(), body.to_owned()));
        let text = format!("{{environment: true, sts: '{}', assume-role: {{role: '{ROLE}deploy'}}}}", sts.url);
        let words = case.get(&text).unwrap_err();
        for part in [want, "role `arn:aws:iam::123456789012:role/deploy`", "`AWS_ACCESS_KEY_ID`"] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert_eq!(sts.seen().len(), requests, "{status}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!("{{environment: true, sts: 'http://{nobody}', assume-role: {{role: '{ROLE}deploy'}}}}");
    let words = case.get(&text).unwrap_err();
    assert!(words.contains(&format!("`http://{nobody}` gave no answer")), "{words}");
}

/// A server's clock an hour ahead of ours, as its `Date` says.
fn ahead() -> (SystemTime, String) {
    // A day of the month and a weekday that nobody looks at would do; the text is the one that servers write.
    let now = SystemTime::now() + Duration::from_hours(1);
    let text = super::super::sso::written(now);
    let (date, clock) = text.split_once('T').unwrap();
    let parts: Vec<_> = date.split('-').collect();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[parts[1].parse::<usize>().unwrap() - 1];
    (now, format!("Mon, {} {month} {} {} GMT", parts[2], parts[0], clock.trim_end_matches('Z')))
}

#[test]
fn a_role_is_assumed_in_the_servers_time_where_ours_is_wrong_and_lasts_as_long_as_it_says() {
    let sts = Server::new(|seen| {
        let (now, date) = ahead();
        let stamp = super::super::sso::written(now - Duration::from_mins(5)).replace(['-', ':'], "");
        let date = format!("date: {date}\r\n");
        if *seen.header("x-amz-date").unwrap() < *stamp {
            let body = "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>";
            return (403, date, body.to_owned());
        }
        // Over for 10 minutes by our clock, and good for 50 by its own.
        (200, date, given("x", 3600 + 3000).2)
    });
    let case = Case::new().variable("AWS_ACCESS_KEY_ID", "AKID").variable("AWS_SECRET_ACCESS_KEY", "c4nary-1");
    let text = format!("{{environment: true, sts: '{}', assume-role: {{role: '{ROLE}x'}}}}", sts.url);
    let login = case.login(&text).unwrap();
    login.fetch(None).unwrap();
    assert_eq!(sts.seen().len(), 2);
    login.pass(Duration::from_mins(44));
    assert!(login.held().is_some());
    login.pass(Duration::from_mins(2));
    assert!(login.held().is_none());
}

/// A metadata service that gives keys for so many seconds, numbered.
fn metadata(lasts: i64) -> Server {
    let given = Mutex::new(0);
    Server::new(move |seen| {
        let plain = |text: &str| (200, String::new(), text.to_owned());
        if seen.line.starts_with("PUT /latest/api/token ") {
            assert_eq!(seen.header("x-aws-ec2-metadata-token-ttl-seconds"), Some("60"));
            return plain("c4nary-session");
        }
        if seen.header("x-aws-ec2-metadata-token") != Some("c4nary-session") {
            return (401, String::new(), String::new());
        }
        if seen.line.starts_with("GET /latest/meta-data/iam/security-credentials/ ") {
            return plain("web-role\n");
        }
        assert!(seen.line.starts_with("GET /latest/meta-data/iam/security-credentials/web-role "), "{}", seen.line);
        let mut given = given.lock().unwrap();
        *given += 1;
        let json = json!({
            "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": format!("ID-{given}"), "SecretAccessKey": format!("c4nary-{given}"),
            "Token": format!("c4nary-t{given}"), "Expiration": time(lasts),
        });
        plain(&json.to_string())
    })
}

fn instance(server: &Server) -> String {
    format!("{{instance: true, endpoint: '{}'}}", server.url)
}

#[test]
fn the_role_of_an_instance_is_asked_for_in_a_session_and_anew_before_its_keys_end() {
    let server = metadata(3600);
    let case = Case::new();
    let login = case.login(&instance(&server)).unwrap();
    assert_eq!(server.seen().len(), 0, "nothing is asked for before it is needed");
    let held = login.fetch(None).unwrap();
    assert_eq!(shown(&held), "ID-1 c4nary-1 c4nary-t1");
    assert_eq!(server.seen().len(), 3);
    login.pass(Duration::from_mins(54));
    assert!(Arc::ptr_eq(&held, &login.held().unwrap()), "five minutes and more are left");
    login.pass(Duration::from_mins(2));
    assert!(login.held().is_none());
    assert_eq!(shown(&login.fetch(None).unwrap()), "ID-2 c4nary-2 c4nary-t2");
    assert_eq!(login.values(), ["c4nary-session", "c4nary-1", "c4nary-t1", "c4nary-2", "c4nary-t2"]);
}

#[test]
fn many_who_wait_get_the_same_keys_and_those_who_were_refused_others_once() {
    let server = metadata(3600);
    let case = Case::new();
    let login = Arc::new(case.login(&instance(&server)).unwrap());
    let all = |refused: Option<Arc<Held>>| {
        let ask = || {
            let (login, refused) = (Arc::clone(&login), refused.clone());
            thread::spawn(move || login.fetch(refused.as_ref()).unwrap())
        };
        let threads: Vec<_> = (0..8).map(|_| ask()).collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
    };
    let first = all(None);
    assert!(first.iter().all(|it| Arc::ptr_eq(it, &first[0])));
    assert_eq!(server.seen().len(), 3);
    let second = all(Some(Arc::clone(&first[0])));
    assert!(second.iter().all(|it| Arc::ptr_eq(it, &second[0])) && shown(&second[0]).starts_with("ID-2 "));
    assert_eq!(server.seen().len(), 6);
    // Refused again at once: there is nothing newer for a while.
    assert!(Arc::ptr_eq(&login.fetch(Some(&second[0])).unwrap(), &second[0]));
    assert_eq!(server.seen().len(), 6);
    login.pass(Duration::from_secs(11));
    assert!(shown(&login.fetch(Some(&second[0])).unwrap()).starts_with("ID-3 "));
}

#[test]
fn keys_are_used_to_their_end_where_no_newer_ones_are_to_be_had() {
    let up = Arc::new(Mutex::new(true));
    let state = Arc::clone(&up);
    let server = Server::new(move |seen| {
        if !*state.lock().unwrap() {
            return (404, String::new(), String::new());
        }
        match seen.line.split(' ').next() {
            Some("PUT") => (200, String::new(), "t".to_owned()),
            _ if seen.line.contains("/web-role ") => {
                let json = json!({"Code": "Success", "AccessKeyId": "ID", "SecretAccessKey": "c4nary", "Token": "c", "Expiration": time(3600)});
                (200, String::new(), json.to_string())
            }
            _ => (200, String::new(), "web-role".to_owned()),
        }
    });
    let none = Patience { refused: Duration::ZERO, failed: Duration::ZERO };
    let login = Case::new().login(&instance(&server)).unwrap().with_patience(none);
    let held = login.fetch(None).unwrap();
    *up.lock().unwrap() = false;
    login.pass(Duration::from_mins(56));
    assert!(login.held().is_none());
    assert!(Arc::ptr_eq(&held, &login.fetch(None).unwrap()));
    assert!(login.fetch(Some(&held)).is_err(), "what was refused is not shown again");
    login.pass(Duration::from_mins(5));
    assert!(login.fetch(None).unwrap_err().contains("the metadata service answers with 404"));
}

#[test]
fn what_a_metadata_service_lacks_is_said() {
    for (role, keys, want) in [
        ((404, ""), (404, ""), "this instance has no role"),
        ((200, "a/../b"), (200, ""), "names no role"),
        ((200, ""), (200, ""), "names no role"),
        (
            (200, "r"),
            (200, "{\"Code\": \"Failed\", \"Message\": \"assume\"}"),
            "role `r`: the metadata service has no keys for it: Failed: assume",
        ),
        ((200, "r"), (200, "c4nary"), "what is no JSON"),
        ((200, "r"), (200, "{\"Code\": \"Success\", \"AccessKeyId\": \"a\"}"), "gives no `SecretAccessKey`"),
        ((200, "r"), (403, ""), "answers with 403"),
    ] {
        let server = Server::new(move |seen| {
            let (status, body) = if seen.line.starts_with("PUT") {
                (200, "t")
            } else if seen.line.contains("credentials/ ") {
                role
            } else {
                keys
            };
            (status, String::new(), body.to_owned())
        });
        let words = Case::new().get(&instance(&server)).unwrap_err();
        assert!(words.contains(want) && words.starts_with("the role of this instance: "), "{want}: {words}");
    }
    let server = metadata(-60);
    assert_eq!(Case::new().get(&instance(&server)).unwrap(), "ID-1 c4nary-1 c4nary-t1", "AWS goes on taking them");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let words = Case::new().get(&format!("{{instance: true, endpoint: 'http://{nobody}'}}")).unwrap_err();
    assert!(words.contains("is for a machine of AWS"), "{words}");
}
