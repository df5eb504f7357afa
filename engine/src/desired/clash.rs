//! Objects that cannot all be: two of one address, two of one place, something inside what can hold nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use trueup_core::address::place;
use trueup_core::diagnostic::{Diagnostic, Location, codes};

use super::index::{File, Object, Row};
use super::{Context, Made};

/// Alias, scope and key of what is a place; kinds that are places share their names.
type Place<'a> = (&'a str, &'a str, &'a str);

/// Judges what is new against everything: what was there before was judged then.
///
/// # Errors
///
/// One for each object that cannot be beside another one.
pub(super) fn judge(context: &Context, rows: &[Row], files: &[File], fresh: &[Made]) -> Result<(), Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let new: HashSet<&str> = fresh.iter().map(|it| it.resource.id.as_str()).collect();
    doubles(context, rows, files, fresh, &mut errors);
    inside(context, rows, files, &new, &mut errors);
    beside(context, rows, files, &new, &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn alias(row: &Row) -> &str {
    row.id.split(':').next().unwrap_or_default()
}

/// Two resources that render to one object, or to two objects of one place (a file and a directory).
fn doubles(context: &Context, rows: &[Row], files: &[File], fresh: &[Made], errors: &mut Vec<Diagnostic>) {
    // What of an address tells objects apart, in place of alias and kind: two aliases may lead to one target, and objects
    // that are places have one name whatever their kind.
    let mut told_by: HashMap<(&str, &str), (&str, &str)> = HashMap::new();
    for (alias, bound) in &context.providers {
        told_by.extend(bound.manifest.kinds.values().map(|kind| {
            let name = if kind.nests.is_some() { "" } else { &*kind.name };
            ((&**alias, &*kind.name), (&*bound.target, name))
        }));
    }
    let address = |alias, kind, scope, key| {
        let (target, kind) = told_by.get(&(alias, kind)).copied().unwrap_or((alias, kind));
        (target, kind, scope, key)
    };
    let addresses: HashSet<(&str, &str, &str, &str)> = fresh
        .iter()
        .flat_map(|made| made.objects.iter())
        .map(|made| &made.address)
        .map(|it| address(&*it.scope.provider, &*it.scope.kind, &*it.scope.scope, &*it.key))
        .collect();
    let keys: HashSet<&str> = addresses.iter().map(|it| it.3).collect();
    let mut owners: HashMap<(&str, &str, &str, &str), (&Row, &String)> = HashMap::with_capacity(addresses.len());
    for row in rows {
        // Most have another key, which costs least to tell.
        for object in row.objects.iter().filter(|it| keys.contains(it.key.as_str())) {
            let address = address(alias(row), object.kind.as_str(), object.scope.as_str(), object.key.as_str());
            if !addresses.contains(&address) {
                continue;
            }
            if let Some((other, kind)) = owners.insert(address, (row, &object.kind)) {
                let what = if *kind == object.kind { format!("{kind} ") } else { String::new() };
                let text = format!("`{}` and `{}` are both {what}`{}`", name(other), name(row), path(object));
                errors.push(finding(files, text, row, other).hint("keep one of the two"));
            }
        }
    }
}

/// Something that is to stand in an object which can hold nothing (a file in a file).
fn inside(context: &Context, rows: &[Row], files: &[File], new: &HashSet<&str>, errors: &mut Vec<Diagnostic>) {
    // Alias, kind and joint; a handful, so that looking through them is faster than any map.
    let all: Vec<(&str, &str, &str)> = context
        .providers
        .iter()
        .flat_map(|(alias, it)| it.manifest.kinds.values().map(move |kind| (&**alias, kind)))
        .filter(|(_, kind)| kind.solid)
        .filter_map(|(alias, kind)| Some((alias, &*kind.name, kind.nests.as_deref()?)))
        .collect();
    let is_solid = |row: &Row, object: &Object| all.iter().any(|(of, kind, _)| *of == alias(row) && *kind == object.kind);
    // New solid objects by place, and the places around what is new, each with one that stands there.
    let mut solids: HashMap<Place<'_>, &Row> = HashMap::new();
    for row in rows.iter().filter(|it| new.contains(it.id.as_str())) {
        let objects = row.objects.iter().filter(|it| is_solid(row, it));
        solids.extend(objects.map(|it| ((alias(row), it.scope.as_str(), it.key.as_str()), row)));
    }
    let joints: HashSet<(&str, &str)> = all.iter().map(|(alias, _, joint)| (*alias, *joint)).collect();
    let mut around: HashMap<Place<'_>, (&Row, &Object)> = HashMap::new();
    let mut last: Option<(&str, &str)> = None;
    for row in rows {
        let is_new = new.contains(row.id.as_str());
        for object in &row.objects {
            // Neighbours mostly share a scope, and what stands around a scope is the same for all that is in it.
            let here = (alias(row), object.scope.as_str());
            if !is_new && (solids.is_empty() || last == Some(here)) {
                continue;
            }
            last = Some(here);
            for joint in joints.iter().filter(|(alias, _)| *alias == here.0).map(|(_, joint)| joint) {
                for (scope, key) in parents(here.1, joint) {
                    if let Some(outer) = solids.get(&(here.0, scope, key)) {
                        errors.push(within(files, outer, row, object));
                    } else if is_new {
                        around.entry((here.0, scope, key)).or_insert((row, object));
                    }
                }
            }
        }
    }
    if around.is_empty() {
        return;
    }
    for row in rows.iter().filter(|it| !new.contains(it.id.as_str())) {
        for object in &row.objects {
            let found = || around.get(&(alias(row), object.scope.as_str(), object.key.as_str()));
            if is_solid(row, object)
                && let Some((inner, held)) = found()
            {
                errors.push(within(files, row, inner, held));
            }
        }
    }
}

/// Something beside what stands alone at its name (another record set beside a CNAME).
fn beside(context: &Context, rows: &[Row], files: &[File], new: &HashSet<&str>, errors: &mut Vec<Diagnostic>) {
    let kinds = context.providers.iter().flat_map(|(alias, it)| it.manifest.kinds.values().map(move |kind| (&**alias, kind)));
    let words: Words<'_> = kinds.filter_map(|(alias, kind)| Some(((alias, &*kind.name), kind.sole.as_deref()?))).collect();
    if words.is_empty() {
        return;
    }
    let objects = || rows.iter().flat_map(|row| row.objects.iter().map(move |it| (row, it)));
    let touched = objects().filter(|(row, _)| new.contains(row.id.as_str())).filter_map(|(row, it)| named(&words, row, it));
    let mut groups: BTreeMap<Name<'_>, Group<'_>> = touched.map(|(name, _)| (name, Group::default())).collect();
    for (row, object) in objects() {
        let Some((name, alone)) = named(&words, row, object) else { continue };
        if let Some(group) = groups.get_mut(&name) {
            if alone { &mut group.alone } else { &mut group.others }.push((row, object));
        }
    }
    for group in groups.values() {
        let Some((first, sole)) = group.alone.first() else { continue };
        errors.extend(group.others.iter().map(|(row, object)| {
            let text = format!("`{}` cannot stand beside `{}`, which stands alone at its name", path(object), path(sole));
            finding(files, text, row, first).hint("keep one of the two, or give one another name")
        }));
    }
}

/// The word that stands alone, of each alias and kind that has one.
type Words<'a> = HashMap<(&'a str, &'a str), &'a str>;

/// Alias, kind, scope, and the key without its last word.
type Name<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Objects of one name.
#[derive(Default)]
struct Group<'a> {
    alone: Vec<(&'a Row, &'a Object)>,
    others: Vec<(&'a Row, &'a Object)>,
}

