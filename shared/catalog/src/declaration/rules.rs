use std::sync::Arc;

use super::{
    cursor::{Cursor, Settings},
    when,
};
use crate::{
    Check, Derive, Field, FieldType, JsonPointer, Mask, Mode, Pattern, Place, Rules, Source, TableSchema, Test,
    TimeFormat, TimeSource, derive,
};

/// Reads `checks`, `derive` and `mask` of a table. `None`: there is a problem.
pub(super) fn read(settings: &mut Settings<'_>, schema: Option<&TableSchema>) -> Option<Rules> {
    let checks = settings
        .optional("checks")
        .map(|at| each(&at, "a map of columns or JSON pointers to what must hold there", schema, check));
    let derived =
        settings.optional("derive").map(|at| each(&at, "a map of columns to what they are made of", schema, derived));
    let masked =
        settings.optional("mask").map(|at| (each(&at, "a map of columns to how they are hidden", schema, masked), at));
    let rules = Rules {
        checks: checks.unwrap_or(Some(Vec::new()))?,
        derive: derived.unwrap_or(Some(Vec::new()))?,
        mask: match &masked {
            Some((masked, _)) => masked.clone()?,
            None => Vec::new(),
        },
        payload_mask: Arc::default(),
    };
    if let Some((_, at)) = masked {
        copies_are_masked(&rules, &at);
    }
    Some(rules)
}

fn each<T>(
    at: &Cursor<'_>,
    expected: &str,
    schema: Option<&TableSchema>,
    read: impl Fn(&str, &Cursor<'_>, Option<&TableSchema>) -> Option<T>,
) -> Option<Vec<T>> {
    let entries: Vec<_> = at.entries(expected)?.iter().map(|(name, at)| read(name, at, schema)).collect();
    entries.into_iter().collect()
}

/// A derived column of a masked value would show it.
fn copies_are_masked(rules: &Rules, at: &Cursor<'_>) {
    let tree = rules.mask_tree();
    for Derive { column, source } in &rules.derive {
        let Some(pointer) = source.pointer() else { continue };
        if tree.covers(pointer.tokens()) && tree.child(column).is_none() {
            at.problem(format!(
                "the column `{column}` is derived from {pointer}, which is masked, so that it needs a mask too"
            ));
        }
    }
}

/// A column that a rule names: its field, and whether the names lead on into a JSON column.
struct Named<'s> {
    path: Vec<String>,
    field: &'s Field,
    is_inside_json: bool,
}

/// The column `name`, the names of STRUCTs before it with dots between.
fn column<'s>(at: &Cursor<'_>, name: &str, schema: &'s TableSchema) -> Option<Named<'s>> {
    let path: Vec<String> = name.split('.').map(str::to_owned).collect();
    let (mut fields, mut found): (&[Field], Option<&Field>) = (&schema.fields, None);
    for (depth, part) in path.iter().enumerate() {
        if let Some(field) = found
            && field.field_type == FieldType::Json
            && !part.is_empty()
        {
            return Some(Named { path, field, is_inside_json: true });
        }
        let Some(field) = fields.iter().find(|field| field.name.eq_ignore_ascii_case(part)) else {
            let known = fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ");
            let inside = if depth == 0 { "the schema".to_owned() } else { format!("`{}`", path[..depth].join(".")) };
            at.problem(match known.as_str() {
                "" => format!("{inside} has no fields, so no `{part}`"),
                known => format!("{inside} has no column `{part}`; it has {known}"),
            });
            return None;
        };
        (fields, found) = (&field.fields, Some(field));
    }
    found.map(|field| Named { path, field, is_inside_json: false })
}

