//! When recurring work is due: a cron line in a time zone, and what becomes of occurrences that were missed or overlap (G16).
//!
//! Invariant: an occurrence is an instant of UTC. A local time that does not exist, for the clocks are put forward, is the instant at which
//! they are; one that is there twice is the first of the two, unless the line names a span of hours, which goes on through both.

use crate::error::Error;
use croner::parser::CronParser;
use croner::{
    CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday, errors::CronError,
};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};
use std::cmp::Ordering;
use std::fmt;

/// Occurrences that were missed and may be made up for, at most.
pub(crate) const MISSED_MAX: usize = 1_000;
/// An occurrence that comes no later than this was not missed.
const ON_TIME: SignedDuration = SignedDuration::from_secs(60);

/// What becomes of occurrences whose time passed while nothing ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Missed {
    /// They are left out; the next one comes at its time.
    Skip,
    /// The newest of them runs, once.
    #[default]
    Once,
    /// So many of the newest run, one after the other, oldest first; at most 1,000.
    All(usize),
}

/// What becomes of an occurrence when the one before has not succeeded yet: it fails and is tried again, or is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It waits, and runs after it.
    Wait,
}

/// When recurring work is due.
///
/// ```
/// use factstream::{Missed, Overlap, Schedule};
///
/// let nightly = Schedule::cron("0 2 * * *")?.tz("Europe/Vienna")?.missed(Missed::Once).overlap(Overlap::Skip);
/// let next = nightly.next_after("2026-11-29T12:00:00Z".parse()?);
/// assert_eq!(next, Some("2026-11-30T01:00:00Z".parse()?));
///
/// // A line that never fires and a zone that does not exist are refused.
/// assert!(Schedule::cron("0 0 30 2 *").is_err());
/// assert!(Schedule::cron("0 2 * * *")?.tz("Europe/Wien").is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Schedule {
    line: String,
    cron: Cron,
    zone: TimeZone,
    zone_name: String,
    missed: Missed,
    overlap: Overlap,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, zone_name, missed, overlap, .. } = self;
        f.debug_struct("Schedule")
            .field("cron", line)
            .field("tz", zone_name)
            .field("missed", missed)
            .field("overlap", overlap)
            .finish()
    }
}

impl Schedule {
    /// By a cron line, in UTC unless [`Schedule::tz`] says otherwise: minute, hour, day of the month, month, day of the week, and before
    /// these seconds, where there are six.
    ///
    /// # Errors
    /// [`Error::Wiring`] when it is no cron line, or one that never fires.
    pub fn cron(line: &str) -> Result<Self, Error> {
        let refused = |why: String| Error::Wiring(format!("the cron line {line:?} {why}"));
        let cron =
            CronParser::new().parse(line).map_err(|error| refused(format!("cannot be read: {error}")))?;
        let schedule = Self {
            line: line.to_owned(),
            cron,
            zone: TimeZone::UTC,
            zone_name: "UTC".to_owned(),
            missed: Missed::default(),
            overlap: Overlap::default(),
        };
        match schedule.next_after(Timestamp::now()) {
            Some(_) => Ok(schedule),
            None => Err(refused("never fires: no day is like this; mend the day and the month".to_owned())),
        }
    }

    /// In this time zone of the IANA database: `Europe/Vienna`.
    ///
    /// # Errors
    /// [`Error::Wiring`] when there is none of this name.
    pub fn tz(self, zone: &str) -> Result<Self, Error> {
        let found = TimeZone::get(zone).map_err(|error| {
            Error::Wiring(format!(
                "there is no time zone {zone:?} ({error}); write its name in the IANA database, for example Europe/Vienna"
            ))
        })?;
        Ok(Self { zone: found, zone_name: zone.to_owned(), ..self })
    }

    /// What becomes of occurrences that were missed: the newest runs once, unless said.
    pub fn missed(self, missed: Missed) -> Self {
        Self { missed, ..self }
    }

    /// What becomes of an occurrence while the one before has not succeeded: it is left out, unless said.
    pub fn overlap(self, overlap: Overlap) -> Self {
        Self { overlap, ..self }
    }

    /// The first occurrence after a time; `None` when there is none any more.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let from = InZone(time.to_zoned_datetime(self.zone.clone()));
        let next = self.cron.find_next_occurrence(&from, false).ok()?.0.timestamp();
        (next > time).then_some(next)
    }

    pub(crate) fn overlaps(&self) -> Overlap {
        self.overlap
    }

    /// The cron line and the zone, as they are kept.
    pub(crate) fn spec(&self) -> (&str, &str) {
        (&self.line, &self.zone_name)
    }

    /// The occurrences after a time until now that are to run now, oldest first.
    pub(crate) fn to_run(&self, after: Timestamp, now: Timestamp) -> Vec<Timestamp> {
        let slots = self.newest(after, now);
        let newest = match self.missed {
            Missed::Skip => {
                usize::from(slots.last().is_some_and(|slot| now.duration_since(*slot) <= ON_TIME))
            }
            Missed::Once => 1,
            Missed::All(most) => most.clamp(1, MISSED_MAX),
        };
        slots[slots.len().saturating_sub(newest)..].to_vec()
    }

    /// The occurrences after a time until now; of more than can be made up for, the newest.
    fn newest(&self, mut after: Timestamp, now: Timestamp) -> Vec<Timestamp> {
        loop {
            let next = |from: &Timestamp| self.next_after(*from).filter(|slot| *slot <= now);
            let slots: Vec<Timestamp> =
                std::iter::successors(next(&after), next).take(4 * MISSED_MAX).collect();
            if slots.len() < 4 * MISSED_MAX {
                return slots;
            }
            // Too many for one look: those of the second half.
            after = after.checked_add(now.duration_since(after) / 2).unwrap_or(now);
        }
    }
}

