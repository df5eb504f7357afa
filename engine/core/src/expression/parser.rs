//! From tokens to a tree in one list of nodes.
//!
//! The grammar is CEL's. Chains (`a + b + c`, `a.b.c`) are built in a loop and nesting is counted, so that no accepted
//! text takes more stack than [`MAX_DEPTH`] levels, here or in the evaluation.

use super::ExpressionError;
use super::lexer::{Kind, Token, limit, syntax};

/// Brackets, arguments, signs and conditions inside one another.
pub const MAX_DEPTH: usize = 32;

/// Index of a node in [`Tree::nodes`]; children come before their parents.
pub type NodeId = usize;

/// An operator between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// The operator of a token and how tightly it binds.
    fn of(kind: &Kind) -> Option<(Self, u8)> {
        Some(match kind {
            Kind::Sign("||") => (Self::Or, 1),
            Kind::Sign("&&") => (Self::And, 2),
            Kind::Sign("==") => (Self::Equal, 3),
            Kind::Sign("!=") => (Self::NotEqual, 3),
            Kind::Sign("<") => (Self::Less, 3),
            Kind::Sign("<=") => (Self::LessEqual, 3),
            Kind::Sign(">") => (Self::Greater, 3),
            Kind::Sign(">=") => (Self::GreaterEqual, 3),
            Kind::Name(name) if name == "in" => (Self::In, 3),
            Kind::Sign("+") => (Self::Add, 4),
            Kind::Sign("-") => (Self::Subtract, 4),
            Kind::Sign("*") => (Self::Multiply, 5),
            Kind::Sign("/") => (Self::Divide, 5),
            Kind::Sign("%") => (Self::Remainder, 5),
            _ => return None,
        })
    }

    /// As written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Null,
    Bool(bool),
    Whole(i64),
    Decimal(f64),
    Text(String),
    Name(String),
    List(Vec<NodeId>),
    Mapping(Vec<(NodeId, NodeId)>),
    Not(NodeId),
    Negate(NodeId),
    Binary(Operator, NodeId, NodeId),
    Condition(NodeId, NodeId, NodeId),
    Select(NodeId, String),
    Index(NodeId, NodeId),
    Call(String, Vec<NodeId>),
    Method(NodeId, String, Vec<NodeId>),
}

impl Node {
    /// The operand that is evaluated first and stands in front: the way down a chain.
    pub fn front(&self) -> Option<NodeId> {
        match self {
            Self::Binary(_, first, _) | Self::Condition(first, ..) | Self::Select(first, _) | Self::Index(first, _) => {
                Some(*first)
            }
            Self::Method(target, ..) => Some(*target),
            _ => None,
        }
    }
}

/// A node and its place: bytes of the whole text, `end` exclusive.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub node: Node,
    pub start: usize,
    pub end: usize,
    /// Where the field, operator or function name of the node stands: what a caret points at.
    pub point: (usize, usize),
}

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    pub nodes: Vec<Placed>,
    pub root: NodeId,
}

/// Parses the tokens of one expression.
pub fn parse(tokens: &[Token]) -> Result<Tree, ExpressionError> {
    let mut parser = Parser { tokens, at: 0, nodes: Vec::new(), depth: 0 };
    if parser.peek().kind == Kind::End {
        return Err(
            syntax(parser.peek().start, parser.peek().end, "an expression is empty").hint("write a name such as `vars.name`")
        );
    }
    let root = parser.expression()?;
    if parser.peek().kind != Kind::End {
        return Err(parser.unexpected("an operator or the end"));
    }
    Ok(Tree { nodes: parser.nodes, root })
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    nodes: Vec<Placed>,
    depth: usize,
}

