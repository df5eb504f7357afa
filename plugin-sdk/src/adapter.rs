//! From the component's exports to a [`Provider`]: keeps the configured instance, brings lists to the length that the
//! contract asks for, and turns [`Error`] into the contract's `failure`.

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::bindings::exports::trueup::provider as exports;
use crate::{
    CallInfo, Candidate, Change, Declared, Discovered, Error, Failure, Health, HealthState, Json, Lookup, Observation, Outcome,
    Provider, Remote, Rendered, Result, ScopeQuery, Severity, Snapshot, Stored, Verdict,
};

thread_local! {
    /// The configured provider of this instance. A component has one thread.
    static INSTANCE: RefCell<Option<Rc<dyn Any>>> = const { RefCell::new(None) };
}

/// Serves the exports of the contract from `P`.
pub struct Adapter<P>(PhantomData<P>);

fn instance<P: Provider>() -> Result<Rc<P>> {
    let any = INSTANCE.with(|it| it.borrow().clone());
    any.and_then(|it| it.downcast::<P>().ok()).ok_or_else(|| Error::internal("called before `configure`"))
}

/// Brings an answer to the length of what was asked.
fn fit<T>(mut answers: Vec<T>, asked: usize, missing: impl Fn(Error) -> T) -> Vec<T> {
    answers.truncate(asked);
    while answers.len() < asked {
        answers.push(missing(Error::internal("the provider left this item out of its answer")));
    }
    answers
}

fn failed(error: Error) -> Observation {
    Observation::Failed(error.into())
}

/// A lost answer to a change: nobody knows whether it took effect.
fn lost(error: Error) -> Outcome {
    Outcome::failed(error.unsettled())
}

impl<P: Provider> exports::lifecycle::Guest for Adapter<P> {
    fn describe() -> String {
        P::manifest().to_string()
    }

    fn configure(config: String, kinds: Option<String>) -> Result<(), Failure> {
        let parse = |text: &str| serde_json::from_str::<Json>(text).map_err(Error::from);
        let configured = || P::configure(parse(&config)?, kinds.as_deref().map(parse).transpose()?);
        let provider: Rc<dyn Any> = Rc::new(configured()?);
        INSTANCE.with(|it| it.replace(Some(provider)));
        Ok(())
    }

    fn scan(queries: Vec<ScopeQuery>, info: CallInfo) -> Vec<Result<Snapshot, Failure>> {
        let asked = queries.len();
        let answers = instance::<P>().map(|it| it.scan(queries, &info));
        let answers = answers.unwrap_or_else(|error| vec![Err(error); asked]);
        fit(answers, asked, Err).into_iter().map(|it| it.map_err(Failure::from)).collect()
    }

    fn read(lookups: Vec<Lookup>, info: CallInfo) -> Vec<Observation> {
        let asked = lookups.len();
        let answers = instance::<P>().map(|it| it.read(lookups, &info));
        fit(answers.unwrap_or_else(|error| vec![failed(error); asked]), asked, failed)
    }

    fn apply(changes: Vec<Change>, info: CallInfo) -> Vec<Outcome> {
        let asked = changes.len();
        match instance::<P>() {
            Ok(provider) => fit(provider.apply(changes, &info), asked, lost),
            Err(error) => vec![Outcome::failed(error); asked],
        }
    }
}

impl<P: Provider> exports::rendering::Guest for Adapter<P> {
    fn render(items: Vec<Declared>) -> Vec<Rendered> {
        let asked = items.len();
        fit(P::render(items), asked, |error| Rendered {
            objects: Vec::new(),
            diagnostics: vec![error.diagnostic(Severity::Error)],
        })
    }
}

impl<P: Provider> exports::planning::Guest for Adapter<P> {
    fn refine(candidates: Vec<Candidate>, info: CallInfo) -> Vec<Verdict> {
        let asked = candidates.len();
        let answers = instance::<P>().map(|it| it.refine(candidates, &info));
        let refuse = |error: Error| Verdict::Refuse(error.into());
        fit(answers.unwrap_or_else(|error| vec![refuse(error); asked]), asked, refuse)
    }
}

impl<P: Provider> exports::operations::Guest for Adapter<P> {
    fn poll(handles: Vec<String>, info: CallInfo) -> Vec<Outcome> {
        let asked = handles.len();
        let answers = instance::<P>().map(|it| it.poll(handles, &info));
        fit(answers.unwrap_or_else(|error| vec![lost(error); asked]), asked, lost)
    }

    fn cancel(handles: Vec<String>, info: CallInfo) {
        if let Ok(provider) = instance::<P>() {
            provider.cancel(handles, &info);
        }
    }
}

impl<P: Provider> exports::schemas::Guest for Adapter<P> {
    fn discover(since: Option<String>, info: CallInfo) -> Result<Discovered, Failure> {
        Ok(instance::<P>()?.discover(since, &info)?)
    }
}

impl<P: Provider> exports::discovery::Guest for Adapter<P> {
    fn scopes(kind: String, info: CallInfo) -> Result<Vec<String>, Failure> {
        Ok(instance::<P>()?.scopes(&kind, &info)?)
    }
}

impl<P: Provider> exports::migration::Guest for Adapter<P> {
    fn upgrade(items: Vec<Stored>) -> Vec<Result<Stored, Failure>> {
        let asked = items.len();
        fit(P::upgrade(items), asked, Err).into_iter().map(|it| it.map_err(Failure::from)).collect()
    }
}

impl<P: Provider> exports::health_checks::Guest for Adapter<P> {
    fn assess(objects: Vec<Remote>) -> Vec<Health> {
        let asked = objects.len();
        fit(P::assess(objects), asked, |error| Health { state: HealthState::Unknown, message: error.message })
    }
}
