// The client against a server of the test's own, over HTTP: what a page is shown, whatever the server does.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { afterEach, beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { connect } from "../index.js";

const OFFERS = "personalized-offers";
const FOUND = { segments: ["preschool-explorers"], contextual: [], is_default: false, purpose: OFFERS, opt_out: null };

let server;
let url;
/** What the server got: {method, path, body, authorization}. */
let got;
/** What it answers: path → (request, response) => void. */
let answers;

const answer = (status, body) => (_, response) => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(typeof body == "string" ? body : JSON.stringify(body));
};
const silence = () => {};

const token = (sub) => `e30.${Buffer.from(JSON.stringify({ sub })).toString("base64url")}.c2ln`;
const page = (options) => connect({ url, token: "web", subjectToken: token("family-1"), sessionId: "visit-1", timeout: 5000, ...options });
const look = (client) => client.segment(OFFERS, { default: "all-visitors" });
const of = (path) => got.filter((request) => request.path == path);

/** A page that is left runs no timers any more; what it had asked ends with the server. */
const timers = [];
const later = globalThis.setTimeout;
globalThis.setTimeout = (work, ms) => {
  const timer = later(work, ms);
  if (new Error().stack.includes("clients/js/index.js")) timers.push(timer); // Node's own fetch has timers, too
  return timer;
};

const until = async (what, holds) => {
  for (let left = 1000; !holds(); left -= 1) {
    assert.ok(left > 0, `not within 10 s: ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
};

beforeEach(async () => {
  got = [];
  answers = { "/v1/lookup": answer(200, FOUND), "/v1/events": answer(202, { accepted: 1 }) };
  server = createServer(async (request, response) => {
    let text = "";
    for await (const part of request) text += part;
    got.push({
      method: request.method,
      path: request.url,
      body: text && JSON.parse(text),
      authorization: request.headers.authorization,
    });
    (answers[request.url] || answer(404, {}))(request, response);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  url = `http://127.0.0.1:${server.address().port}`;
  const kept = new Map();
  globalThis.localStorage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, String(value)),
    removeItem: (key) => kept.delete(key),
  };
  Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true, writable: true });
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await new Promise((done) => later(done, 30));
  timers.splice(0).forEach(clearTimeout);
});

