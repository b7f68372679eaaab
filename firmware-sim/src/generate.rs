//! Makes plants: a `plant.toml` for any number of machines and gateways.
//!
//! Pure: the same options give the same text. Within each gateway every third machine speaks Modbus, the others MQTT; every other machine
//! gets a fault within its first minute, of each kind in turn.

use std::{fmt::Write, net::SocketAddr};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What to make.
#[derive(Debug, Clone, PartialEq)]
pub struct PlantOptions {
    pub machines: usize,
    pub seed: u64,
    pub pace: f64,
    /// Per gateway: its name and its MQTT broker.
    pub gateways: Vec<(String, SocketAddr)>,
    /// Ports for the Modbus machines, in order; at least [`modbus_machines`] of them.
    pub modbus: Vec<SocketAddr>,
    /// Whether faults are injected.
    pub faults: bool,
}

/// One machine of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    pub asset: String,
    /// Index into the gateways.
    pub gateway: usize,
    /// Where it listens, if it is polled; otherwise it publishes to its gateway's broker.
    pub modbus: Option<SocketAddr>,
    pub ideal_cycle_time_s: f64,
}

/// A plan that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    #[error("a plant needs at least one gateway")]
    NoGateway,
    #[error("a plant needs at least one machine")]
    NoMachine,
    #[error("{needed} Modbus machines need as many ports, not {given}")]
    TooFewPorts { needed: usize, given: usize },
}

const AREAS: &[(&str, &str)] = &[("press-shop", "press"), ("machining", "mill"), ("assembly", "robot"), ("packaging", "packer")];
const MACHINES_PER_LINE: usize = 3;

/// How many of `machines` will speak Modbus.
#[must_use]
pub fn modbus_machines(machines: usize, gateways: usize) -> usize {
    (0..machines).filter(|index| is_modbus(*index, gateways.max(1))).count()
}

/// Who is who in the plant: for those who configure gateways and collectors to match.
///
/// # Errors
/// If there is no gateway or machine, or too few ports.
pub fn plan(options: &PlantOptions) -> Result<Vec<Planned>, GenerateError> {
    let gateways = options.gateways.len();
    if gateways == 0 {
        return Err(GenerateError::NoGateway);
    }
    if options.machines == 0 {
        return Err(GenerateError::NoMachine);
    }
    let needed = modbus_machines(options.machines, gateways);
    if options.modbus.len() < needed {
        return Err(GenerateError::TooFewPorts { needed, given: options.modbus.len() });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut ports = options.modbus.iter().copied();
    let planned = |index: usize| {
        let (gateway, place) = (index % gateways, index / gateways);
        let (area, kind) = AREAS[gateway % AREAS.len()];
        let hall = gateway / AREAS.len() + 1;
        Planned {
            asset: format!("plant{hall}/{area}/line{}/{kind}-{}", place / MACHINES_PER_LINE + 1, place + 1),
            gateway,
            modbus: is_modbus(index, gateways).then(|| ports.next()).flatten(),
            ideal_cycle_time_s: [1.2, 1.5, 1.8, 2.0, 2.5, 3.0][rng.random_range(0..6)],
        }
    };
    Ok((0..options.machines).map(planned).collect())
}

/// The plan as the text of a `plant.toml`.
///
/// # Errors
/// As [`plan`].
pub fn plant_toml(options: &PlantOptions) -> Result<String, GenerateError> {
    let mut text = format!("[plant]\nseed = {}\npace = {:?}\n", options.seed & (u64::MAX >> 1), options.pace);
    // Apart from the plan's, so that leaving out faults changes nothing else.
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    rng.set_stream(1);
    for (index, machine) in plan(options)?.iter().enumerate() {
        let (name, broker) = &options.gateways[machine.gateway];
        let link = match machine.modbus {
            Some(listen) => format!("link = \"modbus\"\nlisten = \"{listen}\""),
            None => format!("link = \"mqtt\"\naddress = \"{broker}\""),
        };
        let (reject, warm, vibration, power) =
            (rng.random_range(0.01..0.05), rng.random_range(48.0..66.0), rng.random_range(1.2..2.4), rng.random_range(3.0..9.0));
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n[[machine]]\nasset = \"{}\"\ngateway = \"{name}\"\n{link}\nideal_cycle_time = \"{}s\"\nreject_ratio = {reject:.3}\n\
             warm_temperature = {warm:.1}\nvibration = {vibration:.2}\npower = {power:.1}\n",
            machine.asset, machine.ideal_cycle_time_s
        );
        if options.faults && index % 2 == 1 {
            let (after, lasts) = (rng.random_range(15.0..30.0), rng.random_range(10.0..20.0));
            let kind = match (index / 2) % 4 {
                0 => "kind = \"bearing_wear\"\nmagnitude = 7.0",
                1 => "kind = \"temperature_spike\"\nmagnitude = 40.0",
                2 => "kind = \"stuck_sensor\"\nsignal = \"active_power\"",
                _ => "kind = \"noise\"\nsignal = \"vibration_velocity\"\nmagnitude = 2.0",
            };
            let _ = write!(text, "\n[[machine.fault]]\n{kind}\nafter = \"{after:.1}s\"\nlasts = \"{lasts:.1}s\"\n");
        }
    }
    Ok(text)
}

