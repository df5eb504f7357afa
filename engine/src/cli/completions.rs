//! `trueup completions SHELL`: the script, or one object that holds it.

use clap::CommandFactory as _;
use serde_json::json;

use super::arguments::{Arguments, CompletionsArgs};
use super::error::CliError;
use super::exit::Exit;
use crate::output::Output;

pub fn run(arguments: &CompletionsArgs, output: &mut Output) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "trueup", &mut script);
    let script = String::from_utf8_lossy(&script);
    if output.format.is_object() {
        output.object(&json!({"format": "trueup.completions/1", "shell": arguments.shell.to_string(), "script": script}))?;
    } else {
        output.script(&script);
    }
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::super::tests::run_line;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_verbs() {
        for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
            let (code, out, err) = run_line(&format!("trueup completions {shell}"));
            assert_eq!((code, err.as_str()), (0, ""), "{shell}");
            assert!(out.contains("explain"), "{shell}");
        }
    }
}
