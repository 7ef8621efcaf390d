/*
 * One TLS connection over a non-blocking socket: handshake, read, write, who the peer is.  No call
 * blocks; -EAGAIN says that fp_tls_conn_wants() should be watched.
 */
#pragma once
#include <sys/types.h>
#include <sys/uio.h>
#include "tls/tls_context.h"

struct fp_tls_conn;

struct fp_tls_conn *fp_tls_conn_new(struct fp_tls_context *ctx, int fd /* not taken over */);
void fp_tls_conn_free(struct fp_tls_conn **t);
/* 0: done.  FP_ERR_PROTOCOL: failed, fp_tls_conn_why says how; an alert has been tried. */
int fp_tls_conn_handshake(struct fp_tls_conn *t) FP_MUST_CHECK;
unsigned fp_tls_conn_wants(const struct fp_tls_conn *t); /* FP_IO_READ or FP_IO_WRITE */
/* > 0 bytes, 0 end of data, -EAGAIN, negative enum fp_err */
ssize_t fp_tls_conn_read(struct fp_tls_conn *t, void *out, size_t n) FP_MUST_CHECK;
/* Gathers and encrypts; returns the bytes taken, -EAGAIN when none.  At most one record of those
 * taken waits inside for the socket: fp_tls_conn_flush sends it (0, -EAGAIN or an error). */
ssize_t fp_tls_conn_writev(struct fp_tls_conn *t, const struct iovec *iov, size_t n) FP_MUST_CHECK;
int fp_tls_conn_flush(struct fp_tls_conn *t) FP_MUST_CHECK;
void fp_tls_conn_shutdown(struct fp_tls_conn *t); /* close_notify, best effort */
const char *fp_tls_conn_why(const struct fp_tls_conn *t);
struct fp_str fp_tls_conn_alpn(const struct fp_tls_conn *t); /* "h2", "http/1.1" or absent */
/* Of a verified client certificate; absent without one.  SANs: "URI:…" and "DNS:…", one a line. */
struct fp_str fp_tls_conn_subject(const struct fp_tls_conn *t);
struct fp_str fp_tls_conn_sans(const struct fp_tls_conn *t);
/* After a reload: is the client's certificate, if it has one, still good by the CA and revocation
 * list of this context? */
bool fp_tls_conn_still_good(const struct fp_tls_conn *t, const struct fp_tls_context *now);
int64_t fp_tls_conn_not_after_ms(const struct fp_tls_conn *t); /* wall clock; 0 without one */
