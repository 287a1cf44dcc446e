/* The functions of astrokeras.h. */

/* Where POSIX is, the file of weights is mapped: processes of one machine share one copy
   of it. -DASTROKERAS_COPY reads it instead, for file systems that cannot map. */
#if !defined(ASTROKERAS_COPY) && (defined(__unix__) || defined(__APPLE__))
#define ASTROKERAS_MAP
#define _POSIX_C_SOURCE 200112L
#endif

#include "astrokeras.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(ASTROKERAS_MAP)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "networks.h"
#include "surrogate.h"

enum { ALIGNMENT = 64 };

static int fail(astrokeras_error *error, int code, const char *where, const char *what) {
    if (error) {
        error->code = code;
        snprintf(error->message, sizeof error->message, "%s: %s", where, what);
    }
    return code;
}

static int succeed(astrokeras_error *error) {
    if (error) {
        error->code = ASTROKERAS_OK;
        error->message[0] = 0;
    }
    return ASTROKERAS_OK;
}

/* Memory at a multiple of ALIGNMENT; the pointer before it is what to free. */
static void *aligned(size_t bytes) {
    char *memory = malloc(bytes + ALIGNMENT + sizeof(void *));
    if (!memory) return NULL;
    const uintptr_t after = (uintptr_t)(memory + sizeof(void *) + ALIGNMENT - 1);
    char *found = (char *)(after & ~(uintptr_t)(ALIGNMENT - 1));
    memcpy(found - sizeof(void *), &memory, sizeof(void *));
    return found;
}

static void release(void *found) {
    void *memory;
    if (!found) return;
    memcpy(&memory, (char *)found - sizeof(void *), sizeof(void *));
    free(memory);
}

/* Gives s the bytes of a file, at a multiple of ALIGNMENT. */
#if defined(ASTROKERAS_MAP)
static int load(const char *path, astrokeras_surrogate *s, astrokeras_error *error) {
    const int file = open(path, O_RDONLY);
    if (file < 0) return fail(error, ASTROKERAS_FILE, path, "cannot be opened");
    struct stat facts;
    if (fstat(file, &facts) || !S_ISREG(facts.st_mode) || facts.st_size <= 0) {
        close(file);
        return fail(error, ASTROKERAS_FILE, path, "is empty, or no file");
    }
    void *memory = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_SHARED, file, 0);
    close(file); /* the mapping stays */
    if (memory == MAP_FAILED)
        return fail(error, ASTROKERAS_FILE, path,
                    "cannot be mapped; compile with -DASTROKERAS_COPY");
    s->memory = memory;
    s->bytes = (size_t)facts.st_size;
    return ASTROKERAS_OK;
}

static void unload(astrokeras_surrogate *s) {
    if (s->memory) munmap((void *)(uintptr_t)s->memory, s->bytes);
}
#else
static int load(const char *path, astrokeras_surrogate *s, astrokeras_error *error) {
    FILE *file = fopen(path, "rb");
    if (!file) return fail(error, ASTROKERAS_FILE, path, "cannot be opened");
    long bytes = -1;
    if (!fseek(file, 0, SEEK_END)) bytes = ftell(file);
    if (bytes <= 0 || fseek(file, 0, SEEK_SET)) {
        fclose(file);
        return fail(error, ASTROKERAS_FILE, path, "is empty, or no file");
    }
    s->bytes = (size_t)bytes;
    char *memory = aligned(s->bytes);
    s->memory = memory;
    const size_t got = memory ? fread(memory, 1, s->bytes, file) : 0;
    fclose(file);
    if (!memory) return fail(error, ASTROKERAS_MEMORY, path, "is larger than memory");
    if (got != s->bytes) return fail(error, ASTROKERAS_FILE, path, "cannot be read");
    return ASTROKERAS_OK;
}

static void unload(astrokeras_surrogate *s) { release((void *)(uintptr_t)s->memory); }
#endif

