// SPDX-License-Identifier: BSD-2-Clause
#include "rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "queue/capture.h"
#include "queue/fault.h"
#include "queue/loop.h"

const char *const device_of[SIDES] = {"qa", "qb"};
const char *const address_of[SIDES] = {"10.77.0.1", "10.77.0.2"};
const char *const address6_of[SIDES] = {"fd77::1", "fd77::2"};
struct queue_options rig_options;
bool rig_wrapped;

static int namespaces[SIDES] = {-1, -1};

const char *rig_obstacle(void)
{
    struct queue_owner *owner;
    char why[200] = "";
    int status;

    if (rig_options.door == QUEUE_LOOP)
        return NULL;
    if (geteuid() != 0)
        return "needs root: network namespaces and packet sockets";
    status = system("ip link help 2>/dev/null >/dev/null");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return "no ip (iproute2) here";
    rig_options.device = "no-such-device";
    if (queue_open(&owner, &rig_options, why, sizeof(why)) == -EPROTONOSUPPORT)
        return "built without this door";
    return NULL;
}

void rig_enter(enum side side)
{
    if (namespaces[side] >= 0)
        assert_int_equal(setns(namespaces[side], CLONE_NEWNET), 0);
}

void rig_run(enum side side, const char *fmt, ...)
{
    va_list args;
    FILE *ip;

    rig_enter(side);
    ip = popen("ip -batch -", "w");
    assert_non_null(ip);
    va_start(args, fmt);
    vfprintf(ip, fmt, args);
    va_end(args);
    fputc('\n', ip);
    if (pclose(ip) != 0)
        fail_msg("ip %s", fmt);
    rig_enter(HERE);
}

static void namespaces_open(void)
{
    for (enum side side = HERE; side < SIDES; side++) {
        assert_int_equal(unshare(CLONE_NEWNET), 0);
        namespaces[side] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        assert_true(namespaces[side] >= 0);
    }
    rig_enter(HERE);
}

static void side_up(struct rig *rig, enum side side)
{
    struct ifreq ifr = {0};
    int fd;

    rig_run(side,
            "addr add %s/24 dev %s\naddr add %s/64 dev %s nodad\nlink set lo up\nlink set %s up",
            address_of[side], device_of[side], address6_of[side], device_of[side], device_of[side]);
    rig_enter(side);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    strcpy(ifr.ifr_name, device_of[side]);
    assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &ifr), 0);
    memcpy(rig->mac[side], ifr.ifr_hwaddr.sa_data, 6);
    close(fd);
    rig_enter(HERE);
}

// Until the kernel lets the device send: what is sent between `up` and that is dropped silently.
static void wait_running(enum side side)
{
    struct ifreq ifr = {0};
    int fd;

    rig_enter(side);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    rig_enter(HERE);
    strcpy(ifr.ifr_name, device_of[side]);
    for (int turn = 0; turn < 3000 && !(ifr.ifr_flags & IFF_RUNNING); turn++) {
        usleep(1000);
        assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
    }
    close(fd);
}

void rig_links(struct rig *rig, unsigned hw_queues)
{
    rig_run(HERE,
            "link add %s numtxqueues %u numrxqueues %u type veth peer name %s numtxqueues %u "
            "numrxqueues %u netns /proc/%d/fd/%d",
            device_of[HERE], hw_queues, hw_queues, device_of[THERE], hw_queues, hw_queues, getpid(),
            namespaces[THERE]);
    side_up(rig, HERE);
    side_up(rig, THERE);
    wait_running(HERE);
    wait_running(THERE);
    // a NIC's frames are no longer than the wire's
    for (enum side side = HERE; side < SIDES && rig->door == QUEUE_VERBS_RAW; side++)
        rig_run(side, "link set %s gso_max_segs 1", device_of[side]);
}

struct rig *rig_new(void)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    rig->door = rig_options.door;
    if (rig->door == QUEUE_LOOP)
        return rig;
    namespaces_open();
    rig_links(rig, 1);
    return rig;
}

void rig_free(struct rig *rig)
{
    for (enum side side = HERE; side < SIDES; side++) {
        rig_close(rig, side);
        if (namespaces[side] >= 0)
            close(namespaces[side]);
    }
    if (rig->door != QUEUE_LOOP)
        assert_int_equal(unshare(CLONE_NEWNET), 0); // lets go of both
    namespaces[HERE] = namespaces[THERE] = -1;
    free(rig);
}

static struct queue_grant wrapped(struct queue_grant *inner)
{
    int file = open("/dev/null", O_WRONLY | O_APPEND | O_CLOEXEC);
    struct queue_grant capture, fault;

    assert_int_equal(capture_grant(&capture, inner, file, "wrapped"), 0);
    assert_int_equal(fault_grant(&fault, &capture, &(struct fault_options){0}), 0);
    queue_grant_close(inner);
    queue_grant_close(&capture);
    close(file);
    return fault;
}

// The grant is used up.
static void attach(struct rig *rig, enum side side, struct queue_grant *grant)
{
    if (rig_wrapped)
        *grant = wrapped(grant);
    assert_int_equal(queue_attach(&rig->queue[side], grant), 0);
}

