//! Values as XML, by the model.
//!
//! Elements stand in the model's order, which Route 53 and S3 hold theirs to. No element is written as `<a/>`.

use serde_json::{Map, Value as Json};

use crate::model::{Kind, Member, Namespace, Service, Shape, TimeFormat};
use crate::protocol::{check, text};

/// A document whose root is the member, with what the model has of it in the body.
pub fn document(service: &Service, root: &Member, value: &Json) -> String {
    let mut out = Writer { service, out: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned() };
    out.value(root, root.wire_name(), value);
    out.out
}

struct Writer<'a> {
    service: &'a Service,
    out: String,
}

impl Writer<'_> {
    fn open(&mut self, name: &str, namespace: Option<Namespace>, attributes: &[(&str, String)]) {
        self.out.push('<');
        self.out.push_str(name);
        if let Some(Namespace { prefix, uri }) = namespace {
            let name = prefix.map_or_else(|| "xmlns".to_owned(), |it| format!("xmlns:{it}"));
            self.attribute(&name, uri);
        }
        for (name, value) in attributes {
            self.attribute(name, value);
        }
        self.out.push('>');
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        self.text(value, true);
        self.out.push('"');
    }

    fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// Characters that a parser would drop or change are written by their number: S3 takes them so.
    fn text(&mut self, text: &str, attribute: bool) {
        for it in text.chars() {
            match it {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' if !attribute => self.out.push_str("&gt;"),
                '"' if attribute => self.out.push_str("&quot;"),
                '\t' | '\n' if !attribute => self.out.push(it),
                '\0'..='\u{1f}' => self.out.push_str(&format!("&#x{:X};", u32::from(it))),
                _ => self.out.push(it),
            }
        }
    }

    fn value(&mut self, member: &Member, name: &str, value: &Json) {
        let shape = self.service.of(member);
        match (shape.kind, value, shape.inner()) {
            (Kind::Structure, Json::Object(members), _) => self.structure(member, name, shape, members),
            (Kind::List, Json::Array(items), Some(inner)) => self.list(member, name, inner, items),
            (Kind::Map, Json::Object(entries), _) => self.map(member, name, shape, entries),
            _ => {
                self.open(name, member.namespace, &[]);
                self.text(&text::scalar(shape, member, value, TimeFormat::Iso8601), false);
                self.close(name);
            }
        }
    }

    fn structure(&mut self, member: &Member, name: &str, shape: &Shape, members: &Map<String, Json>) {
        let attributes = check::given(shape, members).filter(|(it, _)| it.attribute);
        let text = |it: &Member, value: &Json| text::scalar(self.service.of(it), it, value, TimeFormat::Iso8601);
        let attributes: Vec<_> = attributes.map(|(it, value)| (it.wire_name(), text(it, value))).collect();
        self.open(name, member.namespace, &attributes);
        for (it, value) in check::given(shape, members).filter(|(it, _)| !it.attribute && it.in_body()) {
            self.value(it, it.wire_name(), value);
        }
        self.close(name);
    }

    fn list(&mut self, member: &Member, name: &str, inner: &Member, items: &[Json]) {
        if member.flattened {
            return items.iter().for_each(|it| self.value(inner, name, it));
        }
        self.open(name, member.namespace, &[]);
        items.iter().for_each(|it| self.value(inner, inner.wire.unwrap_or("member"), it));
        self.close(name);
    }

    fn map(&mut self, member: &Member, name: &str, shape: &Shape, entries: &Map<String, Json>) {
        let [keys, values] = shape.members.as_slice() else { return };
        let around = if member.flattened { None } else { Some(name) };
        let each = if member.flattened { name } else { "entry" };
        around.iter().for_each(|it| self.open(it, member.namespace, &[]));
        for (key, value) in entries {
            self.open(each, None, &[]);
            self.value(keys, keys.wire.unwrap_or("key"), &Json::from(key.as_str()));
            self.value(values, values.wire.unwrap_or("value"), value);
            self.close(each);
        }
        around.iter().for_each(|it| self.close(it));
    }
}
