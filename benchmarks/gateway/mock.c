/* mock.c - an OpenAI-compatible chat upstream that costs next to nothing: one thread, epoll, loopback only.
 *
 *     cc -O2 -o mock mock.c && ./mock 9100 [PORT ...]
 *
 * POST (any path): a chat completion. Without "stream": true one JSON reply of about 560 bytes, with usage; with it
 * SSE of 20 chunks (role, 18 words, finish reason), a usage chunk if "include_usage": true is asked, and [DONE], each
 * in its own HTTP chunk and its own send(), as a provider sends token by token.
 * GET /calls: {"chat": calls so far, "faults": of these scripted to fail, "open": connections now}. Any other GET: a
 * list of models.
 *
 * The model's name says how to behave:
 *     mock               at once
 *     mock-L, mock-L-G   L ms before the first byte, G ms between chunks (mock-60-5)
 *     mock-slow          the same as mock-40-10
 *     mock-cut           closes in the middle of the answer
 *     mock-quiet         a stream that ends without finish reason and [DONE]; without stream as mock-cut
 *     mock-garbage       200, but the body (or the third chunk) is no JSON
 *     mock-noise         bytes that are no HTTP
 *     mock-drop          closes without a byte
 *     mock-hang          never answers
 *     mock-status-N      HTTP status N with an OpenAI-shaped error
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { CHUNKS = 20, MAX_FD = 16384, MAX_REQUEST = 1 << 20, MAX_PORTS = 8, USAGE = CHUNKS, DONE = CHUNKS + 1 };
enum fault { NONE, CUT, QUIET, GARBAGE, NOISE, DROP, HANG, STATUS };

struct plan {
    enum fault fault;
    int status, wait_ms, gap_ms;
    bool stream, usage;
};
struct client {
    int fd, step;
    bool busy;
    uint64_t due; /* nanoseconds; 0: not waiting */
    struct plan plan;
    char *request;
    size_t have, room;
};
struct text {
    char bytes[1024];
    size_t len;
};

static struct client *clients[MAX_FD];
static struct text whole, models, stream_head, frames[CHUNKS + 2], bad_frame;
static int poller, timer, highest, open_clients;
static uint64_t next_due;
static unsigned long chats, faults;

static uint64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- what is said, made once at the start ---- */

static void json_reply(struct text *t, const char *status, const char *body) {
    t->len = (size_t)snprintf(t->bytes, sizeof t->bytes,
                              "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status,
                              strlen(body), body);
}

static void frame(struct text *t, const char *data, const char *end) {
    t->len = (size_t)snprintf(t->bytes, sizeof t->bytes, "%zx\r\ndata: %s\n\n\r\n%s", strlen(data) + 8, data, end);
}

static void chunk(struct text *t, const char *choices, const char *rest) {
    char data[512];
    snprintf(data, sizeof data,
             "{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,"
             "\"model\":\"mock\",\"choices\":[%s]%s}",
             choices, rest);
    frame(t, data, "");
}

