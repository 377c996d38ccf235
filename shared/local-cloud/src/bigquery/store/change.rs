//! Change data: rows that take the place of the row of their primary key, or take it away.
//!
//! A table with a primary key keeps, with each row, BigQuery's two pseudo-columns behind the table's own: what the row does,
//! and its place in the order of its key. Rows are kept as they came, until a merge of segments finds them replaced, and
//! readers are shown what is left: so every answered row shows at once, and `maxStaleness`, which lets BigQuery show rows later, is taken and changes nothing.
//! (<https://cloud.google.com/bigquery/docs/change-data-capture>)

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch, StringArray},
    compute::filter_record_batch,
    error::ArrowError,
    row::{RowConverter, SortField},
};
use catalog::{Field, FieldType, Mode, TableSchema};
use hashbrown::HashMap;
use serde_json::{Map, Value};

use super::Definition;

/// The pseudo-column that says what the row does.
pub(crate) const CHANGE_TYPE: &str = "_CHANGE_TYPE";
/// The pseudo-column that orders the rows of a key.
pub(crate) const CHANGE_SEQUENCE_NUMBER: &str = "_CHANGE_SEQUENCE_NUMBER";
/// The row takes the place of the one before.
pub(crate) const UPSERT: &str = "UPSERT";
/// The row before is taken away.
pub(crate) const DELETE: &str = "DELETE";
/// BigQuery's bound on the columns of a primary key.
const MAX_KEY: usize = 16;

/// Whether `name` is one of the pseudo-columns.
pub(crate) fn is_pseudo_column(name: &str) -> bool {
    [CHANGE_TYPE, CHANGE_SEQUENCE_NUMBER].iter().any(|pseudo| pseudo.eq_ignore_ascii_case(name))
}

/// The columns that are kept on disk: the table's own and, where it has a primary key, the pseudo-columns.
pub(super) fn stored(schema: &TableSchema, has_key: bool) -> TableSchema {
    let mut fields = schema.fields.clone();
    if has_key {
        fields.extend([CHANGE_TYPE, CHANGE_SEQUENCE_NUMBER].map(|n| Field::new(n, FieldType::String, Mode::Nullable)));
    }
    TableSchema { fields }
}

/// The table's own columns of those that are kept.
pub(super) fn own(stored: TableSchema) -> TableSchema {
    TableSchema { fields: stored.fields.into_iter().filter(|field| !is_pseudo_column(&field.name)).collect() }
}

/// The columns of `tableConstraints.primaryKey`; none where there is no such setting.
fn key_names(settings: &Map<String, Value>) -> Option<&Value> {
    settings.get("tableConstraints")?.get("primaryKey").filter(|key| !key.is_null())
}

/// The places of the primary key's columns in the schema.
pub(super) fn key_columns(schema: &TableSchema, settings: &Map<String, Value>) -> Vec<usize> {
    let names = key_names(settings).and_then(|key| key.get("columns")?.as_array()).into_iter().flatten();
    let place = |name: &str| schema.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name));
    names.filter_map(Value::as_str).filter_map(place).collect()
}

/// Checks the primary key of `settings`: top-level columns of `schema`, of types that a key can have.
pub(crate) fn check_key(schema: &TableSchema, settings: &Map<String, Value>) -> Result<(), String> {
    let Some(key) = key_names(settings) else { return Ok(()) };
    let columns: Vec<&str> =
        key.get("columns").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if columns.is_empty() || columns.len() > MAX_KEY {
        return Err(format!("A primary key must have 1 to {MAX_KEY} columns, found {}", columns.len()));
    }
    for (index, name) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(format!("The primary key names the column {name} twice"));
        }
        let Some(field) = schema.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)) else {
            return Err(format!(
                "The primary key column {name} cannot be found among the top-level columns of the schema"
            ));
        };
        if !field.field_type.fits_primary_key() || field.mode == Mode::Repeated {
            let kind = if field.mode == Mode::Repeated { "ARRAY" } else { field.field_type.sql_name() };
            return Err(format!("The primary key column {name} is of the type {kind}, which no primary key can have"));
        }
    }
    Ok(())
}

