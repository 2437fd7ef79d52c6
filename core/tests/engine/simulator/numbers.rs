//! The numbers on what a reliable client is sent: one after the other, none left out without a
//! reason, none used twice, over as many transports as it takes.

use std::collections::{BTreeMap, BTreeSet};

/// What a numbered message is to its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Seen for the first time.
    New,
    /// Sent again.
    Again,
}

/// What one client knows of its numbers.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// The highest seen.
    last: u64,
    /// The latest one on the present transport.
    on_transport: Option<u64>,
    /// The highest acknowledged, whether that arrived or not.
    acknowledged: u64,
    /// The highest acknowledged on the present transport.
    acknowledged_here: u64,
    /// The highest whose acknowledgement certainly arrived.
    forgotten: u64,
    /// What was seen and may come again.
    seen: BTreeMap<u64, String>,
    /// Left out, so never to come.
    skipped: BTreeSet<u64>,
}

impl Numbers {
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Messages left out so far, each of which must have expired.
    pub(crate) fn skipped(&self) -> usize {
        self.skipped.len()
    }

    pub(crate) fn new_transport(&mut self) {
        self.on_transport = None;
        self.acknowledged_here = 0;
    }

    /// Says that everything up to `number` has arrived; what was not seen yet does not count.
    pub(crate) fn acknowledge(&mut self, number: u64) {
        if number <= self.last {
            self.acknowledged = self.acknowledged.max(number);
            self.acknowledged_here = self.acknowledged_here.max(number);
        }
    }

    /// All that was sent over the present transport has arrived.
    pub(crate) fn at_rest(&mut self) {
        self.forgotten = self.forgotten.max(self.acknowledged_here);
        self.seen = self.seen.split_off(&(self.forgotten + 1));
    }

    /// Takes a message. `is_expired` says whether one that was seen may be left out by now.
    pub(crate) fn receive(
        &mut self,
        number: u64,
        text: &str,
        is_expired: impl Fn(&str) -> bool,
    ) -> News {
        let before = self.on_transport.unwrap_or(self.acknowledged);
        let least = self.on_transport.unwrap_or(self.forgotten);
        assert!(number > least, "{number} after {least}: {text}");
        for missing in before + 1..number {
            if missing > self.last {
                self.skipped.insert(missing);
                continue;
            }
            let known = self.seen.get(&missing);
            assert!(
                missing <= self.acknowledged
                    || self.skipped.contains(&missing)
                    || known.is_some_and(|text| is_expired(text)),
                "{missing} was left out before {number}: {known:?}"
            );
        }
        self.on_transport = Some(number);
        if number <= self.last {
            assert_eq!(
                self.seen.get(&number).map(String::as_str),
                Some(text),
                "{number} means something else now"
            );
            return News::Again;
        }
        self.last = number;
        self.seen.insert(number, text.to_owned());
        News::New
    }
}
