/* reply.h - an HTTP/1.1 reply, parsed as its bytes arrive. Shared by load.c and ../soak/mix.c.
 *
 * The decoded body is kept whole (up to REPLY_BODY bytes), so that a reply is judged once, at its end.
 */
#ifndef REPLY_H
#define REPLY_H
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define REPLY_HEAD 16384
#define REPLY_BODY 65536
#define REPLY_LINE 32

enum reply_stage { IN_HEAD, IN_SIZED_BODY, IN_CHUNK_SIZE, IN_CHUNK, AFTER_CHUNK, IN_TRAILER, UNTIL_CLOSE };
enum reply_result { REPLY_BROKEN = -1, REPLY_MORE = 0, REPLY_WHOLE = 1 };

struct reply {
    enum reply_stage stage;
    int status;
    bool closes;         /* the server closes after this reply */
    long left;           /* bytes still to come of the sized body or of the current chunk */
    int head_len, body_len, line_len;
    uint64_t first_body; /* when the first body byte came, 0 before */
    char line[REPLY_LINE];
    char head[REPLY_HEAD];
    char body[REPLY_BODY + 1];
};

static inline uint64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void reply_reset(struct reply *r) {
    r->stage = IN_HEAD;
    r->status = 0;
    r->closes = false;
    r->left = 0;
    r->head_len = r->body_len = r->line_len = 0;
    r->first_body = 0;
    r->head[0] = r->body[0] = 0;
}

/* The value of a header, or NULL. The head is NUL-terminated text. */
static inline const char *reply_header(const struct reply *r, const char *name) {
    size_t n = strlen(name);
    for (const char *line = strstr(r->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, n) && line[n] == ':') {
            line += n + 1;
            while (*line == ' ' || *line == '\t') line++;
            return line;
        }
    }
    return NULL;
}

static inline enum reply_result reply_framing(struct reply *r) {
    const char *length = reply_header(r, "content-length"), *coding = reply_header(r, "transfer-encoding");
    const char *connection = reply_header(r, "connection");
    if (strncmp(r->head, "HTTP/1.", 7)) return REPLY_BROKEN;
    r->status = atoi(r->head + 9);
    r->closes = connection && !strncasecmp(connection, "close", 5);
    if (coding && !strncasecmp(coding, "chunked", 7)) {
        r->stage = IN_CHUNK_SIZE;
    } else if (length) {
        r->left = atol(length);
        r->stage = IN_SIZED_BODY;
        if (!r->left) return REPLY_WHOLE;
    } else if (r->status == 204 || r->status == 304) {
        return REPLY_WHOLE;
    } else {
        r->closes = true;
        r->stage = UNTIL_CLOSE;
    }
    return REPLY_MORE;
}

static inline void reply_keep(struct reply *r, const char *p, long n) {
    if (!r->first_body) r->first_body = nanoseconds();
    long room = REPLY_BODY - r->body_len;
    if (n > room) n = room;
    memcpy(r->body + r->body_len, p, (size_t)n);
    r->body_len += (int)n;
    r->body[r->body_len] = 0;
}

/* Take head bytes; returns how many were used, or -1. */
static inline long reply_head(struct reply *r, const char *p, long n, enum reply_result *result) {
    long room = REPLY_HEAD - 1 - r->head_len, take = n < room ? n : room, before = r->head_len;
    memcpy(r->head + before, p, (size_t)take);
    r->head_len += (int)take;
    char *end = memmem(r->head, (size_t)r->head_len, "\r\n\r\n", 4);
    if (!end) {
        r->head[r->head_len] = 0;
        *result = take < n ? REPLY_BROKEN : REPLY_MORE;
        return take;
    }
    end[2] = 0; /* keep the last line's own CRLF, so that every header ends with one */
    *result = reply_framing(r);
    return end + 4 - r->head - before;
}

/* One whole line of chunked framing is in r->line. */
static inline enum reply_result reply_line(struct reply *r) {
    bool blank = r->line_len == 0;
    r->line[r->line_len] = 0;
    r->line_len = 0;
    if (r->stage == AFTER_CHUNK) {
        r->stage = IN_CHUNK_SIZE;
        return blank ? REPLY_MORE : REPLY_BROKEN;
    }
    if (r->stage == IN_TRAILER) return blank ? REPLY_WHOLE : REPLY_MORE;
    char *end;
    r->left = strtol(r->line, &end, 16);
    if (end == r->line || r->left < 0) return REPLY_BROKEN;
    r->stage = r->left ? IN_CHUNK : IN_TRAILER;
    return REPLY_MORE;
}

static inline enum reply_result reply_feed(struct reply *r, const char *p, long n) {
    enum reply_result result = REPLY_MORE;
    while (n > 0 && result == REPLY_MORE) {
        long used = 1;
        if (r->stage == IN_HEAD) {
            used = reply_head(r, p, n, &result);
        } else if (r->stage == UNTIL_CLOSE) {
            reply_keep(r, p, used = n);
        } else if (r->stage == IN_SIZED_BODY || r->stage == IN_CHUNK) {
            used = n < r->left ? n : r->left;
            reply_keep(r, p, used);
            r->left -= used;
            if (!r->left && r->stage == IN_SIZED_BODY) result = REPLY_WHOLE;
            else if (!r->left) r->stage = AFTER_CHUNK;
        } else if (*p == '\n') {
            result = reply_line(r);
        } else if (*p != '\r' && r->line_len < REPLY_LINE - 1) {
            r->line[r->line_len++] = *p;
        }
        p += used;
        n -= used;
    }
    return result;
}

static inline int reply_count(const struct reply *r, const char *needle) {
    int found = 0;
    for (const char *p = r->body; (p = strstr(p, needle)); p += strlen(needle)) found++;
    return found;
}
#endif
