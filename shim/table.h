// SPDX-License-Identifier: BSD-2-Clause
// Every function of libc that can touch a socket, and what the shim does with it. The exported
// symbols, docs/shim-table.md and the tests of tests/shim come from this table or are held against
// it.
//
//   ROW(symbol, text)   interposed; text says how it is treated
//   PASS(symbol, text)  known, and left to libc; text says why that is right
#ifndef SHUNT_SHIM_TABLE_H
#define SHUNT_SHIM_TABLE_H

// clang-format off
#define SHIM_TABLE(ROW, PASS) \
    SHIM_TABLE_LIFE(ROW, PASS) SHIM_TABLE_DATA(ROW, PASS) SHIM_TABLE_READY(ROW, PASS) \
    SHIM_TABLE_STDIO(ROW, PASS) SHIM_TABLE_PROC(ROW, PASS) SHIM_TABLE_SIGNAL(ROW, PASS) \
    SHIM_TABLE_MEMORY(ROW, PASS)

#define SHIM_TABLE_LIFE(ROW, PASS) \
    ROW(socket, "the kernel's; a TCP socket is noted") \
    ROW(accept, "the kernel's, or what a stack has accepted; the new socket is noted with its listener") \
    ROW(accept4, "as accept") \
    ROW(listen, "the kernel's; noted; stacks listen, too, where the rule says so") \
    ROW(connect, "the kernel's, or a stack's; noted; a rule that requires a lane may refuse it") \
    ROW(__connect, "as connect") \
    ROW(shutdown, "the kernel's, once the ring's bytes are on their way; waiters wake") \
    ROW(close, "the kernel's; the number is forgotten and the peer told to look; Shunt's own numbers are not open") \
    ROW(__close, "as close") \
    ROW(close_range, "the kernel's, around Shunt's own numbers") \
    ROW(closefrom, "as close_range") \
    ROW(dup, "the kernel's; both numbers mean the same connection") \
    ROW(dup2, "as dup; a number of Shunt's own moves out of the way first") \
    ROW(__dup2, "as dup2") \
    ROW(dup3, "as dup2") \
    ROW(fcntl, "F_DUPFD as dup; F_SETFL notes O_NONBLOCK, F_GETFL tells it; the rest is the kernel's") \
    ROW(__fcntl, "as fcntl") \
    ROW(fcntl64, "as fcntl") \
    ROW(ioctl, "FIONBIO, FIONREAD, SIOCOUTQ count ring and twin; FIOASYNC goes back to the twin") \
    ROW(getsockopt, "TCP_INFO counts the ring's bytes, SHUNT_INFO is answered; the rest is the kernel's") \
    ROW(setsockopt, "SHUNT_LEAVE leaves the lane for a while; timeouts and SO_RCVLOWAT hold for the ring; what a ring cannot do goes back to the twin") \
    ROW(getsockname, "the twin's name; a stack's connection has its own") \
    ROW(getpeername, "as getsockname") \
    ROW(pidfd_getfd, "the kernel's; the fd that came is looked at") \
    ROW(syscall, "the numbers of this table go to its functions, all others to the kernel") \
    ROW(pipe, "the kernel's; tried again when numbers that Shunt holds were missing (EMFILE), as by all rows that make numbers") \
    ROW(pipe2, "as pipe") \
    ROW(socketpair, "as pipe; never TCP") \
    ROW(eventfd, "as pipe") \
    ROW(timerfd_create, "as pipe") \
    PASS(bind, "the twin is bound") \
    PASS(bindresvport, "binds the twin") \
    PASS(isfdtype, "the twin's type") \
    PASS(sockatmark, "urgent data goes by the twin only") \
    PASS(copy_file_range, "EINVAL on sockets")

