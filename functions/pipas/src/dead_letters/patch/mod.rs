//! Changes of an event before it is published again.
//!
//! Both kinds work on jaq's values and not on serde_json's: these keep the order of fields and every digit of a number, and a
//! patch must not change what it does not name. (The `json-patch` crate works on serde_json's.)

mod jq;
mod operations;

use std::path::Path;

use anyhow::{Context, bail, ensure};
use jaq_json::{Val, read};
use sha2::{Digest, Sha256};

use jq::Jq;
use operations::Operation;

/// How deep the arrays and objects of an event may be nested that is patched.
const DEEPEST: usize = 500;

/// A change of events.
pub(super) struct Patch {
    /// Of the file that it was read from.
    pub(super) hash: String,
    change: Change,
}

enum Change {
    /// RFC 6902.
    Operations(Vec<Operation>),
    Jq(Jq),
}

impl Patch {
    /// Reads a file: a JSON array is a JSON Patch, anything else a jq filter.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let change = match read::parse_single(text.as_bytes()) {
            Ok(Val::Arr(operations)) => Change::Operations(operations::read(&operations)?),
            Ok(_) | Err(_) => Change::Jq(Jq::compile(text)?),
        };
        let hash = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { hash, change })
    }

    /// The event as the patch makes it.
    pub(super) fn apply(&self, event: &[u8]) -> anyhow::Result<Vec<u8>> {
        // jaq reads, changes and drops what is nested by recursion, and a stack that overflows ends the process.
        ensure!(
            !is_deeper(event, DEEPEST),
            "the event is nested deeper than {DEEPEST} levels, which no patch is applied to"
        );
        let event = read::parse_single(event).map_err(|error| anyhow::anyhow!("the event is no JSON: {error}"))?;
        let patched = match &self.change {
            Change::Operations(operations) => operations.iter().try_fold(event, |event, each| each.apply(event))?,
            Change::Jq(jq) => jq.run(event)?,
        };
        let text = patched.to_string();
        // jaq knows values that JSON does not.
        if !matches!(patched, Val::Obj(_)) || serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
            bail!("the patch makes no JSON object of it, but {}", text.chars().take(100).collect::<String>());
        }
        Ok(text.into_bytes())
    }
}

