//! A gateway inside another program: starts it on free ports and a directory of its own, and stops it in
//! order on Ctrl-C. Run it with `cargo run --example embed`, then point a charger (or `charger-sim`) at it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use chargehook::clock::Clock;
use chargehook::config::Config;
use chargehook::gateway::Gateway;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.server.data_dir = "./embedded-data".into();
    config.ocpp.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.api.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));

    let gateway = Gateway::start(config, Clock::System).await?;
    writeln!(std::io::stdout(), "chargers connect to ws://{}/ocpp/{{stationId}}", gateway.ocpp_addr())?;

    // The tail moves with every commit that holds new events.
    let mut tail = gateway.store().tail();
    let mut seen = *tail.borrow_and_update();
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            moved = tail.changed() => moved?,
        }
        let newest = *tail.borrow_and_update();
        writeln!(std::io::stdout(), "{} new events", newest.rows_since(seen))?;
        seen = newest;
    }
    gateway.stop().await;
    Ok(())
}
