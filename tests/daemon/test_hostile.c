// SPDX-License-Identifier: BSD-2-Clause
// What strangers may try: each hurts its author at most, and an honest client is served afterwards.
#include "rig.h"

#include "base/clock.h"
#include "base/util.h"
#include "cm/place.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;

static int start(void **state)
{
    rig_start(&rig, NULL);
    return 0;
}

static int stop(void **state)
{
    rig_stop(&rig, SIGTERM);
    return 0;
}

// Two honest clients meet.
static void expect_service(void)
{
    int a = raw_client(&rig), b = raw_client(&rig), tcp[2];

    tcp_pair(tcp);
    raw_claim(a, tcp[0], &(struct raw_wish){0});
    raw_claim(b, tcp[1], &(struct raw_wish){0});
    assert_int_equal(raw_recv(a)->body_case, CTL__ENVELOPE__BODY_MATCHED);
    assert_int_equal(raw_packet.n_fds, 3);
    assert_int_equal(raw_recv(b)->body_case, CTL__ENVELOPE__BODY_MATCHED);
    close(a);
    close(b);
    close(tcp[0]);
    close(tcp[1]);
}

static int served(void **state)
{
    expect_service();
    return rig_alive(&rig) ? 0 : -1;
}

static void expect_hang_up(int sock)
{
    while (raw_recv(sock))
        ;
    close(sock);
}

static void garbage_is_turned_away(void **state)
{
    uint8_t bytes[300];

    srand(1);
    for (int i = 0; i < 200; i++) {
        int sock = raw_connect(&rig);
        size_t n = 1 + (size_t)rand() % (sizeof bytes - 1);

        for (size_t j = 0; j < n; j++)
            bytes[j] = (uint8_t)rand();
        assert_int_equal(packet_send_bytes(sock, bytes, n, NULL, 0), 0);
        expect_hang_up(sock);
    }
}

static void a_huge_packet_is_turned_away(void **state)
{
    static uint8_t bytes[PACKET_MAX_BYTES + 1];
    int sock = raw_client(&rig);

    assert_int_equal(packet_send_bytes(sock, bytes, sizeof bytes, NULL, 0), 0);
    raw_expect_refused(sock, "makes no sense");
    expect_hang_up(sock);
}

// A length inside the message that reaches far beyond it.
static void a_huge_length_is_turned_away(void **state)
{
    static const uint8_t bytes[] = {0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x08, 0x01};
    int sock = raw_client(&rig);

    assert_int_equal(packet_send_bytes(sock, bytes, sizeof bytes, NULL, 0), 0);
    raw_expect_refused(sock, "makes no sense");
    expect_hang_up(sock);
}

static void an_empty_packet_is_a_farewell(void **state)
{
    int sock = raw_client(&rig);

    assert_int_equal(send(sock, "", 0, 0), 0);
    expect_hang_up(sock);
}

static void who_does_not_say_hello_is_turned_away(void **state)
{
    Ctl__Stat stat = CTL__STAT__INIT;
    int sock = raw_connect(&rig);
    Ctl__Envelope msg;

    PACKET_INIT(&msg, STAT, stat, &stat);
    raw_send(sock, &msg, NULL, 0);
    raw_expect_refused(sock, "must be a Hello");
    expect_hang_up(sock);
}

// Field 100 of the envelope, a string: what a newer program may say.
static void unknown_bodies_are_passed_over(void **state)
{
    static const uint8_t bytes[] = {0xa2, 0x06, 0x03, 'n', 'e', 'w'};
    int sock = raw_client(&rig), tcp[2];

    assert_int_equal(packet_send_bytes(sock, bytes, sizeof bytes, NULL, 0), 0);
    tcp_pair(tcp);
    raw_claim(sock, tcp[0], &(struct raw_wish){.cookie = 1});
    raw_expect_refused(sock, "another cookie");
    close(sock);
    close(tcp[0]);
    close(tcp[1]);
}

