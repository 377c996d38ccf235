//! A table's schema, made ready for encoding: tags computed, names hashed, rules read.

use catalog::{Check, Field, FieldType, Mask, MaskTree, Mode, Place, Rules, TableSchema, Test};

use super::{
    decimal::DecimalRule,
    protobuf::{FIXED64, LENGTH_DELIMITED, VARINT, tag},
};
use crate::descriptor::{SchemaUnsupported, field_number, is_required};

/// The columns of a table or STRUCT.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) columns: Vec<Column>,
    /// The columns that need a value, as a set of bits.
    pub(super) required: Vec<u64>,
    /// Open addressing over the folded names: index + 1, or 0. Its length is a power of two.
    slots: Vec<u32>,
    /// Whether a name needs more than ASCII to fold its case.
    has_unicode_names: bool,
}

/// One column, or one field of a STRUCT.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) tag: u32,
    pub(super) kind: Kind,
    pub(super) is_repeated: bool,
    pub(super) is_required: bool,
    /// One of Pipas's own, which an event's field of the same name must not reach.
    is_ours: bool,
    /// Made of other values: an event's field of the same name is passed over.
    pub(super) is_derived: bool,
    pub(super) rules: Option<Box<ColumnRules>>,
}

/// What a column's values must be beyond its type, and how they are hidden.
#[derive(Debug, Default)]
pub(super) struct ColumnRules {
    pub(super) tests: Vec<Test>,
    /// There must be a value.
    pub(super) required: bool,
    pub(super) mask: Option<Mask>,
    /// What is masked inside a JSON value.
    pub(super) inside: MaskTree,
    /// Errors do not show what was found: it is masked, or a part of it is.
    pub(super) is_secret: bool,
}

/// What a column holds.
#[derive(Debug)]
pub(super) enum Kind {
    String { max_length: Option<usize> },
    Bytes { max_length: Option<usize> },
    Int64,
    Float64,
    Bool,
    Numeric(DecimalRule),
    Date,
    Time,
    Datetime,
    Timestamp,
    Geography,
    Json,
    Struct(Plan),
}

impl Column {
    /// The type as GoogleSQL names it.
    pub(super) fn sql_type(&self) -> &'static str {
        match &self.kind {
            Kind::String { .. } => "STRING",
            Kind::Bytes { .. } => "BYTES",
            Kind::Int64 => "INT64",
            Kind::Float64 => "FLOAT64",
            Kind::Bool => "BOOL",
            Kind::Numeric(rule) if rule.bignumeric => "BIGNUMERIC",
            Kind::Numeric(_) => "NUMERIC",
            Kind::Date => "DATE",
            Kind::Time => "TIME",
            Kind::Datetime => "DATETIME",
            Kind::Timestamp => "TIMESTAMP",
            Kind::Geography => "GEOGRAPHY",
            Kind::Json => "JSON",
            Kind::Struct(_) => "STRUCT",
        }
    }
}

impl Plan {
    /// The plan of a whole table: its columns `ingest` and `extra` are out of an event's reach.
    pub(super) fn of_table(schema: &TableSchema) -> Result<Self, SchemaUnsupported> {
        let mut plan = Self::new(&schema.fields, "")?;
        for column in &mut plan.columns {
            column.is_ours =
                [TableSchema::INGEST, TableSchema::EXTRA].iter().any(|n| n.eq_ignore_ascii_case(&column.name));
            column.is_required &= !column.is_ours;
        }
        plan.required = required_bits(&plan.columns);
        Ok(plan)
    }

    /// Takes over the rules of columns that there are. One that the real table does not have yet stands in `extra`.
    pub(super) fn set_rules(&mut self, rules: &Rules) {
        for Check { place, test } in &rules.checks {
            if let Place::Column(path) = place {
                self.check(path, test);
            }
        }
        rules.mask.iter().for_each(|(path, mask)| self.mask(path, *mask));
        for derive in &rules.derive {
            if let Some(index) = self.find(&derive.column, 0) {
                let column = &mut self.columns[index];
                column.is_derived = true;
                if derive.source.pointer().is_some_and(|at| rules.payload_mask.covers(at.tokens())) {
                    column.rules.get_or_insert_default().is_secret = true;
                }
            }
        }
        self.hide(Some(&rules.payload_mask));
    }

    /// Errors do not show what any table of the stream masks, as they stand in dead letters. `None`: everything is masked.
    fn hide(&mut self, masked: Option<&MaskTree>) {
        for column in &mut self.columns {
            let node = masked.map(|masked| masked.child(&column.name));
            if matches!(node, Some(None)) {
                continue;
            }
            column.rules.get_or_insert_default().is_secret = true;
            if let Kind::Struct(plan) = &mut column.kind {
                plan.hide(node.flatten().filter(|node| node.action().is_none()));
            }
        }
    }

