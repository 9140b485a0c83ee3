use crate::bus::{Bus, Stream, StreamConfig, StreamError};

/// How many copies a stream can have, the usual ones first.
const COPIES: [usize; 5] = [1, 3, 5, 2, 4];

/// Opens the stream of a domain's events as its nodes declared it: they may
/// keep another number of copies than a new stream would get.
pub(super) async fn open(bus: &Bus, config: StreamConfig) -> Result<Stream, StreamError> {
    let first = match bus.stream(&config).await {
        Err(error @ StreamError::Differs { .. }) => error,
        opened => return opened,
    };
    for copies in COPIES {
        if let Ok(stream) = bus.stream(&config.clone().replicas(copies)).await {
            return Ok(stream);
        }
    }
    Err(first)
}
