// Takes a picture of the top of a page: node picture.mjs PAGE PNG.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [page, png] = process.argv.slice(2).map((p) => resolve(p));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const tab = await browser.newPage({ viewport: { width: 1000, height: 1530 }, colorScheme: "light", deviceScaleFactor: 1.2 });
await tab.goto(pathToFileURL(page).href);
await tab.screenshot({ path: png });
await browser.close();
