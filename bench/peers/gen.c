/* The load generator: one thread, epoll, and little work per line, so that the server is measured.
 *
 *   gen port=N|unix=PATH mode=flood|pingpong|noise|idle conns=N line=BYTES [pipes=N] [warm=MS] [run=MS]
 *       [pid=SERVER,...] [lines=N] [window=BYTES] [marks=N every=MS]
 *
 * flood     every connection is kept full from one shared block; replies are drained. With window=BYTES
 *           a connection has at most as many bytes in flight, rounded down to whole lines
 * pingpong  one line in flight per connection; measures latencies; with lines=N: stops after N lines
 * noise     `conns` ping-pong connections beside `pipes` flooding ones; latencies of the former
 * idle      connects, exchanges one line each, prints, then handles "burst" lines on standard input
 *
 * With marks=N there is no window: it prints the number of lines so far N + 1 times, `every`
 * milliseconds apart, so that the caller can change something meanwhile and see the effect.
 *
 * Lines are counted by the newlines in the replies. The server's CPU time is read here, at the edges of
 * the window, because no other process could read it at the same moment as the line count. */
#include "common.h"
#include "hist.h"
#include <sys/un.h>

#define BLOCK 65536
#define BATCH 256      /* connections opened before waiting for their first echo */
#define PER_SOURCE 20000
#define BURST 16384

struct conn {
    int fd;
    uint32_t phase; /* offset in a line of the next byte to send: the block repeats every line */
    uint64_t sent, got;
    uint64_t sent_at;
};

static struct { long port, conns, pipes, line, warm, run, lines, window, marks, every; const char *mode, *pids, *path; } o = {
    .conns = 1, .line = 5, .warm = 500, .run = 3000, .pids = "", .pipes = 0, .every = 500, .mode = "flood"};
static char *block, in[4 * BLOCK];
static struct conn *conns;
static int pings, floods; /* two epolls: a ping-pong reply never waits for all flooding connections */
static uint64_t lines, bytes, errors;
static struct hist latency;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Vector extensions instead of a loop that the compiler may or may not vectorise: 16 bytes a step. */
static uint64_t newlines(const char *p, size_t len) {
    typedef uint8_t vec __attribute__((vector_size(16)));
    uint64_t total = 0;
    const vec newline = {10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10};
    while (len >= 16) {
        size_t steps = len / 16 < 255 ? len / 16 : 255;
        vec sum = {0}, v;
        for (size_t i = 0; i < steps; i++) {
            memcpy(&v, p + 16 * i, 16);
            sum -= (vec)(v == newline);
        }
        for (int i = 0; i < 16; i++) total += sum[i];
        p += 16 * steps;
        len -= 16 * steps;
    }
    for (; len; len--) total += *p++ == '\n';
    return total;
}

/* CPU time of a process and of all its threads, past ones too, in nanoseconds: exact, where
 * /proc/PID/stat counts hundredths of a second. */
static uint64_t process_cpu(long pid) {
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0) return 0;
    return used.tv_sec * 1000000000ull + used.tv_nsec;
}

/* CPU time of all processes of the server. */
static uint64_t server_cpu(void) {
    uint64_t total = 0;
    char *end;
    for (const char *at = o.pids; *at; at = *end == ',' ? end + 1 : end) {
        long pid = strtol(at, &end, 10);
        if (end == at) { fprintf(stderr, "no process number: %s\n", at); exit(2); }
        total += process_cpu(pid);
    }
    return total;
}

static void lost(struct conn *c) {
    errors++;
    close(c->fd);
    c->fd = -1;
}

static void send_some(struct conn *c, size_t want) {
    ssize_t n = send(c->fd, block + c->phase, want, MSG_NOSIGNAL);
    if (n > 0) {
        c->phase = (c->phase + n) % o.line;
        c->sent += n;
    } else if (errno != EAGAIN) {
        lost(c);
    }
}

static ssize_t drain(struct conn *c, size_t most) {
    ssize_t n = recv(c->fd, in, most, 0);
    if (n > 0) {
        c->got += n;
        bytes += n;
        lines += newlines(in, n);
    } else if (n == 0 || errno != EAGAIN) {
        lost(c);
    }
    return n;
}

