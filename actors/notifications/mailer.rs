use callboard::{Context, Failure, PublishError};
use schemas::{
    EventId, OrderId, UserId,
    notifications::NotificationSent,
    orders::{OrderCancelled, OrderConfirmed},
};

/// Tells customers how their orders ended.
#[derive(Debug)]
pub(super) struct Mailer;

impl Mailer {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(super) async fn order_confirmed(
        &mut self,
        confirmed: OrderConfirmed,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let OrderConfirmed { order, user, total } = confirmed;
        let text = format!("order {order} is confirmed, {total} were paid");
        tell(user, order, text, ctx).await
    }

    pub(super) async fn order_cancelled(
        &mut self,
        cancelled: OrderCancelled,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let OrderCancelled { order, user, reason } = cancelled;
        let text = format!("order {order} is cancelled, {reason}");
        tell(user, order, text, ctx).await
    }
}

/// Tells about the event at hand, unless that was done before.
async fn tell(user: UserId, order: OrderId, text: String, ctx: &Context) -> Result<(), Failure> {
    let about = EventId::new(ctx.id().to_string());
    let sent = NotificationSent { about, user, order, text };
    match ctx.publish(sent).after(0).await {
        Ok(_) | Err(PublishError::Conflict { .. }) => Ok(()),
        Err(trouble) => Err(trouble.into()),
    }
}
