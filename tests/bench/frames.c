// SPDX-License-Identifier: BSD-2-Clause
// Bare frames through one door of src/queue, between two network namespaces joined by veth, a
// spinning process in each: what no protocol above can be faster than.
//   frames pingpong|rate|bulk af_packet|af_xdp|af_xdp_native [SECONDS]
// pingpong: 64 bytes of payload there and back; rate: such frames one way, 32 a kick; bulk: the
// longest frames that the door sends, one way. What is lost does not count, and nobody reads the
// bytes. Prints one line of JSON. Needs root.
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "queue/owner.h"

#define TRIPS_MAX (UINT32_C(1) << 22)
#define BURST     32
#define HEAD      54
#define MSS       1446

enum side { CLIENT, SERVER };

static const char *const device_of[] = {"fa", "fb"};
static const uint8_t mac_of[][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};

static struct shared {
    _Atomic int ready, stop;
    _Atomic uint64_t frames, bytes; // that the server has received
} * shared;

static struct queue_owner *owner;
static struct queue *queue;
static uint8_t head[HEAD];
static char payload[65536];

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "frames: %s\n", what);
    exit(1);
}

static struct in6_addr address_of(enum side side)
{
    return (struct in6_addr){
        .s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 78, [15] = (uint8_t)(side + 1)}};
}

static void queue_up(enum side side, const char *door)
{
    struct queue_options options = {
        .device = device_of[side], .door = QUEUE_AF_XDP, .native = !strcmp(door, "af_xdp_native")};
    struct queue_flow flow = {.local = address_of(side),
                              .remote = address_of(!side),
                              .local_port = htons(27100),
                              .remote_port = htons(27100)};
    struct queue_grant grant;
    char why[200];

    if (!strcmp(door, "af_packet"))
        options.door = QUEUE_AF_PACKET;
    else if (strncmp(door, "af_xdp", 6))
        die("no such door");
    if (queue_open(&owner, &options, why, sizeof(why)))
        die(why);
    if (queue_flow_add(owner, &flow) || queue_grant_dup(&grant, &owner->grant) ||
        queue_attach(&queue, &grant))
        die("cannot attach");
}

// Ethernet, IPv4 and TCP to the other side; lengths and IP's checksum are of no interest to it.
static void head_init(enum side side)
{
    struct in6_addr from = address_of(side), to = address_of(!side);

    memcpy(head, mac_of[!side], 6);
    memcpy(head + 6, mac_of[side], 6);
    head[12] = 8;
    head[14] = 0x45;
    head[22] = 64;
    head[23] = IPPROTO_TCP;
    memcpy(head + 26, &from.s6_addr[12], 4);
    memcpy(head + 30, &to.s6_addr[12], 4);
    head[34] = head[36] = 27100 >> 8;
    head[35] = head[37] = 27100 & 0xff;
    head[46] = 5 << 4;
}

static int send_frame(uint32_t bytes)
{
    struct iovec iov = {payload, bytes};
    struct queue_out out = {.head = head, .head_bytes = HEAD, .payload = &iov, .payload_count = 1};

    head[16] = (uint8_t)((bytes + 40) >> 8);
    head[17] = (uint8_t)(bytes + 40);
    if (bytes + HEAD > queue->caps->mtu_bytes + 14) {
        out.gso = QUEUE_GSO_TCP4;
        out.gso_size = MSS;
        out.csum_start = 34;
        out.csum_offset = 16;
    }
    return queue_tx(queue, &out, 0);
}

static int take(struct queue_frame *frames)
{
    int n = queue_rx(queue, frames, BURST, 0);

    if (n < 0)
        die("the queue is down");
    return n;
}

