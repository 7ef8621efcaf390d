/*
 * Finding serialized FileDescriptorProtos in a program, and putting them in order.  Runs in ctl.
 * The bytes are trusted in nothing: what only looks like a descriptor must do no harm.
 *
 * A descriptor begins with field 1, its file's name: 0x0a <length> "….proto".  Its fields follow in
 * the order of their numbers, as all encoders write them; it ends where that order does.
 */
#include <stdlib.h>
#include "core/core_err.h"
#include "core/core_mem.h"
#include "pb/pb_extract.h"
#include "pb/pb_pool_int.h"
#include "pb/pb_wire_int.h"

#define SUFFIX          ".proto"
#define SUFFIX_LEN      (sizeof SUFFIX - 1)
#define FILES_MAX       8192
#define STEPS_MAX       (64u << 20) /* fields looked at: 559 real files have some 7,000 */
#define NESTING_MAX     256         /* imports of imports */
#define LAST_FIELD      14
#define FIELD_IMPORT    3
#define FIELD_MESSAGE   4
#define FIELD_EXTENSION 7

enum state { FOUND, VISITING, PLACED, LEFT_OUT };

struct file {
    struct fp_str name, bytes;
    enum state state;
};

struct extract {
    struct fp_arena *arena;
    struct fp_buf *set;
    struct fp_pb_extracted *out;
    struct file *files; /* by name */
    size_t n, steps;
};

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '/';
}

/* Where a descriptor begins whose name ends before `end`; NULL when none does. */
static const char *begin_of(const char *from, const char *end, struct fp_str *name)
{
    const char *s = end - SUFFIX_LEN;
    while (s > from && is_name(s[-1]) && (size_t)(end - s) <= FP_PB_NAME_MAX) {
        s--;
        size_t n = (size_t)(end - s), before = (size_t)(s - from);
        *name = fp_str_n(s, n);
        if (n < 0x80 && before >= 2 && (uint8_t)s[-1] == n && s[-2] == 0x0a)
            return s - 2;
        if (n >= 0x80 && before >= 3 && s[-1] == 1 && (uint8_t)s[-2] == n && s[-3] == 0x0a)
            return s - 3;
    }
    return NULL;
}

/* A nested descriptor begins with a name, and all of its fields can be read. */
static bool is_descriptor(struct extract *x, struct fp_str bytes)
{
    struct fp_pb_wire w = fp_pb_wire_of(bytes);
    struct fp_pb_item it;
    bool named = false;
    int r;
    while ((r = fp_pb_wire_next(&w, &it)) > 0 && x->steps++ < STEPS_MAX)
        named |= it.number == 1 && it.bytes.len > 0;
    return r == 0 && named;
}

/* The descriptor that begins here; its length 0 when there is none. */
static struct fp_str descriptor_at(struct extract *x, const char *begin, const char *end)
{
    struct fp_pb_wire w = fp_pb_wire_of(fp_str_n(begin, (size_t)(end - begin)));
    struct fp_pb_item it;
    uint32_t last = 0;
    bool content = false;
    const uint8_t *stop = w.p;
    while (fp_pb_wire_next(&w, &it) > 0 && x->steps++ < STEPS_MAX) {
        bool again = it.number == last && it.number != 1;
        bool numbers = it.number == 10 || it.number == 11 || it.number == LAST_FIELD;
        if (it.number > LAST_FIELD || !(it.number > last || again) ||
            (it.wire != FP_PB_WIRE_LEN && !(numbers && it.wire == FP_PB_WIRE_VARINT)))
            break;
        if (it.number >= FIELD_MESSAGE && it.number <= FIELD_EXTENSION) {
            if (!is_descriptor(x, it.bytes))
                break;
            content = true;
        }
        last = it.number;
        stop = w.p;
    }
    return fp_str_n(begin, content ? (size_t)((const char *)stop - begin) : 0);
}

