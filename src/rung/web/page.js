// The page: no library, no build step. It listens to /admin/events and reads the rest once, or when asked.
"use strict";

const WORDS = {
  en: {
    lead: "every call stops at the lowest rung that is trusted", ladder: "The ladder", calls: "Calls",
    trust: "Trust", caches: "Caches", health: "Health", verdict: "The verdict", tryit: "Try it",
    of: "of", seen: "calls seen", none: "No call yet. Send one below, or from any OpenAI client.",
    weigh: "Weigh it now", weighing: "Weighing…", send: "Send", stop: "Stop", model: "Model", private: "Private: stays here",
    prompt: "Your message", sample: "Format this JSON: {\"b\": [1, 2], \"a\": null}", answer: "The answer",
    tool: "a program: format, repair, validate, lint", exact: "the same call, answered before",
    semantic: "a call that means the same", local: "a small model on this machine", cloud: "a provider's model",
    missed: "calls passed too quickly to show", notrust: "Nothing is compared yet: cells appear with calls to 'auto' that a lower model could have answered.",
    bound: "disagreement at most", limit: "limit", labels: "compared", may: "may answer", missing: "more to compare",
    hits: "hits", misses: "misses", entries: "entries", off: "off", simulated: "simulated", unproved: "unproved",
    lost: "Connection lost; trying again…", live: "live", failed: "failed", answered: "answered", declined: "declined",
    cancelled: "cancelled", nomodel: "nobody", free: "free", unknown: "unknown", why: "Why prompts were not cached",
    nomiss: "Nothing to explain.", language: "Language", privatecall: "private",
    states: { open: "open", shadow: "in shadow", closed: "closed", quarantined: "quarantined" },
    footer: "No text of any call is shown here. Served by the gateway itself, from this machine.",
  },
  fr: {
    lead: "chaque appel s'arrête au plus bas échelon digne de confiance", ladder: "L'échelle", calls: "Appels",
    trust: "Confiance", caches: "Caches", health: "Santé", verdict: "Le verdict", tryit: "Essayer",
    of: "sur", seen: "appels vus", none: "Aucun appel encore. Envoyez-en un ci-dessous, ou depuis un client OpenAI.",
    weigh: "Peser maintenant", weighing: "Pesée en cours…", send: "Envoyer", stop: "Arrêter", model: "Modèle",
    private: "Privé : reste ici", prompt: "Votre message", sample: "Formate ce JSON : {\"b\": [1, 2], \"a\": null}",
    answer: "La réponse", tool: "un programme : formater, réparer, valider, vérifier", exact: "le même appel, déjà répondu",
    semantic: "un appel de même sens", local: "un petit modèle sur cette machine", cloud: "le modèle d'un fournisseur",
    missed: "appels trop rapides pour être montrés", notrust: "Rien n'est encore comparé : les cellules naissent avec les appels à « auto » qu'un modèle plus bas aurait pu servir.",
    bound: "désaccord d'au plus", limit: "limite", labels: "comparés", may: "peut répondre à", missing: "à comparer encore",
    hits: "touches", misses: "manques", entries: "entrées", off: "éteint", simulated: "simulé", unproved: "non prouvé",
    lost: "Connexion perdue ; nouvel essai…", live: "en direct", failed: "échec", answered: "réponse", declined: "décliné",
    cancelled: "annulé", nomodel: "personne", free: "gratuit", unknown: "inconnu", why: "Pourquoi des invites n'étaient pas en cache",
    nomiss: "Rien à expliquer.", language: "Langue", privatecall: "privé",
    states: { open: "ouverte", shadow: "dans l'ombre", closed: "fermée", quarantined: "en quarantaine" },
    footer: "Aucun texte d'appel n'est montré ici. Servi par la passerelle elle-même, depuis cette machine.",
  },
};
const RUNGS = ["cloud", "local", "semantic", "exact", "tool"]; // the highest first, as a ladder stands
const SHOWN = 60, BALLS = 12;

const state = { language: document.documentElement.lang in WORDS ? document.documentElement.lang : "en", climbs: [],
  counts: {}, total: 0, missed: 0, open: new Set(), read: {}, verdict: null, live: false };
try { state.language = localStorage.getItem("rung-language") || state.language; } catch { /* not allowed here */ }
const word = (name) => WORDS[state.language][name] ?? name;
const $ = (id) => document.getElementById(id);

