//! Many cards from one CSV file: a header of column names, then a line for each card. Pure.

use std::{collections::HashSet, path::Path};

use anyhow::{Result, bail};

use super::provision::{COLUMNS, Provision};

/// Reads the cards in `text`; what a line leaves empty is as in `defaults`.
///
/// # Errors
/// All problems, each with its line.
pub fn read(path: &Path, text: &str, defaults: &Provision) -> Result<Vec<Provision>> {
    let mut problems = Vec::new();
    let mut lines = records(text, &mut problems).into_iter();
    let Some((_, header)) = lines.next() else {
        bail!("{}: empty; the first line names the columns: {}", path.display(), COLUMNS.join(","))
    };
    let header: Vec<String> = header.iter().map(|name| name.trim().to_lowercase()).collect();
    let mut seen = HashSet::new();
    for name in &header {
        if !COLUMNS.contains(&name.as_str()) {
            problems.push((1, format!("there is no column {name:?}; the columns are {}", COLUMNS.join(","))));
        } else if !seen.insert(name) {
            problems.push((1, format!("the column {name:?} is there twice")));
        }
    }
    if !seen.contains(&"gateway".to_owned()) {
        problems.push((1, "the column \"gateway\" is missing: it names each card".into()));
    }
    let mut cards = Vec::new();
    let mut names = HashSet::new();
    for (line, fields) in lines {
        if fields.len() != header.len() {
            problems.push((line, format!("{} fields, and the header has {}", fields.len(), header.len())));
            continue;
        }
        let mut card = defaults.clone();
        for (column, value) in header.iter().zip(&fields) {
            card.set(column, value.trim());
        }
        match card.gateway.clone() {
            None => problems.push((line, "no gateway".into())),
            Some(name) if !names.insert(name.clone()) => problems.push((line, format!("the gateway {name:?} is there twice"))),
            Some(_) => match card.resolved() {
                Ok(card) => cards.push(card),
                Err(found) => problems.extend(found.iter().map(|problem| (line, problem.to_string()))),
            },
        }
    }
    if cards.is_empty() && problems.is_empty() {
        problems.push((1, "there is no card below the header".into()));
    }
    if !problems.is_empty() {
        problems.sort_by_key(|(line, _)| *line);
        let list: Vec<String> = problems.iter().map(|(line, what)| format!("{}:{line}: {what}", path.display())).collect();
        bail!("{}", list.join("\n"));
    }
    Ok(cards)
}

/// Lines of a CSV file (RFC 4180: fields in quotes may hold commas, and quotes twice) with their numbers; empty ones are left out.
fn records(text: &str, problems: &mut Vec<(usize, String)>) -> Vec<(usize, Vec<String>)> {
    let mut records = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if line.trim().is_empty() {
            continue;
        }
        match fields(line) {
            Some(fields) => records.push((number, fields)),
            None => problems.push((number, "a quote is opened and not closed (a field can't hold a line break)".into())),
        }
    }
    records
}

fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut()?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards(text: &str) -> Result<Vec<Provision>> {
        read(Path::new("cards.csv"), text, &Provision { dns: Some("10.0.0.1".into()), ..Provision::default() })
    }

    #[test]
    fn each_line_is_a_card_with_the_command_lines_values_where_it_is_empty() {
        let text = "\u{feff}gateway,static_ip,dns,wifi_ssid,wifi_password\r\npress-1,10.0.0.11/24,,\"hall, \"\"north\"\"\",12345678\r\n\r\npress-2,,10.0.0.2,,\r\n";
        let cards = cards(text).unwrap();
        assert_eq!(cards.len(), 2);
        assert_eq!((cards[0].static_ip.as_deref(), cards[0].dns.as_deref()), (Some("10.0.0.11/24"), Some("10.0.0.1")));
        assert!(cards[0].file("#WIFI_SSID=\n").contains("WIFI_SSID=hall, \"north\""));
        assert_eq!((cards[1].dns.as_deref(), cards[1].wifi.as_deref()), (Some("10.0.0.2"), None));
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let text = "gateway,static_ip,colour\npress-1,10.0.0.11,red\npress-2\n\"press-3,,\npress-1,,\n,,\n";
        let error = cards(text).unwrap_err().to_string();
        for expected in [
            "cards.csv:1: there is no column \"colour\"",
            "cards.csv:2: static-ip",
            "cards.csv:3: 1 fields",
            "cards.csv:4: a quote",
            ":5: the gateway \"press-1\" is there twice",
            ":6: no gateway",
        ] {
            assert!(error.contains(expected), "{expected}\nin\n{error}");
        }
    }

    #[test]
    fn a_file_without_a_header_or_without_cards_is_refused() {
        assert!(cards("").unwrap_err().to_string().contains("columns"));
        assert!(cards("press-1,10.0.0.1/24\n").unwrap_err().to_string().contains("\"gateway\" is missing"));
        assert!(cards("gateway\n").unwrap_err().to_string().contains("no card"));
    }
}
