/* load.c - a closed-loop load generator for chat gateways: C connections, each with one call at a time, keep-alive.
 *
 *     cc -O2 -o load load.c
 *     ./load -p PORT [-c CONNECTIONS] [-t SECONDS] [-w WARM_UP_SECONDS] [-n MOST_CALLS] [-m MODEL] [-u PATH]
 *            [-H 'Name: value']... [-s] [-f] [-x SEED] [-k 'TEXT']
 *
 * -s  ask for a stream     -f  the same body every time (exact caches hit; else a counter in the message: they miss)
 * -x  hex seed of that counter, so that two runs never ask the same      -k  text the reply's head must hold
 *
 * Only 127.0.0.1 can be called. It stops after WARM_UP + SECONDS, or after MOST_CALLS, whichever comes first, and
 * gives calls on the way DRAIN seconds more. Calls that end in the window after the warm-up are counted.
 * A call is good if its status is 200 and the mock's answer is all there: its text and finish reason, or, for a stream,
 * at least 20 data lines, 18 words, a finish reason and [DONE]. One JSON line tells the rest; times are microseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reply.h"

enum { MAX_CONNECTIONS = 1024, MAX_SAMPLES = 1 << 21, DRAIN = 5, PROBLEM = 240 };

struct connection {
    int fd;
    bool asking, reused;
    uint64_t asked;
    struct reply reply;
};
struct samples {
    float *us;
    size_t n;
};

static struct {
    int port, connections;
    double seconds, warm_up;
    unsigned long most;
    const char *model, *path, *must_hold;
    char headers[4096];
    bool stream, fixed;
    unsigned seed;
} options = {.connections = 1, .seconds = 1, .most = ~0ul, .model = "mock", .path = "/v1/chat/completions", .seed = 1};

static struct connection *all;
static char request[16384], problem[PROBLEM];
static size_t request_len;
static char *counter; /* where in the request the counter's 16 hex digits are */
static unsigned long sent, good, bad, reconnects;
static struct samples whole_times, first_times;
static uint64_t window_start, window_end;
static int poller;

static void keep(struct samples *s, uint64_t nanos) {
    if (s->n < MAX_SAMPLES) s->us[s->n++] = (float)nanos / 1000;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(const struct samples *s, double q) {
    return s->n ? s->us[(size_t)(q * (double)(s->n - 1) + 0.5)] : 0;
}

static void write_request(void) {
    char body[4096];
    int n = snprintf(body, sizeof body,
                     "{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"Answer briefly and politely.\"},"
                     "{\"role\":\"user\",\"content\":\"What does an LLM gateway do? Two sentences, please. "
                     "Question number 0000000000000000.\"}],\"temperature\":0.2,\"max_tokens\":128%s}",
                     options.model, options.stream ? ",\"stream\":true" : "");
    request_len = (size_t)snprintf(request, sizeof request,
                                   "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                                   "%sContent-Length: %d\r\n\r\n%s",
                                   options.path, options.port, options.headers, n, body);
    if (n >= (int)sizeof body || request_len >= sizeof request) {
        fprintf(stderr, "load: the request is too long\n");
        exit(2);
    }
    counter = strstr(request, "0000000000000000");
}

static bool dial(struct connection *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    c->reused = false;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) {
        close(c->fd);
        c->fd = -1;
        return false;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
    return true;
}

static bool redial(struct connection *c) {
    close(c->fd);
    reconnects++;
    return dial(c);
}

static void ask(struct connection *c) {
    c->asking = false;
    if (c->fd < 0 || nanoseconds() >= window_end || sent >= options.most) return;
    if (!options.fixed) {
        char digits[17];
        snprintf(digits, sizeof digits, "%08x%08lx", options.seed, sent & 0xffffffff);
        memcpy(counter, digits, 16);
    }
    reply_reset(&c->reply);
    c->asked = nanoseconds();
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len &&
        (!redial(c) || send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len))
        return;
    c->asking = true;
    sent++;
}

/* Why this reply is not the mock's whole answer, or NULL. */
static const char *fault_of(const struct reply *r) {
    if (r->status != 200) return "status";
    if (options.must_hold && !strcasestr(r->head, options.must_hold)) return "head";
    if (!options.stream) {
        if (!strstr(r->body, "mock-answer: the reply")) return "content";
        return reply_count(r, "\"finish_reason\"") == 1 ? NULL : "finish_reason";
    }
    if (reply_count(r, "data: {") < 20) return "data lines";
    if (reply_count(r, " word") != 18) return "words";
    if (!strstr(r->body, "\"stop\"")) return "finish_reason";
    return strstr(r->body, "data: [DONE]") ? NULL : "[DONE]";
}

static void note(const struct reply *r, const char *fault) {
    if (problem[0]) return;
    int n = snprintf(problem, sizeof problem, "%s: status %d, body %.150s", fault, r->status, r->body);
    for (int i = 0; i < n && i < PROBLEM - 1; i++)
        if (problem[i] == '"' || problem[i] == '\\' || (unsigned char)problem[i] < 32) problem[i] = ' ';
}

