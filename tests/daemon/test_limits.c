// SPDX-License-Identifier: BSD-2-Clause
// Versions, users, budgets, and numbers of everything.
#include "rig.h"

#include "base/clock.h"
#include "base/util.h"
#include "cm/uplink.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void an_older_or_newer_program_is_refused(void **state)
{
    struct rig rig;

    rig_start(&rig, NULL);
    for (int d = -1; d <= 1; d += 2) {
        Ctl__Hello hello = CTL__HELLO__INIT;
        int sock = raw_connect(&rig);
        Ctl__Envelope msg;

        hello.version = (uint32_t)(PACKET_VERSION + d);
        hello.pid = getpid();
        PACKET_INIT(&msg, HELLO, hello, &hello);
        raw_send(sock, &msg, NULL, 0);
        raw_expect_refused(sock, "shuntd speaks version");
        assert_null(raw_recv(sock));
        close(sock);
    }
    assert_int_equal(rig_count(&rig, "refused_version"), 2);
    rig_stop(&rig, SIGTERM);
}

// A program says Hello and more in one go: the reason reaches it all the same.
static void the_reason_arrives_before_the_hang_up(void **state)
{
    struct rig rig;

    rig_start(&rig, NULL);
    for (int i = 0; i < 20; i++) {
        Ctl__Hello hello = CTL__HELLO__INIT;
        int sock = raw_connect(&rig), tcp[2];
        Ctl__Envelope msg;

        tcp_pair(tcp);
        hello.version = PACKET_VERSION + 1;
        PACKET_INIT(&msg, HELLO, hello, &hello);
        kill(rig.daemon, SIGSTOP);
        raw_send(sock, &msg, NULL, 0);
        raw_claim(sock, tcp[0], &(struct raw_wish){0});
        kill(rig.daemon, SIGCONT);
        raw_expect_refused(sock, "shuntd speaks version");
        assert_null(raw_recv(sock));
        close(sock);
        close(tcp[0]);
        close(tcp[1]);
    }
    rig_stop(&rig, SIGTERM);
}

// A shuntd by hand that answers every Hello with msg.
static int false_shuntd(struct rig *rig)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(rig->dir, sizeof rig->dir, "%s/shunt-test-XXXXXX", getenv("TMPDIR") ?: "/tmp");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(rig->path, sizeof rig->path, "%s/s", rig->dir);
    strcpy(addr.sun_path, rig->path);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(listener, 8), 0);
    return listener;
}

static void expect_manager_refuses(const Ctl__Envelope *answer, const char *part)
{
    struct rig rig;
    int listener = false_shuntd(&rig), sock, tcp[2];
    struct cm *cm = cm_init(rig.path, &rig_events);

    tcp_pair(tcp);
    rig_claim(cm, tcp[0], -1);
    sock = accept(listener, NULL, NULL);
    assert_int_equal(packet_send(sock, answer, NULL, 0), 0);
    rig_wait_refused(cm, 1);
    assert_non_null(strstr(told.reason, part));
    assert_int_equal(told.refused_cookie, cookie_of(tcp[0]));
    told_clear();
    cm_forked(cm);
    close(sock);
    close(listener);
    close(tcp[0]);
    close(tcp[1]);
    unlink(rig.path);
    rmdir(rig.dir);
}

static void a_newer_shuntd_is_left_alone(void **state)
{
    Ctl__Welcome welcome = CTL__WELCOME__INIT;
    Ctl__Envelope msg;

    welcome.version = PACKET_VERSION + 1;
    PACKET_INIT(&msg, WELCOME, welcome, &welcome);
    expect_manager_refuses(&msg, "shuntd speaks version");
}

static void an_older_shuntd_that_refuses_is_believed(void **state)
{
    static char reason[] = "shuntd speaks version 0, this program 1";
    Ctl__Refused refused = CTL__REFUSED__INIT;
    Ctl__Envelope msg;

    refused.reason = reason;
    PACKET_INIT(&msg, REFUSED, refused, &refused);
    expect_manager_refuses(&msg, reason);
}

