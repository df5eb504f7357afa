//! `trueup.dev/wait-for`: one expression over an object as it is, which holds or does not hold yet.
//!
//! Pure: who looks at the object again, when and how often is not decided here. What an object lacks may still come, so that
//! an undefined field is no fault but an unknown: `self.status.a == 1 || self.status.b == 1` holds with `b` alone.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::check;
use super::functions::{FUNCTIONS, type_of};
use super::parser::{Node, NodeId, Operator, Tree};
use super::{Evaluated, ExpressionError, NameError, Names, Piece, Template};
use crate::diagnostic::codes;
use crate::value::{Json, Path, unknown};

/// A parsed condition. Cheap to clone.
#[derive(Clone, PartialEq)]
pub struct Condition {
    text: Arc<str>,
    template: Template,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A field of the object that a condition reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnField {
    /// Behind `self`, as far as it is fixed by the text.
    pub path: Path,
    /// Bytes of the text; `end` is exclusive.
    pub start: usize,
    pub end: usize,
}

impl Condition {
    /// Parses a condition.
    ///
    /// # Errors
    ///
    /// As [`Template::bare`]; also a name other than `self`, `vars` and `env`, an expression without `self`, which could never
    /// change, and one that cannot come to true or false.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let template = Template::bare(text)?;
        let this = Self { text: text.trim().into(), template };
        let Some(tree) = this.tree() else { return Ok(this) };
        for placed in &tree.nodes {
            if let Node::Call(name, _) = &placed.node
                && matches!(name.as_str(), "ref" | "secret")
            {
                let message = format!("`{name}` cannot stand in a condition, which is about its own object");
                let error = ExpressionError::new(codes::EXPRESSION_PLACE, placed.start, placed.end, message);
                return Err(error.hint("use `self`, `vars` and `env`; to wait for another resource, give that one the condition"));
            }
        }
        let (start, end) = tree.nodes.get(tree.root).map_or((0, text.len()), |it| (it.start, it.end));
        if let Some(what) = never_true(tree, tree.root) {
            return Err(no_truth(start, end, what));
        }
        if this.template.own().is_empty() {
            let message = "the condition does not look at the object, so that it could never change";
            let error = ExpressionError::new(codes::EXPRESSION_FAILED, start, end, message);
            return Err(error.hint("name a field of the object, such as `self.status.ready`"));
        }
        Ok(this)
    }

    /// Looks for what the values that are known already forbid: a variable that does not exist, a comparison of values that
    /// cannot be compared.
    ///
    /// # Errors
    ///
    /// The first fault.
    pub fn check(&self, vars: &Json, environment: &str) -> Result<(), ExpressionError> {
        match self.evaluate(&unknown("self"), vars, environment, false)? {
            Evaluated::Unknown(_) | Evaluated::Value(Json::Bool(_)) => Ok(()),
            other => Err(self.no_bool(&other)),
        }
    }

    /// Whether it holds for an object: its document with `status` in it. What the object lacks counts as not yet.
    ///
    /// # Errors
    ///
    /// What evaluates to no truth value, or cannot be evaluated whatever may still come.
    pub fn holds(&self, object: &Json, vars: &Json, environment: &str) -> Result<bool, ExpressionError> {
        match self.evaluate(object, vars, environment, true)? {
            Evaluated::Value(Json::Bool(holds)) => Ok(holds),
            Evaluated::Unknown(_) => Ok(false),
            other => Err(self.no_bool(&other)),
        }
    }

    /// The fields of the object that it reads, in order of the text.
    pub fn fields(&self) -> Vec<OwnField> {
        let mut fields = self.tree().map(check::own_fields).unwrap_or_default();
        fields.sort_by_key(|it| it.start);
        fields
    }

    fn tree(&self) -> Option<&Tree> {
        match self.template.inner.pieces.as_slice() {
            [Piece::Expression(tree)] => Some(tree),
            _ => None,
        }
    }

    fn evaluate(&self, own: &Json, vars: &Json, environment: &str, partial: bool) -> Result<Evaluated, ExpressionError> {
        self.template.evaluate(&Own { own, vars, environment, partial })
    }

    fn no_bool(&self, value: &Evaluated) -> ExpressionError {
        let what = match value {
            Evaluated::Value(value) => type_of(value),
            Evaluated::Unknown(_) | Evaluated::Secret { .. } => "a secret",
        };
        no_truth(0, self.text.len(), what)
    }
}

