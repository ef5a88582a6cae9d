// The dock screen in the browser: shows what the gateway sends, counts rests down, prints the slip, and keeps the
// cursor where a scanner types. Every page has the scanner's field, so a scan is never lost.
"use strict";

const SILENT_MS = 40000; // The gateway speaks at least every 15 s; after two missed turns a value may be stale.
const ANSWER_MS = 10000; // A form that is not answered by then was not taken.
const BUSY_MS = 400; // Nobody notices less; a phone tail is looked up in up to three seconds.
const PRESS_MS = 1500; // No finger rests longer on a button, and an emergency may be waiting.
const TOLD_MS = 15000; // Why a scan was refused; then it stands in the way of what it covers.
const UNTOUCHED_MS = 60000; // A value's minute; then the slip and the meters give the screen back to the dock.
const MM_PER_PX = 25.4 / 96;
const page = document.body.dataset;
const board = document.getElementById("board");
const away = document.getElementById("away");
const scan = document.getElementById("scan");
const code = document.getElementById("code");
const answer = document.getElementById("answer");
let events;
let heard = performance.now();
let ahead = Number(page.now) - performance.now(); // The gateway's clock; this browser's own may be wrong.
let touched = performance.now();
let sending = Promise.resolve();
let pressed = false; // A finger is down: what it touches must not be changed under it.
let next = ""; // what came meanwhile
let over = 0; // the rest whose end was looked at

function show(html) {
  next = pressed ? html : "";
  if (pressed) return;
  if (board.dataset.html !== html) {
    const held = board.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...board.querySelectorAll("details[open][id]")].map((one) => one.id);
    const asked = board.querySelector("form[data-several]");
    const about = asked?.elements.reading.value;
    const switched = asked ? on(asked).map((one) => one.id) : [];
    const scrolled = board.querySelector("main")?.scrollTop ?? 0;
    board.innerHTML = html;
    board.dataset.html = html;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (board.querySelector("main")) board.querySelector("main").scrollTop = scrolled;
    const again = asked && document.getElementById(asked.id);
    // Beside a first-aid card the same question wants one touch: it has no button that would send several.
    if (again?.querySelector("[data-several]") && again.elements.reading.value === about) begin(again, switched);
    if (held) document.getElementById(held)?.focus({ preventScroll: true });
    countDown();
    hurry();
  }
  focusScanner();
}

// An emergency at this counter is shown at once, whichever page somebody was looking at.
function hurry() {
  const alarm = document.getElementById("alarm");
  if (alarm) location.replace(alarm.href);
}

function focusScanner() {
  const active = document.activeElement;
  if (!active || active === document.body) code.focus({ preventScroll: true });
}

function countDown() {
  const left = document.getElementById("left");
  if (!left) return;
  const until = Number(left.dataset.until);
  const seconds = Math.max(0, Math.ceil((until - performance.now() - ahead) / 1000));
  left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  if (seconds || over === until) return;
  over = until;
  listen(); // What comes after the rest is the gateway's to say.
}

