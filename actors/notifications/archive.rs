use crate::log::{Fact, Fold, View};
use callboard::{Answer, Context, Failure};
use schemas::{
    LIST_LIMIT, UserId,
    notifications::{ListNotifications, Notification, NotificationList, NotificationSent},
};
use std::collections::{HashMap, VecDeque};

/// Knows who was told what.
#[derive(Debug, Default)]
pub(super) struct Archive {
    sent: View<Sent>,
}

/// The last notifications by user, as many as a list shows, the oldest first.
#[derive(Debug, Default)]
struct Sent(HashMap<UserId, VecDeque<Notification>>);

impl Archive {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self::default())
    }

    pub(super) async fn list(
        &mut self,
        list: ListNotifications,
        ctx: &Context,
    ) -> Answer<ListNotifications> {
        let Sent(by_user) = self.sent.now(ctx).await?;
        let told = by_user.get(&list.user).into_iter().flatten();
        let notifications = told.rev().take(LIST_LIMIT).cloned().collect();
        Ok(NotificationList { notifications })
    }
}

impl Fold for Sent {
    const DOMAIN: &'static str = "notifications";

    fn apply(&mut self, fact: &Fact) {
        if let Some(NotificationSent { about, user, order, text }) = fact.read() {
            let notification = Notification { about, order, text };
            let told = self.0.entry(user).or_default();
            told.push_back(notification);
            if told.len() > LIST_LIMIT {
                told.pop_front();
            }
        }
    }
}
