//! What a function did for an event, as a trace shows it. A span costs next to nothing where its trace is not recorded, or
//! where no traces are exported.

use std::time::{Duration, Instant, SystemTime};

use crate::{TraceContext, otlp};

/// What a span is to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// It answers a request.
    Server,
    /// It makes a request.
    Client,
    /// It hands a message over, which is taken up later.
    Producer,
}

/// A value that a span carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<usize> for Attribute {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u16> for Attribute {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// Begins the spans of one function.
#[derive(Debug, Clone, Copy)]
pub struct Tracer(&'static str);

impl Tracer {
    /// The tracer of the function `service`.
    pub const fn new(service: &'static str) -> Self {
        Self(service)
    }

    /// A span below `parent`, from now until [`Span::end`].
    pub fn span(self, name: &'static str, kind: SpanKind, parent: TraceContext) -> Span {
        let context = parent.child();
        let recording = otlp::records(context).then(|| {
            let recording = Recording {
                service: self.0,
                name: name.to_owned(),
                kind,
                context,
                parent: Some(parent),
                link: None,
                start: SystemTime::now(),
                took: Duration::ZERO,
                attributes: Vec::new(),
                error: None,
            };
            Box::new((recording, Instant::now()))
        });
        Span { context, recording }
    }
}

/// Something that is being done. One that is dropped before its end is not shown.
#[derive(Debug)]
#[must_use = "a span is shown once it has ended"]
pub struct Span {
    context: TraceContext,
    /// And since when.
    recording: Option<Box<(Recording, Instant)>>,
}

/// A span on its way to the collector.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) service: &'static str,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) context: TraceContext,
    pub(crate) parent: Option<TraceContext>,
    /// A span of another trace that this one has to do with.
    pub(crate) link: Option<TraceContext>,
    pub(crate) start: SystemTime,
    pub(crate) took: Duration,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
    pub(crate) error: Option<String>,
}

impl Span {
    /// What those below name as their parent.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// Whether anybody will see it: where not, what it would carry need not be put together.
    pub fn is_recorded(&self) -> bool {
        self.recording.is_some()
    }

    /// Adds what is known. OpenTelemetry's own names where it has one.
    pub fn attribute(&mut self, name: &'static str, value: impl Into<Attribute>) -> &mut Self {
        if let Some((recording, _)) = self.recording.as_deref_mut() {
            recording.attributes.push((name, value.into()));
        }
        self
    }

    /// Ends it. `Err` says what went wrong.
    pub fn end(self, result: Result<(), &str>) {
        if let Some((mut recording, started)) = self.recording.map(|recording| *recording) {
            recording.took = started.elapsed();
            recording.error = result.err().map(str::to_owned);
            otlp::export(recording);
        }
    }
}
