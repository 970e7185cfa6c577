#!/bin/sh
# tools/tree.sh SUITE: a Debian that packages are built in, that systemd-nspawn can boot and that disks are made from;
# made once, under build/debian. Prints where it is: root is the tree, kernel what a virtual machine boots.
set -eu
suite=${1:-bookworm}
cache=$(cd "$(dirname "$0")/.." && pwd)/build/debian
packages=systemd,systemd-sysv,udev,kmod,dbus,procps,adduser,busybox-static
packages=$packages,iproute2,iptables,nftables,dnsmasq-base,iputils-ping,ifupdown,isc-dhcp-client,dhcpcd-base,network-manager
packages=$packages,python3,python3-dev,python3-venv,build-essential,debhelper
tree=$cache/$suite-$(printf '%s %s' "$suite" "$packages" | cat - "$0" | sha256sum | cut -c1-12)
mkdir -p "$cache"
exec 9>"$cache/lock.$suite"
flock 9
if [ ! -e "$tree/ready" ]; then
    mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
    mirror=${mirror:-http://deb.debian.org/debian}
    probe=$(mktemp -d)
    if ! timeout 120 /usr/lib/apt/apt-helper download-file "$mirror/dists/$suite/InRelease" "$probe/InRelease" >/dev/null 2>&1; then
        rm -rf "$probe"
        echo "no answer from $mirror for $suite" >&2
        exit 75
    fi
    rm -rf "$probe" "$tree"
    mkdir -p "$tree/kernel"
    # The kernel is unpacked beside the tree: installing it would make an initrd, which takes longer than all the rest.
    mmdebstrap --quiet --variant=apt --include="$packages" \
        --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --customize-hook='mkdir "$1/kernel"; chroot "$1" sh -ec "cd /kernel; apt-get download -qq \
            -o APT::Sandbox::User=root \$(apt-cache depends linux-image-cloud-amd64 | sed -n \"s/.*Depends: //p\" | head -n 1)"' \
        --customize-hook='mv "$1"/kernel/*.deb "$1/kernel.deb"; rmdir "$1/kernel"' \
        "$suite" "$tree/root" "$mirror" >&2
    dpkg -x "$tree/root/kernel.deb" "$tree/kernel"
    rm "$tree/root/kernel.deb"
    # Nothing a container boots for nobody, or that cannot run in one and would leave systemd "degraded".
    for unit in getty.target console-getty.service systemd-logind.service apt-daily.timer apt-daily-upgrade.timer \
        dpkg-db-backup.timer e2scrub_all.timer systemd-resolved.service systemd-networkd.service systemd-networkd.socket dnsmasq.service \
        NetworkManager.service NetworkManager-dispatcher.service NetworkManager-wait-online.service; do
        ln -sf /dev/null "$tree/root/etc/systemd/system/$unit"
    done
    : >"$tree/root/etc/machine-id"
    rm "$tree/root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" # what is installed later is installed in full
    touch "$tree/ready"
    # Those of other days go.
    find "$cache" -mindepth 1 -maxdepth 1 -name "$suite-*" ! -path "$tree" -exec rm -rf {} +
fi
echo "$tree"
