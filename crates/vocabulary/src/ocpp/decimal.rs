//! Decimal numbers as chargers write them, without ever passing through a binary float.

use std::fmt;

/// A decimal: `mantissa × 10^-scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    mantissa: i128,
    scale: i32,
}

impl Decimal {
    /// The most significant digits that are read; a meter has a dozen.
    const DIGITS_MAX: usize = 30;
    /// The largest power of ten, either way.
    const EXPONENT_MAX: i32 = 30;

    /// Reads `-12.30`, `.5`, `5.`, `1.5E-3`; nothing around it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let unsigned = number.strip_prefix(['+', '-']).unwrap_or(number);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let mut mantissa: i128 = 0;
        let mut digits = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            if !byte.is_ascii_digit() {
                return None;
            }
            mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
            digits += usize::from(mantissa != 0);
        }
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let sane = digits <= Self::DIGITS_MAX && scale.abs() <= Self::EXPONENT_MAX;
        if whole.len() + fraction.len() == 0 || !sane {
            return None;
        }
        Some(Self { mantissa: if number.starts_with('-') { -mantissa } else { mantissa }, scale })
    }

    /// This number times ten to the `power`.
    pub(super) fn shifted(self, power: i32) -> Self {
        Self { mantissa: self.mantissa, scale: self.scale - power }
    }

    /// The whole number this is, if it is one.
    pub(super) fn as_integer(self) -> Option<i64> {
        let shortest = self.shortest();
        let zeros = u32::try_from(-shortest.scale).ok()?;
        i64::try_from(shortest.mantissa.checked_mul(10i128.checked_pow(zeros)?)?).ok()
    }

    /// The nearest whole number, halves away from zero.
    pub(super) fn rounded(self) -> Option<i64> {
        match u32::try_from(self.scale) {
            Ok(places) => i64::try_from(divide_rounded(self.mantissa, 10i128.checked_pow(places)?)).ok(),
            Err(_) => self.as_integer(),
        }
    }

    /// The largest whole number that is not greater.
    pub(super) fn floor(self) -> Option<i64> {
        match u32::try_from(self.scale) {
            Ok(places) => i64::try_from(self.mantissa.div_euclid(10i128.checked_pow(places)?)).ok(),
            Err(_) => self.as_integer(),
        }
    }

    /// Kelvin to degrees Celsius, exactly.
    pub(super) fn kelvin_to_celsius(self) -> Option<Self> {
        let at_scale = self.at_scale(self.scale.max(2))?;
        let zero = Self { mantissa: 27_315, scale: 2 }.at_scale(at_scale.scale)?;
        Some(Self { mantissa: at_scale.mantissa.checked_sub(zero.mantissa)?, ..at_scale })
    }

    /// Degrees Fahrenheit to Celsius, to three decimals or as many as there were.
    pub(super) fn fahrenheit_to_celsius(self) -> Option<Self> {
        let at_scale = self.at_scale(self.scale.max(3))?;
        let freezing = Self { mantissa: 32, scale: 0 }.at_scale(at_scale.scale)?;
        let ninths = at_scale.mantissa.checked_sub(freezing.mantissa)?.checked_mul(5)?;
        Some(Self { mantissa: divide_rounded(ninths, 9), ..at_scale })
    }

    /// The same number with this many decimals, not fewer than it has.
    fn at_scale(self, scale: i32) -> Option<Self> {
        let factor = 10i128.checked_pow(u32::try_from(scale - self.scale).ok()?)?;
        Some(Self { mantissa: self.mantissa.checked_mul(factor)?, scale })
    }

    fn shortest(mut self) -> Self {
        if self.mantissa == 0 {
            return Self { mantissa: 0, scale: 0 };
        }
        while self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }
}

fn divide_rounded(dividend: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    // Not `rest * 2`: the divisor may be as large as the type allows.
    if rest.abs() >= divisor - rest.abs() { quotient + dividend.signum() } else { quotient }
}

