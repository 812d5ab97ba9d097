//! The shortcut against the schema: on any bytes, what it reads is what the schema reads.

use proptest::prelude::*;

use super::super::framing::HEADER_LEN;
use super::*;

const SOME: ClickFields = ClickFields {
    kind: true,
    category: false,
    product_id: true,
    product_age_range: false,
    value_cents: true,
    region: false,
};

/// Clicks have no `Debug`, so a difference says which input, not what was read.
fn agree(body: &[u8]) -> bool {
    let Some(read) = direct::read(body, SOME) else { return true };
    let by_schema = decode_by_plan(SchemaName::ClickEvent.plan(), body, SOME);
    by_schema.is_ok_and(|other| fields_of(&read) == fields_of(&other))
}

fn fields_of<'a>(click: &Click<'a>) -> impl PartialEq + use<'a> {
    let ids = (click.subject_id, click.session_id, click.occurred_at, click.kind);
    let texts = (click.category, click.product_id, click.product_age_range, click.region);
    (ids, texts, click.value_cents, click.gpc, click.opt_out_signal)
}

fn event() -> impl Strategy<Value = Vec<u8>> {
    let text = || "[a-z é🧸-]{0,12}";
    let optional = || prop::option::of(text());
    let ids = (text(), optional(), text(), any::<i64>());
    let kind = prop::sample::select(EventKind::ALL.to_vec());
    let texts = (optional(), optional(), optional(), optional(), optional());
    let rest = (prop::option::of(any::<i64>()), prop::option::of(any::<bool>()));
    (ids, kind, texts, rest).prop_map(|(ids, kind, texts, (value_cents, gpc))| {
        let event = ClickEvent {
            event_id: ids.0,
            subject_id: ids.1,
            session_id: ids.2,
            occurred_at: Timestamp(ids.3),
            kind,
            category: texts.0,
            product_id: texts.1,
            product_age_range: texts.2,
            value_cents,
            region: texts.3,
            gpc,
            gpp: texts.4,
        };
        encode_click(&event)[HEADER_LEN..].to_vec()
    })
}

proptest! {
    #[test]
    fn whole_clicks_read_alike(body in event()) {
        prop_assert!(agree(&body));
    }

    #[test]
    fn damaged_clicks_read_alike(
        mut body in event(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        prop_assert!(agree(&body));
    }
}

#[test]
fn a_usual_click_takes_the_shortcut() {
    let event = ClickEvent {
        event_id: "e".to_owned(),
        subject_id: Some("s".to_owned()),
        session_id: "v".to_owned(),
        occurred_at: Timestamp(1_795_305_600_000),
        kind: EventKind::Purchase,
        category: None,
        product_id: Some("p".to_owned()),
        product_age_range: None,
        value_cents: Some(-1),
        region: None,
        gpc: Some(true),
        gpp: None,
    };
    let value = encode_click(&event);
    let click = direct::read(&value[HEADER_LEN..], SOME);
    assert!(
        click.is_some_and(
            |click| click.kind == EventKind::Purchase && click.opt_out_signal.is_some()
        )
    );
}
