//! The keys of `[tls]`: where the certificate and its private key are, and how they are read.

use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin};
use super::secret::secret_path;
use super::section::Section;
use crate::clock::now;
use crate::regular_file;
use crate::tls::{self, DevelopmentFiles, Identity, Validity};

/// More than a chain of certificates has.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The flag that asks for a certificate of our own.
const DEVELOPMENT_FLAG: Origin = Origin::Flag("--dev-tls");

/// Where the certificate of the node comes from. The private key is read by [`Self::read`] alone,
/// so that commands that do not serve need no right to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig(Source);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Files { certificate: Place, key: Place },
    Development(DevelopmentFiles),
}

/// A file, and where its name was given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    origin: Origin,
    key: String,
}

impl TlsConfig {
    /// Reads the table `tls`; `None` if it names nothing.
    pub(super) fn read_section(
        section: &Section<'_>,
        warnings: &mut Vec<ConfigError>,
    ) -> Result<Option<Self>, ConfigError> {
        let place = |name| -> Result<Option<Place>, ConfigError> {
            let Some(path) = section.parsed(name, not_empty)? else {
                return Ok(None);
            };
            let origin = section.origin_of(name);
            Ok(Some(Place {
                path: secret_path(&path, &origin),
                key: section.path_of(name),
                origin,
            }))
        };
        let (certificate, key) = match (place("certificate")?, place("key")?) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => return Err(section.error("certificate", "needs tls.key too")),
            (None, Some(_)) => return Err(section.error("key", "needs tls.certificate too")),
        };
        warnings.extend(super::warn_if_open(&key.origin, &key.key, &key.path));
        warnings.extend(certificate.warn_if_not_valid());
        Ok(Some(Self(Source::Files { certificate, key })))
    }

    /// A certificate of our own, kept in `data_dir` or, without one, where programs of this user
    /// keep their data.
    pub(super) fn development(
        data_dir: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let folder = match data_dir {
            Some(folder) => folder.to_owned(),
            None => user_data_folder(variable).ok_or_else(|| {
                let problem = "this user has no folder for data; set data_dir";
                ConfigError::new(&DEVELOPMENT_FLAG, "data_dir", problem)
            })?,
        };
        let files = DevelopmentFiles::new(folder.join("dev-tls"));
        Ok(Self(Source::Development(files)))
    }

    /// The certificate to trust, if it is one of our own.
    #[must_use]
    pub fn development_authority(&self) -> Option<PathBuf> {
        match &self.0 {
            Source::Files { .. } => None,
            Source::Development(files) => Some(files.authority()),
        }
    }

    /// The files as they were named, certificate first; `None` for a certificate of our own.
    pub(super) fn files(&self) -> Option<(&Path, &Path)> {
        match &self.0 {
            Source::Files { certificate, key } => Some((&certificate.path, &key.path)),
            Source::Development(_) => None,
        }
    }

    /// Reads the certificate and its key, and checks that they can be used and belong together. A
    /// certificate of our own is made, or renewed, if need be.
    ///
    /// # Errors
    ///
    /// What is wrong, with the place where the file was named.
    pub fn read(&self) -> Result<Identity, ConfigError> {
        match &self.0 {
            Source::Files { certificate, key } => {
                let (chain, secret) = (certificate.read()?, key.read()?);
                Identity::from_pem(&chain, &secret).map_err(|error| {
                    let place = if error.is_of_key() { key } else { certificate };
                    place.error(&format!("{} {error}", place.path.display()))
                })
            }
            Source::Development(files) => tls::prepare(files, now())
                .map_err(|error| ConfigError::new(&DEVELOPMENT_FLAG, "", error.to_string())),
        }
    }
}

impl Place {
    fn read(&self) -> Result<Vec<u8>, ConfigError> {
        regular_file::read(&self.path, MAX_FILE_BYTES)
            .map_err(|error| self.error(&format!("cannot read {}: {error}", self.path.display())))
    }

    /// What to say about a certificate that clients will not believe now. One that cannot be read
    /// is an error later, for whoever needs it.
    fn warn_if_not_valid(&self) -> Option<ConfigError> {
        let validity = Validity::of_pem(&self.read().ok()?)?;
        let now = now();
        let problem = if validity.not_after < now {
            format!("expired {} ago", about(now.0 - validity.not_after.0))
        } else if now < validity.not_before {
            format!(
                "is not valid for another {}",
                about(validity.not_before.0 - now.0)
            )
        } else {
            return None;
        };
        let path = self.path.display();
        Some(self.error(&format!(
            "the certificate in {path} {problem}; clients refuse it"
        )))
    }

    fn error(&self, problem: &str) -> ConfigError {
        ConfigError::new(&self.origin, self.key.as_str(), problem)
    }
}

/// A time in seconds, in a unit that says enough.
fn about(seconds: i64) -> String {
    match seconds {
        0..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn not_empty(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        Err("must name a file".to_owned())
    } else {
        Ok(PathBuf::from(text))
    }
}

/// Where programs keep data of the user who runs them.
fn user_data_folder(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = |name| variable(name).map(PathBuf::from);
    let data = if cfg!(windows) {
        folder("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        folder("HOME")?.join("Library/Application Support")
    } else {
        folder("XDG_DATA_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| Some(folder("HOME")?.join(".local/share")))?
    };
    Some(data.join("hubwire"))
}
