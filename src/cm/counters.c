// SPDX-License-Identifier: BSD-2-Clause
#include "cm/counters.h"

#include "base/util.h"

const struct counter_text counter_texts[COUNTERS] = {
    [COUNT_CLIENTS] = {"clients", "processes connected"},
    [COUNT_CLAIMS] = {"claims", "claims whose other end has not claimed yet"},
    [COUNT_CHANNELS] = {"channels", "channels that live"},
    [COUNT_ORPHANS] = {"orphans", "sides of channels that wait for a process to attach"},
    [COUNT_RING_BYTES] = {"ring_bytes", "bytes of all rings"},
    [COUNT_FD_LIMIT] = {"fd_limit", "file descriptors that shuntd may have"},
    [COUNT_CLIENTS_TOTAL] = {"clients_total", "processes that have connected"},
    [COUNT_CLAIMS_TOTAL] = {"claims_total", "claims with a good proof"},
    [COUNT_MATCHES_TOTAL] = {"matches_total", "channels made"},
    [COUNT_ATTACHES_TOTAL] = {"attaches_total", "channels given to one more process"},
    [COUNT_CLOSED_TOTAL] = {"closed_total", "channels ended"},
    [COUNT_REFUSED_BAD_MESSAGE] = {"refused_bad_message", "messages that made no sense"},
    [COUNT_REFUSED_VERSION] = {"refused_version", "clients of another version"},
    [COUNT_REFUSED_PROOF] = {"refused_proof", "sockets that did not prove the claim"},
    [COUNT_REFUSED_STALE] = {"refused_stale", "claims whose connection was over"},
    [COUNT_REFUSED_USER] = {"refused_user", "claims between users who may not be linked"},
    [COUNT_REFUSED_BUDGET] = {"refused_budget", "claims over a user's budget"},
    [COUNT_REFUSED_LIMIT] = {"refused_limit", "claims for which shuntd had no fds or memory"},
    [COUNT_REFUSED_UNKNOWN] = {"refused_unknown", "channels asked for that there are not"},
    [COUNT_REFUSED_LANE] = {"refused_lane", "claims whose two ends have no lane in common"},
    [COUNT_RELAYED_TOTAL] = {"relayed_total", "messages brought from lane to lane"},
};

const struct counter_text connection_texts[] = {
    {"program", "name of the executable"},
    {"pid", "process that uses the connection"},
    {"fd", "its file descriptor when it was made"},
    {"role", "client or server"},
    {"local", "local address and port"},
    {"remote", "remote address and port"},
    {"lane_tx", "lane that the next byte written goes by"},
    {"lane_rx", "lane that the next byte read comes by"},
    {"rule", "rule of shunt.conf that decided"},
    {"reason", "why it is not on the first lane of the rule; empty when it is"},
    {"bytes_tx", "bytes written, by lane"},
    {"bytes_rx", "bytes read, by lane"},
    {"switches", "moves from lane to lane, both directions together"},
    {"waits_spin", "waits that ended while spinning"},
    {"waits_sleep", "waits that ended in sleep"},
    {"cookie", "SO_COOKIE of the socket"},
};
const size_t n_connection_texts = ARRAY_LEN(connection_texts);