static void serve(bool echo)
{
    struct queue_frame frames[BURST];

    atomic_store(&shared->ready, 1);
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        int n = take(frames);
        uint64_t bytes = 0;

        for (int i = 0; i < n; i++)
            bytes += frames[i].len_bytes - HEAD;
        if (n == 0) {
            queue_kick(queue, 0);
            continue;
        }
        queue_release(queue, n);
        if (echo)
            send_frame(64);
        queue_kick(queue, 0);
        shared->frames += (uint64_t)n;
        shared->bytes += bytes;
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

// One frame there and back; 0: it was lost.
static uint64_t trip(void)
{
    struct queue_frame frames[BURST];
    uint64_t from = clock_now_ns(), now = from;
    int n = 0;

    send_frame(64);
    queue_kick(queue, from);
    while (!(n = take(frames)) && now < from + 100 * NS_PER_MS)
        now = clock_now_ns();
    queue_release(queue, n);
    return n ? clock_now_ns() - from : 0;
}

static void ping(uint64_t until_ns)
{
    uint32_t *trips = calloc(TRIPS_MAX, sizeof(*trips)), n = 0;

    while (clock_now_ns() < until_ns && n < TRIPS_MAX) {
        trips[n] = (uint32_t)trip();
        n += trips[n] != 0;
    }
    if (!n)
        die("nothing came back");
    qsort(trips, n, sizeof(*trips), by_value);
    printf("{\"round_trips\": %u, \"p50_us\": %.3f, \"p99_us\": %.3f}\n", n, trips[n / 2] / 1e3,
           trips[(uint64_t)n * 99 / 100] / 1e3);
    free(trips);
}

static uint32_t longest(void)
{
    const struct queue_caps *caps = queue->caps;

    return caps->super_tx_bytes ? (caps->super_tx_bytes - HEAD) / MSS * MSS
                                : caps->mtu_bytes + 14 - HEAD;
}

static void flood(uint64_t time_ns, uint32_t bytes)
{
    uint64_t from = clock_now_ns(), until = from + time_ns, frames = shared->frames,
             count = shared->bytes;
    double seconds;

    while (clock_now_ns() < until) {
        for (int i = 0; i < BURST && send_frame(bytes) == 0; i++)
            ;
        queue_kick(queue, 0);
    }
    seconds = (double)(clock_now_ns() - from) / 1e9;
    printf("{\"payload\": %u, \"mframes_per_s\": %.4f, \"gbit_per_s\": %.3f}\n", bytes,
           (double)(shared->frames - frames) / seconds / 1e6,
           (double)(shared->bytes - count) * 8 / seconds / 1e9);
}

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof(set), &set); // on one core: slower, and still right
}

static pid_t fork_server(const char *load, const char *door)
{
    pid_t child = fork();

    if (child)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWNET))
        die("cannot make a network namespace");
    atomic_store(&shared->ready, 2);
    while (atomic_load(&shared->ready) != 3)
        usleep(1000);
    pin(0);
    if (system("ip link set fb up"))
        die("no link");
    head_init(SERVER);
    queue_up(SERVER, door);
    serve(!strcmp(load, "pingpong"));
    queue_close(owner);
    _exit(0);
}

static void link_up(pid_t server)
{
    char command[300];

    if (unshare(CLONE_NEWNET))
        die("cannot make a network namespace");
    while (atomic_load(&shared->ready) != 2)
        usleep(1000);
    snprintf(command, sizeof(command),
             "ip link add fa address 02:00:00:00:00:01 type veth peer name fb address "
             "02:00:00:00:00:02 netns %d && ip link set fa up",
             (int)server);
    if (system(command))
        die("no link");
    atomic_store(&shared->ready, 3);
    while (atomic_load(&shared->ready) != 1)
        usleep(1000);
}

int main(int argc, char **argv)
{
    uint64_t time_ns = argc > 3 ? (uint64_t)(atof(argv[3]) * 1e9) : NS_PER_S;
    pid_t server;

    if (argc < 3)
        die("usage: frames pingpong|rate|bulk DOOR [SECONDS]");
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("no memory");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    server = fork_server(argv[1], argv[2]);
    link_up(server);
    pin(1);
    head_init(CLIENT);
    queue_up(CLIENT, argv[2]);
    if (!strcmp(argv[1], "pingpong"))
        ping(clock_now_ns() + time_ns);
    else
        flood(time_ns, !strcmp(argv[1], "rate") ? 64 : longest());
    atomic_store(&shared->stop, 1);
    queue_detach(queue);
    queue_close(owner);
    return waitpid(server, NULL, 0) == server ? 0 : 1;
}
