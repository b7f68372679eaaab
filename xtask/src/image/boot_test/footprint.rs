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
use crate::{
    bench::{
        footprint::{SIGNALS, WARM_UP, WATCHED},
        machines::Machines,
    },
    setup,
};

/// What a gateway may take at rest, in bytes.
const AT_REST: u64 = 12_000_000;

pub fn run(context: &mut Context<'_>) -> Result<()> {
    setup::debian("the footprint", &[("/usr/bin/mosquitto_pub", "mosquitto-clients")])?;
    let mut stage = context.stage("footprint", &Setting::default())?;
    let transcript = &mut context.transcript;
    stage.guest.power_on(true)?;
    stage.healthy()?;
    stage.guest.wait_for("enrolment", BOOT_LIMIT, 0, &|m| matches!(m, Marker::Enrolled { .. }))?;
    stage.guest.wait_for_ssh()?;
    for signals in SIGNALS {
        stage.guest.ssh("systemctl restart millrace-gateway")?;
        let start = start(
            &stage.guest.ssh("systemctl show millrace-gateway --property ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic")?,
        )?;
        let mut machines = Machines::start(signals, stage.guest.mqtt.port())?;
        machines.talk(WARM_UP)?;
        let (before, at) = (stage.guest.usage()?, Instant::now());
        machines.talk(WATCHED)?;
        let after = stage.guest.usage()?;
        let cpu = (after.cpu - before.cpu) / at.elapsed().as_secs_f64();
        let said = machines.end()?;
        let told = format!(
            "start {} ms, resident {}, of it anonymous {}, peak {}, CPU {:.1} % of an emulated core; {said} readings",
            start.as_millis(),
            megabytes(after.resident),
            megabytes(after.anonymous),
            megabytes(after.peak),
            cpu * 100.0
        );
        let too_much = signals == 0 && after.resident > AT_REST;
        let faults: Vec<String> = too_much.then(|| format!("more than {} at rest", megabytes(AT_REST))).into_iter().collect();
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
