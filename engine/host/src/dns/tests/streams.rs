//! Streams: single answers and transfers, whole and cut.

use super::*;

fn say_all(query: &[u8], messages: &[&[Vec<u8>]]) -> Vec<Step> {
    messages.iter().map(|it| Step::Say(answer(query, 0, it))).collect()
}

/// Asks a server that answers with these messages and hangs up.
async fn transfer(message: Vec<u8>, messages: Vec<Vec<Vec<u8>>>) -> Result<Vec<Vec<u8>>, String> {
    let server = tcp(move |it| say_all(it, &messages.iter().map(Vec::as_slice).collect::<Vec<_>>())).await;
    exchange(granted(&server.origin), query(&server.origin, wit::Transport::Tcp, message), false).await
}

/// The whole zone.
async fn axfr(messages: Vec<Vec<Vec<u8>>>) -> Result<Vec<Vec<u8>>, String> {
    transfer(ask(AXFR), messages).await
}

/// What changed since serial 5.
async fn ixfr(messages: Vec<Vec<Vec<u8>>>) -> Result<Vec<Vec<u8>>, String> {
    transfer(message(0, IXFR, [&[], &[soa(5)], &[]]), messages).await
}

#[tokio::test]
async fn a_zone_comes_in_one_message_or_in_many_and_ends_with_its_start_of_authority() {
    assert_eq!(axfr(vec![vec![soa(7), a("x"), soa(7)]]).await.unwrap().len(), 1);
    assert_eq!(axfr(vec![vec![soa(7)], vec![a("x")], vec![a("y"), soa(7)]]).await.unwrap().len(), 3);
    assert_eq!(axfr(vec![vec![soa(7)], vec![soa(7)]]).await.unwrap().len(), 2, "a zone with nothing else");
    let more = axfr(vec![vec![soa(7), a("x"), soa(7)], vec![a("never read")]]).await.unwrap();
    assert_eq!(more.len(), 1);
}

#[tokio::test]
async fn a_transfer_that_is_cut_is_an_error_and_never_a_shorter_zone() {
    fails(axfr(vec![vec![soa(7), a("x")]]).await, "interrupted", "cut off after 1 messages");
    fails(axfr(vec![vec![soa(7), a("x")], vec![a("y")]]).await, "interrupted", "cut off after 2 messages");
    let server = tcp(|it| {
        let whole = answer(it, 0, &[soa(7), a("x"), soa(7)]);
        vec![
            Step::Say(answer(it, 0, &[soa(7)])),
            Step::Send(u16::try_from(whole.len()).unwrap().to_be_bytes().to_vec()),
            Step::Send(whole[..30].to_vec()),
        ]
    })
    .await;
    let got = exchange(granted(&server.origin), query(&server.origin, wit::Transport::Tcp, ask(AXFR)), false).await;
    fails(got, "interrupted", "cut off in the middle of message 2");
}

#[tokio::test]
async fn a_transfer_that_breaks_its_own_form_is_an_error() {
    fails(axfr(vec![vec![a("x"), soa(7)]]).await, "interrupted", "does not begin with a start of authority");
    fails(
        axfr(vec![vec![soa(7), a("x")], vec![soa(8)]]).await,
        "interrupted",
        "message 2: the transfer is none: the zone changed",
    );
    fails(axfr(vec![vec![soa(7), a("x"), soa(7), a("y")]]).await, "interrupted", "records follow");
    let mut other = vec![soa(7)];
    other.push(record("other.example", SOA, 1, &soa(7)[23..]));
    fails(axfr(vec![other]).await, "interrupted", "another zone");
    let broken_off = tcp(|it| vec![Step::Say(answer(it, 0, &[soa(7), a("x")])), Step::Say(answer(it, 2, &[]))]).await;
    let got = exchange(granted(&broken_off.origin), query(&broken_off.origin, wit::Transport::Tcp, ask(AXFR)), false).await;
    fails(got, "interrupted", "the server broke it off");
}

