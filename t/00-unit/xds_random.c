/*
 * Random interleavings of publications, answers and requests, on virtual time, against a model of
 * what Envoy 1.40 does with state of the world (xds-rules.md §11): it warms a changed cluster until
 * endpoints follow (O-1) and says ACK of CDS then, asks anew for what it needs, drains listeners
 * that were replaced (O-15), rejects whole answers or applies what is good in them (N-6), and
 * reconnects.  Held against it: what is in use is there (O-7, O-9), nobody warms for ever, versions
 * say what contents are (S-17, S-18), nothing rejected comes again (N-3), and in the end it holds
 * what was published.  FP_SEED=n repeats one run, FP_TRACE=1 shows it.
 */
#include "xds_fake.h"

enum { C, E, L, R, TYPES_N };
enum { CLUSTERS_N = 6, LISTENERS_N = 3, ROUTES_N = 4, MOST_N = CLUSTERS_N };
static const char LETTERS[] = "CELR";
static const int COUNTS[TYPES_N] = {CLUSTERS_N, CLUSTERS_N, LISTENERS_N, ROUTES_N};
#define DRAIN_MS 5000
#define QUEUE_N  256

/* A body is a letter, and whom it names: 'X' is bad in itself, 'Z' spoils the whole answer. */
typedef char body_t[4];
struct set {
    body_t at[MOST_N]; /* "": not there */
};
struct request {
    int type;
    bool error;
    char names[64], version[40], nonce[16];
};
struct client {
    struct world *w;
    struct fp_grpc_call *call;
    struct fp_buf in[QUEUE_N];
    struct request out[QUEUE_N];
    unsigned in_n, out_n;
    struct set has[TYPES_N];   /* clusters, listeners: those that serve */
    struct set comes[TYPES_N]; /* clusters that warm, listeners that wait for their routes */
    char names[TYPES_N][64], version[TYPES_N][40], nonce[TYPES_N][16];
    bool asked[TYPES_N], cds_verdict, cds_error, cds_spoilt;
    bool swallowed; /* a verdict on an answer of which nothing was taken was never said (O-6) */
    const struct set *all; /* what is published */
    uint64_t warms_since[CLUSTERS_N];
    uint64_t drains_until[ROUTES_N], subscribed_until[ROUTES_N];
    char rejected[TYPES_N][256]; /* contents, since the last publication */
    unsigned times[TYPES_N];     /* that they came again behind that verdict */
    char newest[TYPES_N][16];    /* nonces of what the server sent last */
    bool heard[TYPES_N];         /* it knows that this was rejected */
    bool settled;                /* since the stream began it has had all once */
    const char *wrong;
};

static unsigned seed;
static bool trace;
static struct { /* version to contents of whole sets */
    int type;
    char version[40], text[256];
} known[4096];
static unsigned known_n;

static unsigned pick(unsigned n)
{
    return (unsigned)rand() % n;
}

static const char *name_of(int type, int i)
{
    static char names[8][4];
    static unsigned next;
    char *s = names[next++ % 8];
    if (type == C || type == E)
        sprintf(s, "%c", 'a' + i);
    else
        sprintf(s, "%c%d", type == L ? 'l' : 'r', i);
    return s;
}

static int index_of(int type, struct fp_str name)
{
    return type == C || type == E ? name.data[0] - 'a' : name.data[1] - '0';
}

static bool is_bad(const char *body)
{
    return *body == 'X' || *body == 'Z';
}

static uint64_t now(const struct client *cl)
{
    return fp_loop_now_ms(cl->w->loop);
}

static void wrong(struct client *cl, const char *what, const char *detail)
{
    static char text[128];
    if (!cl->wrong) {
        snprintf(text, sizeof text, "%s %s at %llu ms", what, detail, (unsigned long long)now(cl));
        cl->wrong = text;
    }
    if (trace)
        printf("# WRONG %s %s\n", what, detail);
}

/* ---- client: requests ---- */