fn check(name: &str, at: &Cursor<'_>, schema: Option<&TableSchema>) -> Option<Check> {
    let mut settings = at.settings("what must hold: a map with `enum`, `min`, `max`, `pattern` or `required`")?;
    let one_of = settings.optional("enum").map(|at| one_of(&at));
    let bound = |at: Option<Cursor<'_>>| at.map(|at| at.decimal("a number"));
    let (min, max) = (bound(settings.optional("min")), bound(settings.optional("max")));
    let pattern = settings.optional("pattern").map(|at| pattern(&at));
    let required = settings.optional("required").map(|at| at.boolean("`true` or `false`"));
    settings.finish();
    let (min, max) = (settled(min)?, settled(max)?);
    let test = Test {
        one_of: settled(one_of)?.unwrap_or_default(),
        pattern: settled(pattern)?,
        required: settled(required)?.unwrap_or_default(),
        min,
        max,
    };
    if let (Some(min), Some(max)) =
        (test.min.as_ref().and_then(|n| n.as_f64()), test.max.as_ref().and_then(|n| n.as_f64()))
        && min > max
    {
        at.problem(format!("no number is at least {min} and at most {max}"));
    }
    if test == Test::default() {
        at.problem("expected at least one of `enum`, `min`, `max`, `pattern`, `required: true`");
        return None;
    }
    let place = if name.starts_with('/') {
        match JsonPointer::parse(name) {
            Some(pointer) => Place::Pointer(pointer),
            None => {
                at.problem(format!("expected a JSON pointer (RFC 6901), found `{name}`"));
                return None;
            }
        }
    } else {
        let Named { path, field, is_inside_json } = column(at, name, schema?)?;
        if is_inside_json {
            at.problem(format!(
                "`{name}` leads into the JSON column `{}`: name the place by its JSON pointer",
                field.name
            ));
            return None;
        }
        if field.field_type == FieldType::Record && (test != Test { required: true, ..Test::default() }) {
            at.problem(format!("`{name}` is a STRUCT: check its fields, e.g. `{name}.field`"));
        }
        Place::Column(path)
    };
    Some(Check { place, test })
}

fn one_of(at: &Cursor<'_>) -> Option<Vec<serde_json::Value>> {
    const EXPECTED: &str = "a list of at least one value";
    let items = at.list(EXPECTED)?;
    if items.is_empty() {
        at.problem(format!("expected {EXPECTED}, found an empty one"));
        return None;
    }
    let scalars: Vec<_> = items.iter().map(|item| item.scalar("a string, a number or a boolean").cloned()).collect();
    scalars.into_iter().collect()
}

fn pattern(at: &Cursor<'_>) -> Option<Pattern> {
    let text = at.text("a regular expression")?;
    Pattern::parse(text)
        .map_err(|error| at.problem(format!("expected a regular expression, found `{text}`: {error}")))
        .ok()
}

