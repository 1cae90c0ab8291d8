//! Threads that make slow hashes and nothing else.
//!
//! Such a hash takes 19 MiB, which the allocator keeps for the thread that had it. On threads that are shared
//! with other work these would become hundreds of MiB in a flood.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::{io, thread};

use tokio::sync::oneshot;

use super::lock;

type Work = Box<dyn FnOnce() + Send>;

/// The threads; they end with it.
pub(super) struct HashThreads(Sender<Work>);

impl HashThreads {
    /// So many of them.
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

    /// What `work` comes to; `None` if it could not be done. The caller sees to it that not much waits.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let work = Box::new(move || {
            // Whoever asked may be gone.
            let _ = tell.send(work());
        });
        self.0.send(work).ok()?;
        told.await.ok()
    }
}

fn run(works: &Mutex<Receiver<Work>>) {
    loop {
        // Held while it waits: the next thread waits for its turn to wait.
        let Ok(work) = lock(works).recv() else { return };
        work();
    }
}
