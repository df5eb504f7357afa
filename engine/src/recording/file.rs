//! The file of a recording: JSON, one value a line, so that people can read it and Git can compare it.
//!
//! The first line is the [`Header`]; then come files, plugins, the state, calls and sealed values in any order; the last line is
//! the [`End`], without which the file is not whole. It says how many lines stand before it, and their SHA-256: against loss on
//! the way, and against nobody who edits. Both may be missing, and nothing tells an older recording, which has neither, from one
//! that somebody changed and then took both out of. A recording may come from a stranger: it is bounded and parsed, and nothing
//! in it is run but plugins in their sandbox.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use trueup_core::value::{Digest, Json};

use crate::output::clean::clean;
use crate::output::json::Plan;
use crate::output::value::count;
use crate::{private, regular};

/// `format` of the header.
pub const FORMAT: &str = "trueup.recording/1";
/// Bytes of a recording, and of what is packed in it once unpacked.
pub const BYTES: u64 = 512 << 20;

/// What a recording is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    pub format: String,
    /// Version of the program.
    pub trueup: String,
    /// `plan` or `apply`.
    pub command: String,
    pub project: String,
    pub environment: String,
    pub revision: String,
    /// Milliseconds since 1970 when the pass began.
    pub now: u64,
    /// `--allow-deletes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_deletes: Option<usize>,
    /// `--allow-recreate`.
    #[serde(default)]
    pub allow_recreate: bool,
    /// SHA-256 of each plugin, by what `plugin:` says.
    pub plugins: BTreeMap<String, String>,
    /// What each provider acted on, by alias: a replay opens no credential that would say it.
    #[serde(default)]
    pub targets: BTreeMap<String, String>,
}

/// One question and its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    pub provider: String,
    pub function: String,
    pub import: String,
    pub question: Json,
    pub answer: Json,
}

/// What came of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    pub plan: Plan,
    /// Of an apply: how each step ended, by identity and action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<String>,
}

/// A recording in memory.
#[derive(Debug)]
pub struct Recording {
    pub header: Header,
    /// By path from the project's folder.
    pub files: BTreeMap<String, Vec<u8>>,
    /// By what `plugin:` says; those that are bundled are not in it.
    pub plugins: BTreeMap<String, Vec<u8>>,
    /// The state as it was before, as a file of the store.
    pub state: Option<Vec<u8>>,
    pub calls: Vec<Call>,
    /// HMACs by the SHA-256 of what was sealed, secrets cut.
    pub seals: BTreeMap<String, String>,
    pub end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Recording(Header),
    File { path: String, gz: String },
    Plugin { plugin: String, gz: String },
    State { gz: String },
    Call(Call),
    Seals(BTreeMap<String, String>),
    End(Box<Last>),
}

/// The last line: the end, and what it says of the lines before.
#[derive(Serialize, Deserialize)]
struct Last {
    #[serde(flatten)]
    end: End,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lines: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// What stood in the lines so far.
#[derive(Clone, Default)]
struct Tally {
    lines: usize,
    hash: Sha256,
}

impl Tally {
    /// Without what ends the line, which Git may change.
    fn take(&mut self, line: &[u8]) {
        self.lines += 1;
        self.hash.update(line.strip_suffix(b"\r").unwrap_or(line));
        self.hash.update(b"\n");
    }

    fn sha256(&self) -> String {
        Digest(self.hash.clone().finalize().into()).to_string()
    }

