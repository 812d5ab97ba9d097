// The shop's page. Whatever Assent answers or does not answer, there is something on every shelf.

import { connect } from "./assent-client.js";

const DEFAULT = "all-visitors";

/** id: [name, group of its color, category, age range, price in cents] */
const TOYS = {
  duck: ["Pull-along duck", "preschool", "preschool-toys", "3-5", 1490],
  rings: ["Rainbow rings", "preschool", "preschool-toys", "0-2", 1190],
  blocks: ["Letter blocks", "preschool", "preschool-toys", "3-5", 1890],
  puzzle: ["Four-piece puzzle", "preschool", "preschool-toys", "3-5", 990],
  kite: ["Big red kite", "outdoor", "outdoor-toys", "6-8", 2490],
  bricks: ["Castle to build", "building", "building-sets", "6-8", 3990],
  game: ["Six paths game", "games", "board-games", "9-12", 2790],
  book: ["The moon's hat", "reading", "books", "3-5", 1290],
  bike: ["First bike", "outdoor", "bikes", "6-8", 15900],
  bucket: ["Sand bucket", "outdoor", "outdoor-toys", "3-5", 890],
  crayons: ["Thick crayons", "crafts", "arts-and-crafts", "3-5", 690],
  robot: ["Robot kit", "crafts", "electronics", "13-17", 6490],
};

/** What a shelf shows: of a segment, or of nobody in particular. [title, why, toys] */
const SHELVES = {
  "personalized-offers": {
    [DEFAULT]: ["Popular this week", "The same for everybody.", ["duck", "rings", "blocks", "kite"]],
    "preschool-explorers": ["More for the little ones", "Because you looked at preschool toys.", ["puzzle", "duck", "crayons", "rings"]],
    "cart-waiting": ["Still in your cart?", "Because you put something into the cart.", ["blocks", "puzzle", "book", "game"]],
    "loyal-families": ["Free shipping for you", "Because you shop here often.", ["bike", "bricks", "robot", "kite"]],
    "west-coast-outdoor": ["Out into the sun", "Because you looked at toys for outdoors.", ["bike", "bucket", "kite", "game"]],
    "quiet-for-a-month": ["New since your last visit", "Because you were away for a while.", ["robot", "bricks", "book", "game"]],
  },
  "partner-advertising": {
    [DEFAULT]: ["From our partners", "The same for everybody.", ["book", "bricks", "game", "crayons"]],
    "grown-up-gift-givers": ["Gift sets of toy makers", "Because you shop for several children.", ["bricks", "puzzle", "bike", "game"]],
    "teen-catalog": ["The teen catalog", "Because you are a teenager.", ["robot", "game", "bike", "book"]],
  },
};

/** Asked again so long after something happened, in ms; then now and then. */
const AGAIN = [120, 300, 600, 1000, 1600, 2500, 4000, 6000, 9000];
const NOW_AND_THEN = 4000;
const TRY_AGAIN = 1500;
const FRESH_TOKEN = 10 * 60 * 1000;

const find = (name) => document.querySelector(`[data-testid="${name}"]`);
const all = (name) => [...document.querySelectorAll(`[data-testid="${name}"]`)];
const hasGpc = navigator.globalPrivacyControl === true;

let who = "adult";
let visit = {};
let assent = connect();
/** Answers of before something that changes them are not shown any more. */
let moment = 0;
/** Likewise of visits that somebody else has followed. */
let entries = 0;
let cart = 0;
/** The latest choice, on its way: what is clicked after a yes counts as after it. */
let saving = Promise.resolve();
const looked = new Set();

/* ── shelves ── */

function toy(id) {
  const [name, group, , , cents] = TOYS[id];
  const price = `$${(cents / 100).toFixed(2)}`;
  const item = document.createElement("li");
  item.className = "toy";
  item.dataset.group = group;
  item.innerHTML = `<button type="button" class="look" data-testid="product" data-toy="${id}">
      <svg aria-hidden="true"><use href="#${id}"/></svg><span>${name}</span><span class="price">${price}</span></button>
    <button type="button" class="put" data-toy="${id}" aria-label="Put ${name} into the cart">Into the cart</button>`;
  if (looked.has(id)) mark(item);
  return item;
}

