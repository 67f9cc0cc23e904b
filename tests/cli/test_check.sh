#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# shunt check: every mistake with its place, its words and what is accepted.
. "${top_srcdir:-.}/tests/cli/tap.sh"
conf=$work/shunt.conf

# finds LINE SEVERITY TEXT: the last try reported it there
finds() { grep -F -- "$conf:$1: $2: " "$work/out" | grep -qF -- "$3"; }

cat >"$conf" <<'END'
profile = "balanced";                       # latency | balanced | quiet
rules = (
  { name = "ssh stays out"; port = 22; action = "forbid"; },
  { name = "cache";  program = "redis-*"; role = "server"; local = "*:6379"; lanes = [ "shm", "rdma" ]; },
  { name = "engine"; role = "client"; remote = "10.1.0.0/16:9000-9100"; lanes = [ "rdma" ]; action = "require"; spin_us = 200; after_bytes = 0; },
  { name = "v6 feed"; remote = "[fd00::/8]:7000"; user = "root"; lanes = [ "tcp" ]; }
);
END
try 0 check "$conf" && says "0 errors, 0 warnings"; ok "a right file"

cat >"$conf" <<'END'
profle = "balanced";
lanes = [ "shm" ];
log = "loud"; channel_budget = -1;
defaults = { ring_bytes = 5000; spin_us = "fast"; port = 5; };
rules = (
  { progam = "redis-*"; role = "sever"; local = "localhost:6379"; },
  5,
  { lanes = [ "shm", "rdm" ]; action = "forbit"; port = 70000; remote = "fd00::1"; qqqqqqqq = 1; },
  { port = "90-80"; program = "a["; cross_user = 1; lanes = "shm"; }
);
END
try 1 check "$conf"; ok "a wrong file"
finds 1 error "'profle' is no key of the file; did you mean 'profile'?"; ok "unknown key, nearest"
finds 2 error "'lanes' is no key of the file, but one of the defaults section"; ok "key out of place"
finds 3 error 'log = "loud": accepted is one of "quiet", "error"'; ok "unknown word"
finds 3 error 'channel_budget = -1: accepted is a whole number from 0'; ok "out of range, in the same line"
finds 4 error 'ring_bytes = 5000: accepted is a power of two'; ok "no power of two"
finds 4 error 'spin_us = "fast": accepted is a whole number'; ok "wrong type"
finds 4 error "'port' is no key of the defaults section, but one of a rule"; ok "match key in defaults"
finds 6 error "'progam' is no key of a rule; did you mean 'program'?"; ok "unknown key of a rule"
finds 6 error 'did you mean "server"?'; ok "nearest word"
finds 6 error 'local = "localhost:6379": names are not looked up'; ok "a name for an address"
finds 7 error 'element 2 of rules is 5'; ok "a rule that is none"
finds 8 error '"rdm" in lanes: accepted is an array [ ... ] of "shm", "rdma", "tcp", "kernel"; did you mean "rdma"?'; ok "nearest lane"
finds 8 error 'did you mean "forbid"?'; ok "nearest action"
finds 8 error 'port = 70000'; ok "port out of range"
finds 8 error 'remote = "fd00::1": an IPv6 address goes in brackets'; ok "IPv6 without brackets"
finds 8 error "'qqqqqqqq' is no key of a rule; the keys are profile, name"; ok "unknown key, none near"
finds 9 error 'port = "90-80": the range runs backwards'; ok "backward range"
finds 9 error 'program = "a[": the [ has no ]'; ok "broken pattern"
finds 9 error 'cross_user = 1: accepted is true or false'; ok "no bool"
finds 9 error 'lanes = "shm": accepted is an array'; ok "no array"
says "20 errors, 0 warnings"; ok "and nothing else"

cat >"$conf" <<'END'
agent = { peers = [ "10.1.0.0/16", "[fd00::/8]:7471" ]; port = 7470; listen = "10.1.0.7"; found_s = 300;
  absent_s = 60; lost_ms = 10000; };
END
try 0 check "$conf" && says "0 errors, 0 warnings"; ok "a right agent section"