    /// What is wrong with a recording whose last line says this.
    fn differs(&self, last: &Last) -> Option<String> {
        if let Some(lines) = last.lines.filter(|it| *it != self.lines) {
            return Some(format!("it had {} before its last one, and has {}", count(lines, "line"), self.lines));
        }
        let other = last.sha256.as_ref().is_some_and(|it| *it != self.sha256());
        other.then(|| "its lines are not those that were written".to_owned())
    }
}

/// Why a recording cannot be written or read.
#[derive(Debug)]
pub enum RecordingError {
    Io(io::Error),
    /// Not a recording, or not a whole one; says what is wrong.
    Wrong(String),
    /// Of a newer version of the program.
    Newer(String),
    /// It would hold a secret.
    Secret(String),
    /// A secret stands where a replay needs the text as it is.
    Named(String),
    /// It would hold a value that a provider calls sensitive.
    Sensitive,
    /// It might hold a secret: something in it cannot be looked into; says what.
    Sealed(String),
    /// More than [`BYTES`].
    Large,
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Wrong(text) => write!(f, "it is no whole recording: {text}"),
            Self::Newer(format) => write!(f, "its format is `{format}`, of a newer version of trueup; this one reads `{FORMAT}`"),
            Self::Secret(name) => write!(
                f,
                "the secret `{name}` is shorter than {} bytes, too short to be cut out of what plugins and servers said",
                super::cut::SHORTEST
            ),
            Self::Named(name) => write!(
                f,
                "the value of the secret `{name}` stands in `{}`, `{}`, or in the name of a file, a plugin or the environment, which a \
                 replay needs as they are: name them otherwise",
                crate::config::project::FILE,
                crate::config::lock::FILE
            ),
            Self::Sensitive => f.write_str(
                "a value that its provider calls sensitive is a single character or a switch, which cannot be told from other \
                 text and cut out",
            ),
            Self::Sealed(what) => f.write_str(what),
            Self::Large => write!(f, "it is larger than {} MiB", BYTES >> 20),
        }
    }
}

impl RecordingError {
    /// What to do about a file that cannot be read.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Newer(_) => "use a newer trueup",
            Self::Io(_) => "name a file that `trueup plan --record FILE` or `trueup apply --record FILE` wrote",
            Self::Wrong(_) | Self::Secret(_) | Self::Named(_) | Self::Sensitive | Self::Sealed(_) | Self::Large => MEND,
        }
    }
}

/// What to do about a recording that is not what was written.
pub const MEND: &str = "copy it again whole, or record the run anew with `trueup plan --record FILE` or `trueup apply --record \
                        FILE`; one that was changed on purpose is not held against `lines` and `sha256` where its last line has \
                        neither";

impl From<io::Error> for RecordingError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Recording {
    /// Writes the file, whole or not at all, for its owner's eyes: documents and observations are in it.
    ///
    /// # Errors
    ///
    /// Those of the system, and where it is too large.
    pub fn write(self, path: &Path) -> Result<(), RecordingError> {
        let (mut out, mut tally) = (Vec::new(), Tally::default());
        let mut line = |line: &Line| -> Result<Tally, RecordingError> {
            let start = out.len();
            serde_json::to_writer(&mut out, line).map_err(io::Error::other)?;
            tally.take(out.get(start..).unwrap_or_default());
            out.push(b'\n');
            if out.len() as u64 > BYTES { Err(RecordingError::Large) } else { Ok(tally.clone()) }
        };
        line(&Line::Recording(self.header))?;
        for (path, bytes) in self.files {
            line(&Line::File { path, gz: packed(&bytes)? })?;
        }
        for (plugin, bytes) in self.plugins {
            line(&Line::Plugin { plugin, gz: packed(&bytes)? })?;
        }
        if let Some(state) = self.state {
            line(&Line::State { gz: packed(&state)? })?;
        }
        for call in self.calls {
            line(&Line::Call(call))?;
        }
        let before = line(&Line::Seals(self.seals))?;
        let (lines, sha256) = (Some(before.lines), Some(before.sha256()));
        line(&Line::End(Box::new(Last { end: self.end, lines, sha256 })))?;
        private::write(path, &out)?;
        Ok(())
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, is not whole, or is of another version.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        Self::parse(&regular::read(path, BYTES)?)
    }

