// The pages of `assent demo` in headless Chromium: the shop follows, and the live view tells of it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  OFFERS, accessible, awaitSegment, close, honored, launch, leave, lookAtPreschoolToys, optOut, staysDefault, visitor,
} from "./visitor.mjs";

before(launch);
after(close);

test("the demo's shop follows, and the live view shows it beside the other families", async () => {
  const page = await visitor();
  await page.getByTestId("consent-accept").click();
  await lookAtPreschoolToys(page);
  await awaitSegment(page, OFFERS, "preschool-explorers");
  await page.locator("footer .live").waitFor();
  const live = await page.context().newPage();
  live.setDefaultTimeout(90_000);
  live.faults = [];
  live.on("pageerror", (error) => live.faults.push(String(error)));
  await live.goto(new URL("live", page.url()).href);
  const feed = live.locator("#feed");
  await feed.getByText(/preschool-explorers.*<- your browser/).first().waitFor();
  assert.ok((await optOut(page)) < 1000);
  await honored(page);
  await feed.getByText(/tombstone, opted_out.*<- your browser/).first().waitFor();
  await page.reload();
  await staysDefault(page, [OFFERS], 1000);
  await live.locator("#verdicts .row.may").first().waitFor();
  await live.locator("#segments .row").first().waitFor();
  await live.locator("#bars i").first().waitFor();
  assert.match(await live.locator("#opt-out").textContent(), /^[\d.]+ ms$/);
  for (const colorScheme of ["light", "dark"]) {
    await live.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await accessible(live, `the live view, ${colorScheme}`);
  }
  assert.deepEqual(live.faults, []);
  await leave(page);
});
