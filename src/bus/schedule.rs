//! Messages that a stream keeps until they are due, then passes on.

use super::{AppendError, Message, StreamConfig, matches, names::is_subject};
use crate::message::{
    Headers,
    headers::{SCHEDULE, SCHEDULE_TARGET},
    timestamp,
};
use std::time::{Duration, SystemTime};

/// How long after 1970 the last time is, the end of 2261, that a message can
/// wait for: a server takes one from April 2262 on for one that has passed.
const LATEST: Duration = Duration::from_secs(9_214_646_399);

/// Brings a time within those that a message can wait for.
pub(crate) fn within_reach(at: SystemTime) -> SystemTime {
    at.min(SystemTime::UNIX_EPOCH + LATEST)
}

/// When a message is passed on, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    pub(super) at: SystemTime,
    pub(super) target: String,
}

/// Returns when what a schedule's header says is due.
pub(crate) fn scheduled_for(schedule: &str) -> Option<SystemTime> {
    Schedule::due(schedule)
}

impl Schedule {
    /// Writes a schedule as headers. A target that cannot be written is refused
    /// when the message is appended.
    pub(super) fn write(headers: &mut Headers, at: SystemTime, target: &str) {
        headers.put(
            SCHEDULE,
            format!("@at {}", timestamp::write(within_reach(at))),
        );
        if headers.insert(SCHEDULE_TARGET, target).is_err() {
            headers.put(SCHEDULE_TARGET, "");
        }
    }

    /// Reads when a scheduled message is due; nothing if it has no schedule
    /// that is understood.
    pub(super) fn due(schedule: &str) -> Option<SystemTime> {
        timestamp::read(schedule.strip_prefix("@at ")?.trim())
    }

    /// Reads a message's schedule, if it has one, and checks it against its stream.
    pub(super) fn of(
        message: &Message,
        stream: &StreamConfig,
    ) -> Result<Option<Self>, AppendError> {
        let Some(schedule) = message.headers.get(SCHEDULE) else {
            return Ok(None);
        };
        Self::checked(schedule, message, stream)
            .map(Some)
            .map_err(|reason| AppendError::Schedule {
                stream: stream.name.clone(),
                subject: message.subject.clone(),
                reason,
            })
    }

    fn checked(schedule: &str, message: &Message, stream: &StreamConfig) -> Result<Self, String> {
        if !stream.schedules {
            return Err("the stream keeps no schedules; see `StreamConfig::schedules`".to_owned());
        }
        let Some(at) = Self::due(schedule) else {
            return Err(format!("`{schedule}` is not `@at` and an RFC 3339 time"));
        };
        let target = message.headers.get(SCHEDULE_TARGET).unwrap_or_default();
        let kept = stream.subjects.iter().any(|filter| matches(filter, target));
        if !is_subject(target) || !kept || target == message.subject {
            return Err(format!(
                "its target `{}` is not another subject of the same stream",
                target.escape_debug()
            ));
        }
        Ok(Self { at, target: target.to_owned() })
    }
}
