//! When a certificate is valid: the one field of X.509 that is read here (RFC 5280 §4.1.2.5).
//!
//! Whether a certificate is to be believed is for clients to say.

use hubwire_proto::token::UnixSeconds;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, `[0] EXPLICIT`.
const VERSION: u8 = 0xa0;

/// From when to when a certificate is valid, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: UnixSeconds,
    pub(crate) not_after: UnixSeconds,
}

impl Validity {
    /// That of the first certificate in a PEM text; `None` if it is not understood.
    pub(crate) fn of_pem(text: &[u8]) -> Option<Self> {
        let certificate = CertificateDer::from_pem_slice(text).ok()?;
        Self::of(&certificate)
    }

    /// That of a DER-encoded certificate; `None` if it is not understood.
    fn of(certificate: &[u8]) -> Option<Self> {
        let validity = validity(certificate)?;
        let (not_before, rest) = time(validity)?;
        let (not_after, _) = time(rest)?;
        Some(Self {
            not_before,
            not_after,
        })
    }
}

/// When the DER-encoded `certificate` expires; `None` if it is not understood.
pub(super) fn not_after(certificate: &[u8]) -> Option<UnixSeconds> {
    Validity::of(certificate).map(|validity| validity.not_after)
}

/// The content of the field `validity`.
fn validity(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (fields, _) = element(certificate, SEQUENCE)?;
    let after_version = element(fields, VERSION).map_or(fields, |(_, rest)| rest);
    let (_serial, rest) = element(after_version, INTEGER)?;
    let (_algorithm, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    element(rest, SEQUENCE).map(|(validity, _)| validity)
}

/// The content of the first element, if its tag is `expected`, and what follows it (X.690 §8.1).
fn element(input: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    if tag != expected {
        return None;
    }
    rest.split_at_checked(length)
}

fn time(input: &[u8]) -> Option<(UnixSeconds, &[u8])> {
    let (text, rest, century_known) = match element(input, UTC_TIME) {
        Some((text, rest)) => (text, rest, false),
        None => {
            let (text, rest) = element(input, GENERALIZED_TIME)?;
            (text, rest, true)
        }
    };
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, text) = text.split_at_checked(if century_known { 4 } else { 2 })?;
    let year: i64 = year.parse().ok()?;
    let year = match year {
        _ if century_known => year,
        0..50 => 2000 + year,
        _ => 1900 + year,
    };
    let mut numbers = text
        .as_bytes()
        .chunks(2)
        .map(|digits| std::str::from_utf8(digits).ok()?.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let (month, day) = (next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    let seconds = days_since_1970(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second;
    Some((UnixSeconds(seconds), rest))
}

/// Days from 1 January 1970 to a day of the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    // Counted from a March, so that the leap day is the last of its year.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        3..=12 => (year, month - 3),
        _ => return None,
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    // Less the same for 1 January 1970, day 307 of the year that begins in March 1969.
    Some(days - 719_469)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_and_end_of_a_certificate_are_found() {
        let check = |year, month, day, expected| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(1975, 1, 1);
            params.not_after = rcgen::date_time_ymd(year, month, day);
            let certificate = params.self_signed(&key).unwrap();
            let validity = Validity {
                not_before: UnixSeconds(157_766_400),
                not_after: UnixSeconds(expected),
            };
            let what = format!("{year}-{month}-{day}");
            assert_eq!(
                Validity::of_pem(certificate.pem().as_bytes()),
                Some(validity),
                "{what}"
            );
            assert_eq!(
                not_after(certificate.der()),
                Some(validity.not_after),
                "{what}"
            );
        };
        check(1976, 1, 1, 189_302_400);
        check(2000, 2, 29, 951_782_400);
        check(2026, 11, 23, 1_795_392_000);
        check(2049, 12, 31, 2_524_521_600);
        check(2100, 3, 1, 4_107_542_400);
    }

    #[test]
    fn nonsense_has_no_end() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        for end in 0..certificate.der().len() {
            // Cut before the validity it has none; in no case does reading fail otherwise.
            not_after(&certificate.der()[..end]);
        }
        assert_eq!(not_after(&[]), None);
        assert_eq!(not_after(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}
