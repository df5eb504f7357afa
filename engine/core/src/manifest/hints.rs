//! What a kind's schema says beyond shape: the `x-trueup-` keywords, gathered once per plugin digest.
//!
//! The walk follows local `$ref`s, never enters one that it is already inside, and counts what it visits, so that a
//! schema that unfolds without end is an error and not a hang.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::ListKey;
use crate::value::{Json, Path, Segment};

/// Stands for every key of a mapping in the paths of [`Hints`].
pub const ANY_KEY: &str = "*";

/// Schema nodes visited for one kind, references unfolded.
const MAX_VISITS: usize = 200_000;
/// Nesting of schema nodes, references unfolded.
const MAX_DEPTH: usize = 256;

/// What the engine reads out of the `x-trueup-` keywords of a kind's schema, once per plugin digest.
/// In these paths `[]` of a list item is left out: `spec.ports.port` means each item's `port`; the key `*`
/// ([`ANY_KEY`]) means each key of a mapping. Lists are sorted, without duplicates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// Not compared; the server's own.
    pub computed: Vec<Path>,
    /// A change means a replacement.
    pub immutable: Vec<Path>,
    /// Merge key of a list of mappings, by the list's path.
    pub list_keys: Vec<(Path, ListKey)>,
    /// Lists whose order means nothing.
    pub unordered: Vec<Path>,
    /// Texts compared without regard to case.
    pub caseless: Vec<Path>,
    /// Never shown; kept as HMACs. Those of outputs start with `status`.
    pub sensitive: Vec<Path>,
    /// Sensitive fields in which a plain value is worth a warning and no error, with what to do about it: documents of other tools
    /// have it.
    pub plain: Vec<(Path, String)>,
    /// Never read back; compared with the last applied document only.
    pub write_only: Vec<Path>,
    /// Names a file of the revision.
    pub blobs: Vec<Path>,
    /// The field that is the address's scope, and the one that is its key.
    pub scope: Option<Path>,
    pub key: Option<Path>,
    /// Field or output that holds what the remote system calls the object.
    pub identity: Option<Path>,
    /// What the system fills in where nothing is declared.
    pub defaults: Vec<(Path, Json)>,
    /// Spelling of a text that has several (`quantity`, `duration`).
    pub formats: Vec<(Path, String)>,
    /// Outputs that change when a field of `spec` does: (output without its leading `status`, fields).
    pub status_from: Vec<(Path, Vec<Path>)>,
}

impl Hints {
    /// Whether one of `hints` is `path` or stands above it.
    pub fn covers(hints: &[Path], path: &Path) -> bool {
        hints.iter().any(|hint| covers(hint, path))
    }

    /// Whether one of `hints` is exactly `path`, positions in lists left out.
    pub fn names(hints: &[Path], path: &Path) -> bool {
        hints.iter().any(|hint| matched(hint, path) == Some(true))
    }

