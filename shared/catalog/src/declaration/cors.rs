use std::time::Duration;

use super::{cursor::Cursor, name};
use crate::Cors;

const ORIGIN: &str = "an origin as browsers write it: a scheme, a host in lower case and a port where it is not the scheme's \
                      own, e.g. `https://www.example.com`";
/// What browsers cap it at (Chromium: 2 hours).
const MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// Reads a stream's `cors`. `None`: there is a problem.
pub(super) fn read(at: &Cursor<'_>) -> Option<Cors> {
    let mut settings = at.settings("which web pages may send from a browser: a map with `origins`")?;
    let origins = settings.required("origins", "a list of origins, or `\"*\"`").and_then(|at| read_origins(&at));
    let credentials = settings.optional("credentials");
    let max_age = settings.optional("max_age").map_or(Some(MAX_AGE), |at| at.parse(name::DURATION, name::duration));
    settings.finish();
    let declared = credentials.as_ref().map_or(Some(None), |at| at.boolean("`true` or `false`").map(Some));
    let (origins, declared) = (origins?, declared?);
    if let (Some(at), None, Some(true)) = (&credentials, &origins, declared) {
        at.problem("requests with credentials are not taken from any origin: list the origins");
    }
    Some(Cors { credentials: declared.unwrap_or(origins.is_some()), origins, max_age: max_age? })
}

/// `Some(None)`: any origin.
fn read_origins(at: &Cursor<'_>) -> Option<Option<Vec<String>>> {
    if !at.is_list() {
        return at.parse("a list of origins, or `\"*\"`", |text| (text == "*").then_some(None));
    }
    let origins = at.list("a list of origins")?;
    if origins.is_empty() {
        at.problem("expected at least one origin, found an empty list; leave `cors` out to take no web page");
    }
    let origins: Vec<_> = origins.iter().map(|at| at.parse(ORIGIN, origin)).collect();
    origins.into_iter().collect::<Option<Vec<_>>>().map(Some)
}

/// An origin in the form in which browsers send it (<https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin>).
fn origin(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host_is_good = !host.is_empty()
        && host.chars().all(|char| {
            char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '.' | ':' | '[' | ']' | '_')
        });
    let port_is_good = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number.to_string() == port));
    (host_is_good && port_is_good && !text.ends_with(default_port)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn origins_are_as_browsers_write_them() {
        for good in [
            "https://www.example.com",
            "http://localhost:3000",
            "https://a.b:8443",
            "http://[::1]:8080",
            "http://[::1]",
        ] {
            assert_eq!(origin(good).as_deref(), Some(good), "{good}");
        }
        for bad in [
            "",
            "null",
            "*",
            "www.example.com",
            "https://",
            "https://Example.com",
            "https://a/",
            "https://a:443",
            "http://a:80",
            "https://a:99999",
            "https://a:",
            "ftp://a",
            "https://*.a",
            "https://a b",
        ] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }
}
