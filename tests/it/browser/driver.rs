//! A real browser: Chromium, driven by its chromedriver, each with a profile of its own.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{
    By, CapabilitiesHelper, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver, WebElement,
};

use crate::harness::{DEADLINE, eventually};

/// The folder that screenshots are written to; unset: none are taken.
const SCREENSHOTS: &str = "BROWSER_SCREENSHOTS";

/// The file of axe-core, which judges how accessible a page is; unset: that is not judged.
const AXE: &str = "AXE_CORE";

/// Set where these tests are to run; a missing browser is a failure then.
const WANTED: &str = "BROWSER_TESTS";

/// Longer than the browser takes for anything here; a driver that hangs must not hold up the tests.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Which colours a page is shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    Light,
    Dark,
}

impl Colours {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// A chromedriver and its browser, in a process group of their own that ends with this.
struct Driving {
    process: Child,
    /// What both leave behind, such as the profile.
    _files: TempDir,
}

impl Drop for Driving {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.process.wait();
    }
}

/// A browser window. It ends with [`Browser::end`]; after a failure it is killed.
pub(super) struct Browser {
    driver: WebDriver,
    _driving: Driving,
    axe: Option<String>,
    screenshots: Option<PathBuf>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The client would ask the driver to close the session and wait; the driver is killed instead.
        let _ = self.driver.clone().leak();
    }
}

/// The first program of that name in the path.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

impl Browser {
    /// A browser, or `None`, and a word on why, where nobody has asked for one.
    pub(super) async fn open() -> Option<Self> {
        if std::env::var_os(WANTED).is_none() {
            println!("skipped: {WANTED} is not set");
            return None;
        }
        let (Some(chromium), Some(chromedriver)) = (program("chromium"), program("chromedriver")) else {
            panic!("chromium and chromedriver are not in the path");
        };
        let files = tempfile::tempdir().expect("a directory");
        let process = Command::new(chromedriver)
            .arg("--port=0")
            .env("TMPDIR", files.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver starts");
        let mut driving = Driving { process, _files: files };
        let port = announced_port(&mut driving.process);
        let mut wishes = DesiredCapabilities::chrome();
        wishes.set_binary(&chromium.to_string_lossy()).expect("a path");
        for option in [
            "--headless=new",
            // Containers allow no sandbox to root; the pages are our own.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--hide-scrollbars",
            "--window-size=1280,900",
        ] {
            wishes.add_arg(option).expect("an option");
        }
        wishes.set("goog:loggingPrefs", json!({"browser": "ALL"})).expect("a wish");
        // The driver's client is made without a word on which TLS it uses.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let driver = WebDriver::builder(format!("http://127.0.0.1:{port}"), wishes)
            .request_timeout(ANSWER_TIMEOUT)
            .await
            .expect("a session");
        let axe = std::env::var_os(AXE).map(|file| std::fs::read_to_string(file).expect("axe-core"));
        if axe.is_none() {
            println!("not judged for accessibility: {AXE} names no file of axe-core");
        }
        let screenshots = std::env::var_os(SCREENSHOTS).map(PathBuf::from);
        Some(Self { driver, _driving: driving, axe, screenshots })
    }

    pub(super) async fn end(self) {
        self.driver.clone().quit().await.expect("the browser ends");
    }

    /// Opens a page.
    pub(super) async fn goto(&self, url: &str) {
        self.driver.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    pub(super) async fn url(&self) -> String {
        self.driver.current_url().await.expect("a URL").to_string()
    }

    /// What the page's main part says; nothing while a page gives way to another.
    pub(super) async fn text(&self) -> String {
        let text = "return document.querySelector('main')?.innerText;";
        let read = self.driver.execute(text, Vec::new()).await;
        read.ok().and_then(|text| text.json().as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Waits until the page's main part says that.
    pub(super) async fn reads(&self, text: &str) {
        let reading = async {
            while !self.text().await.contains(text) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(DEADLINE, reading).await.is_err() {
            self.picture("failed").await;
            panic!("no {text:?} at {}:\n{}", self.url().await, self.text().await);
        }
    }

    /// The first element that a CSS selector finds; waits for it.
    pub(super) async fn element(&self, css: &str) -> WebElement {
        eventually(&format!("{css} on the page"), async || self.driver.find(By::Css(css)).await.ok()).await
    }

    /// The link or button whose text contains `text`; waits for it.
    pub(super) async fn control(&self, text: &str) -> WebElement {
        let path = format!(
            "//a[contains(normalize-space(.), '{text}')] | //button[contains(normalize-space(.), '{text}')]"
        );
        eventually(&format!("a link or button {text:?}"), async || {
            for found in self.driver.find_all(By::XPath(&path)).await.ok()? {
                if found.is_displayed().await.unwrap_or(false) {
                    return Some(found);
                }
            }
            None
        })
        .await
    }

    /// Writes into the field of this name.
    pub(super) async fn fill(&self, field: &str, text: &str) {
        let element = self.element(&format!("main [name='{field}'], [name='{field}']")).await;
        element.clear().await.expect("clears");
        element.send_keys(text).await.expect("types");
    }

    /// Shows pages in these colours from now on.
    pub(super) async fn colours(&self, colours: Colours) {
        let feature = json!({"name": "prefers-color-scheme", "value": colours.name()});
        self.devtools("Emulation.setEmulatedMedia", json!({"features": [feature]})).await;
    }

    /// Makes the window as large as that, in pixels.
    pub(super) async fn size(&self, width: u32, height: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        )
        .await;
    }

    async fn devtools(&self, method: &str, parameters: Value) -> Value {
        self.driver
            .cdp()
            .send_raw(method, parameters)
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// What a script on the page returns.
    pub(super) async fn evaluate(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.expect("a script").json().clone()
    }

    /// Everything that the console and the network have complained of since the last look.
    pub(super) async fn complaints(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.expect("the browser's log");
        log.into_iter()
            .filter(|entry| entry.level != "DEBUG" && entry.level != "INFO")
            .map(|entry| format!("{}: {}", entry.level, entry.message))
            .collect()
    }

    /// What axe-core finds wrong with the page: rule, element and reason of each violation.
    pub(super) async fn inaccessible(&self) -> Vec<String> {
        let Some(axe) = &self.axe else { return Vec::new() };
        self.driver.execute(axe, Vec::new()).await.expect("axe-core loads");
        let run = "const done = arguments[0];
            axe.run(document).then(result => done(result.violations), error => done([String(error)]));";
        let found = self.driver.execute_async(run, Vec::new()).await.expect("axe-core runs");
        let told = |violation: &Value| match violation["nodes"].as_array() {
            Some(nodes) => nodes
                .iter()
                .map(|node| format!("{}: {} ({})", violation["id"], node["html"], node["failureSummary"]))
                .collect(),
            None => vec![violation.to_string()],
        };
        found.json().as_array().expect("a list").iter().flat_map(told).collect::<Vec<_>>()
    }

    /// Keeps a picture of the whole page, where somebody asked for pictures.
    pub(super) async fn picture(&self, name: &str) {
        let Some(folder) = &self.screenshots else { return };
        let taken = self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        let picture = STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("base64");
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), picture).expect("a file");
    }
}

/// The port that a driver says it listens on.
fn announced_port(process: &mut Child) -> u16 {
    let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    for line in lines.map(|line| line.expect("text")) {
        if let Some((_, port)) = line.rsplit_once("started successfully on port ") {
            return port.trim_end_matches('.').trim().parse().expect("a port");
        }
    }
    panic!("chromedriver ended and named no port");
}
