//! The naming rules of Pub/Sub and BigQuery.

use std::{ops::RangeInclusive, time::Duration};

use crate::TableName;

pub(super) const STREAM: &str =
    "a stream name: 3 to 200 lower-case letters, digits and hyphens, a letter first, not beginning with `goog`";

/// Stream names are topic ids and prefixes of subscription ids, which begin with a letter, hold at most 255 characters and
/// are not `goog…` (<https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names>); they stand in URLs and in object names too.
pub(super) fn is_stream(name: &str) -> bool {
    is_label(name, 3..=200) && !name.starts_with("goog")
}

/// Lower-case letters, digits and hyphens, a letter first, of one of these lengths.
pub(super) fn is_label(name: &str, lengths: RangeInclusive<usize>) -> bool {
    lengths.contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-')
}

pub(super) const TABLE: &str = "`dataset.table`: the dataset of at most 1024 letters, digits and underscores, the table of at \
                                most 1024 bytes of letters, digits, underscores, dashes and spaces";

/// `dataset.table` by BigQuery's rules (<https://cloud.google.com/bigquery/docs/datasets#dataset-naming>,
/// <https://cloud.google.com/bigquery/docs/tables#table_naming>). Unicode marks in table names are not taken.
pub(super) fn table(text: &str) -> Option<TableName> {
    let (dataset, table) = text.split_once('.')?;
    let dataset_is_good =
        (1..=1024).contains(&dataset.len()) && dataset.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
    let table_is_good = (1..=1024).contains(&table.len())
        && table.trim() == table
        && table.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '-' | ' '));
    (dataset_is_good && table_is_good).then(|| TableName { dataset: dataset.to_owned(), table: table.to_owned() })
}

pub(super) const COLUMN: &str =
    "a column name: at most 300 letters (a-z, A-Z), digits and underscores, not beginning with a digit";

/// BigQuery's standard column names (<https://cloud.google.com/bigquery/docs/schemas#column_names>); its flexible ones are not taken.
pub(super) fn is_column(name: &str) -> bool {
    (1..=300).contains(&name.len())
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

/// The prefix of `column` that BigQuery keeps for itself, in any case.
pub(super) fn reserved_prefix(column: &str) -> Option<&'static str> {
    const RESERVED: [&str; 9] = [
        "_TABLE_",
        "_FILE_",
        "_PARTITION",
        "_ROW_TIMESTAMP",
        "__ROOT__",
        "_COLIDENTIFIER",
        "_CHANGE_SEQUENCE_NUMBER",
        "_CHANGE_TYPE",
        "_CHANGE_TIMESTAMP",
    ];
    let column = column.to_ascii_uppercase();
    RESERVED.into_iter().find(|prefix| column.starts_with(prefix))
}

pub(super) const DURATION: &str = "a duration above zero: a whole number and `s`, `m`, `h` or `d`, e.g. `24h`";

/// `90s`, `30m`, `24h`, `7d`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = number.parse().ok().filter(|count| *count > 0)?;
    count.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_names() {
        for good in ["courier-chat", "abc", "a1-", &"a".repeat(200)] {
            assert!(is_stream(good), "{good}");
        }
        for bad in ["", "ab", "Abc", "1abc", "-abc", "a_b", "a.b", "google", "goog-x", "événements", &"a".repeat(201)]
        {
            assert!(!is_stream(bad), "{bad}");
        }
    }

    #[test]
    fn table_names() {
        assert_eq!(table("a_1.b-2 c").map(|name| name.to_string()).as_deref(), Some("a_1.b-2 c"));
        for bad in ["", "a", ".b", "a.", "a-b.c", "a.b.c", "a. b", "a.b`", "a.b$20240101", "a.b*"] {
            assert_eq!(table(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "h", "24", "0h", "-1h", "+1h", "1.5h", "1w", "1 h", "1h30m", "99999999999999999999d", "1é"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn columns() {
        assert!(is_column("_order1"));
        assert!(!is_column("1order"));
        assert!(!is_column("order-id"));
        assert_eq!(reserved_prefix("_partitiondate"), Some("_PARTITION"));
        assert_eq!(reserved_prefix("partition"), None);
    }
}
