use std::fmt;

/// The name of an event or command type: `domain.name`, checked when the
/// program is compiled.
///
/// The domain says who owns the type: `payments` publishes `payments.taken`
/// and answers `payments.charge`.
///
/// # Examples
///
/// ```
/// use callboard::Subject;
///
/// const CHARGE: Subject = Subject::new("payments.charge");
/// assert_eq!(CHARGE.domain(), "payments");
/// assert_eq!(CHARGE.name(), "charge");
/// ```
///
/// A subject that is not of that form does not compile:
///
/// ```compile_fail
/// const CHARGE: callboard::Subject = callboard::Subject::new("Payments.Charge");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    text: &'static str,
    dot: usize,
}

impl Subject {
    /// Checks and returns a subject.
    ///
    /// # Panics
    ///
    /// Panics, in a constant at compile time, unless the text is two tokens of
    /// lowercase letters, digits, `-` and `_`, joined by a dot, such as
    /// `orders.placed`.
    pub const fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let dot = dot_of(bytes);
        assert!(
            is_token(bytes, 0, dot) && is_token(bytes, dot + 1, bytes.len()),
            "a subject is two lowercase tokens joined by a dot, like `orders.placed`"
        );
        Self { text, dot }
    }

    /// Returns the whole subject, such as `orders.placed`.
    pub const fn as_str(self) -> &'static str {
        self.text
    }

    /// Returns the part before the dot.
    pub const fn domain(self) -> &'static str {
        self.text.split_at(self.dot).0
    }

    /// Returns the part after the dot.
    pub const fn name(self) -> &'static str {
        self.text.split_at(self.dot + 1).1
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

const fn dot_of(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() && bytes[at] != b'.' {
        at += 1;
    }
    at
}

/// Whether `bytes[from..to]` is one or more of `a-z 0-9 - _`.
const fn is_token(bytes: &[u8], from: usize, to: usize) -> bool {
    let mut at = from;
    while at < to {
        match bytes[at] {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => at += 1,
            _ => return false,
        }
    }
    from < to
}

/// Whether a name given at run time can stand in a subject: one lowercase token.
pub(crate) const fn is_name(text: &str) -> bool {
    is_token(text.as_bytes(), 0, text.len())
}

#[cfg(test)]
mod tests {
    use super::{dot_of, is_token};

    #[test]
    fn only_two_lowercase_tokens_make_a_subject() {
        let valid = |text: &str| {
            let (bytes, dot) = (text.as_bytes(), dot_of(text.as_bytes()));
            is_token(bytes, 0, dot) && is_token(bytes, dot + 1, bytes.len())
        };
        for good in ["orders.placed", "o.p", "order-lines.item_added", "a1.b2"] {
            assert!(valid(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "orders",
            "orders.",
            ".placed",
            "a.b.c",
            "Orders.placed",
            "a.*",
            "a.>",
            "a. b",
            "ä.b",
        ] {
            assert!(!valid(bad), "{bad}");
        }
    }
}
