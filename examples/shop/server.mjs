// The server of the toy shop: its pages, a family for each browser, subject tokens, and consent for `assent serve`.
//
//   node examples/shop/server.mjs --assent http://127.0.0.1:8470 --secrets secrets
//
// secrets/ holds shop-server.token, web.token and subject-token.secret (README.md). Node.js 20, no packages.

import { createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    assent: { type: "string", default: "http://127.0.0.1:8470" },
    listen: { type: "string", default: "8480" },
    secrets: { type: "string", default: "secrets" },
    issuer: { type: "string", default: "shop.example" },
    "lookup-ms": { type: "string", default: "150" }, // then a shelf is the default
  },
});
const secret = (name) => readFileSync(join(options.secrets, name), "utf8").trim();
const SERVER_TOKEN = secret("shop-server.token");
const WEB_TOKEN = secret("web.token");
const SUBJECT_SECRET = secret("subject-token.secret");

const BANDS = { adult: "FROM_18", teen: "FROM_13_TO_15", child: "UNDER_13" };
const BODY_MAX = 4096;

const file = (path, type) => ({ type, body: readFileSync(new URL(path, import.meta.url)) });
const FILES = {
  "/": file("public/index.html", "text/html; charset=utf-8"),
  "/shop.css": file("public/shop.css", "text/css; charset=utf-8"),
  "/shop.js": file("public/shop.js", "text/javascript; charset=utf-8"),
  "/icon.svg": file("public/icon.svg", "image/svg+xml"),
  "/assent-client.js": file("../../clients/js/index.js", "text/javascript; charset=utf-8"),
};

/** What a browser may load and ask: this server and Assent. */
const HEADERS = {
  "content-security-policy":
    `default-src 'self'; connect-src 'self' ${options.assent}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
};

/** A JWT: for 15 minutes this browser may speak of this subject (docs/serving.md). */
function subjectToken(sub) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 900;
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, exp, iss: options.issuer })}`;
  return `${signed}.${createHmac("sha256", SUBJECT_SECRET).update(signed).digest("base64url")}`;
}

/** With the token that no browser has. */
function ask(method, path, body) {
  return fetch(options.assent + path, {
    method,
    headers: { authorization: `Bearer ${SERVER_TOKEN}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(15000),
  });
}

const subjectOf = (family, as) => `family-${family}-${as}`;

/** A family's own, unguessable number; it stands in for the account that somebody is signed in with. */
function familyOf(request) {
  return /(?:^|; )family=([0-9a-f]{32})(?:;|$)/.exec(request.headers.cookie || "")?.[1];
}

async function visit(request, as) {
  const known = familyOf(request);
  const family = known || randomBytes(16).toString("hex");
  const subject = subjectOf(family, as);
  const found = await ask("GET", `/v1/consent/${subject}`);
  if (!found.ok && found.status !== 404) return { status: 503 };
  const decisions = found.ok ? Object.values((await found.json()).decisions) : [];
  const body = {
    assent: { url: options.assent, token: WEB_TOKEN, timeout: Number(options["lookup-ms"]) },
    subjectToken: subjectToken(subject),
    sessionId: `visit-${randomBytes(8).toString("hex")}`,
    asked: decisions.some(({ status }) => status !== "NOT_ASKED"),
    allowed: decisions.some(({ status }) => status === "GRANTED"),
    optedOut: decisions.some(({ status }) => status === "WITHDRAWN"),
  };
  const cookie = known ? {} : { "set-cookie": `family=${family}; HttpOnly; SameSite=Strict; Path=/` };
  return { status: 200, body, headers: cookie };
}

/** A child's consent is its parent's, or none. */
function statement({ as, offers, partners, confirmed, parent }) {
  const now = Date.now();
  const decision = (granted) => ({ status: granted === true ? "GRANTED" : "DENIED", notice_version: "2026-11" });
  const guardian = {
    verified_at: now,
    method: "toy-shop-button",
    coppa_consent: offers === true || partners === true,
    coppa_disclosure: partners === true,
    ccpa_authorization: partners === true,
  };
  return {
    age_band: BANDS[as],
    decisions: { "personalized-offers": decision(offers), "partner-advertising": decision(partners) },
    guardian: as === "child" && parent === true ? guardian : null,
    double_opt_in_at: confirmed === true ? now : null,
  };
}

async function consent(request) {
  const family = familyOf(request);
  const choice = await read(request);
  if (!family || !choice || !Object.hasOwn(BANDS, choice.as)) return { status: 400 };
  if (choice.as === "child" && choice.parent !== true) return { status: 403 };
  const saved = await ask("PUT", `/v1/consent/${subjectOf(family, choice.as)}`, statement(choice));
  return saved.ok ? { status: 202, body: {} } : { status: 503 };
}

/** JSON, which a page of another origin can't send without being asked; null: something else. */
async function read(request) {
  if (request.headers["content-type"] !== "application/json") return null;
  let text = "";
  for await (const part of request) {
    text += part;
    if (text.length > BODY_MAX) return null;
  }
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function answer(request) {
  const { pathname, searchParams } = new URL(request.url, "http://shop");
  if (request.method === "POST" && pathname === "/api/consent") return consent(request);
  if (request.method !== "GET") return { status: 405 };
  if (pathname === "/api/visit") {
    const as = searchParams.get("as");
    return Object.hasOwn(BANDS, as) ? visit(request, as) : { status: 400 };
  }
  return Object.hasOwn(FILES, pathname) ? { status: 200, file: FILES[pathname] } : { status: 404 };
}

const server = createServer(async (request, response) => {
  const { status, body, file, headers } = await answer(request).catch((error) => {
    console.error(`${request.method} ${request.url}: ${error.message}`);
    return { status: 503 };
  });
  response.writeHead(status, { ...HEADERS, "content-type": file?.type || "application/json", ...headers });
  response.end(file?.body || JSON.stringify(body || {}));
});

server.listen(Number(options.listen), "127.0.0.1", () => {
  console.log(`the shop is open at http://127.0.0.1:${server.address().port}/`);
});
