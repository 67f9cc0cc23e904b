// SPDX-License-Identifier: BSD-2-Clause
#include "base/addrtext.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>

const char *addr_text(const struct sockaddr *addr, char text[static ADDR_TEXT_BYTES])
{
    const struct sockaddr_in *in = (const void *)addr;
    const struct sockaddr_in6 *in6 = (const void *)addr;
    bool v6 = addr->sa_family == AF_INET6, mapped = v6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;

    if (v6 || addr->sa_family == AF_INET)
        port = ntohs(in->sin_port); // at the same place in both
    if (mapped)
        inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, host, sizeof host);
    else if (v6)
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
    else if (addr->sa_family == AF_INET)
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
    if (port)
        snprintf(text, ADDR_TEXT_BYTES, v6 && !mapped ? "[%s]:%u" : "%s:%u", host, port);
    else
        snprintf(text, ADDR_TEXT_BYTES, "%s", host);
    return text;
}
