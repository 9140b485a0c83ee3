//! A node's tree as lines of text.

use super::out::plain;
use crate::supervision::{Branch, State, Tree};

/// Draws a node and all below it, one line each.
pub(super) fn tree(tree: &Tree, colours: bool) -> Vec<String> {
    let mut rows = Vec::new();
    branches(&tree.groups, "", &mut rows);
    let widest = |width: fn(&Row) -> usize| rows.iter().map(width).max().unwrap_or_default();
    let widths = Widths {
        name: widest(|row| row.name.chars().count()),
        state: widest(|row| row.state.len()),
        policy: widest(|row| row.policy.chars().count()),
        mailbox: widest(|row| row.mailbox.len()),
        lag: widest(|row| row.lag.len()),
        restarts: widest(|row| row.restarts.len()),
    };
    let (node, version) = (plain(&tree.node), plain(&tree.version));
    // What follows the colon is for a log: what the carrier survives.
    let bus = tree.bus.split(": ").next().unwrap_or_default();
    let head = format!(
        "{}  callboard {version}, {}",
        paint(&node, "1", colours),
        plain(bus)
    );
    std::iter::once(head)
        .chain(rows.iter().map(|row| row.line(&widths, colours)))
        .collect()
}

struct Widths {
    name: usize,
    state: usize,
    policy: usize,
    mailbox: usize,
    lag: usize,
    restarts: usize,
}

struct Row {
    name: String,
    state: &'static str,
    colour: &'static str,
    policy: String,
    mailbox: String,
    lag: String,
    restarts: String,
    reason: String,
}

impl Row {
    fn new(branch: &Branch, front: &str) -> Self {
        let (state, colour) = state(branch.state);
        Self {
            name: format!("{front}{}", plain(&branch.name)),
            state,
            colour,
            policy: plain(&branch.policy),
            mailbox: branch
                .mailbox
                .map_or_else(String::new, |count| format!("mailbox {count}")),
            lag: match branch.lag {
                None | Some(0) => String::new(),
                Some(messages) => format!("lag {messages}"),
            },
            restarts: match branch.restarts {
                0 => String::new(),
                1 => "1 restart".into(),
                count => format!("{count} restarts"),
            },
            reason: branch
                .reason
                .as_deref()
                .map_or_else(String::new, |reason| format!("last: {}", plain(reason))),
        }
    }

    fn line(&self, widths: &Widths, colours: bool) -> String {
        let state = format!("{:<1$}", self.state, widths.state);
        // Only a tree in which something is behind has the column.
        let lag = if widths.lag > 0 {
            format!("  {:<1$}", self.lag, widths.lag)
        } else {
            String::new()
        };
        let line = format!(
            "{:<name$}  {}  {:<policy$}  {:<mailbox$}{lag}  {:<restarts$}  {}",
            self.name,
            paint(&state, self.colour, colours),
            self.policy,
            self.mailbox,
            self.restarts,
            self.reason,
            name = widths.name,
            policy = widths.policy,
            mailbox = widths.mailbox,
            restarts = widths.restarts,
        );
        line.trim_end().to_owned()
    }
}

fn branches(all: &[Branch], front: &str, rows: &mut Vec<Row>) {
    for (at, branch) in all.iter().enumerate() {
        let last = at + 1 == all.len();
        let (tee, rail) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        rows.push(Row::new(branch, &format!("{front}{tee}")));
        branches(&branch.children, &format!("{front}{rail}"), rows);
    }
}

const fn state(state: State) -> (&'static str, &'static str) {
    match state {
        State::Starting => ("starting", "33"),
        State::Running => ("running", "32"),
        State::Restarting => ("restarting", "33"),
        State::Stopped => ("stopped", "31"),
    }
}

fn paint(text: &str, colour: &str, colours: bool) -> String {
    if colours {
        format!("\u{1b}[{colour}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(name: &str, state: State, restarts: u32, reason: Option<&str>) -> Branch {
        Branch {
            name: name.into(),
            policy: "permanent".into(),
            state,
            restarts,
            reason: reason.map(Into::into),
            mailbox: Some(0),
            lag: (name == "ledger").then_some(12),
            children: Vec::new(),
        }
    }

    fn shop() -> Tree {
        let children = vec![
            actor("till", State::Restarting, 2, Some("panicked: no\npaper")),
            actor("ledger", State::Running, 0, None),
        ];
        let group = |name: &str, children| Branch {
            name: name.into(),
            policy: "one_for_one".into(),
            state: State::Running,
            restarts: 0,
            reason: None,
            mailbox: None,
            lag: None,
            children,
        };
        Tree {
            node: "shop-1".into(),
            version: "0.1.0".into(),
            bus: "nats 2.15.1 at one:4222: what is stored survives".into(),
            groups: vec![group("payments", children), group("orders", Vec::new())],
        }
    }

    #[test]
    fn a_tree_is_drawn_with_lines() {
        let expected = "\
shop-1  callboard 0.1.0, nats 2.15.1 at one:4222
├─ payments   running     one_for_one
│  ├─ till    restarting  permanent    mailbox 0          2 restarts  last: panicked: no\\u{a}paper
│  └─ ledger  running     permanent    mailbox 0  lag 12
└─ orders     running     one_for_one";
        assert_eq!(tree(&shop(), false).join("\n"), expected);
    }

    #[test]
    fn colours_change_nothing_but_the_colour() {
        let mut painted = tree(&shop(), true).join("\n");
        for code in ["1", "32", "33", "0"] {
            painted = painted.replace(&format!("\u{1b}[{code}m"), "");
        }
        let lines: Vec<_> = painted.lines().map(str::trim_end).collect();
        assert_eq!(lines, tree(&shop(), false));
    }
}
