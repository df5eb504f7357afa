//! A tap on what plugins ask of the world: it sees every question before the host judges and sends it, and every answer
//! before the plugin does. Recordings, replays and injected faults are all made of this one seam.
//!
//! Questions and answers are JSON in the form that serde gives the contract's records: `Result` is `{"Ok": …}` or
//! `{"Err": …}`, cases of a variant are `"TimedOut"` or `{"Interrupted": "text"}`, and a list of bytes is `{"$text": …}` where it
//! is UTF-8 and `{"$base64": …}` elsewhere. Without a tap nothing is converted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use trueup_core::value::{Json, json};

use crate::services::Services;
use crate::state::Call;

/// One thing that a plugin asked: one request, one query, one file.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Alias of the provider.
    pub provider: &'a str,
    /// The contract's function that is running: `scan`, `read`, `apply`, `poll` …
    pub function: &'static str,
    /// `http`, `dns`, `files.list`, `files.stat`, `files.read`, `files.change`, `cache.get`, `cache.put`, `secrets`; and, outside PURE
    /// calls, `clock` (milliseconds since 1970), `monotonic` (nanoseconds) and `random` (once an instance: the seed of its random
    /// numbers, as 64 hex digits). `null` as an answer to these last two leaves them to the host.
    pub import: &'static str,
    /// As the module says. Bodies and secrets are plain: what keeps them masks them.
    pub question: &'a Json,
    /// Tokens of the changes that the running `apply` carries, for who wants the same text on every run.
    pub tokens: &'a [String],
}

/// Sees, answers and changes what plugins ask. Called from within guest calls, possibly from several threads at once.
pub trait Tap: Send + Sync {
    /// Before the host judges and sends it. With an answer the host does nothing.
    fn before(&self, asked: &Asked<'_>) -> Option<Json> {
        let _ = asked;
        None
    }

    /// What the plugin is about to get from the host; not called for answers of [`Tap::before`].
    fn after(&self, asked: &Asked<'_>, answer: Json) -> Json {
        let _ = asked;
        answer
    }
}

/// What a batch of one import has in common.
pub(crate) struct Batch<'a> {
    services: &'a dyn Services,
    provider: &'a str,
    call: Call,
    import: &'static str,
    tokens: &'a [String],
}

/// A batch that went past [`Tap::before`]: what is answered already, and the questions of the rest.
pub(crate) struct Waiting<A> {
    answers: Vec<Option<A>>,
    questions: Vec<Json>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        services: &'a dyn Services,
        provider: &'a str,
        call: Call,
        import: &'static str,
        tokens: &'a [String],
    ) -> Self {
        Self { services, provider, call, import, tokens }
    }

    /// Takes out what the tap answers; what is left is for the host to do. `broken` makes an answer of an answer that is none.
    pub(crate) fn before<Q: Serialize, A: DeserializeOwned>(
        &self,
        questions: Vec<Q>,
        broken: impl Fn(String) -> A,
    ) -> (Waiting<A>, Vec<Q>) {
        let Some(tap) = self.services.tap() else {
            return (Waiting { answers: Vec::new(), questions: Vec::new() }, questions);
        };
        let mut waiting = Waiting { answers: Vec::with_capacity(questions.len()), questions: Vec::new() };
        let mut rest = Vec::new();
        for question in questions {
            let asked = packed(&question);
            match tap.before(&self.asked(&asked)) {
                Some(answer) => waiting.answers.push(Some(unpacked(answer).unwrap_or_else(&broken))),
                None => {
                    waiting.answers.push(None);
                    waiting.questions.push(asked);
                    rest.push(question);
                }
            }
        }
        (waiting, rest)
    }

    /// Puts the host's answers, one for each question that was left, in their places.
    pub(crate) fn after<A: Serialize + DeserializeOwned>(
        &self,
        waiting: Waiting<A>,
        answers: Vec<A>,
        broken: impl Fn(String) -> A,
    ) -> Vec<A> {
        let Some(tap) = self.services.tap() else { return answers };
        let told = waiting.questions.iter().zip(answers);
        let mut told =
            told.map(|(asked, answer)| unpacked(tap.after(&self.asked(asked), packed(&answer))).unwrap_or_else(&broken));
        let filled = waiting.answers.into_iter().map(|it| it.or_else(|| told.next()));
        filled.map(|it| it.unwrap_or_else(|| broken("no answer".to_owned()))).collect()
    }

    fn asked<'q>(&'q self, question: &'q Json) -> Asked<'q> {
        let Call { function, .. } = self.call;
        Asked { provider: self.provider, function, import: self.import, question, tokens: self.tokens }
    }
}

