//! A small HTTP/1.1 server with faults to order.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How one request is answered.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// As it should be, ranges included.
    Serve,
    /// Correctly, but the connection breaks after so many bytes of the body.
    Cut(usize),
    /// The connection stays open and silent after so many bytes of the body.
    Stall(usize),
    /// No answer at all.
    Mute,
    /// The whole file, whatever was asked for.
    IgnoreRange,
    /// 416.
    Unsatisfiable,
    /// 206 with bytes from elsewhere in the file.
    WrongRange,
    /// The whole file with this `Content-Length`.
    Announce(u64),
    /// The whole file, ended by the end of the connection.
    NoLength,
    /// An error page.
    Status(u16),
    /// 302 to this URL.
    Redirect(String),
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub range: Option<String>,
    pub if_range: Option<String>,
}

/// Serves one file under every path until it is dropped.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// The n-th request is answered by the n-th behaviour, all later ones by the last. The
    /// file's tag is `"v1"`.
    pub fn new(content: &[u8], behaviours: impl Into<Vec<Behaviour>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (log, stopped) = (requests.clone(), stop.clone());
        let shared = Arc::new((content.to_vec(), behaviours.into()));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (log, shared) = (log.clone(), shared.clone());
                std::thread::spawn(move || {
                    // A client that hangs up early is part of the tests.
                    let _ = converse(stream, &shared.0, &shared.1, &log);
                });
            }
        });
        Self { address, requests, stop }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// A URL where nobody listens.
    pub fn closed(path: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/{path}", listener.local_addr().unwrap())
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listening thread.
        let _ = TcpStream::connect(self.address);
    }
}

fn converse(
    mut stream: TcpStream,
    content: &[u8],
    behaviours: &[Behaviour],
    log: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                text => lines.push(text.to_owned()),
            }
        }
        let header = |name: &str| {
            let mut pairs = lines.iter().filter_map(|line| line.split_once(": "));
            pairs.find(|pair| pair.0.eq_ignore_ascii_case(name)).map(|pair| pair.1.to_owned())
        };
        let mut words = lines.first().map_or("", String::as_str).split(' ');
        let connect = words.next() == Some("CONNECT");
        let path = words.next().unwrap_or_default().to_owned();
        let request = Request { path, range: header("range"), if_range: header("if-range") };
        log.lock().unwrap().push(request.clone());
        if connect {
            // As a proxy that is itself every host.
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            continue;
        }
        let number = log.lock().unwrap().len() - 1;
        let behaviour = behaviours.get(number).or(behaviours.last()).unwrap();
        return answer(&mut stream, content, behaviour, &request);
    }
}

fn answer(
    out: &mut TcpStream,
    content: &[u8],
    behaviour: &Behaviour,
    request: &Request,
) -> io::Result<()> {
    let total = content.len();
    let asked = request.range.as_deref().and_then(|r| r.strip_prefix("bytes="));
    let asked = asked.and_then(|r| r.strip_suffix('-')).and_then(|r| r.parse::<usize>().ok());
    let asked = asked.filter(|_| request.if_range.as_deref().is_none_or(|tag| tag == "\"v1\""));
    let length = |n: u64| format!("Content-Length: {n}\r\n");
    let whole = ("200 OK", length(total as u64), content);
    let from = |start: usize| {
        let range = format!("Content-Range: bytes {start}-{}/{total}\r\n", total - 1);
        ("206 Part", range + &length((total - start) as u64), &content[start..])
    };
    let (status, headers, body) = match behaviour {
        Behaviour::Mute => {
            std::thread::sleep(Duration::from_secs(20));
            return Ok(());
        }
        Behaviour::Status(status) => {
            let head = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n");
            return write!(out, "{head}Connection: close\r\n\r\n");
        }
        Behaviour::Redirect(to) => {
            ("302 Found", format!("Location: {to}\r\n") + &length(0), &[][..])
        }
        Behaviour::Unsatisfiable => ("416 No", length(0), &[][..]),
        Behaviour::WrongRange => from(10),
        Behaviour::Announce(bytes) => ("200 OK", length(*bytes), content),
        Behaviour::NoLength => ("200 OK", String::new(), content),
        Behaviour::IgnoreRange => whole,
        Behaviour::Serve | Behaviour::Cut(_) | Behaviour::Stall(_) => asked.map_or(whole, from),
    };
    write!(out, "HTTP/1.1 {status}\r\nETag: \"v1\"\r\nConnection: close\r\n{headers}\r\n")?;
    match behaviour {
        Behaviour::Cut(bytes) => out.write_all(&body[..*bytes]),
        Behaviour::Stall(bytes) => {
            out.write_all(&body[..*bytes])?;
            std::thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        _ => out.write_all(body),
    }
}
