// SPDX-License-Identifier: BSD-2-Clause
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

#define MIRROR_NS (200 * NS_PER_US) // the mirror's fd is looked at so often, at most

const char *const device_of[SIDES] = {"na", "nb"};
struct net_config rig_config;
static int namespaces[SIDES] = {-1, -1};

const char *rig_obstacle(void)
{
    struct queue_options options = {.device = "no-such-device", .door = QUEUE_AF_PACKET};
    struct queue_owner *owner;
    char why[200];
    int status;

    if (geteuid() != 0)
        return "needs root: network namespaces and packet sockets";
    status = system("ip link help 2>/dev/null >/dev/null");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return "no ip (iproute2) here";
    if (queue_open(&owner, &options, why, sizeof why) == -EPROTONOSUPPORT)
        return "built without raw queues";
    if (net_mirror_open(NULL, NULL, 0) == -EOPNOTSUPP)
        return "built without libmnl";
    return NULL;
}

void rig_enter(enum side side)
{
    assert_int_equal(setns(namespaces[side], CLONE_NEWNET), 0);
}

void rig_ip(enum side side, const char *fmt, ...)
{
    char command[300] = "ip ";
    va_list args;

    va_start(args, fmt);
    vsnprintf(command + 3, sizeof command - 3, fmt, args);
    va_end(args);
    rig_enter(side);
    if (system(command))
        fail_msg("%s", command);
    rig_enter(HERE);
}

static void side_up(enum side side)
{
    rig_ip(side, "addr add 10.78.0.%d/24 dev %s", side + 1, device_of[side]);
    rig_ip(side, "addr add fd78::%d/64 dev %s nodad", side + 1, device_of[side]);
    rig_ip(side, "link set lo up");
    rig_ip(side, "link set %s up", device_of[side]);
}

void rig_new(void)
{
    for (enum side side = HERE; side < SIDES; side++) {
        assert_int_equal(unshare(CLONE_NEWNET), 0);
        namespaces[side] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        assert_true(namespaces[side] >= 0);
    }
    rig_ip(HERE, "link add %s type veth peer name %s netns /proc/%d/fd/%d", device_of[HERE],
           device_of[THERE], getpid(), namespaces[THERE]);
    side_up(HERE);
    side_up(THERE);
    net_config_init(&rig_config);
    rig_config.socks = 256;
}

void rig_free(void)
{
    for (enum side side = HERE; side < SIDES; side++)
        close(namespaces[side]);
    assert_int_equal(unshare(CLONE_NEWNET), 0); // lets go of both
}

struct ip_addr rig_addr(enum side side, bool v6)
{
    uint8_t a[16] = {0xfd, 0x78, [15] = (uint8_t)(side + 1)};

    return v6 ? ip_addr_v6(a) : ip_addr_v4(htobe32(0x0a4e0001 + (uint32_t)side));
}

void host_open(struct host *h, enum side side, const char *device)
{
    struct queue_options options = {.device = device, .door = QUEUE_AF_PACKET};
    struct queue_grant grant;
    struct net_attach how = {.queue = &grant};
    char why[200] = "";

    *h = (struct host){.side = side};
    rig_enter(side);
    h->ifindex = if_nametoindex(device);
    if (queue_open(&h->owner, &options, why, sizeof why))
        fail_msg("queue: %s", why);
    how.arena = h->arena = net_arena_create(&rig_config, clock_now_ns());
    how.owner_bell = h->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(h->arena >= 0);
    assert_int_equal(queue_grant_dup(&grant, &h->owner->grant), 0);
    assert_int_equal(net_attach(&h->net, &how), 0);
    assert_int_equal(net_mirror_open(&h->mirror, h->net, h->ifindex), 0);
    assert_int_equal(net_ports_new(&h->ports, h->net, h->owner), 0);
    rig_enter(HERE);
}

void host_close(struct host *h)
{
    net_ports_free(h->ports);
    net_mirror_close(h->mirror);
    net_detach(h->net);
    queue_close(h->owner);
    close(h->arena);
    close(h->bell);
}

void host_drive(struct host *h)
{
    uint64_t now_ns = clock_now_ns(), rung;

    net_drive(h->net, now_ns);
    if (now_ns < h->mirror_ns)
        return;
    h->mirror_ns = now_ns + MIRROR_NS;
    if (read(h->bell, &rung, sizeof rung) < 0)
        rung = 0;
    net_mirror_run(h->mirror, now_ns);
}

bool rig_until(struct host *a, struct host *b, uint64_t for_ms, rig_done *done, void *arg)
{
    uint64_t end_ns = clock_now_ns() + for_ms * NS_PER_MS;

    while (!done(arg)) {
        if (clock_now_ns() > end_ns)
            return false;
        if (a)
            host_drive(a);
        if (b)
            host_drive(b);
    }
    return true;
}

struct at {
    struct host *host;
    uint32_t sock, status;
};

static bool reached(void *arg)
{
    const struct at *at = arg;

    return net_status(at->host->net, at->sock) & at->status;
}

void host_expect(struct host *h, struct host *other, uint32_t sock, uint32_t status)
{
    struct at at = {h, sock, status};

    if (!rig_until(h, other, 10000, reached, &at))
        fail_msg("socket %u: status %#x, not %#x", sock, net_status(h->net, sock), status);
}

