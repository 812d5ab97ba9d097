//! One thing that was looked at, for a person and for a program.

use std::fmt;

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub ok: bool,
    /// Would `run` refuse to start?
    pub refuses: bool,
    pub detail: String,
    /// What to do about it; a finding that is ok has none.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, ok: true, refuses: false, detail: detail.into(), remedy: None }
    }

    /// `run` tolerates it.
    pub fn problem(
        check: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self { check, ok: false, refuses: false, detail: detail.into(), remedy }
    }

    /// `run` does not start: an invariant would break.
    pub fn refusal(
        check: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { refuses: true, ..Self::problem(check, detail, remedy) }
    }

    /// What is wrong, and what to do.
    pub fn message(&self) -> String {
        match &self.remedy {
            Some(remedy) => format!("{}; {remedy}", self.detail),
            None => self.detail.clone(),
        }
    }

    /// The check as a label of a metric.
    pub fn label(&self) -> String {
        self.check.replace(' ', "_")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self {
            Self { ok: true, .. } => "ok",
            Self { refuses: true, .. } => "refused",
            _ => "problem",
        };
        write!(f, "{state:<8} {:<10} {}", self.check, self.message())
    }
}
