// SPDX-License-Identifier: BSD-2-Clause
// A peer that writes nonsense into the memory that it shares with us breaks its own connection and
// nothing else: we neither crash nor hang, and other connections go on.
#include "common/epoll.h"

#include <inttypes.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define HEADER_BYTES 4096
#define TURNS        600 // until a connection is switched

static void turns(int fd, bool first)
{
    char byte = 'a';
    for (int i = 0; i < TURNS; i++) {
        if (first)
            REQUIRE_EQ(write(fd, &byte, 1), 1);
        REQUIRE_EQ(read(fd, &byte, 1), 1);
        if (!first)
            REQUIRE_EQ(write(fd, &byte, 1), 1);
    }
}

// Fills at with the headers of the channels that this process has mapped. How many.
static size_t find_headers(uint64_t **at, size_t max)
{
    char line[256], perms[5];
    uintptr_t from;
    unsigned long off;
    size_t n = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    REQUIRE(maps != NULL);
    while (n < max && fgets(line, sizeof(line), maps) != NULL) {
        if (strstr(line, "shunt-channel") != NULL &&
            sscanf(line, "%" SCNxPTR "-%*x %4s %lx", &from, perms, &off) == 3 && off == 0 &&
            strcmp(perms, "rw-s") == 0)
            at[n++] = (uint64_t *)from; // NOLINT(performance-no-int-to-ptr)
    }
    fclose(maps);
    return n;
}

// Whole headers, single words, and words that are nearly right.
static _Noreturn void scribble(uint64_t *at, uint64_t seed)
{
    for (;; usleep(200)) {
        volatile uint64_t *w = at;
        size_t i = sock_random(&seed) % (HEADER_BYTES / 8), how = sock_random(&seed) % 4;
        if (how == 0)
            for (i = 0; i < HEADER_BYTES / 8; i++)
                w[i] = (uint64_t)sock_random(&seed) << 32 | sock_random(&seed);
        else if (how == 1)
            w[i] = UINT64_MAX - sock_random(&seed) % 16;
        else
            w[i] += sock_random(&seed) % 5 - 2;
    }
}

static bool is_among(const uint64_t *one, uint64_t *const *all, size_t n)
{
    while (n > 0)
        if (all[--n] == one)
            return true;
    return false;
}

static pid_t start_villain(const struct sockaddr_in *addr, uint64_t seed)
{
    uint64_t *ours[16], *all[17];
    pid_t pid = fork();
    if (pid == 0) {
        size_t n = find_headers(ours, ARRAY_LEN(ours)); // a child has them by right
        int fd = sock_connect(addr);
        turns(fd, true);
        for (size_t i = find_headers(all, ARRAY_LEN(all)); i-- > 0;)
            if (!is_among(all[i], ours, n))
                scribble(all[i], seed);
        for (;;) // not switched: nothing to spoil
            pause();
    }
    REQUIRE(pid > 0);
    return pid;
}

// Anything that a program may do with fd, for a while. What it is told does not matter.
static void do_this_and_that(int fd, uint64_t *seed)
{
    static char buf[100 * KIB];
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    struct epoll_event ev;
    int ep = ep_new(), n;
    sock_set_timeout(fd, SO_RCVTIMEO, 3);
    sock_set_timeout(fd, SO_SNDTIMEO, 3);
    ep_add(ep, fd, EPOLLIN | EPOLLOUT | (sock_random(seed) & 1 ? EPOLLET : 0));
    for (int i = 0; i < 40; i++) {
        size_t len = sock_random(seed) % sizeof(buf);
        ssize_t done = -1;
        switch (sock_random(seed) % 7) {
        case 0:
            done = recv(fd, buf, len, 0);
            break;
        case 1:
            done = send(fd, buf, len, MSG_NOSIGNAL);
            break;
        case 2:
            done = recv(fd, buf, len, MSG_DONTWAIT | MSG_PEEK);
            break;
        case 3:
            done = poll(&p, 1, 2);
            break;
        case 4:
            done = epoll_wait(ep, &ev, 1, 2);
            break;
        case 5:
            done = ioctl(fd, SIOCINQ, &n);
            break;
        case 6:
            done = ioctl(fd, SIOCOUTQ, &n);
            break;
        }
        REQUIRE(done <= (ssize_t)sizeof(buf));
    }
    close(ep);
}

static void expect_end(int fd)
{
    static char buf[100 * KIB];
    ssize_t n;
    sock_set_timeout(fd, SO_RCVTIMEO, 0);
    do
        n = read(fd, buf, sizeof(buf));
    while (n > 0);
    REQUIRE(n == 0 || errno == ECONNRESET || errno == EPIPE);
}

static void scribbled_headers(struct conn *c)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    for (uint64_t seed = 1; seed <= 8; seed++) {
        uint64_t random = seed;
        pid_t pid = start_villain(&addr, seed);
        int fd = accept(listener, NULL, NULL);
        REQUIRE(fd >= 0);
        turns(fd, false);
        do_this_and_that(fd, &random);
        peer_start(c, op_echo, 1000);
        conn_write(c, 1000);
        conn_read(c, 1000);
        peer_finish(c);
        REQUIRE_EQ(kill(pid, SIGKILL), 0);
        REQUIRE_EQ(waitpid(pid, NULL, 0), pid);
        expect_end(fd);
        REQUIRE_EQ(close(fd), 0);
    }
}

// A reader that sleeps hears of the villain's death as of anybody's.
static void asleep_meanwhile(struct conn *c)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    for (uint64_t seed = 100; seed < 103; seed++) {
        pid_t pid = start_villain(&addr, seed), killer;
        int fd = accept(listener, NULL, NULL);
        turns(fd, false);
        if ((killer = fork()) == 0) {
            sleep_ms(100);
            _exit(kill(pid, SIGKILL));
        }
        expect_end(fd);
        close(fd);
        REQUIRE_EQ(waitpid(killer, NULL, 0), killer);
        REQUIRE_EQ(kill(pid, SIGKILL), 0); // where the nonsense was found before
        REQUIRE_EQ(waitpid(pid, NULL, 0), pid);
    }
    conn_warm(c);
}

static const struct sock_case cases[] = {
    CASE(scribbled_headers, .limit_s = 30),
    CASE(asleep_meanwhile, .limit_s = 30),
};
SOCK_TOPIC(hostile);