#define SHIM_TABLE_DATA(ROW, PASS) \
    ROW(read, "bytes of the stream") \
    ROW(__read, "as read") \
    ROW(__read_chk, "as read, after libc's check of the length") \
    ROW(readv, "as read") \
    ROW(preadv2, "as readv when the offset is -1; RWF_NOWAIT as MSG_DONTWAIT") \
    ROW(preadv64v2, "as preadv2") \
    ROW(write, "bytes of the stream") \
    ROW(__write, "as write") \
    ROW(writev, "as write") \
    ROW(pwritev2, "as writev when the offset is -1") \
    ROW(pwritev64v2, "as pwritev2") \
    ROW(recv, "bytes of the stream, with all flags; MSG_OOB and MSG_ERRQUEUE are the kernel's") \
    ROW(__recv_chk, "as recv, after libc's check of the length") \
    ROW(recvfrom, "as recv") \
    ROW(__recvfrom_chk, "as recvfrom, after libc's check of the length") \
    ROW(recvmsg, "as recv; sockets that come by SCM_RIGHTS are looked at") \
    ROW(recvmmsg, "as recvmsg, several times") \
    ROW(send, "bytes of the stream; MSG_OOB and MSG_ZEROCOPY go back to the twin first") \
    ROW(__send, "as send") \
    ROW(sendto, "as send; TCP ignores the address") \
    ROW(sendmsg, "as send; control messages go back to the twin first; SCM_RIGHTS hands connections over") \
    ROW(sendmmsg, "as sendmsg, several times") \
    ROW(sendfile, "read into the ring with one copy, else the kernel's") \
    ROW(sendfile64, "as sendfile") \
    ROW(splice, "between pipe and ring with one copy, else the kernel's") \
    ROW(dprintf, "formatted, then as write") \
    ROW(vdprintf, "as dprintf") \
    ROW(__dprintf_chk, "as dprintf") \
    ROW(__vdprintf_chk, "as dprintf") \
    ROW(aio_read, "goes back to the twin for good first: libc's threads do the reading") \
    ROW(aio_read64, "as aio_read") \
    ROW(aio_write, "as aio_read") \
    ROW(aio_write64, "as aio_read") \
    ROW(lio_listio, "as aio_read") \
    ROW(lio_listio64, "as aio_read") \
    PASS(tee, "EINVAL on sockets") \
    PASS(vmsplice, "EBADF on sockets") \
    PASS(pread, "ESPIPE on sockets") \
    PASS(pread64, "ESPIPE on sockets") \
    PASS(__pread64, "ESPIPE on sockets") \
    PASS(__pread_chk, "ESPIPE on sockets") \
    PASS(__pread64_chk, "ESPIPE on sockets") \
    PASS(preadv, "ESPIPE on sockets") \
    PASS(preadv64, "ESPIPE on sockets") \
    PASS(pwrite, "ESPIPE on sockets") \
    PASS(pwrite64, "ESPIPE on sockets") \
    PASS(__pwrite64, "ESPIPE on sockets") \
    PASS(pwritev, "ESPIPE on sockets") \
    PASS(pwritev64, "ESPIPE on sockets")

#define SHIM_TABLE_READY(ROW, PASS) \
    ROW(poll, "asks rings and kernel together when a connection of Shunt's is among the fds") \
    ROW(__poll, "as poll") \
    ROW(__poll_chk, "as poll, after libc's check of the length") \
    ROW(ppoll, "as poll") \
    ROW(__ppoll_chk, "as poll, after libc's check of the length") \
    ROW(select, "as poll") \
    ROW(__select, "as select") \
    ROW(pselect, "as select") \
    ROW(epoll_create, "the kernel's; noted") \
    ROW(epoll_create1, "as epoll_create") \
    ROW(epoll_ctl, "the kernel's; a switched connection is watched by its doorbell, too") \
    ROW(epoll_wait, "the kernel's events and the rings', as one") \
    ROW(epoll_pwait, "as epoll_wait") \
    ROW(epoll_pwait2, "as epoll_wait")

#define SHIM_TABLE_STDIO(ROW, PASS) \
    ROW(fdopen, "goes back to the twin for good: stdio calls the kernel from inside libc") \
    ROW(_IO_fdopen, "as fdopen") \
    ROW(fclose, "as close, for the number below") \
    ROW(_IO_fclose, "as fclose") \
    ROW(freopen, "as fclose") \
    ROW(freopen64, "as fclose") \
    PASS(fcloseall, "only before the process ends")

