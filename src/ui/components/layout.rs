//! The document around a page.

use maud::{DOCTYPE, Markup, html};

use super::chip::Tone;
use super::{action, units};
use crate::ui::assets;
use vocabulary::clock::Timestamp;

/// A place of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ui) enum Section {
    Overview,
    Stations,
    Sessions,
    Commands,
    Tags,
    Reports,
    Webhooks,
    Events,
    Deliveries,
    Audit,
    Keys,
    System,
}

/// A place in the navigation: its section, title and path.
type Place = (Section, &'static str, &'static str);

/// The groups of the navigation, each with a title.
const GROUPS: &[(&str, &[Place])] = &[
    ("", &[(Section::Overview, "Overview", "/ui/")]),
    (
        "Chargers",
        &[
            (Section::Stations, "Stations", "/ui/stations"),
            (Section::Sessions, "Sessions", "/ui/sessions"),
            (Section::Commands, "Commands", "/ui/commands"),
            (Section::Tags, "Id tags", "/ui/tags"),
            (Section::Reports, "Reports", "/ui/reports"),
        ],
    ),
    (
        "Webhooks",
        &[
            (Section::Webhooks, "Webhooks", "/ui/webhooks"),
            (Section::Events, "Events", "/ui/events"),
            (Section::Deliveries, "Deliveries", "/ui/deliveries"),
        ],
    ),
    (
        "Gateway",
        &[
            (Section::Audit, "Audit log", "/ui/audit"),
            (Section::Keys, "API keys", "/ui/keys"),
            (Section::System, "System", "/ui/system"),
        ],
    ),
];

/// Places that only a key with the scope `admin` can open.
const FOR_ADMINS: [Section; 2] = [Section::Audit, Section::Keys];

/// A message about what was just done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ui) struct Message {
    pub(in crate::ui) tone: Tone,
    pub(in crate::ui) text: String,
}

/// A number beside a place of the navigation; nothing is shown of none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ui) struct Count {
    /// The place.
    pub(in crate::ui) section: Section,
    /// How many.
    pub(in crate::ui) number: u64,
    /// Of what.
    pub(in crate::ui) what: &'static str,
    /// The page that lists those.
    pub(in crate::ui) path: &'static str,
}

/// What surrounds every page of somebody who has signed in.
#[derive(Clone)]
pub(in crate::ui) struct Frame {
    /// The name of the API key.
    pub(in crate::ui) key_name: String,
    /// The customer that the key is bound to.
    pub(in crate::ui) owner_id: Option<String>,
    /// Whether the key has the scope `admin`.
    pub(in crate::ui) is_admin: bool,
    /// The token of the session's forms.
    pub(in crate::ui) token: String,
    /// What was just done.
    pub(in crate::ui) message: Option<Message>,
    /// Numbers beside places of the navigation.
    pub(in crate::ui) counts: Vec<Count>,
    /// When the page was made.
    pub(in crate::ui) now: Timestamp,
}

/// A page within the frame. `live`: parts of it are refetched while it is open. `wrong`: what was asked for
/// is wrong, and asking for it again would change nothing.
pub(in crate::ui) fn page(
    frame: &Frame,
    section: Option<Section>,
    title: &str,
    beside_title: &Markup,
    live: bool,
    wrong: bool,
    body: &Markup,
) -> Markup {
    document(
        title,
        &html! {
            a.skip href="#main" { "Skip to the page" }
            div.app {
                (navigation(frame, section, live))
                main id="main" tabindex="-1" data-still[wrong] {
                    header.top {
                        h1 { (title) }
                        (beside_title)
                        @if live { (live_mark(frame.now)) }
                        form.find method="get" action="/ui/find" role="search" {
                            input type="search" name="q" aria-label="Find"
                                placeholder="Find a station, site, session, tag, webhook, event or any word of a payload";
                        }
                    }
                    @if let Some(message) = &frame.message {
                        p class={ "message " (message.tone.class()) } role="status" { (message.text) }
                    }
                    (body)
                }
            }
        },
    )
}

/// A page for somebody who has not signed in, or whose page there is not.
pub(in crate::ui) fn plain(title: &str, body: &Markup) -> Markup {
    document(
        title,
        &html! { main.plain id="main" { p.brand { (mark()) "chargehook" } h1 { (title) } (body) } },
    )
}

/// A page that asks the browser to open the same address again. A browser leaves the cookie out if the link
/// to a page stands on another site; when it comes from this page, the cookie goes along.
pub(in crate::ui) fn again() -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; meta http-equiv="refresh" content="0"; title { "chargehook" } }
            body {}
        }
    }
}

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · chargehook" }
                link rel="stylesheet" href=(assets::style_path());
                link rel="icon" type="image/svg+xml" href=(assets::icon_path());
                script type="module" src=(assets::script_path()) {}
            }
            body { (body) }
        }
    }
}

/// `live`: its numbers are refetched while the page is open.
fn navigation(frame: &Frame, current: Option<Section>, live: bool) -> Markup {
    let visible = |section: &Section| frame.is_admin || !FOR_ADMINS.contains(section);
    html! {
        nav.main aria-label="Main" {
            p.brand { a href="/ui/" { (mark()) "chargehook" } }
            @for (group, places) in GROUPS {
                @if !group.is_empty() { h2 { (group) } }
                ul {
                    @for (section, label, path) in places.iter().filter(|(section, _, _)| visible(section)) {
                        li {
                            a href=(path) aria-current=[(current == Some(*section)).then_some("page")] { (label) }
                            (count_of(frame, *section, live))
                        }
                    }
                }
            }
            div.who {
                p { "Signed in with " b { (frame.key_name) } }
                @if let Some(owner) = &frame.owner_id { p { "of " b { (owner) } } }
                (action::button(&frame.token, "/ui/logout", "Sign out", &[]))
            }
        }
    }
}

fn count_of(frame: &Frame, section: Section, live: bool) -> Markup {
    let Some(count) = frame.counts.iter().find(|count| count.section == section) else { return html! {} };
    let id = format!("n-{section:?}").to_lowercase();
    html! {
        span.n id=(id) data-live[live] {
            @if count.number > 0 {
                a href=(count.path) title={ (units::count(count.number)) " " (count.what) } {
                    (units::count(count.number)) span.sr { " " (count.what) }
                }
            }
        }
    }
}

/// When the page was made, and the button that stops it from being refetched.
fn live_mark(now: Timestamp) -> Markup {
    let text = now.to_string();
    let clock = text.get(11..19).unwrap_or_default();
    html! {
        span.live {
            span id="live-clock" data-live { time datetime=(text) { (clock) } " UTC" }
            button.quiet type="button" data-pause hidden aria-pressed="false" { "Pause" }
        }
    }
}

fn mark() -> Markup {
    html! { svg.mark viewBox="0 0 18 18" width="18" height="18" aria-hidden="true" {
        rect width="18" height="18" rx="5" {}
        path d="M10 3.5 5 10h3.4L8 14.5 13 8H9.6z" {}
    } }
}