    fn check(&mut self, path: &[String], test: &Test) {
        let Some((name, rest)) = path.split_first() else { return };
        let Some(index) = self.find(name, 0) else { return };
        let column = &mut self.columns[index];
        match (&mut column.kind, rest) {
            (_, []) => {
                let rules = column.rules.get_or_insert_default();
                rules.required |= test.required;
                rules.tests.push(test.clone());
                if test.required {
                    self.required[index / 64] |= 1 << (index % 64);
                }
            }
            (Kind::Struct(plan), rest) => plan.check(rest, test),
            _ => {}
        }
    }

    fn mask(&mut self, path: &[String], mask: Mask) {
        let Some((name, rest)) = path.split_first() else { return };
        let Some(index) = self.find(name, 0) else { return };
        let column = &mut self.columns[index];
        let rules = column.rules.get_or_insert_default();
        rules.is_secret = true;
        match (&mut column.kind, rest) {
            (_, []) => rules.mask = rules.mask.max(Some(mask)),
            (Kind::Struct(plan), rest) => plan.mask(rest, mask),
            (_, rest) => rules.inside.insert(rest, mask),
        }
    }

    fn new(fields: &[Field], path: &str) -> Result<Self, SchemaUnsupported> {
        let columns: Vec<Column> =
            fields.iter().enumerate().map(|(index, field)| column(index, field, path)).collect::<Result<_, _>>()?;
        let mut slots = vec![0; (columns.len() * 2).next_power_of_two()];
        for (index, column) in columns.iter().enumerate() {
            let mut at = fold_hash(column.name.as_bytes()) as usize & (slots.len() - 1);
            while slots[at] != 0 {
                at = (at + 1) & (slots.len() - 1);
            }
            slots[at] = u32::try_from(index + 1).unwrap_or(u32::MAX);
        }
        let has_unicode_names = columns.iter().any(|column| !column.name.is_ascii());
        Ok(Self { required: required_bits(&columns), columns, slots, has_unicode_names })
    }

    /// The column that an event's field `key` names, without regard to case. `guess` is tried first: fields mostly come in
    /// the columns' order.
    pub(super) fn find(&self, key: &str, guess: usize) -> Option<usize> {
        let found = match self.columns.get(guess) {
            Some(column) if column.name == key => Some(guess),
            _ => self.look_up(key),
        };
        found.filter(|index| !self.columns[*index].is_ours)
    }

    /// Whether the column at `index` needs a value.
    pub(super) fn needs(&self, index: usize) -> bool {
        self.required[index / 64] & (1 << (index % 64)) != 0
    }

    /// The column `name`, whether or not it is one of Pipas's own.
    pub(super) fn own(&self, name: &str) -> Option<&Column> {
        self.look_up(name).map(|index| &self.columns[index])
    }

    fn look_up(&self, key: &str) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = fold_hash(key.as_bytes()) as usize & mask;
        while let Some(index) = (self.slots[at] as usize).checked_sub(1) {
            if self.columns[index].name.eq_ignore_ascii_case(key) {
                return Some(index);
            }
            at = (at + 1) & mask;
        }
        if self.has_unicode_names && !key.is_ascii() {
            let folded = key.to_lowercase();
            return self.columns.iter().position(|column| column.name.to_lowercase() == folded);
        }
        None
    }
}

fn required_bits(columns: &[Column]) -> Vec<u64> {
    let mut bits = vec![0; columns.len().div_ceil(64)];
    for (index, _) in columns.iter().enumerate().filter(|(_, column)| column.is_required) {
        bits[index / 64] |= 1 << (index % 64);
    }
    bits
}

fn column(index: usize, field: &Field, path: &str) -> Result<Column, SchemaUnsupported> {
    let path = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
    let (kind, wire_type) = match field.field_type {
        FieldType::String => (Kind::String { max_length: max_length(field, &path)? }, LENGTH_DELIMITED),
        FieldType::Bytes => (Kind::Bytes { max_length: max_length(field, &path)? }, LENGTH_DELIMITED),
        FieldType::Integer => (Kind::Int64, VARINT),
        FieldType::Float => (Kind::Float64, FIXED64),
        FieldType::Boolean => (Kind::Bool, VARINT),
        FieldType::Numeric => (Kind::Numeric(rule(field, &path, DecimalRule::NUMERIC)?), LENGTH_DELIMITED),
        FieldType::Bignumeric => (Kind::Numeric(rule(field, &path, DecimalRule::BIGNUMERIC)?), LENGTH_DELIMITED),
        FieldType::Date => (Kind::Date, VARINT),
        FieldType::Time => (Kind::Time, VARINT),
        FieldType::Datetime => (Kind::Datetime, VARINT),
        FieldType::Timestamp => (Kind::Timestamp, VARINT),
        FieldType::Geography => (Kind::Geography, LENGTH_DELIMITED),
        FieldType::Json => (Kind::Json, LENGTH_DELIMITED),
        FieldType::Record => (Kind::Struct(Plan::new(&field.fields, &path)?), LENGTH_DELIMITED),
    };
    Ok(Column {
        name: field.name.clone(),
        tag: tag(field_number(index), wire_type),
        kind,
        is_repeated: field.mode == Mode::Repeated,
        is_required: is_required(field),
        is_ours: false,
        is_derived: false,
        rules: None,
    })
}

