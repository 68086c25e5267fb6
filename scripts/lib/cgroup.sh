# The cgroups of scripts/with-systemd: a subtree of its own at the root of this
# machine's cgroup2 tree.
#   NAME/supervisor   unshare, the parent of process 1
#   NAME/payload      the root of the cgroup namespace
#   NAME/payload/with-systemd-command   COMMAND

cgroup_root() {
  local type path
  while read -r _ path type _; do
    if [ "$type" = cgroup2 ]; then printf '%s\n' "$path"; return; fi
  done < /proc/mounts
  return 1
}

# Ends all in a cgroup and removes it.
cgroup_remove() {
  local cgroup=$1 i
  [ -d "$cgroup" ] || return 0
  for ((i = 0; i < 500; i++)); do
    if [ -e "$cgroup/cgroup.kill" ]; then
      echo 1 > "$cgroup/cgroup.kill"
    else
      find "$cgroup" -name cgroup.procs -exec cat {} + | xargs -r kill -KILL
    fi 2>/dev/null
    grep -qs '^populated 0' "$cgroup/cgroup.events" && break
    sleep 0.01
  done
  for ((i = 0; i < 50; i++)); do
    find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
    [ -d "$cgroup" ] || return 0
    sleep 0.01
  done
  return 1
}

# Removes what a run may have left when it and its janitor were killed: empty cgroups.
cgroup_collect() {
  local old pid
  for old in "$(cgroup_root)"/with-systemd.*; do
    pid=${old##*/with-systemd.}
    if ! [ -e "/proc/$pid" ] && grep -qs '^populated 0' "$old/cgroup.events"; then cgroup_remove "$old"; fi
  done
}
