//! Vibration severity by ISO 20816-3, and the frequencies of rolling bearings.
//!
//! Zones are for the RMS of velocity in mm/s, 10 to 1,000 Hz (2 to 1,000 Hz below 600 rpm), at the bearing housings. A: newly
//! commissioned. B:
//! unrestricted long-term operation. C: not for long. D: does damage. A value on a boundary is in the better zone.
//!
//! Bearings, outer ring fixed, with `r = (d / D) cos a`: cage `FTF = f/2 (1 - r)`, outer race `BPFO = n f/2 (1 - r)`, inner race
//! `BPFI = n f/2 (1 + r)`,
//! ball spin `BSF = f D / (2 d) (1 - r^2)`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::FieldError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MachineGroup {
    /// Above 300 kW.
    Large,
    /// 15 to 300 kW.
    Medium,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Foundation {
    Rigid,
    Flexible,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Zone {
    A,
    B,
    C,
    D,
}

/// Boundaries A/B, B/C and C/D in mm/s.
pub fn zone_limits(group: MachineGroup, foundation: Foundation) -> [f64; 3] {
    match (group, foundation) {
        (MachineGroup::Large, Foundation::Rigid) => [2.3, 4.5, 7.1],
        (MachineGroup::Large, Foundation::Flexible) => [3.5, 7.1, 11.0],
        (MachineGroup::Medium, Foundation::Rigid) => [1.4, 2.8, 4.5],
        (MachineGroup::Medium, Foundation::Flexible) => [2.3, 4.5, 7.1],
    }
}

/// The group by rated power. `None` below 15 kW: the standard does not hold there.
pub fn machine_group(rated_power_kw: f64) -> Option<MachineGroup> {
    match rated_power_kw {
        p if p > 300.0 && p.is_finite() => Some(MachineGroup::Large),
        p if (15.0..=300.0).contains(&p) => Some(MachineGroup::Medium),
        _ => None,
    }
}

/// # Errors
/// A velocity that is negative, no number, or above 1,000 mm/s.
pub fn zone(velocity_rms_mm_s: f64, group: MachineGroup, foundation: Foundation) -> Result<Zone, FieldError> {
    if !(0.0..=1_000.0).contains(&velocity_rms_mm_s) {
        return Err(FieldError::new("velocity_rms_mm_s", "must be an RMS velocity in mm/s, 0 to 1000"));
    }
    let [a, b, c] = zone_limits(group, foundation);
    Ok(match velocity_rms_mm_s {
        v if v <= a => Zone::A,
        v if v <= b => Zone::B,
        v if v <= c => Zone::C,
        _ => Zone::D,
    })
}

/// The band in Hz in which the velocity is to be measured. `None` for a speed that is none.
pub fn measuring_band_hz(speed_rpm: f64) -> Option<(f64, f64)> {
    (speed_rpm > 0.0 && speed_rpm.is_finite()).then_some((if speed_rpm < 600.0 { 2.0 } else { 10.0 }, 1_000.0))
}

/// Geometry of a rolling bearing; both diameters in the same unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bearing {
    pub rolling_elements: u32,
    pub ball_diameter: f64,
    pub pitch_diameter: f64,
    #[serde(default)]
    pub contact_angle_deg: f64,
}

/// In Hz.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct BearingFrequencies {
    pub shaft_hz: f64,
    /// Cage.
    pub ftf_hz: f64,
    /// Outer race.
    pub bpfo_hz: f64,
    /// Inner race.
    pub bpfi_hz: f64,
    /// Spin of a ball; a defect on it strikes both races, at twice this.
    pub bsf_hz: f64,
}