#define SHIM_TABLE_PROC(ROW, PASS) \
    ROW(vfork, "marks the thread: in the child every row is libc's, but exec") \
    ROW(__vfork, "as vfork") \
    ROW(_Fork, "connections are shared with the child") \
    ROW(clone, "as _Fork, or as vfork when the child shares the memory") \
    ROW(__clone, "as clone") \
    ROW(_exit, "waits, 1 s at most, until a lane to other hosts has carried what was written") \
    ROW(_Exit, "as _exit") \
    ROW(execl, "as execve") \
    ROW(execle, "as execve") \
    ROW(execlp, "as execve") \
    ROW(execv, "as execve") \
    ROW(execve, "surviving connections go back to the twin, or wait for the new program if it is under Shunt") \
    ROW(execvp, "as execve") \
    ROW(execvpe, "as execve") \
    ROW(execveat, "as execve") \
    ROW(fexecve, "as execve") \
    ROW(prctl, "before PR_SET_SECCOMP every connection goes back to the kernel for good, and Shunt is off") \
    ROW(posix_spawn, "as execve, before") \
    ROW(posix_spawnp, "as posix_spawn") \
    ROW(posix_spawn_file_actions_adddup2, "noted: a connection named here goes back to the twin for good when a child gets it") \
    ROW(posix_spawn_file_actions_init, "what was noted of them is forgotten") \
    ROW(posix_spawn_file_actions_destroy, "as posix_spawn_file_actions_init") \
    ROW(system, "as execve of the shell, before") \
    ROW(popen, "as system") \
    ROW(_IO_popen, "as system") \
    PASS(fork, "by pthread_atfork(): connections are shared with the child") \
    PASS(__fork, "as fork") \
    PASS(forkpty, "forks as fork does") \
    PASS(daemon, "forks as fork does") \
    PASS(posix_spawn_file_actions_addclose, "happens in the child") \
    PASS(posix_spawn_file_actions_addclosefrom_np, "happens in the child") \
    PASS(posix_spawn_file_actions_addopen, "happens in the child")

#define SHIM_TABLE_SIGNAL(ROW, PASS) \
    ROW(sigaction, "handlers are entered through Shunt, which puts them off while it holds a lock") \
    ROW(__sigaction, "as sigaction") \
    ROW(signal, "as sigaction") \
    ROW(ssignal, "as signal") \
    ROW(bsd_signal, "as signal") \
    ROW(sysv_signal, "as sigaction") \
    ROW(__sysv_signal, "as sysv_signal") \
    ROW(sigset, "as sigaction") \
    ROW(siginterrupt, "as sigaction, with another SA_RESTART") \
    PASS(sigsuspend, "handlers run as ever: nothing is held") \
    PASS(__sigsuspend, "as sigsuspend") \
    PASS(sigpause, "as sigsuspend") \
    PASS(__sigpause, "as sigsuspend") \
    PASS(__xpg_sigpause, "as sigsuspend") \
    PASS(sigsetmask, "masks are the kernel's")

#define SHIM_TABLE_MEMORY(ROW, PASS) \
    ROW(munmap, "libc's; a buffer found good before is asked for again (EFAULT)") \
    ROW(mprotect, "as munmap") \
    ROW(mremap, "as munmap") \
    ROW(mlockall, "of all but a stack's arena, which is sparse") \
    ROW(getrlimit, "RLIMIT_AS as the program has set it; the rest is the kernel's") \
    ROW(getrlimit64, "as getrlimit") \
    ROW(setrlimit, "RLIMIT_AS is higher in the kernel, by what Shunt has mapped; the rest is the kernel's") \
    ROW(setrlimit64, "as setrlimit") \
    ROW(prlimit, "of this process as getrlimit and setrlimit; of others the kernel's") \
    ROW(prlimit64, "as prlimit")
// clang-format on

#endif
