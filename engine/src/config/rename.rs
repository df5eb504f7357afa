//! Providers that had another alias before: `moved-from` of `trueup.yaml`.
//!
//! Owns what can be judged from the file alone; whether anything is still owned under an old alias is the state's to say.

use std::collections::BTreeMap;
use std::sync::Arc;

use trueup_core::diagnostic::{Diagnostic, Location, codes};

use super::decode::Decoder;
use super::project::Environment;

/// One provider with its alias of before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    pub from: Arc<str>,
    pub to: Arc<str>,
    /// Where it is written.
    pub location: Location,
}

/// Every rename that an environment's providers tell of, by new alias.
pub fn renames(environment: &Environment) -> Vec<Rename> {
    let each = environment.providers.iter();
    each.filter_map(|(to, it)| {
        let (from, location) = it.moved_from.clone()?;
        Some(Rename { from: from.into(), to: to.clone(), location })
    })
    .collect()
}

/// An old alias must be free, and only one provider can have had it. What several environments share is told of once.
pub(super) fn check(decoder: &mut Decoder, environment: &Environment) {
    let mut heirs: BTreeMap<Arc<str>, Rename> = BTreeMap::new();
    for rename in renames(environment) {
        let Rename { from, to, location } = &rename;
        let finding = |message: String| Diagnostic::error(codes::PROVIDER_RENAMED, message).at(location.clone());
        let finding = if from == to {
            finding(format!("the provider `{to}` cannot have been renamed from its own alias")).hint("take `moved-from` out")
        } else if let Some(still) = environment.providers.get(from) {
            finding(format!("the provider `{to}` was `{from}`, which is still there"))
                .also(still.location.clone(), "the other one")
                .hint(format!("take `{from}` out, or `moved-from` where `{to}` is a provider of its own"))
        } else if let Some(first) = heirs.get(from) {
            finding(format!("the providers `{}` and `{to}` cannot both have been `{from}`", first.to))
                .also(first.location.clone(), "the other one")
                .hint("one of them goes on with what is owned: keep its `moved-from` alone")
        } else {
            heirs.insert(from.clone(), rename);
            continue;
        };
        if !decoder.found.contains(&finding) {
            decoder.found.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::project::{FILE, Project};
    use super::*;

    const HEAD: &str = "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: shop, id: 4f0c9a3e4f0c9a3e4f0c9a3e4f0c9a3e}\n";
    const ENVIRONMENTS: &str = "environments:\n  dev: {layers: [a]}\n  prod: {layers: [a]}\n";

    #[track_caller]
    fn check(providers: &str, want: &[&str]) {
        let text = format!("{HEAD}providers:\n{providers}{ENVIRONMENTS}");
        let found = Project::parse(FILE, text.as_bytes()).err().unwrap_or_default();
        let show = |it: &Diagnostic| format!("{} {}", it.location.as_ref().map_or(0, |it| it.line), it.message);
        assert_eq!(found.iter().map(show).collect::<Vec<_>>(), want, "{providers}");
    }

    #[test]
    fn an_old_alias_is_free_and_has_one_heir() {
        check("  web: {plugin: file, moved-from: site}\n", &[]);
        check("  web: {plugin: file, moved-from: web}\n", &["5 the provider `web` cannot have been renamed from its own alias"]);
        let still = ["6 the provider `web` was `site`, which is still there"];
        check("  site: {plugin: file}\n  web: {plugin: file, moved-from: site}\n", &still);
        let both = ["6 the providers `web` and `wiki` cannot both have been `site`"];
        check("  web: {plugin: file, moved-from: site}\n  wiki: {plugin: file, moved-from: site}\n", &both);
        // A chain is the case of an alias that is still there.
        let chain = ["5 the provider `b` was `a2`, which is still there"];
        check("  b: {plugin: file, moved-from: a2}\n  a2: {plugin: file, moved-from: a1}\n", &chain);
    }

    #[test]
    fn an_environment_may_have_renames_of_its_own() {
        let text = format!(
            "{HEAD}providers:\n  web: {{plugin: file}}\nenvironments:\n  dev: {{layers: [a]}}\n  prod: {{layers: [a], providers: {{web: {{moved-from: site}}}}}}\n"
        );
        let project = Project::parse(FILE, text.as_bytes()).unwrap();
        assert_eq!(renames(&project.environments["dev"]), []);
        let renames = renames(&project.environments["prod"]);
        assert_eq!(renames.iter().map(|it| (&*it.from, &*it.to)).collect::<Vec<_>>(), [("site", "web")]);
    }
}
