/* A chat server that is a loop over send: what fan-out costs at the least.
 *   NICK name   joins, and is answered by OK
 *   SAY text    goes to all other members as it is, and is answered by OK
 *   others      are answered by OK
 * One thread, level-triggered epoll. The lines of one read go out together: one send for each member. What
 * a socket does not take waits in a block of its own, without a bound. */
#include "common.h"
#include <stdbool.h>

#define BUFFER 65536

struct conn {
    int fd;
    size_t member; /* its place in `members`, from 1; 0 outside */
    char *rest;    /* bytes that the socket did not take */
    size_t rest_len;
    char *partial; /* a line whose end has not come yet */
    size_t partial_len;
    bool gone;
};

static struct conn **members;
static size_t count, room;
static struct conn **gone; /* hung up within this turn, freed after it */
static size_t gone_count, gone_room;
static int epoll;

static void *grow(void *block, size_t *cap, size_t need, size_t each) {
    if (need <= *cap) return block;
    *cap = 2 * need;
    if (!(block = realloc(block, *cap * each))) die("realloc");
    return block;
}

/* A later event of the same turn may still point to the connection. */
static void hang_up(struct conn *c) {
    if (c->gone) return;
    c->gone = true;
    close(c->fd);
    if (c->member) {
        members[c->member - 1] = members[--count];
        members[c->member - 1]->member = c->member;
    }
    gone = grow(gone, &gone_room, gone_count + 1, sizeof *gone);
    gone[gone_count++] = c;
}

/* Returns false when the connection must be hung up. */
static bool give(struct conn *c, const char *bytes, size_t len) {
    size_t sent = 0;
    if (!c->rest_len) {
        ssize_t taken = send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (taken < 0 && errno != EAGAIN) return false;
        sent = taken < 0 ? 0 : (size_t)taken;
        if (sent == len) return true;
        watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLOUT, c);
    }
    char *rest = realloc(c->rest, c->rest_len + len - sent);
    if (!rest) return false;
    memcpy(rest + c->rest_len, bytes + sent, len - sent);
    c->rest = rest;
    c->rest_len += len - sent;
    return true;
}

static bool give_rest(struct conn *c) {
    ssize_t sent = send(c->fd, c->rest, c->rest_len, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    c->rest_len -= sent;
    memmove(c->rest, c->rest + sent, c->rest_len);
    if (!c->rest_len) {
        free(c->rest);
        c->rest = NULL;
        watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    }
    return true;
}

static void join(struct conn *c) {
    if (c->member) return;
    members = grow(members, &room, count + 1, sizeof *members);
    members[count++] = c;
    c->member = count;
}

/* Serves the whole lines of `bytes`; returns their length. */
static size_t serve(struct conn *c, const char *bytes, size_t len) {
    static char said[2 * BUFFER], replies[2 * BUFFER];
    size_t done = 0, said_len = 0, replies_len = 0;
    for (const char *end; (end = memchr(bytes + done, '\n', len - done));) {
        size_t line = (size_t)(end + 1 - (bytes + done));
        if (line > 4 && !memcmp(bytes + done, "SAY ", 4)) {
            memcpy(said + said_len, bytes + done, line);
            said_len += line;
        } else if (line > 5 && !memcmp(bytes + done, "NICK ", 5)) {
            join(c);
        }
        memcpy(replies + replies_len, "OK\n", 3);
        replies_len += 3;
        done += line;
        /* Short lines have longer replies. */
        if (replies_len + 3 > sizeof replies) break;
    }
    for (size_t at = count; said_len && at-- > 0;) {
        struct conn *member = members[at];
        if (member != c && !give(member, said, said_len)) hang_up(member);
    }
    if (replies_len && !c->gone && !give(c, replies, replies_len)) hang_up(c);
    return done;
}

static void readable(struct conn *c) {
    static char in[2 * BUFFER];
    if (c->partial_len) memcpy(in, c->partial, c->partial_len);
    ssize_t got = recv(c->fd, in + c->partial_len, BUFFER, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return hang_up(c);
    size_t len = c->partial_len + (size_t)got, done = 0, served;
    do done += served = serve(c, in + done, len - done);
    while (served && !c->gone);
    free(c->partial);
    c->partial = NULL;
    c->partial_len = len - done;
    if (c->gone || !c->partial_len) return;
    /* A line longer than any that a member sends. */
    if (c->partial_len > BUFFER || !(c->partial = malloc(c->partial_len))) {
        c->partial_len = 0;
        return hang_up(c);
    }
    memcpy(c->partial, in + done, c->partial_len);
}

int main(void) {
    prepare_process();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    if (listener < 0 || bind(listener, (void *)&addr, len) < 0 || listen(listener, 65535) < 0)
        die("listen");
    getsockname(listener, (void *)&addr, &len);
    if ((epoll = epoll_create1(0)) < 0) die("epoll_create1");
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    printf("listening on 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    for (struct epoll_event events[EVENTS];;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) {
                int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0 || !(c = calloc(1, sizeof *c))) continue;
                nodelay(fd);
                c->fd = fd;
                watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, c);
                continue;
            }
            if (!c->gone && events[i].events & EPOLLOUT && c->rest_len && !give_rest(c)) hang_up(c);
            if (!c->gone && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
        }
        while (gone_count) {
            struct conn *c = gone[--gone_count];
            free(c->rest);
            free(c->partial);
            free(c);
        }
    }
}
