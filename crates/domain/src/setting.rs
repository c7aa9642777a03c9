//! What the section of every crate reports of its settings.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Whether one setting is valid, beyond what its type expresses: a range, or how keys depend on each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The setting, like `amqp.url`.
    pub key: &'static str,
    /// Whether its value is valid.
    pub valid: bool,
    /// What the value must be, after the key: "must be at least 1".
    pub requirement: Cow<'static, str>,
    /// Whether the requirement is the range of a number, which also explains a value that the type can't hold.
    pub is_range: bool,
}

impl Check {
    /// A check of this setting.
    pub fn new(key: &'static str, valid: bool, requirement: &'static str) -> Self {
        Self { key, valid, requirement: requirement.into(), is_range: false }
    }

    /// A number within a range, both ends included, of this unit: "must be 1 to 60 seconds". NaN is in no range.
    pub fn range<T: PartialOrd + Display + Copy>(
        key: &'static str,
        value: T,
        range: RangeInclusive<T>,
        unit: &str,
    ) -> Self {
        let (least, most) = range.into_inner();
        let requirement = format!("must be {least} to {most} {unit}").into();
        Self { key, valid: (least..=most).contains(&value), requirement, is_range: true }
    }

    /// The same, where 0 is valid too and has a meaning of its own: "must be 60 to 86400 seconds, or 0 for none".
    pub fn range_or_zero(
        key: &'static str,
        value: u64,
        range: RangeInclusive<u64>,
        unit: &str,
        zero: &'static str,
    ) -> Self {
        let check = Self::range(key, value, range, unit);
        Self {
            valid: check.valid || value == 0,
            requirement: format!("{}, or 0 {zero}", check.requirement).into(),
            ..check
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Check;

    #[test]
    fn a_range_has_its_unit_and_no_place_for_nan() {
        let wait = |seconds: f64| Check::range("x.wait_s", seconds, 0.5..=60.0, "seconds");
        assert!(wait(0.5).valid && wait(60.0).valid);
        for outside in [0.4, 61.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!wait(outside).valid, "{outside}");
        }
        assert_eq!(wait(0.0).requirement, "must be 0.5 to 60 seconds");
    }
}
