//! A reader of wire forms that cannot leave its bounds.

use std::fmt;

/// What is wrong with a message or with rdata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// A position in a message, and an end that nothing is read beyond.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0, end: message.len() }
    }

    /// Offset from the start of the message.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    /// A reader of the whole message from `position`: where a compression pointer leads.
    #[must_use]
    pub fn jump(&self, position: usize) -> Self {
        Self { message: self.message, at: position, end: self.message.len() }
    }

    /// Takes the next `length` bytes as a reader of their own, whose names may still point into the whole message.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn section(&mut self, length: usize) -> Result<Self, Malformed> {
        let start = self.at;
        self.take(length)?;
        Ok(Self { message: self.message, at: start, end: self.at })
    }

    /// # Errors
    /// When there are fewer bytes than `length`.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).filter(|it| *it <= self.end);
        let taken = end.and_then(|end| self.message.get(self.at..end));
        let taken = taken.ok_or(Malformed("it ends too early"))?;
        self.at += length;
        Ok(taken)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.message.get(self.at..self.end).unwrap_or_default();
        self.at = self.end;
        rest
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("it ends too early"))
    }

    /// # Errors
    /// When nothing is left.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// # Errors
    /// When fewer than two bytes are left.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// # Errors
    /// When fewer than four bytes are left.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// # Errors
    /// When fewer than sixteen bytes are left.
    pub fn u128(&mut self) -> Result<u128, Malformed> {
        self.array().map(u128::from_be_bytes)
    }

    /// Takes a length of one byte and that many bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }
}
