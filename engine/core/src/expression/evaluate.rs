//! Runs one parsed expression.
//!
//! Chains are walked in a loop and only nesting recurses, so the stack is as bounded as the parser's. Every value that
//! is made or read as a whole is paid for out of the budget before the next node runs.

use std::borrow::Cow;

use super::functions::{self, Fault};
use super::lexer::limit;
use super::parser::{Node, NodeId, Operator, Placed, Tree};
use super::{Evaluated, ExpressionError, MAX_RESULT, NameError, Names, SecretPart, secret};
use crate::diagnostic::codes;
use crate::schema::suggest::did_you_mean;
use crate::value::{Json, Map, Marker, marker};

/// Levels of lists and mappings in a result: what a document may have.
const MAX_DEPTH: usize = 64;
/// Largest whole number that every reader of JSON keeps.
const MAX_WHOLE: u64 = (1 << 53) - 1;
/// Fields listed in a hint.
const MAX_LISTED: usize = 8;

/// What a node came to.
pub enum Value<'a> {
    Json(Cow<'a, Json>),
    /// Waits for this resource.
    Unknown(String),
    Secret(Vec<SecretPart>),
    /// `vars`, before a name is taken from it.
    Vars,
    /// `env`, before `.name`.
    Environment,
    /// `ref('…')`, before `.spec` or `.status`.
    Resource(&'a str),
}

/// The evaluation of one expression.
pub struct Evaluator<'a, 'b> {
    tree: &'a Tree,
    names: &'a dyn Names,
    budget: &'b mut usize,
}

type Result<T> = std::result::Result<T, ExpressionError>;

impl<'a, 'b> Evaluator<'a, 'b> {
    pub fn new(tree: &'a Tree, names: &'a dyn Names, budget: &'b mut usize) -> Self {
        Self { tree, names, budget }
    }

    /// The value with its own type.
    pub fn whole(&mut self) -> Result<Evaluated> {
        let value = self.node(self.tree.root)?;
        self.finish(value)
    }

    /// The value as text: known text, a secret or an unknown.
    pub fn text(&mut self) -> Result<Value<'a>> {
        let root = self.tree.root;
        match self.node(root)? {
            Value::Json(value) if value.is_string() => Ok(Value::Json(value)),
            Value::Json(value) => match functions::text_of(&value) {
                Some(text) => Ok(Value::Json(Cow::Owned(Json::String(text)))),
                None => {
                    let error = self.failed(root, format!("{} cannot stand inside a text", functions::type_of(&value)));
                    Err(error.hint("let the expression be the whole value, or take one field of it"))
                }
            },
            other => Ok(other),
        }
    }

    /// Whether a text of that many bytes may still be made.
    pub fn fits(&self, length: usize) -> Result<()> {
        if length <= MAX_RESULT { Ok(()) } else { Err(self.too_large(self.tree.root)) }
    }

    fn finish(&self, value: Value<'a>) -> Result<Evaluated> {
        let value = match value {
            Value::Json(value) => value,
            Value::Unknown(after) => return Ok(Evaluated::Unknown(after)),
            Value::Secret(parts) => return Ok(secret(parts)),
            Value::Vars | Value::Environment | Value::Resource(_) => {
                return Err(self.failed(self.tree.root, "this is not a value".to_owned()));
            }
        };
        let mut size = 0;
        let mut todo = vec![(&*value, 0_usize)];
        while let Some((part, depth)) = todo.pop() {
            size += functions::own_weight(part);
            if depth > MAX_DEPTH || size > MAX_RESULT {
                return Err(self.too_large(self.tree.root));
            }
            match marker(part) {
                Some(Marker::Unknown(after)) => return Ok(Evaluated::Unknown(after.to_owned())),
                Some(Marker::Secret { .. }) => return Err(self.foreign_secret(self.tree.root)),
                Some(Marker::Blob { .. }) | None => {}
            }
            match part {
                Json::Array(items) => todo.extend(items.iter().map(|it| (it, depth + 1))),
                Json::Object(map) => todo.extend(map.values().map(|it| (it, depth + 1))),
                Json::Number(number) => {
                    let magnitude = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
                    if magnitude.is_some_and(|it| it > MAX_WHOLE) {
                        let error = self.failed(self.tree.root, "this number is too large to be kept exactly".to_owned());
                        return Err(error.hint("make it a text with `string(…)`"));
                    }
                }
                Json::Null | Json::Bool(_) | Json::String(_) => {}
            }
        }
        Ok(Evaluated::Value(value.into_owned()))
    }

    fn placed(&self, id: NodeId) -> Option<&'a Placed> {
        self.tree.nodes.get(id)
    }

    fn span(&self, id: NodeId) -> (usize, usize) {
        self.placed(id).map_or((0, 0), |it| (it.start, it.end))
    }

    fn failed(&self, id: NodeId, message: String) -> ExpressionError {
        let (start, end) = self.span(id);
        ExpressionError::new(codes::EXPRESSION_FAILED, start, end, message)
    }

    fn too_large(&self, id: NodeId) -> ExpressionError {
        let (start, end) = self.span(id);
        limit(start, end, "the values of this expression are too large or too deep")
    }

    /// A secret met where only a whole text can be one.
    fn secret_here(&self, id: NodeId) -> ExpressionError {
        let (start, end) = self.span(id);
        let error = ExpressionError::new(codes::SECRET_PLACE, start, end, "a secret can only be a text or part of one");
        error.hint("only `+` and text around it may touch a secret")
    }

    fn foreign_secret(&self, id: NodeId) -> ExpressionError {
        let (start, end) = self.span(id);
        let error = ExpressionError::new(codes::SECRET_PLACE, start, end, "this value of another resource is a secret");
        error.hint("name it here by `secret('name')`")
    }

    fn named(&self, id: NodeId, error: NameError) -> ExpressionError {
        let (start, end) = self.span(id);
        ExpressionError { code: error.code, message: error.message, start, end, hint: error.hint }
    }

    fn pay(&mut self, id: NodeId, bytes: usize) -> Result<()> {
        *self.budget = self.budget.checked_sub(bytes).ok_or_else(|| self.too_large(id))?;
        Ok(())
    }

    /// A value that was looked up: markers become what they stand for.
    fn found(&self, id: NodeId, value: Cow<'a, Json>) -> Result<Value<'a>> {
        match marker(&value) {
            Some(Marker::Unknown(after)) => Ok(Value::Unknown(after.to_owned())),
            Some(Marker::Secret { .. }) => Err(self.foreign_secret(id)),
            Some(Marker::Blob { .. }) | None => Ok(Value::Json(value)),
        }
    }

    fn made(&mut self, id: NodeId, outcome: std::result::Result<Json, Fault>) -> Result<Value<'a>> {
        let value = match outcome {
            Err(Fault::Missing(_)) if self.names.is_partial() => return Ok(Value::Unknown(String::new())),
            outcome => outcome.map_err(|fault| self.fault(id, fault))?,
        };
        self.pay(id, functions::weight(&value))?;
        Ok(Value::Json(Cow::Owned(value)))
    }

    fn fault(&self, id: NodeId, fault: Fault) -> ExpressionError {
        match fault {
            Fault::Large => self.too_large(id),
            Fault::Missing(message) => self.point(id, codes::EXPRESSION_UNDEFINED, message),
            Fault::Wrong { message, hint } => hint.into_iter().fold(self.failed(id, message), ExpressionError::hint),
        }
    }

    /// Evaluates a node: down to the front of its chain, then back up one operation at a time.
    fn node(&mut self, id: NodeId) -> Result<Value<'a>> {
        let mut chain = Vec::new();
        let mut at = id;
        let mut value = loop {
            let Some(placed) = self.placed(at) else { return Err(self.failed(id, "this is not a value".to_owned())) };
            match placed.node.front() {
                Some(front) => {
                    chain.push((at, placed));
                    at = front;
                }
                None => break self.leaf(at, &placed.node)?,
            }
        };
        while let Some((at, placed)) = chain.pop() {
            value = self.step(at, placed, value)?;
        }
        Ok(value)
    }

    fn leaf(&mut self, id: NodeId, node: &'a Node) -> Result<Value<'a>> {
        match node {
            Node::Null => Ok(Value::Json(Cow::Owned(Json::Null))),
            Node::Bool(value) => Ok(Value::Json(Cow::Owned(Json::Bool(*value)))),
            Node::Whole(value) => Ok(Value::Json(Cow::Owned(Json::from(*value)))),
            Node::Decimal(value) => Ok(Value::Json(Cow::Owned(Json::from(*value)))),
            Node::Text(value) => self.made(id, Ok(Json::String(value.clone()))),
            Node::Name(name) => match name.as_str() {
                "vars" => Ok(Value::Vars),
                "env" => Ok(Value::Environment),
                _ => {
                    let own = self.names.itself().ok_or_else(|| {
                        let (start, end) = self.span(id);
                        ExpressionError::new(codes::EXPRESSION_PLACE, start, end, "`self` cannot be used here")
                    })?;
                    self.found(id, own)
                }
            },
            Node::List(items) => self.list(id, items),
            Node::Mapping(entries) => self.mapping(id, entries),
            Node::Not(inner) | Node::Negate(inner) => {
                let negate = matches!(node, Node::Negate(_));
                match self.node(*inner)? {
                    Value::Json(value) => self.made(id, if negate { functions::negate(&value) } else { functions::not(&value) }),
                    Value::Unknown(after) => Ok(Value::Unknown(after)),
                    _ => Err(self.secret_here(*inner)),
                }
            }
            Node::Call(name, args) => self.call(id, name, args),
            // These have a front and are never leaves.
            Node::Binary(..) | Node::Condition(..) | Node::Select(..) | Node::Index(..) | Node::Method(..) => {
                Err(self.failed(id, "this is not a value".to_owned()))
            }
        }
    }

    /// Evaluates several nodes that become parts of one value. None where one of them is unknown, which is then noted.
    fn parts(&mut self, ids: &[NodeId], unknown: &mut Option<String>) -> Result<Vec<Cow<'a, Json>>> {
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            match self.node(*id)? {
                Value::Json(value) => out.push(value),
                Value::Unknown(after) => {
                    unknown.get_or_insert(after);
                }
                _ => return Err(self.secret_here(*id)),
            }
        }
        Ok(out)
    }

    fn list(&mut self, id: NodeId, items: &[NodeId]) -> Result<Value<'a>> {
        let mut unknown = None;
        let values = self.parts(items, &mut unknown)?;
        if let Some(after) = unknown {
            return Ok(Value::Unknown(after));
        }
        self.pay(id, values.iter().map(|it| functions::weight(it)).sum())?;
        Ok(Value::Json(Cow::Owned(Json::Array(values.into_iter().map(Cow::into_owned).collect()))))
    }

    fn mapping(&mut self, id: NodeId, entries: &[(NodeId, NodeId)]) -> Result<Value<'a>> {
        let mut unknown = None;
        let mut map = Map::new();
        for (key_id, value_id) in entries {
            let mut parts = self.parts(&[*key_id, *value_id], &mut unknown)?;
            let (2, Some(value), Some(key)) = (parts.len(), parts.pop(), parts.pop()) else { continue };
            let Some(name) = key.as_str() else {
                return Err(self.failed(*key_id, format!("a key must be a text, here is {}", functions::type_of(&key))));
            };
            self.pay(id, name.len() + functions::weight(&value))?;
            if map.insert(name.to_owned(), value.into_owned()).is_some() {
                return Err(self.failed(*key_id, format!("the key `{name}` stands here twice")));
            }
        }
        Ok(unknown.map_or_else(|| Value::Json(Cow::Owned(Json::Object(map))), Value::Unknown))
    }

    fn call(&mut self, id: NodeId, name: &str, args: &'a [NodeId]) -> Result<Value<'a>> {
        let literal = |it: &Self| match args.first().and_then(|arg| it.placed(*arg)).map(|it| &it.node) {
            Some(Node::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        match (name, literal(self)) {
            ("ref", Some(text)) => return Ok(Value::Resource(text)),
            ("secret", Some(text)) => return self.secret(id, text),
            ("has", _) => return self.presence(id, args),
            _ => {}
        }
        let mut unknown = None;
        let values = self.parts(args, &mut unknown)?;
        match (unknown, values.first()) {
            (Some(after), _) => Ok(Value::Unknown(after)),
            (None, Some(value)) => {
                self.pay(id, functions::weight(value))?;
                let outcome = functions::convert(name, value);
                self.made(id, outcome)
            }
            (None, None) => Err(self.failed(id, format!("`{name}` takes an argument"))),
        }
    }

    fn secret(&self, id: NodeId, name: &str) -> Result<Value<'a>> {
        if self.names.secret_granted(name) {
            return Ok(Value::Secret(vec![SecretPart::Secret(name.to_owned())]));
        }
        let (start, end) = self.span(id);
        let message = format!("the secret `{name}` is not granted to the provider of this document");
        Err(ExpressionError::new(codes::SECRET_PLACE, start, end, message)
            .hint("add it to `secrets` of the provider in trueup.yaml"))
    }

    /// `has(a.b)`: whether `a` has the field, without an error where it has not.
    fn presence(&mut self, id: NodeId, args: &[NodeId]) -> Result<Value<'a>> {
        let arg = args.first().and_then(|it| self.placed(*it)).map(|it| &it.node);
        let Some(Node::Select(front, field)) = arg else { return Err(self.failed(id, "`has` takes a field".to_owned())) };
        let there = match self.node(*front)? {
            Value::Json(value) => match &*value {
                Json::Object(map) => map.contains_key(field),
                Json::Null if self.names.is_partial() => return Ok(Value::Unknown(String::new())),
                other => return Err(self.failed(*front, format!("{} has no fields", functions::type_of(other)))),
            },
            Value::Unknown(after) => return Ok(Value::Unknown(after)),
            Value::Vars => self.names.var(field).is_some(),
            Value::Environment => field == "name",
            Value::Secret(_) => return Err(self.secret_here(*front)),
            Value::Resource(_) => return Err(self.failed(*front, "`has` takes a field of `.spec` or `.status`".to_owned())),
        };
        Ok(Value::Json(Cow::Owned(Json::Bool(there))))
    }

    /// One operation on the value in front of it.
    fn step(&mut self, id: NodeId, placed: &'a Placed, front: Value<'a>) -> Result<Value<'a>> {
        match &placed.node {
            Node::Binary(operator @ (Operator::And | Operator::Or), left, right) => {
                self.logic(*operator == Operator::Or, (*left, front), *right)
            }
            Node::Binary(operator, left, right) => {
                let second = self.node(*right)?;
                self.operate(id, *operator, (*left, front), (*right, second))
            }
            Node::Condition(condition, yes, no) => match self.truth(*condition, front)? {
                Ok(true) => self.node(*yes),
                Ok(false) => self.node(*no),
                Err(after) => Ok(Value::Unknown(after)),
            },
            Node::Select(inner, field) => self.select(id, *inner, front, field),
            Node::Index(inner, index) => match self.node(*index)? {
                Value::Json(at) => self.index(id, (*inner, front), *index, &at),
                Value::Unknown(after) => Ok(Value::Unknown(after)),
                _ => Err(self.secret_here(*index)),
            },
            Node::Method(inner, name, args) => self.method(id, (*inner, front), name, args),
            _ => Err(self.failed(id, "this is not a value".to_owned())),
        }
    }

    /// True or false, or what an unknown waits for.
    fn truth(&self, id: NodeId, value: Value<'a>) -> Result<std::result::Result<bool, String>> {
        match value {
            Value::Json(value) => match &*value {
                Json::Bool(value) => Ok(Ok(*value)),
                other => {
                    let error = self.failed(id, format!("this must be true or false, here is {}", functions::type_of(other)));
                    Err(error.hint("compare it: `x == 1`, `x != ''`"))
                }
            },
            Value::Unknown(after) => Ok(Err(after)),
            _ => Err(self.secret_here(id)),
        }
    }

    /// `||` (where true decides) and `&&` (where false does): the right side runs only if the left does not decide.
    fn logic(&mut self, decisive: bool, (left, front): (NodeId, Value<'a>), right: NodeId) -> Result<Value<'a>> {
        let first = self.truth(left, front)?;
        if first == Ok(decisive) {
            return Ok(Value::Json(Cow::Owned(Json::Bool(decisive))));
        }
        let value = self.node(right)?;
        let second = self.truth(right, value)?;
        Ok(match (first, second) {
            (_, Ok(it)) if it == decisive => Value::Json(Cow::Owned(Json::Bool(decisive))),
            (Err(after), _) | (_, Err(after)) => Value::Unknown(after),
            (Ok(_), Ok(it)) => Value::Json(Cow::Owned(Json::Bool(it))),
        })
    }

    fn operate(
        &mut self,
        id: NodeId,
        operator: Operator,
        left: (NodeId, Value<'a>),
        right: (NodeId, Value<'a>),
    ) -> Result<Value<'a>> {
        match (left, right) {
            ((_, Value::Json(a)), (_, Value::Json(b))) => {
                self.pay(id, functions::weight(&a) + functions::weight(&b))?;
                self.made(id, functions::binary(operator, a, b))
            }
            ((_, Value::Json(a)), (_, Value::Vars)) if operator == Operator::In => {
                let there = a.as_str().is_some_and(|name| self.names.var(name).is_some());
                Ok(Value::Json(Cow::Owned(Json::Bool(there))))
            }
            ((_, Value::Unknown(after)), (_, Value::Json(_) | Value::Unknown(_) | Value::Vars))
            | ((_, Value::Json(_)), (_, Value::Unknown(after))) => Ok(Value::Unknown(after)),
            ((_, Value::Secret(_)), (_, Value::Unknown(after))) | ((_, Value::Unknown(after)), (_, Value::Secret(_)))
                if operator == Operator::Add =>
            {
                Ok(Value::Unknown(after))
            }
            ((left_id, a), (right_id, b)) if operator == Operator::Add => {
                let mut parts = self.secret_parts(left_id, a)?;
                parts.extend(self.secret_parts(right_id, b)?);
                self.pay(id, parts.len() * 64)?;
                Ok(Value::Secret(parts))
            }
            ((left_id, Value::Secret(_)), _) => Err(self.secret_here(left_id)),
            (_, (right_id, _)) => Err(self.secret_here(right_id)),
        }
    }

    /// A side of `+` whose other side is a secret.
    fn secret_parts(&mut self, id: NodeId, value: Value<'a>) -> Result<Vec<SecretPart>> {
        match value {
            Value::Secret(parts) => {
                let bytes = parts.iter().map(|(SecretPart::Text(it) | SecretPart::Secret(it))| it.len()).sum();
                self.pay(id, bytes)?;
                Ok(parts)
            }
            Value::Json(value) => match value.as_str() {
                Some(text) => Ok(vec![SecretPart::Text(text.to_owned())]),
                None => Err(self.secret_here(id)),
            },
            _ => Err(self.secret_here(id)),
        }
    }

    fn select(&mut self, id: NodeId, inner: NodeId, front: Value<'a>, field: &str) -> Result<Value<'a>> {
        match front {
            Value::Vars => match self.names.var(field) {
                Some(value) => self.found(id, value),
                None => {
                    let known = self.names.variables();
                    Err(self.undefined(id, format!("there is no variable `{field}`"), field, &known))
                }
            },
            Value::Environment => Ok(Value::Json(Cow::Owned(Json::from(self.names.environment())))),
            Value::Resource(reference) => {
                let found = if field == "status" { self.names.status(reference) } else { self.names.spec(reference).map(Some) };
                match found.map_err(|error| self.named(inner, error))? {
                    Some(value) => self.found(id, value),
                    None => Ok(Value::Unknown(self.names.shortest(reference))),
                }
            }
            Value::Unknown(after) => Ok(Value::Unknown(after)),
            Value::Secret(_) => Err(self.secret_here(inner)),
            Value::Json(value) => self.member(id, value, field),
        }
    }

    fn member(&mut self, id: NodeId, value: Cow<'a, Json>, field: &str) -> Result<Value<'a>> {
        let map = match &value {
            Cow::Borrowed(Json::Object(map)) => map.get(field).map(Cow::Borrowed),
            Cow::Owned(Json::Object(map)) => map.get(field).cloned().map(Cow::Owned),
            Cow::Borrowed(Json::Null) | Cow::Owned(Json::Null) if self.names.is_partial() => {
                return Ok(Value::Unknown(String::new()));
            }
            other => {
                let error =
                    self.point(id, codes::EXPRESSION_FAILED, format!("{} has no field `{field}`", functions::type_of(other)));
                return Err(if other.is_array() { error.hint("take an item first: `[0]`") } else { error });
            }
        };
        match map {
            Some(found) => self.found(id, found),
            None if self.names.is_partial() => Ok(Value::Unknown(String::new())),
            None => {
                let known: Vec<&str> = value.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
                Err(self.undefined(id, format!("there is no field `{field}`"), field, &known))
            }
        }
    }

    /// An error whose caret is under the field or function name of the node.
    fn point(&self, id: NodeId, code: crate::diagnostic::Code, message: String) -> ExpressionError {
        let (start, end) = self.placed(id).map_or((0, 0), |it| it.point);
        ExpressionError::new(code, start, end, message)
    }

    fn undefined(&self, id: NodeId, message: String, name: &str, known: &[&str]) -> ExpressionError {
        let error = self.point(id, codes::EXPRESSION_UNDEFINED, message);
        let listed = || {
            let list: Vec<String> = known.iter().take(MAX_LISTED).map(|it| format!("`{it}`")).collect();
            let more = if known.len() > MAX_LISTED { ", …" } else { "" };
            (!list.is_empty()).then(|| format!("there is {}{more}", list.join(", ")))
        };
        let hint = did_you_mean(name, known.iter().copied()).or_else(listed);
        hint.into_iter().fold(error, ExpressionError::hint)
    }

    fn index(&mut self, id: NodeId, (inner, front): (NodeId, Value<'a>), index: NodeId, at: &Json) -> Result<Value<'a>> {
        if let Some(field) = at.as_str() {
            return self.select(id, inner, front, field);
        }
        let list = match front {
            Value::Json(list) => list,
            Value::Unknown(after) => return Ok(Value::Unknown(after)),
            Value::Secret(_) => return Err(self.secret_here(inner)),
            Value::Vars | Value::Environment | Value::Resource(_) => {
                return Err(self.failed(index, "this must be a name in quotes".to_owned()));
            }
        };
        let Some(length) = list.as_array().map(Vec::len) else {
            let what = functions::type_of(&list);
            return Err(self.failed(index, format!("{what} cannot be indexed by {}", functions::type_of(at))));
        };
        let position = functions::position(at);
        let item = position.and_then(|it| match &list {
            Cow::Borrowed(list) => list.get(it).map(Cow::Borrowed),
            Cow::Owned(list) => list.get(it).cloned().map(Cow::Owned),
        });
        match item {
            Some(item) => self.found(id, item),
            None if self.names.is_partial() => Ok(Value::Unknown(String::new())),
            None => {
                let items = if length == 1 { "1 item".to_owned() } else { format!("{length} items") };
                let (start, end) = self.span(index);
                let message = format!("there is no item {at} in a list of {items}");
                Err(ExpressionError::new(codes::EXPRESSION_UNDEFINED, start, end, message))
            }
        }
    }

    fn method(&mut self, id: NodeId, (inner, front): (NodeId, Value<'a>), name: &str, args: &[NodeId]) -> Result<Value<'a>> {
        let mut unknown = None;
        let args = self.parts(args, &mut unknown)?;
        match (front, unknown) {
            (Value::Json(target), None) => {
                let weight = functions::weight(&target) + args.iter().map(|it| functions::weight(it)).sum::<usize>();
                self.pay(id, weight)?;
                let args: Vec<&Json> = args.iter().map(|it| &**it).collect();
                let outcome = functions::method(name, &target, &args);
                self.made(id, outcome)
            }
            (Value::Unknown(after), _) | (Value::Json(_), Some(after)) => Ok(Value::Unknown(after)),
            (Value::Secret(_) | Value::Vars | Value::Environment | Value::Resource(_), _) => Err(self.secret_here(inner)),
        }
    }
}
