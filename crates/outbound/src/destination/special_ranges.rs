//! Ranges of addresses that are no place for a webhook receiver (IANA's special-purpose registries).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// A range of addresses with a special purpose.
pub(super) struct SpecialRange {
    /// What its addresses are for.
    pub(super) kind: &'static str,
    pub(super) network: IpNet,
}

/// IPv4 ranges that are no place for a webhook receiver (IANA's special-purpose registry, multicast, and
/// the one public address that clouds use for their own services).
const SPECIAL_V4: &[(Ipv4Addr, u8, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "cloud metadata service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local, cloud metadata service"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "multicast tunnelling"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

/// IPv6 ranges that are no place for a webhook receiver. Transition ranges (NAT64, 6to4, Teredo) are refused
/// completely: an IPv4 address that they embed can be written as such.
const SPECIAL_V6: &[(Ipv6Addr, u8, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::UNSPECIFIED, 96, "IPv4-compatible"),
    (v6(0x64, 0xff9b, 0), 96, "NAT64"),
    (v6(0x64, 0xff9b, 1), 48, "NAT64"),
    (v6(0x100, 0, 0), 64, "discard-only"),
    (v6(0x2001, 0, 0), 32, "Teredo"),
    (v6(0x2001, 2, 0), 48, "benchmarking"),
    (v6(0x2001, 0, 0), 23, "protocol assignments"),
    (v6(0x2001, 0xdb8, 0), 32, "documentation"),
    (v6(0x2002, 0, 0), 16, "6to4"),
    (v6(0x2620, 0x4f, 0x8000), 48, "AS112"),
    (v6(0x3fff, 0, 0), 20, "documentation"),
    (v6(0x5f00, 0, 0), 16, "segment routing"),
    (v6(0xfc00, 0, 0), 7, "unique local"),
    (v6(0xfe80, 0, 0), 10, "link-local"),
    (v6(0xfec0, 0, 0), 10, "site-local"),
    (v6(0xff00, 0, 0), 8, "multicast"),
];

/// The global unicast range of IANA. The rest of IPv6 is reserved, and refused.
const GLOBAL_UNICAST_V6: (Ipv6Addr, u8) = (v6(0x2000, 0, 0), 3);

fn within_v4(address: Ipv4Addr, base: Ipv4Addr, prefix: u8) -> bool {
    (u32::from(address) ^ u32::from(base)).checked_shr(32 - u32::from(prefix)).unwrap_or(0) == 0
}

fn within_v6(address: Ipv6Addr, base: Ipv6Addr, prefix: u8) -> bool {
    (u128::from(address) ^ u128::from(base)).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
}

fn network(base: IpAddr, prefix: u8) -> IpNet {
    IpNet::new(base, prefix).unwrap_or(IpNet::from(base))
}

/// The special-purpose range an address belongs to; `None` for public addresses.
pub(super) fn special_range(address: IpAddr) -> Option<SpecialRange> {
    match address {
        IpAddr::V4(v4) => SPECIAL_V4
            .iter()
            .find(|(base, prefix, _)| within_v4(v4, *base, *prefix))
            .map(|(base, prefix, kind)| SpecialRange { kind, network: network(IpAddr::V4(*base), *prefix) }),
        IpAddr::V6(v6) => SPECIAL_V6
            .iter()
            .find(|(base, prefix, _)| within_v6(v6, *base, *prefix))
            .map(|(base, prefix, kind)| SpecialRange { kind, network: network(IpAddr::V6(*base), *prefix) })
            .or_else(|| {
                let (base, prefix) = GLOBAL_UNICAST_V6;
                (!within_v6(v6, base, prefix))
                    .then(|| SpecialRange { kind: "reserved", network: IpNet::from(address) })
            }),
    }
}
