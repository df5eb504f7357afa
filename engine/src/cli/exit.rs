//! How the process ends: one value, one place where it becomes a number.

/// Every way a command can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Fine,
    /// It failed, or something was refused.
    Failed,
    /// Only with `--detailed-exitcode`: something would change.
    Changes,
    /// The command line makes no sense.
    Usage,
    /// The same command may succeed later: a lock is held, the source cannot be reached.
    TryAgain,
    /// Stopped by Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Changes => 2,
            Self::Usage => 64,
            Self::TryAgain => 75,
            Self::Interrupted => 130,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn exit_codes_are_those_that_scripts_know() {
        let all = [Exit::Fine, Exit::Failed, Exit::Changes, Exit::Usage, Exit::TryAgain, Exit::Interrupted];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 64, 75, 130]);
    }
}
