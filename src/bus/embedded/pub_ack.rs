use super::{log::Outcome, store::Broken};
use crate::bus::AppendError;

/// Writes what a NATS server answers to the publisher of a captured message.
pub(super) fn pub_ack(stream: &str, outcome: Result<Outcome, Broken>) -> String {
    let stream = stream.replace('"', "\\\"");
    let refused = |code, why: &str| refused(&stream, code, why);
    match outcome {
        Ok(Outcome::Stored { sequence }) => format!(r#"{{"stream":"{stream}","seq":{sequence}}}"#),
        Ok(Outcome::Duplicate { sequence }) => {
            format!(r#"{{"stream":"{stream}","seq":{sequence},"duplicate":true}}"#)
        }
        Ok(Outcome::Conflict { last }) => refused(10071, &format!("wrong last sequence: {last}")),
        Ok(Outcome::Full { .. }) => refused(10077, "maximum messages exceeded"),
        Ok(Outcome::NoRoom) => refused(10023, "insufficient resources: the disk is full"),
        Err(Broken(reason)) => refused(10077, &reason),
    }
}

/// Writes what a NATS server answers to the publisher of a schedule that cannot be kept.
pub(super) fn unscheduled(stream: &str, error: &AppendError) -> String {
    refused(&stream.replace('"', "\\\""), 10190, &error.to_string())
}

fn refused(stream: &str, code: u32, why: &str) -> String {
    let why = why.replace(['"', '\\'], "'");
    format!(
        r#"{{"error":{{"code":400,"err_code":{code},"description":"{why}"}},"stream":"{stream}","seq":0}}"#
    )
}
