// SPDX-License-Identifier: BSD-2-Clause
// A program with lane rdma, played by lines on stdin; what shuntd tells it goes to stdout.
//
//   listen PORT | connect IP PORT | accept       answers "conn N", the N-th connection
//   accept COUNT                                 so many at once
//   claim N ENDPOINT | drop N | close N
//   relay N TEXT | count N FIRST LAST            count: relays the numbers as 4 bytes each
//   many COUNT IP PORT                           connects and claims so often
//
// Events: matched N LANE ID ENDPOINT, refused N REASON, noted N TEXT, relayed N TEXT,
// counted N LAST (when numbers come in order; else it dies), gone N WHY.
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "cm/cm.h"
#include "shunt/info.h"

#define MAX_CONNS 20000

static struct {
    int fd;
    uint64_t cookie;
    uint32_t next;      // number that should come
    uint32_t say, last; // numbers to be said still
    char endpoint[16];
    bool again; // to be claimed when shuntd has time
} conn[MAX_CONNS];
static int n_conns, listener = -1;
static struct cm *cm;

static void die(const char *what)
{
    printf("died %s: %s\n", what, strerror(errno));
    fflush(stdout);
    exit(1);
}

static int conn_of(uint64_t cookie)
{
    for (int i = 0; i < n_conns; i++)
        if (conn[i].cookie == cookie)
            return i;
    die("unknown cookie");
    return -1;
}

static void on_matched(void *arg, const struct cm_channel *ch)
{
    printf("matched %d %d %016" PRIx64 " %.*s\n", conn_of(ch->cookie), ch->lane, ch->channel_id,
           (int)ch->peer_endpoint_bytes, (const char *)ch->peer_endpoint);
    close(ch->memfd);
    close(ch->bell);
    close(ch->peer_bell);
}

static void on_refused(void *arg, uint64_t cookie, const char *reason, bool again)
{
    bool busy = !strcmp(reason, "shuntd is too busy") || !strcmp(reason, "shuntd does not answer");

    conn[conn_of(cookie)].again = busy;
    if (!busy)
        printf("refused %d %s\n", conn_of(cookie), reason);
}

static void on_noted(void *arg, uint64_t cookie, const char *text)
{
    printf("noted %d %s\n", conn_of(cookie), text);
}

static void on_relayed(void *arg, uint64_t cookie, const void *bytes, size_t n)
{
    int i = conn_of(cookie);
    uint32_t number;

    if (n != sizeof number) {
        printf("relayed %d %.*s\n", i, (int)n, (const char *)bytes);
        return;
    }
    memcpy(&number, bytes, n);
    if (number != conn[i].next) {
        printf("died number %u came, %u should\n", number, conn[i].next);
        exit(1);
    }
    conn[i].next++;
    if (number % 1000 == 999)
        printf("counted %d %u\n", i, number);
}

static void on_gone(void *arg, uint64_t cookie, enum cm_gone why)
{
    static const char *const words[] = {"?", "left", "died", "over", "cut"};

    printf("gone %d %s\n", conn_of(cookie), words[why]);
}

static const struct cm_events events = {.matched = on_matched,
                                        .refused = on_refused,
                                        .noted = on_noted,
                                        .relayed = on_relayed,
                                        .peer_gone = on_gone};

static int add(int fd)
{
    socklen_t len = sizeof conn[0].cookie;

    if (fd < 0 || n_conns == MAX_CONNS)
        die("connection");
    conn[n_conns].fd = fd;
    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &conn[n_conns].cookie, &len);
    return n_conns++;
}

static bool read_address(const char *ip, int port, union cm_addr *addr)
{
    memset(addr, 0, sizeof *addr);
    if (strchr(ip, ':')) {
        addr->in6.sin6_family = AF_INET6;
        addr->in6.sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, ip, &addr->in6.sin6_addr) == 1;
    }
    addr->in.sin_family = AF_INET;
    addr->in.sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, ip, &addr->in.sin_addr) == 1;
}

static int dial(const char *ip, int port)
{
    union cm_addr addr;
    int fd;

    if (!read_address(ip, port, &addr))
        die("address");
    fd = socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, &addr.sa, sizeof addr))
        die("connect");
    return add(fd);
}

