/*
 * jansson values as YAML in block style, for people and for diffs: equal value, equal text.  Any
 * process; no I/O.  Quotes whatever YAML 1.1 or 1.2 could take for something else than a text.
 */
#include "codec/codec_json.h"
#include "codec/codec_yaml.h"
#include "core/core_assert.h"

static bool plain(struct fp_str s)
{
    static const char *const others[] = {"null", "true", "false", "yes", "no",
                                         "on",   "off",  "y",     "n",   NULL};
    static const char set[] = "0123456789_/.-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (!s.len || !memchr(set + 10, s.data[0], sizeof(set) - 1 - 10) || strchr(".-", s.data[0]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!memchr(set, s.data[i], sizeof(set) - 1))
            return false;
    for (const char *const *word = others; *word; word++)
        if (fp_str_case_eq(s, fp_str_of(*word)))
            return false;
    return true;
}

/* What YAML forbids inside a text, or takes for a line's end, although JSON does not. */
static bool forbidden(const unsigned char *p, size_t n, unsigned *code)
{
    *code = n == 1   ? p[0]
            : n == 2 ? (p[0] & 0x1FU) << 6 | (p[1] & 0x3FU)
            : n == 3 ? (p[0] & 0x0FU) << 12 | (p[1] & 0x3FU) << 6 | (p[2] & 0x3FU)
                     : 0x10000;
    return *code < 0x20 || (*code >= 0x7F && *code <= 0x9F) || *code == 0x2028 || *code == 0x2029 ||
           *code == 0xFEFF || *code == 0xFFFE || *code == 0xFFFF;
}

static void write_text(struct fp_buf *out, struct fp_str s)
{
    if (plain(s)) {
        fp_buf_append_str(out, s);
        return;
    }
    fp_buf_append_byte(out, '"');
    for (size_t i = 0, n; i < s.len; i += n) {
        unsigned code;
        n = fp_utf8_step(s.data + i, s.len - i);
        FP_ASSERT(n); /* jansson holds UTF-8 only */
        if (forbidden((const unsigned char *)s.data + i, n, &code))
            fp_buf_printf(out, "\\u%04X", code);
        else if (code == '"' || code == '\\')
            fp_buf_printf(out, "\\%c", (int)code);
        else
            fp_buf_append(out, s.data + i, n);
    }
    fp_buf_append_byte(out, '"');
}

static void pad(struct fp_buf *out, unsigned n)
{
    fp_buf_printf(out, "%*s", (int)n, "");
}

static bool is_block(const json_t *v)
{
    return json_object_size(v) || json_array_size(v);
}

static void write_flat(struct fp_buf *out, const json_t *v)
{
    if (json_is_string(v))
        write_text(out, fp_json_str(v));
    else
        fp_json_write(out, v, false);
    fp_buf_append_byte(out, '\n');
}

enum { KEY_MAX_BYTES = 100 }; /* a simple key has at most 1024 characters, escapes included */

/* Lines of v; the first is already indented when `first` is false. */
static void write_block(struct fp_buf *out, const json_t *v, unsigned indent, bool first)
{
    const char *key;
    json_t *item;
    size_t i;
    json_array_foreach (v, i, item) {
        if (first || i)
            pad(out, indent);
        fp_buf_append_c(out, "- ");
        if (is_block(item))
            write_block(out, item, indent + 2, false);
        else
            write_flat(out, item);
    }
    json_object_foreach ((json_t *)(uintptr_t)v, key, item) {
        struct fp_str k = fp_str_of(key);
        if (first)
            pad(out, indent);
        first = true;
        if (k.len > KEY_MAX_BYTES)
            fp_buf_append_c(out, "? ");
        write_text(out, k);
        if (k.len > KEY_MAX_BYTES) {
            fp_buf_append_byte(out, '\n');
            pad(out, indent);
        }
        fp_buf_append_c(out, is_block(item) ? ":\n" : ": ");
        if (is_block(item))
            write_block(out, item, indent + 2, true);
        else
            write_flat(out, item);
    }
}

void fp_yaml_write(struct fp_buf *out, const json_t *v)
{
    if (is_block(v))
        write_block(out, v, 0, true);
    else
        write_flat(out, v);
}
