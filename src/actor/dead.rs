use crate::{
    bus::{Append, Expect, Message, Stored, Stream},
    message::{
        Id,
        headers::{
            CB_DEAD_ATTEMPTS, CB_DEAD_REASON, CB_DEAD_SEQUENCE, CB_DEAD_STREAM, CB_DEAD_SUBJECT,
            MSG_ID,
        },
        one_line,
    },
};

/// What is known of a message that was given up.
pub(super) struct Letter<'a> {
    pub(super) stored: &'a Stored,
    pub(super) stream: &'a str,
    pub(super) path: &'a str,
    pub(super) reason: &'a str,
    pub(super) attempts: u32,
}

impl Letter<'_> {
    /// Writes the letter; it is the original message with the reason beside it.
    ///
    /// Its id is derived from the original's place, so writing it twice keeps one.
    pub(super) async fn write(&self, letters: &Stream, subject: String) -> Result<(), String> {
        let place = format!("{}:{}", self.stream, self.stored.sequence);
        let id = Id::from(place.as_str()).derived(self.path, 0);
        let mut headers = self.stored.headers.clone();
        headers.put(MSG_ID, id.to_string());
        headers.put(CB_DEAD_REASON, one_line(self.reason));
        headers.put(CB_DEAD_SUBJECT, self.stored.subject.clone());
        headers.put(CB_DEAD_STREAM, self.stream);
        headers.put(CB_DEAD_SEQUENCE, self.stored.sequence.to_string());
        headers.put(CB_DEAD_ATTEMPTS, self.attempts.to_string());
        let message = Message::new(subject, self.stored.payload.clone()).headers(headers);
        match letters.append(message, Expect::Any).await {
            Ok(Append::Committed { .. }) => Ok(()),
            Ok(Append::Conflict) => Err("an expectation failed that was never made".to_owned()),
            Ok(Append::Unknown { reason }) => Err(reason),
            Err(error) => Err(error.to_string()),
        }
    }
}
