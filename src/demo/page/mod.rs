//! The demo's page at 127.0.0.1: the toy shop of examples/shop, and the live view.
//!
//! ```text
//! browser ─► here: pages, subject tokens, consent ─► assent serve ─► embedded broker
//!         └──────────────── look-ups, clicks, opt-outs ─► assent serve
//! ```

mod shop;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::watch;

use self::shop::{Choice, Person, Refused};
pub use self::shop::{Secrets, Shop};
use crate::failure::{Failure, Result};
use crate::http::connections::{self, Door, Limits};

/// A choice is some 100 bytes.
const BODY_BYTES_MAX: usize = 4 * 1024;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, type, content.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("../../../examples/shop/public/index.html")),
    ("/shop.css", CSS, include_str!("../../../examples/shop/public/shop.css")),
    ("/shop.js", SCRIPT, include_str!("../../../examples/shop/public/shop.js")),
    ("/icon.svg", "image/svg+xml", include_str!("../../../examples/shop/public/icon.svg")),
    ("/assent-client.js", SCRIPT, include_str!("../../../clients/js/index.js")),
    ("/live", HTML, include_str!("live.html")),
    ("/live.css", CSS, include_str!("live.css")),
    ("/live.js", SCRIPT, include_str!("live.js")),
];

/// A port that is taken, and not answered at yet: `serve` has to know whose pages may call it.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// The running pages. Dropping it closes them.
pub struct Pages {
    address: SocketAddr,
    close: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

pub fn bind() -> Result<Bound> {
    let bound = || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, address })
    };
    bound().map_err(|error| unusable(&error))
}

fn unusable(error: &std::io::Error) -> Failure {
    Failure::failed(format!("the demo's page can't be served at 127.0.0.1: {error}"))
}

impl Bound {
    /// As browsers name whose page it is.
    pub fn origins(&self) -> [String; 2] {
        let port = self.address.port();
        [format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")]
    }

    pub fn open(self, shop: Shop) -> Result<Pages> {
        let Self { listener, address } = self;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unusable(&error))?;
        let (close, closing) = watch::channel(false);
        let routes = routes(Arc::new(shop));
        let serve = async move {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => Arc::new(listener),
                Err(error) => return tracing::error!(%error, "the demo's page is not served"),
            };
            let limits = Limits::of(connections::descriptors());
            let door = Door { routes, limits, greet: connections::plain };
            let mut told = closing.clone();
            tokio::select! {
                () = connections::accept(listener, door, closing) => {}
                // Whoever still reads does not hold the end up.
                _ = told.wait_for(|closing| *closing) => {}
            }
        };
        let thread = std::thread::Builder::new()
            .name("demo-page".to_owned())
            .spawn(move || runtime.block_on(serve))
            .map_err(|error| unusable(&error))?;
        Ok(Pages { address, close, thread: Some(thread) })
    }
}

impl Pages {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = self.close.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Shared = Arc<Shop>;

fn routes(shop: Shared) -> Router {
    let mut router = Router::new();
    for &(path, kind, text) in FILES {
        router = router.route(path, get(move || async move { ([(CONTENT_TYPE, kind)], text) }));
    }
    router
        .route("/live.json", get(live))
        .route("/api/visit", get(visit))
        .route("/api/consent", post(consent))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&shop), note))
        .with_state(shop)
}

/// Somebody looks; and what a browser may load and ask: this server and Assent.
async fn note(State(shop): State<Shared>, request: Request, next: Next) -> Response {
    shop.live.seen();
    let mut response = next.run(request).await;
    let policy = format!(
        "default-src 'self'; connect-src 'self' {}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        shop.assent
    );
    let headers = response.headers_mut();
    let text = HeaderValue::from_static;
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(REFERRER_POLICY, text("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, text("nosniff"));
    headers.insert(CACHE_CONTROL, text("no-store"));
    response
}

async fn live(State(shop): State<Shared>) -> Json<Value> {
    Json(shop.live.json())
}

async fn visit(State(shop): State<Shared>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let Some(person) = query.strip_prefix("as=").and_then(Person::parse) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let known = family_of(request.headers());
    let is_known = known.is_some();
    let (Some(family), Some(session)) = (known.or_else(random), random()) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let cookie = format!("family={family}; HttpOnly; SameSite=Strict; Path=/");
    let asked = tokio::task::spawn_blocking(move || shop.visit(&family, person, &session)).await;
    match asked {
        Ok(Ok(visit)) if is_known => Json(visit).into_response(),
        Ok(Ok(visit)) => ([(SET_COOKIE, cookie)], Json(visit)).into_response(),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn consent(
    State(shop): State<Shared>,
    headers: HeaderMap,
    Json(choice): Json<Choice>,
) -> Response {
    let Some(family) = family_of(&headers) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let saved = tokio::task::spawn_blocking(move || shop.consent(&family, &choice)).await;
    match saved {
        Ok(Ok(())) => (StatusCode::ACCEPTED, Json(json!({}))).into_response(),
        Ok(Err(Refused::NotTheParent)) => StatusCode::FORBIDDEN.into_response(),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// A browser's own number, which nobody can guess; it stands in for an account.
fn family_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(COOKIE)?.to_str().ok()?;
    let family = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("family="))?;
    let is_ours = family.len() == 32 && family.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then(|| family.to_owned())
}

fn random() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(format!("{:032x}", u128::from_be_bytes(bytes)))
}
