// SPDX-License-Identifier: BSD-2-Clause
// Which programs will run under Shunt: by what the files say, and by what the environment says.
#include "sock/target.h"

#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char with[] = "LD_PRELOAD=/opt/x.so:/usr/lib/shunt/libshunt-preload.so";
static char without[] = "LD_PRELOAD=/opt/x.so", other[] = "XLD_PRELOAD=libshunt-preload.so";
static char *const under[] = {other, with, NULL};
static char *const apart[] = {other, without, NULL};

// A file in dir with these bytes and this mode; its path, good until the next call.
static const char *file(const char *name, const void *bytes, size_t n, mode_t mode)
{
    static char path[128];
    int fd;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

static const char *script(const char *name, const char *text)
{
    return file(name, text, strlen(text), 0755);
}

static void a_dynamic_program_is_followed(void **state)
{
    assert_true(target_under_shunt("/proc/self/exe", under, false));
    assert_true(target_under_shunt("/bin/sh", under, false));
    assert_false(target_under_shunt("/bin/sh", apart, false));
    assert_false(target_under_shunt("/bin/sh", NULL, false));
    assert_false(target_under_shunt(NULL, under, false));
    assert_false(target_under_shunt("/nowhere/at/all", under, false));
}

static void a_name_is_looked_up_in_path(void **state)
{
    setenv("PATH", "/nowhere::/bin", 1);
    assert_true(target_under_shunt("sh", under, true));
    assert_false(target_under_shunt("sh", under, false));
    assert_false(target_under_shunt("no-such-program", under, true));
    assert_true(target_under_shunt("/bin/sh", under, true));
}

static void a_script_counts_as_its_interpreter(void **state)
{
    char chain[128];

    assert_true(target_under_shunt(script("a", "#! /bin/sh -e\ntrue\n"), under, false));
    assert_false(target_under_shunt(script("b", "#!/nowhere\n"), under, false));
    assert_false(target_under_shunt(script("c", "#!\n"), under, false));
    assert_false(target_under_shunt(script("d", "true\n"), under, false));
    snprintf(chain, sizeof chain, "#!%s/a\n", dir);
    assert_true(target_under_shunt(script("e", chain), under, false));
    snprintf(chain, sizeof chain, "#!%s/loop\n", dir);
    assert_false(target_under_shunt(script("loop", chain), under, false));
}

static void who_gains_rights_is_not(void **state)
{
    char elf[8192];
    int fd = open("/bin/sh", O_RDONLY);
    ssize_t n = read(fd, elf, sizeof elf);

    close(fd);
    assert_true(n > (ssize_t)sizeof(Elf64_Ehdr));
    assert_true(target_under_shunt(file("f", elf, (size_t)n, 0755), under, false));
    assert_false(target_under_shunt(file("g", elf, (size_t)n, 04755), under, false));
    assert_false(target_under_shunt(file("h", elf, (size_t)n, 02755), under, false));
}

static void broken_and_static_programs_are_not(void **state)
{
    struct {
        Elf64_Ehdr e;
        Elf64_Phdr p;
    } elf = {.e = {.e_machine = EM_X86_64,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 1},
             .p = {.p_type = PT_LOAD}};

    memcpy(elf.e.e_ident, ELFMAG, SELFMAG);
    elf.e.e_ident[EI_CLASS] = ELFCLASS64;
    assert_false(target_under_shunt(file("i", &elf, sizeof elf, 0755), under, false));
    assert_false(target_under_shunt(file("j", &elf, sizeof elf.e, 0755), under, false));
    assert_false(target_under_shunt(file("k", &elf, 20, 0755), under, false));
    assert_false(target_under_shunt(file("l", &elf, 0, 0755), under, false));
    elf.e.e_phnum = 65535;
    elf.e.e_phoff = UINT64_MAX - 8;
    assert_false(target_under_shunt(file("m", &elf, sizeof elf, 0755), under, false));
    elf.e.e_ident[EI_CLASS] = ELFCLASS32;
    assert_false(target_under_shunt(file("n", &elf, sizeof elf, 0755), under, false));
}

static int make_dir(void **state)
{
    snprintf(dir, sizeof dir, "%s/shunt-target.XXXXXX", getenv("TMPDIR") ?: "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    char path[96];

    for (char c = 'a'; c <= 'n'; c++) {
        snprintf(path, sizeof path, "%s/%c", dir, c);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/loop", dir);
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dynamic_program_is_followed),
        cmocka_unit_test(a_name_is_looked_up_in_path),
        cmocka_unit_test(a_script_counts_as_its_interpreter),
        cmocka_unit_test(who_gains_rights_is_not),
        cmocka_unit_test(broken_and_static_programs_are_not),
    };

    return cmocka_run_group_tests_name("target", tests, make_dir, remove_dir);
}
