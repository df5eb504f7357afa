//! A plan for people: what is risky first, then each resource's fields with where they come from, the summary last.
//!
//! A view of the plan's JSON and of nothing else, so that a plan from a service reads the same, and another `--show` is
//! another view and never another run.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

use super::clean::{clean, clip};
use super::json::{Action, Change, Plan, Refused, Step, Summary};
use super::style::{Style, Tone};
use super::value::{broken, count, diff, inline, is_secret, lines, tail};
use super::waits;

/// How much of a plan to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Show {
    /// The list of resources and the counts
    Summary,
    /// Also the changed fields, identical changes folded
    #[default]
    Changes,
    /// Everything, nothing folded or cut
    Full,
}

/// Limits of one view.
struct Limits {
    /// Lines of the list for each action.
    listed: usize,
    /// Resources shown with their fields.
    detailed: usize,
    /// Fields of one resource.
    fields: usize,
    /// Lines of one text's diff.
    lines: usize,
    /// Characters of one value.
    value: usize,
    fold: bool,
}

const SOME: Limits = Limits { listed: 40, detailed: 100, fields: 20, lines: 24, value: 60, fold: true };
const ALL: Limits =
    Limits { listed: usize::MAX, detailed: usize::MAX, fields: usize::MAX, lines: usize::MAX, value: 10_000, fold: false };

/// Column of the values, and of the places behind them.
const VALUES: usize = 45;
const PLACES: usize = 69;

/// The whole text, ending in a line break. `next` says what to do when nothing is refused.
pub fn render(plan: &Plan, show: Show, next: Option<&str>, style: &Style) -> String {
    let limits = if show == Show::Full { ALL } else { SOME };
    let mut out = header(plan, style);
    if plan.steps.is_empty() && plan.refused.is_empty() {
        let all = count(plan.summary.unchanged, "resource");
        let text = match plan.drift.len() {
            0 => format!("No changes: {all} as {}.", revision(plan)),
            left => format!("Nothing to do: {all} as {}, {left} drifted and left as they are.", revision(plan)),
        };
        let _ = writeln!(out, "\n{}", style.paint(Tone::Good, text));
    } else {
        list(plan, &limits, style, &mut out);
        waits::render(plan, style, &mut out);
        if show != Show::Summary {
            details(plan, &limits, style, &mut out);
        }
        out.push('\n');
        out.push_str(&summary(&plan.summary));
        out.push('\n');
    }
    drift(plan, show, &limits, style, &mut out);
    refused(plan, style, &mut out);
    let hint = plan.refused.iter().find_map(|it| it.hint.as_deref());
    let command = next.filter(|_| plan.refused.is_empty() && !plan.steps.is_empty());
    if let Some(next) = hint.map(clean).or_else(|| command.map(|it| broken(&clean(it), "Next: ".len()).into())) {
        let _ = writeln!(out, "Next: {next}");
    }
    out
}

/// `shop/prod  main@3f2a1c9  plan p-7f3c0a11`, and the counts at the right.
fn header(plan: &Plan, style: &Style) -> String {
    let name = if plan.project.is_empty() { plan.environment.clone() } else { format!("{}/{}", plan.project, plan.environment) };
    let left = format!("{}  {}  plan {}", clean(&name), revision(plan), clean(&plan.id()));
    let changes = plan.steps.len();
    let all = changes + plan.summary.unchanged + plan.summary.refused + plan.drift.len();
    let drift = if plan.drift.is_empty() { String::new() } else { format!(", {} drifted and left", plan.drift.len()) };
    let right = format!("{}, {changes} to change{drift}", count(all, "resource"));
    let gap = PLACES.saturating_sub(left.chars().count()).max(3);
    format!("{}{}{right}\n", style.paint(Tone::Strong, left), " ".repeat(gap))
}

/// `main@3f2a1c9`, with `+worktree` where that is so.
pub fn revision(plan: &Plan) -> String {
    short_revision(&plan.revision, plan.branch.as_deref())
}

/// A commit as people read it: seven digits, its branch in front, `+worktree` kept.
pub fn short_revision(revision: &str, branch: Option<&str>) -> String {
    let (commit, rest) = revision.split_once('+').map_or((revision, ""), |(commit, _)| (commit, "+worktree"));
    let commit = commit.get(..7).unwrap_or(commit);
    let text = branch.map_or_else(|| format!("{commit}{rest}"), |branch| format!("{branch}@{commit}{rest}"));
    clean(&text).into_owned()
}

