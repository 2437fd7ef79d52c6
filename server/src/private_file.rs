//! Files and folders that other users of the machine cannot read: secrets of this server's own
//! making.
//!
//! A file appears under its name whole or not at all where the file system allows it, and is on the
//! disk when a function returns.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Digits in the name of an unfinished file.
const DRAFT_DIGITS: usize = 16;

/// Creates a folder, and those above it that are missing, for the owner only. One that is there
/// stays as it is.
///
/// # Errors
///
/// What the system says.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Puts a file with `text` at `path`.
///
/// # Errors
///
/// What the system says; [`ErrorKind::AlreadyExists`] if there is one, which is left alone.
pub(crate) fn create(path: &Path, text: &str) -> io::Result<()> {
    let write = |file: &mut File| file.write_all(text.as_bytes());
    through_draft(path, write, |draft| match fs::hard_link(draft, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            // Some file systems have no links. There it is not whole at once.
            write_new(path, write)
        }
        linked => linked,
    })
}

/// Puts a file with `text` at `path`, in place of the one that is there.
///
/// # Errors
///
/// What the system says.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    replace_with(path, |file| file.write_all(text.as_bytes()))
}

/// Puts a file that `write` fills at `path`, in place of the one that is there.
///
/// # Errors
///
/// What the system says, or `write`.
pub(crate) fn replace_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    through_draft(path, write, |draft| fs::rename(draft, path))
}

/// Gives a file another name in its folder, in place of the one that has it.
///
/// # Errors
///
/// What the system says.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(folder_of(to))
}

/// Removes what is left of files at `path` that a process has begun and did not finish. What
/// cannot be removed stays.
pub(crate) fn remove_drafts(path: &Path) {
    let Some(name) = path.file_name() else { return };
    let is_draft = |other: &Path| {
        let suffix = other.extension().and_then(|suffix| suffix.to_str());
        other.file_stem() == Some(name)
            && suffix.is_some_and(|suffix| {
                suffix.len() == DRAFT_DIGITS && u64::from_str_radix(suffix, 16).is_ok()
            })
    };
    let entries = fs::read_dir(folder_of(path)).into_iter().flatten();
    for entry in entries.flatten() {
        if is_draft(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// An empty file that is there only to be locked. It is created if it is missing.
///
/// # Errors
///
/// What the system says.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    owner_only().create(true).truncate(false).open(path)
}

fn through_draft(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
    name: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let draft = unused_name(path)?;
    let named = write_new(&draft, write).and_then(|()| name(&draft));
    // The text has its name by now; a draft that stays is as private.
    let _ = fs::remove_file(&draft);
    named?;
    sync_folder(folder_of(path))
}

fn write_new(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = owner_only().create_new(true).open(path)?;
    write(&mut file)?;
    file.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn unused_name(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let number = u64::from_ne_bytes(random);
    Ok(path.with_added_extension(format!("{number:0DRAFT_DIGITS$x}")))
}

/// A new name is durable once its folder is.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_once_and_replaced_always() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/secret");
        let check = |expected: &str| {
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
            let left = fs::read_dir(folder.path().join("a/b")).unwrap().count();
            assert_eq!(left, 1, "drafts stay behind");
        };
        assert!(create(&path, "too early").is_err());
        create_folder(&folder.path().join("a/b")).unwrap();
        create_folder(&folder.path().join("a/b")).unwrap();
        create(&path, "first").unwrap();
        check("first");
        let again = create(&path, "second").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        check("first");
        replace(&path, "third").unwrap();
        check("third");
        let broken = replace_with(&path, |_| Err(ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::StorageFull);
        check("third");
        fs::write(path.with_added_extension("0123456789abcdef"), "").unwrap();
        remove_drafts(&path);
        check("third");
    }

    #[test]
    #[cfg(unix)]
    fn whatever_is_made_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let [above, within] = ["a", "a/b"].map(|name| folder.path().join(name));
        create_folder(&within).unwrap();
        let [created, replaced, lock] = ["c", "r", "l"].map(|name| within.join(name));
        create(&created, "").unwrap();
        replace(&replaced, "").unwrap();
        drop(open_lock(&lock).unwrap());
        for (path, mode) in [
            (above, 0o700),
            (within, 0o700),
            (created, 0o600),
            (replaced, 0o600),
            (lock, 0o600),
        ] {
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
    }
}
