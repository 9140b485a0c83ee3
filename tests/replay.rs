//! What a replay promises: the groups as they are, no broker, no waiting.

use callboard::{
    Actor, Answer, Command, Context, Event, Failure, Group, Infallible, Rejection, Replay,
    ReplayError, Retry, Subject,
    policy::{Policies, Policy, Rate},
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ordered {
    order: String,
    amount: u64,
}

impl Event for Ordered {
    const SUBJECT: Subject = Subject::new("orders.ordered");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Paid {
    order: String,
}

impl Event for Paid {
    const SUBJECT: Subject = Subject::new("desk.paid");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pay {
    amount: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("too much")]
struct TooMuch;

impl Rejection for TooMuch {}

impl Command for Pay {
    const SUBJECT: Subject = Subject::new("bank.pay");
    type Outcome = Result<(), TooMuch>;
}

/// Pays each order; some orders are trouble.
struct Desk;

impl Desk {
    async fn ordered(&mut self, ordered: Ordered, ctx: &Context) -> Result<(), Failure> {
        let Ordered { order, amount } = ordered;
        assert!(order != "panics-once" || ctx.attempt() > 1, "unlucky");
        match order.as_str() {
            "fails-always" => return Err(Failure::retry("no luck")),
            "discarded" => return Err(Failure::discard("no use")),
            _ => {}
        }
        if ctx.call(Pay { amount }).outcome().await?.is_ok() {
            ctx.publish(Paid { order }).await?;
        }
        Ok(())
    }
}

fn desk() -> Group {
    Group::new("desk").child(Actor::new("desk", async || Ok(Desk)).on(Desk::ordered))
}

fn ordered(order: &str, amount: u64) -> Ordered {
    Ordered { order: order.to_owned(), amount }
}

fn paid(order: &str) -> Paid {
    Paid { order: order.to_owned() }
}

#[expect(clippy::needless_pass_by_value, reason = "a stub owns its command")]
fn bank(pay: Pay) -> Result<(), TooMuch> {
    if pay.amount > 100 {
        Err(TooMuch)
    } else {
        Ok(())
    }
}

#[tokio::test]
async fn what_is_given_is_handled_and_what_follows_is_heard() -> Result<(), ReplayError> {
    let heard = Replay::of(desk())
        .stub(bank)
        .given(ordered("a", 10))
        .given(ordered("b", 1_000))
        .settle()
        .await?;
    assert_eq!(heard.events::<Paid>(), [paid("a")]);
    assert_eq!(heard.events::<Ordered>(), [], "what was given is not heard");
    assert_eq!(
        heard.commands::<Pay>(),
        [Pay { amount: 10 }, Pay { amount: 1_000 }]
    );
    assert_eq!(heard.dead_letters(), []);
    Ok(())
}

#[tokio::test]
async fn a_panic_restarts_the_actor_and_the_event_comes_again() -> Result<(), ReplayError> {
    let heard = Replay::of(desk())
        .stub(bank)
        .given(ordered("panics-once", 1))
        .given(ordered("b", 1))
        .settle()
        .await?;
    assert_eq!(heard.events::<Paid>(), [paid("panics-once"), paid("b")]);
    assert_eq!(heard.tree().groups[0].children[0].restarts, 1);
    Ok(())
}

#[tokio::test]
async fn what_fails_to_the_end_parks_its_key_and_what_is_discarded_is_a_dead_letter()
-> Result<(), ReplayError> {
    let heard = Replay::of(desk())
        .stub(bank)
        .given(ordered("fails-always", 1))
        .given(ordered("discarded", 1))
        .settle()
        .await?;
    let letters: Vec<_> = heard
        .dead_letters()
        .iter()
        .map(|letter| {
            (
                letter.kind.as_str(),
                letter.reason.as_str(),
                letter.attempts,
            )
        })
        .collect();
    assert_eq!(letters, [("orders.ordered", "no use", 1)]);
    let parked: Vec<_> = heard
        .parked()
        .iter()
        .map(|parked| (&*parked.key, &*parked.reason, parked.attempts))
        .collect();
    assert_eq!(parked, [("fails-always", "no luck", 5)]);
    Ok(())
}

#[tokio::test]
async fn a_failing_event_holds_up_its_own_key_only() -> Result<(), ReplayError> {
    let slow = Actor::new("desk", async || Ok(Desk))
        .on(Desk::ordered)
        .retry(Retry::new(3).backoff(Duration::from_mins(1), Duration::from_mins(1)));
    let heard = Replay::of(Group::new("desk").child(slow))
        .stub(bank)
        .given(ordered("fails-always", 1))
        .given(ordered("b", 1))
        .settle()
        .await?;
    assert_eq!(heard.events::<Paid>(), [paid("b")]);
    assert_eq!(heard.parked().len(), 1);
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Count;

impl Command for Count {
    const SUBJECT: Subject = Subject::new("clock.count");
    type Outcome = Result<u64, Infallible>;
}

struct Clock {
    ticks: u64,
}

impl Clock {
    async fn tick(&mut self, _: &Context) -> Result<(), Failure> {
        self.ticks += 1;
        Ok(())
    }

    async fn count(&mut self, _: Count, _: &Context) -> Answer<Count> {
        Ok(self.ticks)
    }
}

#[tokio::test]
async fn a_day_of_timers_passes_in_no_time() -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let clock = Actor::new("clock", async || Ok(Clock { ticks: 0 }))
        .every(Duration::from_mins(1), Clock::tick)
        .answer(Clock::count);
    let mut heard = Replay::of(Group::new("clock").child(clock))
        .after(Duration::from_hours(24) + Duration::from_secs(1))
        .ask(Count)
        .settle()
        .await?;
    assert_eq!(heard.answers::<Count>().remove(0)?, 24 * 60);
    assert!(
        started.elapsed() < Duration::from_mins(1),
        "{:?}",
        started.elapsed()
    );
    Ok(())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Balance;

impl Command for Balance {
    const SUBJECT: Subject = Subject::new("bank.balance");
    type Outcome = Result<u64, Infallible>;
}

#[tokio::test]
async fn one_domain_may_have_several_commands_stood_in_for() -> Result<(), ReplayError> {
    let mut heard = Replay::of(desk())
        .stub(bank)
        .stub(|Balance| Ok(7))
        .given(ordered("a", 10))
        .ask(Balance)
        .settle()
        .await?;
    assert_eq!(heard.events::<Paid>(), [paid("a")]);
    assert_eq!(heard.kinds(), ["desk.paid"]);
    assert_eq!(heard.envelopes()[0].key.decode(), "a");
    assert!(matches!(&heard.answers::<Balance>()[..], [Ok(7)]));
    Ok(())
}

/// Takes a while over each order.
struct Slow;

impl Slow {
    async fn ordered(&mut self, ordered: Ordered, ctx: &Context) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_mins(9)).await;
        ctx.publish(Paid { order: ordered.order }).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_handler_that_takes_minutes_is_waited_for_as_long_as_it_takes_and_no_longer()
-> Result<(), ReplayError> {
    let slow = Actor::new("slow", async || Ok::<_, Failure>(Slow))
        .on(Slow::ordered)
        .handle_within(Duration::from_mins(10));
    let began = Instant::now();
    let heard = Replay::of(Group::new("desk").child(slow))
        .given(ordered("a", 1))
        .given(ordered("b", 1))
        .settle()
        .await?;
    assert_eq!(heard.events::<Paid>(), [paid("a"), paid("b")]);
    let times: Vec<_> = heard
        .envelopes()
        .iter()
        .filter_map(|paid| paid.time)
        .collect();
    let apart = times[1].duration_since(times[0]).unwrap_or_default();
    let (least, most) = (
        Duration::from_mins(9),
        Duration::from_millis(9 * 60_000 + 10),
    );
    assert!(
        apart >= least && apart <= most,
        "b begins when a is done: {apart:?}"
    );
    // A millisecond of virtual time is no work by itself: 20 s when it was.
    assert!(began.elapsed() < Duration::from_secs(8));
    Ok(())
}

#[tokio::test]
async fn a_replay_goes_by_the_policies_that_it_is_given() -> Result<(), ReplayError> {
    let none = Policy::new().rate(Rate::new(1, Duration::from_hours(1)));
    let heard = Replay::of(desk())
        .stub(bank)
        .policies(Policies::new().domain("bank", none))
        .given(ordered("a", 10))
        .given(ordered("b", 10))
        .after(Duration::from_hours(2))
        .settle()
        .await?;
    assert_eq!(heard.events::<Paid>().len(), 1, "the second is limited");
    Ok(())
}