static void claim(int i, const char *endpoint)
{
    struct cm_wish wish = {.cookie = conn[i].cookie,
                           .ring_bytes = 65536,
                           .chunk_fd = -1,
                           .lanes = {SHUNT_LANE_RDMA},
                           .n_lanes = 1,
                           .endpoint = endpoint,
                           .endpoint_bytes = strlen(endpoint)};
    socklen_t len = sizeof wish.local, rlen = sizeof wish.remote;

    if (endpoint != conn[i].endpoint)
        snprintf(conn[i].endpoint, sizeof conn[i].endpoint, "%s", endpoint);
    getsockname(conn[i].fd, &wish.local.sa, &len);
    getpeername(conn[i].fd, &wish.remote.sa, &rlen);
    cm_claim(cm, conn[i].fd, &wish);
}

static void listen_at(int port)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    const int one = 1;

    listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&addr, sizeof addr) || listen(listener, 4096))
        die("listen");
    puts("listening");
}

static void many(int n, const char *ip, int port)
{
    uint64_t longest = 0;
    int first = n_conns;

    for (int i = 0; i < n; i++)
        dial(ip, port);
    for (int i = first; i < n_conns; i++) {
        uint64_t begin = clock_now_ns(), took;

        claim(i, "many");
        took = clock_now_ns() - begin;
        longest = took > longest ? took : longest;
        if (i % 16 == 0)
            cm_poll(cm);
    }
    printf("many %d longest_us %" PRIu64 "\n", n, longest / 1000);
}

static void claim_again(void)
{
    for (int i = 0; i < n_conns; i++)
        if (conn[i].again) {
            conn[i].again = false;
            claim(i, conn[i].endpoint);
            if (conn[i].again)
                return;
        }
}

static void say_numbers(void)
{
    for (int i = 0; i < n_conns; i++)
        for (int n = 0; n < 4 && conn[i].say < conn[i].last; n++) {
            int err = cm_relay(cm, conn[i].cookie, &conn[i].say, sizeof conn[i].say);

            if (err == -EAGAIN)
                return;
            if (err) {
                printf("unsaid %d %u\n", i, conn[i].say);
                conn[i].say = conn[i].last;
                break;
            }
            conn[i].say++;
        }
}

static void obey(const char *line)
{
    char word[1024];
    int n, m, k;

    if (sscanf(line, "listen %d", &n) == 1) {
        listen_at(n);
    } else if (sscanf(line, "connect %1000s %d", word, &n) == 2) {
        printf("conn %d\n", dial(word, n));
    } else if (sscanf(line, "accept %d", &n) == 1) {
        for (int i = 0; i < n; i++)
            add(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
        printf("accepted %d\n", n);
    } else if (!strncmp(line, "accept", 6)) {
        printf("conn %d\n", add(accept4(listener, NULL, NULL, SOCK_CLOEXEC)));
    } else if (sscanf(line, "claim %d %1000s", &n, word) == 2) {
        claim(n, word);
    } else if (sscanf(line, "drop %d", &n) == 1) {
        cm_drop(cm, conn[n].cookie);
    } else if (sscanf(line, "close %d", &n) == 1) {
        close(conn[n].fd);
    } else if (sscanf(line, "relay %d %1000s", &n, word) == 2) {
        if ((k = cm_relay(cm, conn[n].cookie, word, strlen(word))))
            printf("unsaid %d %d\n", n, k);
    } else if (sscanf(line, "count %d %d %d", &n, &m, &k) == 3) {
        conn[n].say = (uint32_t)m;
        conn[n].last = (uint32_t)k;
    } else if (sscanf(line, "many %d %1000s %d", &n, word, &m) == 3) {
        many(n, word, m);
    } else {
        printf("what is %s", line);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char text[65536];
    size_t used = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    cm = cm_init(argc > 1 ? argv[1] : NULL, &events);
    for (;;) {
        struct pollfd pfd = {STDIN_FILENO, POLLIN, 0};
        char *end;
        ssize_t n;

        cm_await(cm, 0);
        say_numbers();
        claim_again();
        fflush(stdout);
        if (poll(&pfd, 1, 1) < 1)
            continue;
        n = read(STDIN_FILENO, text + used, sizeof text - 1 - used);
        if (n <= 0)
            return 0;
        used += (size_t)n;
        text[used] = 0;
        while ((end = strchr(text, '\n'))) {
            *end = 0;
            obey(text);
            used -= (size_t)(end + 1 - text);
            memmove(text, end + 1, used + 1);
        }
    }
}
