// The toy shop in headless Chromium, as somebody uses it. tests/it/browser.rs starts the shop with everything behind it
// and runs this; PICTURE is where the README's picture is put.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  OFFERS, PARTNERS, accessible, assent, awaitSegment, close, fillCart, honored, launch, leave, lookAtPreschoolToys, optOut,
  sendGpc, shelf, staysDefault, visitor,
} from "./visitor.mjs";

const { PICTURE } = process.env;
const ASSENT = await assent();

before(launch);
after(close);

test("a shelf follows a grown-up's yes, and their opt-out within a second, also after a reload", async () => {
  const page = await visitor();
  await page.getByTestId("consent-accept").waitFor();
  await staysDefault(page, [OFFERS, PARTNERS], 500);
  assert.equal(await shelf(page, OFFERS).getByTestId("shelf-segment").textContent(), "all-visitors");
  await page.getByTestId("consent-accept").click();
  await lookAtPreschoolToys(page);
  await awaitSegment(page, OFFERS, "preschool-explorers");
  if (PICTURE) await picture(page);
  await fillCart(page);
  await awaitSegment(page, PARTNERS, "grown-up-gift-givers");
  await awaitSegment(page, OFFERS, "cart-waiting");
  await page.reload();
  await awaitSegment(page, OFFERS, "preschool-explorers");
  await awaitSegment(page, PARTNERS, "grown-up-gift-givers");
  assert.ok(await page.getByTestId("consent-dialog").isHidden(), "nobody is asked twice");

  const took = await optOut(page);
  assert.ok(took < 1000, `${took} ms`);
  await page.reload();
  await staysDefault(page, [OFFERS, PARTNERS], 2000);
  await honored(page);
  await page.waitForFunction(() => localStorage.length === 0);
  await lookAtPreschoolToys(page);
  await fillCart(page);
  await staysDefault(page, [OFFERS, PARTNERS], 5000);
  await page.reload();
  await honored(page);
  assert.ok(await page.getByTestId("consent-dialog").isHidden(), "who opted out is not asked again");
  await leave(page);
});

test("an opt-out whose answer is lost holds in the page, and arrives later", async () => {
  const page = await visitor();
  await page.getByTestId("consent-accept").click();
  await lookAtPreschoolToys(page);
  await awaitSegment(page, OFFERS, "preschool-explorers");
  await page.context().route(`${ASSENT}/v1/opt-out`, (route) => route.abort());
  assert.ok((await optOut(page)) < 1000);
  await staysDefault(page, [OFFERS, PARTNERS], 1000);
  await page.reload();
  await staysDefault(page, [OFFERS, PARTNERS], 3000);
  assert.ok(await page.evaluate(() => localStorage.getItem("assent.opt-outs")?.includes("all")));
  await page.context().unroute(`${ASSENT}/v1/opt-out`);
  await page.waitForFunction(() => localStorage.length === 0);
  await honored(page);
  await staysDefault(page, [OFFERS, PARTNERS], 1000);
  await leave(page);
});

test("a no is kept, and a yes to one purpose is none to the other", async () => {
  const page = await visitor();
  await page.getByTestId("consent-decline").click();
  await lookAtPreschoolToys(page);
  await fillCart(page);
  await staysDefault(page, [OFFERS, PARTNERS], 4000);
  await page.reload();
  await page.getByTestId("choices").click();
  await page.locator("summary").click();
  await page.getByRole("checkbox", { name: "Offers in our shop" }).check();
  await page.getByTestId("consent-chosen").click();
  await lookAtPreschoolToys(page);
  await fillCart(page);
  await awaitSegment(page, OFFERS, "preschool-explorers");
  assert.ok(!(await page.evaluate(() => [...window.everPersonal])).includes("partner-advertising"));
  await leave(page);
});

test("with Global Privacy Control no partner's shelf is ever personal", async () => {
  const page = await visitor({ gpc: true });
  await page.getByTestId("gpc").getByText("Opt-out request honored").waitFor();
  await page.getByTestId("consent-accept").click();
  // What a careless shop would do: a consent to sharing from a browser that says no to it.
  const status = await page.evaluate(async () => {
    const body = JSON.stringify({ as: "adult", offers: true, partners: true, confirmed: true });
    const headers = { "content-type": "application/json" };
    return (await fetch("api/consent", { method: "POST", headers, body })).status;
  });
  assert.equal(status, 202);
  await lookAtPreschoolToys(page);
  await fillCart(page);
  await awaitSegment(page, OFFERS, "preschool-explorers");
  await page.waitForTimeout(4000);
  assert.deepEqual(await page.evaluate(() => [...window.everPersonal]), [OFFERS]);
  await leave(page);
});

