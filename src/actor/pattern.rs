use std::{
    fmt,
    time::{Duration, SystemTime},
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How many days are searched for one that a cron expression names: the 29th
/// of February can be eight years away.
const SEARCHED: u64 = 9 * 366;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// When a repetition is due: the same for everyone who looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// At the multiples of a period since 1970.
    Every(Duration),
    /// As a cron expression says, in UTC.
    Cron(Cron),
}

/// A cron expression of five fields, each a set of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cron {
    text: &'static str,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether one of day and weekday is enough, because both are restricted.
    either: bool,
}

impl Pattern {
    /// Returns the next time after another; nothing if there is none.
    pub(super) fn after(self, now: SystemTime) -> Option<SystemTime> {
        let since = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let next = match self {
            Self::Every(period) => {
                let (since, period) = (since.as_nanos(), period.as_nanos());
                Duration::from_nanos_u128((since / period + 1).checked_mul(period)?)
            }
            Self::Cron(cron) => Duration::from_secs(cron.after(since.as_secs())?),
        };
        SystemTime::UNIX_EPOCH.checked_add(next)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(period) => write!(f, "@every {}", humantime::format_duration(*period)),
            Self::Cron(cron) => f.write_str(cron.text),
        }
    }
}

impl Cron {
    /// Reads an expression: minute, hour, day of the month, month, weekday.
    pub(super) fn read(text: &'static str) -> Result<Self, String> {
        let fields: Vec<_> = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        }
        .split_whitespace()
        .collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!("has {} fields, not five", fields.len()));
        };
        let weekday_set = set(weekdays, (0, 7), &WEEKDAYS, 0)?;
        Ok(Self {
            text,
            minutes: set(minutes, (0, 59), &[], 0)?,
            hours: set(hours, (0, 23), &[], 0)?,
            days: set(days, (1, 31), &[], 0)?,
            months: set(months, (1, 12), &MONTHS, 1)?,
            // Sunday is 0 and 7.
            weekdays: (weekday_set | weekday_set >> 7) & 0x7F,
            either: !days.starts_with('*') && !weekdays.starts_with('*'),
        })
    }

    /// Returns the next time after another, in seconds since 1970.
    fn after(&self, now: u64) -> Option<u64> {
        let first = now / MINUTE * MINUTE + MINUTE;
        let today = first / DAY;
        (today..today + SEARCHED)
            .filter(|day| self.has_day(*day))
            .find_map(|day| {
                let from = first.saturating_sub(day * DAY);
                let minute = (from / MINUTE..DAY / MINUTE).find(|minute| {
                    has(self.hours, minute / 60) && has(self.minutes, minute % 60)
                })?;
                Some(day * DAY + minute * MINUTE)
            })
    }

    fn has_day(&self, day: u64) -> bool {
        let (month, of_month) = date(day);
        // 1970 began on a Thursday.
        let by_weekday = has(self.weekdays, (day + 4) % 7);
        let by_day = has(self.days, of_month);
        let named = if self.either {
            by_weekday || by_day
        } else {
            by_weekday && by_day
        };
        named && has(self.months, month)
    }
}

const fn has(set: u64, number: u64) -> bool {
    set >> number & 1 == 1
}

/// Returns the month and the day of the month of a day since 1970.
const fn date(day: u64) -> (u64, u64) {
    // Years begin in March here, so that the day that may be missing is their last.
    let since = day + 719_468;
    let in_era = since % 146_097;
    let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let of_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    (if month < 10 { month + 3 } else { month - 9 }, of_month)
}

/// Reads one field: numbers, names, ranges and steps, separated by commas.
fn set(field: &str, (least, most): (u64, u64), names: &[&str], base: u64) -> Result<u64, String> {
    let number = |text: &str| {
        let name = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text));
        let number = match name {
            Some(at) => Some(base + at as u64),
            None => text.parse().ok(),
        };
        let within = number.filter(|number| (least..=most).contains(number));
        within.ok_or_else(|| format!("has `{text}` where {least} to {most} is expected"))
    };
    let mut all = 0;
    for part in field.split(',') {
        let (range, step) = part
            .split_once('/')
            .map_or((part, None), |(range, step)| (range, Some(step)));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None if range == "*" => (least, most),
            None if step.is_some() => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        let step = step.map_or(Ok(1), str::parse::<usize>);
        let (true, Ok(step @ 1..)) = (from <= to, step) else {
            return Err(format!("has `{part}`, which is empty"));
        };
        all |= (from..=to).step_by(step).fold(0, |set, at| set | 1 << at);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &'static str, from: &str) -> Result<String, String> {
        let cron = Pattern::Cron(Cron::read(text)?);
        let from = humantime::parse_rfc3339_weak(from).map_err(|error| error.to_string())?;
        let next = cron.after(from).ok_or("never")?;
        let text = humantime::format_rfc3339_seconds(next).to_string();
        Ok(text.trim_end_matches(":00Z").replace('T', " "))
    }

    #[test]
    fn the_next_time_is_the_first_that_all_fields_name() -> Result<(), String> {
        let cases = [
            ("* * * * *", "2026-01-01 00:00:00", "2026-01-01 00:01"),
            ("0 3 * * *", "2026-01-01 03:00:00", "2026-01-02 03:00"),
            ("0 3 * * *", "2026-01-01 02:59:59", "2026-01-01 03:00"),
            (
                "*/15 9-17 * * MON-FRI",
                "2026-01-02 17:45:00",
                "2026-01-05 09:00",
            ),
            ("5,35 * * * *", "2026-01-01 00:05:00", "2026-01-01 00:35"),
            ("0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 00:00"),
            ("0 0 29 feb *", "2096-03-01 00:00:00", "2104-02-29 00:00"),
            ("0 0 31 * *", "2026-04-01 00:00:00", "2026-05-31 00:00"),
            ("0 0 13 * 5", "2026-01-10 00:00:00", "2026-01-13 00:00"),
            ("0 0 13 * 5", "2026-01-13 00:00:00", "2026-01-16 00:00"),
            ("30 4 * * 7", "2026-01-01 00:00:00", "2026-01-04 04:30"),
            ("0 12/4 * * *", "2026-01-01 16:00:00", "2026-01-01 20:00"),
            ("@monthly", "2026-12-31 23:59:59", "2027-01-01 00:00"),
        ];
        for (text, from, expected) in cases {
            assert_eq!(after(text, from)?, expected, "{text} after {from}");
        }
        assert_eq!(
            after("0 0 30 2 *", "2026-01-01 00:00:00"),
            Err("never".into())
        );
        Ok(())
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for bad in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "5-1 * * * *",
        ] {
            assert!(Cron::read(bad).is_err(), "{bad}");
        }
        for bad in [
            "*/0 * * * *",
            "x * * * *",
            "* * * * 8",
            "* * * 13 *",
            "1,, * * * *",
        ] {
            assert!(Cron::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_period_is_counted_from_1970_whoever_counts() {
        let every = Pattern::Every(Duration::from_hours(6));
        let at = |hours| SystemTime::UNIX_EPOCH + Duration::from_hours(hours);
        assert_eq!(every.after(at(7)), Some(at(12)));
        assert_eq!(every.after(at(12)), Some(at(18)));
        assert_eq!(every.to_string(), "@every 6h");
    }
}
