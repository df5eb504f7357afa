//! What can be told of an expression before it runs: which names it uses, and whether they exist at all.

use std::collections::BTreeSet;

use super::functions;
use super::lexer::syntax;
use super::parser::{Node, NodeId, Operator, Placed, Tree};
use super::{ExpressionError, OwnField, Reference};
use crate::diagnostic::codes;
use crate::schema::suggest::did_you_mean;
use crate::value::{Path, Segment};

/// CEL's comprehensions.
const COMPREHENSIONS: [&str; 8] = ["all", "exists", "exists_one", "existsOne", "map", "filter", "transformList", "transformMap"];

const NAMES: &str = "names are `vars.…`, `env.name`, `ref('Kind/name')`, `secret('name')` and `self`";

/// What the expressions of one template use.
#[derive(Default, PartialEq)]
pub struct Facts {
    pub references: Vec<Reference>,
    pub secrets: Vec<String>,
    pub vars: bool,
    pub own: Vec<Path>,
}

impl Facts {
    /// Adds what `tree` uses.
    pub fn gather(&mut self, tree: &Tree) -> Result<(), ExpressionError> {
        let parents = parents(tree);
        let check = Check { tree, parents: &parents };
        for placed in &tree.nodes {
            function(placed)?;
        }
        let mut secrets: BTreeSet<String> = std::mem::take(&mut self.secrets).into_iter().collect();
        for (id, placed) in tree.nodes.iter().enumerate() {
            match &placed.node {
                Node::Name(name) => match name.as_str() {
                    "vars" => {
                        check.vars(id, placed)?;
                        self.vars = true;
                    }
                    "env" => check.env(id, placed)?,
                    "self" => self.own.push(Path(check.path(id).0)),
                    _ => return Err(undefined(placed, name)),
                },
                Node::Call(name, args) if name == "ref" => self.references.push(check.reference(id, placed, args)?),
                Node::Call(name, args) if name == "secret" => {
                    secrets.insert(check.literal(placed, args, "secret('name')")?.to_owned());
                }
                Node::Call(name, args) if name == "has" => check.presence(placed, args)?,
                _ => {}
            }
        }
        self.secrets = secrets.into_iter().collect();
        self.references.sort_by_key(|it| it.start);
        Ok(())
    }
}

/// Every `self` with what is fixed behind it.
pub fn own_fields(tree: &Tree) -> Vec<OwnField> {
    let parents = parents(tree);
    let check = Check { tree, parents: &parents };
    let names = tree.nodes.iter().enumerate().filter(|(_, it)| matches!(&it.node, Node::Name(name) if name == "self"));
    let field = |(id, placed): (usize, &Placed)| {
        let (path, last) = check.path(id);
        OwnField { path: Path(path), start: placed.start, end: tree.nodes.get(last).map_or(placed.end, |it| it.end) }
    };
    names.map(field).collect()
}

/// The node that each node stands in.
fn parents(tree: &Tree) -> Vec<Option<NodeId>> {
    let mut out = vec![None; tree.nodes.len()];
    for (id, placed) in tree.nodes.iter().enumerate() {
        let mut set = |child: &NodeId| {
            if let Some(slot) = out.get_mut(*child) {
                *slot = Some(id);
            }
        };
        match &placed.node {
            Node::Null | Node::Bool(_) | Node::Whole(_) | Node::Decimal(_) | Node::Text(_) | Node::Name(_) => {}
            Node::List(items) | Node::Call(_, items) => items.iter().for_each(set),
            Node::Mapping(entries) => entries.iter().for_each(|(key, value)| {
                set(key);
                set(value);
            }),
            Node::Not(inner) | Node::Negate(inner) | Node::Select(inner, _) => set(inner),
            Node::Binary(_, a, b) | Node::Index(a, b) => [a, b].into_iter().for_each(set),
            Node::Condition(a, b, c) => [a, b, c].into_iter().for_each(set),
            Node::Method(target, _, args) => {
                set(target);
                args.iter().for_each(set);
            }
        }
    }
    out
}

/// Whether a function that is called exists and takes that many arguments.
fn function(placed: &Placed) -> Result<(), ExpressionError> {
    let (name, given, table, dot) = match &placed.node {
        Node::Call(name, args) => (name, args.len(), functions::FUNCTIONS, ""),
        Node::Method(_, name, args) => (name, args.len(), functions::METHODS, "."),
        _ => return Ok(()),
    };
    let (start, end) = placed.point;
    if dot == "." && COMPREHENSIONS.contains(&name.as_str()) {
        let error =
            syntax(start, end, format!("`{name}` is not part of this language: the cost of comprehensions cannot be bounded"));
        return Err(error.hint("write the items out, or put the result into `vars`"));
    }
    let Some((_, least, most)) = table.iter().find(|(it, ..)| it == name) else {
        let other = if dot.is_empty() { functions::METHODS } else { functions::FUNCTIONS };
        let turned = other.iter().any(|(it, ..)| it == name);
        let hint = match (turned, dot.is_empty()) {
            (true, true) => Some(format!("write it behind its value: `vars.x.{name}()`")),
            (true, false) => Some(format!("write it around its value: `{name}(vars.x)`")),
            (false, _) => did_you_mean(name, table.iter().map(|(it, ..)| *it)).or_else(|| {
                let names: Vec<&str> = table.iter().map(|(it, ..)| *it).collect();
                Some(format!("there are {}; `trueup help expressions` says what they do", names.join(", ")))
            }),
        };
        let error = ExpressionError::new(codes::EXPRESSION_UNDEFINED, start, end, format!("there is no function `{name}`"));
        return Err(hint.into_iter().fold(error, ExpressionError::hint));
    };
    if (*least..=*most).contains(&given) {
        return Ok(());
    }
    let count = if least == most { least.to_string() } else { format!("{least} to {most}") };
    Err(syntax(start, end, format!("`{name}` takes {count} argument{}, here are {given}", if count == "1" { "" } else { "s" })))
}

