//! Reads files that somebody names, where anything may lie: a FIFO would block whoever opens it, and a device never ends.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The bytes of a regular file, links followed, at most `limit` of them.
///
/// # Errors
///
/// Those of the system; in words, where it is no regular file or longer than that.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, meta) = open(path)?;
    let large = |size: u64| io::Error::other(format!("it has {size} bytes, and more than {limit} are not read"));
    if meta.len() > limit {
        return Err(large(meta.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    // Some say that they are empty, and are not.
    if bytes.len() as u64 > limit { Err(large(bytes.len() as u64)) } else { Ok(bytes) }
}

/// As [`read`], to be read by whoever wants to know more of the file first.
///
/// # Errors
///
/// As there.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // Opening a device may do something by itself, so it is looked at first. What is opened may be something else by then.
    judge(&fs::metadata(path)?)?;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    judge(&meta)?;
    Ok((file, meta))
}

fn judge(meta: &Metadata) -> io::Result<()> {
    let kind = meta.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::other(format!("it is {what} and no regular file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_file_is_read_up_to_the_limit_and_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, b"four").unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(read(&folder.path().join("link"), 9).unwrap(), b"four");
        let refused = read(&path, 3).unwrap_err().to_string();
        assert_eq!(refused, "it has 4 bytes, and more than 3 are not read");
        assert_eq!(read(&folder.path().join("none"), 3).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_by_what_it_is_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, what) in
            [(folder.path(), "a folder"), (&fifo, "a FIFO"), (&socket, "a socket"), (Path::new("/dev/zero"), "a device")]
        {
            assert_eq!(read(path, 9).unwrap_err().to_string(), format!("it is {what} and no regular file"));
        }
        // What says of itself that it is empty, and is not.
        assert!(read(Path::new("/proc/self/status"), 9).unwrap_err().to_string().contains("more than 9 are not read"));
    }
}
