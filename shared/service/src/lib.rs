//! The Cloud Run shim that every function starts through: environment, port, signals, drain, health, telemetry.
//! It knows no events.

mod app;
mod env;
mod health;
mod logs;
mod metrics;
mod otlp;
mod request;
mod run;
mod serve;
mod span;
mod trace;

pub mod problem;

pub use app::{App, Drain, Readiness};
pub use env::{Env, EnvError, EnvReader, Variable};
pub use logs::install as install_logs;
pub use otlp::export_telemetry;
pub use run::{BoxError, chain, install_tls_provider, main};
pub use serve::{DRAIN_DEADLINE, serve};
pub use span::{Attribute, Span, SpanKind, Tracer};
pub use trace::{RequestTrace, TraceContext};
