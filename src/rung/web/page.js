// The page: no library, no build step. It listens to /admin/events and reads the rest once, or when asked.
"use strict";

const RUNGS = ["cloud", "local", "semantic", "exact", "tool"]; // the highest first, as a ladder stands
const SHOWN = 60, BALLS = 12, REMEMBERED = 500;

const state = { language: document.documentElement.lang in WORDS ? document.documentElement.lang : "en", climbs: [], known: new Set(),
  counts: {}, total: 0, missed: 0, simulated: false, read: {}, verdict: null, status: "connecting" };
try { const kept = localStorage.getItem("rung-language"); if (kept in WORDS) state.language = kept; } catch { /* not allowed here */ }
const $ = (id) => document.getElementById(id);
const word = (name, ...values) => (WORDS[state.language][name] ?? name).replace(/\{(\d)\}/g, (_, place) => values[place]);

// h("p", {class: "x"}, "text", child): an element; texts are texts, never markup
function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const number = (value, digits = 0) => new Intl.NumberFormat(state.language, { maximumFractionDigits: digits }).format(value);
const percent = (value, digits = 0) => new Intl.NumberFormat(state.language, { style: "percent", maximumFractionDigits: digits }).format(value);
const time = (ms) => ms === null || ms === undefined ? "–" : ms >= 1000 ? `${number(ms / 1000, 2)} s` : `${number(ms, ms < 10 ? 1 : 0)} ms`;
const dollars = (usd) => `${new Intl.NumberFormat(state.language, { maximumSignificantDigits: 3, maximumFractionDigits: 9 }).format(usd)} USD`;
const money = (pico) => pico === null || pico === undefined ? word("unknown") : pico === 0 ? word("free") : dollars(pico / 1e12);
const bytes = (value) => value >= 1e6 ? `${number(value / 1e6, 1)} MB` : `${number(value / 1e3, 1)} kB`;
const clock = (date) => date.toLocaleTimeString(state.language, { hour12: false });
const spoken = (name) => name.replaceAll("_", " ");
const median = (values) => { const sorted = [...values].sort((a, b) => a - b); return sorted.length ? sorted[sorted.length >> 1] : null; };
const tag = (name, kind) => h("span", { class: `tag ${kind}` }, word(name));
const say = (text) => { $("said").textContent = text; };

// ---- the frame, made anew only when the language changes ----

function frame() {
  document.documentElement.lang = state.language;
  document.title = `rung: ${word("lead")}`;
  const card = (id, title, area = id) => h("section", { "aria-labelledby": `${id}-title`, class: area },
    h("h2", { id: `${id}-title` }, word(title)), h("div", { id }));
  const languages = Object.keys(WORDS).map((name) => h("button", { type: "button", lang: name, "aria-pressed": String(name === state.language),
    onclick: () => speak(name) }, name.toUpperCase()));
  document.body.replaceChildren(
    h("header", {}, h("h1", {}, "rung"), h("p", {}, word("lead"), " · ", h("span", { id: "status" })),
      h("div", { role: "group", class: "languages", "aria-label": word("language") }, languages)),
    h("main", {}, card("ladder", "ladder"), card("try", "tryit"), card("calls", "calls"), card("trust", "trust"),
      card("caches", "caches"), card("health", "health"), card("verdict", "verdict")),
    h("footer", {}, h("p", {}, word("footer")), h("p", { id: "said", class: "hidden", role: "status" })));
  $("try").append(tryIt());
  $("ladder").append(
    h("p", { class: "heads soft", "aria-hidden": "true" }, ["share", "median", "cost"].map((name) => h("span", {}, word(name)))),
    h("ol", { class: "ladder", id: "rungs" }, RUNGS.map(rungRow)), h("p", { class: "soft", id: "counted" }));
  $("calls").append(h("ul", { class: "calls", id: "list", tabindex: "0", "aria-label": word("calls") }, state.climbs.slice(0, SHOWN).map(callRow)));
  showStatus(); showLadder(); showTrust(); showCaches(); showHealth(); showVerdict();
}

function speak(language) {
  state.language = language;
  try { localStorage.setItem("rung-language", language); } catch { /* not allowed here */ }
  const held = { prompt: $("prompt").value, model: $("model").value, private: $("private").checked };
  const samples = Object.values(WORDS).map((words) => words.sample);
  if (asking) asking.abort();
  frame();
  if (!samples.includes(held.prompt)) $("prompt").value = held.prompt;
  $("model").value = held.model; $("private").checked = held.private;
  document.querySelector(".languages [aria-pressed=true]").focus();
  if (state.verdict) weigh(); // it has the words of one language
}

