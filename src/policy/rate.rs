use super::span;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::{fmt, time::Duration};

/// How many calls may be made in a time, by whom or about what.
///
/// 100 a minute for all together by default, as a bucket that is full at first.
///
/// # Examples
///
/// ```
/// use callboard::policy::{By, Rate};
/// use std::time::Duration;
///
/// let per_user = Rate::new(100, Duration::from_secs(60)).by(By::Field("user".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct Rate {
    limit: u32,
    #[serde(with = "span")]
    per: Duration,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
    by: By,
    keys: usize,
}

/// How calls are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A bucket of tokens: it fills evenly, and what is in it may go at once.
    #[default]
    Bucket,
    /// A window that slides by ninths: never more than the limit in any such time.
    Window,
}

/// What has a limit of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Nothing: all share one.
    #[default]
    All,
    /// Each domain that calls.
    Caller,
    /// Each [key](crate::Command::key) of the command.
    Key,
    /// Each value of a field of the command, such as `user` or `address.country`; a
    /// command without it shares one with all others without.
    Field(String),
}

impl Rate {
    /// Allows this many calls in a time.
    pub fn new(limit: u32, per: Duration) -> Self {
        Self { limit, per, ..Self::default() }
    }

    /// Counts in a sliding window, not in a bucket.
    pub const fn window(mut self) -> Self {
        self.kind = Kind::Window;
        self
    }

    /// Sets how many may go at once out of a full bucket; the limit by default.
    pub const fn burst(mut self, calls: u32) -> Self {
        self.burst = Some(calls);
        self
    }

    /// Sets what has a limit of its own.
    pub fn by(mut self, by: By) -> Self {
        self.by = by;
        self
    }

    /// Sets how many callers, keys or values are remembered; 10,000 by default.
    /// The one that was idle longest is forgotten, and starts over.
    pub const fn keys(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }

    pub(crate) const fn is_by(&self) -> &By {
        &self.by
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) const fn limit(&self) -> u32 {
        self.limit
    }

    pub(super) const fn per(&self) -> Duration {
        self.per
    }

    pub(super) fn size(&self) -> u32 {
        self.burst.unwrap_or(self.limit)
    }

    pub(super) const fn memory(&self) -> usize {
        self.keys
    }

    /// Returns what is wrong with it on the side of the callee.
    pub(super) fn fault_of_accepting(&self) -> Option<String> {
        match self.by {
            By::All | By::Caller => self.fault(),
            By::Key | By::Field(_) => Some(
                "a callee counts by `all` or by `caller`, before it decodes; limit by key or field where it is called"
                    .to_owned(),
            ),
        }
    }

    pub(super) fn fault(&self) -> Option<String> {
        if self.limit == 0 {
            return Some("`limit` is 0, so nothing would ever go; use 1 or more".to_owned());
        }
        if let Some(fault) = span::fault("per", self.per) {
            return Some(fault);
        }
        if self.burst == Some(0) {
            return Some("`burst` is 0, so nothing would ever go; leave it out".to_owned());
        }
        if self.burst.is_some() && self.kind == Kind::Window {
            return Some("`burst` is for a bucket; leave it out with a window".to_owned());
        }
        (!(1..=10_000_000).contains(&self.keys))
            .then(|| format!("`keys` is {}; use 1 to 10000000", self.keys))
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(from)? {
            Written::Field { field } => Self::Field(field),
            Written::Name(name) => match name.as_str() {
                "all" => Self::All,
                "caller" => Self::Caller,
                "key" => Self::Key,
                _ => {
                    return Err(D::Error::custom(format!(
                        "`{name}` is not `all`, `caller` or `key`; for a field of the command write `{{ field = \"{name}\" }}`"
                    )));
                }
            },
        })
    }
}

/// What has a limit of its own, as it stands in a file.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`by` is \"all\", \"caller\", \"key\" or `{ field = \"user\" }`"
)]
enum Written {
    Name(String),
    Field { field: String },
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {:?}", self.limit, self.per)
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            limit: 100,
            per: Duration::from_mins(1),
            kind: Kind::default(),
            burst: None,
            by: By::default(),
            keys: 10_000,
        }
    }
}
