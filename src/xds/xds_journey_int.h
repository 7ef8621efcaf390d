/*
 * What becomes of an answer that commits caused: the time until the client ACKs it (contract
 * §11.2), the spans xds_push and xds_ack (§11.4).  Nothing here may influence what is served.
 */
#pragma once
#include "xds/xds_stream_int.h"

/* An answer is about to be handed over; ts->sent is what was sent before. */
void fp_xds_journey_sent(struct fp_xds_stream *st, enum fp_kind kind,
                         const struct fp_xds_response *r);
/* The client's verdict; error: data == NULL, or what it said. */
void fp_xds_journey_done(struct fp_xds_stream *st, enum fp_kind kind, struct fp_str error);
void fp_xds_journey_free(struct fp_xds_journey **j);
