//! The carrier inside this process.
//!
//! All state sits behind the broker's locks; there are no tasks and no timers
//! of its own: whoever waits for a redelivery waits in its own future, so the
//! bus works on any runtime and on a paused clock. Only a store has a thread.
//!
//! A message takes one of three ways: through the `routes` to subscriptions,
//! through an `inbox` to the request that waits for it, or into a stream: its
//! `durable` consumers each keep a `cursor` over it. In memory its `log` decides
//! about it, its `shelf` holds it, and its `timers` know what it is to pass on
//! later. In the `store` all that is in a database: a message is seen by readers
//! and consumers once it is as durable as the store promises, and the memory
//! holds the latest ones and a little of what each consumer has before it.

mod broker;
mod consumer;
mod cursor;
mod declared;
mod durable;
mod inbox;
mod interest;
mod kept;
mod lease;
mod log;
mod passing;
mod pattern;
mod pub_ack;
mod reader;
mod record;
mod routes;
mod seats;
mod shelf;
mod store;
mod stream;
mod subscription;
#[cfg(test)]
mod tests;
mod ticket;
mod timers;

pub(super) use broker::Broker;
pub(super) use consumer::{Acker, Consumer};
pub(super) use reader::Reader;
pub use store::{StoreCheck, StoreStats, StoredConsumer, StoredStream};
pub(super) use stream::Stream;
pub(super) use subscription::Subscription;

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

// No foreign code runs under these locks, so what a panic left behind is whole.

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
