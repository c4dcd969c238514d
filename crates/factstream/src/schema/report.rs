//! What the gates found.

use factstream_core::schema::{Level, Misfit};
use serde::{Deserialize, Serialize};

/// Who is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// Events in the store, read by today's build.
    Stored,
    /// An older factstream consumer, given what today's build writes.
    Wire,
    /// Another program that reads the JSON on the topic.
    Foreign,
    /// The folder itself.
    Lock,
}

impl Column {
    /// Its name in reports and waivers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Wire => "wire",
            Self::Foreign => "foreign",
            Self::Lock => "lock",
        }
    }
}

/// Something that a gate found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What kind, in a word: as waivers name it.
    pub code: &'static str,
    /// Whether it fails the gate.
    pub level: Level,
    /// Who is concerned.
    pub column: Column,
    /// The type of event.
    pub event: String,
    /// Its version.
    pub version: u32,
    /// The place in the event; empty for the whole.
    pub path: String,
    /// What is wrong, and what to do.
    pub text: String,
    /// The file that it is about, within the folder.
    pub file: String,
    /// Why it may pass for now, where a waiver says so.
    pub waived: Option<String>,
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// How many types and versions were looked at.
    pub checked: usize,
}

/// How a report is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For servers that collect results of tests.
    Junit,
    /// Annotations of GitHub Actions.
    Github,
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "junit" => Ok(Self::Junit),
            "github" => Ok(Self::Github),
            _ => Err("a format is one of text, json, junit, github".into()),
        }
    }
}

impl Report {
    /// Whether nothing fails: every break is waived.
    pub fn passes(&self) -> bool {
        self.failures().next().is_none()
    }

    /// What fails.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.fails())
    }

    pub(super) fn add(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}

impl Finding {
    pub(super) fn new(
        code: &'static str,
        level: Level,
        column: Column,
        (event, version): (&str, u32),
        text: impl Into<String>,
    ) -> Self {
        let file = format!("{}.json", super::lock::stem(event, version));
        Self {
            code,
            level,
            column,
            event: event.to_owned(),
            version,
            path: String::new(),
            text: text.into(),
            file,
            waived: None,
        }
    }

    pub(super) fn of_misfit(column: Column, of: (&str, u32), misfit: &Misfit, advice: &str) -> Self {
        let text = format!("{}. {advice}", misfit.text);
        let mut finding = Self::new(misfit.mismatch.code(), misfit.level, column, of, text);
        finding.path.clone_from(&misfit.path);
        finding
    }

    /// Whether it fails the gate.
    pub fn fails(&self) -> bool {
        self.level == Level::Break && self.waived.is_none()
    }
}
