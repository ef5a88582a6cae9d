// The dock screen in the browser: shows what the gateway sends, and keeps the cursor where a scanner types.
"use strict";

const SILENT_MS = 40000; // The gateway speaks at least every 15 s; after two missed turns a value may be stale.
const board = document.getElementById("board");
const away = document.getElementById("away");
const scan = document.getElementById("scan");
const code = document.getElementById("code");
const answer = document.getElementById("answer");
let heard = Date.now();

function show(html) {
  const held = board.contains(document.activeElement) ? document.activeElement.id : "";
  if (board.dataset.html !== html) {
    board.innerHTML = html;
    board.dataset.html = html;
    if (held) document.getElementById(held)?.focus();
  }
  focusScanner();
}

function focusScanner() {
  const active = document.activeElement;
  if (!active || active === document.body) code.focus({ preventScroll: true });
}

function listen() {
  const events = new EventSource(document.body.dataset.events);
  events.addEventListener("board", (event) => {
    heard = Date.now();
    away.hidden = true;
    show(event.data);
  });
  events.onerror = () => {
    away.hidden = false;
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
}

async function send(form) {
  const body = new URLSearchParams(new FormData(form));
  try {
    const response = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    answer.textContent = response.ok ? "" : (await response.json()).message;
  } catch {
    answer.textContent = away.textContent;
  }
}

document.addEventListener("submit", async (event) => {
  event.preventDefault();
  const typed = event.target === scan ? code.value : "";
  if (event.target === scan && !typed.trim()) return code.focus();
  // Emptied before the answer comes: the next scan must not be appended to this one.
  const sending = send(event.target);
  code.value = "";
  code.focus();
  await sending;
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("a, button, input")) code.focus({ preventScroll: true });
});
// A scanner types wherever the cursor is; bring it home before the first character is lost.
document.addEventListener("keydown", (event) => {
  const printable = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (printable && event.key !== " " && document.activeElement !== code) code.focus();
});
// Without the gateway nobody clears the value: then this page does, for the next in the queue.
setInterval(() => {
  if (Date.now() - heard < SILENT_MS) return;
  away.hidden = false;
  document.getElementById("value")?.remove();
}, 5000);
code.focus();
listen();
