//! The canary in the engine and in the model: decided alike, with an account of everything, and counted as nobody.

use std::sync::Arc;

use assent_contract::domain::canary;
use assent_contract::domain::event::Click;
use assent_contract::domain::ids::canary_of;
use assent_contract::domain::outcome::Verdict;
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::compile;
use assent_core::engine::input::{ClickInput, ConsentBody, ConsentInput, Coverage};
use assent_core::engine::{Partition, Restore, Setup};

use crate::model::Model;
use crate::seen::Eye;

const PARTITION: i32 = 3;
const START: Timestamp = Timestamp(1_795_305_600_000);
/// Whoever has a record, did not opt out and is 16 or older is in `open`; everything is a page.
const RULEBOOK: &str = "
rulebook: \"1\"
default_segment: all
canary: true
purposes:
  - {id: open, sale_or_share: false, requires_opt_in: false, retention: 30d}
segments:
  - {id: seen, why: w, owner: o, approach: behavioral, purpose: open, when: {count: {within: 7d, at_least: 1}}}
  - {id: page, why: w, owner: o, approach: contextual, when: {page: {kind: OTHER}}}
";

fn setup() -> Arc<Setup> {
    let rulebook = compile(RULEBOOK.as_bytes()).expect("a sound rulebook");
    let ids: Vec<String> = rulebook.purposes.iter().map(|it| it.id.clone()).collect();
    Arc::new(Setup {
        rulebook_yaml: RULEBOOK.as_bytes().into(),
        keys: Arc::new(KeyRing::new(&Keyset::first([7; 32]), &ids)),
        group_id: "assent".to_owned(),
        lease: Span(48 * Span::HOUR.0),
        partitioner: Partitioner::Murmur2,
        input_partitions: 12,
        segment_partitions: ids.iter().map(|id| (id.clone(), 4)).collect(),
        sources: Vec::new(),
        made_with: [].into(),
        signals_max: 1_000,
        rulebook: Arc::new(rulebook),
    })
}

#[test]
fn a_round_is_decided_as_the_model_says_and_is_in_no_count() {
    let setup = setup();
    let mut engine: Partition =
        Restore::new(PARTITION).finish(Arc::clone(&setup)).expect("nothing to restore");
    engine.start_at(0, 0);
    let mut model = Model::new(&setup.rulebook, setup.lease);
    let eye = Eye::new(&setup.rulebook, &setup.keys);
    let id = canary_of(PARTITION);
    let records = [
        canary::opt_in(PARTITION, START, Span(5 * Span::MINUTE.0)),
        canary::opt_out(PARTITION, START + Span(2_000)),
    ];
    let click = Click {
        subject_id: Some(&id),
        session_id: "canary-3",
        occurred_at: START + Span(1_000),
        gpc: Some(false),
        ..Click::default()
    };
    let mut verdicts = Vec::new();
    for (turn, at) in [0, 1_000, 2_000].into_iter().enumerate() {
        let now = START + Span(at);
        let consent = records.get(turn / 2).filter(|_| turn != 1).map(|record| ConsentInput {
            offset: (turn / 2) as i64,
            key: id.as_bytes(),
            append_time: now,
            payload: None,
            body: ConsentBody::Record(record),
        });
        let clicked =
            (turn == 1).then_some(ClickInput { offset: 0, payload: None, click: Ok(click) });
        let (consent, clicks) =
            (consent.into_iter().collect::<Vec<_>>(), clicked.into_iter().collect::<Vec<_>>());
        let mut batch = engine.begin(now, true);
        for input in &consent {
            batch.consent(input);
        }
        batch.timers();
        for input in &clicks {
            batch.click(input);
        }
        let consent_to = 1 + turn as i64 / 2;
        let (decided, output) = batch.finish(Coverage {
            click_to: i64::from(turn > 0),
            consent_to,
            barrier: consent_to,
            synced: None,
        });
        let seen = eye.see(&output.outputs);
        let entries: Vec<_> = seen.batches.iter().flat_map(|it| it.entries.clone()).collect();
        let expected = model.step((now, true), &consent, &clicks);
        assert_eq!(entries, expected, "turn {turn}");
        verdicts.extend(entries.into_iter().map(|entry| entry.verdicts));
        assert!(seen.contextual.is_empty(), "turn {turn}: nobody looked at a page");
        assert!(output.opt_outs.is_empty() && output.tally.verdicts.is_empty(), "turn {turn}");
        engine = decided.confirm();
        assert!(engine.stats().subjects_by_label().all(|(_, count)| count == 0), "turn {turn}");
        assert!(engine.stats().members.values().all(|count| *count == 0), "turn {turn}");
        assert_eq!(model.kept(), [0; 4], "turn {turn}");
        assert_eq!(engine.has_live(id.as_bytes()), turn == 1);
    }
    let withheld = Verdict::OwnOptInMissing;
    let expected =
        [[Verdict::OptIn, withheld], [Verdict::OptIn, withheld], [Verdict::OptedOut, withheld]];
    assert_eq!(verdicts, expected.map(Vec::from));
}
