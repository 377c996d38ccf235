//! What the values of one place have in common.

use catalog::{Field, FieldType, Mode};
use serde_json::{Map, Value};

/// What was seen at one place of the samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// Samples, or elements, in which there was a value.
    count: usize,
    kind: Kind,
    /// The values came in arrays.
    is_repeated: bool,
    /// They came without arrays too, or in arrays of arrays.
    is_mixed: bool,
}

/// A type that holds every value so far.
#[derive(Debug, Clone, Default, PartialEq)]
enum Kind {
    /// Nothing but nulls.
    #[default]
    Unknown,
    Scalar(FieldType),
    Object(Object),
    Json,
}

/// The members of the objects of one place, in the order in which they were met.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Object {
    /// How many objects there were.
    count: usize,
    members: Vec<(String, Seen)>,
}

impl Object {
    /// Takes one more object.
    pub(super) fn take(&mut self, object: &Map<String, Value>) {
        self.count += 1;
        for (name, value) in object {
            let at = self.members.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
            let at = at.unwrap_or_else(|| {
                self.members.push((name.clone(), Seen::default()));
                self.members.len() - 1
            });
            self.members[at].1.take(value);
        }
    }

    /// The columns; `required`: those that had a value each time are REQUIRED. Names that BigQuery does not take go to `odd`.
    pub(super) fn fields(&self, required: bool, odd: &mut Vec<String>) -> Vec<Field> {
        let field = |(name, seen): &(String, Seen)| {
            if !is_column(name) {
                odd.push(name.clone());
                return None;
            }
            Some(seen.field(name, required && seen.count == self.count, required))
        };
        self.members.iter().filter_map(field).collect()
    }

    /// Whether a STRUCT has room for everything in it.
    fn is_struct(&self) -> bool {
        !self.members.is_empty() && self.members.iter().all(|(name, _)| is_column(name))
    }
}

impl Seen {
    fn take(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Array(elements) => {
                self.is_mixed |= self.count > 0 && !self.is_repeated;
                self.count += 1;
                self.is_repeated = true;
                for element in elements {
                    match element {
                        // An ARRAY holds neither.
                        Value::Array(_) | Value::Null => self.is_mixed = true,
                        element => self.kind.take(element),
                    }
                }
            }
            value => {
                self.is_mixed |= self.is_repeated;
                self.count += 1;
                self.kind.take(value);
            }
        }
    }

    fn field(&self, name: &str, required: bool, is_strict: bool) -> Field {
        let mode = match (self.is_repeated, required) {
            (true, _) => Mode::Repeated,
            (false, true) => Mode::Required,
            (false, false) => Mode::Nullable,
        };
        let json = |mode| Field::new(name, FieldType::Json, if mode == Mode::Repeated { Mode::Nullable } else { mode });
        if self.is_mixed {
            return json(mode);
        }
        match &self.kind {
            Kind::Unknown => Field::new(name, FieldType::String, mode),
            Kind::Scalar(scalar) => Field::new(name, *scalar, mode),
            Kind::Object(object) if object.is_struct() => {
                let mut field = Field::new(name, FieldType::Record, mode);
                field.fields = object.fields(is_strict, &mut Vec::new());
                field
            }
            Kind::Object(_) | Kind::Json => json(mode),
        }
    }
}

impl Kind {
    fn take(&mut self, value: &Value) {
        let found = match value {
            Value::Object(object) => {
                match self {
                    Self::Object(known) => known.take(object),
                    Self::Unknown => {
                        let mut known = Object::default();
                        known.take(object);
                        *self = Self::Object(known);
                    }
                    Self::Scalar(_) | Self::Json => *self = Self::Json,
                }
                return;
            }
            Value::Bool(_) => FieldType::Boolean,
            Value::Number(number) if number.is_i64() => FieldType::Integer,
            Value::Number(number) if number.is_u64() => FieldType::Numeric,
            Value::Number(_) => FieldType::Float,
            Value::String(text) => of_text(text),
            Value::Null | Value::Array(_) => return,
        };
        *self = match self {
            Self::Unknown => Self::Scalar(found),
            Self::Scalar(known) => Self::Scalar(wider(*known, found)),
            Self::Object(_) | Self::Json => Self::Json,
        };
    }
}

/// The least type that holds the values of both.
fn wider(a: FieldType, b: FieldType) -> FieldType {
    use FieldType::{Float, Integer, Numeric, String};
    match (a, b) {
        (a, b) if a == b => a,
        (Integer, Numeric) | (Numeric, Integer) => Numeric,
        (Integer | Numeric, Float) | (Float, Integer | Numeric) => Float,
        _ => String,
    }
}

/// What a text is written as. A date and time without a zone is a DATETIME: nobody says which time it is.
fn of_text(text: &str) -> FieldType {
    let is = |length: usize| text.len() >= length && text.is_char_boundary(length);
    let looks_like_a_date = is(10) && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    if looks_like_a_date {
        if text.parse::<jiff::Timestamp>().is_ok() {
            return FieldType::Timestamp;
        }
        if text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok() {
            return FieldType::Date;
        }
        if text.len() > 10 && !text.contains('[') && text.parse::<jiff::civil::DateTime>().is_ok() {
            return FieldType::Datetime;
        }
    }
    let looks_like_a_time = is(8) && text.as_bytes()[2] == b':' && text.as_bytes()[5] == b':';
    if looks_like_a_time && text.parse::<jiff::civil::Time>().is_ok() {
        return FieldType::Time;
    }
    FieldType::String
}

/// BigQuery's standard column names, but for those that Pipas keeps.
fn is_column(name: &str) -> bool {
    let is_ours = ["ingest", "extra"].iter().any(|ours| name.eq_ignore_ascii_case(ours));
    (1..=300).contains(&name.len())
        && !is_ours
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
        && catalog::TableSchema::parse(&format!("[{{\"name\": \"{name}\", \"type\": \"STRING\"}}]")).is_ok()
}
