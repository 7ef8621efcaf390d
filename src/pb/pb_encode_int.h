/*
 * The encoder's inside.  The buffer is filled from its end towards its start: a message's length is
 * known when its head is written, so nothing is sized twice and nothing is moved.
 */
#pragma once
#include "core/core_buf.h"
#include "pb/pb_json.h"
#include "pb/pb_pool_int.h"

/* Where we are in the JSON; becomes a pointer only when there is a problem to report. */
struct fp_pb_at {
    const struct fp_pb_at *up; /* NULL: the root */
    struct fp_str key;         /* data == NULL: an array index */
    size_t index;
};

struct fp_pb_slot {                  /* a member of an object, waiting to be written in order */
    const struct fp_pb_field *field; /* NULL in maps */
    struct fp_str key;
    json_t *value;
    uint64_t order; /* integer map keys: order-preserving image of the number */
};

struct fp_pb_enc {
    const struct fp_pb_pool *pool;
    struct fp_problems *ps;
    const char *base; /* pointer of the root */
    fp_pb_note_fn *note;
    void *note_arg;
    char *buf; /* cap bytes, used from pos on */
    size_t cap, pos;
    struct fp_pb_slot *slots; /* a stack shared by all levels */
    size_t slots_n, slots_cap;
    struct fp_buf scratch; /* base64 */
    bool full;             /* FP_PB_MAX_BYTES was passed and reported */
    unsigned unchecked;    /* inside so many messages whose rules are not to be checked */
};

void fp_pb_enc_bytes(struct fp_pb_enc *e, const void *p, size_t n);
void fp_pb_enc_varint(struct fp_pb_enc *e, uint64_t v);
void fp_pb_enc_fixed(struct fp_pb_enc *e, uint64_t v, unsigned n);
void fp_pb_enc_tag(struct fp_pb_enc *e, uint32_t number, uint8_t wire);
static inline size_t fp_pb_enc_mark(const struct fp_pb_enc *e)
{
    return e->cap - e->pos; /* bytes written; survives a move of the buffer */
}
/* The head of everything written since the mark: its length, then the tag. */
void fp_pb_enc_head(struct fp_pb_enc *e, uint32_t number, size_t mark);

void fp_pb_enc_problem(struct fp_pb_enc *e, const struct fp_pb_at *at, enum fp_problem_code code,
                       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
const char *fp_pb_enc_pointer(struct fp_pb_enc *e, const struct fp_pb_at *at);
/* False, and a problem, when depth is more than FP_PB_MAX_DEPTH. */
bool fp_pb_enc_depth(struct fp_pb_enc *e, const struct fp_pb_at *at, unsigned depth);
struct fp_pb_slot *fp_pb_enc_push(struct fp_pb_enc *e);

/* A message's bytes, without head, whatever JSON form it has. */
void fp_pb_enc_message(struct fp_pb_enc *e, const struct fp_pb_message *m, json_t *v,
                       const struct fp_pb_at *at, unsigned depth);
/* The same for a message that is an object of its fields; skips the member "@type" when in_any. */
void fp_pb_enc_fields(struct fp_pb_enc *e, const struct fp_pb_message *m, json_t *v,
                      const struct fp_pb_at *at, unsigned depth, bool in_any);
/* Problems of a message that is not written, with pointers below its own root. */
void fp_pb_enc_dry_run(struct fp_pb_enc *e, const struct fp_pb_message *m, json_t *v,
                       unsigned depth);
void fp_pb_enc_well_known(struct fp_pb_enc *e, const struct fp_pb_message *m, json_t *v,
                          const struct fp_pb_at *at, unsigned depth);

struct fp_pb_scalar {
    uint64_t bits;       /* varint or fixed image; float and double: their bits */
    struct fp_str bytes; /* string, bytes; bytes: in e->scratch until the next scalar */
    int32_t nanos;       /* validate rules only: of a Duration or Timestamp, bits are its seconds */
};
/* Any field type but MESSAGE.  False, and a problem, when the JSON does not fit. */
bool fp_pb_enc_scalar_parse(struct fp_pb_enc *e, const struct fp_pb_field *f, const json_t *v,
                            const struct fp_pb_at *at, struct fp_pb_scalar *out);
void fp_pb_enc_scalar_write(struct fp_pb_enc *e, uint8_t type, const struct fp_pb_scalar *s);
/* A map key; *order sorts integers, strings sort by their bytes. */
bool fp_pb_enc_key_parse(struct fp_pb_enc *e, const struct fp_pb_field *f, struct fp_str key,
                         const struct fp_pb_at *at, struct fp_pb_scalar *out, uint64_t *order);
static inline bool fp_pb_scalar_is_default(const struct fp_pb_scalar *s)
{
    return s->bits == 0 && s->bytes.len == 0 && s->nanos == 0;
}
