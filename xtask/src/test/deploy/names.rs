//! Names of metrics: those that the code makes, and those that a question in PromQL asks for.
//!
//! Pure. The code is read as text: a metric is made by `metrics::counter!`, `gauge!` or `histogram!` in the collector, and by the methods of
//! `Exposition` in the gateway.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

/// Names of series, each with its labels.
pub type Series = BTreeMap<String, BTreeSet<String>>;

/// What the collector's code makes, added to `series`.
pub fn of_macros(code: &str, series: &mut Series) {
    for (kind, call) in ["counter", "gauge", "histogram"].iter().flat_map(|kind| calls(code, &format!("metrics::{kind}!("), kind)) {
        let Some(name) = literal(call) else { continue };
        let labels = call.match_indices("\" =>").filter_map(|(end, _)| call[..end].rsplit('"').next()).filter(|label| is_name(label));
        let mut labels: BTreeSet<String> = labels.map(str::to_owned).collect();
        if kind == "histogram" {
            for part in ["_sum", "_count"] {
                series.entry(format!("{name}{part}")).or_default().extend(labels.clone());
            }
            // Without buckets they are rendered as summaries.
            labels.insert("quantile".into());
        }
        series.entry(name.to_owned()).or_default().extend(labels);
    }
}

/// What the gateway's `Exposition` writes, added to `series`.
///
/// # Errors
/// The prefix of all names is not where it was.
pub fn of_exposition(code: &str, series: &mut Series) -> Result<()> {
    let prefix =
        code.split_once("const PREFIX: &str = ").and_then(|(_, rest)| literal(rest)).context("the gateway's metrics have no PREFIX")?;
    // Tests write what no gateway does.
    let code = code.split("#[cfg(test)]").next().unwrap_or(code);
    for (_, call) in ["counter", "gauge", "family", "sample"].iter().flat_map(|method| calls(code, &format!("out.{method}("), method)) {
        let Some(name) = literal(call) else { continue };
        let labels = call.split("(\"").skip(1).filter_map(|rest| rest.split_once("\", ")).map(|(label, _)| label.to_owned());
        series.entry(format!("{prefix}{name}")).or_default().extend(labels.filter(|label| is_name(label)));
    }
    Ok(())
}

/// What is wrong with a question, given the series that there are, and the code that tells which values labels have.
pub fn faults(question: &str, series: &Series, code: &str) -> Vec<String> {
    let mut faults = Vec::new();
    // `up` and these labels are Prometheus' own.
    let mut allowed: BTreeSet<&str> = BTreeSet::from(["instance", "job"]);
    let mut rest = question;
    let mut asked = 0;
    while let Some(start) = rest.find("millrace_") {
        rest = &rest[start..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        asked += 1;
        let Some(labels) = series.get(name) else {
            faults.push(format!("{name}: no code makes such a metric"));
            continue;
        };
        allowed.extend(labels.iter().map(String::as_str));
        let Some((matchers, _)) = after.strip_prefix('{').and_then(|matchers| matchers.split_once('}')) else { continue };
        for matcher in matchers.split(',') {
            let label = matcher.split(['=', '!']).next().unwrap_or_default().trim();
            if !(labels.contains(label) || ["instance", "job"].contains(&label)) {
                faults.push(format!("{name}: has no label {label:?}"));
            }
            let value = matcher.rsplit('"').nth(1).unwrap_or_default();
            if !matcher.contains('~') && !code.contains(&format!("\"{value}\"")) {
                faults.push(format!("{name}: {label} is never {value:?}"));
            }
        }
    }
    for by in question.split("by (").skip(1).filter_map(|rest| rest.split(')').next()) {
        for label in by.split(',').map(str::trim).filter(|label| !allowed.contains(label)) {
            faults.push(format!("{question}: nothing in it has the label {label:?}"));
        }
    }
    if asked == 0 && !question.contains("up{") {
        faults.push(format!("{question}: asks for no metric of Millrace"));
    }
    faults
}

/// What follows each `start`, up to the statement's end.
fn calls<'c, 'k>(code: &'c str, start: &str, kind: &'k str) -> Vec<(&'k str, &'c str)> {
    code.split(start).skip(1).map(|call| (kind, call.split(';').next().unwrap_or_default())).collect()
}

/// The text literal that `code` begins with.
fn literal(code: &str) -> Option<&str> {
    code.trim_start().strip_prefix('"')?.split('"').next()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLLECTOR: &str = r#"
        metrics::describe_counter!("millrace_collector_described_only_total", "Never counted.");
        metrics::counter!("millrace_collector_batches_total", "outcome" => outcome).increment(1);
        metrics::histogram!(
            "millrace_collector_commit_duration_seconds"
        ).record(1.0);
        for of in ["stored", "lost"] { metrics::gauge!("millrace_collector_audit_readings", "of" => of).set(1.0); }
    "#;
    const GATEWAY: &str = r#"const PREFIX: &str = "millrace_gateway_";
        out.counter("readings_total", "Readings.", 1);
        out.family("upload_breaker", "gauge", "1 for the state.");
        out.sample("upload_breaker", &[("state", state)], 1.0);
        #[cfg(test)] fn f() { out.sample("x", &[]); }"#;

    fn series() -> Series {
        let mut series = Series::new();
        of_macros(COLLECTOR, &mut series);
        of_exposition(GATEWAY, &mut series).unwrap();
        series
    }

    #[test]
    fn names_and_labels_are_those_of_the_code() {
        let series = series();
        let names: Vec<&str> = series.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "millrace_collector_audit_readings",
                "millrace_collector_batches_total",
                "millrace_collector_commit_duration_seconds",
                "millrace_collector_commit_duration_seconds_count",
                "millrace_collector_commit_duration_seconds_sum",
                "millrace_gateway_readings_total",
                "millrace_gateway_upload_breaker",
            ]
        );
        assert!(series["millrace_collector_batches_total"].contains("outcome"));
        assert!(series["millrace_gateway_upload_breaker"].contains("state"));
        assert!(series["millrace_collector_commit_duration_seconds"].contains("quantile"));
    }

    #[test]
    fn a_renamed_metric_label_or_value_is_found() {
        let of = |question: &str| faults(question, &series(), COLLECTOR).join("; ");
        assert_eq!(of("sum by (outcome) (rate(millrace_collector_batches_total[5m]))"), "");
        assert_eq!(of(r#"sum(millrace_collector_audit_readings{of="lost", instance=~"a"})"#), "");
        assert!(of("rate(millrace_collector_batch_total[5m])").contains("millrace_collector_batch_total"));
        assert!(of("millrace_collector_described_only_total").contains("no code makes"));
        assert!(of(r#"millrace_collector_audit_readings{kind="lost"}"#).contains("no label"));
        assert!(of(r#"millrace_collector_audit_readings{of="gone"}"#).contains("is never"));
        assert!(of("sum by (reason) (millrace_collector_batches_total)").contains("reason"));
        assert!(of("sum(node_load1)").contains("no metric"));
    }
}