/// Stands in where the list of tokens is empty, which the lexer never gives.
const NOTHING: Token = Token { kind: Kind::End, start: 0, end: 0 };

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a Token {
        self.tokens.get(self.at).or(self.tokens.last()).unwrap_or(&NOTHING)
    }

    fn next(&mut self) -> &'a Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek().kind, Kind::Sign(it) if it == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<usize, ExpressionError> {
        let end = self.peek().end;
        if self.take(sign) { Ok(end) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> ExpressionError {
        let token = self.peek();
        let found = match &token.kind {
            Kind::Name(name) => format!("`{name}`"),
            Kind::Whole(number) => format!("`{number}`"),
            Kind::Decimal(number) => format!("`{number}`"),
            Kind::Text(_) => "a text".to_owned(),
            Kind::Sign(sign) => format!("`{sign}`"),
            Kind::End => "the end of the expression".to_owned(),
        };
        syntax(token.start, token.end, format!("expected {wanted}, found {found}"))
    }

    fn start(&self, id: NodeId) -> usize {
        self.nodes.get(id).map_or(0, |it| it.start)
    }

    fn end(&self, id: NodeId) -> usize {
        self.nodes.get(id).map_or(0, |it| it.end)
    }

    fn push(&mut self, node: Node, start: usize, end: usize, point: (usize, usize)) -> NodeId {
        self.nodes.push(Placed { node, start, end, point });
        self.nodes.len() - 1
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, ExpressionError>) -> Result<T, ExpressionError> {
        if self.depth >= MAX_DEPTH {
            let token = self.peek();
            return Err(limit(token.start, token.end, format!("an expression is nested deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let out = inner(self);
        self.depth -= 1;
        out
    }

    /// `a ? b : c`, or an operation.
    fn expression(&mut self) -> Result<NodeId, ExpressionError> {
        let condition = self.operation(1)?;
        let sign = self.peek();
        if !self.take("?") {
            return Ok(condition);
        }
        let (yes, no) = self.nested(|it| {
            let yes = it.expression()?;
            it.expect(":")?;
            Ok((yes, it.expression()?))
        })?;
        let (start, end) = (self.start(condition), self.end(no));
        Ok(self.push(Node::Condition(condition, yes, no), start, end, (sign.start, sign.end)))
    }

    /// Operators that bind at least as tightly as `least`, from left to right.
    fn operation(&mut self, least: u8) -> Result<NodeId, ExpressionError> {
        let mut left = self.signed()?;
        while let Some((operator, strength)) = Operator::of(&self.peek().kind).filter(|(_, strength)| *strength >= least) {
            let token = self.next();
            let right = self.operation(strength + 1)?;
            let (start, end) = (self.start(left), self.end(right));
            left = self.push(Node::Binary(operator, left, right), start, end, (token.start, token.end));
        }
        Ok(left)
    }

    /// `!x`, `-x`, or a value with what follows it.
    fn signed(&mut self) -> Result<NodeId, ExpressionError> {
        let token = self.peek();
        let point = (token.start, token.end);
        if self.take("!") {
            let inner = self.nested(Self::signed)?;
            let end = self.end(inner);
            return Ok(self.push(Node::Not(inner), token.start, end, point));
        }
        if !self.take("-") {
            return self.value();
        }
        if let Kind::Whole(magnitude) = self.peek().kind {
            let number = self.next();
            let value = 0_i64.checked_sub_unsigned(magnitude).ok_or_else(|| too_large(number))?;
            let id = self.push(Node::Whole(value), token.start, number.end, point);
            return self.tail(id);
        }
        let inner = self.nested(Self::signed)?;
        let end = self.end(inner);
        Ok(self.push(Node::Negate(inner), token.start, end, point))
    }

    fn value(&mut self) -> Result<NodeId, ExpressionError> {
        let token = self.next();
        let node = match &token.kind {
            Kind::Whole(magnitude) => Node::Whole(i64::try_from(*magnitude).map_err(|_| too_large(token))?),
            Kind::Decimal(number) => Node::Decimal(*number),
            Kind::Text(text) => Node::Text(text.clone()),
            Kind::Name(name) => match name.as_str() {
                "true" => Node::Bool(true),
                "false" => Node::Bool(false),
                "null" => Node::Null,
                _ if self.take("(") => {
                    let (args, end) = self.arguments(")")?;
                    let id = self.push(Node::Call(name.clone(), args), token.start, end, (token.start, token.end));
                    return self.tail(id);
                }
                _ => Node::Name(name.clone()),
            },
            Kind::Sign("(") => {
                let inner = self.nested(Self::expression)?;
                self.expect(")")?;
                return self.tail(inner);
            }
            Kind::Sign("[") => {
                let (items, end) = self.arguments("]")?;
                let id = self.push(Node::List(items), token.start, end, (token.start, end));
                return self.tail(id);
            }
            Kind::Sign("{") => return self.mapping(token),
            Kind::Sign(_) | Kind::End => {
                self.at -= 1;
                return Err(self.unexpected("a value"));
            }
        };
        let id = self.push(node, token.start, token.end, (token.start, token.end));
        self.tail(id)
    }

    /// `.field`, `.method(…)` and `[index]` after a value.
    fn tail(&mut self, mut value: NodeId) -> Result<NodeId, ExpressionError> {
        loop {
            let start = self.start(value);
            if self.take(".") {
                let Kind::Name(name) = &self.peek().kind else { return Err(self.unexpected("a field name")) };
                let token = self.next();
                let point = (token.start, token.end);
                value = if self.take("(") {
                    let (args, end) = self.arguments(")")?;
                    self.push(Node::Method(value, name.clone(), args), start, end, point)
                } else {
                    self.push(Node::Select(value, name.clone()), start, token.end, point)
                };
            } else if self.take("[") {
                let index = self.nested(Self::expression)?;
                let end = self.expect("]")?;
                let point = (self.start(index), self.end(index));
                value = self.push(Node::Index(value, index), start, end, point);
            } else {
                return Ok(value);
            }
        }
    }

    /// Values with commas up to `close`; a comma may stand after the last. Returns where `close` ends.
    fn arguments(&mut self, close: &'static str) -> Result<(Vec<NodeId>, usize), ExpressionError> {
        let mut out = Vec::new();
        loop {
            let end = self.peek().end;
            if self.take(close) {
                return Ok((out, end));
            }
            out.push(self.nested(Self::expression)?);
            if !self.take(",") {
                return Ok((out, self.expect(close)?));
            }
        }
    }

    fn mapping(&mut self, open: &Token) -> Result<NodeId, ExpressionError> {
        let mut entries = Vec::new();
        let end = loop {
            let end = self.peek().end;
            if self.take("}") {
                break end;
            }
            entries.push(self.nested(|it| {
                let key = it.expression()?;
                it.expect(":")?;
                Ok((key, it.expression()?))
            })?);
            if !self.take(",") {
                break self.expect("}")?;
            }
        };
        let id = self.push(Node::Mapping(entries), open.start, end, (open.start, end));
        self.tail(id)
    }
}

fn too_large(token: &Token) -> ExpressionError {
    syntax(token.start, token.end, "this number is too large").hint("quote it")
}
