// SPDX-License-Identifier: BSD-2-Clause
// Many connections: at once, one after the other, and beside a flood of SYNs that mean nothing.
// SHUNT_LONG=1 in the environment runs the long forms.
#include "rig.h"

#include <errno.h>
#include <netinet/ip.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "wire/bytes.h"
#include "wire/csum.h"
#include "wire/packet.h"

static struct host host[SIDES];

static bool is_long(void)
{
    return getenv("SHUNT_LONG") != NULL;
}

static void start(uint32_t socks, uint32_t ring_bytes)
{
    rig_new();
    rig_config.socks = socks;
    rig_config.ring_bytes = ring_bytes;
    host_open(&host[HERE], HERE, device_of[HERE]);
    host_open(&host[THERE], THERE, device_of[THERE]);
}

static void stop(void)
{
    host_close(&host[HERE]);
    host_close(&host[THERE]);
    rig_free();
}

static void drive_both(void)
{
    host_drive(&host[HERE]);
    host_drive(&host[THERE]);
}

// ---- at once ----

#define LISTENERS 10
#define AT_ONCE   10000

static uint32_t near[AT_ONCE], far[AT_ONCE], listeners[LISTENERS], accepted_count;

static void accept_all(void)
{
    for (int i = 0; i < LISTENERS; i++)
        while (!net_accept(host[THERE].net, clock_now_ns() + NS_PER_S, listeners[i],
                           &far[accepted_count]))
            accepted_count++;
}

static void open_all(uint32_t count)
{
    struct net_open o = {.local = rig_addr(HERE, false), .remote = rig_addr(THERE, false)};
    uint64_t end_ns = clock_now_ns() + 60 * NS_PER_S;

    for (uint32_t i = 0; i < count; i++) {
        if (i % LISTENERS == 0) {
            o.local_port = 0;
            assert_int_equal(net_ports_take(host[HERE].ports, &o.local, &o.local_port), 0);
        }
        o.remote_port = (uint16_t)(PORT + i % LISTENERS);
        assert_int_equal(net_open(host[HERE].net, clock_now_ns() + NS_PER_S, &o, &near[i]), 0);
        drive_both();
        accept_all();
    }
    while (accepted_count < count && clock_now_ns() < end_ns) {
        drive_both();
        accept_all();
    }
    assert_int_equal(accepted_count, count);
}

// Each says its number to the other end, which says it back.
static void echo_all(uint32_t count)
{
    uint64_t end_ns = clock_now_ns() + 60 * NS_PER_S;
    uint32_t done = 0, number;

    for (uint32_t i = 0; i < count; i++) {
        number = i ^ 0x5a5a5a5a;
        assert_int_equal(program_write(host[HERE].net, near[i], &number, 4), 4);
        drive_both();
    }
    for (uint32_t i = 0; i < count; i++) {
        while (program_read(host[THERE].net, far[i], &number, 4) != 4 && clock_now_ns() < end_ns)
            drive_both();
        assert_int_equal(program_write(host[THERE].net, far[i], &number, 4), 4);
        drive_both(); // a ring of the queue holds a few hundred frames
    }
    for (uint32_t i = 0; i < count; i++) {
        while (program_read(host[HERE].net, near[i], &number, 4) != 4 && clock_now_ns() < end_ns)
            drive_both();
        done += number == (i ^ 0x5a5a5a5a);
    }
    assert_int_equal(done, count);
}

static void test_ten_thousand_at_once(void **state)
{
    struct ip_addr at = rig_addr(THERE, false);

    start(AT_ONCE + LISTENERS, 4096);
    accepted_count = 0;
    for (int i = 0; i < LISTENERS; i++)
        listeners[i] = host_listen(&host[THERE], &at, (uint16_t)(PORT + i));
    open_all(AT_ONCE);
    echo_all(AT_ONCE);
    stop();
}

// ---- one after the other ----

static void live_once(uint32_t listener, bool ours_first)
{
    struct ip_addr to = rig_addr(THERE, false);
    uint32_t a = host_connect(&host[HERE], &host[THERE], &to, PORT);
    uint32_t b = host_accept(&host[THERE], &host[HERE], listener);
    uint32_t first = ours_first ? a : b, second = ours_first ? b : a;
    struct host *one = &host[ours_first ? HERE : THERE], *two = &host[ours_first ? THERE : HERE];
    struct net_info info;
    char c = 'x';

    net_info(host[HERE].net, a, &info);
    assert_int_equal(program_write(one->net, first, &c, 1), 1);
    net_request(one->net, clock_now_ns(), first, NET_CLOSE);
    host_expect(two, one, second, NET_FIN);
    assert_int_equal(program_read(two->net, second, &c, 1), 1);
    net_request(two->net, clock_now_ns(), second, NET_CLOSE);
    net_ports_release(host[HERE].ports, &info.tuple.local, info.tuple.local_port);
    drive_both();
}

static void test_churn(void **state)
{
    uint32_t count = is_long() ? 100000 : 2000, listener;
    struct ip_addr at = rig_addr(THERE, false);

    start(64, 65536);
    listener = host_listen(&host[THERE], &at, PORT);
    for (uint32_t i = 0; i < count; i++) {
        live_once(listener, i % 2);
        if (i % 256 == 0)
            net_ports_run(host[HERE].ports);
    }
    stop();
}

