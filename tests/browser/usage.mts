// What a page in TypeScript writes, against clients/js/index.d.ts: tests/it/browser.rs has the compiler check it.
import { connect } from "../../clients/js/index.js";
import type { Answer } from "../../clients/js/index.js";

const assent = connect({ url: "https://segments.shop.example", token: "web", subjectToken: async () => "a.b.c" });
const { segments, isDefault, optOut }: Answer = await assent.segment("personalized-offers", { default: "all-visitors" });
const shown: string = isDefault ? "default" : segments.join();
const since: number | undefined = optOut?.since;
const sent: boolean = await assent.track({ kind: "PRODUCT_VIEW", category: "preschool-toys" });
const { requestId } = await assent.optOut("sale_or_share");
export default [shown, since, sent, requestId, await assent.optOut()];

// @ts-expect-error a default must be named
await assent.segment("personalized-offers", {});
// @ts-expect-error an event has a kind of the schema
await assent.track({ kind: "LOOK" });
// @ts-expect-error a browser never names a subject by its id
await assent.track({ kind: "OTHER", subject_id: "family-42" });
