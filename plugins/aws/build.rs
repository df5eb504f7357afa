//! Makes one JSON text of the kinds that stand in `kinds/*.yaml`, so that the plugin carries no reader of YAML.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

fn main() {
    println!("cargo::rerun-if-changed=kinds");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("kinds.json");
    let made = all(Path::new("kinds")).and_then(|it| fs::write(&out, it.to_string()).map_err(|error| error.to_string()));
    if let Err(error) = made {
        println!("cargo::error={error}");
        process::exit(1);
    }
}

/// Every kind, by the name of its file.
fn all(folder: &Path) -> Result<Value, String> {
    let mut kinds = Map::new();
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|it| it.path()).collect();
    paths.sort();
    for path in paths {
        let (Some(name), Some("yaml")) =
            (path.file_stem().and_then(|it| it.to_str()), path.extension().and_then(|it| it.to_str()))
        else {
            continue;
        };
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let kind = document(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        kinds.insert(name.to_owned(), kind);
    }
    Ok(Value::Object(kinds))
}

/// The only document of a file.
fn document(text: &str) -> Result<Value, String> {
    let mut events = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        if !matches!(event, Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing)
        {
            events.push((event, span.start.line()));
        }
    }
    let mut events = events.into_iter();
    let value = value(&mut events)?;
    if events.next().is_some() { Err("more than one document".to_owned()) } else { Ok(value) }
}

type Events<'a> = std::vec::IntoIter<(Event<'a>, usize)>;

fn value(events: &mut Events<'_>) -> Result<Value, String> {
    let (event, line) = events.next().ok_or("nothing is there")?;
    of(event, line, events)
}

fn of(event: Event<'_>, line: usize, events: &mut Events<'_>) -> Result<Value, String> {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) => Ok(plain(&text)),
        Event::Scalar(text, ..) => Ok(Value::String(text.into_owned())),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match events.next().ok_or("a list without end")? {
                    (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                    (event, line) => items.push(of(event, line, events)?),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut fields = Map::new();
            loop {
                match events.next().ok_or("a mapping without end")? {
                    (Event::MappingEnd, _) => return Ok(Value::Object(fields)),
                    (Event::Scalar(key, ..), line) => {
                        let key = key.into_owned();
                        let value = value(events)?;
                        if fields.insert(key.clone(), value).is_some() {
                            return Err(format!("line {line}: `{key}` stands there twice"));
                        }
                    }
                    (_, line) => return Err(format!("line {line}: a key must be a text")),
                }
            }
        }
        _ => Err(format!("line {line}: anchors and aliases have no place here")),
    }
}

/// A plain scalar, by YAML's core schema without its odd numbers.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<i64>().map_or_else(|_| Value::String(text.to_owned()), Value::from),
    }
}
