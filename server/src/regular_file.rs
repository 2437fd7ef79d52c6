//! Files that an operator names, read so that none of them can hold up the server.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// The content of the regular file at `path`, or that a symbolic link there leads to. A pipe or a
/// device could keep a reader waiting for ever, and a reload with it.
///
/// # Errors
///
/// If it cannot be read, is something else, or is larger than `most` bytes.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size > most) {
        let problem = format!("larger than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}

/// As [`read`], for text.
///
/// # Errors
///
/// As [`read`], and if it is not UTF-8.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
}

/// The regular file at `path`, or that a symbolic link there leads to, for reading.
///
/// # Errors
///
/// If it cannot be opened or is something else.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Opening a device may do something already, so it is looked at before, and again after: it
    // may have been replaced in between.
    check(&path.metadata()?)?;
    let file = open_at_once(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(metadata: &std::fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else if metadata.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// Does not wait for a writer, should this be a pipe by now.
#[cfg(unix)]
fn open_at_once(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

#[cfg(not(unix))]
fn open_at_once(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        let error = read(&path, 3).unwrap_err();
        assert_eq!(error.to_string(), "larger than 3 bytes");
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path, 4).unwrap_err().to_string(), "not UTF-8");
    }

    #[cfg(unix)]
    #[test]
    fn only_a_regular_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let check = |name: &str, expect: &str| {
            let error = read(&at(name), 4).unwrap_err();
            assert_eq!(error.to_string(), expect, "{name}");
        };
        check(".", "is a directory");
        std::os::unix::fs::symlink("/dev/null", at("device")).unwrap();
        check("device", "not a regular file");
        let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        check("socket", "not a regular file");
        drop(socket);
        // As the secrets of Kubernetes are: a link to a link to a file.
        std::fs::create_dir(at("..data")).unwrap();
        std::fs::write(at("..data/key"), "four").unwrap();
        std::os::unix::fs::symlink("..data/key", at("key")).unwrap();
        assert_eq!(read(&at("key"), 4).unwrap(), b"four");
    }
}
