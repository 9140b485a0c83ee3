use std::{fmt, num::ParseIntError, str::FromStr};

/// Tells the message at a position from any other that may come to stand there, where
/// a stream lost its end and went on; written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark(pub(super) u128);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Mark {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::Mark;

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        for mark in [Mark(0), Mark(7), Mark(u128::MAX)] {
            let text = mark.to_string();
            assert_eq!((text.len(), text.parse()), (32, Ok(mark)));
        }
        assert!("none".parse::<Mark>().is_err());
    }
}
