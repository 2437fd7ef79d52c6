//! The numbers of a node for a scrape, in the Prometheus text format.
//!
//! Shards count for themselves and are summed here; what the front door counts is in
//! [`Counters`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use hubwire_core::metrics::MetricKind;
use hubwire_core::node::Node;
use hyper::StatusCode;

use crate::listener::ListenerCounters;
use crate::sessions_file::Restored;
use crate::tls::Acceptor;

/// Why a client did not get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Not a WebSocket upgrade that we speak.
    NotAnUpgrade,
    /// The hub is missing or not a hub name.
    Hub,
    /// The node is shutting down.
    Draining,
    /// No token, or one that is not believed.
    Token,
    /// The token names groups that cannot be, or too many.
    Groups,
    /// The parameters of a simple client make no sense.
    Mode,
    /// The node is full.
    NodeFull,
    /// Something failed here.
    Internal,
}

impl Rejection {
    const NAMES: [&str; 8] = [
        "not_an_upgrade",
        "hub",
        "draining",
        "token",
        "groups",
        "mode",
        "node_full",
        "internal",
    ];
}

/// What became of a client that wants its earlier connection back, as far as the front door knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecoveryOutcome {
    /// Its socket went to the shard that has the connection.
    HandedOver,
    /// Its reconnection token is missing, expired or not for this connection.
    Token,
    /// The connection has ended, or never was.
    NotFound,
    /// The shard had no room for the question or did not answer in time.
    NoAnswer,
    /// Too many sockets wait for the shard.
    Full,
    /// The socket broke.
    Broken,
}

impl RecoveryOutcome {
    const NAMES: [&str; 6] = [
        "handed_over",
        "token",
        "not_found",
        "no_answer",
        "full",
        "broken",
    ];

    /// Its name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What the front door counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    rejections: [AtomicU64; Rejection::NAMES.len()],
    recoveries: [AtomicU64; RecoveryOutcome::NAMES.len()],
    /// Set once, at start.
    restored: OnceLock<Restored>,
    asks_missed: AtomicU64,
    reloads: AtomicU64,
    refused_reloads: AtomicU64,
    /// The cache of parsed filters.
    pub(crate) filter_cache: FilterCacheCounters,
    /// By operation and status, both from small fixed sets.
    rest: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

/// What the cache of parsed filters counts.
#[derive(Debug, Default)]
pub(crate) struct FilterCacheCounters {
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

impl FilterCacheCounters {
    /// Counts a filter that was there.
    pub(crate) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a filter that was not there.
    pub(crate) fn miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts filters that were forgotten for want of room.
    pub(crate) fn evicted(&self, filters: usize) {
        self.evictions.fetch_add(filters as u64, Ordering::Relaxed);
    }

