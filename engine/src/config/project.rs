//! `trueup.yaml`: a project, its providers and its environments.
//!
//! Owns the file's form and what can be judged from it alone. It asks for rights and grants none ([`super::trust`]), and it
//! knows no manifest: whether a provider's `config` fits its plugin is judged later.
//!
//! Invariant: an [`Environment`] is complete. What it overrides is merged when the file is read, so that nobody else knows
//! of overriding.

use std::collections::BTreeMap;
use std::sync::Arc;

use trueup_core::diagnostic::{Diagnostic, Location, codes};
use trueup_core::document::DriftMode;
use trueup_core::expression::Template;
use trueup_core::schema::suggest;
use trueup_core::value::{Json, Map};

use super::decode::{Decoder, Fields, is_name, shown};
use super::provider::alias_fault;
pub use super::provider::{CredentialNames, PluginRef, ProviderConfig};
use super::rename;
use super::tree::{self, Node, Value};

/// Name of the file at the root of a project.
pub const FILE: &str = "trueup.yaml";

/// Where an environment's variable stands in the text of a project file.
pub fn place_of_variable(text: &[u8], environment: &str, name: &str) -> Option<Location> {
    let mut node = tree::read(&FILE.into(), text, codes::PROJECT).ok()?;
    let mut place = None;
    for key in ["environments", environment, "vars", name] {
        let Value::Map(members) = node.value else { return None };
        let member = members.into_iter().find(|it| it.key == key)?;
        place = Some(member.at.location());
        node = member.value;
    }
    place
}

/// A project.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    pub name: String,
    /// 32 lower-case hex digits, in every mark.
    pub id: String,
    /// By alias, without what environments override.
    pub providers: BTreeMap<Arc<str>, ProviderConfig>,
    pub environments: BTreeMap<String, Environment>,
}

/// When the service applies a new revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplyMode {
    Auto,
    Approve,
    #[default]
    Manual,
}

/// One reconciled unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    pub name: String,
    /// Directories below the project's, without `./`, the first the lowest; `.` is the project's own.
    pub layers: Vec<String>,
    /// An object.
    pub vars: Json,
    pub apply: ApplyMode,
    /// Environments that must be in sync first.
    pub after: Vec<String>,
    /// By alias; overrides are merged. Expressions in `config` are evaluated by [`Project::environment`].
    pub providers: BTreeMap<Arc<str>, ProviderConfig>,
    pub default_provider: Option<Arc<str>>,
    /// Globs of files that are no documents, relative to the project's folder.
    pub exclude: Vec<String>,
    pub drift: DriftMode,
    /// Where it is written.
    pub location: Location,
}

impl Project {
    /// Reads `trueup.yaml`; `path` is what findings name it.
    ///
    /// # Errors
    ///
    /// Every finding of the file at once, each with its place.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let root = tree::read(&path.into(), bytes, codes::PROJECT)?;
        let mut decoder = Decoder::new(codes::PROJECT);
        let project = read_project(&mut decoder, &root);
        match project {
            Some(project) if decoder.found.is_empty() => Ok(project),
            _ => Err(decoder.into_found()),
        }
    }

    /// One environment with every expression in its providers' `config` evaluated.
    ///
    /// # Errors
    ///
    /// One finding where there is no such environment, else those of the expressions.
    pub fn environment(&self, name: &str) -> Result<Environment, Vec<Diagnostic>> {
        let Some(environment) = self.environments.get(name) else {
            let names = self.environments.keys().map(String::as_str);
            let hint = suggest::did_you_mean(name, names.clone()).unwrap_or_else(|| {
                format!("the environments are {}", names.map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "))
            });
            let message = format!("there is no environment `{}`", shown(name));
            return Err(vec![Diagnostic::error(codes::USAGE, message).hint(hint)]);
        };
        let mut environment = environment.clone();
        let mut decoder = Decoder::new(codes::PROJECT);
        for provider in environment.providers.values_mut() {
            provider.config = provider.evaluated(&environment.vars, name, &mut decoder);
        }
        if decoder.found.is_empty() { Ok(environment) } else { Err(decoder.found) }
    }
}

