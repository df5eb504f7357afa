//! Answers a run from a recording, and notes where it asks for something else.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;
use trueup_core::value::{Digest, Json};
use trueup_host::Asked;

use super::cut;
use super::file::{Call, Recording};

/// Questions that are told one by one; more are counted.
const TOLD: usize = 10;

/// The first things that a replay asked and the recorded run did not.
#[derive(Clone, Debug, PartialEq)]
pub struct Parted {
    pub provider: String,
    pub function: String,
    pub import: String,
    pub question: Json,
    /// What the recorded run asked of the same import that is nearest to it.
    pub nearest: Option<Json>,
}

/// Answers in place of the world.
pub struct Player {
    now: u64,
    plugins: BTreeMap<String, Vec<u8>>,
    targets: BTreeMap<String, String>,
    seals: BTreeMap<String, String>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By question, in the order in which they came.
    answers: HashMap<Digest, Answers>,
    /// Questions by who asks what, for what is near to one that was not recorded.
    asked: HashMap<[String; 3], Vec<Json>>,
    handles: BTreeMap<String, String>,
    parted: Vec<Parted>,
    missing: usize,
    answered: usize,
}

#[derive(Default)]
struct Answers {
    waiting: VecDeque<Json>,
    last: Json,
    used: bool,
}

impl Player {
    /// Of a recording's calls; `plugins` take the place of recorded ones.
    pub fn new(recording: &Recording, plugins: BTreeMap<String, Vec<u8>>) -> Self {
        let mut inner = Inner::default();
        for Call { provider, function, import, question, answer } in &recording.calls {
            let answers = inner.answers.entry(cut::key(provider, function, import, question)).or_default();
            answers.waiting.push_back(answer.clone());
            answers.used |= is_ambient(import);
            let who = [provider.clone(), function.clone(), import.clone()];
            inner.asked.entry(who).or_default().push(question.clone());
        }
        let mut all = recording.plugins.clone();
        all.extend(plugins);
        let (now, targets) = (recording.header.now, recording.header.targets.clone());
        Self { now, plugins: all, targets, seals: recording.seals.clone(), inner: Mutex::new(inner) }
    }

    /// When the recorded pass began.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The component behind what `plugin:` says, where it is not a bundled one.
    pub fn plugin(&self, text: &str) -> Option<&[u8]> {
        self.plugins.get(text).map(Vec::as_slice)
    }

    /// What the provider of this alias acted on.
    pub fn target(&self, alias: &str) -> Option<&str> {
        self.targets.get(alias).map(String::as_str)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn handle(&self, name: &str, hmac: &str, handle: &str) {
        self.lock().handles.insert(handle.to_owned(), cut::handle(name, hmac));
    }

    pub(super) fn hmac(&self, value: &[u8], computed: Digest) -> Digest {
        self.seals.get(&Digest::of(value).to_string()).and_then(|it| Digest::parse(it)).unwrap_or(computed)
    }

    /// What the recorded run was told, or that nothing was recorded.
    pub(super) fn answer(&self, asked: &Asked<'_>) -> Json {
        let mut question = asked.question.clone();
        // A token is drawn anew for each run; the answer gets this run's.
        let token = asked.tokens.iter().find(|it| !it.is_empty() && holds(&question, it));
        for token in asked.tokens.iter().filter(|it| !it.is_empty()) {
            cut::swap(&mut question, token, cut::TOKEN);
        }
        let mut inner = self.lock();
        cut::cookies(&mut question);
        for (handle, shown) in &inner.handles {
            cut::swap(&mut question, handle, shown);
        }
        let key = cut::key(asked.provider, asked.function, asked.import, &question);
        if let Some(answers) = inner.answers.get_mut(&key) {
            match answers.waiting.pop_front() {
                Some(next) => answers.last = next,
                // A clock that stands still is waited for without end: it goes on by itself.
                None if asked.import == "monotonic" => return Json::Null,
                None => {}
            }
            // Asked once more than recorded, as a wait may: the world is as it was.
            answers.used = true;
            let mut answer = answers.last.clone();
            inner.answered += usize::from(!is_ambient(asked.import));
            inner.handles.iter().for_each(|(handle, shown)| cut::swap(&mut answer, shown, handle));
            if let Some(token) = token.or(asked.tokens.first()) {
                cut::swap(&mut answer, cut::TOKEN, token);
            }
            return answer;
        }
        match asked.import {
            "clock" => return Json::from(self.now),
            // A recording may have neither, or not of this plugin; the host then has its own.
            "monotonic" | "random" => return Json::Null,
            _ => {}
        }
        inner.missing += 1;
        let who = [asked.provider.to_owned(), asked.function.to_owned(), asked.import.to_owned()];
        if inner.parted.len() < TOLD {
            let nearest = inner.asked.get(&who).and_then(|them| them.iter().max_by_key(|it| likeness(it, &question))).cloned();
            let [provider, function, import] = who;
            inner.parted.push(Parted { provider, function, import, question, nearest });
        }
        nothing(asked.import)
    }

    /// What was asked and is not in the recording, and how often in all.
    pub fn parted(&self) -> (Vec<Parted>, usize) {
        let inner = self.lock();
        (inner.parted.clone(), inner.missing)
    }

    /// Calls answered, and questions of the recording that nobody asked.
    pub fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.answered, inner.answers.values().filter(|it| !it.used).count())
    }
}

