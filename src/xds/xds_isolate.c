/*
 * Suspects of a rejection (contract P7), in workers.  Those whose bytes were new in it stay at the
 * bytes that were ACKed before, and are tried by halving, a second after the last verdict: who is
 * in a group that passes stays, a group that is rejected is tried in halves, and who was rejected
 * alone waits until any suspect changes: k bad ones of n take some 2 k log n trials.  When the
 * client names culprits, the others are tried at once and together: it runs them already (N-6).
 * Must never send rejected contents again (N-3), nor take away what a client brought along whose
 * words name nobody.
 */
#include "xds/xds_isolate_int.h"
#include <stdlib.h>
#include "core/core_assert.h"
#include "core/core_mem.h"

#define TRIAL_MS 1000
#define NOBODY   UINT32_MAX

#define RANGES_N 40 /* halves of at most 2^32 suspects, one or two a level */

enum verdict { UNTRIED, NAMED /* by the client: tried alone */, TRYING, GOOD, BAD };

struct range { /* the untried suspects among from … to-1 */
    uint32_t from, to;
    bool half; /* the other half of what was rejected is on trial: it or this one has a bad one */
};

struct fp_xds_isolation {
    struct fp_xds_stream *stream;
    struct fp_xds_subscription *ts;
    struct fp_xds_suspects *suspects;
    struct fp_timer timer;
    uint64_t view_id;              /* the suspects' bytes are those of this view */
    uint64_t sum[4];               /* terms of those that are kept apart */
    struct fp_xds_state *baseline; /* ACKed before the rejection; NULL: nothing was */
    uint32_t trying_n, apart_n, untried_n /* or NAMED */;
    bool spared;        /* those in use were left in, once: one of them may be the bad one */
    struct range trial; /* on trial, or tried last */
    uint32_t ranges_n;
    struct range ranges[RANGES_N]; /* to be tried, the last one first */
    uint8_t verdicts[];
};

/* ---- suspects ---- */

struct fp_xds_suspects *fp_xds_suspects_ref(struct fp_xds_suspects *s)
{
    s->refs++;
    return s;
}

void fp_xds_suspects_unref(struct fp_xds_suspects **sp)
{
    struct fp_xds_suspects *s = *sp;
    *sp = NULL;
    if (s && --s->refs == 0)
        fp_mem_free(s);
}

static int by_name(const void *a, const void *b)
{
    return fp_str_cmp(((const struct fp_xds_suspect *)a)->name,
                      ((const struct fp_xds_suspect *)b)->name);
}

/* Takes the names over into the new block. */
static struct fp_xds_suspects *make(const struct fp_xds_suspect *from, uint32_t n)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += from[i].name.len;
    struct fp_xds_suspects *s = fp_mem_zalloc(sizeof *s + n * sizeof *s->at + bytes);
    s->refs = 1;
    s->n = n;
    s->at = (struct fp_xds_suspect *)(s + 1);
    memcpy(s->at, from, n * sizeof *s->at);
    qsort(s->at, n, sizeof *s->at, by_name);
    char *p = (char *)(s->at + n);
    for (uint32_t i = 0; i < n; i++) {
        memcpy(p, s->at[i].name.data, s->at[i].name.len);
        s->at[i].name.data = p;
        p += s->at[i].name.len;
    }
    return s;
}

static struct fp_xds_suspect *list(const struct fp_xds_change *c, uint32_t more)
{
    struct fp_xds_suspect *l = fp_mem_calloc((size_t)c->changed_n + more, sizeof *l);
    for (uint32_t i = 0; i < c->changed_n; i++) {
        l[i].name = c->changed[i].name;
        memcpy(l[i].hash, c->changed[i].hash, sizeof l[i].hash);
        fp_snap_set_term(&c->changed[i], l[i].term);
    }
    return l;
}

/* Those of a first rejection: the same for all streams that came from the same state. */
static struct fp_xds_suspects *shared(struct fp_xds_state *rejected,
                                      const struct fp_xds_state *acked,
                                      const struct fp_xds_change *c)
{
    uint64_t from = acked ? acked->id : 0;
    if (!rejected->suspects || rejected->suspects_from != from) {
        struct fp_xds_suspect *l = list(c, 0);
        fp_xds_suspects_unref(&rejected->suspects);
        rejected->suspects = make(l, c->changed_n);
        rejected->suspects_from = from;
        fp_mem_free(l);
    }
    return fp_xds_suspects_ref(rejected->suspects);
}