fn no_truth(start: usize, end: usize, what: &str) -> ExpressionError {
    let message = format!("a condition must come to true or false, and this comes to {what}");
    ExpressionError::new(codes::EXPRESSION_FAILED, start, end, message).hint("compare it: `x == 1`, `x != ''`, `x != null`")
}

/// What a node comes to where that is told by the text, and is no truth value.
fn never_true(tree: &Tree, id: NodeId) -> Option<&'static str> {
    match &tree.nodes.get(id)?.node {
        Node::Null => Some("null"),
        Node::Whole(_) | Node::Decimal(_) | Node::Negate(_) => Some("a number"),
        Node::Text(_) => Some("a text"),
        Node::List(_) => Some("a list"),
        Node::Mapping(_) => Some("a mapping"),
        Node::Binary(Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder, ..) => Some("a number"),
        Node::Binary(Operator::Add, ..) => Some("a sum"),
        Node::Condition(_, yes, no) => never_true(tree, *yes).or_else(|| never_true(tree, *no)),
        Node::Call(name, _) => match name.as_str() {
            "size" | "int" | "double" => Some("a number"),
            "string" => Some("a text"),
            name => (!FUNCTIONS.iter().any(|(it, ..)| *it == name)).then_some("no value"),
        },
        Node::Method(_, name, _) => match name.as_str() {
            "contains" | "startsWith" | "endsWith" | "item" => None,
            "size" | "indexOf" | "lastIndexOf" => Some("a number"),
            "split" => Some("a list"),
            // Of a list it is a list, of a text a text.
            _ => Some("a text"),
        },
        Node::Bool(_) | Node::Name(_) | Node::Not(_) | Node::Binary(..) | Node::Select(..) | Node::Index(..) => None,
    }
}

/// What the names of a condition stand for.
struct Own<'a> {
    own: &'a Json,
    vars: &'a Json,
    environment: &'a str,
    partial: bool,
}

fn elsewhere() -> NameError {
    NameError { code: codes::EXPRESSION_PLACE, message: "other resources cannot be used here".to_owned(), hint: None }
}

