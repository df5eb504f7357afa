//! Where the operator's files lie, outside any repository.
//!
//! The folders are those of the XDG base directory specification: a relative value of a variable is ignored, as it says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The operator's folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// `credentials.yaml`, `trust.json`, `plugin-keys`.
    pub config: PathBuf,
    /// Compiled plugins, fetched sources: losable.
    pub cache: PathBuf,
    /// States of projects that have no folder here.
    pub state: PathBuf,
}

impl Folders {
    /// From the environment; none where not even `HOME` is set.
    pub fn of_user() -> Option<Self> {
        Self::from(|name| std::env::var_os(name))
    }

    fn from(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|it| it.is_absolute());
        let home = absolute("HOME");
        let folder = |name: &str, below: &str| {
            let base = absolute(name).or_else(|| home.as_ref().map(|it| it.join(below)));
            base.map(|it| it.join("trueup"))
        };
        Some(Self {
            config: folder("XDG_CONFIG_HOME", ".config")?,
            cache: folder("XDG_CACHE_HOME", ".cache")?,
            state: folder("XDG_STATE_HOME", ".local/state")?,
        })
    }

    /// The operator's credentials, unless `--credentials` names others.
    pub fn credentials(&self) -> PathBuf {
        self.config.join("credentials.yaml")
    }

    /// Public keys (`*.pub`) of those whose plugins the operator trusts.
    pub fn plugin_keys(&self) -> PathBuf {
        self.config.join("plugin-keys")
    }

    /// What the operator trusts.
    pub fn trust(&self) -> PathBuf {
        self.config.join("trust.json")
    }

    /// The state of a project that comes from a URL.
    pub fn state_of(&self, project: &str) -> PathBuf {
        self.state.join(project).join("state.db")
    }
}

/// `~/x` below `home`; all else as it is.
pub(super) fn expand(text: &str, home: Option<&Path>) -> PathBuf {
    match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

/// The folder of the user.
pub(super) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|it| it.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], want: Option<[&str; 3]>) {
        let found = Folders::from(|name| variables.iter().find(|it| it.0 == name).map(|it| it.1.into()));
        let want = want.map(|[config, cache, state]| Folders { config: config.into(), cache: cache.into(), state: state.into() });
        assert_eq!(found, want, "{variables:?}");
    }

    #[test]
    fn folders_follow_xdg_and_relative_values_are_ignored() {
        let usual = ["/home/ann/.config/trueup", "/home/ann/.cache/trueup", "/home/ann/.local/state/trueup"];
        check(&[("HOME", "/home/ann")], Some(usual));
        check(&[("HOME", "/home/ann"), ("XDG_CACHE_HOME", "cache"), ("XDG_CONFIG_HOME", "")], Some(usual));
        check(&[("HOME", "/home/ann"), ("XDG_CONFIG_HOME", "/etc/ann")], Some(["/etc/ann/trueup", usual[1], usual[2]]));
        check(
            &[("XDG_CONFIG_HOME", "/a"), ("XDG_CACHE_HOME", "/b"), ("XDG_STATE_HOME", "/c")],
            Some(["/a/trueup", "/b/trueup", "/c/trueup"]),
        );
        check(&[("XDG_CONFIG_HOME", "/a")], None);
        check(&[("HOME", "ann")], None);
    }

    #[test]
    fn a_tilde_stands_for_the_users_folder_in_front_only() {
        for (text, want) in [("~/.kube/config", "/home/ann/.kube/config"), ("/a/~/b", "/a/~/b"), ("~bob/x", "~bob/x"), ("x", "x")]
        {
            assert_eq!(expand(text, Some(Path::new("/home/ann"))), PathBuf::from(want));
        }
    }
}
