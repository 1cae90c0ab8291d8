// What a page does beyond HTML. Everything works without it.

const LOOK_EVERY_MS = 2000;

// Elements marked data-live are fetched anew from the page's own address and put in place by their id.
// Nothing is fetched while the page is hidden, paused, or somebody types in the element, and never of a page
// that says what is wrong with its filters.
const live = () => document.querySelector("main[data-still]") ? [] : document.querySelectorAll("[data-live][id]");
let paused = sessionStorage.getItem("paused") === "yes";
let looking = false;

function isInUse(element) {
  const active = document.activeElement;
  const types = active && element.contains(active) && active.matches("input, select, textarea");
  return types || element.querySelector("details.confirm[open]") !== null;
}

async function look() {
  if (paused || looking || document.hidden || live().length === 0) return;
  looking = true;
  try {
    const answer = await fetch(location.href, { headers: { "x-live": "1" }, credentials: "same-origin" });
    if (answer.redirected) location.reload();
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const element of live()) {
      const next = fresh.getElementById(element.id);
      if (!paused && next && !isInUse(element) && next.innerHTML !== element.innerHTML) put(element, next);
    }
  } catch {
    // The gateway is away for a moment; the clock of the page shows since when.
  } finally {
    looking = false;
  }
}

const nameOf = (details) => details.dataset.key ?? details.querySelector("summary")?.textContent;

// Keeps what was opened open, and the focus where it was.
function put(element, next) {
  const opened = new Set([...element.querySelectorAll("details[open]")].map(nameOf));
  const focused = element.contains(document.activeElement) && document.activeElement.getAttribute("href");
  element.replaceChildren(...next.childNodes);
  for (const details of element.querySelectorAll("details")) details.open ||= opened.has(nameOf(details));
  if (focused) element.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  prepare(element);
}

function showPause(button) {
  button.setAttribute("aria-pressed", String(paused));
  button.textContent = paused ? "Go on" : "Pause";
}

// Buttons that need this module are hidden until it is here.
function prepare(root) {
  for (const button of root.querySelectorAll("button[data-copy], button[data-pause]")) {
    button.hidden = false;
    if (button.hasAttribute("data-pause")) showPause(button);
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy], button[data-pause]");
  if (!button) return;
  if (button.hasAttribute("data-pause")) {
    paused = !paused;
    sessionStorage.setItem("paused", paused ? "yes" : "no");
    showPause(button);
    look();
    return;
  }
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied";
  }
  setTimeout(() => (button.textContent = label), 1500);
});

// The local time of a time that is pointed at.
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
document.addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time[datetime]");
  if (!time || time.dataset.local) return;
  const utc = time.title || time.dateTime;
  time.title = `${utc}\n${local.format(new Date(time.dateTime))} here`;
  time.dataset.local = "yes";
});

// On a phone the navigation is a row that scrolls: the place of this page is brought into sight.
const row = document.querySelector("nav.main");
const place = row?.querySelector("[aria-current]");
if (place) row.scrollLeft = place.offsetLeft - (row.clientWidth - place.offsetWidth) / 2;

// A phone has no room for filters that are not in use.
if (matchMedia("(max-width: 900px)").matches) {
  for (const fold of document.querySelectorAll("details[data-fold]")) fold.open = false;
}

document.addEventListener("visibilitychange", look);
setInterval(look, LOOK_EVERY_MS);
prepare(document);