impl fmt::Display for Decimal {
    /// Plain digits, no exponent, no zeros that say nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mantissa, scale } = self.shortest();
        let digits = mantissa.unsigned_abs().to_string();
        let sign = if mantissa < 0 { "-" } else { "" };
        match usize::try_from(scale) {
            Err(_) => write!(f, "{sign}{digits}{}", "0".repeat(scale.unsigned_abs() as usize)),
            Ok(0) => write!(f, "{sign}{digits}"),
            Ok(places) if places < digits.len() => {
                let (whole, fraction) = digits.split_at(digits.len() - places);
                write!(f, "{sign}{whole}.{fraction}")
            }
            Ok(places) => write!(f, "{sign}0.{}{digits}", "0".repeat(places - digits.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Option<String> {
        Decimal::parse(text).map(|decimal| decimal.to_string())
    }

    #[test]
    fn decimals_keep_every_digit() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("12.30", "12.3"),
            ("-12.34", "-12.34"),
            ("+5", "5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("007", "7"),
            ("1.5E-3", "0.0015"),
            ("1e3", "1000"),
            ("0.1", "0.1"),
            ("123456789012345678.123456789", "123456789012345678.123456789"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_decimal_is_none() {
        for text in [
            "",
            "-",
            ".",
            "e5",
            "NaN",
            "inf",
            "1,5",
            "1 5",
            "0x1f",
            "1e",
            "1e99",
            "--1",
            "1.2.3",
            "1e999999999999",
            "é",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
        assert_eq!(shown(&"9".repeat(31)), None, "more digits than any meter has");
        assert_eq!(shown(&"0".repeat(1_000_000)).as_deref(), Some("0"));
    }

    #[test]
    fn arithmetic_is_exact() {
        let parse = |text| Decimal::parse(text).expect("a decimal");
        assert_eq!(parse("1.2345").shifted(3).to_string(), "1234.5");
        assert_eq!(parse("0.3").shifted(3).to_string(), "300");
        assert_eq!(parse("5.0").as_integer(), Some(5));
        assert_eq!(parse("5.5").as_integer(), None);
        assert_eq!(parse("5.5").rounded(), Some(6));
        assert_eq!(parse("-5.5").rounded(), Some(-6));
        assert_eq!(parse("5.49").rounded(), Some(5));
        assert_eq!(parse("1e3").rounded(), Some(1_000));
        assert_eq!(parse("5.9").floor(), Some(5));
        assert_eq!(parse("-0.1").floor(), Some(-1));
        assert_eq!(parse("1e3").floor(), Some(1_000));
        assert_eq!(parse("300").kelvin_to_celsius().expect("fits").to_string(), "26.85");
        assert_eq!(parse("212").fahrenheit_to_celsius().expect("fits").to_string(), "100");
        assert_eq!(parse("70.5").fahrenheit_to_celsius().expect("fits").to_string(), "21.389");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}|[+-]?[0-9]{0,40}[.]?[0-9]{0,40}([eE][+-]?[0-9]{1,2})?") {
            if let Some(decimal) = Decimal::parse(&text) {
                let _ = (decimal.as_integer(), decimal.rounded(), decimal.shifted(3).to_string());
                let _ = (decimal.kelvin_to_celsius(), decimal.fahrenheit_to_celsius());
            }
        }

        #[test]
        fn what_is_written_reads_back(text in "-?[0-9]{1,12}[.][0-9]{1,12}") {
            let written = shown(&text).expect("a decimal");
            prop_assert_eq!(shown(&written), Some(written));
        }

        #[test]
        fn any_integer_is_itself(value: i64) {
            prop_assert_eq!(Decimal::parse(&value.to_string()).and_then(Decimal::as_integer), Some(value));
        }

        #[test]
        fn thousandths_shift_without_loss(whole in 0u64..1_000_000_000, thousandths in 0u64..1_000) {
            let decimal = Decimal::parse(&format!("{whole}.{thousandths:03}")).expect("a decimal");
            prop_assert_eq!(decimal.shifted(3).to_string(), (whole * 1_000 + thousandths).to_string());
        }
    }
}
