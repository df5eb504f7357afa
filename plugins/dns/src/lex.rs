//! Words of master files and of single values: blanks, quotes, escapes, parentheses and comments.
//!
//! Owns where a word begins and ends, not what it means: escapes stay in the text for whoever reads the word. Words borrow
//! from the input and the caller keeps the list, so that a record costs no allocation here.

/// One word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// Without the quotes around it; escapes as they stand.
    pub text: &'a str,
    pub quoted: bool,
    /// Byte offset of the word in the input.
    pub at: usize,
}

/// Why the input cannot be cut into words, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexError {
    pub at: usize,
    pub message: &'static str,
}

/// What the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Entries end with their line, unless in parentheses or quotes; `;` begins a comment.
    File,
    /// One value: line ends are blanks, `;` is a character like others.
    Value,
}

/// Reads entries one after the other.
#[derive(Debug)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    input: Input,
}

/// Where one entry stands, and whether its line begins with a blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: usize,
    pub indented: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str, input: Input) -> Self {
        Self { text, at: 0, input }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads the next entry that has words into `words`; none at the end of the input.
    ///
    /// # Errors
    /// For quotes and parentheses that are not closed or not opened.
    pub fn entry(&mut self, words: &mut Vec<Word<'a>>) -> Result<Option<Entry>, LexError> {
        words.clear();
        let mut entry = self.begin();
        let mut parenthesis = None;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' if parenthesis.is_none() && self.input == Input::File => {
                    self.at += 1;
                    if !words.is_empty() {
                        return Ok(Some(entry));
                    }
                    entry = self.begin();
                }
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b';' if self.input == Input::File => self.skip_comment(),
                b'(' => {
                    if parenthesis.replace(self.at).is_some() {
                        return Err(LexError { at: self.at, message: "a parenthesis within parentheses" });
                    }
                    self.at += 1;
                }
                b')' => {
                    if parenthesis.take().is_none() {
                        return Err(LexError { at: self.at, message: "a parenthesis is closed that was not opened" });
                    }
                    self.at += 1;
                }
                b'"' => words.push(self.quoted()?),
                _ => words.push(self.plain()?),
            }
        }
        match parenthesis {
            Some(at) => Err(LexError { at, message: "a parenthesis is not closed" }),
            None => Ok((!words.is_empty()).then_some(entry)),
        }
    }

    fn begin(&self) -> Entry {
        Entry { at: self.at, indented: matches!(self.peek(), Some(b' ' | b'\t')) }
    }

    fn skip_comment(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn quoted(&mut self) -> Result<Word<'a>, LexError> {
        let at = self.at;
        self.skip_quotes()?;
        let text = self.text.get(at + 1..self.at.saturating_sub(1)).unwrap_or_default();
        if self.peek().is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'(' | b')' | b';')) {
            return Err(LexError { at: self.at, message: "a blank is missing after the closing quote" });
        }
        Ok(Word { text, quoted: true, at })
    }

    /// From an opening quote to behind the closing one.
    fn skip_quotes(&mut self) -> Result<(), LexError> {
        let at = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(LexError { at, message: "a quote is not closed" }),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn plain(&mut self) -> Result<Word<'a>, LexError> {
        let at = self.at;
        let mut before = 0;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' => break,
                b';' if self.input == Input::File => break,
                // `alpn="h2,h3"` is one word.
                b'"' if before == b'=' => self.skip_quotes()?,
                b'"' => return Err(LexError { at: self.at, message: "a quote within a word" }),
                // The escaped character may have several bytes; its first one must not end the word.
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
            before = byte;
        }
        self.at = self.at.min(self.text.len());
        match self.text.get(at..self.at) {
            Some(text) => Ok(Word { text, quoted: false, at }),
            None => Err(LexError { at, message: "a backslash ends the text" }),
        }
    }
}

/// Cuts one value into words.
///
/// # Errors
/// As [`Lexer::entry`].
pub fn words<'a>(text: &'a str, words: &mut Vec<Word<'a>>) -> Result<(), LexError> {
    Lexer::new(text, Input::Value).entry(words).map(|_| ())
}