// ---- climbs ----

function take(climb, live) {
  if (climb.purpose || state.known.has(climb.id)) return; // rung's own comparisons are not traffic
  state.known.add(climb.id);
  if (state.known.size > 4 * REMEMBERED) state.known.delete(state.known.values().next().value);
  state.climbs.unshift(climb);
  state.climbs.length = Math.min(state.climbs.length, REMEMBERED);
  state.total += 1;
  state.simulated ||= Boolean(climb.simulated);
  const count = state.counts[climb.rung || ""] ??= { calls: 0, ms: [], pico: 0, unknown: 0, by: {} };
  count.calls += 1; count.pico += climb.cost_pico || 0; count.unknown += climb.cost_pico === null;
  if (climb.by) count.by[climb.by] = (count.by[climb.by] || 0) + 1;
  count.ms.push(climb.ms); if (count.ms.length > REMEMBERED) count.ms.shift();
  pending.push({ climb, live }); if (pending.length > SHOWN) pending.shift();
}

let pending = [], drawing = false;
function draw() { // however many calls come, at most one drawing per frame
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    showLadder();
    const list = $("list"), held = list.contains(document.activeElement) && document.activeElement !== list;
    list.prepend(...pending.map(({ climb }) => callRow(climb)).reverse());
    while (!held && list.children.length > SHOWN) list.lastChild.remove();
    for (const { climb, live } of pending.slice(-BALLS)) if (live) ball(climb);
    pending = [];
  });
}

function rungRow(rung) {
  return h("li", { "data-rung": rung }, h("div", {}, h("span", { class: "name" }, rung), " ", h("span", { class: "state" }), h("span", { class: "what" }, word(rung))),
    h("div", { class: "numbers" }, ["share", "median", "cost"].map((name) => h("span", { "data-number": name }))),
    h("div", { class: "bar", "aria-hidden": "true" }, h("span")));
}

function showLadder() {
  const here = { local: state.read.ready?.local !== "none", semantic: state.read.cache?.semantic?.enabled !== false, exact: state.read.cache?.enabled !== false };
  for (const row of $("rungs").children) {
    const rung = row.dataset.rung, count = state.counts[rung] || { calls: 0, ms: [], pico: 0, by: {} };
    const share = state.total ? count.calls / state.total : 0, absent = here[rung] === false && !count.calls;
    const by = rung === "cloud" || rung === "local" ? Object.entries(count.by).sort((a, b) => b[1] - a[1]).slice(0, 2).map(([name]) => name) : [];
    row.classList.toggle("absent", absent);
    row.querySelector(".what").textContent = by.join(", ") || word(rung);
    const sign = absent ? "absent" : rung === "semantic" && !semanticOpen() ? "shadow" : null;
    row.querySelector(".state").replaceChildren(...(sign ? [tag(sign, "soft")] : []));
    const told = { share: percent(share), median: time(median(count.ms)), cost: !count.calls ? "–" : count.unknown && !count.pico ? word("unknown") : money(count.pico) + (count.unknown ? " + ?" : "") };
    for (const cell of row.querySelectorAll("[data-number]")) {
      cell.replaceChildren(h("span", { class: "hidden" }, `${word(cell.dataset.number)} `), told[cell.dataset.number]);
    }
    row.querySelector(".bar span").style.width = `${share * 100}%`;
  }
  const failed = state.counts[""]?.calls || 0;
  $("counted").replaceChildren(state.total ? `${number(state.total)} ${word("seen")}`
    + (failed ? ` · ${number(failed)} ${word("failed")}` : "") + (state.missed ? ` · ${number(state.missed)} ${word("missed")}` : "") : word("none"),
    ...(state.simulated ? [h("br"), h("span", { class: "warn" }, word("simulatedpage"))] : []));
}

function ball(climb) { // from the foot of the ladder up to who answered
  const row = $("rungs").querySelector(`[data-rung="${climb.rung || "cloud"}"]`);
  if (!row) return;
  const from = row.parentElement.getBoundingClientRect().bottom - row.getBoundingClientRect().bottom + 24;
  const dot = h("span", { class: climb.rung ? "ball" : "ball failed", "aria-hidden": "true" });
  dot.style.setProperty("--from", `${from}px`);
  dot.addEventListener("animationend", () => dot.remove());
  row.append(dot);
}

