/* The file of weights: a header of 64 bytes, a directory of 64 bytes for each array, and
   the arrays, each at a multiple of 64 bytes. `c_format.py` of astrokeras writes it. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "surrogate.h"

enum { HEADER = 64, ENTRY = 64, VERSION = 1, ENDIAN = 0x01020304 };

typedef struct {
    char name[40];
    uint32_t type, rows, columns, unused; /* type 0: float, 1: int32, 2: bytes */
    uint64_t offset;
} entry;

typedef struct {
    astrokeras_surrogate *s;
    const char *fault;
} reader;

/* FNV-1a by words of eight bytes. */
static uint64_t checksum(const char *data, size_t bytes) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        hash = (hash ^ word) * 1099511628211u;
    }
    return hash;
}

static const char *check_header(const astrokeras_surrogate *s) {
    uint32_t words[4];
    uint64_t sizes[2];
    if (s->bytes < HEADER || memcmp(s->memory, "ASTROKER", 8))
        return "is no file of weights of astrokeras; export the surrogate again";
    memcpy(words, s->memory + 8, sizeof words);
    memcpy(sizes, s->memory + 24, sizeof sizes);
    if (words[0] == 0x04030201) return "is of a machine with the other order of bytes";
    if (words[0] != ENDIAN) return "is damaged: the order of bytes is unknown";
    if (words[1] != VERSION) return "is of another version; export the surrogate again";
    if (sizes[0] != s->bytes) return "is cut, or longer than it was; copy it again";
    if (sizes[1] != checksum(s->memory + HEADER, s->bytes - HEADER))
        return "is damaged: its checksum is wrong; copy it again";
    if (words[2] > 4096 || HEADER + (size_t)words[2] * ENTRY > s->bytes)
        return "is damaged: its directory does not fit";
    return NULL;
}

/* Finds an array of a type and shape; -1 is any length. NULL and a fault if there is
   none. */
static const void *take(reader *r, const char *name, uint32_t type, int *rows,
                        int *columns) {
    const astrokeras_surrogate *s = r->s;
    uint32_t count;
    memcpy(&count, s->memory + 16, 4);
    for (uint32_t i = 0; i < count; i++) {
        entry e;
        memcpy(&e, s->memory + HEADER + (size_t)i * ENTRY, sizeof e);
        if (strncmp(e.name, name, sizeof e.name)) continue;
        const uint64_t size = (uint64_t)e.rows * e.columns * (type == 2 ? 1 : 4);
        if (e.type != type || e.rows > 1000000 || e.columns > 1000000 || e.offset % 64 ||
            e.offset > s->bytes || size > s->bytes - e.offset ||
            (*rows >= 0 && e.rows != (uint32_t)*rows) ||
            (*columns >= 0 && e.columns != (uint32_t)*columns))
            break;
        *rows = (int)e.rows;
        *columns = (int)e.columns;
        return s->memory + e.offset;
    }
    if (!r->fault) r->fault = "lacks an array, or one has another shape; export it again";
    return NULL;
}

static const float *floats(reader *r, const char *name, int rows, int columns) {
    return take(r, name, 0, &rows, &columns);
}

/* An array of a type that has a row of at most so many numbers. */
static const void *some(reader *r, const char *name, uint32_t type, int *count, int most) {
    int rows = 1;
    *count = -1;
    const void *found = take(r, name, type, &rows, count);
    if (*count < 0 || *count > most) {
        r->fault = r->fault ? r->fault : "has an array that is too long";
        *count = 0;
    }
    return found;
}

static const float *some_floats(reader *r, const char *name, int *count, int most) {
    return some(r, name, 0, count, most);
}

static const int32_t *some_whole(reader *r, const char *name, int *count, int most) {
    return some(r, name, 1, count, most);
}

static const char *names(reader *r, const char *name, int count) {
    int columns = NAME;
    const char *found = take(r, name, 2, &count, &columns);
    for (int i = 0; found && i < count; i++)
        if (found[(size_t)i * NAME + NAME - 1]) {
            r->fault = "has a name that does not end";
            return NULL;
        }
    return found;
}

/* A dense layer, whose kernel is stored as (panels * in, PANEL). */
static layer dense(reader *r, const char *name, int in, int out, int bias) {
    char full[64];
    layer found = {NULL, NULL, in, out};
    snprintf(full, sizeof full, "%s/kernel", name);
    found.kernel = floats(r, full, (out + PANEL - 1) / PANEL * in, PANEL);
    if (bias) {
        snprintf(full, sizeof full, "%s/bias", name);
        found.bias = floats(r, full, 1, out);
    }
    if (out > r->s->widest) r->s->widest = out;
    if (in > r->s->widest) r->s->widest = in;
    return found;
}