static void request(struct client *cl, int type, bool error)
{
    struct request *r = &cl->out[cl->out_n++];
    if (cl->out_n == QUEUE_N)
        abort();
    *r = (struct request){.type = type, .error = error};
    strcpy(r->names, cl->names[type]);
    strcpy(r->version, cl->version[type]);
    strcpy(r->nonce, cl->nonce[type]);
    cl->asked[type] = true;
}

static int route_of(const char *listener)
{
    return listener[0] ? listener[2] - '0' : -1;
}

static void put_name(char names[64], int type, int i)
{
    sprintf(names + strlen(names), "%s%s", *names ? " " : "", name_of(type, i));
}

/* Asks for what it needs; again: also when that is the same as before (O-2). */
static void renew_names(struct client *cl, int type, bool again)
{
    char names[64] = "";
    unsigned from = pick((unsigned)COUNTS[type]); /* S-9: in any order */
    for (int k = 0; k < COUNTS[type]; k++) {
        int i = (int)(from + (unsigned)k) % COUNTS[type];
        bool wanted = type == E && (*cl->has[C].at[i] || *cl->comes[C].at[i]);
        for (int l = 0; l < LISTENERS_N && type == R; l++)
            wanted |= route_of(cl->has[L].at[l]) == i || route_of(cl->comes[L].at[l]) == i;
        if (type == R)
            wanted |= cl->subscribed_until[i] > now(cl);
        if (wanted)
            put_name(names, type, i);
        else
            *cl->has[type].at[i] = 0;
    }
    unsigned was = 0, is = 0; /* as sets: by names, which are short */
    for (const char *p = cl->names[type]; *p; p++)
        was += *p != ' ' ? (unsigned)(*p * *p) : 0;
    for (const char *p = names; *p; p++)
        is += *p != ' ' ? (unsigned)(*p * *p) : 0;
    if (was == is && !(again && *names))
        return;
    strcpy(cl->names[type], names);
    if (*names || cl->asked[type])
        request(cl, type, false);
}

static void cds_verdict(struct client *cl)
{
    for (int i = 0; i < CLUSTERS_N; i++)
        if (*cl->comes[C].at[i])
            return; /* O-1: withheld */
    if (!cl->cds_verdict)
        return;
    cl->cds_verdict = cl->swallowed = false;
    request(cl, C, cl->cds_error);
    if (!cl->asked[L])
        request(cl, L, false); /* O-12 */
}

/* ---- client: answers ---- */

static void take_clusters(struct client *cl, const struct set *s)
{
    bool moved = false;
    for (int i = 0; i < CLUSTERS_N; i++) {
        const char *is = *cl->comes[C].at[i] ? cl->comes[C].at[i] : cl->has[C].at[i];
        if (!*s->at[i]) {
            *cl->has[C].at[i] = *cl->comes[C].at[i] = 0;
        } else if (*s->at[i] != 'X' && strcmp(s->at[i], is) != 0) { /* O-5 */
            strcpy(cl->comes[C].at[i], s->at[i]);
            cl->warms_since[i] = now(cl);
            moved = true;
        }
    }
    renew_names(cl, E, moved);
}

static void take_endpoints(struct client *cl, const struct set *s)
{
    for (int i = 0; i < CLUSTERS_N; i++) {
        if (!*s->at[i] || *s->at[i] == 'X')
            continue;
        strcpy(cl->has[E].at[i], s->at[i]);
        if (*cl->comes[C].at[i]) {
            strcpy(cl->has[C].at[i], cl->comes[C].at[i]);
            *cl->comes[C].at[i] = 0;
        }
    }
}

/* Listeners whose routes are there begin to serve; those they replace drain. */
static void begin_listeners(struct client *cl)
{
    for (int i = 0; i < LISTENERS_N; i++) {
        int route = route_of(cl->comes[L].at[i]), old = route_of(cl->has[L].at[i]);
        if (route < 0 || !*cl->has[R].at[route])
            continue;
        if (old >= 0)
            cl->drains_until[old] = cl->subscribed_until[old] = now(cl) + DRAIN_MS;
        strcpy(cl->has[L].at[i], cl->comes[L].at[i]);
        *cl->comes[L].at[i] = 0;
    }
}

