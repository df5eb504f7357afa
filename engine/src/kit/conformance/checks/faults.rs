//! Checks of what a provider makes of a server's refusals, and of what a server has beyond what the plugin knows.

use reqwest::header::{HeaderName, HeaderValue};
use trueup_core::inventory::IntentAction;
use trueup_core::manifest::Observe;
use trueup_core::value::Json;
use trueup_host::{Failure, Fault as Class, Remote, Settlement};

use super::super::acts::{PAGE, Poller, Try, told};
use super::super::fields::fields;
use super::super::watch::{STRANGE, To};
use super::super::world::{Want, World};
use super::{Bench, Fault, Stop, Verdict, firsts, judged, stage, survey, token};
use crate::kit::project;

/// What a plugin is asked to do while the server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Scan,
    Read,
    Create,
    Update,
}

impl Act {
    const ALL: [Self; 4] = [Self::Scan, Self::Read, Self::Create, Self::Update];

    fn word(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Read => "read",
            Self::Create => "create",
            Self::Update => "update",
        }
    }

    fn changes(self) -> bool {
        matches!(self, Self::Create | Self::Update)
    }
}

/// What a provider said of a refusal.
enum Said {
    /// No request met it.
    Nothing,
    Fine,
    Failed {
        failure: Failure,
        rejected: bool,
    },
}

/// An object in the world, and what is asked of it.
struct Stage<'a> {
    world: World<'a>,
    want: Want,
    next: Option<Want>,
    made: Remote,
    sibling: Option<Want>,
}

async fn prepared(bench: &Bench, at: usize) -> Result<Stage<'_>, String> {
    let (world, want) = stage(bench, at).await?;
    let provider = world.provider();
    let made = world.make(&provider, &want).await?;
    let next = world.changed(&provider, &want).await;
    let sibling = world.siblings(&provider, &want, 1).await.ok().and_then(|mut them| them.pop());
    Ok(Stage { world, want, next, made, sibling })
}

impl Stage<'_> {
    /// Asks a fresh provider for one act while `fault` holds.
    async fn act(&self, act: Act, fault: Fault) -> Result<Said, String> {
        let provider = self.world.provider();
        self.world.watch.arm(fault);
        let said = match act {
            Act::Scan if self.want.kind.observe == Observe::Scan => {
                match self.world.scan(&provider, &self.want, None, PAGE).await? {
                    Ok(_) => Said::Fine,
                    Err(failure) => Said::Failed { failure, rejected: true },
                }
            }
            Act::Scan => Said::Nothing,
            Act::Read => match self
                .world
                .read_as(
                    &provider,
                    trueup_host::Lookup {
                        identity: Some(self.made.identity.clone()),
                        ..trueup_host::Lookup::new(self.want.address.clone())
                    },
                )
                .await?
            {
                trueup_host::Observation::Failed(failure) => Said::Failed { failure, rejected: true },
                _ => Said::Fine,
            },
            Act::Create | Act::Update => {
                let (action, want, prior) = match act {
                    Act::Create => (IntentAction::Create, self.sibling.as_ref(), None),
                    _ => (IntentAction::Update, self.next.as_ref(), Some(&self.made)),
                };
                match want {
                    None => Said::Nothing,
                    Some(want) => {
                        let change = self.world.change(action, want, prior, Try::first(&token()));
                        match self.world.carry(&provider, change, Poller::Same).await?.settlement {
                            Settlement::Rejected(failure) => Said::Failed { failure, rejected: true },
                            Settlement::Unsettled(failure) => Said::Failed { failure, rejected: false },
                            Settlement::Settled | Settlement::Pending(_) => Said::Fine,
                        }
                    }
                }
            }
        };
        Ok(if self.world.watch.calm() == 0 { Said::Nothing } else { said })
    }
}

fn no_requests() -> Stop {
    Stop::Skip("the plugin sends no HTTP requests".to_owned())
}

