use super::{
    Context,
    bounds::Turn,
    route::{Run, Waiting, erase, job_ended, malformed, open, reply_local, reply_remote},
};
use crate::{
    call::{Answer, Ended},
    message::Command,
};

/// A command that was taken out of the mailbox and is answered later.
///
/// Whoever holds it bounds how many there are: the mailbox goes on.
pub(crate) struct Taken<C: Command> {
    pub(crate) command: C,
    pub(crate) ctx: Context,
    waiting: Waiting<C>,
}

impl<C: Command> Taken<C> {
    /// Sends the answer; a panic's text stands for a handler that failed.
    pub(crate) async fn answer(self, answer: Result<Answer<C>, String>) {
        let ended = match self.waiting {
            Waiting::Local(reply) => reply_local::<C>(reply, answer),
            Waiting::Bus if self.ctx.is_job() => job_ended::<C>(&self.ctx, answer),
            Waiting::Bus => reply_remote::<C>(&self.ctx, answer).await,
        };
        if let Some(receipt) = self.ctx.receipt() {
            return receipt.settle(ended);
        }
        if let Ended::Failed(failure) = ended {
            let (child, subject) = (self.ctx.path(), C::SUBJECT.as_str());
            tracing::error!(child, subject, %failure, "a decision failed");
        }
    }
}

/// Makes the route of a handler that takes messages and lets the mailbox go on.
pub(super) fn take<A: 'static, C: Command, F>(handler: F) -> Run<A>
where
    F: AsyncFn(&mut A, Taken<C>) + Clone + Send + Sync + 'static,
{
    erase(move |state, input, Turn { ctx, .. }| {
        let handler = handler.clone();
        Box::pin(async move {
            match open::<C>(input) {
                Ok((command, waiting)) => {
                    let taken = Taken { command, ctx: ctx.detached(), waiting };
                    handler(state, taken).await;
                    Ended::Done
                }
                Err(reason) => malformed::<C>(ctx, &reason).await,
            }
        })
    })
}
