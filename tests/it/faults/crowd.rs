//! People who change their minds while something is broken: grants, denials, erasures, signals of the
//! browser, clicks, in an order that a seed fixes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::contract::PURPOSES;
use crate::support::{Shop, consent, now_ms, view, with};

const PEOPLE: u64 = 40;
const AT_ONCE: usize = 4;
const PAUSE: Duration = Duration::from_millis(150);
const TICK: Duration = Duration::from_millis(2);

type Place = (i32, i64);

pub struct Crowd {
    seed: u64,
    versions: BTreeMap<u64, i64>,
    withheld: Vec<Place>,
    opt_outs: usize,
}

/// What a person does in a turn, besides clicking.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Grant,
    Deny,
    Erase,
    Signal,
    Nothing,
}

impl Crowd {
    pub fn new() -> Self {
        Self { seed: 7, versions: BTreeMap::new(), withheld: Vec::new(), opt_outs: 0 }
    }

    /// Clicks of people whose denial or erasure was acknowledged before: none may be used, ever. Who
    /// grants again later grants from then on.
    pub fn withheld(&self) -> &[Place] {
        &self.withheld
    }

    /// Denials and erasures so far.
    pub fn opt_outs(&self) -> usize {
        self.opt_outs
    }

    /// Four people act, are acknowledged, and click.
    pub fn turn(&mut self, shop: &Shop<'_>) {
        let mut acts = BTreeMap::new();
        while acts.len() < AT_ONCE {
            acts.insert(self.dice(PEOPLE), self.act());
        }
        let mut records = Vec::new();
        for (&who, &act) in &acts {
            let name = name(who);
            match act {
                Act::Grant => records.push(shop.consent(&self.decision(who, "GRANTED"))),
                Act::Deny => records.push(shop.consent(&self.decision(who, "DENIED"))),
                Act::Erase => records.push(shop.erasure(&name)),
                Act::Signal | Act::Nothing => {}
            }
        }
        shop.kafka.produce(records);
        let gpc = |act| json!({"gpc": act == Act::Signal});
        let clicks = acts.iter().map(|(&who, &act)| shop.click(&with(view(&name(who)), gpc(act))));
        let places = shop.kafka.produce(clicks);
        let outs = acts.values().map(|act| matches!(act, Act::Deny | Act::Erase));
        let outs = places.into_iter().zip(outs).filter(|(_, out)| *out);
        let before = self.withheld.len();
        self.withheld.extend(outs.map(|(place, _)| place));
        self.opt_outs += self.withheld.len() - before;
        std::thread::sleep(TICK); // a later grant is one of a later millisecond
    }

    pub fn turns(&mut self, shop: &Shop<'_>, count: usize) {
        (0..count).for_each(|_| self.turn(shop));
    }

    /// The same for every purpose, in both steps, from now on.
    fn decision(&mut self, who: u64, status: &str) -> Value {
        let version = self.versions.entry(who).or_default();
        *version += 1;
        let since = json!({"since": now_ms()});
        let each: serde_json::Map<_, _> =
            PURPOSES.iter().map(|it| ((*it).to_owned(), since.clone())).collect();
        let fields = json!({"decisions": each, "double_opt_in_at": now_ms()});
        with(consent(&name(who), *version, status, &PURPOSES), fields)
    }

    fn act(&mut self) -> Act {
        match self.dice(10) {
            0..=3 => Act::Grant,
            4 | 5 => Act::Deny,
            6 => Act::Erase,
            7 => Act::Signal,
            _ => Act::Nothing,
        }
    }

    /// Knuth's generator; its high bits.
    fn dice(&mut self, sides: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33) % sides
    }
}

fn name(who: u64) -> String {
    format!("person-{who}")
}

/// The crowd goes on, turn by turn, for as long as `fault` takes.
pub fn during<T>(crowd: &mut Crowd, shop: &Shop<'_>, fault: impl FnOnce() -> T) -> T {
    struct EndAnyway<'a>(&'a AtomicBool);
    impl Drop for EndAnyway<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = EndAnyway(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                crowd.turn(shop);
                std::thread::sleep(PAUSE);
            }
        });
        let result = fault();
        drop(end);
        result
    })
}
