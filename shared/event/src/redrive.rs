use std::{fmt, str::FromStr};

use crate::{Message, attribute};

/// The name of a dead letter: 32 hexadecimal digits for an event that was never redriven, and with `-1`, `-2`, … behind them
/// where it was redriven so often and failed again. So the dead letters of one event's tries are a chain, and each is named
/// by the one before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeadLetterId {
    first: String,
    redrives: u8,
}

/// A message that is a dead letter published again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Redrive {
    /// The dead letter that was published again.
    pub of: DeadLetterId,
    /// The dead letter that the message becomes if it fails: the next of the chain.
    pub next: DeadLetterId,
    /// The hash of what the event said at first, where the message tells.
    pub payload: Option<u64>,
}

/// A text that names no dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 hexadecimal digits in lower case, and `-N` behind them where the event was redriven")]
pub struct DeadLetterIdError;

impl DeadLetterId {
    /// The dead letter of an event that was never redriven.
    pub fn first(hash: [u8; 16]) -> Self {
        Self { first: hash.iter().map(|byte| format!("{byte:02x}")).collect(), redrives: 0 }
    }

    /// Of an event that was redriven so often: the first of a chain that begins there.
    pub fn after(hash: [u8; 16], redrives: u8) -> Self {
        Self { redrives, ..Self::first(hash) }
    }

    /// How often the event was redriven before it became this dead letter.
    pub const fn redrives(&self) -> u8 {
        self.redrives
    }

    /// The first dead letter of the same event.
    pub fn first_of_its_event(&self) -> &str {
        &self.first
    }

    /// What this dead letter's event becomes if it is redriven and fails again. `None`: it was redriven as often as can be counted.
    pub fn next(&self) -> Option<Self> {
        Some(Self { first: self.first.clone(), redrives: self.redrives.checked_add(1)? })
    }
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first)?;
        match self.redrives {
            0 => Ok(()),
            redrives => write!(f, "-{redrives}"),
        }
    }
}

impl FromStr for DeadLetterId {
    type Err = DeadLetterIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, redrives) = match text.split_once('-') {
            None => (text, 0),
            Some((first, digits)) => {
                let redrives = digits.parse().ok().filter(|redrives: &u8| redrives.to_string() == digits);
                (first, redrives.filter(|redrives| *redrives > 0).ok_or(DeadLetterIdError)?)
            }
        };
        let is_hash = first.len() == 32 && first.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hash { Ok(Self { first: first.to_owned(), redrives }) } else { Err(DeadLetterIdError) }
    }
}

impl Message {
    /// The dead letter that this message is, published again. `None`: it is none, or names it in a way that nobody does.
    pub fn redrive(&self) -> Option<Redrive> {
        let of: DeadLetterId = self.attribute(attribute::REDRIVEN)?.parse().ok()?;
        let payload = self.attribute(attribute::REDRIVEN_PAYLOAD).and_then(|hex| u64::from_str_radix(hex, 16).ok());
        Some(Redrive { next: of.next()?, of, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_letters_of_an_event_are_a_chain() {
        let first = DeadLetterId::first([0xab; 16]);
        assert_eq!(first.to_string(), "ab".repeat(16));
        let second = first.next().expect("the next");
        assert_eq!(second.to_string(), format!("{first}-1"));
        assert_eq!(second.to_string().parse(), Ok(second.clone()));
        assert_eq!((first.redrives(), second.redrives()), (0, 1));
        let last: DeadLetterId = format!("{first}-255").parse().expect("an id");
        assert_eq!(last.next(), None);
    }

    #[test]
    fn what_names_no_dead_letter_is_told() {
        let hash = "0123456789abcdef".repeat(2);
        for text in [
            "",
            "abc",
            &hash.to_uppercase(),
            &format!("{hash}-"),
            &format!("{hash}-0"),
            &format!("{hash}-01"),
            &format!("{hash}-256"),
            &format!("{hash}-+1"),
            &format!("{hash}' OR 1"),
        ] {
            assert_eq!(text.parse::<DeadLetterId>(), Err(DeadLetterIdError), "{text}");
        }
    }
}
