//! What this process is among the nodes of its store.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use vocabulary::id::WebhookId;

/// Who this node is, for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// As `[node] name` says.
    pub name: String,
    /// Where chargers connect.
    pub ocpp_addr: Option<String>,
    /// Where the REST API answers.
    pub api_addr: Option<String>,
    /// How long it may be silent before the others count it as lost.
    pub lease: Duration,
}

impl Default for Identity {
    /// One that nobody else asks for.
    fn default() -> Self {
        Self {
            name: "chargehook".to_owned(),
            ocpp_addr: None,
            api_addr: None,
            lease: Duration::from_secs(15),
        }
    }
}

/// The lanes that this node sends from, and whether that is up to others too.
#[derive(Debug, Default)]
struct Lanes {
    /// `None`: all there are.
    held: Option<BTreeSet<WebhookId>>,
}

/// What a process can be to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The only node there is.
    Alone,
    /// One of several: it holds what it was given and nothing else.
    AmongOthers,
    /// No node.
    Beside,
}

/// What this process is among the nodes of its store, as far as it knows.
#[derive(Debug)]
pub(crate) struct Membership {
    identity: Mutex<Identity>,
    role: Role,
    /// 0: it was fenced, and has not joined again.
    epoch: watch::Sender<i64>,
    /// It sends nothing after that; `None`: nobody else is there who might.
    acts_until: Mutex<Option<Instant>>,
    lanes: Mutex<Lanes>,
    /// It does what one node does for all.
    leads: AtomicBool,
    /// It leaves: it takes on nothing more.
    draining: AtomicBool,
    /// The newest signal of others that it has heard.
    heard: AtomicI64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Membership {
    /// The only node there is.
    pub(crate) fn alone(identity: Identity) -> Self {
        Self {
            identity: Mutex::new(identity),
            role: Role::Alone,
            epoch: watch::Sender::new(0),
            acts_until: Mutex::new(None),
            lanes: Mutex::default(),
            leads: AtomicBool::new(true),
            draining: AtomicBool::new(false),
            heard: AtomicI64::new(0),
        }
    }

    /// One of several, which holds nothing yet.
    pub(crate) fn among_others(identity: Identity) -> Self {
        let membership = Self { role: Role::AmongOthers, ..Self::alone(identity) };
        membership.forget_all();
        membership
    }

    /// No node: it is on a short errand beside those that are.
    pub(crate) fn beside() -> Self {
        Self { role: Role::Beside, ..Self::alone(Identity::default()) }
    }

    /// Whether others may come.
    pub(crate) fn is_among_others(&self) -> bool {
        self.role == Role::AmongOthers
    }

    /// Whether it is a node, or is to be one again.
    pub(crate) fn is_node(&self) -> bool {
        self.role != Role::Beside
    }

    pub(crate) fn identity(&self) -> Identity {
        lock(&self.identity).clone()
    }

    /// Says where it really listens.
    pub(crate) fn set_addresses(&self, ocpp: Option<String>, api: Option<String>) {
        let mut identity = lock(&self.identity);
        (identity.ocpp_addr, identity.api_addr) = (ocpp, api);
    }

    /// Its number; 0: it is none at the moment.
    pub(crate) fn epoch(&self) -> i64 {
        *self.epoch.borrow()
    }

    /// Its number, and each that it gets after a fence.
    pub(crate) fn epochs(&self) -> watch::Receiver<i64> {
        self.epoch.subscribe()
    }

    /// It is a node, under this number.
    pub(crate) fn joined(&self, epoch: i64) {
        self.epoch.send_replace(epoch);
    }

    /// Others have taken over what it had.
    pub(crate) fn fenced(&self) {
        self.forget_all();
        self.epoch.send_replace(0);
    }

    fn forget_all(&self) {
        lock(&self.lanes).held = Some(BTreeSet::new());
        *lock(&self.acts_until) = Some(Instant::now());
        self.leads.store(false, SeqCst);
    }

    /// It was seen by the database at `seen`: its lease runs from then.
    pub(crate) fn seen(&self, seen: Instant, leads: bool) {
        let lease = self.identity().lease;
        *lock(&self.acts_until) = Some(seen + lease);
        self.leads.store(leads, SeqCst);
    }

    /// Whether it may still send anything, by its own clock.
    pub(crate) fn may_act(&self) -> bool {
        lock(&self.acts_until).is_none_or(|until| Instant::now() < until)
    }

    /// Whether it does what one node does for all.
    pub(crate) fn leads(&self) -> bool {
        self.leads.load(SeqCst) && self.may_act()
    }

    /// Takes on nothing more.
    pub(crate) fn drain(&self) {
        self.draining.store(true, SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Whether this lane's deliveries are sent by this node.
    pub(crate) fn holds(&self, lane: WebhookId) -> bool {
        lock(&self.lanes).held.as_ref().is_none_or(|held| held.contains(&lane))
    }

    /// The lanes that it holds; empty where it holds all there are.
    pub(crate) fn held(&self) -> BTreeSet<WebhookId> {
        lock(&self.lanes).held.clone().unwrap_or_default()
    }

    /// It has a lane from now on.
    pub(crate) fn hold(&self, lane: WebhookId) {
        if let Some(held) = &mut lock(&self.lanes).held {
            held.insert(lane);
        }
    }

    /// It claims nothing more from a lane.
    pub(crate) fn let_go(&self, lane: WebhookId) {
        if let Some(held) = &mut lock(&self.lanes).held {
            held.remove(&lane);
        }
    }

    /// The newest signal of others that it has heard.
    pub(crate) fn heard(&self) -> i64 {
        self.heard.load(SeqCst)
    }

    pub(crate) fn has_heard(&self, signal: i64) {
        self.heard.fetch_max(signal, SeqCst);
    }
}
