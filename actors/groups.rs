//! The shop's groups by name, for whoever puts nodes together.

use crate::{inventory, notifications, orders, payments, products, users};
use callboard::Group;
use schemas::Cents;
use std::{fmt, num::NonZeroU32, path::PathBuf, str::FromStr};

/// What the groups are told from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most that one payment may take.
    pub payment_limit: Cents,
    /// Every so many payments are answered late, after they were taken; nothing
    /// for none.
    pub slow_payments: Option<NonZeroU32>,
    /// The directory in which groups keep databases; nothing for memory.
    pub data: Option<PathBuf>,
}

impl Settings {
    /// Sets the limit of one payment; none is slow, and nothing is kept on disk.
    pub const fn limit(payment_limit: Cents) -> Self {
        Self { payment_limit, slow_payments: None, data: None }
    }
}

/// The name of one of the shop's groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Who buys.
    Users,
    /// What is sold.
    Products,
    /// What is in stock.
    Inventory,
    /// What is paid.
    Payments,
    /// What was ordered.
    Orders,
    /// What customers are told.
    Notifications,
}

impl Name {
    /// All groups, in the order that a node starts them: a group comes after
    /// those that it calls.
    pub const ALL: [Self; 6] = [
        Self::Users,
        Self::Products,
        Self::Inventory,
        Self::Payments,
        Self::Notifications,
        Self::Orders,
    ];

    /// Returns the name as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Products => "products",
            Self::Inventory => "inventory",
            Self::Payments => "payments",
            Self::Orders => "orders",
            Self::Notifications => "notifications",
        }
    }

    /// Returns the group's table.
    pub fn group(self, settings: &Settings) -> Group {
        match self {
            Self::Users => users::group(),
            Self::Products => products::group(),
            Self::Inventory => inventory::group(),
            Self::Payments => payments::group(settings.payment_limit, settings.slow_payments),
            Self::Orders => orders::group(settings.data.as_deref()),
            Self::Notifications => notifications::group(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Name {
    type Err = UnknownGroup;

    fn from_str(name: &str) -> Result<Self, UnknownGroup> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| UnknownGroup { name: name.to_owned() })
    }
}

/// A name that none of the shop's groups has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownGroup {
    /// The name.
    pub name: String,
}

impl fmt::Display for UnknownGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Name::ALL.map(Name::as_str).join(", ");
        write!(
            f,
            "there is no group `{}`; the shop has {known}",
            self.name.escape_debug()
        )
    }
}

impl std::error::Error for UnknownGroup {}
