//! From an opened project to what a pass needs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use globset::{Glob, GlobSet, GlobSetBuilder};
use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::plan::Options;
use trueup_core::value::{Digest, json};

use super::{Engine, Problem, Wanted, kinds, providers};
use crate::blobs::BlobTable;
use crate::config::credentials::Credentials;
use crate::config::project::Environment;
use crate::config::rename::renames;
use crate::desired::{Context, MAX_RESOURCES, SecretValues};
use crate::pass::Surroundings;
use crate::recording::Tape;
use crate::seal::Sealer;
use crate::services::Denials;
use crate::store::{self, Store};

/// How far an environment is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Documents only (`validate`, `render`, `explain`): pure functions of plugins, no rights, no secrets, no memory.
    Documents,
    /// Everything that a plan or an apply needs.
    World,
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
}

impl Engine {
    /// What is needed to read an environment's documents.
    ///
    /// # Errors
    ///
    /// Rights that are not trusted, plugins that cannot be loaded, settings that are wrong.
    pub async fn context(&self, environment: &Environment, reading: Reading, denials: Arc<Denials>) -> Result<Context, Problem> {
        self.completed(environment, (reading, Wanted::Used), denials, None).await
    }

    /// A context whose providers know the kinds of their systems.
    async fn completed(
        &self,
        environment: &Environment,
        (reading, wanted): (Reading, Wanted),
        denials: Arc<Denials>,
        store: Option<&dyn Store>,
    ) -> Result<Context, Problem> {
        let mut context = self.bare(environment, reading, denials).await?;
        let old =
            |alias: String| renames(environment).into_iter().find(|it| *it.from == *alias).map_or(alias, |it| it.to.to_string());
        let owned = store.map(|it| it.owned_kinds(&environment.name)).transpose()?.unwrap_or_default();
        let owned: Vec<(String, String)> = owned.into_iter().map(|(alias, kind)| (old(alias), kind)).collect();
        let warnings =
            kinds::complete(self, environment, &mut context, &owned, (reading, wanted)).await.map_err(Problem::Findings)?;
        warnings.iter().for_each(|it| tracing::warn!("{}", it.message));
        Ok(context)
    }

    async fn bare(&self, environment: &Environment, reading: Reading, denials: Arc<Denials>) -> Result<Context, Problem> {
        let world = reading == Reading::World;
        if world {
            self.check_trust()?;
        }
        if world {
            // Before anything is put beside the state.
            self.has_state()?;
        }
        let tape = self.tape().cloned();
        let replays = tape.as_ref().is_some_and(|it| it.player().is_some());
        let key = if world && !replays { store::secret_key(self.state())? } else { [0; 32] };
        let sealer = Sealer::new(key);
        let sealer = Arc::new(match tape.clone() {
            Some(tape) => sealer.witnessed(Arc::new(tape)),
            None => sealer,
        });
        let blobs = Arc::new(BlobTable::new(self.snapshot.clone()));
        let loaded = providers::load(self, environment, reading, &sealer, &blobs, &denials).await?;
        let secrets: Option<Arc<SecretValues>> = if world {
            let credentials = if replays { Credentials::default() } else { self.credentials()? };
            let real: Arc<SecretValues> = Arc::new(move |name: &str| credentials.secret(name));
            Some(tape.as_ref().map_or_else(|| real.clone(), |it| it.secrets(real.clone())))
        } else {
            None
        };
        let fixed = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "environment": environment.name,
            "vars": environment.vars,
            "layers": environment.layers,
            "exclude": environment.exclude,
            "defaultProvider": environment.default_provider.as_deref(),
            "providers": loaded.fixed,
        });
        // What is recorded must be whole, and so nothing is remembered.
        let memory = (world && !self.snapshot.is_worktree() && tape.is_none())
            .then(|| self.state().with_file_name("memory").join(format!("{}.index", environment.name)));
        Ok(Context {
            environment: environment.name.as_str().into(),
            vars: environment.vars.clone(),
            default_provider: environment.default_provider.clone(),
            layers: environment.layers.iter().map(|it| Arc::from(it.as_str())).collect(),
            exclude: globs(environment)?,
            providers: loaded.providers,
            snapshot: self.snapshot.clone(),
            sealer,
            secrets,
            blobs,
            memory,
            key: Digest::of_json(&fixed),
            kinds: BTreeMap::new(),
            kinds_are_old: false,
            defined: HashMap::new(),
            fixed: loaded.fixed,
            now: tape.as_ref().and_then(Tape::player).map_or_else(now_ms, |it| it.now()),
            fresh: tape.is_some(),
            max_resources: MAX_RESOURCES,
        })
    }

    /// What a pass over an environment needs.
    ///
    /// # Errors
    ///
    /// As [`Engine::context`]; those of the store.
    pub async fn surroundings(
        &self,
        environment: &Environment,
        options: Options,
        denials: Arc<Denials>,
    ) -> Result<Surroundings, Problem> {
        self.surroundings_with(environment, Wanted::Used, options, denials).await
    }

    /// As [`Engine::surroundings`], for who asks for other kinds than documents do.
    ///
    /// # Errors
    ///
    /// As [`Engine::surroundings`].
    pub async fn surroundings_with(
        &self,
        environment: &Environment,
        wanted: Wanted,
        options: Options,
        denials: Arc<Denials>,
    ) -> Result<Surroundings, Problem> {
        self.check_trust()?;
        let store: Arc<dyn Store> = self.store()?;
        let context = self.completed(environment, (Reading::World, wanted), denials, Some(&*store)).await?;
        // A plan of another project or environment is another plan, though its steps may read the same.
        let place = [("project", self.project.id.as_str()), ("environment", environment.name.as_str())];
        let place = place.into_iter().map(|(key, it)| (format!("/{key}"), it.to_owned()));
        let providers = context.fixed.as_object().into_iter().flatten().map(|(alias, it)| (alias.clone(), it.to_string()));
        let fixed = place.chain(providers).collect();
        let options = Options { drift: environment.drift, ..options };
        let (project, revision) = (self.project.id.as_str().into(), self.revision());
        Ok(Surroundings { context, store, project, revision, options, fixed, renames: renames(environment) })
    }
}

fn globs(environment: &Environment) -> Result<GlobSet, Problem> {
    let mut set = GlobSetBuilder::new();
    for text in &environment.exclude {
        let glob = Glob::new(text).map_err(|error| {
            let finding =
                Diagnostic::error(codes::PROJECT, format!("`exclude` of {} holds a wrong glob: {error}", environment.name));
            Problem::Findings(vec![finding.at(environment.location.clone())])
        })?;
        set.add(glob);
    }
    set.build().map_err(|error| Problem::Usage(format!("the globs of `exclude` cannot be used together: {error}")))
}
