use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

/// A snapshot of the environment. Cheap to clone; its `Debug` names the variables and never shows a value.
#[derive(Clone, Default)]
pub struct Env {
    variables: Arc<BTreeMap<String, String>>,
}

impl Env {
    /// The environment of this process. A variable that is not UTF-8 is left out.
    pub fn from_process() -> Self {
        Self::from_pairs(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// An environment of these variables and no others.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { variables: Arc::new(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()) }
    }

    /// A reader that collects what is wrong.
    pub fn read(&self) -> EnvReader<'_> {
        EnvReader { env: self, problems: Vec::new() }
    }

    /// The variable's value; absent and empty are the same.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// Reads variables and collects every problem, so that all bad ones are reported together.
#[derive(Debug)]
#[must_use = "problems are only reported by `finish`"]
pub struct EnvReader<'a> {
    env: &'a Env,
    problems: Vec<Variable>,
}

impl EnvReader<'_> {
    /// The value of a variable that must be set. `expected` completes "expected …"; `None` is returned after a problem was noted.
    pub fn required<T: FromStr>(&mut self, name: &'static str, expected: &'static str) -> Option<T> {
        if self.env.get(name).is_none() {
            self.problem(name, format!("is not set; expected {expected}"));
            return None;
        }
        self.optional(name, expected)
    }

    /// The value of a variable that may be absent. Absent and empty are `None` without a problem.
    pub fn optional<T: FromStr>(&mut self, name: &'static str, expected: &'static str) -> Option<T> {
        let value = self.env.get(name)?;
        let parsed = value.parse().ok();
        if parsed.is_none() {
            self.problem(name, format!("expected {expected}, found {}", shown(name, value)));
        }
        parsed
    }

    /// The value of a variable, or `default` where it is absent, empty or (with a problem noted) bad.
    pub fn or<T: FromStr>(&mut self, name: &'static str, expected: &'static str, default: T) -> T {
        self.optional(name, expected).unwrap_or(default)
    }

    /// The value of a secret that may be absent, as `read` takes it. What is wrong with it is told without showing it.
    pub fn secret<T, E: fmt::Display>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match read(self.env.get(name)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(name, error.to_string());
                None
            }
        }
    }

    /// The value of a variable that may be absent, and is the URL of an HTTP server.
    pub fn url(&mut self, name: &'static str) -> Option<String> {
        let url = self.optional(name, "a URL");
        self.is_url(name, url)
    }

    /// The same of a variable that must be set.
    pub fn required_url(&mut self, name: &'static str, expected: &'static str) -> Option<String> {
        let url = self.required(name, expected);
        self.is_url(name, url)
    }

    fn is_url(&mut self, name: &'static str, url: Option<String>) -> Option<String> {
        if url.as_deref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            self.problem(name, "expected a URL that starts with http:// or https://");
        }
        url
    }

    /// Notes a problem that the types cannot see, such as a variable that another one requires.
    pub fn problem(&mut self, name: &'static str, detail: impl Into<String>) {
        self.problems.push(Variable { name, detail: detail.into() });
    }

    /// Every problem that was noted, together.
    pub fn finish(self) -> Result<(), EnvError> {
        if self.problems.is_empty() { Ok(()) } else { Err(EnvError { variables: self.problems }) }
    }
}

/// Every variable that is bad, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvError {
    /// The bad variables, never empty.
    pub variables: Vec<Variable>,
}

/// One bad variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The variable's name.
    pub name: &'static str,
    /// What is wrong with it, and what was expected.
    pub detail: String,
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment has {} bad variable(s):", self.variables.len())?;
        self.variables.iter().try_for_each(|Variable { name, detail }| write!(f, "\n  {name}: {detail}"))
    }
}

impl std::error::Error for EnvError {}

/// The value as a problem shows it: shortened, and not at all where it may hold a secret.
fn shown(name: &str, value: &str) -> String {
    const LONGEST: usize = 80;
    let secret = ["KEY", "TOKEN", "SECRET", "PASSWORD"].iter().any(|word| name.contains(word)) || value.contains('@');
    if secret {
        return "a value that is not shown".to_owned();
    }
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}…`", &value[..end]),
        None => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bad_variables_are_reported_together() {
        let env = Env::from_pairs([("PORT", "http"), ("EMPTY", ""), ("REDIS_URL", "not a url u:secret@h")]);
        let mut read = env.read();
        assert_eq!(read.or("PORT", "a port from 0 to 65535", 8080u16), 8080);
        assert_eq!(read.optional::<u16>("EMPTY", "a number"), None);
        assert_eq!(read.required::<String>("PROJECT", "a project id"), None);
        assert_eq!(read.optional::<u16>("REDIS_URL", "a redis:// URL"), None);
        read.problem("AUDIENCE", "is needed as PIPAS_PUSH_AUTH is oidc");
        let error = read.finish().expect_err("four problems");
        assert_eq!(
            error.to_string(),
            "the environment has 4 bad variable(s):\
             \n  PORT: expected a port from 0 to 65535, found `http`\
             \n  PROJECT: is not set; expected a project id\
             \n  REDIS_URL: expected a redis:// URL, found a value that is not shown\
             \n  AUDIENCE: is needed as PIPAS_PUSH_AUTH is oidc"
        );
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", Env::from_pairs([("API_KEY", "hunter2")])), r#"{"API_KEY"}"#);
    }
}
