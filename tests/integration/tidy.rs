//! What holds for the sources themselves.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of the longest file that one can still keep in one's head.
const LINES: usize = 600;

/// All sources that people write.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut found, mut todo) = (Vec::new(), Vec::new());
    todo.extend(["engine", "plugin-sdk", "plugins", "tests"].map(|it| root.join(it)));
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|it| it == "rs" || it == "py") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn no_source_is_longer_than_600_lines() {
    let sources = sources();
    assert!(sources.len() > 150, "{}", sources.len());
    let long = sources.iter().filter(|it| fs::read_to_string(it).unwrap().lines().count() > LINES);
    assert_eq!(long.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}