/// A time in its zone, as the cron library asks for it.
#[derive(Clone)]
struct InZone(ZonedDateTime);

fn civil(at: DateTime) -> Result<CivilDateTime, CronError> {
    let part = |part: i8| u32::try_from(part).unwrap_or(0);
    let date = CivilDate::from_ymd(i32::from(at.year()), part(at.month()), part(at.day()))?;
    let time = CivilTime::from_hms_opt(part(at.hour()), part(at.minute()), part(at.second()));
    Ok(CivilDateTime::new(date, time.ok_or(CronError::InvalidTime)?))
}

fn of_civil(civil: CivilDateTime) -> Result<DateTime, CronError> {
    let part = |part: u32| i8::try_from(part).map_err(|_| CronError::InvalidDate);
    let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
    let (month, day) = (part(civil.month())?, part(civil.day())?);
    let (hour, minute, second) = (part(civil.hour())?, part(civil.minute())?, part(civil.second())?);
    DateTime::new(year, month, day, hour, minute, second, 0).map_err(|_| CronError::InvalidDate)
}

impl CronDateTime for InZone {
    fn to_civil(&self) -> CivilDateTime {
        let date = CivilDate::from_parts_unchecked;
        let at = self.0.datetime();
        civil(at)
            .unwrap_or_else(|_| CivilDateTime::new(date(i32::from(at.year()), 1, 1), CivilTime::MIDNIGHT))
    }

    fn civil_weekday(&self) -> Weekday {
        let days = u32::try_from(self.0.weekday().to_sunday_zero_offset()).unwrap_or(0);
        Weekday::from_days_from_sunday(days)
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(of_civil(civil)?);
        let time =
            |zoned: Result<ZonedDateTime, jiff::Error>| zoned.map(Self).map_err(|_| CronError::InvalidTime);
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(time(found.unambiguous())?),
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(time(found.clone().earlier())?, time(found.later())?)
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn of(line: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::cron(line).unwrap().tz(zone).unwrap();
        let next = |from: &Timestamp| schedule.next_after(*from);
        std::iter::successors(next(&at(after)), next).take(count).map(|slot| slot.to_string()).collect()
    }

    #[test]
    fn a_local_time_that_does_not_exist_fires_when_the_clocks_are_put_forward() {
        // Vienna, 28 March 2027: 02:00 is 03:00.
        assert_eq!(
            of("30 2 * * *", "Europe/Vienna", "2027-03-26T12:00:00Z", 3),
            ["2027-03-27T01:30:00Z", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]
        );
        assert_eq!(
            of("*/30 * * * *", "Europe/Vienna", "2027-03-28T00:20:00Z", 3),
            ["2027-03-28T00:30:00Z", "2027-03-28T01:00:00Z", "2027-03-28T01:30:00Z"]
        );
    }

    #[test]
    fn a_local_time_that_is_there_twice_fires_once_and_spans_of_hours_go_on() {
        // Vienna, 31 October 2027: 03:00 is 02:00 again.
        assert_eq!(
            of("30 2 * * *", "Europe/Vienna", "2027-10-30T12:00:00Z", 2),
            ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"]
        );
        assert_eq!(
            of("*/30 * * * *", "Europe/Vienna", "2027-10-30T23:50:00Z", 5),
            [
                "2027-10-31T00:00:00Z",
                "2027-10-31T00:30:00Z",
                "2027-10-31T01:00:00Z",
                "2027-10-31T01:30:00Z",
                "2027-10-31T02:00:00Z"
            ]
        );
    }

    #[test]
    fn what_was_missed_runs_as_the_policy_says() {
        let nightly = Schedule::cron("0 2 * * *").unwrap();
        let (after, now) = (at("2026-11-20T03:00:00Z"), at("2026-11-29T12:00:00Z"));
        let run = |missed| nightly.clone().missed(missed).to_run(after, now).len();
        assert_eq!(
            (run(Missed::Skip), run(Missed::Once), run(Missed::All(3)), run(Missed::All(99))),
            (0, 1, 3, 9)
        );
        assert_eq!(nightly.to_run(after, now), [at("2026-11-29T02:00:00Z")]);
        let punctual = nightly.clone().missed(Missed::Skip).to_run(after, at("2026-11-29T02:00:01Z"));
        assert_eq!(punctual, [at("2026-11-29T02:00:00Z")]);
        // Years of seconds are not counted one by one.
        let often = Schedule::cron("* * * * * *").unwrap().missed(Missed::All(MISSED_MAX));
        let many = often.to_run(at("2016-01-01T00:00:00Z"), now);
        assert_eq!((many.len(), many.last()), (MISSED_MAX, Some(&now)));
        assert!(nightly.to_run(now, now).is_empty());
    }

    #[test]
    fn what_is_no_cron_line_or_never_fires_is_refused() {
        for (line, why) in
            [("", "cannot be read"), ("61 * * * *", "cannot be read"), ("0 0 30 2 *", "never fires")]
        {
            let refused = Schedule::cron(line).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        let refused = Schedule::cron("0 2 * * *").unwrap().tz("Europa/Wien").unwrap_err().to_string();
        assert!(refused.contains("no time zone \"Europa/Wien\""), "{refused}");
    }
}
