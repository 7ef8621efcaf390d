/*
 * String rules of contract §5 and §6, one function each; a function adds its own problem.  Rules
 * that only Envoy's API states (header names, server names) are here too, so that they fail in the
 * REST call and not as a NACK.  Runs in API workers and the watcher; never does I/O.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include "model/model_int.h"

#define ENVOY_PROGRAM_SIZE 100 /* its runtime default; only a warning, as it can be raised */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* C0, DEL and C1 (U+0080..U+009F). */
static bool has_control(struct fp_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        unsigned char d = i + 1 < s.len ? (unsigned char)s.data[i + 1] : 0;
        if (c < 0x20 || c == 0x7F || (c == 0xC2 && d >= 0x80 && d < 0xA0))
            return true;
    }
    return false;
}

static bool all_blank(struct fp_str s)
{
    return fp_str_trim(s).len == 0;
}

void fp_model_text_nonblank(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (s.len == 0)
        fp_problem_add(r->ps, pointer, FP_P_TOO_SHORT, "must not be empty");
    else if (all_blank(s))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_VALUE, "must not be blank");
}

void fp_model_text_name(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (has_control(s))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT, "must not hold control characters");
    else if (s.len && (is_blank(s.data[0]) || is_blank(s.data[s.len - 1])))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT, "must not begin or end with a blank");
}

void fp_model_text_team(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (all_blank(s))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT, "must not be blank");
    else if (has_control(s) || memchr(s.data, ':', s.len))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT,
                       "must not hold control characters or a colon");
}

size_t fp_model_host_bytes(struct fp_str s, unsigned char out[16])
{
    char text[INET6_ADDRSTRLEN];
    if (s.len == 0 || s.len >= sizeof(text) || memchr(s.data, 0, s.len))
        return 0;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    if (inet_pton(AF_INET, text, out) == 1)
        return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

bool fp_model_host_is_ip6(struct fp_str s)
{
    unsigned char bin[16];
    return fp_model_host_bytes(s, bin) == 16;
}

bool fp_model_host_is_ip(struct fp_str s)
{
    unsigned char bin[16];
    return fp_model_host_bytes(s, bin) != 0;
}

/* A DNS name: labels of letters, digits, - and _; a numeric last label would be a broken IPv4. */
static bool is_dns_name(struct fp_str s)
{
    if (s.len && s.data[s.len - 1] == '.')
        s.len--;
    struct fp_str rest = s;
    bool digits = true;
    while (rest.data) {
        struct fp_str label = fp_str_split(rest, '.', &rest);
        if (label.len == 0 || label.len > 63 || label.data[0] == '-' ||
            label.data[label.len - 1] == '-')
            return false;
        digits = true;
        for (size_t i = 0; i < label.len; i++) {
            digits &= is_digit(label.data[i]);
            if (!is_alnum(label.data[i]) && label.data[i] != '-' && label.data[i] != '_')
                return false;
        }
    }
    return !digits;
}

void fp_model_text_host(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (s.len > 2 && s.data[0] == '[' && s.data[s.len - 1] == ']' &&
        fp_model_host_is_ip6(fp_str_n(s.data + 1, s.len - 2)))
        return;
    if (!fp_model_host_is_ip(s) && !is_dns_name(s))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT,
                       "must be a host name, an IPv4 or an IPv6 address");
}

void fp_model_text_ip(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (!fp_model_host_is_ip(s))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT, "must be an IP address");
}

void fp_model_text_cidr(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    struct fp_str bits, ip = fp_str_split(s, '/', &bits);
    uint64_t n = 0;
    bool ok = fp_model_host_is_ip(ip);
    if (ok && bits.data)
        ok = fp_str_to_u64(bits, &n) && n <= (fp_model_host_is_ip6(ip) ? 128 : 32);
    if (!ok)
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT,
                       "must be an address range such as 10.0.0.0/8");
}

void fp_model_text_slash(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (s.len == 0 || s.data[0] != '/')
        fp_problem_add(r->ps, pointer, FP_P_INVALID_VALUE, "must start with /");
}

void fp_model_text_path_separated(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (s.len < 2 || s.data[0] != '/' || s.data[s.len - 1] == '/' || memchr(s.data, '?', s.len) ||
        memchr(s.data, '#', s.len))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_VALUE,
                       "must start with /, not end with /, and hold no ? or #");
}

