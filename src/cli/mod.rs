//! The operator's command: publish, ask, listen and look from a shell.
//!
//! The nouns are [`Args`], what the operator typed, and [`Exit`], how it
//! ended. JSON goes in and comes out; on the bus it is the same MessagePack
//! that the library speaks, with the same headers and streams.
//!
//! This room runs no groups: commands that need a binary's own groups belong
//! to that binary.

mod args;
mod breakers;
mod columns;
mod dead;
mod draw;
mod entity;
mod error;
mod exit;
mod feed;
mod filter;
mod input;
mod jobs;
mod json;
mod limits;
mod line;
mod out;
mod parked;
mod place;
mod policies;
mod publish;
mod request;
mod roster;
mod routes;
mod saga;
mod stats;
mod store;
mod streams;
mod tail;
mod target;
mod tree;
mod watch;

pub use args::Args;
pub use exit::Exit;

use args::Command;
use clap::{CommandFactory, Parser};
use error::CommandError;
use out::{Out, warn};
use std::ffi::OsString;
use tokio::signal;
use tracing::level_filters::LevelFilter;

/// Reads the arguments; help, the version and mistakes are shown here.
///
/// # Errors
///
/// Returns how to exit if there is nothing to run.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, Exit> {
    Args::try_parse_from(words).map_err(|error| {
        let failed = error.print().is_err();
        match error.use_stderr() {
            true => Exit::Usage,
            false if failed => Exit::Failed,
            false => Exit::Done,
        }
    })
}

/// Runs a command to its end, or until Ctrl-C.
///
/// # Cancel safety
///
/// Dropping the future may or may not do what was asked.
pub async fn run(args: Args) -> Exit {
    log(args.place.verbose);
    let mut out = Out::stdout();
    let follows = args.command.follows();
    let ended = tokio::select! {
        ended = Box::pin(command(args, &mut out)) => ended,
        _ = signal::ctrl_c() => {
            if follows { Ok(()) } else { Err(CommandError::Interrupted) }
        }
    };
    let flushed = out.flush().map_err(CommandError::Output);
    match ended.and(flushed) {
        Ok(()) => Exit::Done,
        Err(error) => {
            let exit = error.exit();
            if exit != Exit::Done {
                warn(&error.to_string());
            }
            exit
        }
    }
}

async fn command(args: Args, out: &mut Out) -> Result<(), CommandError> {
    let place = &args.place;
    match args.command {
        Command::Publish(publish) => publish::run(place, publish, out).await,
        Command::Request(request) => request::run(place, request, out).await,
        Command::Tail(tail) => tail::run(place, tail, out).await,
        Command::Tree(tree) => tree::run(place, tree, out).await,
        Command::Parked(parked) => parked::run(place, parked, out).await,
        Command::Dead(dead) => dead::run(place, dead, out).await,
        Command::Entity(entity) => entity::run(place, entity, out).await,
        Command::Jobs(jobs) => jobs::run(place, jobs, out).await,
        Command::Saga(saga) => saga::run(place, saga, out).await,
        Command::Streams(streams) => streams::run(place, streams, out).await,
        Command::Nodes(nodes) => roster::nodes(place, nodes, out).await,
        Command::Services(services) => roster::services(place, services, out).await,
        Command::Graph(drawn) => roster::graph(place, drawn, out).await,
        Command::Routes(routes) => routes::run(place, routes, out).await,
        Command::Breakers(breakers) => breakers::run(place, breakers, out).await,
        Command::Limits(limits) => limits::run(place, limits, out).await,
        Command::Policies(policies) => policies::run(place, policies, out).await,
        Command::Store(of) => store::run(of, out),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "callboard", &mut text);
            Ok(out.text(&text)?)
        }
    }
}

fn log(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::ERROR,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // A log of its own may be set up already where this runs inside a program.
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .try_init()
        .ok();
}
