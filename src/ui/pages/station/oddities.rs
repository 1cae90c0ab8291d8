//! What is odd about a station, in words.

use maud::{Markup, html};

use crate::ui::components::{chip, table};

/// The oddities that were seen, and what it has shown it cannot do. Nothing if there are none.
pub(super) fn oddities(flags: &[String], abilities: &[String]) -> Markup {
    let seen = flags.iter().map(|flag| [chip::chip(chip::Tone::Warn, flag), html! { (meaning(flag)) }]);
    let lacks = abilities.iter().map(|ability| {
        let action = ability.strip_prefix("unsupported:").unwrap_or(ability);
        [chip::chip(chip::Tone::Off, ability), html! { "It has said that it cannot do " (action) "." }]
    });
    table::table("Oddities", [table::text("Oddity"), table::text("What it means")], seen.chain(lacks))
}

/// What an oddity means, and until when it stays.
fn meaning(flag: &str) -> &'static str {
    match flag {
        "missing_subprotocol" => "It names no version of OCPP when it connects; 1.6 is taken.",
        "odd_path" => "The path that it connects to is spelled oddly: look at the URL that is set in it.",
        "identity_in_other_case" => "It spells its identity in other letters than it was registered with.",
        "hex_password" => "It sends its password as hex digits, where the bytes are meant.",
        "flapping" => "Its connections replace one another all the time. Do two chargers have one identity?",
        "clock_skew" => "Its clock is off by more than five minutes.",
        "clock:never_set" => "Its clock was never set.",
        "before_boot" => "It sent messages before its first BootNotification.",
        "boot_loop" => "It boots again and again, and nobody has asked it to.",
        "unresponsive" => "Three commands in a row went unanswered.",
        _ => {
            "Messages of its firmware break the rules in this way. Its events that are marked odd say where."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_oddity_has_words() {
        let flags = ["flapping".to_owned(), "meterStop:implausible".to_owned()];
        let shown = oddities(&flags, &["unsupported:SendLocalList".to_owned()]).into_string();
        for told in ["two chargers", "marked odd", "cannot do SendLocalList"] {
            assert!(shown.contains(told), "{told}: {shown}");
        }
    }
}
