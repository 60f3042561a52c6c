/* mix.c - mixed calls for the soak: good, bad, cut, slow, streamed, cancelled, in proportions that never change.
 *
 *     cc -O2 -I ../gateway -o mix mix.c && ./mix -p PORT -n CALLS [-c CONNECTIONS] [-x SEED]
 *
 * Closed loop with keep-alive; only 127.0.0.1 can be called. The gateway must know two providers, `mock` (healthy) and
 * `bad` (scripted faults), both served by ../gateway/mock.c. Each reply is judged by its kind:
 *     ANSWER   200 and the mock's whole answer
 *     REFUSAL  a 4xx error
 *     FAILURE  an error status; or, once a stream has begun, an error event. Never a clean end
 *     NOTHING  the client leaves first
 * Prints one JSON line: per kind the calls sent, those judged right, and the first wrong reply.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reply.h"

enum { MAX_CONNECTIONS = 1024, MAX_REQUEST = 65536, PROBLEM = 400, PATIENCE = 90, REPEATS = 16, HUGE_HEADER = 40000 };
enum form { NEW_TEXT, REPEATED, BROKEN_JSON, WRONG_TYPE, NO_MESSAGES, HUGE_HEAD, NO_HTTP, HALF };
enum want { ANSWER, REFUSAL, FAILURE, NOTHING };
enum leave { STAY, AT_ONCE, AFTER_20_MS, AT_FIRST_CHUNK };

struct kind {
    const char *name;
    int per_mille;
    const char *model;
    bool stream;
    enum form form;
    enum want want;
    enum leave leave;
    unsigned long sent, right;
    char problem[PROBLEM];
};
static struct kind kinds[] = {
    {"plain", 400, "mock:mock", false, NEW_TEXT, ANSWER, STAY, 0, 0, ""},
    {"repeated", 100, "mock:mock", false, REPEATED, ANSWER, STAY, 0, 0, ""},
    {"streamed", 185, "mock:mock", true, NEW_TEXT, ANSWER, STAY, 0, 0, ""},
    {"repeated-streamed", 15, "mock:mock", true, REPEATED, ANSWER, STAY, 0, 0, ""},
    {"slow", 15, "mock:mock-40", false, NEW_TEXT, ANSWER, STAY, 0, 0, ""},
    {"slow-streamed", 15, "mock:mock-20-2", true, NEW_TEXT, ANSWER, STAY, 0, 0, ""},
    {"status-500", 25, "bad:mock-status-500", false, NEW_TEXT, FAILURE, STAY, 0, 0, ""},
    {"status-429", 10, "bad:mock-status-429", false, NEW_TEXT, FAILURE, STAY, 0, 0, ""},
    {"status-400", 10, "bad:mock-status-400", false, NEW_TEXT, FAILURE, STAY, 0, 0, ""},
    {"garbage", 15, "bad:mock-garbage", false, NEW_TEXT, FAILURE, STAY, 0, 0, ""},
    {"garbage-streamed", 15, "bad:mock-garbage", true, NEW_TEXT, FAILURE, STAY, 0, 0, ""},
    {"noise", 10, "bad:mock-noise", false, NEW_TEXT, FAILURE, STAY, 0, 0, ""},
    {"drop", 15, "bad:mock-drop", false, NEW_TEXT, FAILURE, STAY, 0, 0, ""},
    {"cut", 15, "bad:mock-cut", false, NEW_TEXT, FAILURE, STAY, 0, 0, ""},
    {"cut-streamed", 25, "bad:mock-cut", true, NEW_TEXT, FAILURE, STAY, 0, 0, ""},
    {"quiet-streamed", 15, "bad:mock-quiet", true, NEW_TEXT, FAILURE, STAY, 0, 0, ""},
    {"broken-json", 15, "mock:mock", false, BROKEN_JSON, REFUSAL, STAY, 0, 0, ""},
    {"wrong-type", 10, "mock:mock", false, WRONG_TYPE, REFUSAL, STAY, 0, 0, ""},
    {"no-messages", 10, "mock:mock", false, NO_MESSAGES, REFUSAL, STAY, 0, 0, ""},
    {"no-such-model", 10, "nobody:nothing", false, NEW_TEXT, REFUSAL, STAY, 0, 0, ""},
    {"huge-head", 5, "mock:mock", false, HUGE_HEAD, REFUSAL, STAY, 0, 0, ""},
    {"no-http", 5, "mock:mock", false, NO_HTTP, REFUSAL, STAY, 0, 0, ""},
    {"half-request", 10, "mock:mock", false, HALF, NOTHING, AT_ONCE, 0, 0, ""},
    {"left-at-once", 10, "mock:mock-40", false, NEW_TEXT, NOTHING, AT_ONCE, 0, 0, ""},
    {"left-waiting", 15, "mock:mock-hang", false, NEW_TEXT, NOTHING, AFTER_20_MS, 0, 0, ""},
    {"left-midway", 25, "mock:mock-5-20", true, NEW_TEXT, NOTHING, AT_FIRST_CHUNK, 0, 0, ""},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct connection {
    int fd;
    bool reused;
    uint64_t asked;
    struct kind *kind; /* NULL: nothing is asked */
    struct reply reply;
};

