//! Progress of long work, on stderr: a moving line on a terminal, a bounded number of plain lines elsewhere.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
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
/// How long work before the steps goes on until it is told of: a quick run says nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the moving line moves by itself.
const TICK: Duration = Duration::from_millis(100);

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
    write: Arc<dyn Fn(&str) + Send + Sync>,
    patience: Duration,
}

#[derive(Default)]
struct State {
    total: usize,
    done: usize,
    lines: usize,
    failures: usize,
    last: Option<Instant>,
    /// Since when a resource waits; None where that was told.
    waits: HashMap<String, Option<Instant>>,
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
        Self { style, quiet, bar, state: Mutex::new(State::default()), write: Arc::new(write), patience: PATIENCE }
    }

    /// Work before any step, which may take long: told of once it does, until the value is dropped.
    pub fn phase(&self, text: &str) -> Phase {
        let (news, heard) = channel();
        let (bar, write, patience, mark) = (self.bar.clone(), self.write.clone(), self.patience, self.style.ellipsis());
        let tell = move |text: &str| match &bar {
            Some(bar) => {
                bar.set_message(text.to_owned());
                bar.enable_steady_tick(TICK);
            }
            None => write(&format!("{text} {mark}")),
        };
        let watcher = (!self.quiet).then(|| std::thread::spawn(move || watch(&heard, patience, &tell)));
        let phase = Phase { news: Some(news), watcher, bar: self.bar.clone() };
        phase.now(text);
        phase
    }

    /// What a resource waits for. Told of again and again; where no line moves, once for each that takes long.
    pub fn waits(&self, resource: &str, what: &str) {
        let text = format!("{} waits {}", clip(resource, 60, self.style.ellipsis()), clip(what, 400, self.style.ellipsis()));
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.tick();
            return;
        }
        let mut state = self.state();
        let known = state.waits.len();
        let Some(begun) = (known < LINES).then(|| state.waits.entry(resource.to_owned()).or_insert_with(|| Some(Instant::now())))
        else {
            return;
        };
        if begun.is_some_and(|it| self.patience <= it.elapsed()) && !self.quiet {
            *begun = None;
            (self.write)(&format!("  {}  {text}", self.style.paint(Tone::Faint, self.style.ellipsis())));
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

/// Work before any step; see [`Progress::phase`].
pub struct Phase {
    news: Option<Sender<String>>,
    watcher: Option<JoinHandle<()>>,
    bar: Option<ProgressBar>,
}

impl Phase {
    /// From here on it is something else.
    pub fn now(&self, text: &str) {
        if let Some(news) = &self.news {
            // Nobody listens where nothing is to be said.
            let _ = news.send(clean(text).into_owned());
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.news = None;
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Tells what is being done, once for each work that takes longer than `patience`.
fn watch(news: &Receiver<String>, patience: Duration, tell: &dyn Fn(&str)) {
    let mut untold: Option<String> = None;
    loop {
        let heard = match untold {
            Some(_) => news.recv_timeout(patience),
            None => news.recv().map_err(RecvTimeoutError::from),
        };
        match heard {
            Ok(text) => untold = Some(text),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(text) = untold.take() {
                    tell(&text);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
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
    use super::*;

    /// Progress on no terminal, and the lines that it writes.
    fn plain(quiet: bool) -> (Progress, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let target = Arc::clone(&lines);
        let write = Arc::new(move |line: &str| target.lock().unwrap().push(line.to_owned()));
        (Progress { write, patience: Duration::from_millis(50), ..Progress::new(Style::PLAIN, false, quiet) }, lines)
    }

    fn run(quiet: bool, steps: usize, ended: Ended) -> Vec<String> {
        let (progress, lines) = plain(quiet);
        progress.begin(steps);
        for step in 0..steps {
            progress.started(Action::Create, "File/a");
            progress.ended(Action::Create, &format!("File/{step}\u{1b}"), ended, if ended == Ended::Done { "" } else { "why\n" });
        }
        progress.finish();
        lines.lock().unwrap().clone()
    }

    #[test]
    fn work_before_the_steps_is_told_of_once_each_and_only_where_it_takes_long() {
        let wait = || std::thread::sleep(Duration::from_millis(300));
        for quiet in [false, true] {
            let (progress, lines) = plain(quiet);
            drop(progress.phase("quick"));
            let phase = progress.phase("slow\u{1b}");
            wait();
            (0..20).for_each(|_| phase.now("quick again"));
            phase.now("slow again");
            wait();
            drop(phase);
            wait();
            let want = if quiet { &[][..] } else { &["slow\\u001b …", "slow again …"] };
            assert_eq!(*lines.lock().unwrap(), want, "quiet: {quiet}");
        }
    }

    #[test]
    fn a_wait_is_told_of_once_and_only_where_it_takes_long() {
        for quiet in [false, true] {
            let (progress, lines) = plain(quiet);
            progress.waits("Job/a", "for `x`");
            assert!(lines.lock().unwrap().is_empty());
            std::thread::sleep(Duration::from_millis(60));
            (0..3).for_each(|_| progress.waits("Job/a", "for `x`; it is\u{1b} late"));
            progress.waits("Job/b", "for `y`");
            let want = if quiet { &[][..] } else { &["  …  Job/a waits for `x`; it is\\u001b late"] };
            assert_eq!(*lines.lock().unwrap(), want, "quiet: {quiet}");
        }
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
