/*
 * gRPC over http_stream.h: message framing, method table, status and trailers (rules T-1 … T-12).
 * Knows no message; services register methods.
 */
#pragma once
#include "http/http_stream.h"

enum fp_grpc_status {
    FP_GRPC_OK = 0,
    FP_GRPC_CANCELLED = 1,
    FP_GRPC_UNKNOWN = 2,
    FP_GRPC_INVALID_ARGUMENT = 3,
    FP_GRPC_NOT_FOUND = 5,
    FP_GRPC_PERMISSION_DENIED = 7,
    FP_GRPC_RESOURCE_EXHAUSTED = 8,
    FP_GRPC_UNIMPLEMENTED = 12,
    FP_GRPC_INTERNAL = 13,
    FP_GRPC_UNAVAILABLE = 14,
    FP_GRPC_UNAUTHENTICATED = 16,
};

struct fp_grpc_server;
struct fp_grpc_call; /* valid until on_close returned */

struct fp_grpc_method {
    const char *path; /* "/grpc.health.v1.Health/Check" */
    /* Returns the call's user pointer; may finish the call at once. */
    void *(*on_open)(struct fp_grpc_call *call, void *arg);
    void (*on_message)(struct fp_grpc_call *call, void *user, struct fp_str message); /* borrowed */
    void (*on_half_close)(struct fp_grpc_call *call, void *user);
    void (*on_drained)(struct fp_grpc_call *call, void *user); /* may be NULL */
    void (*on_drain)(struct fp_grpc_call *call,
                     void *user); /* may be NULL: the call ends UNAVAILABLE */
    void (*on_close)(struct fp_grpc_call *call, void *user);
    void *arg;
};

struct fp_grpc_server *fp_grpc_server_new(
    size_t max_request_bytes /* RESOURCE_EXHAUSTED beyond, T-8 */);
void fp_grpc_server_free(struct fp_grpc_server **s);
void fp_grpc_server_add(struct fp_grpc_server *s,
                        const struct fp_grpc_method *m); /* m lives as long as s */
const struct fp_http_stream_handlers *fp_grpc_server_handlers(struct fp_grpc_server *s);
/* Services registered, for reflection: "envoy.service.discovery.v3.AggregatedDiscoveryService" …;
 * false at the end */
bool fp_grpc_server_service_at(const struct fp_grpc_server *s, size_t i, struct fp_str *name);

struct fp_http_stream *fp_grpc_call_stream(struct fp_grpc_call *c); /* peer, TLS identity, loop */
/* One message.  `body` is a shared chunk of the message's bytes WITHOUT the 5-byte prefix (takes
 * one reference); tail is copied behind it (the nonce …) and may be empty.  The prefix covers both.
 */
void fp_grpc_call_send(struct fp_grpc_call *c, struct fp_http_chunk *body, struct fp_str tail);
void fp_grpc_call_finish(struct fp_grpc_call *c, enum fp_grpc_status status,
                         const char *message);            /* idempotent */
size_t fp_grpc_call_queued(const struct fp_grpc_call *c); /* unsent bytes */
