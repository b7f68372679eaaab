# shellcheck shell=bash
# What the card's scripts share: lines on the console, the card's FAT partition, provision.conf, and the state of the slots. Sourced by them.

CARD=/boot/firmware/millrace
PROVISION=$CARD/provision.conf
SLOTS=$CARD/grubenv
RUN=/run/millrace
export LC_ALL=C
mkdir -p "$RUN"

# say TEXT: one line on every console and in the journal.
say() {
    printf '<3>millrace: %s\n' "$*" >/dev/kmsg 2>/dev/null || printf 'millrace: %s\n' "$*" >&2
}

# The slot that runs: A or B.
booted_slot() {
    sed -n 's/^.*rauc\.slot=\([AB]\)\( .*\)\?$/\1/p' /proc/cmdline
}

# on_card COMMAND...: runs it while the FAT partition may be written; one at a time.
on_card() {
    (
        flock 9
        mount -o remount,rw /boot/firmware || exit 1
        "$@"
        status=$?
        sync -f /boot/firmware
        mount -o remount,ro /boot/firmware
        exit $status
    ) 9>"$RUN/card.lock"
}

# setting KEY [DEFAULT]: the value of the last line KEY=value of provision.conf. The file is read, never run.
setting() {
    local value=
    if [ -r "$PROVISION" ]; then
        value=$(sed -n -e 's/\r$//' -e "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" "$PROVISION" | tail -n 1)
        value=${value%"${value##*[![:space:]]}"}
    fi
    printf '%s' "${value:-${2-}}"
}

# slot_state NAME: good, try or tries out of the block; empty if there is none.
slot_state() {
    [ -r "$SLOTS" ] || return 0
    sed -n "s/^$1=\(A\|B\|[0-3]\)\$/\1/p" "$SLOTS" | tail -n 1
}

# block GOOD TRY TRIES: the 1024 bytes of a GRUB environment block.
block() {
    local text
    text=$(printf '# GRUB Environment Block\ngood=%s\ntry=%s\ntries=%s\n#' "$1" "$2" "$3")
    printf '%s' "$text"
    printf '%*s' $((1024 - ${#text})) '' | tr ' ' '#'
}

write_block() {
    if [ -f "$SLOTS" ] && [ "$(stat -c %s "$SLOTS")" = 1024 ]; then
        # In place, as the boot loader writes it as well; what changes lies within one sector.
        block "$@" | dd of="$SLOTS" bs=1024 count=1 iflag=fullblock conv=notrunc,fsync status=none
    else
        block "$@" | dd of="$SLOTS.new" bs=1024 iflag=fullblock conv=fsync status=none && mv -f "$SLOTS.new" "$SLOTS"
    fi
}

# write_slots GOOD TRY TRIES: writes the block.
write_slots() {
    on_card write_block "$1" "$2" "$3"
}