// A shuntd that takes packets and reads none would keep sockets from closing: no more claims go
// there.
static void a_shuntd_that_stands_still_is_not_fed(void **state)
{
    struct rig rig;
    int listener = false_shuntd(&rig), tcp[2];
    struct cm *cm = cm_init(rig.path, &rig_events);

    tcp_pair(tcp);
    rig_claim(cm, tcp[0], -1);
    rig_claim(cm, tcp[0], -1); // notices that the first one is unread
    usleep(150000);
    assert_int_equal(told.n_refused, 0);
    rig_claim(cm, tcp[1], -1);
    assert_int_equal(told.n_refused, 1);
    assert_string_equal(told.reason, "shuntd does not answer");
    told_clear();
    cm_forked(cm);
    close(listener);
    close(tcp[0]);
    close(tcp[1]);
    unlink(rig.path);
    rmdir(rig.dir);
}

// Claims both ends of a new connection by sock.
static void claim_pair(int sock, int tcp[2], uint32_t ring_bytes)
{
    tcp_pair(tcp);
    for (int i = 0; i < 2; i++)
        raw_claim(sock, tcp[i], &(struct raw_wish){.ring_bytes = ring_bytes});
}

static void expect_matched(int sock)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(raw_recv(sock)->body_case, CTL__ENVELOPE__BODY_MATCHED);
}

static void channels_beyond_the_budget_stay_on_tcp(void **state)
{
    char config[64];
    int sock, tcp[3][2];
    struct rig rig;

    rig_config(config, "channel_budget = 2;\n");
    rig_start(&rig, "-c", config, NULL);
    sock = raw_client(&rig);
    for (int i = 0; i < 2; i++) {
        claim_pair(sock, tcp[i], 0);
        expect_matched(sock);
    }
    claim_pair(sock, tcp[2], 0);
    raw_expect_refused(sock, "too many channels");
    raw_expect_refused(sock, "too many channels");
    close(sock);
    for (int i = 0; i < 3; i++) {
        close(tcp[i][0]);
        close(tcp[i][1]);
    }
    rig_wait_count(&rig, "channels", 0); // and it is given back
    sock = raw_client(&rig);
    claim_pair(sock, tcp[0], 0);
    expect_matched(sock);
    close(tcp[0][0]);
    close(tcp[0][1]);
    close(sock);
    rig_stop(&rig, SIGTERM);
    unlink(config);
}

static void rings_beyond_the_budget_stay_on_tcp(void **state)
{
    char config[64];
    int sock, tcp[2][2];
    struct rig rig;

    rig_config(config, "ring_budget_bytes = 1048576;\n");
    rig_start(&rig, "-c", config, NULL);
    sock = raw_client(&rig);
    claim_pair(sock, tcp[0], 262144);
    expect_matched(sock);
    claim_pair(sock, tcp[1], 524288);
    raw_expect_refused(sock, "budget");
    raw_expect_refused(sock, "budget");
    assert_int_equal(rig_count(&rig, "ring_bytes"), 524288);
    close(sock);
    for (int i = 0; i < 2; i++) {
        close(tcp[i][0]);
        close(tcp[i][1]);
    }
    rig_stop(&rig, SIGTERM);
    unlink(config);
}

static void two_thousand_channels(void **state)
{
    enum { N = 2000, BATCH = 50 };
    struct rlimit lim;
    struct rig rig;
    int sock, (*tcp)[2] = calloc(N, sizeof *tcp);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
    if (lim.rlim_max < 3 * N + 200) {
        free(tcp);
        skip();
    }
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    rig_start(&rig, NULL);
    sock = raw_client(&rig);
    for (int i = 0; i < N; i += BATCH) {
        for (int j = 0; j < BATCH; j++)
            claim_pair(sock, tcp[i + j], 4096);
        for (int j = 0; j < BATCH; j++)
            expect_matched(sock);
    }
    assert_int_equal(rig_count(&rig, "channels"), N);
    for (int i = 0; i < N; i++) {
        close(tcp[i][0]);
        close(tcp[i][1]);
    }
    close(sock);
    rig_wait_count(&rig, "channels", 0);
    rig_stop(&rig, SIGTERM);
    free(tcp);
}