pub async fn throttled(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut count) = (Vec::new(), 0_usize);
    for at in firsts(&wants) {
        let stage = prepared(bench, at).await?;
        for (status, seconds) in [(429_u16, 7_u64), (503, 3)] {
            for act in Act::ALL {
                let headers = vec![("retry-after", seconds.to_string())];
                let title = format!(
                    "{} of {} while the server answers {status} with `Retry-After: {seconds}`",
                    act.word(),
                    stage.want.title()
                );
                match stage.act(act, Fault::Answer { to: To::All, status, headers }).await? {
                    Said::Nothing => continue,
                    Said::Fine => found.push(format!("{title} is called fine")),
                    Said::Failed { failure, rejected } => {
                        let hint = match failure.fault {
                            Class::Throttled(hint) => hint,
                            Class::Transient(hint) if status == 503 => hint,
                            other => {
                                found.push(format!("{title} is `{}`, not `throttled`", other.word()));
                                continue;
                            }
                        };
                        let want = seconds * 1000;
                        match hint {
                            None => {
                                found.push(format!("{title}: how long to wait is lost; put it into the fault, in milliseconds"))
                            }
                            Some(hint) if hint.abs_diff(want) > want / 10 => {
                                found.push(format!("{title}: it says to wait {hint} ms, and the server said {want}"))
                            }
                            Some(_) if status == 429 && act.changes() && !rejected => {
                                found.push(format!("{title} is unsettled: nothing was done, so say rejected"));
                            }
                            Some(_) => {}
                        }
                    }
                }
                count += 1;
            }
        }
    }
    if count == 0 && found.is_empty() {
        return Err(no_requests());
    }
    judged(&found, format!("{count} refusals"))
}

pub async fn refused(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut count) = (Vec::new(), 0_usize);
    let cases = [(401_u16, "unauthorized"), (403, "unauthorized"), (500, "transient"), (409, "conflict"), (412, "conflict")];
    for at in firsts(&wants) {
        let stage = prepared(bench, at).await?;
        for (status, word) in cases {
            for act in Act::ALL.into_iter().filter(|it| word != "conflict" || it.changes()) {
                let to = if act.changes() { To::Changes } else { To::All };
                let title = format!("{} of {} while the server answers {status}", act.word(), stage.want.title());
                match stage.act(act, Fault::Answer { to, status, headers: Vec::new() }).await? {
                    Said::Nothing => continue,
                    Said::Fine => found.push(format!("{title} is called fine")),
                    Said::Failed { failure, .. } if failure.fault.word() != word => {
                        found.push(format!("{title} is `{}`, not `{word}`", failure.fault.word()));
                    }
                    Said::Failed { .. } => {}
                }
                count += 1;
            }
        }
    }
    if count == 0 && found.is_empty() {
        return Err(no_requests());
    }
    judged(&found, format!("{count} refusals"))
}

pub async fn unknown_fields(bench: &Bench) -> Verdict {
    let wants = survey(bench).await?;
    let (mut found, mut met) = (Vec::new(), 0_usize);
    for at in firsts(&wants) {
        let Stage { world, want, next, made, .. } = prepared(bench, at).await?;
        let provider = world.provider();
        world.watch.arm(Fault::Strange);
        let title = format!("{}, with keys that the plugin does not know in each answer of the server", want.title());
        match world.look(&provider, &want, Some(&made.identity)).await {
            Err(error) => found.push(format!("{title}: {error}")),
            Ok(None) => found.push(format!("{title}: it is not found")),
            Ok(Some(seen)) => {
                let holds = |it: &Json| it.to_string().contains(STRANGE);
                if holds(&seen.doc) || seen.outputs.as_deref().is_some_and(holds) {
                    found.push(format!("{title}: they are in its document or outputs"));
                } else if world.document_of(&want, &seen) != world.document_of(&want, &made) || seen.outputs != made.outputs {
                    found.push(format!("{title}: it looks different"));
                }
            }
        }
        if let Some(next) = &next
            && let Err(error) = world.bring(&provider, next, &made).await
        {
            found.push(format!("updating {title}: {error}"));
        }
        if let Some(now) = world.look(&provider, &want, Some(&made.identity)).await.ok().flatten() {
            found.extend(world.remove(&provider, &want, &now).await.err().map(|error| format!("{title}: {error}")));
        }
        match world.make(&provider, &want).await {
            Err(error) => found.push(format!("{title}: {error}")),
            Ok(_) => met += world.watch.calm(),
        }
    }
    if let Some(extra) = &bench.test.extra {
        strangers(bench, extra, &wants, &mut found).await?;
        met += 1;
    }
    if met == 0 && found.is_empty() {
        return Err(Stop::Skip("no answer is JSON over HTTP, and `plugin.yaml` has no `extra`".to_owned()));
    }
    judged(&found, "keys of the server's own come and stay".to_owned())
}

