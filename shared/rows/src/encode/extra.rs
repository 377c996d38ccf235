//! The fields that the schema does not know, gathered into one JSON object as they are met.

use super::row::Step;

/// An object with exactly the unknown fields of an event, each under its path. Nothing is written before the first is met.
///
/// A field inside a REPEATED STRUCT stands in an array, at the index of its element; elements without unknown fields are `{}`
/// there, and the array ends with the last element that has one.
#[derive(Debug, Default)]
pub(super) struct Extra {
    json: Vec<u8>,
    /// The members written so far of each container that is open, the root first.
    members: Vec<u32>,
}

impl Extra {
    /// Writes the name of the unknown field `key` of the STRUCT at `path`; its value must be written next.
    pub(super) fn begin_member(&mut self, path: &[Step<'_>], key: &str) {
        if self.members.is_empty() {
            self.json.push(b'{');
            self.members.push(0);
        }
        while let Some(step) = path.get(self.members.len() - 1) {
            match step {
                Step::Field { column, is_repeated, .. } => {
                    self.name(column);
                    self.json.push(if *is_repeated { b'[' } else { b'{' });
                }
                Step::Element(index) => {
                    while self.members.last().is_some_and(|written| written < index) {
                        self.comma();
                        self.json.extend_from_slice(b"{}");
                    }
                    self.comma();
                    self.json.push(b'{');
                }
            }
            self.members.push(0);
        }
        self.name(key);
    }

    /// Writes the value of the field that [`Self::begin_member`] named.
    pub(super) fn value(&mut self, json: &str) {
        self.value_bytes(json.as_bytes());
    }

    /// The same, of JSON as bytes.
    pub(super) fn value_bytes(&mut self, json: &[u8]) {
        self.json.extend_from_slice(json);
    }

    /// The last step of `path` is being left: closes its container where it was opened.
    pub(super) fn leave(&mut self, path: &[Step<'_>]) {
        if self.members.len() != path.len() + 1 {
            return;
        }
        self.members.pop();
        let is_array = matches!(path.last(), Some(Step::Field { is_repeated: true, .. }));
        self.json.push(if is_array { b']' } else { b'}' });
    }

    /// The object, where there was an unknown field.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        self.members.pop()?;
        self.json.push(b'}');
        Some(self.json)
    }

    fn name(&mut self, name: &str) {
        self.comma();
        // Writing into memory cannot fail.
        let _ = serde_json::to_writer(&mut self.json, name);
        self.json.push(b':');
    }

    fn comma(&mut self) {
        if let Some(written) = self.members.last_mut() {
            if *written > 0 {
                self.json.push(b',');
            }
            *written += 1;
        }
    }
}