impl Bearing {
    /// # Errors
    /// A geometry or speed that can't be.
    pub fn frequencies(&self, speed_rpm: f64) -> Result<BearingFrequencies, FieldError> {
        if !(3..=1_000).contains(&self.rolling_elements) {
            return Err(FieldError::new("rolling_elements", "must be 3 to 1000"));
        }
        if !(1e-3..=1e6).contains(&self.pitch_diameter) {
            return Err(FieldError::new("pitch_diameter", "must be a diameter above 0"));
        }
        if !(self.ball_diameter > 0.0 && self.ball_diameter >= 1e-6 * self.pitch_diameter && self.ball_diameter < self.pitch_diameter) {
            return Err(FieldError::new("ball_diameter", "must be above 0 and below the pitch diameter"));
        }
        if !(0.0..90.0).contains(&self.contact_angle_deg) {
            return Err(FieldError::new("contact_angle_deg", "must be an angle in 0..90 degrees"));
        }
        if !(speed_rpm > 0.0 && speed_rpm <= 1e6) {
            return Err(FieldError::new("speed_rpm", "must be a speed above 0"));
        }
        let f = speed_rpm / 60.0;
        let n = f64::from(self.rolling_elements);
        let r = self.ball_diameter / self.pitch_diameter * self.contact_angle_deg.to_radians().cos();
        Ok(BearingFrequencies {
            shaft_hz: f,
            ftf_hz: 0.5 * f * (1.0 - r),
            bpfo_hz: 0.5 * n * f * (1.0 - r),
            bpfi_hz: 0.5 * n * f * (1.0 + r),
            bsf_hz: 0.5 * f * self.pitch_diameter / self.ball_diameter * (1.0 - r * r),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_the_boundaries_of_the_standard() {
        use Foundation::{Flexible, Rigid};
        use MachineGroup::{Large, Medium};
        for (group, foundation, limits) in [
            (Large, Rigid, [2.3, 4.5, 7.1]),
            (Large, Flexible, [3.5, 7.1, 11.0]),
            (Medium, Rigid, [1.4, 2.8, 4.5]),
            (Medium, Flexible, [2.3, 4.5, 7.1]),
        ] {
            for (i, (better, worse)) in [(Zone::A, Zone::B), (Zone::B, Zone::C), (Zone::C, Zone::D)].into_iter().enumerate() {
                assert_eq!(zone(limits[i], group, foundation), Ok(better));
                assert_eq!(zone(limits[i] + 0.01, group, foundation), Ok(worse));
            }
        }
    }

    #[test]
    fn velocities_that_cannot_be_are_refused() {
        for bad in [-0.1, f64::NAN, f64::INFINITY, 1e5] {
            assert_eq!(zone(bad, MachineGroup::Large, Foundation::Rigid).unwrap_err().field, "velocity_rms_mm_s");
        }
    }

    #[test]
    fn group_and_band_follow_power_and_speed() {
        assert_eq!(machine_group(301.0), Some(MachineGroup::Large));
        assert_eq!(machine_group(300.0), Some(MachineGroup::Medium));
        assert_eq!((machine_group(10.0), machine_group(f64::NAN)), (None, None));
        assert_eq!(measuring_band_hz(599.0), Some((2.0, 1_000.0)));
        assert_eq!(measuring_band_hz(600.0), Some((10.0, 1_000.0)));
        assert_eq!(measuring_band_hz(-1.0), None);
    }

    /// Drive-end bearing 6205-2RS of the CWRU test rig at 1,797 rpm.
    #[test]
    fn bearing_6205_has_its_published_frequencies() {
        let bearing = Bearing { rolling_elements: 9, ball_diameter: 0.3126, pitch_diameter: 1.537, contact_angle_deg: 0.0 };
        let f = bearing.frequencies(1_797.0).unwrap();
        for (found, wanted) in [(f.ftf_hz, 11.929), (f.bpfo_hz, 107.364), (f.bpfi_hz, 162.186), (f.bsf_hz, 70.584)] {
            assert!((found - wanted).abs() < 6e-4, "{found} is not {wanted}");
        }
    }

    #[test]
    fn bearings_that_cannot_be_are_refused() {
        let good = Bearing { rolling_elements: 9, ball_diameter: 1.0, pitch_diameter: 5.0, contact_angle_deg: 0.0 };
        let field = |b: Bearing, rpm: f64| b.frequencies(rpm).unwrap_err().field;
        assert_eq!(field(Bearing { rolling_elements: 0, ..good }, 1.0), "rolling_elements");
        assert_eq!(field(Bearing { ball_diameter: 6.0, ..good }, 1.0), "ball_diameter");
        assert_eq!(field(Bearing { ball_diameter: 0.0, ..good }, 1.0), "ball_diameter");
        assert_eq!(field(Bearing { contact_angle_deg: 90.0, ..good }, 1.0), "contact_angle_deg");
        assert_eq!(field(good, 0.0), "speed_rpm");
    }
}