function mark(item) {
  if (item.querySelector(".looked")) return;
  const badge = document.createElement("span");
  badge.className = "looked";
  badge.textContent = "looked at";
  item.querySelector(".look").append(badge);
}

function paint(shelf, answer) {
  const { purpose } = shelf.dataset;
  const named = answer.segments.join(", ");
  const stays = shelf.dataset.default === String(answer.isDefault) && shelf.dataset.shown === named;
  if (stays) return;
  const known = answer.segments.find((segment) => SHELVES[purpose][segment]) || DEFAULT;
  const [title, why, toys] = SHELVES[purpose][known];
  shelf.dataset.default = String(answer.isDefault);
  shelf.dataset.shown = named;
  shelf.querySelector("h2").textContent = title;
  shelf.querySelector(".why").textContent = why;
  shelf.querySelector('[data-testid="shelf-segment"]').textContent = named;
  shelf.querySelector(".toys").replaceChildren(...toys.map(toy));
}

const NOBODY = { segments: [DEFAULT], isDefault: true, optOut: null };

const paintDefaults = () => all("shelf").forEach((shelf) => paint(shelf, NOBODY));

/** Asks for both shelves, and shows what is still true when the answer is there. */
async function refresh() {
  const asked = moment;
  const answers = await Promise.all(
    all("shelf").map(async (shelf) => {
      const answer = await assent.segment(shelf.dataset.purpose, { default: DEFAULT });
      if (asked === moment) paint(shelf, answer);
      return answer;
    }),
  );
  if (asked === moment) tellState(answers);
}

let timers = [];

function refreshSoon() {
  timers.forEach(clearTimeout);
  timers = AGAIN.map((after) => setTimeout(refresh, after));
}

/* ── what is told ── */

let optedOut = "";

function tellState(answers) {
  const since = Math.min(...answers.map((answer) => answer.optOut?.since ?? Infinity));
  const personal = answers.some((answer) => !answer.isDefault);
  let text = "Everybody sees the same shelves until they say yes.";
  if (personal) text = "A shelf is chosen for you. You can stop that at any time.";
  else if (Number.isFinite(since)) text = `You opted out. Honored since ${new Date(since).toLocaleString()}.`;
  else if (optedOut) text = optedOut;
  const state = find("privacy-state");
  if (state.textContent !== text) state.textContent = text;
}

let toastEnds = 0;

function toast(text) {
  const shown = find("toast");
  shown.textContent = text;
  shown.classList.add("shown");
  clearTimeout(toastEnds);
  toastEnds = setTimeout(() => shown.classList.remove("shown"), 2500);
}

/* ── consent ── */

function showDialogs() {
  find("consent-dialog").hidden = visit.asked !== false || who === "child";
  find("child-notice").hidden = visit.asked !== false || who !== "child";
  showStep("first");
}

function showStep(step) {
  const dialog = find("consent-dialog");
  dialog.querySelector(".first").hidden = step !== "first";
  dialog.querySelector(".second").hidden = step !== "second";
  dialog.querySelectorAll(".partners").forEach((part) => (part.hidden = hasGpc));
}

/** A teenager is asked twice, and so is whoever opted out before. */
function choose(choice) {
  const partners = choice.partners && !hasGpc;
  if (!partners || (who !== "teen" && !visit.optedOut)) return decide({ ...choice, partners });
  showStep("second");
  const dialog = find("consent-dialog");
  dialog.querySelector('[data-testid="consent-confirm"]').onclick = () => decide({ ...choice, partners, confirmed: true });
  dialog.querySelector('[data-testid="consent-unsure"]').onclick = () => decide({ ...choice, partners: false });
  dialog.querySelector('[data-testid="consent-unsure"]').focus();
}

