#!/bin/sh
# Starts virtlogd and libvirtd where they do not run, and waits until libvirt answers. Safe to run again at any time.
# With systemd as pid 1 they are started as units; elsewhere (containers, minimal systems) as daemons. Needs root.
set -eu
PATH=$PATH:/usr/sbin:/sbin
limit=${PYTI_SERVICES_TIMEOUT_S:-30}

say() { printf 'start-services: %s\n' "$1" >&2; }
answers() { timeout 5 virsh --quiet --connect qemu:///system version >/dev/null 2>&1; }

if answers; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    say "libvirt does not answer and only root may start it; run: sudo $0"
    exit 1
fi
for program in virtlogd libvirtd virsh; do
    if ! command -v "$program" >/dev/null; then
        say "$program is not installed; install libvirt-daemon-system and libvirt-clients"
        exit 1
    fi
done
if [ -d /run/systemd/system ]; then
    systemctl start virtlogd.socket libvirtd.service
else
    # Each refuses to start twice by its own pid file, so a race with another starter does no harm.
    virtlogd --daemon 2>/dev/null || true
    # Below reap.py, because a container's pid 1 may bury dead machines slowly, and libvirt waits for that.
    setsid nohup python3 "$(dirname "$(readlink -f "$0")")/reap.py" libvirtd </dev/null >/dev/null 2>&1 &
fi
tries=0
until answers; do
    tries=$((tries + 1))
    if [ "$tries" -ge "$limit" ]; then
        say "libvirt does not answer after $limit s; see: journalctl -u libvirtd, or run libvirtd in the foreground"
        exit 1
    fi
    sleep 1
done
