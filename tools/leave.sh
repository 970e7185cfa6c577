#!/bin/sh
# leave.sh PYTHON: says what neo leaves in the kernel when it is removed, and writes a script that takes it away.
#
# The script stands in /run, so it lives as long as what it takes away: until the next boot. It holds the values that
# sysctls had before neod changed them, which nobody knows any more once /var/lib/neo is gone.
set -u
python=${1:-python3}
state=${NEO_STATE:-/var/lib/neo}
script=${NEO_LEFT:-/run/neo-left}
copy=/run/neo-lock/sysctls-$(stat -Lc %i /proc/self/ns/net)

count() { "$@" 2>/dev/null | wc -l; }

sysctls() { # "PATH VALUE" of every sysctl that is changed, where the file is of this boot and namespace
    file=$state/sysctls.json
    [ -e "$file" ] || file=$copy
    [ -e "$file" ] || return 0
    "$python" -I - "$file" <<'END'
import json, os, sys
from pathlib import Path

stored = json.loads(Path(sys.argv[1]).read_bytes())
boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
note = "arp_ignore of "
if stored["lifetime"] == f"{boot}/{os.stat('/proc/self/ns/net').st_ino}":
    for path, value in sorted({**stored["originals"], **stored.get("switches", {})}.items()):
        path = f"net/ipv4/conf/{path.removeprefix(note)}/arp_ignore" if path.startswith(note) else path
        if path == "mptcp/limits" or Path("/proc/sys", path).exists():
            print(path, value)
END
}

changed=$(sysctls 2>/dev/null)
links=$(count ip -o link show group 110)
rules=$( { ip -4 -N rule show; ip -6 -N rule show; } 2>/dev/null | grep -c ' proto 110')
routes=$(($(count ip -4 route show table all proto 110) + $(count ip -6 route show table all proto 110)))
tables=$(nft list tables 2>/dev/null | grep -c ' neo$')
values=$(printf '%s' "$changed" | grep -c .)
if [ $((links + rules + routes + tables + values)) -eq 0 ]; then
    rm -f "$script"
    exit 0
fi

umask 077
cat >"$script" <<'END'
#!/bin/sh
# Takes away what neo left in the kernel when it was removed. Without effect after the next boot.
for name in $(ls /run/netns 2>/dev/null); do
    ip -n "$name" -o link show group 110 2>/dev/null | grep -q ': lo:' && ip netns del "$name"
done
for version in -4 -6; do
    ip $version rule flush protocol 110 2>/dev/null
    ip $version route flush table all proto 110 2>/dev/null
done
ip mptcp endpoint show 2>/dev/null | grep -oE ' id (19[1-9]|2[0-4][0-9]|25[0-4])( |$)' | while read -r _ id; do
    ip mptcp endpoint delete id "$id"
done
ip -o link show group 110 2>/dev/null | sed -E 's/^[0-9]+: ([^:@]+).*/\1/' | grep -vx lo | while read -r link; do
    ip link del "$link" 2>/dev/null
done
ip -o address show proto 110 2>/dev/null | while read -r _ link _ address _; do
    ip address del "$address" dev "$link"
done
nft delete table inet neo 2>/dev/null
nft delete table arp neo 2>/dev/null
for program in iptables-legacy ip6tables-legacy; do
    command -v $program-save >/dev/null || continue
    for table in raw mangle nat filter; do
        grep -qx $table /proc/net/ip*tables_names 2>/dev/null || continue
        rules=$($program-save -t $table 2>/dev/null)
        printf '%s\n' "$rules" | sed -n '/^-A NEO-/d; /-j NEO-/s/^-A/-D/p' | while read -r rule; do
            echo "$rule" | xargs $program -t $table
        done
        chains=$(printf '%s\n' "$rules" | sed -n 's/^:\(NEO-[^ ]*\).*/\1/p')
        for chain in $chains; do $program -t $table -F "$chain"; done
        for chain in $chains; do $program -t $table -X "$chain"; done
    done
done
END
printf '%s\n' "$changed" | while read -r path value; do
    case $path in
    '') ;;
    mptcp/limits) echo "ip mptcp limits set subflows ${value% *} add_addr_accepted ${value#* }" ;;
    *) printf '[ ! -w "/proc/sys/%s" ] || echo "%s" >"/proc/sys/%s"\n' "$path" "$value" "$path" ;;
    esac
done >>"$script"
echo "rm -f '$script' '$copy'" >>"$script"
echo "neo is removed, and the network stays as it is: $links links, $routes routes, $rules rules, $values changed sysctls."
echo "To take that away, as neodctl down would have (until the next boot): sh $script"
