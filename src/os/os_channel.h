/*
 * Channels between the master and its children: SOCK_SEQPACKET pairs, typed and length-checked
 * frames, at most one descriptor each.  A queued frame is never dropped; a full socket is retried
 * when writable.  The enum below is the whole protocol.
 */
#pragma once
#include <stdint.h>
#include "core/core_list.h"
#include "event/event_loop.h"

/* clang-format off */
enum fp_frame_type {       /* who sends it, payload; descriptor */
    FP_FRAME_GONE = 0,     /* never sent: how the callback learns that the peer is gone */
    FP_FRAME_READY = 1,    /* child → master: none; a worker that was ready without a snapshot: again */
    FP_FRAME_SNAPSHOT = 2, /* watcher → master → worker: u64 generation, u64 revision; sealed memfd */
    FP_FRAME_FILE = 3,     /* master → child: text name of the directive, "xds.tls.key_path"; open file */
    FP_FRAME_FILES_END = 4, /* master → child: none; all FILE frames have been sent */
    FP_FRAME_LOG = 5,      /* master → child: none; the reopened log file */
    FP_FRAME_DRAIN = 6,    /* master → child: u64 budget in ms; finish, then exit */
    FP_FRAME_STOP = 7,     /* master → child: none; fast stop */
    FP_FRAME_HEARTBEAT = 8, /* child → master: none */
    FP_FRAME_FATAL = 9,    /* child → master: text; cannot start, do not respawn */
    FP_FRAME_DRAINING = 10, /* worker → master: none; answer to DRAIN and STOP: it accepts no more */
    FP_FRAME_TYPE_N
};
/* clang-format on */
#define FP_FRAME_MAX_BYTES 4096

struct fp_channel;
/* payload is borrowed for the call; fd is -1 or now owned by the callee.  FP_FRAME_GONE =
 * the peer closed or sent a malformed frame: the channel is closed and must be freed by the owner.
 * The callback may free the channel. */
typedef void (*fp_channel_cb)(struct fp_channel *ch, enum fp_frame_type type, const void *payload,
                              size_t n, int fd, void *arg);

int fp_channel_pair(int fds[2]); /* cloexec, non-blocking; 0 or -errno */
struct fp_channel *fp_channel_new(struct fp_loop *loop, int fd /* taken over */, fp_channel_cb cb,
                                  void *arg);
void fp_channel_free(struct fp_channel **ch);
/* Copies payload; takes `fd` over (or -1).  Never blocks.  To a peer that is gone: dropped, the
 * callback tells. */
void fp_channel_send(struct fp_channel *ch, enum fp_frame_type type, const void *payload, size_t n,
                     int fd);
/* Tries to send all queued frames now, blocking up to timeout_ms; for last words before exit. */
void fp_channel_flush(struct fp_channel *ch, unsigned timeout_ms);
