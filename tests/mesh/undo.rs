//! What undoes a step of a saga goes where the routing table says, as the step does.

use crate::{
    support::way::{SOON, Verdict, both_buses, until},
    yard::{nodes, quick},
};
use callboard::{
    Abort, Actor, Answer, Command, Context, Group, Infallible, Running, Saga, Steps, Subject,
    saga::Sagas,
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

const TRIPS: usize = 40;

#[derive(Debug, Serialize, Deserialize)]
struct Book {
    trip: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Unbook {
    trip: String,
}

impl Command for Book {
    const SUBJECT: Subject = Subject::new("hotel.book");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        (&self.trip).into()
    }
}

impl Command for Unbook {
    const SUBJECT: Subject = Subject::new("hotel.unbook");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        (&self.trip).into()
    }
}

/// How often each was done.
#[derive(Clone, Default)]
struct Hotel {
    booked: Arc<AtomicUsize>,
    unbooked: Arc<AtomicUsize>,
}

impl Hotel {
    async fn book(&mut self, _: Book, _: &Context) -> Answer<Book> {
        self.booked.fetch_add(1, SeqCst);
        Ok(())
    }

    async fn unbook(&mut self, _: Unbook, _: &Context) -> Answer<Unbook> {
        self.unbooked.fetch_add(1, SeqCst);
        Ok(())
    }

    fn group(&self, version: &str) -> Group {
        let hotel = self.clone();
        let desk = Actor::new("desk", async move || Ok(hotel.clone()));
        let desk = desk.answer(Self::book).answer(Self::unbook);
        Group::new("hotel").version(version).child(desk)
    }

    fn done(&self) -> (usize, usize) {
        (self.booked.load(SeqCst), self.unbooked.load(SeqCst))
    }
}

/// Books, and thinks better of it.
async fn travel(steps: &mut Steps, trip: String) -> Result<(), Abort> {
    let back = Unbook { trip: trip.clone() };
    steps.call(Book { trip }).undo(|()| back).await?;
    Err(Abort::new("it rains"))
}

async fn travel_all(agency: &Running) -> Verdict {
    let trips = Sagas::open(&agency.client(), "travel").await?;
    for number in 0..TRIPS {
        trips
            .start(&format!("t-{number}"), &format!("t-{number}"))
            .await?;
    }
    for number in 0..TRIPS {
        trips.wait::<()>(&format!("t-{number}"), SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_undoes_a_step_follows_the_routes_and_keeps_to_the_version_of_its_key() -> Verdict {
    both_buses(async |way| {
        let [old, new] = [Hotel::default(), Hotel::default()];
        let first = quick(way, "first")
            .group(old.group("1.0.0"))
            .start()
            .await?;
        let second = quick(way, "second")
            .group(new.group("2.0.0"))
            .start()
            .await?;
        let agency = Group::new("agency").child(Saga::new("travel", travel));
        let agency = quick(way, "agency").group(agency).start().await?;
        until("hotels", async || {
            nodes(&agency.roster(), "hotel").len() == 2
        })
        .await;
        let table = r#"{"route": [{"to": "hotel", "rule": [{"versions": {"^1": 70, "^2": 30}}]}]}"#;
        agency.set_routes(&serde_json::from_str(table)?).await?;
        travel_all(&agency).await?;
        let ((old_booked, old_back), (new_booked, new_back)) = (old.done(), new.done());
        assert_eq!(old_booked + new_booked, TRIPS);
        assert!(
            old_booked > 0 && new_booked > 0,
            "{old_booked}, {new_booked}"
        );
        assert_eq!((old_back, new_back), (old_booked, new_booked));
        for node in [agency, second, first] {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}
