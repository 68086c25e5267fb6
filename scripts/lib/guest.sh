# What runs as process 1 of the namespaces of scripts/with-systemd, up to the exec
# of systemd: builds the guest's root file system from overlays, so that nothing
# is written to the machine, and moves into it.
#
# Its input, as environment: lower (the root file system to boot), cwd, state,
# binds (lines of rw|ro:SRC:DEST), canaries_seen (files that the guest must not
# see) and the file descriptors ready and go.

set -eu
shopt -s nullglob

refuse() { printf 'refused to boot: %s\n' "$*"; exit 1; }

mount --make-rprivate /

# All is built on a tmpfs over /sys, which no root file system lies below, so
# that no mount point has to be made on the machine.
n=/sys r=/sys/root
mount -t tmpfs -o mode=755 with-systemd $n
mkdir $n/overlays $r

layers=0
overlay() { # LOWER TARGET [KEPT]: TARGET shows LOWER; writes go to KEPT, or are lost
  local layer=${3:-$n/overlays/$((++layers))}
  mkdir -p "$layer/upper" "$layer/work" "$2"
  # The top folder's own mode and owner come from the upper layer.
  chown --reference="$1" "$layer/upper"
  chmod --reference="$1" "$layer/upper"
  mount -t overlay -o "lowerdir=$1,upperdir=$layer/upper,workdir=$layer/work" overlay "$2"
}

# The machine's other disks: an overlay of / shows only what lies on the root disk.
other_disks() {
  local target rest type
  while read -r _ _ _ _ target rest; do
    rest=${rest#*- } type=
    target=$(printf '%b' "$target")
    case ${rest%% *} in ext[234] | xfs | btrfs | f2fs | zfs) ;; *) continue ;; esac
    case $target in / | /proc/* | /sys/* | /dev/* | /run/* | /tmp | /tmp/* | /var/lib/docker/* | *[:,\\]*) continue ;; esac
    [ ! -d "$target" ] || overlay "$target" "$r$target" || echo "$target is not shown inside"
  done < /proc/self/mountinfo
}

overlay "$lower" $r
mkdir -p $r/{proc,sys,dev,run,tmp,var/tmp,root,mnt}
[ "$lower" != / ] || other_disks

first_boot=1
if [ -n "$state" ]; then
  [ ! -e "$state/booted" ] || first_boot=
  for dir in etc var srv home; do
    mkdir -p "$r/$dir"
    below=${lower%/}/$dir
    # A layer may not lie below another of the same overlay; the overlay of / hides that it does.
    case $state/ in "$below"/*) below=$r/$dir ;; esac
    [ -d "$below" ] || below=$r/$dir
    overlay "$below" "$r/$dir" "$state/$dir" ||
      refuse "--state $state: its file system cannot hold an overlay; use a folder on ext4, xfs, btrfs or tmpfs"
  done
fi

# Like systemd-nspawn: the kernel's settings are read-only, because they are
# the machine's, but for those of the network, which are the namespace's.
mount -t proc -o nosuid,nodev,noexec proc $r/proc
mount --bind $r/proc/sys $r/proc/sys
mount --bind $r/proc/sys/net $r/proc/sys/net
mount -o remount,bind,ro,nosuid,nodev,noexec $r/proc/sys
# Every boot has its own id, as on a machine that reboots.
cat /proc/sys/kernel/random/uuid > $n/boot_id
chmod 444 $n/boot_id
mount --bind -o ro $n/boot_id $r/proc/sys/kernel/random/boot_id
if [ -e $r/proc/sysrq-trigger ]; then mount --bind /dev/null $r/proc/sysrq-trigger; fi
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs $r/sys
# cgroup2 and nothing else, whatever the machine has: systemd 258 and later
# refuse to run with version 1.
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 $r/sys/fs/cgroup

# An own /dev: systemd writes to it (/dev/log), and the machine's is shared.
# There is no /dev/kmsg, so the kernel's messages stay out of the journal.
mount -t tmpfs -o nosuid,noexec,mode=755 dev $r/dev
while read -r name major minor; do
  mknod -m 666 "$r/dev/$name" c "$major" "$minor"
done << '.'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
console 1 3
.
mkdir $r/dev/{pts,shm,mqueue}
mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=666,mode=620,gid=5 devpts $r/dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 shm $r/dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue $r/dev/mqueue
ln -s pts/ptmx $r/dev/ptmx
ln -s /proc/self/fd $r/dev/fd
ln -s /proc/self/fd/0 $r/dev/stdin
ln -s /proc/self/fd/1 $r/dev/stdout
ln -s /proc/self/fd/2 $r/dev/stderr

mount -t tmpfs -o nosuid,nodev,mode=755 run $r/run
mkdir $r/run/lock
mount -t tmpfs -o nosuid,nodev,mode=1777 tmp $r/tmp
# For the test of the check below: what a careless harness would do (but read-only).
if [ "${WITH_SYSTEMD_BROKEN-}" = tmp ]; then mount --bind -o ro /tmp $r/tmp; fi

# No first boot in systemd's sense (which would enable all presets), and nothing
# that the machine or its packages enabled, other than the journal, the bus and
# the files that tmpfiles.d describes.  Units that are not started stay
# startable: only the generators and the audit socket are masked.
system=$r/usr/lib/systemd
[ -e "$system/systemd" ] || system=$r/lib/systemd
for link in "$system"/system/*.target.wants/*; do
  case ${link##*/} in
    dbus.socket | dbus.service | dbus-broker.service) ;;
    systemd-journald*.service | systemd-journald.socket | systemd-journald-dev-log.socket) ;;
    systemd-journal-flush.service | systemd-tmpfiles-setup.service) ;;
    *) rm -f "$link" ;;
  esac
