//! The right to use `data_dir`, which one process has at a time: what it keeps there for the next
//! one would otherwise be taken by another.

use std::fs::{File, TryLockError};
use std::io;

use crate::config::{Config, ConfigError};
use crate::private_file;

/// Its file in `data_dir`.
const FILE_NAME: &str = "lock";

/// The right to use a directory, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct DataDirLock(#[expect(dead_code, reason = "holds the lock")] File);

/// Takes the right to use the `data_dir` of `config`, if it has one, which must be there. On a file
/// system without locks nobody is kept out.
///
/// # Errors
///
/// If another process has the right, or the file cannot be used.
pub(crate) fn lock(config: &Config) -> Result<Option<DataDirLock>, ConfigError> {
    let Some(directory) = &config.data_dir else {
        return Ok(None);
    };
    let blame = |text: String| ConfigError::new(&config.data_dir_origin, "data_dir", text);
    let path = directory.join(FILE_NAME);
    let failed = |error: io::Error| blame(format!("cannot lock {}: {error}", path.display()));
    let file = private_file::open_lock(&path).map_err(failed)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let directory = directory.display();
            Err(blame(format!(
                "another process uses {directory}; every server needs one of its own"
            )))
        }
        Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
            Err(failed(error))
        }
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(DataDirLock(file))),
    }
}