async function decide(choice) {
  find("consent-dialog").hidden = true;
  find("child-notice").hidden = true;
  saving = call("/api/consent", { as: who, ...choice });
  if (!(await saving)) {
    toast("That could not be saved. Please try again.");
    return showDialogs();
  }
  visit.asked = true;
  visit.allowed = choice.offers || choice.partners;
  optedOut = "";
  toast(visit.allowed ? "Thank you. You can change that at any time." : "All right. Everything stays as it is.");
  refreshSoon();
}

function optOut() {
  moment += 1;
  const sent = assent.optOut("all");
  paintDefaults();
  find("consent-dialog").hidden = true;
  find("child-notice").hidden = true;
  visit.asked = visit.optedOut = true;
  visit.allowed = false;
  optedOut = "You opted out. The shelves are the same for everybody.";
  find("privacy-state").textContent = optedOut;
  sent.then(({ accepted }) => {
    if (!accepted) optedOut += " Our server can't be reached now; we send your opt-out again.";
    refreshSoon();
  });
}

/* ── the shop's own server ── */

async function call(path, body) {
  try {
    const response = await fetch(path.slice(1), {
      method: body ? "POST" : "GET",
      headers: { "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

async function enter() {
  moment += 1;
  entries += 1;
  const [entry, as] = [entries, who];
  paintDefaults();
  find("consent-dialog").hidden = true;
  find("child-notice").hidden = true;
  const found = await call(`/api/visit?as=${as}`);
  if (entry !== entries) return;
  if (!found) setTimeout(() => entry === entries && enter(), TRY_AGAIN);
  visit = found || {};
  assent = connect({ ...visit.assent, subjectToken: visit.subjectToken, sessionId: visit.sessionId });
  optedOut = "";
  document.querySelector("footer .live").hidden = !visit.live;
  showDialogs();
  refreshSoon();
}

/* ── what people do ── */

/** Of a child nothing is sent before a parent allowed it: that would be collecting already. */
const click = (kind, id) => {
  const [, , category, product_age_range, value_cents] = TOYS[id];
  const paid = kind === "ADD_TO_CART" ? { value_cents } : {};
  const event = { kind, category, product_id: id, product_age_range, region: "US-CA", ...paid };
  const send = () => (who !== "child" || visit.allowed) && assent.track(event);
  saving.then(send).then(refreshSoon);
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-toy]");
  if (!button) return;
  const id = button.dataset.toy;
  if (button.classList.contains("put")) {
    cart += 1;
    find("cart-count").textContent = cart;
    toast(`${TOYS[id][0]} is in your cart.`);
    return click("ADD_TO_CART", id);
  }
  looked.add(id);
  all("product").filter((look) => look.dataset.toy === id).forEach((look) => mark(look.parentElement));
  toast(`You looked at: ${TOYS[id][0]}.`);
  click("PRODUCT_VIEW", id);
});

document.querySelectorAll('input[name="who"]').forEach((input) => {
  input.onchange = () => {
    who = input.value;
    looked.clear();
    document.querySelectorAll(".looked").forEach((badge) => badge.remove());
    enter();
  };
});

const box = (name) => document.querySelector(`input[name="${name}"]`).checked;
find("opt-out").onclick = optOut;
find("consent-accept").onclick = () => choose({ offers: true, partners: true });
find("consent-decline").onclick = () => decide({ offers: false, partners: false });
find("consent-chosen").onclick = () => choose({ offers: box("offers"), partners: box("partners") });
find("parent-open").onclick = () => find("parent-dialog").showModal();
find("parent-decline").onclick = () => {
  find("parent-dialog").close();
  decide({ parent: true, offers: false, partners: false });
};
find("parent-consent").onclick = () => {
  find("parent-dialog").close();
  decide({ parent: true, offers: true, partners: box("parent-partners") && !hasGpc });
};
find("choices").onclick = () => {
  visit.asked = false;
  showDialogs();
  (who === "child" ? find("parent-open") : find("consent-decline")).focus();
};

find("gpc").hidden = !hasGpc;
document.querySelector(".toys.all").replaceChildren(...Object.keys(TOYS).map(toy));
paintDefaults();
enter();
setInterval(() => document.hidden || refresh(), NOW_AND_THEN);
setInterval(enter, FRESH_TOKEN);
