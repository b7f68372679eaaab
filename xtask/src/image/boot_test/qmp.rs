//! qemu's control socket (QMP): one JSON object a line, a greeting first, then answers to commands with events in between.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Qmp {
    lines: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects and ends the negotiation, after which commands are taken.
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| format!("qemu's control socket {}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Self { lines: BufReader::new(stream) };
        let greeting = qmp.line()?;
        if greeting.get("QMP").is_none() {
            bail!("expected qemu's greeting, got {greeting}");
        }
        qmp.command("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs one command; what it returns.
    pub fn command(&mut self, name: &str, arguments: Value) -> Result<Value> {
        let mut line = json!({ "execute": name, "arguments": arguments }).to_string();
        line.push('\n');
        self.lines.get_mut().write_all(line.as_bytes()).with_context(|| format!("qemu takes no `{name}`"))?;
        loop {
            if let Some(answer) = answer(&self.line()?) {
                return answer.with_context(|| format!("qemu refused `{name}`"));
            }
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.lines.read_line(&mut line).context("qemu's control socket says nothing")? == 0 {
            bail!("qemu closed its control socket");
        }
        serde_json::from_str(&line).with_context(|| format!("qemu said {line:?}"))
    }
}

/// What a command returned, or why it was refused; nothing if the line is an event.
fn answer(line: &Value) -> Option<Result<Value>> {
    if let Some(error) = line.get("error") {
        return Some(Err(anyhow::anyhow!("{}", error["desc"].as_str().unwrap_or("no reason given"))));
    }
    line.get("return").map(|value| Ok(value.clone()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn events_are_no_answers_and_errors_say_why() {
        assert!(answer(&json!({"event": "POWERDOWN"})).is_none());
        assert_eq!(answer(&json!({"return": {"a": 1}})).unwrap().unwrap(), json!({"a": 1}));
        let error = answer(&json!({"error": {"class": "GenericError", "desc": "no such device"}})).unwrap().unwrap_err();
        assert_eq!(error.to_string(), "no such device");
    }

    #[test]
    fn a_command_gets_its_own_answer_though_an_event_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("qmp");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream);
            let mut line = String::new();
            lines.get_mut().write_all(b"{\"QMP\": {}}\n").unwrap();
            lines.read_line(&mut line).unwrap();
            lines.get_mut().write_all(b"{\"return\": {}}\n").unwrap();
            lines.read_line(&mut line).unwrap();
            lines.get_mut().write_all(b"{\"event\": \"NIC_RX_FILTER_CHANGED\"}\n{\"return\": {\"status\": \"running\"}}\n").unwrap();
            line
        });
        let mut qmp = Qmp::connect(&socket).unwrap();
        assert_eq!(qmp.command("query-status", json!({})).unwrap()["status"], "running");
        assert!(server.join().unwrap().contains("\"query-status\""));
    }
}