fn is_modbus(index: usize, gateways: usize) -> bool {
    (index / gateways) % 3 == 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Link, PlantConfig};

    fn options(machines: usize, gateways: usize) -> PlantOptions {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        PlantOptions {
            machines,
            seed: 42,
            pace: 1.0,
            gateways: (0..gateways).map(|index| (format!("gateway-{}", index + 1), address(1_883 + index as u16))).collect(),
            modbus: (0..modbus_machines(machines, gateways)).map(|index| address(5_021 + index as u16)).collect(),
            faults: true,
        }
    }

    #[test]
    fn what_is_made_is_a_valid_configuration_that_says_the_same_as_the_plan() {
        for (machines, gateways) in [(1, 1), (12, 2), (100, 7)] {
            let options = options(machines, gateways);
            let config = PlantConfig::parse(&plant_toml(&options).unwrap()).unwrap();
            let plan = plan(&options).unwrap();
            assert_eq!(config.machines.len(), machines);
            for (machine, planned) in config.machines.iter().zip(&plan) {
                assert_eq!(&*machine.asset, planned.asset);
                assert_eq!(machine.spec.ideal_cycle.as_secs_f64(), planned.ideal_cycle_time_s);
                let listen = if let Link::Modbus { listen, .. } = machine.link { Some(listen) } else { None };
                assert_eq!(listen, planned.modbus);
            }
        }
    }

    #[test]
    fn twelve_machines_on_two_gateways_have_both_links_on_each() {
        let plan = plan(&options(12, 2)).unwrap();
        for gateway in 0..2 {
            let own = || plan.iter().filter(|machine| machine.gateway == gateway);
            assert_eq!((own().count(), own().filter(|machine| machine.modbus.is_some()).count()), (6, 2));
        }
    }

    #[test]
    fn the_same_options_give_the_same_text_and_another_seed_another() {
        let text = |seed| plant_toml(&PlantOptions { seed, ..options(12, 2) }).unwrap();
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
        assert!(!plant_toml(&PlantOptions { faults: false, ..options(12, 2) }).unwrap().contains("fault"));
    }

    #[test]
    fn impossible_plans_are_refused() {
        assert_eq!(plan(&options(12, 0)), Err(GenerateError::NoGateway));
        assert_eq!(plan(&options(0, 1)), Err(GenerateError::NoMachine));
        let few = PlantOptions { modbus: vec![], ..options(12, 2) };
        assert_eq!(plan(&few), Err(GenerateError::TooFewPorts { needed: 4, given: 0 }));
    }
}
