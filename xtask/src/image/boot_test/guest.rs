//! The emulated machine: a board by UEFI with a card, a serial console in a file, and two of its ports on this machine's loopback. It is
//! switched on, off in order, and off as by a power cut.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::{
    card::Card,
    console::{Console, Marker, Seen},
    interrupted,
    qmp::Qmp,
};
use crate::{
    bench::footprint,
    command,
    demo::{
        fleet::{Process, wait_for},
        site, unix_seconds,
    },
};

/// One boot may take this long: an emulated CPU is some twenty times slower than one of silicon, and the machine may do other things.
pub const BOOT_LIMIT: Duration = Duration::from_secs(20 * 60);
const POWER_OFF_LIMIT: Duration = Duration::from_secs(300);
const SSH_LIMIT: Duration = Duration::from_secs(240);
/// Where Debian's package qemu-efi-aarch64 puts the firmware.
const FIRMWARE: &str = "/usr/share/AAVMF/AAVMF_CODE.fd";
const FIRMWARE_VARIABLES: &str = "/usr/share/AAVMF/AAVMF_VARS.fd";
/// What the guest calls this machine.
pub const THIS_HOST: &str = "10.0.2.2";
/// The address that qemu's DHCP gives to the guest.
pub const BY_DHCP: &str = "10.0.2.15";

/// Where the guest's console is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The machine's own serial port (PL011), from the firmware on.
    Serial,
    /// `hvc0`, for a kernel that was told of another PL011 than this machine has, and then takes none; silent until the kernel has its driver.
    Virtio,
}

/// The machine, on or off.
pub struct Guest {
    pub card: Card,
    /// Its MQTT broker, as seen from here.
    pub mqtt: SocketAddr,
    /// What it calls itself on its network; its ports are reached there.
    pub address: &'static str,
    pub console: Port,
    /// A second network card, whose cable ends where nobody gives addresses: a network of machines alone.
    pub has_second_card: bool,
    ssh: SocketAddr,
    key: PathBuf,
    folder: PathBuf,
    /// Short paths: a socket's may have 107 bytes only.
    sockets: PathBuf,
    boots: u32,
    on: Option<On>,
}

/// What there is while it is on.
struct On {
    qemu: Process,
    server: Process,
    qmp: Qmp,
    console: Console,
    since: Instant,
}

/// The ports that a guest will have here; chosen before there is one, since its collector and machines must know them.
pub struct Ports {
    mqtt: SocketAddr,
    ssh: SocketAddr,
}

impl Ports {
    pub fn choose() -> Result<Self> {
        Ok(Self { mqtt: site::free_port(0)?, ssh: site::free_port(0)? })
    }

    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }
}

impl Guest {
    /// A machine that is off. `folder` takes its consoles and firmware variables; `key` opens its sshd.
    pub fn new(card: Card, ports: &Ports, key: &Path, folder: &Path) -> Result<Self> {
        std::fs::copy(FIRMWARE_VARIABLES, folder.join("uefi-variables.fd"))
            .with_context(|| format!("{FIRMWARE_VARIABLES} (Debian package qemu-efi-aarch64)"))?;
        let sockets = std::env::temp_dir().join(format!("millrace-boot-{}-{}", std::process::id(), ports.mqtt.port()));
        std::fs::create_dir_all(&sockets)?;
        Ok(Self {
            card,
            mqtt: ports.mqtt,
            address: BY_DHCP,
            console: Port::Serial,
            has_second_card: false,
            ssh: ports.ssh,
            key: key.to_path_buf(),
            folder: folder.to_path_buf(),
            sockets,
            boots: 0,
            on: None,
        })
    }

    /// Switches it on, with or without a cable in its network card.
    pub fn power_on(&mut self, with_network: bool) -> Result<()> {
        self.boots += 1;
        let console = self.folder.join(format!("console-{:02}.log", self.boots));
        let (disk, control) = (self.sockets.join("card"), self.sockets.join("qmp"));
        let _ = std::fs::remove_file(&control);
        let _ = std::fs::remove_file(&console);
        let server = self.card.serve(&disk, &self.folder)?;
        let mut qemu = Process::start("qemu", self.qemu(&disk, &control, &console), &self.folder)?;
        let mut connected = None;
        wait_for("start of qemu", Duration::from_secs(30), || {
            qemu.check()?;
            connected = control.exists().then(|| Qmp::connect(&control).ok()).flatten();
            Ok(connected.is_some())
        })?;
        let mut qmp = connected.context("qemu's control socket")?;
        if !with_network {
            qmp.command("set_link", json!({ "name": "nic", "up": false }))?;
        }
        // It has waited with its first instruction for this.
        qmp.command("cont", json!({}))?;
        self.on = Some(On { qemu, server, qmp, console: Console::follow(&console), since: Instant::now() });
        Ok(())
    }

