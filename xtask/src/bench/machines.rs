//! Machines for measurements: each says a hundred numbers once a second, in one message over MQTT (QoS 1).

use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

const FIELDS: usize = 100;
const HAND_OVER: Duration = Duration::from_secs(60);

/// As many as there must be for a number of signals.
pub struct Machines {
    all: Vec<Machine>,
    /// Seconds for which they have talked.
    ticks: u32,
}

impl Machines {
    /// Connects them to the broker at `port` of this machine. `signals`: a multiple of a hundred.
    ///
    /// # Errors
    /// If `mosquitto_pub` can't be started.
    pub fn start(signals: usize, port: u16) -> Result<Self> {
        let all = (0..signals.div_ceil(FIELDS)).map(|number| Machine::start(number, port)).collect::<Result<_>>()?;
        Ok(Self { all, ticks: 0 })
    }

    /// For so long each says its numbers once a second, and `check` is asked whether to go on.
    ///
    /// # Errors
    /// If one of them has ended; or that of `check`.
    pub fn talk(&mut self, time: Duration, check: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            check()?;
            let next = Instant::now() + Duration::from_secs(1);
            self.ticks += 1;
            self.all.iter_mut().try_for_each(|machine| machine.say(self.ticks))?;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    /// Ends them, once all they said was acknowledged; how many readings that was.
    ///
    /// # Errors
    /// If one could not hand over what it had said within a minute.
    pub fn end(mut self) -> Result<u64> {
        self.all.iter_mut().for_each(|machine| drop(machine.publisher.stdin.take()));
        let mut left = self.all.len();
        let begun = Instant::now();
        while left > 0 {
            if begun.elapsed() > HAND_OVER {
                bail!("the last messages of {left} machines were not acknowledged within {} s", HAND_OVER.as_secs());
            }
            left = 0;
            for machine in &mut self.all {
                match machine.publisher.try_wait()? {
                    None => left += 1,
                    Some(status) if status.success() => {}
                    Some(status) => bail!("mosquitto_pub failed ({status})"),
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(self.all.len() as u64 * FIELDS as u64 * u64::from(self.ticks))
    }
}

/// A machine that publishes a line as it is written.
struct Machine {
    publisher: Child,
    number: usize,
}

impl Machine {
    fn start(number: usize, port: u16) -> Result<Self> {
        let mut publish = Command::new("mosquitto_pub");
        publish.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-l"]);
        publish.args(["-t", &format!("site/area/line/machine-{number}/telemetry")]);
        let publisher = publish.stdin(Stdio::piped()).spawn().context("mosquitto_pub")?;
        Ok(Self { publisher, number })
    }

    /// Numbers that change as those of a machine do.
    fn say(&mut self, tick: u32) -> Result<()> {
        let value = |field: usize| 50.0 + 10.0 * ((f64::from(tick) + (7 * field + 13 * self.number) as f64) / 30.0).sin();
        let fields: Vec<_> = (0..FIELDS).map(|field| format!("\"signal_{field}\":{:.2}", value(field))).collect();
        let line = format!("{{{}}}\n", fields.join(","));
        self.publisher.stdin.as_mut().context("its input is closed")?.write_all(line.as_bytes()).context("mosquitto_pub ended")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Only when something else failed: after `end` there is nothing to end. It would try for ever to connect again.
        let _ = self.publisher.kill();
        let _ = self.publisher.wait();
    }
}
