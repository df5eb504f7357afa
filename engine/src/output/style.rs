//! How a terminal is written to: colours, characters, width.
//!
//! Decided once at the start from flags and the environment; nothing later asks what kind of terminal it is. Colour is
//! never the only sign of anything.

use std::borrow::Cow;

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR or TERM=dumb say otherwise
    #[default]
    Auto,
    Always,
    Never,
}

/// What the process was told about its surroundings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// Whether the stream is a terminal.
    pub terminal: bool,
    pub no_color: bool,
    pub clicolor_force: bool,
    /// `TERM`
    pub term: Option<&'a str>,
    /// The first of `LC_ALL`, `LC_CTYPE`, `LANG` that is not empty.
    pub locale: Option<&'a str>,
}

/// How one stream is written to.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub color: bool,
    /// False: our own signs are ASCII.
    pub unicode: bool,
    /// Columns.
    pub width: usize,
}

/// What a coloured text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Change,
    Risk,
    Bad,
    Faint,
    Strong,
}

impl Style {
    /// Neither colour nor anything beyond ASCII, 100 columns.
    pub const ASCII: Self = Self { color: false, unicode: false, width: 100 };
    /// No colour, 100 columns.
    pub const PLAIN: Self = Self { color: false, unicode: true, width: 100 };

    /// Decides for one stream. An explicit flag wins over the environment, `NO_COLOR` over `CLICOLOR_FORCE`.
    pub fn decide(choice: ColorChoice, it: Surroundings<'_>, width: Option<usize>) -> Self {
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if it.no_color => false,
            ColorChoice::Auto => it.clicolor_force || (it.terminal && it.term != Some("dumb")),
        };
        let utf8 = |locale: &str| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        };
        Self { color, unicode: it.locale.is_none_or(utf8), width: width.unwrap_or(100).clamp(40, 240) }
    }

    /// Colours cleaned text.
    pub fn paint<'a>(&self, tone: Tone, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let text = text.into();
        if !self.color || text.is_empty() {
            return text;
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Change => "33",
            Tone::Risk => "35",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        Cow::Owned(format!("\u{1b}[{code}m{text}\u{1b}[0m"))
    }

    /// Between a value and what becomes of it.
    pub fn arrow(&self) -> &'static str {
        if self.unicode { "→" } else { "->" }
    }

    /// Between a value and where it comes from.
    pub fn from(&self) -> &'static str {
        if self.unicode { "←" } else { "<-" }
    }

    /// For what was left out.
    pub fn ellipsis(&self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// A finished thing.
    pub fn done(&self) -> &'static str {
        if self.unicode { "✔" } else { "ok" }
    }

    /// A failed thing.
    pub fn failed(&self) -> &'static str {
        if self.unicode { "✗" } else { "x" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(choice: ColorChoice, it: Surroundings<'_>, color: bool) {
        assert_eq!(Style::decide(choice, it, None).color, color, "{choice:?} {it:?}");
    }

    #[test]
    fn colours_are_for_terminals_and_a_flag_wins_over_the_environment() {
        let plain = Surroundings::default();
        let terminal = Surroundings { terminal: true, ..plain };
        check(ColorChoice::Auto, plain, false);
        check(ColorChoice::Auto, terminal, true);
        check(ColorChoice::Auto, Surroundings { no_color: true, ..terminal }, false);
        check(ColorChoice::Auto, Surroundings { term: Some("dumb"), ..terminal }, false);
        check(ColorChoice::Auto, Surroundings { clicolor_force: true, ..plain }, true);
        check(ColorChoice::Auto, Surroundings { clicolor_force: true, no_color: true, ..terminal }, false);
        check(ColorChoice::Always, Surroundings { no_color: true, ..plain }, true);
        check(ColorChoice::Never, terminal, false);
    }

    #[test]
    fn a_locale_without_utf_8_gets_ascii() {
        let style = |locale| Style::decide(ColorChoice::Auto, Surroundings { locale, ..Surroundings::default() }, None);
        assert!(style(None).unicode);
        assert!(style(Some("de_DE.UTF-8")).unicode);
        assert!(style(Some("C.utf8")).unicode);
        assert!(!style(Some("C")).unicode);
        assert!(!style(Some("en_US.ISO-8859-1")).unicode);
    }
}
