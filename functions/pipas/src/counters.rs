//! Reading a function's `/metrics` page: Prometheus' text format, as far as counters and histograms need it.

use std::collections::BTreeMap;

use anyhow::Context;

/// The samples of one `/metrics` page.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Counters {
    /// Fetches the page of the function at `base`.
    pub(crate) async fn fetch(http: &reqwest::Client, base: &str) -> anyhow::Result<Self> {
        let url = format!("{base}/metrics");
        let page = http.get(&url).send().await.and_then(reqwest::Response::error_for_status);
        let page = page.with_context(|| format!("cannot read {url}"))?.text().await?;
        Ok(Self::parse(&page))
    }

    /// Parses a page; lines that are no samples are passed over.
    pub(crate) fn parse(page: &str) -> Self {
        Self { samples: page.lines().filter_map(sample).collect() }
    }

    /// The sum of the samples of `name` whose labels hold every pair of `labels`.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.matching(name, labels).map(|sample| sample.value).sum::<f64>() as u64
    }

    /// The quantile `q` of the histogram `name`, interpolated inside its bucket; `None` where nothing was observed.
    pub(crate) fn quantile(&self, name: &str, labels: &[(&str, &str)], q: f64) -> Option<f64> {
        let mut buckets: BTreeMap<u64, f64> = BTreeMap::new();
        for sample in self.matching(&format!("{name}_bucket"), labels) {
            let bound: f64 = sample.labels.get("le")?.replace("+Inf", "inf").parse().ok()?;
            // Positive floats sort as their bits do.
            *buckets.entry(bound.to_bits()).or_default() += sample.value;
        }
        let total = *buckets.last_key_value()?.1;
        if total == 0.0 {
            return None;
        }
        let (rank, mut below, mut lower) = (q * total, 0.0, 0.0);
        for (bound, count) in buckets {
            let bound = f64::from_bits(bound);
            if count >= rank {
                let share = if count > below { (rank - below) / (count - below) } else { 1.0 };
                return Some(if bound.is_finite() { lower + share * (bound - lower) } else { lower });
            }
            (below, lower) = (count, bound);
        }
        None
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|v| v == value))
        })
    }
}

fn sample(line: &str) -> Option<Sample> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (series, value) = match line.rfind('}') {
        Some(at) => (&line[..=at], line[at + 1..].split_whitespace().next()?),
        None => line.split_once(' ')?,
    };
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, parse_labels(labels.strip_suffix('}')?)?),
        None => (series, BTreeMap::new()),
    };
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

/// `a="x",b="y\"z"`.
fn parse_labels(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (key, rest) = text.split_once("=\"")?;
        let (mut value, mut end, mut characters) = (String::new(), None, rest.char_indices());
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    escaped => value.push(escaped),
                },
                '"' => {
                    end = Some(at + 1);
                    break;
                }
                other => value.push(other),
            }
        }
        labels.insert(key.trim().to_owned(), value);
        text = rest[end?..].trim_start_matches(',');
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"# HELP deliveries_total d
deliveries_total{stream="a",outcome="written"} 7
deliveries_total{stream="b \"x\"",outcome="written"} 3
lag_bucket{le="0.1"} 50
lag_bucket{le="0.2"} 100
lag_bucket{le="+Inf"} 100
"#;

    #[test]
    fn samples_are_summed_by_label() {
        let counters = Counters::parse(PAGE);
        assert_eq!(counters.sum("deliveries_total", &[("outcome", "written")]), 10);
        assert_eq!(counters.sum("deliveries_total", &[("stream", "b \"x\"")]), 3);
        assert_eq!(counters.sum("deliveries_total", &[("stream", "c")]), 0);
    }

    #[test]
    fn quantiles_are_interpolated() {
        let p75 = Counters::parse(PAGE).quantile("lag", &[], 0.75).expect("a quantile");
        assert!((p75 - 0.15).abs() < 1e-9, "{p75}");
        assert_eq!(Counters::parse(PAGE).quantile("none", &[], 0.5), None);
    }
}
