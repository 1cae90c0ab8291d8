//! Numbers compared by value, exactly: `1` is `1.0` is `10e-1`, however many digits they have.

use std::cmp::Ordering;

use serde_json::Number;

/// A JSON number's value as 0.d₁d₂d₃… × 10^`point`, without zeros at either end of the digits.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    point: i64,
}

impl Decimal {
    fn of(number: &Number) -> Self {
        let text = number.to_string();
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = all.iter().take_while(|digit| **digit == b'0').count();
        let trailing = all[leading..].iter().rev().take_while(|digit| **digit == b'0').count();
        let digits = all[leading..all.len() - trailing].to_vec();
        if digits.is_empty() {
            return Self { negative: false, digits, point: 0 };
        }
        let point = parse_exponent(exponent).saturating_add(whole.len() as i64 - leading as i64);
        Self { negative, digits, point }
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

/// An exponent beyond 64 bit is as good as the largest one.
fn parse_exponent(text: &str) -> i64 {
    let text = text.strip_prefix('+').unwrap_or(text);
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
}

/// Orders two numbers by value.
pub(super) fn compare(a: &Number, b: &Number) -> Ordering {
    // Nearly all are small integers.
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return a.cmp(&b);
    }
    let (a, b) = (Decimal::of(a), Decimal::of(b));
    match (a.negative, b.negative) {
        (false, false) => a.cmp_magnitude(&b),
        (true, true) => b.cmp_magnitude(&a),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cmp(a: &str, b: &str) -> Ordering {
        let number = |text| serde_json::from_str::<Number>(text).expect("a number");
        compare(&number(a), &number(b))
    }

    #[test]
    fn equal_values_are_equal_however_they_are_written() {
        for (a, b) in [
            ("1", "1.0"),
            ("1.5", "1.50"),
            ("10e-1", "1"),
            ("1E+2", "100"),
            ("0", "-0.0"),
            ("0e99", "0"),
            ("0.001", "1e-3"),
            ("123456789012345678901234567890", "123456789012345678901234567890.0"),
        ] {
            assert_eq!((cmp(a, b), cmp(b, a)), (Ordering::Equal, Ordering::Equal), "{a} {b}");
        }
    }

    #[test]
    fn order_is_by_value_and_exact() {
        for (less, greater) in [
            ("-1", "1"),
            ("-2.5", "-2.4"),
            ("0", "0.1"),
            ("-0.1", "0"),
            ("9", "10.0"),
            ("0.09", "0.1"),
            ("0.1", "0.10000000000000000000000000001"),
            ("9007199254740992", "9007199254740993.0"),
            ("1e9", "1e10"),
            ("1e-10", "1e-9"),
            ("1", "1e99999999999999999999"),
            ("-1e99999999999999999999", "1e-99999999999999999999"),
        ] {
            assert_eq!(
                (cmp(less, greater), cmp(greater, less)),
                (Ordering::Less, Ordering::Greater),
                "{less} {greater}"
            );
        }
    }
}