fn derived(name: &str, at: &Cursor<'_>, schema: Option<&TableSchema>) -> Option<Derive> {
    const SOURCES: [&str; 5] = ["constant", "copy", "uppercase", "lowercase", "time"];
    const EXPECTED: &str = "one of `constant`, `copy`, `uppercase`, `lowercase` and `time`";
    let mut settings = at.settings("what the column is made of: a map")?;
    let found: Vec<(&str, Cursor<'_>)> =
        SOURCES.into_iter().filter_map(|source| Some((source, settings.optional(source)?))).collect();
    let (format, zone) = (settings.optional("format"), settings.optional("zone"));
    settings.finish();
    let column = match schema {
        Some(schema) => Some(column(at, name, schema)?),
        None => None,
    };
    if column.as_ref().is_some_and(|column| column.path.len() > 1) {
        at.problem(format!("only top-level columns are derived, but `{name}` stands inside one"));
    }
    let [(kind, source)] = found.as_slice() else {
        at.problem(format!("expected {EXPECTED}, found {}", found.len()));
        return None;
    };
    if *kind != "time" {
        for (name, setting) in [("format", &format), ("zone", &zone)] {
            if let Some(setting) = setting {
                setting.problem(format!("only a `time` has a `{name}`"));
            }
        }
    }
    let field = column.map(|column| column.field);
    let is_text = |does: &str| {
        if let Some(field) = field.filter(|field| field.field_type != FieldType::String || field.mode == Mode::Repeated)
        {
            at.problem(format!("`{does}` makes a STRING, but `{name}` is {}", said(field)));
        }
    };
    let source = match *kind {
        "constant" => Source::Constant(source.to_json().to_string()),
        "copy" => Source::Copy(when::pointer(source)?),
        "uppercase" => {
            is_text("uppercase");
            Source::Uppercase(when::pointer(source)?)
        }
        "lowercase" => {
            is_text("lowercase");
            Source::Lowercase(when::pointer(source)?)
        }
        _ => Source::Time(time(at, name, source, (format, zone), field)?),
    };
    Some(Derive { column: field.map_or(name, |field| &field.name).to_owned(), source })
}

fn time(
    at: &Cursor<'_>,
    name: &str,
    source: &Cursor<'_>,
    (format, zone): (Option<Cursor<'_>>, Option<Cursor<'_>>),
    field: Option<&Field>,
) -> Option<TimeSource> {
    const ZONE: &str = "a time zone of the tz database, e.g. `Europe/Rome`";
    let pointer = when::pointer(source);
    let Some(format) = format else {
        at.problem(
            "`format` is missing: expected how the time is written, e.g. `%d/%m/%Y %H:%M:%S`, or a list of ways",
        );
        return None;
    };
    let formats: Vec<Option<TimeFormat>> = if format.is_list() {
        format.list("a list of formats")?.iter().map(time_format).collect()
    } else {
        vec![time_format(&format)]
    };
    let formats = formats.into_iter().collect::<Option<Vec<_>>>();
    let zone = settled(zone.map(|at| at.parse(ZONE, derive::zone)));
    let column_type = match field {
        Some(field)
            if matches!(field.field_type, FieldType::Timestamp | FieldType::Datetime | FieldType::Date)
                && field.mode != Mode::Repeated =>
        {
            field.field_type
        }
        Some(field) => {
            at.problem(format!("`time` makes a TIMESTAMP, DATETIME or DATE, but `{name}` is {}", said(field)));
            return None;
        }
        None => FieldType::Timestamp,
    };
    let (formats, zone) = (formats?, zone?);
    if formats.is_empty() {
        format.problem("expected at least one format, found an empty list");
    }
    if column_type == FieldType::Timestamp && zone.is_none() && !formats.iter().all(TimeFormat::has_zone) {
        at.problem(format!("a time that names no zone is no TIMESTAMP: declare `zone`, {ZONE}"));
    }
    Some(TimeSource { at: pointer?, formats, zone, column_type })
}

fn time_format(at: &Cursor<'_>) -> Option<TimeFormat> {
    let text = at.text("a format, e.g. `%d/%m/%Y %H:%M:%S`")?;
    let refused = |error| {
        at.problem(format!(
            "expected a format by which a whole date is read (strptime's directives), or `unix_seconds`, `unix_millis`, \
             `unix_micros`, found `{text}`: {error}"
        ));
    };
    TimeFormat::parse(text).map_err(refused).ok()
}

fn masked(name: &str, at: &Cursor<'_>, schema: Option<&TableSchema>) -> Option<(Vec<String>, Mask)> {
    const MASKS: [(&str, Mask); 3] = [("hash", Mask::Hash), ("truncate_ip", Mask::TruncateIp), ("drop", Mask::Drop)];
    let mask = at.choice("mask", &MASKS);
    let Named { path, field, is_inside_json } = column(at, name, schema?)?;
    let mask = mask?;
    if is_inside_json {
        return Some((path, mask));
    }
    match mask {
        Mask::Drop if field.mode == Mode::Required => {
            at.problem(format!("the REQUIRED column `{name}` cannot be dropped"));
        }
        Mask::Drop => {}
        Mask::Hash | Mask::TruncateIp if field.field_type != FieldType::String => {
            at.problem(format!("`{}` makes a STRING, but `{name}` is {}", mask.name(), said(field)));
        }
        Mask::Hash => {
            /// HMAC-SHA256 in hexadecimal.
            const LENGTH: u64 = 64;
            let most = field.max_length.as_deref().and_then(|most| most.parse::<u64>().ok());
            if let Some(most) = most.filter(|most| *most < LENGTH) {
                at.problem(format!("a hash has {LENGTH} characters, but `{name}` holds {most}"));
            }
        }
        Mask::TruncateIp => {}
    }
    Some((path, mask))
}

fn said(field: &Field) -> String {
    let repeated = if field.mode == Mode::Repeated { "REPEATED " } else { "" };
    format!("{repeated}{}", field.field_type.sql_name())
}

/// `Some(None)` where nothing is declared, `None` where what is declared is at fault.
fn settled<T>(declared: Option<Option<T>>) -> Option<Option<T>> {
    super::table::settled(declared)
}
