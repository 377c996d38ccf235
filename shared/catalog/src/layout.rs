//! Templates of object names.

use std::fmt::{self, Write};

use event::Timestamp;

/// The longest template. With what its fields may become, a name stays within Cloud Storage's 1024 bytes.
const LONGEST: usize = 300;
/// The most bytes of a name that one event's value becomes.
const LONGEST_VALUE: usize = 120;

/// Where the objects of a stream lie: a template of what their names begin with. What follows is made by Pipas, and no two names
/// are ever equal: the first message's publish time and a UUID.
///
/// A template that ends with `/` names a folder. In any other the part after the last `/` begins the file's name, and a `-` comes
/// between. Times are publish times, in UTC.
#[derive(Clone, PartialEq, Eq)]
pub struct Layout {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Stream,
    Table,
    Type,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    EventId,
}

const FIELDS: [(&str, Field); 9] = [
    ("stream", Field::Stream),
    ("table", Field::Table),
    ("type", Field::Type),
    ("yyyy", Field::Year),
    ("mm", Field::Month),
    ("dd", Field::Day),
    ("HH", Field::Hour),
    ("MM", Field::Minute),
    ("event_id", Field::EventId),
];

/// What a template's fields stand for, of one message.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// The stream's name.
    pub stream: &'a str,
    /// The table that takes the event, as `dataset.table`; empty where none does.
    pub table: &'a str,
    /// The event's type; empty where it has none.
    pub event_type: &'a str,
    /// The event's id; empty where it has none.
    pub event_id: &'a str,
    /// When Pub/Sub took the message.
    pub publish_time: Timestamp,
}

impl Layout {
    /// Reads a template, or says what is wrong with it.
    pub fn parse(template: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = template;
        while !rest.is_empty() {
            let (text, more) = rest.split_at(rest.find(['{', '}']).unwrap_or(rest.len()));
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            rest = more;
            if rest.is_empty() {
                break;
            }
            let name = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(name, _)| name);
            let name = name.ok_or_else(|| format!("a brace of `{template}` has no other"))?;
            let field = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
            parts.push(Part::Field(field.ok_or_else(|| unknown(name))?));
            rest = &rest[name.len() + 2..];
        }
        let layout = Self { parts };
        layout.check(template).map(|()| layout)
    }

    fn check(&self, template: &str) -> Result<(), String> {
        if template.len() > LONGEST {
            return Err(format!("a template has at most {LONGEST} bytes, found {}", template.len()));
        }
        match self.parts.first() {
            None => {
                return Err("expected a template such as `{stream}/dt={yyyy}-{mm}-{dd}/hr={HH}/`, found nothing".into());
            }
            Some(Part::Text(_) | Part::Field(Field::Stream)) => {}
            Some(Part::Field(_)) => {
                return Err(format!(
                    "`{template}` must begin with text or with `{{stream}}`, so that its objects can be listed"
                ));
            }
        }
        if let Some(twice) = FIELDS.iter().find(|(_, field)| {
            let count = self.parts.iter().filter(|part| matches!(part, Part::Field(found) if found == field)).count();
            count > 1
        }) {
            return Err(format!("`{{{}}}` stands twice in `{template}`", twice.0));
        }
        if template.chars().any(|char| char.is_control() || matches!(char, '*' | '?' | '#' | '[' | ']')) {
            return Err(format!("`{}` has a character that names of objects should not have", template.escape_debug()));
        }
        let segments: Vec<&str> = template.strip_suffix('/').unwrap_or(template).split('/').collect();
        match segments.iter().find(|segment| matches!(**segment, "" | "." | ".." | "_manifest" | ".well-known")) {
            Some(&"") => Err(format!("`{template}` has a folder without a name")),
            Some(bad) => Err(format!("no folder of `{template}` may be called `{bad}`")),
            None => Ok(()),
        }
    }

    /// What the name of an object with that message begins with.
    pub fn render(&self, labels: &Labels<'_>) -> String {
        let time = labels.publish_time;
        let mut out = String::with_capacity(64);
        for part in &self.parts {
            // Writing to a string cannot fail.
            let _ = match part {
                Part::Text(text) => out.write_str(text),
                Part::Field(Field::Stream) => out.write_str(labels.stream),
                Part::Field(Field::Table) => value(labels.table, &mut out),
                Part::Field(Field::Type) => value(labels.event_type, &mut out),
                Part::Field(Field::EventId) => value(labels.event_id, &mut out),
                Part::Field(Field::Year) => write!(out, "{}", time.strftime("%Y")),
                Part::Field(Field::Month) => write!(out, "{}", time.strftime("%m")),
                Part::Field(Field::Day) => write!(out, "{}", time.strftime("%d")),
                Part::Field(Field::Hour) => write!(out, "{}", time.strftime("%H")),
                Part::Field(Field::Minute) => write!(out, "{}", time.strftime("%M")),
            };
        }
        if !out.ends_with('/') {
            out.push('-');
        }
        out
    }

    /// What the names of all objects of `stream` begin with.
    pub fn prefix(&self, stream: &str) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(Field::Stream) => out.push_str(stream),
                Part::Field(_) => return out,
            }
        }
        out
    }

    /// Whether nothing but the stream and the hour decides where an object lies.
    pub fn is_hourly(&self) -> bool {
        self.parts
            .iter()
            .all(|part| !matches!(part, Part::Field(Field::Table | Field::Type | Field::EventId | Field::Minute)))
    }

    /// Whether the event itself must be read to know where it goes: its table, its type, or its id.
    pub fn needs_event(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Field(Field::Table | Field::Type | Field::EventId)))
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