    /// As [`Recording::read`] from bytes.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn parse(text: &[u8]) -> Result<Self, RecordingError> {
        let mut lines = text.split(|it| *it == b'\n').enumerate().filter(|(_, it)| !it.trim_ascii().is_empty());
        let first = lines.next().map_or(&[][..], |it| it.1);
        let header = header(first)?;
        let mut tally = Tally::default();
        tally.take(first);
        let mut room = BYTES;
        let (mut files, mut plugins, mut state) = (BTreeMap::new(), BTreeMap::new(), None);
        let (mut calls, mut seals, mut end) = (Vec::new(), BTreeMap::new(), None);
        for (at, line) in lines {
            let wrong = |what: String| RecordingError::Wrong(format!("line {}: {what}", at + 1));
            if end.is_some() {
                return Err(wrong("something follows the end".to_owned()));
            }
            match serde_json::from_slice(line).map_err(|error| wrong(in_line(&error)))? {
                Line::Recording(_) => return Err(wrong("a second header".to_owned())),
                Line::File { path, gz } => {
                    let path = tidy(&path).ok_or_else(|| wrong("a path that leaves the project's folder".to_owned()))?;
                    files.insert(path, unpacked(&gz, &mut room).map_err(wrong)?);
                }
                Line::Plugin { plugin, gz } => {
                    plugins.insert(plugin, unpacked(&gz, &mut room).map_err(wrong)?);
                }
                Line::State { gz } => state = Some(unpacked(&gz, &mut room).map_err(wrong)?),
                Line::Call(call) => calls.push(call),
                Line::Seals(them) => seals.extend(them),
                Line::End(it) => {
                    if let Some(what) = tally.differs(&it) {
                        return Err(RecordingError::Wrong(what));
                    }
                    end = Some(it.end);
                }
            }
            tally.take(line);
        }
        let end = end.ok_or_else(|| RecordingError::Wrong("it ends in the middle".to_owned()))?;
        if let Some(both) = file_and_folder(&files) {
            return Err(RecordingError::Wrong(format!("`{}` is a file in it, and a folder of others too", clean(both))));
        }
        Ok(Self { header, files, plugins, state, calls, seals, end })
    }
}

/// What is wrong within one line. The parser counts lines of its own, which would be told beside the file's.
fn in_line(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "it ends in the middle".to_owned();
    }
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(what) if error.column() > 0 => format!("{what}, at column {}", error.column()),
        Some(what) => what.to_owned(),
        None => text,
    }
}

fn header(line: &[u8]) -> Result<Header, RecordingError> {
    let value: Json =
        serde_json::from_slice(line).map_err(|_| RecordingError::Wrong("its first line is no header".to_owned()))?;
    let format = value.pointer("/recording/format").and_then(Json::as_str).unwrap_or_default();
    if format != FORMAT && format.starts_with("trueup.recording/") {
        return Err(RecordingError::Newer(format.to_owned()));
    }
    match serde_json::from_value(value) {
        Ok(Line::Recording(header)) if header.format == FORMAT => Ok(header),
        _ => Err(RecordingError::Wrong("its first line is no header".to_owned())),
    }
}

/// A file that others lie below, which no folder can hold.
fn file_and_folder(files: &BTreeMap<String, Vec<u8>>) -> Option<&str> {
    files.keys().find_map(|path| {
        let mut folders = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        folders.find(|it| files.contains_key(*it))
    })
}

/// A path below the project's folder that is safe to write.
fn tidy(path: &str) -> Option<String> {
    let safe = |part: &str| {
        let low = part.to_ascii_lowercase();
        !part.is_empty() && !matches!(low.as_str(), "." | ".." | ".git" | ".trueup") && !part.contains(['\0', '\\'])
    };
    (path.len() <= 4096 && path.split('/').all(safe)).then(|| path.to_owned())
}

fn packed(bytes: &[u8]) -> io::Result<String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(STANDARD.encode(encoder.finish()?))
}