static int in_range(reader *r, int value, int low, int high) {
    if ((value < low || value > high) && !r->fault)
        r->fault = "has a size that this library cannot hold; export it again";
    return r->fault ? low : value;
}

static void read_sizes(reader *r, int32_t widths[2][MOST_HIDDEN]) {
    astrokeras_surrogate *s = r->s;
    int count, cells;
    const int32_t *i = some_whole(r, "sizes", &count, 64);
    const int32_t *decoder = some_whole(r, "decoder_widths", &count, MOST_HIDDEN);
    const int32_t *inner = some_whole(r, "cell_widths", &cells, MOST_HIDDEN);
    if (r->fault) return;
    s->decoder_layers = count;
    s->inner_layers = cells - 1;
    s->species = in_range(r, i[0], 1, 10000);
    s->latents = in_range(r, i[1], 1, 1000);
    s->parameters = in_range(r, i[2], 1, MOST_PARAMETERS);
    s->elements = in_range(r, i[3], 1, MOST_ELEMENTS);
    s->members = in_range(r, i[4], 1, MOST_MEMBERS);
    s->coder_kind = in_range(r, i[5], 0, ACTIVATIONS - 1);
    s->cell_kind = in_range(r, i[6], 0, ACTIVATIONS - 1);
    s->relaxing = i[7];
    s->conserve = i[8];
    s->calibrated = i[9];
    s->random_features = in_range(r, i[10], 0, 10000);
    s->use_timestep = i[11];
    s->newton_steps = in_range(r, i[12], 1, 100);
    s->references = in_range(r, i[13], 0, 1000000);
    s->features = in_range(r, i[14], 1, 1000);
    s->exposures = in_range(r, i[15], 0, 200);
    s->field = in_range(r, i[16], -1, s->parameters - 1);
    in_range(r, cells, 1, MOST_HIDDEN);
    for (int k = 0; k < MOST_HIDDEN; k++) {
        widths[0][k] = k < count ? in_range(r, decoder[k], 1, 10000) : 0;
        widths[1][k] = k < cells ? in_range(r, inner[k], 1, 10000) : 0;
    }
}

static void read_constants(reader *r) {
    astrokeras_surrogate *s = r->s;
    float *const places[] = {
        &s->decades, &s->residual_decay, &s->reach, &s->slope, &s->power, &s->limit,
        &s->first_step, &s->shortest, &s->longest, &s->last, &s->abundance_low,
        &s->abundance_high, &s->floor, &s->margin, &s->totals_dex, &s->unrepaired,
        &s->threshold, &s->small, &s->rate_width, &s->cool, &s->largest_inverse,
        &s->dark, &s->opaque, &s->black, &s->exposure_width, &s->exposure_black,
        &s->largest_column, &s->h2_column, &s->h2_width};
    const int count = (int)(sizeof places / sizeof *places);
    const float *values = floats(r, "constants", 1, count);
    for (int i = 0; values && i < count; i++) *places[i] = values[i];
}

static void read_networks(reader *r, int32_t widths[2][MOST_HIDDEN]) {
    astrokeras_surrogate *s = r->s;
    char name[48];
    int width = s->latents;
    s->project = dense(r, "project", s->species, s->latents, 0);
    s->unproject = dense(r, "unproject", s->latents, s->species, 0);
    for (int k = 0; k < s->decoder_layers; k++) {
        snprintf(name, sizeof name, "decoder_%d", k);
        s->decoder[k] = dense(r, name, width, widths[0][k], 1);
        width = widths[0][k];
    }
    s->decode_last = dense(r, "decode_last", width, s->species, 1);
    s->drive = dense(r, "drive", s->features, s->members * widths[1][0], 1);
    for (int m = 0; m < s->members; m++) {
        cell *c = &s->cells[m];
        snprintf(name, sizeof name, "cell_%d/first", m);
        width = widths[1][0];
        c->first = dense(r, name, s->latents, width, 0);
        for (int k = 0; k < s->inner_layers; k++) {
            snprintf(name, sizeof name, "cell_%d/inner_%d", m, k);
            c->inner[k] = dense(r, name, width, widths[1][k + 1], 1);
            width = widths[1][k + 1];
        }
        snprintf(name, sizeof name, "cell_%d/last", m);
        c->last = dense(r, name, width, s->latents, 1);
        snprintf(name, sizeof name, "cell_%d/rate", m);
        if (s->relaxing) c->rate = dense(r, name, width, s->latents, 1);
    }
    s->bounds = floats(r, "bounds", 2, s->latents);
}

