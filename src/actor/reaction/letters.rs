//! Dead letters that are handled again: claimed, handled, and their end noted.

use super::{
    AGAIN, DRAINS, RENEW,
    beside::{Claimed, Signed, Told},
    drain::claim,
    held::{Held, Source},
    reading::Reading,
    redriven::Letter,
};
use crate::{
    bus::{ReadError, Stored, Stream},
    call::ParkingError,
    message::{Act, Park, one_line},
};
use tokio::time::Instant;

impl Reading<'_> {
    /// Claims dead letters that shall be handled.
    pub(super) fn take_letters(&mut self) {
        while self.register.letters.out() < DRAINS {
            let Some((number, letter)) = self.register.letters.take() else {
                break;
            };
            let (parks, me) = (self.parks.clone(), self.me.clone());
            let (events, at) = (self.events.clone(), self.letter_subject(number));
            let subject = self.event_subject(&letter.key);
            self.beside(async move {
                let claimed = claim(&parks, at, letter.record, &me).await;
                let read = match claimed {
                    Claimed::Mine(..) => read_at(&events, &subject, letter.sequence).await,
                    _ => Ok(None),
                };
                Told::Letter { number, letter, claimed, read }
            });
        }
    }

    pub(super) fn letter_claimed(
        &mut self,
        number: u64,
        letter: &Letter,
        claimed: Claimed,
        read: Result<Option<Stored>, ReadError>,
    ) -> Option<usize> {
        let now = Instant::now();
        match claimed {
            Claimed::Mine(record, park) => self.register.letters.taken(number, record, *park, now),
            Claimed::Not(record) => {
                self.register.letters.put_back(number);
                self.register.apply(&record, &self.me, now);
                return None;
            }
            Claimed::Failed(error) => {
                tracing::warn!(letter = number, error, "a dead letter cannot be taken yet");
                self.register.letters.put_back(number);
                self.attend(now + AGAIN);
                return None;
            }
        }
        self.attend(now + RENEW);
        match read {
            Ok(Some(stored)) if stored.sequence == letter.sequence => {
                let source = Source::Letter(number, stored);
                let held = Held::new(source).from(letter.index, None);
                self.enter(&letter.key, held)
            }
            Ok(_) => {
                self.close_letter(number, Some("it is not in the stream".to_owned()));
                None
            }
            Err(error) => {
                tracing::warn!(letter = number, %error, "a dead letter cannot be read");
                self.register.letters.put_back(number);
                self.attend(now + AGAIN);
                None
            }
        }
    }

    /// Ends with a dead letter, and says if it cannot be handled still.
    pub(super) fn leave_letter(&mut self, slot: usize, note: Option<String>) -> Option<usize> {
        let (held, next) = self.lanes.leave(slot)?;
        if let Source::Letter(number, _) = held.source {
            self.close_letter(number, note);
        }
        next
    }

    fn close_letter(&mut self, number: u64, note: Option<String>) {
        if let Some(reason) = &note {
            tracing::error!(
                child = &*self.reaction.path,
                letter = number,
                reason,
                "a dead letter could not be handled again"
            );
        }
        let note = note.map(|reason| one_line(&reason));
        self.register.letters.ends(number, note);
        self.write_letter(number);
    }

    /// Writes down what is to be said of a dead letter that is at hand.
    fn write_letter(&mut self, number: u64) {
        let at = Instant::now();
        let Some((record, mut park, ends)) = self.register.letters.writes(number, at) else {
            return;
        };
        self.me.clone_into(&mut park.by);
        let (parks, me) = (self.parks.clone(), self.me.clone());
        let place = (self.letter_subject(number), record);
        self.beside(async move {
            if ends {
                let signed = parks.sign(Act::Released, &park, place, &me).await;
                Told::LetterClosed { number, signed }
            } else {
                let signed = parks.sign(Act::Draining, &park, place, &me).await;
                Told::LetterKept { number, at, signed }
            }
        });
    }

    pub(super) fn letter_kept(&mut self, number: u64, at: Instant, signed: &Signed) {
        if let Err(error) = signed {
            tracing::warn!(letter = number, %error, "that a dead letter is at hand could not be noted");
        }
        let ends = self.register.letters.kept(number, at, signed.as_ref().ok());
        if ends {
            self.write_letter(number);
        }
    }

    pub(super) fn letter_closed(&mut self, number: u64, signed: Signed) {
        match signed {
            Ok(_) | Err(ParkingError::Conflict) => self.register.letters.forget(number),
            Err(error) => {
                tracing::warn!(letter = number, %error, "that a dead letter was handled again could not be noted, trying again");
                let again = self.register.letters.again(number, Instant::now() + AGAIN);
                self.attend(again);
            }
        }
        self.look_later();
        self.begin();
    }

    /// Says of dead letters that are at hand that they still are.
    pub(super) fn tend_letters(&mut self, now: Instant) {
        for number in self.register.letters.old(now, RENEW) {
            self.write_letter(number);
        }
        if let Some(next) = self.register.letters.next_look(RENEW) {
            self.attend(next);
        }
    }

    /// Lets others take the dead letters that are at hand and not handled.
    pub(super) async fn put_letters_down(&mut self) {
        for (number, record, park) in self.register.letters.at_hand() {
            let park = Park { by: String::new(), ..park };
            let place = (self.letter_subject(number), record);
            let signed = self.parks.sign(Act::Draining, &park, place, &self.me).await;
            if let Err(error) = signed {
                tracing::warn!(letter = number, %error, "a dead letter waits half a minute for the next reader");
            }
        }
    }

    fn letter_subject(&self, number: u64) -> String {
        let reaction = self.reaction;
        let namespace = reaction.client.namespace();
        let (path, domain) = (&reaction.path, reaction.domain);
        namespace.redrive(path, domain, reaction.partition, number)
    }
}

async fn read_at(
    events: &Stream,
    subject: &str,
    sequence: u64,
) -> Result<Option<Stored>, ReadError> {
    events.read(subject, sequence).await?.next().await
}
