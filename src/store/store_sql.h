/* The migrations of sql/, linked into the program by the build; ascending versions. */
#pragma once
#include <stddef.h>

struct fp_sql_migration {
    int version;
    const char *name;
    const char *text;
    size_t text_bytes;
};
extern const struct fp_sql_migration fp_sql_migrations[];
extern const size_t fp_sql_migrations_n;
