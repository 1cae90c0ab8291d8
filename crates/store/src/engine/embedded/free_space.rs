//! The room that the database takes, and giving back what it does not need.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::{Priority, Scope, Store};

/// Pages given back in one step: some milliseconds of the writer's time.
const PAGES_AT_ONCE: u32 = 64;

/// Free pages that are kept for what comes next: so many, or this part of the file if that is more.
const SPARE_PAGES: u64 = 256;
const SPARE_PART: u64 = 20;

/// The room that the database takes, the write-ahead log left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes of a page.
    page_bytes: u64,
    /// Pages of the file.
    pages: u64,
    /// How many of them hold nothing.
    free_pages: u64,
    /// Whether free pages can be given back. Where somebody has set another mode by hand they are only used
    /// again.
    shrinks: bool,
}

impl Space {
    /// Bytes of the file once the write-ahead log is copied back.
    pub fn file_bytes(&self) -> u64 {
        self.pages * self.page_bytes
    }

    /// Bytes of the pages that hold something.
    pub fn used_bytes(&self) -> u64 {
        self.pages.saturating_sub(self.free_pages) * self.page_bytes
    }

    /// Whether there are more free pages than are worth keeping, and they can be given back.
    pub fn has_too_much(&self) -> bool {
        self.shrinks && self.free_pages > SPARE_PAGES.max(self.pages / SPARE_PART)
    }
}

/// The file system that something is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes of all of it.
    pub total_bytes: u64,
}

/// The file system that this is on; `None` where that cannot be told.
#[cfg(target_os = "linux")]
pub(crate) fn disk_of(path: &Path) -> Option<Disk> {
    let found = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Disk { free_bytes: bytes(found.f_bavail), total_bytes: bytes(found.f_blocks) })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn disk_of(_: &Path) -> Option<Disk> {
    None
}

impl Store {
    /// The file system of the data directory; `None` where that cannot be told.
    pub async fn disk(&self) -> Option<Disk> {
        let data_dir = self.inner.data_dir.clone();
        // A file system of another machine may take its time.
        tokio::task::spawn_blocking(move || disk_of(&data_dir)).await.ok().flatten()
    }

    /// The room that the database takes now.
    pub async fn space(&self) -> Result<Space> {
        self.read(|db| {
            let number =
                |pragma: &str| -> Result<u64> { db.one(&format!("PRAGMA {pragma}"), &[], |row| row.get(0)) };
            Ok(Space {
                page_bytes: number("page_size")?,
                pages: number("page_count")?,
                free_pages: number("freelist_count")?,
                shrinks: number("auto_vacuum")? == INCREMENTAL,
            })
        })
        .await
    }

    /// Gives a few free pages back; how long that kept the writer.
    pub async fn shrink_step(&self) -> Result<Duration> {
        self.write(Priority::Retention, Scope::Installation, |w| {
            let began = Instant::now();
            // One row for each page: whoever does not ask for the next one gives one page back.
            let vacuum = format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})");
            w.each(&vacuum, &[], |_| Ok(ControlFlow::Continue(())))?;
            Ok(began.elapsed())
        })
        .await
    }
}

/// What SQLite calls the mode in which free pages are given back on demand.
const INCREMENTAL: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::embedded::data_dir::DATABASE;
    use vocabulary::clock::Clock;

    #[tokio::test]
    async fn what_is_free_is_given_back_in_steps_and_some_is_kept() {
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
