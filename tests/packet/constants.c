// SPDX-License-Identifier: BSD-2-Clause
// Names of the system's constants, as scripts write them.
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "constants.h"

#define SOL_TCP IPPROTO_TCP

// Linux's states by number (net/tcp_states.h), which no header for programs has beside linux/tcp.h.
enum {
    TCP_ESTABLISHED = 1,
    TCP_SYN_SENT,
    TCP_SYN_RECV,
    TCP_FIN_WAIT1,
    TCP_FIN_WAIT2,
    TCP_TIME_WAIT,
    TCP_CLOSE,
    TCP_CLOSE_WAIT,
    TCP_LAST_ACK,
    TCP_LISTEN,
    TCP_CLOSING,
};

#define C(name)                                                                                    \
    {                                                                                              \
#name, name                                                                                \
    }

static const struct constant {
    const char *name;
    int64_t value;
} constants[] = {
    C(AF_INET),
    C(AF_INET6),
    C(SOCK_STREAM),
    C(SOCK_DGRAM),
    C(SOCK_NONBLOCK),
    C(IPPROTO_TCP),
    C(SOL_SOCKET),
    C(SOL_TCP),
    C(SOL_IP),
    C(SOL_IPV6),
    C(IPPROTO_IP),
    C(IPPROTO_IPV6),
    C(SO_REUSEADDR),
    C(SO_REUSEPORT),
    C(SO_LINGER),
    C(SO_ERROR),
    C(SO_KEEPALIVE),
    C(SO_RCVBUF),
    C(SO_SNDBUF),
    C(SO_MAX_PACING_RATE),
    C(TCP_NODELAY),
    C(TCP_CORK),
    C(TCP_QUICKACK),
    C(TCP_KEEPIDLE),
    C(TCP_KEEPINTVL),
    C(TCP_KEEPCNT),
    C(TCP_USER_TIMEOUT),
    C(TCP_SYNCNT),
    C(TCP_MAXSEG),
    C(TCP_CONGESTION),
    C(TCP_FASTOPEN),
    C(TCP_FASTOPEN_CONNECT),
    C(TCP_DEFER_ACCEPT),
    C(TCP_INFO),
    C(TCP_LINGER2),
    C(IP_TOS),
    C(IPV6_TCLASS),
    C(SHUT_RD),
    C(SHUT_WR),
    C(SHUT_RDWR),
    C(F_GETFL),
    C(F_SETFL),
    C(O_RDWR),
    C(O_NONBLOCK),
    C(FIONREAD),
    C(SIOCINQ),
    C(SIOCOUTQ),
    C(SIOCATMARK),
    C(MSG_DONTWAIT),
    C(MSG_PEEK),
    C(MSG_MORE),
    C(MSG_OOB),
    C(MSG_FASTOPEN),
    C(MSG_NOSIGNAL),
    C(POLLIN),
    C(POLLOUT),
    C(POLLPRI),
    C(POLLERR),
    C(POLLHUP),
    C(POLLRDHUP),
    C(POLLNVAL),
    C(EAGAIN),
    C(EINPROGRESS),
    C(EALREADY),
    C(EISCONN),
    C(ENOTCONN),
    C(EPIPE),
    C(ECONNRESET),
    C(ECONNREFUSED),
    C(ECONNABORTED),
    C(ETIMEDOUT),
    C(EHOSTUNREACH),
    C(ENETUNREACH),
    C(EACCES),
    C(EPROTO),
    C(EINVAL),
    C(EADDRINUSE),
    C(EBADF),
    C(EMSGSIZE),
    C(EOPNOTSUPP),
    C(ENOPROTOOPT),
    C(ENOBUFS),
    C(ENFILE),
    C(ENOENT),
    C(TCP_ESTABLISHED),
    C(TCP_SYN_SENT),
    C(TCP_SYN_RECV),
    C(TCP_FIN_WAIT1),
    C(TCP_FIN_WAIT2),
    C(TCP_TIME_WAIT),
    C(TCP_CLOSE),
    C(TCP_CLOSE_WAIT),
    C(TCP_LAST_ACK),
    C(TCP_LISTEN),
    C(TCP_CLOSING),
    C(TCP_CA_Open),
    C(TCP_CA_Disorder),
    C(TCP_CA_CWR),
    C(TCP_CA_Recovery),
    C(TCP_CA_Loss),
    C(TCPI_OPT_TIMESTAMPS),
    C(TCPI_OPT_SACK),
    C(TCPI_OPT_WSCALE),
    C(TCPI_OPT_ECN),
};

static bool one_value(const char *word, size_t len, int64_t *value)
{
    for (const struct constant *c = constants;
         c < constants + sizeof(constants) / sizeof(constants[0]); c++)
        if (strlen(c->name) == len && !memcmp(c->name, word, len)) {
            *value |= c->value;
            return true;
        }
    return false;
}

bool constant_value(const char *words, int64_t *value)
{
    size_t n;

    *value = 0;
    for (const char *p = words; *p; p += n + (p[n] == '|')) {
        n = strcspn(p, "|");
        if (!one_value(p, n, value))
            return false;
    }
    return true;
}
