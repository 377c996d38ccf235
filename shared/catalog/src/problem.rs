use std::{fmt, path::PathBuf};

/// One thing that is wrong with a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file at fault.
    pub file: PathBuf,
    /// The line in the file, from 1, where it is known.
    pub line: Option<u64>,
    /// The path inside it, e.g. `streams.courier-chat.tables.orders.schema`, or a JSON pointer in a schema; empty: the file as a whole.
    pub path: String,
    /// What is wrong, and what was expected.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.detail)
    }
}
