//! Any rulebook can be shown and compared, and what is said of it is what runs.

use assent_contract::domain::event::ClickFields;
use assent_contract::rulebook::diff::changes;
use assent_contract::rulebook::render::{Format, render};
use assent_contract::rulebook::{Rulebook, compile};
use proptest::prelude::*;

use crate::rulebooks;

fn book(yaml: &str) -> Rulebook {
    compile(yaml.as_bytes()).expect("valid by construction")
}

fn union(all: ClickFields, one: ClickFields) -> ClickFields {
    ClickFields {
        kind: all.kind || one.kind,
        category: all.category || one.category,
        product_id: all.product_id || one.product_id,
        product_age_range: all.product_age_range || one.product_age_range,
        value_cents: all.value_cents || one.value_cents,
        region: all.region || one.region,
    }
}

fn without_name(rulebook: &Rulebook) -> Rulebook {
    Rulebook { version: String::new(), sha256: [0; 32], ..rulebook.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_rulebook_has_its_document(yaml in rulebooks::text()) {
        let rulebook = book(&yaml);
        let markdown = render(&rulebook, Format::Markdown);
        let page = render(&rulebook, Format::Html);
        for segment in rulebook.listed() {
            let (in_markdown, in_page) =
                (format!("(`{}`)", segment.id), format!("(<code>{}</code>)", segment.id));
            prop_assert!(markdown.contains(&in_markdown) && page.contains(&in_page));
        }
        for tag in ["ul", "li", "table", "tr", "td", "p", "h3"] {
            let opened = page.matches(&format!("<{tag}>")).count();
            prop_assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{}", tag);
        }
    }

    /// INV-11: the table of fields names exactly what is decoded.
    #[test]
    fn the_fields_of_all_segments_and_measures_are_those_that_are_decoded(yaml in rulebooks::text()) {
        let rulebook = book(&yaml);
        let mut named = rulebook.listed().map(|s| s.fields()).fold(ClickFields::default(), union);
        let measures = rulebook.purposes.iter().filter_map(|purpose| purpose.measure.as_ref());
        named.kind |= measures.into_iter().any(|measure| measure.of.kinds.is_some());
        prop_assert_eq!(named, rulebook.fields);
    }

    #[test]
    fn a_difference_is_always_named(old in rulebooks::text(), new in rulebooks::text()) {
        let (old, new) = (book(&old), book(&new));
        prop_assert!(changes(&old, &old).is_empty());
        let found = changes(&old, &new);
        prop_assert_eq!(found.is_empty(), without_name(&old) == without_name(&new));
        for change in found {
            prop_assert!(!change.says.is_empty() && !change.live_keys.is_empty());
        }
    }
}