int astrokeras_create(const char *path, astrokeras_surrogate **handle,
                      astrokeras_error *error) {
    if (!path || !handle)
        return fail(error, ASTROKERAS_ARGUMENT, "astrokeras_create", "argument is NULL");
    *handle = NULL;
    astrokeras_surrogate *s = calloc(1, sizeof *s);
    if (!s) return fail(error, ASTROKERAS_MEMORY, path, "there is no memory left");
    int code = load(path, s, error);
    const char *fault = code ? NULL : astrokeras_read(s);
    if (fault) code = fail(error, ASTROKERAS_FILE, path, fault);
    if (code) {
        astrokeras_destroy(s);
        return code;
    }
    *handle = s;
    return succeed(error);
}

void astrokeras_destroy(astrokeras_surrogate *handle) {
    if (!handle) return;
    unload(handle);
    free(handle);
}

int astrokeras_species_count(const astrokeras_surrogate *s) { return s->species; }
int astrokeras_parameter_count(const astrokeras_surrogate *s) { return s->parameters; }
int astrokeras_latent_count(const astrokeras_surrogate *s) { return s->latents; }
int astrokeras_element_count(const astrokeras_surrogate *s) { return s->elements; }

static const char *name_of(const char *names, int count, int index) {
    return index < 0 || index >= count ? NULL : names + (size_t)index * NAME;
}

static int index_of(const char *names, int count, const char *name) {
    for (int i = 0; name && i < count; i++)
        if (!strcmp(names + (size_t)i * NAME, name)) return i;
    return -1;
}

const char *astrokeras_species_name(const astrokeras_surrogate *s, int index) {
    return name_of(s->species_names, s->species, index);
}

const char *astrokeras_parameter_name(const astrokeras_surrogate *s, int index) {
    return name_of(s->parameter_names, s->parameters, index);
}

const char *astrokeras_parameter_unit(const astrokeras_surrogate *s, int index) {
    return name_of(s->units, s->parameters, index);
}

int astrokeras_species_index(const astrokeras_surrogate *s, const char *name) {
    return index_of(s->species_names, s->species, name);
}

int astrokeras_parameter_index(const astrokeras_surrogate *s, const char *name) {
    return index_of(s->parameter_names, s->parameters, name);
}

double astrokeras_atoms(const astrokeras_surrogate *s, int species, int element) {
    if (species < 0 || species >= s->species) return 0.0;
    for (int a = 4 * species; a < 4 * species + 4; a++)
        if (s->atom_element[a] == element && element >= 0) return s->atom_count[a];
    return 0.0;
}

void astrokeras_limits(const astrokeras_surrogate *s, double *shortest, double *longest,
                       double *threshold) {
    *shortest = s->shortest;
    *longest = s->longest;
    *threshold = s->threshold;
}

void astrokeras_start(const astrokeras_surrogate *s, double *abundances) {
    for (int k = 0; k < s->species; k++) abundances[k] = s->start[k];
}

/* Lays out a block in memory, or with NULL counts its bytes. */
static size_t lay_out(const astrokeras_surrogate *s, char *memory, block *b) {
    const int n = s->species, l = s->latents, w = s->widest;
    const int inputs = 8 + 3 * s->parameters + 1 + l + s->random_features;
    const struct {
        row **place;
        int rows;
    } parts[] = {{&b->x, n},       {&b->scaled, n},   {&b->residual, n},
                 {&b->state, n},   {&b->weight, n},   {&b->z, l},
                 {&b->next, l},    {&b->sum, l},      {&b->square, l},
                 {&b->one, w},     {&b->two, w},      {&b->drive, s->drive.out},
                 {&b->features, s->features},         {&b->position, l + s->parameters},
                 {&b->inputs, inputs}};
    size_t used = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (memory) *parts[i].place = (row *)(void *)(memory + used);
        used += (size_t)parts[i].rows * sizeof(row);
    }
    return used;
}

size_t astrokeras_workspace(const astrokeras_surrogate *handle) {
    block none;
    return lay_out(handle, NULL, &none);
}

static double get(const astrokeras_array *a, size_t cell, int item) {
    const ptrdiff_t at = (ptrdiff_t)cell * a->cell + item * a->item;
    return a->is_double ? ((const double *)a->data)[at] : ((const float *)a->data)[at];
}

