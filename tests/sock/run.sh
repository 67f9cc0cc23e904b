#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs the socket-rule cases in a mode:
#   tests/sock/run.sh plain|kernel|shm|rdma|tcp [TOPIC[/CASE]]...
# plain: without Shunt. kernel: under Shunt, every lane forbidden. shm: under Shunt, switched at once.
# rdma: the same, over verbs devices, in a guest of ./dev vm.
# tcp: under Shunt, on its own TCP, in the namespaces of tests/wire/rig.py, against kernel sockets.
# both: the same against Shunt on the other host, which has a shuntd of its own.
set -eu
mode=$1
shift
build=${top_builddir:-$(cd "$(dirname "$0")/../../build" && pwd)}
sock=$build/tests/sock/sock

[ "$mode" != plain ] || exec "$sock" -m plain "$@"

work=$(mktemp -d "${TMPDIR:-/tmp}/shunt-sock.XXXXXX")
conf=$work/shunt.conf
trap 'rm -rf "$work"' EXIT
trap 'exit 143' HUP INT TERM # by way of the above
# a shuntd of our own: the one that runs here may be of another build
SHUNT_SOCKET=$work/shuntd.sock
export SHUNT_SOCKET
if [ "$mode" = both ]; then
    mode=tcp
    SOCK_PEER_SHUNTD=$work/peer.sock
    export SOCK_PEER_SHUNTD
    ip netns exec peer "$build/shuntd" --socket "$SOCK_PEER_SHUNTD" &
    daemon=$!
    trap 'kill "$daemon"; rm -rf "$work"' EXIT
    while [ ! -S "$SOCK_PEER_SHUNTD" ] && kill -0 "$daemon"; do
        sleep 0.02
    done
fi
case $mode in
kernel) echo 'rules = ( { name = "nothing"; action = "forbid"; } );' ;;
shm) echo 'rules = ( { name = "all"; lanes = [ "shm" ]; after_bytes = 0; after_ms = 0; } );' ;;
rdma) echo 'rules = ( { name = "all"; lanes = [ "rdma" ]; after_bytes = 0; after_ms = 0; } );' ;;
tcp) echo 'rules = ( { name = "wire"; lanes = [ "tcp" ]; deadline_ms = 20000; } );' ;;
*) echo "run.sh: no mode '$mode'" >&2 && exit 2 ;;
esac >"$conf"
"$build/shunt" run -c "$conf" -- "$sock" -m "$mode" "$@"
