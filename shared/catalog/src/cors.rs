use std::time::Duration;

/// Which web pages may send to a stream from a browser (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// The origins; `None`: any.
    pub origins: Option<Vec<String>>,
    /// Whether requests may carry credentials, as those of `navigator.sendBeacon` always do. Never with any origin.
    pub credentials: bool,
    /// How long a browser may remember the answer to a preflight.
    pub max_age: Duration,
}

impl Cors {
    /// Whether a page of `origin` may send, as browsers write it in `Origin`.
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.as_ref().is_none_or(|origins| origins.iter().any(|allowed| allowed == origin))
    }
}
