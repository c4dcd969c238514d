//! The gates. They need neither a store nor a network.

mod shapes;
mod stale;
mod compatible;
mod older;
mod golden;

pub(super) use golden::read as golden_value;
pub(super) use older::values as sample_values;

use super::catalogue::EventCatalogue;
use super::folder::Folder;
use super::report::Report;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

impl EventCatalogue {
    /// Checks this build against the folder: its shapes are true, the folder is up to date (*stale*), it reads all that was ever locked
    /// (*compatible*), and golden samples become what is expected of them (*golden*).
    pub fn check(&self, folder: &Folder) -> Report {
        self.check_on(folder, today())
    }

    /// As [`EventCatalogue::check`], on another day: waivers expire.
    pub fn check_on(&self, folder: &Folder, today: Date) -> Report {
        let mut report = self.differences(folder);
        stale::check(self, folder, &mut report);
        golden::check(self, folder, &mut report);
        report.waive(&folder.waivers, today);
        report
    }

    /// As [`EventCatalogue::check`], against the folder as it was in another revision of the repository: so a folder that was rewritten with
    /// the change hides nothing. Waivers are those of today's folder.
    pub fn check_against(&self, folder: &Folder, before: &Folder) -> Report {
        let mut report = self.differences(before);
        compatible::removed(folder, before, &mut report);
        report.waive(&folder.waivers, today());
        report.findings.retain(|finding| finding.code != "waiver-unused");
        report
    }

    /// What is wrong with the code, and no bless can mend. Without waivers.
    pub(super) fn differences(&self, folder: &Folder) -> Report {
        let mut report = Report { checked: folder.locks.len(), ..Report::default() };
        shapes::check(self, &mut report);
        compatible::check(self, folder, &mut report);
        report
    }
}

pub(super) fn today() -> Date {
    Offset::UTC.to_datetime(Timestamp::now()).date()
}
