//! A line between two that can be made bad: it delays, trickles, swallows, cuts and refuses on demand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the line does with what comes back over it; what goes there always goes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is a good line.
    Open,
    /// Each piece comes so much later.
    Delay(Duration),
    /// One byte at a time.
    Trickle,
    /// After so many bytes the line is dead.
    CutAfter(usize),
    /// Nothing comes back at all, and once the line is another one the connection ends: what was swallowed
    /// does not come any more.
    Swallow,
    /// Whoever connects is thrown out.
    Refuse,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// A line to `target`, a good one at first.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (way, seen) = watch::channel(Way::Open);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.fetch_add(1, SeqCst);
                if *seen.borrow() != Way::Refuse {
                    // Either end may go; that is the business of the other.
                    tokio::spawn(carry(client, target, seen.clone()));
                }
            }
        });
        Self { address, way, connections }
    }

    /// A line to the server of this URL, and the URL by way of it.
    pub(crate) async fn before(url: &str) -> (Self, String) {
        let target = url.trim_start_matches("http://").split('/').next().expect("an address");
        let proxy = Self::to(target.parse().expect("an address")).await;
        let by_way = url.replace(target, &proxy.address.to_string());
        (proxy, by_way)
    }

    /// From here on; connections that stand go on the new way.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// How many have tried to connect.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

async fn carry(client: TcpStream, target: SocketAddr, way: watch::Receiver<Way>) -> std::io::Result<()> {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = TcpStream::connect(target).await?.into_split();
    tokio::select! {
        there = tokio::io::copy(&mut from_client, &mut to_server) => there.map(drop),
        back = bring_back(from_server, to_client, way) => back,
    }
}

async fn bring_back(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
) -> std::io::Result<()> {
    let mut piece = vec![0; 16 << 10];
    let (mut brought, mut swallowed) = (0, false);
    loop {
        let got = tokio::select! {
            got = from.read(&mut piece) => got?,
            _ = way.wait_for(|way| *way != Way::Swallow), if swallowed => return Ok(()),
        };
        let now = *way.borrow();
        if got == 0 {
            return match now {
                // Not even that is heard.
                Way::Swallow => {
                    let _ = way.wait_for(|way| *way != Way::Swallow).await;
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        match now {
            Way::Open => to.write_all(&piece[..got]).await?,
            Way::Delay(so_much) => {
                tokio::time::sleep(so_much).await;
                to.write_all(&piece[..got]).await?;
            }
            Way::Trickle => {
                for byte in &piece[..got] {
                    to.write_u8(*byte).await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Way::CutAfter(bytes) => {
                let left = bytes.saturating_sub(brought).min(got);
                to.write_all(&piece[..left]).await?;
                if left < got {
                    return Ok(());
                }
            }
            Way::Swallow => swallowed = true,
            Way::Refuse => return Ok(()),
        }
        brought += got;
    }
}
