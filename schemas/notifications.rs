//! What customers are told.

use crate::{EventId, OrderId, UserId};
use callboard::{Command, Event, Infallible, Subject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A customer was told about an order.
///
/// Its key is the id of the event it tells about, so that a stream can hold at
/// most one notification of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationSent {
    /// The id of the event it tells about; one event is told once.
    pub about: EventId,
    /// Who was told.
    pub user: UserId,
    /// The order it is about.
    pub order: OrderId,
    /// What was said.
    pub text: String,
}

impl Event for NotificationSent {
    const SUBJECT: Subject = Subject::new("notifications.sent");

    fn key(&self) -> Cow<'_, str> {
        self.about.as_str().into()
    }
}

/// Lists what a user was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListNotifications {
    /// Who was told.
    pub user: UserId,
}

impl Command for ListNotifications {
    const SUBJECT: Subject = Subject::new("notifications.list");
    const READ_ONLY: bool = true;
    type Outcome = Result<NotificationList, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.user.as_str().into()
    }
}

/// What a user was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationList {
    /// The latest first, at most 100 of them.
    pub notifications: Vec<Notification>,
}

/// One thing that a user was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    /// The id of the event it tells about.
    pub about: EventId,
    /// The order it is about.
    pub order: OrderId,
    /// What was said.
    pub text: String,
}
