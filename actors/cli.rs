//! What can be said on the command line and in the environment.

use callboard::{Profile, roster::Version};
use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, error::ErrorKind,
    parser::ValueSource,
};
use schemas::Cents;
use shop::{groups::Name, payments};
use std::{env, ffi::OsString, fs, num::NonZeroU32, path::PathBuf, process};

/// Hosts the shop's groups until SIGTERM or SIGINT.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

const EXAMPLES: &str = "\
Examples:
  shop demo                                      six groups in one process, nothing else needed
  shop demo --orders 300                         the same under load, with a summary
  shop --data /var/lib/shop                      all groups in one process, stored there
  shop --nats localhost:4222                     all groups on a NATS server
  shop --nats localhost:4222 --groups orders,notifications
                                                 two of them; other nodes host the others
  shop --nats localhost:4222 demo --remote       place orders with the nodes that run
  shop --nats localhost:4222 plan                what the groups need, against what is there
  shop --nats localhost:4222 check               live sagas that this program could not go on with

Exit codes: 0 done, 1 failed, 2 not understood. RUST_LOG says how much is logged.";

/// Where everything is kept if neither a server nor a directory is named.
const USUAL_FOLDER: &str = "./callboard-data";

impl Cli {
    /// Reads a command line, the program's name first.
    pub(crate) fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(line)?;
        let cli = Self::from_arg_matches(&matches)?;
        let said = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        // The environment may say it for another run, as in a container's image.
        if cli.options.memory && said("data") {
            let cure = "`--memory` keeps nothing and `--data` says where to keep it; leave one of them out";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, cure));
        }
        if cli.options.nats.is_none() && said("replicas") && cli.options.replicas > 1 {
            let cure =
                "`--replicas` copies streams on the servers of a cluster; name it with --nats URL";
            return Err(Self::command().error(ErrorKind::MissingRequiredArgument, cure));
        }
        let is_remote = matches!(cli.action, Some(Action::Demo { remote: true, .. }));
        // clap's `requires` does not see what stands before the subcommand.
        if is_remote && cli.options.nats.is_none() {
            let cure =
                "`demo --remote` places orders with nodes on a server; name it with --nats URL";
            return Err(Self::command().error(ErrorKind::MissingRequiredArgument, cure));
        }
        Ok(cli)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Shows which streams and consumers the groups need, against what is there.
    ///
    /// Changes nothing. Ends with 1 if something is missing or different.
    Plan,
    /// Makes the streams and consumers that are missing.
    ///
    /// What is there with other settings is shown and left as it is.
    Apply,
    /// Lists live sagas that this program could not go on with.
    ///
    /// For before a deployment: takes no step, changes nothing. Ends with 1 if
    /// there are some.
    Check,
    /// Places a handful of orders and shows what comes of them.
    ///
    /// Hosts the groups itself, for as long as it takes.
    Demo {
        /// Place so many orders instead, and show how many ended how, and how fast.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        orders: Option<u32>,
        /// Host nothing: place the orders with the nodes that run on --nats.
        #[arg(long)]
        remote: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The NATS server, or several of one cluster with commas in between;
    /// without one, messages stay in this process and its directory.
    #[arg(long, env = "CALLBOARD_NATS", value_name = "URL", global = true)]
    pub(crate) nats: Option<String>,
    /// Where this process keeps what is to survive, for one process at a time:
    /// without a server everything, in ./callboard-data unless said otherwise;
    /// with one the sales, which stay in memory unless it is said.
    #[arg(long, env = "CALLBOARD_DATA", value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// Keep nothing in a directory: what is not on a server is gone with the process.
    #[arg(long, global = true)]
    memory: bool,
    /// How many servers of the cluster keep a copy of each stream.
    #[arg(
        long,
        env = "CALLBOARD_REPLICAS",
        value_name = "N",
        value_parser = clap::value_parser!(u8).range(1..=5),
        default_value_t = 1,
        global = true
    )]
    pub(crate) replicas: u8,
    /// What must last of what is acknowledged: `fast` takes what the bus gives,
    /// `durable` wants three copies or a synced directory, `durable-by-sync`
    /// one server that the operator runs with `sync_interval: always`.
    #[arg(
        long,
        env = "CALLBOARD_PROFILE",
        value_name = "NAME",
        default_value_t,
        global = true
    )]
    pub(crate) profile: Profile,
    /// Make no stream at the start: `shop apply` has made them.
    #[arg(long, env = "CALLBOARD_NO_DECLARE", global = true)]
    pub(crate) no_declare: bool,
    /// The groups to host, with commas in between; without, all of them.
    #[arg(
        long,
        env = "CALLBOARD_GROUPS",
        value_name = "NAMES",
        value_delimiter = ',',
        global = true
    )]
    groups: Vec<Name>,
    /// The version of a group that this node hosts, for routes that tell versions
    /// apart, such as `payments=2.0.0`; several with commas in between.
    #[arg(
        long,
        env = "CALLBOARD_GROUP_VERSIONS",
        value_name = "GROUP=VERSION",
        value_delimiter = ',',
        value_parser = group_version,
        global = true
    )]
    group_version: Vec<(Name, Version)>,
    /// The first token of all subjects: keeps several shops on one server apart.
    #[arg(
        long,
        env = "CALLBOARD_NAMESPACE",
        value_name = "NAME",
        default_value = "shop",
        global = true
    )]
    pub(crate) namespace: String,
    /// The node's name, unique in its namespace.
    #[arg(
        long,
        env = "CALLBOARD_NODE",
        value_name = "NAME",
        default_value_t = own_name(),
        global = true
    )]
    pub(crate) node: String,
    /// How the log is written.
    #[arg(
        long,
        env = "CALLBOARD_LOG_FORMAT",
        value_enum,
        default_value_t,
        global = true
    )]
    pub(crate) log_format: LogFormat,
    /// The most that one payment may take.
    #[arg(
        long,
        env = "CALLBOARD_PAYMENT_LIMIT",
        value_name = "AMOUNT",
        value_parser = amount,
        default_value_t = payments::LIMIT,
        global = true
    )]
    pub(crate) payment_limit: Cents,
    /// Answer every Nth payment late, after the money was taken: to see what
    /// becomes of an order whose checkout does not know whether it is paid.
    #[arg(long, env = "CALLBOARD_SLOW_PAYMENTS", value_name = "N", global = true)]
    pub(crate) slow_payments: Option<NonZeroU32>,
}