    fn qemu(&self, disk: &Path, control: &Path, console: &Path) -> Command {
        let pflash = |file: &Path, rest: &str| format!("if=pflash,format=raw,file={}{rest}", file.display());
        let forward = |here: SocketAddr, there: u16| format!("hostfwd=tcp:{here}-{}:{there}", self.address);
        let mut qemu = Command::new("qemu-system-aarch64");
        qemu.args(["-nodefaults", "-display", "none", "-S", "-name", "millrace-boot-test"]);
        qemu.args(["-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024", "-accel", "tcg,thread=multi"]);
        qemu.args(["-drive", &pflash(Path::new(FIRMWARE), ",readonly=on")]);
        qemu.args(["-drive", &pflash(&self.folder.join("uefi-variables.fd"), "")]);
        qemu.args(["-blockdev", &format!("driver=nbd,node-name=card,server.type=unix,server.path={}", disk.display())]);
        qemu.args(["-device", "virtio-blk-pci,drive=card,write-cache=on,bootindex=0"]);
        qemu.args(["-netdev", &format!("user,id=net,{},{}", forward(self.mqtt, 1883), forward(self.ssh, 22))]);
        qemu.args(["-device", "virtio-net-pci,netdev=net,id=nic,romfile=", "-device", "virtio-rng-pci"]);
        if self.has_second_card {
            qemu.args(["-netdev", "hubport,id=machines,hubid=1", "-device", "virtio-net-pci,netdev=machines,romfile="]);
        }
        qemu.args(["-chardev", &format!("file,id=console,path={}", console.display())]);
        match self.console {
            Port::Serial => qemu.args(["-serial", "chardev:console"]),
            Port::Virtio => qemu.args(["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=console"]),
        };
        qemu.args(["-qmp", &format!("unix:{},server=on,wait=off", control.display())]);
        qemu
    }

    /// Cuts the power: qemu and the card's cache are killed at once. Returns when (Unix seconds).
    pub fn cut(&mut self) -> Result<f64> {
        let on = self.on.take().context("the guest is off already")?;
        command::output(Command::new("kill").arg("-KILL").args([on.server.id().to_string(), on.qemu.id().to_string()]))?;
        let at = unix_seconds();
        on.qemu.kill()?;
        on.server.kill()?;
        Ok(at)
    }

    /// Has it switched off in order, and waits until it is off and its card written.
    pub fn power_off(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        // The image has no power button's daemon: a card in the field is just unplugged. The connection may end before the command has answered.
        self.wait_for_ssh()?;
        let asked = self.ssh("systemctl poweroff");
        let on = self.on.as_mut().context("the guest is off already")?;
        let ended = wait_for("power off in order", POWER_OFF_LIMIT, || {
            interrupted()?;
            Ok(on.qemu.check().is_err())
        });
        let on = self.on.take().context("the guest is off already")?;
        if let Err(error) = ended {
            let asked = asked.err().map(|error| format!("{error:#}")).unwrap_or_default();
            return Err(error.context(format!("{asked}; the console's end:\n{}", on.console.tail())));
        }
        // qemu has flushed when it ended; nbdkit has nothing left to write.
        on.server.kill()?;
        Ok(begun.elapsed())
    }

