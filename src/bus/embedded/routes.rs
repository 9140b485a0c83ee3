use super::pattern::Pattern;
use crate::bus::{
    Message,
    mailbox::{Mail, Mailbox, mailbox},
    names::is_one,
};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Who listens where: one look-up for literal subjects, a walk for wildcards.
#[derive(Debug, Default)]
pub(super) struct Routes {
    literal: HashMap<Box<str>, Listeners>,
    wild: Vec<(Pattern, Listeners)>,
}

#[derive(Debug, Default)]
struct Listeners {
    each: Vec<Listener>,
    queues: Vec<Queue>,
}

#[derive(Debug)]
struct Queue {
    name: Box<str>,
    members: Vec<Listener>,
    turn: AtomicUsize,
}

/// One subscription as the routes know it.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) id: u64,
    mailbox: Mailbox,
}

impl Routes {
    pub(super) fn add(&mut self, filter: &str, queue: Option<&str>, listener: Listener) {
        if is_one(filter) {
            let listeners = self.literal.entry(filter.into()).or_default();
            return listeners.add(queue, listener);
        }
        if let Some((_, listeners)) = self.wild.iter_mut().find(|(at, _)| at.as_str() == filter) {
            return listeners.add(queue, listener);
        }
        let mut listeners = Listeners::default();
        listeners.add(queue, listener);
        self.wild.push((Pattern::new(filter), listeners));
    }

    pub(super) fn remove(&mut self, filter: &str, id: u64) {
        if is_one(filter) {
            if let Some(listeners) = self.literal.get_mut(filter)
                && listeners.remove(id)
            {
                self.literal.remove(filter);
            }
            return;
        }
        self.wild
            .retain_mut(|(at, listeners)| at.as_str() != filter || !listeners.remove(id));
    }

    /// Whether somebody listens to a subject.
    pub(super) fn any(&self, subject: &str) -> bool {
        self.matching(subject).next().is_some()
    }

    /// Gives a message to everybody who listens, one of each queue, and returns
    /// whether there was anybody.
    pub(super) fn deliver(&self, message: Message) -> bool {
        let mut last: Option<&Listener> = None;
        let mut reach = |listener| {
            if let Some(earlier) = last.replace(listener) {
                earlier.push(message.clone());
            }
        };
        for (at, listeners) in self.matching(&message.subject).enumerate() {
            listeners.each.iter().for_each(&mut reach);
            for queue in &listeners.queues {
                let known = |other: &Listeners| other.queue(&queue.name).is_some();
                if self.matching(&message.subject).take(at).any(known) {
                    continue;
                }
                let rest = self.matching(&message.subject).skip(at + 1);
                reach(queue.choose(&rest.filter_map(|other| other.queue(&queue.name))));
            }
        }
        let Some(last) = last else { return false };
        last.push(message);
        true
    }

    fn matching<'a>(&'a self, subject: &str) -> impl Iterator<Item = &'a Listeners> + Clone {
        let wild = self.wild.iter().filter(|(at, _)| at.matches(subject));
        self.literal
            .get(subject)
            .into_iter()
            .chain(wild.map(|(_, listeners)| listeners))
    }
}

impl Listeners {
    fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| &*queue.name == name)
    }

    fn add(&mut self, queue: Option<&str>, listener: Listener) {
        let Some(name) = queue else {
            return self.each.push(listener);
        };
        match self.queues.iter_mut().find(|queue| &*queue.name == name) {
            Some(queue) => queue.members.push(listener),
            None => self.queues.push(Queue {
                name: name.into(),
                members: vec![listener],
                turn: AtomicUsize::new(0),
            }),
        }
    }

    /// Takes a listener out and returns whether nobody is left.
    fn remove(&mut self, id: u64) -> bool {
        self.each.retain(|listener| listener.id != id);
        for queue in &mut self.queues {
            queue.members.retain(|listener| listener.id != id);
        }
        self.queues.retain(|queue| !queue.members.is_empty());
        self.each.is_empty() && self.queues.is_empty()
    }
}

impl Queue {
    /// Returns the member whose turn it is, among those of this queue and of
    /// the same queue under other filters; full mailboxes are passed over.
    fn choose<'a>(&'a self, others: &(impl Iterator<Item = &'a Self> + Clone)) -> &'a Listener {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let all = || {
            let others = others.clone().flat_map(|queue| &queue.members);
            self.members.iter().chain(others)
        };
        let count = all().count();
        let in_turn = || all().chain(all()).skip(turn % count).take(count);
        in_turn()
            .find(|listener| listener.has_room())
            .or_else(|| in_turn().next())
            .expect("a queue without members is removed")
    }
}

impl Listener {
    /// Makes a mailbox for so many messages.
    pub(super) fn new(id: u64, capacity: usize) -> (Self, Mail) {
        let (mailbox, mail) = mailbox(capacity);
        (Self { id, mailbox }, mail)
    }

    fn has_room(&self) -> bool {
        self.mailbox.has_room()
    }

    fn push(&self, message: Message) {
        self.mailbox.push(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn listen(routes: &mut Routes, filter: &str, queue: Option<&str>, id: u64) -> Mail {
        let (listener, mail) = Listener::new(id, 4);
        routes.add(filter, queue, listener);
        mail
    }

    #[test]
    fn one_queue_under_two_filters_gets_one_copy_in_turn() {
        let mut routes = Routes::default();
        let mut a = listen(&mut routes, "a.b", Some("q"), 1);
        let mut b = listen(&mut routes, "a.*", Some("q"), 2);
        let mut c = listen(&mut routes, "a.>", Some("other"), 3);
        for _ in 0..4 {
            assert!(routes.deliver(Message::new("a.b", "")));
        }
        let count =
            |mail: &mut Mail| std::iter::from_fn(|| mail.take().now_or_never().flatten()).count();
        assert_eq!((count(&mut a), count(&mut b), count(&mut c)), (2, 2, 4));
    }

    #[test]
    fn a_full_member_is_passed_over_and_a_removed_one_forgotten() {
        let mut routes = Routes::default();
        let mut a = listen(&mut routes, "a", Some("q"), 1);
        let mut b = listen(&mut routes, "a", Some("q"), 2);
        for _ in 0..6 {
            routes.deliver(Message::new("a", ""));
            while a.take().now_or_never().flatten().is_some() {}
        }
        let held = std::iter::from_fn(|| b.take().now_or_never().flatten());
        assert_eq!(held.count(), 3);
        routes.remove("a", 1);
        routes.remove("a", 2);
        assert!(!routes.any("a"));
        assert!(routes.literal.is_empty());
    }
}