static void put(const astrokeras_array *a, size_t cell, int item, double value) {
    const ptrdiff_t at = (ptrdiff_t)cell * a->cell + item * a->item;
    if (a->is_double) ((double *)a->data)[at] = value;
    else ((float *)a->data)[at] = (float)value;
}

/* Cells of a call. */
typedef struct {
    const astrokeras_surrogate *s;
    astrokeras_array state, latents, parameters, years, carried, totals;
    float *expected;
    int *status;
} call;

/* Reads interval and parameters of a cell; returns the bits of invalid input. */
static int read_interval(const call *c, block *b, size_t cell, int i) {
    const astrokeras_surrogate *s = c->s;
    int bad = 0;
    for (int k = 0; k < s->parameters; k++) {
        const float value = (float)get(&c->parameters, cell, k);
        if (!(value > 0.0f && value <= 3e38f)) bad = ASTROKERAS_INPUT;
        b->raw[k].f[i] = value;
    }
    const float years = (float)get(&c->years, cell, 0);
    if (!(years > 0.0f && years <= 3e38f)) bad = ASTROKERAS_INPUT;
    else if (!(years >= s->shortest && years <= s->longest)) bad |= ASTROKERAS_TIME;
    b->years.f[i] = years;
    for (int k = 0; k < ASTROKERAS_CARRIED; k++)
        b->carried[k].f[i] = c->carried.data ? (float)get(&c->carried, cell, k) : 0.0f;
    return bad;
}

/* Gives a cell an interval with which nothing can go wrong. */
static void fill_interval(const astrokeras_surrogate *s, block *b, int i) {
    for (int k = 0; k < s->parameters; k++) b->raw[k].f[i] = s->typical[k];
    b->years.f[i] = s->shortest;
    for (int k = 0; k < ASTROKERAS_CARRIED; k++) b->carried[k].f[i] = 0.0f;
}

/* Reads abundances of a cell; returns whether one is impossible. */
static int read_state(const call *c, row *x, size_t cell, int i) {
    const astrokeras_surrogate *s = c->s;
    int bad = 0;
    for (int k = 0; k < s->species; k++) {
        float value = (float)get(&c->state, cell, k);
        if (!(value >= s->abundance_low && value <= s->abundance_high)) bad = 1;
        if (value < s->margin) value = s->floor; /* a decoder returns what is above */
        x[k].f[i] = value > 1.0f ? 1.0f : value;
    }
    if (bad)
        for (int k = 0; k < s->species; k++) x[k].f[i] = s->typical_state[k];
    return bad;
}

/* Distances of positions, count numbers each, to the nearest reference. */
static void nearest(const layer *products, const float *squares, const float *references,
                    const row *position, row *work, row *distance) {
    const int count = products->in;
    product(products, position, work, 0);
    for (int i = 0; i < LANES; i++) {
        float least = INFINITY, apart = 0.0f;
        int found = 0;
        for (int r = 0; r < products->out; r++) {
            const float value = squares[r] - 2.0f * work[r].f[i];
            if (value < least) {
                least = value;
                found = r;
            }
        }
        for (int k = 0; k < count; k++) {
            const float d = position[k].f[i] -
                            references[(size_t)found * (size_t)count + (size_t)k];
            apart += d * d;
        }
        distance->f[i] = sqrtf(apart);
    }
}

/* Expected errors of the features in b->inputs. */
static void expected_errors(const astrokeras_surrogate *s, block *b, int count, row *e) {
    row sum;
    EACH(i) sum.v[i] = all(0.0f);
    for (int k = 0; k < count; k++)
        EACH(i) sum.v[i] += s->coefficients[k] * b->inputs[k].v[i];
    if (!s->random_features) {
        EACH(i)
        e->v[i] = higher(lower(vexp(sum.v[i]), all(s->error_range[1])),
                         all(s->error_range[0]));
        return;
    }
    product(&s->waves, b->inputs, b->one, 0);
    for (int k = 0; k < s->random_features; k++)
        EACH(i)
    sum.v[i] += s->coefficients[count + k] * 1.41421356f * vcos(b->one[k].v[i]);
    const float *places = s->knots, *values = s->knots + s->knot_count;
    row found;
    EACH(i) found.v[i] = all(values[0]);
    for (int k = 0; k + 1 < s->knot_count; k++) {
        const float length = places[k + 1] - places[k];
        const float slope = (values[k + 1] - values[k]) / (length > 1e-6f ? length : 1e-6f);
        EACH(i) found.v[i] += slope * within(sum.v[i] - places[k], 0.0f, length);
    }
    EACH(i) e->v[i] = vexp(found.v[i]);
}

