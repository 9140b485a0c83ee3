use super::plan::Plan;
use crate::message::{Envelope, Id};
use std::collections::{HashMap, VecDeque};

/// How many commands of a key are remembered.
pub(super) const REMEMBERED: usize = 1_000;

/// One entity as it is after its last event.
#[derive(Debug)]
pub(super) struct Life<S> {
    pub(super) state: S,
    /// The sequence of its last message in the stream; 0 if there is none.
    pub(super) last: u64,
    /// How many events it has.
    pub(super) events: u64,
    commands: Commands,
}

/// The last commands that changed an entity, and where.
#[derive(Debug, Default)]
struct Commands {
    order: VecDeque<Id>,
    committed: HashMap<Id, u64>,
}

impl<S: 'static> Life<S> {
    pub(super) fn new(state: S) -> Self {
        Self { state, last: 0, events: 0, commands: Commands::default() }
    }

    /// Returns the sequence at which a command was committed, if it was.
    pub(super) fn committed(&self, command: &Id) -> Option<u64> {
        self.commands.committed.get(command).copied()
    }

    /// Notes that a command was committed.
    pub(super) fn note(&mut self, command: Id, sequence: u64) {
        let Commands { order, committed } = &mut self.commands;
        if committed.insert(command.clone(), sequence).is_some() {
            return;
        }
        order.push_back(command);
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            committed.remove(&oldest);
        }
    }

    /// Goes through the events of one stored message.
    pub(super) fn relive(
        &mut self,
        plan: &Plan<S>,
        events: &[Envelope],
        sequence: u64,
    ) -> Result<(), String> {
        for event in events {
            plan.apply(&mut self.state, event)
                .map_err(|reason| format!("#{sequence} {reason}"))?;
            self.events += 1;
            if let Some(command) = &event.causation {
                self.note(command.clone(), sequence);
            }
        }
        self.last = sequence;
        Ok(())
    }
}
