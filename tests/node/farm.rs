//! A small domain for nodes to host.

use crate::support::log::Log;
use callboard::{Actor, Answer, Command, Context, Event, Failure, Group, Infallible, Subject};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc};
use tokio::sync::Semaphore;

/// Answered with the name of the node's farm.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Who;

impl Command for Who {
    const SUBJECT: Subject = Subject::new("farm.who");
    type Outcome = Result<String, Infallible>;
}

/// Answered once the gate is open.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wait;

impl Command for Wait {
    const SUBJECT: Subject = Subject::new("farm.wait");
    type Outcome = Result<(), Infallible>;
}

/// Ends in a panic.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Panic;

impl Command for Panic {
    const SUBJECT: Subject = Subject::new("farm.panic");
    type Outcome = Result<(), Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sown {
    pub(crate) field: String,
    pub(crate) number: u32,
}

impl Event for Sown {
    const SUBJECT: Subject = Subject::new("farm.sown");

    fn key(&self) -> Cow<'_, str> {
        (&self.field).into()
    }
}

#[derive(Clone)]
pub(crate) struct Farm {
    pub(crate) name: &'static str,
    pub(crate) log: Log,
    pub(crate) gate: Arc<Semaphore>,
}

impl Farm {
    /// Describes a farm whose gate is open.
    pub(crate) fn new(name: &'static str, log: &Log) -> Self {
        Self { name, log: log.clone(), gate: Arc::new(Semaphore::new(1)) }
    }

    /// Describes one whose gate is closed.
    pub(crate) fn closed(name: &'static str, log: &Log) -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..Self::new(name, log) }
    }

    async fn who(&mut self, _: Who, _: &Context) -> Answer<Who> {
        Ok(self.name.to_owned())
    }

    async fn wait(&mut self, _: Wait, _: &Context) -> Answer<Wait> {
        self.log.note("wait");
        let _open = self.gate.acquire().await.map_err(Failure::from)?;
        Ok(())
    }

    async fn panic(&mut self, _: Panic, _: &Context) -> Answer<Panic> {
        unreachable!("a bad harvest")
    }

    async fn sown(&mut self, sown: Sown, _: &Context) -> Result<(), Failure> {
        let line = format!("{} {}", sown.field, sown.number);
        if self.gate.available_permits() == 0 {
            self.log.note(format!("begin {line}"));
        }
        let _open = self.gate.acquire().await?;
        self.log.note(line);
        Ok(())
    }

    async fn stop(&mut self, _: &Context) -> Result<(), Failure> {
        self.log.note(format!("stop {}", self.name));
        Ok(())
    }

    pub(crate) fn group(&self, name: &'static str) -> Group {
        let farm = self.clone();
        let farmer = Actor::new("farmer", async move || Ok(farm.clone()))
            .answer(Self::who)
            .answer(Self::wait)
            .answer(Self::panic)
            .on(Self::sown)
            .on_stop(Self::stop);
        Group::new(name).child(farmer)
    }

    /// Describes a group that hears events only, under a name of its own.
    pub(crate) fn listener(&self, name: &'static str) -> Group {
        let farm = self.clone();
        let farmer = Actor::new("farmer", async move || Ok(farm.clone())).on(Self::sown);
        Group::new(name).child(farmer)
    }
}
