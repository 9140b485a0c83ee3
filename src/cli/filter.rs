use crate::{
    bus::matches,
    message::{Key, Namespace, is_name},
};

/// Which events to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// The domain; nothing for all.
    domain: Option<String>,
    /// The types, as a pattern of two tokens; nothing for all.
    kinds: Option<String>,
}

impl std::str::FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (domain, name) = text.split_once('.').unwrap_or((text, "*"));
        let fits = |token: &str| token == "*" || is_name(token);
        match (domain, name) {
            (">", "*") => Ok(Self::default()),
            _ if fits(domain) && matches!(name, "*" | ">") => {
                Ok(Self { domain: one(domain), kinds: None })
            }
            _ if fits(domain) && fits(name) => {
                Ok(Self { domain: one(domain), kinds: Some(text.to_owned()) })
            }
            _ => Err(
                "filter by a domain (`orders`), a type (`orders.placed`) or a pattern (`*.cancelled`)"
                    .into(),
            ),
        }
    }
}

impl Filter {
    /// Whether events of this domain can be meant.
    pub(super) fn hears(&self, domain: &str) -> bool {
        self.domain.as_deref().is_none_or(|only| only == domain)
    }

    /// Whether events of this type are meant.
    pub(super) fn shows(&self, kind: &str) -> bool {
        self.kinds
            .as_deref()
            .is_none_or(|kinds| matches(kinds, kind))
    }

    /// Returns the subjects to listen to, also of one key only.
    pub(super) fn subjects(&self, namespace: &Namespace, key: Option<&Key>) -> String {
        let domain = self.domain.as_deref().unwrap_or("*");
        match key {
            Some(key) => namespace.event(domain, key),
            None => namespace.events(domain),
        }
    }
}

fn one(domain: &str) -> Option<String> {
    (domain != "*").then(|| domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_domain_a_type_or_a_pattern() {
        for (text, domain, kind, shown) in [
            ("orders", "orders", "orders.placed", true),
            ("orders", "payments", "payments.taken", false),
            ("orders", "orders", "com.example.order", true),
            ("orders.*", "orders", "orders.placed", true),
            ("orders.placed", "orders", "orders.placed", true),
            ("orders.placed", "orders", "orders.cancelled", false),
            ("*.cancelled", "orders", "orders.cancelled", true),
            ("*.cancelled", "orders", "orders.placed", false),
            ("*", "orders", "orders.placed", true),
            (">", "orders", "orders.placed", true),
        ] {
            let filter: Filter = text.parse().unwrap();
            let both = filter.hears(domain) && filter.shows(kind);
            assert_eq!(both, shown, "{text} {kind}");
        }
        for bad in ["", "Orders", "a.b.c", "orders.", ".placed", "or*"] {
            assert!(bad.parse::<Filter>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_narrows_the_subjects() {
        let (shop, key) = (Namespace::new("shop").unwrap(), Key::new("o-1").unwrap());
        let orders: Filter = "orders.placed".parse().unwrap();
        assert_eq!(orders.subjects(&shop, None), "shop.evt.orders.*");
        assert_eq!(orders.subjects(&shop, Some(&key)), "shop.evt.orders.o-1");
        assert_eq!(
            Filter::default().subjects(&shop, Some(&key)),
            "shop.evt.*.o-1"
        );
    }
}
