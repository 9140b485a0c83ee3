use super::{
    api::{ApiError, Nothing},
    headers::outbound,
    link::ACK_WAIT,
    raw::Get,
    streams::Stream,
    verdict::{self, Refusal, Verdict},
};
use crate::{
    bus::{Append, AppendError, Expect, Message, schedule::Schedule},
    message::headers,
    telemetry,
};
use async_nats::{
    HeaderValue, Subject, header,
    jetstream::{ErrorCode, message::PublishMessage, stream::Info},
};
use metrics::counter;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How long an append is settled before its outcome is called unknown.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

impl Stream {
    pub(in crate::bus) async fn append(
        &self,
        message: Message,
        expect: Expect,
    ) -> Result<Append, AppendError> {
        self.check(&message)?;
        match self.attempt(&message, expect).await {
            Verdict::Stored(ack) => Ok(committed(ack.sequence, ack.duplicate)),
            // Boxed, so that the common way does not carry the room this one needs.
            first => Box::pin(self.settle(first, &message, expect)).await,
        }
    }

    fn check(&self, message: &Message) -> Result<(), AppendError> {
        let subject = &message.subject;
        let id = message.headers.get(headers::MSG_ID);
        if id.is_none_or(str::is_empty) {
            return Err(AppendError::NoId { subject: subject.clone() });
        }
        self.link()
            .check(subject, &message.headers, &message.payload)?;
        if !self.subjects().keeps(subject) {
            let (stream, subject) = (self.name().to_owned(), subject.clone());
            return Err(AppendError::NotCaptured { stream, subject });
        }
        Schedule::of(message, self.config())?;
        Ok(())
    }

    async fn attempt(&self, message: &Message, expect: Expect) -> Verdict {
        let mut headers = outbound(message.headers.clone());
        if let Expect::Last(sequence) = expect {
            let expected = HeaderValue::from(sequence);
            headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected);
        }
        let publish = PublishMessage::build()
            .headers(headers)
            .payload(message.payload.clone());
        let api = self.link().appends();
        match api
            .send_publish(Subject::from(message.subject.as_str()), publish)
            .await
        {
            Ok(acknowledged) => Verdict::of(acknowledged.await).by(self.name()),
            Err(error) => Verdict::of(Err(error)),
        }
    }

    /// Finds out how an append ended that was not simply stored.
    async fn settle(
        &self,
        first: Verdict,
        message: &Message,
        expect: Expect,
    ) -> Result<Append, AppendError> {
        let deadline = Instant::now() + SETTLE_WITHIN;
        let (mut verdict, mut failures, mut uncertain) = (first, 0, false);
        let settled = loop {
            let reason = match verdict {
                Verdict::Stored(ack) => break Ok(committed(ack.sequence, ack.duplicate)),
                Verdict::Conflict => match self.judge_conflict(message, expect).await {
                    Ok(judged) => break Ok(judged),
                    Err(reason) => reason,
                },
                Verdict::Refused(refusal) if uncertain => {
                    break Ok(Append::Unknown { reason: format!("{refusal:?}") });
                }
                Verdict::Refused(refusal) => break Err(self.refuse(refusal, message)),
                Verdict::NotNow(reason) => {
                    if self.is_gone().await && !uncertain {
                        break Err(self.refuse(Refusal::NoStream, message));
                    }
                    reason
                }
                Verdict::Unknown(reason) => {
                    uncertain = true;
                    reason
                }
            };
            if !self.link().pause(failures, deadline).await {
                break Ok(Append::Unknown { reason });
            }
            failures += 1;
            let again = timeout_at(deadline, self.attempt(message, expect)).await;
            verdict = again.unwrap_or_else(|_| Verdict::Unknown("no confirmation".into()));
        };
        note(&settled);
        settled
    }

    /// Tells a true conflict from a message that was stored by an earlier
    /// attempt: a single server compares the expectation before the id, and a
    /// replicated stream may refuse because of that very attempt, still on its way.
    async fn judge_conflict(&self, message: &Message, expect: Expect) -> Result<Append, String> {
        let Expect::Last(last) = expect else {
            return Err("conflict without expectation".into());
        };
        let stored = self.subjects().stored(&message.subject);
        let after = Get::after(&stored, last);
        let (known, next) = tokio::join!(self.probe(message), self.get(&after));
        if let Some(sequence) = known? {
            return Ok(committed(sequence, true));
        }
        let id = message.headers.get(headers::MSG_ID);
        match next.map_err(|error| error.to_string())? {
            Some(next) if next.headers.get(headers::MSG_ID) == id => {
                Ok(committed(next.sequence, true))
            }
            Some(_) => Ok(Append::Conflict),
            None => {
                let found = self.get(&Get::last_of(&stored)).await;
                let found = found.map_err(|error| error.to_string())?;
                match found.map_or(0, |found| found.sequence) {
                    sequence if sequence == last => Err("another write is on its way".into()),
                    _ => Ok(Append::Conflict),
                }
            }
        }
    }

    /// Asks whether the stream remembers the message's id, without storing
    /// anything: a single server looks for the id first, then at the time to
    /// live, and refuses this one. A replicated stream refuses it before it is
    /// proposed; one that is refused later, such as by the expected last id of
    /// the stream, blocks its subject there.
    async fn probe(&self, message: &Message) -> Result<Option<u64>, String> {
        let id = message.headers.get(headers::MSG_ID).unwrap_or_default();
        let probe = PublishMessage::build().message_id(id);
        let probe = probe.header(header::NATS_MESSAGE_TTL, "no time to live");
        let subject = Subject::from(message.subject.as_str());
        let answer = match self.link().appends().send_publish(subject, probe).await {
            Ok(acknowledged) => acknowledged.await,
            Err(error) => Err(error),
        };
        let error = match answer {
            Ok(ack) if ack.duplicate => return Ok(Some(ack.sequence)),
            Ok(_) => return Err("a probe was stored".into()),
            Err(error) => error,
        };
        match verdict::code(&error) {
            Some(ErrorCode::MESSAGE_TTL_INVALID | ErrorCode::MESSAGE_TTL_DISABLED) => Ok(None),
            _ => Err(error.to_string()),
        }
    }

    /// Whether the server says that there is no such stream.
    async fn is_gone(&self) -> bool {
        let subject = format!("STREAM.INFO.{}", self.name());
        let asked = timeout(ACK_WAIT, self.link().ask::<Info>(subject, &Nothing {})).await;
        matches!(
            asked,
            Ok(Err(ApiError::Refused(error))) if error.error_code() == ErrorCode::STREAM_NOT_FOUND
        )
    }

    fn refuse(&self, refusal: Refusal, message: &Message) -> AppendError {
        let bytes = message.payload.len();
        let sizes = (bytes, self.link().client().max_payload());
        refusal.error(self.name(), &message.subject, sizes)
    }
}

const fn committed(sequence: u64, duplicate: bool) -> Append {
    Append::Committed { sequence, duplicate }
}

fn note(settled: &Result<Append, AppendError>) {
    let outcome = match settled {
        Ok(Append::Committed { .. }) => "committed",
        Ok(Append::Conflict) => "conflict",
        Ok(Append::Unknown { .. }) => "unknown",
        Err(_) => "refused",
    };
    counter!(telemetry::SETTLED_TOTAL, "outcome" => outcome).increment(1);
}
