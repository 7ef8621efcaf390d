/*
 * flowplanectl(8): the table of commands, options, help.  What a command does is in its own file.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "codec/codec_json.h"
#include "ctl/ctl_int.h"
#include "fp_config.h"

static int help(struct ctl_call *c);
static int version(struct ctl_call *c);

static const struct ctl_command commands[] = {
    {{"descriptors", "extract"},
     "--envoy PROGRAM --output FILE",
     "write the descriptors inside an Envoy program, for xds.descriptor_set",
     CTL_ENVOY | CTL_OUTPUT,
     false,
     ctl_descriptors_extract},
    {{"descriptors", "show"},
     "[-c CONFIGURATION] [FILE]",
     "show the set in a file, or the one that the server's configuration names",
     CTL_CONF,
     true,
     ctl_descriptors_show},
    {{"audit", "verify"},
     "[--database-url URL | -c CONFIGURATION]",
     "check the chain of hashes over the audit trail (audit.hash_chain)",
     CTL_CONF | CTL_DATABASE,
     false,
     ctl_audit_verify},
    {{"tokens", "bootstrap"},
     "[--database-url URL | -c CONFIGURATION]",
     "make a token with admin:all, when none is left",
     CTL_CONF | CTL_DATABASE,
     false,
     ctl_tokens_bootstrap},
    {{"version"}, "", "show the version", 0, false, version},
    {{"help"}, "", "show this text", 0, false, help},
};
#define COMMANDS_N (sizeof commands / sizeof *commands)

/* Options that belong to commands; all that a command takes must be there, but for some. */
#define MAY_LACK ((unsigned)(CTL_CONF | CTL_DATABASE))
static const struct {
    unsigned bit;
    const char *name;
} own_options[] = {{CTL_CONF, "-c"},
                   {CTL_ENVOY, "--envoy"},
                   {CTL_OUTPUT, "--output"},
                   {CTL_DATABASE, "--database-url"}};

static int help(struct ctl_call *c)
{
    puts("Usage: flowplanectl [OPTION]... COMMAND [ARGUMENT]...");
    for (size_t i = 0; i < COMMANDS_N; i++) {
        const struct ctl_command *m = &commands[i];
        printf("  %s%s%s%s%s\n      %s\n", m->words[0], m->words[1] ? " " : "",
               m->words[1] ? m->words[1] : "", *m->arguments ? " " : "", m->arguments, m->does);
    }
    puts("Options:\n"
         "  -o FORMAT   table, json or yaml; --json is -o json\n"
         "  --quiet     say nothing but errors\n"
         "  --version, --help");
    return CTL_DONE;
}

static int version(struct ctl_call *c)
{
    json_t *v = json_object();
    json_object_set_new(v, "version", json_string(FP_VERSION));
    if (c->format == CTL_TABLE)
        puts("flowplanectl " FP_VERSION);
    else
        ctl_print(c, v);
    json_decref(v);
    return CTL_DONE;
}

static int format(struct ctl_call *c, const char *name)
{
    static const char *const names[] = {
        [CTL_TABLE] = "table", [CTL_JSON] = "json", [CTL_YAML] = "yaml"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            c->format = (enum ctl_format)i;
            return -1;
        }
    }
    return ctl_fail(c, CTL_USAGE, "no format \"%s\": table, json or yaml", name);
}

enum { QUIET = 256, JSON, NO_COLOR, ENVOY, OUTPUT, DATABASE_URL };

static const struct option longs[] = {{"quiet", no_argument, NULL, QUIET},
                                      {"json", no_argument, NULL, JSON},
                                      {"no-color", no_argument, NULL, NO_COLOR},
                                      {"envoy", required_argument, NULL, ENVOY},
                                      {"output", required_argument, NULL, OUTPUT},
                                      {"database-url", required_argument, NULL, DATABASE_URL},
                                      {"help", no_argument, NULL, 'h'},
                                      {"version", no_argument, NULL, 'v'},
                                      {NULL, 0, NULL, 0}};

/* Exit status, or -1: go on. */
static int option(struct ctl_call *c, int opt)
{
    switch (opt) {
    case 'c':
        c->conf = optarg;
        c->given |= CTL_CONF;
        return -1;
    case ENVOY:
        c->envoy = optarg;
        c->given |= CTL_ENVOY;
        return -1;
    case OUTPUT:
        c->output = optarg;
        c->given |= CTL_OUTPUT;
        return -1;
    case DATABASE_URL:
        c->database_url = optarg;
        c->given |= CTL_DATABASE;
        return -1;
    case 'o':
        return format(c, optarg);
    case JSON:
        c->format = CTL_JSON;
        return -1;
    case QUIET:
        c->quiet = true;
        return -1;
    case NO_COLOR: /* nothing is coloured */
        return -1;
    case 'h':
        return help(c);
    case 'v':
        return version(c);
    default: /* getopt said which */
        fputs(CTL_HINT, stderr);
        return CTL_USAGE;
    }
}

static const struct ctl_command *find(int n, char **words, int *used)
{
    for (size_t i = 0; i < COMMANDS_N; i++) {
        const struct ctl_command *m = &commands[i];
        *used = m->words[1] ? 2 : 1;
        if (n >= *used && strcmp(words[0], m->words[0]) == 0 &&
            (!m->words[1] || strcmp(words[1], m->words[1]) == 0))
            return m;
    }
    return NULL;
}

static int check(struct ctl_call *c, const struct ctl_command *m)
{
    for (size_t i = 0; i < sizeof own_options / sizeof *own_options; i++) {
        unsigned bit = own_options[i].bit;
        if (c->given & ~m->options & bit)
            return ctl_fail(c, CTL_USAGE, "%s takes no %s", m->words[1] ? m->words[1] : m->words[0],
                            own_options[i].name);
        if (m->options & ~c->given & ~MAY_LACK & bit)
            return ctl_fail(c, CTL_USAGE, "%s needs %s", m->words[1] ? m->words[1] : m->words[0],
                            own_options[i].name);
    }
    return -1;
}

static int run(struct ctl_call *c, int argc, char **argv)
{
    int opt, done = -1, used;
    while (done < 0 && (opt = getopt_long(argc, argv, "c:o:h", longs, NULL)) != -1)
        done = option(c, opt);
    if (done >= 0)
        return done;
    argc -= optind;
    argv += optind;
    if (argc == 0)
        return ctl_fail(c, CTL_USAGE, "no command");
    const struct ctl_command *m = find(argc, argv, &used);
    if (!m)
        return ctl_fail(c, CTL_USAGE, "no command \"%s%s%s\"", argv[0], argc > 1 ? " " : "",
                        argc > 1 ? argv[1] : "");
    if (argc - used > m->argument)
        return ctl_fail(c, CTL_USAGE, "unexpected argument \"%s\"", argv[used + m->argument]);
    c->argument = argc > used ? argv[used] : NULL;
    done = check(c, m);
    return done >= 0 ? done : m->run(c);
}

int main(int argc, char **argv)
{
    struct ctl_call c = {.arena = fp_arena_new(NULL)};
    fp_json_init();
    int status = run(&c, argc, argv);
    fp_arena_free(&c.arena);
    if (fflush(stdout) != 0 || ferror(stdout))
        return CTL_FAILED;
    return status;
}
