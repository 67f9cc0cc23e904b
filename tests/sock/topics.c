// SPDX-License-Identifier: BSD-2-Clause
// Every topic, in the order in which they run.
#include "common/sock.h"

// clang-format off
#define TOPICS(X) \
    X(io) X(recv_flags) X(timeouts) X(nonblock) X(connect) X(accept) X(poll) X(select) \
    X(halfclose) X(reset) X(epoll_level) X(epoll_edge) X(epoll_sets) \
    X(messages) X(splice) X(fds) X(stdio) X(signals) X(threads) \
    X(fork) X(exec) X(spawn) X(options) X(oob) X(death) X(many) X(integrity) X(leave) X(others) \
    X(uring) X(hostile) X(seal) X(names)
// clang-format on

#define DECLARE(topic) extern const struct sock_topic topic_##topic;
#define POINT(topic)   &topic_##topic,

TOPICS(DECLARE)

const struct sock_topic *const sock_topics[] = {TOPICS(POINT) NULL};
