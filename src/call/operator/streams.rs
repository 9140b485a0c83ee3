use super::{Operator, OperatorError};
use crate::{
    bus::{Append, Expect, Message, Stored, StreamConfig, StreamInfo},
    message::{
        Headers, Id,
        headers::{
            CB_DEAD_ATTEMPTS, CB_DEAD_REASON, CB_DEAD_SEQUENCE, CB_DEAD_STREAM, CB_DEAD_SUBJECT,
            MSG_ID,
        },
        one_line,
    },
};

/// The path under which messages that an operator deleted stand among the dead letters.
const DROPPED: &str = "operator/drop";

impl Operator {
    /// Returns the streams of the namespace, by name.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if the server does not answer.
    pub async fn streams(&self) -> Result<Vec<StreamInfo>, OperatorError> {
        let prefix = format!("{}_", self.namespace);
        let mut streams = self.bus.streams().await?;
        streams.retain(|stream| stream.name.starts_with(&prefix));
        streams.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(streams)
    }

    /// Deletes one message of a stream that allows it, and returns the number of the dead letter
    /// that keeps it: its bytes, by whom it was deleted and why.
    ///
    /// The letter is written first: what cannot be recorded is not deleted.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if the stream is not the namespace's, keeps its messages for
    /// good, or has no message of this sequence; and if the server does not confirm it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not delete it; doing it again is harmless.
    pub async fn drop_message(
        &self,
        stream: &str,
        sequence: u64,
        by: &str,
        reason: &str,
    ) -> Result<u64, OperatorError> {
        let missing = || OperatorError::NotStored { stream: stream.to_owned(), sequence };
        let streams = self.streams().await?;
        let Some(info) = streams.into_iter().find(|info| info.name == stream) else {
            return Err(missing());
        };
        if info.immutable {
            return Err(OperatorError::Kept { stream: stream.to_owned(), sequence });
        }
        let stored = self.bus.message(stream, sequence).await?;
        let stored = stored.ok_or_else(missing)?;
        let said = format!("deleted by {by}: {reason}");
        let number = self.record(stream, stored, &said).await?;
        if self.bus.delete(stream, sequence).await? {
            return Ok(number);
        }
        Err(missing())
    }

    /// Writes the dead letter of a message that is to be deleted.
    async fn record(
        &self,
        stream: &str,
        stored: Stored,
        reason: &str,
    ) -> Result<u64, OperatorError> {
        let config = StreamConfig::dead(&self.namespace);
        let name = config.name.clone();
        let Some(letters) = self.stream(config).await? else {
            let reason = format!("there is no stream {name} to record it in; start a node first");
            return Err(OperatorError::Record { reason });
        };
        let Stored { subject, headers: own, payload, sequence, .. } = stored;
        let mut headers = Headers::with_capacity(own.len() + 6);
        // What told the server how to store the original does not hold for the letter.
        for (name, value) in own.iter().filter(|(name, _)| !name.starts_with("Nats-")) {
            headers.put(name.to_owned(), value);
        }
        let place = format!("{stream}:{sequence}");
        let id = Id::from(place.as_str()).derived(DROPPED, 0);
        headers.put(MSG_ID, id.to_string());
        headers.put(CB_DEAD_REASON, one_line(reason));
        headers.put(CB_DEAD_SUBJECT, subject);
        headers.put(CB_DEAD_STREAM, stream);
        headers.put(CB_DEAD_SEQUENCE, sequence.to_string());
        headers.put(CB_DEAD_ATTEMPTS, "0");
        let letter = Message::new(self.namespace.dead(DROPPED), payload).headers(headers);
        match letters.append(letter, Expect::Any).await? {
            Append::Committed { sequence, .. } => Ok(sequence),
            Append::Conflict => Err(OperatorError::Changed),
            Append::Unknown { reason } => Err(OperatorError::Unknown { reason }),
        }
    }
}
