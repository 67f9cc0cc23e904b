// SPDX-License-Identifier: BSD-2-Clause
// Loads the plug as packetdrill does, and drives a connection through its table.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "packetdrill_abi.h"
#include "wire/packet.h"
#include "wire/text.h"

typedef void init_fn(const char *, struct packetdrill_interface *);

static struct packetdrill_interface plug;

static int set_up(void **state)
{
    const char *top = getenv("top_builddir");
    char path[1024];
    void *handle;
    init_fn *init;

    snprintf(path, sizeof(path), "%s/tests/packet/.libs/libshunt_packetdrill.so", top ? top : ".");
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        fail_msg("%s", dlerror());
    init = (init_fn *)dlsym(handle, "packetdrill_interface_init");
    assert_non_null(init);
    init("local=192.168.0.7,super=0,mtu=1500,tcp_timestamps=0,tcp_congestion_control=newreno,"
         "tcp_ecn=0,tcp_fastopen=0",
         &plug);
    *state = handle;
    return 0;
}

static int tear_down(void **state)
{
    plug.free(plug.userdata);
    return dlclose(*state);
}

static struct segment from_peer(uint32_t seq, uint32_t ack, uint8_t flags)
{
    struct segment s = {.src_port = 40001,
                        .dst_port = 8080,
                        .seq = seq,
                        .ack = ack,
                        .flags = flags,
                        .window = 60000};

    ip_addr_parse("192.0.2.1", &s.src);
    ip_addr_parse("192.168.0.7", &s.dst);
    return s;
}

static void arrive(const struct segment *s)
{
    struct packet_ip ip = {.ttl = 64};
    uint8_t bytes[2048];
    size_t len = packet_emit(s, &ip, bytes, CSUM_FULL);

    assert_int_equal(plug.netdev_send(plug.userdata, bytes, len), 0);
}

// The next packet that leaves; *time_us is when.
static struct segment leave(long long *time_us)
{
    static uint8_t bytes[65600];
    size_t len = sizeof(bytes);
    struct segment s;

    assert_int_equal(plug.netdev_receive(plug.userdata, bytes, &len, time_us), 0);
    assert_true(len > 0);
    assert_int_equal(packet_parse(bytes, len, CSUM_FULL, &s), 0);
    return s;
}

