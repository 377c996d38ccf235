use std::{str::FromStr, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::sampler::{NAMES, Sampler};
use crate::EnvReader;

/// What the `OTEL_…` variables say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Where traces go; `None`: nowhere.
    pub(crate) traces: Option<Target>,
    /// Where metrics go; `None`: nowhere.
    pub(crate) metrics: Option<Target>,
    pub(crate) sampler: Sampler,
    /// The functions' name, in place of their own.
    pub(crate) service: Option<String>,
    /// Further attributes of the process.
    pub(crate) resource: Vec<(String, String)>,
    /// How often metrics are sent.
    pub(crate) metrics_every: Duration,
    /// How long a span waits for others at most.
    pub(crate) spans_every: Duration,
    /// Spans of one request at most.
    pub(crate) batch: usize,
    /// Spans that may wait.
    pub(crate) queue: usize,
}

/// An endpoint of the collector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) url: String,
    /// They may hold a key, and are never shown.
    pub(crate) headers: HeaderMap,
    pub(crate) timeout: Duration,
}

const URL: &str = "a URL that starts with http:// or https://";
const PAIRS: &str = "`name=value` pairs, separated by commas";

impl Settings {
    /// Reads them; `None` where nothing is to be exported.
    pub(crate) fn read(read: &mut EnvReader<'_>) -> Option<Self> {
        let Flag(is_disabled) = read.or("OTEL_SDK_DISABLED", "`true` or `false`", Flag(false));
        let base: Option<Url> = read.optional("OTEL_EXPORTER_OTLP_ENDPOINT", URL);
        let traces: Option<Url> = read.optional("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", URL);
        let metrics: Option<Url> = read.optional("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", URL);
        let traces_off = is_off(read, "OTEL_TRACES_EXPORTER");
        let metrics_off = is_off(read, "OTEL_METRICS_EXPORTER");
        let protocol = read.or("OTEL_EXPORTER_OTLP_PROTOCOL", "`http/protobuf`", "http/protobuf".to_owned());
        if protocol != "http/protobuf" {
            read.problem("OTEL_EXPORTER_OTLP_PROTOCOL", format!("expected `http/protobuf`, found `{protocol}`"));
        }
        let headers: Option<Pairs> = read.optional("OTEL_EXPORTER_OTLP_HEADERS", PAIRS);
        let headers = headers.map(|pairs| pairs.headers()).unwrap_or_else(|| Some(HeaderMap::new()));
        if headers.is_none() {
            read.problem("OTEL_EXPORTER_OTLP_HEADERS", "expected names and values that HTTP allows");
        }
        let timeout = milliseconds(read, "OTEL_EXPORTER_OTLP_TIMEOUT", 10_000);
        let mut sampler = read.or("OTEL_TRACES_SAMPLER", NAMES, Sampler::default());
        if let Some(ratio) = read.optional::<f64>("OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1") {
            if !(0.0..=1.0).contains(&ratio) {
                read.problem("OTEL_TRACES_SAMPLER_ARG", format!("expected a number from 0 to 1, found {ratio}"));
            }
            sampler = sampler.with_ratio(ratio);
        }
        let resource: Option<Pairs> = read.optional("OTEL_RESOURCE_ATTRIBUTES", PAIRS);
        let mut resource = resource.map_or_else(Vec::new, |Pairs(pairs)| pairs);
        // Google's collectors ask for the project by this name.
        if let Some(project) = read.optional("GOOGLE_CLOUD_PROJECT", "a project id") {
            resource.push(("gcp.project_id".to_owned(), project));
        }
        if let Some(revision) = read.optional("K_REVISION", "a revision's name") {
            resource.push(("service.version".to_owned(), revision));
        }
        let target = |own: Option<Url>, path: &str, is_off: bool| {
            let below = || base.as_ref().map(|Url(base)| format!("{}{path}", base.trim_end_matches('/')));
            let url = own.map(|Url(own)| own).or_else(below).filter(|_| !is_off && !is_disabled)?;
            Some(Target { url, headers: headers.clone()?, timeout })
        };
        let settings = Self {
            traces: target(traces, "/v1/traces", traces_off),
            metrics: target(metrics, "/v1/metrics", metrics_off),
            sampler,
            service: read.optional("OTEL_SERVICE_NAME", "a name"),
            resource,
            metrics_every: milliseconds(read, "OTEL_METRIC_EXPORT_INTERVAL", 60_000),
            spans_every: milliseconds(read, "OTEL_BSP_SCHEDULE_DELAY", 5_000),
            batch: count(read, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
            queue: count(read, "OTEL_BSP_MAX_QUEUE_SIZE", 2048),
        };
        (settings.traces.is_some() || settings.metrics.is_some()).then_some(settings)
    }
}

fn is_off(read: &mut EnvReader<'_>, name: &'static str) -> bool {
    match read.or(name, "`otlp` or `none`", "otlp".to_owned()).as_str() {
        "otlp" => false,
        "none" => true,
        other => {
            read.problem(name, format!("expected `otlp` or `none`, found `{other}`"));
            false
        }
    }
}

fn milliseconds(read: &mut EnvReader<'_>, name: &'static str, default: u64) -> Duration {
    let found = read.or(name, "a number of milliseconds", default);
    if found == 0 {
        read.problem(name, "expected at least 1, found 0");
    }
    Duration::from_millis(found.max(1))
}

fn count(read: &mut EnvReader<'_>, name: &'static str, default: usize) -> usize {
    let found = read.or(name, "a number", default);
    if found == 0 {
        read.problem(name, "expected at least 1, found 0");
    }
    found.max(1)
}

struct Flag(bool);

impl FromStr for Flag {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            _ => Err(()),
        }
    }
}

