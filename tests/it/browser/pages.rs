//! Every page, light and dark: nobody is kept out (axe-core), nothing is refused by the content security
//! policy, the console is quiet, and nothing sticks out of a phone.

use super::driver::{Browser, Colours};
use super::scene::Scene;

/// Phone and desk, in pixels.
const SIZES: [(&str, u32, u32); 2] = [("phone", 390, 844), ("desk", 1280, 900)];

/// Every page by name, with its path.
async fn pages(scene: &Scene) -> Vec<(&'static str, String)> {
    let first = async |list: &str, member: &str| {
        let rows = scene.gateway.get(list).await;
        rows["data"][0][member].as_str().unwrap_or_else(|| panic!("{list}: {rows}")).to_owned()
    };
    let event = first("/events?event=invoice.due&limit=1", "id").await;
    let delivery = first("/deliveries?status=failed&limit=1", "id").await;
    [
        ("overview", "/ui/".to_owned()),
        ("stations", "/ui/stations".to_owned()),
        ("station", "/ui/stations/WALLBOX_001".to_owned()),
        ("station-faulted", "/ui/stations/DEPOT_07".to_owned()),
        ("sessions", "/ui/sessions".to_owned()),
        ("session", format!("/ui/sessions/{}", scene.fleet.over)),
        ("session-active", format!("/ui/sessions/{}", scene.fleet.active)),
        ("events", "/ui/events".to_owned()),
        ("event", format!("/ui/events/{event}")),
        ("deliveries", "/ui/deliveries?status=failed".to_owned()),
        ("delivery", format!("/ui/deliveries/{delivery}")),
        ("webhooks", "/ui/webhooks".to_owned()),
        ("webhook", format!("/ui/webhooks/{}", scene.billing_id)),
        ("commands", "/ui/commands".to_owned()),
        ("tags", "/ui/tags".to_owned()),
        ("reports", "/ui/reports".to_owned()),
        ("audit", "/ui/audit".to_owned()),
        ("keys", "/ui/keys".to_owned()),
        ("system", "/ui/system".to_owned()),
        ("find", "/ui/find?q=marmalade".to_owned()),
        ("missing", "/ui/stations/NOBODY".to_owned()),
    ]
    .into()
}

/// The widest thing on the page and the window, in pixels.
async fn sticks_out(browser: &Browser) -> Option<String> {
    let widths = browser
        .evaluate("return [document.documentElement.scrollWidth, document.documentElement.clientWidth];")
        .await;
    let (content, window) = (widths[0].as_u64()?, widths[1].as_u64()?);
    (content > window).then(|| format!("{content} pixels of content in a window of {window}"))
}

#[tokio::test]
async fn every_page_is_for_everybody_and_breaks_no_rule_of_its_own() {
    let Some(browser) = Browser::open().await else { return };
    let scene = Scene::set().await;
    let mut wrong = Vec::new();
    for colours in [Colours::Light, Colours::Dark] {
        browser.colours(colours).await;
        browser.goto(&scene.gateway.url("/ui/login")).await;
        wrong.extend(browser.inaccessible().await.into_iter().map(|what| format!("login: {what}")));
        browser.picture(&format!("login-{}", colours.name())).await;
    }
    scene.sign_in(&browser).await;
    for (name, path) in pages(&scene).await {
        for (size, width, height) in SIZES {
            browser.size(width, height).await;
            for colours in [Colours::Light, Colours::Dark] {
                browser.colours(colours).await;
                browser.goto(&scene.gateway.url(&path)).await;
                browser.picture(&format!("{name}-{size}-{}", colours.name())).await;
                let mut found = browser.inaccessible().await;
                found.extend(sticks_out(&browser).await);
                // A page that does not exist is told of by the console as well.
                found.extend(browser.complaints().await.into_iter().filter(|_| name != "missing"));
                wrong.extend(found.into_iter().map(|what| format!("{name}, {size}, {colours:?}: {what}")));
            }
        }
    }
    browser.end().await;
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
}
