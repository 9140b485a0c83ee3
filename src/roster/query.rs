use super::Instance;
use semver::VersionReq;

/// Says which instances are wanted: healthy ones, unless it says otherwise.
///
/// # Examples
///
/// ```
/// use callboard::{Query, roster::VersionReq};
///
/// let wanted = Query::of("payments").version(VersionReq::parse("^1.2")?).tag("gold").region("eu");
/// # let roster = callboard::Client::new(callboard::Bus::embedded(), "shop".parse()?).roster();
/// assert!(roster.find(&wanted).is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a query finds nothing by itself"]
pub struct Query {
    pub(super) service: Option<String>,
    version: Option<VersionReq>,
    tags: Vec<String>,
    region: Option<String>,
    sick_too: bool,
}

impl Query {
    /// Asks for all services.
    pub fn all() -> Self {
        Self::default()
    }

    /// Asks for one service.
    pub fn of(service: impl Into<String>) -> Self {
        Self { service: Some(service.into()), ..Self::default() }
    }

    /// Asks for versions within a range.
    pub fn version(mut self, range: VersionReq) -> Self {
        self.version = Some(range);
        self
    }

    /// Asks for a tag; of several, for all of them.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Asks for a region.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Asks for instances in whatever state.
    pub const fn any_status(mut self) -> Self {
        self.sick_too = true;
        self
    }

    /// Returns whether an instance is wanted.
    pub fn wants(&self, instance: &Instance) -> bool {
        let service = instance.service();
        (self.sick_too || instance.is_healthy())
            && self
                .service
                .as_ref()
                .is_none_or(|name| *name == service.name)
            && self
                .region
                .as_deref()
                .is_none_or(|region| region == instance.region())
            && self.tags.iter().all(|tag| service.tags.contains(tag))
            && self
                .version
                .as_ref()
                .is_none_or(|range| range.matches(&service.version))
    }
}
