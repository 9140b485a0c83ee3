//! What the references do by hand, with the plain client.

use super::Outcome;
use async_nats::{Client, ConnectOptions, HeaderMap, HeaderName, jetstream};
use callboard::{bus::StreamConfig, message::headers};
use std::time::Duration;
use uuid::Uuid;

/// Connects as the engine does.
pub(crate) async fn connect(url: &str) -> Outcome<Client> {
    let options = ConnectOptions::new()
        .skip_subject_validation(true)
        .request_timeout(Some(Duration::from_secs(5)));
    Ok(options.connect(url).await?)
}

/// Returns the headers of a command: its id, its deadline, who calls.
pub(crate) fn command_headers() -> HeaderMap {
    let deadline = callboard::time::Clock::system().unix_ms() + 5_000;
    let mut found = HeaderMap::new();
    found.insert(name(headers::CB_ID), Uuid::now_v7().to_string());
    found.insert(name(headers::CB_DEADLINE), deadline.to_string());
    found.insert(name(headers::CB_CALLER), "client");
    found
}

/// Returns the five headers of an event, and its id for the stream.
pub(crate) fn event_headers() -> HeaderMap {
    let id = Uuid::now_v7().to_string();
    let mut found = HeaderMap::new();
    found.insert(name(headers::CE_SPECVERSION), "1.0");
    found.insert(name(headers::CE_ID), id.as_str());
    found.insert(name(headers::CE_TYPE), "bench.ordered");
    found.insert(name(headers::CE_SOURCE), "/bench/client/client");
    found.insert(name(headers::CONTENT_TYPE), "application/msgpack");
    found.insert(name(headers::MSG_ID), id);
    found
}

const fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// Makes a stream like that of a domain's events, for another domain.
pub(crate) async fn stream(url: &str, domain: &str) -> Outcome<jetstream::Context> {
    let bus = callboard::Bus::nats(url).await?;
    bus.stream(&StreamConfig::events(&"bench".parse()?, domain))
        .await?;
    Ok(jetstream::new(connect(url).await?))
}
