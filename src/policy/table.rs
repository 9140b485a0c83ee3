use super::{PoliciesError, Policy};
use crate::{
    message::{Subject, is_name},
    version,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The policies of all targets: for a command, for a domain, and for the rest.
///
/// The most specific one holds, and holds alone: nothing of the others is mixed
/// in. A target that none is for is called without any.
///
/// A table has a version: all nodes of a namespace go by the newest one above 0,
/// which replaces whatever each had. One of version 0, as those in code and most
/// files are, is a node's own, until there is another.
///
/// # Examples
///
/// ```
/// use callboard::policy::Policies;
///
/// let policies = Policies::from_toml(
///     r#"
///     [default]
///     deadline = "5s"
///
///     [domains.payments]
///     deadline = "3s"
///     try_within = "1s"
///     retry = { attempts = 3, first = "100ms", budget = { share = 0.2 } }
///     breaker = { failures = 5, within = "10s", open = "60s" }
///
///     [commands."payments.quote"]
///     cache = { entries = 500, ttl = "30s" }
///     fallback = "last-reply"
///     "#,
/// )?;
/// # Ok::<(), callboard::policy::PoliciesError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct Policies {
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Policy>,
    domains: BTreeMap<String, Policy>,
    commands: BTreeMap<String, Policy>,
}

impl Policies {
    /// Describes a table without policies.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the policy of all targets that have no other.
    pub fn otherwise(mut self, policy: Policy) -> Self {
        self.default = Some(policy);
        self
    }

    /// Sets the policy of all commands of a domain that have none of their own;
    /// each of them has its own breaker, limits and budget.
    pub fn domain(mut self, domain: impl Into<String>, policy: Policy) -> Self {
        self.domains.insert(domain.into(), policy);
        self
    }

    /// Sets the policy of a command.
    pub fn command(mut self, command: Subject, policy: Policy) -> Self {
        self.commands.insert(command.as_str().to_owned(), policy);
        self
    }

    /// Sets its version; 0, as it is without, is for a node's own. Where a table is
    /// [set](crate::breaker::set_policies) it says which one it was made from: that
    /// is refused if another has come since, and 0 replaces whatever is there.
    pub const fn numbered(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// Returns its version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Returns all policies and what each is for: a command, a domain, or nothing,
    /// which is the rest.
    pub fn all(&self) -> impl Iterator<Item = (Option<&str>, &Policy)> {
        let named = self.commands.iter().chain(&self.domains);
        let named = named.map(|(name, policy)| (Some(name.as_str()), policy));
        named.chain(self.default.iter().map(|policy| (None, policy)))
    }

    /// Returns the policy of a command, the most specific one.
    pub fn of(&self, command: Subject) -> Option<&Policy> {
        self.commands
            .get(command.as_str())
            .or_else(|| self.domains.get(command.domain()))
            .or(self.default.as_ref())
    }

    /// Reads a table from TOML.
    ///
    /// # Errors
    ///
    /// Returns [`PoliciesError`] with what is wrong, where, and what would be right.
    pub fn from_toml(text: &str) -> Result<Self, PoliciesError> {
        let read = toml::from_str::<Self>(text);
        read.map_err(|error| PoliciesError::Format { reason: error.to_string().trim().to_owned() })?
            .checked()
    }

    /// Reads a table from JSON.
    ///
    /// # Errors
    ///
    /// Returns [`PoliciesError`] with what is wrong, where, and what would be right.
    pub fn from_json(text: &str) -> Result<Self, PoliciesError> {
        let read = serde_json::from_str::<Self>(text);
        read.map_err(|error| PoliciesError::Format { reason: error.to_string() })?
            .checked()
    }

    /// Reads a table that is TOML or JSON: no TOML begins with a brace.
    #[cfg(feature = "cli")]
    pub(crate) fn read(text: &str) -> Result<Self, PoliciesError> {
        if text.trim_start().starts_with('{') {
            Self::from_json(text)
        } else {
            Self::from_toml(text)
        }
    }

    /// Reads a table from a file, `.toml` or `.json`.
    ///
    /// # Errors
    ///
    /// Returns [`PoliciesError`] with what is wrong, where, and what would be right.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, PoliciesError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let read = match path.extension().and_then(|end| end.to_str()) {
            Some("toml") => Self::from_toml,
            Some("json") => Self::from_json,
            _ => return Err(PoliciesError::Kind { path: name }),
        };
        let text = fs::read_to_string(path).map_err(|error| PoliciesError::Unreadable {
            path: name.clone(),
            reason: error.to_string(),
        })?;
        read(&text).map_err(|error| PoliciesError::File { path: name, error: Box::new(error) })
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    ///
    /// Returns [`PoliciesError`] with the first flaw found.
    pub fn check(&self) -> Result<(), PoliciesError> {
        version::check(self.version)?;
        if let Some(name) = self.domains.keys().find(|name| !is_name(name)) {
            return Err(PoliciesError::Domain { name: name.clone() });
        }
        let is_command = |name: &str| {
            let parts = name.split_once('.');
            parts.is_some_and(|(domain, rest)| is_name(domain) && is_name(rest))
        };
        if let Some(name) = self.commands.keys().find(|name| !is_command(name)) {
            return Err(PoliciesError::Command { name: name.clone() });
        }
        let default = self
            .default
            .iter()
            .map(|policy| ("default".to_owned(), policy));
        let domains = self.domains.iter();
        let domains = domains.map(|(name, policy)| (format!("domains.{name}"), policy));
        let commands = self.commands.iter();
        let commands = commands.map(|(name, policy)| (format!("commands.\"{name}\""), policy));
        for (place, policy) in default.chain(domains).chain(commands) {
            let fault = policy.fault().or_else(|| policy.misplaced(&place));
            if let Some((part, reason)) = fault {
                return Err(PoliciesError::Value { place: format!("{place}.{part}"), reason });
            }
        }
        Ok(())
    }

