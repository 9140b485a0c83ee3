use super::only;
use callboard::{Event, error::BoxError, message::Envelope};
use schemas::{
    inventory::{StockReleased, StockReserved, StockSold},
    orders::{OrderCancelled, OrderConfirmed},
    payments::{PaymentRefunded, PaymentTaken},
};
use std::{collections::BTreeMap, time::SystemTime};

/// When something happened to each order.
type Times = BTreeMap<String, SystemTime>;

/// Checks, over all domains, that at every moment an order is confirmed only if
/// it is held and paid, sold only if it is confirmed, and cancelled only if
/// nothing of it is kept.
pub(crate) fn assert_in_sequence(events: &[Envelope]) -> Result<(), BoxError> {
    let (reserved, taken) = (
        times::<StockReserved>(events)?,
        times::<PaymentTaken>(events)?,
    );
    let (released, refunded) = (
        times::<StockReleased>(events)?,
        times::<PaymentRefunded>(events)?,
    );
    let confirmed = times::<OrderConfirmed>(events)?;
    for (order, time) in &confirmed {
        for before in [&reserved, &taken] {
            assert!(
                before.get(order).is_some_and(|before| before <= time),
                "{order}"
            );
        }
        assert!(
            !refunded.contains_key(order),
            "{order} is confirmed and refunded"
        );
    }
    for (order, time) in times::<StockSold>(events)? {
        assert!(
            confirmed.get(&order).is_some_and(|before| *before <= time),
            "{order}"
        );
    }
    for (order, time) in times::<OrderCancelled>(events)? {
        for (done, undone) in [(&reserved, &released), (&taken, &refunded)] {
            let is_undone = undone.get(&order).is_some_and(|before| *before <= time);
            assert!(is_undone || !done.contains_key(&order), "{order}");
        }
    }
    Ok(())
}

fn times<E: Event>(events: &[Envelope]) -> Result<Times, BoxError> {
    let own = events
        .iter()
        .filter(|event| event.kind == E::SUBJECT.as_str());
    let times: Option<Times> = own
        .map(|event| Some((event.key.decode(), event.time?)))
        .collect();
    assert_eq!(
        times.as_ref().map(Times::len),
        Some(only::<E>(events)?.len()),
        "each once"
    );
    times.ok_or_else(|| "a stored event has a time".into())
}