#[tokio::test]
async fn an_error_at_the_beginning_is_the_answer() {
    let server = tcp(|it| vec![Step::Say(answer(it, 9, &[]))]).await;
    let got = exchange(granted(&server.origin), query(&server.origin, wit::Transport::Tcp, ask(AXFR)), false).await.unwrap();
    assert_eq!((got.len(), got[0][3] & 15), (1, 9));
    assert_eq!(axfr(vec![vec![]]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn differences_end_where_they_reach_the_last_serial() {
    assert_eq!(ixfr(vec![vec![soa(5)]]).await.unwrap().len(), 1, "up to date");
    assert_eq!(ixfr(vec![vec![soa(4)]]).await.unwrap().len(), 1, "a server that is behind");
    let steps = vec![vec![soa(7), soa(5), a("old")], vec![soa(6), a("new"), soa(6)], vec![a("new"), soa(7), a("newer"), soa(7)]];
    assert_eq!(ixfr(steps.clone()).await.unwrap().len(), 3);
    assert_eq!(ixfr(vec![steps.concat()]).await.unwrap().len(), 1);
    assert_eq!(ixfr(vec![vec![soa(7), a("x"), a("y")], vec![soa(7)]]).await.unwrap().len(), 2, "the whole zone instead");
    assert_eq!(ixfr(vec![vec![soa(7)], vec![a("x"), soa(7)]]).await.unwrap().len(), 2, "the whole zone, one record first");
    fails(ixfr(steps[..2].to_vec()).await, "interrupted", "cut off after 2 messages");
    fails(ixfr(vec![vec![soa(7), soa(5), soa(6), soa(9)]]).await, "interrupted", "do not follow one another");
}

#[tokio::test]
async fn a_server_that_hangs_up_stalls_or_drips_is_named_and_costs_no_more_than_its_time() {
    let ask_it = |origin: &str, message| wit::Query { timeout: Some(300), ..query(origin, wit::Transport::Tcp, message) };
    let closes = tcp(|_| Vec::new()).await;
    fails(exchange(granted(&closes.origin), ask_it(&closes.origin, update()), true).await, "interrupted", "without an answer");
    let silent = tcp(|_| vec![Step::Wait(5000)]).await;
    fails(exchange(granted(&silent.origin), ask_it(&silent.origin, ask(SOA)), false).await, "timed-out", "");
    fails(
        exchange(granted(&silent.origin), ask_it(&silent.origin, update()), true).await,
        "interrupted",
        "did not answer in time",
    );
    let drips = tcp(|it| {
        let whole = answer(it, 0, &[soa(7)]);
        let framed = [u16::try_from(whole.len()).unwrap().to_be_bytes().to_vec(), whole].concat();
        framed.into_iter().flat_map(|it| [Step::Send(vec![it]), Step::Wait(50)]).collect()
    })
    .await;
    let begun = Instant::now();
    let got = exchange(granted(&drips.origin), ask_it(&drips.origin, ask(SOA)), false).await;
    fails(got, "interrupted", "the time was up in the middle of message 1");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_answer_to_something_else_ends_a_stream() {
    for (wrong, words) in [(0_usize, "another id"), (13, "another question")] {
        let server = tcp(move |it| {
            let mut other = answer(it, 0, &[soa(7)]);
            other[wrong] ^= 1;
            vec![Step::Say(other), Step::Say(answer(it, 0, &[soa(7)]))]
        })
        .await;
        let got = exchange(granted(&server.origin), query(&server.origin, wit::Transport::Tcp, ask(SOA)), false).await;
        fails(got, "interrupted", words);
    }
}

#[tokio::test]
async fn answers_above_the_plugins_limit_or_the_engines_are_too_large() {
    let server = tcp(|it| {
        let more = answer(it, 0, &vec![a("x"); 1000]);
        [Step::Say(answer(it, 0, &[soa(7)]))].into_iter().chain((0..10_000).map(|_| Step::Say(more.clone()))).collect()
    })
    .await;
    let it = wit::Query { max_bytes: 100_000, ..query(&server.origin, wit::Transport::Tcp, ask(AXFR)) };
    fails(exchange(granted(&server.origin), it, false).await, "too-large", "100000");
    let it = wit::Query { max_bytes: u64::MAX, timeout: None, ..query(&server.origin, wit::Transport::Tcp, ask(AXFR)) };
    fails(exchange(granted(&server.origin), it, false).await, "too-large", "67108864");
}
