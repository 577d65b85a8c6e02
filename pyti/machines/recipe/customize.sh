#!/bin/sh
# Turns the bootstrapped folder $1 into the guest: runs once, as mmdebstrap's customize hook, at native speed.
# PYTI_RECIPE is the folder of this file, PYTI_WHEELS a folder of wheels, PYTI_OUT where facts about the image go.
set -eu
root=$1

install -m 644 "$PYTI_RECIPE/sshd_config" "$root/etc/ssh/sshd_config"
rm -f "$root"/etc/ssh/ssh_host_*
install -m 644 "$PYTI_RECIPE/pyti-ssh.service" "$PYTI_RECIPE/pyti-agent.service" "$root/etc/systemd/system/"
install -m 644 "$PYTI_RECIPE/sysctl.conf" "$root/etc/sysctl.d/90-pyti.conf"
install -m 644 "$PYTI_RECIPE/journald.conf" "$root/etc/systemd/journald.conf"
install -m 644 "$PYTI_RECIPE/initramfs.conf" "$root/etc/initramfs-tools/conf.d/pyti.conf"
install -m 644 "$PYTI_RECIPE/initramfs-modules" "$root/etc/initramfs-tools/modules"
printf '/dev/vda / ext4 rw,noatime,discard 0 0\n' >"$root/etc/fstab"
printf 'pyti\n' >"$root/etc/hostname"
printf '127.0.0.1 localhost pyti\n::1 localhost ip6-localhost\n' >"$root/etc/hosts"
: >"$root/etc/resolv.conf"
printf '0123456789abcdef0123456789abcdef\n' >"$root/etc/machine-id"

mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf multi-user.target "$root/lib/systemd/system/default.target"
for unit in pyti-ssh pyti-agent; do
    ln -sf "/etc/systemd/system/$unit.service" "$root/etc/systemd/system/multi-user.target.wants/$unit.service"
done
while read -r unit; do
    case $unit in '' | '#'*) continue ;; esac
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done <"$PYTI_RECIPE/masked-units.txt"

chroot "$root" useradd --uid 1000 --user-group --create-home --shell /bin/sh tester
mkdir -p "$root/usr/lib/pyti/pyti/guest" "$root/root/.ssh" "$root/opt/pyti" "$root/var/lib/pyti"
chmod 700 "$root/root/.ssh"
: >"$root/usr/lib/pyti/pyti/__init__.py"

mkdir "$root/tmp/wheels"
cp "$PYTI_WHEELS"/*.whl "$root/tmp/wheels/"
grep -v '^#' "$PYTI_RECIPE/tools.txt" >"$root/tmp/tools.txt"
chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PIP_NO_CACHE_DIR=1 PIP_CONFIG_FILE=/dev/null sh -eu -c '
    python3 -m venv /opt/pyti/tools
    /opt/pyti/tools/bin/python -m pip install --quiet --upgrade --no-index --find-links /tmp/wheels -r /tmp/tools.txt
    /opt/pyti/tools/bin/python -m pip list --format json >/tmp/tools.json
    /opt/pyti/tools/bin/python -m pip uninstall --quiet --yes pip
    python3 -m venv --without-pip /home/tester/venv
    chown -R tester:tester /home/tester
    python3 -m compileall -q -j 0 /usr/lib/python3 /usr/lib/python3.11 /opt/pyti/tools/lib || true
    update-initramfs -u -k all
'
chroot "$root" /opt/pyti/tools/bin/python -s -c "$(cat "$PYTI_RECIPE/target.py")" >"$PYTI_OUT/target.json"
chroot "$root" dpkg-query --show --showformat '${Package} ${Version}\n' >"$PYTI_OUT/packages.list"
mv "$root/tmp/tools.json" "$PYTI_OUT/tools.json"
cp -L "$root"/boot/vmlinuz-* "$PYTI_OUT/vmlinuz"
cp -L "$root"/boot/initrd.img-* "$PYTI_OUT/initrd"
rm -rf "$root"/tmp/wheels "$root"/tmp/tools.txt "$root"/boot/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* \
    "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/log/* "$root"/var/cache/debconf/*-old
