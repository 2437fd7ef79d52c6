//! The right to use `data_dir`, which one process has at a time: what it keeps there for the next
//! one would otherwise be taken by another.

use std::fs::{File, TryLockError};

use crate::config::{Config, ConfigError};
use crate::private_file;

/// Its file in `data_dir`.
const FILE_NAME: &str = "lock";

/// The right to use a directory, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct DataDirLock(#[expect(dead_code, reason = "holds the lock")] File);

/// Takes the right to use the `data_dir` of `config`, which must be there. `None` if it has none, or
/// if the right cannot be told, on a read-only file system for example: then the log says so, and
/// nobody is kept out.
///
/// # Errors
///
/// If another process has the right.
pub(crate) fn lock(config: &Config) -> Result<Option<DataDirLock>, ConfigError> {
    let Some(directory) = &config.data_dir else {
        return Ok(None);
    };
    let path = directory.join(FILE_NAME);
    let locked = private_file::open_lock(&path)
        .map_err(TryLockError::Error)
        .and_then(|file| file.try_lock().map(|()| file));
    match locked {
        Ok(file) => Ok(Some(DataDirLock(file))),
        Err(TryLockError::WouldBlock) => {
            let directory = directory.display();
            let text =
                format!("another process uses {directory}; every server needs one of its own");
            Err(ConfigError::new(&config.data_dir_origin, "data_dir", text))
        }
        Err(TryLockError::Error(error)) => {
            tracing::warn!(
                file = %path.display(),
                %error,
                "cannot lock data_dir; a second process would not be kept out of it"
            );
            Ok(None)
        }
    }
}