fn read_project(decoder: &mut Decoder, root: &Node) -> Option<Project> {
    let fields = decoder.fields(root, "a project", &["apiVersion", "kind", "metadata", "providers", "environments"]);
    for (key, want) in [("apiVersion", "trueup.dev/v1"), ("kind", "Project")] {
        if let Some(node) = decoder.required(fields, key, "a project") {
            decoder.choice(node, &format!("`{key}`"), &[(want, ())]);
        }
    }
    let metadata = decoder.required(fields, "metadata", "a project");
    let identity = metadata.and_then(|node| read_metadata(decoder, node));
    let written: Vec<(Arc<str>, &Node)> = fields.get("providers").map_or_else(Vec::new, |node| aliases(decoder, node));
    let providers: BTreeMap<_, _> = written
        .iter()
        .filter_map(|(alias, node)| Some((Arc::clone(alias), ProviderConfig::read(decoder, alias, node)?)))
        .collect();
    let mut environments = BTreeMap::new();
    if let Some(node) = decoder.required(fields, "environments", "a project") {
        let members = decoder.members(node, "`environments`");
        if members.is_empty() {
            decoder.error(&node.at, "a project needs an environment");
        }
        for member in members {
            if !is_name(&member.key) {
                decoder.error(&member.at, "an environment's name must be 1 to 40 of `a-z`, `0-9` and `-`");
                continue;
            }
            let environment = read_environment(decoder, &member.key, &member.value, &written, &providers);
            environments.insert(member.key.clone(), environment);
        }
    }
    check_after(decoder, &environments);
    environments.values().for_each(|it| rename::check(decoder, it));
    let (name, id) = identity?;
    Some(Project { name, id, providers, environments })
}

fn read_metadata(decoder: &mut Decoder, node: &Node) -> Option<(String, String)> {
    let fields = decoder.fields(node, "`metadata`", &["name", "id"]);
    let name = decoder.required(fields, "name", "`metadata`").and_then(|node| {
        let name = decoder.text(node, "`name`")?;
        if !is_name(name) {
            decoder.error(&node.at, "a project's name must be 1 to 40 of `a-z`, `0-9` and `-`");
        }
        Some(name.to_owned())
    });
    let id = fields.get("id").and_then(|node| {
        // Thirty-two digits without a letter are a number to YAML.
        let id = decoder.text(node, "`id`")?;
        let fits = id.len() == 32 && id.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        if !fits {
            decoder.error(&node.at, "a project's id must be 32 lower-case hex digits");
        }
        Some(id.to_owned())
    });
    if fields.get("id").is_none() {
        let hint = "draw it once, with `openssl rand -hex 16`: marks on objects carry it, so it never changes";
        decoder.error(fields.at, "`metadata` needs a key `id`").hint = Some(hint.into());
    }
    Some((name?, id?))
}

/// Members of `providers` whose names can be aliases.
fn aliases<'n>(decoder: &mut Decoder, node: &'n Node) -> Vec<(Arc<str>, &'n Node)> {
    let mut out = Vec::new();
    for member in decoder.members(node, "`providers`") {
        match alias_fault(&member.key) {
            Some(fault) => {
                decoder.error(&member.at, format!("the alias of a provider {fault}"));
            }
            None => out.push((member.key.as_str().into(), &member.value)),
        }
    }
    out
}

fn read_environment(
    decoder: &mut Decoder,
    name: &str,
    node: &Node,
    written: &[(Arc<str>, &Node)],
    base: &BTreeMap<Arc<str>, ProviderConfig>,
) -> Environment {
    let what = format!("environment `{name}`");
    let fields =
        decoder.fields(node, &what, &["layers", "vars", "apply", "after", "providers", "defaultProvider", "exclude", "drift"]);
    let mut providers = base.clone();
    for (alias, over) in fields.get("providers").map_or_else(Vec::new, |node| aliases(decoder, node)) {
        let below = written.iter().find(|it| it.0 == alias);
        let merged = below.map_or_else(|| over.clone(), |it| it.1.merged(over));
        match ProviderConfig::read(decoder, &alias, &merged) {
            Some(provider) => providers.insert(alias, provider),
            None => providers.remove(&alias),
        };
    }
    let default_provider = fields.get("defaultProvider").and_then(|node| {
        let alias = decoder.text(node, "`defaultProvider`")?;
        if !providers.contains_key(alias) {
            let hint = suggest::did_you_mean(alias, providers.keys().map(|it| &**it));
            decoder.error(&node.at, format!("there is no provider `{}`", shown(alias))).hint = hint;
        }
        Some(alias.into())
    });
    let modes = [("auto", ApplyMode::Auto), ("approve", ApplyMode::Approve), ("manual", ApplyMode::Manual)];
    let drifts = [("heal", DriftMode::Heal), ("warn", DriftMode::Warn), ("off", DriftMode::Off)];
    Environment {
        name: name.to_owned(),
        layers: read_layers(decoder, fields, &what),
        vars: read_vars(decoder, fields.get("vars")),
        apply: fields.get("apply").and_then(|it| decoder.choice(it, "`apply`", &modes)).unwrap_or_default(),
        after: decoder.texts(fields.get("after"), "`after`").into_iter().map(|it| it.0.to_owned()).collect(),
        default_provider,
        exclude: read_exclude(decoder, fields.get("exclude")),
        drift: fields.get("drift").and_then(|it| decoder.choice(it, "`drift`", &drifts)).unwrap_or_default(),
        providers,
        location: node.at.location(),
    }
}