impl Names for Own<'_> {
    fn var(&self, name: &str) -> Option<Cow<'_, Json>> {
        self.vars.get(name).map(Cow::Borrowed)
    }

    fn variables(&self) -> Vec<&str> {
        self.vars.as_object().map_or_else(Vec::new, |it| it.keys().map(String::as_str).collect())
    }

    fn environment(&self) -> &str {
        self.environment
    }

    fn spec(&self, _: &str) -> Result<Cow<'_, Json>, NameError> {
        Err(elsewhere())
    }

    fn status(&self, _: &str) -> Result<Option<Cow<'_, Json>>, NameError> {
        Err(elsewhere())
    }

    fn secret_granted(&self, _: &str) -> bool {
        false
    }

    fn itself(&self) -> Option<Cow<'_, Json>> {
        Some(Cow::Borrowed(self.own))
    }

    fn is_partial(&self) -> bool {
        self.partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;
    use crate::value::json;

    #[track_caller]
    fn refused(text: &str, code: Code, place: &str, words: &str) {
        let vars = json!({"wanted": 3, "mode": "fast"});
        let error = Condition::parse(text).and_then(|it| it.check(&vars, "prod")).expect_err(text);
        let at = text.find(place).unwrap();
        assert_eq!((error.code, error.start, error.end), (code, at, at + place.len()), "{text}: {error}");
        assert!(error.message.contains(words), "{text}: {error}");
    }

    #[track_caller]
    fn check(text: &str, object: Json, want: Result<bool, &str>) {
        let vars = json!({"wanted": 3});
        let condition = Condition::parse(text).unwrap();
        condition.check(&vars, "prod").unwrap();
        let got = condition.holds(&object, &vars, "prod");
        match want {
            Ok(want) => assert_eq!(got, Ok(want), "{text} of {object}"),
            Err(words) => assert!(got.as_ref().is_err_and(|it| it.message.contains(words)), "{text} of {object}: {got:?}"),
        }
    }

    #[test]
    fn what_can_never_be_a_condition_is_told_by_its_text_with_a_place() {
        use codes::{EXPRESSION_FAILED, EXPRESSION_PLACE, EXPRESSION_SYNTAX, EXPRESSION_UNDEFINED};
        refused("self.status.n == ref('Job/x').status.n", EXPRESSION_PLACE, "ref('Job/x')", "about its own object");
        refused("self.status.n == secret('x')", EXPRESSION_PLACE, "secret('x')", "about its own object");
        refused("vars.wanted == 3", EXPRESSION_FAILED, "vars.wanted == 3", "does not look at the object");
        refused("size(self.status.list)", EXPRESSION_FAILED, "size(self.status.list)", "comes to a number");
        refused("self.status.n + 1", EXPRESSION_FAILED, "self.status.n + 1", "comes to a sum");
        refused("self.status.ok ? 'yes' : 'no'", EXPRESSION_FAILED, "self.status.ok ? 'yes' : 'no'", "comes to a text");
        refused("self.status.n == vars.wantd", EXPRESSION_UNDEFINED, "wantd", "no variable `wantd`");
        refused("status.n == 1", EXPRESSION_UNDEFINED, "status", "`status` is not defined");
        let error = Condition::parse("self.status.n >").unwrap_err();
        assert_eq!((error.code, error.start), (EXPRESSION_SYNTAX, 15));
        refused("self.status.list.all(it, it.ok)", EXPRESSION_SYNTAX, "all", "comprehensions");
    }

    #[test]
    fn what_an_object_lacks_is_not_yet_and_no_fault() {
        check("self.status.succeeded == 1", json!({"status": {}}), Ok(false));
        check("self.status.succeeded == 1", json!({"status": {"succeeded": 0}}), Ok(false));
        check("self.status.succeeded == 1", json!({"status": {"succeeded": 1}}), Ok(true));
        check("self.status.a.b.c != null", json!({"status": {"a": null}}), Ok(false));
        check("self.status.ingress[0].ip != null", json!({"status": {"ingress": []}}), Ok(false));
        check("self.status.ingress[0].ip != null", json!({"status": {"ingress": [{"ip": "192.0.2.1"}]}}), Ok(true));
        check("has(self.status.ingress)", json!({"status": {}}), Ok(false));
        check("!has(self.status.error)", json!({"status": {}}), Ok(true));
        check("self.status.ready >= vars.wanted", json!({"status": {"ready": 3}}), Ok(true));
        check("self.status.ready == self.spec.replicas", json!({"spec": {"replicas": 2}, "status": {"ready": 2}}), Ok(true));
        check("env.name == 'prod' && self.status.ok", json!({"status": {"ok": true}}), Ok(true));
    }

    #[test]
    fn one_side_that_is_not_there_yet_does_not_hide_the_other() {
        for text in ["self.status.a == 1 || self.status.b == 1", "self.status.b == 1 || self.status.a == 1"] {
            check(text, json!({"status": {"b": 1}}), Ok(true));
        }
        check("self.status.a == 1 && self.status.b == 1", json!({"status": {"b": 1}}), Ok(false));
        check("!(self.status.a == 1)", json!({"status": {}}), Ok(false));
    }

    #[test]
    fn an_item_of_a_list_is_found_by_a_field_of_it() {
        let text = "self.status.conditions.item('type', 'Ready').status == 'True'";
        let conditions = |ready: &str| json!({"status": {"conditions": [3, {"type": "Other", "status": "True"}, {"type": "Ready", "status": ready}]}});
        check(text, conditions("True"), Ok(true));
        check(text, conditions("False"), Ok(false));
        check(text, json!({"status": {"conditions": []}}), Ok(false));
        check(text, json!({"status": {}}), Ok(false));
        check("self.status.text.item('a', 'b') == 1", json!({"status": {"text": "x"}}), Err("`item` takes a list"));
    }

    #[test]
    fn a_value_that_is_neither_true_nor_false_is_an_error() {
        check("self.status.ready", json!({"status": {"ready": "yes"}}), Err("comes to a text"));
        check("self.status.n && true", json!({"status": {"n": 1}}), Err("must be true or false"));
        check("self.status.n > 'x'", json!({"status": {"n": 1}}), Err(""));
    }

    #[test]
    fn the_fields_that_are_read_are_told_with_their_places() {
        let condition = Condition::parse("self.status.a[0].b == 1 && has(self.spec.x)").unwrap();
        let fields: Vec<_> = condition.fields().into_iter().map(|it| (it.path.to_string(), it.start, it.end)).collect();
        assert_eq!(fields, [("status.a[0].b".to_owned(), 0, 18), ("spec.x".to_owned(), 31, 42)]);
    }
}
