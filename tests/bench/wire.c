// SPDX-License-Identifier: BSD-2-Clause
// Two hosts on one machine: two network namespaces joined by veth, a process in each. Measures one
// way to talk over that link:
//   wire pingpong|bulk veth|wire|mixed|raw [--seconds S] [--size BYTES] [--ring BYTES] [--wait
//   spin|block]
// veth: kernel TCP; wire: Shunt's own TCP at both ends; mixed: at the client's end only; raw: bare
// frames through the same queue, the floor. Prints one line of JSON. Needs root.
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "net/mirror.h"
#include "net/owner.h"
#include "net/ports.h"

#define KERNEL_NODELAY 1 // TCP_NODELAY: the header of libc does not go together with tcp/tcp.h
#define PORT           27900
#define TRIPS_MAX      4000000
#define CHUNK          65536

enum side { SERVER, CLIENT };

static const struct {
    const char *name;
    bool stack[2]; // whose end is Shunt's
    bool raw;
} ways[] = {{"veth", {false, false}, false},
            {"wire", {true, true}, false},
            {"mixed", {false, true}, false},
            {"raw", {false, false}, true}};

static struct {
    bool bulk, raw, block;
    bool stack; // this process's end is Shunt's
    uint64_t time_ns;
    uint32_t size_bytes, ring_bytes;
    const char *device; // this process's
    int cpu;
} run = {.time_ns = NS_PER_S, .size_bytes = 64, .ring_bytes = 4 << 20};

// What this process's end is.
static struct {
    int fd; // kernel
    struct queue_owner *owner;
    struct queue *queue; // raw
    struct net *net;
    struct net_mirror *mirror;
    uint32_t sock;
    struct ring tx, rx;
} end;

static _Noreturn void die(const char *what, int err)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(err < -1 ? -err : errno));
    exit(1);
}

static void need(int err, const char *what)
{
    if (err < 0)
        die(what, err);
}

static void shell(const char *fmt, int number)
{
    char command[200];

    snprintf(command, sizeof command, fmt, number);
    if (system(command))
        die(command, -EIO);
}

static struct ip_addr addr_of(enum side side)
{
    return ip_addr_v4(htobe32(0x0a4f0001 + side));
}

// ---- the stack ----

static void open_queue(void)
{
    struct queue_options options = {.device = run.device, .door = QUEUE_AF_PACKET};
    char why[200] = "";
    int err = queue_open(&end.owner, &options, why, sizeof why);

    if (err)
        die(why, err);
}

static void open_stack(void)
{
    struct queue_grant grant;
    struct net_attach how = {.queue = &grant, .owner_bell = -1};
    struct net_config cfg;

    net_config_init(&cfg);
    cfg.socks = 16;
    cfg.ring_bytes = run.ring_bytes;
    how.arena = net_arena_create(&cfg, clock_now_ns());
    need(how.arena, "arena");
    need(queue_grant_dup(&grant, &end.owner->grant), "grant");
    need(net_attach(&end.net, &how), "attach");
    need(net_mirror_open(&end.mirror, end.net, if_nametoindex(run.device)), "mirror");
}

static void find_rings(void)
{
    struct chan_shared *ch = net_channel_at(end.net, end.sock);
    uint8_t *data = (uint8_t *)ch + CHAN_HDR_BYTES;

    end.tx = (struct ring){data, ch->ring_bytes - 1, &ch->dir[0].tail, &ch->dir[0].head};
    end.rx = (struct ring){data + ch->ring_bytes, ch->ring_bytes - 1, &ch->dir[1].tail,
                           &ch->dir[1].head};
}

static const struct net_option nodelay = {TCP_SET_NODELAY, 1};

static void stack_accept(int ready)
{
    struct net_open o = {.local = addr_of(SERVER), .local_port = PORT};
    struct queue_flow flow = {.local_port = htons(PORT)};
    uint32_t listener;

    memcpy(&flow.local, o.local.b, 16);
    need(queue_flow_add(end.owner, &flow), "flow");
    o.options = &nodelay;
    o.option_count = 1;
    need(net_listen(end.net, clock_now_ns() + NS_PER_S, &o, 4, &listener), "listen");
    need((int)write(ready, "r", 1), "pipe");
    while (net_accept(end.net, clock_now_ns() + NS_PER_S, listener, &end.sock)) {
        net_drive(end.net, clock_now_ns());
        net_mirror_run(end.mirror, clock_now_ns());
    }
}

