//! The node of the shop: hosts its groups until it is asked to end, or shows
//! what they do.

mod cli;
mod demo;
mod logging;

use callboard::{Bus, Node, error::BoxError, shutdown_signal};
use cli::{Action, Cli, Options};
use shop::groups::Settings;
use std::{env, fs, process::ExitCode};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::read(env::args_os()).unwrap_or_else(|refused| refused.exit());
    let outcome = match cli.action {
        None => run(cli.options).await,
        Some(Action::Demo { remote }) => demo(cli.options, remote).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Hosts the groups until SIGTERM or SIGINT.
async fn run(options: Options) -> Result<(), BoxError> {
    logging::start(options.log_format, "info,async_nats=warn");
    let bus = bus(&options).await?;
    Ok(node(&options, bus).run_until(shutdown_signal()).await?)
}

/// Plays the demo on a node of its own, or against those that run.
async fn demo(options: Options, remote: bool) -> Result<(), BoxError> {
    logging::start(options.log_format, "warn");
    let bus = bus(&options).await?;
    if remote {
        let client = callboard::Client::new(bus, options.namespace.parse()?);
        return demo::play(&client).await;
    }
    let node = node(&options, bus).start().await?;
    let played = demo::play(&node.client()).await;
    let stopped = node.stop().await;
    played?;
    Ok(stopped?)
}

async fn bus(options: &Options) -> Result<Bus, BoxError> {
    if let Some(data) = &options.data {
        fs::create_dir_all(data)?;
    }
    match &options.nats {
        Some(url) => Ok(Bus::nats(url.as_str()).await?),
        None => Ok(match &options.data {
            Some(data) => Bus::embedded_at(data.join("bus"))?,
            None => Bus::embedded(),
        }),
    }
}

fn node(options: &Options, bus: Bus) -> Node {
    let settings = Settings { payment_limit: options.payment_limit, data: options.data.clone() };
    options.groups().map(|name| name.group(&settings)).fold(
        Node::new(options.node.as_str(), bus).namespace(options.namespace.as_str()),
        Node::group,
    )
}
