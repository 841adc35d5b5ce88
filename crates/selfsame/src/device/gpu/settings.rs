//! Sets the settings of CubeCL and Burn before they read them.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use burn::BurnConfig;
use cubecl::config::cache::CacheConfig;
use cubecl::config::compilation::CompilationLogLevel;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use cubecl::records::RecordLevel;
use serde_json::{Value, json};

use super::{heard, place};
use crate::words::shown;

/// What runs the kernels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    Cuda,
    Wgpu,
}

static OPERATIONS: AtomicBool = AtomicBool::new(false);

/// Makes Burn log its operations, for [`operations`](super::operations). Call it before [`start`].
pub fn also_hear_operations() {
    OPERATIONS.store(true, Ordering::Relaxed);
}

/// Call this before a GPU is created. Only the first call counts.
///
/// A `cubecl.toml` of the user, or a `burn.toml` with a part for CubeCL, replaces these settings.
/// The variables `CUBECL_…` always count.
pub fn start(runtime: Runtime) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let (mut config, keeps) = match from_file() {
            Some(config) => {
                let keeps = config.compilation.cache;
                (config, keeps)
            }
            None => {
                let folder = place::folder().and_then(usable);
                let keeps = folder.is_some();
                (keeping(folder), keeps)
            }
        };
        let logger = &mut config.compilation.logger;
        if matches!(logger.level, CompilationLogLevel::Disabled) {
            logger.level = CompilationLogLevel::Basic;
            // The level `info`, as `heard` expects.
            logger.log = Some(Default::default());
        }
        CubeClRuntimeConfig::try_set(config.override_from_env());
        if OPERATIONS.load(Ordering::Relaxed) {
            // If Burn's settings cannot be changed, bytes are not counted. The output says so.
            let _ = hear_operations();
        }
        // WGPU passes shaders to the driver. The driver compiles them again in every process.
        heard::listen(keeps && runtime == Runtime::Cuda);
    });
}

/// The settings in the user's file, if there are any.
fn from_file() -> Option<CubeClRuntimeConfig> {
    let found = CubeClRuntimeConfig::from_current_dir();
    let text = |config| serde_json::to_value(config).ok();
    (text(&found) != text(&CubeClRuntimeConfig::default())).then_some(found)
}

/// Keeps all kernels in this folder, or none at all. By default, CubeCL writes to `target` or the
/// user's cache.
fn keeping(folder: Option<PathBuf>) -> CubeClRuntimeConfig {
    let mut config = CubeClRuntimeConfig::default();
    config.compilation.cache = folder.is_some();
    config.autotune.disable_cache = folder.is_none();
    config.throughput.disable_cache = folder.is_none();
    // The compilation log. Nobody reads it.
    config.environment.records.level = RecordLevel::Off;
    if let Some(folder) = folder {
        config.environment.path = CacheConfig::Directory(folder);
    }
    config
}

/// The folder, if it can be written to. Otherwise warns, and the program goes on without it.
fn usable(folder: PathBuf) -> Option<PathBuf> {
    match writable(&folder) {
        Ok(()) => Some(folder),
        Err(error) => {
            super::told(|voice| {
                voice.warn(format_args!(
                    "GPU kernels are compiled again in every process: {error:#}; set \
                     SELFSAME_CACHE to another folder, or to `off`"
                ));
            });
            None
        }
    }
}

fn writable(folder: &Path) -> anyhow::Result<()> {
    let attempt = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    attempt.map(drop).with_context(|| format!("cannot write in {}", shown(folder)))
}

fn hear_operations() -> anyhow::Result<()> {
    let config = BurnConfig::from_current_dir().override_from_env();
    let mut config = serde_json::to_value(config)?;
    let logger = config.pointer_mut("/fusion/logger").and_then(Value::as_object_mut);
    let logger = logger.context("Burn's settings have no logger")?;
    logger.insert("level".into(), json!("full"));
    logger.insert("log".into(), json!("info"));
    BurnConfig::try_set(serde_json::from_value(config)?);
    Ok(())
}
