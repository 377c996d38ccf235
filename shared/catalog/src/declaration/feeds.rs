use std::{collections::BTreeMap, time::Duration};

use super::{cursor::Cursor, name, table::settled};
use crate::{Feed, FeedFormat, Setting};

/// The longest period: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Cloud Run's longest request is an hour, but a fetch that takes minutes is no poll.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const DEFAULT_MAX_BYTES: u64 = 32 << 20;
const DEFAULT_BACKOFF: Duration = Duration::from_secs(10 * 60);

/// Reads a stream's `feeds`. `None`: there is a problem.
pub(super) fn read(at: &Cursor<'_>) -> Option<Vec<Feed>> {
    let entries = at.entries("a map of feeds by name")?;
    let feeds: Vec<_> = entries.iter().map(|(name, at)| feed(name, at)).collect();
    feeds.into_iter().collect()
}

fn feed(name: &str, at: &Cursor<'_>) -> Option<Feed> {
    const FORMATS: [(&str, FeedFormat); 3] =
        [("json", FeedFormat::Json), ("ndjson", FeedFormat::Ndjson), ("gtfs_realtime", FeedFormat::GtfsRealtime)];
    if !name::is_label(name, 1..=100) {
        at.problem(format!(
            "expected a feed's name: at most 100 lower-case letters, digits and hyphens, a letter first, found `{name}`"
        ));
    }
    let mut settings = at.settings("a feed: a map with `url`, `format` and `every`")?;
    let url = settings.required("url", URL).and_then(|at| setting(&at, URL, is_url));
    let format = settings
        .required("format", "how the feed is written, e.g. `json`")
        .and_then(|at| at.choice("format", &FORMATS));
    let every = settings
        .required("every", "the time between two fetches, e.g. `20s`")
        .and_then(|at| at_most(&at, LONGEST, "a feed is fetched at least once a day"));
    let timeout = settings
        .optional("timeout")
        .map_or(Some(DEFAULT_TIMEOUT), |at| at_most(&at, LONGEST_TIMEOUT, "a fetch takes at most 5 minutes"));
    let max_bytes = settings
        .optional("max_bytes")
        .map_or(Some(DEFAULT_MAX_BYTES), |at| at.positive("a number of bytes above zero"));
    let backoff = settings
        .optional("backoff")
        .map_or(Some(DEFAULT_BACKOFF), |at| at_most(&at, LONGEST, "a feed that fails is tried at least once a day"));
    let headers = settings.optional("headers").map_or(Some(BTreeMap::new()), |at| headers(&at));
    settings.finish();
    Some(Feed {
        name: name.to_owned(),
        url: url?,
        format: format?,
        every: every?,
        timeout: timeout?,
        max_bytes: max_bytes?,
        max_backoff: backoff?,
        headers: headers?,
    })
}

const URL: &str = "a URL that begins with `http://` or `https://`, or `{ env: NAME }`";

fn is_url(text: &str) -> bool {
    text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).is_some_and(|rest| !rest.is_empty())
}

fn at_most(at: &Cursor<'_>, most: Duration, why: &str) -> Option<Duration> {
    let duration = at.parse(name::DURATION, name::duration)?;
    if duration > most {
        at.problem(why);
        return None;
    }
    Some(duration)
}

fn headers(at: &Cursor<'_>) -> Option<BTreeMap<String, Setting>> {
    let entries = at.entries("a map of header names to values")?;
    let headers = entries.iter().map(|(name, at)| {
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !is_name {
            at.problem(format!("expected the name of an HTTP header, found `{name}`"));
        }
        let value = setting(at, "a header's value, or `{ env: NAME }`", |text| {
            !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        })?;
        is_name.then(|| (name.to_ascii_lowercase(), value))
    });
    let headers: Vec<_> = headers.collect();
    headers.into_iter().collect()
}

/// A text, or `{ env: NAME }`, with a `default` or without.
fn setting(at: &Cursor<'_>, expected: &str, is_good: impl Fn(&str) -> bool) -> Option<Setting> {
    let text = |at: &Cursor<'_>| at.parse(expected, |text| is_good(text).then(|| text.to_owned()));
    if !at.is_map() {
        return text(at).map(Setting::Text);
    }
    const VARIABLE: &str = "the name of an environment variable: letters, digits and underscores";
    let mut settings = at.settings(expected)?;
    let name = settings.required("env", VARIABLE).and_then(|at| {
        at.parse(VARIABLE, |text| {
            let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            is_name.then(|| text.to_owned())
        })
    });
    let default = settings.optional("default").map(|at| text(&at));
    settings.finish();
    Some(Setting::Env { name: name?, default: settled(default)? })
}