/* Envoy waits 15 s for endpoints; nobody shall let it but who has none that it takes. */
static void give_up_warming(struct client *cl)
{
    for (int i = 0; i < CLUSTERS_N; i++) {
        if (!*cl->comes[C].at[i] || now(cl) < cl->warms_since[i] + 15000)
            continue;
        if (!cl->swallowed && !is_bad(cl->all[E].at[i]) &&
            strcmp(cl->comes[C].at[i], cl->all[C].at[i]) == 0)
            wrong(cl, "O-1: no endpoints behind it:", name_of(C, i));
        strcpy(cl->has[C].at[i], cl->comes[C].at[i]);
        *cl->comes[C].at[i] = 0;
        cds_verdict(cl);
    }
}

static void take_listeners(struct client *cl, const struct set *s)
{
    for (int i = 0; i < LISTENERS_N; i++) {
        if (!*s->at[i]) {
            *cl->has[L].at[i] = *cl->comes[L].at[i] = 0;
        } else if (*s->at[i] != 'X') {
            bool same = strcmp(s->at[i], cl->has[L].at[i]) == 0;
            strcpy(cl->comes[L].at[i], same ? "" : s->at[i]);
        }
    }
    begin_listeners(cl);
    renew_names(cl, R, false);
}

static void take_routes(struct client *cl, const struct set *s)
{
    for (int i = 0; i < ROUTES_N; i++)
        if (*s->at[i] && *s->at[i] != 'X' && strstr(cl->names[R], name_of(R, i)))
            strcpy(cl->has[R].at[i], s->at[i]);
    begin_listeners(cl);
}

static void check_version(struct client *cl, int type, struct fp_str version, const char *text)
{
    for (unsigned i = 0; i < known_n; i++)
        if (known[i].type == type &&
            (fp_str_eq_c(version, known[i].version) != (strcmp(known[i].text, text) == 0))) {
            wrong(cl, "S-17, S-18: a version of other contents:", text);
            return;
        } else if (known[i].type == type && strcmp(known[i].text, text) == 0) {
            return;
        }
    if (known_n == sizeof known / sizeof *known)
        return;
    known[known_n].type = type;
    snprintf(known[known_n].version, sizeof known->version, "%.*s", FP_STR_ARG(version));
    snprintf(known[known_n++].text, sizeof known->text, "%s", text);
}

/* Body letters of an answer, by name; false: a name came twice. */
static bool read_set(struct fp_str m, int type, struct set *s)
{
    struct fp_xds_field f;
    bool once = true;
    *s = (struct set){0};
    while (fp_xds_wire_next(&m, &f) > 0)
        if (f.number == 2) {
            struct fp_str value = field_of(f.bytes, 2), body = field_of(value, 2);
            char *at = s->at[index_of(type, field_of(value, 1))];
            once &= !*at;
            snprintf(at, sizeof *s->at, "%.*s", FP_STR_ARG(body));
        }
    return once;
}

static void print_set(const struct set *s, int type, char text[256])
{
    *text = 0;
    for (int i = 0; i < COUNTS[type]; i++)
        if (*s->at[i])
            sprintf(text + strlen(text), "%s=%s ", name_of(type, i), s->at[i]);
}

static void apply(struct client *cl, int type, const struct set *s)
{
    static void (*const take[TYPES_N])(struct client *, const struct set *) = {
        take_clusters, take_endpoints, take_listeners, take_routes};
    take[type](cl, s);
}

static int type_of(struct fp_str m)
{
    return (int)(strchr(LETTERS, KIND_LETTERS[fp_kind_by_type_url(field_of(m, 4))]) - LETTERS);
}

