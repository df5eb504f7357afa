//! Documents of the two kinds: what a person declares, and the one form in which declared and observed objects compare.

use serde_json::{Map, json};
use trueup_sdk::host::{blobs, files::Content};
use trueup_sdk::{Address, Declared, Desired, Error, Json, Rendered, Result, Severity};

use crate::path::RelativePath;
use crate::stat;

/// Longest content, in bytes, that stands in a document as text; longer content stands as `{"$blob": …}`.
pub const INLINE: u64 = 64 * 1024;

/// Longest file, in bytes, that can be declared; a longer one is nobody's, and is not read.
pub const LONGEST: u64 = 256 << 20;

/// The kinds of this provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    File,
    Directory,
}

impl Kind {
    /// # Errors
    /// `unsupported` for a name that is no kind of this provider.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "File" => Ok(Self::File),
            "Directory" => Ok(Self::Directory),
            _ => Err(Error::unsupported(format!("the file provider has no kind `{name}`"))),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Directory => "Directory",
        }
    }
}

/// The address of what stands at `path`.
pub fn address(kind: Kind, path: &RelativePath) -> Address {
    Address { kind: kind.name().to_owned(), scope: path.scope().to_owned(), key: path.key().to_owned() }
}

/// The canonical form of one declaration.
pub fn render(item: &Declared) -> Rendered {
    match desired(item) {
        Ok(it) => Rendered { objects: vec![it], diagnostics: Vec::new() },
        Err(error) => Rendered { objects: Vec::new(), diagnostics: vec![error.diagnostic(Severity::Error)] },
    }
}

fn desired(item: &Declared) -> Result<Desired> {
    let kind = Kind::parse(&item.address.kind)?;
    let mut doc: Json = serde_json::from_str(&item.doc)?;
    let spec = doc.get_mut("spec").and_then(Json::as_object_mut);
    let spec = spec.ok_or_else(|| Error::invalid("file.spec", "`spec` is missing"))?;
    let text = match spec.get("path") {
        Some(Json::String(text)) => text,
        Some(_) => return Err(Error::invalid("file.path", "the path must be a text that is known before apply").at("/spec/path")),
        None => return Err(Error::invalid("file.path", "`path` is missing").at("/spec")),
    };
    let path = RelativePath::parse(text, kind == Kind::Directory);
    let path = path.map_err(|message| Error::invalid("file.path", message).at("/spec/path"))?;
    let mut canonical = Map::new();
    canonical.insert("path".to_owned(), Json::from(path.as_str()));
    if let Some(mode) = spec.remove("mode") {
        canonical.insert("mode".to_owned(), declared_mode(mode)?);
    }
    if kind == Kind::File {
        canonical.insert("content".to_owned(), declared_content(spec)?);
    }
    let doc = json!({ "spec": canonical }).to_string();
    Ok(Desired { address: address(kind, &path), doc, after: Vec::new(), ext: Vec::new() })
}

fn declared_mode(mode: Json) -> Result<Json> {
    match &mode {
        Json::String(text) if parse_mode(text).is_none() => {
            Err(Error::invalid("file.mode", "the mode must be four octal digits in quotes, such as \"0644\"").at("/spec/mode"))
        }
        Json::String(_) => Ok(mode),
        _ if is_unknown(&mode) => Ok(mode),
        _ => Err(Error::invalid("file.mode", "the mode must be a text, such as \"0644\"").at("/spec/mode")),
    }
}

/// The permission bits of `0644`.
pub fn parse_mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('0').filter(|it| it.len() == 3 && it.bytes().all(|byte| matches!(byte, b'0'..=b'7')))?;
    u32::from_str_radix(digits, 8).ok()
}

/// The one of three fields that is there, as `content`.
fn declared_content(spec: &mut Map<String, Json>) -> Result<Json> {
    let mut given = ["content", "source", "sensitiveContent"].into_iter().filter_map(|name| Some((name, spec.remove(name)?)));
    let (name, value) = match (given.next(), given.next()) {
        (Some(one), None) => one,
        _ => {
            let message = "exactly one of `content`, `source` and `sensitiveContent` must be given";
            return Err(Error::invalid("file.content", message).at("/spec"));
        }
    };
    let wrong = |message: &str| Err(Error::invalid("file.content", message).at(format!("/spec/{name}")));
    match name {
        _ if is_unknown(&value) => Ok(value),
        // A secret and a file stand in `content` in the canonical form. Whether people may write them there the schema says.
        "content" if value.is_string() || is_secret(&value) || blob(&value).is_some() => Ok(value),
        "content" => wrong("the content must be a text; for other files use `source`, for secrets `sensitiveContent`"),
        "source" => match blob(&value) {
            Some((_, size)) if size > LONGEST => wrong("the source is longer than 256 MiB, which is not supported"),
            Some((sha256, size)) => Ok(inline_blob(sha256, size)?.unwrap_or(value)),
            None => wrong("the source must be the path of a file in the repository"),
        },
        _ if is_secret(&value) => Ok(value),
        _ => wrong("the sensitive content must hold a secret: `${{ secret('name') }}`"),
    }
}

fn is_secret(value: &Json) -> bool {
    value.get("$secret").is_some_and(Json::is_string)
}

/// A file of the revision as text, where it is short and text.
fn inline_blob(sha256: &str, size: u64) -> Result<Option<Json>> {
    if size > INLINE {
        return Ok(None);
    }
    match blobs::read(sha256, 0, INLINE) {
        Some(bytes) => Ok(inline(bytes)),
        None => Err(Error::internal("a file that the document names is not in the revision").at("/spec/source")),
    }
}

/// Bytes as the text of a document: short, UTF-8, without NUL (which marks a binary file, as it does for Git).
fn inline(bytes: Vec<u8>) -> Option<Json> {
    let short = bytes.len() as u64 <= INLINE && !bytes.contains(&0);
    short.then(|| String::from_utf8(bytes).ok()).flatten().map(Json::from)
}

fn is_unknown(value: &Json) -> bool {
    value.get("$unknown").is_some_and(Json::is_string)
}

/// Digest and size of a `{"$blob": …}`.
pub fn blob(value: &Json) -> Option<(&str, u64)> {
    Some((value.get("$blob")?.as_str()?, value.get("size")?.as_u64()?))
}

/// The observed form of a file's content.
pub fn observed_content(content: Content) -> Json {
    let Content { stat, sha256, bytes } = content;
    bytes.and_then(inline).unwrap_or_else(|| json!({ "$blob": sha256, "size": stat.size }))
}

/// What stands for the content of a file that was not read: it never equals a declaration.
pub fn unread_content(size: u64) -> Json {
    json!({ "unread": true, "size": size })
}

/// The observed document of a regular file.
pub fn observed_file(path: &str, content: Json, mode: u32) -> Json {
    json!({ "spec": { "path": path, "content": content, "mode": stat::mode_text(mode) } })
}

/// The observed document of what is neither a file nor a directory, or cannot be read: it never equals a declaration.
pub fn observed_other(path: &str, what: &str) -> Json {
    json!({ "spec": { "path": path, "type": what } })
}

/// The observed document of a directory.
pub fn observed_directory(path: &str, mode: u32) -> Json {
    json!({ "spec": { "path": path, "mode": stat::mode_text(mode) } })
}
