/* What a stream tells the operator: its record in the status segment, and its open rejections. */
#pragma once
#include "xds/xds_stream_int.h"

/* The node is known; said: its metadata. */
void fp_xds_status_open(struct fp_xds_stream *st, struct fp_str team,
                        const Google__Protobuf__Struct *said);
void fp_xds_status_close(struct fp_xds_stream *st);
/* After each flush: what every type has sent and acknowledged. */
void fp_xds_status_report(struct fp_xds_stream *st);
/* A rejection of an earlier stream of this node ends with the first ACK of the type. */
void fp_xds_status_adopt(struct fp_xds_stream *st, enum fp_kind kind);
/* A rejection was noted in the type's nack, or is resolved. */
void fp_xds_status_nack(struct fp_xds_stream *st, enum fp_kind kind);