    /// Whether no target has a policy.
    pub(crate) fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// Whether any of them limits what callees take.
    pub(crate) fn accepts_less(&self) -> bool {
        self.all().any(|(_, policy)| policy.accepts().is_some())
    }

    /// Returns the domains whose events make replies old.
    pub(crate) fn heeds(&self) -> BTreeSet<String> {
        let heeds = self.commands.iter().filter_map(|(name, policy)| {
            let (domain, _) = name.split_once('.')?;
            Some(policy.keeps()?.heeds(domain))
        });
        heeds.flatten().map(str::to_owned).collect()
    }

    fn checked(self) -> Result<Self, PoliciesError> {
        self.check().map(|()| self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Policies, Policy};
    use crate::message::{Subject, codec};
    use std::time::Duration;

    const TABLE: &str = r#"
        [default]
        deadline = "5s"
        [domains.payments]
        deadline = "3s"
        breaker = {}
        [commands."payments.charge"]
        deadline = "1m 30s"
        rate = { limit = 5, per = "1s", by = { field = "user" } }
        fallback = { value = { left = 0 } }
    "#;

    #[test]
    fn the_most_specific_policy_holds_and_holds_alone() {
        let table = Policies::from_toml(TABLE).expect("it is sound");
        let total = |subject| table.of(subject).and_then(Policy::total);
        let secs = |secs| Some(Duration::from_secs(secs));
        assert_eq!(total(Subject::new("payments.charge")), secs(90));
        assert_eq!(total(Subject::new("payments.refund")), secs(3));
        assert_eq!(total(Subject::new("orders.place")), secs(5));
        let charge = table
            .of(Subject::new("payments.charge"))
            .expect("it has one");
        assert!(charge.breaker.is_none(), "the domain's is not mixed in");
        assert_eq!(Policies::new().of(Subject::new("orders.place")), None);
    }

    #[test]
    fn what_is_written_as_json_or_toml_reads_back() {
        let table = Policies::from_toml(TABLE).expect("it is sound");
        let json = serde_json::to_string(&table).expect("it is data");
        let bytes = codec::encode(&table).expect("it is data");
        assert_eq!(codec::decode::<Policies>(&bytes).ok(), Some(table.clone()));
        assert_eq!(Policies::from_json(&json), Ok(table));
    }

    /// Tables that are wrong, and what is said of them.
    const FAULTS: &[(&str, &str)] = &[
        ("[commands.charge]", "names no command"),
        ("[domains.\"a b\"]", "names no domain"),
        ("[commands.payments.charge]", "a command in quotes"),
        ("[default]\ndeadline = \"3 parsecs\"", "write `250ms`"),
        (
            "[default]\nbreaker = { probes = 0 }",
            "`default.breaker`: `probes` is 0; use 1",
        ),
        ("[default]\nbreaker = { failure_rate = 50 }", "such as 0.5"),
        ("[domains.a]\nretry = { atempts = 3 }", "`attempts`"),
        (
            "[domains.a]\nretry = { budget = { share = -1.0 } }",
            "`domains.a.retry`: `budget`",
        ),
        (
            "[domains.a]\nretry = { budget = { share = 5.0 } }",
            "`share` is 5; use 0.0 to 1.0",
        ),
        (
            "[default]\ncache = {}",
            "`default.cache`: a cache is for one command that only reads; write it under \
             `[commands.\"orders.get\"]`",
        ),
        (
            "[domains.a]\ncache = {}",
            "`domains.a.cache`: a cache is for one command",
        ),
        (
            "[commands.\"a.b\"]\nbreaker = { scope = \"domain\" }",
            "`commands.\"a.b\".breaker`: `scope = \"domain\"` is for all commands of a domain; \
             write it under `[domains.a]`",
        ),
        (
            "[domains.a]\nbreaker = { statuses = [400] }",
            "`statuses` has 400, which says that the caller's input is bad",
        ),
        ("[domains.a]\nrate = { limit = 0 }", "use 1 or more"),
        ("[domains.a]\nbreaker = { open = \"0s\" }", "`open` is zero"),
        (
            "[domains.a]\nrate = { per = \"99years\" }",
            "`per` is longer than a year",
        ),
        ("[commands.\"a.b\"]\ncache = { entries = 0 }", "use 1 to"),
        (
            "[commands.\"a.b\"]\ncache = { domains = [\"Or ders\"] }",
            "`domains` has `Or ders`",
        ),
        (
            "[domains.a]\nbreaker = { failures = 4000000000 }",
            "`failures` is 4000000000; use 0 to",
        ),
        (
            "[domains.a]\ndeadline = \"1s\"\ntry_within = \"2s\"",
            "`domains.a.try_within`: it is 2s, longer than the `deadline` of 1s",
        ),
        (
            "[domains.a]\ndeadline = \"1s\"\nretry = { first = \"2s\" }",
            "`domains.a.retry`: `first` is 2s, longer than the `deadline` of 1s",
        ),
        (
            "[domains.a]\nbreaker = { statuses = [503, 200] }",
            "`statuses` has 200",
        ),
        (
            "[domains.a]\nbreaker = { slow_rate = 0.5 }",
            "without `slow`; say",
        ),
        (
            "[domains.a]\nbreaker = { slow = \"1s\" }",
            "without `slow_rate`; say",
        ),
        (
            "[domains.a]\ndeadline = 3",
            "expected a time such as \"3s\"",
        ),
        (
            "[domains.a]\nretry = { first = 3 }",
            "expected a time such as \"3s\"",
        ),
        (
            "[domains.a]\nrate = { by = \"user\" }",
            "write `{ field = \"user\" }`",
        ),
        ("[domains.a]\nrate = { by = 3 }", "`{ field = \"user\" }`"),
        (
            "[domains.a]\nbulkhead = { in_flight = 0 }",
            "`domains.a.bulkhead`",
        ),
    ];

    #[test]
    fn every_fault_names_its_place_and_what_would_be_right() {
        for (text, cure) in FAULTS {
            let error = Policies::from_toml(text).map(drop);
            let error = error.expect_err(text).to_string();
            assert!(error.contains(cure), "{text}: {error}");
        }
    }
}
