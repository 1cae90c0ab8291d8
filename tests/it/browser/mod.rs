//! The dashboard in a real browser, as people use it.
//!
//! Without `chromium` and `chromedriver` in the path these tests say so and are skipped, unless
//! `BROWSER_REQUIRED` is set. `AXE_CORE` names the file of axe-core, `BROWSER_SCREENSHOTS` a folder for
//! pictures.

#![expect(clippy::print_stdout, reason = "a test that is skipped says so, and clicks are counted aloud")]

mod driver;
mod pages;
mod scene;
mod tasks;
