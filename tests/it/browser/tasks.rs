//! What people come to the dashboard for, each in at most four clicks from the overview.

use super::driver::Browser;
use super::scene::{DEAD_LETTERS, RARE_WORD, Scene};

/// How many clicks a task may take. Sending a form with the keyboard counts as one.
const CLICKS_MAX: u32 = 4;

/// Somebody at the dashboard, whose clicks are counted.
struct Person<'a> {
    browser: &'a Browser,
    clicks: u32,
}

impl<'a> Person<'a> {
    /// At the overview, signed in.
    async fn at_the_overview(scene: &Scene, browser: &'a Browser) -> Self {
        browser.goto(&scene.gateway.url("/ui/")).await;
        Self { browser, clicks: 0 }
    }

    async fn click(&mut self, text: &str) {
        let control = self.browser.control(text).await;
        control.click().await.unwrap_or_else(|error| panic!("{text}: {error}"));
        self.clicks += 1;
    }

    /// Types into the field of this name, and sends its form.
    async fn enter(&mut self, field: &str, text: &str) {
        self.browser.fill(field, &format!("{text}\n")).await;
        self.clicks += 1;
    }

    /// Waits until the page says that.
    async fn reads(&self, text: &str) {
        self.browser.reads(text).await;
    }

    /// The task is done.
    fn done(self, task: &str) {
        println!("{task}: {} clicks", self.clicks);
        assert!(self.clicks <= CLICKS_MAX, "{task} takes {} clicks", self.clicks);
    }
}

#[tokio::test]
async fn what_people_come_for_takes_at_most_four_clicks() {
    let Some(browser) = Browser::open().await else { return };
    let scene = Scene::set().await;
    scene.sign_in(&browser).await;

    let mut person = Person::at_the_overview(&scene, &browser).await;
    person.enter("q", RARE_WORD).await;
    person.click("invoice.due").await;
    person.reads(RARE_WORD).await;
    person.done("find a payload by a word of it");

    let mut person = Person::at_the_overview(&scene, &browser).await;
    person.click("Events").await;
    person.click("invoice.due").await;
    person.reads("503").await;
    person.reads("does not subscribe to").await;
    person.done("see why an event did not reach a webhook");

    scene.billing_is_back();
    let mut person = Person::at_the_overview(&scene, &browser).await;
    person.click("Deliveries").await;
    person.click("Send again all that fit").await;
    person.reads(&DEAD_LETTERS.to_string()).await;
    person.click(&format!("Send {DEAD_LETTERS} deliveries again")).await;
    person.reads("being sent again").await;
    let due = 2 * DEAD_LETTERS;
    scene.billing.wait_for(due + DEAD_LETTERS).await;
    person.done("send 31 dead letters again, after a count");

    let mut person = Person::at_the_overview(&scene, &browser).await;
    person.click("Stations").await;
    person.click("WALLBOX_001").await;
    scene.charger.tell("plug 1");
    browser.fill("idTag", "DEADBEEF").await;
    person.click("Start charging").await;
    person.reads("Accepted").await;
    person.click("Open session").await;
    browser.element("svg.curves").await;
    person.done("start a charge and see the answer and the curve");

    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.end().await;
}
