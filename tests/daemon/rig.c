// SPDX-License-Identifier: BSD-2-Clause
#include "rig.h"

#include "base/clock.h"
#include "base/util.h"
#include "cm/place.h"
#include "cm/uplink.h"
#include "shunt/info.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_NS (15 * NS_PER_S)

struct told told;
struct packet raw_packet;

static void nap(void)
{
    usleep(1000);
}

void rig_start(struct rig *rig, ...)
{
    static char name[] = "shuntd", option[] = "--socket";
    char *argv[16] = {name, option, rig->path}, program[PATH_MAX];
    int argc = 3;
    uint64_t end = clock_now_ns() + PATIENCE_NS;
    va_list ap;
    int sock;

    snprintf(rig->dir, sizeof rig->dir, "%s/shunt-test-XXXXXX", getenv("TMPDIR") ?: "/tmp");
    assert_non_null(mkdtemp(rig->dir));
    assert_int_equal(chmod(rig->dir, 0755), 0);
    snprintf(rig->path, sizeof rig->path, "%s/shuntd.sock", rig->dir);
    va_start(ap, rig);
    while (argc < 15 && (argv[argc] = va_arg(ap, char *)))
        argc++;
    va_end(ap);
    snprintf(program, sizeof program, "%s/shuntd", getenv("top_builddir") ?: ".");
    fflush(NULL);
    rig->daemon = fork();
    assert_true(rig->daemon >= 0);
    if (rig->daemon == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(program, argv); // the program itself: it executes itself anew for its helpers
        _exit(127);
    }
    while ((sock = place_connect(rig->path)) < 0)
        assert_true(clock_now_ns() < end); // no nap: it is met as early as can be
    close(sock);
}

bool rig_alive(struct rig *rig)
{
    return waitpid(rig->daemon, NULL, WNOHANG) == 0;
}

void rig_config(char path[static 64], const char *text)
{
    int fd;

    snprintf(path, 64, "%s/shunt-test-conf-XXXXXX", getenv("TMPDIR") ?: "/tmp");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

void rig_stop(struct rig *rig, int sig)
{
    char lock[128];
    int status;

    assert_true(rig->daemon > 0);
    assert_int_equal(kill(rig->daemon, sig), 0);
    assert_int_equal(waitpid(rig->daemon, &status, 0), rig->daemon);
    if (sig == SIGTERM) {
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(access(rig->path, F_OK), -1);
    }
    unlink(rig->path);
    snprintf(lock, sizeof lock, "%s.lock", rig->path);
    unlink(lock);
    assert_int_equal(rmdir(rig->dir), 0);
    told_clear();
}

void tcp_pair(int fd[2])
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd[0], (struct sockaddr *)&addr, sizeof addr), 0);
    fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd[1] >= 0);
    close(listener);
}

uint64_t cookie_of(int sock)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;

    assert_int_equal(getsockopt(sock, SOL_SOCKET, SO_COOKIE, &cookie, &len), 0);
    return cookie;
}

void addresses_of(int sock, union cm_addr *local, union cm_addr *remote)
{
    socklen_t len = sizeof *local, rlen = sizeof *remote;

    memset(local, 0, sizeof *local);
    memset(remote, 0, sizeof *remote);
    assert_int_equal(getsockname(sock, &local->sa, &len), 0);
    getpeername(sock, &remote->sa, &rlen);
}

// ---- the manager ----

static void on_matched(void *arg, const struct cm_channel *ch)
{
    int n = told.n_matched++;

    assert_true(n < (int)ARRAY_LEN(told.matched));
    told.matched[n] = *ch;
    told.matched[n].peer_endpoint = told.endpoint[n];
    assert_true(ch->peer_endpoint_bytes < sizeof told.endpoint[n]);
    if (ch->peer_endpoint_bytes)
        memcpy(told.endpoint[n], ch->peer_endpoint, ch->peer_endpoint_bytes);
}

static void on_refused(void *arg, uint64_t cookie, const char *reason, bool again)
{
    told.n_refused++;
    told.refused_cookie = cookie;
    snprintf(told.reason, sizeof told.reason, "%s", reason);
}

static void on_noted(void *arg, uint64_t cookie, const char *text)
{
    told.n_noted++;
    snprintf(told.note, sizeof told.note, "%s", text);
}

static void on_relayed(void *arg, uint64_t cookie, const void *bytes, size_t n)
{
    assert_true(n <= sizeof told.relay);
    told.n_relayed++;
    told.relay_cookie = cookie;
    told.relay_bytes = n;
    memcpy(told.relay, bytes, n);
}

static void on_peer_gone(void *arg, uint64_t cookie, enum cm_gone why)
{
    told.n_gone++;
    told.gone_cookie = cookie;
    told.gone = why;
}

const struct cm_events rig_events = {.matched = on_matched,
                                     .refused = on_refused,
                                     .noted = on_noted,
                                     .relayed = on_relayed,
                                     .peer_gone = on_peer_gone};

void told_clear(void)
{
    for (int i = 0; i < told.n_matched; i++) {
        close(told.matched[i].memfd);
        close(told.matched[i].bell);
        close(told.matched[i].peer_bell);
    }
    memset(&told, 0, sizeof told);
}

