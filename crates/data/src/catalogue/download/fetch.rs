//! One attempt at one file from one server.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ureq::http::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body, Proxy};

use super::{DownloadEvent, DownloadOptions, Wanted};
use crate::error::FetchError;

/// Why an attempt failed.
pub(super) struct Failure {
    pub(super) error: FetchError,
    /// Whether another attempt at the same server could succeed.
    pub(super) may_pass: bool,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let may_pass = match &error {
            FetchError::Status(status) => matches!(status, 408 | 429 | 500..),
            FetchError::Connection(_)
            | FetchError::Timeout
            | FetchError::Short { .. }
            | FetchError::Range(_) => true,
            FetchError::Size { .. }
            | FetchError::TooLarge { .. }
            | FetchError::Sum { .. }
            | FetchError::File { .. } => false,
        };
        Self { error, may_pass }
    }
}

/// Downloads the file to its place. Continues an earlier attempt if its bytes can be trusted.
pub(super) fn attempt(
    url: &str,
    file: &Wanted<'_>,
    options: &DownloadOptions,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
) -> Result<(), Failure> {
    let part = Part::new(file);
    let resumed = part.resumable(url, file);
    if resumed == 0 || file.manifest.bytes != Some(resumed) {
        transfer(url, file, options, progress, &part, resumed)?;
    }
    match file.check(&part.path) {
        Ok(()) => {
            std::fs::rename(&part.path, &file.path).map_err(FetchError::file(&file.path))?;
            part.remove();
            Ok(())
        }
        Err(error) => {
            part.remove();
            // The wrong bytes may be from an earlier attempt. Then this server deserves a try.
            Err(Failure { error, may_pass: resumed > 0 })
        }
    }
}

fn transfer(
    url: &str,
    file: &Wanted<'_>,
    options: &DownloadOptions,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
    part: &Part,
    resumed: u64,
) -> Result<(), FetchError> {
    let response = request(url, options, resumed, part.validator(url))?;
    let status = response.status().as_u16();
    let offset = match status {
        200 => 0,
        206 if resumed > 0 => {
            match check_range(response.headers(), resumed, part.validator(url), file) {
                Ok(()) => resumed,
                Err(error) => {
                    part.remove();
                    return Err(error);
                }
            }
        }
        206 => {
            return Err(FetchError::Range(
                "the server sent a part without a request for it".into(),
            ));
        }
        // The bytes here are not a part of the server's file any more.
        416 => {
            part.remove();
            return Err(FetchError::Range("the server has no bytes beyond those here".into()));
        }
        status => return Err(FetchError::Status(status)),
    };
    let announced = response.body().content_length().map(|length| offset.saturating_add(length));
    let limit = file.limit(options);
    match (announced, file.manifest.bytes) {
        (Some(found), Some(expected)) if found != expected => {
            return Err(FetchError::Size { expected, found });
        }
        (Some(found), _) if found > limit => return Err(FetchError::TooLarge { limit }),
        _ => {}
    }
    if offset == 0 {
        // The old bytes go before the new tag is written: a tag must never stand beside bytes of
        // another version.
        part.remove();
    }
    part.remember(url, response.headers())?;
    receive(response.into_body(), offset, announced, file, options, progress, part)
}

fn receive(
    mut body: Body,
    offset: u64,
    announced: Option<u64>,
    file: &Wanted<'_>,
    options: &DownloadOptions,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
    part: &Part,
) -> Result<(), FetchError> {
    let total = file.manifest.bytes.or(announced);
    let limit = file.limit(options);
    let write = || FetchError::file(&part.path);
    let to = File::options().create(true).truncate(false).write(true).open(&part.path);
    let mut to = to.map_err(write())?;
    to.set_len(offset).map_err(write())?;
    to.seek(SeekFrom::Start(offset)).map_err(write())?;
    // ureq's own limit is for bodies held in memory.
    let mut from = body.with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 1 << 16];
    let mut done = offset;
    loop {
        let read = from.read(&mut buffer).map_err(|e| connection(ureq::Error::from(e)))?;
        if read == 0 {
            break;
        }
        if done + read as u64 > limit {
            part.remove();
            return Err(FetchError::TooLarge { limit });
        }
        to.write_all(&buffer[..read]).map_err(write())?;
        done += read as u64;
        progress(DownloadEvent::Bytes { file: file.name, done, total });
    }
    match total {
        Some(expected) if done < expected => Err(FetchError::Short { expected, found: done }),
        _ => Ok(()),
    }
}