static void stack_connect(void)
{
    struct net_open o = {.remote = addr_of(SERVER), .remote_port = PORT};
    struct net_ports *ports;

    o.local = addr_of(CLIENT);
    o.options = &nodelay;
    o.option_count = 1;
    need(net_ports_new(&ports, end.net, end.owner), "ports");
    need(net_ports_take(ports, &o.local, &o.local_port), "port");
    need(net_open(end.net, clock_now_ns() + NS_PER_S, &o, &end.sock), "open");
    while (!(net_status(end.net, end.sock) & (NET_CONNECTED | NET_CLOSED))) {
        net_drive(end.net, clock_now_ns());
        net_mirror_run(end.mirror, clock_now_ns());
    }
    need(net_error(end.net, end.sock), "connect");
}

// ---- the kernel's sockets ----

static struct sockaddr_in server_address(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(PORT)};

    sin.sin_addr.s_addr = addr_of(SERVER).w[3];
    return sin;
}

static void kernel_settle(void)
{
    int one = 1;

    setsockopt(end.fd, IPPROTO_TCP, KERNEL_NODELAY, &one, sizeof one);
    if (!run.block)
        need(fcntl(end.fd, F_SETFL, O_NONBLOCK), "fcntl");
}

static void kernel_accept(int ready)
{
    struct sockaddr_in sin = server_address();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    need(bind(fd, (struct sockaddr *)&sin, sizeof sin), "bind");
    need(listen(fd, 4), "listen");
    need((int)write(ready, "r", 1), "pipe");
    end.fd = accept(fd, NULL, NULL);
    need(end.fd, "accept");
    kernel_settle();
}

static void kernel_connect(void)
{
    struct sockaddr_in sin = server_address();

    end.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(connect(end.fd, (struct sockaddr *)&sin, sizeof sin), "connect");
    kernel_settle();
}

// ---- moving bytes ----

// Sleeps until the stack has something to do, as a program does that polls its queue.
static void stack_sleep(void)
{
    struct pollfd p = {.fd = net_wait_fd(end.net), .events = POLLIN};
    uint64_t now_ns = clock_now_ns(), at = net_deadline(end.net);
    struct timespec left = {0};

    if (at <= now_ns)
        return;
    at = u64_min(at - now_ns, NS_PER_S);
    left.tv_sec = (time_t)(at / NS_PER_S);
    left.tv_nsec = (long)(at % NS_PER_S);
    ppoll(&p, 1, &left, NULL);
}

static uint32_t stack_send(const void *data, uint32_t len)
{
    uint64_t at = *end.tx.head;

    len = (uint32_t)u64_min(len, ring_space(&end.tx, at));
    if (!len) {
        net_drive(end.net, clock_now_ns());
        return 0;
    }
    ring_write(&end.tx, at, data, len);
    ring_publish_head(&end.tx, at + len);
    net_poke(end.net, clock_now_ns(), end.sock);
    return len;
}

static uint32_t stack_recv(void *data, uint32_t len)
{
    static bool taken; // bytes, since the stack was told
    uint64_t at = *end.rx.tail, ready = ring_ready(&end.rx, at);

    if (!ready) {
        if (taken)
            net_poke(end.net, clock_now_ns(), end.sock);
        else
            net_drive(end.net, clock_now_ns());
        taken = false;
        ready = ring_ready(&end.rx, at);
    }
    if (!ready && run.block)
        stack_sleep();
    len = (uint32_t)u64_min(len, ready);
    ring_read(&end.rx, at, data, len);
    ring_publish_tail(&end.rx, at + len);
    taken |= len > 0;
    return len;
}

static uint32_t kernel_move(ssize_t n)
{
    if (n < 0 && errno != EAGAIN)
        die("socket", 0);
    return n > 0 ? (uint32_t)n : 0;
}