fn read_layers(decoder: &mut Decoder, fields: Fields<'_>, what: &str) -> Vec<String> {
    let Some(node) = decoder.required(fields, "layers", what) else { return Vec::new() };
    if matches!(&node.value, Value::List(layers) if layers.is_empty()) {
        decoder.error(&node.at, format!("{what} needs a layer"));
    }
    let mut layers: Vec<String> = Vec::new();
    for (text, at) in decoder.texts(Some(node), "`layers`") {
        let parts: Vec<&str> = text.split('/').filter(|it| !matches!(*it, "" | ".")).collect();
        let clean = if parts.is_empty() { ".".to_owned() } else { parts.join("/") };
        if text.starts_with('/') || parts.contains(&"..") || text.contains(['\\', '\0']) {
            decoder.error(at, "a layer is a directory below the project's, without `..`");
        } else if layers.contains(&clean) {
            decoder.error(at, format!("the layer `{}` stands twice", shown(&clean)));
        } else {
            layers.push(clean);
        }
    }
    layers
}

fn read_vars(decoder: &mut Decoder, node: Option<&Node>) -> Json {
    let Some(node) = node else { return Json::Object(Map::new()) };
    for member in decoder.members(node, "`vars`") {
        let mut letters = member.key.bytes();
        let first = letters.next().is_some_and(|it| it.is_ascii_alphabetic() || it == b'_');
        if !first || !letters.all(|it| it.is_ascii_alphanumeric() || it == b'_') {
            let message = format!("`{}` cannot be named in an expression", shown(&member.key));
            decoder.error(&member.at, message).hint = Some("name it by letters, digits and `_`".into());
        }
    }
    refuse_expressions(decoder, node);
    match node.json() {
        Json::Object(vars) => Json::Object(vars),
        _ => Json::Object(Map::new()),
    }
}

/// Variables are plain values: an expression over them would need an order.
fn refuse_expressions(decoder: &mut Decoder, node: &Node) {
    match &node.value {
        Value::Plain(Json::String(text)) if !matches!(Template::parse(text), Ok(None)) => {
            decoder.error(&node.at, "no expression may stand in `vars`").code = codes::EXPRESSION_PLACE;
        }
        Value::Plain(_) => {}
        Value::List(items) => items.iter().for_each(|it| refuse_expressions(decoder, it)),
        Value::Map(members) => members.iter().for_each(|it| refuse_expressions(decoder, &it.value)),
    }
}

fn read_exclude(decoder: &mut Decoder, node: Option<&Node>) -> Vec<String> {
    let mut out = Vec::new();
    for (text, at) in decoder.texts(node, "`exclude`") {
        if globset::Glob::new(text).is_err() || text.starts_with('/') {
            decoder.error(at, "this is not a glob of paths below the project's folder").hint =
                Some("such as `**/drafts/**`".into());
        } else {
            out.push(text.to_owned());
        }
    }
    out
}

