/* Reference servers: one thread, level-triggered epoll, one shared 64 KiB buffer.
 *   (default)       raw: writes back what it read, searches no line ends
 *   -DLINES         finds every line with memchr, copies whole lines out, keeps an unfinished one
 *   -DLINE_MAX=N    closes the connection of a longer line, as a server on an open port must
 * There is one write per read in all of them. An argument N makes N processes share the port. */
#include "common.h"

#define BUFFER 65536

struct conn {
    int fd;
    char *rest; /* reply bytes the socket did not take */
    size_t rest_len;
    char *partial; /* a line whose end has not come yet */
    size_t partial_len;
};

static char in[BUFFER];
static int epoll;

static void hang_up(struct conn *c) {
    close(c->fd);
    free(c->rest);
    free(c->partial);
    free(c);
}

/* Returns 0 when the connection is gone. Bytes that cannot be sent wait in a block of their own size, and
 * reading stops until they are sent: the same back-pressure as in the servers compared with this one. */
static int reply(struct conn *c, const char *bytes, size_t len) {
    ssize_t sent = send(c->fd, bytes, len, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN) return 0;
        sent = 0;
    }
    if ((size_t)sent < len) {
        char *rest = malloc(len - sent);
        if (!rest) return 0;
        memcpy(rest, bytes + sent, len - sent);
        free(c->rest);
        c->rest = rest;
        c->rest_len = len - sent;
        watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
    } else if (c->rest) {
        free(c->rest);
        c->rest = NULL;
        watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    }
    return 1;
}

#ifdef LINES
static char *out;
static size_t out_cap;

static int answer(struct conn *c, size_t len) {
    size_t done = 0, filled = 0;
    if (out_cap < c->partial_len + len) {
        out_cap = 2 * (c->partial_len + len);
        if (!(out = realloc(out, out_cap))) die("realloc");
    }
    for (char *end; (end = memchr(in + done, '\n', len - done)); done = end + 1 - in) {
        if (c->partial_len) {
            memcpy(out, c->partial, c->partial_len);
            filled = c->partial_len;
            c->partial_len = 0;
        }
        memcpy(out + filled, in + done, end + 1 - in - done);
        filled += end + 1 - in - done;
    }
    if (done < len) {
        char *partial = realloc(c->partial, c->partial_len + len - done);
        if (!partial) return 0;
        memcpy(partial + c->partial_len, in + done, len - done);
        c->partial = partial;
        c->partial_len += len - done;
#ifdef LINE_MAX
        if (c->partial_len > LINE_MAX) return 0;
#endif
    } else {
        free(c->partial);
        c->partial = NULL;
    }
    return filled ? reply(c, out, filled) : 1;
}
#else
static int answer(struct conn *c, size_t len) { return reply(c, in, len); }
#endif

static void serve(struct conn *c, uint32_t events) {
    if (c->rest) {
        if (!(events & EPOLLOUT)) return hang_up(c);
        char *rest = c->rest;
        size_t len = c->rest_len;
        c->rest = NULL;
        int alive = reply(c, rest, len);
        free(rest);
        if (!alive) return hang_up(c);
        if (!c->rest) watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
        return;
    }
    ssize_t got = recv(c->fd, in, BUFFER, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0 || !answer(c, got)) hang_up(c);
}

static void take(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct conn *c = calloc(1, sizeof *c);
        if (!c) die("calloc");
        c->fd = fd;
        nodelay(fd);
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    }
}

static int listen_on(struct sockaddr_in *addr) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    socklen_t size = sizeof *addr;
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(listener, (void *)addr, size) < 0 || listen(listener, 65535) < 0) die("listen");
    getsockname(listener, (void *)addr, &size);
    return listener;
}

int main(int count, char **arguments) {
    prepare_process();
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = listen_on(&addr);
    for (int others = count > 1 ? atoi(arguments[1]) - 1 : 0; others > 0; others--) {
        if (fork()) continue;
        prepare_process();
        listener = listen_on(&addr);
        break;
    }
    /* Every process prints this: the caller waits for the first one, and the others follow at once. */
    printf("listening on 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);

    epoll = epoll_create1(0);
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    static struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr) serve(events[i].data.ptr, events[i].events);
            else take(listener);
        }
    }
}
