//! A value of a TOML file, as settings read it.

use toml::de::DeValue;

use vocabulary::setting::Given;

/// What `value` gives.
pub(super) fn given<'a>(value: &'a DeValue<'a>) -> Given<'a> {
    match value {
        DeValue::String(text) => Given::Quoted(text),
        DeValue::Integer(number) => Given::Whole { digits: number.as_str(), radix: number.radix() },
        DeValue::Float(_) => Given::Other("a bare number"),
        DeValue::Boolean(value) => Given::Truth(*value),
        DeValue::Datetime(_) => Given::Other("a date"),
        DeValue::Array(items) => Given::List(items.iter().map(|item| given(item.get_ref())).collect()),
        DeValue::Table(_) => Given::Other("a table"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::PathBuf;

    use ipnet::IpNet;

    use super::*;
    use vocabulary::ocpp::authorization::UnknownIdTag;
    use vocabulary::setting::Setting;
    use vocabulary::units::Span;

    fn toml<T: Setting>(text: &str) -> Result<T, String> {
        let value = DeValue::parse(text).expect("TOML");
        T::read(given(value.get_ref()))
    }

    #[test]
    fn a_value_reads_alike_from_a_file_and_from_a_text() {
        assert_eq!(toml("\"5m\""), Ok(Span::seconds(300)));
        assert_eq!(Span::read(Given::Text("5m")), Ok(Span::seconds(300)));
        assert_eq!(toml("25_000"), Ok(25_000_u32));
        assert_eq!(u32::read(Given::Text("25000")), Ok(25_000));
        assert_eq!(toml("[\"a\", \"b\"]"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(Vec::<String>::read(Given::Text("a, b")), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(Vec::<String>::read(Given::Text("")), Ok(Vec::new()));
        assert_eq!(toml("true"), Ok(true));
        assert_eq!(bool::read(Given::Text("true")), Ok(true));
    }

    #[test]
    fn a_network_may_be_a_single_address() {
        assert_eq!(toml("\"10.1.2.3\""), Ok("10.1.2.3/32".parse::<IpNet>().expect("a network")));
        assert_eq!(toml("\"fd00::/8\""), Ok("fd00::/8".parse::<IpNet>().expect("a network")));
    }

    #[test]
    fn a_wrong_value_says_what_to_write() {
        for (error, words) in [
            (toml::<Span>("30").expect_err("no unit"), "in quotes, not a bare number"),
            (toml::<Span>("\"30\"").expect_err("no unit"), "ms, s, m, h, d"),
            (toml::<u32>("-1").expect_err("negative"), "0 to 4294967295"),
            (toml::<u32>("\"5\"").expect_err("quoted"), "not a string"),
            (toml::<bool>("\"true\"").expect_err("quoted"), "without quotes"),
            (toml::<SocketAddr>("\"localhost:9000\"").expect_err("a name"), "IP and port"),
            (toml::<Vec<IpNet>>("\"10.0.0.0/8\"").expect_err("no list"), "a list"),
            (toml::<Vec<IpNet>>("[\"10/8\"]").expect_err("short form"), "10.0.0.0/8"),
            (toml::<UnknownIdTag>("\"reject\"").expect_err("a word"), "\"accept\" \"invalid\""),
            (toml::<PathBuf>("\"\"").expect_err("empty"), "empty"),
        ] {
            assert!(error.contains(words), "{error}");
        }
    }
}
