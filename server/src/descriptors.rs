//! The process's limit of open descriptors: raised at start, and what it allows.

/// Descriptors for what is neither a client connection nor an HTTP exchange: listeners, pollers,
/// logs, files, the admin listener's exchanges.
const RESERVE: u64 = 128;

/// HTTP connections that may be open at once where descriptors allow it. Each may hold a buffer
/// of `limits.header_bytes`, or before that a TLS handshake that has not come whole; upgraded
/// sockets do not count.
pub(crate) const MOST_HTTP_CONNECTIONS: usize = 4096;

const MOST_CONNECTIONS: usize = 1 << 24;

/// How the descriptors are divided, so that neither kind of connection can use up the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Client connections.
    pub(crate) connections: usize,
    /// HTTP connections, those being upgraded included.
    pub(crate) http_connections: usize,
}

/// Raises the soft limit to the hard limit and divides it.
#[cfg(unix)]
#[must_use]
pub(crate) fn raise_limit() -> Descriptors {
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
    divide(current.unwrap_or(u64::MAX))
}

/// Elsewhere descriptors have no limit that a process could ask for.
#[cfg(not(unix))]
#[must_use]
pub(crate) fn raise_limit() -> Descriptors {
    divide(u64::MAX)
}

fn divide(descriptors: u64) -> Descriptors {
    // With few descriptors an eighth is kept, so that something is left for clients.
    let rest = descriptors - RESERVE.min(descriptors / 8);
    let http = usize::try_from(rest / 16).unwrap_or(MOST_HTTP_CONNECTIONS);
    let http_connections = http.clamp(4, MOST_HTTP_CONNECTIONS);
    let connections = usize::try_from(rest).unwrap_or(MOST_CONNECTIONS);
    Descriptors {
        connections: connections
            .saturating_sub(http_connections)
            .clamp(1, MOST_CONNECTIONS),
        http_connections,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_http_share_what_the_reserve_leaves() {
        for (descriptors, connections, http_connections) in [
            (20_000, 18_630, 1242),
            (1024, 840, 56),
            (64, 52, 4),
            (0, 1, 4),
            (u64::MAX, MOST_CONNECTIONS, MOST_HTTP_CONNECTIONS),
        ] {
            let expected = Descriptors {
                connections,
                http_connections,
            };
            assert_eq!(divide(descriptors), expected, "{descriptors}");
        }
    }
}