/// Every environment of an `after` must be there, and none may wait for itself.
fn check_after(decoder: &mut Decoder, environments: &BTreeMap<String, Environment>) {
    let mut left: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, environment) in environments {
        for after in &environment.after {
            if !environments.contains_key(after) {
                let hint = suggest::did_you_mean(after, environments.keys().map(String::as_str));
                let message = format!("environment `{name}` waits for `{}`, which is no environment", shown(after));
                let mut finding = Diagnostic::error(codes::PROJECT, message).at(environment.location.clone());
                finding.hint = hint;
                decoder.found.push(finding);
            }
        }
        left.insert(name, environment.after.iter().map(String::as_str).filter(|it| environments.contains_key(*it)).collect());
    }
    // Takes away what waits for nothing that is left; what cannot be taken away is, or waits for, a circle.
    loop {
        let free: Vec<&str> =
            left.iter().filter(|it| it.1.iter().all(|after| !left.contains_key(after))).map(|it| *it.0).collect();
        if free.is_empty() {
            break;
        }
        free.into_iter().for_each(|it| drop(left.remove(it)));
    }
    if let Some(environment) = left.keys().next().and_then(|it| environments.get(*it)) {
        let names: Vec<_> = left.keys().map(|it| format!("`{it}`")).collect();
        let message = format!("{} wait for each other by `after`", names.join(", "));
        decoder.found.push(Diagnostic::error(codes::PROJECT, message).at(environment.location.clone()));
    }
}

#[cfg(test)]
mod tests {
    use trueup_core::value::json;

    use super::*;

    const HEAD: &str = "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: shop, id: 4f0c9a3e4f0c9a3e4f0c9a3e4f0c9a3e}\n";

    fn parse(body: &str) -> Result<Project, Vec<Diagnostic>> {
        Project::parse(FILE, format!("{HEAD}{body}").as_bytes())
    }

    /// Findings as `line:column message`, with the hint behind ` | `.
    fn findings(result: Result<impl Sized, Vec<Diagnostic>>) -> Vec<String> {
        let show = |it: &Diagnostic| {
            let at = it.location.as_ref().map(|it| format!("{}:{} ", it.line, it.column)).unwrap_or_default();
            let hint = it.hint.as_ref().map(|it| format!(" | {it}")).unwrap_or_default();
            format!("{at}{}{hint}", it.message)
        };
        result.err().unwrap_or_default().iter().map(show).collect()
    }

    #[track_caller]
    fn check(body: &str, want: &[&str]) {
        assert_eq!(findings(parse(body)), want, "{body}");
    }

    const DESIGN: &str = r#"
providers:
  site: {plugin: file, config: {root: ./site}, dirs: ["./site"]}
  dns:  {plugin: dns, config: {server: "http://127.0.0.1:8081", flavor: powerdns}, hosts: ["http://127.0.0.1:8081"], credential: pdns}
environments:
  dev:  {layers: [base]}
  prod:
    layers: [base, ./envs/prod/]
    vars: {domain: example.com, n: 3}
    apply: approve
    after: [dev]
    drift: warn
    exclude: ["**/drafts/**"]
    defaultProvider: site
    providers: {site: {config: {root: "./${{ env.name }}", n: "${{ vars.n + 1 }}"}, dirs: ["./prod"]}, dns: {config: {flavor: null}}}
"#;

