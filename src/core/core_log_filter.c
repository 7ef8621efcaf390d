/* RUST_LOG directives (contract §11.3): parsed once into a small table, asked before each line. */
#include "core/core_assert.h"
#include "core/core_log.h"

enum { RULES_MAX = 64, TARGET_MAX = 63 };

struct rule {
    char target[TARGET_MAX + 1];
    size_t len; /* 0: the default for all targets */
    enum fp_log_level level;
};

static struct filter {
    struct rule rules[RULES_MAX];
    size_t n;
    enum fp_log_level most; /* quick answer for levels that no rule lets through */
} active = {.rules = {{.level = FP_LOG_INFO}}, .n = 1, .most = FP_LOG_INFO};

static const char *const level_names[] = {"off", "error", "warn", "info", "debug", "trace"};

static bool level_of(struct fp_str s, enum fp_log_level *out)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
        if (fp_str_case_eq(s, fp_str_of(level_names[i]))) {
            *out = (enum fp_log_level)i;
            return true;
        }
    return false;
}

static bool target_valid(struct fp_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '-' && c != ':' && c != '.')
            return false;
    }
    return s.len > 0;
}

/* "level", "target=level" or "target"; a target alone means everything of it. */
static const char *parse_one(struct fp_str s, struct rule *r)
{
    struct fp_str level, target = fp_str_trim(fp_str_split(s, '=', &level));
    *r = (struct rule){.level = FP_LOG_TRACE};
    if (!level.data && level_of(target, &r->level))
        return NULL;
    if (!target_valid(target))
        return "a directive is level, target or target=level";
    if (level.data && !level_of(fp_str_trim(level), &r->level))
        return "level must be one of off, error, warn, info, debug, trace";
    if (target.len > TARGET_MAX)
        return "target is longer than 63 characters";
    memcpy(r->target, target.data, target.len);
    r->len = target.len;
    return NULL;
}

static const char *parse(const char *directives, struct filter *f)
{
    struct fp_str rest = fp_str_of(directives);
    *f = (struct filter){.most = FP_LOG_OFF};
    while (rest.data) {
        struct fp_str one = fp_str_trim(fp_str_split(rest, ',', &rest));
        if (one.len == 0)
            continue; /* "info," is what people write */
        if (f->n == RULES_MAX)
            return "more than 64 directives";
        struct rule *r = &f->rules[f->n++];
        const char *wrong = parse_one(one, r);
        if (wrong)
            return wrong;
        f->most = r->level > f->most ? r->level : f->most;
    }
    return f->n ? NULL : "no directive";
}

const char *fp_log_filter_check(const char *directives)
{
    struct filter f;
    return parse(directives, &f);
}

void fp_log_filter_set(const char *directives)
{
    struct filter f;
    FP_ASSERT(parse(directives, &f) == NULL);
    active = f;
}

static bool covers(const struct rule *r, const char *target)
{
    return r->len == 0 || (strncmp(target, r->target, r->len) == 0 &&
                           (target[r->len] == '\0' || strncmp(target + r->len, "::", 2) == 0));
}

bool fp_log_on(enum fp_log_level level, const char *target)
{
    if (level > active.most || level == FP_LOG_OFF)
        return false;
    const struct rule *best = NULL; /* longest target wins, the later one among equals */
    for (const struct rule *r = active.rules; r < active.rules + active.n; r++)
        if (covers(r, target) && (!best || r->len >= best->len))
            best = r;
    return best && level <= best->level;
}
