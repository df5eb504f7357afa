//! From the JSON of `describe` to [`Manifest`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Batch, Hints, Kind, Manifest, Observe, Recover, ReplaceOrder, YamlDialect};
use crate::value::{Json, Map, Path, Segment};

/// Version of the manifest that this engine reads.
const FORMAT: u64 = 1;
const MAX_KINDS: usize = 4096;
/// Entries of `hosts`, `reads`, `credentials` and `schemes`, each.
const MAX_ENTRIES: usize = 256;
const MAX_TEXT: usize = 1024;
/// Bytes of one schema as compact JSON.
const MAX_SCHEMA: usize = 1 << 20;
const MAX_SCHEMA_DEPTH: usize = 64;
/// One day: longer would hold a create in doubt for ever.
const MAX_SETTLE_TIME: u64 = 86_400_000;
const MAX_PARALLEL: u64 = 64;
/// Of `order`, either way.
const MAX_ORDER: i32 = 1000;
const DEFAULT_PARALLEL: u64 = 8;
const DEFAULT_BATCH_BYTES: u64 = 4 << 20;

impl Manifest {
    /// Reads what `describe` answered.
    ///
    /// Absent keys take the meaning that grants and promises least: no hosts, no directories, `recover: none`,
    /// `replace: delete-first`, one change a call.
    ///
    /// # Errors
    ///
    /// In words, naming the path in the manifest: a wrong type, an unknown value of an enumeration, a name outside its
    /// grammar, a limit crossed, a schema whose `x-trueup-` keywords make no sense.
    pub fn parse(json: &Json) -> Result<Self, String> {
        let top = Reader::new(json, String::new())?;
        match top.number("format", 0, u64::MAX, 0)? {
            FORMAT => {}
            other => return Err(format!("`format` is {other}, this engine reads manifests of format {FORMAT}")),
        }
        let name = top.required_text("name")?;
        if !crate::manifest::is_alias(name) {
            return Err(format!("`name` is `{name}`, it must be 1 to 40 of a-z, 0-9 and `-`"));
        }
        let closed = || serde_json::json!({"type": "object", "additionalProperties": false});
        let config = top.schema("config")?.map_or_else(closed, Clone::clone);
        Ok(Self {
            name: name.to_owned(),
            version: top.required_text("version")?.to_owned(),
            target: target(&config),
            config: Arc::new(config),
            hosts: hosts(&top)?,
            dirs: top.flag("dirs")?,
            dns: top.flag("dns")?,
            credentials: credentials(&top)?,
            secrets: top.flag("secrets")?,
            reads: top.texts("reads")?,
            parallel: narrow(top.number("parallel", 1, MAX_PARALLEL, DEFAULT_PARALLEL)?),
            any_api_version: top.choice("apiVersions", &[("own", false), ("any", true)], false)?,
            yaml: top.choice("yaml", &[("core", YamlDialect::Core), ("kubectl", YamlDialect::Kubectl)], YamlDialect::Core)?,
            features: top.get("features").map(|_| top.texts("features")).transpose()?,
            kinds: kinds(&top.object("kinds")?.ok_or("`kinds` is missing")?)?,
            others: Arc::default(),
        })
    }

    /// This manifest with kinds in the form of its own that the remote system was asked for; those without a `schema` are names
    /// only. One that both have is the manifest's. Also what is wrong with kinds that are left out: a system may have one that
    /// this engine cannot take, and its other kinds are none the worse for it.
    ///
    /// # Errors
    ///
    /// Where they are no mapping, or too many.
    pub fn with_kinds(&self, discovered: &Json) -> Result<(Self, Vec<String>), String> {
        let from = Reader::new(discovered, "kinds".to_owned())?;
        from.bounded(MAX_KINDS)?;
        let (mut all, mut others, mut wrong) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (name, value) in from.map {
            if value.get("schema").is_none() {
                others.push(name.clone());
                continue;
            }
            match Reader::new(value, from.at(name)).and_then(|it| kind(name, &it)) {
                Ok(kind) => drop(all.insert(name.clone(), Arc::new(kind))),
                Err(rule) => wrong.push(rule),
            }
        }
        all.extend(self.kinds.iter().map(|(name, kind)| (name.clone(), kind.clone())));
        Ok((Self { kinds: all, others: others.into(), ..self.clone() }, wrong))
    }
}

fn target(config: &Json) -> Vec<String> {
    let fields = config.get("properties").and_then(Json::as_object).into_iter().flatten();
    fields.filter(|(_, it)| it.get("x-trueup-target") == Some(&Json::Bool(true))).map(|(name, _)| name.clone()).collect()
}

