//! The room that the database takes, and giving back what it does not need.

use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::Connection;

use crate::engine::sqlite::driver;
use crate::error::Result;

/// Pages that are given back in one step: some milliseconds of the writer's time.
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
    pub(crate) shrinks: bool,
}

impl Space {
    /// Room that is given back by itself.
    pub(crate) fn of_bytes(bytes: u64) -> Self {
        Self { page_bytes: 1, pages: bytes, free_pages: 0, shrinks: false }
    }

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

/// The room that the database takes now.
pub(crate) fn space(conn: &Connection) -> Result<Space> {
    let number = |pragma: &str| -> Result<u64> {
        driver::one(conn, &format!("PRAGMA {pragma}"), &[], |row| driver::get(row, 0))
    };
    Ok(Space {
        page_bytes: number("page_size")?,
        pages: number("page_count")?,
        free_pages: number("freelist_count")?,
        shrinks: number("auto_vacuum")? == INCREMENTAL,
    })
}

/// Gives a few free pages back.
pub(crate) fn shrink(conn: &Connection) -> Result<()> {
    let vacuum = format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})");
    // One row for each page: whoever does not ask for the next one gives one page back.
    driver::each(conn, &vacuum, &[], |_| Ok(ControlFlow::Continue(())))
}

/// What SQLite calls the mode in which free pages are given back on demand.
const INCREMENTAL: u64 = 2;