static int port, connections = 64, poller;
static unsigned long calls, sent, redials, dial_failures;
static uint64_t seed = 1, dice;
static struct connection *all;

static uint64_t roll(void) { /* xorshift64*: the same seed asks the same calls */
    dice ^= dice >> 12;
    dice ^= dice << 25;
    dice ^= dice >> 27;
    return dice * 2685821657736338717u;
}

static struct kind *pick(void) {
    int at = (int)((roll() >> 33) % 1000);
    for (int i = 0; i < KINDS; i++)
        if ((at -= kinds[i].per_mille) < 0) return &kinds[i];
    return &kinds[0];
}

static bool dial(struct connection *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->reused = false;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) {
        close(c->fd);
        c->fd = -1;
        dial_failures++;
        return false;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
    return true;
}

static void redial(struct connection *c) {
    if (c->fd >= 0) close(c->fd);
    redials++;
    dial(c);
}

static size_t write_body(char *body, size_t room, const struct kind *k) {
    uint64_t number = k->form == REPEATED ? roll() % REPEATS : sent;
    const char *stream = k->stream ? ",\"stream\":true" : "";
    int n;
    switch (k->form) {
    case BROKEN_JSON:
        n = snprintf(body, room, "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",", k->model);
        break;
    case WRONG_TYPE:
        n = snprintf(body, room, "{\"model\":\"%s\",\"messages\":\"hello\"}", k->model);
        break;
    case NO_MESSAGES:
        n = snprintf(body, room, "{\"model\":\"%s\",\"messages\":[]}", k->model);
        break;
    default:
        n = snprintf(body, room,
                     "{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"Answer briefly.\"},"
                     "{\"role\":\"user\",\"content\":\"What lasts? Question %lx of %s %lx.\"}]%s}",
                     k->model, (unsigned long)number, k->form == REPEATED ? "few" : "run", (unsigned long)seed, stream);
    }
    return (size_t)n;
}

static size_t write_request(char *request, const struct kind *k) {
    char body[1024];
    size_t n = write_body(body, sizeof body, k), at;
    if (k->form == NO_HTTP) return (size_t)sprintf(request, "\x16\x03\x01 no HTTP at all\r\n\r\n");
    at = (size_t)sprintf(request, "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", port);
    if (k->form == HUGE_HEAD) {
        at += (size_t)sprintf(request + at, "x-huge: ");
        memset(request + at, 'h', HUGE_HEADER);
        at += HUGE_HEADER;
        at += (size_t)sprintf(request + at, "\r\n");
    }
    at += (size_t)sprintf(request + at, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", n);
    memcpy(request + at, body, n);
    at += n;
    return k->form == HALF ? at - n / 2 : at;
}

static void ask(struct connection *c) {
    static char request[MAX_REQUEST];
    for (;;) {
        c->kind = NULL;
        if (sent >= calls) return;
        if (c->fd < 0 && !dial(c)) return; /* tried again at the next round */
        struct kind *k = pick();
        size_t n = write_request(request, k);
        reply_reset(&c->reply);
        c->asked = nanoseconds();
        if (send(c->fd, request, n, MSG_NOSIGNAL) != (ssize_t)n) {
            redial(c);
            if (c->fd < 0 || send(c->fd, request, n, MSG_NOSIGNAL) != (ssize_t)n) return;
        }
        sent++;
        k->sent++;
        c->kind = k;
        if (k->leave != AT_ONCE) return;
        k->right++;
        redial(c);
    }
}

/* A repeated call may be answered from the other shape's stored answer: either of the mock's two texts will do. */
static bool is_answer(const struct kind *k, const struct reply *r) {
    bool text = strstr(r->body, "mock-answer: the reply") != NULL, words = reply_count(r, " word") == 18;
    if (k->form != REPEATED && text == k->stream) return false;
    if (r->status != 200 || !(text || words)) return false;
    if (!k->stream) return reply_count(r, "\"finish_reason\"") == 1;
    return strstr(r->body, "\"stop\"") && strstr(r->body, "data: [DONE]");
}

static bool is_right(const struct kind *k, const struct reply *r, bool broken) {
    bool says_error = strstr(r->body, "\"error\"") != NULL;
    if (k->want == NOTHING) return true;
    if (broken) return k->form == HUGE_HEAD; /* closed while we were still sending the head */
    if (k->want == ANSWER) return is_answer(k, r);
    if (k->want == REFUSAL) return r->status >= 400 && r->status < 500 && (says_error || k->form == NO_HTTP);
    return says_error && (r->status >= 400 || k->stream) && !is_answer(k, r);
}

static void judge(struct connection *c, bool broken) {
    struct kind *k = c->kind;
    if (is_right(k, &c->reply, broken)) {
        k->right++;
        return;
    }
    if (k->problem[0]) return;
    int from = c->reply.body_len > 250 ? c->reply.body_len - 250 : 0;
    int n = snprintf(k->problem, PROBLEM, "%sstatus %d, body ends: %s", broken ? "broken: " : "", c->reply.status,
                     c->reply.body + from);
    for (int i = 0; i < n && i < PROBLEM - 1; i++)
        if (k->problem[i] == '"' || k->problem[i] == '\\' || (unsigned char)k->problem[i] < 32) k->problem[i] = ' ';
}

static void hear(struct connection *c) {
    static char bytes[65536];
    if (c->fd < 0) return;
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    enum reply_result result = REPLY_BROKEN;
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0) result = reply_feed(&c->reply, bytes, n);
    else if (c->kind && c->reply.stage == UNTIL_CLOSE) result = REPLY_WHOLE;
    if (c->kind && c->kind->leave == AT_FIRST_CHUNK && c->reply.body_len) {
        c->kind->right++;
        redial(c);
        ask(c);
        return;
    }
    if (result == REPLY_MORE) return;
    if (c->kind && n <= 0 && c->reused && !c->reply.head_len && c->kind->form != HUGE_HEAD) {
        c->kind->sent--; /* an idle connection was closed under us: not asked */
        sent--;
    } else if (c->kind) {
        judge(c, result == REPLY_BROKEN);
    }
    c->reused = true;
    if (n <= 0 || result == REPLY_BROKEN || c->reply.closes) redial(c);
    ask(c);
}

/* Leave those that are left waiting; give up on what never comes; ask again where dialling failed. */
static void look_around(void) {
    uint64_t now = nanoseconds();
    for (int i = 0; i < connections; i++) {
        struct connection *c = &all[i];
        if (!c->kind) {
            ask(c);
        } else if (c->kind->leave == AFTER_20_MS && now - c->asked > 20000000u) {
            c->kind->right++;
            redial(c);
            ask(c);
        } else if (now - c->asked > PATIENCE * 1000000000ull) {
            judge(c, true);
            redial(c);
            ask(c);
        }
    }
}

static void run(void) {
    uint64_t looked = 0;
    for (int i = 0; i < connections; i++) all[i].fd = -1;
    for (;;) {
        struct epoll_event ready[256];
        if (nanoseconds() - looked > 5000000u) {
            int asking = 0;
            looked = nanoseconds();
            look_around();
            for (int i = 0; i < connections; i++) asking += all[i].kind != NULL;
            if (!asking && sent >= calls) return;
            if (dial_failures > 1000) return;
        }
        int n = epoll_wait(poller, ready, 256, 5);
        for (int i = 0; i < n; i++) hear(ready[i].data.ptr);
    }
}

int main(int argc, char **argv) {
    for (int o; (o = getopt(argc, argv, "p:c:n:x:")) != -1;) switch (o) {
        case 'p': port = atoi(optarg); break;
        case 'c': connections = atoi(optarg); break;
        case 'n': calls = strtoul(optarg, NULL, 10); break;
        case 'x': seed = strtoul(optarg, NULL, 16); break;
        default: port = 0;
    }
    if (port < 1 || port > 65535 || !calls || connections < 1 || connections > MAX_CONNECTIONS) {
        fprintf(stderr, "usage: mix -p PORT -n CALLS [-c CONNECTIONS] [-x HEX_SEED]\n");
        return 2;
    }
    dice = seed * 0x9e3779b97f4a7c15u + 1;
    all = calloc((size_t)connections, sizeof *all);
    poller = epoll_create1(0);
    uint64_t start = nanoseconds();
    run();
    printf("{\"sent\":%lu,\"seconds\":%.2f,\"redials\":%lu,\"dial_failures\":%lu,\"kinds\":{", sent,
           (double)(nanoseconds() - start) / 1e9, redials, dial_failures);
    for (int i = 0; i < KINDS; i++)
        printf("%s\"%s\":{\"sent\":%lu,\"right\":%lu,\"problem\":\"%s\"}", i ? "," : "", kinds[i].name, kinds[i].sent,
               kinds[i].right, kinds[i].problem);
    printf("}}\n");
    return 0;
}
