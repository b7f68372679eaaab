//! What must hold at each step: (what, a shell script that fails if it does not). `$NAME` is the package, the program, the service and the user;
//! `$PART` gateway or collector. Some steps do something to look at later; the state that use leaves has secret-of-the-test in it, which no purge may leave.

use super::super::Product;

/// A promise and the script that looks whether it is kept.
pub(super) type Check = (&'static str, &'static str);

pub(super) const INSTALLED: &[Check] = &[
    ("the program is root's and starts", r#"[ "$(stat -c %U:%G:%a "/usr/bin/$NAME")" = root:root:755 ] && "$NAME" --version"#),
    ("the service has a user that cannot log in", r#"getent passwd "$NAME" | grep -q ":/var/lib/$NAME:/usr/sbin/nologin$""#),
    ("the configuration is root's", r#"[ "$(stat -c %U:%G:%a "/etc/millrace/$PART.toml")" = root:root:644 ]"#),
    ("dpkg takes it for configuration", r#"dpkg-query -W -f '${Conffiles}' "$NAME" | grep -q "/etc/millrace/$PART.toml ""#),
    (
        "the configuration as it is installed has no problem, for the service's user too",
        r#""$NAME" check-config && setpriv --reuid "$NAME" --regid "$NAME" --clear-groups "$NAME" check-config"#,
    ),
    ("the annotated example is there and has no problem", r#""$NAME" check-config --config "/usr/share/doc/$NAME/examples/$PART.toml""#),
    ("the service starts at boot", r#"[ "$(systemctl is-enabled "$NAME")" = enabled ]"#),
    (
        "systemd finds nothing to say about the unit",
        r#"said=$(systemd-analyze verify --man=no "$NAME.service" 2>&1 | grep "$NAME" || true); echo "$said"; [ -z "$said" ]"#,
    ),
    (
        "copyright, changelog and the list of crates are there",
        r#"cd "/usr/share/doc/$NAME" && ls copyright changelog.Debian.gz && grep -q '^tokio ' third-party.txt"#,
    ),
    (
        "bash loads the completions and completes a command",
        r#"bash -ec '. /usr/share/bash-completion/bash_completion; . "/usr/share/bash-completion/completions/$NAME"
            COMP_WORDS=("$NAME" check-) COMP_CWORD=1 COMP_LINE="$NAME check-" COMP_POINT=99
            function=$(complete -p "$NAME" | grep -o -- "-F [^ ]*"); "${function#-F }" "$NAME" check- "$NAME" || true; [ "${COMPREPLY[*]}" = check-config ]'"#,
    ),
    (
        "zsh and fish find theirs",
        r#"grep -q "^#compdef $NAME" "/usr/share/zsh/vendor-completions/_$NAME" && grep -q "complete -c $NAME" "/usr/share/fish/vendor_completions.d/$NAME.fish""#,
    ),
];

/// What the first start is like, where a systemd runs.
pub(super) fn first_start(product: Product, is_booted: bool) -> &'static [Check] {
    match (is_booted, product) {
        (false, _) => &[],
        (true, Product::Gateway) => &[
            ("the installation started the gateway", RUNS),
            ("it is healthy by its own account", r#"for i in $(seq 50); do "$NAME" status && exit 0; sleep 0.2; done; exit 1"#),
            (
                "reload reaches it and does not restart it",
                r#"before=$(systemctl show -P MainPID "$NAME"); systemctl reload "$NAME" && sleep 1 && [ "$(systemctl show -P MainPID "$NAME")" = "$before" ] && "$NAME" status"#,
            ),
            LEFT_BY_ROOT,
            ("its state is its own", r#"[ "$(stat -c %U:%G:%a "/var/lib/$NAME")" = "$NAME:$NAME:700" ]"#),
        ],
        (true, Product::Collector) => &[
            (
                "before init the service is skipped, not failed, and not tried again and again",
                r#"sleep 6; [ "$(systemctl is-active "$NAME")" = inactive ] && [ "$(systemctl show -P NRestarts "$NAME")" = 0 ] && ! systemctl is-failed "$NAME""#,
            ),
            (
                "init shows a key and takes the installed configuration as it is",
                r#""$NAME" init | grep -q '^admin key: mk_'; dpkg --verify "$NAME""#,
            ),
            (
                "it starts then",
                r#"systemctl start "$NAME" && for i in $(seq 100); do [ "$(systemctl is-active "$NAME")" = active ] && exit 0; sleep 0.2; done; exit 1"#,
            ),
            ("and runs", RUNS),
            LEFT_BY_ROOT,
            (
                "all of its state is its own, also what root made by init",
                r#"[ "$(stat -c %U:%a "/var/lib/$NAME")" = "$NAME:700" ] && [ -z "$(find "/var/lib/$NAME" ! -user "$NAME")" ]"#,
            ),
        ],
    }
}

const LEFT_BY_ROOT: Check = (
    "what a command of root left in the state while the service was stopped is handed over at its start",
    r#"systemctl stop "$NAME" && touch "/var/lib/$NAME/left-by-root" && systemctl start "$NAME" && [ "$(stat -c %U "/var/lib/$NAME/left-by-root")" = "$NAME" ] && rm "/var/lib/$NAME/left-by-root""#,
);

/// The service runs, and did not need a second try.
pub(super) fn running(is_booted: bool) -> &'static [Check] {
    if is_booted { &[("the service runs, at the first try", RUNS)] } else { &[] }
}

const RUNS: &str = r#"for i in $(seq 100); do [ "$(systemctl is-active "$NAME")" = active ] && break; sleep 0.2; done
    [ "$(systemctl show -P NRestarts "$NAME")" = 0 ] && [ "$(systemctl is-active "$NAME")" = active ] && [ "$(stat -c %U "/proc/$(systemctl show -P MainPID "$NAME")")" = "$NAME" ] || { systemctl status "$NAME"; exit 1; }"#;

/// Not checks: what a time of use leaves behind.
pub(super) const MADE_BY_USE: &[Check] = &[(
    "(a key, a password file and a drop-in, as a time of use leaves them)",
    r#"install -d -o "$NAME" -g "$NAME" -m 700 "/var/lib/$NAME" "/var/lib/$NAME/pki"
       echo secret-of-the-test > "/var/lib/$NAME/pki/test.key"; chown "$NAME:" "/var/lib/$NAME/pki/test.key"; chmod 600 "/var/lib/$NAME/pki/test.key"
       install -g "$NAME" -m 640 /dev/null "/etc/millrace/$PART-passwords"; echo secret-of-the-test > "/etc/millrace/$PART-passwords"
       install -d "/etc/systemd/system/$NAME.service.d"; printf '[Service]\nEnvironment=SECRET=secret-of-the-test\n' > "/etc/systemd/system/$NAME.service.d/test.conf"
       ! [ -d /run/systemd/system ] || systemctl show -P MainPID "$NAME" > /tmp/pid-before"#,
)];

pub(super) const UPGRADED: &[Check] = &[
    ("the upgrade is there", r#"dpkg-query -W -f '${Version}' "$NAME" | grep -q -- '-2$'"#),
    ("an untouched configuration is the new package's", r#"tail -n 1 "/etc/millrace/$PART.toml" | grep -q '^# of the second package$'"#),
    (
        "the service was restarted",
        r#"! [ -d /run/systemd/system ] || [ "$(systemctl show -P MainPID "$NAME")" != "$(cat /tmp/pid-before)" ]"#,
    ),
    ("the state is where it was", KEPT),
];

pub(super) const CHANGED_BY_HAND: &[Check] =
    &[("(a line in the configuration)", r#"echo '# changed by hand' >> "/etc/millrace/$PART.toml""#)];

pub(super) const UPGRADED_AND_KEPT: &[Check] = &[
    ("the upgrade is there", r#"dpkg-query -W -f '${Version}' "$NAME" | grep -q -- '-3$'"#),
    ("what the administrator changed is kept", r#"grep -q '^# changed by hand$' "/etc/millrace/$PART.toml""#),
    ("and the new package's lies beside it", r#"grep -q '^# of the third package$' "/etc/millrace/$PART.toml.dpkg-dist""#),
];

pub(super) const REMOVED: &[Check] = &[
    (
        "program and unit are gone",
        r#"! [ -e "/usr/bin/$NAME" ] && ! [ -e "/usr/lib/systemd/system/$NAME.service" ] && ! [ -e "/lib/systemd/system/$NAME.service" ]"#,
    ),
    ("nothing of it runs", r#"! stat -c %U /proc/[0-9]* 2>/dev/null | grep -x "$NAME""#),
    ("the state is kept", KEPT),
    (
        "and so is the configuration",
        r#"grep -q '^# changed by hand$' "/etc/millrace/$PART.toml" && grep -q secret-of-the-test "/etc/millrace/$PART-passwords""#,
    ),
];

pub(super) const TAKEN_OVER: &[Check] = &[
    ("the state is taken over, by the same user", KEPT),
    ("the changed configuration too", r#"grep -q '^# changed by hand$' "/etc/millrace/$PART.toml""#),
    ("the service starts at boot again", r#"[ "$(systemctl is-enabled "$NAME")" = enabled ]"#),
];

const KEPT: &str =
    r#"[ "$(stat -c %U:%a "/var/lib/$NAME/pki/test.key")" = "$NAME:600" ] && grep -q secret-of-the-test "/var/lib/$NAME/pki/test.key""#;

pub(super) const PURGED: &[Check] = &[
    (
        "nothing of that name is left",
        r#"left=$(find / -xdev \( -path /proc -o -path /sys -o -path /packages \) -prune -o -iname '*millrace*' -print); echo "$left"; [ -z "$left" ]"#,
    ),
    ("no secret is left", r#"! grep -rlI secret-of-the-test /etc /var /usr/local /home /root /srv /opt"#),
    ("no user is left", r#"! getent passwd "$NAME" && ! getent group "$NAME""#),
    ("dpkg has forgotten it", r#"! dpkg-query -W "$NAME""#),
];
