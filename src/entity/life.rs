use super::{commands::Commands, plan::Plan};
use crate::message::{Gist, Id};

/// One entity in memory: its state, and how far in the log that is.
#[derive(Debug)]
pub(super) struct Life<S> {
    pub(super) state: S,
    /// The sequence of its last message in the stream; 0 if there is none.
    pub(super) last: u64,
    /// How many events it has.
    pub(super) events: u64,
    /// How many of them the last snapshot holds.
    pub(super) snapped: u64,
    pub(super) commands: Commands,
}

impl<S: 'static> Life<S> {
    pub(super) fn new(state: S) -> Self {
        Self { state, last: 0, events: 0, snapped: 0, commands: Commands::default() }
    }

    /// Returns the sequence at which a command was committed, if it was.
    pub(super) fn committed(&self, command: &Id) -> Option<u64> {
        self.commands.committed(command)
    }

    /// Goes on by a commit of its own.
    pub(super) fn advance(&mut self, events: u64, sequence: u64, command: &Id) {
        self.events += events;
        self.last = sequence;
        self.commands.note(command.clone(), sequence);
    }

    /// Returns how many events a load would have to go through.
    pub(super) const fn tail(&self) -> u64 {
        self.events - self.snapped
    }

    /// Goes through the events of one stored message.
    pub(super) fn relive<'a>(
        &mut self,
        plan: &Plan<S>,
        events: impl IntoIterator<Item = Gist<'a>>,
        sequence: u64,
    ) -> Result<(), String> {
        for event in events {
            plan.apply(&mut self.state, &event)
                .map_err(|reason| format!("#{sequence} {reason}"))?;
            self.events += 1;
            if let Some(command) = event.causation {
                self.commands.note(command, sequence);
            }
        }
        self.last = sequence;
        Ok(())
    }
}