function callRow(climb) {
  const tags = [climb.simulated && "simulated", climb.private && "privatecall", climb.unproved && "unproved"].filter(Boolean);
  return h("li", {}, h("details", {},
    h("summary", {}, h("span", { class: "soft" }, clock(climb.at)), h("span", { class: climb.rung ? "who" : "who bad" }, climb.rung || word("failed")),
      h("span", { class: "task" }, spoken(climb.task || climb.model), " ", tags.map((name) => tag(name, "warn"))),
      h("span", { class: "ms" }, `${time(climb.ms)} · ${money(climb.cost_pico)}`)),
    h("ol", { class: "steps" }, climb.attempts.map((step) => h("li", {},
      h("strong", {}, step.rung), " ", h("span", { class: step.outcome === "failed" ? "bad" : step.outcome === "answered" ? "good" : "soft" }, word(step.outcome)), " ·",
      ` ${[step.model !== step.rung && step.model, step.reason && spoken(step.reason), time(step.ms), step.cost_pico !== 0 && money(step.cost_pico)].filter(Boolean).join(" · ")}`)),
    climb.error && h("li", { class: "bad" }, spoken(climb.error)))));
}

const fromLedger = (row) => ({ ...row, id: row.request_id, at: new Date(row.started_at * 1000), by: row.model, error: row.error_code,
  model: row.requested_model, ms: row.total_ms, attempts: row.attempts.map((step) => ({ ...step, cost_pico: "cost" in step ? step.cost : 0 })) });

// ---- what is read once, or when something has changed ----

async function read(name, path) {
  try {
    const answer = await fetch(path, { headers: { accept: "application/json" } });
    const told = await answer.json();
    state.read[name] = told.error ? { failed: told.error.message } : told;
  } catch (error) { state.read[name] = { failed: error.message }; }
}

const bound = (upper, limit, label) => { // the mark in the middle is the limit: what ends left of it is good
  const bar = h("div", { class: upper <= limit ? "bar bound" : "bar bound over", role: "img", "aria-label": label }, h("span"));
  bar.firstChild.style.width = `${Math.min(100, limit > 0 ? upper / limit * 50 : 100)}%`;
  return bar;
};

const unread = (told) => told?.failed ? h("p", { class: "bad" }, word("unread", told.failed)) : null;

function showTrust() {
  const told = state.read.trust, cells = told?.cells || [];
  if (!cells.length) return $("trust").replaceChildren(unread(told) || h("p", { class: "soft" }, word("notrust")));
  $("trust").replaceChildren(h("div", { class: "list", tabindex: "0", role: "group", "aria-label": word("trust") }, cells.slice(0, 40).map((cell) => {
    const upper = cell.upper ?? 1, good = cell.state === "open", label = word("bound", percent(upper, 1), percent(cell.limit, 1));
    const more = cell.labels_missing === null ? word("never") : cell.labels_missing ? word("missing", number(cell.labels_missing)) : null;
    return h("div", { class: "item" },
      h("h3", {}, spoken(cell.task), " ", tag(cell.state, good ? "good" : cell.state === "quarantined" ? "bad" : "warn"), " ", cell.simulated && tag("simulated", "warn")),
      h("p", { class: "soft small" }, cell.model), bound(upper, cell.limit, label),
      h("p", { class: "small" }, [label, word("labels", number(cell.labels)), good ? word("may", percent(cell.share)) : more].filter(Boolean).join(" · ")));
  })));
}

const semanticOpen = () => (state.read.trust?.semantic || []).some((cell) => cell.state === "open");

