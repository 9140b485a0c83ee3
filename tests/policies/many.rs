use crate::callee::{Act, Callee, Charge, Verdict, ms};
use callboard::{CallError, Client, message::Namespace};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn many_calls_come_back_in_their_order_each_with_its_own_end() -> Verdict {
    let callee = Callee::open(|number| match number {
        2 => Act::Decline,
        number => Act::Wait(ms(u64::from(10 - number)), number),
    })
    .await?;
    let client = Client::new(callee.bus.clone(), Namespace::default());
    let answers = client
        .call_all((0..4).map(|_| Charge::of("ada")))
        .at_once(4)
        .await;
    let replies: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().ok().copied())
        .collect();
    assert_eq!(replies, [Some(1), None, Some(3), Some(4)]);
    assert!(matches!(answers[1], Err(CallError::Rejected(_))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn all_of_them_share_one_deadline() -> Verdict {
    let callee = Callee::open(|number| Act::Wait(ms(40), number)).await?;
    let client = Client::new(callee.bus.clone(), Namespace::default());
    let started = Instant::now();
    let charges = (0..6).map(|_| Charge::of("ada"));
    let answers = client.call_all(charges).at_once(2).timeout(ms(100)).await;
    assert!(started.elapsed() <= ms(101), "{:?}", started.elapsed());
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((done, answers.len(), callee.tried()), (4, 6, 6));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_that_is_never_answered_holds_up_none_behind_it() -> Verdict {
    let callee = Callee::open(|number| match number {
        1 => Act::Keep,
        number => Act::Wait(ms(10), number),
    })
    .await?;
    let client = Client::new(callee.bus.clone(), Namespace::default());
    let charges = (0..9).map(|_| Charge::of("ada"));
    let answers = client.call_all(charges).at_once(2).timeout(ms(100)).await;
    let done: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert!(!done[0] && done[1..].iter().all(|done| *done), "{done:?}");
    Ok(())
}