fn undefined(placed: &Placed, name: &str) -> ExpressionError {
    let hint = match name {
        "var" => "write `vars.name`: `var` is reserved in CEL".to_owned(),
        "ref" | "secret" => format!("write `{name}('…')`"),
        _ => did_you_mean(name, ["vars", "env", "self"]).unwrap_or_else(|| NAMES.to_owned()),
    };
    ExpressionError::new(codes::EXPRESSION_UNDEFINED, placed.start, placed.end, format!("`{name}` is not defined")).hint(hint)
}

struct Check<'a> {
    tree: &'a Tree,
    parents: &'a [Option<NodeId>],
}

impl<'a> Check<'a> {
    fn node(&self, id: NodeId) -> Option<&'a Node> {
        self.tree.nodes.get(id).map(|it| &it.node)
    }

    fn parent(&self, id: NodeId) -> Option<(NodeId, &'a Node)> {
        let parent = self.parents.get(id).copied().flatten()?;
        Some((parent, self.node(parent)?))
    }

    /// Fixed fields and positions behind the node, and the last node of that chain.
    fn path(&self, id: NodeId) -> (Vec<Segment>, NodeId) {
        let mut out = Vec::new();
        let mut at = id;
        while let Some((parent, node)) = self.parent(at) {
            let segment = match node {
                Node::Select(front, field) if *front == at => Segment::Key(field.clone()),
                Node::Index(front, index) if *front == at => match self.node(*index) {
                    Some(Node::Text(key)) => Segment::Key(key.clone()),
                    Some(Node::Whole(position)) if *position >= 0 => {
                        Segment::Index(usize::try_from(*position).unwrap_or(usize::MAX))
                    }
                    _ => break,
                },
                _ => break,
            };
            out.push(segment);
            at = parent;
        }
        (out, at)
    }

    fn vars(&self, id: NodeId, placed: &Placed) -> Result<(), ExpressionError> {
        match self.parent(id) {
            Some((_, Node::Select(..) | Node::Binary(Operator::In, ..))) => Ok(()),
            Some((_, Node::Index(front, _))) if *front == id => Ok(()),
            _ => Err(syntax(placed.start, placed.end, "`vars` alone is not a value").hint("write `vars.name`")),
        }
    }

    fn env(&self, id: NodeId, placed: &Placed) -> Result<(), ExpressionError> {
        match self.parent(id) {
            Some((_, Node::Select(_, field))) if field == "name" => Ok(()),
            _ => Err(syntax(placed.start, placed.end, "of `env` there is only `env.name`").hint("other values belong in `vars`")),
        }
    }

    /// The one literal text that `ref` and `secret` take.
    fn literal(&self, placed: &Placed, args: &[NodeId], form: &str) -> Result<&'a str, ExpressionError> {
        let arg = args.first().and_then(|it| self.tree.nodes.get(*it));
        match arg.map(|it| &it.node) {
            Some(Node::Text(text)) if !text.trim().is_empty() => Ok(text),
            _ => {
                let (start, end) = arg.map_or(placed.point, |it| (it.start, it.end));
                let error = syntax(start, end, "this must be one literal text, so that it is known before anything runs");
                Err(error.hint(format!("write `{form}`")))
            }
        }
    }

    fn reference(&self, id: NodeId, placed: &Placed, args: &[NodeId]) -> Result<Reference, ExpressionError> {
        let text = self.literal(placed, args, "ref('Kind/name').spec.field")?;
        let (path, _) = self.path(id);
        let status = match path.first() {
            Some(Segment::Key(field)) if field == "spec" => false,
            Some(Segment::Key(field)) if field == "status" => true,
            other => {
                let (start, end) = match self.parent(id) {
                    Some((parent, Node::Select(..))) if other.is_some() => {
                        self.tree.nodes.get(parent).map_or(placed.point, |it| it.point)
                    }
                    _ => (placed.start, placed.end),
                };
                let error = syntax(start, end, "of a `ref()` there are only `.spec` and `.status`");
                return Err(error.hint(format!("write `ref('{text}').spec.field` or `ref('{text}').status.field`")));
            }
        };
        let path = Path(path.into_iter().skip(1).collect());
        Ok(Reference { text: text.to_owned(), status, path, start: placed.start, end: placed.end })
    }

    fn presence(&self, placed: &Placed, args: &[NodeId]) -> Result<(), ExpressionError> {
        match args.first().and_then(|it| self.node(*it)) {
            Some(Node::Select(front, _)) if !matches!(self.node(*front), Some(Node::Call(name, _)) if name == "ref") => Ok(()),
            _ => Err(syntax(placed.start, placed.end, "`has` takes a field").hint("write `has(vars.name)`")),
        }
    }
}
