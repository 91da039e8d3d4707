//! The processes beside the product: nginx as an open TLS proxy, and the sample FHIR server as a
//! process of its own. They end with their values.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::machine::Process;

/// How long a part may take to start, or to end.
const READY: Duration = Duration::from_secs(10);

/// What must not outlive this process, even where a panic ends it at once.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// From now on a panic stops everything that was [noted](note).
pub(crate) fn stop_all_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        usual(info);
        for id in RUNNING.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            terminate(*id);
        }
    }));
}

/// Notes a running process.
pub(crate) fn note(process: Process) {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(process.0);
}

/// Notes that it has ended, so that its id is free for somebody else.
pub(crate) fn forget(process: Process) {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|id| *id != process.0);
}

fn terminate(id: u32) {
    let id = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

/// A child process that ends, on SIGTERM if it will, when its value goes.
#[derive(Debug)]
pub(crate) struct Started(Child);

impl Started {
    fn new(child: Child) -> Self {
        let started = Self(child);
        note(started.process());
        started
    }

    /// The process.
    pub(crate) fn process(&self) -> Process {
        Process(self.0.id())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // nginx's first process takes its worker with it only when asked kindly.
        forget(self.process());
        terminate(self.0.id());
        let begun = Instant::now();
        while begun.elapsed() < READY {
            if matches!(self.0.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program that prints a line when it is ready; the line and the time that took.
pub(crate) fn start_until_line(mut command: Command) -> Outcome<(Started, String, Duration)> {
    let begun = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let started = Started::new(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let took = begun.elapsed();
    if line.is_empty() {
        return Err(format!("{command:?} ended before it was ready").into());
    }
    Ok((started, line.trim().to_owned(), took))
}

/// Starts this program as the sample FHIR server; its base URL.
pub(crate) fn start_sample() -> Outcome<(Started, String)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--serve-sample");
    let (started, line, _) = start_until_line(command)?;
    Ok((started, line))
}

/// Is the sample FHIR server, on a free port, until it is stopped.
pub(crate) fn serve_sample() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "http://{}", listener.local_addr()?)?;
        stdout.flush()?;
        sample_fhir::serve(listener, std::future::pending()).await?;
        Ok(())
    })
}

/// nginx before `upstream` with the certificate and key in `tls`; `/fhir/` is the upstream's root.
#[derive(Debug)]
pub(crate) struct Nginx {
    started: Started,
    /// `https://localhost:PORT`.
    pub(crate) origin: String,
}

impl Nginx {
    /// Starts it with its files in `folder` and waits until it listens.
    pub(crate) fn start(folder: &Path, tls: &Path, upstream: &str) -> Outcome<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let host = upstream.strip_prefix("http://").ok_or("the upstream speaks plain http")?;
        let configuration = CONFIGURATION
            .replace("FOLDER", &folder.display().to_string())
            .replace("CERTIFICATES", &tls.display().to_string())
            .replace("ADDRESS", &address.to_string())
            .replace("UPSTREAM", host);
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration)?;
        let child = Command::new("nginx")
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| format!("nginx does not start: {error}"))?;
        let started = Started::new(child);
        wait_for(address)?;
        Ok(Self { started, origin: format!("https://localhost:{}", address.port()) })
    }

    /// Its first process and its worker.
    pub(crate) fn processes(&self) -> Outcome<Vec<Process>> {
        let first = self.started.process();
        let mut all = first.children()?;
        all.push(first);
        Ok(all)
    }
}

fn wait_for(address: SocketAddr) -> Outcome<()> {
    let begun = Instant::now();
    while begun.elapsed() < READY {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("nothing listens at {address}").into())
}

/// One worker, TLS 1.3, keep-alive on both sides, buffers that hold the largest answer measured.
pub(crate) const CONFIGURATION: &str = "\
daemon off;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path FOLDER/body;
  proxy_temp_path FOLDER/proxy;
  fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi;
  scgi_temp_path FOLDER/scgi;
  keepalive_requests 100000000;
  upstream sample { server UPSTREAM; keepalive 64; keepalive_requests 100000000; }
  server {
    listen ADDRESS ssl;
    ssl_protocols TLSv1.3;
    ssl_certificate CERTIFICATES/server.pem;
    ssl_certificate_key CERTIFICATES/server.key;
    location /fhir/ {
      proxy_pass http://sample/;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_buffers 16 8k;
    }
  }
}
";
