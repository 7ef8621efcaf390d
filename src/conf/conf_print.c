/*
 * What the tables say: -T (a configuration that loads again) and the directive part of
 * flowplane.conf(5).  Runs in the command line only.
 */
#include "conf/conf_int.h"

/* The group of a directive: "api.tls" of "api.tls.cert_path". */
static struct fp_str group_of(const char *name)
{
    return fp_str_n(name, (size_t)(strrchr(name, '.') - name));
}

static void print_one(const struct fp_conf *c, size_t i, const char *indent, FILE *out)
{
    const struct fp_conf_directive *d = &fp_conf_table[i];
    struct fp_buf b = {0};
    bool set = fp_conf_value_print(c, d, &b);
    const char *text = fp_buf_cstr(&b);
    const char *key = strrchr(d->name, '.') + 1;
    bool masked = set && (d->flags & FP_CONF_SECRET) && strstr(text, "***");
    /* what is unset or masked is a comment, so that the whole loads again */
    fprintf(out, "%s%s%s = %s;", indent, !set || masked || (d->flags & FP_CONF_HIDDEN) ? "# " : "",
            key, set ? text : "unset");
    fprintf(out, "  # %s: %s, class %c\n", d->name, c->origins[i] ? c->origins[i] : "default",
            d->class);
    fp_buf_fini(&b);
}

/* Groups as they stand in the table; a nested group ("api.tls") opens inside its parent. */
void fp_conf_print(const struct fp_conf *c, FILE *out)
{
    static const char *const indents[] = {"", "  ", "    "};
    struct fp_str open[2] = {FP_STR_NULL, FP_STR_NULL}; /* full names of the open groups */
    size_t depth = 0;
    for (size_t i = 0; i < fp_conf_table_n; i++) {
        struct fp_str g = group_of(fp_conf_table[i].name);
        while (depth && !fp_str_eq(open[depth - 1], g) &&
               !(fp_str_starts(g, open[depth - 1]) && g.data[open[depth - 1].len] == '.'))
            fprintf(out, "%s};\n", indents[--depth]);
        while (depth == 0 || !fp_str_eq(open[depth - 1], g)) {
            size_t from = depth ? open[depth - 1].len + 1 : 0, to = from;
            while (to < g.len && g.data[to] != '.')
                to++;
            fprintf(out, "%s%.*s : {\n", indents[depth], (int)(to - from), g.data + from);
            open[depth++] = fp_str_n(g.data, to);
        }
        print_one(c, i, indents[depth], out);
    }
    while (depth)
        fprintf(out, "%s};\n", indents[--depth]);
}

static void man_text(const char *s, FILE *out)
{
    for (; *s; s++)
        fputs(*s == '\\' ? "\\e" : *s == '-' ? "\\-" : (char[2]){*s, 0}, out);
}

static const char *man_type(const struct fp_conf_directive *d)
{
    static const char *const names[] = {
        [FP_CONF_T_STRING] = "string", [FP_CONF_T_PATH] = "path",    [FP_CONF_T_INT] = "integer",
        [FP_CONF_T_SIZE] = "size",     [FP_CONF_T_DUR] = "duration", [FP_CONF_T_BOOL] = "boolean",
        [FP_CONF_T_RATIO] = "number",  [FP_CONF_T_LIST] = "list",    [FP_CONF_T_CHOICE] = "word"};
    return names[d->type];
}

static void man_choices(const char *choices, FILE *out)
{
    struct fp_str rest = fp_str_of(choices);
    fputs("one of", out);
    while (rest.data) {
        struct fp_str w = fp_str_split(rest, '|', &rest);
        fprintf(out, "\n.Cm %.*s%s", FP_STR_ARG(w), rest.data ? " ," : " ;");
    }
    fputc('\n', out);
}

static void man_range(const struct fp_conf_directive *d, FILE *out)
{
    /* bounds in the unit people write: the value printer knows it */
    static struct fp_conf scratch;
    int64_t ends[2] = {d->min, d->max};
    for (int i = 0; i < 2; i++) {
        void *f = fp_conf_field(&scratch, d);
        if (d->width == 2)
            *(uint16_t *)f = (uint16_t)ends[i];
        else if (d->width == 4)
            *(uint32_t *)f = (uint32_t)ends[i];
        else
            *(uint64_t *)f = (uint64_t)ends[i];
        fputs(i ? " to " : ", ", out);
        struct fp_buf b = {0};
        fp_conf_value_print(&scratch, d, &b);
        fputs(fp_buf_cstr(&b), out);
        fp_buf_fini(&b);
    }
}

/* As a file has it. */
static void man_default(const struct fp_conf_directive *d, FILE *out)
{
    bool list = d->type == FP_CONF_T_LIST;
    bool bare =
        d->type == FP_CONF_T_BOOL || d->type == FP_CONF_T_RATIO ||
        (d->def && d->type != FP_CONF_T_STRING && strspn(d->def, "0123456789") == strlen(d->def));
    fputs("default ", out);
    if (!d->def || !*d->def) {
        fputs(list ? "empty" : "unset", out);
        return;
    }
    fputs(list ? "[\\(dq" : bare ? "" : "\\(dq", out);
    man_text(d->def, out);
    fputs(list ? "\\(dq]" : bare ? "" : "\\(dq", out);
}

void fp_conf_print_man(FILE *out)
{
    struct fp_str group = FP_STR_NULL;
    for (size_t i = 0; i < fp_conf_table_n; i++) {
        const struct fp_conf_directive *d = &fp_conf_table[i];
        struct fp_str g = fp_str_n(d->name, strcspn(d->name, "."));
        if (!fp_str_eq(g, group)) {
            if (group.data)
                fputs(".El\n", out);
            fprintf(out, ".Ss %.*s\n.Bl -tag -width Ds\n", FP_STR_ARG(g));
            group = g;
        }
        fprintf(out, ".It Ic %s\n", d->name);
        man_text(d->help, out);
        if (d->flags & FP_CONF_LATER)
            fputs("\nAccepted and checked; the feature is not in this version.", out);
        fprintf(out, "\n.br\nType %s", man_type(d));
        if (d->choices)
            fputs(", ", out), man_choices(d->choices, out);
        else if (d->type == FP_CONF_T_INT || d->type == FP_CONF_T_SIZE || d->type == FP_CONF_T_DUR)
            man_range(d, out), fputs(";\n", out);
        else
            fputs(";\n", out);
        man_default(d, out);
        fprintf(out, "; class %c.\n", d->class);
        char env[80];
        fp_conf_env_name(env, d->name);
        bool own = !(d->flags & FP_CONF_HIDDEN);
        fputs("Environment:\n", out);
        if (own)
            fprintf(out, ".Ev %s%s\n", env, d->env[0] && strcmp(d->env[0], env) ? " ," : " .");
        if (d->env[0] && strcmp(d->env[0], env))
            fprintf(out, ".Ev %s .\n", d->env[0]);
    }
    fputs(".El\n", out);
}
