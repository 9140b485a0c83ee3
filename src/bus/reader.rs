#[cfg(feature = "nats")]
use super::nats;
use super::{ReadError, Stored, embedded};

/// A finite read of a stream, in order.
#[derive(Debug)]
pub struct Reader(Kind);

#[derive(Debug)]
enum Kind {
    Embedded(embedded::Reader),
    #[cfg(feature = "nats")]
    Nats(nats::Reader),
}

impl Reader {
    pub(super) const fn embedded(reader: embedded::Reader) -> Self {
        Self(Kind::Embedded(reader))
    }

    #[cfg(feature = "nats")]
    pub(super) const fn nats(reader: nats::Reader) -> Self {
        Self(Kind::Nats(reader))
    }

    /// Returns the next message, or nothing at the end.
    ///
    /// # Errors
    ///
    /// Returns [`ReadError`] if the stream could not be read on within 10 s.
    ///
    /// # Cancel safety
    ///
    /// Safe: no message is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Stored>, ReadError> {
        match &mut self.0 {
            Kind::Embedded(reader) => reader.next().await,
            #[cfg(feature = "nats")]
            Kind::Nats(reader) => reader.next().await,
        }
    }

    /// Returns the sequence at which the read of a filter with a wildcard ends,
    /// as it was when the read began; less than where it began if nothing is there.
    pub(crate) const fn end(&self) -> u64 {
        match &self.0 {
            Kind::Embedded(reader) => reader.end(),
            #[cfg(feature = "nats")]
            Kind::Nats(reader) => reader.end(),
        }
    }

    /// Reads all that is left.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn all(mut self) -> Result<Vec<Stored>, ReadError> {
        let mut all = Vec::new();
        while let Some(stored) = self.next().await? {
            all.push(stored);
        }
        Ok(all)
    }
}
