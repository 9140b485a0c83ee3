use super::Client;
use crate::{
    bus::{ReadError, Stored, Stream, StreamConfig, StreamError},
    message::codec,
};
use serde::{Deserialize, Serialize};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};
use tokio::sync::OnceCell;

/// Which messages of one key an operator left out: the whole of it in each record,
/// so that the last one is what holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SkipRecord {
    pub(crate) skipped: Vec<Skip>,
}

/// One message that is no part of its entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Skip {
    pub(crate) sequence: u64,
    pub(crate) reason: String,
    pub(crate) by: String,
    /// When, in Unix milliseconds.
    pub(crate) at: u64,
}

/// The messages of one domain that operators left out, as they were read last.
///
/// As long as there is no record, a look costs nothing.
#[derive(Debug)]
pub(crate) struct Skips {
    client: Client,
    domain: &'static str,
    stream: OnceCell<Stream>,
    /// By the token of their key.
    listed: RefCell<HashMap<String, Vec<u64>>>,
    /// The last record that was read.
    last: Cell<u64>,
    is_read: Cell<bool>,
}

impl Skips {
    pub(crate) fn new(client: Client, domain: &'static str) -> Self {
        Self {
            client,
            domain,
            stream: OnceCell::new(),
            listed: RefCell::default(),
            last: Cell::new(0),
            is_read: Cell::new(false),
        }
    }

    /// Returns the subject on which it is told that there is another record.
    pub(crate) fn news(&self) -> String {
        self.client.namespace().skip_news(self.domain)
    }

    /// Reads the records, unless they were read before.
    pub(crate) async fn ready(&self) -> Result<(), SkipsError> {
        if !self.is_read.get() {
            self.refresh().await?;
        }
        Ok(())
    }

    /// Reads what is new, and returns the tokens of the keys that it concerns.
    pub(crate) async fn refresh(&self) -> Result<Vec<String>, SkipsError> {
        let mut changed = Vec::new();
        let Some(stream) = self.stream().await? else {
            self.is_read.set(true);
            return Ok(changed);
        };
        let filter = self.client.namespace().skips(self.domain);
        let mut records = stream.read(&filter, self.last.get() + 1).await?;
        while let Some(stored) = records.next().await? {
            changed.extend(self.take(&stored));
            self.last.set(stored.sequence);
        }
        self.is_read.set(true);
        Ok(changed)
    }

    /// Whether a message is left out.
    pub(crate) fn leave_out(&self, key: &str, sequence: u64) -> bool {
        let listed = self.listed.borrow();
        !listed.is_empty()
            && listed
                .get(key)
                .is_some_and(|skipped| skipped.binary_search(&sequence).is_ok())
    }

    /// Returns the messages of a key that are left out, up to a sequence.
    pub(crate) fn up_to(&self, key: &str, sequence: u64) -> Vec<u64> {
        let listed = self.listed.borrow();
        let of_key = listed.get(key).map_or(&[][..], Vec::as_slice);
        of_key
            .iter()
            .copied()
            .filter(|&skipped| skipped <= sequence)
            .collect()
    }

    fn take(&self, stored: &Stored) -> Option<String> {
        let key = stored.subject.rsplit('.').next()?.to_owned();
        let record: SkipRecord = match codec::decode(&stored.payload) {
            Ok(record) => record,
            Err(error) => {
                let (subject, sequence) = (&stored.subject, stored.sequence);
                tracing::warn!(subject, sequence, %error, "a record of skipped messages cannot be read");
                return None;
            }
        };
        let mut skipped: Vec<_> = record.skipped.iter().map(|skip| skip.sequence).collect();
        skipped.sort_unstable();
        let mut listed = self.listed.borrow_mut();
        if skipped.is_empty() {
            listed.remove(&key);
        } else {
            listed.insert(key.clone(), skipped);
        }
        Some(key)
    }

    /// Opens the stream of records if it is there.
    async fn stream(&self) -> Result<Option<&Stream>, StreamError> {
        if let Some(stream) = self.stream.get() {
            return Ok(Some(stream));
        }
        let config = StreamConfig::skipped(self.client.namespace());
        if !self.client.bus().has_stream(&config.name).await? {
            return Ok(None);
        }
        let stream = self.client.open(config).await?;
        Ok(Some(self.stream.get_or_init(async || stream).await))
    }
}

/// Why the records of skipped messages cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SkipsError {
    #[error("which messages are skipped is not known: {0}")]
    Stream(#[from] StreamError),
    #[error("which messages are skipped is not known: {0}")]
    Read(#[from] ReadError),
}