/// The object's name, and whether it stands alone at it.
fn named<'a>(words: &Words<'_>, row: &'a Row, object: &'a Object) -> Option<(Name<'a>, bool)> {
    let word = words.get(&(alias(row), object.kind.as_str()))?;
    let (name, last) = object.key.rsplit_once(' ')?;
    Some(((alias(row), &object.kind, &object.scope, name), last == *word))
}

/// The places that a scope is inside of, the scope itself first: scope and key of each.
fn parents<'a>(scope: &'a str, joint: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let mut rest = Some(scope).filter(|it| !it.is_empty() && !joint.is_empty());
    std::iter::from_fn(move || {
        let here = rest?;
        let (outer, key) = here.rsplit_once(joint).unwrap_or(("", here));
        rest = Some(outer).filter(|it| !it.is_empty());
        Some((outer, key))
    })
}

fn within(files: &[File], outer: &Row, inner: &Row, object: &Object) -> Diagnostic {
    let kind = outer.objects.first().map_or("object", |it| it.kind.as_str());
    let text = format!("`{}` is to stand inside `{}`, and a {kind} holds nothing", path(object), name(outer));
    finding(files, text, inner, outer).hint("change the path of one of the two")
}

fn finding(files: &[File], text: String, row: &Row, other: &Row) -> Diagnostic {
    let place = |row: &Row| {
        let (file, line, column, width) = row.location;
        let path = files.get(file as usize).map_or("", |it| it.path.as_str());
        Location { file: path.into(), line, column, width }
    };
    Diagnostic::error(codes::DUPLICATE_OBJECT, text).at(place(row)).also(place(other), "first declared here")
}

fn name(row: &Row) -> &str {
    row.id.split_once(':').map_or(row.id.as_str(), |(_, local)| local)
}

fn path(object: &Object) -> String {
    place(&object.scope, &object.key)
}
