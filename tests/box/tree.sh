#!/bin/sh
# tests/box/tree.sh CACHE [SUITE]: a Debian tree that systemd-nspawn can boot, made once; prints where it is.
set -eu
cache=$1 suite=${2:-bookworm}
packages=systemd,systemd-sysv,dbus,procps,python3,iproute2,iptables,nftables,dnsmasq-base,iputils-ping,ifupdown,isc-dhcp-client,adduser,network-manager
tree=$cache/$suite-$(printf '%s %s' "$suite" "$packages" | cat - "$0" | sha256sum | cut -c1-12)
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$tree/ready" ]; then
    mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
    rm -rf "$tree"
    mkdir -p "$tree"
    mmdebstrap --quiet --variant=apt --include="$packages" \
        --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        "$suite" "$tree/root" "${mirror:-http://deb.debian.org/debian}" >&2
    # Nothing a container boots for nobody, or that cannot run in one and would leave systemd "degraded".
    for unit in getty.target console-getty.service systemd-logind.service apt-daily.timer apt-daily-upgrade.timer \
        dpkg-db-backup.timer e2scrub_all.timer systemd-resolved.service systemd-networkd.service systemd-networkd.socket dnsmasq.service \
        NetworkManager.service NetworkManager-dispatcher.service NetworkManager-wait-online.service; do
        ln -sf /dev/null "$tree/root/etc/systemd/system/$unit"
    done
    : >"$tree/root/etc/machine-id"
    touch "$tree/ready"
    # Those of other days go.
    find "$cache" -mindepth 1 -maxdepth 1 -name "$suite-*" ! -path "$tree" -exec rm -rf {} +
fi
echo "$tree/root"
