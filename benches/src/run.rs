//! The run itself: servers on one core, load on the others, and every case of every round in turn, so
//! that what is compared shared the same minute.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use phiward_journeys::{App, Demo};
use tempfile::TempDir;

use crate::forms::{self, Backend};
use crate::load::{self, Load, Measured, float};
use crate::machine::{self, Clockwork, Cores, Facts, Process};
use crate::peers::{self, Nginx, Started};
use crate::raw::{self, Raw};
use crate::{Options, Outcome, repository};

/// A blood pressure of 2.2 kB as stored.
const READ: &str = "Observation/obs-e9c5b72c53a5";
const SEARCH: &str = "Observation?_count=25";
const SCOPE: &str = "patient/Observation.rs offline_access";
const CONNECTIONS: u32 = 64;
/// How often the start is timed.
const STARTS: u32 = 7;

/// One kind of request through both servers.
#[derive(Debug)]
pub(crate) struct Pair {
    /// What it is.
    pub(crate) name: &'static str,
    /// The gateway, round by round.
    pub(crate) phiward: Vec<Measured>,
    /// nginx, round by round.
    pub(crate) nginx: Vec<Measured>,
    /// The commands.
    pub(crate) lines: [String; 2],
}

/// One kind of request to the token endpoint.
#[derive(Debug)]
pub(crate) struct Grant {
    /// What it is.
    pub(crate) name: &'static str,
    /// Round by round.
    pub(crate) rounds: Vec<Measured>,
    /// The command.
    pub(crate) line: String,
}

/// Everything measured.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) facts: Facts,
    /// Read, search, read on one connection.
    pub(crate) pairs: [Pair; 3],
    /// Client credentials, refresh.
    pub(crate) grants: [Grant; 2],
    pub(crate) raw: Vec<Raw>,
    /// Microseconds of each raw sync around the load on one connection, round by round.
    pub(crate) syncs: Vec<Vec<f64>>,
    /// Milliseconds from the start of the process to its line of JSON, on existing data.
    pub(crate) starts: Vec<f64>,
    /// MiB resident a second after such a start.
    pub(crate) idle: f64,
    /// MiB resident at most, during all of the load.
    pub(crate) peak: f64,
    /// MB.
    pub(crate) binary: f64,
    /// Load averages before and after.
    pub(crate) load: [String; 2],
    /// Cores that others used meanwhile.
    pub(crate) others: f64,
    /// Cores that the host took away meanwhile.
    pub(crate) stolen: f64,
    /// Whether the servers had a core of their own.
    pub(crate) pinned: bool,
    /// Whether everything ran before other people's work (nice −10).
    pub(crate) first: bool,
    pub(crate) took: Duration,
}

/// Runs everything.
pub(crate) fn all(options: &Options, binary: &Path) -> Outcome<Results> {
    let begun = Instant::now();
    wait_until_quiet(options.wait)?;
    let load_before = machine::load_average();
    let facts = Facts::gather(&std::env::temp_dir(), &repository());
    let first = machine::go_first();
    let mut bench = Bench::start(options.duration)?;
    let ours = bench.processes()?;
    let (clock, own) = (Instant::now(), usage(&ours)?);
    let before = Clockwork::read()?;

    let mut pairs = bench.pairs();
    let mut grants = bench.grants();
    bench.warm_up(&pairs)?;
    let (mut raw, mut syncs) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        raw.push(raw::measure(Duration::from_millis(500))?);
        let authorization = format!("Bearer {}", bench.fresh_token()?);
        for (pair, case) in pairs.iter_mut().zip(CASES) {
            // A disk that hosts share changes within seconds: it is asked right before and after.
            let alone = case.connections == 1;
            let mut sync = if alone { bench.syncs()? } else { Vec::new() };
            bench.pair(pair, case, &authorization, round % 2 == 0)?;
            if alone {
                sync.extend(bench.syncs()?);
                syncs.push(sync);
            }
        }
        for grant in &mut grants {
            bench.grant(grant)?;
        }
    }

    let passed = clock.elapsed().as_secs_f64();
    let after = Clockwork::read()?;
    let tracked = usage(&ours)?.saturating_sub(own);
    let others = (after.busy - before.busy).saturating_sub(tracked).as_secs_f64() / passed;
    let stolen = (after.stolen - before.stolen).as_secs_f64() / passed;
    let peak = Process(bench.demo.ready.pid).memory("VmHWM")?;
    let pinned = bench.cores.are_apart();
    let (starts, idle) = bench.restarts(binary)?;
    Ok(Results {
        facts,
        pairs,
        grants,
        raw,
        syncs,
        starts,
        idle,
        peak,
        binary: machine::megabytes(binary)?,
        load: [load_before, machine::load_average()],
        others,
        stolen,
        pinned,
        first,
        took: begun.elapsed(),
    })
}

