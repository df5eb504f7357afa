//! What the file system says of an entry without reading it: as text that an object carries as its version, and as
//! hashes that tell whether a directory or an entry moved.

use trueup_sdk::host::files::{Entry, FileType};

/// How far apart two changes may be and still bear the same time: file systems stamp with a clock that ticks every 1 to
/// 10 ms, some network file systems every second tick of a coarser one. An entry younger than this when it was looked at
/// may change again without its times moving.
const GRANULARITY: u64 = 100_000_000;

/// Whether the entry may still change unseen, `now` being milliseconds since 1970.
pub fn is_racy(entry: &Entry, now: u64) -> bool {
    entry.changed.max(entry.modified).saturating_add(GRANULARITY) > now.saturating_mul(1_000_000)
}

/// The version of an object: type, size, times, inode and mode.
pub fn version(entry: &Entry) -> String {
    let Entry { kind, size, modified, changed, inode, mode, .. } = entry;
    format!("{}.{size}.{modified}.{changed}.{inode}.{mode:o}", code(*kind))
}

/// Reads [`version`] back; none where another program wrote it.
pub fn entry(version: &str, name: &str) -> Option<Entry> {
    let mut parts = version.split('.');
    let kind = match parts.next()? {
        "f" => FileType::File,
        "d" => FileType::Directory,
        "l" => FileType::Symlink,
        "o" => FileType::Other,
        _ => return None,
    };
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (size, modified, changed, inode) = (number()?, number()?, number()?, number()?);
    let mode = u32::from_str_radix(parts.next()?, 8).ok()?;
    let entry = Entry { name: name.to_owned(), kind, size, modified, changed, inode, mode };
    parts.next().is_none().then_some(entry)
}

fn code(kind: FileType) -> char {
    match kind {
        FileType::File => 'f',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Other => 'o',
    }
}

/// `0644`; with a set-user-id bit `4755`, which no declaration can equal.
pub fn mode_text(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

/// SipHash-1-3 with 128 bits of output, over words in place of bytes: fast in Wasm, which has no wide multiplication and no SHA
/// instructions, and long enough that two states of a directory never meet by chance. The key is fixed: whoever can
/// choose the inodes and times of a directory owns it already.
#[derive(Clone, Copy)]
pub struct Hasher([u64; 4], u64);

impl Hasher {
    pub fn new() -> Self {
        // The initial state of SipHash for the key 0, 0, with the 128-bit variant's change of v1.
        Self([0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d ^ 0xee, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573], 0)
    }

    #[inline]
    fn round(&mut self) {
        let [v0, v1, v2, v3] = &mut self.0;
        *v0 = v0.wrapping_add(*v1);
        *v1 = v1.rotate_left(13) ^ *v0;
        *v0 = v0.rotate_left(32);
        *v2 = v2.wrapping_add(*v3);
        *v3 = v3.rotate_left(16) ^ *v2;
        *v0 = v0.wrapping_add(*v3);
        *v3 = v3.rotate_left(21) ^ *v0;
        *v2 = v2.wrapping_add(*v1);
        *v1 = v1.rotate_left(17) ^ *v2;
        *v2 = v2.rotate_left(32);
    }

    #[inline]
    pub fn word(&mut self, word: u64) {
        self.1 = self.1.wrapping_add(1);
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    /// Bytes, with their length before them, so that no two sequences of fields look the same.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.word(last);
        }
    }

    /// All that tells whether an entry moved, without its name.
    #[inline]
    pub fn stat(&mut self, entry: &Entry) {
        self.word(u64::from(entry.mode) << 8 | entry.kind as u64);
        self.word(entry.size);
        self.word(entry.modified);
        self.word(entry.changed);
        self.word(entry.inode);
    }

    pub fn finish(mut self) -> u128 {
        self.word(self.1 << 56);
        self.0[2] ^= 0xee;
        for _ in 0..3 {
            self.round();
        }
        let low = self.0.iter().fold(0, |out, v| out ^ v);
        self.0[1] ^= 0xdd;
        for _ in 0..3 {
            self.round();
        }
        let high = self.0.iter().fold(0, |out, v| out ^ v);
        u128::from(high) << 64 | u128::from(low)
    }
}

/// Hash of one entry's [`stat`](Hasher::stat).
pub fn fingerprint(entry: &Entry) -> u128 {
    let mut hasher = Hasher::new();
    hasher.stat(entry);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Entry {
        let (modified, changed) = (1_700_000_000_123_456_789, 1_700_000_001_000_000_000);
        Entry { name: "a".to_owned(), kind: FileType::File, size: 12, modified, changed, inode: 77, mode: 0o4644 }
    }

    #[test]
    fn a_version_reads_back_and_foreign_text_does_not() {
        for kind in [FileType::File, FileType::Directory, FileType::Symlink, FileType::Other] {
            let it = Entry { kind, ..sample() };
            assert_eq!(entry(&version(&it), "a"), Some(it));
        }
        for text in ["", "f", "x.1.2.3.4.644", "f.1.2.3.4", "f.1.2.3.4.648", "f.1.2.3.4.644.5", "f.-1.2.3.4.644"] {
            assert_eq!(entry(text, "a"), None, "{text:?}");
        }
    }

    #[test]
    fn every_part_of_a_stat_moves_the_fingerprint() {
        let base = sample();
        let moved = [
            Entry { kind: FileType::Symlink, ..base.clone() },
            Entry { size: 13, ..base.clone() },
            Entry { modified: 1, ..base.clone() },
            Entry { changed: 1, ..base.clone() },
            Entry { inode: 78, ..base.clone() },
            Entry { mode: 0o644, ..base.clone() },
        ];
        for it in &moved {
            assert_ne!(fingerprint(it), fingerprint(&base), "{it:?}");
        }
        assert_eq!(fingerprint(&Entry { name: "b".to_owned(), ..base.clone() }), fingerprint(&base));
    }

    #[test]
    fn the_hash_tells_fields_and_single_bits_apart() {
        let of = |parts: &[&[u8]]| {
            let mut hasher = Hasher::new();
            parts.iter().for_each(|part| hasher.bytes(part));
            hasher.finish()
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"a"]), of(&[b"a\0"]));
        assert_ne!(of(&[]), of(&[b""]));
        // Each of 64 single-bit inputs gives its own value in both halves.
        let mut halves = std::collections::HashSet::new();
        for bit in 0..64 {
            let mut hasher = Hasher::new();
            hasher.word(1 << bit);
            let hash = hasher.finish();
            assert!(halves.insert(hash as u64) && halves.insert((hash >> 64) as u64), "bit {bit}");
        }
    }

    #[test]
    fn an_entry_is_racy_until_the_clock_has_surely_ticked() {
        let it = sample();
        let changed = it.changed / 1_000_000;
        for (now, want) in [(changed - 5_000, true), (changed, true), (changed + 99, true), (changed + 100, false)] {
            assert_eq!(is_racy(&it, now), want, "now={now}");
        }
    }
}
