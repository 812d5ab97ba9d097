/** What a page is told of one purpose. Don't keep it: ask for each page. */
export interface Answer {
  /** Segments that may be used now, or the default alone. */
  segments: string[];
  /** True for anyone unknown, withheld, expired or in doubt, and where no answer came in time. */
  isDefault: boolean;
  /** Segments of the page at hand: they say nothing of the person. */
  contextual: string[];
  /** There once an honored opt-out covers the purpose; `since` in epoch ms. */
  optOut: { honored: boolean; since: number } | null;
}

export type Kind = "PAGE_VIEW" | "PRODUCT_VIEW" | "SEARCH" | "ADD_TO_CART" | "PURCHASE" | "OTHER";

/** The page at hand, for contextual segments. */
export interface Page {
  kind?: Kind;
  category?: string;
  product_id?: string;
  product_age_range?: string;
  region?: string;
}

/** A click, named as in schemas/click_event.avsc. Id, session, time and signal are filled in. */
export interface Click {
  kind: Kind;
  category?: string;
  product_id?: string;
  product_age_range?: string;
  value_cents?: number;
  region?: string;
  gpp?: string;
}

export interface Options {
  /** Where `assent serve` answers, without a slash at the end. */
  url: string;
  /** Of a client with `publishable: true`. */
  token: string;
  /** A JWT that the shop's server signed, or what gets one; missing for a visitor who is not signed in. */
  subjectToken?: string | null | (() => string | null | undefined | Promise<string | null | undefined>);
  /** The shop's id of the visit; default: a new one for each page. */
  sessionId?: string;
  /** How long a look-up may take, in ms; default 150. After it the default is shown. */
  timeout?: number;
}

/** Nothing of it throws or rejects. */
export interface Assent {
  /** Asks which segments may be shown now. */
  segment(purpose: string, given: { default: string | string[]; page?: Page }): Promise<Answer>;
  /** Sends a click; false: it was not acknowledged. */
  track(event: Click): Promise<boolean>;
  /**
   * Opts out of `sale_or_share`, `all` (the default) or a purpose. From this call on `segment` answers with the
   * default, also after a reload, until the service has honored it; an opt-out whose answer is lost is sent again.
   */
  optOut(scope?: string): Promise<{ accepted: boolean; requestId: string | null }>;
}

export function connect(options: Options): Assent;
