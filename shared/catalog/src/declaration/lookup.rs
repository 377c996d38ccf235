use std::{collections::BTreeMap, path::Path};

use super::{
    cursor::{Cursor, Report},
    file::Folder,
    shaping::twice,
    when,
};
use crate::{Lookup, Match};

/// The columns of a lookup: the event's field, and the file's column.
type Columns = Vec<(String, String)>;

/// Reads the lookup `name`. `None`: there is a problem.
pub(super) fn read(folder: &Folder<'_>, name: &str, at: &Cursor<'_>) -> Option<Lookup> {
    const MATCHES: [(&str, Match); 3] = [("exact", Match::Exact), ("upper", Match::Upper), ("suffix", Match::Suffix)];
    const MISSING: [(&str, bool); 2] = [("keep", true), ("drop", false)];
    let mut settings = at.settings("a lookup: a map with `file`, `key`, `from` and `columns`")?;
    let file = settings.required("file", "the path of a CSV file with a header, from the catalog's folder");
    let key = settings.required("key", "the column of the file that is sought in").and_then(|at| at.text("a column"));
    let from =
        settings.required("from", "a JSON pointer to the value that is sought").and_then(|at| when::pointer(&at));
    let columns = settings
        .required("columns", "the columns that are added: a list, or a map of the event's fields to columns")
        .and_then(|at| read_columns(&at));
    let matches = settings.optional("match").map_or(Some(vec![Match::Exact]), |at| {
        let list = at.list("a list of `exact`, `upper`, `suffix`, in the order in which they are tried")?;
        if list.is_empty() {
            at.problem("expected at least one of `exact`, `upper`, `suffix`, found an empty list");
        }
        let matches: Vec<_> = list.iter().map(|at| at.choice("way of matching", &MATCHES)).collect();
        matches.into_iter().collect::<Option<Vec<_>>>()
    });
    let suffixes = settings.optional("suffixes").map_or(Some(String::new()), |at| {
        const EXPECTED: &str = "letters, e.g. `NS`";
        let letters = |text: &str| {
            (!text.is_empty() && text.chars().all(|char| char.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase())
        };
        at.parse(EXPECTED, letters)
    });
    let suffix_to = settings
        .optional("suffix_to")
        .map_or(Some(None), |at| at.text("a field's name").map(|name| Some(name.to_owned())));
    let keeps_missing =
        settings.optional("missing").map_or(Some(true), |at| at.choice("treatment of what is not found", &MISSING));
    settings.finish();
    let (file, key, columns) = (file?, key?, columns?);
    let names = columns.iter().map(|(field, _)| field.as_str()).chain(suffix_to.iter().flatten().map(String::as_str));
    if let Some(name) = twice(names) {
        at.problem(format!("the field `{name}` is added twice"));
    }
    let rows = folder.read(&file, |path, text| rows(at.report(), path, text, key, &columns))?;
    Some(Lookup {
        name: name.to_owned(),
        from: from?,
        matches: matches?,
        suffixes: suffixes?,
        suffix_to: suffix_to?,
        fields: columns.into_iter().map(|(field, _)| field).collect(),
        rows,
        keeps_missing: keeps_missing?,
    })
}

fn read_columns(at: &Cursor<'_>) -> Option<Columns> {
    let columns: Vec<Option<(String, String)>> = if at.is_list() {
        let list = at.list("a list of columns")?;
        list.iter().map(|at| at.text("a column").map(|name| (name.to_owned(), name.to_owned()))).collect()
    } else {
        let entries = at.entries("a list of columns, or a map of the event's fields to columns")?;
        entries.iter().map(|(field, at)| Some(((*field).to_owned(), at.text("a column")?.to_owned()))).collect()
    };
    columns.into_iter().collect()
}

/// The rows of a CSV file by its column `key`. A byte-order mark before the header is no part of it.
///
/// Files of other people's are read as they are written: a short line has no values at its end, and a line without a key finds
/// nothing. What could only be guessed is refused: values beyond the header, as those before them may stand in the wrong column,
/// and two lines of one key that say different things.
fn rows(
    report: &Report,
    file: &Path,
    text: &str,
    key: &str,
    columns: &Columns,
) -> Option<BTreeMap<String, Vec<String>>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            report.add(file, Some(1), "", error.to_string());
            return None;
        }
    };
    let place = |column: &str| {
        let place = header.iter().position(|name| name == column);
        if place.is_none() {
            let names = header.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            report.add(file, Some(1), "", format!("expected a column `{column}`, found {names}"));
        }
        place
    };
    let key = place(key);
    let places: Vec<_> = columns.iter().map(|(_, column)| place(column)).collect();
    let (key, places) = (key?, places.into_iter().collect::<Option<Vec<_>>>()?);
    let mut rows: BTreeMap<String, (u64, Vec<String>)> = BTreeMap::new();
    let mut is_good = true;
    let mut fault = |line: Option<u64>, detail: String| {
        report.add(file, line, "", detail);
        is_good = false;
    };
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                fault(error.position().map(csv::Position::line), error.to_string());
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        if let Some(value) = record.iter().skip(header.len()).find(|value| !value.is_empty()) {
            fault(
                Some(line),
                format!("`{value}` is beyond the header's {} columns; is a comma not quoted?", header.len()),
            );
            continue;
        }
        let found = record.get(key).unwrap_or_default();
        if found.is_empty() {
            continue;
        }
        let values: Vec<String> =
            places.iter().map(|place| record.get(*place).unwrap_or_default().to_owned()).collect();
        match rows.get(found) {
            Some((_, same)) if *same == values => {}
            Some((first, other)) => fault(
                Some(line),
                format!("the key `{found}` stands in line {first} with {other:?} already, and here with {values:?}"),
            ),
            None => drop(rows.insert(found.to_owned(), (line, values))),
        }
    }
    is_good.then(|| rows.into_iter().map(|(key, (_, values))| (key, values)).collect())
}
