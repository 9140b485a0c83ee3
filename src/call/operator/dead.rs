use super::{LastRecord, Operator, OperatorError};
use crate::{
    bus::{PARTITIONS, Stored, StreamConfig, partition},
    message::{
        Act, Key, Namespace, Park, batch,
        headers::{
            CB_DEAD_ATTEMPTS, CB_DEAD_INDEX, CB_DEAD_REASON, CB_DEAD_SEQUENCE, CB_DEAD_STREAM,
            CB_DEAD_SUBJECT,
        },
    },
    time::unix_ms,
};

/// A message that was given up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Letter {
    /// Its place among the dead letters.
    pub number: u64,
    /// The path of the actor that gave it up.
    pub child: String,
    /// The type of the event, or the command of the job; empty if it had none.
    pub kind: String,
    /// The subject it was published on first.
    pub subject: String,
    /// The stream in which the original stands.
    pub stream: String,
    /// The original's sequence there.
    pub sequence: u64,
    /// Which of the message's events it is, from 0.
    pub index: u32,
    /// Why it was given up.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What was done about it.
    pub state: LetterState,
    /// The letter: the original's headers and payload, and why.
    pub stored: Stored,
}

/// What was done about a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LetterState {
    /// Nothing.
    Dead,
    /// The operator asked for another try.
    Redriven,
    /// The other try failed too.
    Failed {
        /// Why.
        reason: String,
    },
    /// It was handled at last.
    Handled,
    /// The job was stored again. Should that fail too, there is another letter.
    Resent,
}

impl Letter {
    fn of(stored: Stored, namespace: &Namespace) -> Self {
        let prefix = format!("{namespace}.dead.");
        let header = |name| stored.headers.get(name).unwrap_or_default();
        let number = |name| header(name).parse().unwrap_or_default();
        let index = u32::try_from(number(CB_DEAD_INDEX)).unwrap_or(u32::MAX);
        let kinds: Vec<_> = batch::types(&stored.headers).collect();
        let kind = kinds.get(index as usize).or_else(|| kinds.first());
        let path = stored.subject.strip_prefix(&prefix).unwrap_or_default();
        let mut letter = Self {
            number: stored.sequence,
            child: path.replace('.', "/"),
            kind: kind.copied().unwrap_or_default().to_owned(),
            subject: header(CB_DEAD_SUBJECT).to_owned(),
            stream: header(CB_DEAD_STREAM).to_owned(),
            sequence: number(CB_DEAD_SEQUENCE),
            index,
            reason: header(CB_DEAD_REASON).to_owned(),
            attempts: u32::try_from(number(CB_DEAD_ATTEMPTS)).unwrap_or(u32::MAX),
            state: LetterState::Dead,
            stored,
        };
        if let Some((domain, command, _)) = job_place(&letter, namespace) {
            letter.kind = format!("{domain}.{command}");
        }
        letter
    }

    /// Describes it as it is handled again.
    pub(super) fn park(&self, (domain, key): (String, &str), by: String) -> Park {
        Park {
            child: self.child.clone(),
            domain,
            key: key.to_owned(),
            from: self.sequence,
            sequence: self.sequence,
            index: self.index,
            kind: self.kind.clone(),
            reason: self.reason.clone(),
            attempts: self.attempts,
            since: unix_ms(self.stored.time),
            by,
            note: None,
            amended: None,
        }
    }

    pub(super) fn no_event(&self, reason: String) -> OperatorError {
        OperatorError::NoEvent { number: self.number, reason }
    }

    /// Returns the domain and the key of the event, as subject tokens.
    fn place(&self, namespace: &str) -> Result<(&str, &str), String> {
        let rest = self.subject.strip_prefix(namespace);
        let rest = rest.and_then(|rest| rest.strip_prefix(".evt."));
        let Some((domain, key)) = rest.and_then(|rest| rest.split_once('.')) else {
            return Err(format!("`{}` is not the subject of an event", self.subject));
        };
        Key::from_token(key).map_err(|error| error.to_string())?;
        Ok((domain, key))
    }
}