/// Unpacks within what is left of the limit: a small file may say that it is a huge one.
fn unpacked(gz: &str, room: &mut u64) -> Result<Vec<u8>, String> {
    let bytes = STANDARD.decode(gz).map_err(|error| format!("what is packed is no base64: {error}"))?;
    let mut out = Vec::new();
    GzDecoder::new(bytes.as_slice())
        .take(*room + 1)
        .read_to_end(&mut out)
        .map_err(|error| format!("what is packed cannot be unpacked: {error}"))?;
    *room = room.checked_sub(out.len() as u64).ok_or_else(|| format!("it unpacks to more than {} MiB", BYTES >> 20))?;
    Ok(out)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const HEADER: &str = r#"{"recording":{"format":"trueup.recording/1","trueup":"0.1.0","command":"plan","project":"p","environment":"e","revision":"r","now":1,"plugins":{}}}"#;

    #[test]
    fn what_is_no_whole_recording_is_refused() {
        let check = |text: &str, want: &str| {
            let error = Recording::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        };
        check("", "first line");
        check("{}", "first line");
        check(&HEADER.replace("recording/1", "recording/2"), "newer version");
        check(HEADER, "ends in the middle");
        check(&format!("{HEADER}\n{{\"x\":1}}"), "line 2");
        check(&format!("{HEADER}\n{HEADER}"), "second header");
        for path in ["../x", "/etc/x", "a/../../x", ".git/config", "a//b", ".TRUEUP/state.db", "a\\b"] {
            let line = serde_json::to_string(&Line::File { path: path.to_owned(), gz: packed(b"x").unwrap() }).unwrap();
            check(&format!("{HEADER}\n{line}"), "leaves the project");
        }
    }

    #[test]
    fn what_is_a_file_and_a_folder_at_once_is_refused_and_names_that_only_begin_alike_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let read = |names: &[&str]| {
            let files = names.iter().map(|it| ((*it).to_owned(), b"x".to_vec())).collect();
            Recording { files, ..plain() }.write(&path).unwrap();
            Recording::read(&path).map(|it| it.files.len()).map_err(|it| it.to_string())
        };
        let words = "it is no whole recording: `trueup.yaml` is a file in it, and a folder of others too";
        for below in ["trueup.yaml/x", "trueup.yaml/x/y"] {
            assert_eq!(read(&["trueup.yaml", "trueup.yaml-old", below]).unwrap_err(), words, "{below}");
        }
        assert_eq!(read(&["a/b", "a/b-c/d", "a/bc", "ab"]).unwrap(), 4);
    }

    #[test]
    fn a_bomb_is_unpacked_to_its_limit_and_no_further() {
        let bomb = packed(&vec![0; 4 << 20]).unwrap();
        assert!(bomb.len() < 16 << 10);
        let mut room = 1 << 20;
        assert!(unpacked(&bomb, &mut room).unwrap_err().contains("more than"));
    }

    /// A recording of two calls.
    pub(in crate::recording) fn plain() -> Recording {
        let Ok(header) = header(HEADER.as_bytes()) else { unreachable!() };
        let end = End { plan: crate::output::json::tests::shape(&trueup_core::plan::Plan::default()), outcomes: Vec::new() };
        let call = |function: &str| Call {
            provider: "p".to_owned(),
            function: function.to_owned(),
            import: "http".to_owned(),
            question: Json::Null,
            answer: Json::Null,
        };
        let calls = vec![call("scan"), call("read")];
        Recording { header, files: BTreeMap::new(), plugins: BTreeMap::new(), state: None, calls, seals: BTreeMap::new(), end }
    }

    #[test]
    fn a_line_that_is_lost_added_or_changed_is_told_unless_the_last_one_says_nothing_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        plain().write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let refused = |text: &str| Recording::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(Recording::parse(text.as_bytes()).unwrap().calls.len(), 2);
        assert_eq!(Recording::parse(text.replace('\n', "\r\n").as_bytes()).unwrap().calls.len(), 2, "as Git writes it elsewhere");
        let lines: Vec<&str> = text.lines().collect();
        let without =
            |at: usize| lines.iter().enumerate().filter(|it| it.0 != at).map(|it| format!("{}\n", it.1)).collect::<String>();
        assert!(refused(&without(1)).contains("it had 4 lines before its last one, and has 3"), "{}", refused(&without(1)));
        let twice = text.replacen(lines[1], &format!("{}\n{}", lines[1], lines[1]), 1);
        assert!(refused(&twice).contains("and has 5"), "{}", refused(&twice));
        let other = text.replacen("scan", "poll", 1);
        assert!(refused(&other).contains("not those that were written"), "{}", refused(&other));
        let mut last: Json = serde_json::from_str(lines.last().unwrap()).unwrap();
        last["end"].as_object_mut().unwrap().retain(|key, _| key != "lines" && key != "sha256");
        let silent = format!("{}\n{}\n{last}\n", lines[0], lines[1]);
        assert_eq!(Recording::parse(silent.as_bytes()).unwrap().calls.len(), 1);
    }

    #[test]
    fn a_line_that_ends_in_the_middle_is_told_with_one_number() {
        let told = |text: String| Recording::parse(text.as_bytes()).unwrap_err().to_string();
        let cut = told(format!("{HEADER}\n{{\"call\":{{\"provider\":\"x"));
        assert_eq!(cut, "it is no whole recording: line 2: it ends in the middle");
        let wrong = told(format!("{HEADER}\n{{\"call\":nothing}}"));
        assert!(wrong.starts_with("it is no whole recording: line 2: ") && wrong.matches("line").count() == 1, "{wrong}");
    }
}
