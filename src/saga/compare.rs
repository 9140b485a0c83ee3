//! Whether what a step says now is what its journal has.

use super::{
    page::Act,
    trip::{Stop, Trip},
};
use crate::message::{alike_as, told};
use serde::{Serialize, de::DeserializeOwned};

/// How much of a command is told, in characters.
const TOLD: usize = 300;

impl Trip {
    /// Parks the saga if its code comes to a step with another command, or event,
    /// than its journal has.
    pub(super) async fn compare<T>(&self, step: &str, was: &Act, now: &Act)
    where
        T: Serialize + DeserializeOwned,
    {
        let Some((was, now)) = difference::<T>(was, now) else {
            return;
        };
        let reason = format!(
            "its code comes to its step `{step}` with {now} now, and its journal has {was}; \
             run it with the code that it began with, or compensate it"
        );
        match self.halt(Stop::Parked(reason)).await {}
    }
}

/// Returns both as text if they differ.
fn difference<T: Serialize + DeserializeOwned>(was: &Act, now: &Act) -> Option<(String, String)> {
    let ((one, old), (other, new)) = (said(was)?, said(now)?);
    let tell = |subject: &str, payload: &[u8]| {
        let text = told(payload).unwrap_or_default();
        let text: String = text.chars().take(TOLD).collect();
        format!("`{subject}` {text}")
    };
    let is_same = one == other && (old == new || is_same::<T>(old, new));
    (!is_same).then(|| (tell(one, old), tell(other, new)))
}

/// Returns what an act says, and under which subject.
fn said(act: &Act) -> Option<(&str, &[u8])> {
    match act {
        Act::Call(order) | Act::Send(order) => Some((&order.subject, &order.payload)),
        Act::Publish { subject, payload } => Some((subject, payload)),
        Act::Sleep { .. } | Act::Wait { .. } => None,
    }
}

/// Whether two payloads of a type mean the same; see [`alike_as`].
///
/// One that cannot be read is left to whoever reads it.
fn is_same<T: Serialize + DeserializeOwned>(was: &[u8], now: &[u8]) -> bool {
    alike_as::<T>(was, now).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::{difference, is_same};
    use crate::{
        message::codec,
        saga::page::{Act, Order},
    };
    use serde::{Deserialize, Serialize};
    use std::{
        collections::{HashMap, HashSet},
        error::Error,
    };

    #[derive(Serialize, Deserialize)]
    struct Tagged {
        order: String,
        tags: HashMap<String, u64>,
        seen: HashSet<u8>,
        #[serde(default)]
        note: Option<String>,
    }

    fn tagged(order: &str) -> Tagged {
        Tagged {
            order: order.into(),
            tags: (0..20).map(|n| (format!("tag-{n}"), n)).collect(),
            seen: (0..20).collect(),
            note: None,
        }
    }

    #[derive(Serialize)]
    struct Older<'a> {
        seen: Vec<u8>,
        was: &'a str,
        tags: HashMap<String, u64>,
        order: &'a str,
    }

    #[test]
    fn no_order_and_no_field_that_came_or_went_makes_another_command() -> Result<(), Box<dyn Error>>
    {
        let now = codec::encode(&tagged("o-1"))?;
        for _ in 0..10 {
            assert!(is_same::<Tagged>(&codec::encode(&tagged("o-1"))?, &now));
        }
        let tags = tagged("").tags;
        let older = Older { seen: (0..20).rev().collect(), was: "gone", tags, order: "o-1" };
        assert!(is_same::<Tagged>(&codec::encode(&older)?, &now));
        assert!(!is_same::<Tagged>(&codec::encode(&tagged("o-2"))?, &now));
        Ok(())
    }

    #[test]
    fn both_are_told_and_no_more_of_them_than_a_person_reads() -> Result<(), Box<dyn Error>> {
        let call = |subject: &str, payload: &str| -> Result<_, codec::EncodeError> {
            let (subject, payload) = (subject.to_owned(), codec::encode(payload)?);
            Ok(Act::Call(Order { subject, key: String::new(), payload }))
        };
        let (one, other) = (call("till.pay", "7")?, call("till.pay", &"8".repeat(900))?);
        let (was, now) = difference::<String>(&one, &other).ok_or("they differ")?;
        assert_eq!(was, "`till.pay` \"7\"");
        assert!(now.len() < 400, "{now}");
        assert!(difference::<String>(&one, &call("till.take", "7")?).is_some());
        assert!(difference::<String>(&one, &one).is_none());
        Ok(())
    }
}
