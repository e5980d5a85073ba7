//! Durations as text: `5s`, `500ms`, `1m30s`, or a plain number of milliseconds.

use std::time::Duration;

const DURATION_UNITS: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
];

const NANOS_PER_MILLI: u128 = 1_000_000;

/// Parses a duration: numbers with the units `d h m s ms us ns` in any order, or a number without a unit, which counts
/// milliseconds. Fractions are allowed (`1.5s`). `None` when it is none of these or exceeds 584 years.
///
/// Uses integers only, so that what [`format_duration`] writes parses back exactly.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    let mut first = true;
    while !rest.is_empty() {
        let number_len = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let nanos = match unit {
            "" if first && tail.is_empty() => NANOS_PER_MILLI,
            _ => DURATION_UNITS.iter().find(|(name, _)| *name == unit)?.1,
        };
        total = total.checked_add(scaled(number, nanos)?)?;
        rest = tail;
        first = false;
    }
    u64::try_from(total).ok().map(Duration::from_nanos)
}

/// `number` (digits with at most one point) times `unit`, truncated to whole nanoseconds.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 15 {
        return None;
    }
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u128>().ok()?
    };
    let fraction = match fraction.len() {
        0 => 0,
        digits => {
            fraction.parse::<u128>().ok()?.checked_mul(unit)? / 10_u128.pow(u32::try_from(digits).ok()?)
        }
    };
    whole.checked_mul(unit)?.checked_add(fraction)
}

/// Writes a duration so that [`parse_duration`] reads the same one back: `1m30s`, `500ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if nanos != 0 {
        let total = duration.as_nanos();
        return match nanos {
            n if n % 1_000_000 == 0 => format!("{}ms", total / 1_000_000),
            n if n % 1_000 == 0 => format!("{}us", total / 1_000),
            _ => format!("{total}ns"),
        };
    }
    let mut text = String::new();
    for (amount, unit) in [
        (seconds / 3_600, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ] {
        if amount != 0 {
            text.push_str(&format!("{amount}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in [
            ("5s", 5_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("2h0m0s", 7_200_000),
            ("1d", 86_400_000),
            ("3000us", 3),
            ("3000µs", 3),
            ("250", 250),
            ("0", 0),
            (" 7s ", 7_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        assert_eq!(parse_duration("0.5"), Some(Duration::from_micros(500)));
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in [
            "",
            " ",
            "s",
            "ms",
            "-5s",
            "+5s",
            "5 s",
            "5x",
            "1.2.3s",
            ".",
            ".s",
            "1s5",
            "5s ms",
            "1e3",
            "NaN",
            "five",
            "99999999999999999999h",
            "1000000d",
            "1.0000000000000001s",
            "５s",
        ] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn writes_the_shortest_exact_form() {
        for (millis, text) in [
            (0, "0s"),
            (500, "500ms"),
            (1_500, "1500ms"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (3_601_000, "1h1s"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(format_duration(Duration::from_micros(1)), "1us");
        assert_eq!(
            format_duration(Duration::from_nanos(1_000_000_001)),
            "1000000001ns"
        );
    }

    proptest! {
        #[test]
        fn every_duration_round_trips(nanos in any::<u64>(), shift in 0_u32..64) {
            let duration = Duration::from_nanos(nanos >> shift);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }

        #[test]
        fn milliseconds_need_no_unit(millis in 0_u64..1_000_000_000) {
            prop_assert_eq!(parse_duration(&millis.to_string()), Some(Duration::from_millis(millis)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse_duration(&text);
        }
    }
}