test("Global Privacy Control that is turned on later ends a partner's shelf", async () => {
  const page = await visitor();
  await page.getByTestId("consent-accept").click();
  await fillCart(page);
  await awaitSegment(page, PARTNERS, "grown-up-gift-givers");
  await sendGpc(page);
  await page.reload();
  await awaitSegment(page, OFFERS, "cart-waiting");
  await lookAtPreschoolToys(page);
  await page.waitForTimeout(2000);
  assert.deepEqual(await page.evaluate(() => [...window.everPersonal]), [OFFERS]);
  await leave(page);
});

test("a child's parent allows offers, and only those; a teenager is asked twice", async () => {
  const page = await visitor();
  const sent = [];
  page.on("request", (request) => request.url() === `${ASSENT}/v1/events` && sent.push(request.method()));
  await page.getByText("Child, 8").click();
  await page.getByTestId("child-notice").waitFor();
  assert.ok(await page.getByTestId("consent-accept").isHidden(), "a child is not asked");
  await lookAtPreschoolToys(page);
  await staysDefault(page, [OFFERS, PARTNERS], 2000);
  assert.deepEqual(sent, [], "nothing of a child is collected before the parent says yes");
  await page.getByTestId("parent-open").click();
  await page.getByTestId("parent-consent").click();
  await lookAtPreschoolToys(page);
  await awaitSegment(page, OFFERS, "preschool-explorers");
  assert.ok(sent.includes("POST"));
  assert.ok((await optOut(page)) < 1000);
  await honored(page);
  await staysDefault(page, [OFFERS, PARTNERS], 1000);

  await page.getByText("Teen, 14").click();
  await page.getByTestId("consent-accept").click();
  await page.getByTestId("consent-confirm").click();
  await awaitSegment(page, PARTNERS, "teen-catalog");
  await leave(page);
});

test("a service that is away means the default, and no error in the page", async () => {
  const page = await visitor();
  await page.getByTestId("consent-accept").click();
  await lookAtPreschoolToys(page);
  await awaitSegment(page, OFFERS, "preschool-explorers");
  await page.context().route(`${ASSENT}/**`, (route) => route.abort());
  await lookAtPreschoolToys(page);
  await shelf(page, OFFERS).and(page.locator('[data-default="true"]')).waitFor();
  await page.context().unroute(`${ASSENT}/**`);
  await awaitSegment(page, OFFERS, "preschool-explorers");
  await leave(page);
});

test("everything is accessible, by day and in the dark, on a phone and on a desk", async () => {
  const phone = { viewport: { width: 390, height: 844 } };
  for (const options of [{}, { colorScheme: "dark" }, phone, { ...phone, colorScheme: "dark" }]) {
    const page = await visitor({ reducedMotion: "reduce", ...options });
    const where = JSON.stringify(options);
    await page.getByTestId("consent-accept").waitFor();
    await page.locator("summary").click();
    await accessible(page, `${where} asked`);
    await page.getByText("Teen, 14").click();
    await page.getByTestId("consent-accept").click();
    await page.getByTestId("consent-confirm").waitFor();
    await accessible(page, `${where} asked again`);
    await page.getByTestId("consent-confirm").click();
    await awaitSegment(page, PARTNERS, "teen-catalog");
    await lookAtPreschoolToys(page);
    await accessible(page, `${where} personal`);
    await page.getByText("Child, 8").click();
    await page.getByTestId("parent-open").click();
    await accessible(page, `${where} the parent's dialog`);
    const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(width <= 0, `${where}: ${width} pixels too wide`);
    await leave(page);
  }
});

/** Of the shop with a shelf that follows. */
async function picture(page) {
  await page.mouse.move(0, 0);
  await page.waitForTimeout(3500); // the toast is gone
  await awaitSegment(page, OFFERS, "preschool-explorers");
  await page.screenshot({ path: PICTURE, clip: { x: 0, y: 0, width: 1180, height: 780 } });
}