static void judge(struct connection *c, bool broken) {
    const struct reply *r = &c->reply;
    const char *fault = broken ? "broken" : fault_of(r);
    uint64_t now = nanoseconds();
    if (now < window_start || now > window_end) return; /* a first miss before the hits is no fault */
    if (fault) {
        bad++;
        note(r, fault);
        return;
    }
    good++;
    keep(&whole_times, now - c->asked);
    keep(&first_times, r->first_body - c->asked);
}

static void hear(struct connection *c) {
    static char bytes[65536];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    enum reply_result result = REPLY_BROKEN;
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0) result = reply_feed(&c->reply, bytes, n);
    else if (c->reply.stage == UNTIL_CLOSE) result = REPLY_WHOLE;
    if (result == REPLY_MORE) return;
    if (!c->asking || (n <= 0 && c->reused && !c->reply.head_len)) {
        /* an idle connection was closed under us: ask again on a new one */
        if (c->asking) sent--;
    } else {
        judge(c, result == REPLY_BROKEN);
    }
    c->reused = true;
    if (n <= 0 || result == REPLY_BROKEN || c->reply.closes) redial(c);
    ask(c);
}

static void run(void) {
    uint64_t start = nanoseconds(), give_up;
    window_start = start + (uint64_t)(options.warm_up * 1e9);
    window_end = window_start + (uint64_t)(options.seconds * 1e9);
    give_up = window_end + DRAIN * 1000000000ull;
    for (int i = 0; i < options.connections; i++)
        if (dial(&all[i])) ask(&all[i]);
    while (nanoseconds() < give_up) {
        struct epoll_event ready[256];
        int asking = 0;
        for (int i = 0; i < options.connections; i++) asking += all[i].asking;
        if (!asking) break;
        int n = epoll_wait(poller, ready, 256, 100);
        for (int i = 0; i < n; i++) hear(ready[i].data.ptr);
    }
    if (nanoseconds() < window_end) window_end = nanoseconds(); /* MOST_CALLS came first */
    if (window_end < window_start) window_end = window_start;
    for (int i = 0; i < options.connections; i++)
        if (all[i].asking) bad++, note(&all[i].reply, "no whole reply in time");
}

static void report(void) {
    double seconds = (double)(window_end - window_start) / 1e9;
    qsort(whole_times.us, whole_times.n, sizeof(float), by_size);
    qsort(first_times.us, first_times.n, sizeof(float), by_size);
    printf("{\"sent\":%lu,\"good\":%lu,\"bad\":%lu,\"reconnects\":%lu,\"seconds\":%.3f,\"rps\":%.1f,\"p50_us\":%.1f,"
           "\"p90_us\":%.1f,\"p99_us\":%.1f,\"first_p50_us\":%.1f,\"first_p99_us\":%.1f,\"problem\":\"%s\"}\n",
           sent, good, bad, reconnects, seconds, seconds > 0 ? (double)good / seconds : 0, quantile(&whole_times, .5),
           quantile(&whole_times, .9), quantile(&whole_times, .99), quantile(&first_times, .5),
           quantile(&first_times, .99), problem);
}

static void usage(void) {
    fprintf(stderr, "usage: load -p PORT [options]; see the top of load.c\n");
    exit(2);
}

static void read_options(int argc, char **argv) {
    for (int o; (o = getopt(argc, argv, "p:c:t:w:n:m:u:H:sfx:k:")) != -1;) switch (o) {
        case 'p': options.port = atoi(optarg); break;
        case 'c': options.connections = atoi(optarg); break;
        case 't': options.seconds = atof(optarg); break;
        case 'w': options.warm_up = atof(optarg); break;
        case 'n': options.most = strtoul(optarg, NULL, 10); break;
        case 'm': options.model = optarg; break;
        case 'u': options.path = optarg; break;
        case 'H': {
            size_t have = strlen(options.headers);
            snprintf(options.headers + have, sizeof options.headers - have, "%s\r\n", optarg);
            break;
        }
        case 's': options.stream = true; break;
        case 'f': options.fixed = true; break;
        case 'x': options.seed = (unsigned)strtoul(optarg, NULL, 16); break;
        case 'k': options.must_hold = optarg; break;
        default: usage();
    }
    if (options.port < 1 || options.port > 65535 || options.connections < 1 || options.connections > MAX_CONNECTIONS ||
        options.seconds <= 0 || options.seconds > 600 || options.warm_up < 0 || options.warm_up > 60)
        usage();
}

int main(int argc, char **argv) {
    struct sched_param none = {0};
    read_options(argc, argv);
    write_request();
    /* The mock shares our core: a batch task does not interrupt it at every chunk it sends. */
    sched_setscheduler(0, SCHED_BATCH, &none);
    all = calloc((size_t)options.connections, sizeof *all);
    whole_times.us = malloc(sizeof(float) * MAX_SAMPLES);
    first_times.us = malloc(sizeof(float) * MAX_SAMPLES);
    poller = epoll_create1(0);
    run();
    report();
    return 0;
}
