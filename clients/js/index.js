// Segments, clicks and opt-outs of `assent serve`, for a page (README.md).
//
// Nothing here throws or rejects. In any doubt a page gets its default: no answer in time, an answer that can't be
// read, an opt-out that is not honored yet. An opt-out is kept in this browser until it is, and is sent again.

/** Where opt-outs that are not honored yet are kept: {scope: {id, who, session}}. */
const KEPT = "assent.opt-outs";

/** What writes may take, in ms. */
const WRITTEN_WITHIN = 15000;

/** Between two looks at what became of an opt-out, in ms: doubled each time. */
const LOOK_FIRST = 100;
const LOOK_MAX = 60000;

export function connect(options) {
  const { url, token, subjectToken, sessionId, timeout = 150 } = options || {};
  let session = sessionId;
  let me = personOf(subjectToken);
  let outs = {};
  let look = 0;
  let pause = LOOK_FIRST;

  /** A JSON answer, or a rejection within `ms`. `body` gets the person's token. */
  const ask = (path, body, ms) => {
    const abort = new AbortController();
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => (abort.abort(), reject()), ms);
    });
    const asked = async () => {
      const subject = body && (typeof subjectToken == "function" ? await subjectToken() : subjectToken);
      if (subject) me = personOf(subject);
      const response = await fetch(url + path, {
        method: body ? "POST" : "GET",
        headers: { authorization: "Bearer " + token, "content-type": "application/json" },
        body: body && JSON.stringify(body(subject || undefined)),
        signal: abort.signal,
        cache: "no-store",
        credentials: "omit",
        keepalive: ms == WRITTEN_WITHIN, // also of a page that is being left
      });
      if (!response.ok) throw response.status;
      return response.json();
    };
    return Promise.race([asked(), late]).finally(() => clearTimeout(timer));
  };

  const stored = () => {
    const text = localStorage.getItem(KEPT);
    try {
      return JSON.parse(text) || {};
    } catch {
      return {};
    }
  };

  const load = () => {
    try {
      const kept = stored();
      // Those that another client of this browser saw honored go.
      for (const scope in outs) if (outs[scope].kept && !kept[scope]) delete outs[scope];
      for (const scope in kept) outs[scope] = outs[scope] || { ...kept[scope], kept: true };
    } catch {
      // without a storage: what this page knows
    }
  };

  /** Without `out` it goes. The others stay as another client of this browser may have left them. */
  const store = (scope, out) => {
    try {
      const kept = stored();
      if (out) kept[scope] = out;
      else delete kept[scope];
      if (Object.keys(kept).length) localStorage.setItem(KEPT, JSON.stringify(kept));
      else localStorage.removeItem(KEPT);
      if (out) out.kept = true;
    } catch {
      // this page still knows
    }
  };

  /** Of another person of this browser, where both are known. */
  const isOthers = (out) => out.who && me && out.who != me;

  /** The service says which purposes are sale or sharing; until it has, all may be. */
  const isOut = (purpose) =>
    Object.keys(outs).some(
      (scope) => (scope == purpose || scope == "all" || scope == "sale_or_share") && !isOthers(outs[scope]),
    );

  /** Sends what was not accepted, and forgets what is honored. */
  const settle = async (scope, out) => {
    try {
      if (out.id) {
        const { status } = await ask("/v1/requests/" + encodeURIComponent(out.id), null, WRITTEN_WITHIN);
        if (status == "failed") out.id = "";
        if (status == "honored" && outs[scope] == out) {
          delete outs[scope];
          store(scope);
        }
      } else {
        const of = (subject) => {
          if (subject) out.who = me;
          return subject ? { scope, subject_token: subject } : { scope, session_id: out.session };
        };
        out.id = (await ask("/v1/opt-out", of, WRITTEN_WITHIN)).request_id;
      }
    } catch (status) {
      if (status == 404) out.id = "";
    }
    load();
    if (outs[scope] == out) store(scope, out);
    return out;
  };

  const settleAll = async () => {
    load();
    for (const scope of Object.keys(outs)) {
      if (outs[scope] && !isOthers(outs[scope])) await settle(scope, outs[scope]);
    }
    again();
  };

  const again = () => {
    clearTimeout(look);
    if (!url || !Object.keys(outs).length) return;
    look = setTimeout(settleAll, pause);
    pause = Math.min(pause * 2, LOOK_MAX);
  };

  const segment = async (purpose, given) => {
    const { default: fallback, page } = given || {};
    const answer = { segments: [].concat(fallback ?? []), isDefault: true, contextual: [], optOut: null };
    try {
      if (isOut(purpose)) return answer;
      const body = (subject_token) => ({ subject_token, session_id: session, purpose, gpc: gpc(), page });
      const found = await ask("/v1/lookup", body, timeout);
      if (isOut(purpose)) return answer; // meanwhile
      if (Array.isArray(found.contextual)) answer.contextual = found.contextual;
      if (found.opt_out) answer.optOut = found.opt_out;
      if (found.is_default === false && found.purpose == purpose && Array.isArray(found.segments)) {
        answer.segments = found.segments;
        answer.isDefault = false;
      }
    } catch {
      // the default
    }
    return answer;
  };

  const track = async (event) => {
    try {
      const own = { event_id: uuid(), session_id: session, occurred_at: Date.now(), gpc: gpc() };
      await ask("/v1/events", (subject_token) => ({ ...own, ...event, subject_token }), WRITTEN_WITHIN);
      return true;
    } catch {
      return false;
    }
  };

  const optOut = async (scope = "all") => {
    const out = (outs[scope] = { id: "", who: me, session });
    store(scope, out); // before anything is waited for
    clearTimeout(look);
    pause = LOOK_FIRST;
    const { id } = await settle(scope, out);
    again();
    return { accepted: !!id, requestId: id || null };
  };

  load();
  again();
  try {
    session = session || uuid();
    addEventListener("storage", ({ key }) => key == KEPT && load()); // of another tab
  } catch {
    // not in a page, or in an old one
  }
  return { segment, track, optOut };
}

const gpc = () => globalThis.navigator?.globalPrivacyControl === true;

const uuid = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
};

/** Tells the people of one browser apart, and nothing else: no id is kept. "": unknown. */
const personOf = (token) => {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    let hash = 0;
    for (const letter of claims.sub) hash = (Math.imul(hash, 31) + letter.codePointAt(0)) | 0;
    return hash.toString(36);
  } catch {
    return "";
  }
};