    /// Hits, misses and evictions so far.
    pub(crate) fn read(&self) -> [u64; 3] {
        [&self.hits, &self.misses, &self.evictions].map(|counter| counter.load(Ordering::Relaxed))
    }
}

impl Counters {
    /// Counts a client that did not get in.
    pub(crate) fn reject(&self, why: Rejection) {
        self.rejections[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a client that wants its earlier connection back.
    pub(crate) fn recovery(&self, outcome: RecoveryOutcome) {
        self.recoveries[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes what became of the sessions that an earlier process had saved.
    pub(crate) fn restored(&self, restored: Restored) {
        let _ = self.restored.set(restored);
    }

    /// Counts a command or question that met no room or no answer in time.
    pub(crate) fn ask_missed(&self) {
        self.asks_missed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a reload of the configuration that was applied.
    pub(crate) fn reloaded(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a reload of the configuration that was refused.
    pub(crate) fn reload_refused(&self) {
        self.refused_reloads.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a REST request.
    pub(crate) fn rest(&self, operation: &'static str, status: StatusCode) {
        *self.lock().entry((operation, status.as_u16())).or_default() += 1;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(&'static str, u16), u64>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every number of a node.
pub(crate) fn render(
    node: &Node,
    counters: &Counters,
    listener: &ListenerCounters,
    tls: Option<&Acceptor>,
) -> String {
    let mut page = Page(String::with_capacity(8 * 1024));
    for metric in node.numbers().list() {
        match metric.kind {
            MetricKind::Gauge => page.one(metric.name, "gauge", metric.help, metric.value),
            MetricKind::Counter => page.counter(metric.name, metric.help, metric.value),
        }
    }
    page.head(
        "inbox_used",
        "gauge",
        "Commands waiting for a shard or reserved.",
    );
    for shard in node.shards().iter() {
        page.line(
            "inbox_used",
            &format!("shard=\"{}\"", shard.0),
            node.inbox(shard).used() as u64,
        );
    }
    page.one(
        "queued_bytes",
        "gauge",
        "Bytes queued for all clients.",
        node.memory().queued(),
    );
    let seats = node.connections() as u64;
    page.one(
        "seats",
        "gauge",
        "Connections that have a place, new ones included.",
        seats,
    );
    page.one(
        "open_asks",
        "gauge",
        "Questions waiting for shards.",
        node.asks().len() as u64,
    );
    front_door(&mut page, counters, listener);
    if let Some(acceptor) = tls {
        tls_numbers(&mut page, acceptor);
    }
    process(&mut page);
    page.0
}

fn tls_numbers(page: &mut Page, acceptor: &Acceptor) {
    let counters = &acceptor.counters;
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.counter(
        "tls_handshakes",
        "TLS handshakes that were completed.",
        get(&counters.handshakes),
    );
    page.counter(
        "tls_handshake_failures",
        "Connections that ended before their TLS handshake did.",
        get(&counters.handshake_failures),
    );
    page.counter(
        "tls_broken",
        "Connections ended by a record that broke the protocol.",
        get(&counters.broken),
    );
    if let Some(end) = acceptor.expires_at() {
        page.one(
            "tls_certificate_expires_seconds",
            "gauge",
            "When the certificate expires, in seconds since 1970.",
            u64::try_from(end.0).unwrap_or_default(),
        );
    }
}

fn front_door(page: &mut Page, counters: &Counters, listener: &ListenerCounters) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.one(
        "http_connections",
        "gauge",
        "HTTP connections now.",
        get(&listener.open),
    );
    page.counter(
        "http_accepted",
        "HTTP connections accepted.",
        get(&listener.accepted),
    );
    let failures = get(&listener.accept_failures);
    page.counter(
        "accept_failures",
        "Failed attempts to accept a connection.",
        failures,
    );
    let timeouts = get(&listener.head_timeouts);
    page.counter(
        "handshake_timeouts",
        "Connections without a request head in time.",
        timeouts,
    );
    page.counter(
        "http_broken",
        "HTTP connections that broke.",
        get(&listener.broken),
    );
    let missed = get(&counters.asks_missed);
    page.counter(
        "asks_missed",
        "REST requests and recoveries that shards did not take or answer in time.",
        missed,
    );
    page.labelled(
        "configuration_reloads_total",
        "Reloads of the configuration.",
        "result",
        [
            (&"applied", &counters.reloads),
            (&"refused", &counters.refused_reloads),
        ],
    );
    let [hits, misses, evictions] = counters.filter_cache.read();
    page.counter(
        "filter_cache_hits",
        "Filters that were parsed already.",
        hits,
    );
    page.counter(
        "filter_cache_misses",
        "Filters that had to be parsed.",
        misses,
    );
    page.counter(
        "filter_cache_evictions",
        "Parsed filters that were forgotten for want of room.",
        evictions,
    );
    page.labelled(
        "clients_rejected_total",
        "Clients that did not get in.",
        "reason",
        Rejection::NAMES.iter().zip(&counters.rejections),
    );
    page.labelled(
        "recoveries_total",
        "Clients that wanted an earlier connection back.",
        "result",
        RecoveryOutcome::NAMES.iter().zip(&counters.recoveries),
    );
    let restored = counters.restored.get().copied().unwrap_or_default();
    page.head(
        "restored_sessions_total",
        "counter",
        "Sessions that the process before had saved.",
    );
    for (result, count) in [
        ("waiting", restored.waiting),
        ("expired", restored.expired),
        ("no_room", restored.no_room),
    ] {
        let labels = format!("result=\"{result}\"");
        page.line("restored_sessions_total", &labels, count);
    }
    page.head(
        "rest_requests_total",
        "counter",
        "REST requests by operation and status.",
    );
    for ((operation, status), count) in counters.lock().iter() {
        let labels = format!("operation=\"{operation}\",status=\"{status}\"");
        page.line("rest_requests_total", &labels, *count);
    }
}

/// The process by the names that dashboards expect.
#[cfg(target_os = "linux")]
fn process(page: &mut Page) {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|pages| pages.split(' ').nth(1)?.parse::<u64>().ok());
    if let Some(resident) = resident {
        let bytes = resident * rustix::param::page_size() as u64;
        page.foreign(
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory.",
            bytes,
        );
    }
    if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
        page.foreign(
            "process_open_fds",
            "gauge",
            "Open descriptors.",
            descriptors.count() as u64,
        );
    }
}

#[cfg(not(target_os = "linux"))]
fn process(_page: &mut Page) {}

/// A page in the text format, version 0.0.4.
struct Page(String);

impl Page {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.one(&format!("{name}_total"), "counter", help, value);
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.foreign(&format!("hubwire_{name}"), kind, help, value);
    }

    fn foreign(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        // Writing to a String cannot fail.
        let _ = write!(
            self.0,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        );
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(
            self.0,
            "# HELP hubwire_{name} {help}\n# TYPE hubwire_{name} {kind}\n"
        );
    }

    /// A counter of which one label has a few fixed values.
    fn labelled<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        counts: impl IntoIterator<Item = (&'a &'static str, &'a AtomicU64)>,
    ) {
        self.head(name, "counter", help);
        for (value, count) in counts {
            let labels = format!("{label}=\"{value}\"");
            self.line(name, &labels, count.load(Ordering::Relaxed));
        }
    }

    fn line(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "hubwire_{name}{{{labels}}} {value}");
    }
}

#[cfg(test)]
mod tests {
    use hubwire_core::id::NodeId;
    use hubwire_core::settings::{HubTable, Limits};

    use super::*;

    #[test]
    fn every_number_has_its_kind_and_is_there_once() {
        let node = Node::new(NodeId(0), 2, Limits::default(), HubTable::default());
        let counters = Counters::default();
        counters.reject(Rejection::Internal);
        counters.rest("send_to_all", StatusCode::ACCEPTED);
        counters.rest("send_to_all", StatusCode::ACCEPTED);
        let page = render(&node, &counters, &ListenerCounters::default(), None);
        for line in [
            "# TYPE hubwire_connections gauge",
            "hubwire_connections 0",
            "hubwire_connections_opened_total 0",
            "hubwire_inbox_used{shard=\"1\"} 0",
            "hubwire_configuration_reloads_total{result=\"refused\"} 0",
            "hubwire_clients_rejected_total{reason=\"internal\"} 1",
            "hubwire_rest_requests_total{operation=\"send_to_all\",status=\"202\"} 2",
        ] {
            assert_eq!(
                page.lines().filter(|found| *found == line).count(),
                1,
                "{line}\n{page}"
            );
        }
    }
}
