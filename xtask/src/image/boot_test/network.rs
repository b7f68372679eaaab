//! The systems of the Raspberry Pi 4 and 5 with what a person provisions of their network: a fixed address on the cable, then Wi-Fi with a password.
//!
//! qemu has neither board whole, so their cards are started by UEFI on its `virt` machine: Debian's base of that board, its kernel and the slot are
//! tried, and its firmware, U-Boot and chips are not. Radios are simulated by the guest's kernel (`mac80211_hwsim`): one is the gateway's, the other
//! an access point that speaks WPA2 and DHCP.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{
    super::Board,
    card::provisioned,
    console::Marker,
    guest::{BOOT_LIMIT, Guest, THIS_HOST},
    interrupted,
    stage::{Context, PROVISION, Setting, Stage},
    transcript::Transcript,
};

/// The serial port of this machine; the boards have others, and the kernel of the Pi 5 (7.3) does not find this one by itself.
const ARGUMENTS: (&str, &str) = ("millrace/arguments.cfg", "set arguments=\"console=ttyAMA0\"\n");
const FIXED: &str = "10.0.2.77";
/// Of the fixed address' card, as a person gives them to the image.
const STATIC: &[&str] = &["--static-ip", "10.0.2.77/24", "--static-gateway", THIS_HOST, "--dns", "10.0.2.3"];
/// And of the second start, as a person writes them into the card's file.
const WIFI: &[(&str, &str)] = &[
    ("STATIC_IP", ""),
    ("STATIC_GATEWAY", ""),
    ("DNS", ""),
    ("WIFI_SSID", "hall 3: presses"),
    ("WIFI_PASSWORD", "secret words"),
    ("WIFI_COUNTRY", "DE"),
];
const DELIVERY_LIMIT: Duration = Duration::from_secs(120);
const RADIO_LIMIT: Duration = Duration::from_secs(180);

pub fn run(context: &mut Context<'_>) -> Result<()> {
    for board in [Board::Rpi4, Board::Rpi5] {
        play(context, board)?;
    }
    Ok(())
}

fn play(context: &mut Context<'_>, board: Board) -> Result<()> {
    let mut stage = context.stage(&format!("network-{}", board.name()), &Setting { board, more: STATIC, ..Setting::default() })?;
    let transcript = &mut context.transcript;
    stage.guest.card.write(ARGUMENTS.0, ARGUMENTS.1)?;
    stage.guest.address = FIXED;
    stage.guest.power_on(true)?;
    let at = stage.healthy()?;
    let (_, enrolled, _) = stage.guest.wait_for("enrolment", BOOT_LIMIT, 0, &|m| matches!(m, Marker::Enrolled { .. }))?;
    let kernel = stage.guest.ssh("uname -r")?;
    transcript.passed(&format!("{board}: gateway healthy", board = board.name()), at, &format!("kernel {}", kernel.trim()));
    transcript.passed("enrolled from a fixed address", enrolled, FIXED);
    fixed(transcript, &stage.guest)?;
    stage.start_machines()?;
    stage.delivers(0, DELIVERY_LIMIT)?;
    stage.guest.power_off()?;

    let text = stage.guest.card.read(PROVISION)?.unwrap_or_default();
    stage.guest.card.write(PROVISION, &provisioned(&text, WIFI))?;
    stage.guest.address = super::guest::BY_DHCP;
    stage.guest.power_on(true)?;
    stage.healthy()?;
    wireless(transcript, &mut stage)?;
    stage.pass(Duration::from_secs(10))?;
    stage.settle(transcript, &[])?;
    stage.guest.power_off()?;
    stage.plant.end_collector()
}

/// That address and no other, and the way out through the given router.
fn fixed(transcript: &mut Transcript, guest: &Guest) -> Result<()> {
    let addresses = guest.ssh("ip -brief -4 address show dev eth0")?;
    let held: Vec<&str> = addresses.split_whitespace().skip(2).collect();
    if held != ["10.0.2.77/24"] {
        bail!("eth0 has other addresses than 10.0.2.77/24 alone: {addresses:?}");
    }
    let route = guest.ssh("ip -4 route show default")?;
    if !route.starts_with("default via 10.0.2.2 dev eth0") {
        bail!("the default route is not the one that was given: {route:?}");
    }
    let servers = guest.ssh("resolvectl dns eth0")?;
    if !servers.contains("10.0.2.3") {
        bail!("the name server is not the one that was given: {servers:?}");
    }
    transcript.passed("fixed address, router and name server", Duration::ZERO, route.trim());
    Ok(())
}

/// Gives the guest two radios, makes an access point of the second one, and waits until the first one is a part of its network.
fn wireless(transcript: &mut Transcript, stage: &mut Stage<'_>) -> Result<()> {
    stage.guest.wait_for_ssh()?;
    stage.guest.ssh(ACCESS_POINT)?;
    let begun = Instant::now();
    loop {
        interrupted()?;
        let address = stage.guest.ssh("ip -brief -4 address show dev wlan0")?;
        if address.contains(" 192.168.77.") {
            let status = stage.guest.ssh("wpa_cli -p /run/wpa_supplicant -i wlan0 status")?;
            if !(status.contains("wpa_state=COMPLETED") && status.contains("key_mgmt=WPA2-PSK")) {
                bail!("an address, but no network with WPA2: {status}");
            }
            transcript.passed("Wi-Fi: joined by WPA2, address by DHCP", begun.elapsed(), address.trim());
            return Ok(());
        }
        if begun.elapsed() > RADIO_LIMIT {
            let log = stage.guest.ssh("journalctl --no-pager -b -u wpa_supplicant@wlan0 -u systemd-networkd | tail -n 40; ip address")?;
            bail!("no address by Wi-Fi within {} s; {address:?}\n{log}", RADIO_LIMIT.as_secs());
        }
        stage.pass(Duration::from_secs(2))?;
    }
}

/// Run in the guest. Its own wpa_supplicant is the access point, and its own networkd gives the addresses there.
const ACCESS_POINT: &str = r#"set -e
mkdir -p /run/systemd/network
printf '[Match]\nName=wlan1\n\n[Link]\nRequiredForOnline=no\n\n[Network]\nAddress=192.168.77.1/24\nDHCPServer=yes\n' > /run/systemd/network/05-access-point.network
networkctl reload
modprobe mac80211_hwsim radios=2
printf 'network={\n ssid="hall 3: presses"\n mode=2\n frequency=2412\n key_mgmt=WPA-PSK\n proto=RSN\n pairwise=CCMP\n psk="secret words"\n}\n' > /run/access-point.conf
wpa_supplicant -B -D nl80211 -i wlan1 -c /run/access-point.conf
"#;
