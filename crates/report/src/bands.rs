//! The age bands as the schema writes them.

use assent_contract::domain::consent::AgeBand;

pub const ALL: [AgeBand; 5] =
    [AgeBand::Unknown, AgeBand::Under13, AgeBand::From13To15, AgeBand::From16To17, AgeBand::From18];

pub fn symbol(band: AgeBand) -> &'static str {
    match band {
        AgeBand::Unknown => "UNKNOWN",
        AgeBand::Under13 => "UNDER_13",
        AgeBand::From13To15 => "FROM_13_TO_15",
        AgeBand::From16To17 => "FROM_16_TO_17",
        AgeBand::From18 => "FROM_18",
    }
}
