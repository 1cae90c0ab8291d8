//! Threads that only make slow hashes.
//!
//! A slow hash takes 19 MiB, which the allocator keeps for the thread that made it. On threads shared with
//! other work that would become hundreds of MiB in a flood.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::{io, thread};

use tokio::sync::oneshot;

use super::lock;

type Work = Box<dyn FnOnce() + Send>;

/// The threads; they end when this is dropped.
pub(super) struct HashThreads(Sender<Work>);

impl HashThreads {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let (sender, receiver) = channel::<Work>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..count {
            let receiver = receiver.clone();
            thread::Builder::new().name("hasher".to_owned()).spawn(move || run(&receiver))?;
        }
        Ok(Self(sender))
    }

    /// Runs `work` and returns its result; `None` if it could not be run. The caller bounds how much waits.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let work = Box::new(move || {
            // The caller may be gone.
            let _ = tell.send(work());
        });
        self.0.send(work).ok()?;
        told.await.ok()
    }
}

fn run(works: &Mutex<Receiver<Work>>) {
    loop {
        // The lock is held while this thread waits for work; the other threads wait for the lock.
        let Ok(work) = lock(works).recv() else { return };
        work();
    }
}