// h("p", {class: "x"}, "text", child): an element; texts are texts, never markup
function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const number = (value, digits = 0) => new Intl.NumberFormat(state.language, { maximumFractionDigits: digits }).format(value);
const percent = (value, digits = 0) => new Intl.NumberFormat(state.language, { style: "percent", maximumFractionDigits: digits }).format(value);
const time = (ms) => ms === null || ms === undefined ? "–" : ms >= 1000 ? `${number(ms / 1000, 2)} s` : `${number(ms, ms < 10 ? 1 : 0)} ms`;
const money = (pico) => pico === null ? word("unknown") : pico === 0 ? word("free") : `${number(pico / 1e12, 6)} USD`;
const median = (values) => { const sorted = [...values].sort((a, b) => a - b); return sorted.length ? sorted[sorted.length >> 1] : null; };

// ---- the frame, made anew only when the language changes ----

function frame() {
  document.documentElement.lang = state.language;
  document.title = `rung: ${word("lead")}`;
  const card = (id, title, wide = false) => h("section", { id: `${id}-card`, "aria-labelledby": `${id}-title`, class: wide ? "wide" : null },
    h("h2", { id: `${id}-title` }, word(title)), h("div", { id }));
  const languages = Object.keys(WORDS).map((name) => h("button", { type: "button", lang: name, "aria-pressed": String(name === state.language),
    onclick: () => speak(name) }, name.toUpperCase()));
  document.body.replaceChildren(
    h("header", {}, h("h1", {}, "rung"), h("p", {}, word("lead"), " · ", h("span", { id: "status" })),
      h("div", { role: "group", "aria-label": word("language") }, languages)),
    h("main", {}, card("ladder", "ladder"), card("try", "tryit"), card("calls", "calls"), card("trust", "trust"),
      card("caches", "caches"), card("health", "health"), card("verdict", "verdict", true)),
    h("footer", {}, h("p", {}, word("footer")), h("p", { id: "said", class: "hidden", role: "status" })));
  $("try").append(tryIt());
  $("ladder").append(h("ol", { class: "ladder", id: "rungs" }), h("p", { class: "soft", id: "counted" }));
  $("calls").append(h("ul", { class: "calls", id: "list", tabindex: "0", "aria-label": word("calls") }));
  showStatus(); showLadder(); showCalls(); showTrust(); showCaches(); showHealth(); showVerdict();
}

function speak(language) {
  state.language = language;
  try { localStorage.setItem("rung-language", language); } catch { /* not allowed here */ }
  frame();
}

// ---- climbs ----

function take(climb, live) {
  if (climb.purpose) return; // rung's own comparisons are not traffic
  state.climbs.unshift(climb);
  state.climbs.length = Math.min(state.climbs.length, 500);
  state.total += 1;
  const rung = climb.rung || "";
  const count = state.counts[rung] ??= { calls: 0, ms: [], pico: 0 };
  count.calls += 1; count.pico += climb.cost_pico || 0;
  count.ms.push(climb.ms); if (count.ms.length > 500) count.ms.shift();
  if (live) pending.push(climb);
}

let pending = [], drawing = false;
function draw() { // however many calls come, at most one drawing per frame
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    showLadder(); showCalls();
    for (const climb of pending.slice(-BALLS)) ball(climb);
    pending = [];
  });
}

function showLadder() {
  const most = {};
  for (const climb of state.climbs) if (climb.rung) (most[climb.rung] ??= new Map()).set(climb.by, (most[climb.rung].get(climb.by) || 0) + 1);
  $("rungs").replaceChildren(...RUNGS.map((rung) => {
    const count = state.counts[rung] || { calls: 0, ms: [], pico: 0 };
    const share = state.total ? count.calls / state.total : 0;
    const models = [...(most[rung] || [])].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([name]) => name).filter((name) => name !== rung);
    const bar = h("span", {}); bar.style.width = `${share * 100}%`;
    return h("li", { "data-rung": rung },
      h("div", {}, h("span", { class: "name" }, rung), " ", h("span", { class: "what" }, models.join(", ") || word(rung))),
      h("div", { class: "numbers" }, `${percent(share)} · ${time(median(count.ms))} · ${money(count.pico)}`),
      h("div", { class: "share", "aria-hidden": "true" }, bar));
  }));
  const failed = state.counts[""]?.calls || 0;
  $("counted").textContent = state.total ? `${number(state.total)} ${word("seen")}`
    + (failed ? `, ${number(failed)} ${word("failed")}` : "") + (state.missed ? `; ${number(state.missed)} ${word("missed")}` : "") : word("none");
}

function ball(climb) {
  const row = document.querySelector(`[data-rung="${climb.rung || "cloud"}"]`);
  if (!row) return;
  const from = row.parentElement.getBoundingClientRect().bottom - row.getBoundingClientRect().bottom;
  const dot = h("span", { class: climb.rung ? "ball" : "ball failed", "aria-hidden": "true" });
  dot.style.setProperty("--from", `${Math.max(0, from) + 24}px`);
  dot.addEventListener("animationend", () => dot.remove());
  row.append(dot);
}

