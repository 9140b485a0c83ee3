//! A recorder such as a program installs: one atomic per metric and label set.

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Installs the recorder, so that the engine's metrics cost what they cost.
pub(super) fn install() {
    metrics::set_global_recorder(Registry::default()).expect("nobody else installs one");
}

#[derive(Default)]
struct Registry(Mutex<HashMap<Key, Arc<Cell>>>);

/// A counter, a gauge, or a histogram of 64 buckets of powers of two.
struct Cell([AtomicU64; 64]);

impl Registry {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(key) {
            return Arc::clone(cell);
        }
        let cell = Arc::new(Cell(std::array::from_fn(|_| AtomicU64::new(0))));
        cells.insert(key.clone(), Arc::clone(&cell));
        cell
    }
}

impl Recorder for Registry {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.0[0].fetch_add(value, Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0[0].store(value, Relaxed);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, value: f64) {
        self.set(value);
    }

    fn decrement(&self, value: f64) {
        self.set(value);
    }

    fn set(&self, value: f64) {
        self.0[0].store(value.to_bits(), Relaxed);
    }
}

impl HistogramFn for Cell {
    fn record(&self, value: f64) {
        let exponent = usize::try_from(value.to_bits() >> 52 & 0x3F).unwrap_or(0);
        self.0[exponent].fetch_add(1, Relaxed);
    }
}
