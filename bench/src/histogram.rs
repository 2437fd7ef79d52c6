//! A fixed-size log-linear histogram of durations in nanoseconds.
//!
//! Recording is one increment; nothing is allocated after construction. What a duration means is
//! the caller's business.

use serde::Serialize;

/// Buckets per power of two: a reading is at most 1/128 (0.8 %) above the recorded value.
const LINEAR: usize = 128;
const LINEAR_BITS: u32 = LINEAR.trailing_zeros();
/// One linear run for values below `LINEAR`, then one for each higher power of two of a `u64`.
const BUCKETS: usize = LINEAR * (1 + 64 - LINEAR_BITS as usize);

/// Counts of durations by size.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max: u64,
}

/// The usual quantiles of a histogram, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    /// Median.
    pub(crate) p50: f64,
    /// 99th percentile.
    pub(crate) p99: f64,
    /// 99.9th percentile.
    #[serde(rename = "p99.9")]
    pub(crate) p99_9: f64,
    /// The largest value, exact.
    pub(crate) max: f64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS].into_boxed_slice(),
            total: 0,
            max: 0,
        }
    }

    /// Counts one duration in nanoseconds.
    #[inline]
    pub(crate) fn record(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// Forgets everything, keeping the memory.
    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
        self.max = 0;
    }

    /// The smallest bucket bound that at least `permille` of a thousand values do not exceed;
    /// `None` while empty.
    pub(crate) fn at_permille(&self, permille: u64) -> Option<u64> {
        let wanted = (u128::from(self.total) * u128::from(permille)).div_ceil(1000);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if *count > 0 && seen >= wanted {
                return Some(upper_bound(index).min(self.max));
            }
        }
        None
    }

    /// The quantiles, or `None` while empty.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        Some(Quantiles {
            p50: millis(self.at_permille(500)?),
            p99: millis(self.at_permille(990)?),
            p99_9: millis(self.at_permille(999)?),
            max: millis(self.max),
        })
    }
}

/// The bucket of a value: itself while below `LINEAR`, else its power of two and the
/// `LINEAR_BITS` bits below the leading one.
fn bucket(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    let shift = bits.saturating_sub(LINEAR_BITS + 1);
    let run = shift as usize * LINEAR;
    // After the shift at most LINEAR_BITS + 1 bits are left.
    run + usize::try_from(value >> shift).unwrap_or(0)
}

/// The largest value that falls into a bucket.
fn upper_bound(index: usize) -> u64 {
    let run = (index / LINEAR).saturating_sub(1);
    let shift = u32::try_from(run).unwrap_or(0);
    let lead = (index - run * LINEAR) as u64;
    (lead << shift) | ((1 << shift) - 1)
}

/// Nanoseconds as milliseconds, to the microsecond.
fn millis(nanos: u64) -> f64 {
    (nanos as f64 / 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_are_narrow() {
        let mut values: Vec<u64> = (0..1_000).collect();
        for bit in 7..64 {
            let power = 1_u64 << bit;
            values.extend([power - 1, power, power + 1, power + power / 3]);
        }
        values.push(u64::MAX);
        for value in values {
            let index = bucket(value);
            assert!(index < BUCKETS, "{value} is outside");
            let bound = upper_bound(index);
            assert!(bound >= value, "{value} above its bound {bound}");
            assert!(
                bound - value <= value / LINEAR as u64,
                "{value} too far below {bound}"
            );
            if bound < u64::MAX {
                assert_eq!(bucket(bound + 1), index + 1, "gap after {bound}");
            }
        }
    }

    #[test]
    fn quantiles_are_those_of_the_recorded_values() {
        fn check(values: impl IntoIterator<Item = u64>, expect: [u64; 3]) {
            let mut histogram = Histogram::new();
            for value in values {
                histogram.record(value);
            }
            for (permille, expect) in [500, 990, 999].into_iter().zip(expect) {
                let got = histogram.at_permille(permille).expect("not empty");
                assert!(
                    got >= expect && got - expect <= expect / LINEAR as u64,
                    "{permille}: {got}, not {expect}"
                );
            }
        }
        check([5], [5, 5, 5]);
        check(1..=100, [50, 99, 100]);
        check(1..=1_000_000, [500_000, 990_000, 999_000]);
        check(
            std::iter::repeat_n(10, 999).chain([9_000_000]),
            [10, 10, 10],
        );
        check(
            std::iter::repeat_n(10, 998).chain([9_000_000, 9_000_000]),
            [10, 10, 9_000_000],
        );
    }

    #[test]
    fn empty_and_cleared_histograms_have_no_quantiles() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantiles(), None);
        histogram.record(1_500_000);
        let quantiles = histogram.quantiles().expect("one value");
        assert!((quantiles.max - 1.5).abs() < 1e-9);
        assert!((quantiles.p50 - 1.5).abs() < 1e-9, "capped at the maximum");
        histogram.clear();
        assert_eq!(histogram.quantiles(), None);
    }
}