function showCalls() {
  const list = $("list");
  const items = state.climbs.slice(0, SHOWN).map((climb) => {
    const tags = [climb.simulated && "simulated", climb.private && "privatecall"].filter(Boolean);
    const details = h("details", { open: state.open.has(climb.id) },
      h("summary", {}, h("span", { class: "soft" }, climb.at), h("span", { class: climb.rung ? "who" : "who bad" }, climb.rung || word("failed")),
        h("span", {}, climb.task || climb.model), tags.map((tag) => h("span", { class: "tag warn" }, word(tag))),
        h("span", { class: "ms" }, `${time(climb.ms)} · ${money(climb.cost_pico)}`)),
      h("ol", { class: "steps" }, climb.attempts.map((step) => h("li", {},
        h("strong", { class: step.outcome === "failed" ? "bad" : step.outcome === "answered" ? "good" : null }, `${step.rung}: ${word(step.outcome)}`),
        ` ${[step.model !== step.rung && step.model, step.reason, time(step.ms), step.cost_pico !== 0 && money(step.cost_pico)].filter(Boolean).join(" · ")}`))));
    details.addEventListener("toggle", () => state.open[details.open ? "add" : "delete"](climb.id));
    return h("li", {}, details);
  });
  if (!list.contains(document.activeElement) || list === document.activeElement) list.replaceChildren(...items);
}

const fromLedger = (row) => ({ ...row, id: row.request_id, at: new Date(row.started_at * 1000).toLocaleTimeString(), by: row.model,
  model: row.requested_model, ms: row.total_ms, attempts: row.attempts.map((step) => ({ cost_pico: step.cost, ...step })) });

// ---- what is read once, or when something has changed ----

async function read(name, path) {
  try {
    const answer = await fetch(path, { headers: { accept: "application/json" } });
    state.read[name] = await answer.json();
  } catch { state.read[name] = null; }
}

function showTrust() {
  const cells = state.read.trust?.cells || [];
  if (!cells.length) return $("trust").replaceChildren(h("p", { class: "soft" }, word("notrust")));
  $("trust").replaceChildren(...cells.slice(0, 40).map((cell) => {
    const upper = cell.upper ?? 1, good = cell.state === "open";
    return h("div", {},
      h("h3", {}, `${cell.task} · ${cell.model} `, h("span", { class: `tag ${good ? "good" : cell.state === "quarantined" ? "bad" : "warn"}` }, word("states")[cell.state] || cell.state)),
      h("meter", { min: 0, max: 1, low: cell.limit, high: Math.min(1, cell.limit * 2), optimum: 0, value: upper,
        "aria-label": `${word("bound")} ${percent(upper, 1)}, ${word("limit")} ${percent(cell.limit, 1)}` }),
      h("p", { class: "soft" }, [`${word("bound")} ${percent(upper, 1)} (${word("limit")} ${percent(cell.limit, 1)})`, `${number(cell.labels)} ${word("labels")}`,
        good ? `${word("may")} ${percent(cell.share)}` : cell.labels_missing ? `${number(cell.labels_missing)} ${word("missing")}` : null].filter(Boolean).join(" · ")));
  }));
}

function showCaches() {
  const exact = state.read.cache || {}, told = state.read.explain || {};
  const rows = Object.entries(exact).filter(([, value]) => typeof value === "number" || typeof value === "boolean");
  const list = h("dl", {}, rows.flatMap(([name, value]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, typeof value === "number" ? number(value) : value ? "✓" : word("off"))]));
  const misses = (told.misses || told.prefixes || []).slice(0, 5);
  $("caches").replaceChildren(list, h("h3", {}, word("why")),
    misses.length ? h("ul", {}, misses.map((miss) => h("li", {}, typeof miss === "string" ? miss : miss.why || miss.reason || JSON.stringify(miss)))) : h("p", { class: "soft" }, word("nomiss")));
}

function showHealth() {
  const ready = state.read.ready || {};
  const rows = Object.entries(ready).flatMap(([name, value]) => {
    const text = Array.isArray(value) ? value.join(", ") : value && typeof value === "object" ? JSON.stringify(value) : String(value);
    return text && text !== "{}" ? [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, text)] : [];
  });
  $("health").replaceChildren(h("dl", {}, rows));
}

function showStatus() {
  $("status").replaceChildren(h("span", { class: state.live ? "good" : "warn" }, state.live ? word("live") : word("lost")));
}

