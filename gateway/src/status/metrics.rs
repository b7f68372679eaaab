//! The board as Prometheus text. Written by hand: a dozen figures that the board has anyway need no registry beside it.

use std::fmt::Write as _;

use protocol::TimeQuality;

use super::View;

const PREFIX: &str = "millrace_gateway_";

/// Prometheus' text format 0.0.4.
pub(super) fn text(view: &View) -> String {
    let mut out = Exposition(String::with_capacity(4096));
    out.counter("readings_total", "Readings decoded since the start.", view.readings_total);
    out.counter("messages_total", "Messages and polls taken in since the start.", view.messages_total);
    out.family("dropped_total", "counter", "Lost for good since the start, by reason.");
    for (reason, count) in &view.losses {
        out.sample("dropped_total", &[("reason", reason)], *count as f64);
    }
    out.counter("duplicates_total", "Readings that had been taken in before.", view.duplicates_total);
    out.counter("late_total", "Readings that came after their window was closed (sent as corrections).", view.late_total);
    out.counter("anomalies_total", "Anomalies found since the start.", view.anomalies_total);
    out.gauge("signals", "Distinct signals seen.", view.signals as f64);
    out.gauge("open_windows", "Windows that are still being filled.", view.open_windows as f64);
    out.gauge("uncommitted_records", "Records that are not yet durable.", view.uncommitted_records as f64);
    out.gauge("backlog_entries", "Spool entries that the collector has not acknowledged.", view.backlog_entries as f64);
    out.gauge("spool_bytes", "What the spool takes on disk.", view.spool_bytes as f64);
    out.gauge("spool_generations", "Generations of the spool, also those that are acknowledged and kept.", view.spool_generations as f64);
    out.gauge("spool_max_bytes", "The spool's bound.", view.spool_max_bytes as f64);
    if let Some(hours) = view.spool_autonomy_hours {
        out.gauge("spool_autonomy_hours", "For so long the spool has room without the collector.", hours);
    }
    out.gauge("written_bytes_today", "What the process has written since midnight UTC.", view.written_today_bytes as f64);
    out.gauge("write_budget_bytes", "What it may write in a day.", view.write_budget_bytes as f64);
    out.gauge("commit_stretch", "How many times as long intervals are for the sake of the budget.", view.commit_stretch);
    out.gauge("durable", "0 while records can only be kept in memory.", f64::from(u8::from(view.durable)));
    out.family("books_readings", "gauge", "The account of readings since the gateway was set up.");
    let books = view.books;
    let accounts = [
        ("taken", books.taken),
        ("lost_after", books.lost_after),
        ("lost_before", books.lost_before),
        ("duplicates", books.duplicates),
        ("late", books.late),
        ("open", books.open),
        ("held", books.held),
    ];
    for (account, readings) in accounts {
        out.sample("books_readings", &[("account", account)], readings as f64);
    }
    out.gauge("oldest_unsent_age_seconds", "Age of the oldest record that the collector does not have.", view.oldest_unsent_age_s);
    let upload = &view.upload;
    out.family("backlog_lane_entries", "gauge", "Spool entries that the collector has not acknowledged, by lane.");
    out.sample("backlog_lane_entries", &[("lane", "urgent")], upload.backlog_urgent as f64);
    out.sample("backlog_lane_entries", &[("lane", "data")], upload.backlog_data as f64);
    out.gauge("catch_up_entries", "Entries that have gathered in earlier generations of the spool.", upload.catch_up_entries as f64);
    out.gauge("catch_up_entries_per_second", "How fast the collector takes these.", upload.catch_up_rate);
    out.gauge("catch_up_held_seconds", "For so long the collector holds these back.", upload.catch_up_held_s);
    out.family("upload_breaker", "gauge", "1 for the state of the uploader's circuit breaker.");
    for state in ["closed", "open", "half_open"] {
        out.sample("upload_breaker", &[("state", state)], f64::from(u8::from(upload.breaker == state)));
    }
    out.counter("dead_letters_total", "Entries that the collector refused for good since the start.", upload.dead_letters_total);
    out.gauge("connected", "1 if the collector took the last batch.", f64::from(u8::from(view.connected)));
    out.gauge("clock_known", "1 if the time is known.", f64::from(u8::from(view.time.quality != TimeQuality::Unsynced)));
    out.counter("clock_jumps_total", "Jumps of the system's clock since the start.", view.time.jumps_total);
    out.gauge("healthy", "1 if data flows.", f64::from(u8::from(view.healthy)));
    out.family("source_connected", "gauge", "1 if the source is connected.");
    for source in &view.sources {
        out.sample("source_connected", &[("source", &source.name), ("kind", &source.kind)], f64::from(u8::from(source.connected)));
    }
    out.family("source_readings_total", "counter", "Readings by source.");
    for source in &view.sources {
        out.sample("source_readings_total", &[("source", &source.name), ("kind", &source.kind)], source.readings_total as f64);
    }
    out.family("source_polls_skipped_total", "counter", "Polls left out because the one before took longer than the interval.");
    for source in &view.sources {
        out.sample("source_polls_skipped_total", &[("source", &source.name), ("kind", &source.kind)], source.polls_skipped_total as f64);
    }
    out.family("info", "gauge", "Always 1; names the gateway and its version.");
    out.sample("info", &[("gateway", &view.gateway), ("version", view.version)], 1.0);
    out.0
}

struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.0, "{PREFIX}{name}");
        for (i, (label, text)) in labels.iter().enumerate() {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{escaped}\"", if i == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value as f64);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_can_not_break_the_format() {
        let mut out = Exposition(String::new());
        out.sample("x", &[("source", "a\"b\\c\nd"), ("kind", "k")], 2.5);
        assert_eq!(out.0, "millrace_gateway_x{source=\"a\\\"b\\\\c\\nd\",kind=\"k\"} 2.5\n");
    }
}
