// The live view: asks twice a second, and shows what it is told. Nothing is computed here but sizes of bars.

const EVERY = 500;
const SIGNS = { story: "»", assigned: "+", removed: "−" };
/** Verdicts by which a click may count (docs/contract/gate.md, line 12). */
const MAY = new Set(["opt_in", "guardian_opt_in", "not_opted_out"]);

const by = (id) => document.getElementById(id);
const tell = (id, text) => {
  if (by(id).textContent !== text) by(id).textContent = text;
};
const ms = (value) => (value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`);
const words = (label) => label.replaceAll("_", " ");

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

let last = 0;

function feed(lines) {
  const list = by("feed");
  for (const line of lines.filter(({ number }) => number > last).reverse()) {
    const time = make("time", "", `${line.seconds.toFixed(1)} s`);
    const item = make("li", line.text.includes("your browser") ? "you" : "", time);
    item.append(make("span", line.kind, SIGNS[line.kind] || "·"), make("span", line.kind, line.text));
    list.prepend(item);
    last = line.number;
  }
  while (list.children.length > 200) list.lastChild.remove();
}

const rows = new Map();

/** A row with a bar; `more`: how many came since the last look. */
function row(box, key, label, count, share, className) {
  let known = rows.get(key);
  if (!known) {
    const [number, more, bar] = [make("b", ""), make("span", "more"), make("i", "")];
    box.append(make("div", `row ${className}`, make("span", "", label), make("span", "", number, more), make("div", "track", bar)));
    known = { number, more, bar, count: 0 };
    rows.set(key, known);
  }
  const more = count - known.count;
  known.more.textContent = more > 0 && known.count > 0 ? `+${more}` : "";
  known.number.textContent = count;
  known.bar.style.width = `${100 * share}%`;
  known.count = count;
}

function verdicts(all) {
  for (const [purpose, counts] of Object.entries(all)) {
    let box = document.querySelector(`#verdicts [data-purpose="${purpose}"]`);
    if (!box) {
      box = make("div", "", make("h3", "", purpose));
      box.dataset.purpose = purpose;
      by("verdicts").append(box);
    }
    const sum = Object.values(counts).reduce((a, b) => a + b, 0);
    const sorted = Object.entries(counts).sort((a, b) => b[1] - a[1]);
    for (const [verdict, count] of sorted) {
      row(box, `${purpose} ${verdict}`, words(verdict), count, count / sum, MAY.has(verdict) ? "may" : "");
    }
  }
}

function segments(all) {
  const most = Math.max(1, ...all.map(({ members }) => members));
  for (const { purpose, segment, members } of all) {
    row(by("segments"), `segment ${purpose} ${segment}`, `${segment} (${purpose})`, members, members / most, "may");
  }
}

function optOuts({ count, p50_ms, max_ms, recent_ms }) {
  tell("opt-out", count ? ms(p50_ms) : "–");
  tell("opt-out-max", count ? ms(max_ms) : "–");
  tell("opt-out-count", String(count));
  const highest = Math.max(...recent_ms, 1);
  const bars = recent_ms.map((took) => {
    const bar = make("i", "");
    bar.style.height = `${Math.max(3, (100 * took) / highest)}%`;
    bar.title = ms(took);
    return bar;
  });
  by("bars").replaceChildren(...bars);
  if (count) by("bars").setAttribute("aria-label", `The last ${recent_ms.length} opt-outs took up to ${ms(highest)}`);
}

async function look() {
  try {
    const { lines, numbers } = await (await fetch("live.json")).json();
    feed(lines);
    if (!numbers) return;
    tell("live", String(numbers.live));
    tell("lag", `${numbers.lag_seconds.toFixed(1)} s`);
    optOuts(numbers.opt_outs);
    verdicts(numbers.verdicts);
    segments(numbers.segments);
    tell("state", "Everything here is measured while it happens.");
  } catch {
    tell("state", "The demo has ended. What is below is the last that was seen.");
  }
}

look();
setInterval(look, EVERY);
