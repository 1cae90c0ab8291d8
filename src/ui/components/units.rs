//! Numbers as people read them.

/// A whole number with commas: `48,210`.
pub(in crate::ui) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Energy: `0.35 kWh`, `8.41 MWh`.
pub(in crate::ui) fn energy(wh: i64) -> String {
    match wh.unsigned_abs() {
        0..1_000_000 => format!("{:.2} kWh", wh as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} MWh", wh as f64 / 1e6),
        _ => format!("{:.2} GWh", wh as f64 / 1e9),
    }
}

/// A reading of a meter, to the Wh: `2,602,330 Wh`.
pub(in crate::ui) fn watt_hours(wh: i64) -> String {
    format!("{}{} Wh", if wh < 0 { "−" } else { "" }, count(wh.unsigned_abs()))
}

/// Power: `350 W`, `11.0 kW`, `1.24 MW`.
pub(in crate::ui) fn power(watts: f64) -> String {
    match watts.abs() {
        small if small < 999.5 => format!("{watts:.0} W"),
        medium if medium < 999_950.0 => format!("{:.1} kW", watts / 1e3),
        _ => format!("{:.2} MW", watts / 1e6),
    }
}

/// Bytes: `512 B`, `1.4 MiB`.
pub(in crate::ui) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut size = number as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// `1 station`, `2 stations`.
pub(in crate::ui) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(
            [0, 999, 1_000, 48_210, 1_234_567].map(count),
            ["0", "999", "1,000", "48,210", "1,234,567"]
        );
        assert_eq!(
            [0, 352, 14_920, 8_410_000].map(energy),
            ["0.00 kWh", "0.35 kWh", "14.92 kWh", "8.41 MWh"]
        );
        assert_eq!([2_602_330, -5].map(watt_hours), ["2,602,330 Wh", "−5 Wh"]);
        assert_eq!([0.0, 350.4, 11_000.0, 1_240_000.0].map(power), ["0 W", "350 W", "11.0 kW", "1.24 MW"]);
        assert_eq!([512, 1_468_006, 1 << 40].map(bytes), ["512 B", "1.4 MiB", "1.0 TiB"]);
        assert_eq!([1, 2].map(|n| plural(n, "station", "stations")), ["1 station", "2 stations"]);
    }
}
