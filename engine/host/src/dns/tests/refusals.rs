//! What is refused before anything is sent.

use super::*;

/// A UDP server that must see nothing.
async fn untouched() -> Server {
    udp(|it| vec![Step::Send(answer(it, 0, &[]))]).await
}

#[tokio::test]
async fn outside_apply_only_queries_and_transfers_are_sent() {
    let server = untouched().await;
    let notify = message(4, SOA, [&[], &[], &[]]);
    for (message, words) in [(update(), "UPDATE changes a zone"), (notify.clone(), "NOTIFY makes a server act")] {
        for via in [wit::Transport::Udp, wit::Transport::Tcp] {
            let it = query(&server.origin, via, message.clone());
            fails(exchange(granted(&server.origin), it, false).await, "denied", words);
        }
    }
    for opcode in [1, 2, 3, 6, 15] {
        let it = query(&server.origin, wit::Transport::Udp, message(opcode, SOA, [&[], &[], &[]]));
        fails(exchange(granted(&server.origin), it, true).await, "denied", &format!("opcode {opcode} is none"));
    }
    assert!(server.seen.lock().unwrap().is_empty());
    for message in [update(), notify] {
        exchange(granted(&server.origin), query(&server.origin, wit::Transport::Udp, message), true).await.unwrap();
    }
    assert_eq!(server.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_message_with_a_key_of_its_own_is_refused() {
    let server = untouched().await;
    let mut own = ask(SOA);
    key().sign(&mut own, 1_767_225_600);
    let mut update_own = update();
    key().sign(&mut update_own, 1_767_225_600);
    let inside = message(5, SOA, [&[], &[record("x", 250, 255, &[])], &[]]);
    let sig0 = message(0, SOA, [&[], &[], &[record("", 24, 255, &[0; 20])]]);
    for message in [own, update_own, inside, sig0] {
        for writes in [false, true] {
            let it = query(&server.origin, wit::Transport::Udp, message.clone());
            fails(exchange(granted(&server.origin), it, writes).await, "denied", "with a key that is not its own");
        }
    }
    for message in [ask(249), message(0, SOA, [&[], &[], &[record("x", 249, 255, &[])]])] {
        fails(
            exchange(granted(&server.origin), query(&server.origin, wit::Transport::Udp, message), true).await,
            "denied",
            "TKEY",
        );
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_granted_servers_are_reached_and_only_as_granted() {
    let (server, other) = (untouched().await, untouched().await);
    let port = server.origin.rsplit(':').next().unwrap();
    for (origin, words) in [
        (&*other.origin, "is not granted; add it to `dns` of the provider"),
        ("dns://ns1.example.com", "is not granted"),
        (&format!("dns://localhost:{port}"), "is not granted"),
        (&format!("dns+tls://127.0.0.1:{port}"), "is not granted"),
    ] {
        fails(exchange(granted(&server.origin), query(origin, wit::Transport::Udp, ask(SOA)), true).await, "denied", words);
    }
    let tls = query(&server.origin, wit::Transport::Tls, ask(SOA));
    fails(exchange(granted(&server.origin), tls, true).await, "denied", "TLS needs `dns+tls://`");
    let only_tls = format!("dns+tls://127.0.0.1:{port}");
    fails(exchange(granted(&only_tls), query(&only_tls, wit::Transport::Udp, ask(SOA)), true).await, "denied", "TLS only");
    fails(
        exchange(granted(&server.origin), query("http://a", wit::Transport::Udp, ask(SOA)), true).await,
        "malformed",
        "`server`",
    );
    assert!(server.seen.lock().unwrap().is_empty() && other.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_credential_for_another_server_or_of_another_kind_is_refused_and_not_left_out() {
    let (server, other) = (untouched().await, untouched().await);
    let mut both = granted(&server.origin);
    both.dns.push(DnsServer::parse(&other.origin).unwrap());
    let it = signed(query(&other.origin, wit::Transport::Udp, update()));
    fails(exchange(both, it, true).await, "denied", "credential `zone-key` is not for");
    let unknown = wit::Query { credential: Some("none".to_owned()), ..query(&server.origin, wit::Transport::Udp, ask(SOA)) };
    fails(exchange(granted(&server.origin), unknown, true).await, "denied", "no credential fills the slot `none`");
    let mut bearer = granted(&server.origin);
    let it = Credential {
        name: "token".to_owned(),
        origins: Vec::new(),
        servers: Vec::new(),
        scheme: Scheme::Bearer(Secret::from("t0ken")),
        ca_pem: None,
        base: None,
    };
    let it = Arc::new(it);
    bearer.credentials.insert("tsig".to_owned(), Slot { read: it.clone(), write: it });
    let it = signed(query(&server.origin, wit::Transport::Udp, ask(SOA)));
    fails(exchange(bearer, it, true).await, "denied", "credential `token` is bearer");
    assert!(server.seen.lock().unwrap().is_empty() && other.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_message_or_could_hide_one_is_not_sent() {
    let server = untouched().await;
    let two = [&ask(SOA)[..4], &[0, 2], &ask(SOA)[6..], &ask(SOA)[12..]].concat();
    let mut said = ask(SOA);
    said[2] |= 0x80;
    // A signature behind the last record would be counted as one once the host has added its own.
    let hidden = [ask(SOA), record("trueup", 250, 255, &[])].concat();
    let looped = [&ask(SOA)[..12], &[0xc0, 12, 0, 6, 0, 1]].concat();
    for (message, words) in [
        (vec![], "shorter than a header"),
        (ask(SOA)[..20].to_vec(), "in the middle"),
        (hidden, "behind its last record"),
        (two, "several questions"),
        (said, "is an answer"),
        ([&ask(SOA)[..4], &[0; 8]].concat(), "asks nothing"),
        (looped, "a name that is none"),
        (vec![0; 65_001], "longer than 65000 bytes"),
        (ask(AXFR), "over TCP or TLS only"),
        (ask(IXFR), "IXFR needs the start of authority"),
    ] {
        let it = query(&server.origin, wit::Transport::Udp, message);
        fails(exchange(granted(&server.origin), it, true).await, "malformed", words);
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_number_of_queries_is_bounded_and_many_are_answered_in_order() {
    let server = tcp(|it| vec![Step::Say(answer(it, 0, &[]))]).await;
    let many = vec![query(&server.origin, wit::Transport::Tcp, ask(SOA)); 10_001];
    let refused = exchange_all(granted(&server.origin), many, false).await;
    assert!(refused.len() == 10_001 && refused.iter().all(|it| it.as_ref().is_err_and(|it| it.contains("more than 10000"))));
    assert!(server.seen.lock().unwrap().is_empty());
    let kinds: Vec<u16> = (1..=100).collect();
    let queries = kinds.iter().map(|it| query(&server.origin, wit::Transport::Tcp, ask(*it))).collect();
    for (got, kind) in exchange_all(granted(&server.origin), queries, false).await.into_iter().zip(kinds) {
        assert_eq!(got.unwrap(), [answer(&ask(kind), 0, &[])]);
    }
}
