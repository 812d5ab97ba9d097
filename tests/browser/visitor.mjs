// What the tests in Chromium do again and again. SHOP is the shop's address, TOOLS where the packages are, CHROMIUM the
// browser.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { SHOP, TOOLS, CHROMIUM } = process.env;
const require = createRequire(`${TOOLS}/`);
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const OFFERS = "personalized-offers";
export const PARTNERS = "partner-advertising";
/** A debug build on a machine that other tests share. */
const WITHIN = 90_000;

let browser;

export const launch = async () => {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
};
export const close = () => browser.close();

/** Where the shop's pages find Assent. */
export async function assent() {
  return (await (await fetch(`${SHOP}/api/visit?as=adult`)).json()).assent.url;
}

/** Somebody new, in a browser of their own. `gpc`: with Global Privacy Control. */
export async function visitor({ gpc = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1180, height: 860 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WITHIN);
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(String(error)));
  await page.addInitScript(() => {
    // Whatever a shelf has ever shown, also for a moment.
    window.everPersonal = new Set();
    const look = () =>
      document.querySelectorAll('[data-testid="shelf"][data-default="false"]').forEach((shelf) => {
        window.everPersonal.add(shelf.dataset.purpose);
      });
    new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
  });
  if (gpc) await sendGpc(page);
  await page.goto(SHOP);
  return page;
}

/** As a browser that has it: in each request, and for scripts. From the next load on. */
export async function sendGpc(page) {
  await page.context().setExtraHTTPHeaders({ "sec-gpc": "1" });
  await page.addInitScript(() => Object.defineProperty(navigator, "globalPrivacyControl", { value: true }));
}

export const shelf = (page, purpose) => page.locator(`[data-testid="shelf"][data-purpose="${purpose}"]`);

const isDefault = async (page, purpose) => (await shelf(page, purpose).getAttribute("data-default")) === "true";

export async function awaitSegment(page, purpose, segment) {
  const shown = shelf(page, purpose).and(page.locator('[data-default="false"]'));
  await shown.getByTestId("shelf-segment").getByText(segment).waitFor();
}

/** For so long, at every moment: `data-default` of both shelves. */
export async function staysDefault(page, purposes, ms) {
  await page.evaluate(() => window.everPersonal.clear());
  for (const purpose of purposes) assert.ok(await isDefault(page, purpose), purpose);
  await page.waitForTimeout(ms);
  const ever = await page.evaluate(() => [...window.everPersonal]);
  for (const purpose of purposes) assert.ok(!ever.includes(purpose), `${purpose} was personal for a moment`);
}

export async function lookAtPreschoolToys(page) {
  const all = page.locator(".toys.all");
  for (const toy of ["duck", "rings", "blocks"]) await all.locator(`[data-testid="product"][data-toy="${toy}"]`).click();
}

export async function fillCart(page) {
  const all = page.locator(".toys.all");
  for (const toy of ["duck", "book"]) await all.locator(`.put[data-toy="${toy}"]`).click();
}

/** Ends once both shelves are the default; how long that took, in ms. */
export async function optOut(page) {
  return page.evaluate(async () => {
    const started = performance.now();
    document.querySelector('[data-testid="opt-out"]').click();
    while (document.querySelector('[data-testid="shelf"][data-default="false"]')) {
      if (performance.now() - started > 5000) throw new Error("not within 5 s");
      await new Promise(requestAnimationFrame);
    }
    return performance.now() - started;
  });
}

export const honored = (page) => page.getByTestId("privacy-state").getByText("Honored since").waitFor();

export async function accessible(page, where) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join("\n")}`);
  assert.deepEqual(told, [], where);
}

export async function leave(page) {
  assert.deepEqual(page.faults, []);
  await page.context().close();
}
