// SPDX-License-Identifier: BSD-2-Clause
// What the addresses of a connection's ends tell, for the lanes' obstacles. AF_INET or AF_INET6; an
// IPv4 address counts as one where it is mapped into IPv6, too. Pure.
#ifndef SHUNT_LANE_ENDS_H
#define SHUNT_LANE_ENDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

// Fills *ip in host order; false: a is no IPv4 address.
bool lane_ipv4_of(const struct sockaddr *a, uint32_t *ip);

// 127.0.0.0/8 or ::1.
bool lane_is_loopback(const struct sockaddr *a);

#endif
