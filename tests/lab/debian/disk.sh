# disk.sh TREE NEO IMAGE GUEST, in a mount namespace of its own: the disk, the kernel and the initramfs that IMAGE is of.
PATH=$PATH:/usr/sbin:/sbin
tree=$1 neo=$2 image=$3 guest=$4
mount -t tmpfs tmpfs /mnt
mkdir /mnt/up /mnt/work /mnt/root /mnt/initramfs
mount -t overlay -o "lowerdir=$tree/root,upperdir=/mnt/up,workdir=/mnt/work" overlay /mnt/root
cd /mnt/root

# The kernel, and of its modules those that a machine without hardware can use.
cp "$tree"/kernel/boot/vmlinuz-* "$image/vmlinuz"
for place in "$tree"/kernel/lib/modules "$tree"/kernel/usr/lib/modules; do
    if [ -d "$place" ]; then mkdir -p usr/lib/modules && cp -a "$place/." usr/lib/modules; fi
done
release=$(ls usr/lib/modules)
cd "usr/lib/modules/$release/kernel"
rm -rf sound drivers/gpu drivers/infiniband drivers/media drivers/usb drivers/scsi drivers/hid drivers/input drivers/md \
    drivers/target drivers/xen drivers/hv drivers/vfio drivers/vhost drivers/nvme drivers/ata drivers/net/ethernet fs/xfs \
    fs/btrfs fs/nfs fs/nfsd fs/smb fs/cifs fs/ceph fs/ocfs2 fs/gfs2 fs/f2fs
cd /mnt/root
chroot . depmod -a "$release"

# neo, as its users install it, at native speed.
cp "$neo"/neo_*.deb root/neo.deb
mount -t proc proc proc
chroot . env DEBIAN_FRONTEND=noninteractive dpkg -i /root/neo.deb
umount proc
rm root/neo.deb

# What nobody needs in there.
rm -rf usr/lib/gcc usr/libexec/gcc usr/include usr/share/doc/[!n]* var/cache/apt var/lib/apt/lists usr/lib/x86_64-linux-gnu/*.a

# A name, a number, and nothing to mount, to ask and to wait for.
echo neo-vm >etc/hostname
printf '127.0.0.1 localhost neo-vm\n' >etc/hosts
echo 5f3b1d0a8c6e4f7fa2b9d4c1e0a76b58 >etc/machine-id
: >etc/fstab
touch etc/.updated var/.updated
mkdir -p var/log/journal etc/systemd/journald.conf.d etc/systemd/system-generators etc/systemd/system/systemd-udev-trigger.service.d
printf '[Journal]\nStorage=persistent\nSyncIntervalSec=1s\nRateLimitBurst=0\nAudit=no\n' >etc/systemd/journald.conf.d/vm.conf
for unit in NetworkManager NetworkManager-dispatcher networking ifupdown-wait-online nftables; do
    ln -sf /dev/null "etc/systemd/system/$unit.service"
done
# Half of a boot's time goes to these.
for unit in tmp.mount dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-kernel-config.mount sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount run-lock.mount \
    modprobe@configfs.service modprobe@fuse.service modprobe@drm.service modprobe@efi_pstore.service modprobe@dm_mod.service \
    modprobe@loop.service systemd-binfmt.service systemd-pstore.service systemd-random-seed.service \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-user-sessions.service \
    systemd-journal-catalog-update.service systemd-update-done.service systemd-hwdb-update.service systemd-firstboot.service \
    systemd-remount-fs.service systemd-repart.service systemd-pcrphase.service systemd-pcrphase-sysinit.service \
    systemd-pcrmachine.service systemd-tpm2-setup.service systemd-tpm2-setup-early.service systemd-machine-id-commit.service \
    systemd-tmpfiles-clean.timer fstrim.timer serial-getty@ttyS0.service getty@tty1.service \
    systemd-udev-load-credentials.service systemd-hibernate-clear.service systemd-boot-random-seed.service; do
    ln -sf /dev/null "etc/systemd/system/$unit"
done
for generator in cryptsetup debug fstab getty gpt-auto hibernate-resume integritysetup rc-local run ssh system-update sysv \
    tpm2 veritysetup; do
    ln -sf /dev/null "etc/systemd/system-generators/systemd-$generator-generator"
done
# udev is here for links; a disk and a terminal it need not look at.
printf '[Service]\nExecStart=\nExecStart=-udevadm trigger --action=add --subsystem-match=net\n' \
    >etc/systemd/system/systemd-udev-trigger.service.d/vm.conf
install -m 755 "$guest/agent.py" "$guest/lan.sh" usr/local/sbin/
install -m 644 "$guest"/*.service etc/systemd/system/
systemctl --root=. --quiet enable agent lan lan-dhcp
systemctl --root=. --quiet set-default multi-user.target

# A file system, and an initramfs with the drivers to find it.
size=$(du -sm . | cut -f1)
truncate -s $((size + 512))M "$image/disk.img"
mke2fs -q -F -t ext4 -J size=16 -E lazy_itable_init=1,nodiscard -m 0 -d . "$image/disk.img"
mkdir -p /mnt/initramfs/bin /mnt/initramfs/dev /mnt/initramfs/proc /mnt/initramfs/root
cp usr/bin/busybox /mnt/initramfs/bin/busybox
install -m 755 "$guest/init" /mnt/initramfs/init
: >/mnt/initramfs/modules
for driver in virtio_pci virtio_blk virtio_console ext4; do
    chroot . modprobe -S "$release" --show-depends "$driver" | sed -n 's/^insmod //p'
done | awk '!seen[$1]++ { print $1 }' | while read -r module; do
    name=$(basename "${module%.xz}")
    case $module in
    *.xz) xz -dc ".$module" >"/mnt/initramfs/$name" ;;
    *) cp ".$module" "/mnt/initramfs/$name" ;;
    esac
    echo "$name" >>/mnt/initramfs/modules
done
(cd /mnt/initramfs && find . | cpio --quiet -o -H newc) >"$image/initramfs"
