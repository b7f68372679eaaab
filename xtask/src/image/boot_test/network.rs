//! The systems of the Raspberry Pi 4 and 5 with what a person provisions of their network: a fixed address on the cable, then Wi-Fi with a password;
//! and what the system says of each way to have no network.
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
    guest::{BOOT_LIMIT, BY_DHCP, Guest, Port, THIS_HOST},
    interrupted,
    stage::{ARGUMENTS, Context, PROVISION, Setting, Stage},
    transcript::Transcript,
};

/// A console that this machine has.
const CONSOLE: &str = "set arguments=\"console=hvc0\"\n";
const FIXED: &str = "10.0.2.77";
const LENGTH: &str = "/24";
/// qemu's own.
const NAME_SERVER: &str = "10.0.2.3";
const SSID: &str = "hall 3: presses";
const PASSWORD: &str = "secret words";
const WRONG_PASSWORD: &str = "secret word";
const WRONG_SSID: &str = "hall 4";
/// Of the access point's network; it is the first of its addresses.
const BY_WIFI: &str = "192.168.77.";
/// Its configuration in the guest; the section that more is written to is the last one.
const ACCESS_POINT: &str = "/run/systemd/network/05-access-point.network";
const DELIVERY_LIMIT: Duration = Duration::from_secs(120);
const RADIO_LIMIT: Duration = Duration::from_secs(180);

pub fn run(context: &mut Context<'_>) -> Result<()> {
    for board in [Board::Rpi4, Board::Rpi5] {
        if let Err(error) = play(context, board) {
            interrupted()?;
            context.transcript.failed(&format!("{} ended early", board.name()), &format!("{error:#}"));
        }
    }
    Ok(())
}

fn play(context: &mut Context<'_>, board: Board) -> Result<()> {
    // As a person gives them to the image, and below as one writes them into the card's file.
    let network = format!("{FIXED}{LENGTH}");
    let more = &["--static-ip", &*network, "--static-gateway", THIS_HOST, "--dns", NAME_SERVER];
    let mut stage = context.stage(&format!("network-{}", board.name()), &Setting { board, more, ..Setting::default() })?;
    let transcript = &mut context.transcript;
    if board == Board::Rpi5 {
        // Its console is ttyAMA10, and this machine has ttyAMA0.
        stage.guest.card.write(ARGUMENTS, CONSOLE)?;
        stage.guest.console = Port::Virtio;
    }
    stage.guest.address = FIXED;
    stage.guest.has_second_card = true;
    stage.guest.power_on(true)?;
    let at = stage.healthy()?;
    let (_, enrolled, _) = stage.guest.wait_for("enrolment", BOOT_LIMIT, 0, &|m| matches!(m, Marker::Enrolled { .. }))?;
    stage.guest.wait_for_ssh()?;
    let kernel = stage.guest.ssh("uname -r")?;
    transcript.passed(&format!("{board}: gateway healthy", board = board.name()), at, &format!("kernel {}", kernel.trim()));
    transcript.passed("enrolled from a fixed address", enrolled, FIXED);
    fixed(transcript, &stage.guest)?;
    told(
        transcript,
        &mut stage,
        "a second network card without DHCP is told",
        "eth1: no address: no DHCP server has answered (STATIC_IP is of eth0)",
    )?;
    stage.start_machines()?;
    stage.delivers(0, DELIVERY_LIMIT)?;
    stage.guest.power_off()?;

    let text = stage.guest.card.read(PROVISION)?.unwrap_or_default();
    let wifi = [
        ("STATIC_IP", ""),
        ("STATIC_GATEWAY", ""),
        ("DNS", ""),
        ("WIFI_SSID", WRONG_SSID),
        ("WIFI_PASSWORD", WRONG_PASSWORD),
        ("WIFI_COUNTRY", "DE"),
    ];
    stage.guest.card.write(PROVISION, &provisioned(&text, &wifi))?;
    stage.guest.address = BY_DHCP;
    stage.guest.power_on(true)?;
    stage.healthy()?;
    wireless(transcript, &mut stage)?;
    stage.pass(Duration::from_secs(10))?;
    stage.settle(transcript, &[])?;
    stage.guest.power_off()?;
    stage.plant.end_collector()
}

