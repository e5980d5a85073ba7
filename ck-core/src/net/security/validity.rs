//! When a certificate is valid. webpki checks that of others and does not tell it; this is for the node's own, to warn
//! before it expires.

use rustls::pki_types::CertificateDer;

/// The times between which a certificate is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: u64,
    pub(super) not_after: u64,
}

// Tags of DER (X.690).
const SEQUENCE: u8 = 0x30;
const EXPLICIT_0: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl Validity {
    /// That of this certificate; `None` where it cannot be read.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate, _) = element(certificate)?;
        let (SEQUENCE, mut rest, _) = element(certificate)? else {
            return None;
        };
        // A version, which version 1 leaves out, then serial number, algorithm and issuer.
        if *rest.first()? == EXPLICIT_0 {
            rest = element(rest)?.2;
        }
        for _ in 0..3 {
            rest = element(rest)?.2;
        }
        let (SEQUENCE, validity, _) = element(rest)? else {
            return None;
        };
        let (tag, not_before, rest) = element(validity)?;
        let not_before = time(tag, not_before)?;
        let (tag, not_after, _) = element(rest)?;
        Some(Validity {
            not_before,
            not_after: time(tag, not_after)?,
        })
    }
}

/// The first element: its tag, its content, and what comes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` in seconds since 1970 (RFC 5280, 4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<u64> {
        let digits = digits.get(range)?;
        Some(
            digits
                .iter()
                .fold(0, |number, digit| number * 10 + u64::from(digit - b'0')),
        )
    };
    let (year, at) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(0..2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, 2)
        }
        (GENERALIZED_TIME, 14) => (number(0..4)?, 4),
        _ => return None,
    };
    let part = |index: usize| number(at + 2 * index..at + 2 * index + 2);
    let (month, day) = (part(0)?, part(1)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        // What expired before 1970 has expired.
        return (year < 1970).then_some(0);
    }
    let seconds = part(2)? * 3600 + part(3)? * 60 + part(4)?;
    Some(days_since_1970(year, month, day) * 86_400 + seconds)
}

/// Days in the Gregorian calendar, counted in years that begin in March, so that the leap day is the last one.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    // From the first of March of year 0 to the beginning of 1970.
    days.saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "261201121314Z", Some(1_796_127_194)),
            (UTC_TIME, "000229235959Z", Some(951_868_799)),
            (UTC_TIME, "600101000000Z", Some(0)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "20500101000000Z", None),
            (GENERALIZED_TIME, "261201121314Z", None),
            (UTC_TIME, "261301121314Z", None),
            (UTC_TIME, "2612011213+0Z", None),
            (UTC_TIME, "", None),
            (SEQUENCE, "261201121314Z", None),
        ] {
            assert_eq!(time(tag, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_tells_when_it_is_valid_and_parts_of_it_do_not() {
        let mut params = rcgen::CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 12, 1);
        params.not_after = rcgen::date_time_ymd(2056, 2, 29);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let expected = Validity {
            not_before: 1_796_083_200,
            not_after: 2_719_008_000,
        };
        let der = certificate.der();
        assert_eq!(Validity::of(der), Some(expected));
        for length in 0..der.len() {
            let part = CertificateDer::from_slice(&der[..length]);
            assert_eq!(Validity::of(&part), None, "{length}");
        }
    }
}
