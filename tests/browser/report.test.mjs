// A report as a page, in headless Chromium. tests/it/report starts this; SHOP is the page's address.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, close, launch, leave, visitor } from "./visitor.mjs";

before(launch);
after(close);

for (const colorScheme of ["light", "dark"]) {
  test(`a page is accessible, ${colorScheme}`, async () => {
    const page = await visitor({ colorScheme });
    await accessible(page, colorScheme);
    const color = (selector, property) =>
      page.locator(selector).first().evaluate((it, name) => getComputedStyle(it)[name], property);
    const isLight = (rgb) => rgb.match(/\d+/g).slice(0, 3).every((it) => Number(it) > 128);
    assert.equal(isLight(await color("body", "backgroundColor")), colorScheme === "light");
    for (const text of ["body", "h1", "td"]) {
      assert.equal(isLight(await color(text, "color")), colorScheme === "dark", text);
    }
    if (await page.locator("svg text").count()) {
      assert.equal(isLight(await color("svg text", "fill")), colorScheme === "dark", "the text of a picture");
    }
    await leave(page);
  });
}

test("a page asks nobody for anything, and each picture has its table", async () => {
  const asked = [];
  const page = await visitor();
  page.on("request", (request) => asked.push(request.url()));
  await page.reload();
  assert.equal(asked.length, 1, asked.join(" "));
  const pictures = page.locator("figure");
  for (let at = 0; at < (await pictures.count()); at += 1) {
    const next = pictures.nth(at).locator("xpath=following-sibling::*[1]");
    assert.equal(await next.locator("table").count(), 1);
  }
  await leave(page);
});