    /// What `hints` say of exactly `path`, positions in lists left out.
    pub fn of<'a, T>(hints: &'a [(Path, T)], path: &Path) -> Option<&'a T> {
        hints.iter().find(|(hint, _)| matched(hint, path) == Some(true)).map(|(_, value)| value)
    }

    /// Reads the hints out of a kind's schema.
    ///
    /// # Errors
    ///
    /// In words, with the place in the schema: a keyword of the wrong type, on the wrong kind of field, given twice
    /// where only one can be, or a schema that unfolds past the limits.
    pub fn read(schema: &Json) -> Result<Self, String> {
        let mut out = Self::default();
        let mut visits = 0_usize;
        let mut todo = vec![Visit { schema, path: Path::default(), depth: 0, inside: None }];
        while let Some(visit) = todo.pop() {
            visits += 1;
            if visits > MAX_VISITS || visit.depth > MAX_DEPTH {
                return Err(format!("the schema unfolds to more than {MAX_VISITS} parts or {MAX_DEPTH} levels"));
            }
            out.take(&visit)?;
            visit.children(schema, &mut todo)?;
        }
        out.settle()
    }

    /// Takes the keywords of one schema node.
    fn take(&mut self, visit: &Visit<'_>) -> Result<(), String> {
        let Some(map) = visit.schema.as_object() else { return Ok(()) };
        for (keyword, value) in map {
            let Some(name) = keyword.strip_prefix("x-trueup-") else { continue };
            self.keyword(name, value, visit).map_err(|error| format!("`x-trueup-{name}` at `{}` {error}", visit.path))?;
        }
        Ok(())
    }

    fn keyword(&mut self, name: &str, value: &Json, visit: &Visit<'_>) -> Result<(), String> {
        let path = || visit.path.clone();
        let flag = || value.as_bool().ok_or_else(|| "must be true or false".to_owned());
        let text = || value.as_str().filter(|it| !it.is_empty()).ok_or_else(|| "must be a text".to_owned());
        let list = match name {
            "scope" | "key" if flag()? => {
                address_field(visit)?;
                return only(if name == "scope" { &mut self.scope } else { &mut self.key }, path());
            }
            "identity" if flag()? => return only(&mut self.identity, path()),
            "list-key" => {
                expect_type(visit, "array")?;
                let several = value.as_array().map(|it| it.iter().map(|it| it.as_str().unwrap_or_default()).collect::<Vec<_>>());
                let fields = several.map_or_else(|| text().map(|it| vec![it]), Ok)?;
                if fields.is_empty() || fields.iter().any(|it| it.is_empty() || it.contains(',')) {
                    return Err("must be the name of a field, or a list of such".to_owned());
                }
                self.list_keys.push((path(), ListKey::new(&fields)));
                return Ok(());
            }
            "plain" => {
                self.plain.push((path(), text()?.to_owned()));
                return Ok(());
            }
            "format" => {
                self.formats.push((path(), text()?.to_owned()));
                return Ok(());
            }
            "default" => {
                self.defaults.push((path(), value.clone()));
                return Ok(());
            }
            "status-from" => {
                let fields = status_fields(value)?;
                let output = visit.path.0.split_first().filter(|(first, rest)| **first == key("status") && !rest.is_empty());
                let (_, output) = output.ok_or_else(|| "belongs on a property of `status`".to_owned())?;
                self.status_from.push((Path(output.to_vec()), fields));
                return Ok(());
            }
            "case" => match text()? {
                "insensitive" => &mut self.caseless,
                "sensitive" => return Ok(()),
                _ => return Err("must be `insensitive` or `sensitive`".to_owned()),
            },
            "unordered" if flag()? => {
                expect_type(visit, "array")?;
                &mut self.unordered
            }
            "blob" if flag()? => {
                expect_type(visit, "string")?;
                &mut self.blobs
            }
            "computed" if flag()? => &mut self.computed,
            "immutable" if flag()? => &mut self.immutable,
            "sensitive" if flag()? => &mut self.sensitive,
            "write-only" if flag()? => &mut self.write_only,
            // Switched off, for display only (`order`), or from a later version.
            _ => return Ok(()),
        };
        list.push(path());
        Ok(())
    }

    /// Sorts, and checks what only the whole can tell.
    fn settle(mut self) -> Result<Self, String> {
        let lists = [
            &mut self.computed,
            &mut self.immutable,
            &mut self.unordered,
            &mut self.caseless,
            &mut self.sensitive,
            &mut self.write_only,
            &mut self.blobs,
        ];
        for list in lists {
            list.sort();
            list.dedup();
        }
        sort_pairs(&mut self.list_keys, "list-key")?;
        sort_pairs(&mut self.defaults, "default")?;
        sort_pairs(&mut self.formats, "format")?;
        sort_pairs(&mut self.plain, "plain")?;
        for (list, key) in &mut self.list_keys {
            for (path, value) in &self.defaults {
                if let Some(field) = path.0.strip_prefix(list.0.as_slice()).and_then(|it| <&[Segment; 1]>::try_from(it).ok())
                    && let [Segment::Key(field)] = field
                {
                    key.assume(field, value);
                }
            }
        }
        sort_pairs(&mut self.status_from, "status-from")?;
        for (name, field) in [("scope", &self.scope), ("key", &self.key), ("identity", &self.identity)] {
            let Some(field) = field else { continue };
            if Self::covers(&self.sensitive, field) || Self::covers(&self.write_only, field) {
                return Err(format!("`x-trueup-{name}` at `{field}` is also sensitive, but addresses and identities are shown"));
            }
            if name != "identity" && Self::covers(&self.computed, field) {
                return Err(format!("`x-trueup-{name}` at `{field}` is also computed, but an address must be declared"));
            }
        }
        Ok(self)
    }
}

/// One schema node that the walk has still to visit.
struct Visit<'a> {
    schema: &'a Json,
    path: Path,
    depth: usize,
    /// References that led here, innermost first.
    inside: Option<Rc<Chain<'a>>>,
}

struct Chain<'a> {
    reference: &'a str,
    outer: Option<Rc<Chain<'a>>>,
}

impl<'a> Visit<'a> {
    fn child(&self, schema: &'a Json, path: Path) -> Self {
        Self { schema, path, depth: self.depth + 1, inside: self.inside.clone() }
    }

