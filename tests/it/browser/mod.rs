//! The dashboard in a real browser, as people use it.
//!
//! They run where `BROWSER_TESTS` is set, with `chromium` and `chromedriver` from the path; elsewhere they
//! say that they are skipped. `AXE_CORE` names the file of axe-core, `BROWSER_SCREENSHOTS` a folder for
//! pictures.

#![expect(clippy::print_stdout, reason = "a test that is skipped says so, and clicks are counted aloud")]

mod driver;
mod fleet;
mod pages;
mod scene;
mod tasks;
