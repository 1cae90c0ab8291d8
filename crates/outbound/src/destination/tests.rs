//! Delivery cases 30 to 32 of the guard alone; dialling is tested with the poster.

use super::*;

fn guard(allowed: &[&str]) -> Guard {
    Guard { allowed: allowed.iter().map(|net| net.parse().expect("a network")).collect(), https_only: false }
}

fn check(guard: &Guard, url: &str) -> Result<(), Refusal> {
    guard.check_url(&parse_url(url)?, false)
}

#[test]
fn names_of_the_machine_itself_are_refused_unresolved_unless_it_is_allowed() {
    for host in ["localhost", "LOCALHOST.", "app.localhost", "app.localhost."] {
        let url = format!("http://{host}/hook");
        assert!(matches!(check(&guard(&[]), &url), Err(Refusal::Address { .. })), "{host}");
        assert_eq!(check(&guard(&["::1/128"]), &url), Ok(()), "{host}: what it resolves to is judged then");
    }
    assert_eq!(check(&guard(&[]), "http://notlocalhost.example/"), Ok(()));
}

#[test]
fn every_spelling_of_a_special_address_is_refused() {
    for host in [
        "127.1",
        "0x7f000001",
        "0x7f.0.0.1",
        "2130706433",
        "017700000001",
        "0",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "10.1.2.3",
        "100.64.0.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[::127.0.0.1]",
        "[::8.8.8.8]",
        "[::ffff:169.254.169.254]",
        "[::ffff:7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b::808:808]",
        "[64:ff9b:1::1]",
        "[100::1]",
        "[2001::1]",
        "[2001:2::1]",
        "[2001:db8::1]",
        "[2002:7f00:1::]",
        "[3fff::1]",
        "[5f00::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[4000::1]",
        "[::ffff:0:127.0.0.1]",
    ] {
        let refusal = check(&guard(&[]), &format!("http://{host}/hook"));
        assert!(matches!(refusal, Err(Refusal::Address { .. })), "{host}: {refusal:?}");
    }
    for url in ["http://[fe80::1%eth0]/", "http://[fe80::1%25eth0]/"] {
        assert!(matches!(check(&guard(&[]), url), Err(Refusal::Invalid(_))), "{url}");
    }
}

#[test]
fn public_addresses_and_names_pass() {
    for host in [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "172.15.255.255",
        "100.128.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "[2606:4700::1111]",
        "[2a00:1450::1]",
        "[::ffff:8.8.8.8]",
        "example.com",
    ] {
        assert_eq!(check(&guard(&[]), &format!("https://{host}/hook")), Ok(()), "{host}");
    }
}

#[test]
fn an_allowed_network_opens_its_addresses_and_no_others() {
    let opened = guard(&["127.0.0.0/8", "fd00::/8"]);
    for url in ["http://127.0.0.1/", "http://127.1/", "http://[::ffff:127.0.0.1]/", "http://[fd00::1]/"] {
        assert_eq!(check(&opened, url), Ok(()), "{url}");
    }
    assert!(check(&opened, "http://10.0.0.1/").is_err());
    assert!(check(&opened, "http://[::1]/").is_err());
    assert!(check(&guard(&["::ffff:10.0.0.0/104"]), "http://10.0.0.1/").is_ok());
    assert!(check(&guard(&["::/0"]), "http://10.0.0.1/").is_err(), "all of IPv6 is not all of IPv4");
    assert!(check(&guard(&["::/0"]), "http://[::1]/").is_ok());
}

#[test]
fn a_refused_address_names_the_option_that_opens_it() {
    let refusal = check(&guard(&[]), "http://127.0.0.1:9/hook").expect_err("loopback").to_string();
    assert!(refusal.contains("--allow-network 127.0.0.0/8"), "{refusal}");
    assert!(refusal.contains("delivery.allowed_networks") && refusal.contains("loopback"), "{refusal}");
}

#[test]
fn a_url_is_http_without_credentials() {
    assert_eq!(check(&guard(&[]), "ftp://example.com/"), Err(Refusal::Scheme("ftp".to_owned())));
    assert_eq!(check(&guard(&[]), "file:///etc/passwd"), Err(Refusal::Scheme("file".to_owned())));
    assert_eq!(check(&guard(&[]), "https://user@example.com/"), Err(Refusal::UserInfo));
    assert_eq!(check(&guard(&[]), "https://:pw@example.com/"), Err(Refusal::UserInfo));
    assert_eq!(check(&guard(&[]), "https://"), Err(Refusal::NoHost));
    assert!(matches!(check(&guard(&[]), "example.com/hook"), Err(Refusal::Invalid(_))));
    let https_only = Guard { https_only: true, ..guard(&["127.0.0.0/8"]) };
    assert_eq!(check(&https_only, "http://example.com/"), Err(Refusal::HttpsOnly));
    assert_eq!(check(&https_only, "https://127.0.0.1/"), Ok(()));
}

#[test]
fn a_secret_in_clear_needs_an_allowed_network() {
    let opened = guard(&["10.0.0.0/8"]);
    let with_secret = |url: &str| opened.check_url(&parse_url(url).expect(url), true);
    assert_eq!(with_secret("http://10.0.0.1/"), Ok(()));
    assert_eq!(with_secret("https://8.8.8.8/"), Ok(()));
    assert_eq!(with_secret("http://8.8.8.8/"), Err(Refusal::SecretInClear { host: "8.8.8.8".to_owned() }));
}

#[test]
fn of_a_name_with_mixed_addresses_only_the_public_ones_are_left() {
    let mixed = ["10.0.0.1".parse().expect("v4"), "8.8.8.8".parse().expect("v4")];
    assert_eq!(guard(&[]).permitted("rebind.test", &mixed), Ok(vec![mixed[1]]));
    assert!(matches!(
        guard(&[]).permitted("rebind.test", &mixed[..1]),
        Err(Refusal::Address { host, .. }) if host == "rebind.test"
    ));
    assert_eq!(guard(&[]).permitted("nothing.test", &[]), Ok(vec![]));
}

#[tokio::test]
async fn at_creation_names_are_resolved() {
    let create = async |guard: &Guard, url: &str, secret| {
        guard.check_creation(&parse_url(url).expect(url), secret).await
    };
    let closed = guard(&[]);
    for url in ["http://localhost:9/", "https://localhost./"] {
        assert!(matches!(create(&closed, url, false).await, Err(Refusal::Address { .. })), "{url}");
    }
    assert_eq!(create(&closed, "https://no-such-name.invalid/", false).await, Ok(()));
    assert!(matches!(
        create(&closed, "http://no-such-name.invalid/", true).await,
        Err(Refusal::SecretInClear { .. })
    ));
    let opened = guard(&["127.0.0.0/8", "::1/128"]);
    assert_eq!(create(&opened, "http://localhost:9/", true).await, Ok(()));
}
