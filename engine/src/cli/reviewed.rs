//! `apply --plan`: the plan made now must be the one that was reviewed, else what moved is shown and nothing is done.

use trueup_core::diagnostic::codes;

use super::Shell;
use super::error::CliError;
use crate::output::clean::clean;
use crate::output::difference::{difference, lines};
use crate::output::json::{self, Plan};
use crate::pass::Surroundings;
use crate::regular;

/// Bytes of a plan file.
const FILE: u64 = 256 << 20;

/// Fails unless `now` is the plan that `wanted` (an id or a file) names.
pub fn check(wanted: &str, now: &Plan, around: &Surroundings, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let reviewed = find(wanted, around)?;
    if reviewed.environment != now.environment {
        let text = format!("the plan {wanted} is of the environment `{}`, not of `{}`", reviewed.environment, now.environment);
        return Err(CliError::usage(text));
    }
    let moved = difference(&reviewed, now);
    if reviewed.digest == now.digest && moved.is_empty() {
        return Ok(());
    }
    if reviewed.digest == now.digest {
        // Nobody but the file says what its steps were: they are held against its digest here.
        shell.output.error(&format!("The plan {wanted} is not what it was when it was made:\n{}", lines(&moved)));
        return Err(CliError::new(
            codes::PLAN_MOVED,
            format!("`{wanted}` was changed after it was made: its steps are not its digest's"),
        )
        .hint("review the plan with `trueup plan` and apply that one"));
    }
    shell.output.error(&format!("Since the plan {} was made:\n{}", clean(&reviewed.id()), lines(&moved)));
    let text = format!("the plan is no longer the one that was reviewed: now it is {}", now.id());
    Err(CliError::new(codes::PLAN_MOVED, text).hint("review it with `trueup plan`, with the same flags, and apply that one"))
}

fn find(wanted: &str, around: &Surroundings) -> Result<Plan, CliError> {
    let looks_like_id =
        wanted.starts_with("p-") || wanted.starts_with("sha256:") || wanted.bytes().all(|it| it.is_ascii_hexdigit());
    if looks_like_id && !std::path::Path::new(wanted).exists() {
        let saved = around.store.plan(wanted)?.ok_or_else(|| {
            CliError::new(codes::PLAN_MOVED, format!("no plan `{wanted}` is kept here")).hint(
                "an id is p- and 8 or more digits, as `trueup plan` shows it; plans are kept in the state they were made with",
            )
        })?;
        return read(saved.json.as_bytes(), wanted);
    }
    let failed = |error: std::io::Error| CliError::usage(format!("cannot read the plan `{wanted}`: {error}"));
    let text = regular::read(std::path::Path::new(wanted), FILE).map_err(failed)?;
    read(&text, wanted)
}

fn read(text: &[u8], wanted: &str) -> Result<Plan, CliError> {
    let plan: Plan = serde_json::from_slice(text)
        .map_err(|error| CliError::new(codes::PLAN_MOVED, format!("`{wanted}` is no plan: {error}")))?;
    if plan.format == json::PLAN {
        return Ok(plan);
    }
    Err(CliError::new(codes::PLAN_MOVED, format!("`{wanted}` is of the format `{}`, not `{}`", plan.format, json::PLAN)))
}
