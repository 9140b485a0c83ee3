use callboard::{
    Answer, Failure,
    projection::{Batch, Keep, Lag, Mark, Positions, Seen},
};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use schemas::{
    Cents, LIST_LIMIT,
    orders::{ListSales, OrderConfirmed, Sales, SalesList},
};
use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, SystemTime},
};

/// How long a transaction waits for another process before it is tried later;
/// it holds up the thread.
const BUSY: Duration = Duration::from_millis(200);

/// The tables have the version of the model in their names: a new one is built
/// beside the old one, which the other nodes still read.
///
/// What a power failure takes from the log in this mode it takes as a whole
/// transaction, and what was in there is read from the stream again.
const TABLES: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS sales_1 (
        day INTEGER PRIMARY KEY,
        orders INTEGER NOT NULL,
        total INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS sales_1_positions (
        domain TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS sales_1_marks (
        domain TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        mark TEXT NOT NULL
    ) STRICT;";

/// What was sold per day, in `SQLite`.
#[derive(Debug)]
pub(super) struct SalesPerDay {
    database: Connection,
    /// What the batch at hand adds, by days since 1970.
    sold: BTreeMap<i64, Sold>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sold {
    orders: i64,
    total: i64,
}

impl SalesPerDay {
    /// Opens the tables in a file, or in memory.
    pub(super) fn open(file: Option<&Path>) -> Result<Self, Failure> {
        let database = match file {
            Some(file) => Connection::open(file)?,
            None => Connection::open_in_memory()?,
        };
        database.busy_timeout(BUSY)?;
        database.execute_batch(TABLES)?;
        Ok(Self { database, sold: BTreeMap::new() })
    }

    pub(super) fn confirmed(&mut self, confirmed: &OrderConfirmed, seen: &Seen) {
        let sold = self.sold.entry(day(seen.time())).or_default();
        sold.orders += 1;
        let total = i64::try_from(confirmed.total.0).unwrap_or(i64::MAX);
        sold.total = sold.total.saturating_add(total);
    }

    pub(super) fn list(&self, list: &ListSales, _: &Lag) -> Answer<ListSales> {
        Ok(self.latest(list.days)?)
    }

    fn latest(&self, days: u32) -> Result<SalesList, Failure> {
        let mut found = self.database.prepare_cached(
            "SELECT date(day * 86400, 'unixepoch'), orders, total
             FROM sales_1 ORDER BY day DESC LIMIT ?1",
        )?;
        let limit = u32::try_from(LIST_LIMIT).map_or(days, |most| days.min(most));
        let rows = found.query_map([limit], |row| {
            Ok(Sales {
                day: row.get(0)?,
                orders: row.get::<_, i64>(1)?.unsigned_abs(),
                total: Cents(row.get::<_, i64>(2)?.unsigned_abs()),
            })
        })?;
        Ok(SalesList { days: rows.collect::<Result<_, _>>()? })
    }
}

impl Keep for SalesPerDay {
    fn positions(&mut self) -> Result<Positions, Failure> {
        let mut found = self
            .database
            .prepare_cached("SELECT domain, sequence FROM sales_1_positions")?;
        let rows = found.query_map([], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn marks(&mut self) -> Result<BTreeMap<String, Mark>, Failure> {
        let mut found = self.database.prepare_cached(
            "SELECT domain, mark FROM sales_1_marks NATURAL JOIN sales_1_positions",
        )?;
        let rows = found.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        rows.map(|row| {
            let (domain, mark) = row?;
            Ok((domain, mark.parse::<Mark>()?))
        })
        .collect()
    }

    fn keep(&mut self, batch: &Batch<'_, Self>) -> Result<(), Failure> {
        self.sold.clear();
        batch.fold(self);
        // It is the only writer from its first statement on.
        let work = self
            .database
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !advance(&work, batch.domain(), batch.from(), batch.to())? {
            return Ok(());
        }
        if let Some(mark) = batch.mark() {
            work.execute(
                "INSERT OR REPLACE INTO sales_1_marks (domain, sequence, mark) VALUES (?1, ?2, ?3)",
                params![batch.domain(), i64::try_from(batch.to())?, mark.to_string()],
            )?;
        }
        for (day, sold) in &self.sold {
            // An amount too large to add up is told as the largest.
            work.execute(
                "INSERT INTO sales_1 (day, orders, total) VALUES (?1, ?2, ?3)
                 ON CONFLICT (day) DO UPDATE SET orders = orders + excluded.orders,
                 total = min(total, 9223372036854775807 - excluded.total) + excluded.total",
                params![day, sold.orders, sold.total],
            )?;
        }
        Ok(work.commit()?)
    }
}

/// Moves a position, if it is where the batch begins.
fn advance(work: &Transaction<'_>, domain: &str, from: u64, to: u64) -> Result<bool, Failure> {
    let at: Option<i64> = work
        .query_row(
            "SELECT sequence FROM sales_1_positions WHERE domain = ?1",
            [domain],
            |row| row.get(0),
        )
        .optional()?;
    if at.unwrap_or_default().unsigned_abs() != from {
        return Ok(false);
    }
    work.execute(
        "INSERT OR REPLACE INTO sales_1_positions (domain, sequence) VALUES (?1, ?2)",
        params![domain, i64::try_from(to)?],
    )?;
    Ok(true)
}

/// Returns the day of a time in UTC, in days since 1970.
fn day(time: SystemTime) -> i64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs() / 86_400).unwrap_or(i64::MAX)
}
