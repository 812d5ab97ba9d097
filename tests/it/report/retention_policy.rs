//! `report retention-policy`: it says what the topics are set to, and where that is longer than the rulebook says.

use serde_json::{Value, json};

use super::{DAY_MS, json, look_at, reported_shop};
use crate::support::{Plan, Shop, TopicPlan};

fn set(shop: &Shop<'_>, topic: &str, settings: &[(&'static str, &str)]) {
    let config = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    shop.kafka.configure(&TopicPlan { name: shop.topic(topic), partitions: 4, config });
}

fn topic<'j>(report: &'j Value, shop: &Shop<'_>, topic: &str) -> &'j Value {
    let topics = report["topics"].as_array().expect("topics");
    topics.iter().find(|it| it["topic"] == shop.topic(topic)).expect("the topic")
}

#[test]
fn a_report_follows_the_topics_and_the_rulebook_and_says_where_they_disagree() {
    let kafka = kafka_or_skip!();
    let shop = reported_shop(kafka, &Plan::of_lookers("1", 1));
    let found = json(&shop, &["retention-policy"], 0);
    assert_eq!(found["disagreements"], json!([]));
    assert_eq!(topic(&found, &shop, "clickstream")["kept"][0]["ms"], 7 * DAY_MS);
    assert_eq!(found["purposes"][0]["retention_ms"], 30 * DAY_MS);
    let consent = topic(&found, &shop, "consent-changelog");
    let source =
        format!("delete.retention.ms=2592000000 of topic {}", shop.topic("consent-changelog"));
    assert!(
        consent["kept"].as_array().unwrap().iter().any(|it| it["source"] == source),
        "{consent:#}"
    );

    set(&shop, "clickstream", &[("cleanup.policy", "delete"), ("retention.ms", "3024000000")]);
    let found = json(&shop, &["retention-policy"], 1);
    assert_eq!(topic(&found, &shop, "clickstream")["kept"][0]["words"], "35d");
    let said = found["disagreements"][0].as_str().unwrap();
    assert!(said.contains("keeps clicks for 35d") && said.contains("after 30d"), "{said}");

    let rulebook = shop.folder().join("rulebook.yaml");
    let longer =
        std::fs::read_to_string(&rulebook).unwrap().replace("retention: 30d", "retention: 40d");
    std::fs::write(&rulebook, longer).unwrap();
    let found = json(&shop, &["retention-policy"], 0);
    assert_eq!(found["purposes"][0]["retention_ms"], 40 * DAY_MS);

    set(&shop, "contextual-segments", &[("cleanup.policy", "delete"), ("retention.ms", "-1")]);
    let found = json(&shop, &["retention-policy"], 1);
    let said = found["disagreements"].to_string();
    assert!(said.contains("contextual-segments: retention.ms=-1, not 86400000"), "{said}");
}

#[test]
fn a_report_is_markdown_and_a_page_by_itself() {
    let kafka = kafka_or_skip!();
    let shop = reported_shop(kafka, &Plan::of_lookers("1", 1));
    let text = shop.run(&["report", "retention-policy"]).ok().stdout;
    let row = "| `partner-advertising` Advertising | 30d | rulebook: retention of purpose partner-advertising | yes |";
    assert!(text.starts_with("# Data retention policy\n") && text.contains(row), "{text}");
    assert!(text.contains("**\\[counsel: "), "{text}");
    let done = shop.run(&["report", "retention-policy", "--html", "policy.html"]).ok();
    assert_eq!(done.stdout, "policy.html: Data retention policy\n");
    let page = std::fs::read_to_string(shop.folder().join("policy.html")).unwrap();
    assert!(page.contains("<html lang=\"en-US\">") && page.contains("<mark>[counsel: "));
    assert!(!page.contains("http") && !page.contains("<script"));
    look_at(&shop.folder().join("policy.html"));
    let nowhere = shop.run(&["report", "retention-policy", "--html", "no-such-folder/policy.html"]);
    super::refused(&nowhere, 1, "--html no-such-folder/policy.html: can't be written");
}
