// SPDX-License-Identifier: BSD-2-Clause
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "shunt/info.h"

#define LANE_NS (20 * NS_PER_S) // for a connection to come onto its lane

static const char *const path_names[] = {"tcp", "unix", "floor"};
static const char *const wait_names[] = {"spin", "block", "epoll"};
static const char *const lane_names[] = {"kernel", "shm", "rdma", "tcp"};

void load_die(const char *what)
{
    fprintf(stderr, "%s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

const char *load_path_name(enum load_path path)
{
    return path_names[path];
}

const char *load_wait_name(enum load_wait wait)
{
    return wait_names[wait];
}

static int index_of(const char *word, const char *const names[], int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(word, names[i]))
            return i;
    errno = EINVAL;
    load_die(word);
}

static void parse_one(struct load *load, int option)
{
    switch (option) {
    case 'p':
        load->path = index_of(optarg, path_names, ARRAY_LEN(path_names));
        break;
    case 'w':
        load->wait = index_of(optarg, wait_names, ARRAY_LEN(wait_names));
        break;
    case 's':
        load->size_bytes = strtoul(optarg, NULL, 0);
        break;
    case 't':
        load->duration_ns = strtod(optarg, NULL) * NS_PER_S;
        break;
    case 'c':
        if (sscanf(optarg, "%d,%d", &load->cpu[0], &load->cpu[1]) != 2)
            load_die("--cpus takes SERVER,CLIENT");
        break;
    case 'a':
        if (inet_pton(AF_INET, optarg, &load->ip) != 1)
            load_die("--address takes an IPv4 address");
        break;
    case 'v':
        load->verify = true;
        break;
    case 'S':
        load->role = ROLE_SERVER;
        load->port = htons((uint16_t)strtoul(optarg, NULL, 0));
        break;
    case 'C':
        load->role = ROLE_CLIENT;
        load->port = htons((uint16_t)strtoul(optarg, NULL, 0));
        break;
    case 'l':
        load->wants_lane = true;
        load->lane = (uint8_t)index_of(optarg, lane_names, ARRAY_LEN(lane_names));
        break;
    default:
        fprintf(stderr, "options: --path tcp|unix|floor --wait spin|block|epoll --size BYTES\n"
                        "         --time SECONDS --cpus SERVER,CLIENT --address IP --verify\n"
                        "         --lane kernel|shm|rdma|tcp\n"
                        "         --serve PORT | --connect PORT, each the half of it\n");
        exit(2);
    }
}

void load_parse(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {
        {"path", required_argument, NULL, 'p'},
        {"wait", required_argument, NULL, 'w'},
        {"size", required_argument, NULL, 's'},
        {"time", required_argument, NULL, 't'},
        {"cpus", required_argument, NULL, 'c'},
        {"address", required_argument, NULL, 'a'},
        {"verify", no_argument, NULL, 'v'},
        {"lane", required_argument, NULL, 'l'},
        {"serve", required_argument, NULL, 'S'},
        {"connect", required_argument, NULL, 'C'},
        {NULL, 0, NULL, 0},
    };
    int option;

    load->warmup_ns = 100 * NS_PER_MS;
    while ((option = getopt_long(argc, argv, "p:w:s:t:c:a:vl:S:C:", options, NULL)) != -1)
        parse_one(load, option);
    if (!load->size_bytes)
        load_die("--size must be 1 or more");
}

void load_pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set))
        load_die("sched_setaffinity");
}

bool side_is_warm(const struct load *load, const struct side *side, uint64_t start_ns)
{
    struct shunt_info info;
    socklen_t size = sizeof(info);
    uint64_t past_ns = clock_now_ns() - start_ns;

    if (past_ns < load->warmup_ns || !load->wants_lane)
        return past_ns >= load->warmup_ns;
    if (getsockopt(side->fd, SOL_SHUNT, SHUNT_INFO, &info, &size))
        load_die("--lane without Shunt");
    if (info.lane_tx == load->lane && info.lane_rx == load->lane)
        return true;
    errno = 0;
    if (past_ns > LANE_NS)
        load_die("the connection did not come onto the lane");
    return false;
}

// Waits until the side can go on: by looking again, or in epoll or poll.
static void side_wait(struct side *side, int events)
{
    struct epoll_event event;
    struct pollfd poll_fd = {.fd = side->fd, .events = events};

    if (side->wait == WAIT_SPIN)
        clock_pause();
    else if (side->epoll_fd >= 0 && events == POLLIN)
        epoll_wait(side->epoll_fd, &event, 1, -1);
    else
        poll(&poll_fd, 1, -1);
}

void side_send(struct side *side, const void *data, size_t size_bytes)
{
    const char *from = data;

    while (size_bytes) {
        ssize_t n = send(side->fd, from, size_bytes, MSG_NOSIGNAL);

        if (n >= 0) {
            from += n;
            size_bytes -= n;
        } else if (errno == EAGAIN) {
            side_wait(side, POLLOUT);
        } else if (errno != EINTR) {
            load_die("send");
        }
    }
}

