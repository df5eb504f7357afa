//! JSON text in its canonical spelling, written as serde hands the value over. What cannot be written so ends in an error, whatever
//! it says: [`Form::text`] then goes by the value.

use std::ops::Range;

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::{Error, Result};

use super::{ANY, Form, is_reserved};
use crate::Json;

/// What is shown of the members of the outermost object.
type Each<'a> = Option<&'a mut dyn FnMut(&str, &[u8])>;

/// Writes one value.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    form: &'a Form,
    each: Each<'a>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, form: &'a Form, each: Each<'a>) -> Self {
        Self { out, form, each }
    }

    fn list(self, close: &'static str) -> List<'a> {
        self.out.push(b'[');
        List { out: self.out, form: self.form, items: Vec::new(), first: true, close }
    }

    fn object(self, close: &'static str) -> Object<'a> {
        self.out.push(b'{');
        Object { out: self.out, form: self.form, each: self.each, name: String::new(), members: Vec::new(), close }
    }

    /// `{"variant":`; what follows is the member of that name.
    fn variant(self, name: &'static str) -> Result<Self> {
        self.out.push(b'{');
        named(self.out, name)?;
        Ok(Self { form: self.form.member(name), out: self.out, each: None })
    }
}

fn plain(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<()> {
    serde_json::to_writer(out, value)
}

/// `"name":`. Names of fields seldom need an escape.
fn named(out: &mut Vec<u8>, name: &str) -> Result<()> {
    if name.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'$' | b'-' | b'.' | b'/' | b'_')) {
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        return Ok(());
    }
    plain(out, name)?;
    out.push(b':');
    Ok(())
}

macro_rules! plain {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(fn $name(self, value: $type) -> Result<()> {
            serde_json::Serializer::new(self.out).$name(value)
        })*
    };
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = Object<'a>;
    type SerializeStruct = Object<'a>;
    type SerializeStructVariant = Object<'a>;

    plain! {
        serialize_bool: bool, serialize_f64: f64,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_unit_struct: &'static str,
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        match self.form.case {
            Some(case) => plain(self.out, &case.of(value)),
            None => plain(self.out, value),
        }
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.collect_seq(value)
    }

    /// As a JSON value takes it, which has doubles only.
    fn serialize_f32(self, value: f32) -> Result<()> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        serde_json::Serializer::new(self.out).serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        let mut object = self.object("}");
        object.member(variant, value)?;
        object.over()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'a>> {
        Ok(self.list("]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<List<'a>> {
        Ok(self.list("]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List<'a>> {
        Ok(self.list("]"))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<List<'a>> {
        Ok(self.variant(variant)?.list("]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Object<'a>> {
        Ok(self.object("}"))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Object<'a>> {
        // Numbers of any length, and text that is JSON already: serde_json alone knows what they are.
        if name.starts_with("$serde_json") {
            return Err(Error::custom("not a struct"));
        }
        Ok(self.object("}"))
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Object<'a>> {
        Ok(self.variant(variant)?.object("}}"))
    }
}

/// A list that is being written.
pub(super) struct List<'a> {
    out: &'a mut Vec<u8>,
    form: &'a Form,
    /// Where its items stand, if they have to be sorted.
    items: Vec<Range<usize>>,
    first: bool,
    close: &'static str,
}

impl List<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        let start = self.out.len();
        value.serialize(Writer::new(self.out, self.form.item(), None))?;
        if self.form.unordered {
            self.items.push(start..self.out.len());
        }
        Ok(())
    }

    fn over(mut self) -> Result<()> {
        if self.items.len() > 1 {
            self.sort();
        }
        self.out.extend_from_slice(self.close.as_bytes());
        Ok(())
    }

    /// Puts the items into the order of their canonical texts.
    fn sort(&mut self) {
        let Some(start) = self.items.first().map(|it| it.start) else { return };
        let text = |it: &Range<usize>| self.out.get(it.clone()).unwrap_or_default().to_vec();
        let mut items: Vec<Vec<u8>> = self.items.iter().map(text).collect();
        if items.is_sorted() {
            return;
        }
        items.sort();
        self.out.truncate(start);
        for (at, text) in items.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(text);
        }
    }
}

macro_rules! list {
    ($($kind:ident $name:ident),*) => {
        $(impl $kind for List<'_> {
            type Ok = ();
            type Error = Error;

            fn $name<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.item(value)
            }

            fn end(self) -> Result<()> {
                self.over()
            }
        })*
    };
}

list! {
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
}

/// An object that is being written.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    form: &'a Form,
    each: Each<'a>,
    /// Of the member that comes, in a map.
    name: String,
    /// Where the members stand.
    members: Vec<Range<usize>>,
    close: &'static str,
}

impl Object<'_> {
    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        match (is_reserved(name), self.members.is_empty()) {
            (true, true) => self.form = &ANY,
            (true, false) if *self.form != ANY => return Err(Error::custom("a marker, known late")),
            _ => {}
        }
        let before = self.out.len();
        if !self.members.is_empty() {
            self.out.push(b',');
        }
        let start = self.out.len();
        named(self.out, name)?;
        let at = self.out.len();
        value.serialize(Writer::new(self.out, self.form.member(name), None))?;
        let text = self.out.get(at..).unwrap_or_default();
        if self.form.shaped && text == b"null" {
            self.out.truncate(before);
            return Ok(());
        }
        self.members.push(start..self.out.len());
        if let Some(each) = &mut self.each {
            each(name, text);
        }
        Ok(())
    }

    /// Puts the members into the order of their names, which is that of a JSON value's text.
    fn over(self) -> Result<()> {
        let name = |it: &Range<usize>| {
            let text = self.out.get(it.start + 1..it.end).unwrap_or_default();
            text.split(|it| *it == b'"').next().unwrap_or_default()
        };
        if !self.members.is_sorted_by(|one, other| name(one) < name(other)) {
            let mut members = self.members.clone();
            members.sort_by_key(name);
            if members.windows(2).any(|it| matches!(it, [one, other] if name(one) == name(other))) {
                return Err(Error::custom("two members of one name"));
            }
            let start = self.members.first().map_or(self.out.len(), |it| it.start);
            let mut sorted = Vec::with_capacity(self.out.len() - start);
            for it in members {
                if !sorted.is_empty() {
                    sorted.push(b',');
                }
                sorted.extend_from_slice(self.out.get(it).unwrap_or_default());
            }
            self.out.truncate(start);
            self.out.append(&mut sorted);
        }
        self.out.extend_from_slice(self.close.as_bytes());
        Ok(())
    }
}

impl SerializeMap for Object<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.name = match serde_json::to_value(key)? {
            Json::String(text) => text,
            number @ (Json::Number(_) | Json::Bool(_)) => number.to_string(),
            _ => return Err(Error::custom("the keys of a map must be texts")),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let name = std::mem::take(&mut self.name);
        self.member(&name, value)
    }

    fn end(self) -> Result<()> {
        self.over()
    }
}

macro_rules! object {
    ($($kind:ident),*) => {
        $(impl $kind for Object<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
                self.member(name, value)
            }

            fn end(self) -> Result<()> {
                self.over()
            }
        })*
    };
}

object! { SerializeStruct, SerializeStructVariant }