/// What runtimes of languages ask of their own accord: told as it was, and no part of what a run asked.
fn is_ambient(import: &str) -> bool {
    matches!(import, "monotonic" | "random")
}

fn holds(value: &Json, text: &str) -> bool {
    match value {
        Json::String(it) => it.contains(text),
        Json::Array(items) => items.iter().any(|it| holds(it, text)),
        Json::Object(fields) => fields.values().any(|it| holds(it, text)),
        _ => false,
    }
}

/// How many bytes two questions begin and end with alike.
fn likeness(one: &Json, other: &Json) -> usize {
    let (one, other) = (one.to_string(), other.to_string());
    let alike = |pairs: &mut dyn Iterator<Item = (u8, u8)>| pairs.take_while(|(a, b)| a == b).count();
    alike(&mut one.bytes().zip(other.bytes())) + alike(&mut one.bytes().rev().zip(other.bytes().rev()))
}

/// The answer of an import to what was not recorded: that nobody answered, which plugins must be ready for.
fn nothing(import: &str) -> Json {
    let text = "this is not in the recording";
    match import {
        "http" | "dns" => json!({ "Err": { "Interrupted": text } }),
        "secrets" => json!({ "Err": "Denied" }),
        "cache.get" | "cache.put" => Json::Null,
        _ => json!({ "Err": { "Io": text } }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::file::tests::plain;

    fn ask(player: &Player, import: &'static str) -> Json {
        player.answer(&Asked { provider: "p", function: "scan", import, question: &Json::Null, tokens: &[] })
    }

    #[test]
    fn clocks_and_seeds_that_were_not_recorded_part_from_nothing() {
        let player = Player::new(&plain(), BTreeMap::new());
        assert_eq!(["clock", "monotonic", "random"].map(|it| ask(&player, it)), [json!(1), Json::Null, Json::Null]);
        assert_eq!(player.parted(), (Vec::new(), 0));
    }

    #[test]
    fn a_clock_goes_on_where_its_readings_end_and_a_seed_is_given_again() {
        let mut recording = plain();
        for (import, answer) in [("monotonic", 5), ("random", 7)] {
            let (provider, function, import) = ("p".to_owned(), "scan".to_owned(), import.to_owned());
            recording.calls.push(Call { provider, function, import, question: Json::Null, answer: json!(answer) });
        }
        let player = Player::new(&recording, BTreeMap::new());
        assert_eq!(["monotonic", "monotonic"].map(|it| ask(&player, it)), [json!(5), Json::Null]);
        assert_eq!(["random", "random"].map(|it| ask(&player, it)), [json!(7), json!(7)]);
    }
}
