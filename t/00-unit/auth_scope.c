/* Scopes: every form of contract §4.4 and what it grants. */
#include "auth/auth_scope.c"
#include "tap.h"

static struct fp_snap_token token_of(const struct fp_str *scopes, uint32_t n, struct fp_buf *mem)
{
    struct fp_snap_token t = {.id = FP_STR("00000000-0000-4000-8000-000000000000"),
                              .name = FP_STR("t"),
                              .scopes = scopes,
                              .scopes_n = n};
    struct fp_snap_token out;
    fp_buf_clear(mem);
    fp_snap_token_encode(mem, &t);
    if (fp_snap_token_decode(fp_buf_str(mem), &out) != FP_OK)
        memset(&out, 0, sizeof(out));
    return out;
}

static void grammar(void)
{
    static const struct {
        const char *scope;
        bool valid;
    } cases[] = {
        {"clusters:read", true},
        {"clusters:*", true},
        {"admin:all", true},
        {"api-definitions:read", true},
        {"team:shop:clusters:read", true},
        {"team:shop:*:*", true},
        {"team:shop-1:routes:write", true},
        {"gateways:import", true},
        {"made-up:thing", true},
        {"clusters", false},
        {"clusters:", false},
        {":read", false},
        {"Clusters:read", false},
        {"clusters:read:x", false},
        {"team:Shop:clusters:read", false},
        {"team::clusters:read", false},
        {"-x:read", false},
        {"clusters:re-ad", false},
        {"team:shop:clusters:read:x", false},
        {"", false},
        {"team:shop:9x:read", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ok(fp_auth_scope_valid(fp_str_of(cases[i].scope)) == cases[i].valid, "'%s' is %s",
           cases[i].scope, cases[i].valid ? "valid" : "refused");
}

static void grants(void)
{
    static const struct {
        const char *scope, *resource, *action;
        enum fp_auth_grant grant;
    } cases[] = {
        {"clusters:read", "clusters", "read", FP_AUTH_ALL},
        {"clusters:write", "clusters", "read", FP_AUTH_NONE}, /* write does not include read */
        {"clusters:*", "clusters", "write", FP_AUTH_ALL},
        {"clusters:read", "routes", "read", FP_AUTH_NONE},
        {"admin:all", "tokens", "write", FP_AUTH_ALL},
        {"team:shop:clusters:read", "clusters", "read", FP_AUTH_TEAMS},
        {"team:shop:clusters:read", "clusters", "write", FP_AUTH_NONE},
        {"team:shop:*:*", "listeners", "write", FP_AUTH_TEAMS},
        {"team:shop:*:*", "tokens", "read", FP_AUTH_NONE}, /* tokens need unscoped scopes */
        {"made-up:read", "clusters", "read", FP_AUTH_NONE},
    };
    struct fp_buf mem = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fp_str s = fp_str_of(cases[i].scope);
        struct fp_snap_token t = token_of(&s, 1, &mem);
        is_int(fp_auth_scope(&t, cases[i].resource, cases[i].action), cases[i].grant,
               "%s for %s:%s", cases[i].scope, cases[i].resource, cases[i].action);
    }
    fp_buf_fini(&mem);
}

static void teams(void)
{
    struct fp_str two[] = {FP_STR("team:shop:clusters:write"), FP_STR("team:bank:clusters:write"),
                           FP_STR("team:shop:clusters:*")};
    struct fp_buf mem = {0};
    struct fp_snap_token t = token_of(two, 3, &mem);
    ok(fp_auth_team(&t, "clusters", "write", FP_STR("bank")), "a granted team");
    ok(!fp_auth_team(&t, "clusters", "write", FP_STR("ban")), "not a prefix of it");
    ok(!fp_auth_team(&t, "clusters", "write", FP_STR_NULL), "rows without a team are foreign");
    ok(!fp_auth_single_team(&t, "clusters", "write").data, "several teams: no single one");
    ok(fp_str_eq(fp_auth_single_team(&t, "clusters", "read"), FP_STR("shop")), "one team for read");
    fp_buf_fini(&mem);
}

int main(void)
{
    grammar();
    grants();
    teams();
    return done_testing();
}
