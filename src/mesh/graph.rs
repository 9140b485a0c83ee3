use crate::roster::Card;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// Who needs whom: services, and what goes between them.
///
/// What is declared comes from [`Group::depends_on`](crate::Group::depends_on)
/// and from the events that a group's table hears; what is observed, from the
/// callers that commands name and from what has been published. Callers that are no
/// service of any node, such as a person at a shell, are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// The services that are there, or that are needed.
    pub services: BTreeMap<String, usize>,
    /// What goes between them.
    pub edges: Vec<Edge>,
}

/// One service needs another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Who needs.
    pub from: String,
    /// Who is needed.
    pub to: String,
    /// Whether commands go there; else events come from there.
    pub commands: bool,
    /// Whether the one who needs says so.
    pub declared: bool,
    /// Whether it was seen; who hears an event is not.
    pub observed: bool,
}

impl Graph {
    /// Draws what the nodes say of themselves.
    pub fn of<'a>(cards: impl IntoIterator<Item = &'a Card>) -> Self {
        let mut drawing = Drawing::default();
        let cards: Vec<_> = cards.into_iter().collect();
        for service in cards.iter().flat_map(|card| &card.services) {
            for command in &service.answers {
                drawing.owners.insert(domain(command), &service.name);
            }
        }
        let services = cards.iter().flat_map(|card| &card.services);
        let known: BTreeSet<_> = services.map(|service| &*service.name).collect();
        for service in cards.iter().flat_map(|card| &card.services) {
            *drawing.services.entry(service.name.clone()).or_default() += 1;
            let name = &*service.name;
            for to in &service.depends_on {
                drawing.edge(name, to, true).0 = true;
            }
            for to in &service.calls {
                drawing.edge(name, to, true).1 = true;
            }
            for event in &service.hears {
                drawing.edge(name, domain(event), false).0 = true;
            }
            for caller in service
                .callers
                .iter()
                .filter(|caller| known.contains(&***caller))
            {
                drawing.between(caller, name, true).1 = true;
            }
        }
        drawing.done()
    }

    /// Returns what is declared and was not seen, of commands.
    pub fn unseen(&self) -> impl Iterator<Item = &Edge> {
        self.edges
            .iter()
            .filter(|edge| edge.commands && edge.declared && !edge.observed)
    }

    /// Returns what was seen and is not declared.
    pub fn undeclared(&self) -> impl Iterator<Item = &Edge> {
        self.edges
            .iter()
            .filter(|edge| edge.observed && !edge.declared)
    }

    /// Writes it for Graphviz.
    pub fn dot(&self) -> String {
        let mut text = String::from("digraph callboard {\n  rankdir=LR;\n  node [shape=box];\n");
        for (service, instances) in &self.services {
            let (name, style) = (
                quoted(service),
                if *instances == 0 { " style=dashed" } else { "" },
            );
            let label = quoted(&format!("{service} ×{instances}"));
            writeln!(text, "  {name} [label={label}{style}];").ok();
        }
        for edge in &self.edges {
            let (from, to) = (quoted(&edge.from), quoted(&edge.to));
            let style = match (edge.commands, edge.declared, edge.observed) {
                (false, ..) => "style=dotted label=\"events\"",
                (_, true, true) => "style=solid",
                (_, true, false) => "style=dashed label=\"not seen\"",
                (_, false, _) => "color=red label=\"not declared\"",
            };
            writeln!(text, "  {from} -> {to} [{style}];").ok();
        }
        text.push_str("}\n");
        text
    }

    /// Writes it for Mermaid.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("graph LR\n");
        let ids: BTreeMap<_, _> = self
            .services
            .keys()
            .enumerate()
            .map(|(at, name)| (&**name, format!("s{at}")))
            .collect();
        for (service, instances) in &self.services {
            let name = service.replace('"', "#quot;");
            writeln!(text, "  {}[\"{name} ×{instances}\"]", ids[&**service]).ok();
        }
        for edge in &self.edges {
            let arrow = match (edge.commands, edge.declared, edge.observed) {
                (false, ..) => "-. events .->",
                (_, true, true) => "-->",
                (_, true, false) => "-- not seen -->",
                (_, false, _) => "== not declared ==>",
            };
            writeln!(text, "  {} {arrow} {}", ids[&*edge.from], ids[&*edge.to]).ok();
        }
        text
    }
}

