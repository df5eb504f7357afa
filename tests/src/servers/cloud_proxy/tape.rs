//! Answers recorded of the server, given again to the same requests after a set time: a cloud of a known speed that nobody wrote by hand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::asked::Asked;
use crate::servers::http1::Message;

/// Headers that make a difference to what is answered. Who signed and when does not, nor what a client says of itself.
const SAID: [&str; 4] = ["x-amz-target", "x-moto-account-id", "content-type", "range"];

/// One recording.
pub struct Tape {
    /// How long each answer takes while it plays.
    latency: Duration,
    plays: AtomicBool,
    answers: Mutex<HashMap<Vec<u8>, Arc<Message>>>,
    /// Requests that nothing was recorded for, while it played.
    pub missed: AtomicUsize,
}

impl Tape {
    /// An empty tape that records.
    pub fn new(latency: Duration) -> Self {
        Self { latency, plays: AtomicBool::new(false), answers: Mutex::default(), missed: AtomicUsize::new(0) }
    }

    /// From now on it plays, or records anew what comes: what is recorded stays until it is asked for again.
    pub fn play(&self, plays: bool) {
        self.plays.store(plays, Ordering::SeqCst);
    }

    pub fn len(&self) -> usize {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The answer to this request. Playing, what is not on the tape is asked of the server, and nothing is remembered of it.
    pub(super) fn answer(&self, asked: &Asked, server: impl FnOnce() -> Message) -> Message {
        let key = key(asked);
        if !self.plays.load(Ordering::SeqCst) {
            let answer = server();
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::new(answer.clone()));
            return answer;
        }
        let since = Instant::now();
        let recorded = self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let answer = match recorded {
            Some(it) => Message::clone(&it),
            None => {
                self.missed.fetch_add(1, Ordering::SeqCst);
                server()
            }
        };
        thread::sleep(self.latency.saturating_sub(since.elapsed()));
        answer
    }
}

/// What makes two requests the same: all but the signature. Keys of an account differ from run to run, so only the scope is looked at.
fn key(asked: &Asked) -> Vec<u8> {
    let mut out = format!("{} {} {}\n", asked.message.first, asked.service, asked.region).into_bytes();
    for name in SAID {
        out.extend(format!("{name}: {}\n", asked.message.header(name).unwrap_or_default()).into_bytes());
    }
    out.extend_from_slice(&asked.message.body);
    out
}

#[cfg(test)]
mod tests {
    use super::super::asked::tests::json;
    use super::*;

    fn server(text: &'static str) -> impl FnOnce() -> Message {
        move || Message::answer(200, &[], text)
    }

    #[test]
    fn what_was_recorded_is_played_and_the_rest_is_asked_of_the_server() {
        let tape = Tape::new(Duration::ZERO);
        let mut list = json("sqs", "AmazonSQS.ListQueues", "{}");
        assert_eq!(tape.answer(&list, server("one")).text(), "one");
        tape.play(true);
        list.message.set("X-Amz-Date", "20260101T000000Z");
        list.message.set("Authorization", "another signature");
        assert_eq!(tape.answer(&list, server("two")).text(), "one");
        let other = json("sqs", "AmazonSQS.ListQueues", r#"{"MaxResults":3}"#);
        assert_eq!(tape.answer(&other, server("two")).text(), "two");
        assert_eq!((tape.len(), tape.missed.load(Ordering::SeqCst)), (1, 1));
        tape.play(false);
        assert_eq!(tape.answer(&list, server("three")).text(), "three");
    }
}
