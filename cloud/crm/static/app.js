// What the pages need beyond htmx: keys on lists, charts from the data in the page, and what a refresh must not lose.
"use strict";

(() => {
  const body = document.body;

  // --- keys on a list: j and k move, Enter opens, c claims ---------------------------------------------------
  const rows = () => [...document.querySelectorAll("[data-keys] tr[data-open]")];

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(document.activeElement.closest ? document.activeElement.closest("tr[data-open]") : null);
    switch (event.key) {
      case "j":
        all[Math.min(at + 1, all.length - 1)].focus();
        break;
      case "k":
        all[Math.max(at - 1, 0)].focus();
        break;
      case "c":
        if (at >= 0) all[at].querySelector("form[action$='/claim'] button")?.click();
        break;
      case "Enter":
        if (event.target.matches("tr[data-open]")) location.href = event.target.dataset.open;
        return;
      default:
        return;
    }
    event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-dismiss]")) {
      document.getElementById("notice").replaceChildren();
      return;
    }
    const row = event.target.closest("tr[data-open]");
    if (row && !event.target.closest("a, button, form, input, label") && !String(getSelection())) {
      location.href = row.dataset.open;
    }
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  document.addEventListener("submit", (event) => {
    const ask = event.target.dataset.confirm;
    if (ask && !confirm(ask)) event.preventDefault();
  });

  // --- a refresh keeps what somebody was doing ---------------------------------------------------------------
  let kept = null;

  body.addEventListener("htmx:beforeSwap", () => {
    const active = document.activeElement;
    kept = {
      focus: active && active.closest("[id]") && active !== body ? active.closest("tr[id], [id]").id : null,
      picked: [...document.querySelectorAll(".c-pick input:checked")].map((box) => box.id),
      open: [...document.querySelectorAll("details[id][open]")].map((details) => details.id),
    };
  });

  body.addEventListener("htmx:afterSwap", () => {
    drawCharts();
    if (!kept) return;
    for (const id of kept.picked) {
      const box = document.getElementById(id);
      if (box) box.checked = true;
    }
    for (const id of kept.open) document.getElementById(id)?.setAttribute("open", "");
    const element = kept.focus && document.getElementById(kept.focus);
    if (element && document.activeElement === body) element.focus({ preventScroll: true });
    kept = null;
  });

  // --- the connection ----------------------------------------------------------------------------------------
  const lost = (is) => {
    body.classList.toggle("lost", is);
    const notice = document.getElementById("notice");
    if (is && !notice.querySelector(".bad")) {
      const box = document.createElement("div");
      box.className = "notice bad";
      box.dataset.lost = "";
      box.append(document.createElement("p"));
      box.firstChild.textContent = body.dataset.lost;
      notice.append(box);
    } else if (!is) {
      notice.querySelector("[data-lost]")?.remove();
    }
  };
  let failures = 0;
  body.addEventListener("htmx:sseOpen", () => lost(((failures = 0), false)));
  // One drop is a server that restarts; it says so only when the next attempt fails too.
  body.addEventListener("htmx:sseError", () => ++failures > 1 && lost(true));
  body.addEventListener("htmx:sendError", () => lost(true));
  body.addEventListener("htmx:afterRequest", (event) => event.detail.successful && lost(false));

  // --- charts --------------------------------------------------------------------------------------------------
  let charts = [];

  function drawCharts() {
    if (!window.echarts) return;
    // ECharts keeps every chart that nobody gave back: a page that refreshes all day would keep thousands.
    charts = charts.filter((chart) => chart.getDom().isConnected || chart.dispose());
    for (const data of document.querySelectorAll("script[data-chart]")) {
      const place = document.getElementById(data.dataset.chart);
      if (!place || echarts.getInstanceByDom(place)) continue;
      const option = JSON.parse(data.textContent);
      option.textStyle = { fontFamily: getComputedStyle(body).fontFamily };
      option.tooltip.formatter = (point) => {
        const tip = document.createElement("div");
        tip.className = "tip";
        tip.textContent = point.data.text || "";
        return tip;
      };
      const chart = echarts.init(place, null, { renderer: "canvas" });
      chart.setOption(option);
      charts.push(chart);
      place.dataset.drawn = "";
    }
  }

  addEventListener("resize", () => {
    for (const chart of charts) chart.resize();
  });
  drawCharts();
})();
