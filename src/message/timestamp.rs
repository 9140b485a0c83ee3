//! Times as header values: RFC 3339.

use std::time::{Duration, SystemTime};

/// The last time of year 9999, beyond which RFC 3339 has no words.
const LAST: Duration = Duration::new(253_402_300_799, 999_999_999);

/// Where the date and the time of day, to the second, end.
const SECONDS_END: usize = "2026-01-01T00:00:00".len();

/// Writes a time; one outside of 1970 to 9999 becomes the nearest within.
pub(crate) fn write(time: SystemTime) -> String {
    let within = time.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LAST);
    humantime::format_rfc3339_nanos(within).to_string()
}

/// Reads a time with any offset; without one it is UTC.
pub(crate) fn read(text: &str) -> Option<SystemTime> {
    let (local, offset) = split(text)?;
    let fraction = local.get(SECONDS_END..)?;
    if !fraction.is_empty() && !is_fraction(fraction) {
        return None;
    }
    let time = humantime::parse_rfc3339_weak(&local.to_ascii_uppercase()).ok()?;
    match offset {
        Offset::East(ahead) => time.checked_sub(ahead),
        Offset::West(behind) => time.checked_add(behind),
    }
}

fn is_fraction(text: &str) -> bool {
    text.strip_prefix('.')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

enum Offset {
    East(Duration),
    West(Duration),
}

/// Parts the local time from its offset.
fn split(text: &str) -> Option<(&str, Offset)> {
    let none = Offset::East(Duration::ZERO);
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return Some((local, none));
    }
    let Some(at) = text.rfind(['+', '-']).filter(|&at| at >= SECONDS_END) else {
        return Some((text, none));
    };
    let (hours, minutes) = text[at + 1..].split_once(':')?;
    let ahead = Duration::from_mins(two_digits(hours, 23)? * 60 + two_digits(minutes, 59)?);
    let offset = if text[at..].starts_with('+') {
        Offset::East
    } else {
        Offset::West
    };
    Some((&text[..at], offset(ahead)))
}

fn two_digits(text: &str, most: u64) -> Option<u64> {
    let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse().ok())??;
    (number <= most).then_some(number)
}