static void take_answer(struct client *cl, struct fp_str m)
{
    struct fp_str version = field_of(m, 1);
    int type = type_of(m);
    struct set s;
    char text[256];
    bool bad = false, spoilt = false;
    if (!read_set(m, type, &s))
        wrong(cl, "E-10: twice in one answer:", name_of(type, 0));
    print_set(&s, type, text);
    if (trace)
        printf("# %llu ms  %c <- %s\n", (unsigned long long)now(cl), LETTERS[type], text);
    if (type == C || type == L)
        check_version(cl, type, version, text);
    if (type == E && !*cl->names[E])
        return; /* O-17: unwatched */
    for (int i = 0; i < COUNTS[type]; i++) {
        bad |= *s.at[i] == 'X' || *s.at[i] == 'Z';
        spoilt |= *s.at[i] == 'Z';
    }
    bool again = bad && strcmp(text, cl->rejected[type]) == 0;
    cl->times[type] = again ? cl->times[type] + cl->heard[type] : 0;
    cl->heard[type] = false;
    if (cl->times[type] > (type == E ? 10 : 2)) /* more than clusters before them explain */
        wrong(cl, "N-3: rejected and sent again:", text);
    snprintf(cl->rejected[type], sizeof cl->rejected[type], "%s", bad ? text : "");
    if (type == C) { /* O-6: only the last one's verdict is said */
        cl->swallowed |= cl->cds_verdict && cl->cds_spoilt;
        cl->cds_verdict = false;
        cl->cds_spoilt = spoilt;
    }
    if (!spoilt)
        apply(cl, type, &s);
    snprintf(cl->nonce[type], sizeof cl->nonce[type], "%.*s", FP_STR_ARG(field_of(m, 5)));
    if (!bad)
        snprintf(cl->version[type], sizeof cl->version[type], "%.*s", FP_STR_ARG(version));
    if (type == C) {
        cl->cds_verdict = true;
        cl->cds_error = bad;
    } else {
        request(cl, type, bad);
    }
    cds_verdict(cl);
}

/* ---- the wire ---- */

static void on_sent(struct fp_str message, void *arg)
{
    struct client *cl = arg;
    int type = type_of(message);
    snprintf(cl->newest[type], sizeof *cl->newest, "%.*s", FP_STR_ARG(field_of(message, 5)));
    if (cl->in_n == QUEUE_N)
        abort();
    struct fp_buf *b = &cl->in[cl->in_n++];
    fp_buf_clear(b);
    fp_buf_append_str(b, message);
}

static void receive(struct client *cl)
{
    if (!cl->in_n)
        return;
    struct fp_buf first = cl->in[0];
    memmove(cl->in, cl->in + 1, --cl->in_n * sizeof first);
    cl->in[cl->in_n] = (struct fp_buf){0};
    take_answer(cl, fp_buf_str(&first));
    fp_buf_fini(&first);
}

static void send_one(struct client *cl)
{
    if (!cl->out_n)
        return;
    struct request r = cl->out[0];
    memmove(cl->out, cl->out + 1, --cl->out_n * sizeof r);
    if (trace)
        printf("# %llu ms  %c -> [%s] nonce=%s%s\n", (unsigned long long)now(cl), LETTERS[r.type],
               r.names, r.nonce, r.error ? " NACK" : "");
    cl->heard[r.type] |= r.error && strcmp(r.nonce, cl->newest[r.type]) == 0;
    say(cl->call, LETTERS[r.type], r.names, r.version, r.nonce, r.error ? "no" : NULL);
    turn(cl->w);
}

static void dial_anew(struct client *cl)
{
    if (cl->call)
        hang_up(&cl->call);
    turn(cl->w);
    for (unsigned i = 0; i < QUEUE_N; i++)
        fp_buf_fini(&cl->in[i]);
    memset(cl->in, 0, sizeof cl->in);
    cl->in_n = cl->out_n = 0;
    cl->cds_verdict = cl->settled = false;
    cl->call = dial(cl->w, "envoy");
    cl->call->on_sent = on_sent;
    cl->call->on_sent_arg = cl;
    memset(cl->rejected, 0, sizeof cl->rejected);
    memset(cl->heard, 0, sizeof cl->heard);
    for (int t = 0; t < TYPES_N; t++) {
        bool again = cl->asked[t];
        *cl->nonce[t] = 0;
        if (again || t == C)
            request(cl, t, false);
    }
}