/// The place of a row in the order of its key: up to four hexadecimal numbers, the first of which counts most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Sequence([u64; 4]);

impl Sequence {
    /// `None`: the text is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut sections = [0; 4];
        for (index, section) in text.split('/').enumerate() {
            let is_number = (1..=16).contains(&section.len()) && section.bytes().all(|byte| byte.is_ascii_hexdigit());
            *sections.get_mut(index)? = if is_number { u64::from_str_radix(section, 16).ok()? } else { return None };
        }
        Some(Self(sections))
    }
}

/// Whether a batch of the table's rows holds change data.
pub(super) fn has_changes(definition: &Definition, batch: &RecordBatch) -> bool {
    definition.has_key() && changes(definition, batch).is_some_and(|kinds| kinds.null_count() < kinds.len())
}

/// What `batches` show: of each key the row with the highest sequence number, the last that came where numbers are equal.
///
/// A row without change data is not looked at for its key, as primary keys are not enforced; it is there until the next
/// change of its key. A change without a sequence number comes before all that have one.
pub(super) fn shown(definition: &Definition, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, ArrowError> {
    if !definition.has_key() {
        return Ok(batches.to_vec());
    }
    let own: Vec<usize> = (0..definition.schema.fields.len()).collect();
    let masks = if batches.iter().any(|batch| has_changes(definition, batch)) {
        masks(definition, batches)?
    } else {
        Vec::new()
    };
    let mut shown = Vec::with_capacity(batches.len());
    for (index, batch) in batches.iter().enumerate() {
        let batch = batch.project(&own)?;
        let batch = match masks.get(index) {
            Some(mask) => filter_record_batch(&batch, &BooleanArray::from(mask.clone()))?,
            None => batch,
        };
        if batch.num_rows() > 0 {
            shown.push(batch);
        }
    }
    Ok(shown)
}

/// The rows of a batch without the changes that other changes of the batch come before: whatever lies before and behind it,
/// the same rows show.
pub(super) fn compacted(definition: &Definition, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if !has_changes(definition, batch) {
        return Ok(batch.clone());
    }
    let mut kept = vec![true; batch.num_rows()];
    let mut newest: HashMap<Box<[u8]>, (Sequence, usize)> = HashMap::new();
    visit(definition, std::slice::from_ref(batch), |key, (_, row), change| {
        let Some((_, sequence)) = change else { return };
        let older = match newest.get_mut(key) {
            None => {
                newest.insert(key.into(), (sequence, row));
                return;
            }
            Some((known, _)) if sequence < *known => row,
            Some(known) => std::mem::replace(known, (sequence, row)).1,
        };
        kept[older] = false;
    })?;
    filter_record_batch(batch, &BooleanArray::from(kept))
}

/// What is known of one key.
#[derive(Default)]
struct Key {
    newest: Option<Sequence>,
    /// Its rows that show, by batch and row.
    rows: Vec<(usize, usize)>,
}

/// For each batch, which of its rows show.
fn masks(definition: &Definition, batches: &[RecordBatch]) -> Result<Vec<Vec<bool>>, ArrowError> {
    let mut masks: Vec<Vec<bool>> = batches.iter().map(|batch| vec![false; batch.num_rows()]).collect();
    let mut keys: HashMap<Box<[u8]>, Key> = HashMap::new();
    visit(definition, batches, |key, place, change| {
        let key = keys.entry_ref(key).or_default();
        if let Some((kind, sequence)) = change {
            if key.newest.is_some_and(|newest| sequence < newest) {
                return;
            }
            key.newest = Some(sequence);
            key.rows.drain(..).for_each(|(batch, row)| masks[batch][row] = false);
            if kind == DELETE {
                return;
            }
        }
        key.rows.push(place);
        masks[place.0][place.1] = true;
    })?;
    Ok(masks)
}

/// Hands over each row in the order in which they came: its key as bytes, its batch and place in it, and its change.
fn visit(
    definition: &Definition,
    batches: &[RecordBatch],
    mut row: impl FnMut(&[u8], (usize, usize), Option<(&str, Sequence)>),
) -> Result<(), ArrowError> {
    let columns = &definition.key;
    let fields = columns.iter().map(|column| SortField::new(definition.arrow.field(*column).data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    for (at, batch) in batches.iter().enumerate() {
        let parts: Vec<_> = columns.iter().map(|column| batch.column(*column).clone()).collect();
        let keys = converter.convert_columns(&parts)?;
        let (kinds, sequences) = (changes(definition, batch), sequences(definition, batch));
        for index in 0..batch.num_rows() {
            let kind = kinds.filter(|kinds| kinds.is_valid(index)).map(|kinds| kinds.value(index));
            let sequence = sequences.filter(|sequences| sequences.is_valid(index));
            let sequence = sequence.and_then(|sequences| Sequence::parse(sequences.value(index))).unwrap_or_default();
            row(keys.row(index).as_ref(), (at, index), kind.map(|kind| (kind, sequence)));
        }
    }
    Ok(())
}

/// What each row does.
fn changes<'b>(definition: &Definition, batch: &'b RecordBatch) -> Option<&'b StringArray> {
    batch.columns().get(definition.schema.fields.len())?.as_string_opt()
}

/// The place of each row in the order of its key.
fn sequences<'b>(definition: &Definition, batch: &'b RecordBatch) -> Option<&'b StringArray> {
    batch.columns().get(definition.schema.fields.len() + 1)?.as_string_opt()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bigquery::{cell::Cell, columns};

    fn definition(key: &[&str]) -> Definition {
        let field = |name: &str, kind| Field::new(name, kind, Mode::Nullable);
        let schema = TableSchema {
            fields: vec![
                field("region", FieldType::String),
                field("id", FieldType::Integer),
                field("state", FieldType::String),
            ],
        };
        let Value::Object(settings) = json!({"tableConstraints": {"primaryKey": {"columns": key}}}) else {
            panic!("an object")
        };
        Definition::new(1, schema, settings, 0)
    }

    /// A row: region, id, state, what it does, sequence number. `-` is NULL.
    fn row(text: &str) -> Vec<Cell> {
        let cells = text.split(' ').enumerate().map(|(column, text)| match (column, text) {
            (_, "-") => Cell::Null,
            (1, number) => Cell::Int(number.parse().expect("a number")),
            (_, text) => Cell::Text(text.to_owned()),
        });
        cells.collect()
    }

    /// The states that show after these batches of rows.
    fn states(key: &[&str], batches: &[&[&str]]) -> Vec<String> {
        let definition = definition(key);
        let batch = |rows: &&[&str]| {
            let rows: Vec<_> = rows.iter().map(|text| row(text)).collect();
            columns::batch(&definition.arrow, &rows).expect("a batch")
        };
        let batches: Vec<_> = batches.iter().map(batch).collect();
        let shown = shown(&definition, &batches).expect("rows");
        assert!(shown.iter().all(|batch| batch.num_columns() == 3));
        let column = |batch: &RecordBatch| {
            let states: StringArray = batch.column(2).as_string().clone();
            states.iter().map(|state| state.unwrap_or("-").to_owned()).collect::<Vec<_>>()
        };
        shown.iter().flat_map(column).collect()
    }

    #[test]
    fn the_highest_sequence_number_is_shown_whatever_came_last() {
        let rows: [&[&str]; 2] =
            [&["a 1 old UPSERT 9", "b 1 other UPSERT 1"], &["a 1 new UPSERT A", "a 1 late UPSERT 9"]];
        assert_eq!(states(&["region", "id"], &rows), ["other", "new"]);
        assert_eq!(states(&["id"], &rows), ["new"]);
    }

    #[test]
    fn of_equal_numbers_and_of_none_the_last_is_shown() {
        assert_eq!(
            states(&["id"], &[&["a 1 x UPSERT 5", "a 1 y UPSERT 5/0", "a 2 p UPSERT -", "a 2 q UPSERT -"]]),
            ["y", "q"]
        );
        assert_eq!(states(&["id"], &[&["a 1 x UPSERT 5", "a 1 y UPSERT -"]]), ["x"]);
    }

    #[test]
    fn a_delete_hides_and_older_rows_do_not_come_back() {
        let deleted: &[&str] = &["a 1 x UPSERT 5", "a 1 - DELETE 7", "a 1 late UPSERT 6"];
        assert_eq!(states(&["id"], &[deleted]), [""; 0]);
        assert_eq!(states(&["id"], &[deleted, &["a 1 again UPSERT 8"]]), ["again"]);
        assert_eq!(states(&["id"], &[&["a 1 - DELETE 7"], &["a 1 x UPSERT 6"]]), [""; 0]);
    }

    #[test]
    fn null_is_a_key_like_others() {
        let rows: &[&str] = &["- 1 x UPSERT 1", "a 1 y UPSERT 1", "- 1 z UPSERT 2", "- - p UPSERT 1", "- - q UPSERT 2"];
        assert_eq!(states(&["region", "id"], &[rows]), ["y", "z", "q"]);
    }

    #[test]
    fn plain_rows_stay_until_their_key_changes() {
        let plain: &[&str] = &["a 1 x - -", "a 1 y - -", "a 2 z - -"];
        assert_eq!(states(&["id"], &[plain]), ["x", "y", "z"]);
        assert_eq!(states(&["id"], &[plain, &["a 1 new UPSERT 1"]]), ["z", "new"]);
        assert_eq!(states(&["id"], &[plain, &["a 1 - DELETE 1", "a 1 back - -"]]), ["z", "back"]);
    }

    #[test]
    fn what_is_compacted_shows_the_same() {
        let definition = definition(&["id"]);
        let mut random = 7_u64;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        for round in 0..300 {
            let rows: Vec<Vec<Cell>> = (0..30)
                .map(|at| {
                    let change = ["- -", "UPSERT", "UPSERT", "UPSERT", "DELETE"][below(5) as usize];
                    let sequence = if change == "- -" { String::new() } else { format!(" {}", below(6)) };
                    row(&format!("a {} s{at} {change}{sequence}", below(4)))
                })
                .collect();
            let (start, end) = (below(20) as usize, 20 + below(10) as usize);
            let batch = |rows: &[Vec<Cell>]| columns::batch(&definition.arrow, rows).expect("a batch");
            let parts = [batch(&rows[..start]), batch(&rows[start..end]), batch(&rows[end..])];
            let compact = [parts[0].clone(), compacted(&definition, &parts[1]).expect("rows"), parts[2].clone()];
            let states = |parts: &[RecordBatch]| {
                let shown = shown(&definition, parts).expect("rows");
                let states: Vec<StringArray> = shown.iter().map(|batch| batch.column(2).as_string().clone()).collect();
                states.iter().flatten().map(|state| state.unwrap_or("-").to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(states(&parts), states(&compact), "{round}");
            assert!(compact[1].num_rows() < parts[1].num_rows() || end - start < 12, "{round}");
        }
    }

    #[test]
    fn sequence_numbers_are_compared_section_by_section() {
        let ascending = ["0", "9", "A", "FF", "ff/0/0/1", "FF/B", "FF/ABC", "100", "FFFFFFFFFFFFFFFF/0/1"];
        for pair in ascending.windows(2) {
            assert!(Sequence::parse(pair[0]) < Sequence::parse(pair[1]), "{pair:?}");
        }
        assert_eq!(Sequence::parse("00FF"), Sequence::parse("ff/0/0/0"));
        for bad in ["", "/", "A/", "-1", "+1", "G", "1/2/3/4/5", "11111111111111111", "1 "] {
            assert_eq!(Sequence::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn keys_are_checked() {
        let definition = definition(&["ID", "region"]);
        assert_eq!(definition.key, [1, 0]);
        let check = |columns: Value| {
            let settings = json!({"tableConstraints": {"primaryKey": {"columns": columns}}});
            check_key(&definition.schema, settings.as_object().expect("an object"))
        };
        assert_eq!(check(json!(["ID", "region"])), Ok(()));
        for bad in [json!([]), json!(["none"]), json!(["id", "ID"]), json!(["ingest.id"]), json!(vec!["id"; 17])] {
            assert!(check(bad.clone()).is_err(), "{bad}");
        }
    }
}
