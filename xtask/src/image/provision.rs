//! What one card is told: the lines of `millrace/provision.conf`, from the command line or from a line of a CSV file, checked before anything
//! is built. The card checks them again (`deploy/image/rootfs/usr/lib/millrace/provision`), since anybody may edit the file.
//!
//! Pure, but for a file with an SSH key.

use std::{fmt, fs, net::Ipv4Addr, net::SocketAddr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Options of the command line, and columns of a CSV file under the names in [`Provision::set`].
#[derive(clap::Args, Debug, Clone, Default, PartialEq, Eq)]
pub struct Provision {
    /// Name of this gateway at the collector: 1 to 63 of a-z 0-9 - (without one, the card makes one of its hardware address)
    #[arg(long, value_name = "ID")]
    pub gateway: Option<String>,
    /// Address of the collector, as https://collector.example:8443 (a token holds it as well)
    #[arg(long, value_name = "URL")]
    pub collector: Option<String>,
    /// One-time token of `millrace-collector token create --gateway ID`; the card enrols itself with it
    #[arg(long, value_name = "mrt1.…")]
    pub token: Option<String>,
    /// Wi-Fi network, as SSID:PASSWORD
    #[arg(long, value_name = "SSID:PASSWORD")]
    pub wifi: Option<String>,
    /// Country whose rules the radio keeps, as DE
    #[arg(long, value_name = "DE")]
    pub wifi_country: Option<String>,
    /// Public key that may log in as root by SSH, or its file; without one there is no SSH
    #[arg(long, value_name = "FILE|KEY")]
    pub ssh_key: Option<String>,
    /// Fixed address, as 192.168.1.20/24 (of the Wi-Fi where there is one, else of eth0); DHCP without it
    #[arg(long, value_name = "A.B.C.D/LEN")]
    pub static_ip: Option<String>,
    /// Router to go with the fixed address
    #[arg(long, value_name = "A.B.C.D")]
    pub static_gateway: Option<String>,
    /// Name servers, with commas
    #[arg(long, value_name = "A.B.C.D")]
    pub dns: Option<String>,
    /// Time servers, with commas; DHCP's or Debian's without it
    #[arg(long, value_name = "HOST")]
    pub ntp: Option<String>,
    /// Host name; the gateway's name without it
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// As Europe/Berlin; UTC without it. For the card's own log, data is in UTC in any case
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Where the gateway takes MQTT: 0.0.0.0:1883 unless set (anybody in the network may publish), 127.0.0.1:1883 for this machine alone
    #[arg(long, value_name = "ADDR:PORT")]
    pub mqtt_listen: Option<String>,
}

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub key: &'static str,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// Columns of a CSV file.
pub const COLUMNS: &[&str] = &[
    "gateway",
    "collector",
    "token",
    "wifi_ssid",
    "wifi_password",
    "wifi_country",
    "ssh_key",
    "static_ip",
    "static_gateway",
    "dns",
    "ntp",
    "hostname",
    "timezone",
    "mqtt_listen",
];

impl Provision {
    /// Sets what a column of [`COLUMNS`] stands for; an empty text leaves it. `false`: there is no such column.
    pub fn set(&mut self, column: &str, value: &str) -> bool {
        let field = match column {
            "gateway" => &mut self.gateway,
            "collector" => &mut self.collector,
            "token" => &mut self.token,
            "wifi_country" => &mut self.wifi_country,
            "ssh_key" => &mut self.ssh_key,
            "static_ip" => &mut self.static_ip,
            "static_gateway" => &mut self.static_gateway,
            "dns" => &mut self.dns,
            "ntp" => &mut self.ntp,
            "hostname" => &mut self.hostname,
            "timezone" => &mut self.timezone,
            "mqtt_listen" => &mut self.mqtt_listen,
            "wifi_ssid" | "wifi_password" => {
                let (ssid, password) = self.wifi();
                let (ssid, password) = if column == "wifi_ssid" { (value, password) } else { (ssid, value) };
                if !value.is_empty() {
                    self.wifi = Some(format!("{ssid}\0{password}"));
                }
                return true;
            }
            _ => return false,
        };
        if !value.is_empty() {
            *field = Some(value.to_owned());
        }
        true
    }

    /// Network and password; from a CSV file they are apart already, since a name may hold a colon.
    fn wifi(&self) -> (&str, &str) {
        let text = self.wifi.as_deref().unwrap_or_default();
        text.split_once('\0').or_else(|| text.split_once(':')).unwrap_or((text, ""))
    }

    /// Reads the SSH key's file if it is one, and the collector's address out of the token if there is no other.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn resolved(mut self) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut wrong = |key, what: &str| problems.push(Problem { key, what: what.to_owned() });
        if let Some(key) = self.ssh_key.take() {
            match public_key(&key) {
                Ok(key) => self.ssh_key = Some(key),
                Err(what) => wrong("ssh-key", &what),
            }
        }
        match self.token.as_deref().map(token_url) {
            Some(Ok(url)) => {
                self.collector.get_or_insert(url);
            }
            Some(Err(what)) => wrong("token", what),
            None => {}
        }
        if self.token.is_some() && self.gateway.is_none() {
            wrong("gateway", "a token is made for one gateway; name it with --gateway ID");
        }
        let checks: [Check; 9] = [
            ("gateway", &self.gateway, is_gateway, "must be 1 to 63 of a-z 0-9 -"),
            ("hostname", &self.hostname, is_hostname, "must be 1 to 63 letters, digits and - (not at the ends)"),
            ("collector", &self.collector, is_collector, "must be https://HOST:PORT without a path"),
            ("static-ip", &self.static_ip, is_network, "must be an address with the length of its network, as 192.168.1.20/24"),
            ("static-gateway", &self.static_gateway, |t| t.parse::<Ipv4Addr>().is_ok(), "must be an address as 192.168.1.1"),
            ("dns", &self.dns, is_addresses, "must be addresses as 192.168.1.1,9.9.9.9"),
            ("wifi-country", &self.wifi_country, is_country, "must be two capital letters, as DE"),
            ("timezone", &self.timezone, |t| jiff::tz::TimeZone::get(t).is_ok(), "is no time zone; names are as Europe/Berlin"),
            ("mqtt-listen", &self.mqtt_listen, |t| t.parse::<SocketAddr>().is_ok(), "must be an address and port, as 0.0.0.0:1883"),
        ];
        for (key, value, is_right, what) in checks {
            if let Some(text) = value.as_deref().filter(|text| !is_right(text)) {
                wrong(key, &format!("{text:?} {what}"));
            }
        }
        if self.static_gateway.is_some() && self.static_ip.is_none() {
            wrong("static-gateway", "is of no use without --static-ip");
        }
        if self.wifi.is_some() {
            let (ssid, password) = self.wifi();
            if let Some(what) = wifi_problem(ssid, password) {
                wrong("wifi", what);
            }
        }
        for (key, value) in self.lines() {
            if value.chars().any(char::is_control) {
                wrong(key, "holds a line break or another control character");
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    fn lines(&self) -> Vec<(&'static str, &str)> {
        let (ssid, password) = self.wifi();
        let all = [
            ("GATEWAY_ID", self.gateway.as_deref().unwrap_or_default()),
            ("COLLECTOR_URL", self.collector.as_deref().unwrap_or_default()),
            ("TOKEN", self.token.as_deref().unwrap_or_default()),
            ("WIFI_SSID", ssid),
            ("WIFI_PASSWORD", password),
            ("WIFI_COUNTRY", self.wifi_country.as_deref().unwrap_or_default()),
            ("STATIC_IP", self.static_ip.as_deref().unwrap_or_default()),
            ("STATIC_GATEWAY", self.static_gateway.as_deref().unwrap_or_default()),
            ("DNS", self.dns.as_deref().unwrap_or_default()),
            ("NTP", self.ntp.as_deref().unwrap_or_default()),
            ("SSH_KEY", self.ssh_key.as_deref().unwrap_or_default()),
            ("HOSTNAME", self.hostname.as_deref().unwrap_or_default()),
            ("TIMEZONE", self.timezone.as_deref().unwrap_or_default()),
            ("MQTT_LISTEN", self.mqtt_listen.as_deref().unwrap_or_default()),
        ];
        all.to_vec()
    }

    /// The file for the card: `template` with a line `#KEY=` of it filled in for each value there is.
    pub fn file(&self, template: &str) -> String {
        let values = self.lines();
        let line = |line: &str| {
            let key = line.strip_prefix('#').and_then(|l| l.strip_suffix('='));
            match values.iter().find(|(name, value)| Some(*name) == key && !value.is_empty()) {
                Some((name, value)) => format!("{name}={value}\n"),
                None => format!("{line}\n"),
            }
        };
        template.lines().map(line).collect()
    }
}

type Check<'a> = (&'static str, &'a Option<String>, fn(&str) -> bool, &'static str);

/// The collector's address in a token, as `millrace-gateway enroll` reads it.
fn token_url(token: &str) -> Result<String, &'static str> {
    let body = token.trim().strip_prefix("mrt1.").ok_or("this is no enrolment token: it does not begin with mrt1.")?;
    let json = URL_SAFE_NO_PAD.decode(body.trim_end_matches('=')).map_err(|_| "this token is cut off or damaged; copy it again")?;
    let value: serde_json::Value = serde_json::from_slice(&json).map_err(|_| "this token is cut off or damaged; copy it again")?;
    let text = |key: &str| value[key].as_str().filter(|text| !text.is_empty());
    match (text("url"), text("ca_sha256"), text("secret")) {
        (Some(url), Some(ca), Some(_)) if url.starts_with("https://") && ca.replace(':', "").len() == 64 => {
            Ok(url.trim_end_matches('/').to_owned())
        }
        _ => Err("this token does not hold what a collector puts into one; make a new one with `millrace-collector token create`"),
    }
}

fn public_key(text: &str) -> Result<String, String> {
    let is_key = |text: &str| ["ssh-", "ecdsa-", "sk-"].iter().any(|start| text.starts_with(start)) && text.split_whitespace().count() >= 2;
    let key = if is_key(text) {
        text.to_owned()
    } else {
        fs::read_to_string(text).map_err(|e| format!("{text:?} is no key and no file ({e})"))?
    };
    let key = key.trim();
    if key.contains("PRIVATE KEY") {
        return Err(format!("{text:?} is a private key, which must stay where it is; give the one in {text}.pub"));
    }
    if !is_key(key) || key.lines().count() != 1 {
        return Err(format!("{text:?} holds no single public key as ssh-keygen writes it into a .pub file"));
    }
    Ok(key.to_owned())
}

fn is_gateway(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_hostname(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_collector(text: &str) -> bool {
    let Some(host) = text.strip_prefix("https://").map(|host| host.trim_end_matches('/')) else { return false };
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-[]".contains(&b))
}

fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    address.parse::<Ipv4Addr>().is_ok() && length.parse::<u8>().is_ok_and(|length| (1..=32).contains(&length))
}

fn is_addresses(text: &str) -> bool {
    text.split([',', ' ']).filter(|part| !part.is_empty()).all(|part| part.parse::<Ipv4Addr>().is_ok())
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}

fn wifi_problem(ssid: &str, password: &str) -> Option<&'static str> {
    let is_raw = password.len() == 64 && password.bytes().all(|b| b.is_ascii_hexdigit());
    let is_phrase = (8..=63).contains(&password.len()) && password.bytes().all(|b| (b' '..=b'~').contains(&b));
    if ssid.is_empty() {
        Some("the network's name is missing; write SSID:PASSWORD")
    } else if ssid.len() > 32 {
        Some("the network's name has more than 32 bytes")
    } else if ssid.trim() != ssid || password.trim() != password {
        Some("a name or password with spaces at its ends can't be written into provision.conf")
    } else if !(password.is_empty() || is_raw || is_phrase) {
        Some("the password must have 8 to 63 characters of ASCII, or be 64 hex digits")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(json: &str) -> String {
        format!("mrt1.{}", URL_SAFE_NO_PAD.encode(json))
    }

    fn good_token() -> String {
        token(&format!(r#"{{"url":"https://c.example:8443","ca_sha256":"{}","secret":"s"}}"#, "ab".repeat(32)))
    }

    fn keys(problems: &[Problem]) -> Vec<&'static str> {
        problems.iter().map(|p| p.key).collect()
    }

    #[test]
    fn the_token_tells_where_the_collector_is_unless_an_address_is_given() {
        let given = Provision { token: Some(good_token()), gateway: Some("g1".into()), ..Provision::default() };
        assert_eq!(given.clone().resolved().unwrap().collector.as_deref(), Some("https://c.example:8443"));
        let other = Provision { collector: Some("https://10.0.0.5:8443".into()), ..given };
        assert_eq!(other.resolved().unwrap().collector.as_deref(), Some("https://10.0.0.5:8443"));
    }

    #[test]
    fn a_token_that_is_none_is_refused_with_what_is_wrong() {
        for (text, expected) in
            [("hello".to_owned(), "begin with mrt1."), ("mrt1.%%".to_owned(), "damaged"), (token("{}"), "does not hold")]
        {
            let problems = Provision { token: Some(text), gateway: Some("g1".into()), ..Provision::default() }.resolved().unwrap_err();
            assert!(problems[0].to_string().contains(expected), "{problems:?}");
        }
        let nameless = Provision { token: Some(good_token()), ..Provision::default() };
        assert_eq!(keys(&nameless.resolved().unwrap_err()), ["gateway"]);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let bad = Provision {
            gateway: Some("Press 1".into()),
            static_ip: Some("192.168.1.20".into()),
            static_gateway: Some("192.168.1".into()),
            dns: Some("dns.example".into()),
            wifi: Some("hall:short".into()),
            wifi_country: Some("Germany".into()),
            timezone: Some("Berlin".into()),
            mqtt_listen: Some("1883".into()),
            collector: Some("http://c".into()),
            hostname: Some("-a".into()),
            ..Provision::default()
        };
        let mut found = keys(&bad.resolved().unwrap_err());
        found.sort_unstable();
        let all =
            ["collector", "dns", "gateway", "hostname", "mqtt-listen", "static-gateway", "static-ip", "timezone", "wifi", "wifi-country"];
        assert_eq!(found, all);
    }

    #[test]
    fn wifi_names_and_passwords_keep_to_what_the_standard_allows() {
        for good in ["a:12345678", "a", "a:pass:with:colons", &format!("a:{}", "f".repeat(64)), &format!("{}:12345678", "s".repeat(32))] {
            assert!(Provision { wifi: Some(good.into()), ..Provision::default() }.resolved().is_ok(), "{good}");
        }
        for bad in [":12345678", "a:1234567", &format!("a:{}", "x".repeat(64)), &format!("{}:12345678", "s".repeat(33)), "a:pässwörter"] {
            assert!(Provision { wifi: Some(bad.into()), ..Provision::default() }.resolved().is_err(), "{bad}");
        }
    }

    #[test]
    fn no_value_can_bring_a_line_of_its_own() {
        let sly = Provision { ntp: Some("a\nSSH_KEY=evil".into()), ..Provision::default() };
        assert_eq!(keys(&sly.resolved().unwrap_err()), ["NTP"]);
    }

    #[test]
    fn a_private_key_is_refused_and_a_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (public, private) = (dir.path().join("id.pub"), dir.path().join("id"));
        fs::write(&public, "ssh-ed25519 AAAA me\n").unwrap();
        fs::write(&private, "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
        assert_eq!(public_key(public.to_str().unwrap()).unwrap(), "ssh-ed25519 AAAA me");
        assert!(public_key(private.to_str().unwrap()).unwrap_err().contains(".pub"));
        assert!(public_key("/no/such/file").is_err());
    }

    #[test]
    fn the_template_names_every_key_and_only_what_is_set_is_filled_in() {
        let template = fs::read_to_string(crate::command::root().join("deploy/image/card/provision.conf")).unwrap();
        for (key, _) in Provision::default().lines() {
            assert!(template.lines().any(|line| line == format!("#{key}=")), "{key}");
        }
        assert_eq!(Provision::default().file(&template), template);
        let mut one = Provision::default();
        assert!(
            one.set("wifi_ssid", "a:b") && one.set("wifi_password", "c:d-e-f-g") && one.set("gateway", "g1") && !one.set("colour", "red")
        );
        let file = one.file(&template);
        assert!(file.contains("\nWIFI_SSID=a:b\nWIFI_PASSWORD=c:d-e-f-g\n") && file.contains("\nGATEWAY_ID=g1\n"), "{file}");
        assert!(COLUMNS.iter().all(|column| one.set(column, "")));
    }
}