/// Order of the list: what can hurt comes first.
fn risk(action: Action) -> u8 {
    match action {
        Action::Delete => 0,
        Action::Replace => 1,
        Action::Forget => 2,
        Action::Update => 3,
        Action::Adopt => 4,
        Action::Move => 5,
        Action::Create => 6,
    }
}

/// The mark in front of a resource.
pub fn mark(action: Action) -> (&'static str, Tone) {
    match action {
        Action::Create => ("+", Tone::Good),
        Action::Update => ("~", Tone::Change),
        Action::Replace => ("-/+", Tone::Risk),
        Action::Delete => ("-", Tone::Bad),
        Action::Adopt | Action::Move | Action::Forget => (">", Tone::Change),
    }
}

fn list(plan: &Plan, limits: &Limits, style: &Style, out: &mut String) {
    let mut rows: Vec<(&'static str, Tone, String, String)> = Vec::new();
    for alike in alike(plan) {
        // A reason that holds for many is said once, at the end.
        let Some(first) = alike.first().filter(|_| alike.len() <= APART || !limits.fold) else { continue };
        let reason = format!("refused: {}", first.reason);
        rows.extend(alike.iter().map(|it| ("!", Tone::Bad, name(&it.resource, &it.id).to_owned(), reason.clone())));
    }
    let refused_cut = rows.len().saturating_sub(limits.listed);
    rows.truncate(limits.listed);
    if refused_cut > 0 {
        rows.push(("!", Tone::Bad, style.ellipsis().to_owned(), format!("{refused_cut} more refused")));
    }
    let mut steps: Vec<&Step> = plan.steps.iter().collect();
    steps.sort_by(|a, b| (risk(a.action), &a.resource).cmp(&(risk(b.action), &b.resource)));
    for group in steps.chunk_by(|a, b| a.action == b.action) {
        for step in group.iter().take(limits.listed) {
            let (sign, tone) = mark(step.action);
            rows.push((sign, tone, step.label(), words(step)));
        }
        if let Some((first, more)) = group.first().zip(group.len().checked_sub(limits.listed).filter(|it| *it > 0)) {
            let (sign, tone) = mark(first.action);
            rows.push((sign, tone, style.ellipsis().to_owned(), format!("{more} more, --show full lists them")));
        }
    }
    if plan.summary.unchanged > 0 {
        rows.push(("=", Tone::Faint, format!("{} unchanged", plan.summary.unchanged), String::new()));
    }
    let rows: Vec<_> = rows.into_iter().map(|(sign, tone, name, words)| (sign, tone, clean(&name).into_owned(), words)).collect();
    let width = rows.iter().map(|row| row.2.chars().count()).filter(|it| *it <= 50).max().unwrap_or_default();
    if rows.is_empty() {
        return;
    }
    out.push('\n');
    for (sign, tone, name, words) in rows {
        let line =
            format!("  {}  {name:width$}  {}", style.paint(tone, format!("{sign:<3}")), clip(&words, 160, style.ellipsis()));
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn name<'a>(short: &'a str, id: &'a str) -> &'a str {
    if short.is_empty() { id } else { short }
}

/// What a step does, in a few words.
fn words(step: &Step) -> String {
    let reason = step.reasons.first().map(|it| it.text.as_str()).unwrap_or_default();
    let drift = step.changes.iter().filter(|it| it.origin != "git").count();
    let fields = count(step.changes.len(), "field");
    match step.action {
        Action::Create if reason.is_empty() => "new".to_owned(),
        Action::Create | Action::Delete => reason.to_owned(),
        Action::Update if drift == 0 => fields,
        Action::Update if drift == step.changes.len() => format!("{fields}, drift"),
        Action::Update => format!("{fields}, {drift} drift"),
        Action::Replace => format!("replaced: {reason}"),
        Action::Adopt if step.changes.is_empty() => "adopted as it is".to_owned(),
        Action::Adopt => format!("adopted, {fields} to change"),
        Action::Move => format!("moved: {reason}"),
        Action::Forget => format!("forgotten, not deleted: {reason}"),
    }
}

/// Every resource that changes, with its fields; identical ones once.
fn details(plan: &Plan, limits: &Limits, style: &Style, out: &mut String) {
    let mut groups: Vec<(&Step, Vec<String>)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut hidden = 0;
    // What a deletion takes away was declared by somebody; its fields are shown where everything is.
    let shown = |it: &&Step| !it.changes.is_empty() && (it.action != Action::Delete || !limits.fold);
    let mut steps: Vec<&Step> = plan.steps.iter().filter(shown).collect();
    steps.sort_by(|a, b| (risk(a.action), &a.resource).cmp(&(risk(b.action), &b.resource)));
    for step in steps {
        let key = limits.fold.then(|| likeness(step));
        if let Some((_, more)) = key.as_ref().and_then(|key| known.get(key)).and_then(|index| groups.get_mut(*index)) {
            more.push(step.label());
        } else if groups.len() < limits.detailed {
            if let Some(key) = key {
                known.insert(key, groups.len());
            }
            groups.push((step, Vec::new()));
        } else {
            hidden += 1;
        }
    }
    for (step, more) in groups {
        one(step, limits, style, out);
        if let Some(first) = more.first() {
            let names =
                if more.len() == 1 { clean(first).into_owned() } else { format!("{} {}", clean(first), style.ellipsis()) };
            let _ = writeln!(out, "    {}", style.paint(Tone::Faint, format!("same change on {} more: {names}", more.len())));
        }
    }
    if hidden > 0 {
        let _ = writeln!(out, "\n{} {}; --show full lists them", style.ellipsis(), count(hidden, "more resource"));
    }
}

/// Equal for steps that do the same to different resources of one kind.
fn likeness(step: &Step) -> String {
    let fields = step.changes.iter().map(|it| (&it.path, &it.before, &it.after, &it.origin));
    format!("{:?} {} {:?} {:?}", step.action, step.object.kind, step.reasons, fields.collect::<Vec<_>>())
}

fn one(step: &Step, limits: &Limits, style: &Style, out: &mut String) {
    let (sign, tone) = mark(step.action);
    let title = format!("{sign} {}", clean(&step.label()));
    let line = with_place(&title, step.place.text(), style);
    let rest = line.strip_prefix(sign).unwrap_or(&line).to_owned();
    let _ = writeln!(out, "\n{}{rest}", style.paint(tone, sign));
    if !matches!(step.action, Action::Create | Action::Update) {
        for reason in &step.reasons {
            let path = reason.path.as_ref().map(|it| format!("{}: ", clean(it))).unwrap_or_default();
            let _ = writeln!(out, "    {path}{}", clip(&reason.text, 200, style.ellipsis()));
        }
    }
    let new = step.action == Action::Create;
    for change in step.changes.iter().take(limits.fields) {
        field(change, new, limits, style, out);
    }
    if let Some(more) = step.changes.len().checked_sub(limits.fields).filter(|it| *it > 0) {
        let _ = writeln!(out, "    {} {}", style.ellipsis(), count(more, "more field"));
    }
}

/// One changed field: path, value, and where the value is written.
fn field(change: &Change, new: bool, limits: &Limits, style: &Style, out: &mut String) {
    let limit = if limits.fold { VALUES - 6 } else { usize::MAX };
    let path = tail(&change.path, limit, style);
    let drift = match change.origin.as_str() {
        "drift" => "  (drift)",
        "both" => "  (drift, and new in Git)",
        _ => "",
    };
    let place = change.place.text();
    let start = format!("    {path:width$} ", width = VALUES - 5);
    let text = |it: &Option<Json>| it.as_ref().and_then(lines).map(str::to_owned);
    let (before, after) = (text(&change.before), text(&change.after));
    if before.is_some() || after.is_some() {
        let whole = |lines: Option<String>, value: &Option<Json>| match value {
            None => Some(String::new()),
            Some(value) => lines.or_else(|| value.as_str().map(str::to_owned)),
        };
        if let Some((before, after)) = whole(before, &change.before).zip(whole(after, &change.after)) {
            let _ = writeln!(out, "{}", with_place(&format!("    {path}{drift}"), place, style));
            out.push_str(&diff(&before, &after, "      ", limits.lines, style));
            return;
        }
    }
    let show = |it: &Option<Json>| it.as_ref().map_or_else(|| "(unset)".to_owned(), |it| inline(it, limits.value, style));
    let (before, after) = (show(&change.before), show(&change.after));
    let secrets = change.before.as_ref().is_some_and(is_secret) && change.after.as_ref().is_some_and(is_secret);
    let value = if secrets {
        "(secret changed)".to_owned()
    } else if new && change.before.is_none() {
        after
    } else if before.chars().count() + after.chars().count() > 60 && !limits.fold {
        format!("{before} {}\n{:VALUES$}{after}", style.arrow(), "")
    } else {
        format!("{before} {} {after}", style.arrow())
    };
    let _ = writeln!(out, "{}", with_place(&format!("{start}{value}{drift}"), place, style));
}

/// Puts the place into its column, or onto a line of its own where the text is too long.
fn with_place(text: &str, place: Option<String>, style: &Style) -> String {
    let Some(place) = place else { return text.trim_end().to_owned() };
    let place = style.paint(Tone::Faint, clean(&place).into_owned());
    let length = text.lines().last().unwrap_or_default().chars().count();
    if length < PLACES {
        format!("{text}{:gap$}{place}", "", gap = PLACES - length)
    } else {
        format!("{text}\n{:PLACES$}{place}", "")
    }
}

/// `Plan: 1 to add, 2 to change, 0 to replace, 0 to destroy.`
pub fn summary(it: &Summary) -> String {
    let mut text =
        format!("Plan: {} to add, {} to change, {} to replace, {} to destroy", it.create, it.update, it.replace, it.delete);
    for (number, word) in [(it.adopt, "adopt"), (it.moved, "move"), (it.forget, "forget")] {
        if number > 0 {
            let _ = write!(text, ", {number} to {word}");
        }
    }
    text.push('.');
    text
}

/// Drift that is only told of.
fn drift(plan: &Plan, show: Show, limits: &Limits, style: &Style, out: &mut String) {
    if plan.drift.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nDrift, left as it is (drift: warn or off): {}", count(plan.drift.len(), "resource"));
    for drifted in plan.drift.iter().take(limits.listed) {
        let what = if drifted.gone { "is gone".to_owned() } else { count(drifted.changes.len(), "field") };
        let _ = writeln!(out, "  {}  {what}", clean(name(&drifted.resource, &drifted.id)));
        if show != Show::Summary {
            for change in drifted.changes.iter().take(limits.fields) {
                field(change, false, limits, style, out);
            }
        }
    }
    if let Some(more) = plan.drift.len().checked_sub(limits.listed).filter(|it| *it > 0) {
        let _ = writeln!(out, "  {} {more} more", style.ellipsis());
    }
}

/// What the plan will not do, and what to do about each.
fn refused(plan: &Plan, style: &Style, out: &mut String) {
    const SHOWN: usize = 20;
    const NAMED: usize = 5;
    let (many, few): (Vec<_>, Vec<_>) = alike(plan).into_iter().partition(|it| it.len() > APART);
    for alike in many.iter().take(SHOWN) {
        let Some(first) = alike.first() else { continue };
        let names: Vec<_> = alike.iter().take(NAMED).map(|it| clean(name(&it.resource, &it.id))).collect();
        let more = if alike.len() > NAMED { format!(" {}", style.ellipsis()) } else { String::new() };
        let text = format!("{}: {} ({}{more})", count(alike.len(), "resource"), clean(&first.reason), names.join(", "));
        let _ = writeln!(out, "{} {text}  [{}]", style.paint(Tone::Bad, "Refused:"), clean(&first.code));
    }
    let few: Vec<_> = few.into_iter().flatten().collect();
    for refused in few.iter().take(SHOWN) {
        let place = refused.place.text().map(|it| format!(" ({})", clean(&it))).unwrap_or_default();
        let text = format!("{}: {}{place}", clean(name(&refused.resource, &refused.id)), clean(&refused.reason));
        let _ = writeln!(out, "{} {text}  [{}]", style.paint(Tone::Bad, "Refused:"), clean(&refused.code));
    }
    let more = few.len().saturating_sub(SHOWN) + many.iter().skip(SHOWN).map(Vec::len).sum::<usize>();
    if more > 0 {
        let _ = writeln!(out, "{} {more} more refused", style.ellipsis());
    }
}

/// Refusals that are shown one by one although they say the same.
const APART: usize = 3;

/// Refusals by what they say, in the order of their first.
fn alike(plan: &Plan) -> Vec<Vec<&Refused>> {
    let mut groups: Vec<Vec<&Refused>> = Vec::new();
    let mut known: HashMap<(&str, &str), usize> = HashMap::new();
    for refused in &plan.refused {
        let at = *known.entry((refused.code.as_str(), refused.reason.as_str())).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.push(refused),
            None => groups.push(vec![refused]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use trueup_core::diagnostic::codes;
    use trueup_core::manifest::ReplaceOrder;
    use trueup_core::plan as core;
    use trueup_core::value::{Digest, json, secret, unknown};

    use super::super::json::tests::{change, location, shape, step};
    use super::*;

    fn replicas() -> core::Change {
        change("spec.replicas", Some(json!(2)), Some(json!(6)), core::Origin::Git)
    }

    fn plan(steps: Vec<core::Step>) -> core::Plan {
        core::Plan { steps, unchanged: 1, digest: Digest([0x7f; 32]), ..core::Plan::default() }
    }

    #[track_caller]
    fn check(plan: &core::Plan, show: Show, next: Option<&str>, want: &str) {
        let got = render(&shape(plan), show, next, &Style::PLAIN);
        assert_eq!(got, want, "\n{got}");
    }

    #[test]
    fn what_can_hurt_comes_first_and_every_value_says_where_it_is_written() {
        let url = change(
            "spec.template.containers[name=web].env[name=A].value",
            Some(json!("https://old.cdn")),
            Some(unknown("Bucket/assets")),
            core::Origin::Git,
        );
        let token = change("spec.token", Some(secret("db", "0")), Some(secret("db", "1")), core::Origin::Both);
        let bucket = change("spec.bucketName", Some(json!("a")), Some(json!("b")), core::Origin::Git);
        let mut it = plan(vec![
            step(
                core::Action::Create,
                "site:File/motd",
                vec![change("spec.mode", None, Some(json!("0644")), core::Origin::Git)],
                &[],
            ),
            step(core::Action::Update, "k8s:Deployment/shop/web", vec![replicas(), url, token], &[("changed", "changed in Git")]),
            step(
                core::Action::Replace(ReplaceOrder::DeleteFirst),
                "aws:Bucket/assets",
                vec![bucket],
                &[("immutable", "bucketName cannot change in place")],
            ),
            step(core::Action::Delete, "site:File/old", vec![], &[("removed", "no longer in Git")]),
        ]);
        it.refused.push(core::Refused {
            resource: trueup_core::address::ResourceId::parse("aws:Bucket/logs").unwrap(),
            address: None,
            code: codes::PROTECTED,
            reason: "it is protected".to_owned(),
            hint: Some("remove trueup.dev/protect".to_owned()),
            location: Some(location("base/site.yaml", 5)),
        });
        check(
            &it,
            Show::Changes,
            None,
            "\
shop/prod  main@3f2a1c9  plan p-7f7f7f7f                             6 resources, 4 to change

  !    Bucket/logs          refused: it is protected
  -    File/old             no longer in Git
  -/+  Bucket/assets        replaced: bucketName cannot change in place
  ~    Deployment/shop/web  3 fields, 1 drift
  +    File/motd            new
  =    1 unchanged

-/+ Bucket/assets                                                    base/site.yaml:7
    bucketName cannot change in place
    spec.bucketName                          a → b

~ Deployment/shop/web                                                base/site.yaml:7
    spec.replicas                            2 → 6                   envs/prod/site.yaml:4
    …containers[name=web].env[name=A].value  https://old.cdn → (known after Bucket/assets)
    spec.token                               (secret changed)  (drift, and new in Git)

+ File/motd                                                          base/site.yaml:7
    spec.mode                                \"0644\"

Plan: 1 to add, 1 to change, 1 to replace, 1 to destroy.
Refused: Bucket/logs: it is protected (base/site.yaml:5)  [TU0601]
Next: remove trueup.dev/protect
",
        );
    }

    #[test]
    fn identical_changes_are_folded_unless_everything_is_asked_for() {
        let steps =
            (0..4).map(|it| step(core::Action::Update, &format!("k8s:Deployment/shop/w{it}"), vec![replicas()], &[])).collect();
        let it = plan(steps);
        let text = render(&shape(&it), Show::Changes, Some("trueup apply"), &Style::PLAIN);
        assert!(text.contains("    same change on 3 more: Deployment/shop/w1 …\n"), "{text}");
        assert_eq!(text.matches("2 → 6").count(), 1, "{text}");
        assert!(text.ends_with("\nNext: trueup apply\n"), "{text}");
        assert_eq!(render(&shape(&it), Show::Full, None, &Style::PLAIN).matches("2 → 6").count(), 4);
        assert_eq!(render(&shape(&it), Show::Summary, None, &Style::PLAIN).matches("2 → 6").count(), 0);
        assert!(render(&shape(&it), Show::Changes, None, &Style::ASCII).is_ascii());
    }

    #[test]
    fn a_plan_without_steps_says_so_in_one_line() {
        check(
            &plan(vec![]),
            Show::Changes,
            Some("trueup apply"),
            "\
shop/prod  main@3f2a1c9  plan p-7f7f7f7f                             1 resource, 0 to change

No changes: 1 resource as main@3f2a1c9.
",
        );
    }

    #[test]
    fn a_text_of_several_lines_is_a_small_diff() {
        let motd = change("spec.content", Some(json!("one\ntwo\n")), Some(json!("one\nthree\n")), core::Origin::Drift);
        let it = plan(vec![step(core::Action::Update, "site:File/motd", vec![motd], &[])]);
        let text = render(&shape(&it), Show::Changes, None, &Style::PLAIN);
        assert!(text.contains("    spec.content  (drift)\n        one\n      - two\n      + three\n"), "{text}");
    }

    #[test]
    fn a_reason_that_holds_for_many_is_said_once() {
        let refused = |name: &str, reason: &str| core::Refused {
            resource: trueup_core::address::ResourceId::parse(name).unwrap(),
            address: None,
            code: codes::DELETE_LIMIT,
            reason: reason.to_owned(),
            hint: None,
            location: None,
        };
        let mut it = plan(vec![]);
        it.refused.extend((0..9).map(|at| refused(&format!("site:File/f{at}"), "too many would go")));
        it.refused.push(refused("site:File/z", "another reason"));
        let text = render(&shape(&it), Show::Changes, None, &Style::PLAIN);
        assert_eq!(text.matches("too many would go").count(), 1, "{text}");
        assert!(text.contains("Refused: 9 resources: too many would go (File/f0, File/f1, "), "{text}");
        assert!(text.lines().any(|it| it.contains("File/z") && it.ends_with("refused: another reason")), "{text}");
    }

    #[test]
    fn thousands_of_steps_stay_readable() {
        let steps = (0..3_000)
            .map(|it| {
                step(
                    core::Action::Create,
                    &format!("site:File/f{it:04}"),
                    vec![change("spec.path", None, Some(json!(it)), core::Origin::Git)],
                    &[],
                )
            })
            .collect();
        let text = render(&shape(&plan(steps)), Show::Changes, None, &Style::PLAIN);
        assert!(text.lines().count() < 400, "{}", text.lines().count());
        assert!(text.contains("2960 more, --show full lists them"), "{text}");
        assert!(text.contains("2900 more resources"), "{text}");
    }

    #[test]
    fn nothing_from_outside_reaches_the_terminal_raw() {
        let evil = "\u{1b}[2J\u{202e}x";
        let mut it = shape(&plan(vec![step(core::Action::Delete, "site:File/a", vec![replicas()], &[("removed", "r")])]));
        let first = it.steps.first_mut().unwrap();
        for text in
            [&mut first.resource, &mut first.reasons.first_mut().unwrap().text, &mut first.changes.first_mut().unwrap().path]
        {
            *text = evil.to_owned();
        }
        first.changes.first_mut().unwrap().after = Some(json!({evil: [evil]}));
        first.place.file = Some(evil.to_owned());
        it.branch = Some(evil.to_owned());
        it.refused.push(super::super::json::Refused {
            id: evil.to_owned(),
            resource: evil.to_owned(),
            code: evil.to_owned(),
            reason: evil.to_owned(),
            hint: Some(evil.to_owned()),
            place: first_place(evil),
        });
        for show in [Show::Summary, Show::Changes, Show::Full] {
            let text = render(&it, show, None, &Style::PLAIN);
            assert!(!text.chars().any(|c| super::super::clean::is_hostile(c) && c != '\n'), "{text:?}");
        }
    }

    fn first_place(file: &str) -> super::super::json::Place {
        super::super::json::Place { file: Some(file.to_owned()), line: Some(1) }
    }
}
