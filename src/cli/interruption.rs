//! Ctrl-C and SIGTERM, for commands that look themselves whether to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Failure, Result};

/// Becomes true on Ctrl-C or SIGTERM.
pub fn interruption() -> Result<Arc<AtomicBool>> {
    let cant = |error: std::io::Error| {
        Failure::failed(format!("can't install the signal handlers: {error}"))
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cant)?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (
            signal(SignalKind::interrupt()).map_err(cant)?,
            signal(SignalKind::terminate()).map_err(cant)?,
        )
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&interrupted);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            told.store(true, Ordering::Relaxed);
        })
        .map_err(cant)?;
    Ok(interrupted)
}