/* Expected errors of the latents b->next, and the numbers to carry on. */
static void judge(const astrokeras_surrogate *s, block *b, row *expected, row *far) {
    const int p = s->parameters, l = s->latents;
    row *where = b->position + l, setting, distance;
    for (int k = 0; k < l; k++)
        EACH(i)
    b->position[k].v[i] = (b->next[k].v[i] - s->trust_offset[k]) / s->trust_scale[k];
    for (int k = 0; k < p; k++)
        EACH(i)
    b->one[k].v[i] = (b->p[k].v[i] - s->parameter_offset[k]) / s->parameter_scale[k] -
                     s->centre[k];
    product(&s->whitening, b->one, where, 0);
    nearest(&s->setting_products, s->setting_squares, s->settings, where, b->two, &setting);
    nearest(&s->state_products, s->state_squares, s->states, b->position, b->two, &distance);
    row *in = b->inputs;
    int n = 0;
    EACH(i) {
        const vec age = b->carried[0].v[i], years = b->years.v[i], elapsed = age + years;
        const vec mean = (age * b->carried[3].v[i] + distance.v[i] * years) / elapsed;
        b->carried[0].v[i] = elapsed;
        b->carried[1].v[i] = higher(b->carried[1].v[i], setting.v[i]);
        b->carried[2].v[i] = higher(b->carried[2].v[i], distance.v[i]);
        b->carried[3].v[i] = mean;
        const vec amounts[] = {setting.v[i],          b->carried[1].v[i], distance.v[i],
                               b->carried[2].v[i], mean,               b->spread.v[i]};
        n = 0;
        in[n++].v[i] = all(1.0f);
        in[n++].v[i] = vlog(higher(elapsed, all(1.0f)));
        for (int k = 0; k < 6; k++) in[n++].v[i] = vlog(amounts[k] + s->small);
        for (int k = 0; k < p; k++) in[n++].v[i] = 2.0f * where[k].v[i];
        for (int k = 0; k < p; k++) in[n++].v[i] = 4.0f * where[k].v[i] * where[k].v[i];
        if (s->random_features) {
            in[n++].v[i] = vlog(higher(years, all(1e-6f)));
            for (int k = 0; k < l; k++) in[n++].v[i] = b->position[k].v[i];
        }
    }
    expected_errors(s, b, n, expected);
    for (int i = 0; i < LANES; i++)
        far->f[i] = b->carried[1].f[i] > s->largest[0] ||
                        b->carried[2].f[i] > s->largest[1];
}

/* What speaks against the state from which a step begins. */
static void check_start(const astrokeras_surrogate *s, block *b, row *unlike) {
    EACH(i) unlike->v[i] = all(0.0f);
    for (int k = 0; k < s->species; k++)
        for (int i = 0; i < LANES; i++) {
            const float x = b->x[k].f[i] > s->floor ? b->x[k].f[i] : s->floor;
            if (x < s->species_low[k] || x > s->species_high[k]) unlike->f[i] = 1.0f;
        }
    if (!s->calibrated) return;
    row error;
    EACH(i) error.v[i] = all(0.0f);
    for (int k = 0; k < s->species; k++)
        EACH(i) {
            const vec decoded = within(b->residual[k].v[i], s->low[k], s->high[k]);
            error.v[i] += magnitude(decoded - b->scaled[k].v[i]);
        }
    for (int i = 0; i < LANES; i++) {
        if (error.f[i] / (float)s->species * s->decades > s->largest[2])
            unlike->f[i] = 1.0f;
        for (int e = 0; e < s->elements; e++) {
            const float total = b->totals[e].f[i];
            const float log = log10f(total > 1e-30f ? total : 1e-30f);
            if (s->totals_low[e] - log > s->totals_dex ||
                log - s->totals_high[e] > s->totals_dex)
                unlike->f[i] = 1.0f;
        }
    }
}

