//! What holds for every stream: what its publisher is told, and what each receiver sees.

use std::collections::HashMap;

/// Begins the id of every stream of the game and the text of every part. No other text has it.
pub(super) const MARK: char = '#';

/// A stream's name on the side of its publisher, over all its lives.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Starts that were sent.
    pub(super) starts: u32,
    /// For each life that may be the present one, the highest part that may be wanted next.
    wanted: Vec<u64>,
    last_told: u64,
    /// The stream may have ended since the last confirmation.
    may_be_over: bool,
}

impl Published {
    pub(super) fn start_sent(&mut self) {
        self.starts += 1;
        self.wanted.push(1);
    }

    pub(super) fn part_sent(&mut self, place: u64) {
        for wanted in &mut self.wanted {
            *wanted += u64::from(*wanted == place);
        }
    }

    /// The part that a publisher sends next.
    pub(super) fn next(&self) -> u64 {
        self.wanted.last().copied().unwrap_or(1)
    }

    /// The publisher was told which part is wanted next.
    pub(super) fn told(&mut self, expected: u64) {
        if expected < self.last_told {
            assert_eq!(expected, 1, "falls from {}", self.last_told);
            assert!(self.may_be_over, "begins again while it is open");
            // It is another life.
            self.wanted.remove(0);
        }
        let highest = self.wanted.iter().max().copied().unwrap_or_default();
        assert!(
            (1..=highest).contains(&expected),
            "{expected} of {highest} is wanted"
        );
        self.last_told = expected;
        self.may_be_over = false;
    }

    /// The publisher was told of its end, or may have missed that.
    pub(super) fn may_be_over(&mut self) {
        self.may_be_over = true;
    }
}

/// What one client saw of a stream's lives.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The start that a part seen last was sent after; later lives have a later one.
    start: u32,
    last: u64,
    is_over: bool,
}

/// The text of a part, which says where it belongs.
pub(super) fn part_text(stream: &str, start: u32, place: u64) -> String {
    format!("{stream}.{start}.{place}")
}

/// The stream, start and place that a text was made of.
pub(super) fn read_part_text(text: &str) -> Option<(&str, u32, u64)> {
    let (rest, place) = text.strip_prefix(MARK)?.rsplit_once('.')?;
    let (stream, start) = rest.rsplit_once('.')?;
    let stream = text.get(..stream.len() + MARK.len_utf8())?;
    Some((stream, start.parse().ok()?, place.parse().ok()?))
}

/// What one client saw of all streams.
#[derive(Debug, Default)]
pub(super) struct Views(HashMap<String, View>);

impl Views {
    /// A part is seen. `misses_nothing` if the client has been in the group all along.
    pub(super) fn part(&mut self, stream: &str, start: u32, place: u64, misses_nothing: bool) {
        let is_first = !self.0.contains_key(stream);
        let view = self.0.entry(stream.to_owned()).or_default();
        assert!(start >= view.start, "{stream}.{start}.{place} is too late");
        if view.is_over || place <= view.last {
            assert!(
                start > view.start,
                "{stream}.{start}.{place} comes behind {view:?}"
            );
            view.last = 0;
        }
        if misses_nothing && !is_first {
            assert_eq!(place, view.last + 1, "a gap in {stream} behind {view:?}");
        }
        *view = View {
            start,
            last: place,
            is_over: false,
        };
    }

    /// The last message is seen of a stream that was started `starts` times.
    pub(super) fn end(&mut self, stream: &str, starts: u32, place: u64, misses_nothing: bool) {
        let is_first = !self.0.contains_key(stream);
        let view = self.0.entry(stream.to_owned()).or_default();
        if is_first || view.is_over || place <= view.last {
            // A life of which no part was seen.
            view.start += 1;
            view.last = 0;
        }
        assert!(
            view.start <= starts,
            "{stream} ends more often than it starts"
        );
        if misses_nothing && !is_first {
            assert_eq!(place, view.last + 1, "a gap in {stream} behind {view:?}");
        }
        (view.last, view.is_over) = (place, true);
    }
}
