//! What the gateway takes of an emulated arm64 machine with no, 100 and 10,000 signals: start, memory and CPU as that machine's own kernel counts
//! them, so that the emulator is not in the memory. (It is in the CPU: an emulated core is many times slower than one of silicon.)

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{
    console::Marker,
    guest::BOOT_LIMIT,
    megabytes,
    stage::{Context, Setting},
};
use crate::bench::{
    footprint::{SIGNALS, WARM_UP, WATCHED},
    machines::Machines,
};

/// What a gateway may take at rest, in bytes.
const AT_REST: u64 = 12_000_000;
/// Its exit code says whether the gateway is healthy, which one with silent machines is not.
const STATUS: &str = "millrace-gateway status --config /etc/millrace/gateway.toml --json || true";
const STARTED: &str = "systemctl show millrace-gateway --property ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic";

pub fn run(context: &mut Context<'_>) -> Result<()> {
    let mut stage = context.stage("footprint", &Setting::default())?;
    let transcript = &mut context.transcript;
    stage.guest.power_on(true)?;
    stage.healthy()?;
    stage.guest.wait_for("enrolment", BOOT_LIMIT, 0, &|m| matches!(m, Marker::Enrolled { .. }))?;
    stage.guest.wait_for_ssh()?;
    for signals in SIGNALS {
        stage.guest.ssh("systemctl restart millrace-gateway")?;
        let start = start(&stage.guest.ssh(STARTED)?)?;
        let mut machines = Machines::start(signals, stage.guest.mqtt.port())?;
        let at = Instant::now();
        machines.talk(WARM_UP, &mut || stage.check())?;
        let before = stage.guest.usage()?;
        machines.talk(WATCHED, &mut || stage.check())?;
        let after = stage.guest.usage()?;
        let made = machines.end()?;
        let mut faults = Vec::new();
        if before.process != after.process {
            faults.push("the gateway was started anew meanwhile".to_owned());
        }
        let status: serde_json::Value = serde_json::from_str(&stage.guest.ssh(STATUS)?)?;
        let read = status["readings_total"].as_u64().context("readings_total of the gateway's status")?;
        if read != made {
            faults.push(format!("{made} readings were made, and the gateway tells of {read}"));
        }
        if signals == 0 && after.resident > AT_REST {
            faults.push(format!("more than {} at rest", megabytes(AT_REST)));
        }
        let told = format!(
            "start {} ms, resident {}, of it anonymous {}, peak {}, CPU {:.1} % of an emulated core; {read} readings",
            start.as_millis(),
            megabytes(after.resident),
            megabytes(after.anonymous),
            megabytes(after.peak),
            (after.cpu - before.cpu) / (after.uptime - before.uptime) * 100.0
        );
        transcript.judged(&format!("{signals} signals"), at.elapsed(), &told, &faults);
    }
    stage.guest.power_off()?;
    stage.plant.end_collector()
}

/// From the first instruction of the program to its word that it is ready, of systemd's account.
fn start(properties: &str) -> Result<Duration> {
    let of = |name: &str| {
        let value = properties.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.trim().parse().ok()).with_context(|| format!("no {name} in {properties:?}"))
    };
    let (begun, ready): (u64, u64) = (of("ExecMainStartTimestampMonotonic")?, of("ActiveEnterTimestampMonotonic")?);
    Ok(Duration::from_micros(ready.saturating_sub(begun)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_the_time_between_systemds_two_moments() {
        let told = "ExecMainStartTimestampMonotonic=21000000\nActiveEnterTimestampMonotonic=21350000\n";
        assert_eq!(start(told).unwrap(), Duration::from_millis(350));
        assert!(start("ActiveEnterTimestampMonotonic=5\n").is_err());
    }
}