impl Options {
    /// Returns the directory for what is to survive; nothing if it is memory.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        if self.memory {
            return None;
        }
        let usual = || self.nats.is_none().then(|| USUAL_FOLDER.into());
        self.data.clone().or_else(usual)
    }

    /// Returns the version of a group, if one was given; the last one counts.
    pub(crate) fn version(&self, group: Name) -> Option<&Version> {
        let mut given = self.group_version.iter().rev();
        given
            .find(|(name, _)| *name == group)
            .map(|(_, version)| version)
    }

    /// Returns the groups to host, in the order to start them.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Name> {
        let all = self.groups.is_empty();
        Name::ALL
            .into_iter()
            .filter(move |name| all || self.groups.contains(name))
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Reads an amount as it is written, such as `1000` or `1000.00`.
fn amount(text: &str) -> Result<Cents, String> {
    let refused = || format!("`{text}` is no amount; write one such as 1000 or 1000.00");
    let (whole, cents) = text.split_once('.').unwrap_or((text, "00"));
    let is_digits = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || cents.len() != 2 || !is_digits(whole) || !is_digits(cents) {
        return Err(refused());
    }
    format!("{whole}{cents}")
        .parse()
        .map(Cents)
        .map_err(|_| refused())
}

/// Reads a group and its version, such as `payments=2.0.0`.
fn group_version(text: &str) -> Result<(Name, Version), String> {
    let (name, version) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is no group and its version; write payments=2.0.0"))?;
    let name = name.parse::<Name>().map_err(|error| error.to_string())?;
    let version = Version::parse(version)
        .map_err(|error| format!("`{version}` is no version such as 2.0.0: {error}"))?;
    Ok((name, version))
}

/// Names this process: unique on its host, and beyond if the host has a name.
fn own_name() -> String {
    let host = env::var("HOSTNAME").or_else(|_| fs::read_to_string("/proc/sys/kernel/hostname"));
    let host: String = host
        .unwrap_or_default()
        .trim()
        .chars()
        .map(|letter| letter.to_ascii_lowercase())
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    let id = process::id();
    if host.is_empty() {
        return format!("shop-{id}");
    }
    format!("shop-{host}-{id}")
}

#[cfg(test)]
mod tests {
    use super::{Cli, amount};
    use clap::{CommandFactory, error::ErrorKind};
    use schemas::Cents;
    use shop::groups::Name;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split(' ').map(Into::into))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_amount_has_no_cents_or_two_digits_of_them() {
        assert_eq!(amount("1000"), Ok(Cents(100_000)));
        assert_eq!(amount("0.05"), Ok(Cents(5)));
        for bad in [
            "",
            ".50",
            "1.5",
            "1.505",
            "-1",
            "1,00",
            "ten",
            "99999999999999999999",
        ] {
            assert!(amount(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_the_cure() {
        for (line, cure) in [
            ("shop --memory --data d2", "leave one of them out"),
            ("shop --data d2 demo --memory", "leave one of them out"),
            ("shop --memory --replicas 3", "--nats URL"),
        ] {
            let refused = parse(line).expect_err(line);
            assert_eq!(refused.exit_code(), 2, "{line}");
            assert!(refused.to_string().contains(cure), "{refused}");
        }
        assert!(parse("shop --nats localhost:4222 --memory --replicas 3").is_ok());
    }

    #[test]
    fn groups_are_started_in_the_shops_order_and_once() {
        let cli = parse("shop --groups orders,users,orders").expect("these are groups");
        let groups: Vec<_> = cli.options.groups().collect();
        assert_eq!(groups, [Name::Users, Name::Orders]);
    }

    #[test]
    fn an_unknown_group_is_refused_with_those_that_there_are() {
        let refused = parse("shop --groups users,cheese").expect_err("there is no cheese");
        assert_eq!(refused.exit_code(), 2);
        let text = refused.to_string();
        assert!(text.contains("there is no group `cheese`"), "{text}");
        assert!(text.contains("users, products, inventory"), "{text}");
    }

    #[test]
    fn groups_have_versions_if_they_are_given() {
        let cli = parse("shop --group-version payments=2.0.0,users=1.2.3").expect("versions");
        let version = |group| cli.options.version(group).map(ToString::to_string);
        assert_eq!(version(Name::Payments).as_deref(), Some("2.0.0"));
        assert_eq!(version(Name::Orders), None);
        for bad in ["payments", "payments=2", "cheese=1.0.0"] {
            assert!(
                parse(&format!("shop --group-version {bad}")).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_remote_demo_needs_a_server() {
        let refused = parse("shop demo --remote").expect_err("there is no server");
        assert_eq!(refused.kind(), ErrorKind::MissingRequiredArgument);
        assert!(parse("shop --nats localhost:4222 demo --remote").is_ok());
        assert!(parse("shop demo --remote --nats localhost:4222").is_ok());
    }
}
