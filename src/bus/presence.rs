/// What a carrier has of something that is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is not there.
    Missing,
    /// It is there as declared.
    Same,
    /// It is there with other settings.
    Differs {
        /// Each setting that differs, as found and as declared.
        difference: String,
    },
}

impl Presence {
    pub(super) fn of(difference: Option<String>) -> Self {
        difference.map_or(Self::Same, |difference| Self::Differs { difference })
    }
}