static uint32_t index_of(const struct fp_xds_suspects *s, struct fp_str name)
{
    const struct fp_xds_suspect key = {.name = name};
    const struct fp_xds_suspect *found =
        s->n ? bsearch(&key, s->at, s->n, sizeof key, by_name) : NULL;
    return found ? (uint32_t)(found - s->at) : NOBODY;
}

/* ---- verdicts ---- */

static bool is_untried(uint8_t verdict)
{
    return verdict == UNTRIED || verdict == NAMED;
}

static bool is_apart(uint8_t verdict)
{
    return is_untried(verdict) || verdict == BAD;
}

static void judge(struct fp_xds_isolation *iso, uint32_t i, enum verdict v)
{
    bool was = is_apart(iso->verdicts[i]), now = is_apart(v);
    iso->untried_n -= is_untried(iso->verdicts[i]);
    iso->untried_n += is_untried(v);
    iso->trying_n -= iso->verdicts[i] == TRYING;
    iso->trying_n += v == TRYING;
    iso->verdicts[i] = (uint8_t)v;
    iso->apart_n += now;
    iso->apart_n -= was;
    for (int j = 0; j < 4 && was != now; j++)
        if (now)
            iso->sum[j] += iso->suspects->at[i].term[j];
        else
            iso->sum[j] -= iso->suspects->at[i].term[j];
}

static void schedule(struct fp_xds_isolation *iso)
{
    if (iso->untried_n && !iso->trying_n && !fp_timer_running(&iso->timer))
        fp_timer_start(iso->stream->engine->loop, &iso->timer, TRIAL_MS);
}

/* ---- halving ---- */

/* Verdict `from` becomes `to` in the range, for the first n at most; how many: */
static uint32_t judge_range(struct fp_xds_isolation *iso, struct range r, enum verdict from,
                            enum verdict to, uint32_t n)
{
    uint32_t done = 0;
    for (uint32_t i = r.from; i < r.to && done < n; i++)
        if (iso->verdicts[i] == from) {
            judge(iso, i, to);
            done++;
        }
    return done;
}

/* A range with a bad one in it is tried in halves. */
static void divide(struct fp_xds_isolation *iso, struct range r)
{
    uint32_t n = 0, middle = r.from;
    for (uint32_t i = r.from; i < r.to; i++)
        n += iso->verdicts[i] == UNTRIED;
    for (uint32_t left = n / 2; left; middle++)
        left -= iso->verdicts[middle] == UNTRIED;
    FP_ASSERT(iso->ranges_n + 2 <= RANGES_N);
    if (n)
        iso->ranges[iso->ranges_n++] = (struct range){middle, r.to, .half = n > 1};
    if (n > 1)
        iso->ranges[iso->ranges_n++] = (struct range){r.from, middle, .half = false};
}

/* What the verdict on one half says of the other. */
static void conclude(struct fp_xds_isolation *iso, bool passed)
{
    if (!iso->ranges_n || !iso->ranges[iso->ranges_n - 1].half)
        return;
    if (passed)
        divide(iso, iso->ranges[--iso->ranges_n]);
    else
        iso->ranges[iso->ranges_n - 1].half = false;
}

static void begin_trial(struct fp_xds_isolation *iso)
{
    const struct range all = {0, iso->suspects->n, .half = false};
    while (iso->ranges_n) {
        iso->trial = iso->ranges[--iso->ranges_n];
        if (judge_range(iso, iso->trial, UNTRIED, TRYING, UINT32_MAX))
            return;
    }
    iso->trial = all;
    if (!judge_range(iso, all, UNTRIED, TRYING, UINT32_MAX))
        judge_range(iso, all, NAMED, TRYING, 1);
}

static void on_trial(struct fp_timer *t)
{
    struct fp_xds_isolation *iso = t->arg;
    if (iso->ts->in_flight || iso->stream->ended) { /* alone: nothing else under way */
        schedule(iso);
        return;
    }
    begin_trial(iso);
    fp_xds_engine_wake(iso->stream->engine, iso->stream);
}

