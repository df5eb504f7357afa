//! Tokens of an expression, with their places in the text that holds it.
//!
//! The one reader of characters: it knows texts and nested braces, so that `}}` within them does not end a `${{ … }}`,
//! and it counts, so that nothing past the limits of an expression reaches the parser.

use super::ExpressionError;
use crate::diagnostic::codes;

/// Bytes of one expression.
pub const MAX_LENGTH: usize = 4096;
/// Tokens of one expression; no expression has more nodes than tokens.
pub const MAX_TOKENS: usize = 1000;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Name(String),
    /// Magnitude of a whole number; a sign before it is an operator.
    Whole(u64),
    Decimal(f64),
    Text(String),
    /// An operator, bracket or separator.
    Sign(&'static str),
    End,
}

/// One token; `start` and `end` are bytes of the whole text, `end` exclusive.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Longest first, so that the first that fits is the right one.
const SIGNS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", ",", ".", "?", ":", "+", "-", "*", "/", "%", "<", ">", "!",
];

/// Where an expression ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// At `}}` outside texts and braces.
    Close,
    /// At the end of the text.
    End,
}

/// Reads the tokens of the expression that begins at byte `start` of `text`; the last is [`Kind::End`], spanning the `}}`
/// or nothing at the end of the text.
pub fn read(text: &str, start: usize, until: Until) -> Result<Vec<Token>, ExpressionError> {
    let mut lexer = Lexer { text, at: start, begin: start, braces: 0, tokens: Vec::new() };
    loop {
        lexer.skip_space();
        if lexer.at - start > MAX_LENGTH {
            return Err(limit(start, lexer.at, format!("an expression is longer than {MAX_LENGTH} bytes")));
        }
        if lexer.tokens.len() >= MAX_TOKENS {
            return Err(limit(start, lexer.at, format!("an expression has more than {MAX_TOKENS} parts")));
        }
        let rest = lexer.rest();
        let closed = until == Until::Close && lexer.braces == 0 && rest.starts_with("}}");
        if closed || (until == Until::End && rest.is_empty()) {
            let end = lexer.at;
            lexer.at += if closed { 2 } else { 0 };
            lexer.push(Kind::End, end);
            return Ok(lexer.tokens);
        }
        if rest.is_empty() {
            return Err(lexer.unclosed());
        }
        lexer.token()?;
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// First byte of the expression.
    begin: usize,
    /// Open `{`.
    braces: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{c}']).len();
    }

    fn push(&mut self, kind: Kind, start: usize) {
        self.tokens.push(Token { kind, start, end: self.at });
    }

    fn unclosed(&self) -> ExpressionError {
        let start = self.begin.saturating_sub(3);
        syntax(start, self.begin, "`${{` is never closed by `}}`").hint("write `$${{` for a literal `${{`")
    }

    fn token(&mut self) -> Result<(), ExpressionError> {
        let start = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(()) };
        match first {
            '"' | '\'' => self.quoted(start, false),
            'r' | 'R' if rest.get(1..).is_some_and(|it| it.starts_with(['"', '\''])) => {
                self.at += 1;
                self.quoted(start, true)
            }
            'b' | 'B' if rest.get(1..).is_some_and(|it| it.starts_with(['"', '\''])) => {
                Err(syntax(start, start + 1, "bytes are not values of a document").hint("write a text without the `b`"))
            }
            '0'..='9' => self.number(start),
            'a'..='z' | 'A'..='Z' | '_' => {
                let name = rest.split(|it: char| !it.is_ascii_alphanumeric() && it != '_').next().unwrap_or_default();
                let kind = Kind::Name(name.to_owned());
                self.at += name.len();
                self.push(kind, start);
                Ok(())
            }
            _ => self.sign(start, first),
        }
    }

    fn sign(&mut self, start: usize, first: char) -> Result<(), ExpressionError> {
        let rest = self.rest();
        let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) else {
            let hint = match first {
                '=' => Some("equality is `==`"),
                '&' => Some("and is `&&`"),
                '|' => Some("or is `||`; there are no pipes, write a function: `vars.name.lowerAscii()`"),
                '$' => Some("names stand bare inside `${{ }}`: `vars.name`"),
                _ => None,
            };
            let error = syntax(start, start + first.len_utf8(), format!("`{}` has no meaning here", first.escape_debug()));
            return Err(hint.into_iter().fold(error, ExpressionError::hint));
        };
        match *sign {
            "{" => self.braces += 1,
            "}" => self.braces = self.braces.saturating_sub(1),
            _ => {}
        }
        self.at += sign.len();
        self.push(Kind::Sign(sign), start);
        Ok(())
    }

    fn number(&mut self, start: usize) -> Result<(), ExpressionError> {
        let rest = self.rest();
        let hex = rest.starts_with("0x") || rest.starts_with("0X");
        let mut decimal = false;
        let mut length = 0;
        let mut last = ' ';
        for it in rest.chars() {
            let dot = it == '.'
                && !decimal
                && !hex
                && rest.get(length + 1..).is_some_and(|it| it.starts_with(|it: char| it.is_ascii_digit()));
            let exponent = !hex && matches!(it, 'e' | 'E');
            let sign = !hex && matches!(it, '+' | '-') && matches!(last, 'e' | 'E');
            if !(it.is_ascii_alphanumeric() || it == '_' || dot || sign) {
                break;
            }
            decimal |= dot || exponent;
            last = it;
            length += it.len_utf8();
        }
        let text = rest.get(..length).unwrap_or_default();
        let value = match (hex, decimal) {
            (true, _) => {
                text.get(2..).filter(|it| !it.starts_with('+')).and_then(|it| u64::from_str_radix(it, 16).ok()).map(Kind::Whole)
            }
            (false, true) => text.parse::<f64>().ok().filter(|it| it.is_finite()).map(Kind::Decimal),
            (false, false) => text.parse::<u64>().ok().map(Kind::Whole),
        };
        let Some(value) = value else {
            let error = syntax(start, start + length, format!("`{text}` is not a number"));
            return Err(if text.ends_with(['u', 'U']) { error.hint("whole numbers are written without `u`") } else { error });
        };
        self.at += length;
        self.push(value, start);
        Ok(())
    }

    /// A text in one or three quotes, `'` or `"`.
    fn quoted(&mut self, start: usize, raw: bool) -> Result<(), ExpressionError> {
        let rest = self.rest();
        let quote = if rest.starts_with('"') { '"' } else { '\'' };
        let triple: String = [quote; 3].iter().collect();
        let long = rest.starts_with(&triple);
        self.at += if long { 3 } else { 1 };
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let Some(next) = rest.chars().next() else { break };
            if long && rest.starts_with(&triple) || !long && next == quote {
                self.at += if long { 3 } else { 1 };
                self.push(Kind::Text(out), start);
                return Ok(());
            }
            if !long && matches!(next, '\n' | '\r') {
                break;
            }
            self.at += next.len_utf8();
            if next == '\\' && !raw { out.push(self.escape()?) } else { out.push(next) }
        }
        let end = start + if raw { 2 } else { 1 };
        Err(syntax(start, end, "this text is never closed").hint(format!("end it with {quote} on the same line")))
    }

    /// What stands after a backslash.
    fn escape(&mut self) -> Result<char, ExpressionError> {
        let start = self.at - 1;
        let rest = self.rest();
        let Some(letter) = rest.chars().next() else { return Err(syntax(start, self.at, "this text is never closed")) };
        let (skip, digits, radix) = match letter {
            'x' | 'X' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='3' => (0, 3, 8),
            _ => {
                let plain = match letter {
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    '\\' | '?' | '"' | '\'' | '`' => letter,
                    _ => {
                        let end = self.at + letter.len_utf8();
                        let error = syntax(start, end, format!("`\\{}` is not an escape", letter.escape_debug()));
                        return Err(error.hint("write `\\\\` for a backslash, or r'…' for a text without escapes"));
                    }
                };
                self.at += letter.len_utf8();
                return Ok(plain);
            }
        };
        let code = rest.get(skip..skip + digits).filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()));
        let value = code.and_then(|it| u32::from_str_radix(it, radix).ok()).and_then(char::from_u32);
        let Some(value) = value.filter(|it| *it != '\0') else {
            return Err(syntax(
                start,
                self.at + 1,
                format!("this escape needs {digits} digits of a character other than U+0000"),
            ));
        };
        self.at += skip + digits;
        Ok(value)
    }
}

/// An [`codes::EXPRESSION_SYNTAX`] error.
pub fn syntax(start: usize, end: usize, message: impl Into<String>) -> ExpressionError {
    ExpressionError::new(codes::EXPRESSION_SYNTAX, start, end, message)
}

/// An [`codes::EXPRESSION_LIMIT`] error.
pub fn limit(start: usize, end: usize, message: impl Into<String>) -> ExpressionError {
    ExpressionError::new(codes::EXPRESSION_LIMIT, start, end, message)
}
