// SPDX-License-Identifier: BSD-2-Clause
// What a connection tells of itself: through socket options, and in the log.
#ifndef SHUNT_SOCK_INFO_H
#define SHUNT_SOCK_INFO_H

#include "sock/conn.h"

// SHUNT_INFO (shunt/info.h). 0, -EINVAL, -EFAULT for no buffer at all.
int info_shunt(struct conn *c, int fd, void *val, socklen_t *len);

// Adds the ring's bytes to the counters of a struct tcp_info of len bytes that the kernel filled.
void info_tcp(struct conn *c, void *val, socklen_t len);

// One line at LOG_INFO: the connection's fd, its two addresses, and text, or the lane that each
// direction has now. Only with c->end.
void info_log(const struct conn *c, const char *text);
void info_log_lanes(const struct conn *c);

// Takes timeouts and SO_RCVLOWAT over from the twin (opts.c).
void opts_mirror(struct sock_end *e, int fd);

#endif
