//! Where a page of rows that are ordered by time, newest first, ends.
//!
//! Invariant: pages neither repeat nor skip a row when several rows share one time, or when newer rows come in between.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use protocol::{TimeRange, Timestamp};

/// Rows of one time that a page may end in the middle of.
const MAX_SKIP: usize = 100_000;

/// The time of the last row of a page, and how many rows of that time have been given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    at: Timestamp,
    skip: usize,
}

impl Cursor {
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "is not what `next` of the page before said".to_owned();
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
        let (at, skip) = text.split_once(' ').ok_or_else(wrong)?;
        let cursor = Self { at: Timestamp(at.parse().map_err(|_| wrong())?), skip: skip.parse().map_err(|_| wrong())? };
        if cursor.skip > MAX_SKIP { Err(wrong()) } else { Ok(cursor) }
    }

    pub fn text(self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{} {}", self.at.as_micros(), self.skip))
    }

    /// What to ask the store for: the range, and how many rows.
    pub fn question(cursor: Option<Self>, range: TimeRange, limit: usize) -> (TimeRange, usize) {
        match cursor {
            Some(c) => (TimeRange { from: range.from, to: range.to.min(c.at.plus_micros(1)) }, limit + c.skip + 1),
            None => (range, limit + 1),
        }
    }

    /// A page that begins `skip` rows behind the newest before `to`, for rows that can't be asked for by the time that they are ordered by.
    pub fn offset(to: Timestamp, skip: usize) -> Self {
        Self { at: to, skip }
    }

    /// What [`Cursor::offset`] was made of.
    pub fn parts(self) -> (Timestamp, usize) {
        (self.at, self.skip)
    }

    /// Takes the page out of the answer, and says where the next one begins.
    pub fn page<T>(cursor: Option<Self>, mut rows: Vec<T>, limit: usize, time: impl Fn(&T) -> Timestamp) -> (Vec<T>, Option<String>) {
        rows.drain(..cursor.map_or(0, |c| c.skip).min(rows.len()));
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().map(&time).filter(|_| more).map(|at| {
            let same = rows.iter().rev().take_while(|row| time(row) == at).count();
            let before = cursor.filter(|c| c.at == at).map_or(0, |c| c.skip);
            Self { at, skip: same + before }.text()
        });
        (rows, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newest first, several of one time, as a store would answer.
    fn ask(all: &[(i64, u32)], range: TimeRange, limit: usize) -> Vec<(i64, u32)> {
        all.iter().copied().filter(|(at, _)| range.from.0 <= *at && *at < range.to.0).take(limit).collect()
    }

    #[test]
    fn pages_put_together_are_the_whole_list_also_when_times_repeat() {
        let all: Vec<(i64, u32)> = (0..23).map(|i| (9 - i64::from(i) / 7, i)).collect();
        let range = TimeRange { from: Timestamp(0), to: Timestamp(100) };
        for limit in 1..=24 {
            let (mut found, mut cursor) = (Vec::new(), None);
            loop {
                let (asked, n) = Cursor::question(cursor, range, limit);
                let (page, next) = Cursor::page(cursor, ask(&all, asked, n), limit, |row| Timestamp(row.0));
                assert!(page.len() <= limit);
                found.extend(page);
                let Some(next) = next else { break };
                cursor = Some(Cursor::parse(&next).unwrap());
            }
            assert_eq!(found, all, "limit {limit}");
        }
        assert!(Cursor::parse("AAAA").is_err());
    }
}