fn hosts(top: &Reader<'_>) -> Result<Vec<String>, String> {
    let hosts = top.texts("hosts")?;
    for host in &hosts {
        let field = host.strip_prefix("config.").is_some_and(|it| Path::parse(it).is_some_and(|it| !it.0.is_empty()));
        let origin = host.split_once("://").is_some_and(|(scheme, rest)| {
            let port_only = rest.trim_end_matches(|it: char| it.is_ascii_digit());
            matches!(scheme, "http" | "https") && !rest.is_empty() && !port_only.contains(['/', '?', '#', '@', ' '])
        });
        if !field && !origin {
            return Err(format!("`hosts` holds `{host}`, write an origin such as `https://*.example.com` or `config.server`"));
        }
    }
    Ok(hosts)
}

fn credentials(top: &Reader<'_>) -> Result<BTreeMap<String, Vec<String>>, String> {
    let Some(slots) = top.object("credentials")? else { return Ok(BTreeMap::new()) };
    slots.bounded(MAX_ENTRIES)?;
    let mut out = BTreeMap::new();
    for (slot, value) in slots.map {
        if !crate::manifest::is_alias(slot) {
            return Err(format!("`credentials` has the slot `{slot}`, it must be 1 to 40 of a-z, 0-9 and `-`"));
        }
        out.insert(slot.clone(), Reader::new(value, slots.at(slot))?.texts("schemes")?);
    }
    Ok(out)
}

fn kinds(kinds: &Reader<'_>) -> Result<BTreeMap<String, Arc<Kind>>, String> {
    kinds.bounded(MAX_KINDS)?;
    let mut out = BTreeMap::new();
    for (name, value) in kinds.map {
        let kind = kind(name, &Reader::new(value, kinds.at(name))?)?;
        out.insert(name.clone(), Arc::new(kind));
    }
    Ok(out)
}

fn kind(name: &str, at: &Reader<'_>) -> Result<Kind, String> {
    if !is_kind(name) {
        return Err(format!("`kinds` has `{name}`, a kind is letters and digits with a capital first, and may end in `.group`"));
    }
    let schema = at.schema("schema")?.ok_or_else(|| at.say("schema", "is missing"))?;
    let hints = Hints::read(schema).map_err(|error| at.say("schema", &error))?;
    Ok(Kind {
        name: name.into(),
        schema: Arc::new(schema.clone()),
        schema_version: narrow(at.number("schemaVersion", 0, u64::from(u32::MAX), 1)?),
        observe: at.choice("observe", &[("scan", Observe::Scan), ("read", Observe::Read)], Observe::Scan)?,
        batch: batch(at)?,
        recover: at.choice(
            "recover",
            &[
                ("key", Recover::Key),
                ("token", Recover::Token),
                ("mark", Recover::Mark),
                ("conditional", Recover::Conditional),
                ("none", Recover::None),
            ],
            Recover::None,
        )?,
        settle_time: at.number("settleTime", 0, MAX_SETTLE_TIME, 0)?,
        replace: at.choice(
            "replace",
            &[("create-first", ReplaceOrder::CreateFirst), ("delete-first", ReplaceOrder::DeleteFirst)],
            ReplaceOrder::DeleteFirst,
        )?,
        claims: at.text("claims")?.map(|pointer| field(at, "claims", pointer)).transpose()?,
        claims_except: claims_except(at)?,
        nests: at.text("nests")?.map(Into::into),
        sole: at.text("sole")?.map(Into::into),
        solid: at.flag("solid")?,
        version: at.text("version")?.map(Into::into),
        order: order(at)?,
        cascades: at.flag("cascades")?,
        nameless: at.flag("nameless")?,
        eventual: at.flag("eventual")?,
        defines: at.flag("defines")?,
        marked: at.flag("marked")?,
        hints,
        validator: crate::schema::Validator::default(),
    })
}

fn batch(at: &Reader<'_>) -> Result<Option<Batch>, String> {
    let Some(batch) = at.object("batch")? else { return Ok(None) };
    let most = u64::from(u32::MAX);
    Ok(Some(Batch {
        items: narrow(batch.number("items", 1, most, 1)?),
        bytes: narrow(batch.number("bytes", 1, most, DEFAULT_BATCH_BYTES)?),
        atomic: batch.flag("atomic")?,
    }))
}

fn order(at: &Reader<'_>) -> Result<i32, String> {
    let Some(value) = at.get("order") else { return Ok(0) };
    let number = value.as_i64().and_then(|it| i32::try_from(it).ok()).filter(|it| it.abs() <= MAX_ORDER);
    number.ok_or_else(|| at.say("order", &format!("must be a whole number from -{MAX_ORDER} to {MAX_ORDER}")))
}

/// An RFC 6901 pointer to a field under `spec`.
fn field(at: &Reader<'_>, key: &str, pointer: &str) -> Result<Path, String> {
    let tokens = pointer.split('/').skip(1).map(|token| Segment::Key(token.replace("~1", "/").replace("~0", "~")));
    let path = Path(tokens.collect());
    if !pointer.starts_with("/spec/") {
        return Err(at.say(key, "must be a pointer to a field such as `/spec/exclusive`"));
    }
    Ok(path)
}