static void read_features(reader *r) {
    astrokeras_surrogate *s = r->s;
    const int all = s->parameters;
    int flat;
    s->temperatures = some_whole(r, "temperatures", &s->temperature_count, all);
    s->extinctions = some_whole(r, "extinctions", &s->extinction_count, all);
    s->curves = some_whole(r, "curves", &flat, 2 * MOST_CURVES);
    s->curve_count = flat / 2;
    s->switches = some_floats(r, "switches", &s->switch_count, 100);
    s->shields = some_floats(r, "shields", &s->shield_count, 100);
    s->levels = some_floats(r, "levels", &s->level_count, 100);
    if (r->fault) return;
    for (int i = 0; i < s->temperature_count; i++)
        in_range(r, s->temperatures[i], 0, all - 1);
    for (int i = 0; i < s->extinction_count; i++)
        in_range(r, s->extinctions[i], 0, all - 1);
    for (int i = 0; i < s->curve_count; i++) {
        in_range(r, s->curves[2 * i], 0, 2);
        in_range(r, s->curves[2 * i + 1], 0, all - 1);
    }
    if (s->exposures)
        s->exposure = dense(r, "exposures", all + 1 + s->curve_count, s->exposures, 1);
    const int wanted = all + (s->use_timestep != 0) + s->exposures * s->level_count +
                       s->temperature_count * (1 + s->switch_count) +
                       s->extinction_count * (1 + s->shield_count);
    in_range(r, s->features, wanted, wanted);
}

static void read_trust(reader *r) {
    astrokeras_surrogate *s = r->s;
    const int p = s->parameters, l = s->latents;
    if (!s->calibrated) return;
    const int inputs = 8 + 2 * p + (s->random_features ? 1 + l : 0);
    in_range(r, s->references, 1, 1000000);
    s->trust_offset = floats(r, "trust/latent_offset", 1, l);
    s->trust_scale = floats(r, "trust/latent_scale", 1, l);
    s->centre = floats(r, "trust/centre", 1, p);
    s->largest = floats(r, "trust/largest", 1, 3);
    s->totals_low = floats(r, "trust/totals", 2, s->elements);
    if (s->totals_low) s->totals_high = s->totals_low + s->elements;
    s->states = floats(r, "trust/states", s->references, l + p);
    s->settings = floats(r, "trust/settings", s->references, p);
    s->state_squares = floats(r, "trust/state_squares", 1, s->references);
    s->setting_squares = floats(r, "trust/setting_squares", 1, s->references);
    s->state_products = dense(r, "trust/state_products", l + p, s->references, 0);
    s->setting_products = dense(r, "trust/setting_products", p, s->references, 0);
    s->whitening = dense(r, "trust/whitening", p, p, 0);
    s->coefficients = floats(r, "trust/coefficients", 1, inputs + s->random_features);
    s->error_range = floats(r, "trust/error_range", 1, 2);
    if (!s->random_features) return;
    int rows = 2;
    s->knot_count = -1;
    s->knots = take(r, "trust/knots", 0, &rows, &s->knot_count);
    in_range(r, s->knot_count, 2, 1000);
    s->waves = dense(r, "trust/waves", inputs, s->random_features, 1);
}

const char *astrokeras_read(astrokeras_surrogate *s) {
    reader whole = {s, check_header(s)}, *r = &whole;
    int32_t widths[2][MOST_HIDDEN];
    if (!r->fault) read_sizes(r, widths);
    if (!r->fault) read_constants(r);
    if (!r->fault) read_networks(r, widths);
    if (!r->fault) read_features(r);
    if (!r->fault) read_trust(r);
    if (r->fault) return r->fault;
    int rows = s->species, atoms = 4;
    s->species_names = names(r, "species", s->species);
    s->parameter_names = names(r, "parameters", s->parameters);
    s->units = names(r, "units", s->parameters);
    s->species_offset = floats(r, "species/offset", 1, s->species);
    s->species_scale = floats(r, "species/scale", 1, s->species);
    s->latent_offset = floats(r, "latents/offset", 1, s->latents);
    s->latent_scale = floats(r, "latents/scale", 1, s->latents);
    s->parameter_offset = floats(r, "parameters/offset", 1, s->parameters);
    s->parameter_scale = floats(r, "parameters/scale", 1, s->parameters);
    s->low = floats(r, "low", 1, s->species);
    s->high = floats(r, "high", 1, s->species);
    s->parameter_low = floats(r, "parameter_bounds", 2, s->parameters);
    s->species_low = floats(r, "species_bounds", 2, s->species);
    s->typical = floats(r, "typical", 1, s->parameters);
    s->typical_state = floats(r, "typical_state", 1, s->species);
    s->start = floats(r, "start", 1, s->species);
    s->atom_count = floats(r, "atoms/count", s->species, 4);
    s->atom_element = take(r, "atoms/element", 1, &rows, &atoms);
    if (r->fault) return r->fault;
    s->parameter_high = s->parameter_low + s->parameters;
    s->species_high = s->species_low + s->species;
    for (int k = 0; k < 4 * s->species; k++)
        in_range(r, s->atom_element[k], -1, s->elements - 1);
    return r->fault;
}
