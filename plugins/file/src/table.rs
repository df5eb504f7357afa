//! What was last reported of a directory, kept in the engine's cache: a name and a stat fingerprint for each entry.
//!
//! With it a directory that moved is answered by a delta, for which only the entries that moved are read. It may be lost
//! at any time; a table whose version is not the one that the engine holds is worth nothing, and is not used.

/// Entries by name, in order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The version that was answered with these entries.
    pub version: String,
    /// None: this entry may have moved since without its stat telling.
    pub entries: Vec<(String, Option<u128>)>,
}

impl Table {
    /// As the cache keeps it: texts with their length (16 bits) before them, then 16 bytes for each entry; all zero
    /// stands for none.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.entries.len() * 40);
        text(&mut out, &self.version);
        for (name, fingerprint) in &self.entries {
            text(&mut out, name);
            out.extend_from_slice(&fingerprint.unwrap_or(0).to_le_bytes());
        }
        out
    }

    /// Reads [`to_bytes`](Self::to_bytes) back; none where the bytes are anything else.
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        let version = take_text(&mut bytes)?;
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let name = take_text(&mut bytes)?;
            let (fingerprint, rest) = bytes.split_first_chunk::<16>()?;
            bytes = rest;
            let fingerprint = u128::from_le_bytes(*fingerprint);
            entries.push((name, (fingerprint != 0).then_some(fingerprint)));
        }
        let sorted = entries.is_sorted_by(|(a, _), (b, _)| a < b);
        sorted.then_some(Self { version, entries })
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Names and versions have at most 255 bytes; a longer one makes a table that does not read back, which is safe.
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    *bytes = rest;
    Some(std::str::from_utf8(text).ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_back() {
        let entries = vec![("a".to_owned(), Some(7)), ("ä b".to_owned(), None), ("ö".to_owned(), Some(u128::MAX))];
        let table = Table { version: "v".to_owned(), entries };
        assert_eq!(Table::parse(&table.to_bytes()), Some(table));
        assert_eq!(Table::parse(&Table::default().to_bytes()), Some(Table::default()));
    }

    #[test]
    fn damaged_bytes_are_no_table() {
        let table = Table { version: "v".to_owned(), entries: vec![("a".to_owned(), Some(7)), ("b".to_owned(), Some(8))] };
        let bytes = table.to_bytes();
        // Every cut is refused but those at the border of an entry, where a shorter table ends.
        let borders = [3, 3 + 19];
        for cut in (0..bytes.len()).filter(|it| !borders.contains(it)) {
            assert_eq!(Table::parse(&bytes[..cut]), None, "cut at {cut}");
        }
        let unsorted = Table { entries: table.entries.into_iter().rev().collect(), version: table.version };
        assert_eq!(Table::parse(&unsorted.to_bytes()), None);
        assert_eq!(Table::parse(&[1, 0, 0xff]), None);
    }
}
