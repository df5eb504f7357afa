//! Signed exchanges with servers that sign wrongly.

use super::*;

/// Signs the query, and answers it with what `script` makes of it.
async fn run(
    message: Vec<u8>,
    script: impl Fn(&[u8], Signer) -> Vec<Step> + Send + Sync + 'static,
) -> Result<Vec<Vec<u8>>, String> {
    let server = tcp(move |it| script(it, Signer::of(it))).await;
    let writes = message[2] != 0;
    exchange(granted(&server.origin), signed(query(&server.origin, wit::Transport::Tcp, message)), writes).await
}

#[tokio::test]
async fn a_signed_transfer_is_verified_to_its_end_and_the_plugin_sees_no_signature() {
    let got = run(ask(AXFR), |it, mut signer| {
        let mut steps = vec![signer.say(answer(it, 0, &[soa(7)]))];
        steps.extend((0..99).map(|at| signer.plain(answer(it, 0, &[a(&format!("h{at}"))]))));
        steps.push(signer.say(answer(it, 0, &[a("x")])));
        steps.push(signer.say(answer(it, 0, &[soa(7)])));
        steps
    });
    let got = got.await.unwrap();
    assert_eq!(got.len(), 102);
    assert_eq!((&got[0], &got[101]), (&answer(&ask(AXFR), 0, &[soa(7)]), &answer(&ask(AXFR), 0, &[soa(7)])));
}

#[tokio::test]
async fn a_change_is_signed_by_the_host_and_its_answer_verified() {
    assert_eq!(run(update(), |it, mut signer| vec![signer.say(answer(it, 0, &[]))]).await.unwrap(), [answer(&update(), 0, &[])]);
    let forged = run(update(), |it, _| vec![Step::Say(answer(it, 0, &[]))]).await;
    fails(forged, "interrupted", "the answer (NOERROR) is not signed");
    let refused = run(update(), |it, _| vec![Step::Say(answer(it, 5, &[]))]).await;
    fails(refused, "interrupted", "the answer (REFUSED) is not signed");
}

#[tokio::test]
async fn a_wrong_or_missing_signature_on_any_message_is_named_with_its_number() {
    for wrong in 0..4 {
        let got = run(ask(AXFR), move |it, mut signer| {
            let parts = [vec![soa(7)], vec![a("x")], vec![a("y")], vec![soa(7)]];
            let say = |(at, part): (usize, &Vec<Vec<u8>>)| {
                let mut message = signer.sign(answer(it, 0, part));
                let place = message.len() - 10;
                message[place] ^= u8::from(at == wrong);
                Step::Say(message)
            };
            parts.iter().enumerate().map(say).collect()
        });
        let number = if wrong == 0 { String::new() } else { format!("message {}: ", wrong + 1) };
        fails(got.await, "interrupted", &format!("{number}the answer is not believed: its signature is wrong"));
    }
    let first =
        run(ask(AXFR), |it, mut signer| vec![signer.plain(answer(it, 0, &[soa(7)])), signer.say(answer(it, 0, &[soa(7)]))]);
    fails(first.await, "interrupted", "is not signed");
    let last =
        run(ask(AXFR), |it, mut signer| vec![signer.say(answer(it, 0, &[soa(7)])), signer.plain(answer(it, 0, &[soa(7)]))]);
    fails(last.await, "interrupted", "message 2: the answer is not believed: the answer (NOERROR) is not signed");
    let many = run(ask(AXFR), |it, mut signer| {
        let mut steps = vec![signer.say(answer(it, 0, &[soa(7)]))];
        steps.extend((0..100).map(|_| signer.plain(answer(it, 0, &[a("x")]))));
        steps.push(signer.say(answer(it, 0, &[soa(7)])));
        steps
    });
    fails(many.await, "interrupted", "message 101: the answer is not believed: more than 99 messages");
}

#[tokio::test]
async fn a_record_put_into_an_unsigned_message_is_found_at_the_next_signature() {
    let got = run(ask(AXFR), |it, mut signer| {
        let first = signer.say(answer(it, 0, &[soa(7)]));
        signer.plain(answer(it, 0, &[a("x")]));
        vec![first, Step::Say(answer(it, 0, &[a("x"), a("forged")])), signer.say(answer(it, 0, &[soa(7)]))]
    });
    fails(got.await, "interrupted", "message 3: the answer is not believed: its signature is wrong");
}

#[tokio::test]
async fn a_server_whose_clock_is_wrong_is_named_with_both_clocks() {
    let got = run(ask(SOA), |it, signer| vec![Signer { skew: 4000, ..signer }.say(answer(it, 0, &[soa(7)]))]).await;
    fails(got, "interrupted", " s ahead of ours, ");
    let server = tcp(|it| {
        // BADTIME, unsigned: said by nobody in particular, so without a clock.
        let refusal = [&answer(it, 9, &[])[..10], &[0, 1], &answer(it, 9, &[])[12..]].concat();
        let data = [name("hmac-sha256"), vec![0; 8], vec![0, 0], it[..2].to_vec(), vec![0, 18, 0, 0]].concat();
        vec![Step::Say([refusal, tsig(&data)].concat())]
    })
    .await;
    let it = signed(query(&server.origin, wit::Transport::Tcp, update()));
    fails(exchange(granted(&server.origin), it, true).await, "unauthorized", "(BADTIME)");
}

#[tokio::test]
async fn a_signature_that_nobody_asked_for_is_no_answer() {
    let server = tcp(|it| {
        let data = [name("hmac-sha256"), vec![0; 8], vec![0, 0], it[..2].to_vec(), vec![0; 4]].concat();
        let signed = [answer(it, 0, &[soa(7)]), tsig(&data)].concat();
        let counted = [&signed[..10], &[0, 1], &signed[12..]].concat();
        vec![Step::Say(counted)]
    })
    .await;
    let got = exchange(granted(&server.origin), query(&server.origin, wit::Transport::Tcp, ask(SOA)), false).await;
    fails(got, "interrupted", "signed though the query was not");
}