fn max_length(field: &Field, path: &str) -> Result<Option<usize>, SchemaUnsupported> {
    field.max_length.as_deref().map(|text| number(text, "maxLength", path)).transpose()
}

fn rule(field: &Field, path: &str, whole: DecimalRule) -> Result<DecimalRule, SchemaUnsupported> {
    let scale = field.scale.as_deref().map(|text| number(text, "scale", path)).transpose()?;
    let precision = field.precision.as_deref().map(|text| number(text, "precision", path)).transpose()?;
    let fail = |detail: String| Err(SchemaUnsupported::Parameter { path: path.to_owned(), detail });
    let (precision, scale) = match (precision, scale) {
        (None, None) => return Ok(whole),
        (None, Some(_)) => return fail("a scale needs a precision beside it".into()),
        (Some(precision), scale) => (precision, scale.unwrap_or(0)),
    };
    let whole_digits = if whole.bignumeric { 38 } else { 29 };
    if scale > whole.scale || precision < scale.max(1) || precision - scale > whole_digits {
        return fail(format!("no such type: precision {precision} and scale {scale}"));
    }
    Ok(DecimalRule { scale, precision, ..whole })
}

fn number<T: std::str::FromStr>(text: &str, what: &str, path: &str) -> Result<T, SchemaUnsupported> {
    text.parse().map_err(|_| SchemaUnsupported::Parameter {
        path: path.to_owned(),
        detail: format!("{what} is `{text}`, which is no whole number"),
    })
}

/// A hash that does not tell upper from lower case in ASCII. It folds some other characters too, which only makes them
/// share a slot.
fn fold_hash(name: &[u8]) -> u64 {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut hash = name.len() as u64;
    let mut add = |word: u64| {
        let product = u128::from(hash ^ (word | FOLD)) * u128::from(MIX);
        hash = product as u64 ^ (product >> 64) as u64;
    };
    let (words, rest) = name.as_chunks::<8>();
    for word in words {
        add(u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        add(u64::from_le_bytes(word));
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(names: &[&str]) -> Plan {
        let fields = names.iter().map(|name| Field::new(name, FieldType::String, Mode::Nullable)).collect();
        Plan::of_table(&TableSchema { fields }).expect("a plan")
    }

    #[test]
    fn columns_are_found_without_regard_to_case() {
        let names: Vec<String> = (0..300).map(|n| format!("column_Number{n}")).collect();
        let plan = plan(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for (index, name) in names.iter().enumerate() {
            assert_eq!(plan.find(name, index), Some(index));
            assert_eq!(plan.find(&name.to_uppercase(), 0), Some(index));
        }
        for unknown in ["", "column_Number300", "column_number", "été"] {
            assert_eq!(plan.find(unknown, 0), None, "{unknown}");
        }
    }

    #[test]
    fn unicode_names_fold_too() {
        assert_eq!(plan(&["a", "été"]).find("ÉTÉ", 0), Some(1));
    }

    #[test]
    fn pipas_columns_are_out_of_reach() {
        let plan = plan(&["a", "ingest", "EXTRA"]);
        assert_eq!(plan.find("ingest", 1), None);
        assert_eq!(plan.find("extra", 2), None);
        assert_eq!(plan.own("extra").map(|column| column.name.as_str()), Some("EXTRA"));
    }

    #[test]
    fn parameters_are_checked() {
        let mut field = Field::new("n", FieldType::Numeric, Mode::Nullable);
        field.scale = Some("2".into());
        let refused = |field: &Field| Plan::of_table(&TableSchema { fields: vec![field.clone()] }).is_err();
        assert!(refused(&field));
        field.precision = Some("10".into());
        assert!(!refused(&field));
        field.precision = Some("40".into());
        assert!(refused(&field));
        field.precision = Some("ten".into());
        assert!(refused(&field));
    }
}
