//! Named places at which a test may kill the process, to prove that no crash forgets or doubles anything.
//!
//! In an ordinary build [`at`] is empty. With the feature `killpoints`, `TRUEUP_KILL_AT=name:n` kills the process with
//! SIGKILL at the n-th time (from 1) that the named place is passed; nothing is flushed and no destructor runs.

mod points;

pub use points::POINTS;

/// Dies here if the environment asks for it.
#[cfg(feature = "killpoints")]
pub fn at(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static TARGET: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let target = TARGET.get_or_init(|| {
        let text = std::env::var("TRUEUP_KILL_AT").ok()?;
        let (name, count) = text.rsplit_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    if let Some((wanted, count)) = target
        && wanted == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// Nothing, unless the feature `killpoints` is on.
#[cfg(not(feature = "killpoints"))]
pub fn at(_: &'static str) {}

#[cfg(test)]
mod tests {
    use super::POINTS;

    /// Every `killpoint::at("…")` below `src`.
    fn used() -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("killpoint.rs") {
                    let text = std::fs::read_to_string(path).unwrap();
                    found.extend(text.split("killpoint::at(\"").skip(1).filter_map(|it| it.split('"').next()).map(str::to_owned));
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn every_kill_point_in_the_code_is_listed_and_every_listed_one_is_in_the_code() {
        let mut listed: Vec<_> = POINTS.iter().map(ToString::to_string).collect();
        listed.sort();
        assert_eq!(used(), listed);
    }
}
