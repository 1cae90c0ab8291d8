//! The room that the database takes, and giving back what it does not need.

use std::time::{Duration, Instant};

use crate::engine::sqlite::free_space::{Disk, Space, disk_of};
use crate::error::Result;
use crate::{Priority, Scope, Store};

impl Store {
    /// The file system of the data directory; `None` where that cannot be told.
    pub async fn disk(&self) -> Option<Disk> {
        let data_dir = self.inner.data_dir.clone();
        // A file system of another machine may take its time.
        tokio::task::spawn_blocking(move || disk_of(&data_dir)).await.ok().flatten()
    }

    /// The room that the database takes now.
    pub async fn space(&self) -> Result<Space> {
        self.read(|db| db.space()).await
    }

    /// Gives a few free pages back. Returns how long that kept the writer.
    pub async fn shrink_step(&self) -> Result<Duration> {
        self.write(Priority::Retention, Scope::Installation, |w| {
            let began = Instant::now();
            w.shrink()?;
            Ok(began.elapsed())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::embedded::data_dir::DATABASE;
    use vocabulary::clock::Clock;

    #[tokio::test]
    async fn what_is_free_is_given_back_in_steps_and_some_is_kept() {
        if crate::test_store::is_shared() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("a store");
        let empty = store.space().await.expect("reads");
        assert!(empty.shrinks && !empty.has_too_much(), "{empty:?}");
        store.seed_run("CREATE TABLE ballast (bytes BLOB)").await;
        store.seed_run("INSERT INTO ballast VALUES (zeroblob(4194304))").await;
        let full = store.space().await.expect("reads");
        store.seed_run("DELETE FROM ballast").await;
        let freed = store.space().await.expect("reads");
        assert!(freed.has_too_much() && freed.file_bytes() == full.file_bytes(), "{freed:?}");
        assert!(freed.used_bytes() < full.used_bytes() - (4 << 20), "{freed:?} of {full:?}");
        let mut steps = 0;
        while store.space().await.expect("reads").has_too_much() {
            store.shrink_step().await.expect("shrinks");
            steps += 1;
            assert!(steps < 20, "every step gives 64 pages back");
        }
        let shrunk = store.space().await.expect("reads");
        assert!(shrunk.used_bytes() <= freed.used_bytes(), "{shrunk:?}");
        assert!(shrunk.file_bytes() < full.file_bytes() - (2 << 20), "{shrunk:?}");
        store.close();
        drop(store);
        let file = std::fs::metadata(dir.path().join(DATABASE)).expect("the file").len();
        assert!(file <= shrunk.file_bytes(), "{file} bytes on disk");
    }
}