done
ln -sfn multi-user.target "$system/system/default.target"
if [ -n "$first_boot" ]; then
  tr -d - < /proc/sys/kernel/random/uuid > $r/etc/machine-id.new
  mv -f $r/etc/machine-id.new $r/etc/machine-id
  [ -e $r/etc/hosts ] || printf '127.0.0.1 localhost\n::1 localhost\n' > $r/etc/hosts
  rm -rf $r/etc/systemd/system/* $r/etc/systemd/user/* $r/etc/holdfast $r/var/lib/holdfast
  mkdir -p $r/etc/tmpfiles.d $r/etc/systemd/system-generators $r/etc/systemd/journald.conf.d $r/var/log/journal
  # tmpfiles.d/tmp.conf of Debian empties /tmp at boot
  for name in tmp.conf x11.conf; do ln -sfn /dev/null $r/etc/tmpfiles.d/$name; done
  for link in "$system"/system-generators/*; do
    ln -sfn /dev/null "$r/etc/systemd/system-generators/${link##*/}"
  done
  ln -sfn /dev/null $r/etc/systemd/system/systemd-journald-audit.socket
  cat > $r/etc/systemd/journald.conf.d/with-systemd.conf << '.'
[Journal]
Storage=persistent
SystemMaxUse=256M
RateLimitIntervalSec=0
ForwardToWall=no
ReadKMsg=no
Audit=
.
  [ -z "$state" ] || : > "$state/booted"
fi

# The working directory, and what was asked for, last: nothing above may write there.
case $cwd in / | /tmp | /run | /etc | /var | /dev | /proc | /sys | /usr) ;; *) overlay "$cwd" "$r$cwd" ;; esac
while IFS=: read -r mode src dest; do
  [ -n "$mode" ] || continue
  if [ -d "$src" ]; then mkdir -p "$r$dest"; else mkdir -p "$r${dest%/*}"; [ -e "$r$dest" ] || : > "$r$dest"; fi
  mount --rbind "$src" "$r$dest"
  [ "$mode" = rw ] || mount -o remount,bind,ro "$r$dest"
done <<< "$binds"

cd $r
pivot_root . mnt
umount -l /mnt
# With container= set, systemd takes the propagation of mounts as it finds it,
# and LoadCredential= needs it to be shared.
mount --make-rshared /

# Process 1 may go on once the caller has moved our parent out of this cgroup.
echo ready >&"$ready"
read -r -u "$go" -t 30 _
exec {ready}>&- {go}<&-

# systemd's tmpfiles rules empty /tmp: it must not be the machine's.
for canary in $canaries_seen; do
  [ ! -e "$canary" ] || refuse "$canary, a file of this machine, is visible inside; systemd would empty its folder"
done

system=/usr/lib/systemd/systemd
[ -x $system ] || system=/lib/systemd/systemd
cd /
exec env -i container=with-systemd LANG=C.UTF-8 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  $system --system --show-status=0
