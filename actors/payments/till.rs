use super::collect::Collect;
use callboard::{Answer, Context, Failure};
use schemas::{OrderId, payments::Charge};
use std::{
    collections::VecDeque,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::sleep;

/// How long a slow bank keeps its customers waiting after it took the money:
/// longer than those who charge wait for an answer.
const STALL: Duration = Duration::from_secs(3);

/// How many orders a till remembers that it was slow at.
const REMEMBERED: usize = 1_000;

/// Takes the money, and is as slow as the bank behind it.
///
/// The entity takes it under an id that follows from the command's: asked again
/// under the same id, it is the same payment.
#[derive(Debug)]
pub(super) struct Till {
    bank: Bank,
    /// Orders whose answer was late once; the latest last.
    stalled: VecDeque<OrderId>,
}

/// The bank behind all tills of a node: every so many payments it is slow.
#[derive(Clone, Debug)]
pub(super) struct Bank {
    slow_every: Option<NonZeroU32>,
    taken: Arc<AtomicU32>,
}

impl Bank {
    pub(super) fn new(slow_every: Option<NonZeroU32>) -> Self {
        Self { slow_every, taken: Arc::default() }
    }

    /// Whether this payment is one of the slow ones.
    fn is_slow(&self) -> bool {
        let Some(every) = self.slow_every else {
            return false;
        };
        let taken = self.taken.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        taken.is_multiple_of(every.get())
    }
}

impl Till {
    pub(super) async fn open(bank: Bank) -> Result<Self, Failure> {
        Ok(Self { bank, stalled: VecDeque::new() })
    }

    pub(super) async fn charge(&mut self, charge: Charge, ctx: &Context) -> Answer<Charge> {
        let Charge { order, amount } = charge;
        let collect = Collect { order: order.clone(), amount };
        let id = ctx.id().derived("payments/collect", 0);
        let receipt = ctx.call(collect).id(id).outcome().await??;
        if !self.stalled.contains(&order) && self.bank.is_slow() {
            self.stalled.push_back(order);
            if self.stalled.len() > REMEMBERED {
                self.stalled.pop_front();
            }
            sleep(STALL).await;
        }
        Ok(receipt)
    }
}
