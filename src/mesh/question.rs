//! How one who starts hears of all others: from one of them, page by page.

use super::{
    Mesh,
    wire::{self, Aged, Page, Question},
};
use crate::{
    bus::{Bus, Message, RequestError, SendError},
    message::{Namespace, codec},
    policy::Policies,
    roster::{Card, MAX_CARD},
    route::RouteTable,
    telemetry::ROSTER_REFUSED_TOTAL,
};
use std::time::Duration;
use tokio::time::Instant;

/// How many cards are on one page.
const CARDS: usize = 32;
/// How many pages are read of one who answers: more than its roster can hold.
const PAGES: usize = 1_000;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a question is asked that nobody answers in time, and how often
/// another node goes on with an answer.
const ATTEMPTS: u32 = 3;

/// What a node says of itself, as another knows it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) card: Card,
    /// How long ago it was heard of, at most.
    pub(crate) age: Duration,
    /// By how much its clock is ahead of that of who was asked, if that is much.
    #[cfg_attr(
        not(feature = "cli"),
        expect(dead_code, reason = "only people look at it")
    )]
    pub(crate) off_ms: Option<i64>,
}

impl Mesh {
    /// Hears of all others.
    pub(super) async fn learn(&self) {
        let (bus, namespace) = (&self.0.bus, &self.0.namespace);
        match cards(bus, namespace, PATIENCE).await {
            Ok((known, (routes, policies))) => {
                if let Some(table) = routes {
                    self.adopt(table);
                }
                if let Some(table) = policies {
                    self.adopt(table);
                }
                for Known { card, age, .. } in known {
                    let heard = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
                    if codec::encode(&card).is_ok_and(|it| it.len() <= MAX_CARD) {
                        self.meet(card, heard);
                    } else {
                        metrics::counter!(ROSTER_REFUSED_TOTAL).increment(1);
                    }
                }
            }
            Err(RequestError::NoResponders { .. }) => tracing::debug!("the first node here"),
            // Signs of life will tell.
            Err(error) => tracing::warn!(%error, "nobody says who is there"),
        }
    }

    /// Tells who is there to one who asks.
    pub(super) async fn answer(&self, question: &Message) {
        let Some(reply) = question.reply.clone() else {
            return;
        };
        let asked: Question = codec::decode(&question.payload).unwrap_or_default();
        let mut count = CARDS;
        while count > 0 {
            let page = self.page_of(&asked, count);
            if let Ok(payload) = codec::encode(&page) {
                match self.0.bus.send(Message::new(reply.clone(), payload)).await {
                    Err(SendError::TooLarge { .. }) => {}
                    Err(error) => return tracing::debug!(%error, "an answer was not sent"),
                    Ok(()) => return,
                }
            }
            // Some cards are long, and some servers take little.
            count /= 2;
        }
        tracing::warn!(after = asked.after, "a card is too long to be told");
    }

    fn page_of(&self, asked: &Question, count: usize) -> Page {
        let mut known = self.0.ways.roster.page(&asked.after, count + 1);
        let more = known.len() > count;
        known.truncate(count);
        let aged = known.into_iter().map(|(card, heard)| Aged {
            card: Card::clone(&card),
            age_ms: u64::try_from(heard.elapsed().as_millis()).unwrap_or(u64::MAX),
            off_ms: self.clock_off(&card.instance),
        });
        let table = self.0.ways.routes.table();
        let routes = (asked.after.is_empty() && table.version > 0).then_some(table);
        let table = self.0.ways.lines.table();
        let policies = (asked.after.is_empty() && table.version() > 0).then_some(table);
        Page {
            by: self.instance().as_ref().to_owned(),
            cards: aged.collect(),
            more,
            routes,
            policies,
        }
    }
}

/// Asks one node for the cards of all, and how long ago each was heard of: at most,
/// as the answer may have been under way all the time that it took.
pub(crate) async fn cards(
    bus: &Bus,
    namespace: &Namespace,
    patience: Duration,
) -> Result<(Vec<Known>, (Option<RouteTable>, Option<Policies>)), RequestError> {
    let (mut known, mut routes, mut policies) = (Vec::new(), None, None);
    let mut subject = wire::ask(namespace);
    let mut question = Question::default();
    let mut others = ATTEMPTS;
    for _ in 0..PAGES {
        let (page, took) = match ask(bus, &subject, &question, patience).await {
            // Who has answered so far may have left: another goes on from there.
            Err(_) if !question.after.is_empty() && others > 0 => {
                others -= 1;
                subject = wire::ask(namespace);
                continue;
            }
            page => page?,
        };
        let Some(page) = page else { break };
        if let Some(last) = page.cards.last() {
            question.after.clone_from(&last.card.instance);
        }
        subject = if wire::can_name(&page.by) {
            wire::to(namespace, &page.by, "ask")
        } else {
            wire::ask(namespace)
        };
        routes = routes.or(page.routes);
        policies = policies.or(page.policies);
        let aged = page.cards.into_iter();
        known.extend(aged.map(|Aged { card, age_ms, off_ms }| {
            let age = took + Duration::from_millis(age_ms);
            Known { card, age, off_ms }
        }));
        if !page.more {
            break;
        }
    }
    Ok((known, (routes, policies)))
}

/// Asks for one page; returns how long that took, too.
async fn ask(
    bus: &Bus,
    subject: &str,
    question: &Question,
    patience: Duration,
) -> Result<(Option<Page>, Duration), RequestError> {
    let payload = codec::encode(question).expect("a question is short");
    let mut attempt = 1;
    loop {
        let (message, asked) = (Message::new(subject, payload.clone()), Instant::now());
        match bus.request(message, patience).await {
            Ok(answer) => {
                let read = codec::decode(&answer.payload).inspect_err(
                    |error| tracing::warn!(%error, "what a node says of others cannot be read"),
                );
                return Ok((read.ok(), asked.elapsed()));
            }
            Err(RequestError::Timeout { .. } | RequestError::Lost { .. }) if attempt < ATTEMPTS => {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}
