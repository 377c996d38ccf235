use event::{Reason, Rejection};

/// Why data is no event: where it stops being one JSON object, or gives a field twice, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail} at line {line} column {column}")]
pub struct Malformed {
    /// The line, from 1.
    pub line: usize,
    /// The byte in the line, from 1; 0 where the fault shows at the end of the line before.
    pub column: usize,
    /// What was expected, or what is wrong.
    pub detail: String,
    /// The JSON pointer (RFC 6901) of the field at fault, where the data is JSON but no event.
    pub pointer: Option<String>,
}

impl Malformed {
    /// The fault at the byte `at` of `json`.
    pub(crate) fn at(json: &[u8], at: usize, detail: impl Into<String>) -> Self {
        let before = &json[..at];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Self { line, column: at - line_start + 1, detail: detail.into(), pointer: None }
    }

    /// The fault that the parser found, in words that say what was expected.
    #[must_use]
    pub fn from_parser(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let found = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
        Self { line, column, detail: expectation(found).unwrap_or(found).to_owned(), pointer: None }
    }

    /// The field at `pointer` is given twice; `error` is where the second one was met.
    pub(crate) fn given_twice(error: &serde_json::Error, pointer: &str) -> Self {
        let detail = format!("expected the field {pointer} once, found it twice");
        Self { line: error.line(), column: error.column(), detail, pointer: Some(pointer.to_owned()) }
    }
}

/// What the parser expected, where its own message does not say so.
fn expectation(message: &str) -> Option<&'static str> {
    Some(match message {
        "EOF while parsing a list" => "expected `,` or `]`, found the end of the data inside an array",
        "EOF while parsing an object" => "expected `,` or `}`, found the end of the data inside an object",
        "EOF while parsing a string" => "expected a closing `\"`, found the end of the data inside a string",
        "EOF while parsing a value" => "expected a value, found the end of the data",
        "expected value" => "expected a value: an object, an array, a string, a number, `true`, `false` or `null`",
        "expected ident" => "expected `true`, `false` or `null`",
        "key must be a string" => "expected a key in double quotes",
        "trailing comma" => "expected another entry after the comma",
        "trailing characters" => "expected nothing after the JSON object, found more",
        "invalid number" => "expected a number as JSON writes it: no leading zeros, digits on both sides of the point",
        "invalid escape" => {
            "expected an escape: one of `\\\"`, `\\\\`, `\\/`, `\\b`, `\\f`, `\\n`, `\\r`, `\\t` and `\\u` with four hex digits"
        }
        "control character (\\u0000-\\u001F) found while parsing a string" => {
            "expected control characters to be escaped inside a string, e.g. `\\n`"
        }
        _ => return None,
    })
}

impl From<Malformed> for Rejection {
    fn from(malformed: Malformed) -> Self {
        Self { pointer: malformed.pointer.clone(), ..Self::new(Reason::MalformedJson, malformed.to_string()) }
    }
}