function showVerdict() {
  const button = h("button", { type: "button", onclick: weigh }, word("weigh"));
  const parts = [h("p", {}, button)];
  if (state.verdict) {
    const parsed = new DOMParser().parseFromString(state.verdict, "text/html"); // our own renderer, escaped
    const title = parsed.querySelector("h1");
    if (title) { const lower = h("h3", { class: title.className }, title.textContent); title.replaceWith(lower); }
    for (const heading of parsed.querySelectorAll("h2")) heading.replaceWith(h("h3", {}, heading.textContent));
    parts.push(h("div", {}, [...parsed.body.childNodes]));
  }
  $("verdict").replaceChildren(...parts);
}

async function weigh(event) {
  const button = event.target;
  button.disabled = true; button.textContent = word("weighing");
  try {
    const answer = await fetch("/admin/verdict");
    const told = await answer.json();
    state.verdict = answer.ok ? told.html : null;
    showVerdict();
    if (!answer.ok) $("verdict").append(h("p", { class: "bad" }, told.error.message));
    say(state.verdict ? word("verdict") : word("failed"));
  } catch (error) { $("verdict").append(h("p", { class: "bad" }, String(error))); }
  button.disabled = false; button.textContent = word("weigh");
}

// ---- try it ----

function tryIt() {
  const names = state.read.models?.data?.map((one) => one.id) || ["auto"];
  const model = h("select", { id: "model", name: "model" }, names.slice(0, 200).map((name) => h("option", {}, name)));
  const form = h("form", { id: "form", onsubmit: ask },
    h("label", { for: "prompt" }, word("prompt")), h("textarea", { id: "prompt", name: "prompt", required: true }, word("sample")),
    h("div", { class: "row" }, h("label", {}, `${word("model")} `, model),
      h("label", {}, h("input", { type: "checkbox", id: "private" }), ` ${word("private")}`), h("button", { type: "submit", id: "send" }, word("send"))));
  return h("div", {}, form, h("pre", { id: "answer", "aria-label": word("answer"), tabindex: "0", hidden: true }), h("p", { id: "way", class: "soft" }));
}

let asking = null;
async function ask(event) {
  event.preventDefault();
  if (asking) { asking.abort(); return; }
  asking = new AbortController();
  const out = $("answer"), way = $("way"), button = $("send");
  out.hidden = false; out.textContent = ""; way.textContent = ""; button.textContent = word("stop");
  const headers = { "content-type": "application/json", ...($("private").checked ? { "x-rung-private": "true" } : {}) };
  const body = JSON.stringify({ model: $("model").value, stream: true, messages: [{ role: "user", content: $("prompt").value }] });
  try {
    const answer = await fetch("/v1/chat/completions", { method: "POST", headers, body, signal: asking.signal });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    for await (const chunk of chunks(answer.body)) {
      if (chunk.error) throw new Error(chunk.error.message);
      out.textContent += chunk.choices?.[0]?.delta?.content || "";
      if (chunk.rung) way.textContent = [chunk.rung.climb, chunk.rung.task, chunk.rung.cost_usd && `${chunk.rung.cost_usd} USD`].filter(Boolean).join(" · ");
    }
    say(word("answered"));
  } catch (error) { way.replaceChildren(h("span", { class: "bad" }, error.name === "AbortError" ? word("cancelled") : error.message)); }
  asking = null; button.textContent = word("send");
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

const say = (text) => { $("said").textContent = text; };

// ---- begin ----

function listen() {
  const events = new EventSource("/admin/events");
  const alive = (yes) => { if (state.live !== yes) { state.live = yes; showStatus(); } };
  events.addEventListener("open", () => alive(true));
  events.addEventListener("error", () => alive(false));
  events.addEventListener("end", () => alive(false));
  events.addEventListener("missed", (event) => { state.missed += Number(event.data); draw(); });
  let since = 0;
  events.addEventListener("climb", (event) => {
    take(JSON.parse(event.data), true); draw();
    if (++since >= 20) { since = 0; later(); }
  });
}

async function later() { // trust, caches and health change with calls, so they are read again after some
  await Promise.all([read("trust", "/admin/trust"), read("cache", "/admin/cache"), read("explain", "/admin/cache/explain"), read("ready", "/readyz")]);
  showTrust(); showCaches(); showHealth();
}

frame();
(async () => {
  await Promise.all([read("climbs", "/admin/climbs"), read("models", "/v1/models")]);
  for (const row of state.read.climbs?.climbs || []) take(fromLedger(row), false);
  $("try").replaceChildren(tryIt());
  draw(); listen(); await later();
})();
