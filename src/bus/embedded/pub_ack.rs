use super::{log::Outcome, store::Broken};

/// Writes what a NATS server answers to the publisher of a captured message.
pub(super) fn pub_ack(stream: &str, outcome: Result<Outcome, Broken>) -> String {
    let stream = stream.replace('"', "\\\"");
    let refused = |code: u32, why: String| {
        let why = why.replace(['"', '\\'], "'");
        format!(
            r#"{{"error":{{"code":400,"err_code":{code},"description":"{why}"}},"stream":"{stream}","seq":0}}"#
        )
    };
    match outcome {
        Ok(Outcome::Stored { sequence }) => format!(r#"{{"stream":"{stream}","seq":{sequence}}}"#),
        Ok(Outcome::Duplicate { sequence }) => {
            format!(r#"{{"stream":"{stream}","seq":{sequence},"duplicate":true}}"#)
        }
        Ok(Outcome::Conflict { last }) => refused(10071, format!("wrong last sequence: {last}")),
        Ok(Outcome::Full { .. }) => refused(10077, "maximum messages exceeded".into()),
        Err(Broken(reason)) => refused(10077, reason.as_ref().into()),
    }
}
