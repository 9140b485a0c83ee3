use super::{
    book::Book,
    page::{self, Begin, Move, Page},
};
use crate::{
    bus::{Append, Expect, Message, Stored, Stream, StreamConfig, StreamError},
    call::{Client, open_as_declared},
    error::Failure,
    message::{Headers, Id, Key, codec::EncodeError, headers},
};
use bytes::Bytes;
use std::sync::Arc;

/// The header that names the transitions of a journal's message, for people.
const CB_MOVES: &str = "cb-moves";

/// Where the journals of one saga stand.
#[derive(Clone, Debug)]
pub(super) struct Journals {
    pub(super) client: Client,
    pub(super) saga: Arc<str>,
    stream: Stream,
}

/// How it went to write in a journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The message stands at this sequence.
    Stored(u64),
    /// Somebody else wrote in between: read on.
    Conflict,
    /// It does not fit in one message, and nothing is stored.
    TooLarge,
    /// The bus did not say.
    Unknown(String),
    /// This is a replay, and the runner dies here.
    Crashed,
}

impl Journals {
    pub(super) async fn open(client: &Client, saga: &str) -> Result<Self, StreamError> {
        let stream = open_as_declared(client.bus(), config(client, saga)).await?;
        Ok(Self { client: client.clone(), saga: saga.into(), stream })
    }

    fn subject(&self, id: &Key) -> String {
        self.client.namespace().saga(&self.saga, id)
    }

    /// Reads what is known of a saga.
    pub(super) async fn load(&self, id: &Key) -> Result<Book, Failure> {
        let mut book = Book::default();
        for (sequence, page) in self.since(id, 1).await? {
            book.turn(page.moves, sequence);
        }
        Ok(book)
    }

    /// Reads what a journal says from a sequence on.
    pub(super) async fn since(&self, id: &Key, from: u64) -> Result<Vec<(u64, Page)>, Failure> {
        let mut pages = Vec::new();
        let mut tail = self.stream.read(&self.subject(id), from).await?;
        while let Some(stored) = tail.next().await? {
            pages.push((stored.sequence, page_of(&stored)?));
        }
        Ok(pages)
    }

    /// Reads a saga's journal as it is, message by message.
    pub(super) async fn pages(&self, id: &Key) -> Result<Vec<(Stored, Page)>, Failure> {
        let mut pages = Vec::new();
        let mut reader = self.stream.read(&self.subject(id), 1).await?;
        while let Some(stored) = reader.next().await? {
            let page = page_of(&stored)?;
            pages.push((stored, page));
        }
        Ok(pages)
    }

    /// Reads the journals of all sagas, side by side, one message at a time, also
    /// those that cannot be read.
    pub(super) async fn each(
        &self,
        mut read: impl FnMut(&str, Stored, Result<Page, Failure>),
    ) -> Result<(), Failure> {
        let filter = self.client.namespace().sagas(&self.saga);
        let mut reader = self.stream.read(&filter, 1).await?;
        while let Some(mut stored) = reader.next().await? {
            let page = page_of(&stored);
            // Its page says all of it.
            stored.payload = Bytes::new();
            let subject = std::mem::take(&mut stored.subject);
            read(subject.rsplit('.').next().unwrap_or_default(), stored, page);
        }
        Ok(())
    }

    /// Goes through the journals of all sagas from a sequence on: whose message it is,
    /// and the names of its transitions. Returns where to go on.
    pub(super) async fn marks(
        &self,
        from: u64,
        mut mark: impl FnMut(&str, &str),
    ) -> Result<u64, Failure> {
        let filter = self.client.namespace().sagas(&self.saga);
        let mut reader = self.stream.read(&filter, from).await?;
        let mut next = from;
        while let Some(stored) = reader.next().await? {
            next = stored.sequence + 1;
            if let Some(moves) = stored.headers.get(CB_MOVES) {
                mark(stored.subject.rsplit('.').next().unwrap_or_default(), moves);
            }
        }
        Ok(next)
    }

    /// Returns what a saga began with, if it began.
    pub(super) async fn begin(&self, id: &Key) -> Result<Option<Begin>, Failure> {
        let mut reader = self.stream.read(&self.subject(id), 1).await?;
        let Some(stored) = reader.next().await? else {
            return Ok(None);
        };
        let mut moves = page_of(&stored)?.moves.into_iter();
        Ok(moves.find_map(|step| match step {
            Move::Started(begin) => Some(begin),
            _ => None,
        }))
    }

    /// Returns the sequence of the last message of a saga's journal; 0 if there is none.
    pub(super) async fn end(&self, id: &Key) -> Result<u64, Failure> {
        let last = self.stream.last(&self.subject(id)).await?;
        Ok(last.map_or(0, |stored| stored.sequence))
    }

    /// Returns the last message of a saga's journal.
    pub(super) async fn last(&self, id: &Key) -> Result<Option<Page>, Failure> {
        let last = self.stream.last(&self.subject(id)).await?;
        last.as_ref().map(page_of).transpose()
    }

    /// Writes transitions, if nothing came after what is known.
    ///
    /// Each attempt has an id of its own: two runners that write at the same
    /// place are never taken for one.
    pub(super) async fn write(
        &self,
        id: &Key,
        after: u64,
        moves: &[Move],
    ) -> Result<Written, Failure> {
        let names: Vec<_> = moves.iter().map(Move::name).collect();
        let mut headers = Headers::with_capacity(2);
        headers.put(headers::MSG_ID, Id::new().to_string());
        headers.put(CB_MOVES, names.join(","));
        let page = match page::write(self.client.source(), moves) {
            Err(EncodeError::TooLarge { .. }) if moves.len() > 1 => return Ok(Written::TooLarge),
            page => page?,
        };
        let message = Message::new(self.subject(id), page).headers(headers);
        if self.client.crashes_here() {
            return Ok(Written::Crashed);
        }
        let appended = self.stream.append(message, Expect::Last(after)).await?;
        if self.client.crashes_here() {
            return Ok(Written::Crashed);
        }
        Ok(match appended {
            Append::Committed { sequence, .. } => Written::Stored(sequence),
            Append::Conflict => Written::Conflict,
            Append::Unknown { reason } => Written::Unknown(reason),
        })
    }
}

/// Describes the stream of a saga's journals.
pub(super) fn config(client: &Client, saga: &str) -> StreamConfig {
    StreamConfig::sagas(client.namespace(), saga).replicas(client.copies())
}

fn page_of(stored: &Stored) -> Result<Page, Failure> {
    Page::read(&stored.payload).map_err(|error| {
        Failure::discard(format!(
            "#{} of `{}` {error}; was it written by a newer program?",
            stored.sequence, stored.subject
        ))
    })
}
