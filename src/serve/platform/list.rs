//! The lists of the platforms that have one, window by window and page by page.
//!
//! A window is at most 7 days, which is the most that OneTrust gives at once. Results come in any order, and a
//! record that changes meanwhile may come twice or in the next window: so every window reaches a little back.

use std::time::Duration;

use super::http::{Http, Reply};
use crate::config::IntakeSource;
use crate::failure::{Failure, Result};
use assent_contract::domain::time::{Span, Timestamp};
use assent_intake::source::{Delivery, Refused, Source, onetrust_page};

pub const TRUSTARC_CONSENTS: &str = "/server/api/v1/external/consents";
const ONETRUST_DETAILS: &str = "/rest/api/consent/v4/datasubjects/profiles/unordered";

const WINDOW: Span = Span(7 * Span::DAY.0);

/// Clocks differ, and an update takes its time to be listed.
const OVERLAP: Span = Span::HOUR;

/// What OneTrust gives at most, and what TrustArc is asked for.
const ONETRUST_SIZE: usize = 50;
const TRUSTARC_SIZE: usize = 200;

/// Of one window: a million records. Beyond, something is wrong with the paging.
const PAGES_MAX: usize = 20_000;

/// A request that is refused for now is made again so often.
const TRIES: u32 = 6;

/// Where an answer does not say how long to wait; and the most that it may say.
const WAIT: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_mins(5);

/// Asks for everything that changed in a time, and hands on each page.
pub struct Lister<'a> {
    source: &'a IntakeSource,
    http: Http,
    sleep: &'a dyn Fn(Duration),
}

impl<'a> Lister<'a> {
    /// 78: the source has no list, or no API is configured.
    pub fn of(source: &'a IntakeSource, sleep: &'a dyn Fn(Duration)) -> Result<Self> {
        let word = source.source.word();
        if !matches!(source.source, Source::OneTrust | Source::TrustArc) {
            return Err(Failure::config(format!(
                "{word}: no list of consents is documented for it; reconcile onetrust or trustarc"
            )));
        }
        let http = Http::of(source)?.ok_or_else(|| {
            Failure::config(format!(
                "intake.sources.{word}.api is not set; set url and token_file to ask it for its list"
            ))
        })?;
        Ok(Self { source, http, sleep })
    }

    /// What changed between two moments.
    pub fn each(
        &self,
        from: Timestamp,
        to: Timestamp,
        mut take: impl FnMut(Delivery) -> Result<()>,
    ) -> Result<()> {
        let mut start = from;
        while start < to {
            let end = (start + WINDOW - OVERLAP).min(to);
            let since = Timestamp((start - OVERLAP).0.max(0));
            match self.source.source {
                Source::OneTrust => self.onetrust(since, end, &mut take)?,
                _ => self.trustarc(since, end, &mut take)?,
            }
            start = end;
        }
        Ok(())
    }

    fn onetrust(
        &self,
        from: Timestamp,
        to: Timestamp,
        take: &mut impl FnMut(Delivery) -> Result<()>,
    ) -> Result<()> {
        let (from, to) = (date_time(from)?, date_time(to)?);
        let path = format!(
            "{ONETRUST_DETAILS}?updatedSince={from}&updatedUntil={to}&size={ONETRUST_SIZE}"
        );
        let mut continuation: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let body = self.ask(&path, continuation.as_deref())?;
            let page = onetrust_page(&body, &self.source.mapping).map_err(|it| odd(&it))?;
            take(page.delivery)?;
            let next = page.continuation;
            if next.is_none() {
                return Ok(());
            }
            if next == continuation {
                return Err(Failure::failed("onetrust: the list does not go on past a page"));
            }
            continuation = next;
        }
        Err(Failure::failed("onetrust: the list has no end"))
    }

    fn trustarc(
        &self,
        from: Timestamp,
        to: Timestamp,
        take: &mut impl FnMut(Delivery) -> Result<()>,
    ) -> Result<()> {
        let (from, to) = (from.0 / 1_000, to.0.div_euclid(1_000) + 1);
        let mut before: Vec<u8> = Vec::new();
        for page in 0..PAGES_MAX {
            let path = format!(
                "{TRUSTARC_CONSENTS}?isFetchLatest=true&fromModifiedDate={from}&toModifiedDate={to}\
                 &page={page}&size={TRUSTARC_SIZE}&sort=modifiedDate,asc"
            );
            let body = self.ask(&path, None)?;
            // An API that knows no pages gives the same again.
            if body == before {
                return Ok(());
            }
            let delivery =
                self.source.source.read(&body, &self.source.mapping).map_err(|it| odd(&it))?;
            let count = delivery.said.len() + delivery.notes.nameless as usize;
            take(delivery)?;
            if count == 0 {
                return Ok(());
            }
            before = body;
        }
        Err(Failure::failed("trustarc: the list has no end"))
    }

    /// Waits where the platform asks for it.
    fn ask(&self, path: &str, continuation: Option<&str>) -> Result<Vec<u8>> {
        let word = self.source.source.word();
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.http.get(path, continuation) {
                Ok(Reply { status: 200, body, .. }) => return Ok(body),
                Ok(Reply { status: status @ (401 | 403), .. }) => {
                    return Err(Failure::config(format!(
                        "intake.sources.{word}.api.token_file: the API answered {status}; renew the \
                         token, and check what it may read"
                    )));
                }
                Ok(Reply { status, retry_after, .. }) => {
                    let may_pass = status == 429 || status >= 500;
                    last = format!("the API answered {status}");
                    if !may_pass {
                        break;
                    }
                    let wait = retry_after.map_or(WAIT, Duration::from_secs);
                    (self.sleep)(wait.min(WAIT_MAX));
                }
                Err(why) => {
                    last = why;
                    (self.sleep)(WAIT);
                }
            }
        }
        Err(Failure::unavailable(format!(
            "intake.sources.{word}.api: {last}; check the address, and try again"
        )))
    }
}

fn odd(refused: &Refused) -> Failure {
    let what = match refused {
        Refused::Malformed => "it is no JSON".to_owned(),
        Refused::Field { field, .. } if field.is_empty() => "its shape is another".to_owned(),
        Refused::Field { field, .. } => format!("field {field}"),
    };
    Failure::failed(format!("the platform's list can't be read: {what}"))
}

/// As OneTrust takes it, without a zone.
fn date_time(at: Timestamp) -> Result<String> {
    let time = jiff::Timestamp::from_millisecond(at.0)
        .map_err(|_| Failure::failed(format!("{at} is no time of a calendar")))?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}