static void claims_without_proof_are_refused(void **state)
{
    int sock = raw_client(&rig), tcp[2], other[2], udp = socket(AF_INET, SOCK_DGRAM, 0);
    int file = open("/dev/null", O_RDONLY), fresh = socket(AF_INET, SOCK_STREAM, 0);

    tcp_pair(tcp);
    tcp_pair(other);
    raw_claim(sock, file,
              &(struct raw_wish){.no_socket = true, .cookie = 5, .addresses_of = tcp[0]});
    raw_expect_refused(sock, "no such socket");
    raw_claim(
        sock, other[0],
        &(struct raw_wish){.no_socket = true, .cookie = cookie_of(tcp[0]), .addresses_of = tcp[0]});
    raw_expect_refused(sock, "other addresses");
    raw_claim(sock, tcp[0], &(struct raw_wish){.no_socket = true, .cookie = cookie_of(other[0])});
    raw_expect_refused(sock, "other addresses");
    raw_claim(sock, tcp[0], &(struct raw_wish){.cookie = cookie_of(other[0])});
    raw_expect_refused(sock, "another cookie");
    raw_claim(sock, tcp[0], &(struct raw_wish){.addresses_of = other[0]});
    raw_expect_refused(sock, "other addresses");
    raw_claim(sock, tcp[0], &(struct raw_wish){.addresses_of = tcp[1]});
    raw_expect_refused(sock, "other addresses");
    raw_claim(sock, udp, &(struct raw_wish){.addresses_of = tcp[0]});
    raw_expect_refused(sock, "no TCP socket");
    raw_claim(sock, file, &(struct raw_wish){.cookie = 5, .addresses_of = tcp[0]});
    raw_expect_refused(sock, "no TCP socket");
    raw_claim(sock, fresh, &(struct raw_wish){.addresses_of = tcp[0]});
    raw_expect_refused(sock, "not connected");
    shutdown(tcp[0], SHUT_WR);
    raw_claim(sock, tcp[0], &(struct raw_wish){0});
    raw_expect_refused(sock, "not established");
    raw_claim(sock, tcp[1], &(struct raw_wish){0});
    raw_expect_refused(sock, "not established");
    rig_wait_count(&rig, "claims", 0);
    for (int i = 0; i < 2; i++) {
        close(tcp[i]);
        close(other[i]);
    }
    close(udp);
    close(file);
    close(fresh);
    close(sock);
}

static void rings_must_have_a_size(void **state)
{
    int sock = raw_client(&rig), tcp[2];

    tcp_pair(tcp);
    raw_claim(sock, tcp[0], &(struct raw_wish){.ring_bytes = 1});
    raw_claim(sock, tcp[1], &(struct raw_wish){.ring_bytes = UINT32_MAX});
    raw_expect_refused(sock, "too small");
    raw_expect_refused(sock, "too small");
    close(sock);
    close(tcp[0]);
    close(tcp[1]);
}

