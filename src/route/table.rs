use super::Eject;
use semver::VersionReq;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Where commands go: routes by command or domain. As TOML:
///
/// ```toml
/// [[route]]
/// to = "payments"                # all commands of a domain
/// spread = "least-in-flight"
/// eject = { failures = 7, base = "30s", slow = "2s" }
///
/// [[route]]
/// to = "orders.place"            # one command
/// spread = "key"
///
/// [[route.rule]]                 # the first rule that fits decides
/// header = "x-canary"
/// equals = "true"
/// versions = { "^2" = 100 }
///
/// [[route.rule]]
/// versions = { "^1" = 90, "^2" = 10 }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteTable {
    /// Grows with every change; 0 for the one after whatever is there.
    pub version: u64,
    /// The routes; that of a command comes before that of its domain.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
}

/// Where the commands of one domain, or one of them, go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The command, such as `orders.place`, or the domain.
    pub to: String,
    /// How calls are spread over the instances.
    #[serde(default)]
    pub spread: Spread,
    /// For `region`: how many calls from here an instance nearby may have at hand
    /// before others get some; 64 by default.
    #[serde(default = "overflow")]
    pub overflow: usize,
    /// Which versions get which share; all versions alike without a rule that fits.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
    /// When an instance is left out for a while; never by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eject: Option<Eject>,
}

const fn overflow() -> usize {
    64
}

/// How calls are spread over the instances that may get them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Spread {
    /// By the server, to any that answers; the group in this process comes first.
    /// With rules or ejection, as `least-in-flight`.
    #[default]
    Queue,
    /// To each in turn.
    RoundRobin,
    /// To any.
    Random,
    /// As their metadata says under `weight`; 100 by default.
    Weighted,
    /// To the less busy of two that are drawn.
    LeastInFlight,
    /// Those of one key to the same one, as long as it is there; those without as
    /// `least-in-flight`.
    Key,
    /// To the one in this process; else as `least-in-flight`.
    Local,
    /// To those in this region, until they are busy; as `least-in-flight`.
    Region,
}

/// Which versions get which share of the commands that it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// It fits commands with this header; see [`Call::header`](crate::Call::header).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// It fits commands with this field, such as `user` or `address.country`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What the header or field must be, both if both are given; anything without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// The weight of each range of versions: a key always gets the same one.
    pub versions: BTreeMap<String, u32>,
}

/// What is wrong with a routing table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// A route goes nowhere.
    #[error("`{to}` is neither a domain nor a command; use `orders` or `orders.place`")]
    To {
        /// What was given.
        to: String,
    },
    /// Two routes are for the same.
    #[error("`{to}` has two routes; make them one, with rules")]
    Twice {
        /// The command or domain.
        to: String,
    },
    /// A range of versions cannot be read.
    #[error("`{range}` in the route of `{to}` is no range of versions; use `^1.2`, or `>=2, <3`")]
    Range {
        /// The command or domain.
        to: String,
        /// What was given.
        range: String,
    },
    /// A rule says what something must be, and not what.
    #[error("a rule of `{to}` has `equals` alone; say which `header` or `field`, or leave it out")]
    Equals {
        /// The command or domain.
        to: String,
    },
    /// A rule gives nobody anything.
    #[error("a rule of `{to}` has no weight above 0; give one, or take the rule out")]
    Weightless {
        /// The command or domain.
        to: String,
    },
    /// Shares are not between 0 and 1, or a time is zero.
    #[error(
        "`eject` of `{to}` makes no sense: shares are from 0 to 1, times and counts above 0, times up to a year"
    )]
    Eject {
        /// The command or domain.
        to: String,
    },
    /// The version is the last one that there could ever be.
    #[error("version {version} leaves no room for another; use a smaller one, or 0 for the next")]
    Last {
        /// The version of the table.
        version: u64,
    },
    /// The table is not newer than the one that is there.
    #[error("the table has version {version}, and {known} is there; use {}, or 0 for the next", known + 1)]
    Older {
        /// The version of the table.
        version: u64,
        /// The version that is there.
        known: u64,
    },
}

/// The longest time that clocks are sure to reckon with.
const LONGEST: Duration = Duration::from_hours(24 * 366);

impl RouteTable {
    /// Checks what its types cannot.
    ///
    /// # Errors
    ///
    /// Returns [`RouteError`] with the first flaw found.
    pub fn check(&self) -> Result<(), RouteError> {
        if self.version == u64::MAX {
            return Err(RouteError::Last { version: self.version });
        }
        let mut seen = BTreeSet::new();
        for route in &self.routes {
            let to = route.to.clone();
            let tokens: Vec<_> = to.split('.').collect();
            let is_name = |token: &&str| {
                let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
                !token.is_empty() && token.bytes().all(fits)
            };
            if tokens.len() > 2 || !tokens.iter().all(is_name) {
                return Err(RouteError::To { to });
            }
            if !seen.insert(&route.to) {
                return Err(RouteError::Twice { to });
            }
            route.check()?;
        }
        Ok(())
    }
}

impl Route {
    fn check(&self) -> Result<(), RouteError> {
        let to = || self.to.clone();
        for rule in &self.rules {
            if let Some(range) = rule
                .versions
                .keys()
                .find(|range| VersionReq::parse(range).is_err())
            {
                return Err(RouteError::Range { to: to(), range: range.clone() });
            }
            if rule.equals.is_some() && rule.header.is_none() && rule.field.is_none() {
                return Err(RouteError::Equals { to: to() });
            }
            if rule.versions.values().all(|weight| *weight == 0) {
                return Err(RouteError::Weightless { to: to() });
            }
        }
        let Some(eject) = &self.eject else {
            return Ok(());
        };
        if eject.window.max(eject.base) > LONGEST {
            return Err(RouteError::Eject { to: to() });
        }
        let shares = [eject.rate, eject.most]
            .iter()
            .all(|share| (0.0..=1.0).contains(share));
        let times = [eject.window, eject.base]
            .iter()
            .chain(&eject.slow)
            .all(|time| !time.is_zero());
        if !shares || !times || eject.failures == 0 || eject.calls == 0 {
            return Err(RouteError::Eject { to: to() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Eject, Route, RouteError, RouteTable};

    #[test]
    fn a_time_that_is_none_is_refused_with_one_that_would_be() {
        for eject in [r#"{"base": 30}"#, r#"{"slow": 2}"#, r#"{"window": null}"#] {
            let text = format!(r#"{{"route": [{{"to": "till", "eject": {eject}}}]}}"#);
            let read = serde_json::from_str::<RouteTable>(&text);
            let error = read.expect_err(eject).to_string();
            assert!(error.contains("a time such as \"3s\""), "{error}");
        }
    }

    #[test]
    fn what_clocks_and_counters_cannot_reckon_with_is_refused() {
        let last = RouteTable { version: u64::MAX, ..RouteTable::default() };
        assert!(matches!(last.check(), Err(RouteError::Last { .. })));
        let with = |eject| {
            let route = Route { to: "till".to_owned(), eject: Some(eject), ..Route::default() };
            RouteTable { version: 1, routes: vec![route] }
        };
        assert_eq!(with(Eject::default()).check(), Ok(()));
        let endless = Duration::MAX;
        for eject in [
            Eject { base: endless, ..Eject::default() },
            Eject { window: endless, ..Eject::default() },
            Eject { rate: f64::NAN, ..Eject::default() },
            Eject { most: f64::NAN, ..Eject::default() },
        ] {
            let checked = with(eject).check();
            assert!(
                matches!(checked, Err(RouteError::Eject { .. })),
                "{checked:?}"
            );
        }
    }
}