/// The template as it is written.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Field(field) => {
                let name = FIELDS.iter().find(|(_, known)| known == field).map_or("", |(name, _)| name);
                write!(f, "{{{name}}}")
            }
        })
    }
}

impl Default for Layout {
    /// Hive's, by the hour: `{stream}/dt={yyyy}-{mm}-{dd}/hr={HH}/`.
    fn default() -> Self {
        let text = |text: &str| Part::Text(text.to_owned());
        let parts = vec![
            Part::Field(Field::Stream),
            text("/dt="),
            Part::Field(Field::Year),
            text("-"),
            Part::Field(Field::Month),
            text("-"),
            Part::Field(Field::Day),
            text("/hr="),
            Part::Field(Field::Hour),
            text("/"),
        ];
        Self { parts }
    }
}

fn unknown(name: &str) -> String {
    let known: Vec<String> = FIELDS.iter().map(|(name, _)| format!("`{{{name}}}`")).collect();
    format!("unknown field `{{{name}}}`; expected one of {}", known.join(", "))
}

/// An event's own value as a part of a name: letters, digits, `-`, `_` and `.` as they are, other bytes as `%` and two hexadecimal
/// digits, so that no value makes a folder; cut where it is long.
fn value(value: &str, out: &mut String) -> fmt::Result {
    if value.is_empty() {
        return out.write_str("none");
    }
    let longest = out.len() + LONGEST_VALUE;
    for byte in value.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && value.len() > 2);
        if out.len() + if is_plain { 1 } else { 3 } > longest {
            break;
        }
        if is_plain {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'a>(event_id: &'a str, table: &'a str) -> Labels<'a> {
        let publish_time = "2024-02-01T10:04:46.5Z".parse().expect("a time");
        Labels { stream: "shop", table, event_type: "order", event_id, publish_time }
    }

    fn rendered(template: &str) -> String {
        Layout::parse(template).expect("a layout").render(&labels("o-1", "d.t"))
    }

    #[test]
    fn templates_become_names() {
        assert_eq!(Layout::default().render(&labels("", "")), "shop/dt=2024-02-01/hr=10/");
        assert_eq!(rendered("{stream}/dt={yyyy}-{mm}-{dd}/hr={HH}/"), "shop/dt=2024-02-01/hr=10/");
        assert_eq!(rendered("output/{type}/{yyyy}/{mm}/{dd}/{HH}/{MM}/"), "output/order/2024/02/01/10/04/");
        assert_eq!(rendered("output/{table}/{event_id}"), "output/d.t/o-1-");
        let layout = Layout::parse("a/{stream}/b-{table}/x").expect("a layout");
        assert_eq!(
            (layout.prefix("shop").as_str(), layout.is_hourly(), layout.needs_event()),
            ("a/shop/b-", false, true)
        );
        assert_eq!(layout.to_string(), "a/{stream}/b-{table}/x");
        assert!(Layout::default().is_hourly() && !Layout::default().needs_event());
    }

    #[test]
    fn no_value_leaves_its_place() {
        let layout = Layout::parse("o/{event_id}/{table}/").expect("a layout");
        assert_eq!(layout.render(&labels("../a b\u{e9}", "..")), "o/..%2Fa%20b%C3%A9/%2E%2E/");
        assert_eq!(layout.render(&labels("", ".")), "o/none/%2E/");
        assert!(layout.render(&labels(&"\u{e9}".repeat(500), "t")).len() <= "o///".len() + LONGEST_VALUE + 1);
    }

    #[test]
    fn bad_templates_are_refused() {
        for (bad, expected) in [
            ("", "found nothing"),
            ("{table}/x/", "must begin with"),
            ("/a/", "a folder without a name"),
            ("a//b", "a folder without a name"),
            ("a/../b", "may be called `..`"),
            ("{stream}/_manifest/", "may be called `_manifest`"),
            ("a/{yyy}/", "unknown field `{yyy}`"),
            ("a/{yyyy", "a brace"),
            ("a/yyyy}", "a brace"),
            ("a/{dd}{dd}", "stands twice"),
            ("a/\n", "a character"),
            (&"a".repeat(301), "at most 300"),
        ] {
            let found = Layout::parse(bad).expect_err(bad);
            assert!(found.contains(expected), "{bad}: {found}");
        }
    }
}