static struct fp_xds_isolation *isolate(struct fp_xds_stream *st, struct fp_xds_subscription *ts,
                                        struct fp_xds_suspects *suspects)
{
    struct fp_xds_isolation *iso = fp_mem_zalloc(sizeof *iso + suspects->n);
    iso->stream = st;
    iso->ts = ts;
    iso->suspects = suspects;
    fp_xds_state_set(&iso->baseline, ts->acked);
    iso->timer = (struct fp_timer){.cb = on_trial, .arg = iso};
    iso->view_id = ts->sent->view->id;
    iso->trial = (struct range){0, suspects->n, .half = false};
    for (uint32_t i = 0; i < suspects->n; i++) {
        iso->verdicts[i] = GOOD; /* judged from nothing */
        judge(iso, i, UNTRIED);
    }
    return iso;
}

static bool changes(const struct fp_xds_change *c, struct fp_str name)
{
    for (uint32_t i = 0; i < c->changed_n; i++)
        if (fp_str_eq(c->changed[i].name, name))
            return true;
    return false;
}

/* What is kept apart already, and what came new into a set that was rejected again. */
static struct fp_xds_isolation *widen(struct fp_xds_stream *st, struct fp_xds_subscription *ts,
                                      const struct fp_xds_change *c)
{
    const struct fp_xds_isolation *old = ts->isolation;
    struct fp_xds_suspect *l = list(c, old->suspects->n);
    uint32_t n = c->changed_n;
    for (uint32_t i = 0; i < old->suspects->n; i++) /* some come back as they were ACKed */
        if (is_apart(old->verdicts[i]) && !changes(c, old->suspects->at[i].name))
            l[n++] = old->suspects->at[i];
    struct fp_xds_isolation *iso = isolate(st, ts, make(l, n));
    for (uint32_t i = 0; i < old->suspects->n; i++)
        if (old->verdicts[i] == BAD && !changes(c, old->suspects->at[i].name))
            judge(iso, index_of(iso->suspects, old->suspects->at[i].name), BAD);
    iso->spared = old->spared;
    fp_mem_free(l);
    return iso;
}

/*
 * ---- whom the client names: `cluster(s) odd one: …`, `listener 'odd' …`, `… in route odd one`.
 * Envoy prints names as they are, blanks and quotes too: so known names are looked for in its
 * words, the longest first. ----
 */

#define QUOTES "'\"`"
enum naming { NOT_NAMED, PERHAPS /* any word is like a name */, SURELY /* colon or quotes */ };

static bool is_blank(char c)
{
    return (unsigned char)c <= ' ';
}

/* How message[at … end) stands out of it. */
static enum naming set_apart(struct fp_str message, size_t at, size_t end)
{
    char open = at ? message.data[at - 1] : ' ';
    bool quoted = end < message.len && message.data[end] == open && open && strchr(QUOTES, open);
    bool colon = false;
    for (; end < message.len && !is_blank(message.data[end]); end++) {
        char c = message.data[end];
        if (!strchr(QUOTES ").,;:", c))
            return NOT_NAMED;
        quoted &= !strchr(QUOTES, c) || c == open;
        colon |= c == ':';
    }
    return colon || quoted ? SURELY : PERHAPS;
}

static size_t common(struct fp_str a, struct fp_str b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.data[n] == b.data[n])
        n++;
    return n;
}