#[derive(Default)]
struct Drawing<'a> {
    /// Who answers the commands of a domain.
    owners: BTreeMap<&'a str, &'a str>,
    services: BTreeMap<String, usize>,
    edges: BTreeMap<(String, String, bool), (bool, bool)>,
}

impl Drawing<'_> {
    fn edge(&mut self, from: &str, domain: &str, commands: bool) -> &mut (bool, bool) {
        let to = self.owners.get(domain).copied().unwrap_or(domain);
        self.between(from, to, commands)
    }

    fn between(&mut self, from: &str, to: &str, commands: bool) -> &mut (bool, bool) {
        self.edges
            .entry((from.to_owned(), to.to_owned(), commands))
            .or_default()
    }

    fn done(self) -> Graph {
        let mut services = self.services;
        let mut edges = Vec::new();
        for ((from, to, commands), (declared, observed)) in self.edges {
            // A service that speaks to itself needs nobody.
            if from == to {
                continue;
            }
            let named: BTreeSet<_> = [&from, &to].into();
            for name in named {
                services.entry(name.clone()).or_default();
            }
            edges.push(Edge { from, to, commands, declared, observed });
        }
        Graph { services, edges }
    }
}

fn domain(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn card(service: &serde_json::Value) -> Card {
        let mut service = service.clone();
        service["version"] = "1.0.0".into();
        service["status"] = "healthy".into();
        let card = json!({
            "instance": "n-1", "node": "n", "revision": 1, "ttl_ms": 1_000, "services": [service],
        });
        serde_json::from_value(card).expect("a card")
    }

    fn shop() -> Graph {
        let cards = [
            card(
                &json!({"name": "orders", "depends_on": ["payments", "stock"], "calls": ["payments", "orders"],
                "hears": ["payments.taken"], "answers": ["orders.place"]}),
            ),
            card(
                &json!({"name": "till", "answers": ["payments.charge"], "callers": ["client", "cli", "support"]}),
            ),
            card(&json!({"name": "till", "answers": ["payments.charge"]})),
            card(&json!({"name": "support"})),
        ];
        Graph::of(&cards)
    }

    #[test]
    fn what_is_declared_is_told_from_what_was_seen() {
        let graph = shop();
        let edge = |from: &str, to: &str, (commands, declared, observed)| Edge {
            from: from.into(),
            to: to.into(),
            commands,
            declared,
            observed,
        };
        let unseen = edge("orders", "stock", (true, true, false));
        let undeclared = edge("support", "till", (true, false, true));
        assert_eq!(graph.unseen().collect::<Vec<_>>(), [&unseen]);
        assert_eq!(graph.undeclared().collect::<Vec<_>>(), [&undeclared]);
        let heard = edge("orders", "till", (false, true, false));
        let both = edge("orders", "till", (true, true, true));
        assert_eq!(graph.edges, [unseen, heard, both, undeclared]);
        assert_eq!(graph.services["till"], 2);
        assert_eq!(graph.services["stock"], 0);
    }

    #[test]
    fn a_service_is_not_taken_for_the_domain_of_its_name() {
        let cards = [
            card(&json!({"name": "till", "answers": ["payments.charge"], "callers": ["orders"]})),
            card(&json!({"name": "desk", "answers": ["till.open"]})),
            card(&json!({"name": "orders"})),
        ];
        let graph = Graph::of(&cards);
        assert_eq!(graph.edges.len(), 1, "{graph:?}");
        assert_eq!(
            (&*graph.edges[0].from, &*graph.edges[0].to),
            ("orders", "till")
        );
    }

    #[test]
    fn it_is_written_for_two_programs_that_draw() {
        let graph = shop();
        let dot = graph.dot();
        assert!(
            dot.contains("  \"orders\" -> \"stock\" [style=dashed label=\"not seen\"];\n"),
            "{dot}"
        );
        assert!(
            dot.contains("  \"stock\" [label=\"stock ×0\" style=dashed];\n"),
            "{dot}"
        );
        let mermaid = graph.mermaid();
        assert!(
            mermaid.starts_with("graph LR\n  s0[\"orders ×1\"]\n"),
            "{mermaid}"
        );
        assert!(
            mermaid.contains("  s2 == not declared ==> s3\n"),
            "{mermaid}"
        );
    }
}