impl Operator {
    /// Returns the dead letters from a number on, so many at most, and what was
    /// done about them.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if the letters cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn dead(&self, from: u64, most: usize) -> Result<Vec<Letter>, OperatorError> {
        let Some(stream) = self.stream(StreamConfig::dead(&self.namespace)).await? else {
            return Ok(Vec::new());
        };
        let filter = format!("{}.park.letter.>", self.namespace);
        let records = self.records(&filter, |_| false).await?;
        let mut letters = Vec::new();
        let mut reader = stream.read(&self.namespace.all_dead(), from).await?;
        while letters.len() < most
            && let Some(stored) = reader.next().await?
        {
            let mut letter = Letter::of(stored, &self.namespace);
            if let Ok(subject) = self.letter_subject(&letter)
                && let Some(LastRecord { record, .. }) = records.get(&subject)
            {
                letter.state = match (record.act, &record.park.note) {
                    (Act::Redriven, _) if self.is_of_a_job(&letter) => LetterState::Resent,
                    (Act::Redriven | Act::Draining, _) => LetterState::Redriven,
                    (_, Some(reason)) => LetterState::Failed { reason: reason.clone() },
                    _ => LetterState::Handled,
                };
            }
            letters.push(letter);
        }
        Ok(letters)
    }

    /// Asks the actor that gave an event up to handle it again; nobody else
    /// hears it, and the stream has it once as before. A job is stored again,
    /// behind the others of its key and under its own id.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if it was asked for already, or is neither an
    /// event nor a job.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not ask.
    pub async fn redrive(&self, letter: &Letter) -> Result<(), OperatorError> {
        if self.is_of_a_job(letter) {
            return self.resend(letter).await;
        }
        let subject = self.letter_subject(letter)?;
        let place = letter.place(self.namespace.as_str());
        let (domain, key) = place.map_err(|reason| letter.no_event(reason))?;
        let config = StreamConfig::parked(&self.namespace);
        let Some(parks) = self.parks().await? else {
            let reason = format!("there is no stream {}; start a node first", config.name);
            return Err(letter.no_event(reason));
        };
        let (last, after) = parks.last(&subject).await?;
        if last.is_some_and(|last| matches!(last.act, Act::Redriven | Act::Draining)) {
            let (number, child) = (letter.number, letter.child.clone());
            return Err(OperatorError::Asked { number, child });
        }
        let park = letter.park((domain.to_owned(), key), self.source.clone());
        parks.append(Act::Redriven, &park, (subject, after)).await?;
        self.poke(&letter.child).await
    }

    /// Returns where it is told that a letter is handled again.
    fn letter_subject(&self, letter: &Letter) -> Result<String, OperatorError> {
        if let Some((domain, _, key)) = job_place(letter, &self.namespace) {
            return Ok(self.resent_subject(letter, domain, key));
        }
        let place = letter.place(self.namespace.as_str());
        let (domain, key) = place.map_err(|reason| letter.no_event(reason))?;
        let at = partition(key, PARTITIONS);
        Ok(self
            .namespace
            .redrive(&letter.child, domain, at, letter.number))
    }

    fn is_of_a_job(&self, letter: &Letter) -> bool {
        job_place(letter, &self.namespace).is_some()
    }
}

/// Returns the domain, the command and the key of a job that was given up, as
/// subject tokens; nothing if the letter is of none.
pub(super) fn job_place<'a>(
    letter: &'a Letter,
    namespace: &Namespace,
) -> Option<(&'a str, &'a str, &'a str)> {
    let rest = letter.subject.strip_prefix(namespace.as_str())?;
    let mut tokens = rest.strip_prefix(".job.")?.split('.');
    let place = (tokens.next()?, tokens.next()?, tokens.next()?);
    let whole = tokens.next().is_none() && Key::from_token(place.2).is_ok();
    whole.then_some(place)
}
