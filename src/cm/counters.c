// SPDX-License-Identifier: BSD-2-Clause
#include "cm/counters.h"

#include "base/util.h"
#include "shunt/info.h"

const struct counter_text counter_texts[COUNTERS] = {
    [COUNT_CLIENTS] = {"clients", "processes connected"},
    [COUNT_CLAIMS] = {"claims", "claims whose other end has not claimed yet"},
    [COUNT_CHANNELS] = {"channels", "channels that live"},
    [COUNT_ORPHANS] = {"orphans", "sides of channels that wait for a process to attach"},
    [COUNT_LENT] = {"lent", "sockets that were handed to another process"},
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
    [COUNT_REFUSED_PEER] = {"refused_peer", "claims that another host's shuntd refused"},
    [COUNT_AGENT_LINKS] = {"agent_links", "links to other hosts' shuntds that are up"},
    [COUNT_AGENT_ABSENT] = {"agent_absent",
                            "hosts that are not asked now, since they did not answer"},
    [COUNT_AGENT_TRIES_TOTAL] = {"agent_tries_total", "attempts to reach another host's shuntd"},
    [COUNT_AGENT_FAILURES_TOTAL] = {"agent_failures_total", "of these, those that failed"},
    [COUNT_AGENT_SPARED_TOTAL] = {"agent_spared_total",
                                  "claims for which an absent host was not asked"},
    [COUNT_AGENT_ASKS_TOTAL] = {"agent_asks_total", "connections that other hosts were asked for"},
    [COUNT_AGENT_ASKED_TOTAL] = {"agent_asked_total", "connections that other hosts asked for"},
    [COUNT_AGENT_YES_TOTAL] = {"agent_yes_total", "of these, those that became channels"},
    [COUNT_AGENT_NO_TOTAL] = {"agent_no_total", "of these, those that were refused at once"},
    [COUNT_AGENT_TURNED_AWAY_TOTAL] = {"agent_turned_away_total",
                                       "links that were ended for what came over them"},
    [COUNT_AGENT_RESUMED_TOTAL] = {"agent_resumed_total", "sessions that went on over a new link"},
    [COUNT_AGENT_CUT_TOTAL] = {"agent_cut_total", "channels ended since their session was lost"},
    [COUNT_TCP_OPENED_TOTAL] = {"tcp_opened_total", "connections that Shunt's own TCP began"},
    [COUNT_TCP_ACCEPTED_TOTAL] = {"tcp_accepted_total", "connections that it was asked for"},
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

const char *cm_lane_name(unsigned lane)
{
    static const char *const names[SHUNT_LANES] = {
        [SHUNT_LANE_KERNEL] = "kernel",
        [SHUNT_LANE_SHM] = "shm",
        [SHUNT_LANE_RDMA] = "rdma",
        [SHUNT_LANE_TCP] = "tcp",
    };

    return lane < ARRAY_LEN(names) ? names[lane] : "?";
}
