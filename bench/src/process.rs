//! What the operating system says of processes: the server's CPU time and memory, our own CPU
//! time, our descriptor limit.
//!
//! Linux only, from `/proc`; elsewhere `--server-pid` is refused and the figures are absent. Of
//! the server, the given process and all its living descendants count; a descendant that ends in
//! the middle of a measurement takes its CPU time with it.

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{ServerProcess, own_cpu_seconds, raise_descriptor_limit};
#[cfg(target_os = "linux")]
pub(crate) use linux::{ServerProcess, own_cpu_seconds, raise_descriptor_limit};

use thiserror::Error;

/// CPU time that a server has used since it started, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct CpuTime {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

/// Why a server's figures are not to be had.
#[derive(Debug, Error)]
pub(crate) enum ProcessError {
    #[cfg(target_os = "linux")]
    #[error("no process {pid}: the server of --server-pid is not running")]
    Gone { pid: u32 },
    #[cfg(not(target_os = "linux"))]
    #[error("--server-pid reads /proc, so it needs Linux")]
    NeedsLinux,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::fs;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use rustix::time::{ClockId, clock_gettime};

    use super::{CpuTime, ProcessError};

    /// A server on this machine, with its descendants.
    #[derive(Debug)]
    pub(crate) struct ServerProcess {
        pid: u32,
    }

    impl ServerProcess {
        /// # Errors
        /// When there is no such process.
        pub(crate) fn find(pid: u32) -> Result<Self, ProcessError> {
            let server = Self { pid };
            server.cpu_time()?;
            Ok(server)
        }

        /// # Errors
        /// When the process has ended.
        pub(crate) fn cpu_time(&self) -> Result<CpuTime, ProcessError> {
            let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
            let mut sum = CpuTime::default();
            for stat in self.family()? {
                sum.user += stat.user_ticks as f64 / ticks_per_second;
                sum.system += stat.system_ticks as f64 / ticks_per_second;
            }
            Ok(sum)
        }

        /// Resident memory in MiB. The kernel's own memory for sockets is not part of it.
        ///
        /// # Errors
        /// When the process has ended.
        pub(crate) fn rss_mib(&self) -> Result<f64, ProcessError> {
            let kib: u64 = self.family()?.iter().filter_map(|s| rss_kib(s.pid)).sum();
            Ok(kib as f64 / 1024.0)
        }

        /// The process, then its descendants.
        fn family(&self) -> Result<Vec<Stat>, ProcessError> {
            let gone = ProcessError::Gone { pid: self.pid };
            let root = Stat::of(self.pid).ok_or(gone)?;
            let mut by_parent: HashMap<u32, Vec<Stat>> = HashMap::new();
            for stat in all_pids().into_iter().filter_map(Stat::of) {
                by_parent.entry(stat.parent).or_default().push(stat);
            }
            let mut family = vec![root];
            let mut next = 0;
            while let Some(pid) = family.get(next).map(|stat| stat.pid) {
                family.extend(by_parent.remove(&pid).unwrap_or_default());
                next += 1;
            }
            Ok(family)
        }
    }

    /// CPU seconds that this process has used, all threads.
    pub(crate) fn own_cpu_seconds() -> Option<f64> {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }

    /// Raises the soft limit on open files to the hard one; returns what it is now, `None` for
    /// unlimited.
    pub(crate) fn raise_descriptor_limit() -> Option<u64> {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit.maximum,
            Err(_) => limit.current,
        }
    }

    /// The fields that we need of `/proc/PID/stat`.
    #[derive(Debug, PartialEq)]
    struct Stat {
        pid: u32,
        parent: u32,
        user_ticks: u64,
        system_ticks: u64,
    }

    impl Stat {
        fn of(pid: u32) -> Option<Self> {
            Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
        }

        /// Counts fields from the last parenthesis: the command's name before it may hold
        /// anything.
        fn parse(pid: u32, stat: &str) -> Option<Self> {
            let (_, fields) = stat.rsplit_once(')')?;
            let mut fields = fields.split_ascii_whitespace();
            Some(Self {
                pid,
                parent: fields.nth(1)?.parse().ok()?,
                user_ticks: fields.nth(9)?.parse().ok()?,
                system_ticks: fields.next()?.parse().ok()?,
            })
        }
    }

    fn all_pids() -> Vec<u32> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }

    fn rss_kib(pid: u32) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use std::process::{Command, Stdio};

        use super::*;

        #[test]
        fn a_stat_line_is_read_past_any_name() {
            let line = "42 (a) b (c)) S 7 42 42 0 -1 4194304 1 0 0 0 12 34 5 6 20 0 1 0 9 8 7";
            let expect = Stat {
                pid: 42,
                parent: 7,
                user_ticks: 12,
                system_ticks: 34,
            };
            assert_eq!(Stat::parse(42, line), Some(expect));
            assert_eq!(Stat::parse(42, "42 (cut) S 7 1"), None);
            assert_eq!(Stat::parse(42, ""), None);
        }

        #[test]
        fn children_belong_to_the_server() {
            let mut child = Command::new("cat")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .expect("cat runs");
            let server = ServerProcess::find(std::process::id()).expect("we run");
            let pids: Vec<u32> = server
                .family()
                .expect("alive")
                .iter()
                .map(|s| s.pid)
                .collect();
            assert_eq!(pids.first(), Some(&std::process::id()));
            assert!(pids.contains(&child.id()), "{pids:?}");
            assert!(server.rss_mib().expect("alive") > 0.1);
            drop(child.stdin.take());
            child.wait().expect("cat ends with its input");
        }

        #[test]
        fn a_process_that_is_not_there_is_named() {
            let error = ServerProcess::find(u32::MAX).expect_err("no such process");
            assert!(error.to_string().contains("4294967295"), "{error}");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{CpuTime, ProcessError};

    /// A server whose figures cannot be read here; none exists.
    #[derive(Debug)]
    pub(crate) enum ServerProcess {}

    impl ServerProcess {
        pub(crate) fn find(_pid: u32) -> Result<Self, ProcessError> {
            Err(ProcessError::NeedsLinux)
        }

        pub(crate) fn cpu_time(&self) -> Result<CpuTime, ProcessError> {
            match *self {}
        }

        pub(crate) fn rss_mib(&self) -> Result<f64, ProcessError> {
            match *self {}
        }
    }

    pub(crate) fn own_cpu_seconds() -> Option<f64> {
        None
    }

    pub(crate) fn raise_descriptor_limit() -> Option<u64> {
        None
    }
}
