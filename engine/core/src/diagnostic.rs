//! Findings for people: what is wrong, where, and what to do next.

use std::fmt;
use std::sync::Arc;

/// How bad a finding is. An error anywhere in an environment means no plan for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
    Note,
}

/// A stable, documented code: `TU0123`. The list is in [`codes`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TU{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in a file of the revision. Lines and columns count from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Path from the root of the source, with `/`.
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
    /// Characters to underline on that line; 0 when only the place is known.
    pub width: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: Code,
    /// One sentence: lower case, no full stop, never a secret.
    pub message: String,
    pub location: Option<Location>,
    /// Other places that belong to the finding, each with a few words.
    pub related: Vec<(Location, String)>,
    /// What to do next.
    pub hint: Option<String>,
    /// The lines of its places may hold a secret, and are not to be shown.
    pub hidden: bool,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            location: None,
            related: Vec::new(),
            hint: None,
            hidden: false,
        }
    }

    /// A warning without a place.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn also(mut self, location: Location, words: impl Into<String>) -> Self {
        self.related.push((location, words.into()));
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Every code, once. Numbers are never reused: 00xx source and files, 01xx documents, 02xx layers and routing,
/// 03xx schema, 04xx expressions, 05xx project file and trust, 06xx planning, 07xx plugins, 08xx store, 09xx command line.
pub mod codes {
    use super::Code;

    macro_rules! codes {
        ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
            $($(#[$doc])* #[doc = $text] pub const $name: Code = Code($number);)*
            /// Code and title of every entry, in order of their numbers.
            pub const ALL: &[(Code, &str)] = &[$((Code($number), $text)),*];
        };
    }

    codes! {
        SOURCE_UNREADABLE = 1, "the source cannot be read";
        PATH_REFUSED = 2, "a path in the source is not safe";
        SYMLINK = 3, "symbolic links are not followed";
        SUBMODULE = 4, "submodules are ignored";
        SOURCE_LIMIT = 5, "a limit on files or sizes is crossed";
        LAYER_MISSING = 6, "a layer is missing at this revision";

        SYNTAX = 100, "the file is not valid YAML or JSON";
        ENCODING = 101, "the file is not clean UTF-8";
        DUPLICATE_KEY = 102, "a key stands twice in one mapping";
        AMBIGUOUS_SCALAR = 103, "a plain scalar that YAML 1.1 and 1.2 read differently";
        DOCUMENT_LIMIT = 104, "a document crosses a limit";
        UNKNOWN_TAG = 105, "an unknown YAML tag";
        NUMBER = 106, "a number that cannot be kept exactly";
        SHAPE = 107, "a document without apiVersion, kind or metadata.name, or of the wrong shape";
        NAME = 108, "a name outside the grammar";
        RESERVED = 109, "a reserved key or value";
        FOREIGN_FORMAT = 110, "a kustomization or chart";

        DUPLICATE_IDENTITY = 200, "two documents with one identity in one layer";
        NO_PROVIDER = 201, "no provider takes this document";
        AMBIGUOUS_PROVIDER = 202, "several providers take this document";
        SETTING_UNKNOWN = 203, "an unknown trueup.dev annotation";
        SETTING_VALUE = 204, "an annotation with a wrong value";
        SETTING_UNSUPPORTED = 205, "an annotation that this version does not act on yet";
        LIST_REPLACED = 206, "a list was replaced as no merge key is known";
        REMOVE_NOTHING = 207, "trueup.dev/remove on something no earlier layer declares";
        DUPLICATE_OBJECT = 208, "two resources render to one object";

        SCHEMA = 300, "a value that the kind's schema refuses";
        UNKNOWN_FIELD = 301, "a field that the kind does not have";
        MISSING_FIELD = 302, "a required field is missing";
        UNKNOWN_KIND = 303, "a kind that the provider does not have";
        PLAIN_SECRET = 304, "a plain value in a field for secrets";
        BLOB_MISSING = 305, "a file named by a document is not in the revision";
        RENDER = 306, "the plugin refused the document";
        API_VERSION = 307, "a version of a kind that cannot be used here";
        KIND_LEFT_OUT = 308, "a kind of a system that this engine cannot take";

        EXPRESSION_SYNTAX = 400, "an expression that does not parse";
        EXPRESSION_LIMIT = 401, "an expression that crosses a limit";
        EXPRESSION_UNDEFINED = 402, "an expression names something undefined";
        EXPRESSION_FAILED = 403, "an expression fails";
        EXPRESSION_PLACE = 404, "an expression where none may stand";
        REFERENCE_MISSING = 405, "a reference to a resource that is not declared";
        REFERENCE_AMBIGUOUS = 406, "a reference that several resources answer to";
        CYCLE = 407, "resources that depend on each other in a circle";
        SECRET_PLACE = 408, "a secret where none may stand";

        PROJECT = 500, "trueup.yaml is wrong";
        UNTRUSTED = 501, "the project is not trusted yet";
        CREDENTIALS = 502, "credentials.yaml is wrong";
        LOCK = 503, "trueup.lock does not match";
        PROVIDER_REMOVED = 504, "a removed provider still owns objects";
        PROVIDER_RENAMED = 505, "a provider has another alias than before";
        PROVIDER_MOVED = 506, "a provider acts on another place than the one where its objects are";
        PLUGIN_PROJECT = 507, "plugin.yaml is wrong";

        CLAIM = 600, "an object exists that nobody claimed";
        PROTECTED = 601, "a protected resource would go";
        DELETE_LIMIT = 602, "more deletions than allowed";
        NO_EVIDENCE = 603, "not enough is known to delete";
        VANISHED = 604, "all owned objects of a scope vanished at once";
        IN_DOUBT = 605, "a change whose outcome is not known";
        RECOVERED = 606, "an object that is not fully owned";
        OTHER_ENVIRONMENT = 607, "another environment owns the object";
        REPLACE_REFUSED = 608, "a change that needs a replacement that is not allowed";
        PLAN_MOVED = 609, "the plan is no longer what was reviewed";
        OBSERVE_FAILED = 610, "a scope could not be observed";
        STEP_FAILED = 611, "a step failed";
        STEP_SKIPPED = 612, "a step was skipped";
        REFUSED_BY_PLUGIN = 613, "the plugin refuses the change";
        UNHEALTHY = 614, "what was applied did not become healthy in time";
        PENDING = 615, "settings that the next apply records";

        RECORDING = 616, "a recording cannot be written, read or replayed";
        WAIT = 617, "what was waited for did not come to hold";

        PLUGIN_LOAD = 700, "a plugin cannot be loaded";
        PLUGIN_CALL = 701, "a call into a plugin failed";
        PLUGIN_CONTRACT = 702, "a plugin broke the contract";
        DENIED = 703, "a plugin asked for what it was not granted";
        PLUGIN_BUILD = 704, "a plugin does not build";
        REGISTRY = 720, "a plugin cannot be fetched or published";
        UNSIGNED = 721, "a plugin without a good signature of a trusted key";
        REGISTRY_AWAY = 722, "a registry of plugins cannot be reached";

        STORE = 800, "the state cannot be read or written";
        LOCKED = 801, "the environment is locked by another run";

        USAGE = 900, "wrong use of the command line";
    }
}
