//! A server that many tests share: nothing drops it, so it must end with the process that started it, whichever way that ends.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to be ready, on a machine that has more to do.
const READY: Duration = Duration::from_secs(120);

/// Ends its program when its standard input ends, which it does whichever way this process does; takes the folder away too. All
/// are one process group.
const KEEPER: &str = r#"
exec 3<&0
folder=$1
shift
"$@" </dev/null 3<&- &
program=$!
( cat <&3 >/dev/null; kill -KILL $program; if [ -n "$folder" ]; then rm -rf "$folder"; fi; kill -KILL 0 ) &
exec 3<&-
wait $program
"#;

/// A program that does not outlive this process.
pub(crate) struct Kept {
    child: Child,
}

impl Kept {
    /// Starts `program`, whose output goes to `log`, and waits until `ready` says so. `takes`: a folder that goes with it.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        log: &Path,
        takes: Option<&Path>,
        ready: impl Fn() -> bool,
    ) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("a log");
        let errors = output.try_clone().expect("a second handle");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(takes.unwrap_or(Path::new(""))).arg(program).args(arguments);
        command.stdin(Stdio::piped()).stdout(output).stderr(errors).process_group(0);
        let mut this = Self { child: command.spawn().expect("sh runs") };
        let deadline = Instant::now() + READY;
        let told = || {
            let text = fs::read_to_string(log).unwrap_or_default();
            text.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        while !ready() {
            if let Some(status) = this.child.try_wait().expect("a status") {
                panic!("`{}` ended early: {status}\n{}", program.display(), told());
            }
            assert!(Instant::now() < deadline, "`{}` is not ready\n{}", program.display(), told());
            thread::sleep(Duration::from_millis(50));
        }
        this
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Its standard input ends with the pipe; the keeper kills its whole group then, itself too.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
