use super::{
    breakers, dead, entity,
    filter::Filter,
    jobs, limits, parked,
    place::Place,
    policies, roster, routes, saga, store, streams,
    target::{Target, id, kind, wait},
};
use crate::message::{Id, Key, Subject};
use clap::{Args as Options, Parser, Subcommand};
use clap_complete::Shell;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  callboard --namespace shop publish orders.placed --key o-1 '{\"order\":\"o-1\",\"total\":2500}'
  callboard --namespace shop request users.get '{\"user\":\"ada\"}'
  callboard --namespace shop tail 'orders.*'
  callboard --namespace shop tree
  callboard --namespace shop parked
  callboard --namespace shop dead list
  callboard --namespace shop saga list
  callboard --namespace shop services
  callboard --namespace shop graph

Exit codes:
  0  done
  1  something failed, here or at the other end
  2  the arguments or the JSON make no sense
  3  the domain says no
  4  nobody answers, or not now; try again later
  5  no answer in time; what was asked may have been done

JSON goes in and comes out; on the wire it is MessagePack with field names.
Results go to standard output, everything else to standard error.";

const PUBLISH: &str = "\
Examples:
  An event of a type, kept in the stream of its domain; ends when it is stored:
    callboard publish orders.placed --key o-1 '{\"order\":\"o-1\",\"total\":2500}'
  The same event twice, stored once (within the stream's two minutes):
    callboard publish orders.placed --key o-1 --id import-17 @order.json
  From a pipe:
    jq .order export.json | callboard publish orders.placed --key o-1 -
  A plain message on a subject of three or more tokens; whoever listens hears it:
    callboard publish shop.note.hello '\"good morning\"'";

const REQUEST: &str = "\
Examples:
  callboard request users.get '{\"user\":\"ada\"}'
  callboard request payments.charge @charge.json --timeout 30s
  callboard request users.get '{\"user\":\"ada\"}' | jq .email

The reply is one line of JSON on standard output. A rejection is exit code 3:
its reason, then the domain's own words as JSON, on standard error. A saga that
still runs is exit code 4: the same command with the same key gets its outcome.";

const TAIL: &str = "\
Examples:
  callboard tail                         all events from now on
  callboard tail orders                  the events of one domain
  callboard tail orders.placed --all     one type, from the stream's start
  callboard tail '*.cancelled' --json    one name in every domain, as JSON
  callboard tail orders --key o-1 --all --no-follow
                                         the life of one order
Each line has the time, type, key and payload. A message that is no event is
shown with a `!` and the reason. Ctrl-C ends it with exit code 0.";

const TREE: &str = "\
Examples:
  callboard tree
  callboard tree --node shop-1
  callboard tree --json | jq '.groups[] | select(.restarts > 0)'";

const PARKED: &str = "\
Examples:
  callboard parked                        which keys wait, since when, why
  callboard parked show orders/desk o-1   the event, its payload, what waits behind it
  callboard parked retry orders/desk o-1  try it again, then what waits, in order
  callboard parked retry --all
  callboard parked skip orders/desk o-1 --reason 'the order was a test'
  callboard parked amend orders/desk o-1 '{\"order\":\"o-1\",\"total\":2500}'
  callboard parked --json | jq -r 'select(.waiting > 100) | .key'
An act is stored: it works while the actor's node is down, and takes effect when
it is back. The event in the stream stays as it is, also when it is amended.";

const DEAD: &str = "\
Examples:
  callboard dead list                     what was given up, and why
  callboard dead list --json | jq -r .reason | sort | uniq -c
  callboard dead show 17
  callboard dead redrive 17               hand it again to the actor that gave it up
  callboard dead redrive --all
  callboard dead redrive --all --reason 'bank is down'
A redriven event goes to that actor only, once; the stream has it once as before.
A redriven job is stored again, under its own id.";

const JOBS: &str = "\
Examples:
  callboard jobs list payments            timers, and jobs that are not done
  callboard jobs list payments --json | jq -r 'select(.state == \"timer\") | .due'
  callboard jobs send payments.charge '{\"order\":\"o-1\",\"amount\":25}' --key o-1
  callboard jobs send payments.charge @charge.json --key o-1 --in 2h --name retry
  callboard jobs cancel payments.charge --key o-1 --name retry
A timer of a name replaces the one that waits under it. What `list` shows as
delivered is with a node: how often it was tried is in that node's log.";

const ENTITY: &str = "\
Examples:
  callboard entity skip inventory tea 17 --reason 'a stray message without a type'
  callboard entity unskip inventory tea 17
  callboard entity skipped --json
A skipped message stays in its stream: entities and projections pass over it from then
on. A projection that has folded it already forgets it when it is rebuilt.";

const SAGA: &str = "\
Examples:
  callboard saga list                     all sagas that are not over
  callboard saga list checkout --all --json | jq -r 'select(.state == \"compensated\") | .why'
  callboard saga show checkout o-1        its steps: times, attempts, what undoes them
  callboard saga why checkout o-1         what it waits for
  callboard saga retry checkout o-1       let a parked one go on where it stood
  callboard saga retry --all --reason 'bank is down'
  callboard saga settle checkout o-1 payments.charge done --reply '{\"left\":0}' --reason 'case 4711'
  callboard saga cancel checkout o-1      undo what was done, if there is a way back
  callboard saga compensate checkout o-1  undo what was done, also past its pivot
A word is stored in the saga's journal: it works while no runner is up.";

const STREAMS: &str = "\
Examples:
  callboard streams list
  callboard streams drop shop_PARK 17 --reason 'written by a script, case 4711'
Streams of events keep all their messages. What is deleted from another is a dead letter
first, with its bytes, who deleted it and why.";

const NODES: &str = "\
Examples:
  callboard nodes
  callboard nodes --watch
  callboard nodes --json | jq -r 'select(.region == \"eu\") | .instance'
A clock that is more than 2 s off is shown, as the node that was asked sees it.";

const SERVICES: &str = "\
Examples:
  callboard services                            all of them, also those that are sick
  callboard services payments --version-in '^2' --healthy
  callboard services --tag gold --region eu --watch
  callboard services payments --stats           how often each instance was sent each command
  callboard services --json | jq -r 'select(.status != \"healthy\") | .reason'";

const GRAPH: &str = "\
Examples:
  callboard graph                   what is seen and not declared comes last
  callboard graph --dot | dot -Tsvg > graph.svg
  callboard graph --mermaid
What is declared comes from `depends_on` and from the events that groups hear;
what is seen, from which services have sent commands since the nodes were started.";

const BREAKERS: &str = "\
Examples:
  callboard breakers                      all breakers of all nodes
  callboard breakers payments.charge --watch
  callboard breakers --json | jq -r 'select(.state != \"closed\") | .name'
  callboard breakers force payments.charge open    no call goes through
  callboard breakers force payments.charge auto    they decide again
A breaker of a policy is there once its target was called.";

const LIMITS: &str = "\
Examples:
  callboard limits                        all limits in force on all nodes
  callboard limits payments.charge --watch
  callboard limits payments --node shop-1
  callboard limits --json | jq -c 'select(.now >= .limit)'
Each line says how much is taken now of how much may be: commands in hand (in-hand),
calls that are taken (accept) or made (rate) in a time, by the one that took most,
calls in flight (bulkhead), and retries of the last 10 s. A limit of a policy is
there once its target was called.";

const POLICIES: &str = "\
Examples:
  callboard policies                      which policies hold, and on which nodes
  callboard policies set policies.toml
  callboard policies --node shop-1 --json > policies.json
A file has policies, and the most specific one of a target holds alone:
  [domains.payments]                      # or [default], or [commands.\"payments.charge\"]
  deadline = \"3s\"
  retry = { attempts = 3, first = \"100ms\" }
  breaker = { failures = 5, within = \"10s\", open = \"60s\" }
  bulkhead = { in_flight = 100, queue = 100, wait = \"1s\" }
It replaces the whole table of every node, also of those that start later. `version`
at its top is the one that it was made from, as --json shows it: it is refused if another
has come since. A node that has heard of none goes by its own, version 0.";

const ROUTES: &str = "\
Examples:
  callboard routes
  callboard routes set routes.toml
  callboard routes --json > routes.json      # change it, and set it again
  callboard routes clear
  callboard routes ejected --json
A file is TOML or JSON. It has routes, and the first rule that fits decides:
  [[route]]
  to = \"orders.place\"                  # a command, or a whole domain
  spread = \"least-in-flight\"           # queue, round-robin, random, weighted, key, local, region
  eject = { failures = 7, base = \"30s\" }
  [[route.rule]]
  versions = { \"^1\" = 90, \"^2\" = 10 }
A key keeps its range as long as somebody has that. `version` at its top is the version
that the table was made from: it is refused if another has come since. Without it, it
takes the place of whatever is there. `route = []` takes all routes away, as `clear` does.
An instance that is left out is shown with each node that leaves it out: each judges for
itself.";

const STORE: &str = "\
Examples:
  callboard store check --data demo/bus     reads everything; exit code 1 if it is damaged
  callboard store stats --data demo/bus
  callboard store stats --data demo/bus --json | jq -c '{stream, messages, bytes}'
  callboard store compact --data demo/bus   gives free space back
It works on the directory of a bus that no program has open: while one has, the exit code
is 4, and 2 if there is no store. To look at one that is open: sqlite3 -readonly
demo/bus/callboard.sqlite 'SELECT stream, sequence, subject FROM messages'.";

const COMPLETIONS: &str = "\
Examples:
  callboard completions bash > ~/.local/share/bash-completion/completions/callboard
  callboard completions zsh > ~/.zfunc/_callboard
  callboard completions fish > ~/.config/fish/completions/callboard.fish";

/// Speaks to the groups of a Callboard namespace: publish, ask, listen, look.
#[derive(Debug, Parser)]
#[command(name = "callboard", version, after_help = EXAMPLES)]
#[command(propagate_version = true, max_term_width = 100)]
pub struct Args {
    #[command(flatten, next_help_heading = "Where to speak")]
    pub(super) place: Place,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Publishes an event, or sends a plain message.
    #[command(after_help = PUBLISH)]
    Publish(Publish),
    /// Sends a command to a domain and prints the reply.
    #[command(after_help = REQUEST)]
    Request(Request),
    /// Shows events as they happen, and those that did.
    #[command(after_help = TAIL)]
    Tail(Tail),
    /// Shows what every node runs: groups, actors, states, restarts.
    #[command(after_help = TREE)]
    Tree(Tree),
    /// Shows keys that wait because an event could not be handled, and lets them go on.
    #[command(after_help = PARKED, args_conflicts_with_subcommands = true)]
    Parked(parked::Args),
    /// Shows messages that were given up, and lets events be handled again.
    #[command(after_help = DEAD)]
    Dead(dead::Args),
    /// Leaves a message out of the entity on whose subject it stands, or takes that back.
    #[command(after_help = ENTITY)]
    Entity(entity::Args),
    /// Shows jobs and timers that wait, takes timers back, and sends jobs.
    #[command(after_help = JOBS)]
    Jobs(jobs::Args),
    /// Shows sagas step by step, and tells them to go on or to turn back.
    #[command(after_help = SAGA)]
    Saga(saga::Args),
    /// Shows the streams, and deletes single messages.
    #[command(after_help = STREAMS)]
    Streams(streams::Args),
    /// Shows which nodes are there.
    #[command(after_help = NODES)]
    Nodes(roster::Nodes),
    /// Shows which services are there, where, and how they are.
    #[command(after_help = SERVICES)]
    Services(roster::Services),
    /// Shows who needs whom, as declared and as seen.
    #[command(after_help = GRAPH)]
    Graph(roster::Drawn),
    /// Shows and sets where commands go, and shows who is left out.
    #[command(after_help = ROUTES, args_conflicts_with_subcommands = true)]
    Routes(routes::Args),
    /// Shows breakers and how they stand, and forces them open or closed.
    #[command(after_help = BREAKERS, args_conflicts_with_subcommands = true)]
    Breakers(breakers::Args),
    /// Shows limits and how they stand: what is in hand, made, taken, in flight, tried again.
    #[command(after_help = LIMITS)]
    Limits(limits::Args),
    /// Shows and sets how targets are called: deadlines, retries, breakers, limits, fallbacks.
    #[command(after_help = POLICIES, args_conflicts_with_subcommands = true)]
    Policies(policies::Args),
    /// Checks, measures and compacts the store of an embedded bus.
    #[command(after_help = STORE)]
    Store(store::Args),
    /// Writes the completions of a shell.
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

impl Command {
    /// Whether it goes on until it is interrupted.
    pub(super) const fn follows(&self) -> bool {
        match self {
            Self::Tail(_) => true,
            Self::Nodes(nodes) => nodes.follow.watch,
            Self::Services(services) => services.follow.watch,
            Self::Routes(routes) => routes.follow.watch,
            Self::Breakers(breakers) => breakers.follow.watch,
            Self::Limits(limits) => limits.follow.watch,
            Self::Policies(policies) => policies.follow.watch,
            _ => false,
        }
    }
}

#[derive(Debug, Options)]
pub(super) struct Publish {
    /// A type such as `orders.placed`, or a whole subject such as `shop.note.hello`.
    #[arg(value_name = "TYPE|SUBJECT")]
    pub(super) target: Target,
    /// The payload: JSON, `-` for standard input, or `@file`.
    #[arg(allow_negative_numbers = true)]
    pub(super) json: String,
    /// The entity that the event is about.
    #[arg(long, value_parser = Key::new)]
    pub(super) key: Option<Key>,
    /// The event's id; a second event of that id is not stored. Default: a new one.
    #[arg(long, value_parser = id)]
    pub(super) id: Option<Id>,
    /// The version of the event's schema.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) schema_version: u32,
}

#[derive(Debug, Options)]
pub(super) struct Request {
    /// The command, such as `users.get`.
    #[arg(value_name = "DOMAIN.COMMAND", value_parser = kind)]
    pub(super) command: Subject,
    /// Its content: JSON, `-` for standard input, or `@file`.
    #[arg(allow_negative_numbers = true)]
    pub(super) json: String,
    /// How long to wait; the command is not begun later than that.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = wait)]
    pub(super) timeout: Duration,
    /// The command's id, the same for every attempt. Default: a new one.
    #[arg(long, value_parser = id)]
    pub(super) id: Option<Id>,
}

#[derive(Debug, Options)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch on the command line"
)]
pub(super) struct Tail {
    /// A domain, a type or a pattern of types; all without it.
    #[arg(default_value = "*", hide_default_value = true)]
    pub(super) filter: Filter,
    /// Shows only the events of this entity.
    #[arg(long, value_parser = Key::new)]
    pub(super) key: Option<Key>,
    /// Begins at this sequence of each stream.
    #[arg(long, value_name = "N", conflicts_with_all = ["all", "new"])]
    pub(super) from: Option<u64>,
    /// Begins with the oldest event.
    #[arg(long, conflicts_with = "new")]
    pub(super) all: bool,
    /// Begins with the next event (the default).
    #[arg(long)]
    pub(super) new: bool,
    /// Ends when all that is stored has been shown, from the oldest unless `--from` says else.
    #[arg(long, conflicts_with = "new")]
    pub(super) no_follow: bool,
    /// Ends after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// Writes one JSON object per line, with all attributes.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Options)]
pub(super) struct Tree {
    /// Shows only this node.
    #[arg(long, value_name = "NAME")]
    pub(super) node: Option<String>,
    /// Writes one JSON object per node and line.
    #[arg(long)]
    pub(super) json: bool,
    /// How long to wait for the first node.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = wait)]
    pub(super) wait: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}
