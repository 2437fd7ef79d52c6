//! The process's limit of open descriptors: raised at start, and what it allows.

/// Descriptors that are not client connections: listeners, pollers, logs, HTTP exchanges, files.
const RESERVE: u64 = 256;

/// Raises the soft limit to the hard limit and returns how many client connections fit.
/// Without such a limit, as many as a node could ever have.
#[cfg(unix)]
#[must_use]
pub(crate) fn raise_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the descriptor limit could not be raised");
            limit.current
        }
    };
    current.map_or(MOST, connections_within)
}

/// Elsewhere descriptors have no limit that a process could ask for.
#[cfg(not(unix))]
#[must_use]
pub(crate) fn raise_limit() -> usize {
    MOST
}

const MOST: usize = 1 << 24;

fn connections_within(descriptors: u64) -> usize {
    // With few descriptors a quarter is kept, so that something is left for clients.
    let reserve = RESERVE.min(descriptors / 4);
    usize::try_from(descriptors - reserve)
        .unwrap_or(MOST)
        .clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_kept_from_clients() {
        for (descriptors, connections) in [
            (20_000, 19_744),
            (1024, 768),
            (64, 48),
            (0, 1),
            (u64::MAX, MOST),
        ] {
            assert_eq!(
                connections_within(descriptors),
                connections,
                "{descriptors}"
            );
        }
    }
}