    #[test]
    fn the_project_of_the_design_reads_and_overrides_merge_while_lists_replace() {
        let project = parse(DESIGN).unwrap();
        assert_eq!((project.name.as_str(), project.id.as_str()), ("shop", "4f0c9a3e4f0c9a3e4f0c9a3e4f0c9a3e"));
        assert_eq!(project.environments["dev"].providers["site"].dirs, ["./site"]);
        assert_eq!(project.environments["dev"].apply, ApplyMode::Manual);
        let prod = project.environment("prod").unwrap();
        assert_eq!(prod.layers, ["base", "envs/prod"]);
        assert_eq!(
            (prod.apply, prod.drift, prod.after.as_slice()),
            (ApplyMode::Approve, DriftMode::Warn, &["dev".to_owned()][..])
        );
        assert_eq!(prod.vars, json!({"domain": "example.com", "n": 3}));
        let site = &prod.providers["site"];
        assert_eq!((&site.config, site.dirs.as_slice()), (&json!({"root": "./prod", "n": 4}), &["./prod".to_owned()][..]));
        let dns = &prod.providers["dns"];
        assert_eq!(dns.config, json!({"server": "http://127.0.0.1:8081"}));
        assert_eq!(dns.plugin, PluginRef::Bundled("dns".into()));
        assert_eq!(dns.credential, Some(CredentialNames { read: "pdns".into(), write: "pdns".into() }));
        assert_eq!(prod.default_provider.as_deref(), Some("site"));
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_place_and_a_suggestion() {
        check(
            "environments:\n  prod: {layer: [a], layers: [a]}\n",
            &["5:10 environment `prod` has no key `layer` | did you mean `layers`?"],
        );
        check(
            "providers:\n  x: {plugin: file, dir: [a]}\nenvironments: {p: {layers: [a]}}\n",
            &["5:21 provider `x` has no key `dir` | did you mean `dirs`?"],
        );
        check(
            "environments: {p: {layers: [a], zzz: 1}}\n",
            &[
                "4:33 environment `p` has no key `zzz` | the keys are `layers`, `vars`, `apply`, `after`, `providers`, `defaultProvider`, `exclude`, `drift`",
            ],
        );
    }

    #[test]
    fn everything_wrong_is_said_at_once_and_no_value_is_repeated_where_it_may_be_a_secret() {
        check(
            "providers:\n  Dns: {plugin: dns}\n  v1: {plugin: dns}\n  a: {config: [1]}\nenvironments:\n  p: {layers: [], apply: autox, drift: 3}\n",
            &[
                "5:3 the alias of a provider must be 1 to 40 of `a-z`, `0-9` and `-`",
                "6:3 the alias of a provider is a group of Kubernetes and cannot be an alias",
                "7:3 provider `a` needs a key `plugin`",
                "7:7 `config` must be a mapping",
                "9:7 environment `p` needs a layer",
                "9:19 `apply` must be one of `auto`, `approve`, `manual` | did you mean `auto`?",
                "9:33 `drift` must be a text",
            ],
        );
        let refused =
            findings(parse("providers: {a: {plugin: dns, credential: 'p@ss word'}}\nenvironments: {p: {layers: [a]}}\n"));
        assert!(refused.len() == 1 && !refused[0].contains("p@ss"), "{refused:?}");
    }

    #[test]
    fn rights_are_literal_and_well_formed() {
        let right = |text: &str| format!("providers: {{a: {{plugin: x, {text}}}}}\nenvironments: {{p: {{layers: [a]}}}}\n");
        for good in [
            "hosts: ['https://*.amazonaws.com', 'http://127.0.0.1:8081', 'https://[::1]:6443', 'https://localhost']",
            "dns: ['dns://127.0.0.1:53', 'dns://ns1.example.com', 'dns+tls://[::1]:853']",
            "dirs: ['./site', /srv/www, ., ../other]",
            "reads: ['POST /search', 'PATCH /api*?dryRun=All', 'X-Amz-Target=DynamoDB.Query', 'Action=DescribeInstances']",
            "credential: {read: a, write: b}",
            "credentials: {main: a, other: {read: a, write: b}}",
        ] {
            assert_eq!(findings(parse(&right(good))), Vec::<String>::new(), "{good}");
        }
        for bad in [
            "hosts: ['https://example.com/path']",
            "hosts: ['https://user@example.com']",
            "hosts: ['ftp://example.com']",
            "hosts: [example.com]",
            "hosts: ['https://*']",
            "hosts: ['https://*.*.com']",
            "hosts: ['https://a*.com']",
            "hosts: ['https://example.com:0']",
            "hosts: ['https://example.com:']",
            "hosts: ['https://${{ vars.x }}']",
            "hosts: https://example.com",
            "dns: ['127.0.0.1:53']",
            "dns: ['dns://*.example.com']",
            "dirs: ['']",
            "dirs: ['a//b']",
            "dirs: ['${{ vars.x }}']",
            "dirs: [a, a]",
            "secrets: ['a b']",
            "reads: ['post /x']",
            "credential: {read: a}",
            "credential: '${{ vars.x }}'",
            "credential: a, credentials: {b: c}",
        ] {
            assert_eq!(findings(parse(&right(bad))).len(), 1, "{bad}: {:?}", findings(parse(&right(bad))));
        }
        for plugin in ["./x.wasm", "/opt/x.wasm", "oci://ghcr.io/a/b:1", "file"] {
            parse(&format!("providers: {{a: {{plugin: '{plugin}'}}}}\nenvironments: {{p: {{layers: [a]}}}}\n")).unwrap();
        }
        for plugin in ["oci://ghcr.io", "x.wasm", "${{ vars.x }}", "A"] {
            parse(&format!("providers: {{a: {{plugin: '{plugin}'}}}}\nenvironments: {{p: {{layers: [a]}}}}\n")).unwrap_err();
        }
    }

    #[test]
    fn expressions_in_config_name_vars_and_env_only_and_an_undefined_one_is_an_error() {
        let config = |text: &str| {
            format!(
                "providers:\n  a: {{plugin: x, config: {{k: ['{text}']}}}}\nenvironments: {{p: {{layers: [a], vars: {{domain: d}}}}}}\n"
            )
        };
        let first = |text: &str| findings(parse(&config(text))).first().cloned().unwrap_or_default();
        assert_eq!(first("${{ secret(\"x\") }}"), "5:31 an expression in `config` may name `vars` and `env` only");
        assert_eq!(first("${{ ref(\"File/a\").spec.x }}"), "5:31 an expression in `config` may name `vars` and `env` only");
        assert!(first("${{ vars. }}").starts_with("5:31 "), "{}", first("${{ vars. }}"));
        let project = parse(&config("x ${{ vars.domain }}")).unwrap();
        assert_eq!(project.environment("p").unwrap().providers["a"].config, json!({"k": ["x d"]}));
        let refused = findings(parse(&config("${{ vars.domian }}")).unwrap().environment("p"));
        assert!(refused.len() == 1 && refused[0].starts_with("5:31 ") && refused[0].contains("domain"), "{refused:?}");
        check("environments: {p: {layers: [a], vars: {a: '${{ env.name }}'}}}\n", &["4:40 no expression may stand in `vars`"]);
        check(
            "environments: {p: {layers: [a], vars: {a-b: 1}}}\n",
            &["4:40 `a-b` cannot be named in an expression | name it by letters, digits and `_`"],
        );
    }

    #[test]
    fn layers_stay_below_the_project() {
        for layer in ["/etc", "../x", "a/../../x", "a\\b", "''"] {
            parse(&format!("environments: {{p: {{layers: [{layer}]}}}}\n")).unwrap_err();
        }
        check("environments: {p: {layers: [a, ./a/]}}\n", &["4:32 the layer `a` stands twice"]);
        assert_eq!(parse("environments: {p: {layers: [.]}}\n").unwrap().environments["p"].layers, ["."]);
    }

    #[test]
    fn environments_that_wait_for_each_other_or_for_nothing_that_exists_are_errors() {
        check(
            "environments:\n  a: {layers: [x], after: [b]}\n  b: {layers: [x], after: [a]}\n  c: {layers: [x], after: [d]}\n",
            &["5:3 `a`, `b` wait for each other by `after`", "7:3 environment `c` waits for `d`, which is no environment"],
        );
    }

    #[test]
    fn a_file_that_is_no_project_is_refused_with_its_place() {
        let check = |text: &str, want: &str| {
            let found = findings(Project::parse(FILE, text.as_bytes()));
            assert!(found.iter().any(|it| it.contains(want)), "{text}: {found:?}");
        };
        check("", "is empty");
        check("a: [", "1:5 while parsing");
        check("apiVersion: v1\nkind: Project\n", "1:1 `apiVersion` must be one of `trueup.dev/v1`");
        check("- a\n", "1:1 a project must be a mapping");
        check(&format!("{HEAD}environments: {{p: {{layers: [a]}}}}\n---\na: 1\n"), "6:1 a second document");
        check(&format!("{HEAD}kind: Project\n"), "4:1 the key `kind` stands twice");
        check(&HEAD.replace("4f0c9a3e4f0c9a3e4f0c9a3e4f0c9a3e", "4F"), "must be 32 lower-case hex digits");
        check(&HEAD.replace(", id: 4f0c9a3e4f0c9a3e4f0c9a3e4f0c9a3e", ""), "needs a key `id`");
        check(&HEAD.replace("shop", "Shop"), "a project's name must be");
        check(
            &format!("{HEAD}environments: {{p: {{layers: [a], vars: {{a: yes, b: 0644, c: 1:30}}}}}}\n"),
            "4:43 `yes` is text in YAML 1.2",
        );
        check(&format!("a: {}\n", "[".repeat(100)), "nested deeper than 32");
        check("a: !x 1\n", "1:4 the tag `!x` has no meaning");
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")));
        }
        check(&bomb, "aliases (`*name`) add more than");
        check(&"x".repeat(tree::BYTES + 1), "larger than 1 MiB");
        assert_eq!(findings(Project::parse(FILE, b"\xff")), ["1:1 byte 0xff is not UTF-8 | save the file as UTF-8"]);
    }
}
