#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# shunt explain: the rule that decides, why the earlier ones do not, and the lanes on this host.
. "${top_srcdir:-.}/tests/cli/tap.sh"
unset SHUNT_SOCKET
conf=$work/shunt.conf
cat >"$conf" <<END
profile = "latency";
daemon_socket = "$work/absent.sock";
rules = (
  { name = "ssh stays out"; port = 22; action = "forbid"; },
  { name = "path"; program = "/opt/*"; },
  { name = "theirs"; user = "daemon"; },
  { name = "cache"; program = "redis-*"; role = "server"; local = "*:6379"; lanes = [ "shm", "rdma" ]; },
  { name = "engine"; role = "client"; remote = "10.1.0.0/16:9000-9100"; lanes = [ "rdma" ]; action = "require"; spin_us = 200; },
  { name = "v6"; remote = "[fd00::/8]:7000"; lanes = [ "tcp", "kernel" ]; profile = "quiet"; },
  { name = "card"; interface = "wlan*"; }
);
END
redis=(--program redis-server --user root -c "$conf")

try 0 explain accept "${redis[@]}" --local 127.0.0.1:6379 --remote 127.0.0.1:50000; ok "accept"
says "rule \"ssh stays out\" ($conf:4) does not match: port = 22, but the ends are 127.0.0.1:6379 (local) and 127.0.0.1:50000 (remote)"; ok "why not: port"
says 'does not match: program = "/opt/*", but the path is not known'; ok "why not: path"
says 'does not match: user = "daemon", but the user is root (0)'; ok "why not: user"
says "rule \"cache\" ($conf:7) decides:"; ok "the rule that decides"
! grep -q engine "$work/out"; ok "no word of later rules"
says 'action = "prefer", profile = "latency", spin_us = 1000000, ring_bytes = 262144,'; ok "what it says"
says "lane 1: shm    cannot be used now: shuntd at $work/absent.sock: No such file"; ok "shm without shuntd"
no_rdma="lane 2: rdma   cannot be used now:"
says "$no_rdma not built in" || says "$no_rdma this host has no RDMA device" ||
    says "$no_rdma a loopback address leads to no RDMA device"; ok "rdma"
says "else:   kernel TCP"; ok "what else"

try 0 explain connect "${redis[@]}" --remote 10.1.0.9:9100 --interface wlan0; ok "connect"
says 'role = "server", but this end is the client'; ok "why not: role"
says 'rule "engine"' && says 'action = "require"' && says "spin_us = 200"; ok "a required lane"
says "fails with ECONNREFUSED"; ok "what else, when required"

try 0 explain connect --program /opt/x -c "$conf" --remote 127.0.0.1:22
says "decides" && says "no lanes: the connection is left to the kernel"; ok "forbid"
try 0 explain connect --program /opt/x -c "$conf" --remote 127.0.0.1:80
says 'rule "path"'; ok "a path"
try 0 explain accept "${redis[@]}" --local [fd00::1]:9 --remote [fd00::2]:7000
says 'local = "*:6379", but the local end is [fd00::1]:9'; ok "why not: local, IPv6"
says 'rule "v6"' && says "lane 2: kernel can be used now"; ok "IPv6"
if grep -q '"HAVE_XDP"\]=" 1"' "${top_builddir:-build}/config.status" &&
    grep -q 'HAVE_MNL_TRUE"\]=""' "${top_builddir:-build}/config.status"; then
    says "lane 1: tcp    cannot be used now: shuntd at $work/absent.sock: No such file"; ok "tcp without shuntd"
else
    says "lane 1: tcp    cannot be used now: this Shunt was built without"; ok "tcp, not built in"
fi
try 0 explain accept "${redis[@]}" --remote 192.0.2.1:7000 --interface wlan0
says 'but the local end is not known'; ok "what is not given does not match"
says 'remote = "[fd00::/8]:7000", but the remote end is 192.0.2.1:7000'; ok "why not: remote"
says 'rule "card"'; ok "interface"
says "lane 1: shm    cannot be used now: the peer is on another host"; ok "shm to another host"
try 0 explain connect "${redis[@]}" --remote 127.0.0.1:80
says 'interface = "wlan*", but the interface is lo'; ok "the interface is found"
says "no rule matches, so the defaults decide:"; ok "the defaults"

# with a shuntd of its own
sock=$work/shuntd.sock
"${top_builddir:-build}/shuntd" --socket "$sock" 2>"$work/shuntd.err" &
shuntd=$!
for _ in $(seq 100); do [ -S "$sock" ] || sleep 0.05; done
sed "/^daemon_socket/s|\"/.*\"|\"$sock\"|" "$conf" >"$work/live.conf"
try 0 explain connect --program x --remote 127.0.0.1:80 --interface lo -c "$work/live.conf"
says "lane 1: shm    can be used now: shuntd at $sock: answers"; ok "shm with shuntd"
SHUNT_SOCKET=$sock try 0 explain connect --program x --remote 127.0.0.1:80 --interface lo -c "$conf"
says "lane 1: shm    can be used now: shuntd at $sock: answers"; ok "SHUNT_SOCKET goes before daemon_socket"
kill $shuntd && wait $shuntd

SHUNT_CONFIG=$conf try 0 explain connect --program x --remote 127.0.0.1:22 &&
    says "policy: $conf"; ok "SHUNT_CONFIG"
echo 'rules = 5;' >"$work/broken.conf"
try 1 explain connect --program x --remote 127.0.0.1:1 -c "$work/broken.conf" &&
    complains "broken.conf:1: error" && complains "programs stay on kernel TCP"; ok "a broken file"
try 2 explain && complains "must be connect or accept"; ok "neither connect nor accept"
try 2 explain connect --program x && complains "--program and --remote are needed"; ok "no remote end"
try 2 explain connect --program x --remote 127.0.0.1 && complains "one port is needed"; ok "no port"
try 2 explain connect --program x --remote 10.0.0.0/8:1 && complains "one address is needed"; ok "a network for an address"
try 2 explain connect --program x --remote redis:1 && complains "names are not looked up"; ok "a name for an address"
try 2 explain connect --program x --remote 127.0.0.1:1 --user nobody-of-this-name &&
    complains "no such user"; ok "an unknown user"
try 2 explain connect --program x --remote 127.0.0.1:1 more && complains "unexpected argument 'more'"; ok "an extra word"
try 0 explain --help && says "usage: shunt explain connect|accept"; ok "--help"

finish
