use crate::{
    bus::{Append, AppendError, Expect, Message, SendError, Stored, Stream},
    message::{
        Headers, Id,
        headers::{
            CB_DEAD_ATTEMPTS, CB_DEAD_INDEX, CB_DEAD_REASON, CB_DEAD_SEQUENCE, CB_DEAD_STREAM,
            CB_DEAD_SUBJECT, MSG_ID,
        },
        one_line,
    },
};
use bytes::Bytes;

/// What is known of a message that was given up.
pub(crate) struct Letter<'a> {
    pub(crate) stored: &'a Stored,
    /// Which of the message's events it is.
    pub(crate) index: usize,
    pub(crate) stream: &'a str,
    pub(crate) path: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) attempts: u32,
}

impl Letter<'_> {
    /// Writes the letter; it is the original message with the reason beside it.
    ///
    /// Its id is derived from the original's place, so writing it twice keeps
    /// one. Headers that leave no room for the reason are left out. An original
    /// that leaves none itself stays where it stands: its letter has the reason
    /// and the place only.
    pub(crate) async fn write(&self, letters: &Stream, subject: String) -> Result<(), String> {
        let (headers, payload) = (&self.stored.headers, &self.stored.payload);
        let full = self.message(subject.clone(), headers, payload);
        let mut written = letters.append(full, Expect::Any).await;
        if let Err(AppendError::Headers { .. }) = written {
            let shorter = self.message(subject.clone(), &short(headers), payload);
            written = letters.append(shorter, Expect::Any).await;
        }
        if let Err(AppendError::Send(SendError::TooLarge { .. })) = written {
            let bare = self.message(subject, &Headers::new(), &Bytes::new());
            written = letters.append(bare, Expect::Any).await;
        }
        match written {
            Ok(Append::Committed { .. }) => Ok(()),
            Ok(Append::Conflict) => Err("an expectation failed that was never made".to_owned()),
            Ok(Append::Unknown { reason }) => Err(reason),
            Err(error) => Err(error.to_string()),
        }
    }

    fn message(&self, subject: String, headers: &Headers, payload: &Bytes) -> Message {
        let place = format!("{}:{}", self.stream, self.stored.sequence);
        let index = u32::try_from(self.index).unwrap_or(u32::MAX);
        let id = Id::from(place.as_str()).derived(self.path, index);
        let mut headers = without_orders(headers);
        headers.put(MSG_ID, id.to_string());
        headers.put(CB_DEAD_REASON, one_line(self.reason));
        headers.put(CB_DEAD_SUBJECT, self.stored.subject.clone());
        headers.put(CB_DEAD_STREAM, self.stream);
        headers.put(CB_DEAD_SEQUENCE, self.stored.sequence.to_string());
        headers.put(CB_DEAD_ATTEMPTS, self.attempts.to_string());
        if index > 0 {
            headers.put(CB_DEAD_INDEX, index.to_string());
        }
        Message::new(subject, payload.clone()).headers(headers)
    }
}

/// How long a header may be that a letter without room for all of them keeps.
const SHORT: usize = 1_024;
/// How long all of those may be.
const SHORT_ALL: usize = 16 * SHORT;

/// Returns the first short ones of headers that are too long together.
fn short(headers: &Headers) -> Headers {
    let mut kept = Headers::new();
    let mut room = SHORT_ALL;
    for (name, value) in headers.iter() {
        let length = name.len() + value.len();
        if length <= SHORT.min(room) {
            room -= length;
            kept.put(name.to_owned(), value);
        }
    }
    kept
}

/// Leaves out what told the server how to store the original, such as the
/// sequence it had to follow: it does not hold for the letter.
fn without_orders(headers: &Headers) -> Headers {
    let mut kept = Headers::with_capacity(headers.len() + 6);
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| !name.starts_with("Nats-"))
    {
        kept.put(name.to_owned(), value);
    }
    kept
}