/* ---- what must hold ---- */

static void check_route(struct client *cl, int route)
{
    const char *body = cl->has[R].at[route];
    if (*body && !*cl->has[C].at[body[1] - 'a'])
        wrong(cl, "O-7, O-9: in use and not there:", body);
}

static void check_traffic(struct client *cl)
{
    for (int i = 0; i < LISTENERS_N; i++)
        if (*cl->has[L].at[i])
            check_route(cl, route_of(cl->has[L].at[i]));
    for (int i = 0; i < ROUTES_N; i++)
        if (cl->drains_until[i] > now(cl))
            check_route(cl, i);
}

/* All that is good in the published set is what the client has. */
static void check_end(struct client *cl, const struct set all[TYPES_N])
{
    for (int t = 0; t < TYPES_N; t++)
        for (int i = 0; i < COUNTS[t]; i++) {
            bool wanted = t == C || t == L || strstr(cl->names[t], name_of(t, i));
            const char *is = cl->has[t].at[i], *shall = wanted ? all[t].at[i] : "";
            if (t == E && !*cl->has[C].at[i])
                continue;
            if (t == R && !*shall)
                continue; /* S-13 */
            if (t == L && strcmp(cl->comes[t].at[i], shall) == 0 && *shall &&
                is_bad(all[R].at[route_of(shall)]))
                continue;
            if (!is_bad(shall) && strcmp(is, shall) != 0) {
                char text[32];
                snprintf(text, sizeof text, "%c/%s is %s, not %s", LETTERS[t], name_of(t, i), is,
                         shall);
                wrong(cl, "the end: not as published:", text);
            }
        }
}

/* ---- what is published ---- */

static void change(struct set all[TYPES_N], bool bad)
{
    for (int t = 0; t < TYPES_N; t++)
        for (int i = 0; i < COUNTS[t]; i++) {
            char *at = all[t].at[i];
            if (*at && pick(4))
                continue;
            *at = pick(3) || (t == C && i == 0) || (t == R && i == 0) ? (char)('A' + pick(3)) : 0;
            if (*at && bad && pick(6) == 0)
                *at = pick(3) ? 'X' : 'Z';
            at[1] = 0;
        }
    for (int i = 0; i < CLUSTERS_N; i++) /* each has its endpoints, bad ones too */
        if (!*all[C].at[i])
            *all[E].at[i] = 0;
        else if (!*all[E].at[i])
            strcpy(all[E].at[i], "A");
    for (int t = L; t <= R; t++)
        for (int i = 0; i < COUNTS[t]; i++) {
            int target, of = t == L ? R : C;
            if (!*all[t].at[i])
                continue;
            do
                target = (int)pick((unsigned)COUNTS[of]);
            while (!*all[of].at[target]);
            snprintf(all[t].at[i] + 1, 3, "%s", name_of(of, target));
        }
}

static void publish_sets(struct client *cl, const struct set all[TYPES_N])
{
    char text[1024] = "";
    for (int t = 0; t < TYPES_N; t++)
        for (int i = 0; i < COUNTS[t]; i++) {
            const char *body = all[t].at[i];
            if (!*body)
                continue;
            sprintf(text + strlen(text), "%c/%s=%s", LETTERS[t], name_of(t, i), body);
            if (t == C)
                sprintf(text + strlen(text), ">E/%s", name_of(t, i));
            else if (t != E)
                sprintf(text + strlen(text), ">%c/%s", t == L ? 'R' : 'C', body + 1);
            strcat(text, " ");
        }
    if (trace)
        printf("# %llu ms  publish %s\n", (unsigned long long)now(cl), text);
    memset(cl->rejected, 0, sizeof cl->rejected);
    publish(cl->w, text);
}

/* ---- runs ---- */

