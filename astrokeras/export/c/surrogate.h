/* What the file of weights holds, with all sizes checked. */

#ifndef ASTROKERAS_SURROGATE_H
#define ASTROKERAS_SURROGATE_H

#include "astrokeras.h"
#include "kernels.h"

enum {
    MOST_HIDDEN = 8,   /* layers of the decoder, and of a cell */
    MOST_MEMBERS = 16, /* cells */
    MOST_ELEMENTS = 16,
    MOST_PARAMETERS = 16,
    MOST_CURVES = 16,
    NAME = 32 /* bytes of a name, zeros at its end */
};

typedef struct {
    layer first, inner[MOST_HIDDEN], last, rate;
} cell;

struct astrokeras_surrogate {
    const char *memory; /* the file, mapped or read; nothing writes to it */
    size_t bytes;
    int species, latents, parameters, elements, members;
    int decoder_layers, inner_layers, coder_kind, cell_kind, widest;
    int relaxing, conserve, calibrated, random_features, use_timestep;
    int newton_steps, references, features, exposures;
    const char *species_names, *parameter_names, *units;
    /* Scales: x becomes (x - offset) / scale. */
    const float *species_offset, *species_scale, *latent_offset, *latent_scale;
    const float *parameter_offset, *parameter_scale;
    const float *low, *high; /* of scaled abundances that are decoded */
    layer project, decoder[MOST_HIDDEN], decode_last, unproject, drive;
    cell cells[MOST_MEMBERS];
    const float *bounds; /* (2, latents) of a state, or NULL */
    /* Constants, see `reading.c` for their order. */
    float decades, residual_decay, reach, slope, power, limit, first_step;
    float shortest, longest, last, abundance_low, abundance_high, floor, margin;
    float totals_dex, unrepaired, threshold, small;
    /* Atoms of each species: elements and counts, (species, 4) and -1 where there is none. */
    const int32_t *atom_element;
    const float *atom_count;
    /* Features of an interval. */
    const int32_t *temperatures, *extinctions, *curves; /* (curves, 2): kind, parameter */
    int temperature_count, extinction_count, curve_count, field;
    const float *switches, *shields, *levels;
    int switch_count, shield_count, level_count;
    float rate_width, cool, largest_inverse, dark, opaque, black;
    float exposure_width, exposure_black, largest_column, h2_column, h2_width;
    layer exposure;
    /* Valid ranges. */
    const float *parameter_low, *parameter_high, *species_low, *species_high;
    const float *typical, *typical_state, *start;
    /* Trust. */
    const float *trust_offset, *trust_scale, *centre, *largest, *totals_low, *totals_high;
    const float *state_squares, *setting_squares, *states, *settings, *coefficients, *knots;
    layer whitening, state_products, setting_products, waves;
    int knot_count;
    const float *error_range;
};

/* Fills a surrogate from the bytes of its file; returns what is wrong, or NULL. */
const char *astrokeras_read(astrokeras_surrogate *s);

#endif
