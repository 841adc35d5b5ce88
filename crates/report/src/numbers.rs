//! Numbers for people to read, and numbers that JSON cannot hold.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// Plain numbers in any nesting, with `null` in JSON for "not a number". `serde_json` writes this
/// `null`, but refuses to read it.
pub trait Nullable: Sized {
    /// The same nesting with `null` allowed.
    type Read: DeserializeOwned;

    /// NaN for each `null`.
    fn from_read(read: Self::Read) -> Self;
}

/// Reads numbers that may be `null`, for `#[serde(deserialize_with = …)]`.
pub fn nullable<'de, D: Deserializer<'de>, T: Nullable>(deserializer: D) -> Result<T, D::Error> {
    T::Read::deserialize(deserializer).map(T::from_read)
}

impl Nullable for f32 {
    type Read = Option<Self>;

    fn from_read(read: Self::Read) -> Self {
        read.unwrap_or(Self::NAN)
    }
}

impl Nullable for f64 {
    type Read = Option<Self>;

    fn from_read(read: Self::Read) -> Self {
        read.unwrap_or(Self::NAN)
    }
}

impl<T: Nullable> Nullable for Vec<T> {
    type Read = Vec<T::Read>;

    fn from_read(read: Self::Read) -> Self {
        read.into_iter().map(T::from_read).collect()
    }
}

impl<T: Nullable> Nullable for Option<T> {
    type Read = Option<T::Read>;

    fn from_read(read: Self::Read) -> Self {
        read.map(T::from_read)
    }
}

impl<T: Nullable> Nullable for [T; 2] {
    type Read = [T::Read; 2];

    fn from_read(read: Self::Read) -> Self {
        read.map(T::from_read)
    }
}

impl<T: Nullable> Nullable for [T; 3] {
    type Read = [T::Read; 3];

    fn from_read(read: Self::Read) -> Self {
        read.map(T::from_read)
    }
}

/// A coordinate for an attribute: at most two digits after the point, and always a number.
pub fn coordinate(value: f64) -> String {
    let rounded = if value.is_finite() { (value * 100.0).round() / 100.0 } else { 0.0 };
    // Negative zero would be written as "-0".
    (rounded + 0.0).to_string()
}

/// A number with `digits` significant digits, as a power of ten where it would be long: "0.755",
/// "1.2×10⁻⁵".
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".into() } else { "–".into() };
    }
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let power: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&power) {
        let decimals = (digits as i32 - 1 - power).max(0) as usize;
        return minus(&format!("{value:.decimals$}"));
    }
    let mantissa = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    format!("{}×{}", minus(mantissa), power_of_ten(power))
}

/// "10⁻⁸".
pub fn power_of_ten(power: i32) -> String {
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |c: char| c.to_digit(10).map_or('⁻', |digit| digits[digit as usize]);
    format!("10{}", power.to_string().chars().map(raise).collect::<String>())
}

/// A true minus sign, as wide as a digit.
pub fn minus(number: &str) -> String {
    number.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        assert_eq!(significant(0.755, 3), "0.755");
        assert_eq!(significant(-12.344, 3), "−12.3");
        assert_eq!(significant(1.2e-5, 3), "1.2×10⁻⁵");
        assert_eq!(significant(1e9, 3), "1×10⁹");
        assert_eq!(significant(99_999.6, 3), "100000");
        assert_eq!(significant(f64::NAN, 3), "–");
        assert_eq!(coordinate(-0.0001), "0");
        assert_eq!(coordinate(f64::INFINITY), "0");
        assert_eq!(coordinate(12.345), "12.35");
    }
}