static void advance(struct client *cl, uint64_t ms)
{
    uint64_t before = now(cl);
    fp_loop_fake_advance(cl->w->loop, ms);
    give_up_warming(cl);
    for (int i = 0; i < ROUTES_N; i++)
        if (cl->subscribed_until[i] > before && cl->subscribed_until[i] <= now(cl))
            renew_names(cl, R, false);
}

static void quiesce(struct client *cl)
{
    for (int i = 0; i < 80; i++) {
        for (int n = 0; cl->in_n || cl->out_n; n++) {
            if (n == 2000) { /* each answer is rejected, and each rejection answered */
                wrong(cl, "N-3:", "no end of it");
                return;
            }
            receive(cl);
            send_one(cl);
        }
        advance(cl, 500);
    }
    cl->settled = true;
}

static void run(bool bad, bool reconnects)
{
    const struct fp_xds_options o = {
        .control_plane_id = "t",
        .ordering_timeout_ms = bad ? 15000 : 360000000, /* no rule may need it */
        .proxy_drain_time_ms = 60000,
        .max_streams = 9,
    };
    struct client *cl = calloc(1, sizeof *cl);
    struct set all[TYPES_N] = {{{{0}}}};
    cl->w = world_open(&o);
    cl->all = all;
    change(all, bad);
    publish_sets(cl, all);
    dial_anew(cl);
    for (int n = 0; n < 1500 && !cl->wrong; n++) {
        unsigned what = pick(100);
        if (what < 3) {
            for (unsigned k = pick(3) + 1; k; k--) /* in a burst too, and back again */
                change(all, bad), publish_sets(cl, all);
        } else if (what < 50) {
            receive(cl);
        } else if (what < 90) {
            send_one(cl);
        } else if (what == 90 && reconnects && pick(4) == 0) {
            dial_anew(cl);
        } else if (what == 91 && pick(4) == 0) {
            quiesce(cl);
        } else {
            advance(cl, pick(300));
        }
        if (cl->settled && !bad)
            check_traffic(cl);
    }
    quiesce(cl);
    for (int i = 0; i < 3; i++)
        advance(cl, 10000), quiesce(cl);
    if (!bad || !reconnects) /* what a client brought is not kept apart (N-12) */
        check_end(cl, all);
    unsigned before = cl->call->sends;
    advance(cl, 600000);
    if (cl->call->sends != before)
        wrong(cl, "the end:", "no silence");
    change(all, false);
    for (int t = 0; t < TYPES_N; t++)
        for (int i = 0; i < COUNTS[t]; i++)
            if (is_bad(all[t].at[i]))
                *all[t].at[i] = 'A';
    publish_sets(cl, all);
    quiesce(cl);
    check_end(cl, all); /* N-10 */
    ok(!cl->wrong, "seed %u%s%s: %s", seed, bad ? ", rejections" : "",
       reconnects ? ", reconnects" : "", cl->wrong ? cl->wrong : "all as it must be");
    hang_up(&cl->call);
    for (unsigned i = 0; i < QUEUE_N; i++)
        fp_buf_fini(&cl->in[i]);
    world_close(&cl->w);
    free(cl);
}

/* Of a long run; what each was about is a test of its own in xds_nack.c or xds_isolate.c. */
static const unsigned found[] = {72,  76,  282, 310,  462,  492,  694, 702,
                                 714, 778, 856, 1016, 1078, 1132, 1340};

static void run_seed(unsigned n)
{
    seed = n;
    srand(n);
    known_n = 0;
    run(n % 2 == 0, n % 3 == 0);
}

int main(void)
{
    const char *one = getenv("FP_SEED"), *all = getenv("FP_LONG");
    unsigned first = one ? (unsigned)atoi(one) : 1, n = one ? 1 : all ? 4000 : 40;
    trace = getenv("FP_TRACE") != NULL;
    for (unsigned i = 0; i < n; i++)
        run_seed(first + i);
    for (size_t i = 0; i < sizeof found / sizeof *found && !one && !all; i++)
        run_seed(found[i]);
    return done_testing();
}