/// Whether arrays and objects are nested deeper in `json` than so many levels, by its brackets outside of strings.
fn is_deeper(json: &[u8], deepest: usize) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match (is_text, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => is_text = !is_text,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > deepest {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(patch: &str, event: &str) -> Result<String, String> {
        let applied = Patch::parse(patch).and_then(|patch| patch.apply(event.as_bytes()));
        applied.map(|event| String::from_utf8(event).expect("text")).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_file_is_told_by_its_content() {
        let event = r#"{"id":"7","of":{"b":1,"a":2}}"#;
        assert_eq!(
            patched(r#"[{"op":"replace","path":"/id","value":7}]"#, event).as_deref(),
            Ok(r#"{"id":7,"of":{"b":1,"a":2}}"#)
        );
        assert_eq!(patched(".id |= tonumber", event).as_deref(), Ok(r#"{"id":7,"of":{"b":1,"a":2}}"#));
        assert_eq!(
            patched("# numbers\n.id |= tonumber | del(.of.b)", event).as_deref(),
            Ok(r#"{"id":7,"of":{"a":2}}"#)
        );
    }

    #[test]
    fn what_is_not_named_keeps_its_digits_and_its_place() {
        let event =
            r#"{"z":12345678901234567890123,"price":0.10000000000000000001,"big":1e400,"a":"é\u0000","id":"1"}"#;
        for patch in [".id |= tonumber", r#"[{"op":"replace","path":"/id","value":1}]"#] {
            let patched = patched(patch, event).expect("an event");
            assert!(
                patched.starts_with(r#"{"z":12345678901234567890123,"price":0.10000000000000000001,"big":1e400,"#),
                "{patched}"
            );
            assert!(patched.ends_with(r#""id":1}"#), "{patched}");
        }
    }

    #[test]
    fn the_library_of_jq_is_there() {
        for (patch, event, expected) in [
            (r#".a |= sub("^0+"; "")"#, r#"{"a":"0042"}"#, r#"{"a":"42"}"#),
            (r#".a |= gsub("(?<digit>[0-9])"; "<\(.digit)>")"#, r#"{"a":"a1b2"}"#, r#"{"a":"a<1>b<2>"}"#),
            (r#"if .a | test("^x") then .b = 1 else . end"#, r#"{"a":"xy"}"#, r#"{"a":"xy","b":1}"#),
            (
                r#".a |= (capture("(?<y>[0-9]{4})/(?<m>[0-9]{2})") | "\(.y)-\(.m)")"#,
                r#"{"a":"2024/02"}"#,
                r#"{"a":"2024-02"}"#,
            ),
            (".a |= todate", r#"{"a":1706781886}"#, r#"{"a":"2024-02-01T10:04:46Z"}"#),
            (".a |= fromdate", r#"{"a":"2024-02-01T10:04:46Z"}"#, r#"{"a":1706781886}"#),
            (
                r#".a |= (strptime("%d.%m.%Y %H:%M:%S") | mktime | todate)"#,
                r#"{"a":"01.02.2024 10:04:46"}"#,
                r#"{"a":"2024-02-01T10:04:46Z"}"#,
            ),
            (
                r#".amount |= (sub(","; ".") | tonumber) | .created |= (strptime("%d/%m/%Y") | mktime | todate) | del(.debug)"#,
                r#"{"amount":"1,50","created":"01/02/2024","debug":1}"#,
                r#"{"amount":1.50,"created":"2024-02-01T00:00:00Z"}"#,
            ),
            (".a |= @base64", r#"{"a":"é"}"#, r#"{"a":"w6k="}"#),
            (".a |= @base64d", r#"{"a":"w6k="}"#, r#"{"a":"é"}"#),
            (".a |= @uri", r#"{"a":"a b&c"}"#, r#"{"a":"a%20b%26c"}"#),
            (".a |= @html", r#"{"a":"<b>"}"#, r#"{"a":"&lt;b&gt;"}"#),
            (".a |= (split(\", *\"; null) | length)", r#"{"a":"x,y"}"#, r#"{"a":2}"#),
            (".a |= floor", r#"{"a":1.5}"#, r#"{"a":1}"#),
        ] {
            assert_eq!(patched(patch, event).as_deref(), Ok(expected), "{patch}");
        }
        for absent in ["env", "debug", "stderr", "halt", "halt_error", "input"] {
            let error = patched(&format!("{{a: {absent}}}"), "{}").expect_err(absent);
            assert!(error.contains("not a jq filter: undefined"), "{absent}: {error}");
        }
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused_before_it_is_read() {
        let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        for patch in [".b = 1", r#"[{"op":"add","path":"/b","value":1}]"#] {
            let deep = patched(patch, &nested(499)).expect("an event");
            assert!(deep.ends_with(r#"],"b":1}"#), "{deep}");
            for depth in [500, 1_000_000] {
                let error = patched(patch, &nested(depth)).expect_err("too deep");
                assert!(error.contains("nested deeper than 500 levels"), "{error}");
            }
        }
        let text = format!(r#"{{"a":"\"{}"}}"#, "[".repeat(1_000));
        assert!(patched(".", &text).is_ok(), "brackets of a string are none");
        assert!(patched(".", &format!("[{}]", "[1],".repeat(1_000))).is_err_and(|error| !error.contains("nested")));
    }

    #[test]
    fn what_makes_no_event_is_refused() {
        for (patch, event, said) in [
            (".id", r#"{"id":"7"}"#, "the patch makes no JSON object of it, but \"7\""),
            ("{a: nan}", "{}", "the patch makes no JSON object of it, but {\"a\":NaN}"),
            (".", "oops", "the event is no JSON"),
            ("empty", "{}", "the filter makes nothing of it"),
            ("., .", "{}", "the filter makes more than one value of it"),
            (".id |= tonumber", r#"{"id":"x"}"#, "the filter fails: "),
            (".id |", "{}", "not a jq filter"),
            ("no_such_filter", "{}", "not a jq filter: undefined filter no_such_filter"),
            (r#"[{"op":"move","path":"/a"}]"#, "{}", "operation 1: `from` is missing"),
        ] {
            let error = patched(patch, event).expect_err(patch);
            assert!(error.contains(said), "{patch}: {error}");
        }
    }
}
