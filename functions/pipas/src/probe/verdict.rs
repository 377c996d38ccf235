use std::fmt;

use serde::Serialize;

/// What was found of an assumption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Holds,
    Fails,
    /// It could not be tried, or not far enough, or what came of it says nothing.
    NotShown,
    /// Nobody asked for it.
    NotTried,
}

/// An assumption, and what was found of it.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// Its name in the protocol, `A2` to `A8`.
    pub(super) assumption: &'static str,
    pub(super) says: &'static str,
    pub(super) verdict: Verdict,
    pub(super) evidence: String,
}

impl Finding {
    /// What was found, where trying went well; an error along the way shows nothing.
    pub(super) fn of(assumption: &'static str, says: &'static str, found: anyhow::Result<(Verdict, String)>) -> Self {
        let (verdict, evidence) = found.unwrap_or_else(|error| (Verdict::NotShown, format!("{error:#}")));
        Self { assumption, says, verdict, evidence }
    }
}

impl Verdict {
    /// Holds, or fails.
    pub(super) const fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Holds => "holds",
            Verdict::Fails => "fails",
            Verdict::NotShown => "not shown",
            Verdict::NotTried => "not tried",
        };
        write!(f, "{} {verdict:9} {}\n             {}", self.assumption, self.says, self.evidence)
    }
}
