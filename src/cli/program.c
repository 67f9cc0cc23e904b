// SPDX-License-Identifier: BSD-2-Clause
#include "cli/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#if __SIZEOF_POINTER__ == 8
#define OUR_CLASS ELFCLASS64
#else
#define OUR_CLASS ELFCLASS32
#endif

static int can_run(const char *path)
{
    struct stat st;

    if (stat(path, &st))
        return -errno;
    return S_ISREG(st.st_mode) && !access(path, X_OK) ? 0 : -EACCES;
}

int program_find(const char *command, char path[static PATH_MAX])
{
    const char *dirs = getenv("PATH");
    int found = -ENOENT;

    if (strchr(command, '/')) {
        snprintf(path, PATH_MAX, "%s", command);
        return can_run(path);
    }
    for (const char *at = dirs ? dirs : "/bin:/usr/bin"; *command; at++) {
        size_t len = strcspn(at, ":");
        int err;

        snprintf(path, PATH_MAX, "%.*s%s%s", (int)len, at, len ? "/" : "", command);
        err = can_run(path);
        if (!err)
            return 0;
        if (err == -EACCES)
            found = -EACCES;
        at += len;
        if (!*at)
            break;
    }
    return found;
}

static bool changes_user(const char *path)
{
    struct stat st;

    if (getuid() == 0 || stat(path, &st))
        return false;
    return ((st.st_mode & S_ISUID) && st.st_uid != getuid()) ||
           ((st.st_mode & S_ISGID) && st.st_gid != getgid()) ||
           getxattr(path, "security.capability", NULL, 0) > 0;
}

// Does a program header of the ELF file ask for a loader?
static bool has_loader(int fd, const Elf64_Ehdr *eh)
{
    Elf64_Phdr ph;

    for (unsigned i = 0; i < eh->e_phnum; i++) {
        off_t at = (off_t)(eh->e_phoff + i * (uint64_t)eh->e_phentsize);

        if (pread(fd, &ph, sizeof ph, at) != sizeof ph)
            return false;
        if (ph.p_type == PT_INTERP)
            return true;
    }
    return false;
}

// Reads "#!INTERPRETER ..." from the beginning of a script.
static bool interpreter(int fd, char path[static PATH_MAX])
{
    ssize_t n = pread(fd, path, PATH_MAX - 1, 0);
    char *at = path + 2;

    if (n < 3 || path[0] != '#' || path[1] != '!')
        return false;
    path[n] = 0;
    at += strspn(at, " \t");
    at[strcspn(at, " \t\n")] = 0;
    memmove(path, at, strlen(at) + 1);
    return path[0] == '/';
}

static const char *elf_obstacle(int fd)
{
    Elf64_Ehdr eh;

    if (pread(fd, &eh, sizeof eh, 0) != sizeof eh || memcmp(eh.e_ident, ELFMAG, SELFMAG))
        return NULL; // the kernel will say what is wrong with it
    if (eh.e_ident[EI_CLASS] != OUR_CLASS)
        return "it is made for another word size";
    return has_loader(fd, &eh) ? NULL : "it is linked statically";
}

const char *program_obstacle(const char *path)
{
    char script[PATH_MAX];
    const char *why;
    int fd;

    if (changes_user(path))
        return "it runs as another user than you";
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (interpreter(fd, script))
        why = strcmp(script, path) ? program_obstacle(script) : NULL;
    else
        why = elf_obstacle(fd);
    close(fd);
    return why;
}
