//! `report risk-assessment`: the rulebook and the topics, and blanks where somebody has to judge.

use super::{ADS, json, reported_shop};
use crate::support::Plan;

#[test]
fn facts_follow_the_rulebook_and_judgments_are_blank() {
    let kafka = kafka_or_skip!();
    let shop = reported_shop(kafka, &Plan::of_lookers("1", 1));
    let found = json(&shop, &["risk-assessment"], 0);
    let processing = found["processing"].as_array().unwrap();
    assert_eq!(processing[0]["purpose"], ADS);
    assert_eq!(
        (&processing[0]["sale_or_share"], &processing[1]["sale_or_share"]),
        (&true.into(), &false.into())
    );
    let topics: Vec<&str> =
        found["flows"].as_array().unwrap().iter().map(|it| it["topic"].as_str().unwrap()).collect();
    assert!(topics.contains(&shop.segments(ADS).as_str()), "{topics:?}");
    let text = shop.run(&["report", "risk-assessment"]).ok().stdout;
    assert!(
        text.contains("Do the risks outweigh the benefits? **\\[counsel: judgment\\]**"),
        "{text}"
    );

    let rulebook = shop.folder().join("rulebook.yaml");
    let suspended = std::fs::read_to_string(&rulebook).unwrap();
    let suspended =
        suspended.replace("title: Advertising,", "title: Advertising, suspended: true,");
    std::fs::write(&rulebook, suspended).unwrap();
    let found = json(&shop, &["risk-assessment"], 0);
    assert_eq!(found["processing"][0]["suspended"], true);
}
