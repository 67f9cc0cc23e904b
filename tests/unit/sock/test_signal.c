// SPDX-License-Identifier: BSD-2-Clause
// The program's handlers by way of ours: outside they run at once, inside they wait for
// sock_leave().
#include "base/sys.h"
#include "sock/sock.h"
#include "sock/thread.h"

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>

#include <cmocka.h>

static volatile int runs, depth_seen, value_seen, order[8], nested;
static volatile uint64_t mask_seen;
static void *volatile stack_seen;
static sigjmp_buf back;

static uint64_t mask_now(void)
{
    uint64_t mask = 0;

    sys_call(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
    return mask;
}

static bool masked(uint64_t mask, int sig)
{
    return mask >> (sig - 1) & 1;
}

static void on(int sig, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    int here;

    order[runs++ & 7] = sig;
    depth_seen = sock_thread.depth;
    value_seen = info->si_value.sival_int;
    mask_seen = mask_now();
    stack_seen = &here;
    assert_non_null(uc);
}

static void set(int sig, void (*handler)(int, siginfo_t *, void *), int flags, int also_masked)
{
    struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

    sigemptyset(&act.sa_mask);
    if (also_masked)
        sigaddset(&act.sa_mask, also_masked);
    assert_int_equal(sock_sigaction(sig, &act, NULL), 0);
}

// A case that failed half-way must not kill the next with what it left waiting: ignoring a signal
// drops that.
static int setup(void **state)
{
    static const int used[] = {SIGUSR1, SIGUSR2, SIGALRM, 40};
    const struct sigaction ign = {.sa_handler = SIG_IGN}, dfl = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (size_t i = 0; i < ARRAY_LEN(used); i++) {
        sock_sigaction(used[i], &ign, NULL);
        sock_sigaction(used[i], &dfl, NULL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    sock_thread.depth = 0;
    sock_thread.pending = false;
    runs = nested = value_seen = 0;
    return 0;
}

static void outside_a_handler_runs_at_once(void **state)
{
    set(SIGUSR1, on, 0, SIGUSR2);
    raise(SIGUSR1);
    assert_int_equal(runs, 1);
    assert_true(masked(mask_seen, SIGUSR1) && masked(mask_seen, SIGUSR2));
    assert_false(masked(mask_now(), SIGUSR1));
}

static void inside_it_waits_for_the_last_leave(void **state)
{
    uint64_t before = mask_now();

    set(SIGUSR1, on, 0, SIGUSR2);
    sock_enter();
    sock_enter();
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(runs, 0);
    assert_true(masked(mask_now(), SIGUSR2)); // whatever comes now waits in the kernel
    assert_false(masked(mask_now(), SIGSEGV));
    sock_leave();
    assert_int_equal(runs, 0);
    sock_leave();
    assert_int_equal(runs, 1);
    assert_int_equal(depth_seen, 0);
    assert_true(masked(mask_seen, SIGUSR2));
    assert_false(masked(mask_seen, SIGALRM));
    assert_true(mask_now() == before);
    assert_false(sock_thread.pending);
}

static void what_is_put_off_says_what_it_said(void **state)
{
    union sigval v = {.sival_int = 77};

    set(SIGUSR1, on, 0, 0);
    sock_enter();
    assert_int_equal(sigqueue(getpid(), SIGUSR1, v), 0);
    assert_int_equal(runs, 0);
    sock_leave();
    assert_int_equal(runs, 1);
    assert_int_equal(value_seen, 77);
}

static void several_wait_together(void **state)
{
    uint64_t before = mask_now();

    set(SIGUSR1, on, 0, 0);
    set(SIGUSR2, on, SA_NODEFER, 0);
    set(40, on, 0, 0);
    sock_enter();
    raise(SIGUSR2);
    raise(SIGUSR1);
    raise(40);
    raise(40);
    raise(SIGUSR2); // one of a kind waits, as in the kernel
    assert_int_equal(runs, 0);
    sock_leave();
    assert_int_equal(runs, 4);
    assert_true(mask_now() == before);
}

// The handler's own mask at the time is the one that comes back, also where it was not empty.
static void the_threads_mask_comes_back(void **state)
{
    sigset_t one;
    uint64_t before;

    sigemptyset(&one);
    sigaddset(&one, SIGALRM);
    sigprocmask(SIG_BLOCK, &one, NULL);
    before = mask_now();
    set(SIGUSR1, on, 0, 0);
    sock_enter();
    raise(SIGUSR1);
    sock_leave();
    assert_int_equal(runs, 1);
    assert_true(mask_now() == before);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
}

static void what_ran_is_counted(void **state)
{
    uint32_t interrupts = sock_thread.interrupts, restarts = sock_thread.restarts;

    set(SIGUSR1, on, 0, 0);
    set(SIGUSR2, on, SA_RESTART, 0);
    raise(SIGUSR1);
    sock_enter();
    raise(SIGUSR2);
    assert_int_equal(sock_thread.restarts, restarts);
    sock_leave();
    assert_int_equal(sock_thread.interrupts, interrupts + 1);
    assert_int_equal(sock_thread.restarts, restarts + 1);
}

static void the_program_sees_its_own(void **state)
{
    struct sigaction old, act = {.sa_handler = SIG_IGN};

    set(SIGUSR1, on, SA_RESTART | (int)SA_RESETHAND, SIGUSR2);
    assert_int_equal(sock_sigaction(SIGUSR1, NULL, &old), 0);
    assert_ptr_equal(old.sa_sigaction, on);
    assert_int_equal(old.sa_flags & ~0x04000000, SA_SIGINFO | SA_RESTART | (int)SA_RESETHAND);
    assert_true(sigismember(&old.sa_mask, SIGUSR2));
    assert_int_equal(sock_sigaction(SIGUSR1, &act, &old), 0);
    assert_ptr_equal(old.sa_sigaction, on);
    assert_int_equal(sock_sigaction(SIGUSR1, NULL, &old), 0);
    assert_ptr_equal(old.sa_handler, SIG_IGN);
    raise(SIGUSR1);
    assert_int_equal(runs, 0);
    assert_int_equal(sock_sigaction(SIGKILL, &act, NULL), -EINVAL);
    assert_int_equal(sock_sigaction(999, &act, NULL), -EINVAL);
}

static void resethand_resets_when_it_has_run(void **state)
{
    struct sigaction old;

    set(SIGUSR1, on, (int)SA_RESETHAND, 0);
    sock_enter();
    raise(SIGUSR1);
    assert_int_equal(sock_sigaction(SIGUSR1, NULL, &old), 0);
    assert_ptr_equal(old.sa_sigaction, on); // put off is not run
    sock_leave();
    assert_int_equal(runs, 1);
    assert_int_equal(sock_sigaction(SIGUSR1, NULL, &old), 0);
    assert_ptr_equal(old.sa_handler, SIG_DFL);
}

static void jump(int sig, siginfo_t *info, void *context)
{
    runs++;
    siglongjmp(back, sig);
}

static void a_handler_may_jump_out(void **state)
{
    uint64_t before = mask_now();

    set(SIGUSR1, jump, 0, 0);
    for (volatile int i = 0; i < 3; i++) {
        if (sigsetjmp(back, 1))
            continue;
        sock_enter();
        raise(SIGUSR1);
        sock_leave();
        fail();
    }
    assert_int_equal(runs, 3);
    assert_int_equal(sock_thread.depth, 0);
    assert_true(mask_now() == before);
}

static void runs_on_the_alternate_stack(void **state)
{
    static char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory}, old;

    assert_int_equal(sigaltstack(&stack, &old), 0);
    set(SIGUSR1, on, SA_ONSTACK, 0);
    sock_enter();
    raise(SIGUSR1);
    sock_leave();
    sigaltstack(&old, NULL);
    assert_int_equal(runs, 1);
    assert_true((char *)stack_seen > memory && (char *)stack_seen < memory + sizeof memory);
}

static void again(int sig, siginfo_t *info, void *context)
{
    runs++;
    sock_enter();
    if (nested++ < 5)
        raise(sig);
    sock_leave();
}

// With SA_NODEFER it nests as often as it comes, and comes to an end.
static void a_handler_may_use_sockets_itself(void **state)
{
    set(SIGUSR1, again, SA_NODEFER, 0);
    sock_enter();
    raise(SIGUSR1);
    sock_leave();
    assert_int_equal(runs, 6);
}

static void a_child_inherits_handlers_but_nothing_put_off(void **state)
{
    pid_t pid;
    int status;

    set(SIGUSR1, on, 0, 0);
    sock_enter();
    raise(SIGUSR1);
    pid = fork();
    sock_leave();
    if (pid == 0) {
        bool right = runs == 0 && !masked(mask_now(), SIGUSR1);

        raise(SIGUSR1);
        _exit(right && runs == 1 ? 0 : 1);
    }
    assert_int_equal(runs, 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static _Atomic bool stop;

static void *change_it(void *arg)
{
    while (!atomic_load(&stop)) {
        set(SIGALRM, on, 0, 0);
        set(SIGALRM, on, SA_RESTART, SIGUSR2);
    }
    return NULL;
}

// Handlers are set by one thread while another is hit by them, inside and out.
static void setting_and_running_do_not_meet(void **state)
{
    pthread_t thread;
    int sent = 20000;

    set(SIGALRM, on, 0, 0);
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&thread, NULL, change_it, NULL), 0);
    for (int i = 0; i < sent; i++) {
        if (i % 2)
            sock_enter();
        pthread_kill(pthread_self(), SIGALRM);
        if (i % 2)
            sock_leave();
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(runs, sent);
}

// Below a sanitizer's sigaction, if there is one: ThreadSanitizer puts handlers off, too, until the
// next call that it intercepts, and undoes what they did to the mask.
static void use_sigaction_of_libc(void)
{
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);

    *(void **)&real.sigaction = libc ? dlsym(libc, "sigaction") : NULL;
    assert_non_null(real.sigaction);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(outside_a_handler_runs_at_once, setup),
        cmocka_unit_test_setup(inside_it_waits_for_the_last_leave, setup),
        cmocka_unit_test_setup(what_is_put_off_says_what_it_said, setup),
        cmocka_unit_test_setup(several_wait_together, setup),
        cmocka_unit_test_setup(the_threads_mask_comes_back, setup),
        cmocka_unit_test_setup(what_ran_is_counted, setup),
        cmocka_unit_test_setup(the_program_sees_its_own, setup),
        cmocka_unit_test_setup(resethand_resets_when_it_has_run, setup),
        cmocka_unit_test_setup(a_handler_may_jump_out, setup),
        cmocka_unit_test_setup(runs_on_the_alternate_stack, setup),
        cmocka_unit_test_setup(a_handler_may_use_sockets_itself, setup),
        cmocka_unit_test_setup(a_child_inherits_handlers_but_nothing_put_off, setup),
        cmocka_unit_test_setup(setting_and_running_do_not_meet, setup),
    };

    sock_real_init();
    use_sigaction_of_libc();
    return cmocka_run_group_tests_name("signal", tests, NULL, NULL);
}
