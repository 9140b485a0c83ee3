//! A handful of orders, and what comes of them.
//!
//! The script places orders of which some cannot end well; the watch prints
//! every event that follows, as it happens; the report tells how all ended.
//! A rush is many orders at once, of which only the sums are told.

mod news;
mod progress;
mod report;
mod rush;
mod script;
mod tally;
mod watch;

use callboard::{Client, error::BoxError};
pub(crate) use rush::rush;
use script::Script;
use std::{
    fmt,
    io::{Write, stdout},
};
use watch::Watch;

/// Places the orders, waits until all have ended, and reports.
pub(crate) async fn play(client: &Client) -> Result<(), BoxError> {
    say(format_args!("bus        {}", client.bus()))?;
    say(format_args!("namespace  {}\n\nevents", client.namespace()))?;
    let script = Script::new();
    let mut watch = Watch::open(client).await?;
    script.prepare(client, &mut watch).await?;
    for order in script.orders(client).await? {
        watch.place(client, order).await?;
    }
    watch.until_ended().await?;
    report::print(client, &script, watch.orders()).await
}

/// Writes a line to standard output, which may be closed.
fn say(line: fmt::Arguments<'_>) -> Result<(), BoxError> {
    Ok(writeln!(stdout().lock(), "{line}")?)
}
