/*
 * The pool's tables.  Names are borrowed from the descriptor set; a field or rule costs 32 bytes,
 * so the built-in set is about 150 KB and the whole Envoy API about half a megabyte, built once
 * before the fork.
 */
#pragma once
#include "core/core_arena.h"
#include "pb/pb_pool.h"

/* FieldDescriptorProto.Type */
enum fp_pb_type {
    FP_PB_DOUBLE = 1,
    FP_PB_FLOAT,
    FP_PB_INT64,
    FP_PB_UINT64,
    FP_PB_INT32,
    FP_PB_FIXED64,
    FP_PB_FIXED32,
    FP_PB_BOOL,
    FP_PB_STRING,
    FP_PB_GROUP,
    FP_PB_MESSAGE,
    FP_PB_BYTES,
    FP_PB_UINT32,
    FP_PB_ENUM,
    FP_PB_SFIXED32,
    FP_PB_SFIXED64,
    FP_PB_SINT32,
    FP_PB_SINT64,
    FP_PB_TYPE_N
};

/* Messages whose JSON is not an object of their fields. */
enum fp_pb_wkt {
    FP_PB_PLAIN,
    FP_PB_ANY,
    FP_PB_STRUCT,
    FP_PB_VALUE,
    FP_PB_LIST_VALUE,
    FP_PB_WRAPPER, /* all nine: the JSON is that of field 1 */
    FP_PB_DURATION,
    FP_PB_TIMESTAMP,
    FP_PB_FIELD_MASK,
};

enum { /* fp_pb_field.flags */
       FP_PB_REPEATED = 1,
       FP_PB_PACKED = 2,
       FP_PB_PRESENCE = 4, /* written even when it has its default value */
       FP_PB_MAP = 8,
       FP_PB_NEEDED = 16, /* its absence breaks a validate rule */
};

struct fp_pb_field {
    const char *name; /* original, name_len bytes */
    const char *json; /* only when the file gives another json_name than lowerCamelCase */
    uint32_t number;
    uint32_t ref;   /* MESSAGE: index in messages; ENUM: index in enums */
    uint16_t oneof; /* 1-based in the message, 0 = none */
    uint8_t name_len, json_len;
    uint8_t type, flags;
    uint16_t rules; /* its validate rules: index + 1 of their run in the pool, 0 = none */
};

struct fp_pb_message {
    struct fp_str full_name;
    const struct fp_pb_field *fields; /* by number */
    uint32_t first;                   /* index of fields[0] in the pool's fields */
    uint16_t fields_n;
    uint16_t file;
    uint16_t rules; /* of the message itself: oneofs that are required */
    uint8_t wkt;    /* enum fp_pb_wkt */
    bool map_entry;
    bool checked; /* something must be there: a needed field, one of a oneof */
};

struct fp_pb_enum_value {
    const char *name;
    int32_t number;
    uint8_t name_len;
};
struct fp_pb_enum {
    struct fp_str full_name;
    uint32_t first, n; /* in values, in declared order: the first of an alias is its name */
    uint16_t file;
    bool closed, null_value; /* proto2: unknown numbers are refused; google.protobuf.NullValue */
};

struct fp_pb_file {
    struct fp_str name, package, bytes; /* bytes: the FileDescriptorProto */
};

struct fp_pb_pool {
    struct fp_arena *arena;
    struct fp_pb_message *messages;
    struct fp_pb_field *fields;
    struct fp_pb_enum *enums;
    struct fp_pb_enum_value *values;
    struct fp_pb_file *files;
    struct fp_pb_rule *rules; /* pb_rules_int.h */
    uint32_t messages_n, fields_n, enums_n, values_n, files_n, rules_n;
    /* Open addressing, index + 1, 0 = empty.  types: messages, then enums behind messages_n. */
    uint32_t *type_slots, *field_slots;
    uint32_t type_mask, field_mask;
};

#define FP_PB_NAME_MAX 255
/* lowerCamelCase of a field name (contract: json_name); returns the length, out is not terminated
 */
size_t fp_pb_camel(char out[FP_PB_NAME_MAX], const char *name, size_t len);
/* The name a response carries; buf is used when it has to be made. */
struct fp_str fp_pb_field_json_name(const struct fp_pb_field *f, char buf[FP_PB_NAME_MAX]);
/* By original name or json_name; NULL when unknown. */
const struct fp_pb_field *fp_pb_field_by_name(const struct fp_pb_pool *p,
                                              const struct fp_pb_message *m, struct fp_str name);
const struct fp_pb_field *fp_pb_field_by_number(const struct fp_pb_message *m, uint32_t number);
/* Index in messages, or messages_n + index in enums; UINT32_MAX when unknown. */
uint32_t fp_pb_pool_type(const struct fp_pb_pool *p, struct fp_str full_name);
/* Builds type_slots and field_slots; the offending name when a type is defined twice. */
struct fp_str fp_pb_pool_index(struct fp_pb_pool *p);

static inline const struct fp_pb_message *fp_pb_field_message(const struct fp_pb_pool *p,
                                                              const struct fp_pb_field *f)
{
    return &p->messages[f->ref];
}
static inline bool fp_pb_type_is_packable(uint8_t type)
{
    return type != FP_PB_STRING && type != FP_PB_BYTES && type != FP_PB_MESSAGE &&
           type != FP_PB_GROUP;
}
/* enum fp_pb_wire_type of one value */
static inline uint8_t fp_pb_type_wire(uint8_t type)
{
    switch (type) {
    case FP_PB_DOUBLE:
    case FP_PB_FIXED64:
    case FP_PB_SFIXED64:
        return 1;
    case FP_PB_FLOAT:
    case FP_PB_FIXED32:
    case FP_PB_SFIXED32:
        return 5;
    case FP_PB_STRING:
    case FP_PB_BYTES:
    case FP_PB_MESSAGE:
        return 2;
    default:
        return 0;
    }
}
