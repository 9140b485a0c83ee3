use super::log::Outcome;

/// Writes what a NATS server answers to the publisher of a captured message.
pub(super) fn pub_ack(stream: &str, outcome: Outcome) -> String {
    let stream = stream.replace('"', "\\\"");
    let refused = |code: u32, why: String| {
        format!(
            r#"{{"error":{{"code":400,"err_code":{code},"description":"{why}"}},"stream":"{stream}","seq":0}}"#
        )
    };
    match outcome {
        Outcome::Stored { sequence } => format!(r#"{{"stream":"{stream}","seq":{sequence}}}"#),
        Outcome::Duplicate { sequence } => {
            format!(r#"{{"stream":"{stream}","seq":{sequence},"duplicate":true}}"#)
        }
        Outcome::Conflict { last } => refused(10071, format!("wrong last sequence: {last}")),
        Outcome::Full { .. } => refused(10077, "maximum messages exceeded".into()),
    }
}
