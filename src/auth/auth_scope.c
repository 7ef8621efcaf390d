/* Scope decisions (contract §4.4, §4.5): pure functions over a token's scopes.  Runs in workers. */
#include "auth/auth.h"

/* <team>:<resource>:<action> with an empty team for the global form */
struct scope {
    struct fp_str team, resource, action;
};

static bool all_of(struct fp_str s, const char *extra)
{
    for (size_t i = 0; i < s.len; i++)
        if (!(s.data[i] >= 'a' && s.data[i] <= 'z') && !strchr(extra, s.data[i]))
            return false;
    return s.len > 0;
}

static bool split(struct fp_str text, struct scope *out)
{
    struct fp_str rest;
    struct fp_str first = fp_str_split(text, ':', &rest);
    *out = (struct scope){0};
    if (!rest.data)
        return false;
    if (fp_str_eq(first, FP_STR("team"))) {
        struct fp_str after = rest;
        out->team = fp_str_split(after, ':', &rest);
        if (rest.data) {
            first = fp_str_split(rest, ':', &rest);
            if (!rest.data)
                return false;
        } else {
            out->team = FP_STR_NULL; /* "team:read" is an ordinary scope of an unknown resource */
            rest = after;
        }
    }
    out->resource = first;
    out->action = rest;
    return !memchr(rest.data, ':', rest.len);
}

bool fp_auth_scope_valid(struct fp_str text)
{
    struct scope s;
    if (!split(text, &s))
        return false;
    if (!fp_str_eq(s.action, FP_STR("*")) && !all_of(s.action, ""))
        return false;
    if (!s.team.data)
        return s.resource.len && s.resource.data[0] != '-' && all_of(s.resource, "-");
    if (s.team.len < 1 || s.team.len > 100 || !all_of(s.team, "-0123456789"))
        return false;
    return fp_str_eq(s.resource, FP_STR("*")) ||
           (s.resource.len && s.resource.data[0] != '-' && all_of(s.resource, "-"));
}

static bool covers(struct fp_str have, const char *want)
{
    return fp_str_eq(have, FP_STR("*")) || fp_str_eq_c(have, want);
}

/* Team-scoped "*" means the kinds that have a team; the rest of the API needs unscoped scopes. */
static bool team_bearing(const char *resource)
{
    static const char *const names[] = {"clusters",  "routes",  "listeners",
                                        "endpoints", "secrets", "resources",
                                        "reports",   "nodes",   "api-definitions"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], resource) == 0)
            return true;
    return false;
}

/* The next team this token may use for resource and action; FP_STR_NULL at the end. */
static struct fp_str next_team(const struct fp_snap_token *t, size_t *pos, const char *resource,
                               const char *action)
{
    struct fp_str text;
    struct scope s;
    while (fp_snap_token_scope(t, pos, &text))
        if (split(text, &s) && s.team.data && team_bearing(resource) &&
            covers(s.resource, resource) && covers(s.action, action))
            return s.team;
    return FP_STR_NULL;
}

enum fp_auth_grant fp_auth_scope(const struct fp_snap_token *t, const char *resource,
                                 const char *action)
{
    struct fp_str text;
    struct scope s;
    for (size_t pos = 0; fp_snap_token_scope(t, &pos, &text);) {
        if (fp_str_eq(text, FP_STR("admin:all")))
            return FP_AUTH_ALL;
        if (split(text, &s) && !s.team.data && fp_str_eq_c(s.resource, resource) &&
            covers(s.action, action))
            return FP_AUTH_ALL;
    }
    size_t pos = 0;
    return next_team(t, &pos, resource, action).data ? FP_AUTH_TEAMS : FP_AUTH_NONE;
}

bool fp_auth_team(const struct fp_snap_token *t, const char *resource, const char *action,
                  struct fp_str team)
{
    struct fp_str have;
    for (size_t pos = 0; team.data && (have = next_team(t, &pos, resource, action)).data;)
        if (fp_str_eq(have, team))
            return true;
    return false;
}

struct fp_str fp_auth_single_team(const struct fp_snap_token *t, const char *resource,
                                  const char *action)
{
    size_t pos = 0;
    struct fp_str first = next_team(t, &pos, resource, action), other;
    while (first.data && (other = next_team(t, &pos, resource, action)).data)
        if (!fp_str_eq(first, other))
            return FP_STR_NULL;
    return first;
}
