//! Progress of long work, on stderr: a moving line on a terminal, a bounded number of plain lines elsewhere.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::clean::{clean, clip};
use super::json::Action;
use super::plan::mark;
use super::style::{Style, Tone};

/// Steps that get a line of their own; later ones are counted, failures have their own limit.
const LINES: usize = 200;
/// How often counted steps show on a stream that is no terminal.
const INTERVAL: Duration = Duration::from_secs(5);

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Done,
    Failed,
    Moved,
    Skipped,
}

/// Shows how far a run is. All calls may come from any thread.
pub struct Progress {
    style: Style,
    quiet: bool,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
    write: Box<dyn Fn(&str) + Send + Sync>,
}

#[derive(Default)]
struct State {
    total: usize,
    done: usize,
    lines: usize,
    failures: usize,
    last: Option<Instant>,
}

impl Progress {
    /// Draws on stderr; only plain lines where `animated` is false, only failures with `quiet`.
    pub fn new(style: Style, animated: bool, quiet: bool) -> Self {
        let bar = (animated && !quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::default_spinner());
            bar
        });
        let target = bar.clone();
        let write = move |line: &str| match &target {
            Some(bar) => bar.suspend(|| print(line)),
            None => print(line),
        };
        Self { style, quiet, bar, state: Mutex::new(State::default()), write: Box::new(write) }
    }

    /// What the run is doing now, before any step.
    pub fn phase(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(clean(text).into_owned());
            bar.tick();
        }
    }

    /// Steps begin.
    pub fn begin(&self, total: usize) {
        self.state().total = total;
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {wide_msg}") {
                bar.set_style(style);
            }
        }
    }

    /// A step is being sent.
    pub fn started(&self, action: Action, resource: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} {}", mark(action).0, clip(resource, 60, self.style.ellipsis())));
        }
    }

    /// A step has ended; `reason` says why where it did not do its work.
    pub fn ended(&self, action: Action, resource: &str, ended: Ended, reason: &str) {
        let mut state = self.state();
        state.done += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(state.done as u64);
        }
        let line = line(action, resource, ended, reason, &self.style);
        let shown = if ended == Ended::Done {
            state.lines += 1;
            !self.quiet && state.lines <= LINES
        } else {
            state.failures += 1;
            state.failures <= LINES
        };
        if shown {
            (self.write)(&line);
        } else if !self.quiet && self.bar.is_none() && state.last.is_none_or(|it| INTERVAL <= it.elapsed()) {
            state.last = Some(Instant::now());
            (self.write)(&format!("{} {} of {} steps", self.style.ellipsis(), state.done, state.total));
        }
    }

    /// Clears the moving line.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn print(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn line(action: Action, resource: &str, ended: Ended, reason: &str, style: &Style) -> String {
    let (sign, tone) = mark(action);
    let name = clean(resource);
    let (word, tone) = match ended {
        Ended::Done => (style.done(), tone),
        Ended::Failed => ("failed", Tone::Bad),
        Ended::Moved => ("moved", Tone::Risk),
        Ended::Skipped => ("skipped", Tone::Faint),
    };
    let reason = if reason.is_empty() { String::new() } else { format!(": {}", clip(reason, 400, style.ellipsis())) };
    format!("  {}  {name}  {}{reason}", style.paint(tone, format!("{sign:<3}")), style.paint(tone, word))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn run(quiet: bool, steps: usize, ended: Ended) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let mut progress = Progress::new(Style::PLAIN, false, quiet);
        let target = Arc::clone(&lines);
        progress.write = Box::new(move |line| target.lock().unwrap().push(line.to_owned()));
        progress.begin(steps);
        for step in 0..steps {
            progress.started(Action::Create, "File/a");
            progress.ended(Action::Create, &format!("File/{step}\u{1b}"), ended, if ended == Ended::Done { "" } else { "why\n" });
        }
        progress.finish();
        lines.lock().unwrap().clone()
    }

    #[test]
    fn every_step_has_a_line_until_there_are_too_many() {
        assert_eq!(run(false, 1, Ended::Done), ["  +    File/0\\u001b  ✔"]);
        assert_eq!(run(false, 1, Ended::Failed), ["  +    File/0\\u001b  failed: why\\n"]);
        let many = run(false, 5_000, Ended::Done);
        assert_eq!(many.len(), LINES + 1);
        assert_eq!(many[LINES], "… 201 of 5000 steps");
    }

    #[test]
    fn quiet_shows_failures_only() {
        assert!(run(true, 3, Ended::Done).is_empty());
        assert_eq!(run(true, 3, Ended::Skipped).len(), 3);
    }
}
