// The dashboard's script. Every view is complete without it: it adds charts, live figures and small comforts.
"use strict";

(() => {
  const LIVE_URL = "/ui/events?live=";
  const ANNOUNCE_MS = 60000;  // A screen reader hears of live figures once a minute at most.

  const RETRY_MS = 5000;

  const root = document.documentElement;
  const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

  // --- Forms and htmx -------------------------------------------------------------------------------------------

  document.addEventListener("htmx:configRequest", (event) => {
    event.detail.headers["X-CSRF-Token"] = token;
  });
  document.addEventListener("htmx:beforeRequest", () => {
    document.getElementById("problems")?.replaceChildren();
  });
  document.addEventListener("htmx:sendError", () => problem("The proxy does not answer. Is it running?"));

  function problem(text) {
    const box = document.createElement("div");
    box.className = "problem";
    box.setAttribute("role", "alert");
    box.append(Object.assign(document.createElement("p"), { textContent: text }));
    document.getElementById("problems")?.replaceChildren(box);
  }

  // The result of an action whose progress was shown, on the view that it has led to.
  const done = JSON.parse(sessionStorage.getItem("kvproxy-said"));
  if (done) {
    sessionStorage.removeItem("kvproxy-said");
    const told = Object.assign(document.createElement("p"), { className: done.alarm ? "problem" : "notice", textContent: done.said });
    told.setAttribute("role", done.alarm ? "alert" : "status");
    document.getElementById("problems")?.before(told);
  }

  // <form data-confirm="Revoke handbook@3?"> asks first.
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset?.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  }, true);

  // <button data-copy="#id"> copies the text of an element. Browsers have a clipboard for https and loopback alone:
  // elsewhere the text is selected, and copied as by the keyboard.
  async function copy(element) {
    try {
      await navigator.clipboard.writeText(element.textContent);
      return "Copied";
    } catch {
      document.getSelection().selectAllChildren(element);
      return document.execCommand("copy") ? "Copied" : "Selected";
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const said = button.dataset.said ??= button.textContent;
    button.textContent = await copy(document.querySelector(button.dataset.copy));
    setTimeout(() => { button.textContent = said; }, 1500);
  });

  // --- Light and dark -------------------------------------------------------------------------------------------

  const themes = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  if (button) {
    const show = (theme) => {
      if (theme === "auto") delete root.dataset.theme;
      else root.dataset.theme = theme;
      button.textContent = { auto: "◐", light: "☼", dark: "☾" }[theme];
      button.title = `Theme: ${theme}`;
      button.setAttribute("aria-label", button.title);
    };
    show(localStorage.getItem("kvproxy-theme") ?? "auto");
    button.hidden = false;
    button.addEventListener("click", () => {
      const now = themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % themes.length];
      localStorage.setItem("kvproxy-theme", now);
      show(now);
      drawAll(document);
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));

  document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  // --- Charts: drawn from the table that stands below each ------------------------------------------------------

  const plots = new WeakMap();
  const UNITS = {
    share: (v) => `${Math.round(v * 100)} %`,
    seconds: (v) => (v === 0 ? "0" : v < 0.001 ? `${+(v * 1e6).toPrecision(3)} µs`
      : v < 1 ? `${+(v * 1e3).toPrecision(3)} ms` : `${+v.toPrecision(3)} s`),
    count: (v) => (v >= 1e6 ? `${+(v / 1e6).toPrecision(3)}M` : v >= 1e4 ? `${+(v / 1e3).toPrecision(3)}k` : `${v}`),
  };

  function colour(name) {
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  // The drawn chart has a table too, its legend: the figures are those of the one below it.
  function tableOf(figure) {
    const table = figure.querySelector("details table");
    const heads = [...table.querySelectorAll("thead th")].slice(1);
    const rows = [...table.querySelectorAll("tbody tr")];
    const columns = heads.map((_, at) => rows.map((row) => {
      const value = row.querySelectorAll("td")[at].dataset.value;
      return value === "" ? null : Number(value);
    }));
    const times = rows.map((row) => Number(row.querySelector("th").dataset.at));
    return { heads, times, columns };
  }

  function stacked(columns) {
    const sums = [];
    columns.forEach((column, at) => {
      sums.push(column.map((value, row) => (value ?? 0) + (at ? sums[at - 1][row] : 0)));
    });
    return sums;
  }

  // A value without neighbours is no line: it is shown as a point.
  function alone(plot, at) {
    const values = plot.data[at];
    return values.map((_, row) => row).filter((row) => values[row] !== null
      && (values[row - 1] ?? null) === null && (values[row + 1] ?? null) === null);
  }

  const DAY_S = 86400;
  const WHOLE = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap((power) => [1, 2, 5].map((one) => one * 10 ** power));
  const moment = (at, from, to) => new Date(at * 1e3).toISOString().slice(from, to).replace("T", " ");

  function axesOf(figure, daily, write) {
    const ink = colour("ink-soft"), grid = colour("line");
    const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "12px system-ui" };
    return [
      { ...axis, ...(daily ? { incrs: [1, 2, 7, 14, 28, 91].map((days) => days * DAY_S) } : {}),
        values: (_, ticks) => ticks.map((at) => (daily ? moment(at, 5, 10) : moment(at, 11, 16))) },
      { ...axis, size: 64, ...(figure.dataset.unit === "count" ? { incrs: WHOLE } : {}), values: (_, ticks) => ticks.map(write) },
    ];
  }

  function draw(figure) {
    if (!window.uPlot) return;
    const box = figure.querySelector(".plot");
    const { heads, times, columns } = tableOf(figure);
    plots.get(figure)?.destroy();
    box.replaceChildren();
    if (times.length < 2) return;
    const bars = figure.dataset.chart === "bars";
    const write = UNITS[figure.dataset.unit] ?? String;
    const step = times[1] - times[0], daily = step >= DAY_S;
    const newest = times.length - 1;  // what the legend shows while nothing is pointed at
    const drawn = bars ? stacked(columns) : columns;
    const series = heads.map((head, at) => {
      const stroke = colour(`series-${head.dataset.colour}`);
      return {
        label: head.textContent, stroke, width: 2, spanGaps: false,
        ...(bars ? { fill: stroke, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.8, 40] }) }
          : { dash: head.dataset.dash ? [6, 4] : undefined, points: { show: false, filter: alone, size: 6 } }),
        value: (_, __, ___, row) => (columns[at][row ?? newest] === null ? "–" : write(columns[at][row ?? newest])),
      };
    });
    const order = bars ? series.map((_, at) => series.length - 1 - at) : series.map((_, at) => at);  // tall bars first
    const options = {
      width: Math.max(200, box.clientWidth), height: 220, padding: [12, 20, 0, 0],
      tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
      series: [{ label: daily ? "Day" : "Time (UTC)", value: (_, at) => moment(at ?? times[newest], 5, daily ? 10 : 16) },
        ...order.map((at) => series[at])],
      scales: {
        x: { range: (_, first, last) => (bars ? [first - step / 2, last + step / 2] : [first, last]) },
        y: { range: (_, __, most) => [0, figure.dataset.unit === "share" ? 1 : most > 0 ? most * 1.05 : 1] },
      },
      axes: axesOf(figure, daily, write),
      cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      legend: { live: true },
    };
    plots.set(figure, new uPlot(options, [times, ...order.map((at) => drawn[at])], box));
    figure.classList.add("drawn");
  }

  function drawAll(within) {
    for (const figure of within.querySelectorAll("figure[data-chart]")) draw(figure);
  }

  let width = 0;
  new ResizeObserver(() => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    for (const figure of document.querySelectorAll("figure.drawn")) {
      const box = figure.querySelector(".plot");
      plots.get(figure)?.setSize({ width: Math.max(200, box.clientWidth), height: 220 });
    }
  }).observe(document.body);

  // --- Live figures: <section data-live="overview-figures"> -----------------------------------------------------

  const state = document.getElementById("live-state");
  const announcer = document.getElementById("announcer");
  const waiting = new Map();
  let stream = null, said = 0, retry = 0;

  function tell(text) {
    if (!state || state.textContent === text) return;
    state.hidden = false;
    state.textContent = text;
    state.classList.toggle("fault", text !== "Live");
  }

  // Nothing moves under a keyboard's focus or a selection: it is put in place when the reader has left.
  function busy(element) {
    const selection = document.getSelection();
    return (element.contains(document.activeElement) && document.activeElement !== document.body)
      || (selection && !selection.isCollapsed && element.contains(selection.anchorNode));
  }

  function place(name, html) {
    for (const element of document.querySelectorAll(`[data-live="${CSS.escape(name)}"]`)) {
      if (busy(element)) {
        waiting.set(name, html);
        return;
      }
      const open = [...element.querySelectorAll("details")].map((details) => details.open);
      element.innerHTML = html;
      element.querySelectorAll("details").forEach((details, at) => { details.open = open[at] ?? false; });
      window.htmx?.process(element);
      drawAll(element);
      announce(element);
    }
    waiting.delete(name);
  }

  function announce(element) {
    const text = element.querySelector("[data-announce]")?.dataset.announce;
    if (!text || !announcer || Date.now() - said < ANNOUNCE_MS) return;
    said = Date.now();
    announcer.textContent = text;
  }

  for (const left of ["focusout", "selectionchange"]) {
    document.addEventListener(left, () => setTimeout(() => {
      for (const [name, html] of [...waiting]) place(name, html);
    }, 0));
  }

  function liveUrl() {
    const names = [...new Set([...document.querySelectorAll("[data-live]")].map((e) => e.dataset.live))];
    return names.length ? LIVE_URL + names.map(encodeURIComponent).join(",") : null;
  }

  function follow() {
    const url = liveUrl();
    if (!url || stream || document.hidden) return;
    clearTimeout(retry);
    stream = new EventSource(url);
    stream.addEventListener("open", () => tell("Live"));
    stream.addEventListener("fragment", (event) => {
      const { name, html } = JSON.parse(event.data);
      place(name, html);
    });
    stream.addEventListener("ended", () => {
      leave();
      tell("Not live: your session has ended. Reload to log in again.");
    });
    stream.addEventListener("error", () => {
      if (stream?.readyState === EventSource.CLOSED) {
        leave();
        refused();
      } else tell("Not live: the proxy does not answer. Trying again…");
    });
  }

  // An EventSource gives up at any status but 200 and does not tell which: the same is asked once more, for its status.
  async function refused() {
    const stop = new AbortController();
    let status = 0;
    try {
      status = (await fetch(liveUrl(), { signal: stop.signal, headers: { Accept: "text/event-stream" } })).status;
    } catch { /* the proxy is away: asked again below */ }
    stop.abort();
    if (status === 401 || status === 403) tell("Not live: your session has ended. Reload to log in again.");
    else {
      tell(status === 429 ? "Not live: too many views are open. Trying again…" : "Not live: the proxy is not ready. Trying again…");
      retry = setTimeout(follow, RETRY_MS * (1 + Math.random()));  // not all open views at the same moment
    }
  }

  function leave() {
    clearTimeout(retry);
    stream?.close();
    stream = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : follow()));
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => { if (event.persisted) follow(); });

  said = Date.now();
  drawAll(document);
  follow();

  window.kvproxy = { draw: drawAll, problem, token };
})();