/// The contract's record as JSON, with bytes that people can read. What cannot be said in JSON does not occur in the contract.
fn packed(value: &impl Serialize) -> Json {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    pack(&mut value);
    value
}

fn unpacked<T: DeserializeOwned>(mut value: Json) -> Result<T, String> {
    unpack(&mut value)?;
    serde_json::from_value(value).map_err(|error| format!("a recorded or injected answer does not fit: {error}"))
}

/// Lists of bytes become text. The contract's imports have no other list of numbers.
fn pack(value: &mut Json) {
    match value {
        Json::Array(items) => {
            let bytes = || items.iter().map(|it| it.as_u64().and_then(|it| u8::try_from(it).ok())).collect::<Option<Vec<u8>>>();
            match bytes().filter(|it| !it.is_empty()) {
                Some(bytes) => {
                    *value = match String::from_utf8(bytes) {
                        Ok(text) => json!({ "$text": text }),
                        Err(error) => json!({ "$base64": STANDARD.encode(error.as_bytes()) }),
                    }
                }
                None => items.iter_mut().for_each(pack),
            }
        }
        Json::Object(fields) => fields.values_mut().for_each(pack),
        _ => {}
    }
}

fn unpack(value: &mut Json) -> Result<(), String> {
    match value {
        Json::Array(items) => items.iter_mut().try_for_each(unpack),
        Json::Object(fields) => {
            let text = |key: &str| fields.get(key).filter(|_| fields.len() == 1).and_then(Json::as_str);
            if let Some(text) = text("$text") {
                *value = Json::from(text.as_bytes());
            } else if let Some(text) = text("$base64") {
                let bytes = STANDARD.decode(text).map_err(|error| format!("a recorded answer holds wrong base64: {error}"))?;
                *value = Json::from(bytes);
            } else {
                fields.values_mut().try_for_each(unpack)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::trueup::provider::http::{HttpError, Response};

    #[test]
    fn what_is_packed_reads_back_and_bytes_are_text_where_they_can_be() {
        let check = |answer: Result<Response, HttpError>, want: Json| {
            let got = packed(&answer);
            assert_eq!(got, want);
            let back: Result<Response, HttpError> = unpacked(got).unwrap();
            assert_eq!(format!("{back:?}"), format!("{answer:?}"));
        };
        let headers = vec![("etag".to_owned(), "1".to_owned())];
        let response = |body: &[u8]| Ok(Response { status: 200, headers: headers.clone(), body: body.to_vec(), cut: false });
        let ok = |body: Json| json!({"Ok": {"status": 200, "headers": [["etag", "1"]], "body": body, "cut": false}});
        check(response(b"hello"), ok(json!({"$text": "hello"})));
        check(response(&[0xff, 0]), ok(json!({"$base64": "/wA="})));
        check(response(b""), ok(json!([])));
        check(Err(HttpError::TimedOut), json!({"Err": "TimedOut"}));
        check(Err(HttpError::Interrupted("reset".to_owned())), json!({"Err": {"Interrupted": "reset"}}));
    }

    #[test]
    fn an_answer_that_does_not_fit_is_told() {
        let wrong = unpacked::<Result<Response, HttpError>>(json!({"Ok": {"status": "x"}})).unwrap_err();
        assert!(wrong.contains("does not fit"), "{wrong}");
        assert!(unpacked::<Vec<u8>>(json!({"$base64": "?"})).unwrap_err().contains("base64"));
    }
}
