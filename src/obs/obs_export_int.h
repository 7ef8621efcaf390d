/* Private to the obs room: the forms of an export, and the HTTP client. */
#pragma once
#include "core/core_buf.h"
#include "event/event_loop.h"
#include "obs/obs_span.h"
#include "os/os_socket.h"

struct export_form { /* how spans are written: a head, the spans back to back, a tail */
    const char *name, *content_type;
    const char *path; /* appended to the endpoint's path, or only taken when it has none */
    bool append;
    const char *between; /* spans */
    void (*head)(struct fp_buf *b, const char *service, const char *instance, unsigned spans_n);
    void (*span)(struct fp_buf *b, const struct fp_span *s);
    void (*tail)(struct fp_buf *b);
};
extern const struct export_form obs_export_otlp, obs_export_jaeger;

#define EXPORT_ADDRS 4
struct export_url {
    char host[256]; /* as in Host: with the port */
    char path[512];
    struct fp_addr addrs[EXPORT_ADDRS];
    unsigned addrs_n;
};
/* NULL, or what is wrong.  Asks the resolver, which may block. */
const char *obs_url_open(struct export_url *u, const char *url, const struct export_form *form);

/* One POST at a time.  Zero, then the first four are set by the owner. */
struct export_post {
    struct fp_loop *loop;
    void (*done)(int status, void *arg); /* of HTTP, or a negative error; not after a stop */
    void *arg;
    uint64_t timeout_ms;
    struct fp_io io; /* fd -1 while idle: set by the first start */
    struct fp_timer timer;
    struct fp_str request; /* owner's, whole: head and body */
    size_t sent, got;
    bool connected, busy;
    char answer[2048]; /* its head */
};
void obs_post_start(struct export_post *p, const struct fp_addr *to, struct fp_str request);
void obs_post_stop(struct export_post *p); /* no-op when idle */
