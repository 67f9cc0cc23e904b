// SPDX-License-Identifier: BSD-2-Clause
#include "cm/place.h"

#include "base/sys.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static int fits(int n)
{
    return n > 0 && n < PLACE_MAX ? 0 : -ENAMETOOLONG;
}

// One more than fits in a path, so that what does not fit is found out.
static char remembered_socket[PLACE_MAX + 1], remembered_dir[PLACE_MAX + 1];
static bool remembered;

static void remember(char to[static PLACE_MAX + 1], const char *name)
{
    const char *value = getenv(name);

    snprintf(to, PLACE_MAX + 1, "%s", value ? value : "");
}

void place_remember(void)
{
    remember(remembered_socket, "SHUNT_SOCKET");
    remember(remembered_dir, "XDG_RUNTIME_DIR");
    remembered = true;
}

// The one place to look, or NULL.
static const char *only(const char *named)
{
    const char *set = remembered ? remembered_socket : getenv("SHUNT_SOCKET");

    if (!set || !set[0])
        set = named;
    return set && set[0] ? set : NULL;
}

static int private_path(uid_t uid, char path[static PLACE_MAX])
{
    const char *dir = remembered ? remembered_dir : getenv("XDG_RUNTIME_DIR");

    if (uid == 0)
        return fits(snprintf(path, PLACE_MAX, "%s", PLACE_SYSTEM));
    if (dir && dir[0] == '/')
        return fits(snprintf(path, PLACE_MAX, "%s/shunt/shuntd.sock", dir));
    return fits(snprintf(path, PLACE_MAX, "/tmp/shunt-%u/shuntd.sock", (unsigned)uid));
}

int place_own(const char *named, uid_t uid, char path[static PLACE_MAX])
{
    const char *set = only(named);

    return set ? fits(snprintf(path, PLACE_MAX, "%s", set)) : private_path(uid, path);
}

int place_nth(int i, const char *named, uid_t uid, char path[static PLACE_MAX])
{
    if (only(named))
        return i == 0 ? place_own(named, uid, path) : -ENOENT;
    if (i == 0)
        return fits(snprintf(path, PLACE_MAX, "%s", PLACE_SYSTEM));
    return i == 1 && uid != 0 ? private_path(uid, path) : -ENOENT;
}

// The listener's credentials at the time of listen(): nobody else can put a socket of theirs before
// us and be given our program's connections.
static int check_owner(int sock)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    int err = sys_getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len);

    if (err)
        return err;
    return cred.uid == 0 || cred.uid == (uid_t)sys_call(SYS_geteuid, 0) ? 0 : -EPERM;
}

int place_connect(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
    size_t len = strlen(path);
    int sock, err;

    if (len >= sizeof addr.sun_path)
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, len);
    sock = (int)sys_call(SYS_socket, AF_UNIX, type, 0);
    if (sock < 0)
        return sock;
    err = (int)sys_call(SYS_connect, sock, &addr, sizeof addr);
    if (!err)
        err = check_owner(sock);
    if (err) {
        sys_close(sock);
        return err;
    }
    return sock;
}

int place_connect_any(const char *named)
{
    uid_t uid = (uid_t)sys_call(SYS_geteuid, 0);
    char path[PLACE_MAX];
    int sock = -ENOENT, err;

    for (int i = 0; sock < 0 && (err = place_nth(i, named, uid, path)) != -ENOENT; i++)
        sock = err ? err : place_connect(path);
    return sock;
}
