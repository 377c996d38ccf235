use std::fmt;

use sqlparser::tokenizer::{Location, Span};

/// Why a statement was refused, as BigQuery's `ErrorProto` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The statement is wrong, or a value that it met is.
    InvalidQuery,
    /// The statement is right, but the local engine cannot run it.
    NotImplemented,
    /// It names a table that does not exist.
    NotFound,
    /// The engine itself failed.
    InternalError,
}

impl Reason {
    /// The name in BigQuery's answers.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidQuery => "invalidQuery",
            Self::NotImplemented => "notImplemented",
            Self::NotFound => "notFound",
            Self::InternalError => "internalError",
        }
    }
}

/// A statement that was not run, or failed while it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlError {
    /// The kind of failure.
    pub reason: Reason,
    /// What is wrong, in BigQuery's words; ends in `at [line:column]` where the place is known.
    pub message: String,
    /// The line, from 1.
    pub line: Option<u64>,
    /// The column, from 1.
    pub column: Option<u64>,
}

impl SqlError {
    /// A statement that BigQuery would refuse too.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { reason: Reason::InvalidQuery, message: message.into(), line: None, column: None }
    }

    /// A statement that BigQuery runs and the local engine does not.
    pub(crate) fn not_implemented(what: impl fmt::Display) -> Self {
        let message = format!("{what} is not available in the local engine");
        Self { reason: Reason::NotImplemented, message, line: None, column: None }
    }

    /// A function that BigQuery has and the local engine does not.
    pub(crate) fn no_function(name: &str) -> Self {
        Self::not_implemented(format_args!("FUNCTION {name}"))
    }

    /// What a function said of a value: wrong, unless it says that the engine lacks something.
    pub(crate) fn of_kernel(message: String) -> Self {
        let lacking = message.contains("not available in the local engine");
        let reason = if lacking { Reason::NotImplemented } else { Reason::InvalidQuery };
        Self { reason, message, line: None, column: None }
    }

    /// A table, view or dataset that does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { reason: Reason::NotFound, message: message.into(), line: None, column: None }
    }

    /// A failure of the engine itself.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { reason: Reason::InternalError, message: message.into(), line: None, column: None }
    }

    /// Says where it is, unless that is said already.
    #[must_use]
    pub(crate) fn at(mut self, location: Location) -> Self {
        if self.line.is_none() && location.line > 0 {
            self.line = Some(location.line);
            self.column = Some(location.column);
            if self.reason != Reason::NotFound {
                self.message = format!("{} at [{}:{}]", self.message, location.line, location.column);
            }
        }
        self
    }

    /// Says where it is by the place of a piece of the statement.
    #[must_use]
    pub(crate) fn at_span(self, span: Span) -> Self {
        self.at(span.start)
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SqlError {}