/* Whether a state is unphysical or lacks element totals. */
static int violates(const astrokeras_surrogate *s, block *b, const row *x, row *totals,
                    int i) {
    for (int k = 0; k < s->species; k++) {
        const float value = x[k].f[i];
        if (!(value > 0.0f && value <= 3e38f)) return 1;
    }
    for (int e = 0; s->conserve && e < s->elements; e++) {
        const float wanted = b->totals[e].f[i];
        const float off = totals[e].f[i] / (wanted > 1e-30f ? wanted : 1e-30f) - 1.0f;
        if (!(fabsf(off) <= s->unrepaired)) return 1;
    }
    return 0;
}

static int leaves(const astrokeras_surrogate *s, block *b, int i) {
    for (int k = 0; k < s->parameters; k++) {
        const float value = b->raw[k].f[i];
        if (value < s->parameter_low[k] || value > s->parameter_high[k]) return 1;
    }
    return 0;
}

/* Evolves latents b->z to b->next, with expected errors and what is carried. */
static void advance(const astrokeras_surrogate *s, block *b, row *expected, row *far) {
    for (int k = 0; k < s->parameters; k++)
        EACH(i) b->p[k].v[i] = vlog10(b->raw[k].v[i]);
    interval_features(s, b);
    evolve(s, b, b->z, b->next);
    if (s->calibrated) {
        judge(s, b, expected, far);
        return;
    }
    EACH(i) {
        expected->v[i] = all(NAN);
        far->v[i] = all(0.0f);
        b->carried[0].v[i] += b->years.v[i];
    }
}

/* Writes verdicts of a cell, and what it carries on. */
static void tell(const call *c, block *b, size_t cell, int i, int bad, int status,
                 float expected) {
    if (c->expected) c->expected[cell] = bad ? NAN : expected;
    if (c->status) c->status[cell] = bad ? bad : status;
    if (bad || !c->carried.data) return;
    for (int k = 0; k < ASTROKERAS_CARRIED; k++)
        put(&c->carried, cell, k, b->carried[k].f[i]);
}

static int verdict(const astrokeras_surrogate *s, block *b, int i, int unlike,
                   float expected) {
    int status = leaves(s, b, i) ? ASTROKERAS_PARAMETER : 0;
    if (b->carried[0].f[i] > s->last) status |= ASTROKERAS_TIME;
    if (unlike) status |= ASTROKERAS_UNLIKE;
    if (s->calibrated && !(expected <= s->threshold)) status |= ASTROKERAS_ERROR;
    return status;
}

static void step_block(const call *c, block *b, size_t first, int count) {
    const astrokeras_surrogate *s = c->s;
    int bad[LANES];
    row expected, far, unlike, found[MOST_ELEMENTS];
    for (int i = 0; i < LANES; i++) {
        const size_t cell = first + (size_t)(i < count ? i : 0);
        const int impossible = read_state(c, b->x, cell, i);
        bad[i] = read_interval(c, b, cell, i) | (impossible ? ASTROKERAS_INPUT : 0);
        if (bad[i]) fill_interval(s, b, i);
    }
    totals_of(s, b->x, b->totals);
    scale(s, b->x, b->scaled);
    encode(s, b, b->scaled, b->z);
    decode(s, b, b->z, b->residual);
    check_start(s, b, &unlike);
    for (int k = 0; k < s->species; k++)
        EACH(i) b->residual[k].v[i] = b->scaled[k].v[i] - b->residual[k].v[i];
    advance(s, b, &expected, &far);
    decode(s, b, b->next, b->scaled);
    if (s->residual_decay > 0.0f) {
        row weight;
        EACH(i) weight.v[i] = vexp(-b->path.v[i] / s->residual_decay);
        for (int k = 0; k < s->species; k++)
            EACH(i) b->scaled[k].v[i] += weight.v[i] * b->residual[k].v[i];
    }
    unscale(s, b->scaled, b->x);
    row *result = b->x;
    if (s->conserve) {
        row wanted[MOST_ELEMENTS];
        for (int e = 0; e < s->elements; e++)
            EACH(i) wanted[e].v[i] = higher(b->totals[e].v[i], all(1e-30f));
        conserve(s, b, wanted);
        result = b->state;
    }
    totals_of(s, result, found);
    for (int i = 0; i < count; i++) {
        const size_t cell = first + (size_t)i;
        const float e = expected.f[i];
        const int away = unlike.f[i] > 0.0f || far.f[i] > 0.0f;
        int status = verdict(s, b, i, away, e);
        if (violates(s, b, result, found, i)) status |= ASTROKERAS_TOTALS;
        tell(c, b, cell, i, bad[i], status, e);
        if (bad[i]) continue;
        for (int k = 0; k < s->species; k++)
            put(&c->state, cell, k, result[k].f[i]);
    }
}