/// That address and no other, on that card alone, and router and name server as they were given.
fn fixed(transcript: &mut Transcript, guest: &Guest) -> Result<()> {
    let is = |what: &str, script: &str, wanted: &str| {
        let told = guest.ssh(script)?;
        if told.trim() != wanted {
            bail!("{what}: {wanted:?} was given, and the system has {:?}", told.trim());
        }
        Ok(())
    };
    is("addresses of the cable", "ip -brief -4 address show dev eth0 | tr -s ' ' | cut -d ' ' -f 3-", &format!("{FIXED}{LENGTH}"))?;
    is("addresses of the second network card", "ip -brief -4 address show dev eth1 | tr -s ' ' | cut -d ' ' -f 3-", "")?;
    is("default routes", "ip -4 route show default | cut -d ' ' -f 1-5", &format!("default via {THIS_HOST} dev eth0"))?;
    is("name servers of the cable", "resolvectl dns eth0 | cut -d : -f 2-", NAME_SERVER)?;
    transcript.passed("fixed address, router and name server", Duration::ZERO, &format!("{FIXED}{LENGTH}, {THIS_HOST}, {NAME_SERVER}"));
    Ok(())
}

/// Gives the guest two radios and makes an access point of the second one. The first one must be told that there is no such network, that its
/// password is wrong, and that nobody gives addresses; then it must become a part of the network.
fn wireless(transcript: &mut Transcript, stage: &mut Stage<'_>) -> Result<()> {
    stage.guest.wait_for_ssh()?;
    stage.guest.ssh(&access_point())?;
    told(transcript, stage, "Wi-Fi: a network that is not there is told", &format!("wlan0: \"{WRONG_SSID}\" is not found"))?;
    again_with(stage, "WIFI_SSID", SSID)?;
    told(transcript, stage, "Wi-Fi: a wrong password is told", &format!("wlan0: \"{SSID}\" does not take WIFI_PASSWORD"))?;
    again_with(stage, "WIFI_PASSWORD", PASSWORD)?;
    told(transcript, stage, "Wi-Fi: a network without DHCP is told", &format!("wlan0: joined \"{SSID}\", but no address yet"))?;
    let begun = Instant::now();
    stage.guest.ssh(&format!("printf 'DHCPServer=yes\\n' >> {ACCESS_POINT} && networkctl reload"))?;
    loop {
        interrupted()?;
        let address = stage.guest.ssh("ip -brief -4 address show dev wlan0")?;
        if address.contains(BY_WIFI) {
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

/// Waits until the guest says that of its network.
fn told(transcript: &mut Transcript, stage: &mut Stage<'_>, what: &str, wanted: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let state = stage.guest.ssh("/usr/lib/millrace/network-state")?;
        if let Some(line) = state.lines().find(|line| line.contains(wanted)) {
            transcript.passed(what, begun.elapsed(), line);
            return Ok(());
        }
        if begun.elapsed() > RADIO_LIMIT {
            bail!("{wanted:?} is not told within {} s: {state}", RADIO_LIMIT.as_secs());
        }
        stage.pass(Duration::from_secs(2))?;
    }
}

/// Has the guest do what its next start would do with this setting. A start would end the access point.
fn again_with(stage: &Stage<'_>, key: &str, value: &str) -> Result<()> {
    let text = stage.guest.ssh("cat /boot/firmware/millrace/provision.conf")?;
    stage.guest.ssh(&provision_again(&provisioned(&text, &[(key, value)])))?;
    Ok(())
}

/// Run in the guest.
fn provision_again(provisioning: &str) -> String {
    format!(
        r"set -e
mount -o remount,rw /boot/firmware
cat > /boot/firmware/millrace/provision.conf << 'END'
{provisioning}
END
mount -o remount,ro /boot/firmware
systemctl restart millrace-provision
systemctl restart wpa_supplicant@wlan0
"
    )
}

/// Run in the guest. Its own wpa_supplicant is the access point, and its own networkd gives the addresses there, once it is told to.
fn access_point() -> String {
    format!(
        r#"set -e
mkdir -p /run/systemd/network
cat > {ACCESS_POINT} << END
[Match]
Name=wlan1

[Link]
RequiredForOnline=no

[Network]
Address={BY_WIFI}1/24
END
cat > /run/access-point.conf << END
network={{
    ssid="{SSID}"
    mode=2
    frequency=2412
    key_mgmt=WPA-PSK
    proto=RSN
    pairwise=CCMP
    psk="{PASSWORD}"
}}
END
networkctl reload
modprobe mac80211_hwsim radios=2
wpa_supplicant -B -D nl80211 -i wlan1 -c /run/access-point.conf
"#
    )
}