uint32_t host_connect(struct host *h, struct host *other, const struct ip_addr *to, uint16_t port)
{
    struct net_open o = {.remote = *to, .remote_port = port};
    struct net_path path;
    uint32_t sock;
    int err = net_path(h->net, to, &o.local, &path);

    assert_int_equal(err, 0);
    o.local = path.source;
    rig_enter(h->side);
    assert_int_equal(net_ports_take(h->ports, &o.local, &o.local_port), 0);
    rig_enter(HERE);
    assert_int_equal(net_open(h->net, clock_now_ns() + NS_PER_S, &o, &sock), 0);
    host_expect(h, other, sock, NET_CONNECTED | NET_CLOSED);
    if (net_status(h->net, sock) & NET_CLOSED)
        fail_msg("connect: %s", strerror(-net_error(h->net, sock)));
    return sock;
}

uint32_t host_listen(struct host *h, const struct ip_addr *at, uint16_t port)
{
    struct net_open o = {.local = *at, .local_port = port};
    uint32_t sock;

    rig_enter(h->side);
    assert_int_equal(net_ports_share(h->ports, at, port), 0);
    assert_int_equal(net_ports_steer(h->ports, at, port), 0);
    rig_enter(HERE);
    assert_int_equal(net_listen(h->net, clock_now_ns() + NS_PER_S, &o, 4096, &sock), 0);
    return sock;
}

uint32_t host_accept(struct host *h, struct host *other, uint32_t listener)
{
    uint32_t sock;

    host_expect(h, other, listener, NET_ACCEPT);
    assert_int_equal(net_accept(h->net, clock_now_ns() + NS_PER_S, listener, &sock), 0);
    return sock;
}

static socklen_t fill(struct sockaddr_storage *ss, const struct ip_addr *a, uint16_t port)
{
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ss;
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ss;

    memset(ss, 0, sizeof *ss);
    if (ip_addr_is_v4(a)) {
        *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        v4->sin_addr.s_addr = a->w[3];
        return sizeof *v4;
    }
    *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memcpy(&v6->sin6_addr, a->b, 16);
    return sizeof *v6;
}

int kernel_listen(enum side side, bool v6, uint16_t port)
{
    struct ip_addr any = v6 ? (struct ip_addr){.b = {0}} : ip_addr_v4(0);
    struct sockaddr_storage ss;
    socklen_t len = fill(&ss, &any, port);
    int fd, one = 1;

    rig_enter(side);
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    rig_enter(HERE);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
    assert_int_equal(listen(fd, 4096), 0);
    return fd;
}

int kernel_connect(enum side side, const struct ip_addr *to, uint16_t port)
{
    struct sockaddr_storage ss;
    socklen_t len = fill(&ss, to, port);
    int fd;

    rig_enter(side);
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    rig_enter(HERE);
    assert_true(!connect(fd, (struct sockaddr *)&ss, len) || errno == EINPROGRESS);
    return fd;
}

struct accepting {
    int listener, fd;
};

static bool accepted(void *arg)
{
    struct accepting *a = arg;

    a->fd = accept4(a->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return a->fd >= 0;
}

int kernel_accept(struct host *h, int listener)
{
    struct accepting a = {.listener = listener};

    if (!rig_until(h, NULL, 5000, accepted, &a))
        fail_msg("nothing to accept");
    return a.fd;
}

static uint32_t end_write(struct end *e, const void *data, uint32_t len)
{
    ssize_t n;

    if (e->host)
        return program_write(e->host->net, e->sock, data, len);
    n = send(e->fd, data, len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        fail_msg("send: %s", strerror(errno));
    return n > 0 ? (uint32_t)n : 0;
}

static uint32_t end_read(struct end *e, void *data, uint32_t len)
{
    ssize_t n;

    if (e->host)
        return program_read(e->host->net, e->sock, data, len);
    n = recv(e->fd, data, len, 0);
    if (n < 0 && errno != EAGAIN)
        fail_msg("recv: %s", strerror(errno));
    return n > 0 ? (uint32_t)n : 0;
}

#define CHUNK 65536

static void check(const uint8_t *buf, uint32_t n, uint64_t at)
{
    for (uint32_t i = 0; i < n; i++)
        if (buf[i] != rig_byte(at + i))
            fail_msg("byte %llu is wrong", (unsigned long long)(at + i));
}

void rig_stream(struct end from, struct end to, uint64_t total, void (*meanwhile)(void *, uint64_t),
                void *arg)
{
    uint64_t sent = 0, got = 0, end_ns = clock_now_ns() + 60 * NS_PER_S;
    static uint8_t out[CHUNK], in[CHUNK];
    uint32_t filled = 0, n;

    while (got < total) {
        for (; filled < CHUNK && sent + filled < total; filled++)
            out[filled] = rig_byte(sent + filled);
        n = filled ? end_write(&from, out, filled) : 0;
        memmove(out, out + n, filled - n);
        filled -= n;
        sent += n;
        n = end_read(&to, in, sizeof in);
        check(in, n, got);
        got += n;
        if (from.host)
            host_drive(from.host);
        if (to.host)
            host_drive(to.host);
        if (meanwhile)
            meanwhile(arg, got);
        if (clock_now_ns() > end_ns)
            fail_msg("%llu of %llu bytes after 60 s", (unsigned long long)got,
                     (unsigned long long)total);
    }
}
