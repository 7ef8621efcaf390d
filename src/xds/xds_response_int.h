/*
 * Encoded DiscoveryResponses, shared: everything but the nonce, as segments that point into the
 * snapshot's mapping.  One is made per situation and sent to all streams that are in it.
 */
#pragma once
#include "http/http_stream.h"
#include "xds/xds_state_int.h"

#define FP_XDS_NONCE_BYTES 16

struct fp_xds_response {
    struct fp_http_chunk chunk; /* refs: the cache's and those in flight */
    struct fp_list link;        /* in its state's responses, newest first */
    uint64_t key[3];            /* ids: came from, parent before, parent now; 0 for a whole set */
    bool whole;
    uint32_t entries_n;
    struct fp_str head; /* owned */
    char *copy;         /* owned: small answers are one contiguous piece */
    uint32_t views_n;
    struct fp_xds_view **views; /* keep the segments mapped */
};

/* All entries of a state (LDS, CDS; S-11). */
struct fp_xds_response *fp_xds_response_whole(struct fp_xds_state *to, struct fp_str control_plane);
/*
 * What `to` has that `from` (or NULL) had not, and again what depends on the parent's entries that
 * differ between parent_from (NULL: none were there) and parent_to: the endpoint sets of changed
 * clusters (O-1).  parent_to NULL: the type has no parent on this stream.
 */
struct fp_xds_response *fp_xds_response_part(struct fp_xds_state *to,
                                             const struct fp_xds_state *from,
                                             struct fp_xds_state *parent_to,
                                             const struct fp_xds_state *parent_from,
                                             struct fp_str control_plane);
void fp_xds_responses_drop(struct fp_list *responses); /* the cache's references */
