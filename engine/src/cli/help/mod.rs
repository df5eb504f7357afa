//! `trueup help`, and the short help of `trueup` alone.

mod codes;
mod topics;

use clap::CommandFactory as _;
use serde_json::json;
use trueup_core::diagnostic::Code;

use super::arguments::{Arguments, HelpArgs};
use super::error::CliError;
use super::exit::Exit;
use crate::output::Output;

/// Verbs by what people want, in the order of the short help.
const GROUPS: &[(&str, &[&str])] = &[
    ("Start", &["init", "demo", "trust"]),
    ("Change", &["plan", "apply", "destroy", "adopt", "forget", "resolve"]),
    ("Look", &["status", "get", "why", "explain", "history"]),
    ("Check", &["validate", "render", "schema", "replay", "doctor"]),
    ("More", &["plugin", "completions", "version", "help"]),
];

/// What `trueup` alone prints.
pub fn short() -> String {
    let command = Arguments::command();
    let mut out = command.get_about().map(|it| format!("{it}\n\n")).unwrap_or_default();
    out.push_str("Usage: trueup [OPTIONS] COMMAND\n");
    for (title, verbs) in GROUPS {
        out.push_str(&format!("\n{title}\n"));
        for name in *verbs {
            let about = command.find_subcommand(name).and_then(|it| it.get_about()).map(ToString::to_string).unwrap_or_default();
            out.push_str(&format!("    {name:12} {about}\n"));
        }
    }
    if let Some(examples) = command.get_after_help() {
        out.push_str(&format!("\n{examples}\n"));
    }
    out
}

pub fn run(arguments: &HelpArgs, output: &mut Output) -> Result<Exit, CliError> {
    let text = match arguments.topic.as_slice() {
        [] => short(),
        [topic] if code(topic).is_some() => code(topic).and_then(codes::explain).ok_or_else(|| {
            CliError::usage(format!("there is no error {topic}")).hint("`trueup help codes` lists what there is")
        })?,
        [topic] if topic == "codes" => codes::list(),
        [topic] if topics::text(topic).is_some() => topics::text(topic).unwrap_or_default(),
        verbs => command_help(verbs)?,
    };
    if output.format.is_object() {
        output.object(&json!({"format": "trueup.help/1", "topic": arguments.topic, "text": text}))?;
    } else {
        output.script(&text);
    }
    Ok(Exit::Fine)
}

/// `TU0123`, in either case.
fn code(text: &str) -> Option<Code> {
    let digits = text.get(2..).filter(|it| it.len() == 4 && text.get(..2).is_some_and(|it| it.eq_ignore_ascii_case("tu")))?;
    digits.parse().ok().map(Code)
}

fn command_help(verbs: &[String]) -> Result<String, CliError> {
    let mut command = Arguments::command();
    command.build();
    let mut found = &mut command;
    for verb in verbs {
        found = found.find_subcommand_mut(verb).ok_or_else(|| {
            CliError::usage(format!("there is no command, no error code and no topic `{verb}`"))
                .hint("`trueup help` lists the commands, `trueup help codes` the codes; topics are expressions and credentials")
        })?;
    }
    Ok(found.render_long_help().to_string())
}

#[cfg(test)]
mod tests {
    use super::super::tests::run_line;
    use super::*;

    #[test]
    fn every_verb_is_in_the_short_help_once() {
        let listed: Vec<&str> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        let mut all: Vec<String> = Arguments::command().get_subcommands().map(|it| it.get_name().to_owned()).collect();
        let mut sorted: Vec<String> = listed.iter().map(|it| (*it).to_owned()).collect();
        sorted.sort();
        all.sort();
        assert_eq!(sorted, all);
    }

    #[test]
    fn an_error_code_is_explained() {
        let (code, out, err) = run_line("trueup help tu0601");
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.starts_with("TU0601: a protected resource would go\n\n"), "{out}");
        assert_eq!(run_line("trueup help TU9999").0, 64);
    }
}
