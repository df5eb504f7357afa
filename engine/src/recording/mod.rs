//! Record and replay: every host call of a run in one file, and the same run again without a network, a credential or a server.
//!
//! A recording ([`file`]) holds what a run was made of: the project's files, its plugins, what was owned before, and each
//! question a plugin asked with its answer; and what came of it, the plan and the outcome. A [`Recorder`] sits at the host's
//! tap and at the sealer while a run goes on; a [`Player`] sits in the same two places and answers from the file. The engine in
//! between is the same one, so that equal answers must give an equal plan.
//!
//! Nothing that was observed before is used while recording, so that the file is whole: the run reads everything anew.
//!
//! Invariant: no value of a secret or credential is in a recording as it is, nor however [`cut`] reads a text; one that is
//! too short to be cut out, and a body that cannot be looked into, make the recording fail, not leak. What a server makes of a
//! secret in its own way cannot be known.

mod again;
mod cut;
mod file;
mod play;
mod record;
mod stage;

use std::sync::Arc;

use trueup_core::value::{Digest, Json};
use trueup_host::{Asked, Tap};

pub use again::{Again, AgainError, Until, again};
pub use file::{End, Header, MEND, Recording, RecordingError};
pub use play::{Parted, Player};
pub use record::{Recorder, Start};

use crate::desired::SecretValues;
use crate::seal::Witness;

/// What a run is tied to.
#[derive(Clone)]
pub enum Tape {
    Recorder(Arc<Recorder>),
    Player(Arc<Player>),
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Recorder(_) => "Recorder",
            Self::Player(_) => "Player",
        })
    }
}

impl Tape {
    /// The player of a replay.
    pub fn player(&self) -> Option<&Arc<Player>> {
        match self {
            Self::Player(it) => Some(it),
            Self::Recorder(_) => None,
        }
    }

    /// Where secrets come from: the operator's, seen by the recorder, or what stands in their place.
    pub fn secrets(&self, real: Arc<SecretValues>) -> Arc<SecretValues> {
        match self.clone() {
            Self::Recorder(recorder) => Arc::new(move |name: &str| {
                let value = real(name)?;
                recorder.secret(name, &value);
                Ok(value)
            }),
            Self::Player(_) => Arc::new(|name: &str| Ok(cut::placeholder(name))),
        }
    }
}

impl Tap for Tape {
    fn before(&self, asked: &Asked<'_>) -> Option<Json> {
        self.player().map(|it| it.answer(asked))
    }

    fn after(&self, asked: &Asked<'_>, answer: Json) -> Json {
        if let Self::Recorder(recorder) = self {
            recorder.call(asked, &answer);
        }
        answer
    }
}

impl Witness for Tape {
    fn handle(&self, name: &str, hmac: &str, handle: &str, value: &str) {
        match self {
            Self::Recorder(it) => it.handle(name, hmac, handle, value),
            Self::Player(it) => it.handle(name, hmac, handle),
        }
    }

    fn sensitive(&self, value: &str, hmac: &str) {
        if let Self::Recorder(recorder) = self {
            recorder.sensitive(value, hmac);
        }
    }

    fn hmac(&self, value: &[u8], computed: Digest) -> Digest {
        match self {
            Self::Recorder(it) => it.hmac(value, computed),
            Self::Player(it) => it.hmac(value, computed),
        }
    }
}