function listen() {
  events?.close();
  events = new EventSource(page.events);
  events.addEventListener("clock", (event) => {
    ahead = Number(event.data) - performance.now();
    if (ahead + performance.now() < over) over = 0;
  });
  events.addEventListener("board", (event) => {
    heard = performance.now();
    away.hidden = true;
    show(event.data);
  });
  events.onerror = () => {
    away.hidden = false;
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
}

async function send(action, body, opens) {
  const busy = setTimeout(() => (answer.textContent = answer.dataset.busy), BUSY_MS);
  try {
    const headers = { Accept: "application/json" };
    const response = await fetch(action, { method: "POST", body, headers, signal: AbortSignal.timeout(ANSWER_MS) });
    answer.textContent = response.ok ? "" : (await response.json()).message;
    if (response.ok && opens && page.page !== "dock") location.href = page.dock;
  } catch {
    answer.textContent = away.textContent;
  } finally {
    clearTimeout(busy);
    const told = answer.textContent;
    if (told) setTimeout(() => answer.textContent === told && (answer.textContent = ""), TOLD_MS);
  }
}

document.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  if (form === scan && !code.value.trim()) return code.focus();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  form.closest("details")?.removeAttribute("open");
  post(form.action, body, form === scan);
});
// One after the other, in the order they were made. The field is emptied before the answer comes: the next scan must
// not be appended to this one.
function post(action, body, opens) {
  sending = sending.then(() => send(action, body, opens));
  code.value = "";
  code.focus({ preventScroll: true });
}
function press() {
  pressed = true;
  setTimeout(release, PRESS_MS);
}
function release() {
  pressed = false;
  setTimeout(() => next && show(next)); // after the click that this makes
}
document.addEventListener("pointerdown", press);
document.addEventListener("pointerup", release);
document.addEventListener("pointercancel", release);
// Several of the answers at once: the first touch of "more than one" turns the buttons into switches, the second one
// sends those that are on.
const on = (form) => [...form.querySelectorAll('[name=value][aria-pressed="true"]')];
function several(button) {
  const form = button.closest("form");
  const pressed = on(form);
  if (form.dataset.several !== "") return begin(form);
  if (!pressed.length) return end(form);
  const body = new URLSearchParams(new FormData(form));
  for (const one of pressed) body.append("value", one.value);
  form.closest("details")?.removeAttribute("open");
  post(form.action, body, false);
}
function begin(form, switchedOn = []) {
  form.dataset.several = "";
  for (const one of form.querySelectorAll('button[name=value]:not([value=""])')) {
    one.setAttribute("aria-pressed", String(switchedOn.includes(one.id)));
  }
  tell(form);
}
function end(form) {
  delete form.dataset.several;
  for (const one of form.querySelectorAll("[name=value]")) one.removeAttribute("aria-pressed");
  tell(form);
}
function tell(form) {
  const button = form.querySelector("[data-several]");
  const open = form.dataset.several === "";
  button.dataset.words ??= button.textContent;
  button.setAttribute("aria-pressed", String(open));
  button.textContent = open ? `${button.dataset.several} (${on(form).length})` : button.dataset.words;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.matches("[data-several]")) several(button);
  if (button?.name === "value" && button.value && button.form.dataset.several === "") {
    event.preventDefault();
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    tell(button.form);
  }
  if (event.target.closest("[data-print]")) print();
  if (!event.target.closest("a, button, input, summary")) code.focus({ preventScroll: true });
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  // A scanner types wherever the cursor is; bring it home before the first character is lost.
  if (event.key.length === 1 && event.key !== " " && document.activeElement !== code) code.focus();
  if (event.key === "Escape") return leave();
  const turn = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (turn && (document.activeElement !== code || !code.value)) step(event, turn);
});

// Escape folds what was opened, brings the cursor home, and leads back from another page.
function leave() {
  if (page.page !== "dock") return location.replace(page.dock);
  for (const one of board.querySelectorAll("details[open]")) one.removeAttribute("open");
  code.focus({ preventScroll: true });
}

// The arrow keys walk through the answers of the open question, from the scanner's field and back to it.
function step(event, turn) {
  const answers = [...board.querySelectorAll(".choices button, .read button")];
  const stops = [code, ...answers.filter((one) => one.checkVisibility())];
  const at = stops.indexOf(scan.contains(document.activeElement) ? code : document.activeElement);
  if (at < 0 || stops.length === 1) return;
  event.preventDefault();
  stops[(at + turn + stops.length) % stops.length].focus();
}

// A roll of paper has no pages: the slip is as long as what is on it.
window.addEventListener("beforeprint", () => {
  const paper = document.getElementById("paper");
  if (!paper) return;
  const sheet = new CSSStyleSheet();
  const height = Math.ceil(paper.scrollHeight * MM_PER_PX) + 8;
  sheet.insertRule(`@page { size: 80mm ${height}mm; margin: 0 }`);
  document.adoptedStyleSheets = [sheet];
});

for (const touch of ["pointerdown", "keydown"]) {
  document.addEventListener(touch, () => {
    touched = performance.now();
  });
}
setInterval(() => {
  countDown();
  if (page.page !== "dock" && performance.now() - touched > UNTOUCHED_MS) {
    touched = performance.now();
    location.replace(page.dock);
  }
  if (performance.now() - heard < SILENT_MS) return;
  // Without the gateway nobody clears the value: then this page does, for the next in the queue.
  away.hidden = false;
  for (const one of board.querySelectorAll("#value, .card .seen, #paper, #qr, #who")) one.remove();
  board.dataset.html = ""; // What comes when the gateway is back is shown, even if it is the same.
}, 250);
code.focus();
countDown();
hurry();
listen();
