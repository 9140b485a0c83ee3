use super::{Eject, RouteError};
use crate::version;
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
    /// Grows by one with every change. In a table that is set, the version it was made
    /// from: it is refused if another has come since; 0 replaces whatever is there.
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
    /// By the server, to any that answers, sick ones too; the group in this process
    /// comes first. With rules or ejection, as `least-in-flight`.
    #[default]
    Queue,
    /// To each in turn.
    RoundRobin,
    /// To any.
    Random,
    /// As their metadata says under `weight`; 100 by default, and none for 0.
    Weighted,
    /// To the less busy of two that are drawn.
    LeastInFlight,
    /// Those of one key to the same one, as long as it is there, so many keys to each
    /// as its metadata says under `weight`; those without as `least-in-flight`.
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
    /// It fits commands with this header, in capitals or not; see [`Call::header`](crate::Call::header).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// It fits commands with this field, such as `user` or `address.country`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What the header or field must be, both if both are given; anything without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// The weight of each range of versions: a key always gets the same range, and
    /// under `^1` may see 1.0.0 and then 1.1.0. A range that nobody has gets nothing;
    /// if nobody has any of them, the command goes the usual way, to any version.
    pub versions: BTreeMap<String, u32>,
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
        version::check(self.version)?;
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
        self.rules
            .iter()
            .try_for_each(|rule| rule.check(&self.to))?;
        let before_last = self
            .rules
            .split_last()
            .map_or(&[][..], |(_, before)| before);
        if before_last.iter().any(Rule::fits_all) {
            return Err(RouteError::Unreached { to: to() });
        }
        let flaw = self.eject.as_ref().and_then(Eject::flaw);
        flaw.map_or(Ok(()), |(field, cure)| {
            Err(RouteError::Eject { to: to(), field, cure })
        })
    }
}

impl Rule {
    const fn fits_all(&self) -> bool {
        self.header.is_none() && self.field.is_none()
    }

    fn check(&self, to: &str) -> Result<(), RouteError> {
        let to = || to.to_owned();
        let mut ranges = self.versions.keys();
        if let Some(range) = ranges.find(|range| VersionReq::parse(range).is_err()) {
            return Err(RouteError::Range { to: to(), range: range.clone() });
        }
        let can_name = |name: &&String| {
            let fits = |byte: u8| byte.is_ascii_graphic() && byte != b':';
            !name.is_empty() && name.bytes().all(fits)
        };
        if let Some(header) = self.header.as_ref().filter(|name| !can_name(name)) {
            return Err(RouteError::Header { to: to(), header: header.clone() });
        }
        if self.equals.is_some() && self.fits_all() {
            return Err(RouteError::Equals { to: to() });
        }
        if self.versions.values().all(|weight| *weight == 0) {
            return Err(RouteError::Weightless { to: to() });
        }
        Ok(())
    }
}

impl Eject {
    /// Returns the first field that makes no sense, and the cure.
    fn flaw(&self) -> Option<(&'static str, &'static str)> {
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        let is_time = |time: Duration| !time.is_zero() && time <= LONGEST;
        let checks = [
            (is_share(self.rate), ("rate", "use 0 to 1")),
            (is_share(self.most), ("most", "use 0 to 1")),
            (
                self.failures > 0 || self.rate > 0.0,
                (
                    "failures",
                    "use 1 or more, or 0 with a `rate`, by which alone it goes then",
                ),
            ),
            (self.calls > 0, ("calls", "use 1 or more")),
            (is_time(self.window), ("window", SPAN)),
            (is_time(self.base), ("base", SPAN)),
            (
                self.slow.is_none_or(|slow| !slow.is_zero()),
                ("slow", "use more than 0, or leave it out"),
            ),
        ];
        checks
            .into_iter()
            .find_map(|(is_sound, flaw)| (!is_sound).then_some(flaw))
    }
}

const SPAN: &str = "use more than 0 and at most a year, such as `30s`";

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
        assert!(matches!(last.check(), Err(RouteError::Version(_))));
        let with = |eject| {
            let route = Route { to: "till".to_owned(), eject: Some(eject), ..Route::default() };
            RouteTable { version: 1, routes: vec![route] }
        };
        assert_eq!(with(Eject::default()).check(), Ok(()));
        let by_rate = Eject { failures: 0, rate: 0.5, ..Eject::default() };
        assert_eq!(with(by_rate).check(), Ok(()));
        let endless = Duration::MAX;
        for (wrong, eject) in [
            ("base", Eject { base: endless, ..Eject::default() }),
            ("window", Eject { window: endless, ..Eject::default() }),
            ("rate", Eject { rate: f64::NAN, ..Eject::default() }),
            ("most", Eject { most: f64::NAN, ..Eject::default() }),
            ("failures", Eject { failures: 0, ..Eject::default() }),
            ("calls", Eject { calls: 0, ..Eject::default() }),
            (
                "slow",
                Eject { slow: Some(Duration::ZERO), ..Eject::default() },
            ),
        ] {
            let checked = with(eject).check();
            assert!(
                matches!(checked, Err(RouteError::Eject { field, .. }) if field == wrong),
                "{checked:?}"
            );
        }
    }
}
