use super::{args, error::CommandError, input, json, out::Out, place::Place};
use crate::{
    bus::Message,
    message::{Id, Request, Status, Subject},
    time::Clock,
};

pub(super) async fn run(
    place: &Place,
    args: args::Request,
    out: &mut Out,
) -> Result<(), CommandError> {
    let payload = input::payload(&args.json)?;
    let mut request = Request::new(args.id.clone().unwrap_or_else(Id::new));
    request.deadline = Some(Clock::system().now() + args.timeout);
    request.caller = "cli".into();
    let to = place.namespace.command(args.command);
    let message = Message::new(to, payload).headers(request.headers()?);
    let bus = place.connect().await?;
    let reply = bus.request(message, args.timeout).await?;
    out.line(&answer(args.command, &reply)?)?;
    Ok(())
}

/// Returns the reply as JSON, or why there is none.
fn answer(command: Subject, reply: &Message) -> Result<String, CommandError> {
    let decoded = json::decode(&reply.payload).map(|json| json::text(&json));
    match Status::read(&reply.headers) {
        None => decoded.map_err(|reason| CommandError::Answer { command, reason }),
        Some((Status::Rejected, reason)) => Err(CommandError::Rejected {
            command,
            reason: reason.to_owned(),
            rejection: decoded.unwrap_or_else(|error| format!("(its payload {error})")),
        }),
        Some((status, reason)) => {
            Err(CommandError::Refused { command, status, reason: reason.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;

    const CHARGE: Subject = Subject::new("payments.charge");

    fn reply(json: &str) -> Message {
        Message::new("inbox", json::encode(json).unwrap())
    }

    fn exit(status: Status) -> Exit {
        let reply = reply("{}").headers(status.headers("because"));
        answer(CHARGE, &reply).unwrap_err().exit()
    }

    #[test]
    fn an_answer_is_its_json() {
        assert_eq!(
            answer(CHARGE, &reply(r#"{"paid":true}"#)).unwrap(),
            r#"{"paid":true}"#
        );
        let empty = answer(CHARGE, &Message::new("inbox", "")).unwrap_err();
        assert_eq!(empty.exit(), Exit::Failed);
    }

    #[test]
    fn a_rejection_shows_its_reason_and_its_content() {
        let reply = reply(r#"{"OverLimit":{"limit":100}}"#)
            .headers(Status::Rejected.headers("over the limit of 100"));
        let error = answer(CHARGE, &reply).unwrap_err();
        let expected = "payments.charge was rejected: over the limit of 100\n\
                        {\"OverLimit\":{\"limit\":100}}";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn each_status_has_its_exit_code() {
        for (status, expected) in [
            (Status::Rejected, Exit::Rejected),
            (Status::Unavailable, Exit::Unavailable),
            (Status::Limited, Exit::Unavailable),
            (Status::StillRunning, Exit::Unavailable),
            (Status::DeadlinePassed, Exit::Timeout),
            (Status::Failed, Exit::Failed),
            (Status::NotFound, Exit::Failed),
            (Status::Malformed, Exit::Failed),
        ] {
            assert_eq!(exit(status), expected, "{status}");
        }
    }
}