static void ping(struct conn *c, uint64_t at) {
    c->sent_at = at;
    send_some(c, o.line);
}

static void on_ping(struct conn *c) {
    if (drain(c, BLOCK) <= 0 || c->got < c->sent) return;
    uint64_t at = now();
    record(&latency, at - c->sent_at);
    if (!o.lines || lines < (uint64_t)o.lines) ping(c, at);
}

/* Sends what the window allows. What the socket does not take is sent when replies come: some are due. */
static void fill(struct conn *c) {
    size_t room = o.window - (c->sent - c->got);
    if (room) send_some(c, room < BLOCK ? room : BLOCK);
}

static void on_pipe(struct conn *c, uint32_t events) {
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) drain(c, sizeof in);
    if (c->fd < 0) return;
    if (o.window) fill(c);
    else if (events & EPOLLOUT) send_some(c, BLOCK);
}

static int serve_pings(int timeout) {
    static struct epoll_event events[EVENTS];
    int ready = epoll_wait(pings, events, EVENTS, timeout);
    for (int i = 0; i < ready; i++) on_ping(events[i].data.ptr);
    return ready;
}

static void drive(uint64_t until) {
    static struct epoll_event events[EVENTS];
    int quiet = o.conns > o.pipes;
    while (now() < until && errors < (uint64_t)o.conns && (!o.lines || lines < (uint64_t)o.lines)) {
        if (!o.pipes) {
            serve_pings(10);
            continue;
        }
        int ready = epoll_wait(floods, events, quiet ? 1 : EVENTS, quiet ? 0 : 10);
        for (int i = 0; i < ready; i++) on_pipe(events[i].data.ptr, events[i].events);
        if (quiet) serve_pings(0);
    }
}

/* A connected socket of client number `i`. */
static int connect_tcp(long i) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(o.port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0) die("socket");
    struct linger reset = {.l_onoff = 1, .l_linger = 0}; /* no TIME_WAIT left for the next run */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    nodelay(fd);
    /* The same on every host. BBR paces by timers, which over loopback run on the server's core and count as
     * its time: a third of it in a flood of long lines against small receive buffers. Always built in. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) < 0) die("TCP_CONGESTION");
    struct sockaddr_in me = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i / PER_SOURCE)};
    if (o.conns > PER_SOURCE && bind(fd, (void *)&me, sizeof me) < 0) die("bind");
    if (connect(fd, (void *)&server, sizeof server) < 0) die("connect");
    return fd;
}

static int connect_unix(void) {
    struct sockaddr_un server = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) die("socket");
    strncpy(server.sun_path, o.path, sizeof server.sun_path - 1);
    if (connect(fd, (void *)&server, sizeof server) < 0) die("connect");
    return fd;
}

/* Every connection exchanges one line before the measurement, so that all are accepted and warm. */
static void open_batch(long from, long to) {
    for (long i = from; i < to; i++) {
        conns[i].fd = o.path ? connect_unix() : connect_tcp(i);
        ping(&conns[i], now());
    }
    for (long i = from; i < to; i++) {
        while (conns[i].fd >= 0 && conns[i].got < conns[i].sent) drain(&conns[i], BLOCK);
        if (conns[i].fd < 0) die("a connection closed before its first echo");
    }
}

static void burst(void) {
    for (long from = 0; from < o.conns; from += 64) {
        long to = from + 64 < o.conns ? from + 64 : o.conns;
        for (long i = from; i < to; i++) send_some(&conns[i], BURST / o.line * o.line);
        for (long i = from; i < to; i++)
            while (conns[i].fd >= 0 && conns[i].got < conns[i].sent) drain(&conns[i], BLOCK);
    }
}

static void idle(void) {
    char command[64];
    printf("{\"phase\":\"open\",\"errors\":%lu}\n", errors);
    fflush(stdout);
    while (fgets(command, sizeof command, stdin)) {
        if (strcmp(command, "burst\n") != 0) break;
        burst();
        printf("{\"phase\":\"burst\",\"errors\":%lu}\n", errors);
        fflush(stdout);
    }
    exit(0);
}

static void mark(void) {
    uint64_t next = now();
    for (long k = 0; k <= o.marks; k++) {
        printf("{\"at_ns\":%lu,\"lines\":%lu,\"errors\":%lu}\n", now(), lines, errors);
        fflush(stdout);
        next += o.every * 1000000ull;
        if (k < o.marks) drive(next);
    }
    getchar();
    exit(0);
}

