//! `assent report` on a real Kafka: each number of a report follows what the topics and the rulebook say.

mod kpi;
mod lift;
mod opt_out_test;
mod privacy_metrics;
mod readers;
mod retention_policy;
mod risk_assessment;

use std::path::Path;

use serde_json::Value;

use crate::browser::{in_chromium, tools};
use crate::support::{
    Finished, Kafka, Plan, Shop, TopicPlan, datum, leave_out, now_ms, schema_text,
};

pub const OFFERS: &str = "personalized-offers";
pub const ADS: &str = "partner-advertising";
const DAY_MS: i64 = 86_400_000;

/// A shop with all topics that a report looks at.
pub fn reported_shop<'k>(kafka: &'k Kafka, plan: &Plan) -> Shop<'k> {
    let shop = Shop::open_with(kafka, plan);
    kafka.create_topics(&[access_topic(&shop)]);
    shop
}

pub fn access_topic(shop: &Shop<'_>) -> TopicPlan {
    let config =
        vec![("cleanup.policy", "delete".to_owned()), ("retention.ms", (775 * DAY_MS).to_string())];
    TopicPlan { name: shop.topic("segmentation-audit-access"), partitions: 1, config }
}

/// The JSON of a report that is done, or of one that found something wrong (`code`).
pub fn json(shop: &Shop<'_>, arguments: &[&str], code: i32) -> Value {
    let done = shop.run(&[&["--json", "report"], arguments].concat());
    assert_eq!(done.code, Some(code), "{}\n{}", done.stdout, done.stderr);
    done.json()
}

/// The vectors lack some schemas, so the fingerprint is computed here, as the Avro specification has it.
pub fn framed(schema: &str, record: &Value) -> Vec<u8> {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    let text = schema_text(schema);
    let canonical = apache_avro::Schema::parse_str(&text).unwrap().canonical_form();
    // apache-avro 0.22 leaves braces around a primitive whose logical type it strips.
    let canonical = canonical.replace(r#"{"type":"long"}"#, r#""long""#);
    let fingerprint = canonical.bytes().fold(EMPTY, |crc, byte| {
        let index = (crc ^ u64::from(byte)) & 0xff;
        let entry = (0..8).fold(index, |fp, _| (fp >> 1) ^ (EMPTY & (fp & 1).wrapping_neg()));
        (crc >> 8) ^ entry
    });
    [&[0xc3, 1], &fingerprint.to_le_bytes()[..], &datum(&text, record)].concat()
}

/// A usage or data error: one message, and nothing on stdout.
pub fn refused(done: &Finished, code: i32, says: &str) {
    assert_eq!((done.code, done.stdout.as_str()), (Some(code), ""), "{done:?}");
    assert!(done.stderr.contains(says) && done.stderr.trim().lines().count() == 1, "{done:?}");
}

/// In headless Chromium, light and dark: accessible, and by itself.
pub fn look_at(page: &Path) {
    match tools() {
        Ok(tools) => {
            in_chromium(&tools, "report.test.mjs", &format!("file://{}", page.display()), &[]);
        }
        Err(why) => leave_out(&why),
    }
}

pub fn year_of_now() -> String {
    // Days from 1970-01-01 to the first of a year.
    let leaps = |year: i64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    let days_before = |year: i64| 365 * (year - 1970) + leaps(year) - leaps(1970);
    let is_of_now = |year: &i64| days_before(year + 1) * DAY_MS > now_ms();
    (1970..10_000).find(is_of_now).expect("a year").to_string()
}
