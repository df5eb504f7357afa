//! International domain names: labels as UTS #46 turns them into ASCII.

use std::borrow::Cow;

use idna::AsciiDenyList;

/// The A-label of one label; none where it has characters that no domain name may have, or would become several labels.
///
/// Underscores and other ASCII stay as they are: a label of a service may stand beside an international one.
pub fn to_ascii(label: &str) -> Option<Cow<'_, str>> {
    let ascii = idna::domain_to_ascii_cow(label.as_bytes(), AsciiDenyList::EMPTY).ok()?;
    (!ascii.is_empty() && !ascii.contains('.')).then_some(ascii)
}