static void options(int argc, char **argv) {
    struct { const char *name; long *value; } known[] = {
        {"port=", &o.port}, {"conns=", &o.conns}, {"pipes=", &o.pipes}, {"line=", &o.line},
        {"warm=", &o.warm}, {"run=", &o.run}, {"lines=", &o.lines}, {"window=", &o.window},
        {"marks=", &o.marks}, {"every=", &o.every}};
    for (int a = 1; a < argc; a++) {
        if (!strncmp(argv[a], "mode=", 5)) { o.mode = argv[a] + 5; continue; }
        if (!strncmp(argv[a], "pid=", 4)) { o.pids = argv[a] + 4; continue; }
        if (!strncmp(argv[a], "unix=", 5)) { o.path = argv[a] + 5; continue; }
        size_t k = 0, count = sizeof known / sizeof *known;
        while (k < count && strncmp(argv[a], known[k].name, strlen(known[k].name))) k++;
        if (k == count) { fprintf(stderr, "unknown option %s\n", argv[a]); exit(2); }
        *known[k].value = atol(argv[a] + strlen(known[k].name));
    }
    if (!strcmp(o.mode, "flood")) o.pipes = o.conns;
    else if (!strcmp(o.mode, "noise")) o.conns += o.pipes;
    if (o.window) o.window = o.window < o.line ? o.line : o.window / o.line * o.line;
}

int main(int argc, char **argv) {
    prepare_process();
    options(argc, argv);
    block = malloc(BLOCK + o.line);
    for (long i = 0; i < BLOCK + o.line; i++) block[i] = i % o.line == o.line - 1 ? '\n' : "ping"[i % o.line % 4];
    conns = calloc(o.conns, sizeof *conns);
    for (long i = 0; i < o.conns; i += BATCH)
        open_batch(i, i + BATCH < o.conns ? i + BATCH : o.conns);
    if (!strcmp(o.mode, "idle")) idle();

    pings = epoll_create1(0);
    floods = epoll_create1(0);
    for (long i = 0; i < o.conns; i++) {
        struct conn *c = &conns[i];
        int pipe = i < o.pipes;
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        uint32_t events = pipe && !o.window ? EPOLLIN | EPOLLOUT : EPOLLIN;
        watch(pipe ? floods : pings, EPOLL_CTL_ADD, c->fd, events, c);
    }
    lines = 0;
    uint64_t begun = now();
    for (long i = 0; o.window && i < o.pipes; i++) fill(&conns[i]);
    for (long i = o.pipes; i < o.conns; i++) ping(&conns[i], begun);
    if (!o.lines) drive(begun + o.warm * 1000000ull);

    /* The caller reads the kernel's counters between these two prints, so that they do not include
     * making and closing the connections. */
    printf("{\"phase\":\"run\",\"errors\":%lu}\n", errors);
    fflush(stdout);
    memset(&latency, 0, sizeof latency);
    lines = bytes = 0;
    if (o.marks) mark();
    struct timespec cpu0, cpu1;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu0);
    uint64_t used = server_cpu();
    begun = now();
    drive(begun + o.run * 1000000ull);
    used = server_cpu() - used;
    double seconds = (now() - begun) / 1e9;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu1);

    printf("{\"seconds\":%.6f,\"lines\":%lu,\"bytes\":%lu,\"errors\":%lu,\"server_cpu_ns\":%lu,"
           "\"generator_cpu_seconds\":%.6f,\"latencies\":%lu,"
           "\"p50_us\":%.3f,\"p99_us\":%.3f,\"p999_us\":%.3f,\"max_us\":%.3f}\n",
           seconds, lines, bytes, errors, used,
           cpu1.tv_sec - cpu0.tv_sec + (cpu1.tv_nsec - cpu0.tv_nsec) / 1e9, latency.count,
           quantile_us(&latency, 0.5), quantile_us(&latency, 0.99), quantile_us(&latency, 0.999),
           latency.max / 1e3);
    fflush(stdout);
    getchar(); /* keep the connections open until the caller closes standard input */
    return 0;
}
