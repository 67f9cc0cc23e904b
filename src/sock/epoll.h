// SPDX-License-Identifier: BSD-2-Clause
// What the rest of the room tells epoll. A program's epoll fd is a real kernel epoll; epoll_set.h
// says how connections on the ring live in it.
#ifndef SHUNT_SOCK_EPOLL_H
#define SHUNT_SOCK_EPOLL_H

#include "sock/conn.h"

// Somebody emptied the bell, or (full) a send found no room: sets that sleep on c must look at it
// again. Inside, no lock of the end held. Call it only where c->watches is not empty.
void epoll_conn_stir(struct conn *c, bool full);

// The file behind the numbers of c is about to be another, and has become it: the sets watch the
// new one as they watched the old. Inside, no lock held.
void epoll_conn_hide(struct conn *c);
void epoll_conn_show(struct conn *c);

// What c was is over, and its numbers become another connection: parted are its watches, as the
// program registered them, for the new one to join (NULL: there is none). The caller holds c until
// then. Inside, no lock held.
void epoll_conn_part(struct conn *c, struct list *parted);
void epoll_conn_join(struct conn *c, struct list *parted);

// A listener that may be in sets has got ears: they are watched with it from now on. As above.
void epoll_listener_up(struct conn *c);
// It is about to lose them.
void epoll_listener_down(const struct conn *c);

// After newfd became a copy of oldfd, and before fd is closed. Nothing where it is no epoll fd.
void epoll_duped(int oldfd, int newfd);
void epoll_closing(int fd);

// Something other than epoll_wait is about to wait for the epoll fd: makes it readable in the
// kernel if and only if it has something, and from now on when something comes. Inside, no lock
// held. Nothing where fd is no epoll fd.
void epoll_reveal(int fd);

// One of Shunt's own fds got another number. Inside, no lock held.
void epoll_moved(int oldfd, int newfd);

// Around exec: the set epfd goes to the new program as that one's fdinfo will tell it; then fd,
// which was inherited, may be such a set. Not inside. Nothing where it is no epoll fd.
void epoll_before_exec(int epfd);
void epoll_adopt(int fd);

// As the first use of a set that was inherited: connections in it may go back after that. Not
// inside. Nothing where it is no epoll fd.
void epoll_use(int epfd);

// The set epfd goes on without Shunt: the kernel has the program's own registrations, and nothing
// is known of it any more. Not inside. Nothing where it is no epoll fd.
void epoll_forget(int epfd);

// Around fork (conn.c): before it takes the locks that the child must find free.
void epoll_before_fork(void);
void epoll_after_fork(bool child);

#endif
