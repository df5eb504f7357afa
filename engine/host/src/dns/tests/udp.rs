//! Datagrams: anybody can send one.

use super::*;

#[tokio::test]
async fn an_answer_carries_the_plugins_id_and_the_server_saw_another() {
    let server = udp(|it| vec![Step::Send(answer(it, 0, &[soa(7)]))]).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let got = exchange(granted(&server.origin), query(&server.origin, wit::Transport::Udp, ask(SOA)), false).await.unwrap();
        assert_eq!((got.len(), u16_at(&got[0], 0)), (1, Some(ID)));
        assert_eq!(got[0], answer(&ask(SOA), 0, &[soa(7)]));
    }
    for seen in server.seen.lock().unwrap().iter() {
        assert_eq!(seen[2..], ask(SOA)[2..]);
        ids.push(u16_at(seen, 0));
    }
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() > 2, "ids are drawn: {ids:?}");
}

#[tokio::test]
async fn what_is_no_answer_is_passed_over_until_the_answer_comes() {
    let server = udp(|it| {
        let good = answer(it, 0, &[soa(7)]);
        let mut other_id = good.clone();
        other_id[0] ^= 1;
        let other_question = answer(&[&it[..2], &ask(NS)[2..]].concat(), 0, &[soa(8)]);
        let mut long = good.clone();
        long.push(0);
        let none = [&it[..2], &[0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
        [vec![], vec![0; 3], it.to_vec(), other_id, other_question, good[..good.len() - 1].to_vec(), long, none, good]
            .into_iter()
            .map(Step::Send)
            .collect()
    })
    .await;
    let got = exchange(granted(&server.origin), query(&server.origin, wit::Transport::Udp, ask(SOA)), false).await.unwrap();
    assert_eq!(got, [answer(&ask(SOA), 0, &[soa(7)])]);
    assert_eq!(server.seen.lock().unwrap().len(), 1, "nothing is sent twice");
}

#[tokio::test]
async fn silence_is_timed_out_for_a_query_and_interrupted_for_a_change() {
    let server = udp(|_| Vec::new()).await;
    let ask_it = |message| wit::Query { timeout: Some(100), ..query(&server.origin, wit::Transport::Udp, message) };
    fails(exchange(granted(&server.origin), ask_it(ask(SOA)), false).await, "timed-out", "");
    fails(exchange(granted(&server.origin), ask_it(update()), true).await, "interrupted", "did not answer in time");
    let wrong = udp(|it| vec![Step::Send(answer(&[&[it[0] ^ 1], &it[1..]].concat(), 0, &[]))]).await;
    let it = wit::Query { timeout: Some(100), ..query(&wrong.origin, wit::Transport::Udp, ask(SOA)) };
    fails(exchange(granted(&wrong.origin), it, false).await, "interrupted", "it carries another id");
}

#[tokio::test]
async fn a_flood_of_wrong_ids_ends() {
    let server = udp(|it| {
        let wrong = answer(&[&[it[0] ^ 1], &it[1..]].concat(), 0, &[]);
        (0..30_000).flat_map(|at| [Step::Send(wrong.clone()), Step::Wait(u64::from(at % 200 == 0))]).collect()
    })
    .await;
    let begun = Instant::now();
    let got = exchange(granted(&server.origin), query(&server.origin, wit::Transport::Udp, ask(SOA)), false).await;
    fails(got, "interrupted", "not the answer");
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn where_nothing_listens_nothing_was_sent_unless_it_would_have_changed_something() {
    let free = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let origin = format!("dns://{free}");
    fails(
        exchange(granted(&origin), query(&origin, wit::Transport::Udp, ask(SOA)), false).await,
        "unreachable",
        "nothing listens",
    );
    fails(
        exchange(granted(&origin), query(&origin, wit::Transport::Udp, update()), true).await,
        "interrupted",
        "nothing listens",
    );
    fails(exchange(granted(&origin), query(&origin, wit::Transport::Tcp, update()), true).await, "unreachable", "refused");
}

#[tokio::test]
async fn a_truncated_answer_is_the_plugins_to_see() {
    let server = udp(|it| {
        let mut cut = answer(it, 0, &[]);
        cut[2] |= 2;
        vec![Step::Send(cut)]
    })
    .await;
    let got = exchange(granted(&server.origin), query(&server.origin, wit::Transport::Udp, ask(SOA)), false).await.unwrap();
    assert_eq!(got[0][2] & 2, 2);
}

#[tokio::test]
async fn a_forged_refusal_of_the_key_does_not_keep_the_true_answer_away() {
    let server = udp(|it| {
        let refusal = [&answer(it, 9, &[])[..10], &[0, 1], &answer(it, 9, &[])[12..]].concat();
        let data = [name("hmac-sha256"), vec![0; 8], vec![0, 0], it[..2].to_vec(), vec![0, 17, 0, 0]].concat();
        let refusal = [refusal, tsig(&data)].concat();
        vec![Step::Send(answer(it, 0, &[soa(9)])), Step::Send(refusal), Step::Send(Signer::of(it).sign(answer(it, 0, &[soa(7)])))]
    })
    .await;
    let it = signed(query(&server.origin, wit::Transport::Udp, ask(SOA)));
    assert_eq!(exchange(granted(&server.origin), it, false).await.unwrap(), [answer(&ask(SOA), 0, &[soa(7)])]);
}