    /// Until its sshd lets us in.
    pub fn wait_for_ssh(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            interrupted()?;
            match self.ssh("true") {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > SSH_LIMIT => return Err(error.context("the guest's sshd")),
                Err(_) => std::thread::sleep(Duration::from_secs(3)),
            }
        }
    }

    /// Puts the network cable in or takes it out.
    pub fn link(&mut self, up: bool) -> Result<()> {
        let on = self.on.as_mut().context("the guest is off")?;
        on.qmp.command("set_link", json!({ "name": "nic", "up": up })).map(drop)
    }

    /// Waits for a marker of number `from` on; its number, and how long after power on it came.
    pub fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        from: usize,
        wanted: &dyn Fn(&Marker) -> bool,
    ) -> Result<(usize, Duration, Marker)> {
        let on = self.on.as_mut().context("the guest is off")?;
        let mut found: Option<(usize, Seen)> = None;
        let waited = wait_for(what, limit, || {
            interrupted()?;
            on.qemu.check()?;
            found = on.console.find(from, wanted);
            Ok(found.is_some())
        });
        waited.with_context(|| format!("the end of {}:\n{}", on.console.file.display(), on.console.tail()))?;
        let (number, seen) = found.context("a marker")?;
        Ok((number, seen.at.saturating_duration_since(on.since), seen.marker))
    }

    /// All markers of this boot until now, each with its time since power on.
    pub fn markers(&self) -> Vec<(Duration, Marker)> {
        let of = |on: &On| on.console.seen().into_iter().map(|s| (s.at.saturating_duration_since(on.since), s.marker)).collect();
        self.on.as_ref().map(of).unwrap_or_default()
    }

    /// An error if it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match &mut self.on {
            Some(on) => on.qemu.check().and_then(|()| on.server.check()),
            None => bail!("the guest is off"),
        }
    }

    /// Since it was switched on.
    pub fn uptime(&self) -> Duration {
        self.on.as_ref().map(|on| on.since.elapsed()).unwrap_or_default()
    }

    /// Runs a shell command in the guest; what it printed.
    pub fn ssh(&self, script: &str) -> Result<String> {
        command::output(self.ssh_command().arg(script))
    }

    /// Of its gateway, as the guest's own kernel counts it: the emulator is not in it.
    pub fn usage(&self) -> Result<Usage> {
        let text =
            self.ssh("cat /proc/uptime; cd /proc/$(systemctl show --property MainPID --value millrace-gateway) && cat stat status")?;
        Usage::of(&text).with_context(|| format!("the guest's account of its gateway: {text:?}"))
    }

    /// Puts a file of this machine to `to` in the guest.
    pub fn put(&self, from: &Path, to: &str) -> Result<()> {
        let file = std::fs::File::open(from).with_context(|| format!("{}", from.display()))?;
        let status = self.ssh_command().arg(format!("cat > {to} && sync")).stdin(file).status().context("cannot start ssh")?;
        if !status.success() {
            bail!("{} could not be copied into the guest ({status})", from.display());
        }
        Ok(())
    }

    fn ssh_command(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-i").arg(&self.key).args(["-p", &self.ssh.port().to_string()]);
        // The guest's host key is new with each card.
        for option in ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"] {
            ssh.args(["-o", option]);
        }
        ssh.args(["-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=30", "root@127.0.0.1"]);
        ssh
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.on = None;
        let _ = std::fs::remove_dir_all(&self.sockets);
    }
}

/// What a process takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Bytes of memory, of them those that are not a file's, and the most there were.
    pub resident: u64,
    pub anonymous: u64,
    pub peak: u64,
    /// Seconds of one core since its start.
    pub cpu: f64,
    pub process: u32,
    /// Seconds that the machine was on when this was read.
    pub uptime: f64,
}

impl Usage {
    /// Of the machine's `uptime` and the process' `stat` and `status` in /proc, one after the other.
    fn of(text: &str) -> Option<Self> {
        let (uptime, rest) = text.split_once('\n')?;
        let (stat, status) = rest.split_once('\n')?;
        let bytes = |what| footprint::kib_of(status, what).map(|kib| kib * 1024);
        Some(Self {
            resident: bytes("VmRSS")?,
            anonymous: bytes("RssAnon")?,
            peak: bytes("VmHWM")?,
            cpu: footprint::seconds_of(stat),
            process: stat.split_whitespace().next()?.parse().ok()?,
            uptime: uptime.split_whitespace().next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn memory_and_cpu_are_read_off_the_kernels_words() {
        let stat = "321.50 600.00\n7 (a name) S 1 7 7 0 -1 4194560 1 0 1 0 250 50 0 0 20 0 4 0 100 1 1\n";
        let status = "Name:\tmillrace-gatewa\nVmHWM:\t   11000 kB\nVmRSS:\t   10240 kB\nRssAnon:\t    2048 kB\n";
        let usage = Usage { resident: 10_485_760, anonymous: 2_097_152, peak: 11_264_000, cpu: 3.0, process: 7, uptime: 321.5 };
        assert_eq!(Usage::of(&format!("{stat}{status}")), Some(usage));
        assert_eq!(Usage::of(&format!("{stat}Name:\tkthreadd\n")), None, "a thread of the kernel has no memory");
    }
}
