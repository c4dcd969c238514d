//! A report as text, JSON, JUnit's XML and GitHub's annotations.

use super::report::{Finding, Format, Report};
use factstream_core::schema::Level;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

impl Report {
    /// The report in this format.
    pub fn show(&self, format: Format) -> String {
        match format {
            Format::Text => self.to_string(),
            Format::Json => {
                let json = serde_json::json!({ "passes": self.passes(), "checked": self.checked, "findings": self.findings });
                format!("{json:#}\n")
            }
            Format::Junit => self.junit(),
            Format::Github => self.github(),
        }
    }

    fn junit(&self) -> String {
        let mut cases: BTreeMap<(&str, u32), Vec<&Finding>> = BTreeMap::new();
        for finding in &self.findings {
            cases.entry((&finding.event, finding.version)).or_default().push(finding);
        }
        let failed = cases.values().filter(|findings| findings.iter().any(|finding| finding.fails())).count();
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"schema\" tests=\"{}\" failures=\"{failed}\">\n",
            self.checked.max(cases.len()),
        );
        for ((event, version), findings) in cases {
            let _ = writeln!(xml, "  <testcase classname=\"schema\" name=\"{} v{version}\">", escaped(event));
            for finding in findings {
                let (text, code) = (escaped(&finding.to_string()), finding.code);
                let _ = match finding.fails() {
                    true => writeln!(xml, "    <failure type=\"{code}\">{text}</failure>"),
                    false => writeln!(xml, "    <system-out>{text}</system-out>"),
                };
            }
            xml.push_str("  </testcase>\n");
        }
        xml.push_str("</testsuite>\n");
        xml
    }

    fn github(&self) -> String {
        let mut lines = String::new();
        for finding in &self.findings {
            let kind = if finding.fails() { "error" } else { "warning" };
            let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
            let _ = writeln!(
                lines,
                "::{kind} file={},title={}::{}",
                property(&finding.file),
                property(finding.code),
                data(&finding.to_string())
            );
        }
        lines
    }
}

/// For people: one paragraph for each finding.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let word = match (finding.level, &finding.waived) {
                (_, Some(_)) => "waived",
                (Level::Break, None) => "BREAK",
                (Level::Warn, None) => "warning",
            };
            writeln!(f, "{word}: {finding}")?;
        }
        let failures = self.failures().count();
        match failures {
            0 => writeln!(f, "{} versions of events checked, nothing breaks", self.checked),
            count => writeln!(f, "{} versions of events checked, {count} findings break", self.checked),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, version, code, column, .. } = self;
        let place = if self.path.is_empty() { String::new() } else { format!(" at {}", self.path) };
        write!(f, "{event} v{version}{place} [{}/{code}]: {}", column.name(), self.text)?;
        match &self.waived {
            Some(reason) => write!(f, " Waived: {reason}"),
            None => Ok(()),
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// As GitHub's commands take text.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
