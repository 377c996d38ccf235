use loader::LedgerConfig;
use service::{Env, EnvError};

/// The function's settings: the loader's own. The ledger must be the one that the loaders claim in.
#[derive(Debug, Clone)]
pub struct Config(pub loader::Config);

impl Config {
    /// Reads the settings, and reports every bad variable at once.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        let mut read = env.read();
        let config = loader::Config::from_env(env);
        let is_alone = match &config {
            Ok(config) => matches!(config.ledger, LedgerConfig::InProcess { .. }),
            Err(_) => env.get("PIPAS_REDIS_URL").is_none(),
        };
        if is_alone {
            read.problem(
                "PIPAS_REDIS_URL",
                "is not set; expected the URL of the Redis that the loaders keep claims in",
            );
        }
        match (config, read.finish()) {
            (Ok(config), Ok(())) => Ok(Self(config)),
            (Ok(_), Err(error)) | (Err(error), Ok(())) => Err(error),
            (Err(mut error), Err(alone)) => {
                error.variables.extend(alone.variables);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_of_its_own_would_know_nothing() {
        let env = Env::from_pairs([("GOOGLE_CLOUD_PROJECT", "p"), ("PIPAS_PUSH_AUTH", "none")]);
        insta::assert_snapshot!(Config::from_env(&env).expect_err("a problem"), @r"
        the environment has 1 bad variable(s):
          PIPAS_REDIS_URL: is not set; expected the URL of the Redis that the loaders keep claims in
        ");
    }

    #[test]
    fn bad_variables_are_reported_together() {
        let env = Env::from_pairs([("PIPAS_HOLD", "soon"), ("PIPAS_PUSH_AUTH", "none")]);
        insta::assert_snapshot!(Config::from_env(&env).expect_err("problems"), @r"
        the environment has 3 bad variable(s):
          GOOGLE_CLOUD_PROJECT: is not set; expected a project id
          PIPAS_HOLD: expected a time such as `90s` or `500ms`, found `soon`
          PIPAS_REDIS_URL: is not set; expected the URL of the Redis that the loaders keep claims in
        ");
    }
}