/// What is asked, and over how many connections.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    path: &'static str,
    connections: u32,
}

const CASES: [Case; 3] = [
    Case { name: "FHIR read, 2 KB", path: READ, connections: CONNECTIONS },
    Case { name: "FHIR search, 25 entries", path: SEARCH, connections: CONNECTIONS },
    Case { name: "FHIR read, 2 KB, one connection", path: READ, connections: 1 },
];

struct Bench {
    demo: Demo,
    nginx: Nginx,
    sample: Started,
    upstream: String,
    patients: String,
    app: App,
    refresh: String,
    backend: Backend,
    runtime: tokio::runtime::Runtime,
    folder: TempDir,
    script: PathBuf,
    duration: Duration,
    /// How many forms the next round of client credentials needs at most.
    forms: u64,
    cores: Cores,
}

impl Bench {
    fn start(duration: Duration) -> Outcome<Self> {
        let cores = Cores::of_machine();
        cores.with_load()?;
        let (sample, upstream) = peers::start_sample()?;
        let ids: Vec<String> =
            sample_fhir::demo_patients().iter().map(|patient| patient.id.to_owned()).collect();
        cores.with_servers()?;
        let folder = tempfile::tempdir()?;
        let demo = Demo::before(&upstream, &ids);
        peers::note(Process(demo.ready.pid));
        let tls = demo.ready.ca_file.parent().ok_or("the demo's certificate has no folder")?;
        let nginx = Nginx::start(folder.path(), tls, &upstream)?;
        cores.with_load()?;

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let app = App::of(&demo, "demo-confidential");
        let mut person = demo.person("amina");
        let grant = runtime.block_on(app.connect(&mut person, SCOPE));
        Ok(Self {
            refresh: grant.refresh_token().to_owned(),
            backend: Backend::register(&demo, folder.path())?,
            script: load::write_script(folder.path())?,
            patients: ids.join(","),
            forms: 20_000,
            demo,
            nginx,
            sample,
            upstream,
            app,
            runtime,
            folder,
            duration,
            cores,
        })
    }

    /// Everything started here, this process included.
    fn processes(&self) -> Outcome<Vec<Process>> {
        let mut all = self.nginx.processes()?;
        all.push(Process(self.demo.ready.pid));
        all.push(self.sample.process());
        all.push(Process(std::process::id()));
        Ok(all)
    }

    fn gateway(&self) -> [Process; 1] {
        [Process(self.demo.ready.pid)]
    }

    fn fresh_token(&self) -> Outcome<String> {
        let answer = self.runtime.block_on(self.app.refresh(&self.refresh));
        if answer.status != 200 {
            return Err(format!("no fresh access token: {}", answer.text()).into());
        }
        Ok(answer.into_grant().access_token().to_owned())
    }

    /// A case at the gateway and at nginx, which is sent the same header.
    fn loads(&self, case: Case, authorization: &str) -> [Load; 2] {
        let load = |base: &str| Load {
            url: format!("{base}/{}", case.path),
            authorization: Some(authorization.to_owned()),
            bodies: None,
            connections: case.connections,
        };
        [load(&self.demo.ready.fhir_base), load(&format!("{}/fhir", self.nginx.origin))]
    }

    fn token_load(&self, bodies: &str) -> Load {
        let secret = self.demo.ready.client("demo-confidential").client_secret.as_deref();
        let authorization = (bodies == REFRESH).then(|| basic("demo-confidential", secret));
        Load {
            url: format!("{}/oauth/token", self.demo.ready.issuer),
            authorization,
            bodies: Some(self.folder.path().join(bodies)),
            connections: CONNECTIONS,
        }
    }

    fn pairs(&self) -> [Pair; 3] {
        CASES.map(|case| Pair {
            name: case.name,
            phiward: Vec::new(),
            nginx: Vec::new(),
            lines: self.loads(case, "Bearer").map(|load| load.line(self.duration)),
        })
    }

    fn grants(&self) -> [Grant; 2] {
        [
            ("client credentials, private_key_jwt (ES256)", BACKEND),
            ("refresh, confidential", REFRESH),
        ]
        .map(|(name, bodies)| Grant {
            name,
            rounds: Vec::new(),
            line: self.token_load(bodies).line(self.duration),
        })
    }

    /// Where the server runs: a sync ends when its thread is given a core.
    fn syncs(&self) -> Outcome<Vec<f64>> {
        self.cores.with_servers()?;
        let syncs = raw::syncs(&self.demo.data(), Duration::from_millis(250));
        self.cores.with_load()?;
        syncs
    }

