// SPDX-License-Identifier: BSD-2-Clause
#include "sock/target.h"

#include "base/sys.h"
#include "base/util.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PRELOAD_NAME "libshunt-preload.so"
#define SCRIPTS_MAX  4 // as the kernel: a #! line may name a script
#define HEAD_BYTES   256
#define SEGMENTS_MAX 64

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#endif

static const char *variable(char *const envp[], const char *name)
{
    size_t n = strlen(name);

    for (; envp && *envp; envp++)
        if (!strncmp(*envp, name, n) && (*envp)[n] == '=')
            return *envp + n + 1;
    return NULL;
}

static bool preloads(char *const envp[])
{
    const char *list = variable(envp, "LD_PRELOAD");

    return list && strstr(list, PRELOAD_NAME);
}

// ---- the file ----

// The kernel drops LD_PRELOAD where the new program gains rights.
static bool gains_rights(int fd)
{
    struct stat st;
    char cap[64];

    return fstat(fd, &st) || (st.st_mode & (S_ISUID | S_ISGID)) ||
           sys_call(SYS_fgetxattr, fd, "security.capability", cap, sizeof cap) > 0;
}

static bool is_dynamic(int fd, const Elf64_Ehdr *e)
{
    Elf64_Phdr ph;

    if (e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_machine != MACHINE ||
        e->e_phentsize != sizeof ph || e->e_phnum > SEGMENTS_MAX)
        return false;
    for (int i = 0; i < e->e_phnum; i++) {
        if (sys_call(SYS_pread64, fd, &ph, sizeof ph, e->e_phoff + (size_t)i * sizeof ph) !=
            sizeof ph)
            return false;
        if (ph.p_type == PT_INTERP)
            return true;
    }
    return false;
}

// Cuts head after the interpreter's name. NULL: it is no script.
static char *interpreter(char *head, size_t n)
{
    char *name;

    if (n < 3 || head[0] != '#' || head[1] != '!')
        return NULL;
    name = head + 2 + strspn(head + 2, " \t");
    name[strcspn(name, " \t\n")] = '\0';
    return *name ? name : NULL;
}

static bool leads_to_dynamic(const char *path, int scripts)
{
    alignas(Elf64_Ehdr) char head[HEAD_BYTES + 1] = {0};
    int fd = (int)sys_call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    long n = fd < 0 ? -1 : sys_read(fd, head, HEAD_BYTES);
    bool is_elf = n >= (long)sizeof(Elf64_Ehdr) && !memcmp(head, ELFMAG, SELFMAG);
    bool yes = n > 0 && !gains_rights(fd);
    char *next = yes && !is_elf ? interpreter(head, (size_t)n) : NULL;

    if (yes && is_elf)
        yes = is_dynamic(fd, (const Elf64_Ehdr *)(const void *)head);
    if (fd >= 0)
        sys_close(fd);
    if (next)
        return scripts > 0 && leads_to_dynamic(next, scripts - 1);
    return yes && is_elf;
}

// ---- PATH ----

// True when some directory of PATH has file; then out is its path there.
static bool find(char out[PATH_MAX], const char *file)
{
    const char *dirs = getenv("PATH");
    size_t file_len = strlen(file);

    for (dirs = dirs ? dirs : "/bin:/usr/bin"; *dirs;) {
        size_t n = strcspn(dirs, ":");

        if (n + file_len + 2 <= PATH_MAX) {
            memcpy(out, n ? dirs : ".", n ? n : 1);
            out[n ? n : 1] = '/';
            memcpy(out + (n ? n : 1) + 1, file, file_len + 1);
            if (sys_call(SYS_faccessat, AT_FDCWD, out, X_OK) == 0)
                return true;
        }
        dirs += n + (dirs[n] == ':');
    }
    return false;
}

bool target_under_shunt(const char *path, char *const envp[], bool search)
{
    char found[PATH_MAX];

    if (!path || !preloads(envp))
        return false;
    if (search && !strchr(path, '/')) {
        if (!find(found, path))
            return false;
        path = found;
    }
    return leads_to_dynamic(path, SCRIPTS_MAX);
}
