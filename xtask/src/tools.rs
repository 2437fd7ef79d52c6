//! Installing what the commands need, below the target folder and pinned, so that a second run
//! installs nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::Cmd;
use crate::workspace::Workspace;

/// The folder with the pinned developer tools (`xtask/tools.txt`).
pub(crate) fn developer_tools(workspace: &Workspace) -> Result<PathBuf> {
    python_environment(
        workspace,
        "developer",
        &workspace.root.join("xtask/tools.txt"),
    )
}

/// A Python environment with exactly the packages of a requirements file; returns its folder of
/// programs.
pub(crate) fn python_environment(
    workspace: &Workspace,
    name: &str,
    requirements: &Path,
) -> Result<PathBuf> {
    let home = workspace.target.join("tools").join(name);
    let bin = home.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let wanted = format!("{}{}", python3_version()?, read(requirements)?);
    installed_once(&home, &wanted, || {
        Cmd::new("python3")
            .args(["-m", "venv", "--clear"])
            .args([&home])
            .run()?;
        Cmd::new(bin.join("python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .args([requirements])
            .run()
    })?;
    Ok(bin)
}

/// A folder of Python 2 packages; they are pinned completely, so none is looked up.
pub(crate) fn python2_packages(
    workspace: &Workspace,
    python: &Path,
    name: &str,
    requirements: &Path,
) -> Result<PathBuf> {
    let home = workspace.target.join("tools").join(name);
    installed_once(&home, &read(requirements)?, || {
        Cmd::new(python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
            ])
            .args([
                "--target".as_ref(),
                home.as_os_str(),
                "-r".as_ref(),
                requirements.as_os_str(),
            ])
            .run()
    })?;
    Ok(home)
}

/// The packages of a committed `package-lock.json`, in `node_modules` beside it.
pub(crate) fn node_packages(folder: &Path) -> Result<()> {
    let lock = read(&folder.join("package-lock.json"))?;
    installed_once(&folder.join("node_modules"), &lock, || {
        Cmd::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .dir(folder)
            .run()
    })
}

/// Whether a program answers to `--version`.
pub(crate) fn present(program: &str) -> bool {
    Cmd::new(program).args(["--version"]).succeeds()
}

/// Python 2.7: on PATH, or among the versions that pyenv keeps.
pub(crate) fn python2() -> Option<PathBuf> {
    if present("python2.7") {
        return Some(PathBuf::from("python2.7"));
    }
    let versions = Cmd::new("pyenv")
        .args(["versions", "--bare"])
        .output()
        .ok()?;
    let version = versions
        .lines()
        .map(str::trim)
        .find(|version| version.starts_with("2.7."))?;
    let prefix = Cmd::new("pyenv").args(["prefix", version]).output().ok()?;
    Some(Path::new(prefix.trim()).join("bin").join("python2.7"))
}

/// Chromium: the one that `CHROMIUM` names, or the one that [`debian`] finds.
pub(crate) fn chromium() -> Result<PathBuf, String> {
    match std::env::var_os("CHROMIUM") {
        Some(named) => Ok(PathBuf::from(named)),
        None => debian("chromium", "chromium"),
    }
}

/// A JDK: `java` compiles a source file too.
pub(crate) fn java() -> Result<(), String> {
    debian("java", "default-jdk-headless").map(drop)
}

/// Mono's C# compiler and its runtime, and what names certificates as Mono looks for them.
pub(crate) fn mono() -> Result<(), String> {
    debian("openssl", "openssl")?;
    debian("mcs", "mono-mcs")?;
    debian("mono", "mono-runtime").map(drop)
}

/// A program on PATH, or, for root on a Debian system, a freshly installed one. `Err` is the
/// reason why there is none.
fn debian(program: &str, package: &str) -> Result<PathBuf, String> {
    if let Some(found) = on_path(program) {
        return Ok(found);
    }
    if !is_root() || !present("apt-get") {
        return Err(format!(
            "no {program}, and only root on a Debian system can install it: \
             `apt-get install {package}`"
        ));
    }
    let apt = |args: &[&str]| {
        Cmd::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(args)
            .run()
    };
    apt(&["update", "-qq"])
        .and_then(|()| apt(&["install", "-y", "-qq", "--no-install-recommends", package]))
        .map_err(|error| format!("{package} cannot be installed: {error:#}"))?;
    on_path(program).ok_or_else(|| format!("{package} was installed, but not {program} on PATH"))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Installs into `home` unless its stamp says that exactly `wanted` is there already.
fn installed_once(home: &Path, wanted: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = home.join(".installed");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    if home.exists() {
        fs::remove_dir_all(home).with_context(|| format!("cannot empty {}", home.display()))?;
    }
    install()?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

fn python3_version() -> Result<String> {
    let version = Cmd::new("python3").args(["--version"]).output()?;
    if version.trim().is_empty() {
        bail!("`python3 --version` printed nothing");
    }
    Ok(version)
}

fn is_root() -> bool {
    Cmd::new("id")
        .args(["-u"])
        .output()
        .is_ok_and(|id| id.trim() == "0")
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::installed_once;
    use std::cell::Cell;
    use std::fs;

    #[test]
    fn installs_again_only_when_something_else_is_wanted() {
        let home = std::env::temp_dir().join(format!("hubwire-xtask-{}", std::process::id()));
        let runs = Cell::new(0);
        let install = |wanted: &str| {
            installed_once(&home, wanted, || {
                runs.set(runs.get() + 1);
                Ok(fs::create_dir_all(&home)?)
            })
            .unwrap();
            runs.get()
        };
        assert_eq!(install("one"), 1);
        assert_eq!(install("one"), 1);
        assert_eq!(install("two"), 2);
        fs::remove_dir_all(&home).unwrap();
    }
}