// Eight fds where a message has room for four: the kernel cuts them off, and none may leak.
static void surplus_fds_are_closed(void **state)
{
    union {
        struct cmsghdr hdr;
        char space[CMSG_SPACE(8 * sizeof(int))];
    } control = {.hdr = {CMSG_LEN(8 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    static uint8_t drop[] = {0x22, 0x02, 0x08, 0x01}; // Drop{cookie 1}
    struct iovec iov = {drop, sizeof drop};
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof control};
    int sock = raw_client(&rig), pipe_fds[2];

    assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
    for (int i = 0; i < 8; i++)
        memcpy(CMSG_DATA(&control.hdr) + (size_t)i * sizeof(int), &pipe_fds[1], sizeof(int));
    for (int i = 0; i < 500; i++)
        while (sendmsg(sock, &mh, MSG_NOSIGNAL) < 0)
            assert_true(errno == EAGAIN);
    rig_count(&rig, "clients"); // all of it was read before that was answered
    close(pipe_fds[1]);
    for (char byte; read(pipe_fds[0], &byte, 1) < 0;) {
        assert_int_equal(errno, EAGAIN); // until no write end is left
        usleep(1000);
    }
    close(pipe_fds[0]);
    close(sock);
}

// Asks again and again, reads nothing: its own answers are all that stands still.
static void who_reads_nothing_is_not_waited_for(void **state)
{
    Ctl__IsClient is_client = CTL__IS_CLIENT__INIT;
    int sock = raw_client(&rig);
    Ctl__Envelope msg;
    int sent = 0;

    PACKET_INIT(&msg, IS_CLIENT, is_client, &is_client);
    for (int quiet = 0; quiet < 50; quiet++) {
        while (packet_send(sock, &msg, NULL, 0) == 0) {
            sent++;
            quiet = 0;
        }
        usleep(1000);
    }
    assert_true(sent > 100);
    expect_service();
    for (int i = 0; i < sent; i++) // and once it reads, every answer is there
        assert_int_equal(raw_recv(sock)->body_case, CTL__ENVELOPE__BODY_IS_CLIENT_ANSWER);
    close(sock);
}

static void send_chunk(int sock, uint32_t id, int fd)
{
    Ctl__Chunk chunk = CTL__CHUNK__INIT;
    Ctl__Envelope msg;

    chunk.id = id;
    PACKET_INIT(&msg, CHUNK, chunk, &chunk);
    raw_send(sock, &msg, &fd, 1);
}

static int chunk_of(struct cm_chunk head, off_t size)
{
    int fd = memfd_create("chunk", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(pwrite(fd, &head, sizeof head, 0), sizeof head);
    return fd;
}

static int count_records(int sock)
{
    Ctl__Stat stat = CTL__STAT__INIT;
    const Ctl__Envelope *answer;
    Ctl__Envelope msg;
    int n = 0;

    PACKET_INIT(&msg, STAT, stat, &stat);
    raw_send(sock, &msg, NULL, 0);
    while ((answer = raw_recv(sock))->body_case != CTL__ENVELOPE__BODY_STAT_END)
        n++;
    return n;
}

static const struct cm_chunk good = {
    CM_CHUNK_MAGIC, CM_CHUNK_VERSION, sizeof(struct cm_record), 2, 4096, 1, "hostile"};

static void chunks_that_lie_are_not_believed(void **state)
{
    struct cm_chunk far = good, endless = good, tiny = good, unnamed = good;
    int sock = raw_client(&rig), pipe_fds[2], fd[6];
    struct cm_record rec = {.used = 1};

    far.first = UINT32_MAX;
    endless.slots = UINT32_MAX;
    tiny.stride = 1;
    memset(unnamed.program, 'x', sizeof unnamed.program);
    assert_int_equal(pipe(pipe_fds), 0);
    fd[0] = chunk_of(far, 8192);
    fd[1] = chunk_of(endless, 8192);
    fd[2] = chunk_of(tiny, 8192);
    fd[3] = chunk_of(good, 64); // shorter than it says
    fd[4] = chunk_of(unnamed, 8192);
    memset(rec.rule, 27, sizeof rec.rule); // ESC, and no end
    assert_int_equal(pwrite(fd[4], &rec, sizeof rec, 4096), sizeof rec);
    fd[5] = pipe_fds[0]; // reading it would block
    for (uint32_t i = 0; i < ARRAY_LEN(fd); i++)
        send_chunk(sock, i + 1, fd[i]);
    assert_int_equal(count_records(sock), 1); // the unnamed one's first slot
    for (size_t i = 0; i < ARRAY_LEN(fd); i++)
        close(fd[i]);
    close(pipe_fds[1]);
    close(sock);
}

static void a_chunk_cut_off_later_ends_there(void **state)
{
    int sock = raw_client(&rig), fd = chunk_of(good, 8192);
    struct cm_record rec = {.used = 1};

    assert_int_equal(pwrite(fd, &rec, sizeof rec, 4096), sizeof rec);
    send_chunk(sock, 1, fd);
    assert_int_equal(count_records(sock), 1);
    assert_int_equal(ftruncate(fd, 10), 0);
    assert_int_equal(count_records(sock), 0);
    close(fd);
    close(sock);
}

// A close that lingers is not shuntd's to wait for. The peer's full window keeps the bytes here.
static void a_socket_that_lingers_holds_nobody_up(void **state)
{
    struct linger linger = {1, 30};
    char bytes[65536] = {0};
    int sock = raw_client(&rig), tcp[2];
    uint64_t begin;

    tcp_pair(tcp);
    while (send(tcp[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(setsockopt(tcp[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    kill(rig.daemon, SIGSTOP);
    raw_claim(sock, tcp[0], &(struct raw_wish){0});
    close(tcp[0]); // would linger, were the copy under way not there
    kill(rig.daemon, SIGCONT);
    begin = clock_now_ns();
    expect_service();
    assert_true(clock_now_ns() - begin < 10 * NS_PER_S);
    close(tcp[1]);
    close(sock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(garbage_is_turned_away, served),
        cmocka_unit_test_teardown(a_huge_packet_is_turned_away, served),
        cmocka_unit_test_teardown(a_huge_length_is_turned_away, served),
        cmocka_unit_test_teardown(an_empty_packet_is_a_farewell, served),
        cmocka_unit_test_teardown(who_does_not_say_hello_is_turned_away, served),
        cmocka_unit_test_teardown(unknown_bodies_are_passed_over, served),
        cmocka_unit_test_teardown(claims_without_proof_are_refused, served),
        cmocka_unit_test_teardown(rings_must_have_a_size, served),
        cmocka_unit_test_teardown(surplus_fds_are_closed, served),
        cmocka_unit_test_teardown(who_reads_nothing_is_not_waited_for, served),
        cmocka_unit_test_teardown(chunks_that_lie_are_not_believed, served),
        cmocka_unit_test_teardown(a_chunk_cut_off_later_ends_there, served),
        cmocka_unit_test_teardown(a_socket_that_lingers_holds_nobody_up, served),
    };

    return cmocka_run_group_tests_name("daemon/hostile", tests, start, stop);
}