function showCaches() {
  const told = state.read.cache || {}, semantic = told.semantic || {}, prompts = state.read.explain || {};
  const looked = (told.hits || 0) + (told.misses || 0), rate = looked ? told.hits / looked : 0;
  const part = (title, ...children) => h("div", { class: "item" }, h("h3", {}, word(title)), ...children);
  const meter = (share) => { const bar = h("div", { class: "bar", "aria-hidden": "true" }, h("span")); bar.firstChild.style.width = `${share * 100}%`; return bar; };
  const line = (...texts) => h("p", { class: "small" }, texts.filter(Boolean).join(" · "));
  const kept = (cache) => word("kept", number(cache.entries), bytes(cache.bytes), bytes(cache.max_bytes));
  const watched = state.read.trust?.semantic || [], scopes = watched.filter((cell) => cell.state === "open");
  const seen = watched.reduce((sum, cell) => sum + cell.requests, 0);
  const worst = scopes.reduce((most, cell) => cell.bound > (most?.bound ?? -1) ? cell : most, null);
  const reasons = Object.entries(prompts.reasons || {}).sort((a, b) => b[1] - a[1]);
  $("caches").replaceChildren(...[unread(state.read.cache),
    part("exactcache", told.enabled ? [meter(rate), line(word("hitrate", percent(rate), number(told.hits), number(looked)), kept(told))] : line(word("off"))),
    part("semanticcache", semantic.enabled ? [worst && bound(worst.bound, worst.limit, word("wrong", percent(worst.bound, 1), percent(worst.limit, 1))),
      line(word("hits", number(semantic.hits || 0)), kept(semantic)),
      line(worst ? word("wrong", percent(worst.bound, 1), percent(worst.limit, 1)) : word("unprovedyet")), seen > 0 && line(word("watched", number(seen), number(watched.length)))] : line(word("off"))),
    part("promptcache", prompts.enabled === false ? line(word("off")) : (prompts.models || []).length ? prompts.models.slice(0, 6).map((model) =>
      [h("p", { class: "soft small" }, model.model, " ", model.simulated > 0 && tag("simulated", "warn")), meter(model.hit_rate), line(word("tokensread", percent(model.hit_rate)))]) : line(word("notused")),
      reasons.length > 0 && h("h4", {}, word("whymissed")),
      reasons.length > 0 && h("ul", { class: "small" }, reasons.map(([reason, count]) => h("li", {}, `${word(reason)}: ${number(count)}`))))].filter(Boolean));
}

function showHealth() {
  const told = state.read.ready;
  if (!told || told.failed) return $("health").replaceChildren(...[unread(told)].filter(Boolean));
  const broken = told.breakers || {};
  const sign = (good, name, text) => h("li", {}, h("span", { class: `dot ${good}`, "aria-hidden": "true" }), h("span", {}, h("strong", {}, name), h("br"), h("span", { class: "small" }, text)));
  const clouds = [...new Set([...(told.clouds || []), ...Object.keys(broken)])];
  const loaded = told.local_loaded === false && told.local === "ready" ? word("notloaded") : null;
  $("health").replaceChildren(
    h("p", { class: told.status === "ready" ? "good" : "warn" }, word(`status_${told.status}`)),
    h("ul", { class: "signs" },
      clouds.map((name) => broken[name] ? sign(broken[name] === "open" ? "bad" : "warn", name, word(`breaker_${broken[name]}`)) : sign("good", name, word("fine"))),
      told.local && told.local !== "none"
        ? sign(told.local === "ready" || told.local === "busy" ? "good" : told.local === "loading" ? "warn" : "bad", told.local_model || "local",
          [word(`local_${told.local}`), loaded, told.local_backend, told.local_detail].filter(Boolean).join(" · "))
        : sign("none", "local", word("nolocal"))),
    ...(told.ledger_dropped ? [h("p", { class: "bad" }, word("dropped", number(told.ledger_dropped)))] : []));
}

function setStatus(status) {
  if (state.status === status) return;
  if (status === "lost") say(word("lost"));
  state.status = status; showStatus();
}

function showStatus() {
  $("status").replaceChildren(h("span", { class: state.status === "live" ? "good" : "warn" }, word(state.status)));
}

function showVerdict() {
  const parts = [h("p", { class: "soft" }, word("what")), h("p", {}, h("button", { type: "button", id: "weigh", onclick: weigh }, word("weigh")))];
  if (state.verdict) {
    const parsed = new DOMParser().parseFromString(state.verdict.html, "text/html"); // our own renderer, escaped
    for (const [from, to] of [["h3", "h5"], ["h2", "h4"], ["h1", "h3"]])
      for (const heading of parsed.querySelectorAll(from)) heading.replaceWith(h(to, { class: heading.className || null }, heading.textContent));
    for (const table of parsed.querySelectorAll(".scroll")) {
      table.setAttribute("role", "group"); table.setAttribute("tabindex", "0");
      table.setAttribute("aria-label", table.previousElementSibling?.textContent || "");
    }
    parts.push(h("div", { lang: state.verdict.language, class: "verdict-text" }, [...parsed.body.childNodes]));
  }
  $("verdict").replaceChildren(...parts);
}

async function weigh() {
  const button = $("weigh"), language = state.language, held = document.activeElement === button;
  button.disabled = true; button.textContent = word("weighing"); say(word("weighing"));
  let failed = "";
  try {
    const answer = await fetch(`/admin/verdict/${language}`), told = await answer.json();
    if (answer.ok) state.verdict = { html: told.html, language }; else failed = told.error.message;
  } catch (error) { failed = error.message; }
  if (language !== state.language) return; // asked for anew
  showVerdict();
  if (failed) $("verdict").append(h("p", { class: "bad" }, failed));
  say(failed || word("weighed")); if (held) $("weigh").focus();
}

