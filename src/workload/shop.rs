//! The shop of the workload: what it sells and what its visitors do there.

use super::random::Random;
use assent_contract::domain::event::EventKind;

/// A category of the shop.
pub struct Category {
    pub id: &'static str,
    /// The ages its products are made for.
    pub age_range: &'static str,
    pub products: u64,
    /// Price of its cheapest product, in US cents.
    pub price_from: u64,
}

/// In the order of their popularity.
pub const CATEGORIES: [Category; 11] = [
    Category { id: "preschool-toys", age_range: "3-5", products: 40, price_from: 900 },
    Category { id: "baby-care", age_range: "0-2", products: 60, price_from: 400 },
    Category { id: "building-sets", age_range: "6-8", products: 30, price_from: 1_900 },
    Category { id: "books", age_range: "6-8", products: 200, price_from: 600 },
    Category { id: "board-games", age_range: "9-12", products: 25, price_from: 1_500 },
    Category { id: "outdoor-toys", age_range: "6-8", products: 20, price_from: 2_500 },
    Category { id: "bikes", age_range: "6-8", products: 12, price_from: 8_900 },
    Category { id: "arts-and-crafts", age_range: "3-5", products: 50, price_from: 500 },
    Category { id: "school-supplies", age_range: "9-12", products: 80, price_from: 300 },
    Category { id: "electronics", age_range: "13-17", products: 15, price_from: 4_900 },
    Category { id: "party-supplies", age_range: "6-8", products: 40, price_from: 200 },
];

/// Regions of the visitors, weighted.
pub const REGIONS: [(&str, u64); 6] =
    [("US-CA", 50), ("US-NY", 15), ("US-TX", 15), ("US-WA", 10), ("US-OR", 7), ("US-NV", 3)];

/// What visitors do, weighted as in a shop where one visit in thirty ends in a purchase.
pub const KINDS: [(EventKind, u64); 6] = [
    (EventKind::ProductView, 520),
    (EventKind::PageView, 250),
    (EventKind::Search, 120),
    (EventKind::AddToCart, 70),
    (EventKind::Purchase, 30),
    (EventKind::Other, 10),
];

/// What one click is about.
pub struct Visit {
    pub kind: EventKind,
    pub category: Option<&'static Category>,
    pub product_id: Option<String>,
    pub value_cents: Option<i64>,
}

impl Visit {
    /// A click of somebody whose favorite category this is.
    pub fn draw(random: &mut Random, favorite: usize) -> Self {
        let kind = *random.weighted(&KINDS);
        let rank = random.zipf(CATEGORIES.len() as u64) as usize;
        let category = &CATEGORIES[(favorite + rank) % CATEGORIES.len()];
        match kind {
            EventKind::Search | EventKind::Other => {
                Self { kind, category: None, product_id: None, value_cents: None }
            }
            EventKind::PageView => {
                Self { kind, category: Some(category), product_id: None, value_cents: None }
            }
            _ => Self::of_product(kind, category, random.zipf(category.products)),
        }
    }

    /// Something done with a category's product, counted from 0.
    pub fn of_product(kind: EventKind, category: &'static Category, product: u64) -> Self {
        let price = category.price_from + product * category.price_from / 10;
        let is_paid = matches!(kind, EventKind::AddToCart | EventKind::Purchase);
        Self {
            kind,
            category: Some(category),
            product_id: Some(format!("{}-{product:03}", category.id)),
            value_cents: is_paid.then_some(price as i64),
        }
    }
}