static int listener(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int fd = plug.socket(plug.userdata, AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    inet_pton(AF_INET, "192.168.0.7", &a.sin_addr);
    assert_int_equal(plug.bind(plug.userdata, fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(plug.listen(plug.userdata, fd, 5), 0);
    return fd;
}

static void *accept_in_thread(void *fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    intptr_t got = plug.accept(plug.userdata, *(int *)fd, (struct sockaddr *)&a, &len);

    assert_int_equal(ntohs(a.sin_port), 40001);
    return (void *)got;
}

static uint32_t our_isn;

static void handshake(void)
{
    struct segment s = from_peer(1000, 0, SEG_SYN);
    long long at;

    arrive(&s);
    s = leave(&at);
    assert_int_equal(s.flags, SEG_SYN | SEG_ACK);
    assert_int_equal(s.ack, 1001);
    our_isn = s.seq;
    s = from_peer(1001, our_isn + 1, SEG_ACK);
    arrive(&s);
}

static void use(int fd)
{
    char buf[100];
    struct iovec iov[2] = {{(void *)"scat", 4}, {(void *)"tered", 5}},
                 in[2] = {{buf, 2}, {buf + 2, 98}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2}, got = {.msg_iov = in, .msg_iovlen = 2};
    struct pollfd p = {fd, POLLIN, 0};
    struct segment s;
    long long at;
    int n = 0;

    assert_int_equal(plug.writev(plug.userdata, fd, iov, 2), 9);
    s = leave(&at);
    assert_memory_equal(s.data.piece[0], "scattered", 9);
    s = from_peer(1001, our_isn + 10, SEG_ACK | SEG_PSH);
    s.len = 5;
    s.data = (struct seg_data){{(const uint8_t *)"hello", NULL}, {5, 0}};
    arrive(&s);
    assert_int_equal(plug.poll(plug.userdata, &p, 1, 0), 1);
    assert_int_equal(plug.ioctl(plug.userdata, fd, FIONREAD, &n), 0);
    assert_int_equal(n, 5);
    assert_int_equal(plug.recv(plug.userdata, fd, buf, 3, MSG_PEEK), 3);
    assert_int_equal(plug.recvmsg(plug.userdata, fd, &got, 0), 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(plug.recv(plug.userdata, fd, buf, 3, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(plug.sendmsg(plug.userdata, fd, &msg, 0), 9);
}

static void test_a_connection_through_the_table(void **state)
{
    int fd = listener(), conn;
    pthread_t t;
    void *got;

    assert_int_equal(pthread_create(&t, NULL, accept_in_thread, &fd), 0);
    handshake();
    assert_int_equal(pthread_join(t, &got), 0);
    conn = (int)(intptr_t)got;
    assert_true(conn > fd);
    use(conn);
    assert_int_equal(plug.shutdown(plug.userdata, conn, SHUT_WR), 0);
    assert_int_equal(plug.close(plug.userdata, conn), 0);
    assert_int_equal(plug.close(plug.userdata, fd), 0);
}

static void *connect_in_thread(void *fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(8080)};

    inet_pton(AF_INET, "192.0.2.1", &a.sin_addr);
    return (void *)(intptr_t)plug.connect(plug.userdata, *(int *)fd, (struct sockaddr *)&a,
                                          sizeof(a));
}

static void test_connect_waits_for_its_answer(void **state)
{
    int fd = plug.socket(plug.userdata, AF_INET, SOCK_STREAM, 0);
    long long first, second;
    struct segment s, answer = from_peer(5000, 0, SEG_SYN | SEG_ACK);
    pthread_t t;
    void *got;

    assert_int_equal(pthread_create(&t, NULL, connect_in_thread, &fd), 0);
    s = (struct segment){0};
    do { // until the thread has sent it
        static uint8_t bytes[65600];
        size_t len = sizeof(bytes);

        plug.netdev_receive(plug.userdata, bytes, &len, &first);
        if (len)
            assert_int_equal(packet_parse(bytes, len, CSUM_FULL, &s), 0);
        else
            usleep(1000);
    } while (!s.flags);
    assert_int_equal(s.flags, SEG_SYN);
    s = leave(&second); // nobody answers: it comes again a second later
    assert_int_equal((second - first) / 1000, 1000);
    answer.dst_port = s.src_port;
    answer.src_port = 8080;
    answer.ack = s.seq + 1;
    arrive(&answer);
    assert_int_equal(pthread_join(t, &got), 0);
    assert_int_equal((intptr_t)got, 0);
    assert_int_equal(plug.close(plug.userdata, fd), 0);
}

static void test_the_clock_is_virtual(void **state)
{
    struct timeval a, b;

    plug.gettimeofday(plug.userdata, &a, NULL);
    plug.usleep(plug.userdata, 3600u * 1000000u);
    plug.gettimeofday(plug.userdata, &b, NULL);
    assert_int_equal(b.tv_sec - a.tv_sec, 3600);
}

static int connection(int *fd)
{
    pthread_t t;
    void *got;

    *fd = listener();
    assert_int_equal(pthread_create(&t, NULL, accept_in_thread, fd), 0);
    handshake();
    assert_int_equal(pthread_join(t, &got), 0);
    return (int)(intptr_t)got;
}

static void bytes_arrive(uint32_t at, const char *text)
{
    struct segment s = from_peer(1001 + at, our_isn + 1, SEG_ACK | SEG_PSH);

    s.len = (uint32_t)strlen(text);
    s.data = (struct seg_data){{(const uint8_t *)text, NULL}, {s.len, 0}};
    arrive(&s);
}

static int wait_for(int epfd, uint32_t *events)
{
    struct epoll_event got = {0};
    int n = plug.epoll_wait(plug.userdata, epfd, &got, 1, 0);

    *events = n > 0 ? got.events : 0;
    return n;
}

static void test_epoll_reports_levels_and_edges(void **state)
{
    int fd, conn = connection(&fd), epfd = plug.epoll_create(plug.userdata, 1);
    struct epoll_event want = {.events = EPOLLIN, .data.u32 = 7};
    uint32_t events;
    char buf[16];

    assert_true(epfd >= 0);
    assert_int_equal(plug.epoll_ctl(plug.userdata, epfd, EPOLL_CTL_MOD, conn, &want), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(plug.epoll_ctl(plug.userdata, epfd, EPOLL_CTL_ADD, conn, &want), 0);
    assert_int_equal(plug.epoll_ctl(plug.userdata, epfd, EPOLL_CTL_ADD, conn, &want), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(wait_for(epfd, &events), 0);
    bytes_arrive(0, "one");
    assert_int_equal(wait_for(epfd, &events), 1);
    assert_int_equal(events, EPOLLIN);
    assert_int_equal(wait_for(epfd, &events), 1); // for as long as it lies there
    want.events = EPOLLIN | EPOLLET;
    assert_int_equal(plug.epoll_ctl(plug.userdata, epfd, EPOLL_CTL_MOD, conn, &want), 0);
    assert_int_equal(wait_for(epfd, &events), 1);
    assert_int_equal(wait_for(epfd, &events), 0); // told already
    bytes_arrive(3, "two");
    assert_int_equal(wait_for(epfd, &events), 1);
    want.events = EPOLLIN | EPOLLONESHOT;
    assert_int_equal(plug.epoll_ctl(plug.userdata, epfd, EPOLL_CTL_MOD, conn, &want), 0);
    assert_int_equal(wait_for(epfd, &events), 1);
    bytes_arrive(6, "x");
    assert_int_equal(wait_for(epfd, &events), 0); // fired
    assert_int_equal(plug.read(plug.userdata, conn, buf, sizeof(buf)), 7);
    assert_int_equal(plug.close(plug.userdata, conn), 0);
    assert_int_equal(plug.epoll_ctl(plug.userdata, epfd, EPOLL_CTL_DEL, conn, NULL), -1);
    assert_int_equal(plug.close(plug.userdata, epfd), 0);
    assert_int_equal(plug.epoll_wait(plug.userdata, epfd, &want, 1, 0), -1);
    assert_int_equal(plug.close(plug.userdata, fd), 0);
}

static void test_splice_moves_bytes_both_ways(void **state)
{
    int fd, conn = connection(&fd), pipes[2];
    struct segment s;
    long long at;
    char buf[16];

    assert_int_equal(plug.pipe(plug.userdata, pipes), 0);
    assert_int_equal(plug.splice(plug.userdata, conn, NULL, pipes[1], NULL, 100, SPLICE_F_NONBLOCK),
                     -1);
    assert_int_equal(errno, EAGAIN);
    bytes_arrive(0, "spliced");
    assert_int_equal(plug.splice(plug.userdata, conn, NULL, pipes[1], NULL, 100, 0), 7);
    assert_int_equal(plug.read(plug.userdata, pipes[0], buf, sizeof(buf)), 7);
    assert_memory_equal(buf, "spliced", 7);
    assert_int_equal(plug.write(plug.userdata, pipes[1], "back", 4), 4);
    assert_int_equal(plug.splice(plug.userdata, pipes[0], NULL, conn, NULL, 100, 0), 4);
    s = leave(&at);
    while (!s.len) // ACKs first
        s = leave(&at);
    assert_memory_equal(s.data.piece[0], "back", 4);
    assert_int_equal(plug.splice(plug.userdata, pipes[0], NULL, pipes[1], NULL, 1, 0), -1);
    assert_int_equal(plug.close(plug.userdata, pipes[0]), 0);
    assert_int_equal(plug.close(plug.userdata, pipes[1]), 0);
    assert_int_equal(plug.close(plug.userdata, conn), 0);
    assert_int_equal(plug.close(plug.userdata, fd), 0);
}

static void test_tcp_info_tells_of_the_connection(void **state)
{
    int fd, conn = connection(&fd);
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    bytes_arrive(0, "hello");
    assert_int_equal(plug.write(plug.userdata, conn, "0123456789", 10), 10);
    assert_int_equal(plug.getsockopt(plug.userdata, conn, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    assert_int_equal(info.tcpi_state, 1); // TCP_ESTABLISHED
    assert_int_equal(info.tcpi_unacked, 1);
    assert_int_equal(info.tcpi_snd_cwnd, 10);
    assert_int_equal(info.tcpi_snd_mss, 536);
    assert_int_equal(info.tcpi_pmtu, 1500);
    assert_int_equal(plug.close(plug.userdata, conn), 0);
    assert_int_equal(plug.close(plug.userdata, fd), 0);
}

static void test_what_is_not_there_says_so(void **state)
{
    assert_int_equal(plug.epoll_create(plug.userdata, 0), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(plug.close(plug.userdata, 99), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(plug.socket(plug.userdata, AF_INET, SOCK_DGRAM, 0), -1);
    assert_int_equal(errno, EPROTONOSUPPORT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_connection_through_the_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connect_waits_for_its_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_clock_is_virtual, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_epoll_reports_levels_and_edges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_splice_moves_bytes_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tcp_info_tells_of_the_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_there_says_so, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