struct Url(String);

impl FromStr for Url {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_url = text.starts_with("http://") || text.starts_with("https://");
        if is_url { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

/// `a=1,b=2`, the values percent-encoded (W3C Baggage).
struct Pairs(Vec<(String, String)>);

impl FromStr for Pairs {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let pairs = text.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').ok_or(())?;
            let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8().map_err(|_| ())?;
            Ok((name.trim().to_owned(), value.into_owned()))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }
}

impl Pairs {
    fn headers(&self) -> Option<HeaderMap> {
        self.0
            .iter()
            .map(|(name, value)| {
                let mut value = HeaderValue::from_str(value).ok()?;
                value.set_sensitive(true);
                Some((HeaderName::try_from(name).ok()?, value))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Env;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        let env = Env::from_pairs(pairs.iter().copied());
        let mut read = env.read();
        let settings = Settings::read(&mut read);
        read.finish().map(|()| settings).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_exported_unless_an_endpoint_is_named() {
        assert_eq!(read(&[("GOOGLE_CLOUD_PROJECT", "p"), ("OTEL_SERVICE_NAME", "x")]), Ok(None));
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        assert_eq!(read(&[endpoint, ("OTEL_SDK_DISABLED", "true")]), Ok(None));
        assert_eq!(read(&[endpoint, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")]), Ok(None));
    }

    #[test]
    fn paths_are_added_to_the_common_endpoint_alone() {
        let settings = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318/"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://metrics.example/in"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=1"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ]);
        let settings = settings.expect("good variables").expect("settings");
        let (traces, metrics) = (settings.traces.expect("traces"), settings.metrics.expect("metrics"));
        assert_eq!(traces.url, "http://localhost:4318/v1/traces");
        assert_eq!(metrics.url, "https://metrics.example/in");
        assert_eq!(traces.headers["api-key"], "a b");
        assert!(!format!("{:?}", traces.headers).contains("a b"));
        assert_eq!(settings.resource, [("deployment.environment.name".to_owned(), "prod".to_owned())]);
        assert_eq!(settings.sampler, Sampler::default().with_ratio(0.25));
    }

    #[test]
    fn bad_variables_are_reported_together() {
        let error = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "key"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ]);
        let error = error.expect_err("five problems");
        assert!(error.starts_with("the environment has 5 bad variable(s):"), "{error}");
        assert!(error.contains("OTEL_EXPORTER_OTLP_PROTOCOL: expected `http/protobuf`, found `grpc`"), "{error}");
    }
}
