//! Units of measurement: which one a value is in, and what it is in the base unit.

use super::decimal::Decimal;

/// What kind of quantity a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    Energy,
    Power,
    Current,
    Voltage,
    Temperature,
    Percent,
    Frequency,
}

/// How a number in a unit becomes one in the base unit of its quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToBase {
    TimesTenTo(i32),
    FromKelvin,
    FromFahrenheit,
}

#[derive(Debug, Clone, Copy)]
struct Unit {
    name: &'static str,
    quantity: Quantity,
    to_base: ToBase,
}

const fn unit(name: &'static str, quantity: Quantity, power: i32) -> Unit {
    Unit { name, quantity, to_base: ToBase::TimesTenTo(power) }
}

const WH: Unit = unit("Wh", Quantity::Energy, 0);
const VARH: Unit = unit("varh", Quantity::Energy, 0);
const W: Unit = unit("W", Quantity::Power, 0);
const VAR: Unit = unit("var", Quantity::Power, 0);
const A: Unit = unit("A", Quantity::Current, 0);
const V: Unit = unit("V", Quantity::Voltage, 0);
const CELSIUS: Unit = unit("Celsius", Quantity::Temperature, 0);
const KELVIN: Unit = Unit { name: "K", quantity: Quantity::Temperature, to_base: ToBase::FromKelvin };
const FAHRENHEIT: Unit =
    Unit { name: "Fahrenheit", quantity: Quantity::Temperature, to_base: ToBase::FromFahrenheit };
const PERCENT: Unit = unit("Percent", Quantity::Percent, 0);
const HERTZ: Unit = unit("Hertz", Quantity::Frequency, 0);

/// Every spelling that is understood, in any case, and what it means.
const UNITS: &[(&str, Unit)] = &[
    ("Wh", WH),
    ("kWh", unit("kWh", Quantity::Energy, 3)),
    ("W", W),
    ("kW", unit("kW", Quantity::Power, 3)),
    ("A", A),
    ("V", V),
    ("Percent", PERCENT),
    ("%", PERCENT),
    ("Celsius", CELSIUS),
    ("Celcius", CELSIUS),
    ("C", CELSIUS),
    ("°C", CELSIUS),
    ("Hertz", HERTZ),
    ("Hz", HERTZ),
    ("varh", VARH),
    ("kvarh", unit("kvarh", Quantity::Energy, 3)),
    ("var", VAR),
    ("kvar", unit("kvar", Quantity::Power, 3)),
    ("VA", unit("VA", Quantity::Power, 0)),
    ("kVA", unit("kVA", Quantity::Power, 3)),
    ("K", KELVIN),
    ("Fahrenheit", FAHRENHEIT),
    ("°F", FAHRENHEIT),
];

fn find(text: &str) -> Option<Unit> {
    UNITS.iter().find(|(spelling, _)| *spelling == text).map(|(_, unit)| *unit).or_else(|| {
        let trimmed = text.trim();
        UNITS.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(trimmed)).map(|(_, unit)| *unit)
    })
}

/// What is known of a measurand's unit.
enum Due {
    /// The specification's own default.
    Default(Unit),
    /// This unit if none is sent; a charger may send another of the same quantity.
    Usually(Unit),
    /// This unit, whatever is sent.
    Always(Unit),
    /// A bare number.
    Without,
    /// A measurand nobody knows.
    Unknown,
}

fn unit_due(measurand: &str) -> Due {
    match measurand {
        "Voltage" => Due::Usually(V),
        "Temperature" => Due::Usually(CELSIUS),
        "SoC" => Due::Always(PERCENT),
        "Frequency" => Due::Always(HERTZ),
        "Power.Factor" | "RPM" => Due::Without,
        _ if measurand.starts_with("Energy.Active.") => Due::Default(WH),
        _ if measurand.starts_with("Energy.Reactive.") => Due::Usually(VARH),
        _ if measurand.starts_with("Power.Reactive.") => Due::Usually(VAR),
        _ if measurand.starts_with("Power.") => Due::Usually(W),
        _ if measurand.starts_with("Current.") => Due::Usually(A),
        _ => Due::Unknown,
    }
}

impl ToBase {
    fn apply(self, number: Decimal) -> Option<Decimal> {
        match self {
            Self::TimesTenTo(power) => Some(number.shifted(power)),
            Self::FromKelvin => number.kelvin_to_celsius(),
            Self::FromFahrenheit => number.fahrenheit_to_celsius(),
        }
    }
}

/// The unit of one value.
#[derive(Debug)]
pub(super) struct Measured {
    /// The unit's name: canonical where it is known, else as it was sent; none for bare numbers.
    pub name: Option<String>,
    /// It was not sent, nor is it a default of the specification: it follows from the measurand.
    pub derived: bool,
    /// What was sent measures something else.
    pub impossible: bool,
    /// How to get to the base unit; `None` if nobody knows.
    to_base: Option<ToBase>,
}

impl Measured {
    /// The number in the base unit of its quantity (Wh, varh, W, VA, var, A, V, Celsius, Percent, Hertz).
    pub(super) fn to_base(&self, number: Decimal) -> Option<Decimal> {
        self.to_base?.apply(number)
    }
}

/// The unit of a value of this measurand, sent with the unit `sent`.
pub(super) fn of(measurand: &str, sent: Option<&str>) -> Measured {
    let known = |unit: Unit, derived| Measured {
        name: Some(unit.name.to_owned()),
        derived,
        impossible: false,
        to_base: Some(unit.to_base),
    };
    let found = sent.and_then(find);
    match (unit_due(measurand), found, sent) {
        (Due::Always(due), ..) => known(due, found.is_none_or(|found| found.name != due.name)),
        // A factor or a speed is a bare number, whatever unit was put beside it.
        (Due::Without, ..) | (Due::Unknown, None, None) => {
            Measured { name: None, derived: false, impossible: false, to_base: Some(ToBase::TimesTenTo(0)) }
        }
        (Due::Default(due), None, None) => known(due, false),
        (Due::Usually(due), None, None) => known(due, true),
        (Due::Default(due) | Due::Usually(due), Some(found), _) if found.quantity != due.quantity => {
            Measured { impossible: true, to_base: None, ..known(found, false) }
        }
        (_, Some(found), _) => known(found, false),
        (_, None, Some(sent)) => {
            Measured { name: Some(sent.to_owned()), derived: false, impossible: false, to_base: None }
        }
    }
}