static void encode_block(const call *c, block *b, size_t first, int count) {
    const astrokeras_surrogate *s = c->s;
    int bad[LANES];
    for (int i = 0; i < LANES; i++)
        bad[i] = read_state(c, b->x, first + (size_t)(i < count ? i : 0), i);
    totals_of(s, b->x, b->totals);
    scale(s, b->x, b->scaled);
    encode(s, b, b->scaled, b->z);
    for (int i = 0; i < count; i++) {
        const size_t cell = first + (size_t)i;
        for (int k = 0; k < s->latents; k++)
            put(&c->latents, cell, k, bad[i] ? NAN : b->z[k].f[i]);
        for (int e = 0; c->totals.data && e < s->elements; e++)
            put(&c->totals, cell, e, bad[i] ? NAN : b->totals[e].f[i]);
    }
}

/* Reads latents of a cell; returns whether one is not finite. */
static int read_latents(const call *c, block *b, size_t cell, int i) {
    int bad = 0;
    for (int k = 0; k < c->s->latents; k++) {
        const float value = (float)get(&c->latents, cell, k);
        if (!(fabsf(value) <= 1e6f)) bad = 1;
        b->z[k].f[i] = bad ? 0.0f : value;
    }
    return bad;
}

static void latent_block(const call *c, block *b, size_t first, int count) {
    const astrokeras_surrogate *s = c->s;
    int bad[LANES];
    row expected, far;
    for (int i = 0; i < LANES; i++) {
        const size_t cell = first + (size_t)(i < count ? i : 0);
        const int infinite = read_latents(c, b, cell, i);
        bad[i] = read_interval(c, b, cell, i) | (infinite ? ASTROKERAS_INPUT : 0);
        if (bad[i]) fill_interval(s, b, i);
    }
    advance(s, b, &expected, &far);
    for (int i = 0; i < count; i++) {
        const size_t cell = first + (size_t)i;
        const float e = expected.f[i];
        tell(c, b, cell, i, bad[i], verdict(s, b, i, far.f[i] > 0.0f, e), e);
        for (int k = 0; !bad[i] && k < s->latents; k++)
            put(&c->latents, cell, k, b->next[k].f[i]);
    }
}

static void decode_block(const call *c, block *b, size_t first, int count) {
    const astrokeras_surrogate *s = c->s;
    int bad[LANES];
    row wanted[MOST_ELEMENTS];
    for (int i = 0; i < LANES; i++) {
        const size_t cell = first + (size_t)(i < count ? i : 0);
        bad[i] = read_latents(c, b, cell, i);
        for (int e = 0; e < s->elements; e++) {
            const float total = c->totals.data ? (float)get(&c->totals, cell, e) : 1.0f;
            if (!(total >= 0.0f && total <= 1e6f)) bad[i] = 1;
            wanted[e].f[i] = total > 1e-30f && !bad[i] ? total : 1e-30f;
        }
    }
    decode(s, b, b->z, b->scaled);
    unscale(s, b->scaled, b->x);
    row *result = b->x;
    if (s->conserve && c->totals.data) {
        conserve(s, b, wanted);
        result = b->state;
    }
    for (int i = 0; i < count; i++)
        for (int k = 0; k < s->species; k++)
            put(&c->state, first + (size_t)i, k, bad[i] ? NAN : result[k].f[i]);
}

