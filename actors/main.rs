//! The node of the shop: hosts its groups until it is asked to end, or shows
//! what they do.

mod cli;
mod demo;
mod logging;

use callboard::{Bus, Client, Node, bus::OpenError, error::BoxError, node::Plan, shutdown_signal};
use cli::{Action, Cli, Options};
use shop::groups::{Name, Settings};
use std::{
    env, fs,
    io::{self, Write},
    process::ExitCode,
};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::read(env::args_os()).unwrap_or_else(|refused| refused.exit());
    let outcome = match cli.action {
        None => run(cli.options).await,
        Some(Action::Plan) => plan(cli.options).await,
        Some(Action::Apply) => apply(cli.options).await,
        Some(Action::Check) => check(cli.options).await,
        Some(Action::Demo { orders, remote }) => demo(cli.options, orders, remote).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told that standard error is closed.
            writeln!(io::stderr(), "shop: {error}").ok();
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

/// Shows what the groups need of the bus, and fails if it is not there.
async fn plan(options: Options) -> Result<(), BoxError> {
    logging::start(options.log_format, "warn");
    let plan = node(&options, bus(&options).await?).plan().await?;
    tell(&plan);
    if plan.is_settled() {
        return Ok(());
    }
    Err("the bus is not as the groups need it; `shop apply` makes what is missing".into())
}

/// Makes what the groups need of the bus and is missing.
async fn apply(options: Options) -> Result<(), BoxError> {
    logging::start(options.log_format, "warn");
    let plan = node(&options, bus(&options).await?).apply().await?;
    tell(&plan);
    if plan.is_settled() {
        return Ok(());
    }
    Err("some of it is there with other settings, and is left as it is".into())
}

/// Says which live sagas could not go on with this program, and fails if some could not.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
async fn check(options: Options) -> Result<(), BoxError> {
    logging::start(options.log_format, "warn");
    let stranded = node(&options, bus(&options).await?).check().await?;
    for saga in &stranded {
        println!("{saga}");
    }
    match stranded.len() {
        0 => Ok(()),
        count => Err(format!("sagas that would be parked by this program: {count}").into()),
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn tell(plan: &Plan) {
    println!("{plan}");
}

/// Plays the demo on a node of its own, or against those that run.
async fn demo(options: Options, orders: Option<u32>, remote: bool) -> Result<(), BoxError> {
    logging::start(options.log_format, "warn");
    let bus = bus(&options).await?;
    if remote {
        let client = Client::new(bus.clone(), options.namespace.parse()?);
        let client = client.replicas(options.replicas.into());
        let played = play(&options, orders, &client).await;
        bus.close().await;
        return played;
    }
    let node = node(&options, bus).start().await?;
    let played = play(&options, orders, &node.client()).await;
    let stopped = node.stop().await;
    played?;
    Ok(stopped?)
}

async fn play(options: &Options, orders: Option<u32>, client: &Client) -> Result<(), BoxError> {
    match orders {
        None => demo::play(client).await,
        Some(count) => demo::rush(client, count, options.replicas.into()).await,
    }
}

async fn bus(options: &Options) -> Result<Bus, BoxError> {
    let folder = options.folder();
    if let Some(folder) = &folder {
        fs::create_dir_all(folder)
            .map_err(|error| format!("{}: {error}; see --data", folder.display()))?;
    }
    if let Some(url) = &options.nats {
        return Ok(Bus::nats(url.as_str()).await?);
    }
    let Some(folder) = folder else {
        return Ok(Bus::embedded());
    };
    Bus::embedded_at(folder.join("bus")).map_err(|error| match error {
        OpenError::InUse { .. } => format!("{error}: --data DIR, or --memory").into(),
        _ => error.into(),
    })
}

fn node(options: &Options, bus: Bus) -> Node {
    let settings = Settings {
        payment_limit: options.payment_limit,
        slow_payments: options.slow_payments,
        data: options.folder(),
    };
    let group = |name: Name| match options.version(name) {
        Some(version) => name.group(&settings).version(version.to_string()),
        None => name.group(&settings),
    };
    options.groups().map(group).fold(
        Node::new(options.node.as_str(), bus)
            .namespace(options.namespace.as_str())
            .replicas(options.replicas.into())
            .profile(options.profile)
            .declare(!options.no_declare),
        Node::group,
    )
}
