use std::borrow::Cow;

use catalog::{JsonPointer, members};

/// An event that is being made: its fields in order, each value as JSON text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields<'json>(Vec<(Cow<'json, str>, Cow<'json, str>)>);

impl<'json> Fields<'json> {
    /// The fields of the object `json`. `Err` says why it is none.
    pub(crate) fn of(json: &'json str) -> Result<Self, String> {
        let fields = members(json)?;
        Ok(Self(fields.into_iter().map(|(name, value)| (name, Cow::Borrowed(value.get()))).collect()))
    }

    /// Sets the field `name`: in its place where it is there, else at the end.
    pub(crate) fn set(&mut self, name: impl Into<Cow<'json, str>>, value: impl Into<Cow<'json, str>>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// The scalar at `pointer` as text: a string unquoted, a number as written; `None`: there is none.
    pub(crate) fn text(&self, pointer: &JsonPointer) -> Option<String> {
        let (first, rest) = pointer.tokens().split_first()?;
        let (_, value) = self.0.iter().find(|(name, _)| name == first)?;
        let raw = value_at(value, rest)?;
        match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok(),
            b'{' | b'[' | b'n' => None,
            _ => Some(raw.to_owned()),
        }
    }

    /// The event.
    pub(crate) fn into_json(self) -> String {
        let mut json = String::with_capacity(self.0.iter().map(|(name, value)| name.len() + value.len() + 4).sum());
        json.push('{');
        for (place, (name, value)) in self.0.iter().enumerate() {
            if place > 0 {
                json.push(',');
            }
            // A string always has a JSON form.
            json.push_str(&serde_json::to_string(name).unwrap_or_default());
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        json
    }
}

/// The JSON text of the value that `tokens` lead to in `json`; `None` where they lead nowhere.
pub(crate) fn value_at<'json>(json: &'json str, tokens: &[String]) -> Option<&'json str> {
    let Some((token, rest)) = tokens.split_first() else { return Some(json) };
    let inner = match json.as_bytes().first()? {
        b'{' => members(json).ok()?.into_iter().find(|(name, _)| name == token)?.1.get(),
        b'[' => catalog::elements(json).ok()?.get(token.parse::<usize>().ok()?)?.get(),
        _ => return None,
    };
    value_at(inner, rest)
}
