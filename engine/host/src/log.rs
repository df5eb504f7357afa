//! What plugins say: the `log` import and what they print, bounded, masked and cleaned.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
pub(crate) use trueup_core::text::clean;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::records::Fields;
use crate::runtime::Limits;
use crate::services::{Denial, Level, LogRecord, Services};

/// Fields that one line may carry; the rest is left out.
const MAX_FIELDS: usize = 32;
/// How much of what was printed last is kept to explain a crash.
const LAST_WORDS: usize = 1024;

/// Where the words of one instance go. A call begins with [`LogSink::begin`] and ends with [`LogSink::end`].
pub(crate) struct LogSink {
    provider: Arc<str>,
    services: Arc<dyn Services>,
    max_lines: u32,
    max_bytes: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    function: &'static str,
    lines: u32,
    dropped: u64,
    /// A printed line that has no end yet.
    partial: Vec<u8>,
    last_words: String,
}

impl LogSink {
    pub(crate) fn new(provider: Arc<str>, services: Arc<dyn Services>, limits: &Limits) -> Self {
        let inner = Inner { function: "start", lines: 0, dropped: 0, partial: Vec::new(), last_words: String::new() };
        Self { provider, services, max_lines: limits.log_lines, max_bytes: limits.log_bytes, inner: Mutex::new(inner) }
    }

    /// A call begins: counters start again.
    pub(crate) fn begin(&self, function: &'static str) {
        let mut inner = self.lock();
        inner.function = function;
        inner.lines = 0;
        inner.dropped = 0;
        inner.last_words.clear();
    }

    /// The function that runs now.
    pub(crate) fn function(&self) -> &'static str {
        self.lock().function
    }

    /// A call has ended: what was left out is counted, an unfinished line is told.
    pub(crate) fn end(&self) {
        let (rest, dropped) = {
            let mut inner = self.lock();
            (std::mem::take(&mut inner.partial), std::mem::take(&mut inner.dropped))
        };
        if !rest.is_empty() {
            self.write(Level::Info, &String::from_utf8_lossy(&rest), Fields::new());
        }
        if dropped > 0 {
            self.emit(Level::Warn, format!("{dropped} more lines were left out"), Fields::new());
        }
    }

    /// What was printed last in this call, in one line; empty if nothing was.
    pub(crate) fn last_words(&self) -> String {
        let mut inner = self.lock();
        let rest = String::from_utf8_lossy(&inner.partial).into_owned();
        remember(&mut inner.last_words, &rest);
        clean(&self.services.mask(&inner.last_words), LAST_WORDS)
    }

    /// One line from the plugin.
    pub(crate) fn write(&self, level: Level, message: &str, fields: Fields) {
        {
            let mut inner = self.lock();
            if inner.lines >= self.max_lines {
                inner.dropped += 1;
                return;
            }
            inner.lines += 1;
        }
        // Masked before it is cut, else the front half of a secret could stay.
        let message = clean(&self.services.mask(message), self.max_bytes);
        let mut left = self.max_bytes;
        let mut kept = Fields::new();
        for (name, value) in fields.into_iter().take(MAX_FIELDS) {
            let (name, value) = (clean(&name, 128), clean(&self.services.mask(&value), left));
            left = left.saturating_sub(name.len() + value.len());
            kept.insert(name, value);
        }
        self.emit(level, message, kept);
    }

    /// The host refused something.
    pub(crate) fn denied(&self, import: &'static str, text: &str) {
        let function = {
            let mut inner = self.lock();
            if inner.lines >= self.max_lines {
                inner.dropped += 1;
                return;
            }
            inner.lines += 1;
            inner.function
        };
        let text = clean(&self.services.mask(text), self.max_bytes);
        self.services.denied(Denial { provider: Arc::clone(&self.provider), function, import, text });
    }

    fn emit(&self, level: Level, message: String, fields: Fields) {
        let function = self.lock().function;
        self.services.log(LogRecord { level, provider: Arc::clone(&self.provider), function, message, fields });
    }

    /// Bytes that the plugin printed.
    fn print(&self, bytes: &[u8]) {
        let lines = {
            let mut inner = self.lock();
            let mut lines = Vec::new();
            for part in bytes.split_inclusive(|byte| *byte == b'\n') {
                // A line without an end is cut where a log line would be.
                let room = self.max_bytes.saturating_sub(inner.partial.len());
                inner.partial.extend(part.iter().take(room));
                if part.ends_with(b"\n") {
                    let line = String::from_utf8_lossy(&std::mem::take(&mut inner.partial)).trim_end().to_owned();
                    remember(&mut inner.last_words, &line);
                    lines.push(line);
                }
            }
            lines
        };
        for line in lines.iter().filter(|line| !line.is_empty()) {
            self.write(Level::Info, line, Fields::new());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends a line to the last words and drops what is too old.
fn remember(last_words: &mut String, line: &str) {
    if line.is_empty() {
        return;
    }
    if !last_words.is_empty() {
        last_words.push_str(" / ");
    }
    last_words.push_str(line);
    let over = last_words.len().saturating_sub(LAST_WORDS);
    let start = (over..=last_words.len()).find(|at| last_words.is_char_boundary(*at)).unwrap_or_default();
    last_words.drain(..start);
}

/// Standard output and standard error of an instance.
#[derive(Clone)]
pub(crate) struct Printed(pub(crate) Arc<LogSink>);

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Printed {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Services for Lines {
        fn mask(&self, text: &str) -> String {
            text.replace("hunter2", "(secret)")
        }

        fn log(&self, record: LogRecord) {
            self.0.lock().unwrap().push(format!("{:?} {} {:?}", record.level, record.message, record.fields));
        }
    }

    fn sink(lines: u32, bytes: usize) -> (LogSink, Arc<Lines>) {
        let services = Arc::new(Lines::default());
        let limits = Limits { log_lines: lines, log_bytes: bytes, ..Limits::default() };
        (LogSink::new("dns".into(), services.clone(), &limits), services)
    }

    #[test]
    fn a_flood_of_lines_is_counted_not_kept() {
        let (sink, services) = sink(2, 100);
        sink.begin("scan");
        (0..10).for_each(|at| sink.write(Level::Info, &format!("line {at}"), Fields::new()));
        sink.end();
        let got = services.0.lock().unwrap().clone();
        assert_eq!(got, ["Info line 0 {}", "Info line 1 {}", "Warn 8 more lines were left out {}"]);
    }

    #[test]
    fn secrets_are_masked_even_where_the_line_is_cut() {
        let (sink, services) = sink(10, 12);
        sink.begin("apply");
        sink.write(Level::Info, "password hunter2 and more", Fields::from([("key".to_owned(), "hunter2".to_owned())]));
        sink.print(b"hunt");
        sink.print(b"er2\n\x1b[2J\n");
        let got = services.0.lock().unwrap().join("|");
        assert!(!got.contains("hunt") && !got.contains('\u{1b}') && got.contains("(secret)"), "{got}");
        assert!(sink.last_words().starts_with("(secret) / "), "{}", sink.last_words());
    }

    #[test]
    fn an_endless_line_takes_no_more_than_one_line() {
        let (sink, services) = sink(10, 16);
        sink.begin("scan");
        (0..1000).for_each(|_| sink.print(&[b'x'; 1000]));
        sink.end();
        assert_eq!(services.0.lock().unwrap().as_slice(), [format!("Info {} {{}}", "x".repeat(16))]);
    }
}