static void write_texts(void) {
    json_reply(&whole, "200 OK",
               "{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion\",\"created\":1750000000,"
               "\"model\":\"mock\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
               "\"mock-answer: the reply is as long as a short real one, since a gateway has to read, check, store and "
               "pass on every byte of it. It names no model, tells no story and ends, like most answers of this kind, "
               "a little later than it had to.\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":"
               "{\"prompt_tokens\":42,\"completion_tokens\":48,\"total_tokens\":90},\"system_fingerprint\":\"fp_mock\"}");
    json_reply(&models, "200 OK",
               "{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\",\"created\":1750000000,"
               "\"owned_by\":\"mock\"}]}");
    stream_head.len = (size_t)snprintf(stream_head.bytes, sizeof stream_head.bytes,
                                       "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                                       "Transfer-Encoding: chunked\r\n\r\n");
    chunk(&frames[0], "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}", "");
    for (int i = 1; i < CHUNKS - 1; i++) {
        char choice[96];
        snprintf(choice, sizeof choice, "{\"index\":0,\"delta\":{\"content\":\" word%02d\"},\"finish_reason\":null}", i);
        chunk(&frames[i], choice, "");
    }
    chunk(&frames[CHUNKS - 1], "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}", "");
    chunk(&frames[USAGE], "", ",\"usage\":{\"prompt_tokens\":42,\"completion_tokens\":18,\"total_tokens\":60}");
    frame(&frames[DONE], "[DONE]", "0\r\n\r\n");
    frame(&bad_frame, "{\"id\":\"chatcmpl-0123", "");
}

/* ---- clients ---- */

static void hang_up(struct client *c) {
    clients[c->fd] = NULL;
    close(c->fd);
    free(c->request);
    free(c);
    open_clients--;
}

/* Replies fit an empty socket buffer; a short write means a reader that has gone or is far too slow. */
static bool say(struct client *c, const char *bytes, size_t n) {
    return send(c->fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool say_text(struct client *c, const struct text *t) { return say(c, t->bytes, t->len); }

static void wake_at(uint64_t due) {
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)}};
    next_due = due;
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void wait_for(struct client *c, int ms) {
    c->due = nanoseconds() + (uint64_t)ms * 1000000u;
    if (!next_due || c->due < next_due) wake_at(c->due);
}

static bool say_status(struct client *c) {
    struct text t;
    char status[32], body[200];
    snprintf(status, sizeof status, "%d Scripted", c->plan.status);
    snprintf(body, sizeof body, "{\"error\":{\"message\":\"scripted status %d\",\"type\":\"mock_error\",\"code\":null}}",
             c->plan.status);
    json_reply(&t, status, body);
    return say_text(c, &t);
}

/* A whole reply, or a fault that needs no stream. False: the connection ends here. */
static bool answer_whole(struct client *c) {
    c->busy = false;
    switch (c->plan.fault) {
    case CUT:
    case QUIET:
        say(c, whole.bytes, whole.len / 2);
        return false;
    case GARBAGE: {
        struct text t;
        json_reply(&t, "200 OK", "<html><body>It works!</body></html>");
        return say_text(c, &t);
    }
    default:
        return say_text(c, &whole);
    }
}

/* Send chunks until the next gap. False: the connection ends here. */
static bool answer_stream(struct client *c) {
    while (c->step <= DONE) {
        int i = c->step++;
        if (i == USAGE && !c->plan.usage) continue;
        if (c->plan.fault == CUT && i == 5) return false;
        if (c->plan.fault == QUIET && i == CHUNKS - 1) {
            c->busy = false;
            return say(c, "0\r\n\r\n", 5);
        }
        const struct text *t = c->plan.fault == GARBAGE && i == 2 ? &bad_frame : &frames[i];
        if (i == 0) {
            char first[2048];
            memcpy(first, stream_head.bytes, stream_head.len);
            memcpy(first + stream_head.len, t->bytes, t->len);
            if (!say(c, first, stream_head.len + t->len)) return false;
        } else if (!say_text(c, t)) {
            return false;
        }
        if (c->plan.gap_ms && i < DONE) {
            wait_for(c, c->plan.gap_ms);
            return true;
        }
    }
    c->busy = false;
    return true;
}

static bool answer(struct client *c) {
    static const char noise[] = "\x16\x03\x01 this is no HTTP\r\n\r\n";
    c->due = 0;
    switch (c->plan.fault) {
    case HANG:
        return true; /* busy until the other side gives up */
    case DROP:
        return false;
    case NOISE:
        say(c, noise, sizeof noise - 1);
        return false;
    case STATUS:
        c->busy = false;
        return say_status(c);
    default:
        return c->plan.stream ? answer_stream(c) : answer_whole(c);
    }
}

/* ---- requests ---- */

/* The value after "key": in a JSON text, or NULL. Good for the generators' own bodies, not for any JSON. */
static const char *value_of(const char *json, size_t n, const char *key) {
    const char *p = memmem(json, n, key, strlen(key));
    if (!p) return NULL;
    p += strlen(key);
    while (p < json + n && (*p == ' ' || *p == ':' || *p == '\n')) p++;
    return p < json + n ? p : NULL;
}

static bool is_true(const char *json, size_t n, const char *key) {
    const char *p = value_of(json, n, key);
    return p && !strncmp(p, "true", 4);
}

static struct plan plan_for(const char *json, size_t n) {
    static const struct { const char *word; enum fault fault; } words[] = {
        {"cut", CUT}, {"quiet", QUIET}, {"garbage", GARBAGE}, {"noise", NOISE}, {"drop", DROP}, {"hang", HANG},
    };
    struct plan plan = {.stream = is_true(json, n, "\"stream\""), .usage = is_true(json, n, "\"include_usage\"")};
    const char *name = value_of(json, n, "\"model\"");
    if (!name || strncmp(name, "\"mock-", 6)) return plan;
    name += 6;
    if (sscanf(name, "status-%d", &plan.status) == 1) plan.fault = STATUS;
    else if (!strncmp(name, "slow", 4)) plan.wait_ms = 40, plan.gap_ms = 10;
    else if (sscanf(name, "%d-%d", &plan.wait_ms, &plan.gap_ms) < 1)
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (!strncmp(name, words[i].word, strlen(words[i].word))) plan.fault = words[i].fault;
    return plan;
}

/* Undo chunked coding in place. Returns the bytes used, 0 while incomplete; *n is the body's length. */
static size_t unchunk(char *body, size_t have, size_t *n) {
    for (int copy = 0; copy < 2; copy++) { /* first only look: an incomplete body must stay as it is */
        size_t at = 0;
        *n = 0;
        for (;;) {
            char *line_end = memmem(body + at, have - at, "\r\n", 2);
            if (!line_end) return 0;
            size_t size = strtoul(body + at, NULL, 16), start = (size_t)(line_end + 2 - body);
            if (size > MAX_REQUEST || start + size + 2 > have) return 0;
            if (copy) memmove(body + *n, body + start, size);
            *n += size;
            at = start + size + 2;
            if (!size) break;
        }
        if (copy) return at;
    }
    return 0;
}

/* Find one whole request. Returns its length, 0 while incomplete. */
static size_t whole_request(struct client *c, char **body, size_t *n) {
    char *head_end = memmem(c->request, c->have, "\r\n\r\n", 4);
    if (!head_end) return 0;
    size_t length = 0, head = (size_t)(head_end + 4 - c->request);
    bool chunked = false;
    for (char *line = c->request; line < head_end;) {
        char *end = memmem(line, (size_t)(head_end + 2 - line), "\r\n", 2);
        if (!strncasecmp(line, "content-length:", 15)) length = strtoul(line + 15, NULL, 10);
        if (!strncasecmp(line, "transfer-encoding:", 18)) chunked = true;
        line = end + 2;
    }
    *body = c->request + head;
    if (chunked) {
        size_t used = unchunk(*body, c->have - head, n);
        return used ? head + used : 0;
    }
    *n = length;
    return c->have < head + length ? 0 : head + length;
}

static bool say_calls(struct client *c) {
    struct text t;
    char body[80];
    snprintf(body, sizeof body, "{\"chat\":%lu,\"faults\":%lu,\"open\":%d}", chats, faults, open_clients);
    json_reply(&t, "200 OK", body);
    return say_text(c, &t);
}

/* Answer every whole request that is waiting. False: the connection ends here. */
static bool serve(struct client *c) {
    while (c->have && !c->busy) {
        char *body;
        size_t n, used = whole_request(c, &body, &n);
        bool alive = true;
        if (!used) return true;
        if (!strncmp(c->request, "GET /calls ", 11)) {
            alive = say_calls(c);
        } else if (!strncmp(c->request, "GET ", 4)) {
            alive = say_text(c, &models);
        } else {
            chats++;
            c->busy = true;
            c->step = 0;
            c->plan = plan_for(body, n);
            faults += c->plan.fault != NONE;
        }
        memmove(c->request, c->request + used, c->have - used);
        c->have -= used;
        if (c->busy && c->plan.wait_ms) wait_for(c, c->plan.wait_ms);
        else if (c->busy) alive = answer(c);
        if (!alive) return false;
    }
    return true;
}

static void read_from(struct client *c) {
    if (c->have == c->room) {
        if (c->room >= MAX_REQUEST) {
            hang_up(c);
            return;
        }
        c->request = realloc(c->request, c->room *= 2);
    }
    ssize_t n = recv(c->fd, c->request + c->have, c->room - c->have, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0) c->have += (size_t)n;
    if (n <= 0 || !serve(c)) hang_up(c);
}

static void wake(void) {
    uint64_t ticks, now = nanoseconds(), earliest = 0;
    if (read(timer, &ticks, sizeof ticks) < 0) return;
    next_due = 0;
    for (int fd = 0; fd <= highest; fd++) {
        struct client *c = clients[fd];
        if (!c || !c->due) continue;
        if (c->due <= now && !(answer(c) && serve(c))) {
            hang_up(c);
            continue;
        }
        if (c->due && (!earliest || c->due < earliest)) earliest = c->due;
    }
    if (earliest) wake_at(earliest);
}

static void watch(int fd) {
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
}

static void welcome(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        int one = 1;
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct client *c = calloc(1, sizeof *c);
        *c = (struct client){.fd = fd, .room = 4096, .request = malloc(4096)};
        clients[fd] = c;
        open_clients++;
        if (fd > highest) highest = fd;
        watch(fd);
    }
}

static int listen_on(int port) {
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (struct sockaddr *)&at, sizeof at) || listen(s, 4096)) {
        perror("mock: listen");
        exit(1);
    }
    watch(s);
    return s;
}

int main(int argc, char **argv) {
    int listeners[MAX_PORTS], count = 0;
    if (argc < 2 || argc > MAX_PORTS + 1) {
        fprintf(stderr, "usage: mock PORT [PORT ...]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    write_texts();
    poller = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(timer);
    for (int i = 1; i < argc; i++) listeners[count++] = listen_on(atoi(argv[i]));
    for (;;) {
        struct epoll_event ready[256];
        int n = epoll_wait(poller, ready, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd, known = -1;
            for (int k = 0; k < count; k++)
                if (listeners[k] == fd) known = fd;
            if (fd == timer) wake();
            else if (known >= 0) welcome(known);
            else if (clients[fd]) read_from(clients[fd]);
        }
    }
}