// One more client. False: refused.
static bool is_welcome(const struct rig *rig, int *sock)
{
    const Ctl__Envelope *answer;

    *sock = raw_connect(rig);
    uplink_hello(*sock); // refused ones are hung up on already
    answer = raw_recv(*sock);
    assert_non_null(answer);
    return answer->body_case != CTL__ENVELOPE__BODY_REFUSED;
}

// With no fds left shuntd refuses with a reason, lives, and serves again when there are some.
static void without_fds_it_refuses_and_lives(void **state)
{
    struct rlimit lim, few;
    int sock[64], n = 0, tcp[2];
    struct rig rig;

    getrlimit(RLIMIT_NOFILE, &lim);
    few = lim;
    few.rlim_cur = few.rlim_max = 40;
    rig_start(&rig, NULL);
    assert_int_equal(prlimit(rig.daemon, RLIMIT_NOFILE, &few, NULL), 0);
    tcp_pair(tcp);
    while (n < (int)ARRAY_LEN(sock) && is_welcome(&rig, &sock[n]))
        n++;
    assert_true(n > 5 && n < 40);
    assert_non_null(strstr(raw_packet.msg->refused->reason, "no file descriptors left"));
    raw_claim(sock[0], tcp[0], &(struct raw_wish){0});
    raw_expect_refused(sock[0], "no file descriptors left");
    for (int i = 0; i <= n; i++)
        close(sock[i]);
    for (bool served = false; !served; usleep(1000)) { // once it has seen that they left
        served = is_welcome(&rig, &sock[0]);
        close(sock[0]);
    }
    rig_wait_count(&rig, "clients", 1);
    close(tcp[0]);
    close(tcp[1]);
    rig_stop(&rig, SIGTERM);
}

// Claims tcp as nobody, and returns the part of the answer that counts.
static int claim_as_nobody(const struct rig *rig, int tcp, bool cross_user)
{
    pid_t pid;
    int status;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        const struct passwd *nobody = getpwnam("nobody");
        const Ctl__Envelope *msg;
        int sock;

        if (!nobody || setgid(nobody->pw_gid) || setuid(nobody->pw_uid))
            _exit(9);
        sock = raw_client(rig);
        raw_claim(sock, tcp, &(struct raw_wish){.cross_user = cross_user});
        msg = raw_recv(sock);
        _exit(msg->body_case == CTL__ENVELOPE__BODY_MATCHED  ? 0
              : strstr(msg->refused->reason, "another user") ? 1
                                                             : 8);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void users_meet_only_when_both_allow_it(void **state)
{
    struct rig rig;

    if (geteuid() != 0)
        skip();
    rig_start(&rig, NULL);
    for (int allow = 0; allow < 4; allow++) {
        int sock = raw_client(&rig), tcp[2];

        tcp_pair(tcp);
        raw_claim(sock, tcp[0], &(struct raw_wish){.cross_user = allow & 1});
        rig_wait_count(&rig, "claims", 1);
        assert_int_equal(claim_as_nobody(&rig, tcp[1], allow & 2), allow != 3);
        if (allow != 3)
            raw_expect_refused(sock, "another user");
        close(tcp[0]);
        close(tcp[1]);
        close(sock);
        rig_wait_count(&rig, "channels", 0);
    }
    rig_stop(&rig, SIGTERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_or_newer_program_is_refused),
        cmocka_unit_test(the_reason_arrives_before_the_hang_up),
        cmocka_unit_test(a_newer_shuntd_is_left_alone),
        cmocka_unit_test(an_older_shuntd_that_refuses_is_believed),
        cmocka_unit_test(a_shuntd_that_stands_still_is_not_fed),
        cmocka_unit_test(channels_beyond_the_budget_stay_on_tcp),
        cmocka_unit_test(rings_beyond_the_budget_stay_on_tcp),
        cmocka_unit_test(two_thousand_channels),
        cmocka_unit_test(without_fds_it_refuses_and_lives),
        cmocka_unit_test(users_meet_only_when_both_allow_it),
    };

    return cmocka_run_group_tests_name("daemon/limits", tests, NULL, NULL);
}
