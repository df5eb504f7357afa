//! A reader of YAML for files of the repository's own: kinds at the build, and what tests say of them.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// The only document of a text.
///
/// # Errors
/// Where it is none, or uses what such files need not: anchors, keys that are no texts, the same key twice.
pub fn document(text: &str) -> Result<Value, String> {
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
