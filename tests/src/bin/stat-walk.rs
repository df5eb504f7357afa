//! The floor of a no-op: a program that only stats every file below a folder, and prints how many there are.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let mut todo: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let (mut files, mut bytes) = (0_u64, 0_u64);
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                todo.push(entry.path());
            } else {
                files += 1;
                bytes += entry.metadata()?.size();
            }
        }
    }
    println!("{files} files, {bytes} bytes");
    Ok(())
}
