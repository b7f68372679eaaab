//! Values written as text: durations (`5s`, `100ms`, `1.5h`) and sizes (`1GiB`).

use std::time::Duration;

/// Reads `5s`, `250ms`, `1.5m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(format!("{text:?} is no duration; write a number and us, ms, s, m, h or d, as in \"5s\"")),
    };
    let seconds = number.parse::<f64>().map_err(|_| format!("{text:?} is no duration; write it as \"5s\" or \"100ms\""))? * factor;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{text:?} is out of range"))
}

/// Writes a duration as [`duration`] reads it.
pub(super) fn show(duration: Duration) -> String {
    let micros = duration.as_micros();
    for (unit, size) in [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)] {
        if micros >= size && micros.is_multiple_of(size) {
            return format!("{}{unit}", micros / size);
        }
    }
    format!("{micros}us")
}

/// Reads `1048576`, `64KiB`, `1GiB`, `10MB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("{text:?} is no size; write a number of bytes, or as in \"64MiB\" or \"1GiB\"")),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no size; write as in \"64MiB\""))?;
    number.checked_mul(factor).ok_or_else(|| format!("{text:?} is out of range"))
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// The known name nearest to a mistyped one, if any is near.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let best = known.into_iter().map(|k| (distance(name, k), k)).min()?;
    (best.0 <= 1 + name.len() / 4).then_some(best.1)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_people_write_them() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("100 ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5_400)));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("1048576"), Ok(1 << 20));
        for bad in ["", "5", "s", "-5s", "5 weeks", "1.2.3s", "99999999999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["", "x", "1TiBx", "99999999999GiB", "1.5GiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        for micros in [1, 1_000, 2_500_000, 60_000_000, 86_400_000_000] {
            let value = Duration::from_micros(micros);
            assert_eq!(duration(&show(value)), Ok(value));
        }
    }

    #[test]
    fn a_mistyped_name_finds_its_neighbour() {
        assert_eq!(nearest("lenght", ["length", "allowed_lateness"]), Some("length"));
        assert_eq!(nearest("banana", ["length", "allowed_lateness"]), None);
    }
}