static bool is_over(void)
{
    if (run.stack)
        return net_status(end.net, end.sock) & (NET_FIN | NET_CLOSED) &&
               !ring_ready(&end.rx, *end.rx.tail);
    return recv(end.fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void send_all(const uint8_t *data, uint32_t len)
{
    while (len) {
        uint32_t n =
            run.stack ? stack_send(data, len) : kernel_move(send(end.fd, data, len, MSG_NOSIGNAL));

        data += n;
        len -= n;
    }
}

// False at the end of the stream.
static bool recv_all(uint8_t *data, uint32_t len)
{
    for (uint32_t spins = 0; len; spins++) {
        uint32_t n = run.stack ? stack_recv(data, len) : kernel_move(recv(end.fd, data, len, 0));

        data += n;
        len -= n;
        if (!n && spins % 1024 == 1023 && is_over())
            return false;
    }
    return true;
}

// ---- bare frames ----

static uint8_t raw_head[54];

static void raw_open(enum side side)
{
    struct queue_flow flow = {.local_port = htons(PORT), .remote_port = htons(PORT)};
    struct ip_addr from = addr_of(side), to = addr_of(!side);
    struct queue_grant grant;

    memcpy(&flow.local, from.b, 16);
    memcpy(&flow.remote, to.b, 16);
    need(queue_flow_add(end.owner, &flow), "flow");
    need(queue_grant_dup(&grant, &end.owner->grant), "grant");
    need(queue_attach(&end.queue, &grant), "attach");
    raw_head[0] = raw_head[6] = 2;
    raw_head[4] = raw_head[10] = 0x79;
    raw_head[5] = side == SERVER;
    raw_head[11] = side == CLIENT;
    raw_head[12] = 8;
    raw_head[14] = 0x45;
    raw_head[16] = (uint8_t)((40 + run.size_bytes) >> 8);
    raw_head[17] = (uint8_t)(40 + run.size_bytes);
    raw_head[22] = 64;
    raw_head[23] = IPPROTO_TCP;
    memcpy(raw_head + 26, &from.w[3], 4);
    memcpy(raw_head + 30, &to.w[3], 4);
    memcpy(raw_head + 34, &flow.local_port, 2);
    memcpy(raw_head + 36, &flow.remote_port, 2);
    raw_head[46] = 0x50;
}

static void raw_send(const uint8_t *data)
{
    struct iovec iov = {(void *)(uintptr_t)data, run.size_bytes};
    struct queue_out out = {
        .head = raw_head, .head_bytes = sizeof raw_head, .payload = &iov, .payload_count = 1};

    need(queue_tx(end.queue, &out, clock_now_ns()), "tx");
    need(queue_kick(end.queue, clock_now_ns()), "kick");
}

// False without a frame for half a second, or five before the first: the other end has left.
static bool raw_recv(uint8_t *data)
{
    static uint64_t patience_ns = 5 * NS_PER_S;
    struct queue_frame frame;

    for (uint64_t spins = 0, end_ns = 0;; spins++) {
        if (queue_rx(end.queue, &frame, 1, 0) > 0)
            break;
        if (spins % 4096 == 0 && end_ns && clock_now_ns() > end_ns)
            return false;
        if (!end_ns)
            end_ns = clock_now_ns() + patience_ns;
    }
    patience_ns = NS_PER_S / 2;
    queue_frame_copy(end.queue, &frame, sizeof raw_head, data, run.size_bytes);
    queue_release(end.queue, 1);
    return true;
}

// ---- the loads ----

static uint8_t buf[CHUNK];

static bool turn_back(void)
{
    if (run.raw)
        return raw_recv(buf) && (raw_send(buf), true);
    if (!recv_all(buf, run.size_bytes))
        return false;
    send_all(buf, run.size_bytes);
    return true;
}

static void trip(void)
{
    if (run.raw) {
        raw_send(buf);
        if (!raw_recv(buf))
            die("no answer", -ETIMEDOUT);
        return;
    }
    send_all(buf, run.size_bytes);
    recv_all(buf, run.size_bytes);
}

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void measure_trips(void)
{
    uint32_t *ns = calloc(TRIPS_MAX, sizeof *ns), n = 0;
    uint64_t start_ns = clock_now_ns(), from_ns = start_ns, to_ns;

    while (clock_now_ns() - start_ns < run.time_ns / 5)
        trip();
    start_ns = from_ns = clock_now_ns();
    while (from_ns - start_ns < run.time_ns && n < TRIPS_MAX) {
        trip();
        to_ns = clock_now_ns();
        ns[n++] = (uint32_t)(to_ns - from_ns);
        from_ns = to_ns;
    }
    qsort(ns, n, sizeof *ns, by_value);
    printf("{\"p50_us\": %.3f, \"mean_us\": %.3f, \"p99_us\": %.3f, \"trips\": %u}\n",
           ns[n / 2] / 1e3, (double)(from_ns - start_ns) / n / 1e3, ns[n / 100 * 99] / 1e3, n);
}

// The client sends; the server counts, and tells at the end.
static void sink(int result)
{
    uint64_t got = 0, start_ns = 0, end_ns = 0;
    double cpu = cpu_seconds(), found[3];

    for (uint32_t spins = 0;; spins++) {
        uint32_t n = run.stack ? stack_recv(buf, CHUNK) : kernel_move(recv(end.fd, buf, CHUNK, 0));

        if (!n && spins % 256 == 0 && is_over())
            break;
        if (!n)
            continue;
        end_ns = clock_now_ns();
        if (!start_ns)
            start_ns = end_ns;
        got += n;
    }
    found[0] = (double)got;
    found[1] = (double)(end_ns - start_ns);
    found[2] = cpu_seconds() - cpu;
    need((int)write(result, found, sizeof found), "pipe");
}

static void finish_sending(void)
{
    uint64_t end_ns = clock_now_ns() + NS_PER_S;

    if (!run.stack) {
        shutdown(end.fd, SHUT_WR);
        return;
    }
    net_request(end.net, clock_now_ns(), end.sock, NET_SHUT_TX);
    while (!(net_status(end.net, end.sock) & NET_CLOSED) && clock_now_ns() < end_ns &&
           ring_ready(&end.tx, *end.tx.tail))
        net_drive(end.net, clock_now_ns());
}

static void measure_bulk(int result)
{
    uint64_t start_ns = clock_now_ns();
    double cpu = cpu_seconds(), found[3];

    while (clock_now_ns() - start_ns < run.time_ns)
        send_all(buf, CHUNK);
    finish_sending();
    cpu = cpu_seconds() - cpu;
    if (read(result, found, sizeof found) != sizeof found)
        die("the other end said nothing", -EIO);
    printf(
        "{\"gbit_per_s\": %.3f, \"sender_cpu_s_per_gb\": %.4f, \"receiver_cpu_s_per_gb\": %.4f}\n",
        found[0] * 8 / found[1], cpu / found[0] * 1e9, found[2] / found[0] * 1e9);
}

// ---- set-up ----

static void be_on(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

// Both ends are up, and the kernel says so.
static void wait_for_link(void)
{
    struct ifreq ifr = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", run.device);
    do {
        usleep(1000);
        need(ioctl(fd, SIOCGIFFLAGS, &ifr), "SIOCGIFFLAGS");
    } while (!(ifr.ifr_flags & IFF_RUNNING));
    usleep(20000); // and has told the mirror
    if (run.stack)
        net_mirror_run(end.mirror, clock_now_ns());
    close(fd);
}

static void open_end(enum side side, int ready)
{
    shell(side == SERVER ? "ip addr add 10.79.0.%d/24 dev wb && ip link set wb up"
                         : "ip addr add 10.79.0.%d/24 dev wa && ip link set wa up",
          side + 1);
    if (run.stack || run.raw)
        open_queue();
    if (run.raw)
        raw_open(side);
    if (run.stack)
        open_stack();
    if (side == CLIENT)
        return;
    if (run.raw)
        need((int)write(ready, "r", 1), "pipe");
    else if (run.stack)
        stack_accept(ready);
    else
        kernel_accept(ready);
}

static void serve(int ready, int result)
{
    open_end(SERVER, ready);
    if (run.stack)
        find_rings();
    if (run.bulk)
        sink(result);
    else
        while (turn_back())
            ;
    exit(0);
}

static void drive_client(int ready, int result)
{
    char c;

    open_end(CLIENT, -1);
    if (read(ready, &c, 1) != 1)
        die("the other end did not start", -EIO);
    wait_for_link();
    if (run.stack) {
        stack_connect();
        find_rings();
    } else if (!run.raw) {
        kernel_connect();
    }
    if (run.bulk)
        measure_bulk(result);
    else
        measure_trips();
}

static void parse(int argc, char **argv, int *way)
{
    *way = -1;
    for (int i = 0; argc > 2 && i < (int)ARRAY_LEN(ways); i++)
        if (!strcmp(argv[2], ways[i].name))
            *way = i;
    if (*way < 0 || (strcmp(argv[1], "pingpong") && strcmp(argv[1], "bulk"))) {
        fprintf(stderr, "usage: wire pingpong|bulk veth|wire|mixed|raw [--seconds S] [--size N] "
                        "[--ring N] [--wait spin|block]\n");
        exit(2);
    }
    run.bulk = !strcmp(argv[1], "bulk");
    run.raw = ways[*way].raw;
    for (int i = 3; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--seconds"))
            run.time_ns = (uint64_t)(atof(argv[i + 1]) * 1e9);
        else if (!strcmp(argv[i], "--size"))
            run.size_bytes = (uint32_t)u64_min(strtoul(argv[i + 1], NULL, 10), 1400);
        else if (!strcmp(argv[i], "--ring"))
            run.ring_bytes = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--wait"))
            run.block = !strcmp(argv[i + 1], "block");
    }
}

int main(int argc, char **argv)
{
    int way, ready[2], result[2], there[2];
    pid_t child;
    char c;

    parse(argc, argv, &way);
    need(unshare(CLONE_NEWNET), "unshare (needs root)");
    need(pipe(ready), "pipe");
    need(pipe(result), "pipe");
    need(pipe(there), "pipe");
    child = fork();
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        need(unshare(CLONE_NEWNET), "unshare");
        need((int)write(ready[1], "n", 1), "pipe");
        need((int)read(there[0], &c, 1), "pipe");
        run.device = "wb";
        run.stack = ways[way].stack[SERVER];
        be_on(0);
        serve(ready[1], result[1]);
    }
    need((int)read(ready[0], &c, 1), "pipe");
    shell("ip link add wa address 02:00:00:00:79:01 type veth peer name wb "
          "address 02:00:00:00:79:00 netns %d",
          child);
    need((int)write(there[1], "l", 1), "pipe");
    run.device = "wa";
    run.stack = ways[way].stack[CLIENT];
    be_on(1);
    drive_client(ready[0], result[0]);
    fflush(stdout);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return 0;
}
