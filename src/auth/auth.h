/* Who is calling, and may they?  Pure functions over the token table of a snapshot (contract §4).
 */
#pragma once
#include "snap/snap_reader.h"
#include "snap/snap_token.h"

enum fp_auth_verdict { /* in the order of contract §4.3 */
                       FP_AUTH_OK,
                       FP_AUTH_MISSING,
                       FP_AUTH_MALFORMED,
                       FP_AUTH_NOT_FOUND,
                       FP_AUTH_BAD_SECRET,
                       FP_AUTH_REVOKED,
                       FP_AUTH_INACTIVE,
                       FP_AUTH_EXPIRED,
};
struct fp_auth_info {
    const char *message; /* "unauthorized: token expired" */
    const char *reason;  /* "expired_token": audit row */
    const char *metric;  /* "expired": auth_authentications_total{status} */
};
extern const struct fp_auth_info fp_auth_infos[];

/* authorization: the header's value, data == NULL when absent.  token is borrowed from the
 * snapshot. */
enum fp_auth_verdict fp_auth_check(const struct fp_snap *s, struct fp_str authorization,
                                   int64_t now_wall_ms, struct fp_snap_token *token);
/* The two parts of a header's value; false: not our format. */
bool fp_auth_split(struct fp_str authorization, struct fp_str *id, struct fp_str *secret);
/* The same decision for a token from elsewhere; NULL: there is none of that id. */
enum fp_auth_verdict fp_auth_judge(const struct fp_snap_token *token, struct fp_str secret,
                                   int64_t now_wall_ms);
bool fp_auth_scope_valid(struct fp_str scope); /* contract §4.4 pattern */
/*
 * May this token do `action` ("read", "write") on `resource` ("clusters")?  ALL: every team. TEAMS:
 * only rows of the teams for which fp_auth_team returns true.
 */
enum fp_auth_grant { FP_AUTH_NONE, FP_AUTH_TEAMS, FP_AUTH_ALL };
enum fp_auth_grant fp_auth_scope(const struct fp_snap_token *t, const char *resource,
                                 const char *action);
bool fp_auth_team(const struct fp_snap_token *t, const char *resource, const char *action,
                  struct fp_str team);
/* The only team granted, or FP_STR_NULL when there are none or several. */
struct fp_str fp_auth_single_team(const struct fp_snap_token *t, const char *resource,
                                  const char *action);
