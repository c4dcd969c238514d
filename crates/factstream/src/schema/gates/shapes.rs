//! Whether the shapes say what the types do. A lock of a wrong shape would prove nothing.

use super::super::catalogue::EventCatalogue;
use super::super::report::{Column, Finding, Report};
use factstream_core::schema::{Level, flaws};

pub(super) fn check(catalogue: &EventCatalogue, report: &mut Report) {
    for declared in &catalogue.types {
        let read = |json: &str| declared.contract.rewrite(json).map(drop).map_err(|error| error.to_string());
        let event_type = declared.event_type;
        for flaw in flaws(&declared.schema, read) {
            let text = format!(
                "{}: {flaw}. Mend its serde attributes, or say its JSON with #[shape(as = \"..\")] or impl Shape",
                event_type.declared_by
            );
            let of = (event_type.name, event_type.version);
            report.add(Finding::new("shape-wrong", Level::Break, Column::Lock, of, text));
        }
    }
}