fn request(
    url: &str,
    options: &DownloadOptions,
    offset: u64,
    validator: Option<String>,
) -> Result<Response<Body>, FetchError> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(options.connect_timeout))
        .timeout_connect(Some(options.connect_timeout))
        .timeout_recv_response(Some(options.idle_timeout))
        .timeout_per_read(Some(options.idle_timeout))
        .timeout_per_write(Some(options.idle_timeout))
        .user_agent(concat!("selfsame-data/", env!("CARGO_PKG_VERSION")))
        .proxy(if is_loopback(url) { None } else { Proxy::try_from_env() })
        .build()
        .into();
    // The sum and the ranges are those of the file without any encoding.
    let mut request = agent.get(url).header(ACCEPT_ENCODING, "identity");
    if offset > 0 {
        request = request.header(RANGE, format!("bytes={offset}-"));
        if let Some(validator) = validator {
            request = request.header(IF_RANGE, validator);
        }
    }
    request.call().map_err(connection)
}

/// A proxy elsewhere would take this machine's local addresses for its own.
fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let Some(host) = uri.host() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback())
}

fn connection(error: ureq::Error) -> FetchError {
    match error {
        ureq::Error::Timeout(_) => FetchError::Timeout,
        ureq::Error::Io(error) => {
            let kind = error.kind();
            match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
                Some(ureq::Error::Timeout(_)) => FetchError::Timeout,
                _ if kind == std::io::ErrorKind::TimedOut => FetchError::Timeout,
                _ => FetchError::Connection(error.to_string()),
            }
        }
        other => FetchError::Connection(other.to_string()),
    }
}

/// Whether the answer continues the bytes here. `bytes START-END/TOTAL` must say so.
fn check_range(
    headers: &HeaderMap,
    offset: u64,
    validator: Option<String>,
    file: &Wanted<'_>,
) -> Result<(), FetchError> {
    let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    if tag.zip(validator.as_deref()).is_some_and(|(now, before)| now != before) {
        return Err(FetchError::Range("the file on the server has changed meanwhile".into()));
    }
    let text = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or("none");
    let wrong = || FetchError::Range(format!("asked for bytes from {offset}, got {text}"));
    let range = text.strip_prefix("bytes ").ok_or_else(wrong)?;
    let (range, total) = range.split_once('/').ok_or_else(wrong)?;
    let (start, _) = range.split_once('-').ok_or_else(wrong)?;
    if start.parse() != Ok(offset) {
        return Err(wrong());
    }
    match (total.parse(), file.manifest.bytes) {
        (Ok(found), Some(expected)) if found != expected => {
            Err(FetchError::Size { expected, found })
        }
        _ => Ok(()),
    }
}

/// A file during a download: its bytes, and beside them their origin.
struct Part {
    path: PathBuf,
    /// The URL, and in a second line the server's tag of the version, if it gave one.
    origin: PathBuf,
}

impl Part {
    fn new(file: &Wanted<'_>) -> Self {
        let path = file.part();
        let origin = path.with_extension("part-origin");
        Self { path, origin }
    }

    /// How many bytes to keep. Without a sum in the manifest, only bytes that the same server
    /// confirms as the beginning of its current version.
    fn resumable(&self, url: &str, file: &Wanted<'_>) -> u64 {
        let Ok(length) = std::fs::metadata(&self.path).map(|m| m.len()) else { return 0 };
        let trusted = file.sum.is_some() || self.validator(url).is_some();
        let fits = file.manifest.bytes.is_none_or(|bytes| length <= bytes);
        if trusted && fits {
            return length;
        }
        self.remove();
        0
    }

    /// The strong tag of the version of the bytes here, if they are from this URL.
    fn validator(&self, url: &str) -> Option<String> {
        let text = std::fs::read_to_string(&self.origin).ok()?;
        let (from, tag) = text.split_once('\n')?;
        (from == url && tag.starts_with('"')).then(|| tag.to_owned())
    }

    fn remember(&self, url: &str, headers: &HeaderMap) -> Result<(), FetchError> {
        let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        write(&self.origin, format!("{url}\n{tag}").as_bytes())
    }

    fn remove(&self) {
        // If they cannot be removed, the next write to them says so.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(&self.origin);
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
    std::fs::write(path, bytes).map_err(FetchError::file(path))
}