// ---- try it ----

function tryIt() {
  const names = state.read.models?.data?.map((one) => one.id) || ["auto"];
  const form = h("form", { id: "form", onsubmit: ask },
    h("label", { for: "prompt" }, word("prompt")), h("textarea", { id: "prompt", required: true, rows: 3 }, word("sample")),
    h("div", { class: "row" },
      h("label", { class: "model" }, word("model"), h("select", { id: "model" }, names.slice(0, 200).map((name) => h("option", {}, name)))),
      h("label", {}, h("input", { type: "checkbox", id: "private" }), ` ${word("private")}`), h("button", { type: "submit", id: "send", class: "main" }, word("send"))));
  return h("div", {}, form, h("pre", { id: "answer", role: "group", "aria-label": word("answer"), tabindex: "0", hidden: true }), h("p", { id: "way", class: "small" }));
}

let asking = null;
async function ask(event) {
  event.preventDefault();
  if (asking) return asking.abort();
  const mine = asking = new AbortController(), out = $("answer"), way = $("way"), button = $("send");
  out.hidden = false; out.textContent = ""; way.textContent = ""; button.textContent = word("stop");
  const headers = { "content-type": "application/json", ...($("private").checked ? { "x-rung-private": "true" } : {}) };
  const body = JSON.stringify({ model: $("model").value, stream: true, messages: [{ role: "user", content: $("prompt").value }] });
  try {
    const answer = await fetch("/v1/chat/completions", { method: "POST", headers, body, signal: mine.signal });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    for await (const chunk of chunks(answer.body)) {
      if (chunk.error) throw new Error(chunk.error.message);
      out.textContent += chunk.choices?.[0]?.delta?.content || "";
      if (chunk.rung) way.replaceChildren(...wayOf(chunk.rung));
    }
    say(way.textContent || word("answered"));
  } catch (error) {
    const text = error.name === "AbortError" ? word("cancelled") : error.message;
    way.replaceChildren(h("span", { class: "bad" }, text)); out.hidden = !out.textContent; say(text);
  }
  asking = null; button.textContent = word("send");
}

// who answered and why: `note` is the last chunk's `rung` member
function wayOf(note) {
  const cost = note.cost_usd === "unknown" ? word("unknown") : Number(note.cost_usd) ? dollars(Number(note.cost_usd)) : word("free");
  const facts = [note.rung, note.model !== note.rung && note.model, note.task && spoken(note.task), cost].filter(Boolean).join(" · ");
  const tags = ["simulated", "unproved"].filter((name) => note[name]).map((name) => tag(name, "warn"));
  return [`${word("by")} `, h("strong", {}, facts), " ", ...tags, h("br"), h("span", { class: "soft" }, spoken(note.climb).replaceAll("=", ": ").replaceAll(", ", " → "))];
}

async function* chunks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    const frames = held.split("\n\n"); held = frames.pop();
    for (const one of frames) for (const line of one.split("\n"))
      if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
  }
}

// ---- begin; a hidden page does not listen ----

let events = null, since = 0, resting = null;
function listen() {
  events = new EventSource("/admin/events");
  events.addEventListener("open", () => setStatus("live"));
  events.addEventListener("error", () => setStatus("lost"));
  events.addEventListener("end", () => setStatus("lost"));
  events.addEventListener("missed", (event) => { state.missed += Number(event.data); draw(); });
  events.addEventListener("climb", (event) => {
    take({ ...JSON.parse(event.data), at: new Date() }, true); draw();
    if (++since >= 20) later();
    else if (!resting) resting = setTimeout(later, 2000); // soon after the last of a few calls
  });
}

async function later() { // trust, caches and health change with calls, so they are read again after some
  clearTimeout(resting); resting = null; since = 0;
  await Promise.all([read("trust", "/admin/trust"), read("cache", "/admin/cache"), read("explain", "/admin/cache/explain"), read("ready", "/readyz")]);
  showTrust(); showCaches(); showHealth(); showLadder();
}

async function begin() {
  const first = !state.read.models;
  await Promise.all([read("climbs", "/admin/climbs"), first && read("models", "/v1/models")]);
  for (const row of state.read.climbs?.climbs || []) take(fromLedger(row), false);
  if (first) $("try").replaceChildren(tryIt());
  draw();
  if (!events && !document.hidden) listen();
  await later();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { events?.close(); events = null; clearTimeout(resting); resting = null; setStatus("paused"); } else begin();
});

frame();
begin();
