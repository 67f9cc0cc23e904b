// SPDX-License-Identifier: BSD-2-Clause
#include "cm/counters.h"

#include "base/util.h"
#include "shunt/info.h"

const struct counter_text counter_texts[COUNTERS] = {
    [COUNT_CLIENTS] = {"clients", "processes connected now"},
    [COUNT_CLAIMS] = {"claims", "connections that wait for their other end"},
    [COUNT_CHANNELS] = {"channels", "channels in use"},
    [COUNT_ORPHANS] = {"orphans", "channel ends that wait for a process to attach"},
    [COUNT_LENT] = {"lent", "sockets that were handed to another process and are still open"},
    [COUNT_RING_BYTES] = {"ring_bytes", "memory of all rings, in bytes"},
    [COUNT_FD_LIMIT] = {"fd_limit", "file descriptors that shuntd may open"},
    [COUNT_CLIENTS_TOTAL] = {"clients_total", "processes that have connected"},
    [COUNT_CLAIMS_TOTAL] = {"claims_total", "claims accepted as proven"},
    [COUNT_MATCHES_TOTAL] = {"matches_total", "channels made"},
    [COUNT_ATTACHES_TOTAL] = {"attaches_total",
                              "times that a channel was given to one more process"},
    [COUNT_CLOSED_TOTAL] = {"closed_total", "channels closed"},
    [COUNT_REFUSED_BAD_MESSAGE] = {"refused_bad_message", "malformed messages"},
    [COUNT_REFUSED_VERSION] = {"refused_version", "clients of another protocol version"},
    [COUNT_REFUSED_PROOF] = {"refused_proof", "claims whose socket did not prove them"},
    [COUNT_REFUSED_STALE] = {"refused_stale", "claims for connections that were already closed"},
    [COUNT_REFUSED_USER] = {"refused_user", "claims between users that the rules keep apart"},
    [COUNT_REFUSED_BUDGET] = {"refused_budget", "claims beyond a user's budget"},
    [COUNT_REFUSED_LIMIT] = {"refused_limit",
                             "claims for which shuntd had no file descriptors or memory left"},
    [COUNT_REFUSED_UNKNOWN] = {"refused_unknown", "requests for channels that do not exist"},
    [COUNT_REFUSED_LANE] = {"refused_lane", "claims whose two ends allow no common lane"},
    [COUNT_RELAYED_TOTAL] = {"relayed_total", "messages relayed from lane to lane"},
    [COUNT_REFUSED_PEER] = {"refused_peer", "claims refused by another host's shuntd"},
    [COUNT_AGENT_LINKS] = {"agent_links", "links up to other hosts' shuntds"},
    [COUNT_AGENT_ABSENT] = {"agent_absent", "hosts not asked for now because they did not answer"},
    [COUNT_AGENT_TRIES_TOTAL] = {"agent_tries_total", "attempts to reach another host's shuntd"},
    [COUNT_AGENT_FAILURES_TOTAL] = {"agent_failures_total", "of these, those that failed"},
    [COUNT_AGENT_SPARED_TOTAL] = {"agent_spared_total",
                                  "claims for which an absent host was not asked"},
    [COUNT_AGENT_ASKS_TOTAL] = {"agent_asks_total",
                                "connections that this host asked other hosts for"},
    [COUNT_AGENT_ASKED_TOTAL] = {"agent_asked_total",
                                 "connections that other hosts asked this one for"},
    [COUNT_AGENT_YES_TOTAL] = {"agent_yes_total", "of these, those that became channels"},
    [COUNT_AGENT_NO_TOTAL] = {"agent_no_total", "of these, those refused at once"},
    [COUNT_AGENT_TURNED_AWAY_TOTAL] = {"agent_turned_away_total",
                                       "links closed because of what the other side sent"},
    [COUNT_AGENT_RESUMED_TOTAL] = {"agent_resumed_total",
                                   "sessions that continued over a new link"},
    [COUNT_AGENT_CUT_TOTAL] = {"agent_cut_total", "channels closed because their session was lost"},
    [COUNT_TCP_OPENED_TOTAL] = {"tcp_opened_total", "outgoing connections of lane tcp"},
    [COUNT_TCP_ACCEPTED_TOTAL] = {"tcp_accepted_total", "incoming connections of lane tcp"},
};

const struct counter_text connection_texts[] = {
    {"program", "name of the executable"},
    {"pid", "process that uses the connection"},
    {"fd", "lowest file descriptor of the connection when it was first used"},
    {"role", "client or server"},
    {"local", "local address and port"},
    {"remote", "remote address and port"},
    {"lane_tx", "lane of the next byte written"},
    {"lane_rx", "lane of the next byte read"},
    {"rule", "rule of shunt.conf that decided"},
    {"reason", "why the connection is not on the first lane of its rule; empty if it is"},
    {"bytes_tx", "bytes written, by lane"},
    {"bytes_rx", "bytes read, by lane"},
    {"switches", "moves between lanes, both directions together"},
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