cat >"$conf" <<'END'
agent = { peers = [ "10.1.0.0/16", "somehost",
  "10.0.0.300" ];
  port = 0; listen = "10.0.0.0/8";
  key_file = "agent.key"; lost_ms = 1; spin_us = 5;
  found = 3; };
END
try 1 check "$conf"; ok "a wrong agent section"
finds 1 error '"somehost" in peers: names are not looked up'; ok "a name among the peers"
finds 2 error '"10.0.0.300" in peers: this is no IPv4 address'; ok "and another mistake there, in the next line"
finds 3 error 'port = 0: accepted is a whole number from 1'; ok "no port"
finds 3 error 'listen = "10.0.0.0/8": this is more than one address'; ok "a network to listen on"
finds 4 error 'key_file = "agent.key": accepted is an absolute path'; ok "a key beside nothing"
finds 4 error 'lost_ms = 1: accepted is a whole number from 100'; ok "too short a loss"
finds 4 error "'spin_us' is no key of the agent section, but one of the defaults section"; ok "another section's key"
finds 5 error "'found' is no key of the agent section; did you mean 'found_s'?"; ok "nearest key of the agent section"

cat >"$conf" <<'END'
rules = (
  { name = "a"; remote = "10.0.0.0/8"; },
  { name = "b"; remote = "10.1.0.0/16:80"; },
  { name = "c"; program = "redis-*"; },
  { name = "d"; program = "redis-server"; port = 5; },
  { name = "e"; local = "*:80"; remote = "*:90"; port = 22; },
  { name = "f"; local = "127.0.0.1"; remote = "[::1]"; },
  { name = "c"; program = "nginx"; },
  { lanes = [ "kernel", "shm" ]; remote = "11.1.1.1/8"; user = "nobody-of-this-name"; },
  { port = 80; }, { local = "*:80"; },
  { name = "z" }, { name = "after z"; program = "x"; }
);
END
try 0 check "$conf"; ok "warnings do not fail"
finds 3 warning 'rule "b" can never match: rule "a" (line 2)'; ok "shadowed by a wider network"
finds 5 warning 'rule "d" can never match: rule "c" (line 4)'; ok "shadowed by a pattern"
finds 6 warning 'rule "e" can never match: port is in neither'; ok "ports that contradict"
finds 7 warning 'rule "f" can never match: local and remote are of different'; ok "families that contradict"
finds 8 warning 'rule "c" has the name of the rule in line 4'; ok "a name twice"
finds 9 warning 'the lanes behind "kernel" are never tried'; ok "lanes behind kernel"
finds 9 warning 'the address has bits set after its first 8'; ok "host bits"
finds 9 warning 'this host has no such user'; ok "unknown user"
finds 10 warning 'rule "rule 10" can never match: rule "rule 9" (line 10)'; ok "either port shadows one end's"
finds 11 warning 'rule "after z" can never match: rule "z"'; ok "all behind a rule without keys"
says "0 errors, 10 warnings"; ok "and no other warning"

printf 'rules = (\n  { port = 1; }\n  { port = 2; }\n);\n' >"$conf"
try 1 check "$conf" && finds 3 error 'syntax error here or shortly before: `{ port = 2; }`'; ok "syntax error"
printf 'log = "info";\nlog = "warn";\n' >"$conf"
try 1 check "$conf" && finds 2 error "duplicate setting name"; ok "a key twice"
printf 'log = "info";\n@include "absent.conf"\n' >"$conf"
try 1 check "$conf" && finds 2 error "cannot open include file here or shortly before: \`@include \"absent.conf\"\`; what comes"; ok "an absent include"
printf 'log = "info\n' >"$conf"
try 1 check "$conf" && finds 2 error "syntax error before the end of the file"; ok "a quote that is never closed"
printf 'rules = ( { prot = 5; } );\n' >"$work/more.conf"
printf '@include "more.conf"\n' >"$conf"
try 1 check "$conf" && says "more.conf:1: error: 'prot'"; ok "a mistake in an include"
try 1 check "$work/absent.conf" && says "absent.conf: error: cannot be read: No such file"; ok "no file"
try 1 check "$work" && says "cannot be read: Is a directory"; ok "a directory"
try 2 check && complains "usage: shunt check FILE"; ok "no argument"
try 0 check --help && says "usage: shunt check FILE"; ok "--help"

finish
