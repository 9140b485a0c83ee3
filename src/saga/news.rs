use crate::{
    bus::Message,
    call::Client,
    message::{Key, codec},
};
use serde::Serialize;

/// What dashboards hear of a saga.
#[derive(Serialize)]
struct News<'a> {
    id: &'a str,
    reason: Option<&'a str>,
}

/// Tells dashboards, now and at most once, what became of a saga; the journal is
/// what counts.
pub(super) async fn announce(
    client: &Client,
    (saga, id): (&str, &Key),
    state: &'static str,
    reason: Option<&str>,
) {
    let text = id.decode();
    let Ok(news) = codec::encode(&News { id: &text, reason }) else {
        return;
    };
    let subject = client.namespace().saga_news(saga, state);
    if let Err(error) = client.bus().send(Message::new(subject, news)).await {
        tracing::debug!(saga, %id, %error, "nobody was told of a saga");
    }
}