typedef void block_function(const call *, block *, size_t, int);

/* Calls a function for each block, on several threads if OpenMP is on and no workspace is
   given. */
static int run(const call *c, size_t cells, block_function *function, void *workspace,
               const char *name, astrokeras_error *error) {
    const size_t bytes = astrokeras_workspace(c->s);
    const ptrdiff_t blocks = (ptrdiff_t)((cells + LANES - 1) / LANES);
    int missing = 0;
    if ((uintptr_t)workspace % ALIGNMENT)
        return fail(error, ASTROKERAS_ARGUMENT, name, "workspace is not aligned to 64");
#if defined(_OPENMP)
#pragma omp parallel if (!workspace && blocks > 1)
#endif
    {
        void *memory = workspace ? workspace : aligned(bytes);
        block b;
        if (memory) lay_out(c->s, memory, &b);
#if defined(_OPENMP)
#pragma omp for
#endif
        for (ptrdiff_t k = 0; k < blocks; k++) {
            const size_t first = (size_t)k * LANES, left = cells - first;
            if (memory) {
                function(c, &b, first, left < LANES ? (int)left : (int)LANES);
            } else {
#if defined(_OPENMP)
#pragma omp atomic write
#endif
                missing = 1;
            }
        }
        if (!workspace) release(memory);
    }
    if (missing) return fail(error, ASTROKERAS_MEMORY, name, "there is no memory left");
    return succeed(error);
}

int astrokeras_step(const astrokeras_surrogate *handle, size_t cells,
                    astrokeras_array state, astrokeras_array parameters,
                    astrokeras_array years, astrokeras_array carried, float *expected,
                    int *status, void *workspace, astrokeras_error *error) {
    if (!handle || !state.data || !parameters.data || !years.data)
        return fail(error, ASTROKERAS_ARGUMENT, "astrokeras_step", "argument is NULL");
    const call c = {handle, state,          {0}, parameters, years,
                    carried, {0}, expected, status};
    return run(&c, cells, step_block, workspace, "astrokeras_step", error);
}

int astrokeras_encode(const astrokeras_surrogate *handle, size_t cells,
                      astrokeras_array state, astrokeras_array latents,
                      astrokeras_array totals, void *workspace, astrokeras_error *error) {
    if (!handle || !state.data || !latents.data)
        return fail(error, ASTROKERAS_ARGUMENT, "astrokeras_encode", "argument is NULL");
    const call c = {handle, state, latents, {0}, {0}, {0}, totals, NULL, NULL};
    return run(&c, cells, encode_block, workspace, "astrokeras_encode", error);
}

int astrokeras_step_latent(const astrokeras_surrogate *handle, size_t cells,
                           astrokeras_array latents, astrokeras_array parameters,
                           astrokeras_array years, astrokeras_array carried,
                           float *expected, int *status, void *workspace,
                           astrokeras_error *error) {
    if (!handle || !latents.data || !parameters.data || !years.data)
        return fail(error, ASTROKERAS_ARGUMENT, "astrokeras_step_latent", "argument is NULL");
    const call c = {handle, {0}, latents, parameters, years, carried, {0}, expected, status};
    return run(&c, cells, latent_block, workspace, "astrokeras_step_latent", error);
}

int astrokeras_decode(const astrokeras_surrogate *handle, size_t cells,
                      astrokeras_array latents, astrokeras_array totals,
                      astrokeras_array state, void *workspace, astrokeras_error *error) {
    if (!handle || !state.data || !latents.data)
        return fail(error, ASTROKERAS_ARGUMENT, "astrokeras_decode", "argument is NULL");
    const call c = {handle, state, latents, {0}, {0}, {0}, totals, NULL, NULL};
    return run(&c, cells, decode_block, workspace, "astrokeras_decode", error);
}