void rig_open(struct rig *rig, enum side side)
{
    struct queue_options options = rig_options;
    char why[200] = "";
    struct queue_grant grant;
    int err;

    options.device = device_of[side];
    rig_enter(side);
    err = queue_open(&rig->owner[side], &options, why, sizeof(why));
    if (err)
        fail_msg("open: %s: %s", strerror(-err), why);
    rig_enter(HERE);
    assert_int_equal(queue_grant_dup(&grant, &rig->owner[side]->grant), 0);
    attach(rig, side, &grant);
}

void rig_close(struct rig *rig, enum side side)
{
    if (rig->queue[side])
        queue_detach(rig->queue[side]);
    if (rig->owner[side])
        queue_close(rig->owner[side]);
    rig->queue[side] = NULL;
    rig->owner[side] = NULL;
}

static void loop_pair(struct rig *rig)
{
    struct queue_grant ends[SIDES];

    assert_int_equal(loop_open(ends, &(struct loop_options){.piece_bytes = 4096}), 0);
    for (enum side side = HERE; side < SIDES; side++)
        attach(rig, side, &ends[side]);
}

void rig_open_pair(struct rig *rig)
{
    struct queue_flow flow;

    for (enum side side = HERE; side < SIDES; side++) {
        rig_open(rig, side);
        flow = side == HERE ? rig_flow(HERE, PORT_HERE, PORT_THERE)
                            : rig_flow(THERE, PORT_THERE, PORT_HERE);
        assert_int_equal(queue_flow_add(rig->owner[side], &flow), 0);
    }
}

struct rig *rig_pair(void)
{
    struct rig *rig = rig_new();

    if (rig->door == QUEUE_LOOP)
        loop_pair(rig);
    else
        rig_open_pair(rig);
    return rig;
}

void grant_pass(int socket, const struct queue_grant *grant)
{
    char control[CMSG_SPACE(sizeof(int) * QUEUE_FDS_MAX)] = {0};
    struct iovec iov = {(void *)(uintptr_t)&grant->desc, sizeof(grant->desc)};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};
    struct cmsghdr *c;

    message.msg_controllen = CMSG_SPACE(sizeof(int) * grant->desc.fd_count);
    c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * grant->desc.fd_count);
    memcpy(CMSG_DATA(c), grant->fd, sizeof(int) * grant->desc.fd_count);
    assert_int_equal(sendmsg(socket, &message, 0), sizeof(grant->desc));
}

bool grant_take(int socket, struct queue_grant *grant)
{
    char control[CMSG_SPACE(sizeof(int) * QUEUE_FDS_MAX)];
    struct iovec iov = {&grant->desc, sizeof(grant->desc)};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *c;

    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != sizeof(grant->desc))
        return false;
    c = CMSG_FIRSTHDR(&message);
    memcpy(grant->fd, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    return true;
}

struct sockaddr_in rig_address(enum side side, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

    inet_pton(AF_INET, address_of[side], &address.sin_addr);
    return address;
}

static struct in6_addr mapped(enum side side)
{
    struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

    inet_pton(AF_INET, address_of[side], &address.s6_addr[12]);
    return address;
}

struct queue_flow rig_flow(enum side side, uint16_t local_port, uint16_t remote_port)
{
    struct queue_flow flow = {
        .local = mapped(side), .local_port = htons(local_port), .remote_port = htons(remote_port)};

    if (remote_port)
        flow.remote = mapped(side == HERE ? THERE : HERE);
    return flow;
}

struct queue_flow rig_flow6(enum side side, uint16_t local_port, uint16_t remote_port)
{
    struct queue_flow flow = {.local_port = htons(local_port), .remote_port = htons(remote_port)};

    inet_pton(AF_INET6, address6_of[side], &flow.local);
    if (remote_port)
        inet_pton(AF_INET6, address6_of[side == HERE ? THERE : HERE], &flow.remote);
    return flow;
}

int frame_send(struct rig *rig, const struct segment *s)
{
    static struct built built;
    int err;

    frame_build(&built, rig, s);
    err = queue_tx(rig->queue[s->from], &built.out, clock_now_ns());
    return err ? err : queue_kick(rig->queue[s->from], clock_now_ns());
}

static bool frame_within(struct rig *rig, enum side side, struct queue_frame *frame, uint64_t ns)
{
    struct queue *q = rig->queue[side];
    struct pollfd pollfd = {.fd = queue_wait_fd(q), .events = POLLIN};
    uint64_t until = clock_now_ns() + ns, now;
    int n;

    while ((n = queue_rx(q, frame, 1, clock_now_ns())) == 0) {
        now = clock_now_ns();
        if (now >= until)
            return false;
        queue_kick(q, now);
        queue_arm(q);
        if (queue_rx(q, frame, 1, now) == 0)
            poll(&pollfd, 1,
                 queue_deadline(q) == CLOCK_NEVER ? (int)((until - now) / NS_PER_MS) + 1 : 1);
    }
    assert_int_equal(n, 1);
    return true;
}

bool frame_next(struct rig *rig, enum side side, struct queue_frame *frame)
{
    return frame_within(rig, side, frame, 2 * NS_PER_S);
}

bool frame_none(struct rig *rig, enum side side)
{
    struct queue_frame frame;

    return !frame_within(rig, side, &frame, 25 * NS_PER_MS);
}

void frame_done(struct rig *rig, enum side side)
{
    queue_release(rig->queue[side], 1);
}
