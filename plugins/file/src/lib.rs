//! The provider of files and directories: kinds `File` and `Directory` under one root.
//!
//! A scope is one directory, a key one name in it. The plugin reaches files through the contract's `files` import alone,
//! which follows no symbolic link, writes only within `apply` and only while a file still is what was observed; so all
//! that is decided here is what to ask for and what the answer means.

mod apply;
mod document;
mod manifest;
mod observe;
mod path;
mod stat;
mod table;
#[cfg(test)]
mod tests;

use trueup_sdk::{
    CallInfo, Change, Declared, Error, Json, Lookup, Observation, Outcome, Provider, Rendered, Result, ScopeQuery, Snapshot,
    export,
};

/// One configured provider.
pub struct FileProvider {
    /// Without a `/` at its end, unless it is the whole file system.
    root: String,
}

impl Provider for FileProvider {
    fn manifest() -> Json {
        manifest::manifest()
    }

    fn configure(config: Json, _: Option<Json>) -> Result<Self> {
        let root = config.get("root").and_then(Json::as_str).filter(|it| !it.is_empty());
        let root = root.ok_or_else(|| Error::invalid("file.root", "`config.root` must name a directory"))?;
        let trimmed = root.trim_end_matches('/');
        Ok(Self { root: if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() } })
    }

    fn scan(&self, queries: Vec<ScopeQuery>, info: &CallInfo) -> Vec<Result<Snapshot>> {
        observe::scan(&self.root, &queries, info)
    }

    fn read(&self, lookups: Vec<Lookup>, info: &CallInfo) -> Vec<Observation> {
        observe::read(&self.root, &lookups, info)
    }

    fn apply(&self, changes: Vec<Change>, _: &CallInfo) -> Vec<Outcome> {
        apply::apply(&self.root, &changes)
    }

    fn render(items: Vec<Declared>) -> Vec<Rendered> {
        items.iter().map(document::render).collect()
    }
}

export!(FileProvider);
