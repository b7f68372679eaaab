//! The board as one plain HTML page that needs nothing else: for a person with a laptop at the machine.

use std::fmt::Write as _;

use super::{View, view::text};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222;background:#f4f4f2}\
h1{font-size:1.3rem}h2{font-size:1rem;margin-top:2rem}table{border-collapse:collapse;width:100%;background:#fff}\
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}th{font-weight:600;color:#555}\
td.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#a40000;font-weight:600}.ok{color:#555}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}table{background:#262626}th,td{border-color:#3a3a3a}th,.ok{color:#aaa}.bad{color:#ff8a80}}";

pub(super) fn html(view: &View) -> String {
    let mut out = String::with_capacity(8192);
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"5\"><title>{0} - Millrace gateway</title><style>{STYLE}</style></head><body><h1>Gateway {0}</h1>",
        escape(&view.gateway)
    );
    if view.problems.is_empty() {
        out.push_str("<p class=\"ok\">&#10003; Data flows.</p>");
    }
    for problem in &view.problems {
        let _ = write!(out, "<p class=\"bad\">&#9888; {}</p>", escape(problem));
    }
    for warning in &view.warnings {
        let _ = write!(out, "<p class=\"bad\">&#9888; {}</p>", escape(warning));
    }
    if !view.upload_trouble.is_empty() {
        let _ = write!(out, "<p class=\"bad\">&#9888; Not uploading (records are kept): {}</p>", escape(&view.upload_trouble));
    }
    out.push_str("<h2>Now</h2><table>");
    row(&mut out, "Readings since start", &view.readings_total.to_string());
    row(&mut out, "Lost for good since start", &view.dropped_total.to_string());
    row(&mut out, "Duplicates left out", &view.duplicates_total.to_string());
    row(&mut out, "Signals of machines", &format!("{} of {}", view.signals, view.assets));
    row(&mut out, "Windows being filled", &view.open_windows.to_string());
    row(&mut out, "Spool entries waiting for the collector", &view.backlog_entries.to_string());
    let upload = &view.upload;
    row(&mut out, "Of these urgent", &upload.backlog_urgent.to_string());
    row(
        &mut out,
        "Of these from before the last outage",
        &format!("{} ({:.1} a second are taken)", upload.catch_up_entries, upload.catch_up_rate),
    );
    row(&mut out, "Age of the oldest of them", &format!("{:.0} s", view.oldest_unsent_age_s));
    row(&mut out, "Spool on disk", &format!("{:.1} MiB (limit {:.0} MiB)", mib(view.spool_bytes), mib(view.spool_max_bytes)));
    let autonomy = view.spool_autonomy_hours.map_or_else(|| "not known yet".into(), |hours| format!("about {hours:.0} h"));
    row(&mut out, "Room without the collector", &autonomy);
    row(&mut out, "Written today", &format!("{:.1} MiB (budget {:.0} MiB)", mib(view.written_today_bytes), mib(view.write_budget_bytes)));
    row(&mut out, "Collector last answered", &view.last_upload_at.and_then(text).unwrap_or_else(|| "never".into()));
    row(&mut out, "Breaker", upload.breaker);
    row(&mut out, "Last error of an upload", if upload.last_error.is_empty() { "none" } else { &upload.last_error });
    row(&mut out, "Started", &view.started_at.and_then(text).unwrap_or_default());
    row(&mut out, "Version", view.version);
    out.push_str("</table><h2>Sources</h2><table><tr><th>Source</th><th>Kind</th><th>State</th><th>Last data</th><th>Readings</th><th>Last error</th></tr>");
    for source in &view.sources {
        let state =
            if source.connected { "<span class=\"ok\">connected</span>" } else { "<span class=\"bad\">&#9888; not connected</span>" };
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{state}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            escape(&source.name),
            escape(&source.kind),
            source.last_data_at.and_then(text).unwrap_or_else(|| "never".into()),
            source.readings_total,
            escape(&source.error)
        );
    }
    out.push_str("</table><h2>Losses by reason</h2><table>");
    if view.losses.is_empty() {
        out.push_str("<tr><td class=\"ok\">none</td></tr>");
    }
    for (reason, count) in &view.losses {
        row(&mut out, reason, &count.to_string());
    }
    out.push_str("</table><p class=\"ok\">As JSON: <a href=\"/status\">/status</a> &middot; <a href=\"/health\">/health</a> &middot; Prometheus: <a href=\"/metrics\">/metrics</a></p></body></html>");
    out
}

fn row(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, "<tr><th>{}</th><td class=\"n\">{}</td></tr>", escape(name), escape(value));
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// Source names and errors may hold what a device or a stranger sent.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_says_is_text_and_never_markup() {
        assert_eq!(escape("<script>\"a&b\"</script>"), "&lt;script&gt;&quot;a&amp;b&quot;&lt;/script&gt;");
    }
}
