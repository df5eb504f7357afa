//! A recording's project in a folder of its own, for as long as it is replayed.

use std::fs;
use std::io;
use std::path::Path;

use super::file::Recording;
use crate::private::{self, Temporary};
use crate::store;

/// A temporary project; its folder goes with the value, and with the process.
pub struct Stage(Temporary);

impl Stage {
    /// Writes the recorded files and state.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set(recording: &Recording) -> io::Result<Self> {
        let stage = Self(Temporary::new("trueup-replay")?);
        for (path, bytes) in &recording.files {
            let file = stage.root().join(path);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(file, bytes)?;
        }
        if let Some(state) = &recording.state {
            let file = store::default_path(stage.root());
            if let Some(parent) = file.parent() {
                private::folder(parent)?;
            }
            private::write(&file, state)?;
        }
        Ok(stage)
    }

    /// The project's folder.
    pub fn root(&self) -> &Path {
        self.0.path()
    }
}
