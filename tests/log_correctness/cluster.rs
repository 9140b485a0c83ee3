//! Three NATS servers that keep three copies.

use crate::support::nats::Server;
use callboard::bus::{Bus, Message, Stream, StreamConfig};
use serde_json::Value;
use std::{error::Error, time::Duration};
use tokio::time::Instant;

const ELECTION: Duration = Duration::from_mins(1);

/// Starts three servers that do not tell clients of each other, so that a
/// proxy before one of them is not passed by.
pub(crate) fn three() -> Vec<(String, Server)> {
    Server::three("no_advertise: true,").into()
}

/// Returns the name of the server that leads a stream.
pub(crate) async fn leader(bus: &Bus, stream: &str) -> Result<String, Box<dyn Error>> {
    let start = Instant::now();
    loop {
        let asked = Message::new(format!("$JS.API.STREAM.INFO.{stream}"), "");
        let told = bus.request(asked, Duration::from_secs(2)).await;
        let info = told
            .ok()
            .and_then(|told| serde_json::from_slice::<Value>(&told.payload).ok());
        match info
            .as_ref()
            .and_then(|info| info["cluster"]["leader"].as_str())
        {
            Some(leader) => return Ok(leader.to_owned()),
            None if start.elapsed() > ELECTION => return Err("nobody leads".into()),
            None => {}
        }
    }
}

/// Opens a stream as soon as the servers have found each other.
pub(crate) async fn opened(bus: &Bus, config: &StreamConfig) -> Result<Stream, Box<dyn Error>> {
    let start = Instant::now();
    loop {
        match bus.stream(config).await {
            Ok(stream) => return Ok(stream),
            Err(error) if start.elapsed() > ELECTION => return Err(error.into()),
            Err(_) => {}
        }
    }
}
