//! Each unmodified driver reads back what its model feels; a broken bus is an error, not a panic.

use std::cell::RefCell;

use ::ina219::{
    SyncIna219,
    address::Address,
    calibration::{IntCalibration, MicroAmpere},
};
use ::lis2dh12::{FullScale, Lis2dh12, Mode, Odr, RawAccelerometer, SlaveAddr};
use ads1x1x::{Ads1x1x, FullScaleRange, TargetAddr, channel};
use embedded_hal::i2c::Error as _;
use embedded_hal_bus::i2c::RefCellDevice;

use super::{bme280::Air, lis2dh12::Shaking, *};
use crate::device::{SensorError, SensorNode};

const ADDRESS: u8 = 0x40;

#[test]
fn bme280_reads_back_the_air_over_its_whole_range() {
    for (celsius, pascal, relative_humidity) in
        [(-20.0, 87_000.0, 5.0), (0.0, 95_000.0, 30.0), (24.0, 101_325.0, 45.0), (60.0, 104_000.0, 80.0), (84.0, 108_000.0, 15.0)]
    {
        let bus = SimI2c::new();
        bus.attach(0x76, Bme280Model::new(Air { celsius, pascal, relative_humidity }));
        let mut driver = ::bme280::i2c::BME280::new_primary(bus.clone());
        let mut delay = bus.delay();
        driver.init(&mut delay).unwrap();
        let read = driver.measure(&mut delay).unwrap();
        assert!((f64::from(read.temperature) - celsius).abs() < 0.011, "{} for {celsius}", read.temperature);
        // 0.18 Pa is the chip's; single precision in the driver costs the rest.
        assert!((f64::from(read.pressure) - pascal).abs() < 2.0, "{} for {pascal}", read.pressure);
        assert!((f64::from(read.humidity) - relative_humidity).abs() < 0.02, "{} for {relative_humidity}", read.humidity);
    }
}

#[test]
fn bme280_follows_the_air_from_measurement_to_measurement() {
    let bus = SimI2c::new();
    let chip = bus.attach(0x76, Bme280Model::new(Air { celsius: 20.0, pascal: 101_325.0, relative_humidity: 40.0 }));
    let (mut driver, mut delay) = (::bme280::i2c::BME280::new_primary(bus.clone()), bus.delay());
    driver.init(&mut delay).unwrap();
    let first = driver.measure(&mut delay).unwrap().temperature;
    chip.lock().air.celsius = 30.0;
    let second = driver.measure(&mut delay).unwrap().temperature;
    assert!((second - first - 10.0).abs() < 0.02, "{first} then {second}");
}

#[test]
fn ina219_reads_back_volts_and_amperes_and_computes_power() {
    let bus = SimI2c::new();
    let chip = bus.attach(ADDRESS, Ina219Model::new(0.1));
    // 100 uA a digit across 0.1 ohm.
    let calibration = IntCalibration::new(MicroAmpere(100), 100_000).unwrap();
    let mut driver = SyncIna219::new_calibrated(bus.clone(), Address::from_byte(ADDRESS).unwrap(), calibration).unwrap();
    let mut delay = bus.delay();
    for (volts, amperes) in [(0.0, 0.0), (5.0, 0.25), (24.0, 1.75), (26.0, 2.4)] {
        {
            let mut chip = chip.lock();
            (chip.volts, chip.amperes) = (volts, amperes);
        }
        delay.delay_ms(2);
        let read = driver.next_measurement().unwrap().expect("a conversion has ended");
        assert!((f64::from(read.bus_voltage.voltage_mv()) / 1e3 - volts).abs() <= 0.004, "{:?}", read.bus_voltage);
        assert!((f64::from(read.shunt_voltage.shunt_voltage_uv()) / 1e6 / 0.1 - amperes).abs() <= 0.000_11, "{:?}", read.shunt_voltage);
        assert!((read.current.0 as f64 / 1e6 - amperes).abs() <= 0.001, "{:?}", read.current);
        assert!((read.power.0 as f64 / 1e6 - volts * amperes).abs() <= 0.05, "{:?}", read.power);
    }
    assert!(driver.next_measurement().unwrap().is_none(), "no new conversion has ended since the power register was read");
}

#[test]
fn ina219_resets_itself_and_its_calibration_on_the_reset_bit() {
    let mut chip = Ina219Model::new(0.1);
    let mut word = [0; 2];
    assert!(chip.write(0, &[5, 0x10, 0x01]));
    chip.read(0, &mut word);
    assert_eq!(word, [0x10, 0x00], "the lowest bit of the calibration cannot be set");
    assert!(chip.write(0, &[0, 0x80, 0x00]));
    chip.read(0, &mut word);
    assert_eq!(u16::from_be_bytes(word), 0x399F);
    assert!(chip.write(0, &[5]));
    chip.read(0, &mut word);
    assert_eq!(word, [0, 0]);
    assert!(!chip.write(0, &[9]), "there is no register 9");
}