void fp_model_text_regex(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (s.len == 0) {
        fp_problem_add(r->ps, pointer, FP_P_TOO_SHORT, "must not be empty");
        return;
    }
    size_t size;
    const char *why = fp_model_regex_check(s, &size);
    if (why)
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT, "not an RE2 expression: %s", why);
    else if (size > ENVOY_PROGRAM_SIZE)
        fp_model_warn(r, "unchecked_config", pointer,
                      "a big expression: Envoy refuses programs above re2.max_program_size."
                      "error_level (%d unless set)",
                      ENVOY_PROGRAM_SIZE);
}

void fp_model_text_template(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    const char *why = fp_model_template_check(r->arena, s);
    if (why)
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT, "not a path template: %s", why);
}

static bool is_token(struct fp_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_alnum(s.data[i]) && !(s.data[i] && strchr("!#$%&'*+-.^_`|~", s.data[i])))
            return false;
    return s.len > 0;
}

void fp_model_text_token(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (!is_token(s))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT, "must be an HTTP token");
}

/* A field name, pseudo-headers such as :path included. */
void fp_model_text_header_name(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (s.len && s.data[0] == ':')
        s = fp_str_n(s.data + 1, s.len - 1);
    if (all_blank(s))
        fp_problem_add(r->ps, pointer, FP_P_TOO_SHORT, "must not be blank");
    else if (!is_token(s))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT, "must be a header name");
}

/* Envoy refuses to edit pseudo-headers and Host. */
void fp_model_text_edited_header(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if ((s.len && s.data[0] == ':') || fp_str_case_eq(s, FP_STR("host")))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_VALUE,
                       "pseudo-headers and host cannot be edited");
    else
        fp_model_text_header_name(r, pointer, s);
}

/* No control characters but the tab. */
void fp_model_text_header_value(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if ((c >= 0x20 || c == '\t') && c != 0x7F)
            continue;
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT,
                       "must not hold line breaks or other control characters");
        return;
    }
}

/* SNI match: a name, or *.name; Envoy refuses a star anywhere else. */
void fp_model_text_server_name(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    struct fp_str rest = fp_str_starts(s, FP_STR("*.")) ? fp_str_n(s.data + 2, s.len - 2) : s;
    if (rest.len == 0 || memchr(rest.data, '*', rest.len) || has_control(s) ||
        memchr(s.data, ' ', s.len))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT, "must be a name or *.name");
}

void fp_model_text_domain(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    if (all_blank(s))
        fp_model_text_nonblank(r, pointer, s);
    else if (has_control(s) || (s.len && (is_blank(s.data[0]) || is_blank(s.data[s.len - 1]))))
        fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT,
                       "must not hold control characters or blanks around it");
}

static void skip(struct fp_str *s, size_t n)
{
    *s = fp_str_n(s->data + n, s->len - n);
}

/* One command operator at its %: %NAME%, %NAME(arguments)%, %NAME:12%; NAMES differ by version. */
static bool take_command(struct fp_str *s)
{
    size_t name = 0;
    for (skip(s, 1); s->len; skip(s, 1), name++)
        if (!(s->data[0] >= 'A' && s->data[0] <= 'Z') && !is_digit(s->data[0]) && s->data[0] != '_')
            break;
    if (name && s->len && s->data[0] == '(') {
        const char *close = memchr(s->data, ')', s->len);
        if (!close)
            return false;
        skip(s, (size_t)(close - s->data) + 1);
    }
    if (name && s->len && s->data[0] == ':')
        for (skip(s, 1); s->len && is_digit(s->data[0]);)
            skip(s, 1);
    if (s->len == 0 || s->data[0] != '%')
        return false;
    skip(s, 1); /* with no name it was %%, a percent sign */
    return true;
}

/* A header value or log line with Envoy's command operators. */
void fp_model_text_format(struct fp_model_reader *r, const char *pointer, struct fp_str s)
{
    while (s.len) {
        if (s.data[0] != '%') {
            skip(&s, 1);
        } else if (!take_command(&s)) {
            fp_problem_add(r->ps, pointer, FP_P_INVALID_FORMAT,
                           "not a command operator such as %%REQ(name)%%; a percent sign is %%%%");
            return;
        }
    }
}
