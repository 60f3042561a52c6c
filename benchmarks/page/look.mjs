// Looks at the page in a browser; see run.py. Arguments: URL, the gateway's process id, a folder for pictures.
// Prints figures as JSON: sizes, first paint, errors, axe-core's violations, keyboard stops, what an idle page costs.
import fs from "fs";
import { createRequire } from "module";
const require = createRequire(`${process.cwd()}/package.json`);
const { chromium } = require("playwright-core");
const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [url, pid, pictures, chrome, idleSeconds] = process.argv.slice(2);
const SIZES = { phone: [390, 844], laptop: [1280, 800], wide: [1920, 1080] };
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const launch = () => chromium.launch({ executablePath: chrome, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
const cpu = () => { const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" "); return (Number(fields[11]) + Number(fields[12])) * 10; };

async function idlePage() { // the gateway's CPU time without and with an open page, in turns; it must have no traffic
  const idle = { seconds: Number(idleSeconds), without_ms: [], with_ms: [] };
  for (let turn = 0; turn < 2; turn++) for (const kind of ["without_ms", "with_ms"]) {
    const watching = kind === "with_ms" ? await launch() : null;
    if (watching) { const tab = await watching.newPage(); await tab.goto(url, { waitUntil: "load" }); await wait(5000); }
    const before = cpu(); await wait(idle.seconds * 1000); idle[kind].push(cpu() - before);
    if (watching) await watching.close();
    await wait(1000);
  }
  console.log(JSON.stringify({ idle }));
}

if (Number(idleSeconds)) { await idlePage(); process.exit(0); }
const browser = await launch();
const errors = [], violations = [], overflow = [], bytes = {};
async function open(label, width, height, colorScheme, locale) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, locale, bypassCSP: false });
  const page = await context.newPage();
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) errors.push(`${label}: ${message.text()}`); });
  page.on("pageerror", (error) => errors.push(`${label}: ${error.message}`));
  page.on("response", async (answer) => { const path = new URL(answer.url()).pathname;
    if (path === "/" || path.startsWith("/page/")) bytes[path] = (await answer.body()).length; });
  await page.goto(url, { waitUntil: "load" });
  await page.waitForSelector("#health li"); await wait(1500);
  return { context, page };
}

async function axe(page, label) { // by the debugger's evaluate, which a page's CSP does not stop
  await page.evaluate(AXE);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const one of found.violations) violations.push(`${label}: ${one.id} (${one.nodes.length}): ${one.nodes[0].target}`);
  return found.passes.length;
}

async function use(page) { // open a call, ask a question, weigh
  await page.click("ul.calls summary");
  await page.click("#send"); await page.waitForFunction(() => document.querySelector("#way").textContent.length > 0);
  await page.click("#weigh"); await page.waitForSelector(".verdict-text", { timeout: 60000 });
}

let rules = 0;
for (const [name, [width, height]] of Object.entries(SIZES)) for (const scheme of ["light", "dark"]) for (const locale of ["en-US", "fr-FR"]) {
  const label = `${name}-${scheme}-${locale.slice(0, 2)}`;
  const { context, page } = await open(label, width, height, scheme, locale);
  await page.screenshot({ path: `${pictures}/${label}.png`, fullPage: true });
  if (name !== "wide") await use(page);
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) overflow.push(label);
  rules = await axe(page, label);
  await page.screenshot({ path: `${pictures}/${label}-used.png`, fullPage: true });
  await context.close();
}

// keyboard: every stop once, in the order of the page, each with a visible outline; the language switch keeps the focus
const { context, page } = await open("keyboard", 1280, 800, "light", "en-US");
const stops = [];
for (let count = 0; count < 120; count++) {
  await page.keyboard.press("Tab");
  const at = await page.evaluate(() => { const one = document.activeElement; if (one === document.body) return null;
    return { name: one.id || one.getAttribute("aria-label") || one.tagName.toLowerCase(), outline: getComputedStyle(one).outlineStyle !== "none" }; });
  if (!at) break;
  if (at.name !== "summary" || stops.at(-1)?.name !== "summary") stops.push(at);
}
await page.focus(".languages [lang=fr]"); await page.keyboard.press("Enter");
const kept = await page.evaluate(() => document.activeElement.lang === "fr" && document.documentElement.lang === "fr");
await context.close();

// first paint, a new browser context each time
const paints = [];
for (let count = 0; count < 7; count++) {
  const fresh = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const tab = await fresh.newPage();
  await tab.goto(url, { waitUntil: "load" });
  await tab.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
  paints.push(await tab.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime));
  await fresh.close();
}
await browser.close();

console.log(JSON.stringify({ bytes, total_bytes: Object.values(bytes).reduce((sum, one) => sum + one, 0),
  first_contentful_paint_ms: paints.map((one) => Math.round(one)).sort((a, b) => a - b), errors, overflow,
  axe: { looked_at: 12, rules_passed: rules, violations }, keyboard: { stops, language_keeps_focus: kept } }));
