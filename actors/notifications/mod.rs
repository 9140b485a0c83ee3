//! What customers are told.
//!
//! A notification stands on the key of the event it tells about, and only as
//! the first one there: however often an event is heard, it is told once.

mod archive;
mod mailer;

use crate::RETRY;
use archive::Archive;
use callboard::{Actor, Group, Strategy};
use mailer::Mailer;
use std::time::Duration;

/// Returns the domain's table.
pub fn group() -> Group {
    Group::new("notifications")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(Actor::new("archive", Archive::open).answer(Archive::list))
        .child(
            Actor::new("mailer", Mailer::open)
                .instances(4)
                .retry(RETRY)
                .on(Mailer::order_confirmed)
                .on(Mailer::order_cancelled),
        )
}