    /// Pushes every schema node right below this one.
    fn children(&self, root: &'a Json, todo: &mut Vec<Self>) -> Result<(), String> {
        let Some(map) = self.schema.as_object() else { return Ok(()) };
        if let Some(reference) = map.get("$ref").and_then(Json::as_str) {
            let mut chain = self.inside.as_deref();
            let entered = std::iter::from_fn(|| {
                let link = chain?;
                chain = link.outer.as_deref();
                Some(link.reference)
            })
            .any(|it| it == reference);
            if !entered {
                let target = resolve(root, reference)
                    .ok_or_else(|| format!("`$ref: {reference}` at `{}` leads nowhere in this schema", self.path))?;
                let mut child = self.child(target, self.path.clone());
                child.inside = Some(Rc::new(Chain { reference, outer: self.inside.clone() }));
                todo.push(child);
            }
        }
        for (keyword, value) in map {
            match (keyword.as_str(), value) {
                ("properties", Json::Object(fields)) => {
                    todo.extend(fields.iter().map(|(name, schema)| self.child(schema, self.path.key(name))));
                }
                ("patternProperties", Json::Object(fields)) => {
                    todo.extend(fields.values().map(|schema| self.child(schema, self.path.key(ANY_KEY))));
                }
                ("additionalProperties" | "unevaluatedProperties", Json::Object(_)) => {
                    todo.push(self.child(value, self.path.key(ANY_KEY)));
                }
                ("dependentSchemas", Json::Object(fields)) => {
                    todo.extend(fields.values().map(|schema| self.child(schema, self.path.clone())));
                }
                ("items" | "unevaluatedItems" | "contains" | "not" | "if" | "then" | "else", Json::Object(_)) => {
                    todo.push(self.child(value, self.path.clone()));
                }
                ("prefixItems" | "allOf" | "anyOf" | "oneOf", Json::Array(schemas)) => {
                    todo.extend(schemas.iter().map(|schema| self.child(schema, self.path.clone())));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The part of `root` that a local reference names.
pub(crate) fn resolve<'a>(root: &'a Json, reference: &str) -> Option<&'a Json> {
    root.pointer(reference.strip_prefix('#')?)
}

fn key(name: &str) -> Segment {
    Segment::Key(name.to_owned())
}

/// Whether `hint` is `path` or stands above it, positions in lists left out.
pub(crate) fn covers(hint: &Path, path: &Path) -> bool {
    matched(hint, path).is_some()
}

/// Some where `hint` covers `path`; true where nothing of `path` is left over.
fn matched(hint: &Path, path: &Path) -> Option<bool> {
    let mut keys = path.0.iter().filter_map(|it| if let Segment::Key(key) = it { Some(key) } else { None });
    for segment in &hint.0 {
        let Segment::Key(want) = segment else { continue };
        let key = keys.next()?;
        if want != ANY_KEY && want != key {
            return None;
        }
    }
    Some(keys.next().is_none())
}

fn expect_type(visit: &Visit<'_>, want: &str) -> Result<(), String> {
    let given = visit.schema.get("type");
    let fits = match given {
        Some(Json::String(one)) => one == want,
        Some(Json::Array(several)) => several.iter().any(|it| it == want),
        // The type may stand beside a `$ref` or in a branch.
        _ => true,
    };
    if fits { Ok(()) } else { Err(format!("belongs on a field of type {want}")) }
}

/// Scope and key become parts of addresses: one text each, under `spec`, the same for the whole document.
fn address_field(visit: &Visit<'_>) -> Result<(), String> {
    expect_type(visit, "string")?;
    let under_spec = visit.path.0.first() == Some(&key("spec")) && visit.path.0.len() > 1;
    if !under_spec || visit.path.0.contains(&key(ANY_KEY)) {
        return Err("belongs on one text field under `spec`".to_owned());
    }
    Ok(())
}

fn only(slot: &mut Option<Path>, path: Path) -> Result<(), String> {
    match slot {
        Some(first) if *first != path => Err(format!("is given at `{first}` already")),
        _ => {
            *slot = Some(path);
            Ok(())
        }
    }
}

fn status_fields(value: &Json) -> Result<Vec<Path>, String> {
    let wrong = || "must be a list of field paths such as `spec.name`".to_owned();
    let items = value.as_array().ok_or_else(wrong)?;
    let fields: BTreeSet<Path> = items
        .iter()
        .map(|it| it.as_str().and_then(Path::parse).filter(|it| !it.0.is_empty()).ok_or_else(wrong))
        .collect::<Result<_, _>>()?;
    Ok(fields.into_iter().collect())
}

/// Sorts by path; one path with two different values is an error.
fn sort_pairs<T: PartialEq>(pairs: &mut Vec<(Path, T)>, keyword: &str) -> Result<(), String> {
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    pairs.dedup();
    let twice = pairs.windows(2).find_map(|pair| match pair {
        [(a, _), (b, _)] if a == b => Some(a),
        _ => None,
    });
    twice.map_or(Ok(()), |path| Err(format!("`x-trueup-{keyword}` at `{path}` is given twice with different values")))
}