/// A stranger's field must survive an update of each field of ours.
async fn strangers(bench: &Bench, extra: &project::Extra, wants: &[Want], found: &mut Vec<String>) -> Result<(), String> {
    if wants.is_empty() {
        return Ok(());
    }
    let (world, want) = stage(bench, 0).await?;
    let provider = world.provider();
    let mut now = world.make(&provider, &want).await?;
    let path = |text: &str| text.replace(project::IDENTITY, &now.identity);
    let (change, look) = (path(&extra.change.path), path(&extra.look.path));
    ask(&world, &extra.change.method, &change, extra.change.body.as_ref()).await?;
    let theirs = async || Ok::<_, String>(ask(&world, "GET", &look, None).await?.pointer(&extra.look.pointer).cloned());
    let before = theirs().await?;
    if before.is_none() {
        return Err(format!(
            "`extra.look` finds nothing at `{}` after `extra.change`: check both in plugin.yaml",
            extra.look.pointer
        ));
    }
    // What they did made another version of it.
    now = world.look(&provider, &want, Some(&now.identity)).await?.ok_or("the object is gone after `extra.change`")?;
    let (mut known, mut updated) = (want.clone(), 0_usize);
    for field in fields(&want.kind) {
        let Some(next) = world.changed_at(&provider, &known, &field).await else { continue };
        if world.bring(&provider, &next, &now).await.is_err() {
            continue; // `fields-update` is about that.
        }
        updated += 1;
        if theirs().await? != before {
            found.push(format!(
                "{}: an update of `{}` wiped `{}`, which a stranger had set; send what changed, or what was there with it",
                want.title(),
                field.path,
                extra.look.pointer
            ));
            return Ok(());
        }
        if let Some(seen) = world.look(&provider, &next, Some(&now.identity)).await? {
            now = seen;
        }
        known = next;
    }
    if updated == 0 {
        found.push(format!("{}: no field can be updated after a stranger changed the object", want.title()));
    }
    Ok(())
}

/// A request of the test's own to the server, with the first credential.
async fn ask(world: &World<'_>, method: &str, path: &str, body: Option<&Json>) -> Result<Json, String> {
    let failed = |error: &dyn std::fmt::Display| format!("`extra`: {method} {path}: {error}");
    let host = world.test.hosts.first().ok_or("`extra` needs `hosts`")?;
    let client =
        reqwest::Client::builder().timeout(std::time::Duration::from_secs(20)).build().map_err(|error| failed(&error))?;
    let verb = reqwest::Method::from_bytes(method.as_bytes()).map_err(|error| failed(&error))?;
    let mut request = client.request(verb, format!("{}{path}", host.trim_end_matches('/')));
    request = match world.test.credentials.values().next() {
        None => request,
        Some(project::Credential::Bearer(token)) => request.bearer_auth(token),
        Some(project::Credential::Basic { user, password }) => request.basic_auth(user, Some(password)),
        Some(project::Credential::Header(headers)) => {
            let pairs = headers.iter().filter_map(|(name, value)| {
                Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
            });
            pairs.fold(request, |request, (name, value)| request.header(name, value))
        }
    };
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = request.send().await.map_err(|error| failed(&error))?;
    let status = answer.status();
    let bytes = answer.bytes().await.map_err(|error| failed(&error))?;
    if !status.is_success() {
        return Err(failed(&format!("the server answered {status}")));
    }
    Ok(serde_json::from_slice(&bytes).unwrap_or_default())
}

/// For messages of a change that should have worked.
pub(super) fn unfinished(want: &Want, verb: &str, settlement: &Settlement) -> String {
    format!("{verb} {}: {}", want.title(), told(settlement))
}
