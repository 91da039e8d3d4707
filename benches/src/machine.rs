//! What the kernel says about processes and about the machine.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Outcome;
use crate::load::float;

/// The kernel counts CPU time in hundredths of a second (`USER_HZ`, proc(5)).
const TICK: Duration = Duration::from_millis(10);

/// A running process by its id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// User and system time of all its threads so far.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        self.ticks(&[14, 15])
    }

    /// The same with the children it has waited for.
    pub(crate) fn cpu_with_children(self) -> Outcome<Duration> {
        self.ticks(&[14, 15, 16, 17])
    }

    /// Sum of these fields of `/proc/PID/stat`, counted from one as proc(5) does.
    fn ticks(self, fields: &[usize]) -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The second field is a name in parentheses, which may hold anything.
        let (_, rest) = stat.rsplit_once(')').ok_or("an odd /proc/PID/stat")?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let mut ticks = 0;
        for field in fields {
            ticks += words.get(field - 3).ok_or("a short /proc/PID/stat")?.parse::<u32>()?;
        }
        Ok(TICK * ticks)
    }

    /// `VmRSS` or `VmHWM` of `/proc/PID/status`, in MiB.
    pub(crate) fn memory(self, row: &str) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find(|line| line.starts_with(row)).ok_or("no memory row")?;
        let kib = line.split_whitespace().nth(1).ok_or("an odd memory row")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }

    /// Its direct children.
    pub(crate) fn children(self) -> Outcome<Vec<Self>> {
        let path = format!("/proc/{0}/task/{0}/children", self.0);
        let text = std::fs::read_to_string(path)?;
        text.split_whitespace().map(|id| Ok(Self(id.parse()?))).collect()
    }
}

/// Who runs where. Only for a process with a single thread.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    /// All but the first; `None` where there is only one.
    others: Option<String>,
}

impl Cores {
    /// Those of this machine.
    pub(crate) fn of_machine() -> Self {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        Self { others: (count > 1).then(|| format!("1-{}", count - 1)) }
    }

    /// Whether servers have a core of their own.
    pub(crate) const fn are_apart(&self) -> bool {
        self.others.is_some()
    }

    /// This process, and what it starts from now on, runs where the servers do.
    pub(crate) fn with_servers(&self) -> Outcome<()> {
        self.others.as_ref().map_or(Ok(()), |_| pin("0"))
    }

    /// The same, where the load runs.
    pub(crate) fn with_load(&self) -> Outcome<()> {
        self.others.as_deref().map_or(Ok(()), pin)
    }
}

fn pin(cores: &str) -> Outcome<()> {
    let own = std::process::id().to_string();
    let output = Command::new("taskset").args(["-cp", cores, &own]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("taskset -cp {cores}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Puts the calling process's main thread, and what it starts from now on, before other people's
/// work; whether the system let it.
pub(crate) fn go_first() -> bool {
    let own = std::process::id().to_string();
    let output = Command::new("renice").args(["-n", "-10", "-p", &own]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Time that all cores were busy, and time that the host took away, since the machine started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clockwork {
    /// User, nice, system, interrupts.
    pub(crate) busy: Duration,
    /// Ready to run, but the host ran somebody else.
    pub(crate) stolen: Duration,
}

impl Clockwork {
    /// Now, from `/proc/stat`.
    pub(crate) fn read() -> Outcome<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u32> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal
        let at = |index: usize| TICK * ticks.get(index).copied().unwrap_or_default();
        Ok(Self { busy: at(0) + at(1) + at(2) + at(5) + at(6), stolen: at(7) })
    }
}

/// What the page says about the machine and the versions.
#[derive(Debug)]
pub(crate) struct Facts {
    /// `2026-01-31 12:00 UTC`.
    pub(crate) date: String,
    /// Cores.
    pub(crate) cores: usize,
    /// The CPU's name.
    pub(crate) cpu: String,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The type of the file system that data goes to.
    pub(crate) file_system: String,
    /// The commit measured, and whether files differ from it.
    pub(crate) revision: String,
    /// nginx's version.
    pub(crate) nginx: String,
    /// wrk's version.
    pub(crate) wrk: String,
}

impl Facts {
    /// Asks; `data` is a folder where data goes, `repository` the checkout.
    pub(crate) fn gather(data: &Path, repository: &Path) -> Self {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).current_dir(repository).output();
            output.map_or_else(
                |_| String::new(),
                |output| {
                    let both = [output.stdout, output.stderr].concat();
                    String::from_utf8_lossy(&both).lines().next().unwrap_or_default().to_owned()
                },
            )
        };
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("?");
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let changed = said("git", &["status", "--porcelain", "--", ".", ":!docs/benchmarks.md"]);
        let note = if changed.is_empty() { "" } else { ", with changes not in it" };
        let second = |line: String| line.split(' ').nth(1).unwrap_or_default().to_owned();
        Self {
            date: said("date", &["-u", "+%F %H:%M UTC"]),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: cpu.trim_start_matches(['\t', ' ', ':']).to_owned(),
            kernel: kernel.trim().to_owned(),
            file_system: said("findmnt", &["-no", "FSTYPE", "-T", &data.to_string_lossy()]),
            revision: format!("{}{note}", said("git", &["rev-parse", "--short", "HEAD"])),
            nginx: said("nginx", &["-v"]).rsplit('/').next().unwrap_or_default().to_owned(),
            wrk: second(said("wrk", &["--version"])),
        }
    }
}

/// The load averages of `/proc/loadavg`.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Cores in use by anybody, over the next two seconds.
pub(crate) fn cores_in_use() -> Outcome<f64> {
    let before = Clockwork::read()?.busy;
    std::thread::sleep(Duration::from_secs(2));
    Ok((Clockwork::read()?.busy - before).as_secs_f64() / 2.0)
}

/// A file's size in MB (10^6 bytes).
pub(crate) fn megabytes(file: &Path) -> Outcome<f64> {
    Ok(float(std::fs::metadata(file)?.len()) / 1e6)
}
