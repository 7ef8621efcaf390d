/*
 * Errors of the environment.  Functions return 0 or a negative enum fp_err; values above -1000 are
 * -errno.  A bug is FP_ASSERT (core_assert.h), a user's mistake a problem (core_problem.h).
 */
#pragma once

enum fp_err {
    FP_OK = 0,
    FP_ERR_PROTOCOL = -1000,    /* the peer broke its protocol */
    FP_ERR_LIMIT = -1001,       /* a configured bound was reached */
    FP_ERR_CORRUPT = -1002,     /* a checksum, magic or bound does not hold */
    FP_ERR_VERSION = -1003,     /* too new or too old for us */
    FP_ERR_UNAVAILABLE = -1004, /* the other side is away */
    FP_ERR_INVALID = -1005,     /* input refused; problems say what */
    FP_ERR_NOT_FOUND = -1006,
    FP_ERR_CLOSED = -1007, /* orderly end */
};

#define FP_MUST_CHECK __attribute__((warn_unused_result))
const char *fp_err_text(int err); /* static text; strerror for -errno values */
