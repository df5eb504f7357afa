//! The protocols `awsQuery` and `ec2Query`: a form to the service, XML back.
//!
//! <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>, <https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html>

use serde_json::{Map, Value as Json};

use super::xml::{Reader, read};
use super::{Wire, check, text};
use crate::model::{Kind, Member, Operation, Protocol, Service, Shape, TimeFormat};

/// Writes the form.
pub fn request(wire: &mut Wire, service: &Service, operation: &Operation, input: &Json) {
    let mut form = Form { service, ec2: service.protocol == Protocol::Ec2, out: String::new() };
    form.pair("Action", operation.name);
    form.pair("Version", service.version);
    if let (Some(shape), Some(members)) = (service.input(operation), input.as_object()) {
        form.structure(shape, members, "");
    }
    wire.add("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    wire.body = form.out.into_bytes();
}

struct Form<'a> {
    service: &'a Service,
    ec2: bool,
    out: String,
}

impl Form<'_> {
    fn pair(&mut self, key: &str, value: &str) {
        if !self.out.is_empty() {
            self.out.push('&');
        }
        self.out.push_str(&text::escape(key));
        self.out.push('=');
        self.out.push_str(&text::escape(value));
    }

    fn structure(&mut self, shape: &Shape, members: &Map<String, Json>, prefix: &str) {
        for (member, value) in check::given(shape, members) {
            let name = self.name(member);
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            self.value(member, value, &key);
        }
    }

    /// A locationName of EC2 is that of the answer; a request has it with a capital.
    fn name(&self, member: &Member) -> String {
        match (self.ec2, member.query, member.wire) {
            (true, Some(name), _) => name.to_owned(),
            (true, None, Some(name)) => capital(name),
            _ => member.wire_name().to_owned(),
        }
    }

    fn value(&mut self, member: &Member, value: &Json, key: &str) {
        let shape = self.service.of(member);
        match value {
            Json::Object(members) if shape.kind == Kind::Structure => self.structure(shape, members, key),
            Json::Object(entries) => self.map(shape, member, entries, key),
            Json::Array(items) => self.list(shape, member, items, key),
            _ => self.pair(key, &text::scalar(shape, member, value, TimeFormat::Iso8601)),
        }
    }

    fn list(&mut self, shape: &Shape, member: &Member, items: &[Json], key: &str) {
        let Some(inner) = shape.inner() else { return };
        // EC2 has no way to say that a list is empty.
        if items.is_empty() && !self.ec2 {
            return self.pair(key, "");
        }
        let prefix = match (self.ec2 || member.flattened, inner.wire) {
            (false, name) => format!("{key}.{}", name.unwrap_or("member")),
            (true, Some(name)) if !self.ec2 => match key.rsplit_once('.') {
                Some((before, _)) => format!("{before}.{name}"),
                None => name.to_owned(),
            },
            (true, _) => key.to_owned(),
        };
        for (at, item) in items.iter().enumerate() {
            self.value(inner, item, &format!("{prefix}.{}", at + 1));
        }
    }

    fn map(&mut self, shape: &Shape, member: &Member, entries: &Map<String, Json>, key: &str) {
        let [keys, values] = shape.members.as_slice() else { return };
        let prefix = if member.flattened { key.to_owned() } else { format!("{key}.entry") };
        for (at, (name, value)) in entries.iter().enumerate() {
            let at = at + 1;
            self.pair(&format!("{prefix}.{at}.{}", keys.wire.unwrap_or("key")), name);
            self.value(values, value, &format!("{prefix}.{at}.{}", values.wire.unwrap_or("value")));
        }
    }
}

fn capital(name: &str) -> String {
    let mut rest = name.chars();
    rest.next().map(|it| it.to_ascii_uppercase()).into_iter().chain(rest).collect()
}

/// Reads the document: `<XResponse>`, in it the output, within an element of its own in `awsQuery`.
pub fn response(service: &Service, operation: &Operation, body: &[u8]) -> Result<Json, String> {
    let shape = service.output(operation).unwrap_or(Shape::nothing());
    if operation.output.is_none() && body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Json::Object(Map::new()));
    }
    let (mut reader, root) = Reader::begin(body)?;
    if !root.name.ends_with("Response") || root.name == "ErrorResponse" {
        return Err(format!("is no answer to {}", operation.name));
    }
    let output = match operation.wrapper {
        None => read::structure(&mut reader, service, shape, &root)?,
        Some(wrapper) => {
            let mut output = Map::new();
            while let Some(tag) = reader.child()? {
                if tag.name == wrapper {
                    output = read::structure(&mut reader, service, shape, &tag)?;
                } else {
                    reader.skip()?;
                }
            }
            output
        }
    };
    reader.end()?;
    Ok(Json::Object(output))
}
