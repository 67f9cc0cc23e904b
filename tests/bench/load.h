// SPDX-License-Identifier: BSD-2-Clause
// What the load programs share: their options, and two pinned processes with a connection between
// them. The two find each other as any program would: listen, connect, accept, after the fork.
#ifndef SHUNT_TESTS_BENCH_LOAD_H
#define SHUNT_TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

enum load_path { PATH_TCP, PATH_UNIX, PATH_FLOOR };
enum load_wait { WAIT_SPIN, WAIT_BLOCK, WAIT_EPOLL };
enum load_role { ROLE_BOTH, ROLE_SERVER, ROLE_CLIENT };

struct load {
    enum load_path path;
    enum load_wait wait;
    size_t size_bytes;    // of one message or one write
    uint64_t duration_ns; // of the measured part
    uint64_t warmup_ns;   // before it, so that what settles has settled
    int cpu[2];           // server's and client's core
    bool verify;          // the receiver checks every byte
    uint32_t ip;          // where the server listens, in network byte order; 0 is 127.0.0.1
    enum load_role role;  // of this process; BOTH forks
    uint16_t port;        // where the server listens, in network byte order; 0: any
    bool wants_lane;      // measure only what goes by `lane` of Shunt
    uint8_t lane;         // enum shunt_lane
};

// One side's socket and how it waits on it; epoll_fd is -1 but with WAIT_EPOLL.
struct side {
    int fd;
    int epoll_fd;
    enum load_wait wait;
};

// Reads the options; ends the program with a message when they are wrong.
void load_parse(struct load *load, int argc, char **argv);

// The name of a path or of a way to wait, as the options spell it.
const char *load_path_name(enum load_path path);
const char *load_wait_name(enum load_wait wait);

// Forks a server, connects to it, runs both on their cores, and waits for the server's end.
// Returns 0, or 1 where the server failed. Ends the program where the set-up fails.
int load_run_pair(const struct load *load, void (*server)(const struct load *, struct side *),
                  void (*client)(const struct load *, struct side *));

// What load_run_pair() is made of, for a load of many connections. The server is a forked process,
// whose pid is returned, 0 in itself; pipe_fds joins the two, and either has its own end of it.
// Where the options make this process only one half, nothing is forked, and the client gets its own
// pid.
pid_t load_fork_server(const struct load *load, int pipe_fds[2]);
// Listens, and tells the other process through the pipe where. Returns the socket.
int load_listen(const struct load *load, int pipe_fd);
// Waits for the server to tell its address.
socklen_t load_server_address(int pipe_fd, struct sockaddr_storage *address);
// Waits for the end of a server that was forked. Returns 0, or 1 where it failed.
int load_join_server(pid_t pid);

// Ends the program with a message, and errno's text where errno is set.
_Noreturn void load_die(const char *what);

void load_pin(int cpu);

// Does what is sent and received go by the lane that was asked for, if any was? The program ends
// with a message where that takes too long. start_ns: when the connection began.
bool side_is_warm(const struct load *load, const struct side *side, uint64_t start_ns);

// Moves exactly size bytes, waiting as the side waits. recv returns false at the end of the stream.
void side_send(struct side *side, const void *data, size_t size_bytes);
bool side_recv(struct side *side, void *data, size_t size_bytes);

#endif