#[test]
fn ads1115_reads_back_every_input_at_every_gain() {
    let bus = SimI2c::new();
    let chip = bus.attach(0x48, Ads1115Model::new());
    chip.lock().inputs = [0.2, 0.1, -0.05, 0.0];
    let mut driver = Ads1x1x::new_ads1115(bus.clone(), TargetAddr::Gnd);
    let mut delay = bus.delay();
    macro_rules! volts {
        ($channel:expr, $scale:expr) => {{
            let mut polls = 0;
            loop {
                match driver.read($channel) {
                    Ok(counts) => {
                        assert!(polls > 1, "a conversion takes time");
                        break f64::from(counts) / 32_768.0 * $scale;
                    }
                    Err(nb::Error::WouldBlock) => delay.delay_ms(1),
                    Err(other) => panic!("{other:?}"),
                }
                polls += 1;
            }
        }};
    }
    for (range, scale) in [
        (FullScaleRange::Within6_144V, 6.144),
        (FullScaleRange::Within2_048V, 2.048),
        (FullScaleRange::Within0_512V, 0.512),
        (FullScaleRange::Within0_256V, 0.256),
    ] {
        driver.set_full_scale_range(range).unwrap();
        let count = scale / 32_768.0;
        assert!((volts!(channel::SingleA0, scale) - 0.2).abs() <= count);
        assert!((volts!(channel::SingleA2, scale) + 0.05).abs() <= count);
        assert!((volts!(channel::DifferentialA0A1, scale) - 0.1).abs() <= count);
    }
    chip.lock().inputs[0] = 9.0;
    assert!((volts!(channel::SingleA0, 0.256) - 0.256).abs() < 1e-5, "an input above the range saturates");
}

#[test]
fn lis2dh12_reads_back_gravity_and_the_amplitude_of_a_sine() {
    let bus = SimI2c::new();
    let chip = bus.attach(0x18, Lis2dh12Model::new());
    chip.lock().shaking = Shaking { rms_g: 0.5, hertz: 10.0 };
    let mut driver = Lis2dh12::new(bus.clone(), SlaveAddr::Default).unwrap();
    driver.set_mode(Mode::HighResolution).unwrap();
    driver.set_fs(FullScale::G2).unwrap();
    driver.enable_axis((true, true, true)).unwrap();
    driver.set_odr(Odr::Hz400).unwrap();
    let mut delay = bus.delay();
    let mut peak = 0_i16;
    for _ in 0..200 {
        delay.delay_us(2_000);
        let raw = driver.accel_raw().unwrap();
        assert_eq!((raw.y >> 4, raw.z >> 4), (0, 1_000), "1 mg a digit: nothing along y, 1 g along z");
        peak = peak.max(raw.x >> 4);
    }
    assert!((705..=708).contains(&peak), "{peak} mg for 0.5 g RMS");
}

#[test]
fn lis2dh12_is_coarser_in_the_modes_of_fewer_bits() {
    let bus = SimI2c::new();
    let chip = bus.attach(0x18, Lis2dh12Model::new());
    chip.lock().shaking = Shaking { rms_g: 0.3, hertz: 7.0 };
    let mut driver = Lis2dh12::new(bus.clone(), SlaveAddr::Default).unwrap();
    driver.set_odr(Odr::Hz400).unwrap();
    driver.enable_axis((true, true, true)).unwrap();
    for (mode, mask) in [(Mode::LowPower, 0xFF_i16), (Mode::Normal, 0x3F), (Mode::HighResolution, 0x0F)] {
        driver.set_mode(mode).unwrap();
        for _ in 0..50 {
            bus.delay().delay_us(2_500);
            assert_eq!(driver.accel_raw().unwrap().x & mask, 0);
        }
    }
}

#[test]
fn an_address_that_nothing_answers_to_is_an_error_for_every_driver() {
    let bus = SimI2c::new();
    let absent = BusError::NoDevice { address: 0x76 };
    let mut delay = bus.delay();
    let error = ::bme280::i2c::BME280::new_primary(bus.clone()).init(&mut delay).unwrap_err();
    assert!(matches!(error, ::bme280::Error::Bus(cause) if cause == absent), "{error:?}");
    assert_eq!(absent.kind(), ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
    assert!(SyncIna219::new(bus.clone(), Address::from_byte(ADDRESS).unwrap()).is_err());
    assert!(Lis2dh12::new(bus.clone(), SlaveAddr::Default).is_err());
    let mut converter = Ads1x1x::new_ads1115(bus.clone(), TargetAddr::Gnd);
    assert!(matches!(converter.read(channel::SingleA0), Err(nb::Error::Other(ads1x1x::Error::I2C(BusError::NoDevice { address: 0x48 })))));
}

#[test]
fn a_node_on_an_empty_bus_starts_and_names_what_is_missing() {
    let bus = SimI2c::new();
    let sample = SensorNode::start(|| bus.clone(), bus.delay()).sample();
    assert_eq!(sample.spindle_temperature, Err(SensorError::Absent("bme280")));
    assert_eq!(sample.vibration_velocity, Err(SensorError::Absent("lis2dh12")));
    assert_eq!(sample.active_power, Err(SensorError::Absent("ina219")));
}

#[test]
fn a_stuck_bus_is_an_error_until_it_is_let_go() {
    let bus = SimI2c::new();
    bus.attach(0x18, Lis2dh12Model::new());
    let mut driver = Lis2dh12::new(bus.clone(), SlaveAddr::Default).unwrap();
    bus.set_stuck(true);
    assert!(driver.get_device_id().is_err());
    bus.set_stuck(false);
    assert_eq!(driver.get_device_id().unwrap(), 0x33);
}

/// The way that firmware shares a bus that it owns: through a `RefCell`, without heap or threads.
#[test]
fn the_node_runs_on_handles_of_a_bus_in_a_refcell() {
    let wires = SimI2c::new();
    wires.attach(0x76, Bme280Model::new(Air { celsius: 21.0, pascal: 101_325.0, relative_humidity: 40.0 }));
    wires.attach(0x48, Ads1115Model::new()).lock().inputs[0] = 0.1;
    let delay = wires.delay();
    let owned = RefCell::new(wires);
    let mut node = SensorNode::start(|| RefCellDevice::new(&owned), delay);
    let sample = node.sample();
    assert!((sample.spindle_temperature.unwrap() - 41.0).abs() < 0.03, "{sample:?}");
    assert_eq!(sample.active_power, Err(SensorError::Absent("ina219")));
}
