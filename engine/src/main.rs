//! The binary: streams, signals and the exit code around [`trueup::cli::run`].

use std::ffi::OsString;
use std::process::ExitCode;

use trueup::cli;
use trueup::cli::exit::Exit;
use trueup::cli::interrupt::{Interrupt, Reaction};
use trueup::output::Output;

/// First argument of the child process that fetches; see [`trueup::source::child`].
const FETCH: &str = "internal-fetch";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|it| it == FETCH) {
        return trueup::source::child::main(&[]);
    }
    let mut output = Output::standard();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.error(&format!("error: the system starts no threads: {error}\n"));
            return ExitCode::from(Exit::Failed.code());
        }
    };
    let interrupt = Interrupt::default();
    runtime.spawn(signals(interrupt.clone()));
    let exit = runtime.block_on(cli::run(arguments, &mut output, &interrupt));
    // Threads that still wait for a plugin or a server must not hold up the end.
    runtime.shutdown_background();
    ExitCode::from(exit.code())
}

/// Ctrl-C and SIGTERM: the first stops new work, the second ends the process at once.
async fn signals(interrupt: Interrupt) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut ctrl_c), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else { return };
    loop {
        tokio::select! {
            _ = ctrl_c.recv() => {}
            _ = term.recv() => {}
        }
        match interrupt.signal() {
            Reaction::Stopping => {
                use std::io::Write as _;
                let text = "stopping: nothing new begins, what is under way is brought to its end; again to end now\n";
                let _ = std::io::stderr().write_all(text.as_bytes());
            }
            Reaction::End => {
                trueup::private::sweep();
                std::process::exit(i32::from(Exit::Interrupted.code()))
            }
        }
    }
}