bool side_recv(struct side *side, void *data, size_t size_bytes)
{
    char *to = data;

    while (size_bytes) {
        ssize_t n;

        if (side->wait == WAIT_EPOLL)
            side_wait(side, POLLIN);
        n = recv(side->fd, to, size_bytes, 0);
        if (!n)
            return false;
        if (n > 0) {
            to += n;
            size_bytes -= n;
        } else if (errno == EAGAIN) {
            side_wait(side, POLLIN);
        } else if (errno != EINTR) {
            load_die("recv");
        }
    }
    return true;
}

static void side_open(struct side *side, int fd, const struct load *load)
{
    struct epoll_event event = {.events = EPOLLIN};
    int one = 1;

    *side = (struct side){.fd = fd, .epoll_fd = -1, .wait = load->wait};
    if (load->path == PATH_TCP && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
        load_die("TCP_NODELAY");
    if (load->wait != WAIT_BLOCK && fcntl(fd, F_SETFL, O_NONBLOCK))
        load_die("O_NONBLOCK");
    if (load->wait != WAIT_EPOLL)
        return;
    side->epoll_fd = epoll_create1(0);
    if (side->epoll_fd < 0 || epoll_ctl(side->epoll_fd, EPOLL_CTL_ADD, fd, &event))
        load_die("epoll");
}

static void side_close(struct side *side)
{
    if (side->epoll_fd >= 0)
        close(side->epoll_fd);
    if (side->fd >= 0)
        close(side->fd);
}

// An address of the path's family: with --serve as asked for, otherwise one that the kernel
// chooses, with port 0 or an abstract name.
static socklen_t own_address(const struct load *load, struct sockaddr_storage *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = load->port,
                             .sin_addr.s_addr = load->ip ? load->ip : htonl(INADDR_LOOPBACK)};

    memset(address, 0, sizeof(*address));
    if (load->path == PATH_UNIX) {
        address->ss_family = AF_UNIX;
        return sizeof(sa_family_t);
    }
    memcpy(address, &in, sizeof(in));
    return sizeof(in);
}

int load_listen(const struct load *load, int pipe_fd)
{
    struct sockaddr_storage address;
    socklen_t size = own_address(load, &address);
    int listener = socket(address.ss_family, SOCK_STREAM, 0), one = 1;

    if (load->port)
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 16))
        load_die("listen");
    size = sizeof(address);
    if (getsockname(listener, (struct sockaddr *)&address, &size) ||
        write(pipe_fd, &address, size) != (ssize_t)size)
        load_die("getsockname");
    return listener;
}

// Returns the first socket that a listener of its own accepts.
static int serve_one(const struct load *load, int pipe_fd)
{
    int listener = load_listen(load, pipe_fd), fd = accept(listener, NULL, NULL);

    if (fd < 0)
        load_die("accept");
    close(listener);
    return fd;
}

socklen_t load_server_address(int pipe_fd, struct sockaddr_storage *address)
{
    ssize_t size = read(pipe_fd, address, sizeof(*address));

    if (size <= 0)
        load_die("the server told no address");
    return size;
}

static int connect_to_server(int pipe_fd)
{
    struct sockaddr_storage address;
    socklen_t size = load_server_address(pipe_fd, &address);
    int fd = socket(address.ss_family, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, size))
        load_die("connect");
    return fd;
}

// The half that this process is to be. The pipe then joins it with itself.
static pid_t be_half(const struct load *load, int pipe_fds[2])
{
    struct sockaddr_storage address;
    socklen_t size = own_address(load, &address);

    if (pipe(pipe_fds) ||
        (load->role == ROLE_CLIENT && write(pipe_fds[1], &address, size) != (ssize_t)size))
        load_die("pipe");
    load_pin(load->cpu[load->role == ROLE_CLIENT]);
    return load->role == ROLE_CLIENT ? getpid() : 0;
}

pid_t load_fork_server(const struct load *load, int pipe_fds[2])
{
    pid_t pid;

    if (load->role != ROLE_BOTH)
        return be_half(load, pipe_fds);
    if (pipe(pipe_fds) || (pid = fork()) < 0)
        load_die("fork");
    close(pipe_fds[pid > 0]); // so that either sees the other's early end
    if (!pid && prctl(PR_SET_PDEATHSIG, SIGKILL))
        load_die("prctl");
    load_pin(load->cpu[pid > 0]);
    return pid;
}

int load_join_server(pid_t pid)
{
    int status;

    if (pid == getpid())
        return 0;
    if (waitpid(pid, &status, 0) != pid)
        load_die("waitpid");
    return status != 0;
}

int load_run_pair(const struct load *load, void (*server)(const struct load *, struct side *),
                  void (*client)(const struct load *, struct side *))
{
    bool floor = load->path == PATH_FLOOR;
    struct side side = {.fd = -1, .epoll_fd = -1, .wait = load->wait};
    int pipe_fds[2];
    pid_t pid = load_fork_server(load, pipe_fds);

    if (!floor)
        side_open(&side, pid ? connect_to_server(pipe_fds[0]) : serve_one(load, pipe_fds[1]), load);
    (pid ? client : server)(load, &side);
    side_close(&side);
    if (!pid)
        exit(0);
    return load_join_server(pid);
}