/* The longest suspect that the text begins with. */
static uint32_t longest(const struct fp_xds_suspects *s, struct fp_str text)
{
    while (text.len) {
        uint32_t lo = 0, hi = s->n;
        while (lo < hi) { /* the last one that is not behind the text */
            uint32_t mid = lo + (hi - lo) / 2;
            if (fp_str_cmp(s->at[mid].name, text) <= 0)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (!lo)
            return NOBODY;
        struct fp_str name = s->at[lo - 1].name;
        if (fp_str_starts(text, name))
            return lo - 1;
        text.len = common(text, name);
    }
    return NOBODY;
}

/* Marks the suspect that is named at this place; returns its length. */
static size_t mark(const struct fp_xds_suspects *s, struct fp_str message, size_t at,
                   uint8_t *named)
{
    struct fp_str text = fp_str_n(message.data + at, message.len - at);
    for (uint32_t i; (i = longest(s, text)) != NOBODY; text.len = s->at[i].name.len - 1) {
        size_t len = s->at[i].name.len;
        enum naming how = len ? set_apart(message, at, at + len) : NOT_NAMED;
        if (how != NOT_NAMED) {
            named[i] = named[i] > how ? named[i] : (uint8_t)how;
            return len;
        }
        if (!len)
            break;
    }
    return 0;
}

/* Those who stand out, or else those who are any word of it; how many. */
static uint32_t find_named(const struct fp_xds_suspects *s, struct fp_str message, uint8_t *named)
{
    uint32_t n[SURELY + 1] = {0};
    for (size_t at = 0; at < message.len;) {
        bool begins =
            !at || is_blank(message.data[at - 1]) || strchr(QUOTES "(", message.data[at - 1]);
        size_t len = begins ? mark(s, message, at, named) : 0;
        at += len ? len : 1;
    }
    for (uint32_t i = 0; i < s->n; i++)
        n[named[i]]++;
    for (uint32_t i = 0; i < s->n && n[SURELY]; i++)
        named[i] = named[i] == SURELY;
    return n[SURELY] ? n[SURELY] : n[PERHAPS];
}

/*
 * Of a rejected answer the client may name some: they are tried alone, and the others, fewer than
 * were in it, at once.
 */
static bool try_innocents(struct fp_xds_isolation *iso, const struct fp_xds_change *c,
                          struct fp_str message)
{
    if (message.len > FP_STATUS_MESSAGE_BYTES)
        message.len = FP_STATUS_MESSAGE_BYTES;
    uint8_t *named = fp_mem_zalloc(iso->suspects->n);
    uint32_t culprits = 0;
    if (find_named(iso->suspects, message, named))
        for (uint32_t i = 0; i < c->changed_n; i++)
            culprits += named[index_of(iso->suspects, c->changed[i].name)];
    for (uint32_t i = 0; i < c->changed_n && culprits; i++) {
        uint32_t at = index_of(iso->suspects, c->changed[i].name);
        judge(iso, at, named[at] ? NAMED : TRYING);
    }
    fp_mem_free(named);
    return culprits;
}

/*
 * Nobody is named.  What is new and already in use, by a route that did not wait for the ACK any
 * longer, Envoy may run (N-6): the next set is not without it.
 */
static void spare_used(struct fp_xds_isolation *iso, const struct fp_xds_change *c,
                       const struct fp_xds_type *type)
{
    struct fp_snap_entry e;
    bool again = iso->spared;
    for (uint32_t i = 0; i < c->changed_n && type->whole && !again; i++) {
        struct fp_str name = c->changed[i].name;
        bool new = !iso->baseline || !fp_xds_state_find(iso->baseline, name, &e);
        if (!new || !fp_xds_stream_refers(iso->stream, type, name))
            continue;
        judge(iso, index_of(iso->suspects, name), GOOD);
        iso->spared = true;
    }
}

/* The rejected answer was a trial, and nothing else. */
static bool was_trial(const struct fp_xds_isolation *iso, const struct fp_xds_change *c)
{
    if (c->changed_n != iso->trying_n)
        return false;
    for (uint32_t i = 0; i < c->changed_n; i++) {
        uint32_t at = index_of(iso->suspects, c->changed[i].name);
        if (at == NOBODY || iso->verdicts[at] != TRYING)
            return false;
    }
    return true;
}

void fp_xds_isolation_begin(struct fp_xds_stream *st, enum fp_kind kind, struct fp_str message)
{
    struct fp_xds_subscription *ts = &st->types[kind];
    if (!ts->in_flight || !ts->sent)
        return; /* said again, or too late: what was rejected is not known any more */
    const struct fp_xds_change *c = fp_xds_state_change(ts->sent, ts->acked);
    ts->astray |= ts->overlaps || (ts->unsure && !ts->isolation);
    if (!c->changed_n)
        return; /* a removal was refused: waits for the next change (N-3) */
    if (ts->brought && !ts->acked)
        return; /* N-6: what it runs is not known here, and a set without a suspect takes it away */
    struct fp_xds_isolation *iso = ts->isolation;
    bool alone = c->changed_n == 1 && !ts->moved_on;
    if (!iso) {
        iso = isolate(st, ts, shared(ts->sent, ts->acked, c));
    } else if (!was_trial(iso, c)) {
        iso = widen(st, ts, c);
        fp_xds_isolation_end(ts);
    }
    ts->isolation = iso;
    conclude(iso, false);
    for (uint32_t i = 0; i < c->changed_n; i++)
        judge(iso, index_of(iso->suspects, c->changed[i].name), alone ? BAD : UNTRIED);
    if (!alone && !try_innocents(iso, c, message)) {
        spare_used(iso, c, fp_xds_type_of(kind));
        divide(iso, iso->trial);
    }
    if (!iso->apart_n && !iso->trying_n)
        fp_xds_isolation_end(ts); /* all are in use: it waits for the next change */
    else
        schedule(iso);
}

void fp_xds_isolation_passed(struct fp_xds_subscription *ts)
{
    struct fp_xds_isolation *iso = ts->isolation;
    if (!iso)
        return;
    if (iso->trying_n) {
        judge_range(iso, iso->trial, TRYING, GOOD, UINT32_MAX);
        conclude(iso, true);
    }
    FP_ASSERT(!iso->trying_n);
    if (!iso->apart_n)
        fp_xds_isolation_end(ts);
    else
        schedule(iso);
}

/* What was on trial did not pass, without an answer of its own; one alone gets this verdict. */
static bool fail(struct fp_xds_isolation *iso, enum verdict alone)
{
    if (!iso || !iso->trying_n)
        return false;
    conclude(iso, false);
    judge_range(iso, iso->trial, TRYING, iso->trying_n == 1 ? alone : UNTRIED, UINT32_MAX);
    divide(iso, iso->trial);
    schedule(iso);
    return true;
}

void fp_xds_isolation_doubted(struct fp_xds_subscription *ts)
{
    fail(ts->isolation, UNTRIED);
}

bool fp_xds_isolation_refused(struct fp_xds_subscription *ts)
{
    return fail(ts->isolation, BAD);
}

void fp_xds_isolation_end(struct fp_xds_subscription *ts)
{
    struct fp_xds_isolation *iso = ts->isolation;
    ts->isolation = NULL;
    if (!iso)
        return;
    fp_timer_stop(&iso->timer);
    fp_xds_state_unref(&iso->baseline);
    fp_xds_suspects_unref(&iso->suspects);
    fp_mem_free(iso);
}

bool fp_xds_isolation_pending(const struct fp_xds_subscription *ts)
{
    return ts->isolation && (ts->isolation->untried_n || ts->isolation->trying_n);
}

bool fp_xds_isolation_resting(const struct fp_xds_subscription *ts)
{
    return ts->isolation && ts->isolation->untried_n && !ts->isolation->trying_n;
}

/* ---- states ---- */

static bool bytes_changed(const struct fp_xds_isolation *iso, enum fp_kind kind,
                          const struct fp_xds_view *view)
{
    for (uint32_t i = 0; i < iso->suspects->n; i++) {
        const struct fp_xds_suspect *s = &iso->suspects->at[i];
        struct fp_snap_entry e;
        if (iso->verdicts[i] != GOOD && (!fp_xds_view_find(view, kind, s->name, &e) ||
                                         memcmp(e.hash, s->hash, sizeof s->hash) != 0))
            return true;
    }
    return false;
}

struct fp_xds_state *fp_xds_isolation_state(struct fp_xds_subscription *ts, enum fp_kind kind,
                                            struct fp_xds_view *view)
{
    struct fp_xds_isolation *iso = ts->isolation;
    if (iso && iso->view_id != view->id) {
        if (bytes_changed(iso, kind, view)) {
            fp_xds_isolation_end(ts); /* all come back into the set */
            iso = NULL;
        } else {
            iso->view_id = view->id;
        }
    }
    if (!iso || !iso->apart_n)
        return fp_xds_state_get(view, kind, ts->names);
    struct fp_str *over = fp_mem_calloc(iso->apart_n, sizeof *over);
    uint32_t n = 0;
    for (uint32_t i = 0; i < iso->suspects->n; i++)
        if (is_apart(iso->verdicts[i]))
            over[n++] = iso->suspects->at[i].name;
    struct fp_xds_state *s = fp_xds_state_get_over(view, kind, ts->names, iso->baseline,
                                                   iso->suspects, over, n, iso->sum);
    fp_mem_free(over);
    return s;
}
