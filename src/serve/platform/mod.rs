//! The APIs of consent platforms: what a callback only hints at is read back, and lists are compared.

mod http;
pub mod list;

use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::http::Http;
use crate::config::Config;
use crate::failure::Result;
use crate::pace;
use assent_intake::source::Source;

/// Read-backs at once. Callbacks come in bursts, and the platform counts requests.
const AT_ONCE: usize = 2;

/// Those that wait for their turn. Beyond, the platform is told to call again.
const WAIT_FOR_TURN: Duration = Duration::from_secs(10);

/// Without a data subject in the hint, what changed last.
const LATEST: u32 = 200;

pub struct Platforms {
    trustarc: Option<Http>,
    turns: Semaphore,
}

impl Platforms {
    /// 78: its certificates can't be read.
    pub fn of(config: &Config) -> Result<Self> {
        let source = config.intake.iter().find(|it| it.source == Source::TrustArc);
        let trustarc = source.map(Http::of).transpose()?.flatten();
        Ok(Self { trustarc, turns: Semaphore::new(AT_ONCE) })
    }

    /// TrustArc's consents of a data subject, or the latest of all. `Err`: for the caller.
    pub async fn read_back(
        &self,
        data_subject: Option<String>,
    ) -> std::result::Result<Bytes, &'static str> {
        const AWAY: &str = "the platform's API does not answer; call again";
        let http = self.trustarc.clone().ok_or(AWAY)?;
        let turn = timeout(WAIT_FOR_TURN, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(AWAY) };
        let which = match data_subject {
            Some(id) => format!("&dataSubjectId={id}"),
            None => format!("&page=0&size={LATEST}&sort=modifiedDate,desc"),
        };
        let query = format!("{}?isFetchLatest=true{which}", list::TRUSTARC_CONSENTS);
        let asked = tokio::task::spawn_blocking(move || http.get(&query, None)).await;
        match asked {
            Ok(Ok(reply)) if reply.status == 200 => Ok(reply.body.into()),
            Ok(Ok(reply)) => {
                say(&format!("the API answered {}", reply.status));
                Err(AWAY)
            }
            Ok(Err(why)) => {
                say(&why);
                Err(AWAY)
            }
            Err(_) => Err(AWAY),
        }
    }
}

fn say(why: &str) {
    if let Some(repeated) = pace::may_say("read back") {
        tracing::warn!(why, repeated, "trustarc can't be read back; its callbacks are refused");
    }
}