static int by_name(const void *a, const void *b)
{
    const struct file *x = a, *y = b;
    int order = fp_str_cmp(x->name, y->name);
    /* Of several the longest, and of these the first in memory: one that was cut is not better. */
    if (order == 0)
        order = x->bytes.len > y->bytes.len ? -1 : x->bytes.len < y->bytes.len;
    return order ? order : x->bytes.data < y->bytes.data ? -1 : x->bytes.data > y->bytes.data;
}

static int find_all(struct extract *x, struct fp_str program)
{
    const char *from = program.data, *end = program.data + program.len, *hit;
    struct fp_buf found = {0};
    int err = 0;
    while ((hit = memmem(from, (size_t)(end - from), SUFFIX, SUFFIX_LEN)) != NULL) {
        struct file f = {0};
        const char *begin = begin_of(from, hit + SUFFIX_LEN, &f.name);
        if (begin)
            f.bytes = descriptor_at(x, begin, end);
        from = f.bytes.len ? f.bytes.data + f.bytes.len : hit + SUFFIX_LEN;
        if (f.bytes.len)
            fp_buf_append(&found, &f, sizeof f);
        if (found.len / sizeof f > FILES_MAX || x->steps >= STEPS_MAX) {
            err = FP_ERR_LIMIT;
            break;
        }
    }
    size_t n = found.len / sizeof(struct file);
    x->files = fp_arena_dup(x->arena, n ? found.data : "", found.len);
    fp_buf_fini(&found);
    if (n > 1)
        qsort(x->files, n, sizeof *x->files, by_name);
    for (size_t i = 0; i < n; i++)
        if (x->n == 0 || !fp_str_eq(x->files[x->n - 1].name, x->files[i].name))
            x->files[x->n++] = x->files[i];
    return err;
}

static struct file *file_named(struct extract *x, struct fp_str name)
{
    size_t lo = 0, hi = x->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int order = fp_str_cmp(x->files[mid].name, name);
        if (order == 0)
            return &x->files[mid];
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static void leave_out(struct extract *x, struct file *f, struct fp_str import)
{
    f->state = LEFT_OUT;
    if (!x->out->missing)
        x->out->missing =
            fp_arena_printf(x->arena, "%.*s imports %.*s", FP_STR_ARG(f->name), FP_STR_ARG(import));
    x->out->missing_n++;
}

/* The file behind all that it imports; one whose imports are not all there is left out. */
static void place(struct extract *x, struct file *f, unsigned depth)
{
    struct fp_pb_wire w = fp_pb_wire_of(f->bytes);
    struct fp_pb_item it;
    f->state = VISITING;
    while (fp_pb_wire_next(&w, &it) > 0) {
        if (it.number != FIELD_IMPORT)
            continue;
        struct file *import = file_named(x, it.bytes);
        if (import && import->state == FOUND && depth < NESTING_MAX)
            place(x, import, depth + 1);
        if (!import || import->state != PLACED) {
            leave_out(x, f, it.bytes);
            return;
        }
    }
    f->state = PLACED;
    uint8_t head[12];
    size_t n = 0;
    head[n++] = 1 << 3 | FP_PB_WIRE_LEN;
    for (size_t len = f->bytes.len; n == 1 || len; len >>= 7)
        head[n++] = (uint8_t)((len & 0x7f) | (len > 0x7f ? 0x80 : 0));
    fp_buf_append(x->set, head, n);
    fp_buf_append_str(x->set, f->bytes);
    x->out->files_n++;
}

int fp_pb_extract(struct fp_str program, struct fp_arena *a, struct fp_buf *set,
                  struct fp_pb_extracted *out)
{
    struct extract x = {.arena = a, .set = set, .out = out};
    *out = (struct fp_pb_extracted){0};
    if (program.len == 0)
        return FP_ERR_NOT_FOUND;
    int err = find_all(&x, program);
    for (size_t i = 0; i < x.n && !err; i++)
        if (x.files[i].state == FOUND)
            place(&x, &x.files[i], 0);
    if (err)
        return err;
    return out->files_n ? 0 : FP_ERR_NOT_FOUND;
}
