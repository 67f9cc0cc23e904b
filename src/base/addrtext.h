// SPDX-License-Identifier: BSD-2-Clause
// Socket addresses as people write them.
#ifndef SHUNT_BASE_ADDRTEXT_H
#define SHUNT_BASE_ADDRTEXT_H

#include <netinet/in.h>
#include <sys/socket.h>

#define ADDR_TEXT_BYTES (INET6_ADDRSTRLEN + sizeof "[]:65535")

// "10.1.0.7:80" or "[fd00::1]:80", without the port and the brackets where the port is 0. An
// IPv4-mapped address is written as IPv4; "?" is a family other than AF_INET and AF_INET6. Returns
// text.
const char *addr_text(const struct sockaddr *addr, char text[static ADDR_TEXT_BYTES]);

#endif
