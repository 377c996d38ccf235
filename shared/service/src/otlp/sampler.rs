use std::str::FromStr;

/// Which traces are recorded (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sampler {
    /// Of the traces that begin here, or of all, so many are recorded.
    ratio: f64,
    /// Whether a parent that is recorded, or is not, decides.
    is_parent_based: bool,
}

/// What `OTEL_TRACES_SAMPLER` may say.
pub(crate) const NAMES: &str = "always_on, always_off, traceidratio, or one of these after `parentbased_`";

impl Default for Sampler {
    fn default() -> Self {
        Self { ratio: 1.0, is_parent_based: true }
    }
}

impl FromStr for Sampler {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (name, is_parent_based) = match name.strip_prefix("parentbased_") {
            Some(rest) => (rest, true),
            None => (name, false),
        };
        let ratio = match name {
            "always_on" | "traceidratio" => 1.0,
            "always_off" => 0.0,
            _ => return Err(()),
        };
        Ok(Self { ratio, is_parent_based })
    }
}

impl Sampler {
    /// The same with the ratio that `OTEL_TRACES_SAMPLER_ARG` gives.
    pub(crate) fn with_ratio(self, ratio: f64) -> Self {
        Self { ratio, ..self }
    }

    /// Whether a span is recorded. Every function decides alike, for the trace's id decides.
    pub(crate) fn decide(&self, parent: Option<bool>, trace_id: u128) -> bool {
        match parent {
            Some(parent) if self.is_parent_based => parent,
            Some(_) | None => self.ratio >= 1.0 || ((trace_id as u64) as f64) < self.ratio * (u64::MAX as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_decide_where_they_are_asked() {
        let asked: Sampler = "parentbased_always_off".parse().expect("a sampler");
        assert!(asked.decide(Some(true), 1) && !asked.decide(None, 1));
        let unasked: Sampler = "always_on".parse().expect("a sampler");
        assert!(unasked.decide(Some(false), 1));
        assert!("sometimes".parse::<Sampler>().is_err());
    }

    #[test]
    fn a_ratio_takes_its_share() {
        let tenth = Sampler::default().with_ratio(0.1);
        let taken = (0..10_000u64).filter(|n| tenth.decide(None, n.wrapping_mul(0x9e37_79b9_7f4a_7c15).into())).count();
        assert!((900..1100).contains(&taken), "{taken}");
    }
}