    /// A second of everything, which does not count.
    fn warm_up(&mut self, pairs: &[Pair; 3]) -> Outcome<()> {
        let authorization = format!("Bearer {}", self.fresh_token()?);
        for (_, case) in pairs.iter().zip(CASES) {
            for load in self.loads(case, &authorization) {
                load.run(&self.script, Duration::from_secs(1), &[])?;
            }
        }
        forms::write_refresh(&self.folder.path().join(REFRESH), &self.refresh)?;
        self.token_load(REFRESH).run(&self.script, Duration::from_secs(1), &[])?;
        self.backend.write(&self.folder.path().join(BACKEND), self.forms)?;
        let seen = self.token_load(BACKEND).run(&self.script, Duration::from_secs(1), &[])?;
        // An assertion sent twice is refused: there must be more than can be used up.
        self.forms = 2_000 + 2 * seen.requests * self.duration.as_secs().max(1);
        Ok(())
    }

    fn pair(&self, pair: &mut Pair, case: Case, token: &str, swap: bool) -> Outcome<()> {
        let [gateway, open] = self.loads(case, token);
        let nginx = self.nginx.processes()?;
        let ours = || gateway.run(&self.script, self.duration, &self.gateway());
        let peer = || open.run(&self.script, self.duration, &nginx);
        let (ours, peer) = if swap {
            let ours = ours()?;
            (ours, peer()?)
        } else {
            let peer = peer()?;
            (ours()?, peer)
        };
        pair.phiward.push(ours);
        pair.nginx.push(peer);
        Ok(())
    }

    fn grant(&mut self, grant: &mut Grant) -> Outcome<()> {
        let bodies = if grant.line.contains("Basic") { REFRESH } else { BACKEND };
        if bodies == BACKEND {
            self.backend.write(&self.folder.path().join(BACKEND), self.forms)?;
        }
        let load = self.token_load(bodies);
        grant.rounds.push(load.run(&self.script, self.duration, &self.gateway())?);
        Ok(())
    }

    /// Ends the demo and starts it again on its data: milliseconds each, and MiB at rest.
    fn restarts(mut self, binary: &Path) -> Outcome<(Vec<f64>, f64)> {
        self.demo.stop();
        peers::forget(Process(self.demo.ready.pid));
        let port = url::Url::parse(&self.demo.ready.issuer)?.port().ok_or("no port")?;
        self.cores.with_servers()?;
        let mut times = Vec::new();
        let mut idle = 0.0;
        for _ in 0..STARTS {
            let mut command = Command::new(binary);
            command
                .arg("demo")
                .arg("--data")
                .arg(self.demo.data())
                .args(["--listen", &format!("127.0.0.1:{port}"), "--json"])
                .args(["--upstream", &self.upstream, "--patients", &self.patients]);
            let (started, _, took) = peers::start_until_line(command)?;
            times.push(took.as_secs_f64() * 1e3);
            std::thread::sleep(Duration::from_secs(1));
            idle = started.process().memory("VmRSS")?;
            drop(started);
        }
        Ok((times, idle))
    }
}

const BACKEND: &str = "client-credentials.forms";
const REFRESH: &str = "refresh.form";

/// RFC 6749 §2.3.1; neither part has a character that form encoding would change.
fn basic(client: &str, secret: Option<&str>) -> String {
    use base64::Engine;
    let pair = format!("{client}:{}", secret.unwrap_or_default());
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

fn usage(processes: &[Process]) -> Outcome<Duration> {
    let own = std::process::id();
    let each = processes
        .iter()
        .map(|process| if process.0 == own { process.cpu_with_children() } else { process.cpu() });
    each.sum()
}

/// Waits for a while until nobody else uses the machine; goes on in any case, the page tells.
fn wait_until_quiet(patience: Duration) -> Outcome<()> {
    let begun = Instant::now();
    loop {
        let used = machine::cores_in_use()?;
        if used < 0.2 {
            return Ok(());
        }
        if begun.elapsed() >= patience {
            eprintln!("others use {used:.1} cores; measuring all the same");
            return Ok(());
        }
        eprintln!("others use {used:.1} cores; waiting");
        std::thread::sleep(Duration::from_secs(3));
    }
}

/// Requests that one second of CPU time serves.
pub(crate) fn per_core_second(measured: &Measured) -> f64 {
    1e6 / measured.cpu_micros
}

/// All answers of a case.
pub(crate) fn answers(rounds: &[Measured]) -> f64 {
    rounds.iter().map(|round| float(round.requests)).sum()
}
