/* The database, for flowplanectl's commands that need no server. */
#pragma once
#include "ctl/ctl_int.h"
#include "store/store.h"

struct ctl_db {
    struct fp_loop *loop; /* run it after a request; the answer stops it */
    struct fp_store *store;
};
/* An exit status; only CTL_DONE has something to close. */
int ctl_db_open(struct ctl_call *c, struct ctl_db *db);
void ctl_db_close(struct ctl_db *db);
/* After a request that the database did not do: says why, and returns the exit status. */
int ctl_db_fail(struct ctl_call *c, const struct ctl_db *db);