test("the module is under 3 KB compressed, and has no dependency", () => {
  const folder = new URL("../", import.meta.url);
  const source = readFileSync(new URL("index.js", folder));
  assert.ok(gzipSync(source, { level: 9 }).length < 3 * 1024);
  assert.ok(!/\bimport\b|require\(/.test(source));
  const { dependencies, files } = JSON.parse(readFileSync(new URL("package.json", folder)));
  assert.equal(dependencies, undefined);
  for (const file of files) readFileSync(new URL(file, folder));
});

test("a segment is shown to whom the service gives it", async () => {
  assert.deepEqual(await look(page()), {
    segments: ["preschool-explorers"],
    isDefault: false,
    contextual: [],
    optOut: null,
  });
  assert.deepEqual(got, [
    {
      method: "POST",
      path: "/v1/lookup",
      body: { subject_token: token("family-1"), session_id: "visit-1", purpose: OFFERS, gpc: false },
      authorization: "Bearer web",
    },
  ]);
});

test("the default of the page is shown in every doubt, and nothing is thrown", async () => {
  const since = { honored: true, since: 5 };
  const doubts = [
    answer(200, { ...FOUND, is_default: true, segments: ["everybody"], opt_out: since }),
    answer(200, { ...FOUND, purpose: "another" }),
    answer(200, { ...FOUND, segments: "preschool-explorers" }),
    answer(200, { ...FOUND, is_default: undefined }),
    answer(200, "null"),
    answer(200, "no JSON"),
    answer(500, FOUND),
    answer(401, {}),
    (request) => request.socket.destroy(),
  ];
  for (const doubt of doubts) {
    answers["/v1/lookup"] = doubt;
    const found = await look(page());
    assert.deepEqual([found.segments, found.isDefault], [["all-visitors"], true], String(doubt));
  }
  answers["/v1/lookup"] = doubts[0];
  assert.deepEqual((await look(page())).optOut, since);
  for (const options of [undefined, null, 7, {}, { url: "no address" }]) {
    const client = connect(options);
    assert.equal((await look(client)).isDefault, true);
    assert.equal(await client.track({ kind: "PAGE_VIEW" }), false);
    assert.deepEqual((await client.segment(OFFERS)).segments, []);
  }
  const failing = () => Promise.reject(new Error("no token"));
  assert.equal((await look(page({ subjectToken: failing }))).isDefault, true);
});

test("an answer that takes longer than 150 ms is the default", async () => {
  answers["/v1/lookup"] = silence;
  const started = performance.now();
  assert.equal((await look(page({ timeout: undefined }))).isDefault, true);
  const took = performance.now() - started;
  assert.ok(took > 140 && took < 1000, `${took} ms`);
  const never = () => new Promise(() => {});
  assert.equal((await look(page({ subjectToken: never, timeout: 20 }))).isDefault, true);
});

test("a click has its id, session, time and signal, and what the page says", async () => {
  navigator.globalPrivacyControl = true;
  assert.equal(await page().track({ kind: "PRODUCT_VIEW", category: "preschool-toys" }), true);
  const { event_id, occurred_at, ...rest } = of("/v1/events")[0].body;
  assert.match(event_id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.ok(Math.abs(occurred_at - Date.now()) < 5000);
  assert.deepEqual(rest, {
    session_id: "visit-1",
    gpc: true,
    kind: "PRODUCT_VIEW",
    category: "preschool-toys",
    subject_token: token("family-1"),
  });
  await look(page());
  assert.equal(of("/v1/lookup")[0].body.gpc, true);
});

test("from an opt-out on the default is shown without asking, until it is honored", async () => {
  let status = "received";
  answers["/v1/opt-out"] = answer(202, { request_id: "r/1" });
  answers["/v1/requests/r%2F1"] = (request, response) => answer(200, { status })(request, response);
  const client = page();
  assert.equal((await look(client)).isDefault, false);
  const asked = client.optOut("all");
  assert.equal((await look(client)).isDefault, true);
  assert.deepEqual(await asked, { accepted: true, requestId: "r/1" });
  assert.deepEqual(of("/v1/opt-out")[0].body, { scope: "all", subject_token: token("family-1") });
  assert.equal((await look(client)).isDefault, true);
  assert.equal(of("/v1/lookup").length, 1, "nobody was asked meanwhile");
  status = "honored";
  await until("nothing is kept", () => localStorage.getItem("assent.opt-outs") === null);
  assert.equal((await look(client)).isDefault, false, "the service is believed again");
});

test("an opt-out during a look-up wins", async () => {
  answers["/v1/opt-out"] = silence;
  let late;
  answers["/v1/lookup"] = (request, response) => (late = () => answer(200, FOUND)(request, response));
  const client = page({ timeout: 2000 });
  const looked = look(client);
  await until("the look-up is there", () => late);
  client.optOut("all");
  late();
  assert.equal((await looked).isDefault, true);
});

test("an opt-out whose answer is lost outlives the page, and is sent again", async () => {
  answers["/v1/opt-out"] = silence;
  page().optOut("all");
  assert.equal((await look(page())).isDefault, true, "also where the page is left at once");
  answers["/v1/opt-out"] = (request) => request.socket.destroy();
  assert.deepEqual(await page().optOut("all"), { accepted: false, requestId: null });
  answers["/v1/opt-out"] = answer(503, {});
  const reloaded = page();
  assert.equal((await look(reloaded)).isDefault, true);
  await until("it is sent again", () => of("/v1/opt-out").length > 2);
  assert.equal((await look(reloaded)).isDefault, true);
  answers["/v1/opt-out"] = answer(202, { request_id: "2" });
  answers["/v1/requests/2"] = answer(404, {});
  await until("one that the register lost is sent again", () => {
    const last = got.map((request) => request.path).lastIndexOf("/v1/requests/2");
    return last >= 0 && got.slice(last).some((request) => request.path == "/v1/opt-out");
  });
  answers["/v1/requests/2"] = answer(200, { status: "honored" });
  await until("nothing is kept", () => localStorage.getItem("assent.opt-outs") === null);
});

test("a client that can't reach the service does not bring back what another one saw honored", async () => {
  answers["/v1/opt-out"] = answer(503, {});
  const lost = page({ url: "http://127.0.0.1:1" });
  await lost.optOut("all");
  const nowhere = connect();
  assert.equal((await look(nowhere)).isDefault, true);
  answers["/v1/opt-out"] = answer(202, { request_id: "4" });
  answers["/v1/requests/4"] = answer(200, { status: "honored" });
  const reloaded = page();
  assert.equal((await look(reloaded)).isDefault, true);
  await until("it is honored", () => localStorage.getItem("assent.opt-outs") === null);
  await new Promise((done) => later(done, 1000)); // the others try again at least once
  assert.equal(localStorage.getItem("assent.opt-outs"), null);
  assert.equal((await look(reloaded)).isDefault, false);
});

test("a purpose's opt-out leaves the others, and another person is not opted out", async () => {
  answers["/v1/opt-out"] = answer(503, {});
  await page().optOut("partner-advertising");
  assert.equal((await look(page())).isDefault, false);
  assert.equal((await page().segment("partner-advertising", { default: "x" })).isDefault, true);
  await page().optOut("sale_or_share");
  assert.equal((await look(page())).isDefault, true);
  const another = page({ subjectToken: token("family-2") });
  assert.equal((await look(another)).isDefault, false);
  assert.ok(!localStorage.getItem("assent.opt-outs").includes("family"));
  await new Promise((done) => setTimeout(done, 150));
  assert.ok(of("/v1/opt-out").every(({ body }) => body.subject_token == token("family-1")));
});

test("a visitor without a token opts out by the session", async () => {
  answers["/v1/opt-out"] = answer(202, { request_id: "3" });
  answers["/v1/requests/3"] = answer(200, { status: "honored" });
  assert.equal((await page({ subjectToken: null }).optOut()).accepted, true);
  assert.deepEqual(of("/v1/opt-out")[0].body, { scope: "all", session_id: "visit-1" });
});

test("without a storage this page still knows, and a broken one is nobody's fault", async () => {
  answers["/v1/opt-out"] = answer(503, {});
  localStorage.setItem("assent.opt-outs", '{"all": 1}');
  assert.equal((await look(page())).isDefault, true);
  localStorage.setItem("assent.opt-outs", "{");
  assert.equal((await look(page())).isDefault, false);
  delete globalThis.localStorage;
  const client = page();
  await client.optOut("all");
  assert.equal((await look(client)).isDefault, true);
});