// ---- a flood ----

// How many SYNs may be under way: what the stack cannot drink, the ring of its queue would drop,
// the other clients' with it, and no TCP could help them.
#define FLOOD_AHEAD 100

// Segments that came into the stack, for the child that floods it.
static _Atomic uint64_t *drunk;

static void count_drunk(void)
{
    atomic_store(drunk, net_tcp_counters(host[HERE].net)->segs_in);
}

// Waits until the stack has come so far, or a millisecond, since what is lost never comes.
static void keep_behind(uint64_t *sent)
{
    uint64_t give_up_ns = clock_now_ns() + NS_PER_MS;

    while (*sent > atomic_load(drunk) + FLOOD_AHEAD)
        if (clock_now_ns() > give_up_ns)
            *sent = atomic_load(drunk);
}

// SYNs from addresses that nobody has, as fast as the stack takes them.
static _Noreturn void flood(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct segment seg = {.dst = rig_addr(HERE, false),
                          .dst_port = PORT,
                          .flags = SEG_SYN,
                          .window = 65535,
                          .opts = SEG_OPT_MSS,
                          .mss = 1460};
    const struct packet_ip ip = {.ttl = 64, .dont_fragment = true};
    uint64_t sent = 0;
    int fd, one = 1;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    rig_enter(THERE);
    fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    setsockopt(fd, IPPROTO_IP, IP_HDRINCL, &one, sizeof one);
    to.sin_addr.s_addr = seg.dst.w[3];
    for (uint32_t i = 0;; i++) {
        uint8_t packet[PACKET_HEADER_MAX];
        size_t len;

        seg.src = ip_addr_v4(htobe32(0xc6120000 + i % 0x20000)); // 198.18.0.0/15
        seg.src_port = (uint16_t)(1024 + i % 60000);
        seg.seq = i * 2654435761u;
        len = packet_emit(&seg, &ip, packet, CSUM_FULL);
        sendto(fd, packet, len, 0, (struct sockaddr *)&to, sizeof to);
        sent++;
        keep_behind(&sent);
    }
}

// A client whose SYN finds the queue's ring full tries again after 1, 3, 7 and 15 s, as the
// kernel's do.
#define PATIENCE_NS (20 * NS_PER_S)

// Connects from the kernel, sends a byte, gets it back; how many in that time.
static uint32_t serve_for(uint64_t ms, uint32_t listener, uint32_t *failed)
{
    struct ip_addr to = rig_addr(HERE, false);
    uint64_t end_ns = clock_now_ns() + ms * NS_PER_MS;
    uint32_t served = 0;

    while (clock_now_ns() < end_ns) {
        int fd = kernel_connect(THERE, &to, PORT);
        uint64_t give_up_ns = clock_now_ns() + PATIENCE_NS;
        uint32_t sock = NET_NONE;
        bool sent = false;
        char c = 'x';

        while (recv(fd, &c, 1, MSG_DONTWAIT) != 1 && clock_now_ns() < give_up_ns) {
            host_drive(&host[HERE]);
            count_drunk();
            sent = sent || send(fd, &c, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
            if (sock == NET_NONE &&
                net_accept(host[HERE].net, clock_now_ns() + NS_PER_S, listener, &sock))
                sock = NET_NONE;
            if (sock != NET_NONE && program_read(host[HERE].net, sock, &c, 1))
                program_write(host[HERE].net, sock, &c, 1);
        }
        served += clock_now_ns() < give_up_ns;
        *failed += clock_now_ns() >= give_up_ns;
        if (sock != NET_NONE)
            net_request(host[HERE].net, clock_now_ns(), sock, NET_ABORT);
        close(fd);
    }
    return served;
}

static void test_flood_of_spoofed_syns(void **state)
{
    struct ip_addr at = rig_addr(HERE, false);
    uint32_t listener, served, failed = 0;
    pid_t child;

    rig_new();
    host_open(&host[HERE], HERE, device_of[HERE]);
    rig_ip(HERE, "route add default via 10.78.0.2");
    listener = host_listen(&host[HERE], &at, PORT);
    drunk = mmap(NULL, sizeof *drunk, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(drunk, MAP_FAILED);
    child = fork();
    if (!child)
        flood();
    served = serve_for(is_long() ? 20000 : 3000, listener, &failed);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    printf("# %u served, %u failed; %llu SYNs came, %llu cookies went\n", served, failed,
           (unsigned long long)net_tcp_counters(host[HERE].net)->segs_in,
           (unsigned long long)net_tcp_counters(host[HERE].net)->cookies_sent);
    assert_true(net_tcp_counters(host[HERE].net)->cookies_sent > 1000);
    assert_true(served >= 10);
    assert_int_equal(failed, 0);
    host_close(&host[HERE]);
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_thousand_at_once),
        cmocka_unit_test(test_churn),
        cmocka_unit_test(test_flood_of_spoofed_syns),
    };
    struct rlimit files = {65536, 65536};
    const char *obstacle = rig_obstacle();

    if (obstacle) {
        printf("1..0 # SKIP %s\n", obstacle);
        return 0;
    }
    setrlimit(RLIMIT_NOFILE, &files);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
