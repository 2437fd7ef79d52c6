//! Parsed filters by their text, so that one which is used again need not be parsed again.
//!
//! Two generations, each with half of the room: what is found in the old one moves to the young
//! one; when the young one is full it becomes the old one, and what was left there is forgotten.
//! So what is used survives, what is not goes, and a lookup costs the same however full it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hubwire_proto::filter::{Filter, FilterError};

use crate::metrics::Counters;

/// The parsed filters of a node, within `limits.filter_cache_bytes`.
pub(super) struct Filters {
    /// Bytes of one generation.
    room: usize,
    generations: Mutex<Generations>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Generations {
    young: Generation,
    old: Generation,
}

#[derive(Default)]
struct Generation {
    filters: HashMap<Box<str>, Filter>,
    bytes: usize,
}

impl Filters {
    /// A cache of `bytes`; 0 keeps nothing.
    pub(super) fn new(bytes: usize, counters: Arc<Counters>) -> Self {
        Self {
            room: bytes / 2,
            generations: Mutex::default(),
            counters,
        }
    }

    /// The filter that a text means.
    ///
    /// # Errors
    ///
    /// [`FilterError`] if it is none. Errors are not kept.
    pub(super) fn parse(&self, text: &str) -> Result<Filter, FilterError> {
        if weight(text) > self.room {
            return Filter::parse(text);
        }
        if let Some(filter) = self.find(text) {
            self.counters.filter_cache.hit();
            return Ok(filter);
        }
        self.counters.filter_cache.miss();
        let filter = Filter::parse(text)?;
        self.keep(text, filter.clone());
        Ok(filter)
    }

    fn find(&self, text: &str) -> Option<Filter> {
        let mut generations = self.lock();
        if let Some(filter) = generations.young.filters.get(text) {
            return Some(filter.clone());
        }
        let (text, filter) = generations.old.filters.remove_entry(text)?;
        generations.old.bytes = generations.old.bytes.saturating_sub(weight(&text));
        let forgotten = generations.insert(text, filter.clone(), self.room);
        drop(generations);
        self.forget(forgotten);
        Some(filter)
    }

    fn keep(&self, text: &str, filter: Filter) {
        let forgotten = self.lock().insert(text.into(), filter, self.room);
        self.forget(forgotten);
    }

    /// Takes what was forgotten, so that its memory is freed outside the lock.
    fn forget(&self, forgotten: Option<Generation>) {
        if let Some(forgotten) = forgotten {
            self.counters.filter_cache.evicted(forgotten.filters.len());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    /// Adds a filter to the young generation, and returns the old one if its time is over.
    fn insert(&mut self, text: Box<str>, filter: Filter, room: usize) -> Option<Generation> {
        let bytes = weight(&text);
        let forgotten = (self.young.bytes + bytes > room).then(|| {
            let full = std::mem::take(&mut self.young);
            std::mem::replace(&mut self.old, full)
        });
        if self.young.filters.insert(text, filter).is_none() {
            self.young.bytes += bytes;
        }
        forgotten
    }
}

/// What an entry takes up, about: its text, the parsed form, its place in the map.
fn weight(text: &str) -> usize {
    text.len() * 4 + 200
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: usize) -> String {
        format!("connectionId eq '{number:04}'")
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let counters = Arc::<Counters>::default();
        let entry = weight(&text(0));
        let filters = Filters::new(entry * 20, Arc::clone(&counters));
        for number in 0..1000 {
            filters.parse(&text(number)).unwrap();
            filters.parse(&text(0)).unwrap();
        }
        let [hits, misses, evictions] = counters.filter_cache.read();
        assert_eq!((hits, misses), (1000, 1000));
        let generations = filters.lock();
        for generation in [&generations.young, &generations.old] {
            assert!(generation.bytes <= entry * 10);
            assert_eq!(generation.bytes, generation.filters.len() * entry);
        }
        let kept = generations.young.filters.len() + generations.old.filters.len();
        assert_eq!(evictions, 1000 - kept as u64);
    }

    #[test]
    fn without_room_nothing_is_kept_and_errors_never_are() {
        for bytes in [0, 100, 1 << 20] {
            let counters = Arc::<Counters>::default();
            let filters = Filters::new(bytes, Arc::clone(&counters));
            assert!(filters.parse(" ").is_err());
            assert!(filters.parse(" ").is_err());
            assert_eq!(counters.filter_cache.read()[0], 0);
            assert!(filters.lock().young.filters.is_empty());
            filters.parse("true").unwrap();
            assert_eq!(
                filters.lock().young.filters.len(),
                usize::from(bytes > 1000)
            );
        }
    }
}