fn claims_except(at: &Reader<'_>) -> Result<Option<Path>, String> {
    let Some(pointer) = at.text("claimsExcept")? else { return Ok(None) };
    if at.get("claims").is_none() {
        return Err(at.say("claimsExcept", "needs `claims`: there is nothing to except from"));
    }
    field(at, "claimsExcept", pointer).map(Some)
}

fn is_kind(name: &str) -> bool {
    let (kind, group) = name.split_once('.').map_or((name, None), |(kind, group)| (kind, Some(group)));
    let group_fits = group
        .is_none_or(|group| !group.is_empty() && group.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')));
    name.len() <= 253
        && kind.starts_with(|first: char| first.is_ascii_uppercase())
        && kind.bytes().all(|it| it.is_ascii_alphanumeric())
        && group_fits
}

/// After a range check.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// One mapping of the manifest, with its path for messages.
struct Reader<'a> {
    map: &'a Map<String, Json>,
    path: String,
}

impl<'a> Reader<'a> {
    fn new(json: &'a Json, path: String) -> Result<Self, String> {
        let place = if path.is_empty() { "the manifest".to_owned() } else { format!("`{path}`") };
        let map = json.as_object().ok_or_else(|| format!("{place} must be a mapping"))?;
        Ok(Self { map, path })
    }

    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn say(&self, key: &str, what: &str) -> String {
        format!("`{}` {what}", self.at(key))
    }

    fn get(&self, key: &str) -> Option<&'a Json> {
        self.map.get(key).filter(|it| !it.is_null())
    }

    fn bounded(&self, most: usize) -> Result<(), String> {
        let count = self.map.len();
        if count > most { Err(format!("`{}` has {count} entries, at most {most} are allowed", self.path)) } else { Ok(()) }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, String> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| self.say(key, "must be a text"))?;
        if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(self.say(key, "must be 1 to 1024 printable bytes"));
        }
        Ok(Some(text))
    }

    fn required_text(&self, key: &str) -> Result<&'a str, String> {
        self.text(key)?.ok_or_else(|| self.say(key, "is missing"))
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        let Some(value) = self.get(key) else { return Ok(false) };
        value.as_bool().ok_or_else(|| self.say(key, "must be true or false"))
    }

    fn number(&self, key: &str, least: u64, most: u64, default: u64) -> Result<u64, String> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let number = value.as_u64().filter(|it| (least..=most).contains(it));
        number.ok_or_else(|| self.say(key, &format!("must be a whole number from {least} to {most}")))
    }

    fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)], default: T) -> Result<T, String> {
        let Some(text) = self.text(key)? else { return Ok(default) };
        choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.say(key, &format!("is `{text}`, it must be one of {}", names.join(", ")))
        })
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, String> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let items = value.as_array().ok_or_else(|| self.say(key, "must be a list of texts"))?;
        if items.len() > MAX_ENTRIES {
            return Err(self.say(key, &format!("has {} entries, at most {MAX_ENTRIES} are allowed", items.len())));
        }
        let mut seen = BTreeSet::new();
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            let text = item.as_str().filter(|it| !it.is_empty() && it.len() <= MAX_TEXT);
            let text = text.ok_or_else(|| self.say(key, "must be a list of texts, each 1 to 1024 bytes"))?;
            if !seen.insert(text) {
                return Err(self.say(key, &format!("holds `{text}` twice")));
            }
            out.push(text.to_owned());
        }
        Ok(out)
    }

    fn object(&self, key: &str) -> Result<Option<Self>, String> {
        self.get(key).map(|value| Self::new(value, self.at(key))).transpose()
    }

    /// A JSON Schema within the limits; what it means is judged where it is used.
    fn schema(&self, key: &str) -> Result<Option<&'a Json>, String> {
        let Some(value) = self.get(key) else { return Ok(None) };
        if !value.is_object() {
            return Err(self.say(key, "must be a JSON Schema (a mapping)"));
        }
        if depth(value) > MAX_SCHEMA_DEPTH {
            return Err(self.say(key, &format!("is nested deeper than {MAX_SCHEMA_DEPTH} levels")));
        }
        if value.to_string().len() > MAX_SCHEMA {
            return Err(self.say(key, "is larger than 1 MiB"));
        }
        Ok(Some(value))
    }
}

/// Levels of nesting, counted without recursion.
fn depth(value: &Json) -> usize {
    let mut deepest = 0;
    let mut todo = vec![(value, 1)];
    while let Some((value, level)) = todo.pop() {
        deepest = deepest.max(level);
        match value {
            Json::Array(items) => todo.extend(items.iter().map(|it| (it, level + 1))),
            Json::Object(map) => todo.extend(map.values().map(|it| (it, level + 1))),
            _ => {}
        }
    }
    deepest
}