void rig_claim(struct cm *cm, int sock, int chunk_fd)
{
    struct cm_wish wish = {.ring_bytes = RIG_RING_BYTES,
                           .chunk_fd = chunk_fd,
                           .lanes = {SHUNT_LANE_SHM},
                           .n_lanes = 1};

    rig_wish(cm, sock, &wish);
}

void rig_claim_rdma(struct cm *cm, int sock, const char *endpoint)
{
    struct cm_wish wish = {.ring_bytes = RIG_RING_BYTES,
                           .chunk_fd = -1,
                           .lanes = {SHUNT_LANE_RDMA},
                           .n_lanes = 1,
                           .endpoint = endpoint,
                           .endpoint_bytes = strlen(endpoint)};

    rig_wish(cm, sock, &wish);
}

void rig_wish(struct cm *cm, int sock, struct cm_wish *wish)
{
    wish->cookie = cookie_of(sock);
    addresses_of(sock, &wish->local, &wish->remote);
    cm_claim(cm, sock, wish);
}

void rig_wait_told(struct cm *cm, const int *n, int want)
{
    uint64_t end = clock_now_ns() + PATIENCE_NS;

    while (*n < want) {
        assert_true(clock_now_ns() < end);
        cm_poll(cm);
        nap();
    }
}

void rig_wait_matched(struct cm *cm, int n)
{
    rig_wait_told(cm, &told.n_matched, n);
}

void rig_wait_refused(struct cm *cm, int n)
{
    rig_wait_told(cm, &told.n_refused, n);
}

// ---- by hand ----

int raw_connect(const struct rig *rig)
{
    int sock = place_connect(rig->path);

    assert_true(sock >= 0);
    return sock;
}

void raw_send(int sock, const Ctl__Envelope *msg, const int *fds, int n_fds)
{
    assert_int_equal(packet_send(sock, msg, fds, n_fds), 0);
}

const Ctl__Envelope *raw_recv(int sock)
{
    struct pollfd pfd = {sock, POLLIN, 0};
    int err;

    packet_close_fds(&raw_packet);
    assert_int_equal(poll(&pfd, 1, PATIENCE_NS / NS_PER_MS), 1);
    err = packet_recv(sock, &raw_packet);
    if (err == -ECONNRESET) // it closed with our words unread; the kernel says so before its own
        err = packet_recv(sock, &raw_packet);
    assert_true(err == 0 || err == -EPIPE || err == -ECONNRESET);
    return err ? NULL : raw_packet.msg;
}

int raw_client(const struct rig *rig)
{
    const Ctl__Envelope *answer;
    int sock = raw_connect(rig);

    assert_int_equal(uplink_hello(sock), 0);
    answer = raw_recv(sock);
    assert_non_null(answer);
    assert_int_equal(answer->body_case, CTL__ENVELOPE__BODY_WELCOME);
    assert_int_equal(raw_packet.n_fds, 1);
    return sock;
}

void raw_claim(int sock, int tcp, const struct raw_wish *wish)
{
    Ctl__Claim claim = CTL__CLAIM__INIT;
    uint32_t lane = wish->lane ? wish->lane : SHUNT_LANE_SHM;
    union cm_addr local, remote;
    Ctl__Address l, r;
    Ctl__Envelope msg;

    addresses_of(wish->addresses_of ? wish->addresses_of : tcp, &local, &remote);
    packet_address(&local, &l);
    packet_address(&remote, &r);

    claim.cookie = wish->cookie ? wish->cookie : cookie_of(tcp);
    claim.ring_bytes = wish->ring_bytes ? wish->ring_bytes : RIG_RING_BYTES;
    claim.n_lanes = 1;
    claim.lanes = &lane;
    claim.cross_user = wish->cross_user;
    claim.local = &l;
    claim.remote = &r;
    claim.fd = tcp;
    PACKET_INIT(&msg, CLAIM, claim, &claim);
    raw_send(sock, &msg, &tcp, !wish->no_socket);
}

void raw_expect_refused(int sock, const char *reason_part)
{
    const Ctl__Envelope *msg = raw_recv(sock);

    assert_non_null(msg);
    assert_int_equal(msg->body_case, CTL__ENVELOPE__BODY_REFUSED);
    if (!strstr(msg->refused->reason, reason_part))
        fail_msg("refused because \"%s\", not \"%s\"", msg->refused->reason, reason_part);
}

uint64_t rig_count(const struct rig *rig, const char *name)
{
    Ctl__Stat stat = CTL__STAT__INIT;
    const Ctl__Envelope *answer;
    int sock = raw_client(rig);
    Ctl__Envelope msg;

    PACKET_INIT(&msg, STAT, stat, &stat);
    raw_send(sock, &msg, NULL, 0);
    do {
        answer = raw_recv(sock);
        assert_non_null(answer);
    } while (answer->body_case != CTL__ENVELOPE__BODY_STAT_END);
    close(sock);
    for (size_t i = 0; i < answer->stat_end->n_counters; i++)
        if (!strcmp(answer->stat_end->counters[i]->name, name))
            return answer->stat_end->counters[i]->value;
    fail_msg("no counter is called %s", name);
    return 0;
}

void rig_wait_count(const struct rig *rig, const char *name, uint64_t value)
{
    uint64_t end = clock_now_ns() + PATIENCE_NS, now;

    while ((now = rig_count(rig, name)) != value) {
        if (clock_now_ns() > end)
            fail_msg("%s is %llu, not %llu", name, (unsigned long long)now,
                     (unsigned long long)value);
        nap();
    }
}
