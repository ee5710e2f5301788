// Tries the pages of a directory in Chromium: node run.mjs DIR. It prints a line of JSON
// for each check, {"name": …, "error": …}, and leaves screenshots and PDFs in DIR.
import { readFileSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const dir = resolve(process.argv[2]);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const widths = [400, 900, 1400];

const check = async (name, run) => {
  let error = "";
  try {
    error = (await run()) || "";
  } catch (e) {
    error = String(e);
  }
  console.log(JSON.stringify({ name, error }));
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// open loads a page and keeps what it complains of.
const open = async (file, options) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(m.text()));
  page.on("pageerror", (e) => complaints.push(String(e)));
  page.on("dialog", (d) => (complaints.push("dialog " + d.message()), d.dismiss()));
  page.on("request", (r) => r.isNavigationRequest() || complaints.push("fetches " + r.url()));
  if (options.javaScriptEnabled !== false) await page.addInitScript(axe);
  await page.goto(pathToFileURL(file).href);
  return { context, page, complaints };
};

// accessible gives what axe finds, or what sticks out sideways.
const accessible = async (page) => {
  const found = await page.evaluate(async () => {
    const result = await window.axe.run(document, { resultTypes: ["violations"] });
    return result.violations.map((v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.target + " " + n.failureSummary).join("; "));
  });
  return found.join("\n");
};

// look takes a picture at each width.
const look = async (file, name, colorScheme) => {
  const { context, page, complaints } = await open(file, { viewport: { width: widths[0], height: 900 }, colorScheme });
  for (const width of widths) {
    await check(`${name}/${width}/${colorScheme}`, async () => {
      await page.setViewportSize({ width, height: 900 });
      const shot = join(dir, `${name}-${width}-${colorScheme}.png`);
      await page.screenshot({ path: shot });
      const found = complaints.splice(0);
      if (statSync(shot).size < 4000) found.push("the screenshot is empty");
      const seen = await page.evaluate(() => ({
        wide: document.documentElement.scrollWidth - window.innerWidth,
        light: getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number).reduce((a, b) => a + b) / 3,
        scripts: document.scripts.length,
        strange: Array.from(document.querySelectorAll("img,iframe,object,embed,link,form,[style]:not([style='']),[onerror],[onload]"), (e) => e.outerHTML.slice(0, 200)),
      }));
      if (seen.wide > 0) found.push(`${seen.wide} pixels stick out`);
      if (seen.light > 128 === (colorScheme === "dark")) found.push(`background ${seen.light} in ${colorScheme}`);
      if (seen.scripts !== 1 || seen.strange.length > 0) found.push(`${seen.scripts} scripts, strange elements: ${seen.strange}`);
      if (width === 900 || (width === 400 && name === "one")) found.push(await accessible(page));
      return found.filter(Boolean).join("\n");
    });
  }
  await context.close();
};

// print makes a PDF: nothing is cut off at its sides, since what is wide wraps.
const print = (file, name) =>
  check(`${name}/print`, async () => {
    const { context, page, complaints } = await open(file, { viewport: { width: 718, height: 1000 } });
    await page.emulateMedia({ media: "print" });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (wide > 0) complaints.push(`${wide} pixels stick out on paper`);
    const pdf = await page.pdf({ path: join(dir, name + ".pdf"), format: "A4", printBackground: true, margin: { top: "1cm", bottom: "1cm", left: "1cm", right: "1cm" } });
    if (pdf.subarray(0, 5).toString() !== "%PDF-" || pdf.length < 5000) complaints.push("no PDF");
    await context.close();
    return complaints.join("\n");
  });

// keys goes through the page with the tabulator: in the order of the document, each
// stop visible and with a name.
const keys = (file, name) =>
  check(`${name}/keyboard`, async () => {
    const { context, page, complaints } = await open(file, { viewport: { width: 900, height: 900 } });
    let last = null;
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const e = document.activeElement;
        if (e === document.body) return null;
        const order = Array.from(document.querySelectorAll("*")).indexOf(e);
        const box = e.getBoundingClientRect();
        return { order, name: e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.[0]?.textContent, seen: box.width > 0 && box.left >= -1, outline: getComputedStyle(e).outlineStyle };
      });
      if (!at) break;
      if (i === 0 && at.name !== "Skip to the content") complaints.push("the first stop is " + at.name);
      if (last !== null && at.order <= last) complaints.push(`stop ${i} goes back`);
      if (!at.name || !at.seen || at.outline === "none") complaints.push(`stop ${i} ${JSON.stringify(at)}`);
      last = at.order;
    }
    if (last === null) complaints.push("nothing takes the focus");
    await context.close();
    return complaints.join("\n");
  });

// plain reads the page without scripts: the same words are there.
const plain = (file, name) =>
  check(`${name}/without-script`, async () => {
    const words = async (javaScriptEnabled) => {
      const { context, page } = await open(file, { javaScriptEnabled });
      const text = await page.locator("main").textContent();
      await context.close();
      return text.replace(/\s+/g, " ");
    };
    return (await words(true)) === (await words(false)) ? "" : "without scripts the page has another text";
  });

// table sorts and filters.
const table = (file) =>
  check("many/table", async () => {
    const { context, page, complaints } = await open(file, { viewport: { width: 1400, height: 900 } });
    const column = (i) => page.locator(`#kills tbody tr:visible td:nth-child(${i})`).allTextContents();
    const all = await column(1);
    await page.getByRole("button", { name: "Owner" }).click();
    const owners = await column(3);
    const sorted = [...owners].sort((a, b) => a.localeCompare(b));
    if (owners.join() !== sorted.join()) complaints.push("not sorted by owner");
    await page.getByRole("button", { name: "Resident" }).press("Enter");
    await page.getByRole("button", { name: "Resident" }).press("Enter");
    const sizes = await page.locator("#kills tbody td:nth-child(5) data").evaluateAll((e) => e.map((d) => Number(d.value)));
    if (sizes.some((v, i) => i > 0 && sizes[i - 1] < v)) complaints.push("not sorted by size, downwards");
    await page.getByLabel("Filter").fill("pip3");
    const left = await column(2);
    if (left.length === 0 || left.length >= all.length || left.some((v) => !v.includes("pip3"))) complaints.push(`the filter leaves ${left.length} of ${all.length}`);
    await page.getByLabel("Filter").fill("");
    await page.locator("#kills tbody a").last().click();
    if (!(await page.evaluate(() => document.querySelector(location.hash) !== null))) complaints.push("the link leads nowhere");
    await context.close();
    return complaints.join("\n");
  });

const pages = readdirSync(dir).filter((f) => f.endsWith(".html")).sort();
for (const f of pages) {
  const file = join(dir, f), name = basename(f, ".html");
  for (const scheme of ["one", "many"].includes(name) ? ["light", "dark"] : ["hostile", "none"].includes(name) ? ["light"] : ["dark"]) await look(file, name, scheme);
  if (name !== "none") await print(file, name);
  if (["one", "many"].includes(name)) {
    await keys(file, name);
    await plain(file, name);
  }
  if (name === "many") await table(file);
}
await browser.close();
