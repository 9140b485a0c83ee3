//! What a market's streams tell of all that happened.

use callboard::{Client, bus::StreamConfig, message::batch};

/// Returns the types of all events, domain by domain, in order.
pub(crate) async fn story(client: &Client) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut story = Vec::new();
    for domain in ["orders", "shelf", "purse"] {
        let config = StreamConfig::events(client.namespace(), domain);
        let stream = client.bus().stream(&config).await?;
        for stored in stream.read(">", 1).await?.all().await? {
            story.extend(batch::types(&stored.headers).map(str::to_owned));
        }
    }
    Ok(story)
}
